"""``ImageClassifier``: a scikit-learn estimator that trains a network on labelled images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from diglot.augment import Augment, augment
from diglot.builder import initial_weights
from diglot.classifier.fitting import Fit, run_fit, try_rates
from diglot.classifier.labels import (
    Labels,
    class_weights,
    encode_labels,
    merge_repeats,
    refuse_one_class,
    split_validation,
)
from diglot.classifier.lineage import lineage
from diglot.classifier.model_file import metadata
from diglot.classifier.settings import check_settings, jsonable_weights
from diglot.classifier.task import Recipe, Rows, log_softmax, score
from diglot.engine import open_executor, pick_device
from diglot.errors import DivergedError, InputError
from diglot.estimators.base import NetworkEstimator, last_measures
from diglot.estimators.inputs import (
    check_channels,
    input_spec,
    is_empty_table,
    is_table,
    standardised,
)
from diglot.estimators.phases import Fitted, plan_phases, score_batch
from diglot.estimators.settings import epochs as epochs_of
from diglot.estimators.settings import is_several, number, optimiser, whole
from diglot.evaluation import evaluate_classes
from diglot.graph import Graph
from diglot.images import ImageSet, as_images
from diglot.networks import resolve
from diglot.progress import reporter
from diglot.training import LearningRates
from diglot.weighted import embed

# By optimiser: where all begins anew, where a head alone does, and where all goes on.
_RATES = {"sgd": (0.02, 0.02, 0.01), "adam": (1e-3, 1e-3, 1e-4), "adamw": (1e-3, 1e-3, 1e-4)}


@dataclass(frozen=True)
class _Session:
    """One call of fit, update or partial_fit: how it differs from the others."""

    epochs: int | Sequence[int]
    train: str | Sequence[str]
    first_epoch: int = 0
    schedule: str = "constant"
    fresh_optimiser: bool = True


class ImageClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, NetworkEstimator
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
    device : {"auto", "cpu", "gpu", "gpu:1"}
        Where to compute.
    memory_limit : int, optional
        Bytes of decoded images to keep in memory; more go to a file on disk.
    threads : int, optional
        That decode images.
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
    stopped_ : str
        "completed", "early", "callback", "interrupted" or "diverged".
    n_features_in_ : int
        Numbers an image, where rows of a table were given.

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

    def __init__(
        self,
        network: Any = "lenet",
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
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
        device: str = "auto",
        memory_limit: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        self.network = network
        self.size = size
        self.channels = channels
        self.resize = resize
        self.train = train
        self.layer_decay = layer_decay
        self.views = views
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.clip_norm = clip_norm
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.augment = augment
        self.validation = validation
        self.patience = patience
        self.monitor = monitor
        self.restore_best = restore_best
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.resume = resume
        self.device = device
        self.memory_limit = memory_limit
        self.threads = threads
        self.seed = seed
        self.verbose = verbose

    # ---- training

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> ImageClassifier:
        """Train from scratch, or from the weights that the network came with.

        Parameters
        ----------
        X : images
            See the class's notes.
        y : sequence of n labels
            A Categorical's order of categories is kept.
        sample_weight : array of n floats, optional
            Rows of weight 0 are left out.
        validation_data : (X, y), optional
            Images to judge each epoch by, instead of ``validation``.

        Returns
        -------
        self

        Raises
        ------
        InputError, ImageError
            If an argument, image or label cannot be used; the message names it.
        DivergedError
            If the loss is no longer finite; the best weights seen before are kept.
        """
        check_settings(self)
        images, weights, labels = self._training_rows(X, y, sample_weight)
        seed = self._seed()
        graph = self._resolved(images, labels)
        session = _Session(epochs_of(self.epochs), self.train, schedule=self.schedule)
        return self._train(graph, images, labels, weights, validation_data, seed, session)

    def update(
        self, X: Any, y: Any, sample_weight: Any = None, *, epochs: int = 1
    ) -> ImageClassifier:
        """Go on training a fitted model, on the same or on new images of the same classes.

        The optimiser begins afresh, so that a loaded model goes on as the live one would.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        epochs : int
            How many more.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        whole("epochs", epochs, 1)
        session = _Session(int(epochs), self._later(), schedule=self.schedule)
        return self._go_on(X, y, sample_weight, session)

    def _later(self) -> str | Sequence[str]:
        """Return what learns once the head has been trained alone."""
        return "all" if isinstance(self.train, str) and self.train != "head" else self.train

    def fine_tune(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: tuple[Any, Any] | None = None,
        **settings: Any,
    ) -> ImageClassifier:
        """Train a new model on other images or labels, from this one's weights.

        Parameters
        ----------
        X, y, sample_weight, validation_data
            As in `fit`; the labels may be others.
        **settings
            Settings that differ from this model's, such as ``epochs`` or ``train``, which is
            "head_then_all" by default: first the new head learns alone, for one epoch or as many
            as ``epochs=(3, 10)`` says, then everything.

        Returns
        -------
        ImageClassifier
            A new one; this one stays as it is.

        Examples
        --------
        >>> from diglot import ImageClassifier
        >>> images = np.random.default_rng(1).random((40, 8, 8))
        >>> first = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 20)
        >>> first.fine_tune(images, ["x", "y", "z", "z"] * 10, train="head").classes_.tolist()
        ['x', 'y', 'z']
        """
        check_is_fitted(self)
        kept = {
            "train": "head_then_all",
            "checkpoint": None,
            "checkpoint_every": None,
            "resume": None,
            "class_weight": None,
        }
        told = {**(self.network_.origin or {}), "fit": self.fingerprint()}
        network = replace(self.network_, origin=told)
        new = ImageClassifier(**{**self.get_params(deep=False), **kept, "network": network})
        if is_several(new.epochs) and settings.get("train", new.train) != "head_then_all":
            new.epochs = new.epochs[-1]
        return new.set_params(**settings).fit(X, y, sample_weight, validation_data)

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
            check_settings(self)
            known = None if classes is None else encode_labels(classes, len(classes)).classes
            images, weights, labels = self._training_rows(X, y, sample_weight, known)
            graph = self._resolved(images, labels)
            session = _Session(1, self._later(), fresh_optimiser=False)
            return self._train(graph, images, labels, weights, None, self._seed(), session)
        session = _Session(1, self._later(), fresh_optimiser=False)
        return self._go_on(X, y, sample_weight, session)

    def _resolved(self, images: ImageSet, labels: Labels) -> Graph:
        """Return the network for these images and classes, with the weights that it came with."""
        spec = input_spec(self.network, images, self.size, self.channels, self.resize)
        return resolve(self.network, spec, len(labels.classes))

    def _go_on(self, X: Any, y: Any, sample_weight: Any, session: _Session) -> ImageClassifier:
        images, weights, labels = self._training_rows(X, y, sample_weight, self.classes_)
        labels = replace(labels, ordered=self.ordered_)
        seen = int(self.history_["epoch"].max()) if len(self.history_) else 0
        session = replace(session, first_epoch=seen)
        return self._train(self.network_, images, labels, weights, None, self.seed_, session)

    def _training_rows(
        self, X: Any, y: Any, sample_weight: Any, known: np.ndarray | None = None
    ) -> tuple[ImageSet, np.ndarray, Labels]:
        if y is None:
            raise InputError("fit requires y to be passed, but the target y is None")
        images = self._images(X, reset=known is None or not hasattr(self, "network_"))
        labels = encode_labels(y, len(images), known)
        counts = np.ones(len(images))
        if sample_weight is not None:
            counts = _check_sample_weight(sample_weight, counts, dtype=np.float64)
            if (counts < 0).any():
                row = int(np.flatnonzero(counts < 0)[0]) + 1
                raise InputError(f"sample_weight must not be negative; it is in row {row}")
        if known is None:
            refuse_one_class(labels, counts)
        return images, counts, labels

    def _train(
        self,
        graph: Graph,
        images: ImageSet,
        labels: Labels,
        weights: np.ndarray,
        validation_data: tuple[Any, Any] | None,
        seed: int,
        session: _Session,
    ) -> ImageClassifier:
        given = (graph, images, labels, weights, validation_data, seed, session)
        with self._fit_of(*given) as (fit, labels):
            try:
                fitted = self._run_fit(fit, session)
            except DivergedError as error:
                if error.model is not None:
                    self._settled(error.model, labels, fit, session)
                    error.model = self
                raise
        self._settled(fitted, labels, fit, session)
        if not session.fresh_optimiser:
            self._runtime.optimiser_state = fitted.optimiser_state
        return self

    @contextmanager
    def _fit_of(
        self,
        graph: Graph,
        images: ImageSet,
        labels: Labels,
        weights: np.ndarray,
        validation_data: tuple[Any, Any] | None,
        seed: int,
        session: _Session,
    ) -> Iterator[tuple[Fit, Labels]]:
        """Decide everything about a fit; images are open as long as it goes on."""
        device = pick_device(self.device)
        given = graph.weights is not None
        if not given and session.train != "all":
            raise InputError(
                f"train={self.train!r} needs a network with weights, such as pretrained() returns; "
                f"{graph.name!r} has none"
            )
        counted = np.flatnonzero(weights > 0)
        images, weights = images.take(counted), weights[counted]
        codes = labels.codes[counted]
        with ExitStack() as opened:
            ready = opened.enter_context(self._prepared(images, graph))
            places, merged, digest = merge_repeats(ready.keys(), codes, weights)
            labels = replace(labels, codes=codes[places])
            merged = merged * class_weights(self.class_weight, labels, merged)[labels.codes]
            if not given:
                graph = standardised(graph, ready, places)
                ready.spec = graph.input
            rows, held = Rows(ready, places, labels.codes, merged / merged.mean()), None
            if validation_data is not None:
                held, more = self._held_out(validation_data, graph, labels.classes)
                opened.enter_context(held.images)
                digest = hashlib.sha256((digest + more).encode()).hexdigest()
            elif self.validation is not None and session.first_epoch == 0:
                chosen = split_validation(labels.codes, float(self.validation), seed)
                rows, held = rows[~chosen], rows[chosen]
            rates = self._rates(given)
            fit = Fit(
                graph=graph.with_weights(initial_weights(graph, seed)),
                train=rows,
                held=held,
                classes=len(labels.classes),
                recipe=self._recipe(seed),
                optimiser=optimiser(self),
                device=device,
                phases=plan_phases(
                    graph, session.train, session.epochs, rates, float(self.layer_decay)
                ),
                plan=self._plan(
                    seed,
                    judged=held is not None,
                    schedule=session.schedule,
                    warmup_epochs=float(self.warmup_epochs) if session.fresh_optimiser else 0.0,
                    first_epoch=session.first_epoch,
                ),
                run=self._run(
                    graph,
                    digest,
                    seed,
                    class_weight=jsonable_weights(self.class_weight),
                    classes=[str(c) for c in labels.classes.tolist()],
                ),
                views=None if self.views is None else int(self.views),
                memory_limit=self.memory_limit,
            )
            yield fit, labels

    def _run_fit(self, fit: Fit, session: _Session) -> Fitted:
        first = session.first_epoch == 0
        checkpoints, resume = self._checkpoints() if first else (None, None)
        state = None
        if not session.fresh_optimiser and not first:
            state = getattr(getattr(self, "_runtime", None), "optimiser_state", None)
        return run_fit(
            fit,
            reporter=reporter(self.verbose),
            callbacks=self.callbacks,
            checkpoints=checkpoints,
            resume=resume,
            optimiser_state=state,
        )

    def _held_out(
        self, data: tuple[Any, Any], graph: Graph, classes: np.ndarray
    ) -> tuple[Rows, str]:
        """Return the rows to judge by, and what identifies them."""
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise InputError("validation_data must be a pair: images and labels")
        images = self._images(data[0], reset=False)
        check_channels(images, graph.input)
        codes = encode_labels(data[1], len(images), classes).codes
        ready = self._prepared(images, graph)
        digest = hashlib.sha256(b"".join(ready.keys()) + codes.tobytes()).hexdigest()
        return Rows(ready, np.arange(len(images)), codes, np.ones(len(images))), digest

    def _settled(self, fitted: Fitted, labels: Labels, fit: Fit, session: _Session) -> None:
        """Set the fitted attributes."""
        self.classes_ = labels.classes
        self.ordered_ = labels.ordered
        self._settle(fitted, fit.plan.seed, fit.device, first_epoch=session.first_epoch)

    # ---- answers

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : images
            Zero images give zero rows.

        Returns
        -------
        ndarray of shape (n, k), float64
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        return np.exp(log_softmax(self._logits(X)))

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
        return self.classes_[self._logits(X).argmax(axis=1)]

    def _logits(self, X: Any) -> np.ndarray:
        images = self._images(X, reset=False, allow_empty=True)
        if not len(images):
            return np.empty((0, len(self.classes_)), np.float32)
        check_channels(images, self.network_.input)
        listener = reporter(self.verbose)
        batch = score_batch(self.network_)
        executor = self._kept("network", partial(open_executor, self.network_))
        with self._prepared(images, self.network_) as ready:
            listener.start("Predicting", len(images), "image")
            try:
                return score(executor, ready, batch, self.threads, listener.step)
            finally:
                listener.finish()

    def evaluate(self, X: Any, y: Any, *, level: float = 0.95) -> pd.DataFrame:
        """Judge the model on labelled images; every metric has an interval.

        Parameters
        ----------
        X : images
        y : sequence of n labels
            All of ``classes_``.
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            metric, class, estimate, lower, upper, method, n; see
            `diglot.evaluation.evaluate_classes`.
        """
        check_is_fitted(self)
        images = self._images(X, reset=False)
        labels = encode_labels(y, len(images), self.classes_)
        probabilities = self.predict_proba(images)
        return evaluate_classes(
            self.classes_[labels.codes],
            self.classes_[probabilities.argmax(axis=1)],
            probabilities,
            self.classes_.tolist(),
            level=level,
            ordered=self.ordered_,
        )

    def embed(self, X: Any, layer: str | None = None) -> np.ndarray:
        """Return a layer's output: features for models of your own.

        Parameters
        ----------
        X : images
        layer : str, optional
            A layer of ``network_.layers()``; by default what the head sees.

        Returns
        -------
        ndarray, float32
            (n, d), or (n, height, width, channels) where the layer keeps places.
        """
        check_is_fitted(self)
        images = self._images(X, reset=False, allow_empty=True)
        if len(images):
            check_channels(images, self.network_.input)
        return embed(
            self.network_,
            images,
            layer,
            memory_limit=self.memory_limit,
            threads=self.threads,
            verbose=self.verbose,
        )

    def transform(self, X: Any) -> np.ndarray:
        """Return the features that the head sees: the model as a step of a pipeline.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n, d), float32
            Where features have places, the averages over these.
        """
        features = self.embed(X)
        return features.mean(axis=(1, 2)) if features.ndim == 4 else features

    @property
    def _n_features_out(self) -> int:
        return int(self.network_.shape_of(self.network_.features or self.network_.head)[0])

    def find_learning_rate(
        self,
        X: Any,
        y: Any,
        *,
        lowest: float = 1e-5,
        highest: float = 1.0,
        steps: int = 100,
    ) -> LearningRates:
        """Try learning rates from low to high, and say which trains fastest.

        Nothing is fitted by it.

        Parameters
        ----------
        X, y : images and labels
            As in `fit`.
        lowest, highest : float
            Between which the rate grows from step to step.
        steps : int
            How many batches to train on; fewer where the loss explodes before.

        Returns
        -------
        LearningRates
            ``.table``, ``.suggestion`` and ``.plot()``.
        """
        check_settings(self)
        number("lowest", lowest, lambda v: v > 0, "a positive number")
        number("highest", highest, lambda v: v > lowest, "above lowest")
        steps = whole("steps", steps, 5)
        trial = clone(self).set_params(
            validation=None, patience=None, checkpoint=None, checkpoint_every=None, resume=None
        )
        images, weights, labels = trial._training_rows(X, y, None)
        graph, seed = trial._resolved(images, labels), trial._seed()
        session = _Session(epochs_of(trial.epochs), trial._later(), schedule="constant")
        with trial._fit_of(graph, images, labels, weights, None, seed, session) as (fit, _):
            return try_rates(fit, lowest, highest, steps, reporter(self.verbose))

    # ---- images

    def _images(self, X: Any, *, reset: bool, allow_empty: bool = False) -> ImageSet:
        if is_table(X) and not (allow_empty and is_empty_table(X)):
            X = validate_data(self, X, reset=reset, dtype="numeric")
        return as_images(X, allow_empty=allow_empty)

    # ---- settings

    def _rates(self, given: bool) -> tuple[float, float]:
        """Return the learning rate of a head alone, and of more than the head."""
        if self.learning_rate is not None:
            return float(self.learning_rate), float(self.learning_rate)
        new, head, on = _RATES[self.optimizer]
        return (head, on) if given else (new, new)

    def _recipe(self, seed: int) -> Recipe:
        return Recipe(
            batch_size=int(self.batch_size),
            seed=seed,
            augment=augment(self.augment),
            mixup=float(self.mixup),
            smoothing=float(self.label_smoothing),
            threads=self.threads,
        )

    # ---- files and words

    def _metadata(self) -> dict[str, Any]:
        return metadata(self)

    def summary(self) -> str:
        """Return what the model is and how it was trained, in a few lines."""
        check_is_fitted(self)
        graph, spec = self.network_, self.network_.input
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        classes = ", ".join(map(str, self.classes_.tolist()[:12]))
        more = ", ..." if len(self.classes_) > 12 else ""
        lines = [
            f"network      {graph.name}, {graph.parameter_count:,} parameters",
            f"input        {spec.height} x {spec.width} pixels, {spec.channels} channel(s)",
            f"classes      {len(self.classes_)}: {classes}{more}",
            f"trained      {len(self.history_)} epochs on {self.device_}, seed {self.seed_}"
            f" ({self.stopped_})",
            *(f"{name:13}{text}" for name, text in lineage(self).items()),
            f"last epoch   {last_measures(self.history_, names)}",
            f"fingerprint  {self.fingerprint()[:16]}",
        ]
        return "\n".join(lines)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # features are float32
        return tags
