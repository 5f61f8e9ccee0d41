"""Conformal prediction of numbers: intervals that hold the true one as often as was asked for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.uncertainty.checks import check_coverage, check_numbers, enough, rising, told
from diglot.uncertainty.conformal import upper_quantile

METHODS = ("absolute", "quantile")


@dataclass(frozen=True, eq=False)
class NumberConformal:
    """A rule that turns predicted numbers into intervals.

    Attributes
    ----------
    method : {"absolute", "quantile"}
        What was predicted: one number, or the two ends of an interval.
    scores : ndarray
        How far the true numbers lay from the prediction, or outside its ends (negative inside),
        in rising order.
    """

    method: str
    scores: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        return f"{self.method}, from {self.n} images"

    @property
    def n(self) -> int:
        """How many images the rule was learned from."""
        return len(self.scores)

    def margin(self, coverage: float) -> float:
        """Return what is added on both sides; infinite where there are too few images."""
        return upper_quantile(self.scores, check_coverage(coverage))

    def intervals(self, predicted: np.ndarray, coverage: float = 0.9) -> np.ndarray:
        """Return the interval of each image.

        Parameters
        ----------
        predicted : array (n,), or (n, 2) for "quantile"
            As those that the rule was learned from.
        coverage : float
            How often an interval shall hold the true number, between 0 and 1.

        Returns
        -------
        ndarray (n, 2), float64
            The lower and the upper end. Ends that a negative margin would make cross meet in the
            middle.

        Warns
        -----
        UserWarning
            If there are too few images for this coverage, so that intervals are infinite.
        """
        ends = _ends(self.method, predicted)
        margin = self.margin(coverage)
        if np.isinf(margin):
            warnings.warn(
                f"A coverage of {coverage:g} needs more than the {self.n} images there were: "
                "intervals are infinite.",
                stacklevel=2,
            )
        lower, upper = ends[:, 0] - margin, ends[:, 1] + margin
        middle, crossed = ends.mean(axis=1), lower > upper
        return np.stack([np.where(crossed, middle, lower), np.where(crossed, middle, upper)], 1)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"method": self.method, "scores": self.scores.tolist()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> NumberConformal:
        """Return what `to_dict` wrote.

        Raises
        ------
        ModelFileError
            If it is damaged, or of a method that this version does not know.
        """
        method = told(given, "method", str)
        if method not in METHODS:
            raise ModelFileError(f"the model's intervals are by {method!r}, not known here")
        return cls(method, rising(told(given, "scores", list), "scores"))


def fit_intervals(
    predicted: np.ndarray, truth: np.ndarray, method: str = "absolute"
) -> NumberConformal:
    """Learn a rule for intervals.

    Parameters
    ----------
    predicted : array (n,), or (n, 2) for "quantile"
        Predictions for images that were not in the training: numbers, or the lower and upper ends
        of intervals, such as two predicted quantiles.
    truth : array of n floats
        The true numbers.
    method : {"absolute", "quantile"}
        "absolute" gives all images intervals of one width; "quantile" widens or narrows those that
        were predicted, all by as much.

    Returns
    -------
    NumberConformal
        Its ``intervals()`` answers for new images.

    Raises
    ------
    InputError
        If an argument cannot be.

    References
    ----------
    J. Lei and others (2018), Distribution-free predictive inference for regression, JASA 113
    ("absolute"). Y. Romano, E. Patterson, E. Candès (2019), Conformalized quantile regression,
    NeurIPS ("quantile").

    Examples
    --------
    >>> from diglot.uncertainty import fit_intervals
    >>> rule = fit_intervals(np.zeros(9), [-3, 1, 2, -2, 1, 0, 1, -1, 2])
    >>> rule.intervals([10.0], coverage=0.9).tolist()
    [[7.0, 13.0]]
    """
    if method not in METHODS:
        raise InputError(f'method must be "absolute" or "quantile", not {method!r}.')
    ends = _ends(method, predicted)
    enough(len(ends))
    y = check_numbers("truth", truth, (len(ends),))
    return NumberConformal(method, np.sort(np.maximum(ends[:, 0] - y, y - ends[:, 1])))


def _ends(method: str, predicted: Any) -> np.ndarray:
    """Return what was predicted as two ends, which are one number for "absolute"."""
    given = np.asarray(predicted)
    n = len(given) if given.ndim else 0
    if method == "absolute":
        return np.repeat(check_numbers("predicted", given, (n,))[:, None], 2, axis=1)
    return check_numbers("predicted", given, (n, 2))
