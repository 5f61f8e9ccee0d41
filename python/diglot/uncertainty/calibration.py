"""Calibration: of the images with probability 0.8, eight in ten shall be what it says.

It is learned on images that were not in the training, from the probabilities that a model gave
them and their true classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression

from diglot.errors import InputError, ModelFileError
from diglot.uncertainty.checks import (
    check_codes,
    check_probabilities,
    enough,
    rising,
    told,
    told_count,
    told_number,
)

METHODS = ("temperature", "isotonic")

_LARGEST = 1000.0  # temperatures lie between 1 / 1000 and 1000
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Temperature:
    """Temperature scaling: the log-probabilities divided by one number.

    It is above 1 where a model is too sure of itself. The most probable class stays the same.

    Attributes
    ----------
    temperature : float
        The number.
    n : int
        How many images it was learned from.
    """

    temperature: float
    n: int

    method = "temperature"

    def __str__(self) -> str:
        return f"temperature {self.temperature:.4g}, from {self.n} images"

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities.

        Parameters
        ----------
        probabilities : array (n, k)

        Returns
        -------
        ndarray (n, k), float64
        """
        return np.exp(log_softmax(_logs(check_probabilities(probabilities)) / self.temperature, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"method": self.method, "temperature": float(self.temperature), "n": int(self.n)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Temperature:
        """Return what `to_dict` wrote.

        Raises
        ------
        ModelFileError
            If it is damaged.
        """
        temperature = told_number(given, "temperature", 1 / _LARGEST, _LARGEST)
        return cls(temperature, told_count(given, "n", 1))


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Isotonic regression: for each class a rising curve from its probability to its frequency.

    With more than two classes each is taught against the rest, and rows are brought to the sum 1
    again; a row in which all are 0 becomes even. With two classes there is one curve, of the
    second.

    Attributes
    ----------
    curves : tuple of (ndarray, ndarray)
        Probabilities in rising order, and the frequencies that belong to them; between them the
        curve is straight.
    n : int
        How many images they were learned from.
    """

    curves: tuple[tuple[np.ndarray, np.ndarray], ...] = field(repr=False)
    n: int

    method = "isotonic"

    def __str__(self) -> str:
        return f"isotonic, from {self.n} images"

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return max(2, len(self.curves))

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities.

        Parameters
        ----------
        probabilities : array (n, k)

        Returns
        -------
        ndarray (n, k), float64
        """
        p = check_probabilities(probabilities, self.classes)
        if self.classes == 2:
            second = np.interp(p[:, 1], *self.curves[0])
            return np.stack([1 - second, second], axis=1)
        each = np.stack(
            [np.interp(p[:, code], *curve) for code, curve in enumerate(self.curves)], axis=1
        )
        total = each.sum(axis=1, keepdims=True)
        even = np.full_like(each, 1 / self.classes)
        return np.divide(each, total, out=even, where=total > 0)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        curves = [{"from": x.tolist(), "to": y.tolist()} for x, y in self.curves]
        return {"method": self.method, "curves": curves, "n": int(self.n)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Isotonic:
        """Return what `to_dict` wrote.

        Raises
        ------
        ModelFileError
            If it is damaged.
        """
        listed = told(given, "curves", list)
        curves = tuple(
            (rising(told(c, "from", list), "curves"), rising(told(c, "to", list), "curves"))
            for c in listed
        )
        sound = all(
            len(x) == len(y) > 0 and min(x[0], y[0]) >= 0 and max(x[-1], y[-1]) <= 1
            for x, y in curves
        )
        # Two curves would be two classes, which have one.
        if not sound or len(curves) in (0, 2) or len(curves) > _MOST_CLASSES:
            raise ModelFileError("the model's uncertainty is damaged: its curves cannot be")
        return cls(curves, told_count(given, "n", 1))


Calibration = Temperature | Isotonic


def fit_calibration(
    probabilities: np.ndarray,
    codes: np.ndarray,
    method: str = "temperature",
    classes: Sequence[Hashable] | None = None,
) -> Calibration:
    """Learn how a model's probabilities are to be mended.

    Parameters
    ----------
    probabilities : array (n, k)
        Of images that were not in the training.
    codes : array of n int
        Their true classes, as columns of ``probabilities``.
    method : {"temperature", "isotonic"}
        One number, by maximum likelihood, which some hundred images are enough for; or a curve for
        each class, which takes a thousand or more.
    classes : sequence of k labels, optional
        What messages call the classes.

    Returns
    -------
    Temperature or Isotonic
        Its ``apply()`` mends probabilities.

    Raises
    ------
    InputError
        If an argument cannot be, or a class has no image to learn a curve from.

    Warns
    -----
    UserWarning
        If no temperature between 0.001 and 1000 is the most likely, as where all images are
        classified right.

    Notes
    -----
    The log-likelihood is concave in 1 / temperature, so its slope has one zero, which Brent's
    method finds. Where the likelihood still rises towards temperature 0, the images say no more
    than that the model is not too sure, and the temperature stays 1.

    References
    ----------
    C. Guo and others (2017), On calibration of modern neural networks, ICML, arXiv:1706.04599.
    B. Zadrozny and C. Elkan (2002), Transforming classifier scores into accurate multiclass
    probability estimates, KDD.

    Examples
    --------
    >>> import numpy as np
    >>> from diglot.uncertainty import fit_calibration
    >>> sure = np.array([[0.99, 0.01], [0.01, 0.99]] * 5)
    >>> truth = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1, 0])  # two in ten are wrong
    >>> fit_calibration(sure, truth).apply(sure)[0].round(3).tolist()
    [0.8, 0.2]
    """
    if method not in METHODS:
        known = " or ".join(f'"{name}"' for name in METHODS)
        raise InputError(f"method must be {known}, not {method!r}.")
    p = check_probabilities(probabilities)
    n, k = p.shape
    enough(n)
    code = check_codes(codes, n, k)
    if method == "temperature":
        return Temperature(_temperature(_logs(p), code), n)
    names = list(range(k)) if classes is None else list(classes)
    missing = [names[c] for c in range(k) if not (code == c).any()]
    if missing:
        raise InputError(
            f"the class {missing[0]!r} has no image here, and so no curve can be learned for it: "
            'add images of it, or use method="temperature".'
        )
    taught = [1] if k == 2 else range(k)
    return Isotonic(tuple(_curve(p[:, c], code == c) for c in taught), n)


def calibration_from_dict(given: Mapping[str, Any]) -> Calibration:
    """Return the calibration that ``to_dict()`` wrote.

    Parameters
    ----------
    given : dict
        Plain data, as from a model file.

    Returns
    -------
    Temperature or Isotonic

    Raises
    ------
    ModelFileError
        If it is damaged, or of a method that this version does not know.

    Examples
    --------
    >>> from diglot.uncertainty import Temperature, calibration_from_dict
    >>> calibration_from_dict(Temperature(1.5, 200).to_dict())
    Temperature(temperature=1.5, n=200)
    """
    method = told(given, "method", str)
    kinds = {kind.method: kind for kind in (Temperature, Isotonic)}
    if method not in kinds:
        raise ModelFileError(f"the model is calibrated by {method!r}, which is not known here")
    return kinds[method].from_dict(given)


def _logs(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, np.finfo(np.float64).tiny))


def _temperature(logs: np.ndarray, code: np.ndarray) -> float:
    own = logs[np.arange(len(code)), code].mean()

    def slope(log_sharpness: float) -> float:
        """Return the slope of the mean log loss in 1 / temperature, which never falls."""
        p = np.exp(log_softmax(np.exp(log_sharpness) * logs, 1))
        return float((p * logs).sum(axis=1).mean() - own)

    end = np.log(_LARGEST)
    if slope(end) <= 0:
        warnings.warn(
            "These images say of no temperature that it is the most likely, as where all are "
            "classified right: probabilities stay as they are. More images, and harder ones, help.",
            stacklevel=2,
        )
        return 1.0
    if slope(-end) >= 0:
        warnings.warn(
            "On these images the probabilities know nothing of the classes: calibrated ones are "
            "almost even. See whether labels and images belong together.",
            stacklevel=2,
        )
        return _LARGEST
    return float(np.exp(-brentq(slope, -end, end, xtol=1e-12, rtol=1e-12)))


def _curve(p: np.ndarray, is_class: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, is_class)
    return fitted.X_thresholds_, fitted.y_thresholds_
