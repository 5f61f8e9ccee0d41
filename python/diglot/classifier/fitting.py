"""One fit: rows and a network go in, trained weights and a history come out.

A fit has phases: stretches of training that differ in which parameters learn. What lies before
the first of these in the network is cut off and computed once for each image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diglot.classifier.features import Frozen, frozen_end
from diglot.classifier.task import ClassificationTask, Recipe, Rows, training_graph
from diglot.engine import Device, Executor, Optimiser, open_executor
from diglot.errors import DivergedError, InputError, OutOfMemoryError
from diglot.graph import Graph
from diglot.images.memory import available_memory
from diglot.progress import Reporter
from diglot.training import (
    Checkpoint,
    Checkpoints,
    LearningRates,
    Plan,
    Result,
    State,
    find_checkpoint,
    range_test,
    read_checkpoint,
    train,
)

_CACHED_BYTES = 256 << 20  # of activations, in one batch of scoring


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes
    ----------
    epochs : int
        How long.
    rate : float
        The largest learning rate.
    factors : mapping of str to float
        What it is multiplied by, for each parameter; 0 for those that do not learn.
    """

    epochs: int
    rate: float
    factors: Mapping[str, float]

    @property
    def learned(self) -> set[str]:
        """The parameters that learn."""
        return {name for name, factor in self.factors.items() if factor}


def plan_phases(
    graph: Graph,
    what: str | Sequence[str],
    epochs: int | Sequence[int],
    rates: Sequence[float],
    layer_decay: float = 1.0,
) -> list[Phase]:
    """Return the phases of a fit.

    Parameters
    ----------
    graph : Graph
        The network.
    what : {"all", "head", "head_then_all"} or sequence of str
        What learns; a sequence names layer groups.
    epochs : int or (int, int)
        Of the only phase or, with "head_then_all", of the second, after one epoch of the head.
    rates : (float, float)
        Learning rate where only the head learns, and where more does.
    layer_decay : float
        The rate of each layer group, as a part of that of the group behind it.

    Raises
    ------
    InputError
        If the network has no such group.

    Examples
    --------
    >>> from diglot import network
    >>> phases = plan_phases(network("lenet"), "head_then_all", (1, 5), (0.02, 0.01))
    >>> [(p.epochs, p.rate, len(p.learned)) for p in phases]
    [(1, 0.02, 2), (5, 0.01, 8)]
    """
    both = [int(e) for e in epochs] if isinstance(epochs, Sequence) else [1, int(epochs)]
    head = {"head": 1.0}
    groups = list(graph.groups)
    scaled = {g: layer_decay ** (len(groups) - 1 - i) for i, g in enumerate(groups)}
    if isinstance(what, str):
        stages = {
            "all": [(both[-1], rates[1], scaled)],
            "head": [(both[-1], rates[0], head)],
            "head_then_all": [(both[0], rates[0], head), (both[-1], rates[1], scaled)],
        }[what]
    else:
        unknown = [g for g in what if g not in groups]
        if unknown:
            raise InputError(
                f"network {graph.name!r} has no layer group {unknown[0]!r}; its groups are: "
                f"{', '.join(groups)}"
            )
        chosen = {g: scaled[g] for g in what}
        stages = [(both[-1], rates[0] if list(what) == ["head"] else rates[1], chosen)]
    if "head" not in groups and any("head" in share for _, _, share in stages[:1]):
        raise InputError(f"network {graph.name!r} has no layer group 'head' to be trained alone")
    return [
        Phase(
            length,
            rate,
            {p.name: share.get(p.group, 0.0) for p in graph.parameters.values()},
        )
        for length, rate, share in stages
    ]


@dataclass(frozen=True)
class Fit:
    """Everything that a fit is made of.

    Attributes
    ----------
    graph : Graph
        With the weights to begin from.
    train, held : Rows
        To learn from, and to judge by (or None).
    classes : int
        How many there are.
    recipe : Recipe
        How batches are made.
    optimiser : Optimiser
        How weights follow gradients.
    device : Device
        Where to compute.
    phases : sequence of Phase
        One after the other.
    plan : Plan
        What all phases share; ``first_epoch`` counts epochs of earlier fits.
    run : mapping
        What identifies the fit, for its checkpoints.
    views : int or None
        Into how many augmented views to look when features are computed once; None for one an
        epoch, at most 5.
    memory_limit : int or None
        Bytes for features to keep in memory.
    """

    graph: Graph
    train: Rows
    held: Rows | None
    classes: int
    recipe: Recipe
    optimiser: Optimiser
    device: Device
    phases: Sequence[Phase]
    plan: Plan
    run: Mapping[str, Any]
    views: int | None = None
    memory_limit: int | None = None


@dataclass
class Fitted:
    """A network as its training left it."""

    graph: Graph
    result: Result
    optimiser_state: dict[str, np.ndarray]


_MOST_VIEWS = 5


def run_fit(
    fit: Fit,
    *,
    reporter: Reporter,
    callbacks: Any = None,
    checkpoints: Checkpoints | None = None,
    resume: str | None = None,
    optimiser_state: Mapping[str, np.ndarray] | None = None,
) -> Fitted:
    """Go through the phases of a fit.

    Raises
    ------
    DivergedError
        If the loss is not finite; its ``model`` is a `Fitted` with the best weights before, if
        an epoch had ended.
    """
    found = None
    if resume is not None and (path := find_checkpoint(resume)) is not None:
        found = read_checkpoint(path, fit.run)
    fitted = Fitted(fit.graph, Result(), {})
    state = found.state if found else State()
    for index in range(state.phase, len(fit.phases)):
        start = _Start(fitted.graph, state, found, optimiser_state if index == 0 else None)
        fitted = _run_phase(fit, fit.phases[index], start, reporter, callbacks, checkpoints)
        if fitted.result.stopped in ("callback", "interrupted"):
            break
        found = None
        result = fitted.result
        best = None if result.best is None else {**fitted.graph.weights, **result.best}
        state = State(index + 1, history=result.history, best=best, best_epoch=result.best_epoch)
    return fitted


@dataclass(frozen=True)
class _Start:
    """Where a phase begins: at a checkpoint, or with an optimiser's state from before."""

    graph: Graph
    state: State
    found: Checkpoint | None
    optimiser_state: Mapping[str, np.ndarray] | None


def _run_phase(
    fit: Fit,
    phase: Phase,
    start: _Start,
    reporter: Reporter,
    callbacks: Any,
    checkpoints: Checkpoints | None,
) -> Fitted:
    graph, state = start.graph, start.state
    executor, task = _opened(fit, phase, graph)
    if start.found is not None:
        executor.load_weights({**graph.weights, **start.found.weights})
        executor.load_optimiser_state(start.found.optimiser)
    elif start.optimiser_state is not None:
        executor.load_optimiser_state(start.optimiser_state)
    plan = replace(
        fit.plan,
        epochs=phase.epochs,
        learning_rate=phase.rate,
        first_epoch=fit.plan.first_epoch + len(state.history) - state.epoch,
    )
    try:
        task.compute_features(_views(fit, phase), fit.memory_limit, reporter)
        result = train(
            executor,
            task,
            plan,
            run=fit.run,
            reporter=reporter,
            callbacks=callbacks,
            checkpoints=checkpoints,
            state=state,
        )
    except DivergedError as error:
        if error.history:
            result = Result(error.history, error.best_epoch, "diverged")
            error.model = _fitted(graph, executor, result)
        raise
    finally:
        task.close()
    return _fitted(graph, executor, result)


def try_rates(
    fit: Fit, lowest: float, highest: float, steps: int, reporter: Reporter
) -> LearningRates:
    """Run the range test on a fit's last phase; see :func:`diglot.training.range_test`."""
    phase = fit.phases[-1]
    executor, task = _opened(fit, phase, fit.graph)
    try:
        task.compute_features(_views(fit, phase), fit.memory_limit, reporter)
        return range_test(
            executor, task, lowest, highest, steps, seed=fit.plan.seed, reporter=reporter
        )
    finally:
        task.close()


def _opened(fit: Fit, phase: Phase, graph: Graph) -> tuple[Executor, ClassificationTask]:
    """Return what runs the part that learns, and its task, which has the part that does not."""
    frozen, rest = _split(graph, phase, fit.device)
    refuse_memory(rest, min(fit.recipe.batch_size, len(fit.train)), fit.device)
    executor = open_executor(rest, fit.device)
    factors = {n: phase.factors[n] for n in rest.parameters}
    executor.prepare_training(training_graph(rest), fit.optimiser, factors)
    batch = score_batch(graph)
    task = ClassificationTask(fit.train, fit.held, fit.classes, fit.recipe, batch, frozen)
    return executor, task


def _views(fit: Fit, phase: Phase) -> int:
    return fit.views or min(phase.epochs, _MOST_VIEWS)


def _fitted(graph: Graph, executor: Executor, result: Result) -> Fitted:
    weights = {**graph.weights, **executor.weights()}
    return Fitted(graph.with_weights(weights), result, executor.optimiser_state())


def _split(graph: Graph, phase: Phase, device: Device) -> tuple[Frozen | None, Graph]:
    """Cut off the part that does not learn; what is frozen in the rest keeps its statistics."""
    fixed = set(phase.factors) - phase.learned
    end = frozen_end(graph, phase.learned)
    frozen, rest = (None, graph) if end is None else Frozen.cut(graph, end, device)
    return frozen, rest.frozen(fixed)


def score_batch(graph: Graph) -> int:
    """Return how many images to score at once: many small ones, few large ones."""
    fitting = _CACHED_BYTES // max(1, 4 * graph.activation_count)
    return int(min(256, max(16, fitting // 16 * 16)))


def refuse_memory(graph: Graph, batch: int, device: Device) -> None:
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
