"""ROC curves and the area under them, with DeLong's variance, also of images in groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation.inputs import check_classes, check_groups, check_probabilities, codes
from diglot.evaluation.intervals import normal, wilson

DELONG, OBUCHOWSKI = "DeLong", "Obuchowski"
_PAIRS = "Wilson, of independent pairs"


def roc_curve(
    truth: Iterable[Hashable], probabilities: np.ndarray, classes: Sequence[Hashable]
) -> pd.DataFrame:
    """Compute ROC curves: sensitivity and specificity at every threshold.

    Parameters
    ----------
    truth : sequence of n labels
        Each label is one of ``classes``.
    probabilities : array (n, k)
        Probability of each class, columns in the order of ``classes``.
    classes : sequence of k labels
        With two classes there is one curve, and the second class is "positive"; with more there
        is one curve a class, of that class against the rest.

    Returns
    -------
    DataFrame
        ``class`` (as text), ``threshold`` (images at least as probable count as positive; from
        infinity down), ``sensitivity``, ``specificity``. Points between which the curve is
        straight are left out. A class that has no images, or all of them, has no curve.

    Raises
    ------
    InputError
        Lengths or shapes differ, a label is not one of the classes, or the probabilities are
        none.

    References
    ----------
    T. Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27.

    Examples
    --------
    >>> p = np.array([0.1, 0.4, 0.35, 0.8])
    >>> roc_curve(["a", "a", "b", "b"], np.column_stack([1 - p, p]), ["a", "b"])
      class  threshold  sensitivity  specificity
    0     b        inf          0.0          1.0
    1     b       0.80          0.5          1.0
    2     b       0.40          0.5          0.5
    3     b       0.35          1.0          0.5
    4     b       0.10          1.0          0.0
    """
    names = check_classes(classes)
    actual = codes("truth", truth, names)
    p = check_probabilities(probabilities, len(actual), len(names)).astype(float)
    positives = [1] if len(names) == 2 else range(len(names))
    curves = [_curve(names[code], actual == code, p[:, code]) for code in positives]
    return pd.concat(curves, ignore_index=True)


def _curve(label: Hashable, positive: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    order = np.argsort(-score, kind="stable")
    score, positive = score[order], positive[order]
    last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else []
    hits = np.concatenate([[0], np.cumsum(positive)[last]])
    alarms = np.concatenate([[0], np.cumsum(~positive)[last]])
    thresholds = np.concatenate([[np.inf], score[last]])
    there = 0 < hits[-1] < len(score)
    # In whole numbers, so that straight is straight.
    turns = np.diff(hits)[1:] * np.diff(alarms)[:-1] != np.diff(hits)[:-1] * np.diff(alarms)[1:]
    kept = np.concatenate([[True], turns, [True]]) if there else np.zeros(len(hits), bool)
    return pd.DataFrame(
        {
            "class": pd.Series([str(label)] * int(kept.sum()), dtype=object),
            "threshold": thresholds[kept],
            "sensitivity": hits[kept] / max(1, hits[-1]),
            "specificity": 1 - alarms[kept] / max(1, alarms[-1]),
        }
    )


@dataclass(frozen=True)
class Placements:
    """Where each image stands among those of the other kind: what DeLong's variance is made of.

    ``positive`` (m,) holds for each positive the share of negatives that score less (ties count
    half), ``negative`` (q,) for each negative the share of positives that score more; both have
    the area under the curve as their mean. ``groups`` are codes of both, or None. The difference
    of two scores' placements is of this kind, too.
    """

    positive: np.ndarray
    negative: np.ndarray
    groups: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def area(self) -> float:
        """The area under the curve."""
        there = len(self.positive) and len(self.negative)
        return float(self.positive.mean()) if there else np.nan

    @property
    def variance(self) -> float:
        """DeLong's variance of the area; of images in groups Obuchowski's, which extends it.

        Missing where there are fewer than two positives or negatives, or groups with one.
        """
        if not (len(self.positive) and len(self.negative)):
            return np.nan
        above = (self.positive - self.positive.mean()) / len(self.positive)
        below = (self.negative - self.negative.mean()) / len(self.negative)
        if self.groups is None:
            return _spread(above, len(above)) + _spread(below, len(below))
        count = int(max(group.max() for group in self.groups)) + 1
        occurs = [np.bincount(group, minlength=count) > 0 for group in self.groups]
        sums = [
            np.bincount(group, weights, minlength=count)
            for group, weights in zip(self.groups, (above, below), strict=True)
        ]
        both = int((occurs[0] | occurs[1]).sum())
        cross = both / (both - 1) * (sums[0] * sums[1]).sum() if both > 1 else np.nan
        within = _spread(sums[0], occurs[0].sum()) + _spread(sums[1], occurs[1].sum())
        # Of few groups the estimate may fall below 0. NumPy's maximum keeps a missing one missing.
        return float(np.maximum(0.0, within + 2 * cross))

    def minus(self, other: Placements) -> Placements:
        """Return the difference from the placements of another score of the same images."""
        return Placements(
            self.positive - other.positive, self.negative - other.negative, self.groups
        )


def _spread(sums: np.ndarray, units: int) -> float:
    return units / (units - 1) * float((sums**2).sum()) if units > 1 else np.nan


def placements(
    positive: np.ndarray, score: np.ndarray, groups: np.ndarray | None = None
) -> Placements:
    """Compute placements.

    Parameters
    ----------
    positive : array of bool, (n,)
    score : array of float, (n,)
    groups : array of int, (n,), optional
        Codes from 0.

    Returns
    -------
    Placements

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (1988), Comparing the areas under two or more
    correlated receiver operating characteristic curves, Biometrics 44. N. A. Obuchowski (1997),
    Nonparametric analysis of clustered ROC curve data, Biometrics 53.

    Examples
    --------
    >>> found = placements(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> found.area
    0.75
    """
    high, low = score[positive], score[~positive]
    kinds = None if groups is None else (groups[positive], groups[~positive])
    if not (len(high) and len(low)):
        return Placements(np.full(len(high), np.nan), np.full(len(low), np.nan), kinds)
    return Placements(_below(high, low), 1 - _below(low, high), kinds)


def _below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of the others that is less than each value; ties count half."""
    others = np.sort(others)
    left, right = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return (left + right) / (2 * len(others))


def area_interval(found: Placements, level: float) -> tuple[float, float, str]:
    """Give the interval of the area under the curve, and what computed it.

    As in R's pROC the interval is normal and cut to 0 to 1. Where all positives score above all
    negatives, or all below, the variance is 0 and says nothing; then Wilson's interval stands
    in, of as many pairs of a positive and a negative as can be had without using one twice (of
    groups, as many as have the rarer kind): independent trials that were all won, or all lost.

    Examples
    --------
    >>> found = placements(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> area_interval(found, 0.95)
    (0.05704..., 1.0, 'DeLong')
    """
    area = found.area
    if area in (0.0, 1.0):
        kinds = found.groups or (found.positive, found.negative)
        unique = found.groups is not None
        pairs = min(len(np.unique(kind)) if unique else len(kind) for kind in kinds)
        lower, upper = wilson(round(area * pairs), pairs, level)
        return float(lower), float(upper), _PAIRS
    lower, upper = normal(area, np.sqrt(found.variance), level, 0.0, 1.0)
    return lower, upper, DELONG if found.groups is None else OBUCHOWSKI


@dataclass(frozen=True)
class MacroArea:
    """The mean area over the classes, one against the rest, and what each image adds to it.

    ``areas`` (k,) are the classes' own, missing for a class without images or with all of them;
    ``influence`` (n,) has the mean 0, and its mean square over n is the variance of ``area``.
    """

    areas: np.ndarray
    influence: np.ndarray

    @property
    def area(self) -> float:
        """The mean of the areas that there are."""
        return float(np.nanmean(self.areas)) if np.isfinite(self.areas).any() else np.nan


def macro_area(actual: np.ndarray, probabilities: np.ndarray) -> MacroArea:
    """Compute the areas of all classes and the images' influence on their mean.

    Each area is a two-sample U-statistic. Its placements, centred, say what an image adds (DeLong
    and others 1988); the mean over classes adds up what an image adds to each of them, so that
    the dependence between the curves, which share all images, is accounted for.

    Parameters
    ----------
    actual : array of int, (n,)
        Codes of the true classes.
    probabilities : array of float, (n, k)

    Returns
    -------
    MacroArea

    Examples
    --------
    >>> p = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    >>> macro_area(np.array([0, 1, 2]), p).areas.tolist()
    [1.0, 1.0, 1.0]
    """
    n, k = probabilities.shape
    areas, influence = np.full(k, np.nan), np.zeros(n)
    for code in range(k):
        positive = actual == code
        found = placements(positive, probabilities[:, code])
        if np.isnan(found.area):
            continue
        areas[code] = found.area
        influence[positive] += (found.positive - found.area) * (n / len(found.positive))
        influence[~positive] += (found.negative - found.area) * (n / len(found.negative))
    return MacroArea(areas, influence / max(1, np.isfinite(areas).sum()))


def mean_error(influence: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the standard error of what has this influence, by images or by groups of them.

    Examples
    --------
    >>> round(mean_error(np.array([-1.0, 1.0]), None), 3)
    1.0
    """
    n = len(influence)
    sums = influence if groups is None else np.bincount(groups, influence)
    if len(sums) < 2:
        return np.nan
    return float(np.sqrt(_spread(sums, len(sums))) / n)


def roc_auc(
    positive: Any, score: Any, *, groups: Any = None, level: float = 0.95
) -> dict[str, Any]:
    """Compute the area under the ROC curve with its interval.

    Parameters
    ----------
    positive : sequence of n bool
    score : sequence of n numbers
        The larger, the likelier positive.
    groups : sequence of n labels, optional
        Which images belong together, as of one patient.
    level : float
        Confidence level.

    Returns
    -------
    dict
        ``estimate``, ``lower``, ``upper``, ``method`` and ``n``; missing, with n = 0, where there
        are no positives or no negatives.

    Raises
    ------
    InputError
        Lengths differ, or a score is missing.

    Notes
    -----
    The interval is DeLong's, as in R's pROC; with groups the variance is Obuchowski's. Where
    the two kinds are separated without error see `area_interval`.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (1988), Comparing the areas under two or more
    correlated receiver operating characteristic curves, Biometrics 44. N. A. Obuchowski (1997),
    Nonparametric analysis of clustered ROC curve data, Biometrics 53.

    Examples
    --------
    >>> roc_auc([False, False, True, True], [0.1, 0.4, 0.35, 0.8])["estimate"]
    0.75
    """
    kinds, scores = np.asarray(positive, dtype=bool), np.asarray(score, dtype=float)
    if kinds.ndim != 1 or kinds.shape != scores.shape:
        raise InputError(
            f"positive has shape {kinds.shape} and score {scores.shape}; give both for each image."
        )
    if np.isnan(scores).any():
        raise InputError(f"score is missing at place {int(np.flatnonzero(np.isnan(scores))[0])}.")
    found = placements(kinds, scores, check_groups(groups, len(kinds)))
    lower, upper, method = area_interval(found, level)
    n = 0 if np.isnan(found.area) else len(kinds)
    return {"estimate": found.area, "lower": lower, "upper": upper, "method": method, "n": n}
