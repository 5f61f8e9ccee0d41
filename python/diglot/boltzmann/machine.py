"""``RBM``: a restricted Boltzmann machine in the manner of scikit-learn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from diglot.boltzmann.graphs import (
    VISIBLE,
    gibbs_graph,
    judging_graph,
    machine_graph,
    pixels_of,
    pseudo_likelihood_graph,
    training_graph,
)
from diglot.boltzmann.model_file import metadata
from diglot.boltzmann.task import BoltzmannTask, Judge, Recipe, dream
from diglot.builder import initial_weights
from diglot.engine import Device, Executor, Optimiser, open_executor, pick_device
from diglot.errors import DivergedError, ImageError, InputError
from diglot.estimators.base import NetworkEstimator, last_measures, place_told
from diglot.estimators.feed import Feed
from diglot.estimators.inputs import (
    check_channels,
    checked_table,
    input_spec,
    is_empty_table,
    is_table,
    standardised,
)
from diglot.estimators.phases import Fitted, Phase, refuse_memory, run_phases
from diglot.estimators.settings import check_training, flag, keep_settings, optimiser, whole
from diglot.graph import Graph
from diglot.images import ImageSet, PreparedImages, as_images, batches
from diglot.progress import reporter
from diglot.seeds import check_seed, stream
from diglot.training import Plan, Task

_RATES = {
    "binary": {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3},
    "gaussian": {"sgd": 0.005, "adam": 1e-3, "adamw": 1e-3},
}
_ROWS = 256  # scored at a time
_LEAST_SHARE = 0.01  # of images in which a pixel is on, for its first bias
_TOLERANCE = 1e-6  # by which rounding may leave [0, 1]


@dataclass(frozen=True)
class _Fit:
    """What `diglot.estimators.phases` wants to know of a fit, and what the machine adds."""

    graph: Graph
    phases: tuple[Phase, ...]
    plan: Plan
    run: dict[str, Any]
    optimiser: Optimiser
    device: Device
    recipe: Recipe
    train: Feed
    judged: tuple[Feed, Feed] | None
    views: int | None = None


def _is_binary(machine: RBM) -> bool:
    if machine.visible == "binary":
        return True
    raise AttributeError(
        'pseudo-likelihood is of binary units; free_energy() compares images for visible="gaussian"'
    )


class RBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """A restricted Boltzmann machine: learn the distribution of images.

    Hidden units, each on or off, explain pixels; what they are for an image are features of it,
    found without labels. Trained by contrastive divergence on CPU or GPU.

    Parameters
    ----------
    n_hidden : int
        Hidden units.
    visible : {"binary", "gaussian"}
        What pixels are: numbers in [0, 1], taken as probabilities of being on; or any numbers,
        which are brought to mean 0 and spread 1 by channel, with noise of spread 1.
    k : int
        Steps of Gibbs sampling for an update: CD-k (Hinton, 2002).
    persistent : bool
        Whether sampling goes on where it ended at the step before (Tieleman, 2008), as
        scikit-learn's does, and not anew from the data.
    size, channels, resize
        As in `ImageClassifier`.
    epochs : int
        Passes over the images.
    batch_size : int
        Images a step.
    optimizer, momentum, schedule, warmup_epochs, clip_norm
        As in `ImageClassifier`.
    learning_rate : float, optional
        The largest; by default 0.1 for SGD, 0.005 with Gaussian units, 0.001 for Adam.
    weight_decay : float
        Of the weights; it keeps Gibbs sampling mobile.
    validation : float, optional
        Hold out this share of the images to judge each epoch by.
    callbacks, checkpoint, checkpoint_every, resume, device, engine, memory_limit, threads
        As in `ImageClassifier`. A checkpoint holds the chains of persistent sampling, too.
    seed : int, optional
        Of everything random; the same seed gives the same weights, to the byte. None draws one.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Attributes
    ----------
    components_ : ndarray of shape (n_hidden, pixels), float32
        The weights: pixels row by row, channels last.
    intercept_hidden_ : ndarray of shape (n_hidden,)
    intercept_visible_ : ndarray of shape (pixels,)
    network_ : Graph
        From an image to its hidden units' probabilities and its free energy.
    history_ : DataFrame
        One row an epoch: epoch, loss (mean free energy of data less that of samples: its gradient
        is the update, its value is no measure of progress), reconstruction_error (mean square a
        pixel), learning_rate, seconds, images_per_second. With validation
        val_reconstruction_error, free_energy_gap (of images held out over images learned from,
        which grows as the machine overfits: Hinton, 2012) and, for binary units,
        val_pseudo_likelihood, as scikit-learn estimates it: one pixel flipped an image.
    n_images_ : int
        How many images were learned from.
    seed_, device_, engine_, stopped_
        As in `ImageClassifier`.

    Notes
    -----
    Hinton (2002), Training products of experts by minimizing contrastive divergence,
    doi:10.1162/089976602760128018. Tieleman (2008), Training restricted Boltzmann machines using
    approximations to the likelihood gradient, doi:10.1145/1390156.1390290. Hinton (2012), A
    practical guide to training restricted Boltzmann machines, doi:10.1007/978-3-642-35289-8_32:
    first weights and visible biases are as there.

    Examples
    --------
    >>> from diglot import RBM, example_images
    >>> digits = np.stack(example_images("digits")["image"]) / 16
    >>> machine = RBM(n_hidden=20, epochs=2, seed=1).fit(digits)
    >>> machine.transform(digits[:5]).shape, machine.components_.shape
    ((5, 20), (20, 64))
    """

    kind = "rbm"
    # what networks may have set, and machines do not
    network = augment = patience = monitor = views = None
    restore_best = False

    def __init__(
        self,
        n_hidden: int = 256,
        *,
        visible: str = "binary",
        k: int = 1,
        persistent: bool = False,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        momentum: float = 0.5,
        weight_decay: float = 1e-4,
        schedule: str = "constant",
        warmup_epochs: float = 0,
        clip_norm: float | None = None,
        validation: float | None = None,
        callbacks: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: str | os.PathLike[str] | bool | None = None,
        device: str = "auto",
        engine: str = "auto",
        memory_limit: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    # ---- training

    def fit(self, X: Any, y: Any = None) -> RBM:
        """Learn the distribution of images.

        Parameters
        ----------
        X : images
            As for `ImageClassifier`; rows of a 2-d array are images, too. For binary units
            numbers in [0, 1] (8-bit and 16-bit pixels are scaled to that).
        y : ignored
            There for scikit-learn's pipelines.

        Returns
        -------
        self

        Raises
        ------
        InputError, ImageError
            If an argument or image cannot be used; the message names it.
        DivergedError
            If weights or loss are no longer finite; those of the epoch before are kept.
        """
        self._check_settings()
        images = self._images(X, reset=True)
        seed = self._seed()
        with self._fit_of(images, seed) as fit:
            points, resume = self._checkpoints()
            try:
                fitted = run_phases(
                    fit,
                    partial(_opened, fit),
                    reporter=reporter(self.verbose),
                    callbacks=self.callbacks,
                    checkpoints=points,
                    resume=resume,
                )
            except DivergedError as error:
                if error.model is not None:
                    self._settled(error.model, fit)
                    error.model = self
                raise
        self._settled(fitted, fit)
        return self

    def _check_settings(self) -> None:
        """Refuse settings that cannot be, each by name."""
        for name in ("n_hidden", "k", "epochs"):
            whole(name, getattr(self, name), 1)
        if self.visible not in VISIBLE:
            known = " or ".join(f'"{each}"' for each in VISIBLE)
            raise InputError(f"visible must be {known}, not {self.visible!r}")
        flag("persistent", self.persistent)
        check_training(self)
        check_seed(self.seed)

    @contextmanager
    def _fit_of(self, images: ImageSet, seed: int) -> Iterator[_Fit]:
        """Decide everything about a fit; images are open as long as it goes on."""
        device = pick_device(self.device, self.engine)
        spec = input_spec(None, images, self.size, self.channels, self.resize)
        shape = int(self.n_hidden), self.visible
        graph = machine_graph(spec, *shape)
        with ExitStack() as opened:
            ready = opened.enter_context(self._prepared(images, graph))
            digest = hashlib.sha256(b"".join(ready.keys())).hexdigest()
            rows, held = self._split(len(images), seed)
            if self.visible == "gaussian":
                graph = standardised(graph, ready, rows)
                ready.spec = graph.input
            first = initial_weights(graph, seed)
            first["visible_bias"] = self._first_bias(ready, rows)
            recipe = Recipe(
                batch_size=int(self.batch_size),
                seed=seed,
                steps=int(self.k),
                persistent=bool(self.persistent),
                visible=self.visible,
                n_hidden=int(self.n_hidden),
                pixels=pixels_of(ready.spec),
            )
            given = {"score_batch": _ROWS, "threads": self.threads}
            judged = None
            if len(held):
                judged = Feed(ready, held, **given), Feed(ready, rows[: len(held)], **given)
            rate = self.learning_rate or _RATES[self.visible][self.optimizer]
            everything = dict.fromkeys(graph.parameters, 1.0)
            yield _Fit(
                graph=graph.with_weights(first),
                phases=(Phase(int(self.epochs), float(rate), everything),),
                plan=self._plan(seed, judged=False),
                run=self._run(graph, digest, seed),
                optimiser=optimiser(self),
                device=device,
                recipe=recipe,
                train=Feed(ready, rows, **given),
                judged=judged,
            )

    def _split(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to learn from, and those held out."""
        if self.validation is None:
            return np.arange(count), np.arange(0)
        several = round(float(self.validation) * count)
        if not 0 < several < count:
            raise InputError(
                f"validation={self.validation} of {count} images leaves none to learn from or to "
                "judge by"
            )
        order = stream(seed, "validation").permutation(count)
        return np.sort(order[several:]), np.sort(order[:several])

    def _first_bias(self, ready: PreparedImages, rows: np.ndarray) -> np.ndarray:
        """Return the visible biases of a machine that knows of pixels nothing but their means."""
        total = np.zeros(pixels_of(ready.spec))
        for data in self._checked(ready, rows):
            total += data.reshape(len(data), -1).sum(axis=0, dtype=np.float64)
        mean = total / len(rows)
        if self.visible == "binary":
            mean = np.clip(mean, _LEAST_SHARE, 1 - _LEAST_SHARE)
            mean = np.log(mean / (1 - mean))
        return mean.astype(np.float32)[None]

    def _checked(self, ready: PreparedImages, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield images; refuse pixels that are no probabilities where they have to be."""
        several = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
        for position, data in batches(ready, several, threads=self.threads):
            if self.visible == "binary":
                flat = data.reshape(len(data), -1)
                low, high = flat.min(axis=1), flat.max(axis=1)
                outside = np.flatnonzero((low < -_TOLERANCE) | (high > 1 + _TOLERANCE))
                if len(outside):
                    row = int(outside[0])
                    name = ready.images.name(int(several[position][row]))
                    raise ImageError(
                        f"{name} has pixels from {low[row]:g} to {high[row]:g}; binary units take "
                        'numbers in [0, 1]: divide by the largest, or give visible="gaussian"'
                    )
            yield data

    def _settled(self, fitted: Fitted, fit: _Fit) -> None:
        self.n_images_ = len(fit.train)
        self._settle(fitted, fit.plan.seed, fit.device)

    # ---- what was learned

    @property
    def components_(self) -> np.ndarray:
        """The weights: (n_hidden, pixels)."""
        return self._tensors()["weight"]

    @property
    def intercept_hidden_(self) -> np.ndarray:
        """The hidden units' biases."""
        return self._tensors()["hidden_bias"]

    @property
    def intercept_visible_(self) -> np.ndarray:
        """The visible units' biases."""
        return self._tensors()["visible_bias"][0]

    @property
    def _n_features_out(self) -> int:
        return int(self.n_hidden)

    def filters(self) -> np.ndarray:
        """Return the weights as images: what each hidden unit looks for.

        Returns
        -------
        ndarray of shape (n_hidden, height, width) or (n_hidden, height, width, channels), float32
        """
        return self._placed(self.components_)

    # ---- answers

    def transform(self, X: Any) -> np.ndarray:
        """Return the probability that each hidden unit is on.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n, n_hidden), float32
        """
        graph = self._fitted().ending_in("hidden")
        none = np.empty((0, int(self.n_hidden)), np.float32)
        return self._answers(X, "hidden", graph, none)

    def free_energy(self, X: Any) -> np.ndarray:
        """Return the free energy: -log p(image), but for a constant that is not known.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n,), float32
        """
        graph = self._fitted().ending_in("free_energy")
        return self._answers(X, "free energy", graph, np.empty((0, 1), np.float32))[:, 0]

    @available_if(_is_binary)
    def score_samples(self, X: Any) -> np.ndarray:
        """Return the logarithm of the pseudo-likelihood, exactly: every pixel is flipped once.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n,), float32
            Natural logarithms. scikit-learn's estimate, which flips one random pixel, has this
            as its mean.

        Raises
        ------
        AttributeError
            For Gaussian units, which have no such thing; `free_energy` compares images there.
        """
        spec = self._fitted().input
        graph = self._sharing(pseudo_likelihood_graph(spec, int(self.n_hidden)))
        none = np.empty((0, 1), np.float32)
        return self._answers(X, "pseudo-likelihood", graph, none, rows=16)[:, 0]

    @available_if(_is_binary)
    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`: what scikit-learn's searches maximise."""
        return float(self.score_samples(X).mean())

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return what the hidden units' probabilities say of the pixels, in the images' units.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray, float32
            Images (n, height, width) or (n, height, width, channels); rows for a 2-d ``X``.
        """
        spec, n_hidden = self._fitted().input, int(self.n_hidden)
        graph = self._sharing(judging_graph(spec, n_hidden, self.visible))
        none = np.empty((0, pixels_of(spec)), np.float32)
        return self._images_of(self._answers(X, "reconstruction", graph, none, head=2), X)

    def gibbs(self, X: Any, steps: int = 1, *, seed: int = 0) -> np.ndarray:
        """Return images after steps of Gibbs sampling.

        Parameters
        ----------
        X : images
            Where to begin.
        steps : int
            How often hidden and visible units are drawn.
        seed : int
            Of the draws.

        Returns
        -------
        ndarray, float32
            As of `reconstruct`; zeros and ones for binary units.
        """
        spec = self._fitted().input
        whole("steps", steps, 1)
        chance, parts = (
            stream(check_seed(seed), "gibbs"),
            [np.empty((0, pixels_of(spec)), np.float32)],
        )
        executor = self._dreaming()
        for data in self._given(X):
            begun = data.reshape(len(data), -1)
            parts.append(
                dream(executor, begun, int(self.n_hidden), self.visible, int(steps), chance)
            )
        return self._images_of(np.concatenate(parts), X)

    def sample(self, n: int, steps: int = 1000, *, seed: int = 0) -> np.ndarray:
        """Dream images: Gibbs sampling from pure chance.

        Parameters
        ----------
        n : int
            How many images.
        steps : int
            Of each chain. Few steps leave it near where it began.
        seed : int
            Of the draws.

        Returns
        -------
        ndarray of shape (n, height, width) or (n, height, width, channels), float32
            The pixels' means in the last step.
        """
        spec = self._fitted().input
        chance = stream(check_seed(seed), "dreams")
        shape = whole("n", n, 1), pixels_of(spec)
        begun = chance.standard_normal(shape, np.float32)
        if self.visible == "binary":
            begun = (begun > 0).astype(np.float32)
        executor, n_hidden = self._dreaming(), int(self.n_hidden)
        last = dream(executor, begun, n_hidden, self.visible, whole("steps", steps, 1) - 1, chance)
        uniform = chance.random((len(last), n_hidden), np.float32)
        inputs = {"visible": last, "chance_hidden": uniform, "chance_visible": np.zeros_like(last)}
        return self._images_of(executor.outputs(inputs)[1])

    def _fitted(self) -> Graph:
        check_is_fitted(self)
        return self.network_

    def _sharing(self, graph: Graph) -> Graph:
        return graph.with_weights({name: self.network_.weights[name] for name in graph.parameters})

    def _dreaming(self) -> Executor:
        graph = gibbs_graph(self.network_.input, int(self.n_hidden), self.visible)
        return self._kept("gibbs", partial(open_executor, self._sharing(graph)))

    def _answers(
        self, X: Any, name: str, graph: Graph, none: np.ndarray, *, rows: int = _ROWS, head: int = 0
    ) -> np.ndarray:
        """Return one of a graph's outputs for images."""
        executor: Executor = self._kept(name, partial(open_executor, graph))
        parts = [none]
        for data in self._given(X):
            for start in range(0, len(data), rows):
                parts.append(executor.outputs({"data": data[start : start + rows]})[head])
        return np.concatenate(parts)

    def _given(self, X: Any) -> Iterator[np.ndarray]:
        """Yield new images, prepared."""
        images = self._images(X, reset=False, allow_empty=True)
        if not len(images):
            return
        check_channels(images, self.network_.input)
        with self._prepared(images, self.network_) as ready:
            yield from self._checked(ready, np.arange(len(images)))

    def _images(self, X: Any, *, reset: bool, allow_empty: bool = False) -> ImageSet:
        if is_table(X) and not (allow_empty and is_empty_table(X)):
            X = checked_table(self, X, reset=reset)
        return as_images(X, allow_empty=allow_empty)

    def _images_of(self, pixels: np.ndarray, like: Any = None) -> np.ndarray:
        """Return pixels as images in their own units, or as rows where they came as rows."""
        spec = self.network_.input
        images = pixels.reshape(len(pixels), -1, spec.channels)
        images = images * np.float32(spec.std) + np.float32(spec.mean)
        rows = images.reshape(len(pixels), -1)
        return rows if like is not None and is_table(like) else self._placed(rows)

    def _placed(self, rows: np.ndarray) -> np.ndarray:
        spec = self.network_.input
        images = rows.reshape(len(rows), spec.height, spec.width, spec.channels)
        return images[..., 0] if spec.channels == 1 else images

    # ---- files and words

    def _metadata(self) -> dict[str, Any]:
        return metadata(self)

    def summary(self) -> str:
        """Return what the machine is and how it was trained, in a few lines."""
        spec = self._fitted().input
        how = f"{'persistent ' if self.persistent else ''}contrastive divergence, k = {self.k}"
        names = ("reconstruction_error", "val_reconstruction_error", "val_pseudo_likelihood")
        lines = {
            "machine": f"{int(self.n_hidden):,} hidden units, {pixels_of(spec):,} {self.visible} "
            "pixels",
            "input": f"{spec.height} x {spec.width} pixels, {spec.channels} channel(s)",
            "method": how,
            "trained": f"{len(self.history_)} epochs of {self.n_images_:,} images on "
            f"{place_told(self)}, seed {self.seed_} ({self.stopped_})",
            "last epoch": last_measures(self.history_, names),
            "fingerprint": self.fingerprint()[:16],
        }
        return "\n".join(f"{name:13}{text}" for name, text in lines.items())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


@contextmanager
def _opened(fit: _Fit, phase: Phase, graph: Graph) -> Iterator[tuple[Executor, Task]]:
    """Open what trains, on the graph that samples: both share the weights."""
    spec, recipe = graph.input, fit.recipe
    shape = spec, recipe.n_hidden, recipe.visible
    training = training_graph(*shape)
    refuse_memory(training, min(recipe.batch_size, len(fit.train)), fit.device)
    executor = open_executor(gibbs_graph(*shape).with_weights(graph.weights), fit.device)
    executor.prepare_training(training, fit.optimiser, phase.factors)
    judge = None
    if fit.judged is not None:
        judging = judging_graph(*shape).with_weights(graph.weights)
        scorer = open_executor(judging, fit.device, changing=True)
        judge = Judge(*fit.judged, scorer, recipe)
    yield executor, BoltzmannTask(fit.train, recipe, executor, judge)
