"""``ImageTagger``: a scikit-learn estimator that learns which tags an image has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from diglot import evaluation
from diglot.augment import Augment
from diglot.estimators.settings import keep_settings
from diglot.graph import Graph
from diglot.outcomes.tags import Tags, encode_tags
from diglot.outcomes.thresholds import best_thresholds
from diglot.predictor import ImagePredictor

_THRESHOLD = 0.5  # of each tag, until they are tuned


class ImageTagger(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImagePredictor):
    """Train a network to tell which of several tags an image has: none, some, or all.

    Parameters
    ----------
    network : str, Graph, path, MXNet symbol or Gluon HybridBlock
        A name of the catalogue (see `diglot.networks`), a network, or a file of MXNet's JSON.
    size : int or (int, int), optional
        Height and width in pixels that images are brought to. By default the size that all
        images share; images that are too small for the network are enlarged to the size it was
        made for.
    channels : int, optional
        1 for grey, 3 for colour; other images are converted. By default what the images have.
    resize : {"squash", "crop"}, optional
        How an image of another size is brought to ``size``: as a whole, or its centre. By default
        as the network's weights expect it, else "squash".
    covariates : list of str, optional
        Columns of X beside the images: numbers and factors, which enter the last layer
        standardised; see `coefficients`.
    contrasts : dict, optional
        Of factors among them: "treatment", "sum", "helmert", "poly", or a matrix with one row a
        level. By default as R: "poly" where the order of categories means something, else
        "treatment".
    train : {"all", "head", "head_then_all"} or list of str
        What learns, of a network that has weights: everything, the last layer alone, first that
        and then everything, or the named layer groups (see `Graph.groups`). What lies before is
        frozen, batch normalisation's statistics with it, and is computed once for each image.
    layer_decay : float
        The learning rate of each layer group, as a part of that of the group behind it.
    views : int, optional
        Where the frozen part is computed once and there is ``augment``: how many changed views
        of each image, through which the epochs go in turn. One an epoch by default, at most 5.
    epochs : int or (int, int)
        Passes over the images; for "head_then_all" of the head and of everything, where one
        number is for everything and the head has one epoch.
    batch_size : int
        Images a step.
    optimizer : {"sgd", "adam", "adamw"}
        SGD has Nesterov's momentum.
    learning_rate : float, optional
        The largest; by default 0.02 for SGD, else 0.001; where weights that are there go on
        learning 0.01 and 0.0001.
    momentum : float
        Of SGD.
    weight_decay : float
        On weights, not on biases and norms.
    schedule : {"cosine", "constant", "step", "one_cycle"}
        The learning rate's course.
    warmup_epochs : float
        The rate grows over so many epochs.
    clip_norm : float, optional
        The largest norm of the gradient.
    label_smoothing : float
        This share of what is known of a tag goes evenly to "there" and "not there".
    mixup : float
        Blend pairs of images, with a share from Beta(mixup, mixup); 0 is off.
    augment : str, dict, Augment or None
        Random changes in training: "light", "standard", "strong", or see `diglot.augment`.
    validation : float, optional
        Hold out this share of the images; or give ``validation_data`` to `fit`.
    patience : int, optional
        Stop after so many epochs without a better ``monitor``.
    monitor : {"val_loss", "val_accuracy"}
        What decides which epoch is best.
    restore_best : bool
        With validation: end with the best epoch's weights, not the last's.
    callbacks : callable, Callback or list, optional
        Called with each epoch's record; one that returns False stops the fit.
    checkpoint : path, optional
        A folder in which to save after each epoch.
    checkpoint_every : int, optional
        Also save after so many steps.
    resume : path or bool, optional
        Go on from the checkpoint in this folder (True: in ``checkpoint``), to the same bytes as
        without the break; begins anew where there is none yet.
    device : {"auto", "cpu", "gpu", "gpu:1"} or list of str
        Where to compute. Several GPUs, such as ``["gpu:0", "gpu:1"]``, train together, each on a
        part of every batch, whose own statistics its batch normalisation takes. A GPU that is named
        and not there is an error; one that a file names gives way to what is there, with a warning.
    engine : {"auto", "mxnet", "torch"}
        What computes; see `ImageClassifier`.
    precision : {"auto", "float32", "int8", "mixed"}
        With which numbers a CPU scores. 8-bit integers are several times as fast for large
        networks; what they need is measured on training images once a fit is done, by MXNet on the
        CPU, also of what a GPU or PyTorch trained. "auto" takes them where that agrees with float32
        for 99.5 % of these images, 256 where there are as many, and is faster on this machine.
    memory_limit : int, optional
        Bytes of decoded images to keep in memory; more go to a file on disk.
    threads : int, optional
        That decode images; by default one for each core that may be used, at most 8.
    seed : int, optional
        Of everything random; the same seed gives the same weights, to the byte. None draws one.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Attributes
    ----------
    tags_ : tuple of str
        The tags, in the order of the columns of answers.
    thresholds_ : ndarray of shape (t,)
        The probability from which on an image has a tag: 0.5 unless `tune_thresholds` found
        better ones.
    network_ : Graph
        The network with its weights and its input.
    design_ : Design or None
        How covariates become numbers.
    history_ : DataFrame
        One row an epoch: epoch, loss, accuracy (the share of tags that are right), val_loss and
        val_accuracy where there is validation, learning_rate, seconds, images_per_second.
    best_epoch_, seed_, device_, engine_, stopped_
        As of `ImageClassifier`.

    Notes
    -----
    Images are as for `ImageClassifier`. ``y`` is a table of zeros and ones with a column for each
    tag, or a list that has a list of tags for each image.

    Examples
    --------
    >>> from diglot import ImageTagger
    >>> images = np.random.default_rng(1).random((60, 8, 8))
    >>> tags = [["bright"] if image.mean() > 0.5 else [] for image in images]
    >>> model = ImageTagger("mlp", epochs=2, seed=1).fit(images, tags)
    >>> model.predict_proba(images[:2]).columns.tolist()
    ['bright']
    """

    kind = "tagger"
    monitors = ("val_loss", "val_accuracy")

    def __init__(
        self,
        network: Any = "lenet",
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        covariates: Sequence[str] | None = None,
        contrasts: Mapping[str, Any] | None = None,
        train: str | Sequence[str] = "all",
        layer_decay: float = 1.0,
        views: int | None = None,
        epochs: int | tuple[int, int] = 10,
        batch_size: int = 64,
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        schedule: str = "cosine",
        warmup_epochs: float = 0,
        clip_norm: float | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        augment: str | Mapping[str, Any] | Augment | None = None,
        validation: float | None = None,
        patience: int | None = None,
        monitor: str = "val_loss",
        restore_best: bool = True,
        callbacks: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: str | os.PathLike[str] | bool | None = None,
        device: str | Sequence[str] = "auto",
        engine: str = "auto",
        precision: str = "auto",
        memory_limit: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    # ---- what is learned

    def _encoded(self, y: Any, rows: int) -> tuple[Tags, np.ndarray]:
        values, tags = encode_tags(y, rows)
        return Tags(tags), values

    def _recoded(self, y: Any, rows: int, outcome: Tags) -> np.ndarray:
        return encode_tags(y, rows, outcome.tags)[0]

    def _settled(self, fitted: Any, seen: Any, fit: Any, session: Any) -> None:
        tuned = session.first_epoch > 0 and (self.thresholds_ != _THRESHOLD).any()
        self.tags_ = seen.outcome.tags
        self.thresholds_ = np.full(len(self.tags_), _THRESHOLD)
        super()._settled(fitted, seen, fit, session)
        if tuned:
            warnings.warn(
                f"The weights are others now, so that all thresholds are {_THRESHOLD} again: call "
                "tune_thresholds() again.",
                stacklevel=2,
            )

    # ---- answers

    def predict_proba(self, X: Any) -> pd.DataFrame:
        """Return each tag's probability.

        Parameters
        ----------
        X : images
            Zero images give zero rows.

        Returns
        -------
        DataFrame of shape (n, t), float64
            One column a tag.
        """
        scores = self._scores(X).astype(np.float64)
        return pd.DataFrame(1 / (1 + np.exp(-scores)), columns=list(self.tags_))

    def predict(self, X: Any) -> pd.DataFrame:
        """Return which tags each image has.

        Parameters
        ----------
        X : images

        Returns
        -------
        DataFrame of shape (n, t), bool
            One column a tag.
        """
        return self.predict_proba(X) >= self.thresholds_

    def tune_thresholds(self, X: Any, y: Any) -> ImageTagger:
        """Choose for each tag the threshold with the best F1 on these images.

        Take other images than those of training, and others again to evaluate.

        Parameters
        ----------
        X : images
        y : tags
            As in `fit`.

        Returns
        -------
        self
        """
        probabilities = self.predict_proba(X).to_numpy()
        values = encode_tags(y, len(probabilities), self.tags_)[0]
        self.thresholds_ = best_thresholds(values, probabilities)
        return self

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Judge the model on images whose tags are known; every metric has an interval.

        Parameters
        ----------
        X : images
        y : tags
            As in `fit`.
        groups : sequence of n labels, optional
            Which images belong together, such as those of one patient: the bootstrap draws groups.
        level : float
            Of the intervals.
        resamples : int
            Of the bootstrap.
        seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            metric, class (the tag), estimate, lower, upper, method, n; see
            `diglot.evaluation.evaluate_tags`.
        """
        probabilities = self.predict_proba(X).to_numpy()
        return evaluation.evaluate_tags(
            encode_tags(y, len(probabilities), self.tags_)[0].astype(bool),
            probabilities,
            list(self.tags_),
            thresholds=self.thresholds_,
            groups=groups,
            level=level,
            resamples=resamples,
            seed=seed,
        )

    # ---- files and words

    def _told(self) -> dict[str, Any]:
        return {"tags": list(self.tags_), "thresholds": self.thresholds_.tolist()}

    def _restored(self, meta: Mapping[str, Any], graph: Graph) -> bool:
        self.outcome_ = Tags.from_list(meta["tags"])
        self.tags_ = self.outcome_.tags
        self.thresholds_ = np.array(meta["thresholds"], np.float64)
        sound = self.thresholds_.shape == (len(self.tags_),) == graph.output_shape
        return sound and bool(np.isfinite(self.thresholds_).all())

    def _outcome_words(self) -> dict[str, str]:
        more = ", ..." if len(self.tags_) > 12 else ""
        return {"tags": f"{len(self.tags_)}: {', '.join(self.tags_[:12])}{more}"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32
        return tags
