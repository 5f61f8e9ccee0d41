"""One captioner's fit: images with captions and a network go in, trained weights come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from diglot.augment import Augment
from diglot.batching import score_batch
from diglot.captioner.captioned import Captioned, Groups
from diglot.captioner.decoder import Decoder
from diglot.captioner.graphs import training_graph
from diglot.captioner.speaker import Speaker
from diglot.captioner.task import Judge, LikelihoodTask, Recipe, SelfCriticalTask
from diglot.captions.vocabulary import Vocabulary
from diglot.engine import Device, Executor, Optimiser, open_executor
from diglot.estimators.feed import Feed
from diglot.estimators.frozen import Frozen
from diglot.estimators.phases import (
    Fitted,
    Phase,
    open_phase,
    run_phases,
    views_of,
)
from diglot.graph import Graph
from diglot.images import PreparedImages
from diglot.progress import Reporter
from diglot.training import Plan, Task

REWARDED = "cider_d"


@dataclass(frozen=True)
class Rows:
    """Images with captions, as texts and coded."""

    images: PreparedImages
    captioned: Captioned
    coded: list[list[np.ndarray]]


@dataclass(frozen=True)
class Fit:
    """Everything that a fit is made of.

    Attributes
    ----------
    graph : Graph
        With the weights to begin from.
    decoder : Decoder
        Its decoder.
    vocabulary : Vocabulary
    width : int
        How many captions of an image go through the network together.
    longest : int
        How many words a caption has at most.
    train, held : Rows
        To learn from, and to judge by (or None).
    batch_size : int
        Images a step.
    smoothing : float
        Of the words' probabilities.
    augment : Augment or None
    optimiser : Optimiser
    device : Device
    phases : sequence of Phase
    plan : Plan
    run : mapping
        What identifies the fit, for its checkpoints.
    views : int or None
    memory_limit, threads : int or None
    """

    graph: Graph
    decoder: Decoder
    vocabulary: Vocabulary
    width: int
    longest: int
    train: Rows
    held: Rows | None
    batch_size: int
    smoothing: float
    augment: Augment | None
    optimiser: Optimiser
    device: Device
    phases: Sequence[Phase]
    plan: Plan
    run: Mapping[str, Any]
    views: int | None = None
    memory_limit: int | None = None
    threads: int | None = None


def plan_phases(
    graph: Graph,
    train: str,
    epochs: int | Sequence[int],
    rates: tuple[float, float],
    encoder_rate: float,
    self_critical: int,
) -> list[Phase]:
    """Return the phases of a fit.

    Parameters
    ----------
    graph : Graph
        What `caption_graph` returned.
    train : {"all", "decoder", "decoder_then_all"}
        What learns.
    epochs : int or (int, int)
        Of the only stage or of both; one epoch of the decoder alone where one number is given.
    rates : (float, float)
        Learning rate, and that of self-critical training.
    encoder_rate : float
        The encoder's learning rate, as a part of the decoder's.
    self_critical : int
        Epochs of it at the end.
    """
    both = list(epochs) if isinstance(epochs, Sequence) else [1, epochs]
    alone = {p.name: float(p.group == "decoder") for p in graph.parameters.values()}
    everything = {name: own or encoder_rate for name, own in alone.items()}
    stages = {
        "all": [(both[-1], everything)],
        "decoder": [(both[-1], alone)],
        "decoder_then_all": [(both[0], alone), (both[-1], everything)],
    }[train]
    phases = [Phase(int(length), rates[0], factors) for length, factors in stages]
    if self_critical:
        phases.append(Phase(self_critical, rates[1], phases[-1].factors, REWARDED))
    return phases


def run_fit(fit: Fit, *, reporter: Reporter, **how: Any) -> Fitted:
    """Go through the phases of a fit; see `diglot.estimators.phases.run_phases`."""
    return run_phases(fit, partial(_opened, fit, reporter), reporter=reporter, **how)


@contextmanager
def _opened(
    fit: Fit, reporter: Reporter, phase: Phase, graph: Graph
) -> Iterator[tuple[Executor, Task]]:
    """Open what runs the part that learns, and its task, which has the part that does not."""
    rewarded = phase.objective == REWARDED
    smoothing = 0.0 if rewarded else fit.smoothing
    training = partial(training_graph, smoothing=smoothing, rewarded=rewarded)
    size = min(fit.batch_size, len(fit.train.captioned))
    frozen, rest, executor = open_phase(fit, phase, graph, size, training)
    speaker = Speaker(rest, fit.decoder, fit.device, changing=True)
    judge = _judge(fit, rest, frozen, speaker)
    feed = _feed(fit, fit.train, frozen, score_batch(graph), fit.augment)
    recipe = Recipe(fit.batch_size, fit.plan.seed)
    feeds = [feed, judge.feed] if judge else [feed]
    try:
        for each in feeds:
            each.compute_features(views_of(fit, phase), fit.memory_limit, reporter)
        if rewarded:
            references = [[ids.tolist() for ids in captions] for captions in fit.train.coded]
            yield (
                executor,
                SelfCriticalTask(
                    feed, references, recipe, executor, speaker, fit.width, fit.longest, judge
                ),
            )
        else:
            groups = Groups.of(fit.train.coded, fit.width)
            mixed = frozen is None
            yield executor, LikelihoodTask(feed, groups, recipe, judge, mixed=mixed)
    finally:
        for each in feeds:
            each.close()


def _judge(fit: Fit, rest: Graph, frozen: Frozen | None, speaker: Speaker) -> Judge | None:
    if fit.held is None:
        return None
    feed = _feed(fit, fit.held, frozen, score_batch(rest), None)
    groups = Groups.of(fit.held.coded, fit.width)
    graph = training_graph(rest).with_weights(rest.weights)
    likelihood = open_executor(graph, fit.device, changing=True)
    held = fit.held.captioned
    return Judge(feed, held, groups, fit.vocabulary, speaker, likelihood, fit.longest)


def _feed(fit: Fit, rows: Rows, frozen: Frozen | None, batch: int, augment: Augment | None) -> Feed:
    return Feed(
        rows.images,
        rows.captioned.places,
        frozen=frozen,
        augment=augment,
        seed=fit.plan.seed,
        score_batch=min(batch, 64),
        threads=fit.threads,
    )
