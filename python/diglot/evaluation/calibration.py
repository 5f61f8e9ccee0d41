"""Calibration: whether images given a probability of 80 % are right in 80 % of cases."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.inputs import check_classes, check_count, check_probabilities, codes
from diglot.evaluation.intervals import basic, normal_quantile, percentiles, wilson
from diglot.seeds import stream

BINS = 10
_COLUMNS = ["class", "bin", "from", "to", "confidence", "observed", "lower", "upper", "n"]


def reliability(
    truth: Iterable[Hashable],
    probabilities: np.ndarray,
    classes: Sequence[Hashable],
    *,
    bins: int = BINS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare probabilities with how often they come true: the reliability diagram as a table.

    Parameters
    ----------
    truth : sequence of n labels
        Each label is one of ``classes``.
    probabilities : array (n, k)
        Probability of each class, columns in the order of ``classes``.
    classes : sequence of k labels
    bins : int
        How many bins of equal width the probabilities from 0 to 1 are put into.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    DataFrame
        One row for each bin that is not empty: ``class`` (as text; missing for the most probable
        class, whichever it is, as in the expected calibration error), ``bin`` (from 1), ``from``
        and ``to`` (the bin's ends; the upper one belongs to it), ``confidence`` (mean
        probability), ``observed`` (how often it came true), ``lower`` and ``upper`` (Wilson's
        interval of that), ``n`` (images in the bin). With two classes only the second has rows
        of its own: those of the first would mirror them.

    Raises
    ------
    InputError
        Lengths or shapes differ, a label is not one of the classes, or the probabilities are
        none.

    References
    ----------
    J. Bröcker and L. A. Smith (2007), Increasing the reliability of reliability diagrams, Weather
    and Forecasting 22. C. Guo and others (2017), On calibration of modern neural networks, ICML.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.95, 0.05], [0.2, 0.8]])
    >>> table = reliability(["a", "b", "b"], p, ["a", "b"], bins=5)
    >>> table[["class", "bin", "confidence", "observed", "n"]].head(1)
      class  bin  confidence  observed  n
    0   NaN    4         0.8       1.0  1
    """
    names = check_classes(classes)
    actual = codes("truth", truth, names)
    p = check_probabilities(probabilities, len(actual), len(names)).astype(float)
    bins = check_count("bins", bins, 1)
    normal_quantile(level)
    parts = [_binned(None, *top_label(actual, p), bins, level)]
    parts += [
        _binned(str(names[code]), p[:, code], actual == code, bins, level)
        for code in ([1] if len(names) == 2 else range(len(names)))
    ]
    return pd.DataFrame([row for part in parts for row in part], columns=_COLUMNS)


def _binned(
    label: str | None, confidence: np.ndarray, hit: np.ndarray, bins: int, level: float
) -> list[tuple[object, ...]]:
    place = bin_of(confidence, bins)
    n = np.bincount(place, minlength=bins)
    mean, observed = (
        np.bincount(place, values, minlength=bins) / np.maximum(n, 1)
        for values in (confidence, hit)
    )
    lower, upper = wilson(np.bincount(place, hit, minlength=bins), n, level)
    edges = np.arange(bins + 1) / bins
    return [
        (label, b + 1, edges[b], edges[b + 1], mean[b], observed[b], lower[b], upper[b], int(n[b]))
        for b in np.flatnonzero(n).tolist()
    ]


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of equal width, from 0, of each probability; the upper end belongs to it.

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.1, 0.11, 1.0]), 10).tolist()
    [0, 0, 1, 9]
    """
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)


def top_label(actual: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest probability of each image, and whether its class is the true one.

    Examples
    --------
    >>> top_label(np.array([1]), np.array([[0.2, 0.8]]))
    (array([0.8]), array([ True]))
    """
    if not len(p):
        return np.zeros(0), np.zeros(0, bool)
    return p.max(axis=1), p.argmax(axis=1) == actual


class CalibrationError:
    """The expected calibration error, for many weightings of the same images at once.

    The mean over images of the distance, in their bin, between the mean probability of the
    predicted class and the accuracy. It is never negative and therefore too large on average,
    the more so the fewer the images: of a calibrated model it is not 0.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht (2015), Obtaining well calibrated probabilities using
    Bayesian binning, AAAI. C. Guo and others (2017), On calibration of modern neural networks,
    ICML.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> CalibrationError(np.array([0, 1, 1]), p).of(np.ones((1, 3))).round(3).tolist()
    [0.333]
    """

    def __init__(self, actual: np.ndarray, p: np.ndarray, bins: int = BINS) -> None:
        self.confidence, hit = top_label(actual, p)
        self.bins = np.eye(bins)[bin_of(self.confidence, bins)]
        self.gaps = self.bins * (self.confidence - hit)[:, None]

    def of(self, times: np.ndarray) -> np.ndarray:
        """Compute the error for images that count so and so often, (samples, n) to (samples,)."""
        if not len(self.gaps):
            return np.full(len(times), np.nan)
        return np.abs(times @ self.gaps).sum(axis=1) / times.sum(axis=1)

    def by_chance(self, draws: Bootstrap) -> np.ndarray:
        """Draw the errors that a calibrated model with these probabilities would show.

        References
        ----------
        J. Bröcker and L. A. Smith (2007), Increasing the reliability of reliability diagrams,
        Weather and Forecasting 22 ("consistency resampling").

        Examples
        --------
        >>> error = CalibrationError(np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
        >>> error.by_chance(Bootstrap(2, resamples=3, seed=1)).tolist()
        [0.0, 0.0, 0.0]
        """
        found = np.empty(draws.resamples if draws.possible else 0)
        for row in range(len(found)):
            luck = stream(draws.seed, "consistency resampling", row).random(draws.n)
            gaps = self.confidence - (luck < self.confidence)
            found[row] = np.abs(gaps @ self.bins).sum() / draws.n
        return found

    def interval(self, sample: np.ndarray, draws: Bootstrap, level: float) -> tuple[float, float]:
        """Give the interval of the error from a bootstrap sample of it.

        The basic bootstrap interval; from 0 where a calibrated model would by chance show an
        error as large as this, for near 0 the bootstrap knows the bias badly.
        """
        estimate = float(self.of(np.ones((1, draws.n)))[0])
        lower, upper = basic(sample, estimate, level, 0.0, 1.0)
        chance = percentiles(self.by_chance(draws), level)[1]
        return (0.0 if estimate <= chance else lower), upper
