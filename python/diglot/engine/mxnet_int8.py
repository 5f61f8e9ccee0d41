"""Scoring with 8-bit integers on a CPU: calibrated once, then about four times as fast.

oneDNN fuses convolutions and dense layers with what follows them, and computes them with 8-bit
integers. For that it must know between which numbers each layer's outputs lie: the ranges, which
are measured on some images and kept with the model; the images are not.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from diglot.engine import STEADY_ROWS, Device
from diglot.engine.layout import engine_input
from diglot.engine.mxnet import errors_translated, load, standard_error_closed
from diglot.engine.mxnet_fusion import fused, layers_meant, may_fuse
from diglot.engine.mxnet_versions import calibrated, fuse, same_arrays
from diglot.errors import InputError
from diglot.graph import Graph
from diglot.operators import Attrs

Ranges = dict[str, tuple[float, float]]

_LEFT_OUT = ("elemwise_mul", "broadcast_mul")  # their kernels refuse what layers before them give


def measure_ranges(graph: Graph, batches: Iterable[Mapping[str, np.ndarray]]) -> Ranges:
    """Measure between which numbers the layers' outputs lie that int8 needs to know.

    Parameters
    ----------
    graph : Graph
        With weights.
    batches : iterable of mapping of str to ndarray
        Inputs as `Executor.forward` takes them, of images like those to come.

    Returns
    -------
    dict of str to (float, float)
        By the layers' names in the network, so that they serve a part of it, too. Nothing for a
        network of which no layer can be computed with integers.
    """
    if not may_fuse(graph):
        return {}
    floats = _fused(graph)
    outputs = _quantised(floats, graph)[1]
    if not outputs:
        return {}
    mx, (learned, kept) = load(), _arrays(graph)
    internals, names = floats.get_internals(), layers_meant(floats)
    outputs = list(dict.fromkeys(outputs.values()))
    block = _block(
        mx.sym.Group([internals[output] for output in outputs]), {**learned, **kept}, graph.inputs
    )
    ranges: Ranges = {}
    for inputs in batches:
        rows = len(next(iter(inputs.values())))
        with errors_translated(rows):
            found = block(*(_array(n, inputs[n]) for n in graph.inputs))
            found = found if isinstance(found, (list, tuple)) else [found]
            for output, values in zip(outputs, found, strict=True):
                low, high = float(values.min().asscalar()), float(values.max().asscalar())
                before = ranges.get(names[output], (low, high))
                ranges[names[output]] = (min(before[0], low), max(before[1], high))
    return ranges


def _halved(graph: Graph) -> set[str]:
    """Return the layers of which MXNet can only use one half of the range.

    It computes a convolution, the sum behind it and a rectifier as one layer. Where the other
    summand has a sign, the 8 bits of the result have one, too, but steps as if they had none
    (1.9.1): all above the middle of the range is cut off.
    """
    rectified = {start: graph.nodes[after].name for start, after in _rectified(graph).items()}
    return {name for start, name in rectified.items() if not _has_unsigned_summand(graph, start)}


def _cut_off(graph: Graph) -> set[str]:
    """Return the sums that MXNet cannot compute along with a convolution.

    Where a summand has no sign, the sum's 8 bits have none, either (1.9.1): what of it is below
    zero is cut off, though no rectifier follows.
    """
    sums = {i for i, node in enumerate(graph.nodes) if node.op == "elemwise_add"}
    bare = sums - _rectified(graph).keys()
    return {graph.nodes[i].name for i in bare if _has_unsigned_summand(graph, i)}


def _rectified(graph: Graph) -> dict[int, int]:
    """Return the sums that only a rectifier takes, and which that is."""
    taken = Counter(start for node in graph.nodes for start, _ in node.inputs)
    taken.update(start for start, _ in graph.heads)
    return {
        node.inputs[0][0]: index
        for index, node in enumerate(graph.nodes)
        if (node.op == "clip" or node.attrs.get("act_type") == "relu")
        and graph.nodes[node.inputs[0][0]].op == "elemwise_add"
        and taken[node.inputs[0][0]] == 1
    }


def _has_unsigned_summand(graph: Graph, index: int) -> bool:
    return any(_is_never_negative(graph, start) for start, _ in graph.nodes[index].inputs)


def _is_never_negative(graph: Graph, index: int) -> bool:
    """Whether a layer's output is known to be at least 0."""
    node = graph.nodes[index]
    if node.op in ("Pooling", "Flatten", "Concat", "elemwise_add", "Dropout"):
        return all(_is_never_negative(graph, start) for start, _ in node.inputs)
    if node.op == "clip":
        return Attrs(node.attrs).get("a_min", -1) >= 0
    return node.op == "Activation" and node.attrs.get("act_type") in ("relu", "sigmoid")


class Int8Scorer:
    """Scores with 8-bit integers: the part of :class:`diglot.engine.Executor` that answers.

    Parameters
    ----------
    graph : Graph
        With weights.
    ranges : mapping of str to (float, float)
        What `measure_ranges` returned for it.

    Raises
    ------
    InputError
        If the ranges are of another network, or of one that has no layer for integers.
    """

    device = Device("cpu")  # the only one that computes so

    def __init__(self, graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> None:
        mx, quantization, floats = load(), _quantization(), _fused(graph)
        symbol, outputs = _quantised(floats, graph)
        names = layers_meant(floats)
        layers = {output: names[internal] for output, internal in outputs.items()}
        missing = [layer for layer in layers.values() if layer not in ranges]
        if missing or not layers:
            what = f"the ranges lack {missing[0]!r}" if missing else "no layer can use integers"
            raise InputError(f"network {graph.name!r} cannot score with int8: {what}")
        learned, kept = _arrays(graph)
        halved = _halved(graph)
        used = {}
        for output, layer in layers.items():
            low, high = map(float, ranges[layer])
            used[output] = (low, 2 * high) if layer in halved else (low, high)
        symbol = quantization._calibrate_quantized_sym(symbol, used)
        with same_arrays(mx):
            parameters = {**quantization._quantize_params(symbol, learned, used), **kept}
        self._inputs = graph.inputs
        self._lock = threading.Lock()  # a block's outputs lie where the next call's will lie
        self._block = _block(fuse(mx, symbol, integers=True), parameters, graph.inputs)

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output."""
        rows = len(next(iter(inputs.values())))
        with self._lock, errors_translated(rows):
            outputs = self._block(*(_array(name, inputs[name]) for name in self._inputs))
            first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
            return first.asnumpy()[:rows]


def _quantization() -> Any:
    load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mxnet.contrib import quantization
    return quantization


def _fused(graph: Graph) -> Any:
    """Return the network with its layers fused as integers need it, still in float32."""
    if graph.weights is None:
        raise InputError(f"network {graph.name!r} has no weights yet: train or load it first")
    return fused(load(), graph, integers=True)


def _quantised(symbol: Any, graph: Graph) -> tuple[Any, dict[str, str]]:
    """Return the network with integers, not calibrated yet, and the outputs to calibrate.

    By what MXNet calls them there, what they are called among the symbol's internals.
    """
    quantize = _quantization()._quantize_symbol
    learned = [n for n, p in graph.parameters.items() if not p.auxiliary]
    unsound = _cut_off(graph)
    excluded = [name for name, layer in layers_meant(symbol).items() if layer in unsound]
    with standard_error_closed():  # it tells of each layer that stays in float32
        quantised, names = quantize(
            symbol,
            load().cpu(),
            excluded_symbols=excluded,
            excluded_operators=list(_LEFT_OUT),
            offline_params=learned,
            quantized_dtype="auto",
            quantize_mode="smart",
            quantize_granularity="channel-wise",
        )
    return quantised, calibrated(load(), symbol, names, graph.inputs)


def _arrays(graph: Graph) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is learned, and the statistics."""
    make = load().nd.ndarray.array
    arrays = {n: make(np.asarray(w), dtype="float32") for n, w in graph.weights.items()}
    parameters = graph.parameters
    kept = {n: a for n, a in arrays.items() if parameters[n].auxiliary}
    return {n: a for n, a in arrays.items() if n not in kept}, kept


def _block(symbol: Any, parameters: Mapping[str, Any], inputs: list[str]) -> Any:
    mx = load()
    with warnings.catch_warnings():
        # SymbolBlock warns that it cannot tell the input's type, which it then is given.
        warnings.simplefilter("ignore")
        block = mx.gluon.SymbolBlock(symbol, [mx.sym.var(n, dtype="float32") for n in inputs])
    with same_arrays(mx):
        for name, parameter in block.collect_params().items():
            value = parameters[name]
            parameter._load_init(value, mx.cpu(), cast_dtype=True, dtype_source="saved")
    block.hybridize(static_alloc=True, static_shape=True)
    return block


def _array(name: str, values: np.ndarray) -> Any:
    if len(values) < STEADY_ROWS:
        filled = np.zeros((STEADY_ROWS, *values.shape[1:]), np.float32)
        filled[: len(values)] = values
        values = filled
    return load().nd.ndarray.array(engine_input(name, values), dtype="float32")
