"""Two models on the same images: differences of metrics, with intervals and p-values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation.bootstrap import Bootstrap, Samples
from diglot.evaluation.calibration import CalibrationError
from diglot.evaluation.classification import TOP, Means
from diglot.evaluation.confusions import Confusions
from diglot.evaluation.differences import bootstrap_p, mcnemar, normal_test, tango
from diglot.evaluation.inputs import (
    check_classes,
    check_count,
    check_groups,
    check_probabilities,
    codes,
    listed,
)
from diglot.evaluation.intervals import normal_quantile, percentiles, standard_error
from diglot.evaluation.roc import DELONG, OBUCHOWSKI, macro_area, mean_error, placements
from diglot.seeds import check_seed

COMPARISON_COLUMNS = [
    "metric",
    "a",
    "b",
    "difference",
    "lower",
    "upper",
    "p_value",
    "method",
    "n",
]
Metric = Callable[[np.ndarray, np.ndarray], float]
"""Computes a number from labels (n,) and probabilities (n, k)."""
_ECE, _TOP = "expected_calibration_error", f"top_{TOP}_accuracy"
_USUAL = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "kappa",
    "log_loss",
    "brier",
    "roc_auc",
    _ECE,
)


def compare_models(
    a: Any,
    b: Any,
    X: Any,  # noqa: N803
    y: Iterable[Hashable],
    *,
    groups: Iterable[Hashable] | None = None,
    metrics: Iterable[str | Metric] | Mapping[str, Metric | None] | None = None,
    level: float = 0.95,
    seed: int | None = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Compare two fitted classifiers on the same labelled images.

    Parameters
    ----------
    a, b : fitted classifiers
        Anything with ``predict_proba`` and ``classes_``; the classes must be the same, in any
        order.
    X : images
        Whatever both models take.
    y : sequence of n labels
    groups, metrics, level, seed, resamples
        See `diglot.evaluation.compare_predictions`.

    Returns
    -------
    DataFrame
        One row for each metric, with the columns ``metric``, ``a``, ``b``, ``difference`` (a - b),
        ``lower``, ``upper``, ``p_value``, ``method``, ``n``; see
        `diglot.evaluation.compare_predictions`.

    Raises
    ------
    InputError
        The models have other classes, or an argument cannot be used.

    Examples
    --------
    >>> from diglot import compare_models
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_digits(return_X_y=True)
    >>> a, b = (model.fit(X[:900], y[:900]) for model in (LogisticRegression(C=1e-4), GaussianNB()))
    >>> table = compare_models(a, b, X[900:], y[900:], metrics=["accuracy"])
    >>> table["p_value"].item() < 0.001
    True
    """
    classes = shared_classes(a, b)
    return compare_predictions(
        y,
        probabilities_of(a, X, classes),
        probabilities_of(b, X, classes),
        classes,
        groups=groups,
        metrics=metrics,
        level=level,
        seed=seed,
        resamples=resamples,
        ordered=bool(getattr(a, "ordered_", False)),
    )


def shared_classes(a: Any, b: Any) -> list[Hashable]:
    """Return the classes of two models, in the order of the first.

    Raises
    ------
    InputError
        If one is no fitted classifier, or they tell other classes apart.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> models = [DummyClassifier().fit([[0], [0]], y) for y in (["a", "b"], ["b", "a"])]
    >>> shared_classes(*models)
    ['a', 'b']
    """
    for name, model in [("a", a), ("b", b)]:
        if not (hasattr(model, "predict_proba") and hasattr(model, "classes_")):
            raise InputError(
                f"{name} must be a fitted classifier, with predict_proba and classes_, not "
                f"{type(model).__name__}."
            )
    classes, others = listed(a.classes_), listed(b.classes_)
    if set(classes) != set(others):
        odd = sorted(map(str, set(classes) ^ set(others)))
        raise InputError(
            f"The models must tell the same classes apart; only one of them knows {odd[:10]}."
        )
    return classes


def probabilities_of(model: Any, X: Any, classes: Sequence[Hashable]) -> np.ndarray:  # noqa: N803
    """Return a model's probabilities (n, k), columns in the order of ``classes``.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier().fit([[0], [0], [0], [0]], ["a", "b", "b", "b"])
    >>> probabilities_of(model, [[0]], ["b", "a"]).tolist()
    [[0.75, 0.25]]
    """
    own = listed(model.classes_)
    return np.asarray(model.predict_proba(X))[:, [own.index(label) for label in classes]]


def compare_predictions(
    truth: Iterable[Hashable],
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    classes: Sequence[Hashable],
    *,
    groups: Iterable[Hashable] | None = None,
    metrics: Iterable[str | Metric] | Mapping[str, Metric | None] | None = None,
    level: float = 0.95,
    seed: int | None = 0,
    resamples: int = 1000,
    ordered: bool = False,
) -> pd.DataFrame:
    """Compare two sets of probabilities for the same images.

    Parameters
    ----------
    truth : sequence of n labels
        Each label is one of ``classes``.
    probabilities_a, probabilities_b : arrays (n, k)
        Columns in the order of ``classes``.
    classes : sequence of k labels
    groups : sequence of n labels, optional
        Which images belong together, as several of one patient: they need not be independent,
        and intervals and p-values take that into account.
    metrics : sequence of str or callables, or mapping of names to callables, optional
        Names of metrics of the whole of `diglot.evaluation.evaluate_classes`, and functions of
        one's own that compute a number from labels (n,) and probabilities (n, k); in a mapping
        names of ours go with None. By default
        accuracy, balanced accuracy, macro F1, kappa, log loss, Brier score, area under the
        ROC curve and expected calibration error.
    level : float
        Confidence level of the intervals.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    resamples : int
        Number of bootstrap samples; 0 leaves what needs them missing.
    ordered : bool
        The classes are ordered: kappa is weighted, and the mean rank error is compared as well.

    Returns
    -------
    DataFrame
        One row for each metric, with the columns ``metric``; ``a`` and ``b`` (the estimates);
        ``difference`` (a - b) with the ends ``lower`` and ``upper`` of its interval;
        ``p_value`` (two-sided, of no difference); ``method``; ``n`` (images).

    Raises
    ------
    InputError
        Shapes differ, there is no image, a label is not one of the classes, or there is no such
        metric.

    Notes
    -----
    Accuracy is compared by McNemar's exact test, with Tango's score interval; log loss, Brier
    score and rank error by the normal interval and test of the mean of paired differences;
    areas under ROC curves by DeLong's test, or Obuchowski's extension of it to groups; all else,
    and with groups all but areas, by the paired bootstrap: each sample holds the same images for
    both models. Its interval is that of the differences' percentiles; the p-value belongs to the
    widest such interval that just leaves out 0 (Davison and Hinkley, section 5.2), and is at
    least 2 / (resamples + 1). The p-values are not adjusted for looking at several metrics.

    References
    ----------
    Q. McNemar (1947), Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12. T. Tango (1998), Equivalence test and confidence interval
    for the difference in proportions for the paired-sample design, Statistics in Medicine 17.
    E. R. DeLong and others (1988), Comparing the areas under two or more correlated receiver
    operating characteristic curves, Biometrics 44. N. A. Obuchowski (1997), Nonparametric
    analysis of clustered ROC curve data, Biometrics 53. A. C. Davison and D. V. Hinkley (1997),
    Bootstrap Methods and their Application.

    Examples
    --------
    >>> truth = ["x"] * 6 + ["y"] * 6
    >>> good, bad = (np.array([[p, 1 - p]] * 6 + [[1 - p, p]] * 6) for p in (0.9, 0.4))
    >>> table = compare_predictions(truth, good, bad, ["x", "y"], metrics=["accuracy"])
    >>> table[["difference", "p_value"]].round(5).to_numpy().tolist()
    [[1.0, 0.00049]]
    """
    names = check_classes(classes)
    k = len(names)
    actual = codes("truth", truth, names)
    n = len(actual)
    p = [
        check_probabilities(given, n, k, name)
        for name, given in [
            ("probabilities_a", probabilities_a),
            ("probabilities_b", probabilities_b),
        ]
    ]
    if not n:
        raise InputError("There is no image to compare the models by; give at least one.")
    normal_quantile(level)
    draws = Bootstrap(
        n, check_count("resamples", resamples, 0), check_seed(seed), check_groups(groups, n)
    )
    sides = [Side(actual, given, ordered) for given in p]
    wanted, own = _wanted(metrics, sides[0])
    labels = np.empty(n, dtype=object)
    labels[:] = [names[code] for code in actual]
    pair = _Pair(sides, wanted, own, labels, draws, level)
    rows = [pair.row(metric) for metric in (*wanted, *own)]
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


class Side:
    """One model's predictions, and the metrics of many weightings of the images at once.

    Examples
    --------
    >>> side = Side(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    >>> side.metrics(["accuracy"], np.ones((1, 2)))["accuracy"].tolist()
    [0.5]
    """

    def __init__(self, actual: np.ndarray, p: np.ndarray, ordered: bool = False) -> None:
        guess = p.argmax(axis=1) if len(p) else np.zeros(0, np.intp)
        self.actual, self.p = actual, p.astype(float)
        self.hit = (actual == guess).astype(float)
        self.matrices = Confusions(actual, guess, p.shape[1], ordered)
        self.means = Means.of(actual, guess, p, ordered)
        self.error = CalibrationError(actual, self.p)
        self.known = [*self.matrices.of_whole(np.ones((1, len(p)))), *self.means.values, _ECE]

    def metrics(self, names: Sequence[str], times: np.ndarray) -> Samples:
        """Compute metrics for images that count so and so often, (samples, n)."""
        found = self.matrices.of_whole(times) | self.means.scores(times)
        if _ECE in names:
            found[_ECE] = self.error.of(times)
        return {name: found[name] for name in names}

    def values(self, metric: str) -> np.ndarray | None:
        """Return the numbers (n,) that a metric is the mean of, if it is one."""
        return self.hit if metric == "accuracy" else self.means.values.get(metric)


def _wanted(
    metrics: Iterable[str | Metric] | Mapping[str, Metric | None] | None, side: Side
) -> tuple[list[str], dict[str, Metric]]:
    """Sort out the names of our metrics and the functions of the user's."""
    known = [*side.known, "roc_auc"]
    if metrics is None:
        kappa = side.matrices.kappa
        usual = [kappa if name == "kappa" else name for name in _USUAL]
        if kappa != "kappa":
            usual.append("mean_rank_error")
        return [name for name in usual if name in known], {}
    if isinstance(metrics, Mapping):
        own = {name: function for name, function in metrics.items() if function is not None}
        given: list[Any] = [name for name, function in metrics.items() if function is None]
    else:
        given = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
        own = {getattr(f, "__name__", f"metric_{i}"): f for i, f in enumerate(given) if callable(f)}
    names = list(dict.fromkeys(name for name in given if not callable(name)))
    for name in names:
        if name not in known:
            raise InputError(
                f"There is no metric {name!r} to compare; there are {', '.join(known)}, and "
                "functions of labels and probabilities."
            )
    for name, function in own.items():
        if not callable(function):
            raise InputError(f"metrics[{name!r}] must be a function, not {function!r:.50}.")
    return names, own


class _Pair:
    """Both models' predictions of the same images."""

    def __init__(
        self,
        sides: list[Side],
        ours: list[str],
        own: dict[str, Metric],
        labels: np.ndarray,
        draws: Bootstrap,
        level: float,
    ) -> None:
        self.sides, self.own, self.labels = sides, own, labels
        self.draws, self.level = draws, level
        self.differences = self._bootstrapped(ours)

    def row(self, metric: str) -> tuple[Any, ...]:
        n, groups = self.draws.n, self.draws.groups
        if metric == "roc_auc":
            estimates, found = self._areas()
        else:
            estimates = self._estimates(metric)
            pairs = [side.values(metric) for side in self.sides]
            if metric in self.own or pairs[0] is None or groups is not None:
                found = self._by_bootstrap(metric)
            elif metric in ("accuracy", _TOP):
                found = _proportions(*pairs, self.level)
            else:
                found = _means(pairs[0] - pairs[1], self.level)
        lower, upper, p_value, method = found
        a, b = estimates
        return metric, a, b, a - b, lower, upper, p_value, method, 0 if np.isnan(a - b) else n

    def _estimates(self, metric: str) -> list[float]:
        if metric in self.own:
            return [float(self.own[metric](self.labels, side.p)) for side in self.sides]
        whole = np.ones((1, self.draws.n))
        return [float(side.metrics([metric], whole)[metric][0]) for side in self.sides]

    def _areas(self) -> tuple[list[float], tuple[float, float, float, str]]:
        groups, actual = self.draws.groups, self.sides[0].actual
        if self.sides[0].p.shape[1] == 2:
            both = [placements(actual == 1, side.p[:, 1], groups) for side in self.sides]
            error = np.sqrt(both[0].minus(both[1]).variance)
            what = "paired"
        else:
            both = [macro_area(actual, side.p) for side in self.sides]
            error = mean_error(both[0].influence - both[1].influence, groups)
            what = "paired, of a mean"
        areas = [found.area for found in both]
        method = f"{DELONG if groups is None else OBUCHOWSKI}, {what}"
        return areas, (*normal_test(areas[0] - areas[1], error, self.level), method)

    def _by_bootstrap(self, metric: str) -> tuple[float, float, float, str]:
        sample = self.differences.get(metric, np.zeros(0))
        return (
            *percentiles(sample, self.level),
            bootstrap_p(sample),
            f"paired {self.draws.name} percentile",
        )

    def _bootstrapped(self, ours: list[str]) -> Samples:
        """Compute the differences in every sample, of the metrics that need them."""
        ours = [name for name in ours if name != "roc_auc"]
        if self.draws.groups is None:
            ours = [name for name in ours if self.sides[0].values(name) is None]

        def differences(times: np.ndarray) -> Samples:
            a, b = (side.metrics(ours, times) for side in self.sides) if ours else ({}, {})
            found = {name: a[name] - b[name] for name in ours}
            for name, function in self.own.items():
                found[name] = np.array([self._own_difference(function, row) for row in times])
            return found

        return self.draws.samples(differences) if ours or self.own else {}

    def _own_difference(self, function: Metric, times: np.ndarray) -> float:
        rows = np.repeat(np.arange(len(times)), times.astype(np.intp))
        a, b = (float(function(self.labels[rows], side.p[rows])) for side in self.sides)
        return a - b


def _proportions(a: np.ndarray, b: np.ndarray, level: float) -> tuple[float, float, float, str]:
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    lower, upper = tango(only_a, only_b, len(a), level)
    return lower, upper, mcnemar(only_a, only_b), "McNemar exact; interval of Tango"


def _means(differences: np.ndarray, level: float) -> tuple[float, float, float, str]:
    mean = float(differences.mean()) if len(differences) else np.nan
    return (
        *normal_test(mean, standard_error(differences), level),
        "normal, of paired differences",
    )
