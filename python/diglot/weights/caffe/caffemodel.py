"""Caffe's ``.caffemodel`` files: layers and their arrays, in Protocol Buffers' wire format.

The numbers of fields and types are those of ``caffe.proto`` in Caffe 1.0.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diglot.errors import ModelFileError
from diglot.files import read_view
from diglot.weights import protobuf

MOST_LAYERS = 20_000
_MOST_BLOBS = 64  # of one layer
_MOST_ARRAYS = 40_000  # of the file
_MOST_AXES = 32  # Caffe's own limit

# V1 named its types by number; the names are those of the prototxt, and of V2.
V1_TYPES = {
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
V1_WORDS = {word: kind for word, kind in V1_TYPES.values()}
_WITH_WEIGHT_AND_BIAS = {"Convolution", "Deconvolution", "InnerProduct", "Scale", "PReLU"}

# Field numbers of caffe.proto: NetParameter's layers, and what is inside a layer of each version.
_NET_V1, _NET_V2 = 2, 100
_V1 = {"nested": 1, "name": 4, "type": 5, "blobs": 6}
_V2 = {"nested": 0, "name": 1, "type": 2, "blobs": 7}


@dataclass(frozen=True)
class Stored:
    """One layer's arrays, as the file has them."""

    kind: str
    blobs: list[np.ndarray]

    def name_of(self, layer: str, index: int) -> str:
        """Return an array's name as `read_caffemodel` has it."""
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
    stored = read_stored(path)
    return {
        layer.name_of(name, index): blob
        for name, layer in stored.items()
        for index, blob in enumerate(layer.blobs)
    }


def read_stored(path: str | os.PathLike[str]) -> dict[str, Stored]:
    """Read the layers that have arrays, by name; see `read_caffemodel`."""
    data = read_view(path)
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        raise ModelFileError(
            f"{path} is an HDF5 file; save it in Caffe with snapshot_format: BINARYPROTO"
        )
    try:
        with protobuf.one_file():
            return _stored_layers(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is not a .caffemodel, or it is damaged: {error}") from error


def _stored_layers(data: memoryview) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    count = arrays = 0
    for number, wire, value in protobuf.fields(data):
        if number not in (_NET_V1, _NET_V2) or wire != protobuf.BYTES:
            continue
        count += 1
        if count > MOST_LAYERS:
            raise ModelFileError(f"it has more than {MOST_LAYERS} layers")
        name, stored = _stored_layer(value, _V1 if number == _NET_V1 else _V2)
        arrays += len(stored.blobs)
        if arrays > _MOST_ARRAYS:
            raise ModelFileError(f"it has more than {_MOST_ARRAYS} arrays")
        if not stored.blobs:  # the same name may stand for training's and for testing's data
            continue
        if name in found:
            raise ModelFileError(f"two layers with weights are called {name!r}")
        found[name] = stored
    if not found:
        raise ModelFileError(f"none of its {count} layers has weights")
    return found


def _stored_layer(data: memoryview, numbers: Mapping[str, int]) -> tuple[str, Stored]:
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
            kind = V1_TYPES.get(protobuf.integer(value), ("", ""))[1]
        elif number == numbers["type"]:
            kind = protobuf.text(value)
        elif number == numbers["blobs"]:
            raw.append(protobuf.message(value))
        if len(raw) > _MOST_BLOBS:
            raise ModelFileError(f"layer {name!r} has more than {_MOST_BLOBS} arrays")
    try:
        return name, Stored(kind, [_blob(b, kind, i) for i, b in enumerate(raw)])
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
            shape = _shape(protobuf.message(value), index)
        elif number == 5:
            pieces.append(protobuf.packed_floats(value))
        elif number == 8:
            pieces.append(protobuf.packed_doubles(value))
        if len(pieces) > protobuf.MOST_PIECES:
            raise ModelFileError(
                f"array {index} has its numbers in more than {protobuf.MOST_PIECES} pieces"
            )
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


def _shape(data: memoryview, index: int) -> list[int]:
    """Read V2's list of an array's sides."""
    shape: list[int] = []
    for number, _, dims in protobuf.fields(data):
        if number == 1:
            shape += protobuf.packed_varints(dims, _MOST_AXES)
        if len(shape) > _MOST_AXES:
            raise ModelFileError(f"array {index} has more than {_MOST_AXES} axes")
    return shape


def _plain_shape(sides: Sequence[int], kind: str, index: int) -> Sequence[int]:
    """Cut V1's four sides to those that the array has."""
    if kind in _WITH_WEIGHT_AND_BIAS and index == 1 and math.prod(sides[:3]) == 1:
        return sides[3:]
    if kind == "InnerProduct" and index == 0 and math.prod(sides[:2]) == 1:
        return sides[2:]
    return sides
