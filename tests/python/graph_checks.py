"""What several tests ask of a graph: that MXNet reads it as diglot does, and runs it."""

from __future__ import annotations

import numpy as np

from diglot.engine.mxnet_versions import read_graph

BATCH = 2


def symbol_of(mx, graph):
    """Read a graph as it is by the function that MXNet 1.9 has for it, or 2.0."""
    read = mx.sym.fromjson if hasattr(mx.sym, "fromjson") else mx.sym.load_json
    return read(graph.to_json())


def bound(mx, symbol, arguments, statistics=None, gradients=None):
    """Bind arrays to a symbol, to run it."""
    bind = symbol._bind if hasattr(symbol, "_bind") else symbol.bind
    wanted = "null" if gradients is None else "write"
    return bind(mx.cpu(), arguments, gradients, grad_req=wanted, aux_states=statistics)


def input_shapes(graph):
    return {"data": graph.input.shape, **(graph.extra_inputs or {})}


def assert_mxnet_agrees(mx, graph):
    """Hold names and shapes of parameters and of every layer's output against MXNet's."""
    symbol = symbol_of(mx, graph)
    arguments, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()
    given = {n: (BATCH, *s) for n, s in input_shapes(graph).items() if n in arguments}
    learned = {n: p.shape for n, p in graph.parameters.items() if not p.auxiliary}
    kept = {n: p.shape for n, p in graph.parameters.items() if p.auxiliary}
    assert [n for n in arguments if n not in given] == list(learned)
    assert auxiliary == list(kept)

    shapes, outputs, aux_shapes = symbol.infer_shape(**given)
    inferred = dict(zip(arguments, shapes, strict=True))
    assert {n: s for n, s in inferred.items() if n not in given} == learned
    assert dict(zip(auxiliary, aux_shapes, strict=True)) == kept
    assert outputs[0] == (BATCH, *graph.output_shape)

    internals = symbol.get_internals()
    _, outputs, _ = internals.infer_shape(**given)
    layers = dict(zip(internals.list_outputs(), outputs, strict=True))
    for row in graph.layers():
        name = row["layer"]
        shape = layers.get(f"{name}_output", layers.get(f"{name}_output0"))
        assert shape == (BATCH, *row["output"]), name
        assert graph.shape_of(name) == row["output"]


def random_weights(graph, seed=0):
    """Return weights whose every number matters: no zero bias, no unit variance."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, parameter in graph.parameters.items():
        if parameter.kind == "weight":
            scale = np.sqrt(2 / np.prod(parameter.shape[1:]))
            value = rng.normal(0, scale, parameter.shape)
        elif parameter.kind in ("scale", "variance"):
            value = rng.uniform(0.5, 1.5, parameter.shape)
        else:
            value = rng.normal(0, 0.1, parameter.shape)
        weights[name] = value.astype(np.float32)
    return weights


def forward(mx, graph, weights, images):
    """Run a graph on MXNet, on images of (n, channels, height, width)."""
    symbol = read_graph(mx, graph)  # 2.0 does not run every graph as it is
    arrays = {n: mx.nd.array(w) for n, w in weights.items()}
    arguments = {n: a for n, a in arrays.items() if not graph.parameters[n].auxiliary}
    statistics = {n: a for n, a in arrays.items() if graph.parameters[n].auxiliary}
    arguments["data"] = mx.nd.array(images)
    executor = bound(mx, symbol, arguments, statistics)
    return executor.forward(is_train=False)[0].asnumpy()
