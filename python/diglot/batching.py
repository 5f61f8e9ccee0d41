"""How many images to score at once: what fits into memory, and less where that proves too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from diglot.engine import STEADY_ROWS, Device, Scorer
from diglot.errors import OutOfMemoryError
from diglot.graph import Graph
from diglot.images.memory import available_memory

__all__ = ["Halving", "Sparing", "score_batch"]

_MOST_IMAGES = 256
_MOST_BYTES = 256 << 20  # of activations: larger batches are no faster
_SHARE = 4  # of what is free, for the pixels that wait and what else a batch takes

_Answer = TypeVar("_Answer")


def score_batch(graph: Graph) -> int:
    """Return how many images to score at once: many small ones, few large ones.

    As many as have room for their activations in a quarter of the memory that is free, in 256 MiB
    at most. Not fewer than 16, as the engines fill smaller batches up; answers are the same bytes
    for every size.

    Parameters
    ----------
    graph : Graph
        What computes.

    Examples
    --------
    >>> from diglot import network
    >>> score_batch(network("lenet")) > score_batch(network("resnet50"))
    True
    """
    room = min(_MOST_BYTES, available_memory() // _SHARE)
    fitting = room // max(1, 4 * graph.activation_count)
    return int(min(_MOST_IMAGES, max(STEADY_ROWS, fitting // STEADY_ROWS * STEADY_ROWS)))


class Halving:
    """Does something for many rows, in parts as large as memory allows.

    Where memory does not suffice for a part, it takes half of it, and goes on so: what is done is
    done, and the next calls begin with parts of that size. Not so with MXNet on a CPU, whose own
    memory is no more in order once there was not enough (1.9.1: it crashed later): there the error
    stands, and it is for `score_batch` to keep away from it.

    Parameters
    ----------
    device : Device
        What computes.

    Examples
    --------
    >>> from diglot.engine import Device
    >>> def weigh(rows):
    ...     if rows.stop - rows.start > 3:
    ...         raise OutOfMemoryError("too many")
    ...     return rows.stop - rows.start
    >>> Halving(Device("gpu")).each(weigh, 9)
    [3, 3, 3]
    """

    def __init__(self, device: Device) -> None:
        self._again = device.kind != "cpu" or device.engine != "mxnet"
        self._most: int | None = None

    def each(self, do: Callable[[slice], _Answer], rows: int) -> list[_Answer]:
        """Return what ``do`` answers for each part of so many rows, in order.

        Raises
        ------
        OutOfMemoryError, MemoryError
            If memory does not suffice for a single row, or less cannot be tried.
        """
        answers: list[_Answer] = []
        done = 0
        while done < rows:
            step = min(rows - done, self._most or rows)
            try:
                answers.append(do(slice(done, done + step)))
            except (OutOfMemoryError, MemoryError):
                if step == 1 or not self._again:
                    raise
                self._most = (step + 1) // 2
                continue
            done += step
        return answers


class Sparing:
    """A scorer that takes fewer images at once where memory does not suffice for all.

    Parameters
    ----------
    scorer : Scorer
        What answers.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self._halving = scorer, Halving(scorer.device)

    @property
    def device(self) -> Device:
        """Where it computes."""
        return self._scorer.device

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output, in scoring mode."""

        def part(rows: slice) -> np.ndarray:
            return self._scorer.forward({name: values[rows] for name, values in inputs.items()})

        found = self._halving.each(part, len(next(iter(inputs.values()))))
        return found[0] if len(found) == 1 else np.concatenate(found)
