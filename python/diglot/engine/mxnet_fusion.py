"""Layers put together for oneDNN, where that leaves the answers what they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

from diglot.engine.mxnet_operators import has_own
from diglot.engine.mxnet_versions import fuse, symbol_of, written_for
from diglot.graph import Graph, Node, rewritten

__all__ = ["fused", "layers_meant", "may_fuse"]

_LEFT_OUT = {"_copy", "identity", "Dropout"}  # by MXNet, as nothing is to be done
_APART = "_apart"  # ends the names of what keeps layers from being put together


def may_fuse(graph: Graph) -> bool:
    """Whether MXNet may put layers together: with loops and own operators it is not known to."""
    return not (has_own(graph) or any(node.subgraphs for node in graph.nodes))


def fused(
    mx: ModuleType,
    graph: Graph,
    turned: Callable[[Graph], Graph] | None = None,
    *,
    integers: bool = False,
) -> Any:
    """Return a graph as MXNet's symbol, with layers put together.

    MXNet (1.9.1 and 2.0) takes a convolution or dense layer and what follows it as one, also where
    others take the layer's own output: they are given that of the whole, and compute wrong numbers.
    So behind such a layer comes one that does nothing, past which MXNet does not look.

    Parameters
    ----------
    mx : module
        MXNet.
    graph : Graph
    turned : callable, optional
        Changes the graph, when all else is in order.
    integers : bool
        Whether 8-bit integers will compute it.
    """
    graph = written_for(mx, graph, turned)
    apart: set[str] = set()
    while True:
        plain = symbol_of(mx, graph)
        symbol = fuse(mx, plain, integers=integers)
        hidden = _hidden(graph, symbol)
        if not hidden:
            return symbol
        if hidden & apart:  # it did not help
            return plain
        graph = _kept_apart(graph, hidden)
        apart |= hidden | {f"{name}{_APART}" for name in hidden}


def layers_meant(symbol: Any) -> dict[str, str]:
    """Return which layer of the network each output of a fused symbol is that of."""
    names = {}
    for node in json.loads(symbol.tojson())["nodes"]:
        last = node["name"]
        for part in node.get("subgraphs", ()):
            last = part["nodes"][part["heads"][0][0]]["name"]
        last = last.removesuffix(_APART)
        names[node["name"]] = names[f"{node['name']}_output"] = last
    return names


def _hidden(graph: Graph, symbol: Any) -> set[str]:
    """Return the layers whose output is wanted and not to be had where layers were put together.

    It lies within a group while others take it, too; or what takes it is no longer there at all.
    """
    names = [node.name for node in graph.nodes]
    takers: Counter[str] = Counter(names[start] for node in graph.nodes for start, _ in node.inputs)
    takers.update(names[start] for start, _ in graph.heads)
    within, there = _within_groups(symbol)
    hidden = {name for name in within if takers[name] > 1}
    for node in graph.nodes:
        if not node.is_variable and node.op not in _LEFT_OUT and node.name not in there:
            hidden |= {names[i] for i, _ in node.inputs if not graph.nodes[i].is_variable}
    return hidden


def _within_groups(symbol: Any) -> tuple[set[str], set[str]]:
    """Return the layers whose output stays within a group, and all layers that there are."""
    within, there = set(), set()
    for node in json.loads(symbol.tojson())["nodes"]:
        there.add(node["name"])
        for part in node.get("subgraphs", ()):
            inner = {each["name"] for each in part["nodes"] if each["op"] != "null"}
            there |= inner
            within |= inner - {part["nodes"][start]["name"] for start, *_ in part["heads"]}
    return within, there


def _kept_apart(graph: Graph, names: set[str]) -> Graph:
    """Return the graph with a layer that does nothing behind each of these, for others to take."""

    def parted(node: Node, index: int, first: int) -> list[Node]:
        behind = Node("BlockGrad", f"{node.name}{_APART}", {}, ((first, 0),))
        return [node, behind] if node.name in names else [node]

    return rewritten(graph, parted)
