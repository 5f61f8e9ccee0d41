"""Grad-CAM: which cells of a layer's grid make the class's score grow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from diglot.engine import Device
from diglot.explanation.places import check_layer
from diglot.explanation.saliency import Saliency, Subject
from diglot.explanation.scales import score, score_gradient
from diglot.graph import Graph
from diglot.progress import Reporter


def grad_cam(
    graph: Graph,
    images: Any,
    outputs: Any = None,
    *,
    layer: str | None = None,
    scale: str = "logit",
    extra: Mapping[str, np.ndarray] | None = None,
    device: str | Device = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
) -> Saliency:
    """Weigh a layer's channels by how much the class's score grows with them, and add them up.

    Parameters
    ----------
    graph : Graph
        A network with weights.
    images : PreparedImages, or images
        n of them.
    outputs : int or ndarray of shape (n,), optional
        Which output to explain, from 0; by default each image's largest.
    layer : str, optional
        A layer that keeps places; by default the last.
    scale : {"logit", "log_odds", "probability"}
        On which scale the score is measured.
    extra : mapping of str to ndarray, optional
        The network's inputs beside the images, a row an image.
    device : str or Device
        Where to compute.
    threads : int, optional
        That decode images.
    reporter : Reporter, optional
        Who hears of the progress.

    Returns
    -------
    Saliency
        The maps, brought from the layer's grid to the image's size by bilinear interpolation,
        are not negative.

    Raises
    ------
    InputError
        If no layer keeps places, or the given one does not.

    Notes
    -----
    A channel's weight is the mean over all cells of the gradient of the score; the map is what is
    positive of the channels' weighted sum. Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra
    (2017), Grad-CAM: Visual explanations from deep networks via gradient-based localization,
    doi:10.1109/ICCV.2017.74. Convolutions without padding make the grid smaller than what it
    sees; the map is then stretched over the whole image, as is usual.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> images = np.random.default_rng(1).random((20, 16, 16))
    >>> model = ImageClassifier("convnet", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> grad_cam(model.network_, images[:2]).maps.shape
    (2, 16, 16)
    """
    layer = check_layer(graph, layer)
    subject = Subject(graph, images, outputs, scale, extra, device, threads, reporter)
    start, rest = graph.up_to(layer), graph.after(layer)
    (name,) = (n for n in rest.inputs if n not in graph.inputs)
    first, second = subject.open(start), subject.open(rest)
    height, width = subject.ready.shape[:2]
    maps = np.empty((len(subject), height, width), np.float32)
    for rows, pixels in subject.blocks():
        cells = first.forward(subject.inputs(start, rows, data=pixels))
        weigh = partial(score_gradient, codes=subject.codes[rows], scale=scale)
        given = subject.inputs(rest, rows, data=pixels, **{name: cells})
        _, gradients = second.gradients(given, name, weigh)
        maps[rows] = stretched(weighted(cells, gradients), height, width)
    return Saliency(
        maps,
        subject.shown(),
        subject.codes,
        "grad_cam",
        scale,
        score(subject.logits, subject.codes, scale),
        {"layer": layer},
    )


def weighted(cells: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return what is positive of the channels' sum, each weighted by its mean gradient.

    Parameters
    ----------
    cells, gradients : ndarray of shape (n, channels, rows, columns)
        A layer's output, and the derivative of the score by it.

    Returns
    -------
    ndarray of shape (n, rows, columns), float64

    Examples
    --------
    >>> cells = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> weighted(cells, np.ones((1, 2, 2, 2)) * [[[[1]], [[-0.5]]]]).tolist()
    [[[0.0, 0.0], [0.0, 0.0]]]
    >>> weighted(cells, np.ones((1, 2, 2, 2))).tolist()
    [[[4.0, 6.0], [8.0, 10.0]]]
    """
    weights = gradients.mean(axis=(2, 3), dtype=np.float64)
    return np.maximum(np.einsum("nc,nchw->nhw", weights, cells), 0)


def stretched(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring maps to another size by bilinear interpolation between the cells' centres.

    Parameters
    ----------
    maps : ndarray of shape (n, rows, columns)
    height, width : int

    Returns
    -------
    ndarray of shape (n, height, width), float64

    Examples
    --------
    >>> stretched(np.array([[[0.0, 1.0]]]), 1, 4).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    down, across = _between(maps.shape[1], height), _between(maps.shape[2], width)
    return np.einsum("ai,nij,bj->nab", down, maps, across, optimize=True)


def _between(old: int, new: int) -> np.ndarray:
    """Return the weights (new, old) that make ``new`` numbers of ``old``."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    before = np.minimum(places.astype(int), max(old - 2, 0))
    weights = np.zeros((new, old))
    share = places - before
    weights[np.arange(new), before] = 1 - share
    weights[np.arange(new), np.minimum(before + 1, old - 1)] += share
    return weights
