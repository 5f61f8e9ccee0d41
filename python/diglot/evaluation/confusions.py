"""Metrics of the confusion matrix, for many weightings of the same images at once."""

from __future__ import annotations

import numpy as np

from diglot.evaluation.bootstrap import Samples


class Confusions:
    """The confusion matrices of one set of predictions, each image counted so and so often.

    Only cells that are not empty are held, so that a thousand classes fit in memory.

    Parameters
    ----------
    actual, guess : ndarray of int, (n,)
        Codes of the true and of the predicted classes.
    k : int
        Number of classes.
    ordered : bool
        The classes are ordered: kappa has quadratic weights.

    References
    ----------
    J. Cohen (1968), Weighted kappa, Psychological Bulletin 70.

    Examples
    --------
    >>> judged = Confusions(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    >>> judged.of_whole(np.array([[1, 1, 1], [1, 2, 0]]))["accuracy"].round(3).tolist()
    [0.667, 1.0]
    """

    def __init__(
        self, actual: np.ndarray, guess: np.ndarray, k: int, ordered: bool = False
    ) -> None:
        cells, cell = np.unique(actual * k + guess, return_inverse=True)
        self.row, self.column, self.k, self.ordered = cells // k, cells % k, k, ordered
        self.diagonal = self.row == self.column
        # Images in the order of their cells, and the first of each cell.
        self.order = np.argsort(cell, kind="stable")
        self.first = np.searchsorted(cell[self.order], np.arange(len(cells)))

    @property
    def kappa(self) -> str:
        """What kappa is called."""
        return "weighted_kappa" if self.ordered else "kappa"

    def counts(self, times: np.ndarray) -> np.ndarray:
        """Count the images in each cell, (samples, cells)."""
        if not len(self.first):
            return np.zeros((len(times), 0))
        return np.add.reduceat(times[:, self.order], self.first, axis=1).astype(float)

    def of_whole(self, times: np.ndarray) -> Samples:
        """Compute the metrics of the whole.

        Parameters
        ----------
        times : array of numbers, (samples, n)
            How often each image counts in each sample.

        Returns
        -------
        dict of arrays (samples,)
            Missing where a metric has no value.
        """
        counts = self.counts(times)
        tp, row, column, n = self._margins(counts)
        seen, there = row + column > 0, row > 0
        # As in scikit-learn, a class that occurs and is never predicted has a precision of 0.
        precision = tp / np.maximum(column, 1)
        f1 = 2 * tp / np.maximum(row + column, 1)
        rest = n[:, None] - row
        specificity = (rest - column + tp) / np.maximum(rest, 1)
        return {
            "accuracy": ratio(tp.sum(axis=1), n),
            "balanced_accuracy": _mean_where(tp / np.maximum(row, 1), there),
            "macro_specificity": _mean_where(specificity, seen & (rest > 0)),
            "macro_precision": _mean_where(precision, seen),
            "macro_f1": _mean_where(f1, seen),
            "weighted_precision": ratio((row * precision).sum(axis=1), n),
            "weighted_f1": ratio((row * f1).sum(axis=1), n),
            self.kappa: self._kappa(counts, tp, row, column, n),
        }

    def of_classes(self, times: np.ndarray) -> Samples:
        """Compute the metrics of each class, as `of_whole`, but arrays (samples, k)."""
        tp, row, column, n = self._margins(self.counts(times))
        rest = n[:, None] - row
        return {
            "sensitivity": ratio(tp, row),
            "specificity": ratio(rest - column + tp, rest),
            "precision": ratio(tp, column),
            "f1": ratio(2 * tp, row + column),
        }

    def _margins(self, counts: np.ndarray) -> tuple[np.ndarray, ...]:
        row, column = self._sums(counts, self.row), self._sums(counts, self.column)
        tp = np.zeros_like(row)
        tp[:, self.row[self.diagonal]] = counts[:, self.diagonal]
        return tp, row, column, counts.sum(axis=1)

    def _sums(self, counts: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Sum the cells by row or by column of the matrix, (samples, k)."""
        sums = np.zeros((len(counts), self.k))
        if len(group):
            order = np.argsort(group, kind="stable")
            present, first = np.unique(group[order], return_index=True)
            sums[:, present] = np.add.reduceat(counts[:, order], first, axis=1)
        return sums

    def _kappa(
        self, counts: np.ndarray, tp: np.ndarray, row: np.ndarray, column: np.ndarray, n: np.ndarray
    ) -> np.ndarray:
        if self.ordered:
            place = np.arange(self.k, dtype=float)
            seen = counts @ ((self.row - self.column) ** 2).astype(float)
            # The sum of (i - j)^2 over the product of the margins, by their moments.
            chance = n * (row @ place**2 + column @ place**2) - 2 * (row @ place) * (column @ place)
        else:
            seen = n - tp.sum(axis=1)
            chance = n**2 - (row * column).sum(axis=1)
        return 1 - ratio(n * seen, np.where(chance > 0, chance, 0))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; what is part of nothing is missing.

    Examples
    --------
    >>> ratio(np.array([1, 0]), np.array([2, 0]))
    array([0.5, nan])
    """
    found = np.full(np.broadcast_shapes(np.shape(part), np.shape(whole)), np.nan)
    np.divide(part, whole, out=found, where=np.asarray(whole) != 0)
    return found


def _mean_where(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1))
