"""Choosing columns of many long rows: the largest, or at random by their weights."""

from __future__ import annotations

import numpy as np


def draw(weights: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Draw a column for each row in proportion to its weights.

    First a block of columns and then one of its columns: a tenth of the time that running sums
    over whole rows take.
    """
    columns = weights.shape[1]
    size = min(128, columns)
    mass = np.add.reduceat(weights, np.arange(0, columns, size), axis=1)
    block, chance = _point(mass, chance)
    inside = block[:, None] * size + np.arange(size)
    inner = np.take_along_axis(weights, np.minimum(inside, columns - 1), axis=1)
    inner[inside >= columns] = 0  # the last block may be shorter
    return block * size + _point(inner, chance)[0]


def _point(weights: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the column where each row's running sum passes a share of its sum.

    Also returned is at which share of the column's own weight that is, from 0 to below 1.
    """
    every = np.arange(len(weights))
    reached = weights.cumsum(axis=1, dtype=np.float64)
    goal = share * reached[:, -1]
    column = (reached <= goal[:, None]).sum(axis=1)
    here = weights[every, column]
    rest = (goal - (reached[every, column] - here)) / here
    return column, np.clip(rest, 0.0, np.nextafter(1.0, 0.0))


def draw_from_nucleus(weights: np.ndarray, chance: np.ndarray, top_p: float) -> np.ndarray:
    """Draw a column for each row among the fewest largest weights that reach the share."""
    every = np.arange(len(weights))
    ordered = -np.sort(-weights, axis=1)  # of the numbers: to sort places takes many times as long
    reached = ordered.cumsum(axis=1, dtype=np.float64)
    last = (reached < top_p * reached[:, -1:]).sum(axis=1)
    mass = reached[every, last]
    place = (reached <= (chance * mass)[:, None]).sum(axis=1)
    value = ordered[every, place, None]
    drawn = (weights == value).argmax(axis=1)
    tied = place - (weights > value).sum(axis=1)  # equal weights that come before
    for row in np.flatnonzero(tied):
        drawn[row] = np.flatnonzero(weights[row] == value[row])[tied[row]]
    return drawn


def largest(rows: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k largest numbers of each row, largest first, ties by column.

    Sorting rows of tens of thousands of words would take longer than to compute them. The k
    largest are in the k blocks with the largest maxima, so the maxima are looked at first and
    then only those blocks: of equal maxima the first blocks, which hold the first columns.

    Parameters
    ----------
    rows : array of float, (m, columns)
        NaN counts as the largest, so that who asks will see it.
    k : int
        At most the number of columns.

    Returns
    -------
    array of int, (m, k)
        Columns.
    """
    m, columns = rows.shape
    size = min(256, max(16, 2048 // k))  # measured: maxima and blocks take equally long
    if columns < 2 * k * size:
        return _largest_of_few(rows, k)
    blocked = columns - columns % size
    split = rows[:, :blocked]
    maxima = np.maximum.reduceat(split, np.arange(0, blocked, size), axis=1)
    blocks = np.sort(_largest_of_few(maxima, k), axis=1)
    inside = split.reshape(m, -1, size)[np.arange(m)[:, None], blocks].reshape(m, k * size)
    # What is left over at the end of the rows is no whole block; it is always looked at.
    picked = np.concatenate([inside, rows[:, blocked:]], axis=1)
    place = _largest_of_few(picked, k)
    block = np.take_along_axis(blocks, np.minimum(place // size, k - 1), axis=1)
    return np.where(place < k * size, block * size + place % size, place - k * size + blocked)


def _largest_of_few(rows: np.ndarray, k: int) -> np.ndarray:
    """Return what `largest` does, for rows so short that all of them can be looked at k times."""
    if k > 64:
        keys = -rows
        keys[np.isnan(keys)] = -np.inf
        return np.argsort(keys, axis=1, kind="stable")[:, :k]
    # What was found becomes minus infinity, below everything else.
    left = np.maximum(rows, np.finfo(rows.dtype).min)
    every = np.arange(len(rows))
    found = np.empty((len(rows), k), dtype=np.int64)
    for rank in range(k):
        found[:, rank] = left.argmax(axis=1)
        left[every, found[:, rank]] = -np.inf
    return found
