"""Classes, ordered or not: the softmax, or cumulative logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.graph import Graph
from diglot.outcomes.heads import with_cutpoints
from diglot.outcomes.labels import Labels

FAMILIES = ("multinomial", "cumulative")


@dataclass(frozen=True)
class Classes:
    """One class of several; see :class:`diglot.outcomes.Outcome`.

    The network's output is one number a class, whose softmax is the probability. Under
    "cumulative" it is the probability's logarithm already: the odds of being at most class j are
    ``exp(cutpoint[j] - score)`` (McCullagh, Regression models for ordinal data, JRSS B 42, 1980),
    so that one score an image moves it along all classes.

    Attributes
    ----------
    classes : ndarray of shape (k,)
        In their order.
    ordered : bool
        Whether that order means something.
    family : {"multinomial", "cumulative"}
    """

    classes: np.ndarray
    ordered: bool = False
    family: str = "multinomial"
    measure = "accuracy"

    @classmethod
    def of(cls, labels: Labels, family: str = "multinomial") -> Classes:
        """Return the outcome that labels are values of."""
        return cls(labels.classes, labels.ordered, family)

    @property
    def width(self) -> int:
        """How many numbers the network's last layer gives."""
        return 1 if self.family == "cumulative" else len(self.classes)

    @property
    def target_width(self) -> int:
        """One number a class."""
        return len(self.classes)

    @property
    def alternatives(self) -> int:
        """All classes."""
        return len(self.classes)

    def extended(self, graph: Graph) -> Graph:
        """Return the network with its cutpoints, where there are such."""
        if self.family != "cumulative":
            return graph
        return with_cutpoints(graph, len(self.classes))

    def targets(self, values: np.ndarray) -> np.ndarray:
        """Return one row of zeros and a one for each code."""
        targets = np.zeros((len(values), len(self.classes)), np.float32)
        targets[np.arange(len(values)), values] = 1
        return targets

    def loss(self, b: Builder, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Write cross-entropy, and whether the most probable class is the true one."""
        log_p = b.add("log_softmax", scores, name="log_probability", axis=-1)
        picked = b.add("elemwise_mul", log_p, target, name="target_log_probability")
        summed = b.add("sum", picked, name="log_likelihood", axis=1, keepdims=True)
        entropy = b.add("negative", summed, name="cross_entropy")
        guess = b.add("argmax", scores, name="guess", axis=1, keepdims=True)
        truth = b.add("argmax", target, name="truth", axis=1, keepdims=True)
        return entropy, b.add("broadcast_equal", guess, truth, name="hit")

    def judge(self, scores: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Return the mean cross-entropy and the accuracy."""
        mine = log_softmax(scores)[np.arange(len(values)), values]
        hits = scores.argmax(axis=1) == values
        return {
            "loss": float(np.average(-mine, weights=weights)),
            "accuracy": float(np.average(hits, weights=weights)),
        }

    def effects(self, weight: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
        """Return the effects on each class's log-odds against the first class.

        Under "cumulative" there is one: on the log-odds of being above any cutpoint.
        """
        if self.family == "cumulative":
            return [(None, weight[0])]
        names = [str(label) for label in self.classes.tolist()]
        return [(name, weight[j] - weight[0]) for j, name in enumerate(names) if j]

    def agreement(self, scores: np.ndarray, others: np.ndarray) -> float:
        """Return the share of images for which both say the same class."""
        return float(np.mean(scores.argmax(axis=1) == others.argmax(axis=1)))

    def strata(self, values: np.ndarray) -> np.ndarray:
        """Return the codes: each class gives its share."""
        return values


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return log-probabilities in float64.

    Examples
    --------
    >>> np.exp(log_softmax(np.zeros((1, 4)))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    with np.errstate(invalid="ignore"):  # a loss that goes is told of by the loop
        shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
