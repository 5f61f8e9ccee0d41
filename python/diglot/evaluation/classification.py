"""Classification: metrics of predicted classes and probabilities, each with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation.bootstrap import Bootstrap, Samples
from diglot.evaluation.calibration import CalibrationError
from diglot.evaluation.confusions import Confusions
from diglot.evaluation.inputs import (
    check_classes,
    check_count,
    check_groups,
    check_probabilities,
    codes,
)
from diglot.evaluation.intervals import normal, normal_quantile, wilson
from diglot.evaluation.roc import macro_area, mean_error
from diglot.evaluation.table import MetricTable
from diglot.seeds import check_seed

TOP = 5
_ECE = "expected_calibration_error"


def evaluate_classes(
    truth: Iterable[Hashable],
    predicted: Iterable[Hashable],
    probabilities: np.ndarray | None,
    classes: Sequence[Hashable],
    *,
    groups: Iterable[Hashable] | None = None,
    level: float = 0.95,
    seed: int | None = 0,
    resamples: int = 1000,
    ordered: bool = False,
) -> pd.DataFrame:
    """Evaluate predicted classes and probabilities; every metric comes with an interval.

    Parameters
    ----------
    truth, predicted : sequences of n labels
        Each label is one of ``classes``.
    probabilities : array (n, k), or None
        Probability of each class, columns in the order of ``classes``. With None the metrics
        that need it are left out.
    classes : sequence of k labels
        All classes, also those that ``truth`` lacks.
    groups : sequence of n labels, optional
        Which images belong together, as several of one patient: they need not be independent,
        and the intervals take that into account.
    level : float
        Confidence level of the intervals.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    resamples : int
        Number of bootstrap samples; 0 leaves those intervals missing.
    ordered : bool
        The classes are ordered: kappa gets quadratic weights, so that a near miss counts less.

    Returns
    -------
    DataFrame
        One row for each metric, with the columns ``metric``; ``class`` (the class as text,
        missing for metrics of the whole); ``estimate``; ``lower`` and ``upper`` (ends of the
        interval); ``method`` (of the interval); ``n`` (how many cases the estimate rests on; 0
        makes the estimate missing).

        Of the whole: ``accuracy``; ``balanced_accuracy`` (mean sensitivity of the classes that
        occur); ``macro_specificity``, ``macro_precision`` and ``macro_f1`` (means over the
        classes that occur or are predicted; a class that is never predicted has a precision of
        0); ``weighted_precision`` and ``weighted_f1`` (the same weighted by how often a class
        occurs; so weighted, sensitivity is the accuracy); ``kappa`` or ``weighted_kappa``; if
        ``ordered``, ``mean_rank_error`` (mean distance between the ranks of truth and
        prediction). Of the probabilities: ``log_loss`` (clipped as scikit-learn does), ``brier``
        (from 0 to 2, or to 1 with two classes), ``roc_auc`` (of more than two classes the mean
        of each against the rest), ``expected_calibration_error`` (10 bins) and, with more than
        five classes, ``top_5_accuracy``. Of each class: ``sensitivity`` (recall),
        ``specificity``, ``precision``, ``f1`` and, with more than two classes, ``roc_auc``.

    Raises
    ------
    InputError
        Lengths or shapes differ, a label is not one of the classes, or the probabilities are
        none.

    Notes
    -----
    Proportions have Wilson's score interval. So has F1: given TP + FP + FN, the count TP is
    binomial, and F1 = 2 p / (1 + p) grows with its proportion p; the transformed interval keeps its
    coverage where a bootstrap would collapse to a point, as in a class without errors. Averages
    over classes and kappa have a percentile bootstrap of the images. Where there is nothing to
    resample, because all predictions are right or all wrong, the Wilson interval of the accuracy
    stands in, and ``method`` says so. Log loss, the Brier score and the rank error are means over
    images and have the mean's normal interval. Areas under ROC curves have DeLong's interval; that
    of their mean has it by what each image adds to all curves. The expected calibration error
    is too large on average, and the basic bootstrap interval, which mends that, need not lie
    evenly around it; it begins at 0 where a calibrated model would show as large an error by
    chance.

    With ``groups`` whole groups are drawn, for proportions and means as well; where a proportion
    is 0 or 1 its interval is Wilson's as if each group were one image, which errs on the wide
    side. Areas then have Obuchowski's variance.

    References
    ----------
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
    JASA 22. B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    A. C. Davison and D. V. Hinkley (1997), Bootstrap Methods and their Application, sections 3.8
    and 5.2. J. Cohen (1968), Weighted kappa, Psychological Bulletin 70. G. W. Brier (1950),
    Verification of forecasts expressed in terms of probability, Monthly Weather Review 78. For
    the areas see `diglot.evaluation.roc_auc`, for calibration `diglot.evaluation.reliability`.

    Examples
    --------
    >>> from diglot.evaluation import evaluate_classes
    >>> table = evaluate_classes(["a", "b", "b"], ["a", "b", "a"], None, ["a", "b"])
    >>> table[["metric", "estimate", "lower", "upper"]].round(3).iloc[0].tolist()
    ['accuracy', 0.667, 0.208, 0.939]
    """
    names, actual, guess = _coded(truth, predicted, classes)
    n, k = len(actual), len(names)
    normal_quantile(level)
    draws = Bootstrap(
        n, check_count("resamples", resamples, 0), check_seed(seed), check_groups(groups, n)
    )
    matrices = Confusions(actual, guess, k, ordered)
    p = None if probabilities is None else check_probabilities(probabilities, n, k)
    means = Means.of(actual, guess, p, ordered)
    error = None if p is None else CalibrationError(actual, p.astype(float))

    def metrics(times: np.ndarray) -> Samples:
        found = matrices.of_whole(times)
        if draws.groups is not None:
            found |= matrices.of_classes(times) | means.scores(times)
        return found if error is None else found | {_ECE: error.of(times)}

    table = MetricTable(level, draws, draws.samples(metrics))
    table.proportion("accuracy", actual == guess)
    _averages(table, matrices, actual, guess)
    for metric, values in means.values.items():
        if metric.startswith("top"):
            table.proportion(metric, values > 0)
        else:
            table.mean(metric, values, means.most[metric])
    if p is not None:
        _areas(table, actual, p)
        estimate = float(error.of(np.ones((1, n)))[0])
        ends = error.interval(table.samples.get(_ECE, np.zeros(0)), draws, level)
        table.add(_ECE, estimate, ends, f"{draws.name} basic", n)
    for code, label in enumerate(names):
        positive, called = actual == code, guess == code
        table.proportion("sensitivity", called, positive, label, code)
        table.proportion("specificity", ~called, ~positive, label, code)
        table.proportion("precision", positive, called, label, code)
        table.f1(positive, called, label, code)
        if p is not None and k > 2:
            table.area(positive, p[:, code].astype(float), label)
    return table.frame()


def _averages(
    table: MetricTable, matrices: Confusions, actual: np.ndarray, guess: np.ndarray
) -> None:
    """Add the averages over classes, and kappa."""
    n, hits, units = len(actual), int((actual == guess).sum()), table.draws.units
    estimates = {m: float(v[0]) for m, v in matrices.of_whole(np.ones((1, n))).items()}
    del estimates["accuracy"]
    for metric, estimate in estimates.items():
        kappa = metric == matrices.kappa
        ends, method = table.percentiles(metric), f"{table.draws.name} percentile"
        # All wrong may be wrong in different ways, for kappa as for specificity.
        stuck = hits == n or (hits == 0 and not kappa and estimate == 0)
        if n and stuck and not np.isnan(estimate):
            accuracy = wilson(units if hits else 0, units, table.level)
            ends, method = tuple(float(end) for end in accuracy), "Wilson, of accuracy"
            if kappa:
                # Kappa is 1 - error rate / error rate by chance.
                chance = 1 - ((np.bincount(actual) / n) ** 2).sum()
                ends = tuple(max(-1.0, 1 - (1 - end) / chance) for end in ends)
        table.add(metric, estimate, ends, method, n)


def _areas(table: MetricTable, actual: np.ndarray, p: np.ndarray) -> None:
    """Add the area under the ROC curve; of more than two classes the mean over them."""
    n, k = p.shape
    if k == 2:
        table.area(actual == 1, p[:, 1].astype(float))
    elif k > 2:
        groups, macro = table.draws.groups, macro_area(actual, p.astype(float))
        ends = normal(macro.area, mean_error(macro.influence, groups), table.level, 0.0, 1.0)
        method = "DeLong, of a mean" if groups is None else "Obuchowski, of a mean"
        table.add("roc_auc", macro.area, ends, method, 0 if np.isnan(macro.area) else n)


class Means:
    """The metrics that are means over images: the numbers of each image, by metric.

    Examples
    --------
    >>> p = np.array([[0.75, 0.25]])
    >>> Means.of(np.array([1]), np.array([0]), p).values["brier"].tolist()
    [0.5625]
    """

    def __init__(self, values: dict[str, np.ndarray], most: dict[str, float]) -> None:
        self.values, self.most = values, most

    @classmethod
    def of(
        cls,
        actual: np.ndarray,
        guess: np.ndarray,
        p: np.ndarray | None,
        ordered: bool = False,
    ) -> Means:
        """Compute them; ``p`` are probabilities, or None."""
        values: dict[str, np.ndarray] = {}
        most: dict[str, float] = {}
        if ordered:
            values["mean_rank_error"] = np.abs(actual - guess).astype(float)
            most["mean_rank_error"] = np.inf
        if p is not None:
            k = p.shape[1]
            values["log_loss"], most["log_loss"] = _log_loss(actual, p), np.inf
            values["brier"], most["brier"] = _brier(actual, p.astype(float)), 1 if k == 2 else 2
            if k > TOP:
                name = f"top_{TOP}_accuracy"
                values[name], most[name] = _among_top(actual, p.astype(float)), 1
        return cls(values, most)

    def scores(self, times: np.ndarray) -> Samples:
        """Compute the means for images that count so and so often, (samples, n)."""
        n = times.sum(axis=1)
        return {name: times @ values / n for name, values in self.values.items()}


def _log_loss(actual: np.ndarray, p: np.ndarray) -> np.ndarray:
    # As scikit-learn: the smallest step of the numbers' own type, so float32 clips earlier.
    tiny = np.finfo(p.dtype).eps
    own = p[np.arange(len(p)), actual].astype(float)
    return -np.log(np.clip(own, tiny, 1 - tiny))


def _brier(actual: np.ndarray, p: np.ndarray) -> np.ndarray:
    own = p[np.arange(len(p)), actual]
    score = (p**2).sum(axis=1) - 2 * own + 1
    return score / 2 if p.shape[1] == 2 else score


def _among_top(actual: np.ndarray, p: np.ndarray) -> np.ndarray:
    own = p[np.arange(len(p)), actual][:, None]
    # Ties go to the earlier class, as in predict.
    column = np.arange(p.shape[1])[None, :]
    ahead = (p > own) | ((p == own) & (column < actual[:, None]))
    return (ahead.sum(axis=1) < TOP).astype(float)


def confusion(
    truth: Iterable[Hashable], predicted: Iterable[Hashable], classes: Sequence[Hashable]
) -> pd.DataFrame:
    """Count how often each class was taken for each.

    Parameters
    ----------
    truth, predicted : sequences of n labels
        Each label is one of ``classes``.
    classes : sequence of k labels
        All classes, in the order of rows and columns.

    Returns
    -------
    DataFrame of int, (k, k)
        Rows are the truth, columns the prediction.

    Raises
    ------
    InputError
        Lengths differ, or a label is not one of the classes.

    Examples
    --------
    >>> from diglot.evaluation import confusion
    >>> confusion(["a", "b", "b"], ["a", "b", "a"], ["a", "b"]).to_numpy().tolist()
    [[1, 0], [1, 1]]
    """
    names, actual, guess = _coded(truth, predicted, classes)
    k = len(names)
    # tupleize_cols=False: labels may be tuples, and are then no levels of an index.
    return pd.DataFrame(
        np.bincount(actual * k + guess, minlength=k * k).reshape(k, k),
        index=pd.Index(names, name="truth", tupleize_cols=False),
        columns=pd.Index(names, name="predicted", tupleize_cols=False),
    )


def _coded(
    truth: Iterable[Hashable], predicted: Iterable[Hashable], classes: Sequence[Hashable]
) -> tuple[list[Hashable], np.ndarray, np.ndarray]:
    """Give the classes, and both sets of labels as 0-based codes."""
    names = check_classes(classes)
    actual, guess = codes("truth", truth, names), codes("predicted", predicted, names)
    if len(actual) != len(guess):
        raise InputError(
            f"truth has {len(actual)} labels and predicted {len(guess)}; give one for each image."
        )
    return names, actual, guess
