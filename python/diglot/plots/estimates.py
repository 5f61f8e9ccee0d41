"""Estimates with their intervals: metrics, coefficients, folds, differences, coverage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.plots.canvas import (
    BLUE,
    INK,
    SOFT,
    checked,
    dots,
    heading,
    panels,
    shorten,
    single,
    square,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ENDS = ["estimate", "lower", "upper"]
_ROW, _FRAME = 0.24, 1.0  # inches: of a row of dots, and around all of them


def plot_metrics(table: pd.DataFrame, *, by_class: bool | None = None) -> Figure:
    """Draw metrics with their intervals.

    Parameters
    ----------
    table : DataFrame
        As from ``evaluate()``: ``metric``, ``class`` (missing for metrics of the whole),
        ``estimate``, ``lower``, ``upper``.
    by_class : bool, optional
        A panel for each metric with a row for each class, instead of the metrics of the whole.
        By default where the table has classes.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        If columns or the rows asked for are missing.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"metric": "f1", "class": ["a", "b"], "estimate": [0.8, 0.9],
    ...                       "lower": [0.7, 0.8], "upper": [0.9, 1.0]})
    >>> [label.get_text() for label in plot_metrics(table).axes[0].get_yticklabels()]
    ['a', 'b']
    """
    table = checked(table, ["metric", "class", "estimate", "lower", "upper"], "the table")
    if by_class is None:
        by_class = bool(table["class"].notna().any())
    rows = table[table["class"].notna() if by_class else table["class"].isna()]
    rows = rows[rows["estimate"].notna()]
    if not len(rows):
        which = "by class" if by_class else "of the whole (their class is missing)"
        raise InputError(f"the table has no metrics {which}: there is nothing to draw.")
    if not by_class:
        return _whole(rows)
    classes = list(dict.fromkeys(rows["class"]))
    metrics = list(dict.fromkeys(rows["metric"]))
    figure, axes = panels(
        len(metrics), 2.1, _FRAME + _ROW * len(classes), min(len(metrics), 6), sharey=True
    )
    for ax, metric in zip(axes, metrics, strict=True):
        part = rows[rows["metric"] == metric].set_index("class").reindex(classes)
        dots(ax, [shorten(name) for name in classes], part)
        heading(ax, words(metric))
    return figure


def _whole(rows: pd.DataFrame) -> Figure:
    """Draw metrics on one scale, with their numbers: an interval may be too narrow to see."""
    figure, (ax,) = panels(1, 6.6, 0.5 + 0.28 * len(rows))
    dots(ax, [words(metric) for metric in rows["metric"]], rows)
    ax.update_datalim([(0, 0), (1, 0)])
    ax.autoscale_view(scaley=False)
    _beside(ax, [estimate_words(*row) for row in rows[_ENDS].itertuples(index=False)])
    return figure


def estimate_words(estimate: float, lower: float, upper: float) -> str:
    """Spell an estimate with its interval.

    Examples
    --------
    >>> estimate_words(0.9, 0.85, 0.9342), estimate_words(1, np.nan, np.nan)
    ('0.900 (0.850 to 0.934)', '1.00')
    """
    if np.isnan(lower) or np.isnan(upper):
        return f"{estimate:#.3g}"
    return f"{estimate:#.3g} ({lower:#.3g} to {upper:#.3g})"


def _beside(ax: Axes, texts: Iterable[str]) -> None:
    """Write a text at the right of each row of dots."""
    texts = list(texts)
    for place, text in zip(np.arange(len(texts))[::-1], texts, strict=True):
        ax.text(
            1.02, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=9,
            color=INK,
        )  # fmt: skip


def plot_coefficients(table: pd.DataFrame) -> Figure:
    """Draw the coefficients of covariates with their intervals.

    Parameters
    ----------
    table : DataFrame
        ``term``, ``class`` (may be missing), ``estimate``, ``lower``, ``upper``.

    Returns
    -------
    matplotlib Figure
        One panel a class, one row a term; the dashed line is at no effect.

    Raises
    ------
    InputError
        If columns are missing or there are no rows.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"term": ["age", "sex"], "class": "ill", "estimate": [0.2, -0.1],
    ...                       "lower": [0.1, -0.4], "upper": [0.3, 0.2]})
    >>> plot_coefficients(table).axes[0].get_title()
    'ill'
    """
    table = checked(table, ["term", "class", "estimate", "lower", "upper"], "the table")
    terms = list(dict.fromkeys(table["term"]))
    parts = dict(iter(table.groupby("class", sort=False, observed=True, dropna=False)))
    figure, axes = panels(
        len(parts), 2.6, _FRAME + _ROW * len(terms), min(len(parts), 4), sharex=True, sharey=True
    )
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        dots(ax, [shorten(t) for t in terms], part.set_index("term").reindex(terms), reference=0)
        heading(ax, "" if pd.isna(name) else shorten(name))
    figure.supxlabel("coefficient", fontsize=10)
    return figure


def plot_resamples(result: Any) -> Figure:
    """Draw what cross-validation measured, fold by fold.

    Parameters
    ----------
    result : result of ``cross_validate``
        With ``.folds``, one row a fold and a column a metric, and ``.summary()``.

    Returns
    -------
    matplotlib Figure
        One panel a metric: a point a fold; the line is the mean, the band its interval.

    Raises
    ------
    InputError
        If there are no folds.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> folds = pd.DataFrame({"repeat": 0, "fold": [0, 1], "accuracy": [0.7, 0.9]})
    >>> summary = pd.DataFrame({"metric": ["accuracy"], "estimate": 0.8, "lower": 0.6,
    ...                         "upper": 1.0})
    >>> result = SimpleNamespace(folds=folds, summary=lambda: summary)
    >>> plot_resamples(result).axes[0].lines[-1].get_ydata().tolist()
    [0.7, 0.9]
    """
    folds = checked(result.folds, ["fold"], "the folds")
    summary = checked(result.summary(), ["metric", "estimate", "lower", "upper"], "the summary")
    figure, axes = panels(len(summary), 3.4, 2.8, columns=3)
    places = np.arange(1, len(folds) + 1)
    for ax, row in zip(axes, summary.itertuples(), strict=True):
        if np.isfinite([row.lower, row.upper]).all():
            ax.axhspan(row.lower, row.upper, color=BLUE, alpha=0.15, linewidth=0)
        ax.axhline(row.estimate, color=BLUE, linewidth=1.2)
        ax.plot(places, folds[row.metric], "o", color=BLUE, markersize=5)
        ax.set_xlabel("fold")
        ax.xaxis.get_major_locator().set_params(integer=True)
        heading(ax, words(row.metric))
    return figure


def plot_comparison(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the differences between two models with their intervals.

    Parameters
    ----------
    table : DataFrame
        As from ``compare_models``: ``metric``, ``difference``, ``lower``, ``upper``, ``p_value``.
    ax : matplotlib Axes, optional
        Where to draw; new ones by default.

    Returns
    -------
    matplotlib Axes
        One row a metric, with its p-value on the right; the dashed line is at no difference.

    Raises
    ------
    InputError
        If columns are missing or there are no rows.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"metric": ["accuracy"], "difference": 0.05, "lower": 0.01,
    ...                       "upper": 0.09, "p_value": 0.012})
    >>> [text.get_text() for text in plot_comparison(table).texts]
    ['p = 0.012']
    """
    columns = ["metric", "difference", "lower", "upper", "p_value"]
    table = checked(table, columns, "the table")
    ax = single(ax, 6.0, _FRAME + 0.3 * len(table))
    dots(ax, [words(m) for m in table["metric"]], table, "difference", reference=0)
    _beside(ax, ["" if np.isnan(p) else p_words(p) for p in table["p_value"]])
    ax.set_xlabel("difference (first - second model)")
    return ax


def p_words(p: float) -> str:
    """Spell a p-value.

    Examples
    --------
    >>> p_words(0.0123), p_words(0.00001), p_words(1.0)
    ('p = 0.012', 'p < 0.001', 'p = 1')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def plot_coverage(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how often prediction sets hold the truth, against how often they should.

    Parameters
    ----------
    table : DataFrame
        ``coverage`` (stated), ``class`` (missing for the whole), ``estimate``, ``lower``,
        ``upper``.
    ax : matplotlib Axes, optional
        Where to draw; new ones by default.

    Returns
    -------
    matplotlib Axes
        With one stated coverage a row for the whole and each class, the dashed line being what
        is stated; with several the observed against the stated coverage of the whole.

    Raises
    ------
    InputError
        If columns are missing or there are no rows.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> table = pd.DataFrame({"coverage": 0.9, "class": [None, "a"], "estimate": [0.91, 0.87],
    ...                       "lower": [0.85, 0.8], "upper": [0.95, 0.93]})
    >>> [label.get_text() for label in plot_coverage(table).get_yticklabels()]
    ['all', 'a']
    """
    columns = ["coverage", "class", "estimate", "lower", "upper"]
    table = checked(table, columns, "the table")
    if table["coverage"].nunique() == 1:
        names = ["all" if pd.isna(name) else shorten(name) for name in table["class"]]
        ax = single(ax, 5.0, _FRAME + _ROW * len(table))
        dots(ax, names, table, reference=float(table["coverage"].iloc[0]))
        ax.set_xlabel("coverage")
        return ax
    ax = single(ax, 4.6, 4.6)
    rows = table[table["class"].isna()]
    if not len(rows):
        raise InputError("the table has no rows of the whole (their class is missing).")
    square(ax)
    ax.axline((0, 0), slope=1, color=SOFT, linestyle=":", linewidth=1)
    ax.vlines(rows["coverage"], rows["lower"], rows["upper"], color=BLUE, linewidth=1.4)
    ax.plot(rows["coverage"], rows["estimate"], "o", color=BLUE, markersize=5)
    ax.set(xlabel="stated coverage", ylabel="coverage")
    return ax
