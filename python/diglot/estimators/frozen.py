"""The part of a network that does not learn: cut off, and its outputs computed once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from diglot.batching import Sparing
from diglot.engine import Device, Scorer, open_executor
from diglot.graph import Graph
from diglot.images import ArrayStore, PreparedImages, batches
from diglot.progress import Reporter

Change = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # images, their rows, the view


def frozen_end(graph: Graph, learned: Collection[str]) -> str | None:
    """Return the layer that ends the part which training leaves as it is; None if there is none.

    Parameters
    ----------
    graph : Graph
        The network.
    learned : collection of str
        The parameters that learn.

    Examples
    --------
    >>> from diglot import network
    >>> net = network("vgg11", classes=2)
    >>> frozen_end(net, net.groups["head"]), frozen_end(net, list(net.parameters))
    ('fc7_relu', None)
    """
    cuts = [graph.index_of(layer) for layer in graph.cuts(learned)]
    frozen = graph.nodes[: cuts[-1] + 1] if cuts else ()
    with_parameters = [
        index
        for index, node in enumerate(frozen)
        if any(graph.nodes[i].name in graph.parameters for i, _ in node.inputs)
    ]
    if not with_parameters:
        return None
    # What is drawn just before the part that learns is drawn anew each time.
    ends = [i for i in cuts if i >= with_parameters[-1]]
    kept = list(takewhile(lambda i: not graph.nodes[i].draws, ends))
    return graph.nodes[kept[-1]].name if kept else None


@dataclass(frozen=True)
class Frozen:
    """Computes the outputs of the frozen part; ``name`` is the input that the rest takes."""

    executor: Scorer
    name: str
    shape: tuple[int, ...]

    @classmethod
    def cut(cls, graph: Graph, end: str, device: Device) -> tuple[Frozen, Graph]:
        """Return the frozen part, ready to run, and the graph of the rest."""
        rest = graph.after(end)
        (name,) = [n for n in rest.inputs if n not in graph.inputs]
        first = Sparing(open_executor(graph.up_to(end), device))
        return cls(first, name, rest.extra_inputs[name]), rest

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the features of normalised images."""
        return self.executor.forward({"data": images})

    def all(
        self,
        images: PreparedImages,
        places: np.ndarray,
        *,
        batch: int,
        views: int = 1,
        change: Change | None = None,
        memory_limit: int | None = None,
        threads: int | None = None,
        ahead: int = 4,
        reporter: Reporter,
    ) -> ArrayStore | None:
        """Compute the features of every image, of each view of it.

        Parameters
        ----------
        images : PreparedImages
            The images.
        places : ndarray of int
            Which of them.
        batch : int
            How many at a time.
        views : int
            How many times, each changed differently.
        change : callable, optional
            Random changes: of images, their rows, the view.
        memory_limit : int, optional
            Bytes to keep in memory; more go to a file.
        threads : int, optional
            That decode.
        ahead : int
            Batches that threads prepare meanwhile; 0 for changes that must stay in this thread.
        reporter : Reporter
            Who hears of the progress.

        Returns
        -------
        ArrayStore or None
            Row ``view * len(places) + i`` is that of image i. None where there is no room.
        """
        count = len(places)
        store = ArrayStore(views * count, self.shape, np.float32, memory_limit)
        if store.in_memory + store.on_disk < views * count:
            store.close()
            return None
        reporter.start("Computing features", views * count, "image")
        try:
            for view in range(views):
                rows = [np.arange(i, min(i + batch, count)) for i in range(0, count, batch)]
                changed = _changed(change, rows, view)
                wanted = [places[r] for r in rows]
                given = batches(images, wanted, changed, ahead=ahead, threads=threads)
                for position, data in given:
                    output = self.outputs(data)
                    for row, values in zip(rows[position], output, strict=True):
                        store.place(view * count + int(row))[...] = values
                    reporter.step(view * count + int(rows[position][-1]) + 1)
        except BaseException:
            store.close()
            raise
        finally:
            reporter.finish()
        return store


def _changed(
    change: Change | None, rows: list[np.ndarray], view: int
) -> Callable[[np.ndarray, int], np.ndarray] | None:
    if change is None:
        return None
    return lambda batch, position: change(batch, rows[position], view)


def split_frozen(
    graph: Graph, learned: Collection[str], device: Device
) -> tuple[Frozen | None, Graph]:
    """Cut off the part that does not learn; what is frozen in the rest keeps its statistics.

    Parameters
    ----------
    graph : Graph
        The network, with weights.
    learned : collection of str
        The parameters that learn.
    device : Device
        Where the frozen part is computed.

    Returns
    -------
    frozen : Frozen or None
        None where nothing can be cut off.
    rest : Graph
        What comes after it.
    """
    end = frozen_end(graph, learned)
    frozen, rest = (None, graph) if end is None else Frozen.cut(graph, end, device)
    return frozen, rest.frozen(set(graph.parameters) - set(learned))
