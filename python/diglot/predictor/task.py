"""What prediction adds to the one loop: the training graph, batches, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.augment import Augment, mixup, smooth
from diglot.batching import Sparing
from diglot.builder import Builder
from diglot.engine import Executor, Scorer
from diglot.estimators.feed import Feed
from diglot.estimators.frozen import Frozen
from diglot.graph import COVARIATES, Graph
from diglot.images import PreparedImages, batches
from diglot.outcomes import Outcome
from diglot.predictor.rows import Rows
from diglot.progress import Reporter, Silent
from diglot.seeds import stream


def training_graph(graph: Graph, outcome: Outcome) -> Graph:
    """Return the graph that ends in each row's weighted loss and its weighted measure."""
    b = Builder(graph.input, graph)
    scores = b.start_output()
    target, weight = b.input("target", (outcome.target_width,)), b.input("weight", (1,))
    row_loss, row_measure = outcome.loss(b, scores, target)
    loss = b.add("elemwise_mul", row_loss, weight, name="loss")
    measure = b.add("elemwise_mul", row_measure, weight, name=outcome.measure)
    return b.graph(f"{graph.name} in training", loss, measure)


@dataclass(frozen=True)
class Recipe:
    """How batches are made of rows."""

    batch_size: int
    seed: int
    augment: Augment | None = None
    mixup: float = 0.0
    smoothing: float = 0.0
    threads: int | None = None


class PredictionTask:
    """What the loop trains: see :class:`diglot.training.Task`.

    Parameters
    ----------
    train, validation : Rows
        To learn from, and to judge by (or None).
    outcome : Outcome
        What is learned.
    recipe : Recipe
        How batches are made.
    score_batch : int
        How many images to judge at a time.
    frozen : Frozen, optional
        The part of the network that images go through before the part that learns.
    """

    def __init__(
        self,
        train: Rows,
        validation: Rows | None,
        outcome: Outcome,
        recipe: Recipe,
        score_batch: int,
        frozen: Frozen | None = None,
    ) -> None:
        self.rows = len(train)
        self.steps = -(-len(train) // recipe.batch_size)
        self._train, self._validation, self._recipe = train, validation, recipe
        self.metrics = ("loss", outcome.measure)
        self._outcome = outcome
        given = {"frozen": frozen, "score_batch": score_batch, "threads": recipe.threads}
        self._feed = Feed(
            train.images, train.places, augment=recipe.augment, seed=recipe.seed, **given
        )
        self._held = None
        if validation is not None:
            self._held = Feed(validation.images, validation.places, **given)

    def compute_features(
        self, views: int, memory_limit: int | None = None, reporter: Reporter | None = None
    ) -> None:
        """Run the frozen part once; see :meth:`diglot.estimators.feed.Feed.compute_features`."""
        if self._recipe.mixup:
            return  # blends of pairs are other images each time
        for feed in (self._feed, self._held):
            if feed is not None:
                feed.compute_features(views, memory_limit, reporter or Silent())

    def close(self) -> None:
        """Give back the memory and disk that features took."""
        for feed in (self._feed, self._held):
            if feed is not None:
                feed.close()

    def _order(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each step: sizes differ by one at most, so none is tiny."""
        order = stream(self._recipe.seed, "shuffle", epoch).permutation(self.rows)
        return np.array_split(order, self.steps)

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return the weights' sum over an epoch's first steps."""
        return float(sum(self._train.weights[r].sum() for r in self._order(epoch)[:steps]))

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield the input, target and weight of each step."""
        recipe, rows = self._recipe, self._order(epoch)[start:]
        for position, data in self._feed.batches(rows, epoch):
            mine = rows[position]
            target = self._outcome.targets(self._train.values[mine])
            target = smooth(target, recipe.smoothing, self._outcome.alternatives)
            beside = self._train.beside(mine)
            if recipe.mixup:
                numbers = stream(recipe.seed, "mixup", epoch, start + position)
                data, target, beside = _blended(data, target, beside, recipe.mixup, numbers)
            weight = self._train.weights[mine].astype(np.float32)[:, None]
            seen = {self._feed.name: self._feed.seen(data), **beside}
            yield {**seen, "target": target, "weight": weight}

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return ``val_loss`` and ``val_<measure>``."""
        held, feed = self._validation, self._held
        if held is None:
            return {}
        parts, done, scorer = [], 0, Sparing(executor)
        for data in feed.all():
            beside = held.beside(np.arange(done, done + len(data)))
            parts.append(scorer.forward({feed.name: data, **beside}))
            done += len(data)
        judged = self._outcome.judge(np.concatenate(parts), held.values, held.weights)
        return {f"val_{name}": value for name, value in judged.items()}


def _blended(
    data: np.ndarray, target: np.ndarray, beside: Mapping[str, np.ndarray], alpha: float, seed: Any
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Blend pairs of images, and with them what is known and to be learned of them."""
    width = target.shape[1]
    both = np.concatenate([target, *beside.values()], axis=1)
    data, both = mixup(data, both, alpha, seed)
    return data, both[:, :width], {name: both[:, width:] for name in beside}


def score(
    executor: Scorer,
    images: PreparedImages,
    batch: int,
    threads: int | None = None,
    heard: Any = None,
    covariates: np.ndarray | None = None,
) -> np.ndarray:
    """Return the outputs for all images; ``heard(done)`` hears how far it is."""
    count = len(images)
    rows = [np.arange(i, min(i + batch, count)) for i in range(0, count, batch)]
    parts = []
    here = executor.device.kind == "cpu"
    for position, data in batches(images, rows, threads=threads, alternate=here):
        beside = {} if covariates is None else {COVARIATES: covariates[rows[position]]}
        parts.append(executor.forward({"data": data, **beside}))
        if heard is not None:
            heard(min((position + 1) * batch, count))
    return np.concatenate(parts)
