"""``ImageRegressor``: a scikit-learn estimator that learns a number of each image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin

from diglot import evaluation
from diglot.augment import Augment
from diglot.engine import Optimiser
from diglot.errors import InputError
from diglot.estimators.settings import is_several, keep_settings, number
from diglot.graph import Graph
from diglot.outcomes.numbers import FAMILIES, Numbers, encode_numbers
from diglot.predictor import ImagePredictor
from diglot.predictor.uncertain import UncertainNumbers


class ImageRegressor(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    RegressorMixin,
    UncertainNumbers,
    ImagePredictor,
):
    """Train a network to tell a number of each image: a measurement, a count, its quantiles.

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
    family : {"gaussian", "poisson", "quantile"}
        What the numbers are: measurements, of which the mean is learned by least squares; counts,
        of which the rate is learned by the Poisson distribution with a log link; or anything of
        which ``quantiles`` are wanted.
    quantiles : float or list of float
        Which, for "quantile".
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
        The largest norm of the gradient; by default 1.
    mixup : float
        Blend pairs of images, with a share from Beta(mixup, mixup); 0 is off.
    augment : str, dict, Augment or None
        Random changes in training: "light", "standard", "strong", or see `diglot.augment`.
    validation : float, optional
        Hold out this share of the images; or give ``validation_data`` to `fit`.
    patience : int, optional
        Stop after so many epochs without a better ``monitor``.
    monitor : {"val_loss", "val_mae"}
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
    network_ : Graph
        The network with its weights and its input.
    outcome_ : Numbers
        The family, and the scale on which the network answers.
    design_ : Design or None
        How covariates become numbers.
    conformal_ : NumberConformal or None
        What `conformalize` learned; see `diglot.uncertainty`.
    history_ : DataFrame
        One row an epoch: epoch, loss, mae (in the outcome's units), val_loss and val_mae where
        there is validation, learning_rate, seconds, images_per_second.
    best_epoch_, seed_, device_, engine_, stopped_
        As of `ImageClassifier`.

    Notes
    -----
    Images are as for `ImageClassifier`. The loss is on a scale on which the training images'
    outcomes have spread 1; for counts, on which their mean is 1.

    Examples
    --------
    >>> from diglot import ImageRegressor
    >>> images = np.random.default_rng(1).random((60, 8, 8))
    >>> model = ImageRegressor("mlp", epochs=2, seed=1).fit(images, images.mean(axis=(1, 2)))
    >>> model.predict(images[:2]).shape
    (2,)
    """

    kind = "regressor"
    monitors = ("val_loss", "val_mae")

    def __init__(
        self,
        network: Any = "lenet",
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        family: str = "gaussian",
        quantiles: float | Sequence[float] = 0.5,
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

    def _encoded(self, y: Any, rows: int) -> tuple[Numbers, np.ndarray]:
        if self.family not in FAMILIES:
            known = ", ".join(map(repr, FAMILIES))
            raise InputError(f"family must be one of {known} for numbers, not {self.family!r}")
        quantiles = self.quantiles if is_several(self.quantiles) else [self.quantiles]
        for quantile in quantiles:
            number("quantiles", quantile, lambda v: 0 < v < 1, "between 0 and 1")
        values = encode_numbers(y, rows, self.family)
        return Numbers(self.family, 0.0, 1.0, tuple(map(float, quantiles))), values

    def _recoded(self, y: Any, rows: int, outcome: Numbers) -> np.ndarray:
        return encode_numbers(y, rows, outcome.family)

    def _counted(self, outcome: Numbers, values: np.ndarray, weights: np.ndarray) -> Numbers:
        counted = values[weights > 0]
        if not len(counted) or (counted == counted[0]).all():
            raise InputError(
                f"all outcomes are the same (n_samples={len(counted)}): there is nothing to learn"
            )
        return Numbers.of(values, weights, outcome.family, outcome.quantiles)

    def _optimiser(self) -> Optimiser:
        # The gradient of squared error, and of a rate, knows no bound as that of classes does.
        limit = 1.0 if self.clip_norm is None else float(self.clip_norm)
        return replace(super()._optimiser(), clip_norm=limit)

    # ---- answers

    def predict(self, X: Any) -> np.ndarray:
        """Return the mean, the rate, or the quantile nearest to the median, of each image.

        Parameters
        ----------
        X : images
            Zero images give zero rows.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        scores = self._scores(X)
        return self.outcome_.predicted(scores)[:, self.outcome_.middle]

    def predict_quantiles(self, X: Any) -> pd.DataFrame:
        """Return all quantiles that were learned.

        Parameters
        ----------
        X : images

        Returns
        -------
        DataFrame of shape (n, m), float64
            One column a quantile, named by it.

        Raises
        ------
        InputError
            If the family is another than "quantile".
        """
        scores = self._scores(X)
        if self.outcome_.family != "quantile":
            raise InputError(
                f'this model learned the mean (family="{self.outcome_.family}"); '
                'fit with family="quantile", quantiles=[0.05, 0.5, 0.95]'
            )
        return pd.DataFrame(self.outcome_.predicted(scores), columns=list(self.outcome_.quantiles))

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
        """Judge the model on images whose numbers are known; every metric has an interval.

        Parameters
        ----------
        X : images
        y : sequence of n numbers
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
            metric, class, estimate, lower, upper, method, n; see
            `diglot.evaluation.evaluate_numbers`.
        """
        predicted = self.predict(X)
        outcome = self.outcome_
        which = {"quantile": outcome.quantiles[outcome.middle]} if outcome.quantiles else {}
        return evaluation.evaluate_numbers(
            encode_numbers(y, len(predicted), outcome.family),
            predicted,
            family=outcome.family,
            groups=groups,
            level=level,
            resamples=resamples,
            seed=seed,
            **which,
        )

    # ---- files and words

    def _told(self) -> dict[str, Any]:
        return {"outcome": self.outcome_.to_dict(), **self._uncertainty_told()}

    def _restored(self, meta: Mapping[str, Any], graph: Graph) -> bool:
        self.outcome_ = Numbers.from_dict(meta["outcome"])
        return self._uncertainty_restored(meta) and graph.output_shape == (self.outcome_.width,)

    def _outcome_words(self) -> dict[str, str]:
        outcome = self.outcome_
        words = {
            "gaussian": "the mean, by least squares",
            "poisson": "the rate of counts, log link",
            "quantile": f"quantiles {', '.join(f'{q:g}' for q in outcome.quantiles)}",
        }
        return {"outcome": words[outcome.family], **self.certainty()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32
        return tags
