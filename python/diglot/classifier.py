"""``ImageClassifier``: a scikit-learn estimator that trains a network on labelled images."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from diglot import storage
from diglot.augment import Augment, augment
from diglot.classification import (
    ClassificationTask,
    Labels,
    Recipe,
    Rows,
    class_weights,
    encode_labels,
    log_softmax,
    merge_repeats,
    prepared,
    score,
    split_validation,
    standardised,
    training_graph,
)
from diglot.engine import Device, Executor, Optimiser, open_executor, pick_device
from diglot.errors import (
    DivergedError,
    ImageError,
    InputError,
    ModelFileError,
    OutOfMemoryError,
)
from diglot.evaluation import evaluate_classes
from diglot.graph import Graph, InputSpec, initial_weights
from diglot.images import ImageSet, as_images
from diglot.images.memory import available_memory
from diglot.networks import card, resolve, smallest_size
from diglot.progress import reporter
from diglot.seeds import check_seed
from diglot.training import Checkpoints, Plan, Result, train
from diglot.training.checkpoints import find_checkpoint

_KIND = "classifier"
_RATES = {"sgd": 0.02, "adam": 0.001, "adamw": 0.001}
_UNSAVED = ("callbacks", "verbose", "checkpoint", "checkpoint_every", "resume")
_RUN_IGNORES = (*_UNSAVED, "network", "device", "memory_limit", "threads", "augment", "seed")
_CACHED_BYTES = 256 << 20  # of activations, in one batch of scoring


class _Runtime:
    """What a fitted model keeps for speed only: it is never copied nor stored."""

    def __init__(self) -> None:
        self.executor: Executor | None = None
        self.optimiser_state: dict[str, np.ndarray] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Runtime, ()

    def __deepcopy__(self, memo: Any) -> _Runtime:
        return _Runtime()


@dataclass(frozen=True)
class _Session:
    """One call of fit, update or partial_fit: how it differs from the others."""

    epochs: int
    first_epoch: int = 0
    schedule: str = "constant"
    fresh_optimiser: bool = True


class ImageClassifier(ClassifierMixin, BaseEstimator):
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
    resize : {"squash", "crop"}
        How an image of another size is brought to ``size``: as a whole, or its centre.
    epochs, batch_size : int
        Passes over the images, and images a step.
    optimizer : {"sgd", "adam", "adamw"}
        SGD has Nesterov's momentum.
    learning_rate : float, optional
        The largest; by default 0.02 for SGD, else 0.001.
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
        resize: str = "squash",
        epochs: int = 10,
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
        _check_settings(self)
        images, weights, labels = self._training_rows(X, y, sample_weight)
        spec = self._spec(images)
        seed = self._seed()
        graph = resolve(self.network, spec, len(labels.classes))
        session = _Session(int(self.epochs), schedule=self.schedule)
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
        _whole("epochs", epochs, 1)
        return self._go_on(X, y, sample_weight, _Session(int(epochs), schedule=self.schedule))

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
            _check_settings(self)
            known = None if classes is None else encode_labels(classes, len(classes)).classes
            images, weights, labels = self._training_rows(X, y, sample_weight, known)
            graph = resolve(self.network, self._spec(images), len(labels.classes))
            plan = _Session(1, fresh_optimiser=False)
            return self._train(graph, images, labels, weights, None, self._seed(), plan)
        return self._go_on(X, y, sample_weight, _Session(1, fresh_optimiser=False))

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
            _refuse_one_class(labels, counts)
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
        device = pick_device(self.device)
        given = graph.weights is not None
        counted = np.flatnonzero(weights > 0)
        images, weights = images.take(counted), weights[counted]
        codes = labels.codes[counted]
        _refuse_memory(graph, min(int(self.batch_size), len(images)), device)
        with prepared(images, graph, self.memory_limit, self.threads) as ready:
            places, merged, digest = merge_repeats(ready.keys(), codes, weights)
            labels = replace(labels, codes=codes[places])
            merged = merged * class_weights(self.class_weight, labels, merged)[labels.codes]
            merged = merged / merged.mean()
            if not given:
                graph = standardised(graph, ready, places)
                ready.spec = graph.input
            graph = graph.with_weights(initial_weights(graph, seed))
            training, held = Rows(ready, places, labels.codes, merged), None
            if validation_data is not None:
                held = self._held_out(validation_data, graph, labels.classes)
            elif self.validation is not None and session.first_epoch == 0:
                chosen = split_validation(labels.codes, float(self.validation), seed)
                training, held = training[~chosen], training[chosen]
            recipe = self._recipe(seed)
            task = ClassificationTask(
                training, held, len(labels.classes), recipe, _score_batch(graph)
            )
            executor = open_executor(graph, device)
            executor.prepare_training(training_graph(graph), self._optimiser())
            self._restore_optimiser(executor, session)
            try:
                result = self._loop(executor, task, digest, labels, seed, session, held is not None)
            except DivergedError as error:
                if error.history:
                    result = Result(error.history, len(error.history), "diverged")
                    self._settle(executor, graph, labels, result, seed, device, session)
                    error.model = self
                raise
            finally:
                if validation_data is not None and held is not None:
                    held.images.close()
        self._settle(executor, graph, labels, result, seed, device, session)
        if not session.fresh_optimiser:
            self._runtime.optimiser_state = executor.optimiser_state()
        return self

    def _held_out(self, data: tuple[Any, Any], graph: Graph, classes: np.ndarray) -> Rows:
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise InputError("validation_data must be a pair: images and labels")
        images = self._images(data[0], reset=False)
        self._check_channels(images, graph.input)
        labels = encode_labels(data[1], len(images), classes)
        ready = prepared(images, graph, self.memory_limit, self.threads)
        return Rows(ready, np.arange(len(images)), labels.codes, np.ones(len(images)))

    def _loop(
        self,
        executor: Executor,
        task: ClassificationTask,
        digest: str,
        labels: Labels,
        seed: int,
        session: _Session,
        judged: bool,
    ) -> Result:
        if self.patience is not None and not judged:
            raise InputError(
                "patience needs images to judge by: give validation=0.2 or validation_data="
            )
        checkpoints, resume = self._checkpoints() if session.first_epoch == 0 else (None, None)
        plan = Plan(
            epochs=session.epochs,
            learning_rate=self._rate(),
            schedule=session.schedule,
            warmup_epochs=float(self.warmup_epochs) if session.schedule != "constant" else 0.0,
            seed=seed,
            first_epoch=session.first_epoch,
            monitor=self.monitor if judged else None,
            patience=self.patience,
            restore_best=bool(self.restore_best),
        )
        return train(
            executor,
            task,
            plan,
            run=self._run(digest, labels, seed),
            reporter=reporter(self.verbose),
            callbacks=self.callbacks,
            checkpoints=checkpoints,
            resume=resume,
        )

    def _run(self, digest: str, labels: Labels, seed: int) -> dict[str, Any]:
        """Return what identifies the fit: a checkpoint of another one is refused."""
        settings = {
            k: _jsonable(v) for k, v in self.get_params(deep=False).items() if k not in _RUN_IGNORES
        }
        changes = augment(self.augment)
        return {
            **settings,
            "network": self.network if isinstance(self.network, str) else "own",
            "augment": None if changes is None else changes.to_dict(),
            "class_weight": _jsonable_weights(self.class_weight),
            "classes": [str(c) for c in labels.classes.tolist()],
            "seed": seed,
            "data": digest,
        }

    def _checkpoints(self) -> tuple[Checkpoints | None, str | None]:
        folder = self.checkpoint
        resume = folder if self.resume is True else self.resume or None
        if self.resume is True and folder is None:
            raise InputError("resume=True needs checkpoint=, the folder to look in")
        if resume is not None and folder is None and Path(resume).suffix == "":
            folder = resume
        if folder is None:
            return None, None if resume is None else os.fspath(resume)
        points = Checkpoints(Path(folder), self.checkpoint_every)
        return points, None if resume is None else os.fspath(resume)

    def _seed(self) -> int:
        """Return the seed; a fit that is resumed without one takes its checkpoint's."""
        if self.seed is None and self.resume:
            place = self.checkpoint if self.resume is True else self.resume
            found = find_checkpoint(place) if place is not None else None
            if found is not None:
                run = storage.read_file(found)[1].get("run")
                return check_seed(run.get("seed") if isinstance(run, dict) else None)
        return check_seed(self.seed)

    def _restore_optimiser(self, executor: Executor, session: _Session) -> None:
        state = getattr(getattr(self, "_runtime", None), "optimiser_state", None)
        if not session.fresh_optimiser and session.first_epoch and state is not None:
            executor.load_optimiser_state(state)

    def _settle(
        self,
        executor: Executor,
        graph: Graph,
        labels: Labels,
        result: Result,
        seed: int,
        device: Device,
        session: _Session,
    ) -> None:
        """Set the fitted attributes."""
        history = pd.DataFrame(result.history)
        if session.first_epoch:
            history = pd.concat([self.history_, history], ignore_index=True)
        if len(history):
            history["epoch"] = history["epoch"].astype(int)
        else:
            history = pd.DataFrame({"epoch": np.array([], int), "loss": [], "accuracy": []})
        self.classes_ = labels.classes
        self.ordered_ = labels.ordered
        self.network_ = graph.with_weights(executor.weights())
        self.history_ = history
        self.best_epoch_ = result.best_epoch
        self.stopped_ = result.stopped
        self.seed_ = seed
        self.device_ = str(device)
        self._runtime = _Runtime()
        self._runtime.executor = executor

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
        self._check_channels(images, self.network_.input)
        listener = reporter(self.verbose)
        batch = _score_batch(self.network_)
        with prepared(images, self.network_, self.memory_limit, self.threads) as ready:
            listener.start("Predicting", len(images), "image")
            try:
                return score(self._executor(), ready, batch, self.threads, listener.step)
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

    def _executor(self) -> Executor:
        if self._runtime.executor is None:
            device = pick_device(self.device if self.device != self.device_ else "auto")
            self._runtime.executor = open_executor(self.network_, device)
        return self._runtime.executor

    # ---- images

    def _images(self, X: Any, *, reset: bool, allow_empty: bool = False) -> ImageSet:
        if _is_table(X) and not (allow_empty and _is_empty_table(X)):
            X = validate_data(self, X, reset=reset, dtype="numeric")
        return as_images(X, allow_empty=allow_empty)

    def _spec(self, images: ImageSet) -> InputSpec:
        """Decide the input's size and channels; a rule for each, no guess."""
        given = self.network if isinstance(self.network, Graph) else None
        fixed = given is not None and given.weights is not None
        channels = given.input.channels if fixed else _channels(images, self.channels)
        height, width = self._size(images, given)
        details = {"resize": self.resize, "convert_colour": self.channels is not None}
        if fixed:
            return replace(given.input, height=height, width=width, **details)
        return InputSpec(height, width, channels, **details)

    def _size(self, images: ImageSet, given: Graph | None) -> tuple[int, int]:
        if self.size is not None:
            return _pair(self.size)
        if given is not None:
            return given.input.height, given.input.width
        sizes = images.sizes()
        other = np.flatnonzero((sizes != sizes[0]).any(axis=1))
        if len(other):
            a, b = sizes[0], sizes[other[0]]
            raise ImageError(
                f"images differ in size: {images.name(0)} is {a[0]} x {a[1]} pixels, "
                f"{images.name(int(other[0]))} is {b[0]} x {b[1]}; give the size to bring them "
                "to, such as size=64"
            )
        height, width = int(sizes[0][0]), int(sizes[0][1])
        name = self.network if isinstance(self.network, str) else None
        if name is None or name.endswith(".json"):
            return height, width
        if min(height, width) < smallest_size(name):
            return card(name).size
        return height, width

    def _check_channels(self, images: ImageSet, spec: InputSpec) -> None:
        if images.is_files or spec.convert_colour:
            return  # files are converted, or refused one by one when they are read
        have = images.channels()
        wrong = np.flatnonzero(have != spec.channels)
        if len(wrong):
            row = int(wrong[0])
            raise ImageError(
                f"{images.name(row)} has {have[row]} channel(s), the model was trained on "
                f"{spec.channels}: convert the images, or train with channels="
            )

    # ---- settings

    def _rate(self) -> float:
        return _RATES[self.optimizer] if self.learning_rate is None else float(self.learning_rate)

    def _optimiser(self) -> Optimiser:
        return Optimiser(
            self.optimizer,
            momentum=float(self.momentum),
            weight_decay=float(self.weight_decay),
            clip_norm=None if self.clip_norm is None else float(self.clip_norm),
        )

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

    def to_bytes(self) -> bytes:
        """Return the bytes of the model file."""
        check_is_fitted(self)
        return storage.encode(self.network_.weights, self._metadata())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to one safetensors file, from which either language loads it.

        Parameters
        ----------
        path : path
            Replaced whole if it exists.

        Returns
        -------
        Path
        """
        check_is_fitted(self)
        return storage.write_file(path, self.network_.weights, self._metadata())

    def _metadata(self) -> dict[str, Any]:
        settings = {
            k: v
            for k, v in ((k, _jsonable(v)) for k, v in self.get_params(deep=False).items())
            if k not in (*_UNSAVED, "network", "augment", "class_weight", "seed")
        }
        changes = augment(self.augment)
        names = getattr(self, "feature_names_in_", None)
        return {
            "kind": _KIND,
            "diglot": sys.modules["diglot"].__version__,  # the root is a room above
            "graph": self.network_.to_dict(),
            "network": self.network if isinstance(self.network, str) else None,
            "classes": {
                "type": _class_type(self.classes_),
                "values": self.classes_.tolist(),
                "ordered": bool(self.ordered_),
            },
            "settings": {
                **settings,
                "augment": None if changes is None else changes.to_dict(),
                "seed": self.seed,
            },
            "class_weight": _jsonable_weights(self.class_weight),
            "history": {
                "columns": list(self.history_.columns),
                "rows": self.history_.to_numpy(np.float64).tolist(),
            },
            "best_epoch": self.best_epoch_,
            "stopped": self.stopped_,
            "seed": self.seed_,
            "device": self.device_,
            "features": getattr(self, "n_features_in_", None),
            "feature_names": None if names is None else [str(n) for n in names],
        }

    def fingerprint(self) -> str:
        """Return the SHA-256 of the weights, in hexadecimal."""
        check_is_fitted(self)
        return storage.fingerprint(self.network_.weights)

    def summary(self) -> str:
        """Return what the model is and how it was trained, in a few lines."""
        check_is_fitted(self)
        graph, spec = self.network_, self.network_.input
        last = self.history_.iloc[-1].to_dict() if len(self.history_) else {}
        measured = ", ".join(
            f"{name} {last[name]:.4f}"
            for name in ("loss", "accuracy", "val_loss", "val_accuracy")
            if name in last
        )
        classes = ", ".join(map(str, self.classes_.tolist()[:12]))
        more = ", ..." if len(self.classes_) > 12 else ""
        lines = [
            f"network      {graph.name}, {graph.parameter_count:,} parameters",
            f"input        {spec.height} x {spec.width} pixels, {spec.channels} channel(s)",
            f"classes      {len(self.classes_)}: {classes}{more}",
            f"trained      {len(self.history_)} epochs on {self.device_}, seed {self.seed_}"
            f" ({self.stopped_})",
            f"last epoch   {measured}",
            f"fingerprint  {self.fingerprint()[:16]}",
        ]
        return "\n".join(lines)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def load(path: str | os.PathLike[str]) -> ImageClassifier:
    """Load a model from its file.

    Parameters
    ----------
    path : path
        What `ImageClassifier.save` or R's ``save_model()`` wrote.

    Returns
    -------
    ImageClassifier
        Fitted.

    Raises
    ------
    ModelFileError
        If it is missing, damaged, newer than this version, or no model.

    Examples
    --------
    >>> import tempfile
    >>> from diglot import ImageClassifier, load
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(model.save(f"{folder}/model.safetensors")).fingerprint() == model.fingerprint()
    True
    """
    return _revived(*storage.read_file(path), name=os.fspath(path))


def loads(data: bytes) -> ImageClassifier:
    """Load a model from the bytes of its file.

    Parameters
    ----------
    data : bytes
        What `ImageClassifier.to_bytes` returned.

    Returns
    -------
    ImageClassifier
        Fitted.

    Examples
    --------
    >>> from diglot import ImageClassifier, loads
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> loads(model.to_bytes()).classes_.tolist()
    ['a', 'b']
    """
    return _revived(*storage.decode(data), name="the data")


def _revived(
    tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str
) -> ImageClassifier:
    if meta.get("kind") != _KIND:
        raise ModelFileError(f"{name} holds no classifier but a {meta.get('kind')!r}")
    try:
        graph = Graph.from_dict(meta["graph"]).with_weights(
            {n: np.asarray(w, np.float32) for n, w in tensors.items()}
        )
        settings = dict(meta["settings"])
        classes = meta["classes"]
        values = np.array(classes["values"], _CLASS_TYPES[classes["type"]])
        known = ImageClassifier().get_params(deep=False)
        model = ImageClassifier(**{k: v for k, v in settings.items() if k in known})
        model.network = meta["network"] or graph.without_weights()
        if isinstance(model.size, list):
            model.size = tuple(model.size)
        if meta["class_weight"] is not None:
            kept = meta["class_weight"]
            model.class_weight = kept if isinstance(kept, str) else {k: w for k, w in kept}
        columns, rows = meta["history"]["columns"], meta["history"]["rows"]
        history = pd.DataFrame(np.array(rows, np.float64).reshape(-1, len(columns)), None, columns)
        history["epoch"] = history["epoch"].astype(int)
        model.classes_, model.ordered_ = values, bool(classes["ordered"])
        model.network_, model.history_ = graph, history
        model.best_epoch_, model.stopped_ = int(meta["best_epoch"]), str(meta["stopped"])
        model.seed_, model.device_ = int(meta["seed"]), str(meta["device"])
        if meta.get("features") is not None:
            model.n_features_in_ = int(meta["features"])
        if meta.get("feature_names") is not None:
            model.feature_names_in_ = np.array(meta["feature_names"], object)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{name} is a damaged model file: {error!r}") from error
    if graph.output_shape != (len(values),) or len(set(values.tolist())) != len(values):
        raise ModelFileError(f"{name} is a damaged model file: its classes do not fit its network")
    model._runtime = _Runtime()
    return model


_CLASS_TYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}


def _class_type(classes: np.ndarray) -> str:
    kinds = {type(c) for c in classes.tolist()}
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str)):
        if kinds == {kind}:
            return name
    raise InputError(
        f"classes of the type {sorted(k.__name__ for k in kinds)} cannot be stored: use text or "
        "numbers as labels"
    )


def _is_table(X: Any) -> bool:
    """Whether rows are numbers side by side, not images or paths."""
    if isinstance(X, ImageSet):
        return False
    if isinstance(X, pd.DataFrame):
        return "image" not in X.columns and all(map(pd.api.types.is_numeric_dtype, X.dtypes))
    if hasattr(X, "toarray") or (hasattr(X, "dtype") and getattr(X, "ndim", 0) in (0, 2)):
        return True
    if isinstance(X, pd.Series) or hasattr(X, "ndim"):
        return False
    if hasattr(X, "__array__"):
        return np.asarray(X).ndim in (0, 2)
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], (list, tuple)):
        return np.ndim(X[0][0]) == 0 if X[0] else True
    return False


def _is_empty_table(X: Any) -> bool:
    return getattr(X, "shape", (1,))[0] == 0 and not isinstance(X, pd.DataFrame)


def _refuse_one_class(labels: Labels, weights: np.ndarray) -> None:
    used = np.unique(labels.codes[weights > 0])
    if len(used) < 2:
        name = labels.classes[used[0]] if len(used) else "none"
        raise InputError(
            f"only one class is there ({name!r}), a classifier needs at least two: see whether "
            "labels got lost"
        )


def _channels(images: ImageSet, given: int | None) -> int:
    if given is not None:
        return _whole("channels", given, 1)
    found = images.channels()
    if images.is_files and set(np.unique(found)) <= {1, 3}:
        return int(found.max())  # grey files among colour ones are read as colour
    other = np.flatnonzero(found != found[0])
    if len(other):
        raise ImageError(
            f"images differ in channels: {images.name(0)} has {found[0]}, "
            f"{images.name(int(other[0]))} has {found[other[0]]}; give channels=1 or channels=3"
        )
    return int(found[0])


def _pair(size: Any) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else (size, size)
    if len(pair) != 2:
        raise InputError(f"size must be one number or (height, width), not {size!r}")
    return _whole("size", pair[0], 1), _whole("size", pair[1], 1)


def _score_batch(graph: Graph) -> int:
    """Return how many images to score at once: many small ones, few large ones."""
    fitting = _CACHED_BYTES // max(1, 4 * graph.activation_count)
    return int(min(256, max(16, fitting // 16 * 16)))


def _refuse_memory(graph: Graph, batch: int, device: Device) -> None:
    """Refuse a batch whose activations and gradients cannot fit, before it takes the machine."""
    if device.kind != "cpu":
        return  # a GPU says so itself
    image = 4 * 2 * graph.activation_count
    fixed = 4 * 4 * graph.parameter_count
    free = available_memory()
    if fixed + batch * image > free:
        fits = max(0, (free - fixed) // image)
        advice = f"try batch_size={fits}" if fits else "take a smaller network or size"
        raise OutOfMemoryError(
            f"a batch of {batch} images needs about {(fixed + batch * image) / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} GiB of memory are free: {advice}"
        )


def _whole(name: str, value: Any, least: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if isinstance(value, float) and value.is_integer():
        whole = True
    if not whole or value < least:
        raise InputError(f"{name} must be a whole number from {least}, not {value!r}")
    return int(value)


def _number(name: str, value: Any, allowed: Callable[[float], bool], words: str) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not allowed(float(value)):
        raise InputError(f"{name} must be {words}, not {value!r}")


def _check_settings(model: ImageClassifier) -> None:
    """Refuse settings that cannot be, each by name, before any image is read."""
    for name in ("epochs", "batch_size"):
        _whole(name, getattr(model, name), 1)
    for name in ("patience", "checkpoint_every", "threads"):
        if getattr(model, name) is not None:
            _whole(name, getattr(model, name), 1)
    if model.learning_rate is not None:
        _number("learning_rate", model.learning_rate, lambda v: v > 0, "a positive number")
    if model.clip_norm is not None:
        _number("clip_norm", model.clip_norm, lambda v: v > 0, "a positive number or None")
    if model.validation is not None:
        _number("validation", model.validation, lambda v: 0 < v < 1, "between 0 and 1, or None")
    for name in ("weight_decay", "mixup", "warmup_epochs"):
        _number(name, getattr(model, name), lambda v: v >= 0, "a number from 0")
    for name in ("momentum", "label_smoothing"):
        _number(name, getattr(model, name), lambda v: 0 <= v < 1, "a number from 0 to below 1")
    if model.monitor not in ("val_loss", "val_accuracy"):
        raise InputError(f'monitor must be "val_loss" or "val_accuracy", not {model.monitor!r}')
    if model.checkpoint_every is not None and model.checkpoint is None and not model.resume:
        raise InputError("checkpoint_every needs checkpoint=, the folder to save in")
    from diglot.training import learning_rate

    learning_rate(model.schedule, 1.0, 0, 1)
    model._optimiser()
    augment(model.augment)
    check_seed(model.seed)
    reporter(model.verbose)


def _jsonable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if hasattr(value, "item") and np.ndim(value) == 0:
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value if isinstance(value, (bool, int, float, str)) else None


def _jsonable_weights(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    return [[_jsonable(k), float(w)] for k, w in given.items()]
