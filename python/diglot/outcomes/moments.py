"""Mean and spread of columns, to the same digits whatever the order of rows."""

from __future__ import annotations

import math

import numpy as np


def moments(columns: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each column's weighted mean and spread.

    Sums are exact before they are rounded, and to twelve digits then, so that repeated rows and
    rows of as much weight, in any order, begin the same fit.

    Parameters
    ----------
    columns : ndarray of shape (n, p)
    weights : ndarray of shape (n,)
        Not all 0.

    Returns
    -------
    mean, spread : ndarray of shape (p,)

    Examples
    --------
    >>> moments(np.array([[1.0], [3.0]]), np.array([3, 1]))
    (array([1.5]), array([0.8660254]))
    """
    counted = weights > 0
    columns, weights = columns[counted], weights[counted]
    total = math.fsum(weights)
    mean = np.array([_rounded(math.fsum(weights * x) / total) for x in columns.T])
    squares = ((columns - mean) ** 2).T
    spread = [_rounded(math.sqrt(math.fsum(weights * x) / total)) for x in squares]
    return mean, np.array(spread)


def _rounded(value: float) -> float:
    return float(f"{value:.11e}")
