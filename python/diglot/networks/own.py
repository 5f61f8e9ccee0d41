"""A user's own network: an MXNet symbol, a file of symbol JSON, or a Gluon HybridBlock.

MXNet is not imported here: the objects bring it with them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.files import path_of, read_text
from diglot.graph import Graph, InputSpec, Node, read_symbol
from diglot.operators import OPERATORS, Shape

_LARGEST_FILE = 256 * 2**20  # symbol JSON of the largest known networks is a few megabytes
_MOST_CHANNELS = 2**24


def is_path(text: str) -> bool:
    """Whether a text is meant as a file and not as a name of the catalogue."""
    return text.endswith(".json") or any(mark and mark in text for mark in (os.sep, os.altsep))


def own_network(given: Any, spec: InputSpec) -> Graph:
    """Return a user's own network as a graph, without the softmax that it may end in.

    Parameters
    ----------
    given : str or path, MXNet symbol, or Gluon HybridBlock
        A block's weights are taken along if it was initialised. A symbol or a file has none.
    spec : InputSpec
        What the network's one input looks like.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If it is none of these, or cannot take such an input.
    ModelFileError
        If it is damaged, or uses an operator that diglot does not know; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from diglot import network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "mine-symbol.json")
    ...     _ = file.write_text(network("lenet", classes=10).to_json())
    ...     own_network(file, InputSpec(28, 28, 1)).parameter_count
    431080
    """
    text, name, values = _symbol_of(given)
    graph = foreign_network(text, spec, name, {n: v.shape for n, v in values.items()})
    values = with_slopes(graph, values)
    fitting = {
        n: values[n]
        for n, p in graph.parameters.items()
        if n in values and values[n].shape == p.shape
    }
    return replace(graph, weights=fitting) if fitting else graph


def foreign_network(
    text: str, spec: InputSpec, name: str, shapes: Mapping[str, Shape] | None = None
) -> Graph:
    """Return a symbol's JSON as a graph with a backbone and a head, without its softmax.

    Parameters
    ----------
    text : str
        JSON of any MXNet from 0.7 on.
    spec : InputSpec
        What the network's one input looks like.
    name : str
        What to call it.
    shapes : mapping of str to tuple of int, optional
        Of the arrays that come with the symbol. A variable that is no layer's own, such as a
        constant that is added, is a parameter if its shape is here, and else the image.

    Returns
    -------
    Graph
        Without weights.

    Raises
    ------
    InputError, ModelFileError
        See `own_network`.
    """
    nodes, heads = _with_statistics(*read_symbol(text))
    bare = Graph(name, nodes, heads, spec).without_prediction()
    return with_backbone(replace(bare, nodes=_with_data(bare.nodes, name, shapes or {})))


def with_backbone(graph: Graph) -> Graph:
    """Divide a graph's parameters into the groups "backbone" and "head", its last layer.

    The features are what the head takes, before the dropout that may be in front of it: that
    belongs to the head's training.
    """
    marked = replace(graph, nodes=_with_layers(graph.nodes))
    _ = marked.parameters  # an input that does not fit, or an unknown operator, is refused here
    node = marked.nodes[marked.index_of(marked.head)]
    source = marked.nodes[node.inputs[0][0]]
    while source.op == "Dropout":
        source = marked.nodes[source.inputs[0][0]]
    return replace(marked, features=source.name)


def with_slopes(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give the one slope that Gluon's PReLU has to every channel, as our parameters have it."""
    spread = dict(values)
    for node in graph.nodes:
        if node.op == "LeakyReLU" and len(node.inputs) == 2:
            slope = graph.parameters[graph.nodes[node.inputs[1][0]].name]
            value = values.get(slope.name)
            if value is not None and value.size == 1 and slope.size <= _MOST_CHANNELS:
                spread[slope.name] = np.full(slope.shape, value.item(), value.dtype)
    return spread


def _symbol_of(given: Any) -> tuple[str, str, Mapping[str, np.ndarray]]:
    """Return the symbol's JSON, a name for it, and the values of its parameters."""
    if isinstance(given, (str, os.PathLike)):
        path = Path(path_of(given, "network"))
        return _read_file(path), path.name.removesuffix(".json").removesuffix("-symbol"), {}
    if callable(getattr(given, "tojson", None)):
        return given.tojson(), _name_of(given), {}
    if callable(getattr(given, "collect_params", None)) and callable(given):
        return _trace(given).tojson(), _name_of(given), _values(given)
    raise InputError(
        "network must be a name of diglot.networks(), a file of MXNet's symbol JSON, an MXNet "
        f"symbol, a Gluon HybridBlock or a diglot network, not a {type(given).__name__}"
    )


def _name_of(given: Any) -> str:
    name = getattr(given, "name", None)
    return name if isinstance(name, str) and name else type(given).__name__.lower()


def _read_file(path: Path) -> str:
    try:
        return read_text(path, largest=_LARGEST_FILE)
    except ModelFileError as error:
        cause = error.__cause__
        if isinstance(cause, OSError):  # it is the name that is wrong
            reason = cause.strerror or cause
            raise InputError(f"the symbol file {str(path)!r} cannot be read: {reason}") from error
        raise


def _trace(block: Any) -> Any:
    """Call a block on a variable of MXNet's, which returns the symbol that it computes."""
    mxnet = sys.modules.get("mxnet")  # there, if the block is MXNet's
    if mxnet is not None and not hasattr(mxnet.sym, "load_json"):
        raise InputError(
            f"the block {_name_of(block)!r} is of MXNet {mxnet.__version__}, whose blocks compute "
            "by operators of mxnet.npx, which diglot does not know; give a symbol made by "
            "mxnet.sym, a symbol file that MXNet 1.9 exported, or a name of diglot.networks()"
        )
    try:
        symbol = block(mxnet.sym.var("data"))
    except Exception as error:  # the block's own code runs here and may fail in any way
        raise InputError(
            f"the block {_name_of(block)!r} cannot be turned into a symbol ({error}); it must be "
            "a HybridBlock that takes one input"
        ) from error
    if not callable(getattr(symbol, "tojson", None)):
        raise InputError(
            f"the block {_name_of(block)!r} returns a {type(symbol).__name__}; a network must "
            "return one output, the scores of the classes"
        )
    return symbol


def _values(block: Any) -> dict[str, np.ndarray]:
    values = {}
    for name, parameter in block.collect_params().items():
        try:
            values[name] = parameter.data().asnumpy().astype(np.float32)
        except RuntimeError:  # not initialised, or its shape waits for the first batch
            continue
    return values


def _with_statistics(
    nodes: Sequence[Node], heads: Sequence[tuple[int, int]]
) -> tuple[tuple[Node, ...], tuple[tuple[int, int], ...]]:
    """Add the variables of batch normalisations' statistics, which JSON before MXNet 0.9 lacks."""
    place: list[int] = []  # where each old node is now
    whole: list[Node] = []
    for node in nodes:
        inputs = tuple((place[i], o) for i, o in node.inputs)
        if node.op == "BatchNorm" and len(inputs) == 3:
            for ending in ("moving_mean", "moving_var"):
                inputs += ((len(whole), 0),)
                whole.append(Node("null", f"{node.name}_{ending}", {}))
        place.append(len(whole))
        whole.append(replace(node, inputs=inputs))
    return tuple(whole), tuple((place[i], o) for i, o in heads)


def _with_data(nodes: Sequence[Node], name: str, shapes: Mapping[str, Shape]) -> tuple[Node, ...]:
    """Rename the network's one input to ``data``, and mark parameters that are no layer's own."""
    inputs, free = set(), set()
    for node in nodes:
        rule = OPERATORS.get(node.op)
        count = rule.data_inputs if rule else None
        for index, _ in node.inputs[:count]:
            if nodes[index].is_variable and "__diglot_kind__" not in nodes[index].attrs:
                (free if nodes[index].name in shapes else inputs).add(index)
    names = sorted(nodes[i].name for i in inputs)
    if len(inputs) > 1 and "data" in names:
        other = next(n for n in names if n != "data")
        raise InputError(
            f"network {name!r} uses {other!r} beside the image, and diglot cannot tell its "
            "shape: give a network whose only input is the image"
        )
    if len(inputs) != 1:
        raise InputError(
            f"network {name!r} must have one input, the image; it has {len(inputs)}: {names}"
        )
    changed = list(nodes)
    for index in free:
        attrs = {"__diglot_kind__": "weight", "__shape__": str(tuple(shapes[nodes[index].name]))}
        changed[index] = replace(nodes[index], attrs=attrs)
    (image,) = inputs
    changed[image] = replace(nodes[image], name="data")
    return tuple(changed)


_OF_FREE_PARAMETERS = ("__diglot_kind__", "__shape__", "__diglot_init__")


def _with_layers(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Mark the last layer's parameters as the head, and how convolutions' weights start.

    What the variables' attributes said before is dropped: shapes would contradict another number
    of classes or input size, and rates and initialisers are the training's. Only parameters that
    are no layer's own keep their shapes, which nothing else tells.
    """
    heads = [i for i, n in enumerate(nodes) if n.op in ("FullyConnected", "Convolution")]
    head = max(heads, default=-1)
    of_head = {i for i, _ in nodes[head].inputs[1:]} if head >= 0 else set()
    he = {n.inputs[1][0] for n in nodes if n.op == "Convolution" and len(n.inputs) > 1}
    marked = []
    for index, node in enumerate(nodes):
        if node.is_variable:
            free = "__diglot_kind__" in node.attrs
            attrs = {k: node.attrs[k] for k in _OF_FREE_PARAMETERS if free and k in node.attrs}
            attrs["__dtype__"] = "0"
            if node.name != "data":
                attrs["__diglot_group__"] = "head" if index in of_head else "backbone"
            if index in he and index not in of_head:
                attrs["__diglot_init__"] = "he"
            node = replace(node, attrs=attrs)
        marked.append(node)
    return tuple(marked)
