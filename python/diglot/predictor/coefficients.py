"""Coefficients of covariates, and how they would vary from sample to sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from diglot.batching import Sparing, score_batch
from diglot.engine import open_executor
from diglot.errors import InputError
from diglot.estimators.inputs import check_channels
from diglot.estimators.settings import number, whole
from diglot.outcomes import Design, Outcome, bare
from diglot.outcomes.heads import EFFECTS
from diglot.predictor.refit import Refit
from diglot.predictor.task import score
from diglot.progress import Reporter, reporter
from diglot.seeds import stream

COLUMNS = ["term", "class", "estimate", "lower", "upper", "method", "n"]
_EFFECTS = f"{EFFECTS}_weight"


class WithCoefficients:
    """What a predictor of images with covariates says of these."""

    def coefficients(
        self,
        X: Any = None,
        y: Any = None,
        *,
        groups: Any = None,
        level: float = 0.95,
        resamples: int = 200,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return the covariates' coefficients, in their own units, beside the image's share.

        Parameters
        ----------
        X, y : images with covariates, and outcomes, optional
            Data to estimate them on, with intervals: best images that the network has not learned
            from.
        groups : sequence of n labels, optional
            Which images belong together, such as those of one patient: they are drawn together.
        level : float
            Of the intervals.
        resamples : int
            Of the bootstrap.
        seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            term, class, estimate, lower, upper, method, n: for each class its log-odds against
            the first class (none for ordered classes, where it is the log-odds of a higher
            class; for tags each tag's log-odds; for counts the log-rate; the mean or each
            quantile of numbers). Ends and n are missing without data.

        Raises
        ------
        InputError
            If the model has no covariates.

        Notes
        -----
        Without data they are those of the network's last layer, as training left them. With data,
        the outcome is modelled by what the network says of the image alone, whose slope is
        estimated, too, and by the covariates: the maximum of the likelihood, and percentiles of
        the bootstrap. The network itself is held fixed: that it would differ is not in the
        intervals. Images that it has learned from it fits too well, which makes log-odds, and
        coefficients with them, too large.

        Examples
        --------
        >>> from diglot import ImageRegressor
        >>> rng = np.random.default_rng(1)
        >>> people = pd.DataFrame({"image": list(rng.random((80, 8, 8)))})
        >>> people["age"] = rng.normal(50, 9, 80)
        >>> years_left = 90 - people["age"] + rng.normal(size=80)
        >>> model = ImageRegressor("mlp", epochs=1, seed=1, covariates=["age"])
        >>> model = model.fit(people[:40], years_left[:40])
        >>> model.coefficients(people[40:], years_left[40:])["estimate"].round(1).tolist()
        [-1.0]
        """
        check_is_fitted(self)
        if self.design_ is None:
            raise InputError("this model has no covariates: fit with covariates=['age', 'sex']")
        table = coefficient_table(self.network_.weights, self.outcome_, self.design_)
        if X is None:
            return table
        number("level", level, lambda v: 0 < v < 1, "between 0 and 1")
        resamples = whole("resamples", resamples, 2)
        seen = self._observed(X, y, None, self.outcome_)
        codes = group_codes(groups, len(seen.values))
        alone = bare(self.network_)
        check_channels(seen.images, alone.input)
        executor = self._kept("image alone", partial(open_executor, alone))
        with self._prepared(seen.images, alone, cache=False) as ready:
            scores = score(Sparing(executor), ready, score_batch(alone), self.threads)
        estimate, lower, upper = bootstrap_coefficients(
            Refit(
                scores.astype(np.float64),
                seen.covariates.astype(np.float64),
                seen.outcome.targets(seen.values).astype(np.float64),
                seen.outcome,
            ),
            self.design_,
            codes,
            level=level,
            resamples=resamples,
            seed=seed,
            reporter=reporter(self.verbose),
        )
        method = "bootstrap percentile" if codes is None else "cluster bootstrap percentile"
        n = len(seen.values)
        return table.assign(estimate=estimate, lower=lower, upper=upper, method=method, n=n)


def coefficient_table(weights: Any, outcome: Outcome, design: Design) -> pd.DataFrame:
    """Return the network's own coefficients in the covariates' units, without intervals.

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
        for label, values in _effects(weights[_EFFECTS], outcome, design)
        for term, value in zip(design.terms, values.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _effects(
    standardised: Any, outcome: Outcome, design: Design
) -> Sequence[tuple[str | None, np.ndarray]]:
    """Return the effects on each linear predictor, by what it is of."""
    weight = np.asarray(standardised, np.float64)
    return [(label, row / design.scale) for label, row in outcome.effects(weight)]


def bootstrap_coefficients(
    model: Refit,
    design: Design,
    groups: np.ndarray | None,
    *,
    level: float,
    resamples: int,
    seed: int,
    reporter: Reporter,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit the model to all and to resampled images, and return its coefficients.

    Parameters
    ----------
    model : Refit
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

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """

    def coefficients(parameters: np.ndarray) -> np.ndarray:
        effects = _effects(model.effects(parameters), model.outcome, design)
        return np.concatenate([values for _, values in effects])

    n, found = len(model.scores), []
    start = model.fit(np.ones(n))
    reporter.start("Resampling", resamples, "fit")
    try:
        for done, weights in enumerate(_draws(n, groups, resamples, seed), start=1):
            found.append(coefficients(model.fit(weights, start)))
            reporter.step(done)
    finally:
        reporter.finish()
    tail = (1 - level) / 2
    lower, upper = np.quantile(np.array(found), [tail, 1 - tail], axis=0)
    return coefficients(start), lower, upper


def _draws(n: int, groups: np.ndarray | None, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row was drawn."""
    codes = np.arange(n) if groups is None else groups
    count = int(codes.max()) + 1
    for draw in range(resamples):
        drawn = stream(seed, "coefficients", draw).integers(0, count, count)
        yield np.bincount(drawn, minlength=count)[codes].astype(np.float64)


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
