"""ONNX's operators in MXNet's: one rule for each, which adds what it needs to the graph.

Reference: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx_constants import CASTS, axes_of, slice_of_shape, slices, whole_numbers
from diglot.weights.onnx_file import OnnxNode

if TYPE_CHECKING:
    from diglot.weights.onnx import Network

Value = Tensor | np.ndarray
"""What a name in the file stands for: an output of the graph, or a constant."""

BATCH = 1_000_000_007
"""Stands for the number of images in constants that are made from shapes; no file has it."""

_LOWEST = float(np.finfo(np.float32).min)
_FLOATS = (1, 10, 11, 16)
_MOST_AXES = 16
_MOST_PIECES = 1024  # of a Split
_LARGEST_OUTPUT = 2**31  # numbers that a layer gives for one image


class Step:
    """One node of the file on its way into the graph."""

    def __init__(
        self, network: Network, index: int, node: OnnxNode, inputs: list[Value | None]
    ) -> None:
        self.network = network
        self.index = index
        self.node = node
        self.inputs = inputs
        self.attrs = node.attrs

    @property
    def x(self) -> Tensor:
        """The first input, which is no constant."""
        if not isinstance(self.inputs[0], Tensor):
            raise ModelFileError("its first input is a constant")
        return self.inputs[0]

    def image(self) -> Tensor:
        """Return the first input, which must have channels, rows and columns."""
        if len(self.x.shape) != 3:
            raise ModelFileError(f"it works on images, and its input has the shape {self.x.shape}")
        return self.x

    def optional(self, at: int) -> np.ndarray | None:
        """Return an input that must be a constant, or None where it is left out."""
        value = self.inputs[at] if at < len(self.inputs) else None
        if isinstance(value, Tensor):
            raise ModelFileError(f"its input {self.node.inputs[at]!r} must be a constant")
        return value

    def constant(self, at: int) -> np.ndarray:
        """Return an input that must be a constant."""
        value = self.optional(at)
        if value is None:
            raise ModelFileError(f"it lacks its input {at + 1}")
        return value

    def floats(self, at: int) -> np.ndarray:
        """Return a weight, which must be a constant array of floats."""
        array = self.constant(at)
        if array.dtype.kind != "f":
            raise ModelFileError(f"its weight {self.node.inputs[at]!r} is of type {array.dtype}")
        return array.astype(np.float32, copy=False)

    def number(self, at: int) -> float | None:
        """Return an input that must be one constant number, or None where it is left out."""
        array = self.optional(at)
        return None if array is None or not array.size else float(array.reshape(-1)[0])

    def whole(self, key: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        value = self.attrs.get(key, default)
        if type(value) is not int:
            raise ModelFileError(f"its {key} is {value!r}")
        return value

    def axis(self, default: int, rank: int) -> int:
        """Return the attribute ``axis``, counted from the front."""
        axis = self.whole("axis", default)
        if not -rank <= axis < rank:
            raise ModelFileError(f"it has no axis {axis}")
        return axis % rank

    def pair(self, key: str, default: int = 1) -> tuple[int, int]:
        """Return an attribute for rows and columns."""
        value = self.attrs.get(key) or (default, default)
        if len(value) != 2 or not all(type(v) is int and 0 <= v < 2**31 for v in value):
            raise ModelFileError(f"its {key} is {value!r}; images have rows and columns")
        return value

    def layer(
        self, op: str, *inputs: Tensor, weights: dict[str, np.ndarray] | None = None, **attrs: Any
    ) -> Tensor:
        """Add one of MXNet's operators, and keep the weights that belong to it."""
        name = self.network.claim(self.node.name or self.node.op)
        result = self.network.builder.add(op, *inputs, name=name, **attrs)
        self.network.count_layer()
        if len(result.shape) > _MOST_AXES or math.prod(result.shape) > _LARGEST_OUTPUT:
            raise ModelFileError(f"its output of shape {result.shape[:8]} is too large")
        for suffix, array in (weights or {}).items():
            self.network.weights[f"{name}_{suffix}"] = self.network.own(array)
        return result

    def parameter(self, array: np.ndarray, kind: str) -> Tensor:
        """Add a constant array as a parameter by itself, such as a scale of each channel."""
        name = self.network.claim(self.node.name or self.node.op)
        self.network.weights[name] = self.network.own(array)
        return self.network.builder.parameter(name, array.shape, kind)


# ---- convolutions and dense layers


def _conv(step: Step) -> Tensor:
    x, weight = step.image(), step.floats(1)
    if weight.ndim != 4:
        raise ModelFileError(f"its weight has the shape {weight.shape}; images need four sides")
    kernel = weight.shape[2:]
    if tuple(step.attrs.get("kernel_shape") or kernel) != kernel:
        raise ModelFileError(
            f"its kernel_shape {step.attrs['kernel_shape']} contradicts its weight's {kernel}"
        )
    group, stride, dilate = step.whole("group", 1), step.pair("strides"), step.pair("dilations")
    if weight.shape[1] * group != x.shape[0]:
        raise ModelFileError(
            f"its weight {step.node.inputs[1]!r} of shape {weight.shape} in {group} group(s) does "
            f"not fit an input of shape {x.shape}"
        )
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilate, strict=True))
    before, after = _pads(step, x.shape[1:], span, stride)
    if before != after:
        x, before = _padded(step, x, before, after, 0.0), (0, 0)
    bias = step.optional(2)
    weights = {"weight": weight, **({} if bias is None else {"bias": step.floats(2)})}
    return step.layer(
        "Convolution",
        x,
        weights=weights,
        kernel=kernel,
        stride=stride,
        dilate=dilate,
        pad=before,
        num_filter=weight.shape[0],
        num_group=group,
        no_bias=bias is None,
    )


def _pads(
    step: Step, sides: Sequence[int], span: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how many rows and columns are added before, and after."""
    auto = step.attrs.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return (0, 0), (0, 0)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-side // s) - 1) * s + k - side, 0)
            for side, k, s in zip(sides, span, stride, strict=True)
        ]
        small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    if auto != "NOTSET":
        raise ModelFileError(f"its auto_pad is {auto!r}")
    pads = step.attrs.get("pads") or (0, 0, 0, 0)
    if len(pads) != 4 or not all(type(p) is int and 0 <= p < 2**20 for p in pads):
        raise ModelFileError(f"its pads are {pads!r}")
    return tuple(pads[:2]), tuple(pads[2:])


def _padded(
    step: Step, x: Tensor, before: Sequence[int], after: Sequence[int], value: float
) -> Tensor:
    widths = (0, 0, 0, 0, before[0], after[0], before[1], after[1])
    return step.layer("Pad", x, mode="constant", pad_width=widths, constant_value=value)


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


# ---- normalisation


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


# ---- pooling


def _max_pool(step: Step) -> Tensor:
    if len([name for name in step.node.outputs if name]) > 1:
        raise ModelFileError("it gives the places of the largest numbers, too")
    return _pool(step, "max")


def _pool(step: Step, kind: str, count_pads: bool = False) -> Tensor:
    """Add pooling; MXNet pads both sides alike, and may end windows beyond the padding.

    Where its windows are the file's windows, that is all. Else the image is padded before. An
    average that counts the padding counts nothing beyond it: so do PyTorch, MXNet and, from opset
    19 on, ONNX Runtime.
    """
    if set(step.attrs.get("dilations") or (1,)) != {1}:
        raise ModelFileError("its dilations are not 1")
    if not step.attrs.get("kernel_shape"):
        raise ModelFileError("it lacks its kernel_shape")
    x, kernel, stride = step.image(), step.pair("kernel_shape"), step.pair("strides")
    before, after = _pads(step, x.shape[1:], kernel, stride)
    if min(*kernel, *stride) < 1 or any(p >= k for p, k in zip(before, kernel, strict=True)):
        raise ModelFileError(f"its kernel is {kernel}, its stride {stride}, its padding {before}")
    ceil = bool(step.attrs.get("ceil_mode", 0))
    if ceil and not any((*before, *after)):
        # A window that is larger than the image ends where the image does.
        if all(k > side for k, side in zip(kernel, x.shape[1:], strict=True)):
            return _global_pool(kind)(step)
        kernel = tuple(min(k, side) for k, side in zip(kernel, x.shape[1:], strict=True))
    counts = _window_counts(x.shape[1:], kernel, stride, before, after, ceil)
    same_pads = before == after
    settings = {"kernel": kernel, "stride": stride, "pool_type": kind}
    for convention in ("full", "valid") if ceil else ("valid", "full"):
        round_up = convention == "full"
        ours = _mxnet_counts(x.shape[1:], kernel, stride, before, round_up)
        # With counted pads the divisor tells where the padding ends.
        if ours == counts and (same_pads or not count_pads):
            return step.layer(
                "Pooling",
                x,
                pad=before,
                pooling_convention=convention,
                count_include_pad=count_pads,
                **settings,
            )
    if kind == "avg" and (ceil or not count_pads):
        raise ModelFileError(
            f"pads {(*before, *after)} with kernel {kernel}, stride {stride} and "
            f"ceil_mode {int(ceil)} on an input of {x.shape[1:]} cannot be followed; export the "
            "network with a padding of its own (Pad) before this layer"
        )
    sides = zip(counts, kernel, stride, before, x.shape[1:], strict=True)
    needed = tuple(max((n - 1) * s + k - b - side, 0) for n, k, s, b, side in sides)
    x = _padded(step, x, before, needed, _LOWEST if kind == "max" else 0.0)
    return step.layer("Pooling", x, count_include_pad=True, **settings)


def _window_counts(
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    ceil: bool,
) -> list[int]:
    """Return how many windows ONNX has: one that would begin in the padding behind is none."""
    counts = []
    for side, k, s, b, a in zip(sides, kernel, stride, before, after, strict=True):
        span = side + b + a - k
        count = (-(-span // s) if ceil else span // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= side + b else count)
    return counts


def _mxnet_counts(
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    round_up: bool,
) -> list[int]:
    spans = [side + 2 * p - k for side, k, p in zip(sides, kernel, pad, strict=True)]
    steps = zip(spans, stride, strict=True)
    return [(-(-span // s) if round_up else span // s) + 1 for span, s in steps]


def _global_pool(kind: str) -> Callable[[Step], Tensor]:
    def rule(step: Step) -> Tensor:
        x, rank = step.x, len(step.x.shape) + 1
        if rank == 4:
            return step.layer("Pooling", x, pool_type=kind, global_pool=True, kernel=(1, 1))
        op = {"avg": "mean", "max": "max"}[kind]
        return step.layer(op, x, axis=tuple(range(2, rank)), keepdims=True)

    return rule


def _reduce(op: str, pool: str | None = None) -> Callable[[Step], Tensor]:
    """Reduce axes; over an image's rows and columns it is a global pooling."""

    def rule(step: Step) -> Tensor:
        x, rank = step.x, len(step.x.shape) + 1
        given = axes_of([None, step.optional(1)], step.attrs)
        if given is None and step.attrs.get("noop_with_empty_axes"):
            return x
        axes = sorted(_axes(given, rank))
        keep = bool(step.whole("keepdims", 1))
        if axes == [2, 3] and rank == 4 and pool:
            pooled = _global_pool(pool)(step)
            return pooled if keep else step.layer("Flatten", pooled)
        return step.layer(op, x, axis=tuple(axes), keepdims=keep)

    return rule


def _axes(given: Sequence[int] | None, rank: int) -> list[int]:
    """Return axes counted from the front; the first holds the images, which stay apart."""
    if not given or not all(-rank <= axis < rank for axis in given):
        raise ModelFileError(f"its axes are {given}, where the input has {rank}")
    axes = [axis % rank for axis in given]
    if 0 in axes or len(set(axes)) != len(axes):
        raise ModelFileError(f"its axes are {given}: the images of a batch must stay apart")
    return axes


# ---- element by element


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


SHAPES_ONLY = {"Flatten", "Reshape", "Squeeze", "Identity", "Cast", "Dropout"}
"""Operators that change no number of a vector of scores."""


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


# ---- shapes


def _shape(step: Step) -> np.ndarray:
    return np.array((BATCH, *step.x.shape), np.int64)[slice_of_shape(step.attrs)]


def _flatten(step: Step) -> Tensor:
    rank = len(step.x.shape) + 1
    axis = step.whole("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis <= rank or math.prod(step.x.shape[: axis - 1]) != 1:
        raise ModelFileError(f"its axis {axis} would mix the images of a batch")
    return step.layer("Flatten", step.x)


def _reshape(step: Step) -> Tensor:
    x, shape = step.x, whole_numbers(step.constant(1))
    if step.attrs.get("allowzero") and 0 in shape:
        raise ModelFileError("its shape holds a zero that does not mean: keep the side")
    whole = (BATCH, *x.shape)
    sides = [whole[i] if side == 0 and i < len(whole) else side for i, side in enumerate(shape)]
    rest = sides[1:]
    known = math.prod(side for side in rest if side != -1)
    if rest.count(-1) == 1 and known and not math.prod(x.shape) % known:
        rest = [math.prod(x.shape) // known if side == -1 else side for side in rest]
    # The first side may be the batch by name, unknown, or the number with which it was exported.
    if not rest or min(rest) < 1 or math.prod(rest) != math.prod(x.shape):
        raise ModelFileError(f"its shape {tuple(shape)} does not fit images of {x.shape}")
    if len(rest) == 1:
        return step.layer("Flatten", x)
    return step.layer("Reshape", x, shape=(0, *rest))


def _transpose(step: Step) -> Tensor:
    rank = len(step.x.shape) + 1
    axes = tuple(step.attrs.get("perm") or range(rank)[::-1])
    if step.network.image.channels_last and step.node.inputs[0] == step.network.image.name:
        return step.x  # from channels last to channels first, as the graph's input is anyway
    if axes[0] != 0:
        raise ModelFileError(f"its perm {axes} moves the images of a batch")
    return step.layer("transpose", step.x, axes=axes)


def _squeeze(step: Step) -> Tensor:
    x, rank = step.x, len(step.x.shape) + 1
    given = axes_of([None, step.optional(1)], step.attrs)
    if given is None:
        given = [i + 1 for i, side in enumerate(x.shape) if side == 1]
    axes = _axes(given, rank) if given else []
    if any(x.shape[axis - 1] != 1 for axis in axes):
        raise ModelFileError(f"its axes {given} of {x.shape} are not all of size 1")
    return step.layer("squeeze", x, axis=tuple(sorted(axes))) if axes else x


def _unsqueeze(step: Step) -> Tensor:
    x, given = step.x, axes_of([None, step.optional(1)], step.attrs)
    for axis in sorted(_axes(given, len(x.shape) + 1 + len(given or ()))):
        x = step.layer("expand_dims", x, axis=axis)
    return x


def _concat(step: Step) -> Tensor:
    if not all(isinstance(value, Tensor) for value in step.inputs):
        raise ModelFileError("it joins constants to outputs")
    (axis,) = _axes([step.whole("axis", 1)], len(step.x.shape) + 1)
    return step.layer("Concat", *step.inputs, dim=axis, num_args=len(step.inputs))


def _gather(step: Step) -> Tensor:
    x, place = step.x, step.constant(1)
    (axis,) = _axes([step.whole("axis", 0)], len(x.shape) + 1)
    if place.size != 1 or place.ndim > 1:
        raise ModelFileError("it picks several places; diglot knows one")
    (at,) = whole_numbers(place)
    at = at + x.shape[axis - 1] if at < 0 else at
    piece = step.layer("slice_axis", x, axis=axis, begin=at, end=at + 1)
    return piece if place.ndim else step.layer("squeeze", piece, axis=axis)


def _slice(step: Step) -> Tensor:
    x = step.x
    constants = [None, *(step.optional(i) for i in range(1, len(step.inputs)))]
    for axis, first, last, stride in slices(constants, step.attrs, len(x.shape) + 1):
        if axis == 0 or stride != 1:
            raise ModelFileError(f"it cuts axis {axis} in steps of {stride}")
        begin, end, _ = slice(first, last).indices(x.shape[axis - 1])
        x = step.layer("slice_axis", x, axis=axis, begin=begin, end=end)
    return x


def _split(step: Step) -> list[Tensor | None]:
    x = step.x
    (axis,) = _axes([step.whole("axis", 0)], len(x.shape) + 1)
    side, count = x.shape[axis - 1], len(step.node.outputs)
    if count > _MOST_PIECES:
        raise ModelFileError(f"it splits into {count}; diglot knows {_MOST_PIECES} at most")
    given = step.attrs.get("split") or (step.optional(1) if len(step.inputs) > 1 else None)
    if given is None:
        sizes = [-(-side // count)] * (count - 1)
        sizes.append(side - sum(sizes))
    else:
        sizes = whole_numbers(np.asarray(given))
    if len(sizes) != count or sum(sizes) != side or min(sizes) < 1:
        raise ModelFileError(f"it splits {side} into {sizes}, and has {count} outputs")
    pieces: list[Tensor | None] = []
    at = 0
    for size, name in zip(sizes, step.node.outputs, strict=True):
        piece = {"axis": axis, "begin": at, "end": at + size}
        pieces.append(step.layer("slice_axis", x, **piece) if name else None)
        at += size
    return pieces


def _pad(step: Step) -> Tensor:
    x, mode = step.x, step.attrs.get("mode", "constant")
    rank = len(x.shape) + 1
    if mode not in ("constant", "reflect", "edge"):
        raise ModelFileError(f"its mode is {mode!r}; diglot knows constant, reflect and edge")
    pads = step.attrs.get("pads") or whole_numbers(step.constant(1))
    value = step.attrs.get("value", step.number(2) or 0.0)
    axes = step.optional(3)
    axes = range(rank) if axes is None else [a % rank for a in whole_numbers(axes)]
    if len(pads) != 2 * len(axes) or not all(0 <= p < 2**20 for p in pads):
        raise ModelFileError(f"its pads are {tuple(pads)}")
    if not any(pads):
        return x
    widths = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        widths[2 * axis : 2 * axis + 2] = pads[i], pads[i + len(axes)]
    if rank != 4 or any(widths[:4]):
        raise ModelFileError("it pads other axes than an image's rows and columns")
    return step.layer("Pad", x, mode=mode, pad_width=tuple(widths), constant_value=value)


# ---- nothing to compute


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


RULES: dict[str, Callable[[Step], Any]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "MaxPool": _max_pool,
    "AveragePool": lambda s: _pool(s, "avg", bool(s.attrs.get("count_include_pad", 0))),
    "GlobalAveragePool": _global_pool("avg"),
    "GlobalMaxPool": _global_pool("max"),
    "ReduceMean": _reduce("mean", "avg"),
    "ReduceMax": _reduce("max", "max"),
    "ReduceMin": _reduce("min"),
    "ReduceSum": _reduce("sum"),
    "ReduceL2": _reduce("norm"),
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
    "Shape": _shape,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Identity": _same,
    "Cast": _cast,
    "Dropout": _dropout,
}
