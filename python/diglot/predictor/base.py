"""``ImagePredictor``: what every estimator does that learns one outcome of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from diglot.augment import augment
from diglot.batching import Sparing, score_batch
from diglot.builder import initial_weights
from diglot.engine import Device, Optimiser, Scorer, open_executor
from diglot.errors import DivergedError, InputError
from diglot.estimators.base import NetworkEstimator, last_measures, place_told
from diglot.estimators.inputs import (
    check_channels,
    checked_table,
    input_spec,
    is_empty_table,
    is_table,
    standardised,
)
from diglot.estimators.phases import Fitted, plan_phases
from diglot.estimators.precision import WithPrecision, with_precision
from diglot.estimators.settings import epochs as epochs_of
from diglot.estimators.settings import is_several, number, optimiser, whole
from diglot.graph import COVARIATES, Graph
from diglot.images import ImageSet, as_images
from diglot.networks import resolve
from diglot.outcomes import Design, Outcome, bare, with_covariates
from diglot.predictor.coefficients import WithCoefficients
from diglot.predictor.explained import Explained
from diglot.predictor.fitting import Fit, run_fit, try_rates
from diglot.predictor.lineage import lineage
from diglot.predictor.model_file import metadata
from diglot.predictor.observed import Observed, Session
from diglot.predictor.precision import calibrate_int8
from diglot.predictor.rows import Rows, merge_repeats, split_validation
from diglot.predictor.settings import check_settings
from diglot.predictor.task import Recipe, score
from diglot.progress import reporter
from diglot.training import LearningRates
from diglot.weighted import embed

if TYPE_CHECKING:
    from typing_extensions import Self

# By optimiser: where all begins anew, where a head alone does, and where all goes on.
_RATES = {"sgd": (0.02, 0.02, 0.01), "adam": (1e-3, 1e-3, 1e-4), "adamw": (1e-3, 1e-3, 1e-4)}


class ImagePredictor(Explained, WithCoefficients, WithPrecision, NetworkEstimator):
    """An estimator that learns one outcome of each image; a subclass says which.

    Attributes
    ----------
    outcome_ : Outcome
        What was learned.
    design_ : Design or None
        How covariates become numbers.
    int8_ : Int8 or None
        What scoring with 8-bit integers needs, and how often it answers as float32 does.
    n_images_ : int or None
        How many images were learned from, those of later training counted, too; None where an
        older file does not tell.
    """

    kind: str  # of the model file
    monitors: tuple[str, ...] = ("val_loss",)  # what may decide which epoch is best

    # ---- what a subclass says

    def _encoded(self, y: Any, rows: int) -> tuple[Outcome, np.ndarray]:
        """Return what is to be learned, and each row's value as the outcome codes it."""
        raise NotImplementedError

    def _recoded(self, y: Any, rows: int, outcome: Outcome) -> np.ndarray:
        """Return values in the code of an outcome that is known."""
        raise NotImplementedError

    def _reweighted(self, outcome: Outcome, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return what each row's weight is multiplied by."""
        return np.ones(len(weights))

    def _counted(self, outcome: Outcome, values: np.ndarray, weights: np.ndarray) -> Outcome:
        """Return the outcome as the rows that count have it; refuse those that teach nothing."""
        return outcome

    def _restored(self, meta: Any, graph: Graph) -> bool:
        """Set what a model file says of the outcome, and tell whether it fits the network."""
        raise NotImplementedError

    def _told(self) -> dict[str, Any]:
        """Return what a model file says of the outcome."""
        raise NotImplementedError

    # ---- training

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> Self:
        """Train from scratch, or from the weights that the network came with.

        Parameters
        ----------
        X : images
            See the class's notes.
        y : sequence of n outcomes
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
            If an argument, image or outcome cannot be used; the message names it.
        DivergedError
            If the loss is no longer finite; the best weights seen before are kept.
        """
        check_settings(self)
        seen = self._observed(X, y, sample_weight)
        seed = self._seed()
        graph = self._resolved(seen)
        session = Session(epochs_of(self.epochs), self.train, schedule=self.schedule)
        return self._train(graph, seen, validation_data, seed, session)

    def update(self, X: Any, y: Any, sample_weight: Any = None, *, epochs: int = 1) -> Self:
        """Go on training a fitted model, on the same or on new images.

        The optimiser begins afresh, so that a loaded model goes on as the live one would.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; classes must be known.
        epochs : int
            How many more.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        whole("epochs", epochs, 1)
        session = Session(int(epochs), self._later(), schedule=self.schedule)
        return self._go_on(X, y, sample_weight, session)

    def _once(self, X: Any, y: Any, sample_weight: Any, outcome: Outcome | None = None) -> Self:
        """Go once through rows at a constant rate; the optimiser's state lives on between calls.

        ``outcome`` is what a first call is told to be learned.
        """
        if hasattr(self, "network_"):
            session = Session(1, self._later(), fresh_optimiser=False)
            return self._go_on(X, y, sample_weight, session)
        check_settings(self)
        session = Session(1, self._later(), fresh_optimiser=False)
        seen = self._observed(X, y, sample_weight, outcome)
        return self._train(self._resolved(seen), seen, None, self._seed(), session)

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
    ) -> Self:
        """Train a new model on other images or outcomes, from this one's weights.

        Parameters
        ----------
        X, y, sample_weight, validation_data
            As in `fit`; the outcomes may be others.
        **settings
            Settings that differ from this model's, such as ``epochs`` or ``train``, which is
            "head_then_all" by default: first the new head learns alone, for one epoch or as many
            as ``epochs=(3, 10)`` says, then everything.

        Returns
        -------
        ImagePredictor
            A new one of the same kind; this one stays as it is.

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
        }
        told = {**(self.network_.origin or {}), "fit": self.fingerprint()}
        network = replace(self.network_, origin=told)
        new = type(self)(**{**self.get_params(deep=False), **kept, "network": network})
        if "covariates" in settings:
            chosen = settings["covariates"] or ()
            new.contrasts = {n: c for n, c in (self.contrasts or {}).items() if n in chosen} or None
        if hasattr(new, "class_weight"):
            new.class_weight = None
        if is_several(new.epochs) and settings.get("train", new.train) != "head_then_all":
            new.epochs = new.epochs[-1]
        return new.set_params(**settings).fit(X, y, sample_weight, validation_data)

    def _resolved(self, seen: Observed) -> Graph:
        """Return the network for these rows, with the weights that it came with."""
        given = bare(self.network) if isinstance(self.network, Graph) else self.network
        spec = input_spec(given, seen.images, self.size, self.channels, self.resize)
        graph = resolve(given, spec, seen.outcome.width)
        if seen.design is not None:
            graph = with_covariates(graph, len(seen.design.terms))
        return seen.outcome.extended(graph)

    def _go_on(self, X: Any, y: Any, sample_weight: Any, session: Session) -> Self:
        seen = self._observed(X, y, sample_weight, self.outcome_)
        first = int(self.history_["epoch"].max()) if len(self.history_) else 0
        session = replace(session, first_epoch=first)
        return self._train(self.network_, seen, None, self.seed_, session)

    def _observed(
        self, X: Any, y: Any, sample_weight: Any, outcome: Outcome | None = None
    ) -> Observed:
        """Check and code what there is to learn from, an outcome that is known in its own code."""
        if y is None:
            raise InputError("fit requires y to be passed, but the target y is None")
        later = outcome is not None and hasattr(self, "network_")
        images = self._images(X, reset=not later)
        fresh = outcome is None
        if fresh:
            outcome, values = self._encoded(y, len(images))
        else:
            values = self._recoded(y, len(images), outcome)
        counts = np.ones(len(images))
        if sample_weight is not None:
            _refuse_no_weight(sample_weight)
            counts = _check_sample_weight(sample_weight, counts, dtype=np.float64)
            if (counts < 0).any():
                row = int(np.flatnonzero(counts < 0)[0]) + 1
                raise InputError(f"sample_weight must not be negative; it is in row {row}")
        if fresh:
            outcome = self._counted(outcome, values, counts)
        design = self.design_ if later else self._design(X, counts)
        beside = None if design is None else design.matrix(self._table(X))
        return Observed(images, design, beside, outcome, values, counts)

    def _design(self, X: Any, weights: np.ndarray) -> Design | None:
        """Decide how covariates become numbers."""
        if not self.covariates:
            if self.contrasts:
                raise InputError("contrasts= goes with covariates=, which is not given")
            return None
        return Design.of(self._table(X), list(self.covariates), self.contrasts, weights)

    def _table(self, X: Any) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            raise InputError(
                f"covariates={list(self.covariates)!r} are columns beside the images: X must be a "
                f"data frame with them and a column 'image', not {type(X).__name__}"
            )
        return X

    def _beside(self, X: Any) -> np.ndarray | None:
        """Return new images' covariates as the network takes them."""
        return None if self.design_ is None else self.design_.matrix(self._table(X))

    def _train(
        self,
        graph: Graph,
        seen: Observed,
        validation_data: tuple[Any, Any] | None,
        seed: int,
        session: Session,
    ) -> Self:
        with self._fit_of(graph, seen, validation_data, seed, session) as fit:
            try:
                fitted = self._run_fit(fit, session)
            except DivergedError as error:
                if error.model is not None:
                    self._settled(error.model, seen, fit, session)
                    error.model = self
                raise
            self._settled(fitted, seen, fit, session)
            if session.fresh_optimiser:
                measure = partial(calibrate_int8, fitted.graph, fit, self.threads)
                self._calibrate(fitted.graph, self.stopped_, measure)
        if not session.fresh_optimiser:
            self._runtime.optimiser_state = fitted.optimiser_state
        return self

    @contextmanager
    def _fit_of(
        self,
        graph: Graph,
        seen: Observed,
        validation_data: tuple[Any, Any] | None,
        seed: int,
        session: Session,
    ) -> Iterator[Fit]:
        """Decide everything about a fit; images are open as long as it goes on."""
        device = with_precision(self._picked_device(), self.precision)
        given = graph.weights is not None
        if not given and session.train != "all":
            raise InputError(
                f"train={self.train!r} needs a network with weights, such as pretrained() returns; "
                f"{graph.name!r} has none"
            )
        counted = seen.take(np.flatnonzero(seen.weights > 0))
        with ExitStack() as opened:
            ready = opened.enter_context(self._prepared(counted.images, graph))
            places, merged, digest = merge_repeats(
                ready.keys(), counted.values, counted.weights, counted.covariates
            )
            values = counted.values[places]
            merged = merged * self._reweighted(seen.outcome, values, merged)
            if not given:
                graph = standardised(graph, ready, places)
                ready.spec = graph.input
            beside = None if counted.covariates is None else counted.covariates[places]
            rows, held = Rows(ready, places, values, merged / merged.mean(), beside), None
            if validation_data is not None:
                held, more = self._held_out(validation_data, graph, seen)
                opened.enter_context(held.images)
                digest = hashlib.sha256((digest + more).encode()).hexdigest()
            elif self.validation is not None and session.first_epoch == 0:
                strata = seen.outcome.strata(values)
                chosen = split_validation(strata, float(self.validation), seed)
                rows, held = rows[~chosen], rows[chosen]
            rates = self._rates(given)
            yield Fit(
                graph=graph.with_weights(initial_weights(graph, seed)),
                train=rows,
                held=held,
                outcome=seen.outcome,
                recipe=self._recipe(seed),
                optimiser=self._optimiser(),
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
                run=self._run(graph, digest, seed, **self._identity(seen)),
                views=None if self.views is None else int(self.views),
                memory_limit=self.memory_limit,
            )

    def _identity(self, seen: Observed) -> dict[str, Any]:
        """Return what of the outcome and the covariates identifies a fit."""
        return {} if seen.design is None else {"design": seen.design.to_dict()}

    def _run_fit(self, fit: Fit, session: Session) -> Fitted:
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

    def _held_out(self, data: tuple[Any, Any], graph: Graph, seen: Observed) -> tuple[Rows, str]:
        """Return the rows to judge by, and what identifies them."""
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise InputError("validation_data must be a pair: images and what they show")
        images = self._images(data[0], reset=False)
        check_channels(images, graph.input)
        values = self._recoded(data[1], len(images), seen.outcome)
        beside = None if seen.design is None else seen.design.matrix(self._table(data[0]))
        ready = self._prepared(images, graph)
        parts = [*ready.keys(), values.tobytes(), b"" if beside is None else beside.tobytes()]
        digest = hashlib.sha256(b"".join(parts)).hexdigest()
        ones = np.ones(len(images))
        return Rows(ready, np.arange(len(images)), values, ones, beside), digest

    def _settled(self, fitted: Fitted, seen: Observed, fit: Fit, session: Session) -> None:
        """Set the fitted attributes."""
        self.int8_ = None  # that was of other weights
        self.outcome_, self.design_ = seen.outcome, seen.design
        counted = int((seen.weights > 0).sum())
        before = getattr(self, "n_images_", None) if session.first_epoch else 0
        self.n_images_ = None if before is None else before + counted
        self._settle(fitted, fit.plan.seed, fit.device, first_epoch=session.first_epoch)

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
        X, y : images and outcomes
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
        seen = trial._observed(X, y, None)
        graph, seed = trial._resolved(seen), trial._seed()
        session = Session(epochs_of(trial.epochs), trial._later(), schedule="constant")
        with trial._fit_of(graph, seen, None, seed, session) as fit:
            return try_rates(fit, lowest, highest, steps, reporter(self.verbose))

    # ---- answers

    def _scores(self, X: Any) -> np.ndarray:
        """Return the network's outputs for images: (n, width), float32."""
        return self._scored(X)[0]

    def _scored(self, X: Any, *, keyed: bool = False) -> tuple[np.ndarray, list[bytes]]:
        """Return the outputs and, where ``keyed``, what stands for each image's content."""
        check_is_fitted(self)
        images = self._images(X, reset=False, allow_empty=True)
        if not len(images):
            return np.empty((0, *self.network_.output_shape), np.float32), []
        check_channels(images, self.network_.input)
        beside = self._beside(X)
        listener = reporter(self.verbose)
        batch = score_batch(self.network_)
        executor = self._scorer()
        with self._prepared(images, self.network_, cache=False) as ready:
            if keyed:
                ready.keep_keys()
            listener.start("Predicting", len(images), "image")
            try:
                scores = score(executor, ready, batch, self.threads, listener.step, beside)
                return scores, ready.keys() if keyed else []
            finally:
                listener.finish()

    def _scorer(self) -> Scorer:
        """Return what answers: with integers where that is asked for, or agrees and is faster."""

        def floats(_: Device | None = None) -> Scorer:
            return self._kept("network", partial(_sparing, self.network_))

        integers = self._integers(self.network_, floats)
        return floats() if integers is None else integers

    def _embedder(self) -> Scorer:
        """Return what computes the features that the head sees, as `_scorer` answers."""
        part = self.network_.up_to(self._last_features)

        def floats(_: Device | None = None) -> Scorer:
            return self._kept("features", partial(_sparing, part))

        integers = self._integers(part, floats, "features")
        return floats() if integers is None else integers

    @property
    def _last_features(self) -> str:
        return self.network_.features or self.network_.head

    def embed(self, X: Any, layer: str | None = None) -> np.ndarray:
        """Return a layer's output: features for models of your own.

        Parameters
        ----------
        X : images
            With their covariates where the layer comes after these.
        layer : str, optional
            A layer of ``network_.layers()``; by default what the head sees, and that with
            integers where ``predict`` answers with integers.

        Returns
        -------
        ndarray, float32
            (n, d), or (n, height, width, channels) where the layer keeps places.
        """
        check_is_fitted(self)
        images = self._images(X, reset=False, allow_empty=True)
        if len(images):
            check_channels(images, self.network_.input)
        layer = self._last_features if layer is None else layer
        part = self.network_.up_to(layer)
        beside = None
        if COVARIATES in part.inputs:
            beside = {COVARIATES: self._beside(X) if len(images) else np.empty((0, 0))}
        executor = None
        if len(images):
            usual = layer == self._last_features
            executor = self._embedder() if usual else _sparing(part, self._device())
        return embed(
            self.network_,
            images,
            layer,
            executor=executor,
            beside=beside,
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
        return int(self.network_.shape_of(self._last_features)[0])

    # ---- images and settings

    def _images(self, X: Any, *, reset: bool, allow_empty: bool = False) -> ImageSet:
        if is_table(X) and not (allow_empty and is_empty_table(X)):
            X = checked_table(self, X, reset=reset)
        return as_images(X, allow_empty=allow_empty)

    def _rates(self, given: bool) -> tuple[float, float]:
        """Return the learning rate of a head alone, and of more than the head."""
        if self.learning_rate is not None:
            return float(self.learning_rate), float(self.learning_rate)
        new, head, on = _RATES[self.optimizer]
        return (head, on) if given else (new, new)

    def _optimiser(self) -> Optimiser:
        return optimiser(self)

    def _recipe(self, seed: int) -> Recipe:
        return Recipe(
            batch_size=int(self.batch_size),
            seed=seed,
            augment=augment(self.augment),
            mixup=float(self.mixup),
            smoothing=float(getattr(self, "label_smoothing", 0.0)),
            threads=self.threads,
        )

    # ---- files and words

    def _metadata(self) -> dict[str, Any]:
        return metadata(self)

    def summary(self) -> str:
        """Return what the model is and how it was trained, in a few lines."""
        check_is_fitted(self)
        graph, spec, measure = self.network_, self.network_.input, self.outcome_.measure
        names = ("loss", measure, "val_loss", f"val_{measure}")
        beside = {} if self.design_ is None else {"covariates": ", ".join(self.design_.terms)}
        lines = {
            "network": f"{graph.name}, {graph.parameter_count:,} parameters",
            "input": f"{spec.height} x {spec.width} pixels, {spec.channels} channel(s)",
            **self._outcome_words(),
            **beside,
            "trained": f"{len(self.history_)} epochs{self._images_told()} on {place_told(self)}, "
            f"seed {self.seed_} ({self.stopped_})",
            **lineage(self),
            **({} if self.int8_ is None else {"int8": self.int8_.told("training images")}),
            "last epoch": last_measures(self.history_, names),
            "fingerprint": self.fingerprint()[:16],
        }
        return "\n".join(f"{name:13}{text}" for name, text in lines.items())

    def _images_told(self) -> str:
        return "" if self.n_images_ is None else f" of {self.n_images_:,} images"

    def _outcome_words(self) -> dict[str, str]:
        """Return what is learned, in words."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _refuse_no_weight(weights: Any) -> None:
    """Refuse weights that are all 0, of which scikit-learn does not say whose argument they are."""
    given = np.asarray(weights)
    if given.size and given.dtype.kind in "biuf" and not given.any():
        raise InputError(
            "sample_weight is zero in all rows, so that nothing can be learned: give some a "
            "weight above 0"
        )


def _sparing(graph: Graph, device: Device) -> Scorer:
    return Sparing(open_executor(graph, device))
