"""What differs between the 1.9 and the 2.0 line of MXNet, in one place.

All that diglot uses beside this is the same in both: SymbolBlock, autograd, the operators for
weight updates, and quantisation's inner functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from diglot.errors import InputError
from diglot.graph import Graph, Node, rewritten

__all__ = [
    "calibrated",
    "fuse",
    "make_parameters",
    "read_graph",
    "same_arrays",
    "settle",
    "shared",
    "symbol_of",
    "written_for",
]


@dataclass(frozen=True)
class Line:
    """A line of MXNet: what it calls things.

    Attributes
    ----------
    reader : str
        The function of ``mx.sym`` that reads a graph's JSON.
    format : int or None
        What the JSON is to say of its version: 2.0 says aloud that it upgrades what 1.9 wrote,
        though it then changes nothing. None to leave it.
    backend : str
        Its graphs for oneDNN, a library that was called MKL-DNN once.
    has_dictionaries : bool
        Whether blocks share parameters in a ParameterDict; else in a plain dict.
    flushes : bool
        Whether loading it makes this process take the smallest numbers for zero, NumPy's too.
    changed : mapping of str to str
        Operators that are not those of 1.9, in which graphs are written, and in what.
    defaults : mapping of str to mapping
        Settings of operators that must be spelt out, as their default is refused.
    broadcasts : bool
        Whether operators that broadcast can be relied on: those that 2.0.0b1 leaves to oneDNN
        fail ("Check failed: !is_view") where their output's memory was a convolution's before.
    calibrates_internals : bool
        Whether quantisation calls outputs that it must know the range of as the graph does.
    """

    reader: str
    format: int | None
    backend: str
    has_dictionaries: bool
    flushes: bool
    changed: Mapping[str, str]
    defaults: Mapping[str, Mapping[str, str]]
    broadcasts: bool
    calibrates_internals: bool


_LINES = {
    1: Line(
        reader="load_json",
        format=None,
        backend="MKLDNN",
        has_dictionaries=True,
        flushes=False,
        changed={},
        defaults={},
        broadcasts=True,
        calibrates_internals=True,
    ),
    2: Line(
        reader="fromjson",
        format=20000,
        backend="ONEDNN",
        has_dictionaries=False,
        flushes=True,
        changed={"GroupNorm": "learns a scale for each channel, not for each group,"},
        defaults={"_contrib_AdaptiveAvgPooling2D": {"output_size": "1"}},
        broadcasts=False,
        calibrates_internals=False,
    ),
}


# Operators that broadcast, and those on equal shapes that they are then.
_SAME_SHAPES = {
    f"broadcast_{name}": f"elemwise_{other}"
    for name, other in {
        "add": "add",
        "plus": "add",
        "sub": "sub",
        "minus": "sub",
        "mul": "mul",
        "div": "div",
    }.items()
}


def line(mx: ModuleType) -> Line:
    """Return the line that this MXNet is of; one that is newer is taken for the newest known."""
    return _LINES[min(int(mx.__version__.split(".")[0]), max(_LINES))]


def settle(mx: ModuleType) -> None:
    """Start the engine, which announces itself, and leave the processor as it was."""
    mx.nd.waitall()
    if line(mx).flushes:
        mx.nd.zeros((1,)).wait_to_read()  # what keeps its memory announces itself, too
        mx.util.set_flush_denorms(False)


def calibrated(
    mx: ModuleType, symbol: Any, names: Iterable[str], inputs: Collection[str]
) -> dict[str, str]:
    """Return which of a fused symbol's internals quantisation means by each name that it gave.

    1.9 calls them as they are. 2.0 calls an output that has no name of its own by its number, as
    in ``flat_0``, and one of the graph's ``inputs`` by what takes it, as in ``conv0_data``.
    """
    if line(mx).calibrates_internals:
        return {name: name for name in names}
    known = set(symbol.get_internals().list_outputs())
    nodes = json.loads(symbol.tojson())["nodes"]
    takers = {}
    for node in nodes:
        for index, *_ in node["inputs"]:
            if nodes[index]["name"] in inputs:
                takers[node["name"]] = nodes[index]["name"]

    def meant(name: str) -> str:
        layer, _, number = name.rpartition("_")
        candidates = [name, f"{layer}_output{number}", *([f"{layer}_output"] * (number == "0"))]
        candidates += [takers[t] for t in sorted(takers, key=len) if name.startswith(f"{t}_")][-1:]
        return next((each for each in candidates if each in known), name)

    return {name: meant(name) for name in names}


@contextmanager
def same_arrays(mx: ModuleType) -> Iterator[None]:
    """Let gluon make arrays of ``mx.nd``, which do not mix with those of ``mx.np``.

    Which it makes else is up to the user's own code; 2.0 starts with ``mx.np``'s in the thread
    that loaded it, and the others in the rest.
    """
    with mx.util.np_array(False), mx.util.np_shape(False):
        yield


def read_graph(mx: ModuleType, graph: Graph, turned: Callable[[Graph], Graph] | None = None) -> Any:
    """Return a graph as MXNet's symbol; ``turned`` changes it, when all else is in order."""
    return symbol_of(mx, written_for(mx, graph, turned))


def written_for(
    mx: ModuleType, graph: Graph, turned: Callable[[Graph], Graph] | None = None
) -> Graph:
    """Return the graph that this MXNet is to read; ``turned`` changes it in the end."""
    known = line(mx)
    for node in graph.nodes:
        if node.op in known.changed:
            raise InputError(
                f"network {graph.name!r} cannot run on MXNet {mx.__version__}: {node.op} (layer "
                f"{node.name!r}) {known.changed[node.op]} there; use MXNet 1.9.1"
            )
    spelt = (
        replace(node, attrs={**known.defaults.get(node.op, {}), **node.attrs})
        for node in graph.nodes
    )
    graph = replace(graph, nodes=tuple(spelt))
    if not known.broadcasts:
        graph = without_broadcasting(graph)
    return graph if turned is None else turned(graph)


def symbol_of(mx: ModuleType, graph: Graph) -> Any:
    """Return the symbol of a graph that was written for this MXNet."""
    known, text = line(mx), graph.to_json()
    if known.format is not None:
        body = json.loads(text)
        body["attrs"]["mxnet_version"][1] = known.format
        text = json.dumps(body, ensure_ascii=False)
    return getattr(mx.sym, known.reader)(text)


def without_broadcasting(graph: Graph) -> Graph:
    """Return a graph in which one side of a product, sum and so on is repeated before, not in it.

    The result is the same.
    """

    def repeated(node: Node, index: int, first: int) -> list[Node]:
        op = _SAME_SHAPES.get(node.op)
        places = graph.nodes[index].inputs if op else ()
        shapes = [graph.output_shapes[start][output] for start, output in places]
        whole = tuple(map(max, *shapes)) if op else ()
        if not op or whole not in shapes:
            return [node]
        node = replace(node, op=op)
        if shapes[0] == shapes[1]:
            return [node]
        like = shapes.index(whole)
        by = (node.inputs[1 - like], node.inputs[like])
        inputs = (node.inputs[0], (first, 0)) if like == 0 else ((first, 0), node.inputs[1])
        return [
            Node("broadcast_like", f"{node.name}_repeated", {}, by),
            replace(node, inputs=inputs),
        ]

    return rewritten(graph, repeated)


def fuse(mx: ModuleType, symbol: Any, *, integers: bool = False) -> Any:
    """Return the symbol with layers put together for oneDNN, as 8-bit integers need it or not."""
    return symbol.get_backend_symbol(line(mx).backend + ("_QUANTIZE" if integers else ""))


def make_parameters(mx: ModuleType, settings: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return gluon's parameters by name, each with its settings; they have no arrays yet."""
    if line(mx).has_dictionaries:
        made = mx.gluon.ParameterDict()
        for name, given in settings.items():
            made.get(name, **given)
        return made
    made = {name: mx.gluon.Parameter(name, **given) for name, given in settings.items()}
    for name, parameter in made.items():
        parameter._var_name = name  # as SymbolBlock does; else its name in graphs is a random one
    return made


def shared(mx: ModuleType, symbol: Any, parameters: Any) -> Any:
    """Return what a block of this symbol takes as its parameters: 2.0 refuses those of others."""
    if line(mx).has_dictionaries:
        return parameters
    used = symbol.list_inputs()
    return {name: parameters[name] for name in used if name in parameters}
