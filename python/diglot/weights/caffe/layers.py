"""From Caffe's layers to the graph's: one small function a type, and the table of them.

Each follows the layer's own source in Caffe 1.0. A setting that is not known here is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.errors import ModelFileError
from diglot.weights.caffe.caffemodel import Stored
from diglot.weights.caffe.prototxt import Message

_MOST_CHANNELS = 2**24

Source = tuple[int, int]  # a layer's place, and which of its outputs
IMAGE: Source = (-1, 0)


@dataclass(frozen=True)
class Layer:
    """One layer of a prototxt; ``inputs`` are what its bottoms stand for, once that is known."""

    name: str
    kind: str
    message: Message
    inputs: tuple[Source, ...] = ()

    def settings(self, key: str, *known: str) -> Message:
        """Return the layer's own settings; a field that is not ``known`` is refused."""
        found = self.message.message(key)
        settings = Message(f"layer {self.name!r} ({self.kind})", found.fields)
        settings.only(known)
        return settings

    def error(self, fault: str) -> ModelFileError:
        """Return an error that names the layer."""
        return ModelFileError(f"layer {self.name!r} ({self.kind}): {fault}")


@dataclass
class Network:
    """What is being built: the graph, and each parameter's value with the names it came from."""

    builder: Builder
    stored: Mapping[str, Stored] | None
    values: dict[str, tuple[np.ndarray, tuple[str, ...]]] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {"data"})
    turns: dict[str, int] = field(default_factory=dict)  # where to go on counting for a name

    def unique(self, layer: Layer) -> str:
        """Return a node's name that is still free: Caffe does not mind two of a name."""
        name = layer.name or "layer"
        # Never from a number that was found taken: names may be chosen so that all are.
        number = max(len(self.names), self.turns.get(layer.name, 0))
        while name in self.names:
            name, number = f"{layer.name}_{number}", number + 1
        self.turns[layer.name] = number
        self.names.add(name)
        return name

    def blobs(self, layer: Layer, count: int) -> list[tuple[np.ndarray, tuple[str, ...]]]:
        """Return a layer's arrays and their names; none where there is no caffemodel."""
        if self.stored is None:
            return []
        found = self.stored.get(layer.name)
        if found is None:
            raise layer.error("the caffemodel has no weights for it")
        if len(found.blobs) != count:
            raise layer.error(f"it takes {count} arrays, the caffemodel has {len(found.blobs)}")
        return [(b, (found.name_of(layer.name, i),)) for i, b in enumerate(found.blobs)]

    def keep(self, node: str, endings: Sequence[str], blobs: Sequence) -> None:
        """Note the values of a node's parameters, where there are any."""
        if blobs:
            for ending, blob in zip(endings, blobs, strict=True):
                self.values[f"{node}_{ending}"] = blob

    def constant(self, name: str, value: float, width: int) -> None:
        """Give a parameter that Caffe does not have the value that changes nothing."""
        if self.stored is not None:
            self.values[name] = (_filled(name, value, width), ())


def _filled(name: str, value: float, width: int) -> np.ndarray:
    if width > _MOST_CHANNELS:
        raise ModelFileError(f"{name!r} would have {width} channels")
    return np.full(width, value, np.float32)


Convert = Callable[[Network, Layer, list[Tensor]], list[Tensor]]


def _pair(settings: Message, key: str, short: str, default: int | None) -> tuple[int, int]:
    """Return two sides: ``kernel_size: 3`` (or twice), or ``kernel_h: 3 kernel_w: 5``."""
    both = settings.wholes(key)
    apart = [settings.whole(f"{short}_{side}", -1) for side in "hw"] if short else [-1, -1]
    if both and apart != [-1, -1]:
        raise ModelFileError(f"{settings.where}: it has {key} beside {short}_h and {short}_w")
    if apart != [-1, -1]:
        both = [default or 0 if value == -1 else value for value in apart]
    if not both:
        if default is None:
            raise ModelFileError(f"{settings.where}: it has no {key}")
        both = [default]
    if len(both) > 2 or not all(0 <= value <= 65536 for value in both):
        raise ModelFileError(f"{settings.where}: its {key} is {both}")
    return both[0], both[-1]


def _convolution(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings(
        "convolution_param",
        *("num_output", "bias_term", "group", "axis", "engine", "force_nd_im2col"),
        *("pad", "pad_h", "pad_w", "kernel_size", "kernel_h", "kernel_w"),
        *("stride", "stride_h", "stride_w", "dilation", "weight_filler", "bias_filler"),
    )
    _only_axis_1(layer, own)
    bias = own.flag("bias_term", True)
    name = net.unique(layer)
    made = net.builder.add(
        "Convolution",
        *inputs,
        name=name,
        init="he",
        kernel=_pair(own, "kernel_size", "kernel", None),
        stride=_pair(own, "stride", "stride", 1),
        pad=_pair(own, "pad", "pad", 0),
        dilate=_pair(own, "dilation", "", 1),
        num_filter=_width(layer, own),
        num_group=own.whole("group", 1),
        no_bias=not bias,
    )
    net.keep(name, ("weight", "bias")[: 1 + bias], net.blobs(layer, 1 + bias))
    return [made]


def _inner_product(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings(
        "inner_product_param",
        *("num_output", "bias_term", "axis", "transpose", "weight_filler", "bias_filler"),
    )
    _only_axis_1(layer, own)
    bias = own.flag("bias_term", True)
    name = net.unique(layer)
    made = net.builder.add(
        "FullyConnected",
        *inputs,
        name=name,
        num_hidden=_width(layer, own),
        no_bias=not bias,
    )
    blobs = net.blobs(layer, 1 + bias)
    if blobs and own.flag("transpose", False):
        blobs[0] = (blobs[0][0].T, blobs[0][1])
    net.keep(name, ("weight", "bias")[: 1 + bias], blobs)
    return [made]


def _width(layer: Layer, settings: Message) -> int:
    width = settings.whole("num_output", 0)
    if width < 1:
        raise layer.error("it has no num_output")
    return width


def _only_axis_1(layer: Layer, settings: Message) -> None:
    if settings.whole("axis", 1) != 1:
        raise layer.error(f"it works on axis {settings.whole('axis', 1)}; diglot knows axis 1")


def _pooling(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings(
        "pooling_param",
        *("pool", "global_pooling", "round_mode", "engine"),
        *("pad", "pad_h", "pad_w", "kernel_size", "kernel_h", "kernel_w"),
        *("stride", "stride_h", "stride_w"),
    )
    kind = {"MAX": "max", "AVE": "avg"}[own.choice("pool", "MAX", "AVE")]
    name, x = net.unique(layer), inputs[0]
    if own.flag("global_pooling", False):
        if _pair(own, "pad", "pad", 0) != (0, 0) or _pair(own, "stride", "stride", 1) != (1, 1):
            raise layer.error("global pooling takes neither pad nor stride")
        pool = {"pool_type": kind, "global_pool": True, "kernel": (1, 1)}
        return [net.builder.add("Pooling", x, name=name, **pool)]
    kernel = _pair(own, "kernel_size", "kernel", None)
    stride, pad = _pair(own, "stride", "stride", 1), _pair(own, "pad", "pad", 0)
    if min(*kernel, *stride) < 1 or any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise layer.error(f"its kernel {kernel}, stride {stride} and pad {pad} do not go together")
    full = own.choice("round_mode", "CEIL", "FLOOR") == "CEIL"
    made = net.builder.add(
        "Pooling",
        x,
        name=name,
        pool_type=kind,
        kernel=kernel,
        stride=stride,
        pad=pad,
        pooling_convention="full" if full else "valid",
        count_include_pad=True,
    )
    return [_clipped(net, layer, made, x.shape[1:], stride, pad) if full else made]


def _clipped(
    net: Network,
    layer: Layer,
    made: Tensor,
    sides: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
) -> Tensor:
    """Drop the last windows where they start beyond the image, which Caffe does if it pads."""
    for axis, (side, step, edge) in enumerate(zip(sides, stride, pad, strict=True)):
        count = made.shape[1 + axis]
        if (count - 1) * step < side + edge:
            continue
        if not any(pad):
            raise layer.error("its last window lies beyond the image")
        name = net.unique(replace(layer, name=f"{layer.name}_clipped"))
        made = net.builder.add("slice_axis", made, name=name, axis=2 + axis, begin=0, end=count - 1)
    return made


def _relu(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    slope = layer.settings("relu_param", "negative_slope", "engine").real("negative_slope", 0.0)
    name = net.unique(layer)
    if slope:
        return [net.builder.add("LeakyReLU", *inputs, name=name, act_type="leaky", slope=slope)]
    return [net.builder.add("Activation", *inputs, name=name, act_type="relu")]


def _prelu(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("prelu_param", "filler", "channel_shared")
    name, width = net.unique(layer), inputs[0].shape[0]
    made = net.builder.add("LeakyReLU", *inputs, name=name, act_type="prelu")
    blobs = net.blobs(layer, 1)
    if blobs and own.flag("channel_shared", False):
        slope, names = blobs[0]
        if slope.size != 1:
            raise layer.error(f"its one slope has the shape {slope.shape}")
        blobs = [(_filled(name, slope.item(), width), names)]
    net.keep(name, ("gamma",), blobs)
    return [made]


def _activation(kind: str, message: str) -> Convert:
    def convert(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
        layer.settings(message, "engine")
        return [net.builder.add("Activation", *inputs, name=net.unique(layer), act_type=kind)]

    return convert


def _lrn(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("lrn_param", "local_size", "alpha", "beta", "k", "norm_region", "engine")
    own.choice("norm_region", "ACROSS_CHANNELS")
    size = own.whole("local_size", 5)
    if not 0 < size < 65536 or size % 2 == 0:
        raise layer.error(f"its local_size is {size}, not an odd number")
    made = net.builder.add(
        "LRN",
        *inputs,
        name=net.unique(layer),
        nsize=size,
        alpha=own.real("alpha", 1.0),  # MXNet divides it by the size, too
        beta=own.real("beta", 0.75),
        knorm=own.real("k", 1.0),
    )
    return [made]


def batch_norm(
    net: Network, layer: Layer, inputs: list[Tensor], scale: Layer | None = None
) -> list[Tensor]:
    """Add batch normalisation, and the scale after it that Caffe has as a layer of its own."""
    own = layer.settings("batch_norm_param", "use_global_stats", "moving_average_fraction", "eps")
    name, width = net.unique(layer), inputs[0].shape[0]
    made = net.builder.add(
        "BatchNorm",
        *inputs,
        name=name,
        eps=own.real("eps", 1e-5),
        momentum=own.real("moving_average_fraction", 0.999),
        fix_gamma=scale is None,
    )
    if blobs := net.blobs(layer, 3):
        (mean, _), (variance, _), (count, counted) = blobs
        if count.size != 1:
            raise layer.error(f"its third array, the factor, has the shape {count.shape}")
        # Caffe stores sums, and how much they weigh.
        factor = np.float32(1 / count.item() if count.item() else 0)
        for array, ending, index in ((mean, "mean", 0), (variance, "var", 1)):
            with np.errstate(all="ignore"):
                value = array * factor
            net.values[f"{name}_moving_{ending}"] = (value, (*blobs[index][1], *counted))
    net.constant(f"{name}_gamma", 1.0, width)
    net.constant(f"{name}_beta", 0.0, width)
    if scale is not None:
        bias = _scale_settings(scale).flag("bias_term", False)
        net.keep(name, ("gamma", "beta")[: 1 + bias], net.blobs(scale, 1 + bias))
    return [made]


def _scale_settings(layer: Layer) -> Message:
    own = layer.settings("scale_param", "axis", "num_axes", "filler", "bias_term", "bias_filler")
    _only_axis_1(layer, own)
    if own.whole("num_axes", 1) != 1:
        raise layer.error("diglot knows one number a channel: num_axes 1")
    return own


def _scaling(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    """Add a scale that follows no batch normalisation."""
    bias = _scale_settings(layer).flag("bias_term", False)
    x, name = inputs[0], net.unique(layer)
    shape = (1, x.shape[0]) + (1,) * (len(x.shape) - 1)
    gamma = net.builder.parameter(f"{name}_gamma", shape, "scale", "ones")
    made = net.builder.add("broadcast_mul", x, gamma, name=f"{name}_times" if bias else name)
    if bias:
        beta = net.builder.parameter(f"{name}_beta", shape, "shift", "zeros")
        made = net.builder.add("broadcast_add", made, beta, name=name)
    net.keep(name, ("gamma", "beta")[: 1 + bias], net.blobs(layer, 1 + bias))
    return [made]


def _eltwise(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("eltwise_param", "operation", "coeff", "stable_prod_grad")
    kind = own.choice("operation", "PROD", "SUM", "MAX", default="SUM")
    factors = own.reals("coeff") or [1.0] * len(inputs)
    if len(factors) != len(inputs) or (kind != "SUM" and "coeff" in own):
        raise layer.error(f"its {len(factors)} coefficients do not go with {kind} of {len(inputs)}")
    op = {"PROD": "elemwise_mul", "SUM": "elemwise_add", "MAX": "_maximum"}[kind]
    name = net.unique(layer)
    terms = [
        x
        if factor == 1
        else net.builder.add("_mul_scalar", x, name=f"{name}_term{number}", scalar=factor)
        for number, (x, factor) in enumerate(zip(inputs, factors, strict=True))
    ]
    made = terms[0]
    for number, term in enumerate(terms[1:], 2):
        part = name if number == len(terms) else f"{name}_part{number}"
        made = net.builder.add(op, made, term, name=part)
    return [made]


def _concat(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("concat_param", "axis", "concat_dim")
    axis = own.whole("axis", own.whole("concat_dim", 1))
    _within_an_image(layer, axis, inputs[0])
    count = len(inputs)
    return [net.builder.add("Concat", *inputs, name=net.unique(layer), dim=axis, num_args=count)]


def _within_an_image(layer: Layer, axis: int, x: Tensor) -> None:
    if not 1 <= axis <= len(x.shape):
        raise layer.error(f"it works on axis {axis}; diglot knows 1 to {len(x.shape)} here")


def _slices(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("slice_param", "axis", "slice_dim", "slice_point")
    axis = own.whole("axis", own.whole("slice_dim", 1))
    _within_an_image(layer, axis, inputs[0])
    width, count = inputs[0].shape[axis - 1], len(layer.message.texts("top"))
    inner = own.wholes("slice_point")
    if not inner and count and width % count == 0:
        inner = [width // count * number for number in range(1, count)]
    cuts = [0, *inner, width]
    if len(cuts) != count + 1 or any(a >= b for a, b in zip(cuts, cuts[1:], strict=False)):
        raise layer.error(f"it cannot cut {width} at {inner} into {count} pieces")
    name = net.unique(layer)
    return [
        net.builder.add(
            "slice_axis", inputs[0], name=f"{name}_{n}", axis=axis, begin=cuts[n], end=cuts[n + 1]
        )
        for n in range(count)
    ]


def _identity(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    return inputs * len(layer.message.texts("top"))


def _dropout(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("dropout_param", "dropout_ratio", "scale_train")
    rate = own.real("dropout_ratio", 0.5)
    if not 0 <= rate < 1:
        raise layer.error(f"its dropout_ratio is {rate}")
    return [net.builder.add("Dropout", *inputs, name=net.unique(layer), p=rate)]


def _flatten(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("flatten_param", "axis", "end_axis")
    _only_axis_1(layer, own)
    if own.whole("end_axis", -1) not in (-1, len(inputs[0].shape)):
        raise layer.error("diglot knows flattening to the last axis only")
    return [net.builder.add("Flatten", *inputs, name=net.unique(layer))]


def _reshape(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("reshape_param", "shape", "axis", "num_axes")
    dims = own.message("shape").wholes("dim")
    whole = own.whole("axis", 0) == 0 and own.whole("num_axes", -1) == -1
    if not whole or dims[:1] != [0] or min(dims) < -1:
        raise layer.error("diglot knows a reshape that keeps the batch: shape { dim: 0 ... }")
    made = net.builder.add("Reshape", *inputs, name=net.unique(layer), shape=tuple(dims))
    return [made]


def _softmax(net: Network, layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    _only_axis_1(layer, layer.settings("softmax_param", "axis", "engine"))
    return [net.builder.add("softmax", *inputs, name=net.unique(layer), axis=1)]


@dataclass(frozen=True)
class Rule:
    """What makes nodes of a type's layers, and how many inputs it takes."""

    convert: Convert
    least: int = 1
    most: int = 1


RULES = {
    "BatchNorm": Rule(batch_norm),
    "Concat": Rule(_concat, 1, 1000),
    "Convolution": Rule(_convolution),
    "Dropout": Rule(_dropout),
    "Eltwise": Rule(_eltwise, 2, 1000),
    "Flatten": Rule(_flatten),
    "InnerProduct": Rule(_inner_product),
    "LRN": Rule(_lrn),
    "PReLU": Rule(_prelu),
    "Pooling": Rule(_pooling),
    "ReLU": Rule(_relu),
    "Reshape": Rule(_reshape),
    "Scale": Rule(_scaling),
    "Sigmoid": Rule(_activation("sigmoid", "sigmoid_param")),
    "Slice": Rule(_slices),
    "Softmax": Rule(_softmax),
    "Split": Rule(_identity),
    "TanH": Rule(_activation("tanh", "tanh_param")),
}
