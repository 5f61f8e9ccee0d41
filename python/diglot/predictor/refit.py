"""An outcome modelled by the network's scores and by covariates, as a generalised linear model.

The network's part is what it says of the image alone: its score, or one a class. The model has few
parameters and is fitted to its maximum. The score's own slope corrects a network that is too sure
of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from diglot.outcomes import Outcome
from diglot.outcomes.classes import Classes
from diglot.outcomes.numbers import Numbers

_RIDGE = 1e-6  # keeps coefficients finite where covariates part the classes; else without effect


@dataclass(frozen=True)
class Refit:
    """The model that is fitted to data, image by image.

    Attributes
    ----------
    scores : ndarray of shape (n, m)
        What the network says of the image alone.
    covariates : ndarray of shape (n, p)
        Standardised.
    target : ndarray of shape (n, t)
        As the outcome's loss takes it.
    outcome : Outcome
    """

    scores: np.ndarray
    covariates: np.ndarray
    target: np.ndarray
    outcome: Outcome

    def fit(self, weights: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """Return the parameters of the largest likelihood: see `effects`."""
        begin = self._start() if start is None else start
        found = minimize(
            self._objective,
            begin,
            (weights / weights.sum(),),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-7},
        )
        return found.x

    def effects(self, parameters: np.ndarray) -> np.ndarray:
        """Return the covariates' part of the parameters: (m, p)."""
        m, p = self.scores.shape[1], self.covariates.shape[1]
        return parameters[: m * p].reshape(m, p)

    def _start(self) -> np.ndarray:
        m, p = self.scores.shape[1], self.covariates.shape[1]
        return np.concatenate([np.zeros(m * p), np.ones(self._slopes), self._first_cuts()])

    @property
    def _slopes(self) -> int:
        """One slope for all classes, whose scores belong together; else each its own."""
        return 1 if isinstance(self.outcome, Classes) else self.scores.shape[1]

    def _first_cuts(self) -> np.ndarray:
        """Return intercepts, or for ordered classes the first cutpoint and the gaps' logarithms."""
        if not _is_cumulative(self.outcome):
            return np.zeros(self.scores.shape[1])
        share = np.clip(self.target.mean(axis=0).cumsum()[:-1], 1e-3, 1 - 1e-3)
        cuts = np.log(share / (1 - share))
        gaps = np.maximum(np.diff(cuts), 1e-3)
        return np.concatenate([cuts[:1], np.log(gaps)])

    def _objective(self, parameters: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        m, p = self.scores.shape[1], self.covariates.shape[1]
        effects = parameters[: m * p].reshape(m, p)
        slope = parameters[m * p : m * p + self._slopes]
        rest = parameters[m * p + self._slopes :]
        eta = self.scores * slope + self.covariates @ effects.T
        if _is_cumulative(self.outcome):
            losses, up, on_cuts = _cumulative(eta[:, 0], self.target, rest)
            up, on_rest = up[:, None] * weights[:, None], weights @ on_cuts
        else:
            losses, up = _loss_of(self.outcome, len(eta))(eta + rest, self.target)
            up = up * weights[:, None]
            on_rest = up.sum(axis=0)
        on_slope = (up * self.scores).sum(axis=0)
        on_slope = on_slope if self._slopes > 1 or m == 1 else on_slope.sum(keepdims=True)
        gradient = np.concatenate([(up.T @ self.covariates).ravel(), on_slope, on_rest])
        penalty = _RIDGE / 2 * float(parameters @ parameters)
        return float(weights @ losses) + penalty, gradient + _RIDGE * parameters


def _is_cumulative(outcome: Outcome) -> bool:
    return outcome.family == "cumulative"


def _loss_of(outcome: Outcome, n: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return the loss by row and its slope, of linear predictors and targets, each (n, m)."""
    if isinstance(outcome, Classes):
        return _multinomial
    if not isinstance(outcome, Numbers):
        return _binomial
    if outcome.family == "quantile":
        levels = np.array(outcome.quantiles)
        return lambda eta, target: _quantile(eta, target, levels, n)
    return {"gaussian": _gaussian, "poisson": _poisson}[outcome.family]


def _multinomial(eta: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = eta - eta.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(log_p * target).sum(axis=1), np.exp(log_p) - target


def _binomial(eta: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (np.logaddexp(0, eta) - eta * target).sum(axis=1), expit(eta) - target


def _gaussian(eta: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    off = eta - target
    return (off**2 / 2).sum(axis=1), off


def _poisson(eta: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rate = np.exp(np.minimum(eta, 500))
    return (rate - target * eta).sum(axis=1), rate - target


def _quantile(
    eta: np.ndarray, target: np.ndarray, levels: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tilted absolute error, rounded where it has its edge.

    By a uniform kernel of the bandwidth of X. He, X. Pan, K. M. Tan and W.-X. Zhou (2023),
    Smoothed quantile regression with large-scale inference, Journal of Econometrics 232.
    """
    h = max(0.05, (np.log(n) / n) ** 0.4)
    off = target - eta
    inner = np.clip(off, -h, h)
    size = np.abs(off) + (h - np.abs(inner)) ** 2 / (2 * h)
    return ((levels - 0.5) * off + size / 2).sum(axis=1), 0.5 - levels - inner / (2 * h)


def _cumulative(
    eta: np.ndarray, target: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the loss by row, and its slopes on the score and on the cutpoints' parameters."""
    gaps = np.exp(np.minimum(rest[1:], 50))
    cuts = rest[0] + np.concatenate([[0.0], gaps.cumsum()])
    at_most = expit(cuts - eta[:, None])
    n = len(eta)
    padded = np.concatenate([np.zeros((n, 1)), at_most, np.ones((n, 1))], axis=1)
    code, rows = target.argmax(axis=1), np.arange(n)
    upper, lower = padded[rows, code + 1], padded[rows, code]
    p = np.maximum(upper - lower, 1e-300)
    on_cuts = np.zeros((n, len(cuts) + 2))
    on_cuts[rows, code + 1] -= upper * (1 - upper) / p
    on_cuts[rows, code] += lower * (1 - lower) / p
    on_cuts = on_cuts[:, 1:-1]
    tails = on_cuts[:, ::-1].cumsum(axis=1)[:, ::-1]  # a gap moves all cutpoints above it
    return -np.log(p), 1 - upper - lower, np.column_stack([tails[:, 0], tails[:, 1:] * gaps])
