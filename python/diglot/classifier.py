"""``ImageClassifier``: a scikit-learn estimator that trains a network on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from diglot.augment import Augment
from diglot.errors import InputError
from diglot.estimators.judged import JudgedByClass
from diglot.estimators.settings import keep_settings
from diglot.graph import Graph
from diglot.outcomes import Classes, Outcome
from diglot.outcomes.classes import FAMILIES, log_softmax
from diglot.outcomes.labels import (
    class_weights,
    classes_from,
    classes_told,
    encode_labels,
    refuse_one_class,
)
from diglot.predictor import ImagePredictor
from diglot.predictor.settings import jsonable_weights, weights_from
from diglot.predictor.uncertain import UncertainClasses


class ImageClassifier(
    JudgedByClass,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    UncertainClasses,
    ImagePredictor,
):
    """Train a network to tell classes of images apart.

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
    family : {"multinomial", "cumulative"}
        Whether each class has a score of its own or, as in a proportional-odds model, one score an
        image moves it along the classes, whose order must mean something.
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
    class_weight : dict, "balanced" or None
        Weight by class, on top of ``sample_weight``.
    label_smoothing : float
        This share of each label goes evenly to all classes.
    mixup : float
        Blend pairs of images, with a share from Beta(mixup, mixup); 0 is off.
    augment : str, dict, Augment or None
        Random changes in training: "light", "standard", "strong", or see `diglot.augment`.
    validation : float, optional
        Hold out this share of the images, by class; or give ``validation_data`` to `fit`.
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
        What computes: MXNet, or PyTorch, which serves more devices (see `diglot.devices`). "auto"
        is MXNet where it has code for the device, else PyTorch where that is installed. Files,
        weights and checkpoints are the same for both; what is drawn in dropout is not.
    precision : {"auto", "float32", "int8", "mixed"}
        With which numbers a CPU scores. 8-bit integers are several times as fast for large
        networks; what they need is measured on training images once a fit is done, by MXNet on the
        CPU, also of what a GPU or PyTorch trained. "auto" takes them where that agrees with float32
        for 99.5 % of these images, 256 where there are as many, and is faster on this machine.
        "mixed", with PyTorch, trains and scores with floats of 16 bits in products and float32 in
        losses, norms and weights; activations and pooling take what comes. It is for GPUs with
        units for that: from NVIDIA those of compute capability 8.0 or more (bfloat16), and 7.0 to
        7.5 (float16, with a scaled loss).
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
    classes_ : ndarray of shape (k,)
        The classes, in the order of their categories, else sorted.
    network_ : Graph
        The network with its weights and its input.
    history_ : DataFrame
        One row an epoch: epoch, loss, accuracy, val_loss and val_accuracy where there is
        validation, learning_rate, seconds, images_per_second.
    best_epoch_ : int
        The epoch whose weights these are.
    seed_ : int
        The seed that was used.
    device_ : str
        Where it was trained.
    engine_ : str
        What trained it, "mxnet" or "torch".
    stopped_ : str
        "completed", "early", "callback", "interrupted" or "diverged".
    n_features_in_ : int
        Numbers an image, where rows of a table were given.
    calibration_, conformal_ : objects or None
        What `calibrate` and `conformalize` learned; see `diglot.uncertainty`.

    Notes
    -----
    Images may be an array (n, height, width) or (n, height, width, channels), a list of arrays,
    paths, or a data frame with a column ``image``. Rows of a two-dimensional array are flat
    square images where their length is a square, else images one pixel high. 8-bit and 16-bit
    integers are scaled to [0, 1]; all other numbers are taken as they are. Channels are then
    standardised by the training images' mean and standard deviation.

    A row that occurs twice counts as one row of twice the weight, and the order of rows does
    not matter.

    Examples
    --------
    >>> from diglot import ImageClassifier, example_images
    >>> digits = example_images("digits")
    >>> model = ImageClassifier("mlp", epochs=2, seed=1).fit(digits[["image"]], digits["label"])
    >>> model.predict(digits[["image"]][:2]).shape
    (2,)
    """

    kind = "classifier"
    monitors = ("val_loss", "val_accuracy")

    def __init__(
        self,
        network: Any = "lenet",
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        family: str = "multinomial",
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
        class_weight: Mapping[Any, float] | str | None = None,
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

    def _encoded(self, y: Any, rows: int) -> tuple[Classes, np.ndarray]:
        if self.family not in FAMILIES:
            known = ", ".join(map(repr, FAMILIES))
            raise InputError(
                f"family must be one of {known} for classes, not {self.family!r}; ImageRegressor "
                "learns numbers, ImageTagger several tags an image"
            )
        labels = encode_labels(y, rows)
        return Classes.of(labels, self.family), labels.codes

    def _recoded(self, y: Any, rows: int, outcome: Classes) -> np.ndarray:
        return encode_labels(y, rows, outcome.classes).codes

    def _counted(self, outcome: Classes, values: np.ndarray, weights: np.ndarray) -> Classes:
        refuse_one_class(outcome.classes, values, weights)
        return outcome

    def _reweighted(self, outcome: Classes, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return class_weights(self.class_weight, outcome.classes, values, weights)[values]

    def _identity(self, seen: Any) -> dict[str, Any]:
        return {
            **super()._identity(seen),
            "class_weight": jsonable_weights(self.class_weight),
            "classes": [str(c) for c in seen.outcome.classes.tolist()],
        }

    def _settled(self, fitted: Any, seen: Any, fit: Any, session: Any) -> None:
        self.classes_ = seen.outcome.classes
        self.ordered_ = seen.outcome.ordered
        super()._settled(fitted, seen, fit, session)

    # ---- training

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> ImageClassifier:
        """Go once through these images, at a constant learning rate.

        The first call may name all ``classes``; the optimiser's state lives on between calls.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : sequence, optional
            All labels that will come, for the first call.

        Returns
        -------
        self
        """
        if not hasattr(self, "network_"):
            given = None if classes is None else encode_labels(classes, len(classes))
            return self._once(X, y, sample_weight, given and Classes.of(given, self.family))
        return self._once(X, y, sample_weight)

    # ---- answers

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : images
            Zero images give zero rows. Fewer than 16 take as long as 16, so that an image's answer
            is the same bytes whichever images are with it: ask for many at once.

        Returns
        -------
        ndarray of shape (n, k), float64
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        return self._calibrated(np.exp(log_softmax(self._scores(X))))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n,)
        """
        check_is_fitted(self)
        scores = self._scores(X) if self.calibration_ is None else self.predict_proba(X)
        return self.classes_[scores.argmax(axis=1)]

    def _rows(self, X: Any) -> int:
        return len(self._images(X, reset=False))

    # ---- files and words

    def _told(self) -> dict[str, Any]:
        return {
            "classes": classes_told(self.classes_, self.ordered_),
            "class_weight": jsonable_weights(self.class_weight),
            **self._uncertainty_told(),
        }

    def _restored(self, meta: Mapping[str, Any], graph: Graph) -> bool:
        self.class_weight = weights_from(meta["class_weight"])
        self.classes_, self.ordered_ = classes_from(meta["classes"])
        self.outcome_: Outcome = Classes(self.classes_, self.ordered_, self.family)
        sure = self._uncertainty_restored(meta)
        fits = graph.output_shape == (len(self.classes_),)
        return self.family in FAMILIES and fits and sure

    def _outcome_words(self) -> dict[str, str]:
        classes = ", ".join(map(str, self.classes_.tolist()[:12]))
        more = ", ..." if len(self.classes_) > 12 else ""
        words = {"classes": f"{len(self.classes_)}: {classes}{more}"}
        if self.family != "multinomial":
            words["family"] = self.family
        return {**words, **self.certainty()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32
        return tags
