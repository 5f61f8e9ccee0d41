"""Intervals and p-values of differences between two models."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from scipy.special import bdtr

from diglot.evaluation.intervals import normal, normal_quantile


def normal_test(difference: float, error: float, level: float) -> tuple[float, float, float]:
    """Give the normal interval and the two-sided p-value of a difference.

    A difference that differs from 0 without any spread has neither: the images are too few.

    Examples
    --------
    >>> [round(number, 3) for number in normal_test(1.0, 0.5, 0.95)]
    [0.02, 1.98, 0.046]
    """
    if error == 0 and difference != 0:
        return np.nan, np.nan, np.nan
    lower, upper = normal(difference, error, level)
    if error == 0:
        return lower, upper, 1.0
    return lower, upper, float(2 * NormalDist().cdf(-abs(difference) / error))


def bootstrap_p(sample: np.ndarray) -> float:
    """Return the two-sided p-value of 0 from bootstrap samples of a difference.

    Twice the share of samples on the rarer side of 0, which counts as a sample of its own.

    Examples
    --------
    >>> bootstrap_p(np.arange(1, 100))
    0.02
    """
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return np.nan
    rarer = min((sample <= 0).sum(), (sample >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(sample) + 1)))


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the p-value of McNemar's exact test.

    Parameters
    ----------
    only_a, only_b : int
        How many images only the one model got right, and only the other.

    Returns
    -------
    float
        Two-sided, from the binomial distribution of the discordant pairs; 1 if there are none.

    References
    ----------
    Q. McNemar (1947), Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12.

    Examples
    --------
    >>> mcnemar(1, 6)
    0.125
    """
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def tango(only_a: int, only_b: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Give the score interval of the difference of two paired proportions.

    Parameters
    ----------
    only_a, only_b : int
        How many images only the one model got right, and only the other.
    n : int
        Number of images.
    level : float
        Confidence level.

    Returns
    -------
    lower, upper : float
        The differences (only_a - only_b) / n that the score test does not reject; the test of
        no difference is McNemar's.

    References
    ----------
    T. Tango (1998), Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design, Statistics in Medicine 17.

    Examples
    --------
    >>> [round(end, 3) for end in tango(12, 5, 100)]
    [-0.012, 0.157]
    """
    z = normal_quantile(level)
    if not n:
        return np.nan, np.nan
    difference = (only_a - only_b) / n

    def rejected(shift: float) -> bool:
        # The likelihood's largest point where the true difference is `shift`.
        linear = (2 * n - only_a + only_b) * shift - only_a - only_b
        root = np.sqrt(linear**2 + 8 * n * only_b * shift * (1 - shift))
        rare = max(0.0, (root - linear) / (4 * n))
        variance = n * (2 * rare + shift * (1 - shift))
        return (only_a - only_b - n * shift) ** 2 > z**2 * variance

    return _crossing(rejected, difference, -1.0), _crossing(rejected, difference, 1.0)


def _crossing(rejected: Callable[[float], bool], inside: float, outside: float) -> float:
    """Find where rejection begins, by halving the way."""
    if not rejected(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
    return inside
