"""What all plots share: figures without global state, colours, words and their lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diglot.errors import InputError, MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, INK, SOFT = "#0072B2", "#D55E00", "#333333", "#8C8C8C"
# M. Okabe and K. Ito (2008), Color universal design; grey stands for their yellow, which a white
# ground swallows. Black, which one takes for an axis, comes late.
COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
# Beside the colours, for who sees none. The names of R's types of lines are the same.
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 2, 1, 2)), (0, (8, 2)), (0, (6, 2, 2, 2)))

_LONGEST = 24  # letters of a class's name that a plot has room for

_WORDS = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "kappa": "Cohen's kappa",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "expected_calibration_error": "calibration error",
    "grad_cam": "Grad-CAM",
}


def words(name: str) -> str:
    """Spell the name of a metric, or of a method, for readers.

    Examples
    --------
    >>> words("balanced_accuracy"), words("f1")
    ('balanced accuracy', 'F1')
    """
    return _WORDS.get(name, name.replace("_", " "))


def shorten(name: Any, longest: int = _LONGEST) -> str:
    """Cut long names, and lay what has several lines into one.

    Examples
    --------
    >>> shorten("an exceptionally long name of a class")
    'an exceptionally long...'
    """
    text = " ".join(str(name).split())
    return text if len(text) <= longest else text[: longest - 3] + "..."


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of its own, in inches; pyplot would keep it in a global list."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "plots need matplotlib; install it with: pip install matplotlib"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def single(ax: Axes | None, width: float, height: float) -> Axes:
    """Give the axes to draw on: the caller's, or those of a new figure."""
    return plain(new_figure(width, height).add_subplot() if ax is None else ax)


def panels(
    count: int, width: float, height: float, columns: int | None = None, **shared: bool
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels of the same size; places that stay empty are not drawn."""
    columns = max(1, min(count, columns or math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    figure = new_figure(columns * width + 0.4, rows * height + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, **shared)
    axes = [plain(ax) for ax in grid.ravel()]
    for ax in axes[count:]:
        ax.remove()
    # Axes that are shared are labelled in the lowest row only: also where that is cut short.
    if shared.get("sharex"):
        for ax in axes[max(0, count - columns) : count]:
            ax.tick_params(labelbottom=True)
    return figure, axes[:count]


def plain(ax: Axes) -> Axes:
    """Take off what does not help to read."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#B3B3B3")
    ax.grid(color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(color="#B3B3B3", labelcolor=INK, labelsize=9)
    return ax


def heading(ax: Axes, text: str) -> None:
    """Name a panel. A class may be called "$x": that is no formula."""
    ax.set_title(text, fontsize=10, color=INK, parse_math=False)


def legend(ax: Axes, handles: Sequence[Any], names: Sequence[str], **where: Any) -> Any:
    """Draw a legend with names as they are, also those that matplotlib would hide or typeset."""
    box = ax.legend(handles, [str(i) for i in range(len(names))], frameon=False, **where)
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
    return box


def name_ticks(axis: Any, places: Sequence[float], names: Sequence[str], **how: Any) -> None:
    """Label ticks by names as they are."""
    axis.set_ticks(list(places), labels=list(names), parse_math=False, **how)


def dots(
    ax: Axes,
    names: Sequence[str],
    table: pd.DataFrame,
    estimate: str = "estimate",
    reference: float | None = None,
) -> None:
    """Draw estimates as dots and intervals as lines, the first name on top."""
    places = np.arange(len(names))[::-1]
    if reference is not None:
        ax.axvline(reference, color=SOFT, linestyle="--", linewidth=1)
    ax.hlines(places, table["lower"], table["upper"], color=BLUE, linewidth=1.6)
    ax.plot(table[estimate], places, "o", color=BLUE, markersize=5)
    name_ticks(ax.yaxis, places, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(False, axis="y")


def square(ax: Axes) -> None:
    """Show shares from 0 to 1 on both axes, with a little air for the points at the ends."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)


def checked(table: Any, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Return a table that has the columns named and at least one row."""
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{what} must be a DataFrame, not {type(table).__name__}.")
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{what} must have the columns {', '.join(columns)}; it lacks {missing}.")
    if not len(table):
        raise InputError(f"{what} has no rows: there is nothing to draw.")
    return table
