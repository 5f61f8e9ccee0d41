"""What ONNX computes for each number by itself, in MXNet's operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx.constants import CASTS
from diglot.weights.onnx.step import Step

_FLOATS = (1, 10, 11, 16)  # the numbers of ONNX's types
_LOWEST = float(np.finfo(np.float32).min)


def _activation(kind: str) -> Callable[[Step], Tensor]:
    return lambda step: step.layer("Activation", step.x, act_type=kind)


def _unary(op: str) -> Callable[[Step], Tensor]:
    return lambda step: step.layer(op, step.x)


def _leaky(kind: str, default: float) -> Callable[[Step], Tensor]:
    def rule(step: Step) -> Tensor:
        return step.layer(
            "LeakyReLU", step.x, act_type=kind, slope=step.attrs.get("alpha", default)
        )

    return rule


def _selu(step: Step) -> Tensor:
    for key, value in (("alpha", 1.6732632), ("gamma", 1.0507010)):
        if not math.isclose(step.attrs.get(key, value), value, rel_tol=1e-4):
            raise ModelFileError(f"its {key} is {step.attrs[key]}; diglot knows {value}")
    return step.layer("LeakyReLU", step.x, act_type="selu")


def _gelu(step: Step) -> Tensor:
    if step.attrs.get("approximate", "none") != "none":
        raise ModelFileError("its approximation is not known; export the network with exact GELU")
    return step.layer("LeakyReLU", step.x, act_type="gelu")


def _prelu(step: Step) -> Tensor:
    x, slope = step.x, step.floats(1)
    if slope.size not in (1, x.shape[0]) or slope.size != max((1, *slope.shape)):
        raise ModelFileError(f"its slope has the shape {slope.shape}; one a channel is known")
    gamma = np.broadcast_to(slope.reshape(-1), (x.shape[0],)).copy()
    return step.layer("LeakyReLU", x, weights={"gamma": gamma}, act_type="prelu")


def _clip(step: Step) -> Tensor:
    low = step.attrs["min"] if "min" in step.attrs else step.number(1)
    high = step.attrs["max"] if "max" in step.attrs else step.number(2)
    if low == 0 and high is None:
        return step.layer("Activation", step.x, act_type="relu")
    low, high = _LOWEST if low is None else low, -_LOWEST if high is None else high
    return step.layer("clip", step.x, a_min=low, a_max=high)


def _hard_sigmoid(step: Step) -> Tensor:
    alpha, beta = step.attrs.get("alpha", 0.2), step.attrs.get("beta", 0.5)
    return step.layer("hard_sigmoid", step.x, alpha=alpha, beta=beta)


def _hard_swish(step: Step) -> Tensor:
    gate = step.layer("hard_sigmoid", step.x, alpha=1 / 6, beta=0.5)
    return step.layer("elemwise_mul", step.x, gate)


def _softmax(op: str) -> Callable[[Step], Tensor]:
    def rule(step: Step) -> Tensor:
        if _ends_network(step):
            return step.x
        rank = len(step.x.shape) + 1
        if step.network.model.opset < 13:
            axis = step.axis(1, rank)
            if axis != rank - 1:
                raise ModelFileError(f"it joins the axes from {axis} on; diglot knows the last one")
        else:
            axis = step.axis(-1, rank)
        return step.layer(op, step.x, axis=axis)

    return rule


def _ends_network(step: Step) -> bool:
    """Whether nothing but changes of shape follow on the way to the output."""
    network, name = step.network, step.node.outputs[0]
    if name not in network.ends():
        return False
    # A damaged file may lead back, and round in circles.
    return name == network.model.outputs[0] or (network.only_user(name) or 0) > step.index


_WITH_NUMBER = {
    "add": ("_plus_scalar", "_plus_scalar"),
    "sub": ("_minus_scalar", "_rminus_scalar"),
    "mul": ("_mul_scalar", "_mul_scalar"),
    "div": ("_div_scalar", "_rdiv_scalar"),
    "power": ("_power_scalar", "_rpower_scalar"),
    "maximum": ("_maximum_scalar", "_maximum_scalar"),
    "minimum": ("_minimum_scalar", "_minimum_scalar"),
}


def _binary(op: str) -> Callable[[Step], Tensor]:
    """Combine two outputs, an output and a number, or an output and a constant array."""

    def rule(step: Step) -> Tensor:
        if len(step.inputs) != 2 or any(value is None for value in step.inputs):
            raise ModelFileError(f"it has {len(step.inputs)} inputs; diglot knows it with two")
        first, second = step.inputs
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            return _combined(step, op, first, second)
        turned = isinstance(second, Tensor)
        x, constant = (second, first) if turned else (first, second)
        rank = len(x.shape) + 1
        if constant.size == 1 and constant.ndim <= rank:
            return step.layer(_WITH_NUMBER[op][turned], x, scalar=constant.reshape(-1)[0].item())
        shape = (1,) * (rank - constant.ndim) + constant.shape
        if len(shape) != rank or shape[0] != 1:
            raise ModelFileError(
                f"a constant of shape {constant.shape} cannot be combined with {x.shape} for "
                "each image"
            )
        kind = "scale" if op in ("mul", "div") else "bias"
        other = step.parameter(constant.reshape(shape), kind)
        first_is_constant = turned and op in ("sub", "div", "power")
        return step.layer(f"broadcast_{op}", *((other, x) if first_is_constant else (x, other)))

    return rule


def _combined(step: Step, op: str, first: Tensor, second: Tensor) -> Tensor:
    if len(first.shape) != len(second.shape):
        raise ModelFileError(f"{first.shape} and {second.shape} have different numbers of axes")
    if first.shape == second.shape and op in ("add", "sub", "mul", "div"):
        return step.layer(f"elemwise_{op}", first, second)
    return step.layer(f"broadcast_{op}", first, second)


def _sum(step: Step) -> Tensor:
    if not all(isinstance(value, Tensor) for value in step.inputs):
        raise ModelFileError("it adds constants; diglot knows sums of outputs")
    return step.layer("add_n", *step.inputs)


def _same(step: Step) -> Tensor:
    return step.x


def _cast(step: Step) -> Tensor:
    if step.attrs.get("to") not in _FLOATS:
        kind = CASTS.get(step.attrs.get("to"), step.attrs.get("to"))
        raise ModelFileError(f"it turns an output into {kind}; diglot computes in float32")
    return step.x


def _dropout(step: Step) -> Tensor:
    rate = step.attrs.get("ratio", step.number(1))
    rate = 0.5 if rate is None else rate
    return step.layer("Dropout", step.x, p=rate) if 0 < rate < 1 else step.x


ELEMENTWISE: dict[str, Callable[[Step], Any]] = {
    "Relu": _activation("relu"),
    "Sigmoid": _activation("sigmoid"),
    "Tanh": _activation("tanh"),
    "Softplus": _activation("softrelu"),
    "Softsign": _activation("softsign"),
    "LeakyRelu": _leaky("leaky", 0.01),
    "Elu": _leaky("elu", 1.0),
    "Selu": _selu,
    "Gelu": _gelu,
    "PRelu": _prelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Erf": _unary("erf"),
    "Sqrt": _unary("sqrt"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Abs": _unary("abs"),
    "Neg": _unary("negative"),
    "Reciprocal": _unary("reciprocal"),
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Pow": _binary("power"),
    "Max": _binary("maximum"),
    "Min": _binary("minimum"),
    "Sum": _sum,
    "Identity": _same,
    "Cast": _cast,
    "Dropout": _dropout,
}
