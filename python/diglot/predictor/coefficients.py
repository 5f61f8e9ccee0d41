"""Coefficients of covariates, and how they would vary from sample to sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from diglot.builder import initial_weights
from diglot.errors import InputError
from diglot.outcomes import Design, Outcome
from diglot.outcomes.heads import EFFECTS
from diglot.predictor.fitting import Fit, opened
from diglot.predictor.rows import Rows
from diglot.progress import Reporter, Silent
from diglot.seeds import stream
from diglot.training import State, train

COLUMNS = ["term", "class", "estimate", "lower", "upper", "method", "n"]
_EFFECTS = f"{EFFECTS}_weight"


def coefficient_table(weights: Any, outcome: Outcome, design: Design) -> pd.DataFrame:
    """Return the coefficients in the covariates' own units, without intervals.

    Parameters
    ----------
    weights : mapping of str to ndarray
        The network's.
    outcome : Outcome
    design : Design

    Returns
    -------
    DataFrame
        term, class, estimate, lower, upper, method, n.
    """
    rows = [
        (term, label, value, np.nan, np.nan, None, np.nan)
        for label, values in _effects(weights, outcome, design)
        for term, value in zip(design.terms, values.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _effects(
    weights: Any, outcome: Outcome, design: Design
) -> Sequence[tuple[str | None, np.ndarray]]:
    """Return the effects on each linear predictor, by what it is of."""
    standardised = np.asarray(weights[_EFFECTS], np.float64)
    return [(label, row / design.scale) for label, row in outcome.effects(standardised)]


def bootstrap_coefficients(
    fit: Fit,
    design: Design,
    groups: np.ndarray | None,
    *,
    level: float,
    resamples: int,
    seed: int,
    reporter: Reporter,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train the last layer anew, on all and on resampled images, and return its coefficients.

    Parameters
    ----------
    fit : Fit
        Of the last layer; its rows are the images to draw from, each its own.
    design : Design
    groups : ndarray of int, shape (n,), or None
        Which images are drawn together.
    level : float
        Confidence level.
    resamples : int
        How many draws.
    seed : int
        Of the draws.
    reporter : Reporter
        Who hears of the progress.

    Returns
    -------
    estimate, lower, upper : ndarray
        In the table's order; the ends are the bootstrap's percentiles.

    Notes
    -----
    The network before its last layer stays as it is: its features are computed once.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    draws = [fit.train.weights, *_draws(fit, groups, resamples, seed)]
    found = []
    reporter.start("Resampling", len(draws), "fit")
    try:
        for number, weights in enumerate(_refitted(fit, draws), start=1):
            effects = _effects(weights, fit.outcome, design)
            found.append(np.concatenate([values for _, values in effects]))
            reporter.step(number)
    finally:
        reporter.finish()
    tail = (1 - level) / 2
    lower, upper = np.quantile(np.array(found[1:]), [tail, 1 - tail], axis=0)
    return found[0], lower, upper


def _draws(fit: Fit, groups: np.ndarray | None, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield weights of rows: how often each was drawn."""
    n = len(fit.train)
    codes = np.arange(n) if groups is None else groups
    count = int(codes.max()) + 1
    for number in range(resamples):
        drawn = stream(seed, "coefficients", number).integers(0, count, count)
        times = np.bincount(drawn, minlength=count)[codes] * fit.train.weights
        yield times / times.mean()


def _refitted(fit: Fit, draws: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the last layer's weights after training it from its first values, for each draw."""
    (phase,) = fit.phases
    kept = {n: w for n, w in fit.graph.weights.items() if n not in phase.learned}
    bare = replace(fit.graph, weights=kept)
    plan = replace(fit.plan, epochs=phase.epochs, learning_rate=phase.rate)
    with opened(fit, Silent(), phase, fit.graph) as (executor, task):
        start = executor.optimiser_state()
        for number, weights in enumerate(draws):
            task.reweight(weights)
            executor.load_weights({**kept, **initial_weights(bare, fit.plan.seed)})
            executor.load_optimiser_state(start)
            mine = replace(plan, seed=fit.plan.seed + number)
            train(executor, task, mine, run={}, reporter=Silent(), state=State())
            yield executor.weights()


def group_codes(groups: Any, rows: int) -> np.ndarray | None:
    """Return groups as codes from 0.

    Raises
    ------
    InputError
        If there is not one for each image, or one is missing.
    """
    if groups is None:
        return None
    values = pd.Series(list(groups), dtype=object)
    if len(values) != rows:
        raise InputError(f"there are {rows} images and {len(values)} groups; give one an image")
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0]) + 1
        raise InputError(f"the group of row {row} is missing")
    return pd.factorize(values)[0]


def unmerged(fit: Fit, seen: Any) -> Fit:
    """Return the fit with each image as a row of its own, as they are drawn one by one."""
    count = len(seen.values)
    rows = Rows(fit.train.images, np.arange(count), seen.values, np.ones(count), seen.covariates)
    return replace(fit, train=rows, held=None)
