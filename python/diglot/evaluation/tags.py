"""Tags, of which an image may have several or none: metrics of each, and of all together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation.bootstrap import Bootstrap, Samples
from diglot.evaluation.confusions import ratio
from diglot.evaluation.inputs import check_classes, check_count, check_groups
from diglot.evaluation.intervals import normal_quantile, percentiles, wilson
from diglot.evaluation.table import MetricTable
from diglot.seeds import check_seed


def evaluate_tags(
    truth: Any,
    probabilities: Any,
    tags: Sequence[Hashable],
    thresholds: Any = 0.5,
    *,
    groups: Iterable[Hashable] | None = None,
    level: float = 0.95,
    seed: int | None = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Evaluate tags of images; every metric comes with an interval.

    Parameters
    ----------
    truth : array (n, t) of bool
        Which image has which tag.
    probabilities : array (n, t)
        Of each tag, from 0 to 1, columns in the order of ``tags``.
    tags : sequence of t labels
    thresholds : float, or sequence of t floats
        An image gets a tag that is at least as probable.
    groups : sequence of n labels, optional
        Which images belong together, as several of one patient; whole groups are then drawn.
    level : float
        Confidence level of the intervals.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    resamples : int
        Number of bootstrap samples; 0 leaves those intervals missing.

    Returns
    -------
    DataFrame
        The columns of `evaluate_classes`; ``class`` is the tag. Of the whole:
        ``subset_accuracy`` (all tags of an image right), ``hamming_loss`` (share of wrong
        decisions), ``micro_f1`` (of all decisions), ``macro_f1`` (mean over the tags that occur
        or are given) and ``mean_average_precision`` (mean over the tags that occur). Of each
        tag: ``sensitivity``, ``specificity``, ``precision``, ``f1``, ``average_precision`` (mean
        precision over the positives, by their rank) and ``roc_auc``.

    Raises
    ------
    InputError
        Shapes differ, or a probability is none.

    Notes
    -----
    Intervals are as in `evaluate_classes`: Wilson's of proportions, DeLong's of areas under ROC
    curves, and else percentiles of the bootstrap. An image is drawn with all its tags, as they
    are not independent of each other.

    References
    ----------
    G. Tsoumakas and I. Katakis (2007), Multi-label classification: an overview, International
    Journal of Data Warehousing and Mining 3. W. Zhu (2004), Recall, precision and average
    precision, University of Waterloo.

    Examples
    --------
    >>> truth = np.array([[1, 0], [1, 1], [0, 1]])
    >>> table = evaluate_tags(truth, [[0.9, 0.2], [0.4, 0.8], [0.1, 0.7]], ["red", "round"])
    >>> table.set_index("metric").loc[["subset_accuracy", "micro_f1"], "estimate"].round(3).tolist()
    [0.667, 0.857]
    """
    names = check_classes(tags)
    has, p, limits = _checked(truth, probabilities, thresholds, len(names))
    n = len(has)
    normal_quantile(level)
    draws = Bootstrap(
        n, check_count("resamples", resamples, 0), check_seed(seed), check_groups(groups, n)
    )
    judged = Tags(has, p >= limits, p)

    table = MetricTable(level, draws, draws.samples(judged.metrics))
    estimates = judged.metrics(np.ones((1, n)))
    right = (has == judged.given).all(axis=1)
    table.proportion("subset_accuracy", right)
    alike = n > 0 and bool(right.all())
    for metric in ("hamming_loss", "micro_f1", "macro_f1", "mean_average_precision"):
        ends, method = table.percentiles(metric), f"{draws.name} percentile"
        estimate = float(estimates[metric][0])
        if alike and metric != "mean_average_precision" and not np.isnan(estimate):
            # Nothing to resample. An image that is not all right has at most all its tags wrong.
            ends = tuple(float(end) for end in wilson(draws.units, draws.units, level))
            ends = (1 - ends[1], 1 - ends[0]) if metric == "hamming_loss" else ends
            method = "Wilson, of subset accuracy"
        table.add(metric, estimate, ends, method, n)
    for code, tag in enumerate(names):
        positive, called = has[:, code], judged.given[:, code]
        table.proportion("sensitivity", called, positive, tag, code)
        table.proportion("specificity", ~called, ~positive, tag, code)
        table.proportion("precision", positive, called, tag, code)
        table.f1(positive, called, tag, code)
        metric = "average_precision"
        ends = percentiles(table.samples.get(metric, np.zeros((0, len(names))))[:, code], level)
        estimate = float(estimates[metric][0, code])
        count = n if positive.any() else 0
        table.add(metric, estimate, ends, f"{draws.name} percentile", count, tag)
        table.area(positive, p[:, code], tag)
    return table.frame()


def _checked(
    truth: Any, probabilities: Any, thresholds: Any, t: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    has, p = np.asarray(truth), np.asarray(probabilities, dtype=float)
    if has.ndim != 2 or has.shape[1] != t or p.shape != has.shape:
        raise InputError(
            f"truth has shape {has.shape} and probabilities {p.shape}; both need a row an image "
            f"and {t} columns, one a tag."
        )
    if not np.isin(has, [0, 1]).all():
        raise InputError("truth must be True or False for each image and tag.")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probabilities must be numbers from 0 to 1; scores need a sigmoid first.")
    limits = np.asarray(thresholds, dtype=float)
    if limits.shape not in ((), (t,)) or not ((limits >= 0) & (limits <= 1)).all():
        raise InputError(
            f"thresholds must be a number from 0 to 1, or {t} of them, not {thresholds!r:.60}."
        )
    return has.astype(bool), p, limits


class Tags:
    """The metrics of tags, for many weightings of the same images at once.

    Examples
    --------
    >>> has = np.array([[True], [False]])
    >>> judged = Tags(has, has, np.array([[0.9], [0.3]]))
    >>> judged.metrics(np.ones((1, 2)))["micro_f1"].tolist()
    [1.0]
    """

    def __init__(self, has: np.ndarray, given: np.ndarray, p: np.ndarray) -> None:
        self.has, self.given, self.p = has, given, p
        self.order = np.argsort(-p, axis=0, kind="stable")

    def metrics(self, times: np.ndarray) -> Samples:
        """Compute the metrics for images that count so and so often, (samples, n)."""
        n = times.sum(axis=1)
        tp, row, column = (
            times @ counts.astype(float) for counts in (self.has & self.given, self.has, self.given)
        )
        rest, seen = n[:, None] - row, row + column > 0
        f1 = ratio(2 * tp, row + column)
        precisions = np.column_stack(
            [self._average_precision(times, t) for t in range(row.shape[1])]
        )
        return {
            "subset_accuracy": ratio(times @ (self.has == self.given).all(axis=1), n),
            "hamming_loss": ratio((row + column - 2 * tp).sum(axis=1), n * row.shape[1]),
            "micro_f1": ratio(2 * tp.sum(axis=1), (row + column).sum(axis=1)),
            "macro_f1": ratio(np.where(seen, f1, 0).sum(axis=1), seen.sum(axis=1)),
            "mean_average_precision": ratio(np.nansum(precisions, axis=1), (row > 0).sum(axis=1)),
            "sensitivity": ratio(tp, row),
            "specificity": ratio(rest - column + tp, rest),
            "precision": ratio(tp, column),
            "f1": f1,
            "average_precision": precisions,
        }

    def _average_precision(self, times: np.ndarray, tag: int) -> np.ndarray:
        order, score = self.order[:, tag], self.p[self.order[:, tag], tag]
        # Images of the same probability come in at once.
        last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else []
        called = np.cumsum(times[:, order], axis=1)[:, last]
        hits = np.cumsum(times[:, order] * self.has[order, tag], axis=1)[:, last]
        gained = np.diff(hits, axis=1, prepend=0)
        precision = hits / np.maximum(called, 1)
        positives = times @ self.has[:, tag].astype(float)
        return ratio((gained * precision).sum(axis=1), positives)
