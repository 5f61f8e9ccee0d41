"""Penalised multinomial regression on standardised features; the penalty by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from diglot.seeds import engine_seed

_MOST_STEPS = 1000


@dataclass(frozen=True)
class Regression:
    """A fitted model.

    Attributes
    ----------
    mean, scale : ndarray of shape (p,)
        Of the features in training; the scale of constant ones is 1.
    coefficients : ndarray of shape (k, p)
        Of standardised features.
    intercepts : ndarray of shape (k,)
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return log-probabilities up to a constant of each row, (n, k)."""
        return ((features - self.mean) / self.scale) @ self.coefficients.T + self.intercepts


@dataclass
class _Path:
    """Fits on the same rows, one after the other, each beginning where the last one ended."""

    features: np.ndarray
    codes: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        self.mean = np.average(self.features, axis=0, weights=self.weights)
        spread = np.average((self.features - self.mean) ** 2, axis=0, weights=self.weights) ** 0.5
        self.scale = np.where(spread > 1e-12, spread, 1.0)
        self._standardised = (self.features - self.mean) / self.scale
        self._model = LogisticRegression(warm_start=True, tol=1e-6, max_iter=_MOST_STEPS)

    def fit(self, C: float) -> Regression:
        self._model.set_params(C=C).fit(self._standardised, self.codes, self.weights)
        coefficients, intercepts = self._model.coef_, self._model.intercept_
        if len(coefficients) == 1:  # of two classes, the log-odds of the second
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.append(0.0, intercepts)
        return Regression(self.mean, self.scale, coefficients, intercepts)


def fit_regression(
    features: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    strengths: Sequence[float],
    folds: int,
    seed: int,
) -> tuple[Regression, float, pd.DataFrame]:
    """Choose the penalty with the least log loss in cross-validation, and fit all rows with it.

    Parameters
    ----------
    features : ndarray of shape (n, p)
    codes : ndarray of int, shape (n,)
        From 0, all of them.
    weights : ndarray of shape (n,)
    strengths : sequence of float
        Inverse strengths of the penalty to choose among.
    folds : int
        As many as the smallest class has images at most. Where that is one, nothing can be
        compared, and the middle one of the strengths is taken.
    seed : int
        Of the folds.

    Returns
    -------
    regression : Regression
    chosen : float
    path : DataFrame
        ``C`` and ``log_loss``, from the strongest penalty to the first that does worse.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(60, 2))
    >>> fitted = fit_regression(x, (x[:, 0] > 0) + 0, np.ones(60), [0.01, 1, 100], 3, 0)
    >>> fitted[0].coefficients.shape, fitted[1]
    ((2, 2), 100.0)
    """
    strengths = sorted(float(C) for C in strengths)
    folds = min(folds, int(np.bincount(codes).min()))
    if len(strengths) == 1 or folds < 2:
        chosen, path = strengths[len(strengths) // 2], []
    else:
        path = _losses(features, codes, weights, strengths, folds, seed)
        chosen = min(path, key=lambda row: row[1])[0]
    table = pd.DataFrame(path, columns=["C", "log_loss"], dtype=float)
    return _Path(features, codes, weights).fit(chosen), chosen, table


def _losses(
    features: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    strengths: Sequence[float],
    folds: int,
    seed: int,
) -> list[tuple[float, float]]:
    splitter = StratifiedKFold(folds, shuffle=True, random_state=engine_seed(seed, "penalty"))
    splits = list(splitter.split(features, codes))
    paths = [_Path(features[train], codes[train], weights[train]) for train, _ in splits]
    found: list[tuple[float, float]] = []
    for C in strengths:
        losses = np.empty(len(codes))
        for path, (_, test) in zip(paths, splits, strict=True):
            with warnings.catch_warnings():  # a fit that is near its optimum is near enough here
                warnings.simplefilter("ignore", ConvergenceWarning)
                scores = path.fit(C).scores(features[test])
            top = scores.max(axis=1)
            sums = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
            losses[test] = sums - scores[np.arange(len(test)), codes[test]]
        found.append((C, float(np.average(losses, weights=weights))))
        if len(found) > 1 and found[-1][1] > found[-2][1]:
            break  # weaker penalties overfit more, and take the longest
    return found
