"""Confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation import confusion
from diglot.plots.canvas import INK, heading, name_ticks, shorten, single

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNTED = 25  # with more classes, counts are too small to read
_NAMED = 60  # with more classes, so are the names


def plot_confusion(
    table: Any,
    X: Any = None,  # noqa: N803
    y: Any = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw which classes are taken for which.

    Parameters
    ----------
    table : DataFrame of int, (k, k), or fitted classifier
        Counts as from `diglot.evaluation.confusion`: rows are the truth, columns the prediction.
    X : n images, y : n labels, optional
        For a classifier: what it is to predict, and what is true.
    ax : matplotlib Axes, optional
        Where to draw; new ones by default.

    Returns
    -------
    matplotlib Axes
        The shade of a cell is its share of its row; an empty cell is white. With more than 25
        classes the counts are left out, with more than 60 the names.

    Raises
    ------
    InputError
        If the table is not square, or there is a model without images and labels.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = confusion(["a", "b", "b"], ["a", "b", "a"], ["a", "b"])
    >>> [text.get_text() for text in plot_confusion(table).texts]
    ['1', '1', '1']
    """
    table = _counts(table, X, y)
    counts = table.to_numpy()
    k = len(counts)
    names = [shorten(name) for name in table.index]
    side = float(np.clip(0.42 * k, 2.6, 9.0))
    room = 0.075 * max(map(len, names)) if k <= _NAMED else 0.2
    ax = single(ax, side + room + 1.4, side + room + 0.7)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(np.ma.masked_equal(shares, 0), cmap=_shades(), vmin=0, vmax=1)
    ax.grid(False)
    ax.spines[:].set_visible(True)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, ticks=[0, 0.5, 1], format="{x:.0%}")
    bar.set_label("share of the truth", color=INK, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    if k <= _COUNTED:
        _write(ax, counts, shares, 72 * side / k)
    ax.set(xlabel="predicted", ylabel="truth")
    if k > _NAMED:
        ax.set(xticks=[], yticks=[])
        heading(ax, f"{k:,} classes, in their order")
        return ax
    upright = 0.075 * max(map(len, names)) < side / k - 0.05
    size = 9 if k <= 30 else 7
    name_ticks(ax.yaxis, range(k), names, fontsize=size)
    name_ticks(ax.xaxis, range(k), names, fontsize=size, rotation=0 if upright else 90)
    ax.tick_params(length=0)
    return ax


def _counts(table: Any, images: Any, truth: Any) -> pd.DataFrame:
    if hasattr(table, "predict"):
        if images is None or truth is None:
            raise InputError("plot_confusion(model) needs images and labels, too: X and y.")
        return confusion(truth, table.predict(images), np.asarray(table.classes_).tolist())
    if not isinstance(table, pd.DataFrame) or table.shape[0] != table.shape[1] or table.empty:
        raise InputError(
            "the table must be a square DataFrame of counts, as from diglot.evaluation.confusion, "
            "or a fitted classifier."
        )
    return table


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    # A single image must still be seen in a row of thousands: the palest shade is not white.
    return LinearSegmentedColormap.from_list("counts", ["#D6E6F2", "#5E9CC9", "#08306B"])


def _write(ax: Axes, counts: np.ndarray, shares: np.ndarray, cell: float) -> None:
    """Write counts into cells of so many points, as large as the longest allows."""
    longest = max(len(f"{count:,}") for count in counts.ravel())
    size = min(10.0, 1.4 * cell / longest, 0.6 * cell)
    for i, j in np.argwhere(counts):
        ax.text(
            j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=size,
            color="white" if shares[i, j] > 0.45 else "black",
        )  # fmt: skip
