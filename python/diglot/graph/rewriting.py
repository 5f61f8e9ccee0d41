"""A graph written anew, node by node, with others in the place of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from diglot.graph.graph import Graph
from diglot.graph.nodes import Node

Make = Callable[[Node, int, int], Sequence[Node]]


def rewritten(graph: Graph, make: Make) -> Graph:
    """Return a graph with other nodes in the place of some.

    Parameters
    ----------
    graph : Graph
    make : callable
        Takes a node, with its inputs where they lie in the new graph; its number in the old one;
        and the number that the first node will have which it returns. The last of these gives what
        the old one's first output was, the first of them its other outputs.

    Returns
    -------
    Graph
        With the same inputs, weights and settings.

    Examples
    --------
    >>> from diglot.builder import Builder
    >>> from diglot.graph import InputSpec
    >>> b = Builder(InputSpec(8, 8, 1))
    >>> graph = b.graph("small", b.add("relu", b.data, name="bent"))
    >>> def doubled(node, index, first):
    ...     return [node, Node("_copy", f"{node.name}_again", {}, ((first, 0),))]
    >>> [node.name for node in rewritten(graph, doubled).nodes]
    ['data', 'data_again', 'bent', 'bent_again']
    """
    nodes: list[Node] = []
    ends: list[tuple[int, int]] = []  # the first and the last node in the place of each

    def place(start: int, output: int) -> tuple[int, int]:
        first, last = ends[start]
        return (first if output else last), output

    for index, node in enumerate(graph.nodes):
        given = replace(node, inputs=tuple(place(*where) for where in node.inputs))
        first = len(nodes)
        nodes += make(given, index, first)
        ends.append((first, len(nodes) - 1))
    heads = tuple(place(*where) for where in graph.heads)
    return replace(graph, nodes=tuple(nodes), heads=heads)
