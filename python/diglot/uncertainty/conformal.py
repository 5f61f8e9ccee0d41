"""Conformal prediction: sets of classes that hold the true one as often as was asked for.

The promise holds for any model and any number of images, if those that the rule is learned from
and those it is used on are exchangeable, and the model was not trained on them. It is kept on
average over images, not for each kind of image; with ``class_conditional`` for each class.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.seeds import check_seed, stream
from diglot.uncertainty.checks import (
    check_codes,
    check_coverage,
    check_numbers,
    check_probabilities,
    enough,
    rising,
    told,
    told_count,
    told_number,
)

METHODS = ("aps", "raps", "lac")

_PENALTIES = (0.001, 0.01, 0.1, 0.2, 0.5)  # from which RAPS takes the best
_TUNING = 0.2  # the share of the images that chooses it
_TUNED_FOR = 0.9  # the coverage it is chosen for


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """A rule that turns probabilities into sets of classes.

    Attributes
    ----------
    method : {"lac", "aps", "raps"}
        How ill a class fits an image, its score.
    classes : int
        How many there are.
    scores : tuple of ndarray
        Of the true classes of the images that the rule was learned from, in rising order: of all
        images, or one array a class.
    class_conditional : bool
        Whether each class has a threshold of its own.
    randomized : bool
        Whether the scores of "aps" and "raps" have a random part, without which sets are larger
        than need be.
    seed : int
        Of the random parts.
    k_reg : int
        The rank from which "raps" penalises.
    penalty : float
        What it adds with each rank.
    allow_empty : bool
        Whether sets may be empty; otherwise an empty one gets the most probable class, which can
        only raise the coverage.
    """

    method: str
    classes: int
    scores: tuple[np.ndarray, ...] = field(default=(), repr=False)
    class_conditional: bool = False
    randomized: bool = True
    seed: int = 0
    k_reg: int = 0
    penalty: float = 0.0
    allow_empty: bool = True

    def __str__(self) -> str:
        kind = f"{self.method.upper()}{' by class' if self.class_conditional else ''}"
        return f"{kind}, from {self.n} images"

    @property
    def n(self) -> int:
        """How many images the rule was learned from."""
        return sum(len(scores) for scores in self.scores)

    @property
    def is_random(self) -> bool:
        """Whether the scores have a random part."""
        return self.randomized and self.method != "lac"

    def score(self, probabilities: np.ndarray, uniforms: np.ndarray | None = None) -> np.ndarray:
        """Return how ill each class fits each image.

        Parameters
        ----------
        probabilities : array (n, k)
        uniforms : array of n floats, optional
            The random parts, from 0 to 1; by default drawn by the seed, the first row's first.

        Returns
        -------
        ndarray (n, k), float64
        """
        return self._score(*self._checked(probabilities, uniforms, "prediction"))

    def thresholds(self, coverage: float) -> np.ndarray:
        """Return the largest score that a class may have in a set.

        Parameters
        ----------
        coverage : float
            Between 0 and 1.

        Returns
        -------
        ndarray, float64
            One number, or one a class; infinite where there are too few images for the coverage.
        """
        coverage = check_coverage(coverage)
        return np.array([upper_quantile(scores, coverage) for scores in self.scores])

    def sets(
        self,
        probabilities: np.ndarray,
        coverage: float = 0.9,
        uniforms: np.ndarray | None = None,
        names: Sequence[Hashable] | None = None,
    ) -> np.ndarray:
        """Return the set of classes of each image.

        Parameters
        ----------
        probabilities : array (n, k)
            Calibrated in the same way as those that the rule was learned from.
        coverage : float
            How often a set shall hold the true class, between 0 and 1.
        uniforms : array of n floats, optional
            The random parts, from 0 to 1; by default drawn by the seed, the first row's first.
        names : sequence of k labels, optional
            What messages call the classes.

        Returns
        -------
        ndarray of bool (n, k)

        Warns
        -----
        UserWarning
            If there are too few images for this coverage, of which classes, so that these are in
            every set.
        """
        p, u = self._checked(probabilities, uniforms, "prediction")
        limits = self.thresholds(coverage)
        self._tell_too_few(limits, coverage, names)
        sets = self._score(p, u) <= limits
        if not self.allow_empty:
            empty = ~sets.any(axis=1)
            sets[empty, p[empty].argmax(axis=1)] = True
        return sets

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "method": self.method,
            "classes": int(self.classes),
            "scores": [scores.tolist() for scores in self.scores],
            "class_conditional": bool(self.class_conditional),
            "randomized": bool(self.randomized),
            "seed": int(self.seed),
            "k_reg": int(self.k_reg),
            "penalty": float(self.penalty),
            "allow_empty": bool(self.allow_empty),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> ConformalSets:
        """Return what `to_dict` wrote.

        Raises
        ------
        ModelFileError
            If it is damaged, or of a method that this version does not know.
        """
        method = told(given, "method", str)
        if method not in METHODS:
            raise ModelFileError(f"the model's sets are by {method!r}, which is not known here")
        rule = cls(
            method,
            told_count(given, "classes", 2),
            tuple(rising(scores, "scores") for scores in told(given, "scores", list)),
            class_conditional=told(given, "class_conditional", bool),
            randomized=told(given, "randomized", bool),
            seed=told_count(given, "seed", 0, 2**53 - 1),
            k_reg=told_count(given, "k_reg", 0),
            penalty=told_number(given, "penalty", 0, np.finfo(float).max),
            allow_empty=told(given, "allow_empty", bool),
        )
        if len(rule.scores) != (rule.classes if rule.class_conditional else 1):
            raise ModelFileError("the model's sets are damaged: scores do not fit the classes")
        return rule

    def _checked(
        self, probabilities: np.ndarray, uniforms: np.ndarray | None, purpose: str
    ) -> tuple[np.ndarray, np.ndarray]:
        p = check_probabilities(probabilities, self.classes)
        if not self.is_random:
            return p, np.ones(len(p))
        if uniforms is None:
            return p, stream(self.seed, f"conformal {purpose}").random(len(p))
        u = check_numbers("uniforms", uniforms, (len(p),))
        if ((u < 0) | (u > 1)).any():
            raise InputError("uniforms must be from 0 to 1.")
        return p, u

    def _score(self, p: np.ndarray, u: np.ndarray) -> np.ndarray:
        if self.method == "lac":
            return 1 - p
        order = np.argsort(-p, axis=1, kind="stable")  # ties go to the earlier class, as in predict
        falling = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(falling, axis=1) - falling
        ranked = before + u[:, None] * falling
        if self.method == "raps":
            rank = np.arange(1, self.classes + 1)
            ranked = ranked + self.penalty * np.maximum(0, rank - self.k_reg)
        score = np.empty_like(p)
        np.put_along_axis(score, order, ranked, axis=1)
        return score

    def _tell_too_few(
        self, limits: np.ndarray, coverage: float, names: Sequence[Hashable] | None
    ) -> None:
        short = np.flatnonzero(np.isinf(limits))
        if not len(short):
            return
        needed = math.ceil(coverage / (1 - coverage) - 1e-9)
        if not self.class_conditional:
            text = f"needs {needed} images, there were {self.n}: every class is in every set"
        else:
            names = range(self.classes) if names is None else names
            shown = ", ".join(f"{names[c]!r} ({len(self.scores[c])})" for c in short[:5])
            more = ", ..." if len(short) > 5 else ""
            text = f"needs {needed} images a class. In every set are therefore {shown}{more}"
        warnings.warn(f"A coverage of {coverage:g} {text}.", stacklevel=3)


def fit_conformal(
    probabilities: np.ndarray,
    codes: np.ndarray,
    method: str = "aps",
    *,
    class_conditional: bool = False,
    randomized: bool = True,
    k_reg: int | None = None,
    penalty: float | None = None,
    allow_empty: bool = True,
    uniforms: np.ndarray | None = None,
    seed: int = 0,
) -> ConformalSets:
    """Learn a rule for sets of classes.

    Parameters
    ----------
    probabilities : array (n, k)
        Of images that were neither in the training nor in the calibration.
    codes : array of n int
        Their true classes, as columns of ``probabilities``.
    method : {"aps", "raps", "lac"}
        "lac" gives the smallest sets on average, which are too small for hard images and too large
        for easy ones; "aps" takes the most probable classes until their sum is large enough, and
        so adapts to the image; "raps" does so with a penalty on long sets, for many classes.
    class_conditional : bool
        Learn a threshold for each class, so that the coverage holds within each class; that takes
        more images, and gives larger sets.
    randomized : bool
        Whether scores of "aps" and "raps" have a random part: without it sets are larger, those of
        clear images above all, and the coverage is the same.
    k_reg, penalty : int and float, optional
        Of "raps": from which rank on, and what each rank costs. By default a fifth of the images,
        which the thresholds are then not learned from, chooses both: the rank within which nine
        of ten true classes lie, and the penalty of the smallest sets of coverage 0.9.
    allow_empty : bool
        Whether sets may be empty, as they must be for the coverage to be no more than was asked
        for: a model that is right more often than that leaves out the truth of some images, the
        strangest. With False an empty set gets the most probable class, which can only raise the
        coverage.
    uniforms : array of n floats, optional
        The random parts, from 0 to 1; by default drawn by the seed.
    seed : int
        Of all that is random.

    Returns
    -------
    ConformalSets
        Its ``sets()`` answers for new images.

    Raises
    ------
    InputError
        If an argument cannot be.

    Notes
    -----
    Of n scores of true classes, a threshold is the one at place ceil((n + 1) coverage) in rising
    order, infinite where n is less. On exchangeable images without ties the coverage of sets, over
    all that is random, is then between the stated one and 1 / (n + 1) more, if sets may be empty;
    for given images to learn from it is a draw from the beta distribution with the parameters
    place and n + 1 - place.

    References
    ----------
    M. Sadinle, J. Lei, L. Wasserman (2019), Least ambiguous set-valued classifiers with bounded
    error levels, JASA 114 ("lac"). Y. Romano, M. Sesia, E. Candès (2020), Classification with valid
    and adaptive coverage, NeurIPS ("aps"). A. Angelopoulos and others (2021), Uncertainty sets for
    image classifiers using conformal prediction, ICLR ("raps"). V. Vovk (2012), Conditional
    validity of inductive conformal predictors, ACML (thresholds by class, the distribution).

    Examples
    --------
    >>> import numpy as np
    >>> from diglot.uncertainty import fit_conformal
    >>> p = np.random.default_rng(1).dirichlet([1, 1, 1], 99)
    >>> truth = (p.cumsum(axis=1) < np.random.default_rng(2).random((99, 1))).sum(axis=1)
    >>> rule = fit_conformal(p, truth, "lac")
    >>> rule.sets([[0.9, 0.06, 0.04], [0.4, 0.35, 0.25]], coverage=0.9).astype(int).tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    if method not in METHODS:
        known = ", ".join(f'"{name}"' for name in METHODS)
        raise InputError(f"method must be one of {known}, not {method!r}.")
    _check_penalty(method, k_reg, penalty)
    p = check_probabilities(probabilities)
    n, k = p.shape
    enough(n)
    code = check_codes(codes, n, k)
    rule = ConformalSets(
        method,
        k,
        class_conditional=_flag("class_conditional", class_conditional),
        randomized=_flag("randomized", randomized),
        seed=check_seed(seed),
        allow_empty=_flag("allow_empty", allow_empty),
    )
    _, u = rule._checked(p, uniforms, "learning")
    if method == "raps":
        rest = np.arange(n)
        if k_reg is None or penalty is None:
            tuning, rest = _parted(n, rule.seed)
            k_reg, penalty = _tuned(rule, p[tuning], code[tuning], u[tuning], k_reg, penalty)
        rule = replace(rule, k_reg=int(k_reg), penalty=float(penalty))
        p, code, u = p[rest], code[rest], u[rest]
    return _learned(rule, p, code, u)


def upper_quantile(rising_scores: np.ndarray, coverage: float) -> float:
    """Return the score at place ceil((n + 1) coverage) of n in rising order.

    Parameters
    ----------
    rising_scores : ndarray of n floats
    coverage : float

    Returns
    -------
    float
        Infinite where n is less than the place.

    Examples
    --------
    >>> upper_quantile(np.arange(1, 10), 0.9), upper_quantile(np.arange(1, 9), 0.9)
    (9.0, inf)
    """
    n = len(rising_scores)
    # 1e-9: (n + 1) coverage is often whole, but for rounding.
    place = max(1, math.ceil((n + 1) * coverage - 1e-9))
    return float(rising_scores[place - 1]) if place <= n else math.inf


def uniforms_of(keys: Iterable[bytes], seed: int) -> np.ndarray:
    """Return numbers that look random, one for each image, by what the image is.

    With these an image's set does not depend on the images beside it. The coverage stays what was
    asked for: the score is then a fixed function of the image and its class, as any score may be.

    Parameters
    ----------
    keys : iterable of bytes
        What stands for each image's content.
    seed : int

    Returns
    -------
    ndarray of float
        From 0 to below 1; equal for equal keys.

    Examples
    --------
    >>> first, second, again = uniforms_of([b"a", b"b", b"a"], seed=1).tolist()
    >>> first == again, first == second
    (True, False)
    """
    secret = f"conformal {seed}".encode()
    digests = (hashlib.blake2b(key, digest_size=8, key=secret).digest() for key in keys)
    return np.array([int.from_bytes(d, "big") >> 11 for d in digests], np.float64) / 2**53


def _learned(rule: ConformalSets, p: np.ndarray, code: np.ndarray, u: np.ndarray) -> ConformalSets:
    own = rule._score(p, u)[np.arange(len(p)), code]
    groups = [own[code == c] for c in range(rule.classes)] if rule.class_conditional else [own]
    return replace(rule, scores=tuple(np.sort(group) for group in groups))


def _parted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that choose RAPS's penalty, and those that its threshold is learned from."""
    count = round(_TUNING * n)
    if not count:
        raise InputError(
            f"{n} images are too few to choose k_reg and penalty by: give both, or more images."
        )
    order = stream(seed, "conformal tuning").permutation(n)
    return order[:count], order[count:]


def _tuned(
    rule: ConformalSets,
    p: np.ndarray,
    code: np.ndarray,
    u: np.ndarray,
    k_reg: int | None,
    penalty: float | None,
) -> tuple[int, float]:
    if k_reg is None:
        order = np.argsort(-p, axis=1, kind="stable")
        rank = 1 + (order == code[:, None]).argmax(axis=1)
        k_reg = int(min(upper_quantile(np.sort(rank), _TUNED_FOR), rule.classes))
    if penalty is None:
        # The share is too small for a threshold of each class.
        trial = replace(rule, k_reg=k_reg, class_conditional=False)
        rules = [_learned(replace(trial, penalty=v), p, code, u) for v in _PENALTIES]
        sizes = [(r._score(p, u) <= r.thresholds(_TUNED_FOR)).sum() for r in rules]
        penalty = _PENALTIES[int(np.argmin(sizes))]
    return k_reg, penalty


def _check_penalty(method: str, k_reg: Any, penalty: Any) -> None:
    if method != "raps" and (k_reg is not None or penalty is not None):
        raise InputError(f'k_reg and penalty are of method="raps", not of {method!r}.')
    whole = isinstance(k_reg, (int, np.integer)) and not isinstance(k_reg, bool)
    if k_reg is not None and not (whole and k_reg >= 0):
        raise InputError(f"k_reg must be a whole number from 0, not {k_reg!r}.")
    number = isinstance(penalty, (int, float, np.number)) and not isinstance(penalty, bool)
    if penalty is not None and not (number and math.isfinite(penalty) and penalty >= 0):
        raise InputError(f"penalty must be a number from 0, not {penalty!r}.")


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} must be True or False, not {value!r}.")
    return bool(value)
