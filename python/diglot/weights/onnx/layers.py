"""Dense layers and norms of ONNX, in MXNet's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx.step import Step


def _gemm(step: Step) -> Tensor:
    if step.attrs.get("transA"):
        raise ModelFileError("it mixes the images of a batch (transA)")
    weight, bias = step.floats(1), step.optional(2)
    weight = weight if step.attrs.get("transB") else weight.T
    # Without a factor it is the constant itself, which several nodes may share.
    if (alpha := step.attrs.get("alpha", 1.0)) != 1:
        weight = np.multiply(weight, np.float32(alpha), order="C")
    if bias is not None:
        beta = step.attrs.get("beta", 1.0)
        bias = step.floats(2) * np.float32(beta) if beta != 1 else step.floats(2)
    return _dense(step, weight, bias)


def _matmul(step: Step) -> Tensor:
    if isinstance(step.inputs[1], Tensor):
        if len(step.inputs[1].shape) < 2 or not isinstance(step.inputs[0], Tensor):
            raise ModelFileError("it multiplies by something that is no constant matrix")
        return step.layer("batch_dot", step.x, step.inputs[1])
    weight = step.floats(1).T
    if weight.ndim != 2:
        raise ModelFileError(f"its weight has the shape {weight.T.shape}; a matrix is needed")
    added = _bias_added_next(step, len(weight))
    if added is None:
        return _dense(step, weight, None)
    index, bias = added
    result = _dense(step, weight, bias)
    step.network.done.add(index)
    step.network.values[step.network.model.nodes[index].outputs[0]] = result
    return result


def _bias_added_next(step: Step, units: int) -> tuple[int, np.ndarray] | None:
    """Return the node that adds a constant to a product which nothing else takes, and the constant.

    It becomes the layer's bias, so that a head that is replaced takes it along.
    """
    network, result = step.network, step.node.outputs[0]
    index = network.only_user(result)
    if index is None or network.model.nodes[index].op != "Add":
        return None
    node = network.model.nodes[index]
    (bias,) = [network.values.get(name) for name in node.inputs if name != result] or [None]
    if not isinstance(bias, np.ndarray) or bias.dtype.kind != "f":
        return None
    fits = bias.size in (1, units) and bias.size == max((1, *bias.shape[-1:]))
    return (index, bias) if fits and bias.ndim <= len(step.x.shape) + 1 else None


def _dense(step: Step, weight: np.ndarray, bias: np.ndarray | None) -> Tensor:
    x = step.x
    if weight.ndim != 2 or weight.shape[1] != x.shape[-1]:
        raise ModelFileError(
            f"its weight {step.node.inputs[1]!r}, {weight.shape} once its outputs come first, "
            f"does not fit an input of shape {x.shape}"
        )
    weights = {"weight": weight}
    if bias is not None:
        weights["bias"] = np.broadcast_to(bias.reshape(-1), (len(weight),))
    return step.layer(
        "FullyConnected",
        x,
        weights=weights,
        num_hidden=len(weight),
        no_bias=bias is None,
        flatten=len(x.shape) == 1,
    )


def _batch_norm(step: Step) -> Tensor:
    if step.attrs.get("training_mode") or step.attrs.get("spatial", 1) != 1:
        raise ModelFileError(
            "it is in training mode or not spatial; export the network in inference mode"
        )
    names = ("gamma", "beta", "moving_mean", "moving_var")
    weights = {name: step.floats(i + 1).reshape(-1) for i, name in enumerate(names)}
    return step.layer(
        "BatchNorm",
        step.x,
        weights=weights,
        eps=step.attrs.get("epsilon", 1e-5),
        momentum=step.attrs.get("momentum", 0.9),
        fix_gamma=False,
    )


def _layer_norm(step: Step) -> Tensor:
    rank = len(step.x.shape) + 1
    if step.axis(-1, rank) != rank - 1:
        raise ModelFileError("it normalises several axes; diglot knows the last one")
    weight = step.floats(1)
    bias = np.zeros_like(weight) if step.optional(2) is None else step.floats(2)
    eps = step.attrs.get("epsilon", 1e-5)
    return step.layer("LayerNorm", step.x, weights={"gamma": weight, "beta": bias}, eps=eps)


def _instance_norm(step: Step) -> Tensor:
    weights = {"gamma": step.floats(1).reshape(-1), "beta": step.floats(2).reshape(-1)}
    eps = step.attrs.get("epsilon", 1e-5)
    return step.layer("InstanceNorm", step.x, weights=weights, eps=eps)


def _lrn(step: Step) -> Tensor:
    size = step.whole("size", 0)
    if size % 2 == 0:
        raise ModelFileError(f"its size is {size}; diglot knows odd ones")
    return step.layer(
        "LRN",
        step.image(),
        nsize=size,
        alpha=step.attrs.get("alpha", 1e-4),
        beta=step.attrs.get("beta", 0.75),
        knorm=step.attrs.get("bias", 1.0),
    )


LAYERS: dict[str, Callable[[Step], Any]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
}
