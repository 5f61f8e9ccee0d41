"""Occlusion: how far the class's score drops when a part of the image is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.engine import Device
from diglot.estimators.settings import number, whole
from diglot.explanation import fills
from diglot.explanation.saliency import Saliency, Subject
from diglot.explanation.scales import score
from diglot.graph import Graph
from diglot.progress import Reporter


def occlusion(
    graph: Graph,
    images: Any,
    outputs: Any = None,
    *,
    segments: int = 50,
    compactness: float = 10.0,
    fill: Any = "mean",
    scale: str = "log_odds",
    extra: Mapping[str, np.ndarray] | None = None,
    device: str | Device = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
) -> Saliency:
    """Hide one superpixel after the other, and see how far the class's score drops.

    Parameters
    ----------
    graph : Graph
        A network with weights.
    images : PreparedImages, or images
        n of them.
    outputs : int or ndarray of shape (n,), optional
        Which output to explain, from 0; by default each image's largest.
    segments : int
        About how many superpixels an image is cut into, at most one a pixel.
    compactness : float
        The larger, the more they look like squares; the smaller, the more they follow colours.
    fill : {"mean", "black", "grey", "white", "blur"}, float or array
        What a hidden superpixel shows: see `diglot.explanation.fills.fill`.
    scale : {"logit", "log_odds", "probability"}
        On which scale the score is measured.
    extra : mapping of str to ndarray, optional
        The network's inputs beside the images, a row an image; they stay as they are.
    device : str or Device
        Where to compute.
    threads : int, optional
        That decode images.
    reporter : Reporter, optional
        Who hears of the progress.

    Returns
    -------
    Saliency
        Every pixel of a superpixel has the score's drop when that is hidden.

    Notes
    -----
    Zeiler and Fergus (2014), Visualizing and understanding convolutional networks,
    doi:10.1007/978-3-319-10590-1_53, with superpixels by scikit-image's ``slic`` for squares:
    Achanta and others (2012), SLIC superpixels compared to state-of-the-art superpixel methods,
    doi:10.1109/TPAMI.2012.120.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> occlusion(model.network_, images[:2], segments=16).maps.shape
    (2, 8, 8)
    """
    segments = whole("segments", segments, 2)
    number("compactness", compactness, lambda v: v > 0, "a positive number")
    subject = Subject(graph, images, outputs, scale, extra, device, threads, reporter)
    segments = min(segments, subject.ready.shape[0] * subject.ready.shape[1])
    scores = score(subject.logits, subject.codes, scale)
    shown = subject.shown()
    maps = np.empty(shown.shape[:3], np.float32)
    for rows, pixels in subject.blocks():
        hidden = fills.fill(pixels, graph.input, fill, "fill")
        parts = np.stack([superpixels(shown[row], segments, compactness) for row in rows])
        counts = parts.max(axis=(1, 2)) + 1
        owners = np.repeat(np.arange(len(rows)), counts)
        part = np.concatenate([np.arange(count) for count in counts])
        drops = np.empty(len(owners))
        for chunk in subject.chunks(owners):
            mine = owners[chunk]
            covered = (parts[mine] == part[chunk, None, None])[..., None]
            given = subject.inputs(
                graph, rows[mine], data=np.where(covered, hidden[mine], pixels[mine])
            )
            logits = subject.executor.forward(given)
            drops[chunk] = scores[rows[mine]] - score(logits, subject.codes[rows[mine]], scale)
        begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
        maps[rows] = drops[begins[:, None, None] + parts]
    return Saliency(
        maps,
        shown,
        subject.codes,
        "occlusion",
        scale,
        scores,
        {"segments": segments, "compactness": float(compactness), "fill": fill},
    )


def superpixels(image: np.ndarray, segments: int, compactness: float) -> np.ndarray:
    """Cut an image into superpixels.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels), float32
    segments : int
        About how many.
    compactness : float
        The larger, the more they look like squares.

    Returns
    -------
    ndarray of shape (height, width), int
        Which superpixel a pixel belongs to, from 0 without a gap.

    Examples
    --------
    >>> image = np.zeros((8, 8, 1), np.float32)
    >>> image[:, 5:] = 1
    >>> parts = superpixels(image, 4, 1.0)
    >>> bool(set(parts[:, :5].flat) & set(parts[:, 5:].flat))
    False
    """
    from skimage.segmentation import slic

    if image.shape[2] != 3:  # as grey, so that compactness means the same for all images
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    span = float(image.max() - image.min())
    image = (image - image.min()) / (span or 1.0)
    parts = slic(image, n_segments=segments, compactness=compactness, channel_axis=-1)
    return np.unique(parts, return_inverse=True)[1].reshape(parts.shape)
