"""How often sets and intervals held the truth, beside how often they were to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation import wilson
from diglot.uncertainty.checks import check_codes, check_coverage, check_numbers

COLUMNS = ["coverage", "class", "estimate", "lower", "upper", "method", "n", "mean_size"]


def coverage_table(
    codes: np.ndarray,
    sets: np.ndarray,
    coverage: float,
    classes: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Count how often sets of classes held the true one.

    Parameters
    ----------
    codes : array of n int
        The true classes, as columns of ``sets``.
    sets : array of bool (n, k)
        Which classes are in the set of each image.
    coverage : float
        How often they were to hold it, between 0 and 1.
    classes : sequence of k labels, optional
        The classes; by default the numbers of their columns.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    DataFrame
        One row for the whole, where ``class`` is missing, and one for the images of each class:
        ``coverage`` (that was asked for), ``class`` (as text), ``estimate`` (share of the sets
        that hold the true class), ``lower`` and ``upper`` (Wilson's interval), ``method`` (of the
        interval), ``n`` (images), ``mean_size`` (classes a set).

    Raises
    ------
    InputError
        If an argument cannot be.

    Examples
    --------
    >>> from diglot.uncertainty import coverage_table
    >>> sets = np.array([[True, True], [True, False], [False, True], [True, False]])
    >>> table = coverage_table([0, 0, 1, 1], sets, 0.9, ["cat", "dog"])
    >>> table[["class", "estimate", "n", "mean_size"]].iloc[1:].values.tolist()
    [['cat', 1.0, 2, 1.5], ['dog', 0.5, 2, 1.0]]
    """
    held = np.asarray(sets)
    if held.ndim != 2 or held.dtype.kind != "b":
        raise InputError("sets must be True and False, with a row an image and a column a class.")
    n, k = held.shape
    names = list(range(k)) if classes is None else list(classes)
    if len(names) != k:
        raise InputError(f"sets have {k} columns, but there are {len(names)} classes.")
    code = check_codes(codes, n, k)
    right, size = held[np.arange(n), code], held.sum(axis=1)
    groups = [(None, np.ones(n, bool)), *((str(c), code == i) for i, c in enumerate(names))]
    rows = [(name, right[mine], size[mine]) for name, mine in groups]
    return _table(check_coverage(coverage), rows, level)


def interval_coverage_table(
    truth: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    coverage: float,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Count how often intervals held the true number.

    Parameters
    ----------
    truth, lower, upper : arrays of n floats
        The true numbers, and the ends of their intervals, which may be infinite.
    coverage : float
        How often they were to hold it, between 0 and 1.
    level : float
        Confidence level of the interval of the share.

    Returns
    -------
    DataFrame
        One row, with the columns of `coverage_table`; ``mean_size`` is the mean width.

    Examples
    --------
    >>> from diglot.uncertainty import interval_coverage_table
    >>> table = interval_coverage_table([1, 5], [0, 0], [2, 2], 0.9)
    >>> table[["estimate", "n", "mean_size"]].values.tolist()
    [[0.5, 2.0, 2.0]]
    """
    y = np.asarray(truth)
    y = check_numbers("truth", y, (len(y) if y.ndim else 0,))
    ends = [np.asarray(end, np.float64) for end in (lower, upper)]
    if any(end.shape != y.shape or np.isnan(end).any() for end in ends):
        raise InputError(f"lower and upper must be {len(y)} numbers each, one for each of truth.")
    right = (ends[0] <= y) & (y <= ends[1])
    return _table(check_coverage(coverage), [(None, right, ends[1] - ends[0])], level)


def _table(
    coverage: float, groups: list[tuple[str | None, np.ndarray, np.ndarray]], level: float
) -> pd.DataFrame:
    rows = []
    for name, right, size in groups:
        n, hits = len(right), int(right.sum())
        lower, upper = (float(end) for end in wilson(hits, n, level))
        share, mean = (hits / n, float(size.mean())) if n else (np.nan, np.nan)
        rows.append((coverage, name, share, lower, upper, "Wilson", n, mean))
    return pd.DataFrame(rows, columns=COLUMNS)
