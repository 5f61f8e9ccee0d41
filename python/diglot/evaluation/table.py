"""The table of metrics: one row a metric, or a metric and a class, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from diglot.evaluation.bootstrap import Bootstrap, Samples
from diglot.evaluation.intervals import normal, percentiles, standard_error, wilson
from diglot.evaluation.roc import area_interval, placements

COLUMNS = ["metric", "class", "estimate", "lower", "upper", "method", "n"]


@dataclass
class MetricTable:
    """Collects rows: estimates, and the intervals that their kind asks for.

    Proportions have Wilson's interval, means the normal one, areas under ROC curves DeLong's. Of
    images in groups, proportions and means have the percentile interval of the bootstrap samples.

    Parameters
    ----------
    level : float
        Confidence level.
    draws : Bootstrap
        How images are drawn.
    samples : dict of arrays (resamples,) or (resamples, k)
        By metric; those of classes have a column a class.

    Examples
    --------
    >>> table = MetricTable(0.95, Bootstrap(2, resamples=0, seed=1))
    >>> table.proportion("accuracy", np.array([True, False]))
    >>> table.frame()[["metric", "estimate", "n"]].to_numpy().tolist()
    [['accuracy', 0.5, 2]]
    """

    level: float
    draws: Bootstrap
    samples: Samples = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(
        self, metric: str, estimate: float, ends: Any, method: str, n: int, label: Any = None
    ) -> None:
        """Add a row; ``label`` is the class, None for metrics of the whole."""
        lower, upper = ends
        name = None if label is None else str(label)
        self.rows.append(
            (metric, name, float(estimate), float(lower), float(upper), method, int(n))
        )

    def proportion(
        self,
        metric: str,
        hit: np.ndarray,
        among: np.ndarray | None = None,
        label: Any = None,
        code: int | None = None,
    ) -> None:
        """Add the share of hits among some of the images.

        Where all images of groups are hits, or none is, there is nothing to resample: the groups
        are then counted in Wilson's interval as if each were one image.
        """
        estimate, ends, method, n = self._share(metric, hit, among, code)
        self.add(metric, estimate, ends, method, n, label)

    def f1(self, positive: np.ndarray, called: np.ndarray, label: Any, code: int) -> None:
        """Add the F1 of a class: 2 p / (1 + p), where p is the share of TP in TP + FP + FN."""
        share, (lower, upper), method, n = self._share(
            "f1", positive & called, positive | called, code
        )
        if method.startswith("Wilson"):
            lower, upper = 2 * lower / (1 + lower), 2 * upper / (1 + upper)
            method += ", of F1 / (2 - F1)"
        self.add("f1", 2 * share / (1 + share), (lower, upper), method, n, label)

    def _share(
        self, metric: str, hit: np.ndarray, among: np.ndarray | None, code: int | None
    ) -> tuple[float, tuple[Any, Any], str, int]:
        groups = self.draws.groups
        if among is not None:
            hit, groups = hit[among], None if groups is None else groups[among]
        n, hits = len(hit), int(hit.sum())
        estimate = hits / n if n else np.nan
        if groups is None:
            return estimate, wilson(hits, n, self.level), "Wilson", n
        if hits in (0, n):
            trials = len(np.unique(groups))
            ends = wilson(trials if hits else 0, trials, self.level)
            return estimate, ends, "Wilson, of clusters", n
        return estimate, self.percentiles(metric, code), f"{self.draws.name} percentile", n

    def mean(self, metric: str, values: np.ndarray, most: float = np.inf) -> None:
        """Add the mean of numbers from 0 to ``most``."""
        n = len(values)
        estimate = values.mean() if n else np.nan
        if self.draws.groups is None:
            ends = normal(estimate, standard_error(values), self.level, 0.0, most)
            self.add(metric, estimate, ends, "normal, of a mean", n)
        else:
            method = f"{self.draws.name} percentile"
            self.add(metric, estimate, self.percentiles(metric), method, n)

    def area(self, positive: np.ndarray, score: np.ndarray, label: Any = None) -> None:
        """Add the area under the ROC curve."""
        found = placements(positive, score, self.draws.groups)
        lower, upper, method = area_interval(found, self.level)
        n = 0 if np.isnan(found.area) else len(positive)
        self.add("roc_auc", found.area, (lower, upper), method, n, label)

    def percentiles(self, metric: str, code: int | None = None) -> tuple[float, float]:
        """Give the percentile interval of a metric's samples, of the class with this code."""
        sample = self.samples.get(metric)
        if sample is None:
            return np.nan, np.nan
        return percentiles(sample if code is None else sample[:, code], self.level)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame."""
        return pd.DataFrame(self.rows, columns=COLUMNS)
