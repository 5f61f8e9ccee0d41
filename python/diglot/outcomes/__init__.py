"""What is learned of an image: classes, ordered classes, numbers or tags, beside covariates.

An outcome says how it is coded, what the network gains behind its last layer, what the loss is,
and what the network's scores mean.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.graph import Graph
from diglot.outcomes.classes import Classes
from diglot.outcomes.covariates import Design
from diglot.outcomes.heads import bare, with_covariates, with_cutpoints

__all__ = ["Classes", "Design", "Outcome", "bare", "with_covariates", "with_cutpoints"]


class Outcome(Protocol):
    """What is learned of each image.

    Attributes
    ----------
    family : str
        The distribution and link, such as "multinomial".
    width : int
        How many numbers the network's last layer gives.
    target_width : int
        How many numbers say what is true of an image.
    alternatives : int
        Among how many label smoothing divides a label's certainty.
    measure : str
        What each epoch is told of beside the loss.
    """

    family: str
    width: int
    target_width: int
    alternatives: int
    measure: str

    def extended(self, graph: Graph) -> Graph:
        """Return the network with what the family puts behind its last layer."""

    def targets(self, values: np.ndarray) -> np.ndarray:
        """Return coded values as the loss takes them: (n, target_width), float32."""

    def loss(self, b: Builder, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Write each row's loss and measure, both of shape (1,), into a training graph."""

    def judge(self, scores: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Return the weighted means of loss and measure."""

    def effects(self, weight: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
        """Return the effects of covariates that (width, p) weights amount to, and on what."""

    def agreement(self, scores: np.ndarray, others: np.ndarray) -> float:
        """Return the share of images for which two ways to score answer the same."""

    def strata(self, values: np.ndarray) -> np.ndarray:
        """Return codes of groups that a validation split takes its share of."""
