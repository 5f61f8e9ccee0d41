"""Integrated gradients: the score's change along the way from nothing to the image, by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from diglot.engine import Device
from diglot.errors import InputError
from diglot.estimators.settings import whole
from diglot.explanation.fills import fill
from diglot.explanation.saliency import Saliency, Subject
from diglot.explanation.scales import score, score_gradient
from diglot.graph import Graph
from diglot.progress import Reporter

_MOST_STEPS = 1000


def integrated_gradients(
    graph: Graph,
    images: Any,
    outputs: Any = None,
    *,
    baseline: Any = "mean",
    steps: int = 50,
    scale: str = "logit",
    extra: Mapping[str, np.ndarray] | None = None,
    device: str | Device = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
) -> Saliency:
    """Share out to the pixels by how much the class's score differs from a baseline's.

    Parameters
    ----------
    graph : Graph
        A network with weights.
    images : PreparedImages, or images
        n of them.
    outputs : int or ndarray of shape (n,), optional
        Which output to explain, from 0; by default each image's largest.
    baseline : {"mean", "black", "grey", "white", "blur"}, float or array
        Where the way begins: see `diglot.explanation.fills.fill`.
    steps : int
        How many gradients are taken on the way.
    scale : {"logit", "log_odds", "probability"}
        On which scale the score is measured.
    extra : mapping of str to ndarray, optional
        The network's inputs beside the images, a row an image; they are the same all the way.
    device : str or Device
        Where to compute.
    threads : int, optional
        That decode images.
    reporter : Reporter, optional
        Who hears of the progress.

    Returns
    -------
    Saliency
        Each map sums to about the score's change from the baseline (``changes``);
        ``completeness_error`` is what it lacks or has too much. Where that is large, take more
        steps.

    Notes
    -----
    The straight way is followed at the nodes of Gauss and Legendre; channels are added up.
    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, PMLR 70.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> found = integrated_gradients(model.network_, images[:2])
    >>> bool(abs(found.completeness_error).max() < 0.01)
    True
    """
    steps = whole("steps", steps, 1)
    if steps > _MOST_STEPS:
        raise InputError(f"steps must be at most {_MOST_STEPS}, not {steps}")
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    nodes, shares = (nodes + 1) / 2, shares / 2  # from [-1, 1] to [0, 1]
    subject = Subject(graph, images, outputs, scale, extra, device, threads, reporter)
    maps = np.empty((len(subject), *subject.ready.shape[:2]))
    before = np.empty(len(subject))
    for rows, pixels in subject.blocks():
        start = fill(pixels, graph.input, baseline, "baseline")
        way = pixels - start
        logits = subject.executor.forward(subject.inputs(graph, rows, data=start))
        before[rows] = score(logits, subject.codes[rows], scale)
        total = np.zeros(pixels.shape)
        owners = np.repeat(np.arange(len(rows)), len(nodes))
        for chunk in subject.chunks(owners):
            mine, node = owners[chunk], chunk % len(nodes)
            points = start[mine] + nodes[node, None, None, None].astype(np.float32) * way[mine]
            weigh = partial(score_gradient, codes=subject.codes[rows[mine]], scale=scale)
            given = subject.inputs(graph, rows[mine], data=points)
            _, gradients = subject.executor.gradients(given, "data", weigh)
            np.add.at(total, mine, shares[node, None, None, None] * gradients)
        maps[rows] = (total * way).sum(axis=3)
    scores = score(subject.logits, subject.codes, scale)
    changes = scores - before
    return Saliency(
        maps.astype(np.float32),
        subject.shown(),
        subject.codes,
        "integrated_gradients",
        scale,
        scores,
        {"baseline": baseline, "steps": steps},
        completeness_error=maps.sum(axis=(1, 2)) - changes,
        changes=changes,
    )
