"""``Saliency``: maps of what mattered; ``Subject``: what the methods explain, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diglot.batching import score_batch
from diglot.engine import Device, Executor, open_executor
from diglot.errors import InputError
from diglot.explanation.scales import check_scale
from diglot.graph import Graph
from diglot.images import PreparedImages, as_images, batches
from diglot.images.prepare import to_unit
from diglot.progress import Reporter, Silent


@dataclass(frozen=True, eq=False, repr=False)
class Saliency:
    """How much each place of an image speaks for a class, and the images to lay it over.

    Attributes
    ----------
    maps : ndarray of shape (n, height, width), float32
        In units of the explained score. Grad-CAM's are not negative; in the others, what speaks
        against the class is negative.
    images : ndarray of shape (n, height, width, channels), float32
        The images as the network sees them, resized and cropped, but before they are
        standardised: 0 to 1 for images of whole numbers.
    classes : ndarray of shape (n,)
        The class explained, one an image: its label, or its code where there are no labels.
    method : {"grad_cam", "integrated_gradients", "occlusion"}
        How the maps were made.
    scale : {"logit", "log_odds", "probability", "prediction", "log_rate"}
        On which scale the class's score was measured; the last two are of models of numbers.
    scores : ndarray of shape (n,), float64
        That score, of the image as it is.
    settings : dict
        What else the method was told: its layer, baseline, fill and so on.
    completeness_error : ndarray of shape (n,), float64, or None
        For integrated gradients: the sum of the map less the score's change from the baseline
        to the image, which it would equal if the path were followed in infinitely many steps.
    changes : ndarray of shape (n,), float64, or None
        For integrated gradients: that change.
    """

    maps: np.ndarray
    images: np.ndarray
    classes: np.ndarray
    method: str
    scale: str
    scores: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)
    completeness_error: np.ndarray | None = None
    changes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.maps)

    def __repr__(self) -> str:
        n, height, width = self.maps.shape
        told = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"<Saliency: {n} maps of {height} x {width} pixels by {self.method}{told}>"


class Subject:
    """A network, images, and which output of each is explained.

    Parameters
    ----------
    graph : Graph
        With weights.
    images : PreparedImages, or images
        Images of any kind are prepared for the network's input.
    outputs : int or ndarray of shape (n,), optional
        Which output to explain, from 0; by default each image's largest.
    scale : str
        See `diglot.explanation.scales.score`.
    extra : mapping of str to ndarray, optional
        The network's inputs beside the images, a row an image. They stay as they are.
    device : str or Device
        Where to compute.
    threads : int, optional
        That decode images.
    reporter : Reporter, optional
        Who hears of the progress.
    """

    def __init__(
        self,
        graph: Graph,
        images: Any,
        outputs: Any,
        scale: str,
        extra: Mapping[str, np.ndarray] | None = None,
        device: str | Device = "auto",
        threads: int | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        if graph.weights is None:
            raise InputError(f"network {graph.name!r} has no weights yet: train or load it first")
        if len(graph.output_shape) != 1:
            raise InputError(
                f"network {graph.name!r} gives an output of shape {graph.output_shape}; one number "
                "a class is needed to explain a class"
            )
        check_scale(scale, graph.output_shape[0])
        self.graph, self.scale, self.device = graph, scale, device
        self.ready = images
        if not isinstance(images, PreparedImages):
            given = as_images(images, allow_empty=True)
            self.ready = PreparedImages(given, graph.input, cache=False)
        self.batch = max(16, score_batch(graph) // 2)  # gradients take as much room again
        self._extra = _checked_extra(graph, extra, len(self.ready))
        self._threads, self._reporter = threads, reporter or Silent()
        self.executor = self.open(graph)
        self.logits = self._logits()
        self.codes = _checked_codes(outputs, self.logits)

    def __len__(self) -> int:
        return len(self.ready)

    def open(self, graph: Graph) -> Executor:
        """Return what runs a part of the network."""
        return open_executor(graph, self.device)

    def blocks(self, title: str = "Explaining") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows and the standardised images of each block."""
        count, step = len(self), self.batch
        rows = [np.arange(i, min(i + step, count)) for i in range(0, count, step)]
        self._reporter.start(title, count, "image")
        try:
            for position, pixels in batches(self.ready, rows, threads=self._threads):
                yield rows[position], pixels
                self._reporter.step(int(rows[position][-1]) + 1)
        finally:
            self._reporter.finish()

    def chunks(self, owners: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the places in ``owners``, as many as fit into memory together."""
        for start in range(0, len(owners), self.batch):
            yield np.arange(start, min(start + self.batch, len(owners)))

    def inputs(self, graph: Graph, rows: np.ndarray, **given: np.ndarray) -> dict[str, np.ndarray]:
        """Return what a part of the network takes, of the images in these rows."""
        extra = {name: values[rows] for name, values in self._extra.items()}
        return {name: v for name, v in {**extra, **given}.items() if name in graph.inputs}

    def shown(self) -> np.ndarray:
        """Return the images as the network sees them, before they are standardised."""
        if not len(self):
            return np.empty((0, *self.ready.shape), np.float32)
        return to_unit(self.ready.get(np.arange(len(self))))

    def _logits(self) -> np.ndarray:
        parts = [
            self.executor.forward(self.inputs(self.graph, rows, data=pixels))
            for rows, pixels in self.blocks("Predicting")
        ]
        return np.concatenate(parts) if parts else np.empty((0, *self.graph.output_shape))


def _checked_extra(
    graph: Graph, extra: Mapping[str, np.ndarray] | None, count: int
) -> dict[str, np.ndarray]:
    """Return the inputs beside the images, each of which must be there and fit."""
    wanted = {n: s for n, s in (graph.extra_inputs or {}).items() if n in graph.inputs}
    given = dict(extra or {})
    for name in [*wanted, *given]:
        if name not in given:
            raise InputError(f"network {graph.name!r} takes {name!r} beside images: give it too")
        if name not in wanted:
            raise InputError(f"network {graph.name!r} takes no input {name!r} beside images")
        given[name] = np.asarray(given[name], np.float32)
        if given[name].shape != (count, *wanted[name]):
            raise InputError(
                f"{name!r} has the shape {given[name].shape}; {count} images need "
                f"{(count, *wanted[name])}"
            )
    return given


def _checked_codes(outputs: Any, logits: np.ndarray) -> np.ndarray:
    """Return which output is explained, one an image."""
    count, have = logits.shape
    if outputs is None:
        return logits.argmax(axis=1)
    codes = np.asarray(outputs)
    if codes.ndim == 0:
        codes = np.full(count, codes)
    if codes.shape != (count,) or (count and codes.dtype.kind not in "iu"):
        raise InputError(
            f"outputs must be one whole number, or {count} of them, one an image; not {outputs!r}"
        )
    strange = np.flatnonzero((codes < 0) | (codes >= have))
    if len(strange):
        raise InputError(
            f"there is no output {codes[strange[0]]}: the network has {have}, counted from 0"
        )
    return codes.astype(np.int64)
