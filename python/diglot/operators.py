"""What diglot knows of MXNet's operators: shapes out, parameters in, multiply-adds, attributes.

One entry an operator. Shapes carry the batch in front (diglot infers with a batch of 1).
The rules follow MXNet 1.9.1's own shape inference, which the tests hold them against.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diglot.errors import ModelFileError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """A parameter that an operator takes: its name's ending, shape, and role."""

    suffix: str
    shape: Shape
    kind: str  # "weight", "bias", "scale", "shift", "mean", "variance"

    @property
    def auxiliary(self) -> bool:
        """Whether MXNet keeps it as a statistic instead of learning it."""
        return self.kind in ("mean", "variance")


@dataclass(frozen=True)
class Operator:
    """The rules of one operator.

    ``shapes(attrs, inputs)`` gives the outputs' shapes from the data inputs' shapes,
    ``slots(attrs, inputs)`` the parameters it takes after them, ``macs`` the multiply-adds.
    ``data_inputs`` is how many inputs are data (None: all).
    """

    shapes: Callable[[Attrs, Sequence[Shape]], list[Shape]]
    slots: Callable[[Attrs, Sequence[Shape]], list[Slot]]
    macs: Callable[[Attrs, Sequence[Shape], Shape], int]
    data_inputs: int | None = None


def parse(text: Any) -> Any:
    """Read one attribute of MXNet's JSON, all of which are strings.

    Examples
    --------
    >>> parse("(3, 3)"), parse("True"), parse("None"), parse("relu"), parse("3L")
    ((3, 3), True, None, 'relu', 3)
    """
    if not isinstance(text, str):
        return text
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    plain = re.sub(r"(?<=\d)L\b", "", text.strip())
    plain = re.sub(r",\s*([)\]])", r"\1", plain).replace("(", "[").replace(")", "]")
    plain = plain.replace("None", "null")
    if not re.fullmatch(r"[-+0-9.eE,\[\]\s]+|.*null.*", plain):
        return text
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value


class Attrs(Mapping[str, Any]):
    """An operator's attributes, parsed when asked for, with MXNet's defaults at the call."""

    def __init__(self, attrs: Mapping[str, str]) -> None:
        self._attrs = attrs

    def __getitem__(self, key: str) -> Any:
        return parse(self._attrs[key])

    def __iter__(self):
        return iter(self._attrs)

    def __len__(self) -> int:
        return len(self._attrs)

    def numbers(self, key: str, count: int, default: int) -> Shape:
        """Return a tuple attribute such as ``stride``, of ``count`` numbers."""
        value = self.get(key)
        if value is None or value == ():
            return (default,) * count
        return tuple(value) if isinstance(value, tuple) else (int(value),) * count


def _no_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return []


def _no_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


def _same(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[0]]


def _conv_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    n = len(x) - 2
    kernel = attrs.numbers("kernel", n, 1)
    stride, pad = attrs.numbers("stride", n, 1), attrs.numbers("pad", n, 0)
    dilate = attrs.numbers("dilate", n, 1)
    out = [
        (x[2 + i] + 2 * pad[i] - dilate[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(n)
    ]
    return [(x[0], attrs["num_filter"], *out)]


def _conv_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    n = len(inputs[0]) - 2
    filters = attrs["num_filter"]
    kernel = attrs.numbers("kernel", n, 1)
    weight = Slot("weight", (filters, inputs[0][1] // attrs.get("num_group", 1), *kernel), "weight")
    return [weight] if attrs.get("no_bias") else [weight, Slot("bias", (filters,), "bias")]


def _conv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    kernel = attrs.numbers("kernel", len(output) - 2, 1)
    depth = inputs[0][1] // attrs.get("num_group", 1)
    return math.prod(output[1:]) * depth * math.prod(kernel)


def _dense_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    if attrs.get("flatten", True):
        return [(x[0], attrs["num_hidden"])]
    return [(*x[:-1], attrs["num_hidden"])]


def _dense_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    x, hidden = inputs[0], attrs["num_hidden"]
    width = math.prod(x[1:]) if attrs.get("flatten", True) else x[-1]
    weight = Slot("weight", (hidden, width), "weight")
    return [weight] if attrs.get("no_bias") else [weight, Slot("bias", (hidden,), "bias")]


def _dense_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return _dense_slots(attrs, inputs)[0].shape[1] * math.prod(output[1:])


def _pool_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    n = len(x) - 2
    if attrs.get("global_pool"):
        return [(*x[:2], *(1,) * n)]
    kernel = attrs.numbers("kernel", n, 1)
    stride, pad = attrs.numbers("stride", n, 1), attrs.numbers("pad", n, 0)
    ceil = attrs.get("pooling_convention", "valid") == "full"
    out = []
    for i in range(n):
        span = x[2 + i] + 2 * pad[i] - kernel[i]
        out.append((-(-span // stride[i]) if ceil else span // stride[i]) + 1)
    return [(*x[:2], *out)]


def _adaptive_pool_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0][:2], *attrs.numbers("output_size", 2, 1))]


def _norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    width = (inputs[0][attrs.get("axis", 1)],)
    return [
        Slot("gamma", width, "scale"),
        Slot("beta", width, "shift"),
        Slot("moving_mean", width, "mean"),
        Slot("moving_var", width, "variance"),
    ]


def _layer_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    width = (inputs[0][attrs.get("axis", -1)],)
    return [Slot("gamma", width, "scale"), Slot("beta", width, "shift")]


def _leaky_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    if attrs.get("act_type", "leaky") != "prelu":
        return []
    return [Slot("gamma", (inputs[0][1],), "scale")]


def _broadcast(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    a, b = inputs
    if len(a) != len(b) or any(m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
        raise ModelFileError(f"shapes {a} and {b} cannot be combined element by element")
    return [tuple(max(m, n) for m, n in zip(a, b, strict=True))]


def _elementwise(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    if any(shape != inputs[0] for shape in inputs):
        raise ModelFileError(f"shapes {list(inputs)} differ where they must be equal")
    return [inputs[0]]


def _concat(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    axis = attrs.get("dim", 1) % len(inputs[0])
    rest = {s[:axis] + s[axis + 1 :] for s in inputs}
    if len(rest) > 1:
        raise ModelFileError(f"shapes {list(inputs)} cannot be joined along axis {axis}")
    first = inputs[0]
    return [first[:axis] + (sum(s[axis] for s in inputs),) + first[axis + 1 :]]


def _flatten(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[0][0], math.prod(inputs[0][1:]))]


def _reduce(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, axis = inputs[0], attrs.get("axis")
    axes = range(len(x)) if axis in (None, ()) else axis if isinstance(axis, tuple) else (axis,)
    axes = {a % len(x) for a in axes}
    if attrs.get("keepdims"):
        return [tuple(1 if i in axes else s for i, s in enumerate(x))]
    return [tuple(s for i, s in enumerate(x) if i not in axes) or (1,)]


def _rule(
    shapes: Callable = _same,
    slots: Callable = _no_slots,
    macs: Callable = _no_macs,
    data: int | None = None,
) -> Operator:
    return Operator(shapes, slots, macs, data)


OPERATORS: dict[str, Operator] = {
    "Convolution": _rule(_conv_shapes, _conv_slots, _conv_macs, 1),
    "FullyConnected": _rule(_dense_shapes, _dense_slots, _dense_macs, 1),
    "BatchNorm": _rule(slots=_norm_slots, data=1),
    "LayerNorm": _rule(slots=_layer_norm_slots, data=1),
    "LeakyReLU": _rule(slots=_leaky_slots, data=1),
    "Pooling": _rule(_pool_shapes),
    "_contrib_AdaptiveAvgPooling2D": _rule(_adaptive_pool_shapes),
    "Concat": _rule(_concat),
    "Flatten": _rule(_flatten),
    **dict.fromkeys(
        ["Activation", "Dropout", "clip", "softmax", "log_softmax", "LRN", "negative", "BlockGrad"]
        + ["relu", "sigmoid", "tanh", "exp", "_copy", "identity"]
        + ["_mul_scalar", "_plus_scalar", "_div_scalar", "_minus_scalar"],
        _rule(),
    ),
    **dict.fromkeys(
        ["elemwise_add", "_Plus", "_plus", "elemwise_mul", "_mul"], _rule(_elementwise)
    ),
    **dict.fromkeys(
        ["broadcast_add", "broadcast_mul", "broadcast_sub", "broadcast_div", "broadcast_equal"],
        _rule(_broadcast),
    ),
    **dict.fromkeys(["sum", "mean", "max", "argmax"], _rule(_reduce)),
}
