"""MXNet's JSON format of graphs: read with every index checked, and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diglot.errors import ModelFileError, cause
from diglot.files import parse_json
from diglot.graph.nodes import Node, Subgraph, count_nodes
from diglot.subgraphs import CONTROL

_MXNET_VERSION = 10901  # the format's version; 1.9.1 and 2.0 both read it
MOST_NODES = 12_000
"""Of a graph, in the bodies of loops and branches, too; ResNet-1202 has 10,228."""

_DEEPEST = 4  # loops and branches within each other
# What MXNet's reader of JSON lacks the words for.
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def write_symbol(nodes: Sequence[Node], heads: Sequence[tuple[int, int]]) -> str:
    """Return a graph in MXNet's JSON format, which ``mx.sym.load_json`` reads."""
    body = _written(nodes, heads)
    body["attrs"] = {"mxnet_version": ["int", _MXNET_VERSION]}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)  # MXNet reads no \u


def _written(nodes: Sequence[Node], heads: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a graph, or the body of a loop or branch, as MXNet's JSON has it."""
    written = [
        {
            "op": n.op,
            "name": n.name,
            **({"attrs": dict(n.attrs)} if n.attrs else {}),
            "inputs": [[i, o, 0] for i, o in n.inputs],
            **(
                {"subgraphs": [_written(b.nodes, b.heads) for b in n.subgraphs]}
                if n.subgraphs
                else {}
            ),
        }
        for n in nodes
    ]
    return {
        "nodes": written,
        "arg_nodes": [i for i, n in enumerate(nodes) if n.is_variable],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[i, o, 0] for i, o in heads],
    }


def read_symbol(text: str) -> tuple[tuple[Node, ...], tuple[tuple[int, int], ...]]:
    """Check and read MXNet's JSON: every index within bounds, every node after its inputs.

    Parameters
    ----------
    text : str
        What MXNet's ``symbol.tojson()`` gives.

    Returns
    -------
    nodes : tuple of Node
    heads : tuple of (int, int)

    Raises
    ------
    ModelFileError
        If the text is not a graph, or a damaged one.

    Examples
    --------
    >>> read_symbol('{"nodes": [{"op": "null", "name": "x", "inputs": []}], "heads": [[0, 0]]}')[1]
    ((0, 0),)
    """
    try:
        body = parse_json(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"not a graph in MXNet's JSON format: {error}") from error
    try:
        nodes, heads = _read_nodes(body)
    except ModelFileError:
        raise
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError) as error:
        raise ModelFileError(f"not a graph in MXNet's JSON format: {cause(error)}") from error
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            raise ModelFileError(f"the graph has two nodes called {node.name!r}")
        seen.add(node.name)
    count = count_nodes(nodes)
    if count > MOST_NODES:
        raise _too_many(count)
    return nodes, heads


def _too_many(count: int) -> ModelFileError:
    return ModelFileError(f"a graph of {count} nodes; at most {MOST_NODES} are read")


def _read_nodes(
    body: Mapping[str, Any], depth: int = 0
) -> tuple[tuple[Node, ...], tuple[tuple[int, int], ...]]:
    raw = body["nodes"]
    if not isinstance(raw, list) or not raw:
        raise ModelFileError("a graph needs a list of nodes")
    if len(raw) > MOST_NODES:
        raise _too_many(len(raw))
    if depth > _DEEPEST:
        raise ModelFileError(f"loops and branches lie in more than {_DEEPEST} others")
    nodes = tuple(_read_node(index, entry, depth) for index, entry in _taken(raw))
    heads = tuple(_pair(h, len(nodes)) for h in body["heads"])
    if not heads:
        raise ModelFileError("the graph has no output")
    return nodes, heads


def _taken(raw: list[Any]) -> Iterator[tuple[int, Any]]:
    """Go through a list and empty it, so that it and what is made of it need not both fit."""
    for index, entry in enumerate(raw):
        raw[index] = None
        yield index, entry


def _read_node(index: int, entry: Mapping[str, Any], depth: int) -> Node:
    attrs: dict[str, str] = {}
    for key in ("attr", "param", "attrs"):
        attrs.update(entry.get(key) or {})
    if not all(isinstance(v, str) for v in attrs.values()):
        raise ModelFileError(f"node {index} has attributes that are not text")
    op, name = entry["op"], entry["name"]
    if not isinstance(op, str) or not isinstance(name, str):
        raise ModelFileError(f"node {index} has no proper name")
    if any(_UNREADABLE.search(text) for text in (name, *attrs.keys(), *attrs.values())):
        raise ModelFileError(f"node {index} has control characters in its name or attributes")
    inputs = tuple(_pair(i, index) for i in entry["inputs"])
    if op == "null" and inputs:
        raise ModelFileError(f"the variable {name!r} has inputs")
    bodies = entry.get("subgraphs") or []
    if bool(bodies) != (op in CONTROL) or not isinstance(bodies, list):
        raise ModelFileError(
            f"layer {name!r} ({op}) has bodies that do not belong to it, or lacks them"
        )
    read = tuple(Subgraph(*_read_nodes(body, depth + 1)) for body in bodies)
    return Node(op, name, attrs, inputs, read)


def _pair(entry: Sequence[int], below: int) -> tuple[int, int]:
    node, output = entry[0], entry[1]
    if type(node) is not int or type(output) is not int:  # a bool is an int, but no index
        raise ModelFileError("the graph's connections are not numbers")
    if not 0 <= node < below or not 0 <= output < 64:
        raise ModelFileError(f"the graph connects to node {node}, which does not come before")
    return node, output
