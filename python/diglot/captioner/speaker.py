"""``Speaker``: runs a captioner's graphs for decoding, the image once and then word by word."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diglot.captioner.graphs import Decoder, context_graph, seen_names, step_graph
from diglot.engine import Device, Executor, open_executor
from diglot.graph import Graph


class Speaker:
    """Steps of a decoder; see `diglot.captioner.decoding.Stepper`.

    Parameters
    ----------
    graph : Graph
        A captioner with weights, perhaps cut after its frozen part.
    decoder : Decoder
        Its decoder.
    device : Device
        Where to compute.
    changing : bool
        Whether weights will often be loaded anew.
    attention : bool
        Whether to tell where the decoder looks.
    """

    def __init__(
        self,
        graph: Graph,
        decoder: Decoder,
        device: Device,
        *,
        changing: bool = False,
        attention: bool = False,
    ) -> None:
        self.words = decoder.words
        self._decoder, self._device, self._changing = decoder, device, changing
        self._attention = attention and decoder.heads > 0
        self._context = context_graph(graph, decoder)
        self._weights = dict(graph.weights)
        self._see: Executor | None = None
        self._steps: dict[int, Executor] = {}
        self._seen: dict[str, np.ndarray] = {}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Go on with other weights; those that are not given stay."""
        self._weights.update(weights)
        for executor in (self._see, *self._steps.values()):
            if executor is not None:
                executor.load_weights(self._weights)

    def see(self, data: np.ndarray) -> None:
        """Look at a batch of images, or of what the frozen part made of them."""
        if self._see is None:
            self._see = self._open(self._context)
        (name,) = self._context.inputs
        outputs = self._see.outputs({name: data})
        self._seen = dict(zip(seen_names(self._decoder), outputs, strict=True))

    def begin(self, beams: int) -> int:
        """Start at the images that `see` looked at; return how many there are."""
        self._beams = beams
        if beams not in self._steps:
            cells = self._seen["values"].shape[2] if self._decoder.heads else 1
            graph = step_graph(self._decoder, cells, beams, attention=self._attention)
            self._steps[beams] = self._open(graph)
        names = self._decoder.states
        self._states = {name: np.repeat(self._seen[name][:, None], beams, 1) for name in names}
        self._fixed = {n: a for n, a in self._seen.items() if n not in self._states}
        self._steps[beams].keep(self._fixed)
        return len(self._states[names[0]])

    def step(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return log-probabilities (n, beams, words), and attention (n, beams, cells)."""
        given = {**self._states, "tokens": tokens[:, :, None].astype(np.float32)}
        log_p, *rest = self._steps[self._beams].outputs(given)
        self._states = dict(zip(self._decoder.states, rest, strict=False))
        return log_p[:, :, 0], rest[-1] if self._attention else None

    def choose(self, parents: np.ndarray) -> None:
        """Let beam j of image i go on from the states of its beam ``parents[i, j]``."""
        rows = np.arange(len(parents))[:, None]
        self._states = {name: state[rows, parents] for name, state in self._states.items()}

    def keep(self, images: np.ndarray) -> None:
        """Go on with some of the images only."""
        self._states = {name: state[images] for name, state in self._states.items()}
        self._fixed = {name: array[images] for name, array in self._fixed.items()}
        self._steps[self._beams].keep(self._fixed)

    def _open(self, graph: Graph) -> Executor:
        weights = {name: self._weights[name] for name in graph.parameters}
        return open_executor(graph.with_weights(weights), self._device, changing=self._changing)
