"""A graph as a program of PyTorch: its layers in order, each made once, then run at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from diglot.engine.torch_control import CONTROL_MAKERS
from diglot.engine.torch_mode import Function, Mode, Tensor
from diglot.engine.torch_operators import made
from diglot.graph import Graph, Node
from diglot.operators import Attrs
from diglot.subgraphs import variables_in_order

Place = tuple[int, int]  # a node, and which of its outputs


@dataclass(frozen=True)
class _Step:
    """What one node computes; ``last_used`` are the nodes that nothing asks for afterwards."""

    index: int
    function: Function
    inputs: tuple[Place, ...]
    last_used: tuple[int, ...]


class Program:
    """Computes the outputs of a graph from its inputs and parameters.

    Parameters
    ----------
    graph : Graph
    mode : Mode
        Whether it runs in training; it may change between runs.

    Raises
    ------
    InputError
        If a layer's operator is not known.
    """

    def __init__(self, graph: Graph, mode: Mode) -> None:
        needed = sorted(_needed(graph.nodes, graph.heads))
        self._variables = [(i, graph.nodes[i].name) for i in needed if graph.nodes[i].is_variable]
        self._body = _Body(graph.nodes, graph.heads, mode)

    def __call__(self, values: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the graph's outputs, from the values of its variables by name."""
        return self._body({index: values[name] for index, name in self._variables})


class _Body:
    """Nodes in order: a whole graph, or the body of a loop or branch."""

    def __init__(self, nodes: Sequence[Node], heads: Sequence[Place], mode: Mode) -> None:
        self._size, self._heads = len(nodes), tuple(heads)
        needed = _needed(nodes, heads)
        running = [i for i in sorted(needed) if not nodes[i].is_variable]
        last = {start: i for i in running for start, _ in nodes[i].inputs}
        ends = {node for node, _ in heads}
        self._steps = [
            _Step(
                i,
                _function(nodes[i], mode),
                nodes[i].inputs,
                tuple({s for s, _ in nodes[i].inputs if last[s] == i and s not in ends}),
            )
            for i in running
        ]

    def __call__(self, variables: Mapping[int, Tensor]) -> list[Tensor]:
        values: list[tuple[Tensor, ...] | None] = [None] * self._size
        for index, value in variables.items():
            values[index] = (value,)
        for step in self._steps:
            found = step.function(*[values[node][output] for node, output in step.inputs])
            values[step.index] = found if isinstance(found, tuple) else (found,)
            for node in step.last_used:  # its memory is free as soon as gradients allow
                values[node] = None
        return [values[node][output] for node, output in self._heads]


def _needed(nodes: Sequence[Node], heads: Sequence[Place]) -> set[int]:
    """Return the nodes that the outputs depend on."""
    needed = {node for node, _ in heads}
    for index in range(max(needed), -1, -1):
        if index in needed:
            needed.update(start for start, _ in nodes[index].inputs)
    return needed


def _function(node: Node, mode: Mode) -> Function:
    if node.op not in CONTROL_MAKERS:
        return made(node, mode)
    bodies = []
    for body in node.subgraphs:
        order = variables_in_order(body.nodes, body.heads)
        bodies.append(partial(_run_body, _Body(body.nodes, body.heads, mode), order))
    return CONTROL_MAKERS[node.op](Attrs(node.attrs), bodies)


def _run_body(body: _Body, order: Sequence[int], given: Sequence[Tensor]) -> list[Tensor]:
    return body(dict(zip(order, given, strict=True)))
