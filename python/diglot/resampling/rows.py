"""Rows of whatever holds images or outcomes, and images as other processes get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.images import ImageSet


@dataclass(frozen=True)
class PackedImages:
    """Images of one size as one array, which processes map instead of each having a copy.

    Attributes
    ----------
    pixels : ndarray of shape (n, ...)
        Of all rows.
    frame : DataFrame or None
        What stands beside them, where they are a column of a data frame; else they are a list.
    column : str or None
        That column.
    """

    pixels: np.ndarray
    frame: Any = None
    column: str | None = None

    def take(self, rows: np.ndarray) -> Any:
        """Return some rows as they were given."""
        images = list(np.array(self.pixels[rows]))
        if self.frame is None:
            return images
        some = self.frame.iloc[rows].copy()
        some[self.column] = images
        return some[list(self.frame.columns)]


def packed(X: Any) -> Any:
    """Return images as `PackedImages` where they are a list or column of arrays of one kind.

    Examples
    --------
    >>> packed([np.zeros((4, 5)), np.ones((4, 5))]).pixels.shape
    (2, 4, 5)
    >>> packed(["a.png", "b.png"])
    ['a.png', 'b.png']
    """
    if isinstance(X, (list, tuple)) and _alike(X):
        return PackedImages(np.stack(X))
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        for name in X.columns:
            if X[name].dtype == object and _alike(list(X[name])):
                rest = X.copy()
                rest[name] = 0
                return PackedImages(np.stack(list(X[name])), rest, name)
    return X


def _alike(items: Sequence[Any]) -> bool:
    return (
        len(items) > 0
        and all(isinstance(item, np.ndarray) for item in items)
        and len({(item.shape, item.dtype) for item in items}) == 1
    )


def take(data: Any, rows: np.ndarray) -> Any:
    """Return some rows of images, a table, labels or a list.

    Examples
    --------
    >>> take(["a", "b", "c"], np.array([2, 0])), take(np.arange(3), np.array([2, 0]))
    (['c', 'a'], array([2, 0]))
    """
    if isinstance(data, (ImageSet, PackedImages)):
        return data.take(rows)
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "shape"):
        return data[rows]
    return [data[i] for i in rows]


def count(data: Any) -> int:
    """Return how many rows there are.

    Examples
    --------
    >>> count(np.zeros((3, 2))), count(["a.png"])
    (3, 1)
    """
    return int(data.shape[0]) if hasattr(data, "shape") else len(data)
