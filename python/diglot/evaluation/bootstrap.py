"""The bootstrap: images drawn with replacement, or whole groups of images (clusters)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diglot.evaluation.intervals import bca
from diglot.seeds import stream

_NUMBERS = 2_000_000  # held at once; a block of samples is as many as that

Scores = Callable[[np.ndarray], np.ndarray]
"""Scores (..., k) from sums (..., m) of per-image statistics."""

Samples = dict[str, np.ndarray]
"""By metric its values in bootstrap samples: (samples,), of classes (samples, k)."""


@dataclass(frozen=True)
class Bootstrap:
    """Draws images with replacement: the same ones for every metric, so that metrics compare.

    Parameters
    ----------
    n : int
        Number of images.
    resamples : int
        Number of bootstrap samples.
    seed : int
    groups : ndarray of int, (n,), optional
        Codes of the groups, from 0. Whole groups are then drawn, as many as there are: images of
        one group, such as those of one patient, need not be independent.
    purpose : str
        Name of the random stream.

    References
    ----------
    A. C. Davison and D. V. Hinkley (1997), Bootstrap Methods and their Application, section 3.8:
    of clusters, drawing these and nothing within them comes closest.

    Examples
    --------
    >>> draws = Bootstrap(4, resamples=2, seed=1, groups=np.array([0, 0, 1, 1]))
    >>> [block.shape for block in draws.times()], draws.units
    ([(2, 4)], 2)
    """

    n: int
    resamples: int
    seed: int
    groups: np.ndarray | None = None
    purpose: str = "bootstrap"

    @property
    def units(self) -> int:
        """How many images, or groups of images, are drawn."""
        if self.groups is None:
            return self.n
        return int(self.groups.max()) + 1 if self.n else 0

    @property
    def possible(self) -> bool:
        """Whether there are samples: of one unit all would be alike."""
        return self.resamples > 0 and self.units > 1

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return "bootstrap" if self.groups is None else "cluster bootstrap"

    def drawn(self) -> Iterator[np.ndarray]:
        """Give how often each unit was drawn, (samples, units), in blocks that fit in memory."""
        units = self.units
        block = max(1, _NUMBERS // max(1, self.n))
        for start in range(0, self.resamples if self.possible else 0, block):
            rows = range(start, min(start + block, self.resamples))
            times = np.empty((len(rows), units))
            for place, row in enumerate(rows):
                # By the sample's number, so that how many fit in memory makes no difference.
                draw = stream(self.seed, self.purpose, row).integers(units, size=units)
                times[place] = np.bincount(draw, minlength=units)
            yield times

    def times(self) -> Iterator[np.ndarray]:
        """Give how often each image was drawn, (samples, n), in blocks that fit in memory."""
        for times in self.drawn():
            yield times if self.groups is None else times[:, self.groups]

    def samples(self, metrics: Callable[[np.ndarray], Samples]) -> Samples:
        """Compute metrics in every sample; none, where there is nothing to draw.

        Parameters
        ----------
        metrics : callable
            Computes metrics of images that count so and so often, (samples, n).
        """
        parts = [metrics(times) for times in self.times()]
        return {name: np.concatenate([part[name] for part in parts]) for name in (parts or [{}])[0]}

    def by_unit(self, statistics: np.ndarray) -> np.ndarray:
        """Return sums (units, m) of per-image statistics (n, m)."""
        if self.groups is None:
            return statistics
        sums = np.zeros((self.units, statistics.shape[1]))
        np.add.at(sums, self.groups, statistics)
        return sums

    def intervals(self, statistics: np.ndarray, scores: Scores, level: float) -> np.ndarray:
        """Give bias corrected and accelerated intervals of scores that come from sums.

        Parameters
        ----------
        statistics : array of float, (n, m)
            Numbers of each image that add up.
        scores : callable
            Computes k scores from sums over images: (..., m) to (..., k).
        level : float

        Returns
        -------
        array of float, (k, 2)
            Missing where there is nothing to draw.
        """
        statistics = self.by_unit(statistics)
        total = statistics.sum(axis=0)
        estimates = scores(total)
        if not self.possible:
            return np.full((len(estimates), 2), np.nan)
        sample = np.concatenate([scores(times @ statistics) for times in self.drawn()])
        # Without one unit each.
        without = scores(total - statistics)
        return np.array(
            [bca(sample[:, k], without[:, k], estimates[k], level) for k in range(len(estimates))]
        )
