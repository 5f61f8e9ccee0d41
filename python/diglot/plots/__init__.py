"""Plots by matplotlib, the same that R's ``autoplot()`` draws.

Every function draws a table, or what a fitted model says. Those with one panel take ``ax=`` and
return the Axes; the others return the Figure. None touches pyplot's global state: show a figure
by ending a notebook's cell with it, or save it by ``figure.savefig("plot.png")``.
"""

from diglot.plots.curves import plot_history, plot_learning_curve, plot_reliability, plot_roc
from diglot.plots.estimates import (
    plot_coefficients,
    plot_comparison,
    plot_coverage,
    plot_metrics,
    plot_resamples,
)
from diglot.plots.frameworks import plot_frameworks
from diglot.plots.matrices import plot_confusion
from diglot.plots.pictures import plot_images, plot_saliency

__all__ = [
    "plot_coefficients",
    "plot_comparison",
    "plot_confusion",
    "plot_coverage",
    "plot_frameworks",
    "plot_history",
    "plot_images",
    "plot_learning_curve",
    "plot_metrics",
    "plot_reliability",
    "plot_resamples",
    "plot_roc",
    "plot_saliency",
]
