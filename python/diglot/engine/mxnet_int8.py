"""Scoring with 8-bit integers on a CPU: calibrated once, then about four times as fast.

oneDNN fuses convolutions and dense layers with what follows them, and computes them with 8-bit
integers. For that it must know between which numbers each layer's outputs lie: the ranges, which
are measured on some images and kept with the model; the images are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from diglot.engine.mxnet import errors_translated, load, standard_error_closed
from diglot.engine.mxnet_executor import STEADY_ROWS, engine_input, fuses_soundly
from diglot.engine.mxnet_versions import calibrated, fuse, lasting, read_graph, same_arrays
from diglot.errors import InputError
from diglot.graph import Graph

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
        Nothing for a network of which no layer can be computed with integers.
    """
    if not fuses_soundly(graph):
        return {}
    floats = _fused(graph)
    layers = _quantised(floats, graph)[1]
    if not layers:
        return {}
    mx, (learned, kept) = load(), _arrays(graph)
    internals = floats.get_internals()
    known = set(internals.list_outputs())
    layers = [name for name in dict.fromkeys(layers.values()) if name in known]
    block = _block(mx.sym.Group([internals[n] for n in layers]), {**learned, **kept}, graph.inputs)
    ranges: Ranges = {}
    for inputs in batches:
        rows = len(next(iter(inputs.values())))
        with errors_translated(rows):
            outputs = block(*(_array(n, inputs[n]) for n in graph.inputs))
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            for layer, output in zip(layers, outputs, strict=True):
                name = lasting(mx, layer)
                low, high = float(output.min().asscalar()), float(output.max().asscalar())
                before = ranges.get(name, (low, high))
                ranges[name] = (min(before[0], low), max(before[1], high))
    return ranges


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

    def __init__(self, graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> None:
        mx, quantization = load(), _quantization()
        symbol, layers = _quantised(_fused(graph), graph)
        kept_as = {name: lasting(mx, layer) for name, layer in layers.items()}
        missing = [name for name in kept_as.values() if name not in ranges]
        if missing or not layers:
            what = f"the ranges lack {missing[0]!r}" if missing else "no layer can use integers"
            raise InputError(f"network {graph.name!r} cannot score with int8: {what}")
        learned, kept = _arrays(graph)
        used = {n: (float(ranges[k][0]), float(ranges[k][1])) for n, k in kept_as.items()}
        symbol = quantization._calibrate_quantized_sym(symbol, used)
        with same_arrays(mx):
            parameters = {**quantization._quantize_params(symbol, learned, used), **kept}
        self._inputs = graph.inputs
        self._block = _block(fuse(mx, symbol, integers=True), parameters, graph.inputs)

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output."""
        rows = len(next(iter(inputs.values())))
        with errors_translated(rows):
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
    return fuse(load(), read_graph(load(), graph), integers=True)


def _quantised(symbol: Any, graph: Graph) -> tuple[Any, dict[str, str]]:
    """Return the network with integers, not calibrated yet, and the outputs to calibrate.

    By what MXNet calls them there, what they are called among the symbol's internals.
    """
    quantize = _quantization()._quantize_symbol
    learned = [n for n, p in graph.parameters.items() if not p.auxiliary]
    with standard_error_closed():  # it tells of each layer that stays in float32
        quantised, names = quantize(
            symbol,
            load().cpu(),
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
