"""What of a network's output is explained: a number for each image, and its derivative."""

from __future__ import annotations

import numpy as np

from diglot.errors import InputError

SCALES = ("logit", "log_odds", "probability")


def check_scale(scale: str, outputs: int) -> None:
    """Refuse a scale that is none, or that a network with so many outputs does not have.

    Examples
    --------
    >>> check_scale("log_odds", 2)
    """
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(map(repr, SCALES))}, not {scale!r}")
    if scale != "logit" and outputs < 2:
        raise InputError(
            f"scale={scale!r} needs a network with one output a class; this one has a single "
            'output, which scale="logit" explains as it is'
        )


def score(logits: np.ndarray, codes: np.ndarray, scale: str) -> np.ndarray:
    """Return the score of one output an image.

    Parameters
    ----------
    logits : ndarray of shape (n, k)
        What the network puts out.
    codes : ndarray of shape (n,), int
        Which output, from 0.
    scale : {"logit", "log_odds", "probability"}
        The output itself; ``log(p / (1 - p))`` and ``p`` of the softmax's probability.

    Returns
    -------
    ndarray of shape (n,), float64

    Examples
    --------
    >>> logits = np.log([[1.0, 3.0]])
    >>> [round(score(logits, np.array([1]), s).item(), 4) for s in SCALES]
    [1.0986, 1.0986, 0.75]
    """
    rows = np.arange(len(logits))
    logits = logits.astype(np.float64)
    if scale == "logit":
        return logits[rows, codes]
    if scale == "log_odds":
        return logits[rows, codes] - _log_sum_exp(_others(logits, codes))
    return _softmax(logits)[rows, codes]


def score_gradient(logits: np.ndarray, codes: np.ndarray, scale: str) -> np.ndarray:
    """Return the derivative of `score` by the logits.

    Parameters
    ----------
    logits, codes, scale
        As in `score`.

    Returns
    -------
    ndarray of shape (n, k), float64

    Examples
    --------
    >>> logits = np.log([[1.0, 3.0]])
    >>> [score_gradient(logits, np.array([1]), s).round(4).tolist() for s in SCALES]
    [[[0.0, 1.0]], [[-1.0, 1.0]], [[-0.1875, 0.1875]]]
    """
    rows = np.arange(len(logits))
    logits = logits.astype(np.float64)
    one = np.zeros_like(logits)
    one[rows, codes] = 1.0
    if scale == "logit":
        return one
    if scale == "log_odds":
        return one - _softmax(_others(logits, codes))
    p = _softmax(logits)
    return p[rows, codes][:, None] * (one - p)


def _others(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the logits with those of the explained classes taken out of every sum."""
    others = logits.copy()
    others[np.arange(len(logits)), codes] = -np.inf
    return others


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=1, keepdims=True)
    return largest[:, 0] + np.log(np.exp(values - largest).sum(axis=1))


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
