"""Classification: metrics of predicted classes and probabilities, each with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError

_TOP = 5
_COLUMNS = ["metric", "class", "estimate", "lower", "upper", "method", "n"]
_WILSON, _BOOTSTRAP, _NORMAL = "Wilson", "bootstrap percentile", "normal, of a mean"


def evaluate_classes(
    truth: Iterable[Hashable],
    predicted: Iterable[Hashable],
    probabilities: np.ndarray | None,
    classes: Sequence[Hashable],
    *,
    level: float = 0.95,
    seed: int | None = 0,
    bootstrap: int = 1000,
    ordered: bool = False,
) -> pd.DataFrame:
    """Evaluate predicted classes and probabilities; every metric comes with an interval.

    Parameters
    ----------
    truth, predicted : sequences of n labels
        Each label is one of ``classes``.
    probabilities : array (n, k), or None
        Probability of each class, columns in the order of ``classes``. With None the metrics
        that need it are left out.
    classes : sequence of k labels
        All classes, also those that ``truth`` lacks.
    level : float
        Confidence level of the intervals.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    bootstrap : int
        Number of bootstrap samples; 0 leaves those intervals missing.
    ordered : bool
        The classes are ordered: kappa gets quadratic weights, so that a near miss counts less.

    Returns
    -------
    DataFrame
        One row for each metric, with the columns ``metric``; ``class`` (the class as text,
        missing for metrics of the whole); ``estimate``; ``lower`` and ``upper`` (ends of the
        interval); ``method`` (of the interval); ``n`` (how many cases the estimate rests on; 0
        makes the estimate missing).

        Of the whole: ``accuracy``, ``balanced_accuracy`` (mean sensitivity of the classes that
        occur), ``macro_f1`` (mean over the classes that occur or are predicted), ``kappa`` or
        ``weighted_kappa``, ``log_loss`` (probabilities clipped as scikit-learn does), ``brier``
        (from 0 to 2, or to 1 with two classes) and, with more than five classes,
        ``top_5_accuracy``. Of each class: ``sensitivity`` (recall), ``specificity``,
        ``precision``, ``f1``.

    Raises
    ------
    InputError
        Lengths or shapes differ, a label is not one of the classes, or the probabilities are
        none.

    Notes
    -----
    Proportions have Wilson's score interval. So has F1: given TP + FP + FN, the count TP is
    binomial, and F1 = 2 p / (1 + p) grows with its proportion p; the transformed interval keeps its
    coverage where a bootstrap would collapse to a point, as in a class without errors. Balanced
    accuracy, macro F1 and kappa have a percentile bootstrap of the confusion matrix. Where
    there is nothing to resample, because all predictions are right or all wrong, the Wilson
    interval of the accuracy stands in, and ``method`` says so. Log loss and the Brier score are
    means over images and have the mean's normal interval.

    References
    ----------
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
    JASA 22. B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    J. Cohen (1968), Weighted kappa, Psychological Bulletin 70. G. W. Brier (1950), Verification
    of forecasts expressed in terms of probability, Monthly Weather Review 78.

    Examples
    --------
    >>> from diglot.evaluation import evaluate_classes
    >>> table = evaluate_classes(["a", "b", "b"], ["a", "b", "a"], None, ["a", "b"])
    >>> table[["metric", "estimate", "lower", "upper"]].round(3).iloc[0].tolist()
    ['accuracy', 0.667, 0.208, 0.939]
    """
    names, actual, guess = _coded(truth, predicted, classes)
    if bootstrap < 0:
        raise InputError(f"bootstrap is {bootstrap}; use 0 or more samples.")
    n, k = len(actual), len(names)
    matrix = _matrix(actual, guess, k)
    table = _Table(level)

    hits = int(np.trace(matrix))
    table.proportion("accuracy", None, hits, n)
    kappa = "weighted_kappa" if ordered else "kappa"
    summaries = _summaries(matrix, ordered)
    samples = _bootstrap(matrix, bootstrap, seed, ordered)
    stand_in = [float(end) for end in wilson(hits, n, level)]
    for metric, estimate, sample in zip(
        ("balanced_accuracy", "macro_f1", kappa), summaries, samples, strict=True
    ):
        ends, method = _percentiles(sample, level), _BOOTSTRAP
        if n and (hits == n or (hits == 0 and metric != kappa)) and not np.isnan(estimate):
            ends, method = stand_in, "Wilson, of accuracy"
            if metric == kappa:
                # Kappa is 1 - error rate / error rate by chance.
                chance = 1 - ((matrix.sum(axis=1) / n) ** 2).sum()
                ends = [max(-1.0, 1 - (1 - end) / chance) for end in stand_in]
        table.add(metric, None, estimate, *ends, method, n)
    if probabilities is not None:
        _probabilistic(table, actual, _checked(probabilities, n, k), level)

    for code, label in enumerate(names):
        tp, row, column = matrix[code, code], matrix[code].sum(), matrix[:, code].sum()
        table.proportion("sensitivity", label, tp, row)
        table.proportion("specificity", label, n - row - column + tp, n - row)
        table.proportion("precision", label, tp, column)
        union = row + column - tp
        lower, upper = (2 * end / (1 + end) for end in wilson(tp, union, level))
        f1 = 2 * tp / (row + column) if union else np.nan
        table.add("f1", label, f1, lower, upper, "Wilson, of F1 / (2 - F1)", union)
    return table.frame()


def confusion(
    truth: Iterable[Hashable], predicted: Iterable[Hashable], classes: Sequence[Hashable]
) -> pd.DataFrame:
    """Count how often each class was taken for each.

    Parameters
    ----------
    truth, predicted : sequences of n labels
        Each label is one of ``classes``.
    classes : sequence of k labels
        All classes, in the order of rows and columns.

    Returns
    -------
    DataFrame of int, (k, k)
        Rows are the truth, columns the prediction.

    Raises
    ------
    InputError
        Lengths differ, or a label is not one of the classes.

    Examples
    --------
    >>> from diglot.evaluation import confusion
    >>> confusion(["a", "b", "b"], ["a", "b", "a"], ["a", "b"]).to_numpy().tolist()
    [[1, 0], [1, 1]]
    """
    names, actual, guess = _coded(truth, predicted, classes)
    # tupleize_cols=False: labels may be tuples, and are then no levels of an index.
    return pd.DataFrame(
        _matrix(actual, guess, len(names)),
        index=pd.Index(names, name="truth", tupleize_cols=False),
        columns=pd.Index(names, name="predicted", tupleize_cols=False),
    )


def wilson(
    successes: int | np.ndarray, n: int | np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Give Wilson's score interval of a proportion.

    Parameters
    ----------
    successes, n : int or array of int
        How many of how many. With n = 0 the ends are missing.
    level : float
        Confidence level.

    Returns
    -------
    lower, upper : array of float
        Never outside 0 to 1.

    References
    ----------
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
    JASA 22.

    Examples
    --------
    >>> from diglot.evaluation import wilson
    >>> [round(float(end), 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    z = _quantile(level)
    count, total = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    total = np.where(total > 0, total, np.nan)
    rate = count / total
    centre = (rate + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2) / (1 + z**2 / total)
    # Exact ends where rounding would leave 1e-17.
    lower = np.where(count == 0, np.where(np.isnan(total), np.nan, 0.0), centre - half)
    upper = np.where(count == total, 1.0, centre + half)
    return lower, upper


@dataclass
class _Table:
    level: float
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, metric: str, label: Any, *values: Any) -> None:
        estimate, lower, upper, method, n = values
        name = None if label is None else str(label)
        numbers = (float(estimate), float(lower), float(upper))
        self.rows.append((metric, name, *numbers, method, int(n)))

    def proportion(self, metric: str, label: Any, successes: int, n: int) -> None:
        estimate = successes / n if n else np.nan
        self.add(metric, label, estimate, *wilson(successes, n, self.level), _WILSON, n)

    def mean(self, metric: str, values: np.ndarray, most: float) -> None:
        n = len(values)
        estimate = values.mean() if n else np.nan
        half = np.nan
        if n > 1:
            half = _quantile(self.level) * values.std(ddof=1) / np.sqrt(n)
        ends = max(0.0, estimate - half), min(most, estimate + half)
        # `max` and `min` answer their first argument when the second is NaN.
        ends = ends if n > 1 else (np.nan, np.nan)
        self.add(metric, None, estimate, *ends, _NORMAL, n)

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=_COLUMNS)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; use a number between 0 and 1, as 0.95.")
    return NormalDist().inv_cdf((1 + level) / 2)


def _coded(
    truth: Iterable[Hashable], predicted: Iterable[Hashable], classes: Sequence[Hashable]
) -> tuple[list[Hashable], np.ndarray, np.ndarray]:
    """Give the classes, and both sets of labels as 0-based codes."""
    names = _listed(classes)
    if not names or len(set(names)) != len(names):
        raise InputError(f"classes are {names}; give each class once, and at least one.")
    actual, guess = _codes("truth", truth, names), _codes("predicted", predicted, names)
    if len(actual) != len(guess):
        raise InputError(
            f"truth has {len(actual)} labels and predicted {len(guess)}; give one for each image."
        )
    return names, actual, guess


def _listed(labels: Iterable[Hashable]) -> list[Hashable]:
    # NumPy's and pandas' own scalars become Python's.
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)


def _codes(argument: str, labels: Iterable[Hashable], names: list[Hashable]) -> np.ndarray:
    place = {name: code for code, name in enumerate(names)}
    values = _listed(labels)
    try:
        codes = [place.get(value, -1) for value in values]
    except TypeError:
        raise InputError(f"{argument} must be a plain sequence of labels, one an image.") from None
    strange = Counter(repr(v) for v, code in zip(values, codes, strict=True) if code < 0)
    if strange:
        label, times = strange.most_common(1)[0]
        known = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
        raise InputError(
            f"{argument} has the label {label} ({times} times), which is not one of the classes "
            f"({known}); drop those rows, or correct them."
        )
    return np.array(codes, dtype=np.intp)


def _matrix(actual: np.ndarray, guess: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(actual * k + guess, minlength=k * k).reshape(k, k)


def _checked(probabilities: np.ndarray, n: int, k: int) -> np.ndarray:
    p = np.asarray(probabilities)
    if p.shape != (n, k):
        raise InputError(
            f"probabilities have shape {p.shape}; they need {n} rows, one an image, and {k} "
            "columns, one a class."
        )
    if p.dtype.kind != "f":
        p = p.astype(float)
    # The negation also catches NaN.
    if not (np.all(p >= 0) and np.all(np.abs(p.sum(axis=1, dtype=float) - 1) < 1e-3)):
        raise InputError(
            "probabilities must be numbers from 0 to 1 that sum to 1 in each row; scores need "
            "a softmax first."
        )
    return p


def _probabilistic(table: _Table, actual: np.ndarray, p: np.ndarray, level: float) -> None:
    n, k = p.shape
    # As scikit-learn: the smallest step of the numbers' own type, so float32 clips earlier.
    tiny = np.finfo(p.dtype).eps
    p = p.astype(float)
    own = p[np.arange(n), actual]
    table.mean("log_loss", -np.log(np.clip(own, tiny, 1 - tiny)), np.inf)
    brier = (p**2).sum(axis=1) - 2 * own + 1
    table.mean("brier", brier / 2 if k == 2 else brier, 1.0 if k == 2 else 2.0)
    if k > _TOP:
        # Ties go to the earlier class, as in predict.
        column = np.arange(k)[None, :]
        ahead = (p > own[:, None]) | ((p == own[:, None]) & (column < actual[:, None]))
        hits = int((ahead.sum(axis=1) < _TOP).sum())
        table.proportion(f"top_{_TOP}_accuracy", None, hits, n)


def _summaries(matrix: np.ndarray, ordered: bool) -> tuple[float, float, float]:
    at = np.flatnonzero(matrix.ravel())
    cells = _Cells(at // len(matrix), at % len(matrix), len(matrix), ordered)
    return tuple(float(v[0]) for v in cells.summaries(matrix.ravel()[at][None, :]))


def _bootstrap(
    matrix: np.ndarray, samples: int, seed: int | None, ordered: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resample the images: a multinomial draw of the confusion matrix is the same, but quick.

    Only cells that are not empty are drawn, in blocks, so that a thousand classes fit in memory.
    """
    n, k = int(matrix.sum()), len(matrix)
    if not n or not samples:
        return tuple(np.full(1, np.nan) for _ in range(3))
    at = np.flatnonzero(matrix.ravel())
    cells = _Cells(at // k, at % k, k, ordered)
    share = matrix.ravel()[at] / n
    rng = np.random.default_rng(seed)
    block = max(1, 2_000_000 // (len(at) + k))
    parts = [
        cells.summaries(rng.multinomial(n, share, size=min(block, samples - start)))
        for start in range(0, samples, block)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


class _Cells:
    """The cells of a confusion matrix that are not empty, and the metrics of many fillings."""

    def __init__(self, row: np.ndarray, column: np.ndarray, k: int, ordered: bool) -> None:
        self.row, self.column, self.k = row, column, k
        self.diagonal = row == column
        self.ordered = ordered

    def summaries(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give balanced accuracy, macro F1 and kappa for counts (samples, cells)."""
        n = counts.sum(axis=1)
        row, column = self._sums(counts, self.row), self._sums(counts, self.column)
        tp = np.zeros_like(row)
        tp[:, self.row[self.diagonal]] = counts[:, self.diagonal]
        sensitivity = _mean_where(tp / np.maximum(row, 1), row > 0)
        f1 = _mean_where(2 * tp / np.maximum(row + column, 1), row + column > 0)
        place = np.arange(self.k, dtype=float)
        if self.ordered:
            seen = counts @ ((self.row - self.column) ** 2).astype(float)
            # The sum of (i - j)^2 over the product of the margins, by their moments.
            chance = n * (row @ place**2 + column @ place**2) - 2 * (row @ place) * (column @ place)
        else:
            seen = n - tp.sum(axis=1)
            chance = n.astype(float) ** 2 - (row.astype(float) * column).sum(axis=1)
        kappa = np.full(len(n), np.nan)
        np.divide(n * seen, chance, out=kappa, where=chance > 0)
        return sensitivity, f1, 1 - kappa

    def _sums(self, counts: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Sum the cells by row or by column of the matrix, (samples, k)."""
        sums = np.zeros((len(counts), self.k), dtype=counts.dtype)
        if len(group):
            order = np.argsort(group, kind="stable")
            present, first = np.unique(group[order], return_index=True)
            sums[:, present] = np.add.reduceat(counts[:, order], first, axis=1)
        return sums


def _mean_where(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    mean = np.full(len(values), np.nan)
    count = there.sum(axis=1)
    np.divide(np.where(there, values, 0).sum(axis=1), count, out=mean, where=count > 0)
    return mean


def _percentiles(sample: np.ndarray, level: float) -> list[float]:
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return [np.nan, np.nan]
    return [float(end) for end in np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])]
