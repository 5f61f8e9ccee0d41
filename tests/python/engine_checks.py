"""A graph on MXNet and on PyTorch in double precision, where rounding does not hide a mistake."""

from __future__ import annotations

import numpy as np

from diglot.builder import Builder
from diglot.engine.mxnet_versions import read_graph
from graph_checks import bound, random_weights


def with_loss(graph):
    """Return the graph that a classifier is trained by: the negative log-likelihood by row."""
    b = Builder(graph.input, graph)
    log_p = b.add("log_softmax", b.start_output(), name="log_p")
    picked = b.add("pick", log_p, b.input("label", ()), name="picked")
    return b.graph("loss", b.add("negative", picked, name="loss"))


def values_of(graph, rows=3, seed=0):
    """Return weights, and inputs that are neither symmetric nor all positive, by name."""
    rng = np.random.default_rng(seed)
    shapes = {"data": graph.input.shape, **(graph.extra_inputs or {})}
    inputs = {name: rng.normal(size=(rows, *shapes[name])) for name in graph.inputs}
    weights = {n: w.astype(np.float64) for n, w in random_weights(graph, seed).items()}
    return {**weights, **inputs}


def head_gradients(graph, outputs, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=output.shape) for output in outputs]


def on_mxnet(mx, graph, values, training=True, dtype="float64", without=()):
    """Return the outputs, the gradients of their weighted sum, and the statistics afterwards."""
    symbol = read_graph(mx, graph)
    arrays = {n: mx.nd.array(v, dtype=dtype) for n, v in values.items()}
    kept = {n: arrays[n] for n in symbol.list_auxiliary_states()}
    given = {n: arrays[n] for n in symbol.list_arguments()}
    gradients = {n: mx.nd.zeros(a.shape, dtype=dtype) for n, a in given.items() if n not in without}
    executor = bound(mx, symbol, given, kept, gradients if training else None)
    outputs = [o.asnumpy() for o in executor.forward(is_train=training)]
    if training:
        weights = head_gradients(graph, outputs)
        executor.backward([mx.nd.array(w, dtype=dtype) for w in weights])
    found = {n: g.asnumpy() for n, g in gradients.items()}
    return outputs, found, {n: a.asnumpy() for n, a in kept.items()}


def on_torch(graph, values, training=True, device="cpu", channels_last=False):
    """Return the same from PyTorch.

    With ``channels_last`` the channels of a place are side by side in memory.
    """
    import torch

    from diglot.engine.torch_mode import Mode
    from diglot.engine.torch_program import Program

    arrays = {n: torch.from_numpy(v.copy()).to(device) for n, v in values.items()}
    if channels_last:
        layout = torch.channels_last
        arrays = {
            n: a.contiguous(memory_format=layout) if a.dim() == 4 else a for n, a in arrays.items()
        }
    auxiliary = {n for n, p in graph.parameters.items() if p.auxiliary}
    for name, array in arrays.items():
        array.requires_grad_(name not in auxiliary)
    mode = Mode(training, torch.Generator(device=device).manual_seed(1))
    outputs = Program(graph, mode)(arrays)
    found = {}
    if training:
        weights = head_gradients(graph, [o.detach().cpu().numpy() for o in outputs])
        given = [torch.from_numpy(w).to(device) for w in weights]
        torch.autograd.backward(
            [o for o in outputs if o.requires_grad],
            [w for o, w in zip(outputs, given, strict=True) if o.requires_grad],
        )
        for name, array in arrays.items():
            gradient = np.zeros(array.shape) if array.grad is None else array.grad.cpu().numpy()
            found[name] = gradient
    kept = {n: arrays[n].detach().cpu().numpy() for n in auxiliary}
    return [o.detach().cpu().numpy() for o in outputs], found, kept


def largest_difference(first, second):
    """Return the largest difference as a part of the largest number; NaN is a difference."""
    first, second = np.asarray(first), np.asarray(second)
    assert first.shape == second.shape
    scale = max(np.abs(second).max(initial=0.0), 1e-30)
    return np.abs(first - second).max(initial=0.0) / scale if first.size else 0.0


def assert_engines_agree(
    mx, graph, values, forward=1e-12, gradients=1e-10, training=True, dtype="float64", without=()
):
    """Hold outputs, gradients and statistics of the one against those of the other.

    PyTorch's in both layouts of images. ``dtype`` is MXNet's, which has no double precision for
    some operators; ``without`` are inputs by which it has no gradients.
    """
    wanted = on_mxnet(mx, graph, values, training, dtype, without)
    has_images = any(value.ndim == 4 for value in values.values())
    for channels_last in (False, True)[: 1 + has_images]:
        computed = on_torch(graph, values, training, channels_last=channels_last)
        _assert_equal(computed, wanted, forward, gradients, training)


def _assert_equal(computed, wanted, forward, gradients, training):
    found, mine, left = computed
    wanted, by, kept = wanted
    assert len(found) == len(wanted)
    for number, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert largest_difference(a, b) <= forward, f"output {number}"
    # Of a gradient that is zero but for rounding, rounding is all that could be compared.
    whole = max((np.abs(g).max(initial=0.0) for g in by.values()), default=0.0)
    for name, gradient in by.items():
        if training and np.abs(gradient).max(initial=0.0) > 1e-12 * whole:
            assert largest_difference(mine[name], gradient) <= gradients, name
        elif training:
            assert np.abs(mine[name]).max(initial=0.0) <= 1e-10 * whole, name
    for name, array in kept.items():
        assert largest_difference(left[name], array) <= 1e-7, name  # MXNet's momentum is a float
