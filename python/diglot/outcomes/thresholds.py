"""Thresholds: the probability from which on a tag is said to be there."""

from __future__ import annotations

import numpy as np


def best_thresholds(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return for each tag the threshold with the best F1.

    Parameters
    ----------
    truth : ndarray of shape (n, t)
        Ones and zeros.
    probabilities : ndarray of shape (n, t)

    Returns
    -------
    ndarray of shape (t,)
        Halfway between the probabilities that it divides; 0.5 for a tag that no image has.

    References
    ----------
    Z. C. Lipton, C. Elkan and B. Naryanaswamy (2014), Optimal thresholding of classifiers to
    maximize F1 measure, ECML PKDD.

    Examples
    --------
    >>> truth, probabilities = np.array([[0], [1], [1]]), np.array([[0.1], [0.3], [0.2]])
    >>> best_thresholds(truth, probabilities).round(3).tolist()
    [0.15]
    """
    return np.array([_best(t, p) for t, p in zip(truth.T, probabilities.T, strict=True)])


def _best(truth: np.ndarray, probability: np.ndarray) -> float:
    if not truth.any():
        return 0.5
    order = np.argsort(-probability, kind="stable")
    values, hits = probability[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(truth) + 1) + truth.sum())
    ends = np.append(values[1:] < values[:-1], True)  # equal probabilities go together
    best = int(np.argmax(np.where(ends, f1, -1)))
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + below) / 2)
