"""A comparison of frameworks: speed, accuracy against time, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.plots.canvas import BLUE, INK, SOFT, checked, heading, name_ticks, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = (
    *("label", "agrees", "problem", "images_per_second"),
    *("images_per_second_lower", "images_per_second_upper"),
    *("accuracy", "accuracy_lower", "accuracy_upper", "memory_mib"),
)


def plot_frameworks(table: pd.DataFrame, epoch_times: pd.DataFrame) -> Figure:
    """Draw a comparison of frameworks in three panels, four where memory of a GPU was measured.

    Parameters
    ----------
    table : DataFrame
        As from `compare_frameworks`: ``framework``, ``label``, ``agrees``, ``problem``,
        ``images_per_second`` and ``accuracy`` with ``_lower`` and ``_upper``, ``memory_mib``,
        and perhaps ``device_memory_mib``.
    epoch_times : DataFrame
        ``framework``, ``round``, ``seconds``: the time that training took is their sum in a
        round, the median of rounds.

    Returns
    -------
    matplotlib Figure
        Speed with the slowest and the fastest epoch; accuracy with its interval against the time
        of training; memory at its peak, the GPU's beside it. Frameworks that
        compute something else are grey.

    Raises
    ------
    InputError
        If columns are missing, or nothing was measured.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"framework": ["a", "b"], "label": ["A", "B"], "agrees": True,
    ...     "problem": "", "images_per_second": [200.0, 100.0],
    ...     "images_per_second_lower": [180.0, 90.0], "images_per_second_upper": [210.0, 120.0],
    ...     "accuracy": 0.9, "accuracy_lower": 0.8, "accuracy_upper": 0.95, "memory_mib": 300.0})
    >>> times = pd.DataFrame({"framework": ["a", "b"], "round": 1, "seconds": [1.0, 2.0]})
    >>> [ax.get_xlabel() for ax in plot_frameworks(table, times).axes]
    ['images/s in training', 'seconds of training', 'memory, MiB']
    """
    table = checked(table, ["framework", *_COLUMNS], "the table")
    times = checked(epoch_times, ["framework", "round", "seconds"], "the table of epochs")
    rows = table[table["problem"].fillna("") == ""]
    if not len(rows):
        raise InputError("no framework was measured: there is nothing to draw.")
    rows = rows.sort_values("images_per_second", ascending=False)
    colours = [BLUE if agrees is True else SOFT for agrees in rows["agrees"].astype(object)]
    memories = {"memory_mib": "memory, MiB", "device_memory_mib": "memory of the GPU, MiB"}
    if "device_memory_mib" not in rows or not (rows["device_memory_mib"] > 0).any():
        del memories["device_memory_mib"]
    panels = 2 + len(memories)
    figure = new_figure(11.0 / 3 * panels, 1.2 + 0.32 * len(rows) if len(rows) > 6 else 3.2)
    axes = [plain(ax) for ax in figure.subplots(1, panels)]
    speed = [rows[f"images_per_second{end}"].to_numpy(float) for end in ("", "_lower", "_upper")]
    _bars(axes[0], list(rows["label"]), speed[0], colours, (speed[1], speed[2]))
    axes[0].set_xlabel("images/s in training")
    heading(axes[0], "speed, slowest to fastest epoch")
    sums = times.groupby(["framework", "round"])["seconds"].sum().groupby("framework").median()
    _against_time(axes[1], rows, sums.reindex(rows["framework"]).to_numpy(float), colours)
    for ax, (name, told) in zip(axes[2:], memories.items(), strict=True):
        _bars(ax, list(rows["label"]), rows[name].to_numpy(float), colours)
        ax.set_xlabel(told)
        heading(ax, "peak memory")
    return figure


def _bars(
    ax: Axes,
    names: list[str],
    values: np.ndarray,
    colours: list[str],
    ends: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Draw horizontal bars, the first on top, and lines from end to end."""
    places = np.arange(len(names))[::-1]
    ax.barh(places, values, height=0.65, color=colours)
    if ends is not None:
        ax.hlines(places, *ends, color=INK, linewidth=1.4)
    name_ticks(ax.yaxis, places, names)
    ax.grid(False, axis="y")
    ax.set_xlim(left=0)


def _against_time(ax: Axes, rows: pd.DataFrame, seconds: np.ndarray, colours: list[str]) -> None:
    ax.vlines(seconds, rows["accuracy_lower"], rows["accuracy_upper"], color=colours, linewidth=1.4)
    ax.scatter(seconds, rows["accuracy"], color=colours, zorder=3)
    # Slanted, from the intervals' upper ends: equal accuracies stand side by side.
    tops = rows["accuracy_upper"].to_numpy(float)
    for place, name, top in zip(_apart(seconds, 0.08), rows["label"], tops, strict=True):
        ax.text(
            place, top, f" {name}", rotation=60, rotation_mode="anchor", va="center", fontsize=8,
            color=INK, parse_math=False,
        )  # fmt: skip
    ax.set_xlim(0, 1.35 * max(seconds.max(), _apart(seconds, 0.08).max()))
    lowest, height = rows["accuracy_lower"].min(), tops.max() - rows["accuracy_lower"].min()
    ax.set_ylim(lowest - 0.1 * height, tops.max() + 1.3 * height)  # room for the names
    ax.set(xlabel="seconds of training", ylabel="accuracy")
    heading(ax, "accuracy against time")


def _apart(places: np.ndarray, share: float) -> np.ndarray:
    """Move places on, in their order, until they are a share of the largest apart."""
    moved = np.array(places, float)
    order = np.argsort(moved, kind="stable")
    for before, after in zip(order[:-1], order[1:], strict=True):
        moved[after] = max(moved[after], moved[before] + share * places.max())
    return moved
