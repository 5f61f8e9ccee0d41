"""Random numbers that depend on an image's key alone."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(seed: int, epoch: int, rows: Any) -> np.ndarray:
    """Return the key of each image: a function of seed, epoch and row only.

    Parameters
    ----------
    seed : int
        The run's seed.
    epoch : int
        Which pass over the data, so that each sees the images changed differently.
    rows : array-like of int, shape (b,)
        Each image's row in the training data.

    Returns
    -------
    ndarray of uint64, shape (b,)
        By the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
        number generators", OOPSLA 2014), applied after each number is added.

    Examples
    --------
    >>> bool(row_keys(1, 0, [5, 7])[1] == row_keys(1, 0, [7])[0])
    True
    """
    rows = np.atleast_1d(np.asarray(rows)).astype(np.uint64)
    words = np.zeros(len(rows), np.uint64)
    for number in (np.uint64(seed % 2**64), np.uint64(epoch % 2**64), rows):
        words = _mixed(words + _GOLDEN + number)
    return words


def uniforms(keys: np.ndarray, count: int) -> np.ndarray:
    """Return `count` uniform numbers from [0, 1) for each key.

    Parameters
    ----------
    keys : ndarray of uint64, shape (b,)
        One for each image.
    count : int
        How many numbers.

    Returns
    -------
    ndarray of float64, shape (b, count)
        The first `count` outputs of the generator SplitMix64 (Steele, Lea and Flood, 2014)
        started at the key, with 53 bits each.

    Examples
    --------
    >>> uniforms(np.array([0], "uint64"), 2).round(3).tolist()
    [[0.883, 0.432]]
    """
    keys = np.asarray(keys, np.uint64)
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return (_mixed(keys[:, None] + steps[None, :]) >> np.uint64(11)) * 2.0**-53


def _mixed(words: np.ndarray) -> np.ndarray:
    words = words ^ (words >> np.uint64(30))
    words = words * np.uint64(0xBF58476D1CE4E5B9)
    words = words ^ (words >> np.uint64(27))
    words = words * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
