"""Curves: of the training, ROC, reliability, and learning from more images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.plots.canvas import (
    BLUE,
    COLOURS,
    DASHES,
    INK,
    SOFT,
    VERMILION,
    checked,
    heading,
    legend,
    new_figure,
    panels,
    plain,
    shorten,
    square,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAINING = {"color": BLUE, "marker": "o", "markersize": 4}
_OTHER = {"color": VERMILION, "marker": "^", "markersize": 4, "linestyle": "--"}
_ASIDE = {"epoch", "learning_rate", "seconds", "images_per_second"}


def plot_history(model: Any) -> Figure:
    """Draw the measures of the training by epoch.

    Parameters
    ----------
    model : fitted model, or DataFrame
        Or its ``history_``: one row an epoch; ``loss`` and other measures, those of validation
        images with ``val_`` before their names.

    Returns
    -------
    matplotlib Figure
        One panel a measure. Values that are missing or infinite are left out.

    Raises
    ------
    InputError
        If there is no history.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [2.2, 1.4]})
    >>> figure = plot_history(history)
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines]
    [[2.0, 1.0], [2.2, 1.4]]
    """
    history = checked(getattr(model, "history_", model), ["epoch"], "the history")
    measures = [
        name
        for name in history.select_dtypes("number")
        if name not in _ASIDE and np.isfinite(history[name].to_numpy(float)).any()
    ]
    if not measures:
        raise InputError("the history has no measures: there is nothing to draw.")
    names = list(dict.fromkeys(name.removeprefix("val_") for name in measures))
    figure, axes = panels(len(names), 3.6, 2.8, columns=3)
    styles = {"": ("training", _TRAINING), "val_": ("validation", _OTHER)}
    shown = {}
    for ax, name in zip(axes, names, strict=True):
        for before, (images, style) in styles.items():
            if before + name in measures:
                rows = history[np.isfinite(history[before + name].to_numpy(float))]
                (line,) = ax.plot(rows["epoch"], rows[before + name], **style)
                shown.setdefault(images, line)
        heading(ax, words(name))
        ax.set_xlabel("epoch")
        _whole_numbers(ax, history["epoch"])
    if len(shown) > 1:
        legend(axes[0], list(shown.values()), list(shown))
    return figure


def plot_roc(curve: pd.DataFrame) -> Figure:
    """Draw receiver operating characteristics.

    Parameters
    ----------
    curve : DataFrame
        As from ``roc_curve``: ``class``, ``threshold``, ``sensitivity``, ``specificity``, one row
        a threshold, in the order in which the curve runs.

    Returns
    -------
    matplotlib Figure
        Up to eight classes share a panel. More get a panel each, with the others' curves in
        grey behind; more than 36 are drawn alike in one panel.

    Raises
    ------
    InputError
        If columns are missing or there are no rows.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> curve = pd.DataFrame({"class": "b", "threshold": [np.inf, 0.6, 0.2],
    ...                       "sensitivity": [0, 1, 1.0], "specificity": [1, 0.5, 0]})
    >>> plot_roc(curve).axes[0].lines[-1].get_xdata().tolist()
    [0.0, 0.5, 1.0]
    """
    curve = checked(curve, ["class", "sensitivity", "specificity"], "the curve")
    parts = {
        name: (1 - part["specificity"].to_numpy(float), part["sensitivity"].to_numpy(float))
        for name, part in curve.groupby("class", sort=False, observed=True)
    }
    if len(parts) <= len(COLOURS):
        return _roc_together(parts)
    if len(parts) > 36:
        figure = new_figure(4.6, 4.6)
        ax = plain(figure.add_subplot())
        for x, y in parts.values():
            ax.plot(x, y, color=BLUE, linewidth=0.6, alpha=0.3)
        heading(ax, f"{len(parts):,} classes")
        _roc_axes(ax)
        return figure
    figure, axes = panels(len(parts), 1.7, 1.9, sharex=True, sharey=True)
    for ax, (name, (x, y)) in zip(axes, parts.items(), strict=True):
        for others in parts.values():
            ax.plot(*others, color="#D9D9D9", linewidth=0.5)
        ax.plot(x, y, color=BLUE, linewidth=1.6)
        heading(ax, shorten(name, 20))
        _roc_axes(ax, label=False)
        name_few(ax)
    figure.supxlabel("1 - specificity", fontsize=10)
    figure.supylabel("sensitivity", fontsize=10)
    return figure


def _roc_together(parts: dict[Any, tuple[np.ndarray, np.ndarray]]) -> Figure:
    figure = new_figure(4.6 if len(parts) == 1 else 6.2, 4.6)
    ax = plain(figure.add_subplot())
    _roc_axes(ax)
    lines = [
        ax.plot(x, y, color=COLOURS[i], linestyle=DASHES[i % len(DASHES)], linewidth=1.8)[0]
        for i, (x, y) in enumerate(parts.values())
    ]
    if len(parts) == 1:
        heading(ax, shorten(next(iter(parts))))
    else:
        names = [shorten(name) for name in parts]
        legend(ax, lines, names, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=3)
    return figure


def _roc_axes(ax: Axes, label: bool = True) -> None:
    square(ax)
    ax.axline((0, 0), slope=1, color=SOFT, linestyle=":", linewidth=1)
    if label:
        ax.set(xlabel="1 - specificity", ylabel="sensitivity")


def name_few(ax: Axes) -> None:
    """Label the ends and the middle only, where a panel is small."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([0, 0.5, 1], labels=["0", "½", "1"])


def plot_reliability(table: pd.DataFrame, *, by_class: bool = False) -> Figure:
    """Draw how often predictions are right against how sure the model is of them.

    Parameters
    ----------
    table : DataFrame
        As from ``reliability``: ``class``, ``from`` and ``to`` (ends of the bin), ``confidence``
        (mean in the bin), ``observed`` (share in the bin), ``lower`` and ``upper``, ``n``.
    by_class : bool
        A panel for each class instead of one for the confidence in the predicted class.

    Returns
    -------
    matplotlib Figure
        Points with intervals; on the dotted line the confidence is what it claims to be. Below,
        how many images each bin has; with ``by_class`` the size of the points tells.

    Raises
    ------
    InputError
        If columns or the rows asked for are missing.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"class": [None], "from": 0.8, "to": 0.9, "confidence": 0.84,
    ...                       "observed": 0.75, "lower": 0.6, "upper": 0.86, "n": 40})
    >>> plot_reliability(table).axes[0].lines[-1].get_xydata().tolist()
    [[0.84, 0.75]]
    """
    columns = ["class", "from", "to", "confidence", "observed", "lower", "upper", "n"]
    table = checked(table, columns, "the table")
    rows = table[table["class"].notna() if by_class else table["class"].isna()]
    if not len(rows):
        which = "by class" if by_class else "of the whole (its class is missing)"
        raise InputError(f"the table has no rows {which}: there is nothing to draw.")
    if by_class:
        return _reliability_by_class(rows)
    figure = new_figure(4.6, 5.6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    plain(top), plain(below)
    _reliability_points(top, rows, 5.0)
    top.set_ylabel("share that is right")
    below.bar(
        rows["from"], rows["n"], rows["to"] - rows["from"], align="edge", color="#9DB7C9",
        edgecolor="white", linewidth=0.5,
    )  # fmt: skip
    below.set(xlabel="confidence", ylabel="images")
    below.yaxis.get_major_locator().set_params(nbins=3, integer=True)
    return figure


def _reliability_by_class(rows: pd.DataFrame) -> Figure:
    parts = dict(iter(rows.groupby("class", sort=False, observed=True)))
    figure, axes = panels(len(parts), 2.0, 2.1, sharex=True, sharey=True)
    largest = rows["n"].max()
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        _reliability_points(ax, part, 1.5 + 5 * np.sqrt(part["n"] / largest))
        heading(ax, shorten(name, 20))
        name_few(ax)
    figure.supxlabel("probability of the class", fontsize=10)
    figure.supylabel("share of the class", fontsize=10)
    return figure


def _reliability_points(ax: Axes, rows: pd.DataFrame, size: Any) -> None:
    square(ax)
    ax.axline((0, 0), slope=1, color=SOFT, linestyle=":", linewidth=1)
    ax.vlines(rows["confidence"], rows["lower"], rows["upper"], color=BLUE, linewidth=1.4)
    if np.ndim(size):
        ax.scatter(rows["confidence"], rows["observed"], np.square(size), color=BLUE, zorder=3)
    else:
        ax.plot(rows["confidence"], rows["observed"], "o", color=BLUE, markersize=size)


def plot_learning_curve(table: Any) -> Figure:
    """Draw how good a model is by how many images it learned from.

    Parameters
    ----------
    table : result of ``learning_curve``, or DataFrame
        Or its summary: ``n_train``, ``metric``, ``estimate``, ``lower``, ``upper``, and with
        ``training`` whether a row is of the training images.

    Returns
    -------
    matplotlib Figure
        One panel a metric: dashed of the test images, solid of the training images. The numbers of
        images are on a logarithmic scale.

    Raises
    ------
    InputError
        If columns are missing or there are no rows.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"n_train": [50, 100], "metric": "accuracy", "estimate": [0.7, 0.8],
    ...                       "lower": [0.6, 0.7], "upper": [0.8, 0.9], "n": 5})
    >>> plot_learning_curve(table).axes[0].lines[0].get_xydata().tolist()
    [[50.0, 0.7], [100.0, 0.8]]
    """
    if hasattr(table, "summary"):
        parts = [table.summary(training=training).assign(training=training) for training in (0, 1)]
        table = pd.concat(parts, ignore_index=True)
    columns = ["n_train", "metric", "estimate", "lower", "upper"]
    table = checked(table, columns, "the table")
    table = table if "training" in table else table.assign(training=False)
    parts = dict(iter(table.groupby("metric", sort=False, observed=True)))
    figure, axes = panels(len(parts), 3.6, 2.9, columns=3)
    shown: dict[str, Any] = {}
    for ax, (metric, part) in zip(axes, parts.items(), strict=True):
        for images, style in [("test", _OTHER), ("training", _TRAINING)]:
            some = part[part["training"].astype(bool) == (images == "training")]
            if len(some):
                ends = some["n_train"], some["lower"], some["upper"]
                ax.vlines(*ends, color=style["color"], linewidth=1.2)
                shown[images] = ax.plot(some["n_train"], some["estimate"], **style)[0]
        ax.set(xscale="log", xlabel="training images")
        sizes = sorted(part["n_train"].unique())
        ax.xaxis.set_ticks(sizes, labels=[f"{size:,}" for size in sizes])
        ax.xaxis.minorticks_off()
        heading(ax, words(metric))
    if len(shown) > 1:
        legend(axes[0], list(shown.values()), list(shown))
    return figure


def _whole_numbers(ax: Axes, values: pd.Series) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if values.nunique() == 1:  # a point in the middle, not between half epochs
        ax.set_xlim(values.iloc[0] - 1, values.iloc[0] + 1)
    ax.tick_params(labelcolor=INK)
