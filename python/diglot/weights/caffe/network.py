"""Caffe's networks: a ``.prototxt`` (the structure) and a ``.caffemodel`` (the weights).

Caffe is not needed to read them. The structure's rules follow Caffe 1.0: ``caffe.proto``,
``upgrade_proto.cpp`` and the layers' own sources. Jia et al. (2014), Caffe: Convolutional
architecture for fast feature embedding, doi:10.1145/2647868.2654889.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.errors import InputError, ModelFileError
from diglot.files import read_text
from diglot.graph import Graph, InputSpec, InputTooSmallError
from diglot.networks.own import with_backbone
from diglot.weights.caffe.caffemodel import (
    MOST_LAYERS,
    V1_TYPES,
    V1_WORDS,
    Stored,
    read_caffemodel,
    read_stored,
)
from diglot.weights.caffe.layers import IMAGE, RULES, Layer, Network, Source, batch_norm
from diglot.weights.caffe.prototxt import Message, parse_text

__all__ = ["IMAGENET_MEAN", "caffe_network", "read_caffe", "read_caffemodel"]

IMAGENET_MEAN = (104.00699, 116.66877, 122.67892)
"""Blue, green and red, 0 to 255: the mean of ImageNet's images, in Caffe's ``imagenet_mean``."""

_LARGEST_PROTOTXT = 16 * 2**20  # in bytes; the largest known are 200 KB

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


def _layers(net: Message) -> list[Layer]:
    """Return all layers of both versions, of whichever phase."""
    new, old = net.messages("layer"), net.messages("layers")
    if new and old:
        raise ModelFileError("it mixes V1's layers with V2's layer")
    if not new and not old:
        raise ModelFileError("it has no layers")
    if len(new) + len(old) > MOST_LAYERS:
        raise ModelFileError(f"it has more than {MOST_LAYERS} layers")
    return [_layer(message, bool(old)) for message in new or old]


def _layer(message: Message, old: bool) -> Layer:
    if "layer" in message:
        raise ModelFileError(
            "its layers are of Caffe's oldest form (V0); convert it with Caffe's "
            "upgrade_net_proto_text"
        )
    name, kind = message.text("name"), message.text("type")
    if not kind:
        raise ModelFileError(f"layer {name!r} has no type")
    if old:
        word = V1_TYPES[int(kind)][0] if kind in map(str, V1_TYPES) else kind
        kind = V1_WORDS.get(word, word)
    return Layer(name, kind, Message(f"layer {name!r} ({kind})", message.fields))


def _in_test_phase(layer: Layer) -> bool:
    """Follow Caffe's rules for a network in the phase TEST, at level 0, without stages."""
    include, exclude = layer.message.messages("include"), layer.message.messages("exclude")
    if include and exclude:
        raise layer.error("it has rules of both kinds, include and exclude")
    return any(map(_is_met, include)) if include else not any(map(_is_met, exclude))


def _is_met(rule: Message) -> bool:
    phase = rule.choice("phase", "TRAIN", "TEST", default="TEST")
    level = rule.whole("min_level", 0) <= 0 <= rule.whole("max_level", 0)
    return phase == "TEST" and level and not rule.texts("stage")


def _connected(layers: Sequence[Layer], image: str) -> list[Layer]:
    """Resolve names: each layer's inputs are what bore those names just before it."""
    sources: dict[str, Source] = {image: IMAGE}
    kept: list[Layer] = []
    for layer in layers:
        if layer.kind in _DATA or layer.kind in _DROPPED:
            continue
        if layer.kind not in RULES:
            raise layer.error(
                f"diglot does not know layers of the type {layer.kind!r}; it knows "
                f"{', '.join(sorted(RULES))}"
            )
        bottoms, tops = layer.message.texts("bottom"), layer.message.texts("top")
        for bottom in bottoms:
            if bottom not in sources:
                raise layer.error(f"it takes {bottom!r}, which no layer before it makes")
        rule = RULES[layer.kind]
        if not rule.least <= len(bottoms) <= rule.most:
            raise layer.error(f"it cannot take {len(bottoms)} inputs here")
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


def _input(net: Message, layers: Sequence[Layer], given: _Given) -> tuple[str, InputSpec]:
    """Return the image's name, and what it must look like."""
    name, (channels, height, width), transform = _described_input(net, layers)
    channels = channels if given.channels is None else given.channels
    if given.size is not None:
        sides = given.size if isinstance(given.size, (tuple, list)) else (given.size,) * 2
        if len(sides) != 2:
            raise InputError(f"size must be one number or (height, width), not {given.size!r}")
        height, width = sides
    if given.channels is not None and (type(channels) is not int or channels < 1):
        raise InputError(f"channels must be a whole number from 1, not {channels!r}")
    if not height or not width:
        raise ModelFileError("it does not say how large an image is: give size=227, say")
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
    net: Message, layers: Sequence[Layer]
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


def _data_layer(layer: Layer) -> tuple[tuple[int, int, int], Message]:
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
        kind = ModelFileError if given.scale is None else InputError
        raise kind(f"scale must be a positive number, not {scale!r}")
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
        kind = ModelFileError if given.mean is None else InputError
        raise kind(f"mean must be one number or {channels}, not {len(mean)}")
    return tuple(mean)


# ---- the graph


def _built(net: Network, layers: Sequence[Layer], image: Tensor) -> dict[Source, Tensor]:
    """Add all layers; return every output."""
    made: dict[Source, Tensor] = {IMAGE: image}
    scales = _scales_after_norms(layers)
    parts = set(scales.values())
    for place, layer in enumerate(layers):
        inputs = [made[source] for source in layer.inputs]
        if place in parts:  # is part of the batch normalisation before it
            outputs = inputs
        elif layer.kind == "BatchNorm":
            after = scales.get(place)
            outputs = batch_norm(net, layer, inputs, None if after is None else layers[after])
        else:
            outputs = RULES[layer.kind].convert(net, layer, inputs)
        made |= {(place, number): output for number, output in enumerate(outputs)}
        if len(outputs) != len(layer.message.texts("top")):
            raise layer.error(f"it makes {len(outputs)} outputs, and the prototxt names others")
    return made


def _scales_after_norms(layers: Sequence[Layer]) -> dict[int, int]:
    """Return where a Scale alone takes what a BatchNorm makes: their places."""
    uses = Counter(source for layer in layers for source in layer.inputs)
    return {
        layer.inputs[0][0]: place
        for place, layer in enumerate(layers)
        if layer.kind == "Scale"
        and layer.inputs[0] != IMAGE
        and layers[layer.inputs[0][0]].kind == "BatchNorm"
        and uses[layer.inputs[0]] == 1
    }


def _end(layers: Sequence[Layer]) -> Source:
    """Return the last output that nothing takes, or what a softmax there takes.

    Networks that train with helpers have several; the last is the network's own.
    """
    used = {source for layer in layers for source in layer.inputs}
    ends = [place for place in range(len(layers)) if (place, 0) not in used]
    end: Source = (max(ends, default=-1), 0)
    while end != IMAGE and layers[end[0]].kind == "Softmax":
        end = layers[end[0]].inputs[0]
    if end == IMAGE:
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
        The network cannot take images of the given size, or mean or scale do not fit.

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
    stored = None if caffemodel is None else read_stored(caffemodel)
    given = _Given(size, channels, mean, scale, bgr)
    files = f"{prototxt}" if caffemodel is None else f"{prototxt} with {caffemodel}"
    try:
        return _network(parse_text(text), Path(prototxt).stem, stored, given)
    except ModelFileError as error:
        raise ModelFileError(f"{files}: {error}") from error


def _network(
    message: Message, name: str, stored: Mapping[str, Stored] | None, given: _Given
) -> tuple[Graph, list[str]]:
    layers = _layers(message)
    image, spec = _input(message, layers, given)
    layers = _connected([layer for layer in layers if _in_test_phase(layer)], image)
    end = _end(layers)
    net = Network(Builder(spec), stored)
    turned = given.bgr and spec.channels == 3
    first = [layer for layer in layers if IMAGE in layer.inputs]
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


_BGR = Layer("bgr", "", Message(""))
_SCORES = Layer("scores", "", Message(""))


def _is_foldable(layer: Layer) -> bool:
    """Whether a layer's weights can take the image's channels in another order."""
    own = layer.message.message("convolution_param")
    return layer.kind == "Convolution" and own.whole("group", 1) == 1


def _names(stored: Mapping[str, Stored]) -> Iterator[str]:
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
