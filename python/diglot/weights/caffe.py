"""Caffe's networks: a ``.prototxt`` (the structure) and a ``.caffemodel`` (the weights).

Caffe is not needed to read them. The structure's rules follow Caffe 1.0: ``caffe.proto``,
``upgrade_proto.cpp`` and the layers' own sources. Jia et al. (2014), Caffe: Convolutional
architecture for fast feature embedding, doi:10.1145/2647868.2654889.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.graph import Builder, Graph, InputSpec, InputTooSmallError, Tensor
from diglot.networks.own import with_backbone
from diglot.weights import protobuf
from diglot.weights.files import read_text, read_view
from diglot.weights.prototxt import Message, parse_text

IMAGENET_MEAN = (104.00699, 116.66877, 122.67892)
"""Blue, green and red, 0 to 255: the mean of ImageNet's images, in Caffe's ``imagenet_mean``."""

_LARGEST_PROTOTXT = 16 * 2**20  # in bytes; the largest known are 200 KB
_MOST_LAYERS = 20_000
_MOST_BLOBS = 64  # of one layer
_MOST_AXES = 32  # Caffe's own limit
_MOST_CHANNELS = 2**24

# ---- the caffemodel: layers and their arrays

# V1 named its types by number; the names are those of the prototxt, and of V2.
_V1_TYPES = {
    1: ("ACCURACY", "Accuracy"),
    2: ("BNLL", "BNLL"),
    3: ("CONCAT", "Concat"),
    4: ("CONVOLUTION", "Convolution"),
    5: ("DATA", "Data"),
    6: ("DROPOUT", "Dropout"),
    7: ("EUCLIDEAN_LOSS", "EuclideanLoss"),
    8: ("FLATTEN", "Flatten"),
    9: ("HDF5_DATA", "HDF5Data"),
    10: ("HDF5_OUTPUT", "HDF5Output"),
    11: ("IM2COL", "Im2col"),
    12: ("IMAGE_DATA", "ImageData"),
    13: ("INFOGAIN_LOSS", "InfogainLoss"),
    14: ("INNER_PRODUCT", "InnerProduct"),
    15: ("LRN", "LRN"),
    16: ("MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"),
    17: ("POOLING", "Pooling"),
    18: ("RELU", "ReLU"),
    19: ("SIGMOID", "Sigmoid"),
    20: ("SOFTMAX", "Softmax"),
    21: ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
    22: ("SPLIT", "Split"),
    23: ("TANH", "TanH"),
    24: ("WINDOW_DATA", "WindowData"),
    25: ("ELTWISE", "Eltwise"),
    26: ("POWER", "Power"),
    27: ("SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"),
    28: ("HINGE_LOSS", "HingeLoss"),
    29: ("MEMORY_DATA", "MemoryData"),
    30: ("ARGMAX", "ArgMax"),
    31: ("THRESHOLD", "Threshold"),
    32: ("DUMMY_DATA", "DummyData"),
    33: ("SLICE", "Slice"),
    34: ("MVN", "MVN"),
    35: ("ABSVAL", "AbsVal"),
    36: ("SILENCE", "Silence"),
    37: ("CONTRASTIVE_LOSS", "ContrastiveLoss"),
    38: ("EXP", "Exp"),
    39: ("DECONVOLUTION", "Deconvolution"),
}
_V1_WORDS = {word: kind for word, kind in _V1_TYPES.values()}
_WITH_WEIGHT_AND_BIAS = {"Convolution", "Deconvolution", "InnerProduct", "Scale", "PReLU"}

# Field numbers of caffe.proto: NetParameter's layers, and what is inside a layer of each version.
_NET_V1, _NET_V2 = 2, 100
_V1 = {"nested": 1, "name": 4, "type": 5, "blobs": 6}
_V2 = {"nested": 0, "name": 1, "type": 2, "blobs": 7}


@dataclass(frozen=True)
class _Stored:
    """One layer's arrays, as the file has them."""

    kind: str
    blobs: list[np.ndarray]

    def name_of(self, layer: str, index: int) -> str:
        named = self.kind in _WITH_WEIGHT_AND_BIAS and index < 2
        return f"{layer}.{('weight', 'bias')[index] if named else index}"


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.caffemodel``.

    Parameters
    ----------
    path : path
        A binary file with layers of Caffe's V1 (``layers``) or V2 (``layer``).

    Returns
    -------
    dict of str to ndarray
        float32, as "conv1.weight" and "conv1.bias" for convolutions, inner products, scales and
        PReLUs, and as "bn1.0", "bn1.1" and so on for other layers. The four sides that V1
        gave each array are cut to one for a bias and to two for an inner product's weight.

    Raises
    ------
    ModelFileError
        The file is damaged or foreign; the message names it, and the layer.

    Examples
    --------
    >>> read_caffemodel("lenet.caffemodel")
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: lenet.caffemodel cannot be read: No such file or directory
    """
    stored = _read_stored(path)
    return {
        layer.name_of(name, index): blob
        for name, layer in stored.items()
        for index, blob in enumerate(layer.blobs)
    }


def _read_stored(path: str | os.PathLike[str]) -> dict[str, _Stored]:
    data = read_view(path)
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        raise ModelFileError(
            f"{path} is an HDF5 file; save it in Caffe with snapshot_format: BINARYPROTO"
        )
    try:
        return _stored_layers(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is not a .caffemodel, or it is damaged: {error}") from error


def _stored_layers(data: memoryview) -> dict[str, _Stored]:
    found: dict[str, _Stored] = {}
    count = 0
    for number, wire, value in protobuf.fields(data):
        if number not in (_NET_V1, _NET_V2) or wire != protobuf.BYTES:
            continue
        count += 1
        if count > _MOST_LAYERS:
            raise ModelFileError(f"it has more than {_MOST_LAYERS} layers")
        name, stored = _stored_layer(value, _V1 if number == _NET_V1 else _V2)
        if not stored.blobs:  # the same name may stand for training's and for testing's data
            continue
        if name in found:
            raise ModelFileError(f"two layers with weights are called {name!r}")
        found[name] = stored
    if not found:
        raise ModelFileError(f"none of its {count} layers has weights")
    return found


def _stored_layer(data: memoryview, numbers: Mapping[str, int]) -> tuple[str, _Stored]:
    name, kind, raw = "", "", []
    for number, wire, value in protobuf.fields(data):
        if number == numbers["nested"]:
            raise ModelFileError(
                "its layers are of Caffe's oldest form (V0); convert it with Caffe's "
                "upgrade_net_proto_binary"
            )
        if number == numbers["name"]:
            name = protobuf.text(value)
        elif number == numbers["type"] and wire == protobuf.VARINT:
            kind = _V1_TYPES.get(protobuf.integer(value), ("", ""))[1]
        elif number == numbers["type"]:
            kind = protobuf.text(value)
        elif number == numbers["blobs"]:
            raw.append(protobuf.message(value))
    if len(raw) > _MOST_BLOBS:
        raise ModelFileError(f"layer {name!r} has {len(raw)} arrays")
    try:
        return name, _Stored(kind, [_blob(b, kind, i) for i, b in enumerate(raw)])
    except ModelFileError as error:
        raise ModelFileError(f"layer {name!r}: {error}") from error


def _blob(data: memoryview, kind: str, index: int) -> np.ndarray:
    """Read one array: its shape, of V1's four sides or of V2's list, and its numbers."""
    sides = {1: 0, 2: 0, 3: 0, 4: 0}  # num, channels, height, width
    shape: list[int] | None = None
    pieces: list[np.ndarray] = []
    for number, _, value in protobuf.fields(data):
        if number in sides:
            sides[number] = protobuf.integer(value)
        elif number == 7:
            shape = [
                side
                for n, _, dims in protobuf.fields(protobuf.message(value))
                if n == 1
                for side in protobuf.packed_varints(dims)
            ]
        elif number == 5:
            pieces.append(protobuf.packed_floats(value))
        elif number == 8:
            pieces.append(protobuf.packed_doubles(value))
    legacy = shape is None
    shape = list(sides.values()) if shape is None else shape
    size = sum(piece.size for piece in pieces)
    if len(shape) > _MOST_AXES or min(shape, default=1) < 0 or math.prod(shape) != size:
        raise ModelFileError(f"array {index} has the shape {tuple(shape)} and {size} numbers")
    if not size:
        raise ModelFileError(f"array {index} is empty")
    with np.errstate(over="ignore"):  # a double beyond float's range becomes infinite
        numbers = np.concatenate(pieces, dtype=np.float32, casting="unsafe")
    return numbers.reshape(_plain_shape(shape, kind, index) if legacy else shape)


def _plain_shape(sides: Sequence[int], kind: str, index: int) -> Sequence[int]:
    """Cut V1's four sides to those that the array has."""
    if kind in _WITH_WEIGHT_AND_BIAS and index == 1 and math.prod(sides[:3]) == 1:
        return sides[3:]
    if kind == "InnerProduct" and index == 0 and math.prod(sides[:2]) == 1:
        return sides[2:]
    return sides


# ---- the prototxt: layers of a network in its test phase

_DATA = {"Input", "Data", "ImageData", "MemoryData", "HDF5Data", "WindowData", "DummyData"}
_DROPPED = {
    "Accuracy",
    "ArgMax",
    "ContrastiveLoss",
    "EuclideanLoss",
    "HDF5Output",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "SoftmaxWithLoss",
}

Source = tuple[int, int]  # a layer's place, and which of its outputs
_IMAGE: Source = (-1, 0)


@dataclass(frozen=True)
class _Layer:
    """One layer; where its inputs come from is known after `_connected`."""

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
        return ModelFileError(f"layer {self.name!r} ({self.kind}): {fault}")


def _layers(net: Message) -> list[_Layer]:
    """Return all layers of both versions, of whichever phase."""
    new, old = net.messages("layer"), net.messages("layers")
    if new and old:
        raise ModelFileError("it mixes V1's layers with V2's layer")
    if not new and not old:
        raise ModelFileError("it has no layers")
    if len(new) + len(old) > _MOST_LAYERS:
        raise ModelFileError(f"it has more than {_MOST_LAYERS} layers")
    return [_layer(message, bool(old)) for message in new or old]


def _layer(message: Message, old: bool) -> _Layer:
    if "layer" in message:
        raise ModelFileError(
            "its layers are of Caffe's oldest form (V0); convert it with Caffe's "
            "upgrade_net_proto_text"
        )
    name, kind = message.text("name"), message.text("type")
    if not kind:
        raise ModelFileError(f"layer {name!r} has no type")
    if old:
        word = _V1_TYPES[int(kind)][0] if kind in map(str, _V1_TYPES) else kind
        kind = _V1_WORDS.get(word, word)
    return _Layer(name, kind, Message(f"layer {name!r} ({kind})", message.fields))


def _in_test_phase(layer: _Layer) -> bool:
    """Follow Caffe's rules for a network in the phase TEST, at level 0, without stages."""
    include, exclude = layer.message.messages("include"), layer.message.messages("exclude")
    if include and exclude:
        raise layer.error("it has rules of both kinds, include and exclude")
    return any(map(_is_met, include)) if include else not any(map(_is_met, exclude))


def _is_met(rule: Message) -> bool:
    phase = rule.choice("phase", "TRAIN", "TEST", default="TEST")
    level = rule.whole("min_level", 0) <= 0 <= rule.whole("max_level", 0)
    return phase == "TEST" and level and not rule.texts("stage")


def _connected(layers: Sequence[_Layer], image: str) -> list[_Layer]:
    """Resolve names: each layer's inputs are what bore those names just before it."""
    sources: dict[str, Source] = {image: _IMAGE}
    kept: list[_Layer] = []
    for layer in layers:
        if layer.kind in _DATA or layer.kind in _DROPPED:
            continue
        if layer.kind not in _RULES:
            raise layer.error(
                f"diglot does not know layers of the type {layer.kind!r}; it knows "
                f"{', '.join(sorted(_RULES))}"
            )
        bottoms, tops = layer.message.texts("bottom"), layer.message.texts("top")
        for bottom in bottoms:
            if bottom not in sources:
                raise layer.error(f"it takes {bottom!r}, which no layer before it makes")
        kept.append(replace(layer, inputs=tuple(sources[bottom] for bottom in bottoms)))
        sources |= {top: (len(kept) - 1, output) for output, top in enumerate(tops)}
    return kept


# ---- the input


@dataclass(frozen=True)
class _Given:
    """What the caller says of the input; None where the prototxt decides."""

    size: int | tuple[int, int] | None
    channels: int | None
    mean: Sequence[float] | float | None
    scale: float | None
    bgr: bool


def _input(net: Message, layers: Sequence[_Layer], given: _Given) -> tuple[str, InputSpec]:
    """Return the image's name, and what it must look like."""
    name, (channels, height, width), transform = _described_input(net, layers)
    channels = channels if given.channels is None else given.channels
    if given.size is not None:
        sides = given.size if isinstance(given.size, (tuple, list)) else (given.size,) * 2
        if len(sides) != 2:
            raise InputError(f"size must be one number or (height, width), not {given.size!r}")
        height, width = sides
    if not height or not width:
        raise InputError("the prototxt does not say how large an image is: give size=227, say")
    scale = _scale(transform, given)
    mean = _mean(transform, given, channels)
    if given.bgr and channels == 3:
        mean = mean[::-1]
    try:
        # Pixels from 0 to 1 become (255 * pixel - mean) * scale, as Caffe's from 0 to 255.
        std = (1 / (255 * scale),) * channels
        spec = InputSpec(height, width, channels, tuple(m / 255 for m in mean), std)
    except InputError as error:
        if given.size is None and given.channels is None and given.mean is None:
            raise ModelFileError(f"the network's input cannot be used: {error}") from error
        raise
    return name, spec


def _described_input(
    net: Message, layers: Sequence[_Layer]
) -> tuple[str, tuple[int, int, int], Message | None]:
    """Return name, (channels, height, width; 0 if unknown) and how pixels are transformed."""
    if names := net.texts("input"):
        dims = net.wholes("input_dim")[:4]
        shapes = net.messages("input_shape")
        return names[0], _sides_of(shapes[0].wholes("dim") if shapes else dims), None
    data = [layer for layer in layers if layer.kind in _DATA]
    for layer in [*filter(_in_test_phase, data), *data]:
        tops = layer.message.texts("top")
        if not tops:
            raise layer.error("it makes nothing")
        if layer.kind == "Input":
            shapes = layer.message.message("input_param").messages("shape")
            return tops[0], _sides_of(shapes[0].wholes("dim") if shapes else []), None
        return tops[0], *_data_layer(layer)
    raise ModelFileError("it has neither an input nor a layer of data")


def _sides_of(dims: Sequence[int]) -> tuple[int, int, int]:
    if len(dims) != 4 or min(dims) < 0:
        raise ModelFileError(
            f"its input has the dimensions {list(dims)}; an image's are batch, channels, height "
            "and width"
        )
    return dims[1], dims[2], dims[3]


def _data_layer(layer: _Layer) -> tuple[tuple[int, int, int], Message]:
    """Return what a layer of files says: a deploy prototxt has an input in its place."""
    transform = layer.message.message("transform_param")
    if not transform.fields:  # the oldest V1 has crop, scale and mean among the data's settings
        transform = layer.message.message("data_param")
    sizes = layer.message.message("memory_data_param")
    crop = transform.whole("crop_size", 0)
    grey = transform.flag("force_gray", False)
    return (
        sizes.whole("channels", 1 if grey else 3),
        crop or sizes.whole("height", 0),
        crop or sizes.whole("width", 0),
    ), transform


def _scale(transform: Message | None, given: _Given) -> float:
    scale = given.scale
    if scale is None:
        scale = transform.real("scale", 1.0) if transform else 1.0
    if not (isinstance(scale, (int, float)) and 1e-12 < scale < 1e12):
        raise InputError(f"scale must be a positive number, not {scale!r}")
    return float(scale)


def _mean(transform: Message | None, given: _Given, channels: int) -> tuple[float, ...]:
    """Return the mean in the file's order of channels, 0 to 255."""
    if given.mean is not None:
        mean = [given.mean] if isinstance(given.mean, (int, float)) else list(given.mean)
    elif transform and "mean_value" in transform:
        mean = transform.reals("mean_value")
    elif channels == 3 and (transform is None or "mean_file" in transform):
        mean = list(IMAGENET_MEAN if given.bgr else IMAGENET_MEAN[::-1])
    else:
        mean = [0.0]
    mean = mean * channels if len(mean) == 1 and 0 < channels <= 65536 else mean
    if len(mean) != channels:
        raise InputError(f"mean must be one number or {channels}, not {len(mean)}")
    return tuple(mean)


# ---- from Caffe's layers to the graph


@dataclass
class _Network:
    """What is being built: the graph, and each parameter's value with the names it came from."""

    builder: Builder
    stored: Mapping[str, _Stored] | None
    values: dict[str, tuple[np.ndarray, tuple[str, ...]]] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {"data"})

    def unique(self, layer: _Layer) -> str:
        """Return a node's name that is still free: Caffe does not mind two of a name."""
        name, number = layer.name or "layer", 2
        while name in self.names:
            name, number = f"{layer.name}_{number}", number + 1
        self.names.add(name)
        return name

    def blobs(self, layer: _Layer, count: int) -> list[tuple[np.ndarray, tuple[str, ...]]]:
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
            self.values[name] = (np.full(_bounded(width), value, np.float32), ())


def _bounded(width: int) -> int:
    if width > _MOST_CHANNELS:
        raise ModelFileError(f"it would have {width} channels")
    return width


Convert = Callable[[_Network, _Layer, list[Tensor]], list[Tensor]]


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


def _convolution(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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
        num_filter=own.whole("num_output", 0),
        num_group=own.whole("group", 1),
        no_bias=not bias,
    )
    net.keep(name, ("weight", "bias")[: 1 + bias], net.blobs(layer, 1 + bias))
    return [made]


def _inner_product(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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
        num_hidden=own.whole("num_output", 0),
        no_bias=not bias,
    )
    blobs = net.blobs(layer, 1 + bias)
    if blobs and own.flag("transpose", False):
        blobs[0] = (blobs[0][0].T, blobs[0][1])
    net.keep(name, ("weight", "bias")[: 1 + bias], blobs)
    return [made]


def _only_axis_1(layer: _Layer, settings: Message) -> None:
    if settings.whole("axis", 1) != 1:
        raise layer.error(f"it works on axis {settings.whole('axis', 1)}; diglot knows axis 1")


def _pooling(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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
    net: _Network,
    layer: _Layer,
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


def _relu(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    slope = layer.settings("relu_param", "negative_slope", "engine").real("negative_slope", 0.0)
    name = net.unique(layer)
    if slope:
        return [net.builder.add("LeakyReLU", *inputs, name=name, act_type="leaky", slope=slope)]
    return [net.builder.add("Activation", *inputs, name=name, act_type="relu")]


def _prelu(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("prelu_param", "filler", "channel_shared")
    name, width = net.unique(layer), inputs[0].shape[0]
    made = net.builder.add("LeakyReLU", *inputs, name=name, act_type="prelu")
    blobs = net.blobs(layer, 1)
    if blobs and own.flag("channel_shared", False):
        slope, names = blobs[0]
        if slope.size != 1:
            raise layer.error(f"its one slope has the shape {slope.shape}")
        blobs = [(np.full(_bounded(width), slope.item(), np.float32), names)]
    net.keep(name, ("gamma",), blobs)
    return [made]


def _activation(kind: str, message: str) -> Convert:
    def convert(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
        layer.settings(message, "engine")
        return [net.builder.add("Activation", *inputs, name=net.unique(layer), act_type=kind)]

    return convert


def _lrn(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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


def _batch_norm(
    net: _Network, layer: _Layer, inputs: list[Tensor], scale: _Layer | None = None
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


def _scale_settings(layer: _Layer) -> Message:
    own = layer.settings("scale_param", "axis", "num_axes", "filler", "bias_term", "bias_filler")
    _only_axis_1(layer, own)
    if own.whole("num_axes", 1) != 1:
        raise layer.error("diglot knows one number a channel: num_axes 1")
    return own


def _scaling(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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


def _eltwise(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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


def _concat(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("concat_param", "axis", "concat_dim")
    axis = own.whole("axis", own.whole("concat_dim", 1))
    _within_an_image(layer, axis, inputs[0])
    count = len(inputs)
    return [net.builder.add("Concat", *inputs, name=net.unique(layer), dim=axis, num_args=count)]


def _within_an_image(layer: _Layer, axis: int, x: Tensor) -> None:
    if not 1 <= axis <= len(x.shape):
        raise layer.error(f"it works on axis {axis}; diglot knows 1 to {len(x.shape)} here")


def _slices(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
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


def _identity(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    return inputs * len(layer.message.texts("top"))


def _dropout(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("dropout_param", "dropout_ratio", "scale_train")
    rate = own.real("dropout_ratio", 0.5)
    if not 0 <= rate < 1:
        raise layer.error(f"its dropout_ratio is {rate}")
    return [net.builder.add("Dropout", *inputs, name=net.unique(layer), p=rate)]


def _flatten(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("flatten_param", "axis", "end_axis")
    _only_axis_1(layer, own)
    if own.whole("end_axis", -1) not in (-1, len(inputs[0].shape)):
        raise layer.error("diglot knows flattening to the last axis only")
    return [net.builder.add("Flatten", *inputs, name=net.unique(layer))]


def _reshape(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    own = layer.settings("reshape_param", "shape", "axis", "num_axes")
    dims = own.message("shape").wholes("dim")
    whole = own.whole("axis", 0) == 0 and own.whole("num_axes", -1) == -1
    if not whole or dims[:1] != [0] or min(dims) < -1:
        raise layer.error("diglot knows a reshape that keeps the batch: shape { dim: 0 ... }")
    made = net.builder.add("Reshape", *inputs, name=net.unique(layer), shape=tuple(dims))
    return [made]


def _softmax(net: _Network, layer: _Layer, inputs: list[Tensor]) -> list[Tensor]:
    _only_axis_1(layer, layer.settings("softmax_param", "axis", "engine"))
    return [net.builder.add("softmax", *inputs, name=net.unique(layer), axis=1)]


@dataclass(frozen=True)
class _Rule:
    convert: Convert
    least: int = 1  # inputs
    most: int = 1


_RULES = {
    "BatchNorm": _Rule(_batch_norm),
    "Concat": _Rule(_concat, 1, 1000),
    "Convolution": _Rule(_convolution),
    "Dropout": _Rule(_dropout),
    "Eltwise": _Rule(_eltwise, 2, 1000),
    "Flatten": _Rule(_flatten),
    "InnerProduct": _Rule(_inner_product),
    "LRN": _Rule(_lrn),
    "PReLU": _Rule(_prelu),
    "Pooling": _Rule(_pooling),
    "ReLU": _Rule(_relu),
    "Reshape": _Rule(_reshape),
    "Scale": _Rule(_scaling),
    "Sigmoid": _Rule(_activation("sigmoid", "sigmoid_param")),
    "Slice": _Rule(_slices),
    "Softmax": _Rule(_softmax),
    "Split": _Rule(_identity),
    "TanH": _Rule(_activation("tanh", "tanh_param")),
}


def _built(net: _Network, layers: Sequence[_Layer], image: Tensor) -> dict[Source, Tensor]:
    """Add all layers; return every output."""
    made: dict[Source, Tensor] = {_IMAGE: image}
    scales = _scales_after_norms(layers)
    parts = set(scales.values())
    for place, layer in enumerate(layers):
        rule, inputs = _RULES[layer.kind], [made[source] for source in layer.inputs]
        if not rule.least <= len(inputs) <= rule.most:
            raise layer.error(f"it cannot take {len(inputs)} inputs here")
        if place in parts:  # is part of the batch normalisation before it
            outputs = inputs
        elif layer.kind == "BatchNorm":
            after = scales.get(place)
            outputs = _batch_norm(net, layer, inputs, None if after is None else layers[after])
        else:
            outputs = rule.convert(net, layer, inputs)
        made |= {(place, number): output for number, output in enumerate(outputs)}
        if len(outputs) != len(layer.message.texts("top")):
            raise layer.error(f"it makes {len(outputs)} outputs, and the prototxt names others")
    return made


def _scales_after_norms(layers: Sequence[_Layer]) -> dict[int, int]:
    """Return where a Scale alone takes what a BatchNorm makes: their places."""
    uses = Counter(source for layer in layers for source in layer.inputs)
    return {
        layer.inputs[0][0]: place
        for place, layer in enumerate(layers)
        if layer.kind == "Scale"
        and len(layer.inputs) == 1
        and layer.inputs[0] != _IMAGE
        and layers[layer.inputs[0][0]].kind == "BatchNorm"
        and uses[layer.inputs[0]] == 1
    }


def _end(layers: Sequence[_Layer]) -> Source:
    """Return the last output that nothing takes, or what a softmax there takes.

    Networks that train with helpers have several; the last is the network's own.
    """
    used = {source for layer in layers for source in layer.inputs}
    ends = [place for place in range(len(layers)) if (place, 0) not in used]
    end: Source = (max(ends, default=-1), 0)
    while end != _IMAGE and layers[end[0]].kind == "Softmax":
        end = layers[end[0]].inputs[0]
    if end == _IMAGE:
        raise ModelFileError("it has no layer that makes scores of classes")
    return end


# ---- the whole


def read_caffe(
    prototxt: str | os.PathLike[str],
    caffemodel: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: Sequence[float] | float | None = None,
    scale: float | None = None,
    bgr: bool = True,
) -> Graph:
    """Read a network of Caffe as it is.

    Parameters
    ----------
    prototxt : path
        The structure: for deployment, or for training (``train_val``), whose phase TEST counts.
    caffemodel : path, optional
        The weights. Without it the network has none.
    size : int or (int, int), optional
        The image's height and width in pixels; by default what the prototxt says.
    channels : int, optional
        The image's channels; by default what the prototxt says (3 for layers of data files).
    mean : float or sequence of float, optional
        What Caffe subtracted from each channel, in the file's order (blue, green, red), 0 to 255.
        By default the prototxt's ``mean_value``; where it says nothing or names a file,
        `IMAGENET_MEAN` for 3 channels and 0 for others.
    scale : float, optional
        What Caffe then multiplied by; by default the prototxt's ``scale``, or 1.
    bgr : bool
        Whether the network takes blue first, as Caffe reads images. False: red first.

    Returns
    -------
    Graph
        For images as diglot has them: red first, 0 to 1. Mean, scale and 255 are in its input's
        description; the order of channels is in the first convolution's weight (or, where the
        image goes elsewhere first, in a node that reverses the channels). Softmax, losses and
        accuracies are dropped, and of several ends the last is kept. A BatchNorm and the Scale
        after it are one layer. The last convolution or dense layer is the group "head".

    Raises
    ------
    ModelFileError
        A file is damaged; a layer is of a type that diglot does not know, or asks for something
        that it does not do; or an array is missing or of another shape. The message names it.
    InputError
        The prototxt says no size, and ``size`` is not given; or mean or scale do not fit.

    Notes
    -----
    Where padded pooling drops a window that starts beyond the image, the drop is for the input
    size that the network was read with.

    See Also
    --------
    caffe_network : Also says which of the caffemodel's arrays the network has no use for.

    Examples
    --------
    >>> import tempfile
    >>> net = '''
    ... input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
    ... layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    ...         inner_product_param { num_output: 10 } }
    ... layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "tiny.prototxt")
    ...     _ = file.write_text(net)
    ...     read_caffe(file)
    <Graph tiny: input 8x8x3, output (10,), 1,930 parameters, no weights>
    """
    given = {"size": size, "channels": channels, "mean": mean, "scale": scale, "bgr": bgr}
    return caffe_network(prototxt, caffemodel, **given)[0]


def caffe_network(
    prototxt: str | os.PathLike[str],
    caffemodel: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: Sequence[float] | float | None = None,
    scale: float | None = None,
    bgr: bool = True,
) -> tuple[Graph, list[str]]:
    """Read a network of Caffe, and say what of its weights was passed over.

    Parameters
    ----------
    prototxt, caffemodel, size, channels, mean, scale, bgr
        See `read_caffe`.

    Returns
    -------
    graph : Graph
    skipped : list of str
        The arrays, as `read_caffemodel` names them, of layers that the network does not have,
        such as the helpers with which GoogLeNet was trained.

    Raises
    ------
    ModelFileError, InputError
        See `read_caffe`.
    """
    text = read_text(prototxt, largest=_LARGEST_PROTOTXT)
    stored = None if caffemodel is None else _read_stored(caffemodel)
    given = _Given(size, channels, mean, scale, bgr)
    files = f"{prototxt}" if caffemodel is None else f"{prototxt} with {caffemodel}"
    try:
        return _network(parse_text(text), Path(prototxt).stem, stored, given)
    except ModelFileError as error:
        raise ModelFileError(f"{files}: {error}") from error


def _network(
    message: Message, name: str, stored: Mapping[str, _Stored] | None, given: _Given
) -> tuple[Graph, list[str]]:
    layers = _layers(message)
    image, spec = _input(message, layers, given)
    layers = _connected([layer for layer in layers if _in_test_phase(layer)], image)
    end = _end(layers)
    net = _Network(Builder(spec), stored)
    turned = given.bgr and spec.channels == 3
    first = [layer for layer in layers if _IMAGE in layer.inputs]
    foldable = all(_is_foldable(layer) for layer in first)
    data = net.builder.data
    try:
        if turned and not foldable:
            data = net.builder.add("reverse", data, name=net.unique(_BGR), axis=1)
        output = _built(net, layers, data)[end]
        if len(output.shape) == 3 and output.shape[1:] == (1, 1):
            output = net.builder.add("Flatten", output, name=net.unique(_SCORES))
        graph = net.builder.graph(message.text("name") or name, output)
        graph = with_backbone(graph.up_to(graph.nodes[output.node].name))
    except InputError as error:  # the file contradicts itself, but for a size from the caller
        if given.size is not None and isinstance(error, InputTooSmallError):
            raise
        raise ModelFileError(str(error)) from error
    if stored is None:
        return graph, []
    weights = {n: _fitted(n, p.shape, net.values[n]) for n, p in graph.parameters.items()}
    if turned and foldable:
        for node in graph.nodes:
            if node.op == "Convolution" and graph.nodes[node.inputs[0][0]].name == "data":
                weight = graph.nodes[node.inputs[1][0]].name
                weights[weight] = np.ascontiguousarray(weights[weight][:, ::-1])
    used = {source for n in graph.parameters for source in net.values[n][1]}
    return graph.with_weights(weights), [n for n in _names(stored) if n not in used]


_BGR = _Layer("bgr", "", Message(""))
_SCORES = _Layer("scores", "", Message(""))


def _is_foldable(layer: _Layer) -> bool:
    """Whether a layer's weights can take the image's channels in another order."""
    own = layer.message.message("convolution_param")
    return layer.kind == "Convolution" and own.whole("group", 1) == 1


def _names(stored: Mapping[str, _Stored]) -> Iterator[str]:
    for name, layer in stored.items():
        for index in range(len(layer.blobs)):
            yield layer.name_of(name, index)


def _fitted(
    name: str, shape: tuple[int, ...], value: tuple[np.ndarray, tuple[str, ...]]
) -> np.ndarray:
    """Bring an array to its parameter's shape: V1 and scales have more or fewer sides of 1."""
    array, sources = value
    if array.shape == shape:
        return array
    if [s for s in array.shape if s != 1] != [s for s in shape if s != 1]:
        raise ModelFileError(
            f"{sources[0] if sources else name!r} has the shape {array.shape} in the caffemodel, "
            f"and the network needs {shape}"
        )
    return array.reshape(shape)
