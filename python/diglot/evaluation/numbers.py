"""Numeric outcomes: errors of predicted means, rates and quantiles, each with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.confusions import ratio
from diglot.evaluation.inputs import check_count, check_groups
from diglot.evaluation.intervals import normal_quantile
from diglot.evaluation.table import MetricTable
from diglot.seeds import check_seed

FAMILIES = ("gaussian", "poisson", "quantile")


def evaluate_numbers(
    truth: Any,
    predicted: Any,
    *,
    family: str = "gaussian",
    quantile: float = 0.5,
    groups: Iterable[Hashable] | None = None,
    level: float = 0.95,
    seed: int | None = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Evaluate predicted numbers; every metric comes with an interval.

    Parameters
    ----------
    truth, predicted : sequences of n numbers
        What was measured, and what was predicted of it.
    family : {"gaussian", "poisson", "quantile"}
        What was predicted: a mean, a count's mean (truth from 0, predictions above 0), or a
        quantile.
    quantile : float
        Which one, between 0 and 1.
    groups : sequence of n labels, optional
        Which images belong together, as several of one patient; whole groups are then drawn.
    level : float
        Confidence level of the intervals.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    resamples : int
        Number of bootstrap samples; 0 leaves those intervals missing.

    Returns
    -------
    DataFrame
        The columns of `evaluate_classes`; ``class`` is missing. The metrics are ``rmse`` (root
        mean squared error), ``mae`` (mean absolute error) and ``r_squared`` (1 - squared error
        over that of the mean of the truth; below 0 for predictions worse than that), in units
        of the outcome; for "poisson" also ``deviance`` (mean), for "quantile" ``pinball_loss``
        (mean) and ``share_below`` (of the truth, at or below its prediction, which should be
        ``quantile``).

    Raises
    ------
    InputError
        Lengths differ, or something is no finite number or outside what the family allows.

    Notes
    -----
    The intervals are bias corrected and accelerated bootstrap intervals of images or groups; that
    of ``share_below`` is Wilson's, of groups the bootstrap's percentiles.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 14. P. McCullagh
    and J. A. Nelder (1989), Generalized Linear Models, section 2.3. R. Koenker and G. Bassett
    (1978), Regression quantiles, Econometrica 46.

    Examples
    --------
    >>> table = evaluate_numbers([1.0, 2.0, 3.0], [1.0, 2.0, 5.0])
    >>> table[["metric", "estimate"]].round(3).to_numpy().tolist()
    [['rmse', 1.155], ['mae', 0.667], ['r_squared', -1.0]]
    """
    if family not in FAMILIES:
        raise InputError(f"family is {family!r}; use one of {', '.join(FAMILIES)}.")
    if not 0 < quantile < 1:
        raise InputError(f"quantile is {quantile}; use a number between 0 and 1.")
    normal_quantile(level)
    y, guess = _numbers("truth", truth), _numbers("predicted", predicted)
    if len(y) != len(guess):
        raise InputError(
            f"truth has {len(y)} numbers and predicted {len(guess)}; give one for each image."
        )
    if family == "poisson":
        _check_rates(y, guess)
    n = len(y)
    draws = Bootstrap(
        n, check_count("resamples", resamples, 0), check_seed(seed), check_groups(groups, n)
    )
    names, statistics = _statistics(y, guess, family, quantile)
    table = MetricTable(level, draws)
    estimates, ends = _scores(statistics.sum(axis=0)), draws.intervals(statistics, _scores, level)
    for name, estimate, interval in zip(names, estimates, ends, strict=True):
        table.add(name, estimate, interval, f"{draws.name} BCa", n)
    if family == "quantile":
        below = y <= guess
        if draws.groups is not None:
            table.samples = draws.samples(
                lambda times: {"share_below": times @ below / times.sum(axis=1)}
            )
        table.proportion("share_below", below)
    return table.frame()


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers, one an image.") from None
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise InputError(f"{name} has shape {numbers.shape}; give one number for each image.")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(f"{name} is {numbers[bad[0]]} at place {bad[0]}; drop such rows.")
    return numbers


def _check_rates(y: np.ndarray, guess: np.ndarray) -> None:
    for name, bad, must in [("truth", y < 0, "0 or more"), ("predicted", guess <= 0, "above 0")]:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            value = (y if name == "truth" else guess)[at]
            raise InputError(
                f"{name} is {value} at place {at}; for family='poisson' it must be {must}."
            )


def _statistics(
    y: np.ndarray, guess: np.ndarray, family: str, quantile: float
) -> tuple[list[str], np.ndarray]:
    """Give the names of the metrics and what they are made of: numbers that add up."""
    error = y - guess
    # Centred, lest the sum of squares loses its digits.
    centred = y - y.mean() if len(y) else y
    names = ["rmse", "mae", "r_squared"]
    columns = [np.ones(len(y)), error**2, np.abs(error), centred, centred**2]
    if family == "poisson":
        names.append("deviance")
        # y log(y / mu), which is 0 for y = 0.
        columns.append(2 * (y * np.log(np.where(y > 0, y, guess) / guess) - error))
    elif family == "quantile":
        names.append("pinball_loss")
        columns.append(np.maximum(quantile * error, (quantile - 1) * error))
    return names, np.column_stack(columns)


def _scores(sums: np.ndarray) -> np.ndarray:
    n, squares, absolute, total, spread = np.moveaxis(sums[..., :5], -1, 0)
    scores = [
        np.sqrt(np.maximum(ratio(squares, n), 0)),
        ratio(absolute, n),
        # Rounding alone is no spread.
        1 - ratio(squares, _at_least(spread - ratio(total**2, n), 1e-12 * spread)),
    ]
    scores += [ratio(sums[..., k], n) for k in range(5, sums.shape[-1])]
    return np.stack(scores, axis=-1)


def _at_least(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    return np.where(values > least, values, 0)
