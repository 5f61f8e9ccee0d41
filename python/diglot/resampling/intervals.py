"""The interval of a mean over folds, which are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from diglot.errors import InputError

METHOD = "corrected resampled t"

# Where a metric cannot be, its interval need not reach.
_SHARES = (
    "accuracy",
    "balanced_accuracy",
    "macro_specificity",
    "macro_precision",
    "macro_f1",
    "weighted_precision",
    "weighted_f1",
    "top_5_accuracy",
    "roc_auc",
    "expected_calibration_error",
    "subset_accuracy",
    "hamming_loss",
    "micro_f1",
    "mean_average_precision",
)
_WITHIN = {
    **dict.fromkeys(_SHARES, (0.0, 1.0)),
    **dict.fromkeys(("kappa", "weighted_kappa"), (-1.0, 1.0)),
    "r_squared": (-np.inf, 1.0),
    **dict.fromkeys(
        ("log_loss", "brier", "rmse", "mae", "deviance", "pinball_loss"), (0.0, np.inf)
    ),
}


def corrected_interval(
    values: Sequence[float] | np.ndarray,
    n_train: Sequence[float] | np.ndarray | float,
    n_test: Sequence[float] | np.ndarray | float,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Return the mean of a metric over folds, and its corrected resampled t interval.

    Models of different folds share most of their training images, so that their results are
    correlated and the usual interval of a mean is far too narrow. Nadeau and Bengio take the
    correlation as n_test / (n_test + n_train), which gives the mean of J results the variance
    s^2 (1 / J + n_test / n_train), and t with J - 1 degrees of freedom.

    Parameters
    ----------
    values : array of J floats
        The metric, once a fold; missing ones (NaN) do not count.
    n_train, n_test : float or array of J floats
        How many images each fold trained and tested on.
    level : float
        Confidence level.

    Returns
    -------
    estimate, lower, upper : float
        The interval is missing (NaN) with fewer than two values.

    References
    ----------
    C. Nadeau and Y. Bengio (2003), Inference for the generalization error, Machine Learning 52,
    239-281. R. R. Bouckaert and E. Frank (2004), Evaluating the replicability of significance
    tests for comparing learning algorithms, PAKDD (for repeated cross-validation).

    Examples
    --------
    >>> [round(v, 3) for v in corrected_interval([0.9, 0.8, 0.85, 0.95, 0.9], 80, 20)]
    [0.88, 0.774, 0.986]
    """
    from scipy.stats import t

    if not 0 < level < 1:
        raise InputError(f"level is {level}; use a number between 0 and 1, as 0.95")
    values = np.asarray(values, np.float64)
    there = ~np.isnan(values)
    count = int(there.sum())
    if not count:
        return np.nan, np.nan, np.nan
    mean = float(values[there].mean())
    if count < 2:
        return mean, np.nan, np.nan
    ratio = np.broadcast_to(np.asarray(n_test) / np.asarray(n_train), values.shape)[there].mean()
    error = values[there].std(ddof=1) * np.sqrt(1 / count + ratio)
    half = float(t.ppf((1 + level) / 2, count - 1) * error)
    return mean, mean - half, mean + half


def summarise(folds: pd.DataFrame, metrics: Sequence[str], level: float = 0.95) -> pd.DataFrame:
    """Return the mean of each metric over folds, with `corrected_interval`.

    Parameters
    ----------
    folds : DataFrame
        One row a fold: ``n_train``, ``n_test`` and the metrics.
    metrics : sequence of str
        Columns of it.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        metric, estimate, lower, upper, method, n (of folds that count). Intervals end where the
        metric does.

    Examples
    --------
    >>> folds = pd.DataFrame({"n_train": 8, "n_test": 2, "accuracy": [0.5, 1.0, 0.5, 1.0, 1.0]})
    >>> summarise(folds, ["accuracy"]).iloc[0, :4].tolist()[0::3]
    ['accuracy', 1.0]
    """
    rows = []
    for metric in metrics:
        mean, *ends = corrected_interval(folds[metric], folds["n_train"], folds["n_test"], level)
        lower, upper = np.clip(ends, *_WITHIN.get(metric, (-np.inf, np.inf)))
        rows.append((metric, mean, lower, upper, METHOD, int(folds[metric].notna().sum())))
    return pd.DataFrame(rows, columns=["metric", "estimate", "lower", "upper", "method", "n"])
