"""Numbers: means under squared error, rates under Poisson, quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d

from diglot.builder import Builder, Tensor
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph
from diglot.outcomes.moments import moments

FAMILIES = ("gaussian", "poisson", "quantile")


@dataclass(frozen=True)
class Numbers:
    """A number; see :class:`diglot.outcomes.Outcome`.

    The network gives numbers on a scale on which the training images' outcomes have the mean 0
    and the spread 1 ("gaussian", "quantile"), or the logarithm of the rate over their mean
    ("poisson").

    Attributes
    ----------
    family : {"gaussian", "poisson", "quantile"}
        Squared error; the Poisson distribution's deviance, with a log link (McCullagh and Nelder,
        Generalized Linear Models, 1989); the tilted absolute error (Koenker and Bassett,
        Regression quantiles, Econometrica 46, 1978).
    centre, scale : float
        The mean and the spread in training; for "poisson" 0 and the mean.
    quantiles : tuple of float
        Which, for "quantile".
    """

    family: str
    centre: float
    scale: float
    quantiles: tuple[float, ...] = ()
    measure = "mae"
    target_width = 1
    alternatives = 1

    @classmethod
    def of(
        cls, values: np.ndarray, weights: np.ndarray, family: str, quantiles: Sequence[float] = ()
    ) -> Numbers:
        """Return the outcome of these training values.

        Raises
        ------
        InputError
            If they cannot be of the family.
        """
        mean, scale = (float(each[0]) for each in moments(values[:, None], weights))
        if family == "poisson":
            return cls(family, 0.0, mean)
        return cls(family, mean, scale, tuple(quantiles) if family == "quantile" else ())

    @property
    def width(self) -> int:
        """One number, or one a quantile."""
        return max(1, len(self.quantiles))

    @property
    def middle(self) -> int:
        """Which quantile is nearest to the median."""
        if not self.quantiles:
            return 0
        return int(np.argmin(np.abs(np.array(self.quantiles) - 0.5)))

    def extended(self, graph: Graph) -> Graph:
        """Return the network as it is."""
        return graph

    def targets(self, values: np.ndarray) -> np.ndarray:
        """Return the values on the network's scale."""
        return ((values - self.centre) / self.scale).astype(np.float32)[:, None]

    def loss(self, b: Builder, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Write the family's loss, on the network's scale, and the absolute error."""
        if self.family == "poisson":
            rate = b.add("exp", scores, name="rate")
            gain = b.add("elemwise_mul", target, scores, name="log_likelihood")
            loss = b.add("elemwise_sub", rate, gain, name="poisson_loss")
            return loss, self._error(b, rate, target)
        if self.family == "gaussian":
            off = b.add("elemwise_sub", scores, target, name="residual")
            square = b.add("square", off, name="squared_residual")
            half = b.add("_mul_scalar", square, name="half_squared_residual", scalar=0.5)
            return half, self._error(b, scores, target)
        parts = []
        for j, quantile in enumerate(self.quantiles):
            mine = b.add("slice_axis", scores, name=f"quantile{j}", axis=1, begin=j, end=j + 1)
            off = b.add("elemwise_sub", target, mine, name=f"residual{j}")
            over = b.add("negative", off, name=f"excess{j}")
            over = b.add("relu", over, name=f"positive_excess{j}")
            tilt = b.add("_mul_scalar", off, name=f"tilt{j}", scalar=quantile)
            parts.append(b.add("elemwise_add", tilt, over, name=f"pinball{j}"))
            if j == self.middle:
                centre = mine
        total = parts[0]
        for j, part in enumerate(parts[1:], start=1):
            total = b.add("elemwise_add", total, part, name=f"pinball_sum{j}")
        return total, self._error(b, centre, target)

    def _error(self, b: Builder, guess: Tensor, target: Tensor) -> Tensor:
        off = b.add("elemwise_sub", guess, target, name="error")
        size = b.add("abs", off, name="absolute_error")
        return b.add("_mul_scalar", size, name="error_in_units", scalar=self.scale)

    def judge(self, scores: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Return the means of the loss and of the absolute error."""
        target, scores = self.targets(values).astype(float), scores.astype(np.float64)
        if self.family == "poisson":
            losses = np.exp(scores) - target * scores
        elif self.family == "gaussian":
            losses = (scores - target) ** 2 / 2
        else:
            off = target - scores
            losses = np.array(self.quantiles) * off + np.maximum(-off, 0)
        error = np.abs(self.predicted(scores)[:, self.middle] - values)
        return {
            "loss": float(np.average(losses.sum(axis=1), weights=weights)),
            "mae": float(np.average(error, weights=weights)),
        }

    def predicted(self, scores: np.ndarray) -> np.ndarray:
        """Return what scores mean, in the outcome's own units: (n, width), float64.

        Quantiles that cross are brought into order, which never makes them worse (Chernozhukov,
        Fernandez-Val and Galichon, Econometrica 78, 2010).
        """
        scores = scores.astype(np.float64)
        if self.family == "poisson":
            return self.scale * np.exp(scores)
        values = self.centre + self.scale * scores
        if len(self.quantiles) > 1:
            order = np.argsort(self.quantiles)
            values[:, order] = np.sort(values, axis=1)
        return values

    def effects(self, weight: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
        """Return the effects on the mean, on the log-rate, or on each quantile."""
        if self.family == "poisson":
            return [(None, weight[0])]
        names = [f"{q:g}" for q in self.quantiles] or [None]
        return [(name, self.scale * row) for name, row in zip(names, weight, strict=True)]

    def agreement(self, scores: np.ndarray, others: np.ndarray) -> float:
        """Return the share of images for which both say the same, to a fiftieth of the spread."""
        return float(np.mean(np.abs(scores - others).max(axis=1) < 0.02))

    def strata(self, values: np.ndarray) -> np.ndarray:
        """Return one stratum."""
        return np.zeros(len(values), np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "family": self.family,
            "centre": self.centre,
            "scale": self.scale,
            "quantiles": list(self.quantiles),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Numbers:
        """Read what :meth:`to_dict` wrote; a file's data is checked, not trusted."""
        family, quantiles = fields["family"], tuple(float(q) for q in fields["quantiles"])
        centre, scale = float(fields["centre"]), float(fields["scale"])
        sound = family in FAMILIES and np.isfinite([centre, scale]).all() and scale > 0
        sound = sound and all(0 < q < 1 for q in quantiles) and len(quantiles) <= 1000
        if not sound or (family == "quantile") != bool(quantiles):
            raise ModelFileError("the description of the outcome is damaged")
        return cls(family, centre, scale, quantiles)


def encode_numbers(y: Any, rows: int, family: str) -> np.ndarray:
    """Return outcomes as float64: (n,).

    Parameters
    ----------
    y : sequence of n numbers
    rows : int
        How many images there are.
    family : str
        Counts, for "poisson", are not negative.

    Raises
    ------
    InputError
        If a value is missing or cannot be, or the lengths differ.
    """
    values = getattr(y, "array", y)
    if isinstance(values, pd.Categorical):
        raise InputError("y is a factor; numbers are learned here, ImageClassifier learns classes")
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    elif values.ndim != 1:
        raise InputError(f"y must be one number an image; its shape is {values.shape}")
    try:
        numbers = np.asarray(pd.array(values.tolist(), dtype="Float64"), object)
        numbers = np.array([np.nan if v is pd.NA else v for v in numbers], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y must be numbers: {error}") from error
    if len(numbers) != rows:
        raise InputError(
            f"there are {rows} images and {len(numbers)} numbers: give one an image "
            "(inconsistent numbers of samples)"
        )
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise InputError(
            f"y contains NaN or infinity, in row {int(np.flatnonzero(bad)[0]) + 1} "
            f"({int(bad.sum())} such rows): leave these rows out"
        )
    if family == "poisson" and (numbers < 0).any():
        row = int(np.flatnonzero(numbers < 0)[0]) + 1
        raise InputError(
            f'family="poisson" takes counts from 0, not {numbers[row - 1]:g} (row {row})'
        )
    return numbers
