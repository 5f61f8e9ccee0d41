"""One fit: rows and a network go in, trained weights and a history come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from diglot.batching import score_batch
from diglot.engine import Device, Executor, Optimiser
from diglot.estimators.phases import (
    Fitted,
    Phase,
    open_phase,
    run_phases,
    views_of,
)
from diglot.graph import Graph
from diglot.outcomes import Outcome
from diglot.predictor.rows import Rows
from diglot.predictor.task import PredictionTask, Recipe, training_graph
from diglot.progress import Reporter
from diglot.training import LearningRates, Plan, range_test


@dataclass(frozen=True)
class Fit:
    """Everything that a fit is made of.

    Attributes
    ----------
    graph : Graph
        With the weights to begin from.
    train, held : Rows
        To learn from, and to judge by (or None).
    outcome : Outcome
        What is learned.
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
    outcome: Outcome
    recipe: Recipe
    optimiser: Optimiser
    device: Device
    phases: Sequence[Phase]
    plan: Plan
    run: Mapping[str, Any]
    views: int | None = None
    memory_limit: int | None = None


def run_fit(fit: Fit, *, reporter: Reporter, **how: Any) -> Fitted:
    """Go through the phases of a fit; see `diglot.estimators.phases.run_phases`."""
    return run_phases(fit, partial(opened, fit, reporter), reporter=reporter, **how)


def try_rates(
    fit: Fit, lowest: float, highest: float, steps: int, reporter: Reporter
) -> LearningRates:
    """Run the range test on a fit's last phase; see :func:`diglot.training.range_test`."""
    with opened(fit, reporter, fit.phases[-1], fit.graph) as (executor, task):
        return range_test(
            executor, task, lowest, highest, steps, seed=fit.plan.seed, reporter=reporter
        )


@contextmanager
def opened(
    fit: Fit, reporter: Reporter, phase: Phase, graph: Graph
) -> Iterator[tuple[Executor, PredictionTask]]:
    """Open what runs the part that learns, and its task, which has the part that does not."""
    size = min(fit.recipe.batch_size, len(fit.train))
    training = partial(training_graph, outcome=fit.outcome)
    frozen, _, executor = open_phase(fit, phase, graph, size, training)
    batch = score_batch(graph)
    task = PredictionTask(fit.train, fit.held, fit.outcome, fit.recipe, batch, frozen)
    try:
        task.compute_features(views_of(fit, phase), fit.memory_limit, reporter)
        yield executor, task
    finally:
        task.close()
