"""Images with what a model says of them, and with what it looks at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diglot.errors import InputError
from diglot.images import as_images
from diglot.images.shown import picture
from diglot.plots.canvas import INK, VERMILION, new_figure, shorten, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMALL = 128  # pixels of the longer side, up to which one wants to see each
_VEIL = 0.8  # how much of the image the strongest part of a map covers


def plot_images(
    images: Any,
    labels: Sequence[Any] | None = None,
    predictions: Sequence[Any] | None = None,
    *,
    probabilities: Sequence[float] | None = None,
    n: int = 25,
    columns: int | None = None,
) -> Figure:
    r"""Draw images in a grid, with their labels or with what a model predicts.

    Parameters
    ----------
    images : array, list, Series or DataFrame of images
        As a model takes them.
    labels : sequence, optional
        What they show, one an image.
    predictions : sequence, optional
        What a model says that they show, one an image. Where that differs from the label, the
        image is framed, and the truth is written beneath.
    probabilities : sequence of float, optional
        Of the predictions.
    n : int
        How many images to draw at most: the first ones.
    columns : int, optional
        How many there are side by side.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        If there are no images, or lengths differ.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = plot_images(np.zeros((2, 4, 4)), ["cat", "dog"], ["cat", "cat"])
    >>> [ax.get_title() for ax in figure.axes]
    ['cat', 'cat\ntruth: dog']
    """
    images = as_images(images)
    for name, values in [
        ("labels", labels),
        ("predictions", predictions),
        ("probabilities", probabilities),
    ]:
        if values is not None and len(values) != len(images):
            raise InputError(f"there are {len(images)} images but {len(values)} {name}.")
    count = min(n, len(images))
    if count < 1:
        raise InputError("there is nothing to draw: there are no images, or n is 0.")
    titles, wrong = _titles(labels, predictions, probabilities, count)
    columns = max(1, min(count, columns or math.ceil(math.sqrt(1.3 * count))))
    rows = math.ceil(count / columns)
    lines = max(title.count("\n") + 1 if title else 0 for title in titles)
    shown = [np.asarray(picture(images[i])) for i in range(count)]
    figure = new_figure(1.5 * columns, rows * (1.45 * _tallness(shown) + 0.17 * lines))
    for i in range(count):
        ax = figure.add_subplot(rows, columns, i + 1)
        _show(ax, shown[i])
        ax.set_title(titles[i], fontsize=8.5, color=INK, pad=4, parse_math=False)
        if wrong[i]:
            _frame(ax)
    return figure


def _titles(
    labels: Any, predictions: Any, probabilities: Any, count: int
) -> tuple[list[str], list[bool]]:
    truth = None if labels is None else list(labels)[:count]
    said = None if predictions is None else list(predictions)[:count]
    first = said if said is not None else truth
    if first is None:
        return [""] * count, [False] * count
    titles = [shorten(value, 20) for value in first]
    if said is not None and probabilities is not None:
        shares = list(probabilities)[:count]
        titles = [
            f"{shorten(value, 15)} {share:.2f}" for value, share in zip(said, shares, strict=True)
        ]
    wrong = [False] * count
    if said is not None and truth is not None:
        wrong = [one != other for one, other in zip(said, truth, strict=True)]
        titles = [
            f"{title}\ntruth: {shorten(value, 14)}" if bad else title
            for title, value, bad in zip(titles, truth, wrong, strict=True)
        ]
    return titles, wrong


def plot_saliency(saliency: Any, *, n: int = 12, columns: int | None = None) -> Figure:
    """Draw images, and beside each the parts of it that speak for a class.

    Parameters
    ----------
    saliency : Saliency
        As from ``explain()``: ``maps`` (n, height, width), ``images`` (n, height, width,
        channels), ``classes`` and ``method``.
    n : int
        How many images to draw at most: the first ones.
    columns : int, optional
        How many pairs there are side by side.

    Returns
    -------
    matplotlib Figure
        Under the colours lies the image in grey. Each map is scaled by its largest value. Where
        maps have negative values, which speak against the class, colours run to both sides.

    Raises
    ------
    InputError
        If there are no images.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> maps = np.eye(4)[None]
    >>> found = SimpleNamespace(maps=maps, images=maps[..., None], classes=["cat"], method="x")
    >>> plot_saliency(found).axes[0].get_title()
    'cat'
    """
    maps, images = np.asarray(saliency.maps, float), np.asarray(saliency.images)
    count = min(n, len(maps))
    if count < 1:
        raise InputError("there is nothing to draw: there are no images, or n is 0.")
    signed = bool((maps < 0).any())
    columns = max(1, min(count, columns or (1 if count <= 3 else 2 if count <= 8 else 3)))
    rows = math.ceil(count / columns)
    shown = [picture(image) for image in images[:count]]
    tall = _tallness([np.asarray(image) for image in shown])
    figure = new_figure(3.1 * columns + 0.9, rows * (1.45 * tall + 0.25) + 0.2)
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for ax in grid.ravel()[2 * count :]:
        ax.remove()
    shades = _map_shades(signed)
    for i in range(count):
        left, right = grid.ravel()[2 * i], grid.ravel()[2 * i + 1]
        _show(left, np.asarray(shown[i]))
        _show(right, overlay(np.asarray(shown[i].convert("L")), maps[i], shades, signed))
        left.set_title(shorten(saliency.classes[i]), fontsize=9, color=INK, parse_math=False)
        right.set_title(words(saliency.method), fontsize=9, color=INK, parse_math=False)
    _key(figure, figure.axes, shades, signed)
    return figure


def overlay(grey: np.ndarray, weights: np.ndarray, shades: Any, signed: bool) -> np.ndarray:
    """Lay a map over an image in grey: the stronger, the less of the image shows through."""
    share = weights / (np.abs(weights).max() or 1.0)
    veil = _VEIL * np.abs(share)[..., None]
    colour = shades((share + 1) / 2 if signed else share)[..., :3]
    return (1 - veil) * (grey[..., None] / 255) + veil * colour


def _map_shades(signed: bool) -> Any:
    from matplotlib import colormaps

    return colormaps["PuOr_r" if signed else "viridis"]


def _key(figure: Figure, axes: Sequence[Axes], shades: Any, signed: bool) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    low = -1 if signed else 0
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, 1), shades), ax=axes, shrink=0.7, pad=0.01,
        ticks=[low, 0, 1] if signed else [0, 1],
    )  # fmt: skip
    bar.ax.set_yticklabels(["against", "none", "for"] if signed else ["none", "most"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)


def _tallness(images: Sequence[np.ndarray]) -> float:
    """Return the usual height over width, so that panels have no more room than they need."""
    return float(np.clip(np.median([len(image) / image.shape[1] for image in images]), 0.4, 1.6))


def _show(ax: Axes, pixels: np.ndarray) -> None:
    small = max(pixels.shape[:2]) <= _SMALL
    ax.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest" if small else "antialiased"
    )
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="#CCCCCC", linewidth=0.5)


def _frame(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set(color=VERMILION, linewidth=3)
