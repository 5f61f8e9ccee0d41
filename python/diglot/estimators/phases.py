"""A fit goes in phases: stretches of training that differ in which parameters learn.

What lies before the first of these in the network is cut off and computed once for each image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from diglot.engine import Device, Executor, Optimiser, open_executor
from diglot.errors import DivergedError, InputError, ModelFileError, OutOfMemoryError
from diglot.estimators.frozen import Frozen, split_frozen
from diglot.graph import Graph
from diglot.images.memory import available_memory
from diglot.progress import Reporter
from diglot.training import (
    Checkpoint,
    Checkpoints,
    Plan,
    Remembering,
    Result,
    State,
    Task,
    check_arrays,
    check_place,
    find_checkpoint,
    read_checkpoint,
    train,
)

_CACHED_BYTES = 256 << 20  # of activations, in one batch of scoring
_MOST_VIEWS = 5  # of each image, where the frozen part is computed once


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
    objective : str
        What is trained for, where an estimator knows several.
    """

    epochs: int
    rate: float
    factors: Mapping[str, float]
    objective: str = ""

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


@dataclass
class Fitted:
    """A network as its training left it."""

    graph: Graph
    result: Result
    optimiser_state: dict[str, np.ndarray]


class Phased(Protocol):
    """What every fit says of itself.

    Attributes
    ----------
    graph : Graph
        With the weights to begin from.
    phases : sequence of Phase
        One after the other; what learned in one goes on learning in the next, so that a
        checkpoint holds all that the fit has changed.
    plan : Plan
        What all phases share; ``first_epoch`` counts epochs of earlier fits.
    run : mapping
        What identifies the fit, for its checkpoints.
    optimiser : Optimiser
        How weights follow gradients.
    device : Device
        Where to compute.
    views : int or None
        Into how many augmented views to look when features are computed once; None for one an
        epoch, at most 5.
    """

    graph: Graph
    phases: Sequence[Phase]
    plan: Plan
    run: Mapping[str, Any]
    optimiser: Optimiser
    device: Device
    views: int | None


Opened = Callable[[Phase, Graph], AbstractContextManager[tuple[Executor, Task]]]


def run_phases(
    fit: Phased,
    opened: Opened,
    *,
    reporter: Reporter,
    callbacks: Any = None,
    checkpoints: Checkpoints | None = None,
    resume: str | None = None,
    optimiser_state: Mapping[str, np.ndarray] | None = None,
) -> Fitted:
    """Go through the phases of a fit, with the one loop.

    Parameters
    ----------
    fit : Phased
        The fit.
    opened : callable
        Of a phase and a network with weights: a context in which there are an executor, prepared
        for training, and the task. Images that were not read yet may be read in it.
    reporter, callbacks, checkpoints
        See :func:`diglot.training.train`.
    resume : str, optional
        Where to look for a checkpoint to go on from.
    optimiser_state : mapping, optional
        To begin the first phase with.

    Raises
    ------
    DivergedError
        If the loss is not finite; its ``model`` is a `Fitted` with the best weights before, if
        an epoch had ended.
    """
    found = None
    if resume is not None and (path := find_checkpoint(resume)) is not None:
        found = read_checkpoint(path, fit.run)
        lengths = [phase.epochs for phase in fit.phases]
        check_place(path, found.state, lengths, fit.plan.first_epoch)
    fitted, plan = Fitted(fit.graph, Result(), {}), fit.plan
    state = found.state if found else State()
    for index in range(state.phase, len(fit.phases)):
        phase, begun = fit.phases[index], plan.first_epoch + len(state.history) - state.epoch
        mine = replace(plan, epochs=phase.epochs, learning_rate=phase.rate, first_epoch=begun)
        with opened(phase, fitted.graph) as (executor, task):
            if found is not None:
                _check(path, found, executor, task, fit.graph)
            _load(executor, fitted.graph, found, optimiser_state if index == 0 else None)
            try:
                result = train(
                    executor,
                    task,
                    mine,
                    run=fit.run,
                    reporter=reporter,
                    callbacks=callbacks,
                    checkpoints=checkpoints,
                    state=state,
                )
            except DivergedError as error:
                if error.history:
                    result = Result(error.history, error.best_epoch, "diverged")
                    error.model = _fitted(fitted.graph, executor, result)
                raise
            fitted = _fitted(fitted.graph, executor, result)
        if result.stopped in ("callback", "interrupted"):
            break
        found = None
        best = None if result.best is None else {**fitted.graph.weights, **result.best}
        state = State(index + 1, history=result.history, best=best, best_epoch=result.best_epoch)
    return fitted


def _check(path: Path, found: Checkpoint, executor: Executor, task: Task, graph: Graph) -> None:
    """Refuse a checkpoint whose arrays are not those that are trained."""
    check_arrays(
        path,
        found,
        parameters={name: p.shape for name, p in graph.parameters.items()},
        weights=executor.weights(),
        optimiser=executor.optimiser_state(),
        steps=task.steps,
        totals=len(task.metrics),
    )
    if found.state.memory and not isinstance(task, Remembering):
        raise ModelFileError(f"the checkpoint {str(path)!r} is damaged: nothing keeps its memory")


def _load(
    executor: Executor,
    graph: Graph,
    found: Checkpoint | None,
    optimiser_state: Mapping[str, np.ndarray] | None,
) -> None:
    """Begin at a checkpoint, or with an optimiser's state from before."""
    if found is not None:
        executor.load_weights({**graph.weights, **found.weights})
        executor.load_optimiser_state(found.optimiser)
    elif optimiser_state is not None:
        executor.load_optimiser_state(optimiser_state)


def _fitted(graph: Graph, executor: Executor, result: Result) -> Fitted:
    weights = {**graph.weights, **executor.weights()}
    return Fitted(graph.with_weights(weights), result, executor.optimiser_state())


def open_phase(
    fit: Phased, phase: Phase, graph: Graph, batch: int, training: Callable[[Graph], Graph]
) -> tuple[Frozen | None, Graph, Executor]:
    """Open what runs the part of a network that learns.

    Parameters
    ----------
    fit : Phased
    phase : Phase
    graph : Graph
        The whole network, with weights.
    batch : int
        Images a step, to be refused where they cannot fit into memory.
    training : callable
        Makes the training graph of the part that learns.

    Returns
    -------
    frozen : Frozen or None
        The part before.
    rest : Graph
        The part that learns.
    executor : Executor
        Prepared for training.
    """
    frozen, rest = split_frozen(graph, phase.learned, fit.device)
    refuse_memory(rest, batch, fit.device)
    executor = open_executor(rest, fit.device)
    factors = {name: phase.factors[name] for name in rest.parameters}
    executor.prepare_training(training(rest), fit.optimiser, factors)
    return frozen, rest, executor


def views_of(fit: Phased, phase: Phase) -> int:
    """Return into how many augmented views a phase looks."""
    return fit.views or min(phase.epochs, _MOST_VIEWS)


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
