"""``Speaker``: runs a captioner's graphs for decoding, the image once and then word by word."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diglot.captioner.decoder import Decoder, recurrent_parts
from diglot.captioner.graphs import behind_encoder, context_graph, seen_names, step_graph
from diglot.captions.vocabulary import END
from diglot.engine import Device, Executor, Scorer, open_executor
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
    encoder : Scorer, optional
        What sees images in the place of the network's encoder.

    Attributes
    ----------
    words : int
        Size of the vocabulary.
    longest : int or None
        After so many words, nothing but the end has any probability.
    """

    def __init__(
        self,
        graph: Graph,
        decoder: Decoder,
        device: Device,
        *,
        changing: bool = False,
        attention: bool = False,
        encoder: Scorer | None = None,
    ) -> None:
        graph = graph if encoder is None else behind_encoder(graph)
        self.words = decoder.words
        self.longest: int | None = None
        self._decoder, self.device, self._changing = decoder, device, changing
        self._attention = attention and decoder.heads > 0
        self._encoder, self._context = encoder, context_graph(graph, decoder)
        self._weights = dict(graph.weights)
        self._see: Executor | None = None
        self._steps: dict[int, Executor] = {}
        self._seen: dict[str, np.ndarray] = {}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Go on with other weights; those that are not given stay."""
        self._weights.update(weights)
        opened = [e for e in (self._see, *self._steps.values()) if e is not None]
        lined = self._lined_up() if opened else {}
        for executor in opened:
            executor.load_weights(lined)

    def see(self, data: np.ndarray) -> None:
        """Look at a batch of images, or of what the frozen part made of them."""
        if self._see is None:
            self._see = self._open(self._context)
        if self._encoder is not None:
            data = self._encoder.forward({"data": data})
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
        count = len(self._seen[names[0]])
        states = {name: np.repeat(self._seen[name][:, None], beams, 1) for name in names}
        fixed = {name: array for name, array in self._seen.items() if name not in states}
        self._hold(np.arange(count), states, fixed)
        self._said = 0
        return count

    def step(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return log-probabilities (n, beams, words), and attention (n, beams, cells)."""
        given = np.zeros((self._room, self._beams, 1), np.float32)
        given[self._rows, :, 0] = tokens
        log_p, *rest = self._steps[self._beams].outputs({**self._states, "tokens": given})
        self._states = dict(zip(self._decoder.states, rest, strict=False))
        looked = rest[-1][self._rows] if self._attention else None
        log_p = log_p[self._rows, :, 0]
        if self._said == self.longest:
            log_p[..., np.arange(self.words) != END] = -np.inf
        self._said += 1
        return log_p, looked

    def choose(self, parents: np.ndarray) -> None:
        """Let beam j of image i go on from the states of its beam ``parents[i, j]``."""
        every = np.broadcast_to(np.arange(self._beams), (self._room, self._beams)).copy()
        every[self._rows] = parents
        rows = np.arange(self._room)[:, None]
        self._states = {name: state[rows, every] for name, state in self._states.items()}

    def keep(self, images: np.ndarray) -> None:
        """Go on with some of the images only."""
        self._rows = self._rows[images]
        if _room(len(images)) < self._room:
            self._hold(self._rows, self._states, self._fixed)

    def _hold(
        self, rows: np.ndarray, states: dict[str, np.ndarray], fixed: dict[str, np.ndarray]
    ) -> None:
        """Put these rows into as much room as they need.

        There are few sizes of rooms, as an engine plans memory and code for each size.
        """
        count = len(rows)
        self._room, self._rows = _room(count), np.arange(count)
        self._states = {name: _filled(a[rows], self._room) for name, a in states.items()}
        self._fixed = {name: _filled(a[rows], self._room) for name, a in fixed.items()}
        self._steps[self._beams].keep(self._fixed)

    def _lined_up(self) -> dict[str, np.ndarray]:
        """Return the weights, those of each recurrent layer also in one."""
        flat = {}
        for layer in range(1, self._decoder.layers + 1):
            parts = recurrent_parts(self._decoder, layer, 1)
            lined = [np.ravel(self._weights[part]) for part in parts]
            flat[f"rnn{layer}_weights"] = np.concatenate(lined)
        return {**self._weights, **flat}

    def _open(self, graph: Graph) -> Executor:
        lined = self._lined_up()
        weights = {name: lined[name] for name in graph.parameters}
        return open_executor(graph.with_weights(weights), self.device, changing=self._changing)


def _room(count: int) -> int:
    """Return how many rows to make room for: a power of two, or one and a half, from 16."""
    room = 16
    while room < count:
        room = room * 3 // 2 if room & (room - 1) == 0 else room * 4 // 3
    return room


def _filled(array: np.ndarray, rows: int) -> np.ndarray:
    """Return an array with more rows, of zeros."""
    if len(array) == rows:
        return array
    filled = np.zeros((rows, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled
