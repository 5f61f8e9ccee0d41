"""What classification adds to the one loop: the training graph, batches, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.augment import Augment, mixup, smooth
from diglot.builder import Builder
from diglot.engine import Executor
from diglot.estimators.feed import Feed
from diglot.estimators.frozen import Frozen
from diglot.graph import Graph
from diglot.images import PreparedImages, batches
from diglot.progress import Reporter, Silent
from diglot.seeds import stream


def training_graph(graph: Graph) -> Graph:
    """Return the graph that ends in each row's weighted cross-entropy and its weighted hit."""
    b = Builder(graph.input, graph)
    logits = b.start_output()
    classes = logits.shape[0]
    target, weight = b.input("target", (classes,)), b.input("weight", (1,))
    log_p = b.add("log_softmax", logits, name="log_probability", axis=-1)
    picked = b.add("elemwise_mul", log_p, target, name="target_log_probability")
    summed = b.add("sum", picked, name="log_likelihood", axis=1, keepdims=True)
    entropy = b.add("negative", summed, name="cross_entropy")
    loss = b.add("elemwise_mul", entropy, weight, name="loss")
    guess = b.add("argmax", logits, name="guess", axis=1, keepdims=True)
    truth = b.add("argmax", target, name="truth", axis=1, keepdims=True)
    hit = b.add("broadcast_equal", guess, truth, name="hit")
    accuracy = b.add("elemwise_mul", hit, weight, name="accuracy")
    return b.graph(f"{graph.name} in training", loss, accuracy)


@dataclass(frozen=True)
class Rows:
    """Images ready for the engine, with their codes and weights; ``places`` finds them."""

    images: PreparedImages
    places: np.ndarray
    codes: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, chosen: np.ndarray) -> Rows:
        return Rows(self.images, self.places[chosen], self.codes[chosen], self.weights[chosen])


@dataclass(frozen=True)
class Recipe:
    """How batches are made of rows."""

    batch_size: int
    seed: int
    augment: Augment | None = None
    mixup: float = 0.0
    smoothing: float = 0.0
    threads: int | None = None


class ClassificationTask:
    """What the loop trains: see :class:`diglot.training.Task`.

    Parameters
    ----------
    train, validation : Rows
        To learn from, and to judge by (or None).
    classes : int
        How many there are.
    recipe : Recipe
        How batches are made.
    score_batch : int
        How many images to judge at a time.
    frozen : Frozen, optional
        The part of the network that images go through before the part that learns.
    """

    metrics = ("loss", "accuracy")

    def __init__(
        self,
        train: Rows,
        validation: Rows | None,
        classes: int,
        recipe: Recipe,
        score_batch: int,
        frozen: Frozen | None = None,
    ) -> None:
        self.rows = len(train)
        self.steps = -(-len(train) // recipe.batch_size)
        self._train, self._validation, self._recipe = train, validation, recipe
        self._targets = smooth(np.eye(classes, dtype=np.float32), recipe.smoothing)
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
            target = self._targets[self._train.codes[mine]]
            if recipe.mixup:
                numbers = stream(recipe.seed, "mixup", epoch, start + position)
                data, target = mixup(data, target, recipe.mixup, numbers)
            weight = self._train.weights[mine].astype(np.float32)[:, None]
            yield {self._feed.name: self._feed.seen(data), "target": target, "weight": weight}

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return ``val_loss`` and ``val_accuracy``."""
        held, feed = self._validation, self._held
        if held is None:
            return {}
        logits = np.concatenate([executor.forward({feed.name: data}) for data in feed.all()])
        mine = log_softmax(logits)[np.arange(len(held)), held.codes]
        hits = logits.argmax(axis=1) == held.codes
        return {
            "val_loss": float(np.average(-mine, weights=held.weights)),
            "val_accuracy": float(np.average(hits, weights=held.weights)),
        }


def score(
    executor: Executor,
    images: PreparedImages,
    batch: int,
    threads: int | None = None,
    heard: Any = None,
) -> np.ndarray:
    """Return the outputs for all images; ``heard(done)`` hears how far it is."""
    count = len(images)
    rows = [np.arange(i, min(i + batch, count)) for i in range(0, count, batch)]
    parts = []
    for position, data in batches(images, rows, threads=threads):
        parts.append(executor.forward({"data": data}))
        if heard is not None:
            heard(min((position + 1) * batch, count))
    return np.concatenate(parts)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities in float64.

    Examples
    --------
    >>> np.exp(log_softmax(np.zeros((1, 4)))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    with np.errstate(invalid="ignore"):  # a loss that goes is told of by the loop
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
