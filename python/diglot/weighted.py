"""``Network``: a graph with weights that can be run, its card in words, its layers as features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from diglot.batching import Sparing, score_batch
from diglot.engine import Scorer, open_executor, pick_device
from diglot.errors import InputError
from diglot.graph import Graph
from diglot.images import PreparedImages, as_images, batches
from diglot.progress import reporter


@dataclass(frozen=True, eq=False, repr=False)
class Network(Graph):
    """A network with weights: :class:`diglot.graph.Graph` that can also be run.

    Examples
    --------
    >>> import diglot
    >>> model = diglot.ImageClassifier("lenet", epochs=1, seed=1)
    >>> digits = diglot.example_images("digits")[:50]
    >>> model = model.fit(digits[["image"]], digits["label"])
    >>> net = Network.of(model.network_)
    >>> net.embed(digits[["image"]]).shape, net.logits(np.zeros((2, 28, 28, 1))).shape
    ((50, 500), (2, 10))
    """

    @classmethod
    def of(cls, graph: Graph) -> Network:
        """Return a graph with weights as a network that can be run."""
        return cls(**{f.name: getattr(graph, f.name) for f in fields(Graph)})

    def logits(self, X: Any, *, engine: str = "auto") -> np.ndarray:
        """Return the network's outputs for images that are prepared already.

        Parameters
        ----------
        X : array of shape (n, height, width, channels)
            Resized to the network's input, mean subtracted, divided by the standard deviation.
        engine : {"auto", "mxnet", "torch"}
            What computes; "auto" is MXNet where that has code for the device, else PyTorch.

        Returns
        -------
        ndarray of shape (n, classes), float32

        Raises
        ------
        InputError
            If the shape is another; the message names both.
        """
        images = np.asarray(X, np.float32)
        spec = self.input
        want = (spec.height, spec.width, spec.channels)
        if images.ndim != 4 or images.shape[1:] != want:
            raise InputError(
                f"network {self.name!r} takes arrays of the shape (n, {want[0]}, {want[1]}, "
                f"{want[2]}), not {images.shape}; embed() and ImageClassifier prepare images "
                "themselves"
            )
        executor, step = self._executor(engine), score_batch(self)
        parts = [
            executor.forward({"data": images[i : i + step]}) for i in range(0, len(images), step)
        ]
        return np.concatenate(parts) if parts else np.empty((0, *self.output_shape), np.float32)

    def embed(
        self, X: Any, layer: str | None = None, *, engine: str = "auto", verbose: Any = "auto"
    ) -> np.ndarray:
        """Return a layer's output: features for models of your own.

        Parameters
        ----------
        X : images
            As `ImageClassifier` takes them; they are prepared as the weights expect it.
        layer : str, optional
            One of `Graph.layers`; by default what the head sees.
        engine : {"auto", "mxnet", "torch"}
            What computes.
        verbose : {"auto", True, False} or callable
            Progress; see `diglot.progress.reporter`.

        Returns
        -------
        ndarray, float32
            (n, d), or (n, height, width, channels) where the layer keeps places. Computed in
            float32: integers of 8 bits are measured on images that a model was fitted to.
        """
        return embed(self, X, layer, engine=engine, verbose=verbose)

    @cached_property
    def _executors(self) -> dict[str, Scorer]:
        return {}

    def _executor(self, engine: str) -> Scorer:
        kept = self._executors
        if engine not in kept:
            kept[engine] = Sparing(open_executor(self, pick_device("auto", engine)))
        return kept[engine]

    def __str__(self) -> str:
        return "\n".join(f"{name:14}{value}" for name, value in describe(self).items())

    def __repr__(self) -> str:
        return super().__repr__()


def describe(net: Graph) -> dict[str, str]:
    """Return a network's card in words.

    Parameters
    ----------
    net : Graph
        With or without weights.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> from diglot import network
    >>> describe(network("resnet18"))["groups"]
    'stem, stage1, stage2, stage3, stage4, head'
    """
    spec, origin = net.input, dict(net.origin or {})
    rule = {"crop": f"centre crop, {spec.crop_fraction:g} of the shorter side"}.get(
        spec.resize, "resized as a whole"
    )
    lines = {
        "network": f"{net.name}, {net.parameter_count:,} parameters",
        "input": f"{spec.height} x {spec.width} pixels, {spec.channels} channel(s); {rule}, "
        f"{spec.interpolation}",
        "mean": ", ".join(f"{v:.4g}" for v in spec.mean),
        "std": ", ".join(f"{v:.4g}" for v in spec.std),
        "outputs": str(net.output_shape[0]),
        "groups": ", ".join(net.groups),
    }
    earlier = f"an earlier fit, {str(origin['fit'])[:16]}" if "fit" in origin else None
    words = {
        "weights": "; ".join(str(s) for s in (origin.get("source"), earlier) if s),
        "licence": origin.get("licence"),
        "sha256": origin.get("sha256"),
        "names": origin.get("style"),
        "skipped": _listed(origin.get("skipped")),
        "replaced": _listed(origin.get("replaced")),
        "notes": _listed(origin.get("notes"), "; "),
    }
    return {**lines, **{k: str(v) for k, v in words.items() if v}}


def _listed(values: Any, between: str = ", ") -> str:
    """Return a list as text; it may come from a file of anybody's."""
    return between.join(map(str, values)) if isinstance(values, (list, tuple)) else ""


def embed(
    graph: Graph,
    X: Any,
    layer: str | None = None,
    *,
    executor: Scorer | None = None,
    beside: Mapping[str, np.ndarray] | None = None,
    engine: str = "auto",
    memory_limit: int | None = None,
    threads: int | None = None,
    verbose: Any = "auto",
) -> np.ndarray:
    """Return a layer's output for images; see :meth:`Network.embed`.

    ``beside`` are further inputs, by name, of which the layer may need some: a row an image.
    """
    layer = layer or graph.features or graph.head
    part, beside = graph.up_to(layer), beside or {}
    wanted = [name for name in part.inputs if name != "data"]
    if missing := [name for name in wanted if name not in beside]:
        raise InputError(
            f"layer {layer!r} of network {graph.name!r} is computed from {', '.join(missing)}, "
            "too, and not from images alone: choose a layer before these, or ask the model that "
            "was fitted"
        )
    images = as_images(X, allow_empty=True)
    empty = np.empty((0, *part.output_shape), np.float32)
    if not len(images):
        return _places_last(empty)
    runner = executor or Sparing(open_executor(part, pick_device("auto", engine)))
    listener, done = reporter(verbose), 0
    count, step = len(images), score_batch(part)
    rows = [np.arange(i, min(i + step, count)) for i in range(0, count, step)]
    parts = []
    with PreparedImages(images, graph.input, memory_limit, threads, cache=False) as ready:
        listener.start("Computing features", len(images), "image")
        try:
            here = runner.device.kind == "cpu"
            for _, data in batches(ready, rows, threads=threads, alternate=here):
                mine = {name: beside[name][done : done + len(data)] for name in wanted}
                parts.append(_places_last(runner.forward({"data": data, **mine})))
                done += len(data)
                listener.step(done)
        finally:
            listener.finish()
    return np.concatenate(parts)


def _places_last(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(values, 1, -1)) if values.ndim == 4 else values
