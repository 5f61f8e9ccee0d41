"""Chance in graphs on MXNet: graphs in which other layers draw, or none."""

from __future__ import annotations

from dataclasses import replace

from diglot.graph import Graph, Node, rewritten
from diglot.operators import Attrs

_BOUNDS = {"lower_bound": 0.125, "upper_bound": 0.334}  # of random slopes, where none are given


def _bounds(node: Node) -> tuple[float, float]:
    attrs = Attrs(node.attrs)
    lower, upper = (float(attrs.get(name, usual)) for name, usual in _BOUNDS.items())
    return lower, upper


def without_chance(graph: Graph) -> Graph:
    """Return the graph that computes in training mode what this one does in scoring mode.

    Only in training mode does MXNet keep what it needs for gradients: in scoring mode those of a
    maximum over windows are silently wrong on a CPU.
    """
    return replace(graph, nodes=tuple(map(_without_chance, graph.nodes)))


def _without_chance(node: Node) -> Node:
    """Return the node as it is when nothing is drawn: of a random slope there is the mean."""
    if node.op in ("Dropout", "RNN"):
        return replace(node, attrs={**node.attrs, "p": "0"})
    if node.has_random_slopes:
        return replace(node, attrs={"act_type": "leaky", "slope": str(sum(_bounds(node)) / 2)})
    return node


def with_drawn_slopes(graph: Graph) -> Graph:
    """Return a graph whose random slopes are drawn by a layer of their own, also in scoring mode.

    MXNet's LeakyReLU with act_type="rrelu" ends the process in training mode on a CPU (1.9.1, 2.0).

    The answer is for MXNet to read: diglot does not know the layer that draws.
    """
    if not any(node.has_random_slopes for node in graph.nodes):
        return graph

    def drawn(node: Node, index: int, first: int) -> list[Node]:
        return _drawn(node, first) if node.has_random_slopes else [node]

    return rewritten(graph, drawn)


def _drawn(node: Node, first: int) -> list[Node]:
    """Return what stands for a layer with random slopes; its first node is to lie at ``first``."""
    x, (lower, upper) = node.inputs[0], _bounds(node)
    bounds = {"low": str(lower), "high": str(upper)}
    return [
        Node("_greater_scalar", f"{node.name}_above", {"scalar": "0"}, (x,)),
        Node("_random_uniform_like", f"{node.name}_drawn", bounds, (x,)),
        Node("BlockGrad", f"{node.name}_slopes", {}, ((first + 1, 0),)),
        Node("elemwise_mul", f"{node.name}_below", {}, (x, (first + 2, 0))),
        Node("where", node.name, {}, ((first, 0), x, (first + 3, 0))),
    ]
