"""What one call of a fit is given: how it goes, and what there is to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diglot.images import ImageSet
from diglot.outcomes import Design, Outcome


@dataclass(frozen=True)
class Session:
    """One call of fit, update or partial_fit: how it differs from the others."""

    epochs: int | Sequence[int]
    train: str | Sequence[str]
    first_epoch: int = 0
    schedule: str = "constant"
    fresh_optimiser: bool = True


@dataclass(frozen=True)
class Observed:
    """Images, what is known beside them, and what is to be learned of them."""

    images: ImageSet
    design: Design | None
    covariates: np.ndarray | None
    outcome: Outcome
    values: np.ndarray
    weights: np.ndarray

    def take(self, chosen: np.ndarray) -> Observed:
        """Return some of the rows."""
        return replace(
            self,
            images=self.images.take(chosen),
            covariates=None if self.covariates is None else self.covariates[chosen],
            values=self.values[chosen],
            weights=self.weights[chosen],
        )
