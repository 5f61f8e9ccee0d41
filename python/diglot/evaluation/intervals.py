"""Intervals: Wilson's of a proportion, the normal one of a mean, those of a bootstrap sample."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from diglot.errors import InputError


def normal_quantile(level: float) -> float:
    """Return how many standard errors to each side an interval of this level reaches.

    Raises
    ------
    InputError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; use a number between 0 and 1, as 0.95.")
    return NormalDist().inv_cdf((1 + level) / 2)


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
    z = normal_quantile(level)
    count, total = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    total = np.where(total > 0, total, np.nan)
    rate = count / total
    centre = (rate + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2) / (1 + z**2 / total)
    # Exact ends where rounding would leave 1e-17.
    lower = np.where(count == 0, np.where(np.isnan(total), np.nan, 0.0), centre - half)
    upper = np.where(count == total, 1.0, centre + half)
    return lower, upper


def normal(
    estimate: float,
    error: float,
    level: float,
    least: float = -np.inf,
    most: float = np.inf,
) -> tuple[float, float]:
    """Give the normal interval from a standard error, cut at what the quantity can be.

    Examples
    --------
    >>> [round(end, 2) for end in normal(0.9, 0.1, 0.95, 0, 1)]
    [0.7, 1]
    """
    half = normal_quantile(level) * error
    if np.isnan(half):
        # `max` and `min` answer their first argument when the second is NaN.
        return np.nan, np.nan
    return max(least, estimate - half), min(most, estimate + half)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean; missing for fewer than two values.

    Examples
    --------
    >>> standard_error(np.array([1.0, 3.0]))
    1.0
    """
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def percentiles(sample: np.ndarray, level: float) -> tuple[float, float]:
    """Give the bootstrap's percentile interval; samples that have no value are left out.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    >>> [round(end, 6) for end in percentiles(np.arange(101.0), 0.9)]
    [5.0, 95.0]
    """
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return np.nan, np.nan
    lower, upper = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def basic(
    sample: np.ndarray,
    estimate: float,
    level: float,
    least: float = -np.inf,
    most: float = np.inf,
) -> tuple[float, float]:
    """Give the basic bootstrap interval: what a sample overshoots, the estimate did, too.

    It mends a bias that the estimate has, where percentiles would double it. The interval is cut
    at what the quantity can be, and widened where it would leave out the estimate.

    References
    ----------
    A. C. Davison and D. V. Hinkley (1997), Bootstrap Methods and their Application, section 5.2.

    Examples
    --------
    >>> [round(end, 6) for end in basic(np.arange(101.0), 40.0, 0.9)]
    [-15.0, 75.0]
    """
    lower, upper = percentiles(sample, level)
    if np.isnan(lower) or np.isnan(estimate):
        return np.nan, np.nan
    low, high = 2 * estimate - upper, 2 * estimate - lower
    return float(min(max(low, least), estimate)), float(max(min(high, most), estimate))


def bca(
    sample: np.ndarray, without: np.ndarray, estimate: float, level: float
) -> tuple[float, float]:
    """Give the bias corrected and accelerated bootstrap interval.

    Parameters
    ----------
    sample : array of float, (resamples,)
        The quantity in each bootstrap sample.
    without : array of float, (units,)
        The quantity without one unit each.
    estimate : float
    level : float

    Returns
    -------
    lower, upper : float

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, 14.9 to 14.15.

    Examples
    --------
    >>> [round(end) for end in bca(np.arange(101.0), np.zeros(9), 50.0, 0.9)]
    [5, 95]
    """
    sample, without = sample[~np.isnan(sample)], without[~np.isnan(without)]
    if not len(sample) or np.isnan(estimate):
        return np.nan, np.nan
    # Rounding alone makes no difference: a sample of equal images scores the estimate.
    slack = 1e-12 * max(1.0, abs(estimate))
    if np.ptp(sample) <= slack:
        return estimate, estimate
    gauss = NormalDist()
    # Half of the ties count as below; else the ties of a coarse score would look like a bias.
    below = np.mean(sample < estimate - slack) + np.mean(np.abs(sample - estimate) <= slack) / 2
    shift = gauss.inv_cdf(float(np.clip(below, 0.5 / len(sample), 1 - 0.5 / len(sample))))
    gap = without.mean() - without if len(without) else np.zeros(1)
    spread = (gap**2).sum()
    acceleration = (gap**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    shares = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = shift + gauss.inv_cdf(tail)
        shares.append(gauss.cdf(shift + z / (1 - acceleration * z)))
    lower, upper = np.quantile(sample, shares)
    return float(lower), float(upper)
