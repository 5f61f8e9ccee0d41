"""An ONNX file as plain data: nodes, constants, the input and its size. ONNX is not needed.

Reference: https://github.com/onnx/onnx/blob/main/docs/IR.md, ``onnx/onnx.proto``
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.errors import ModelFileError
from diglot.files import read_view
from diglot.weights.protobuf import (
    MOST_PIECES,
    fields,
    integer,
    message,
    one_file,
    packed_doubles,
    packed_floats,
    packed_varints,
    spend,
    text,
    varint_array,
)
from diglot.weights.safetensors_file import refuse_pickle

OPSETS = range(7, 24)
"""The versions of ONNX's operators that are read: before 7, broadcasting had other rules."""

_MOST_AXES = 16
_MOST_NODES = 8_000
_MOST_VALUES = 30_000  # constants, inputs and outputs
_LONGEST_LIST = 4096  # numbers of an attribute
_LONGEST_WORD = 4096  # bytes
_BFLOAT16, _FLOAT16 = 16, 10
_TYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    4: np.dtype("<u2"),
    5: np.dtype("<i2"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    _FLOAT16: np.dtype("<f2"),
    11: np.dtype("<f8"),
    12: np.dtype("<u4"),
    13: np.dtype("<u8"),
    _BFLOAT16: np.dtype("<u2"),
}


@dataclass(frozen=True)
class OnnxNode:
    """One operation: its inputs and outputs are names of values, "" for one that is left out."""

    op: str
    name: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class OnnxModel:
    """A file's content.

    Attributes
    ----------
    nodes : tuple of OnnxNode
        In the file's order, each after those that it takes something from.
    constants : dict of str to numpy.ndarray
        The weights and other constants, by name.
    inputs : dict of str to tuple of (int or None), or None
        The shapes, the batch in front; None for a side that is left open, or for the whole.
    outputs : tuple of str
        The names of the results.
    opset : int
        The version of ONNX's operators.
    size : int
        The file's, in bytes.
    """

    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, np.ndarray]
    inputs: Mapping[str, tuple[int | None, ...] | None]
    outputs: tuple[str, ...]
    opset: int
    size: int


def read_onnx_file(path: str | os.PathLike[str]) -> OnnxModel:
    """Read an ONNX file without interpreting its operators.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    OnnxModel

    Raises
    ------
    ModelFileError
        It cannot be read, is damaged or no ONNX file, keeps weights in other files, or is of a
        version that is not known.
    """
    refuse_pickle(path)
    try:
        with one_file():
            return _model(read_view(path))
    except ModelFileError as error:
        told = str(error)
        raise ModelFileError(told if told.startswith(str(path)) else f"{path}: {told}") from None
    except (ValueError, ArithmeticError, struct.error) as error:
        raise ModelFileError(f"{path}: damaged, or no ONNX file ({error})") from error


def _model(data: memoryview) -> OnnxModel:
    graph, opset = None, None
    for number, _, value in fields(data):
        if number == 7:
            graph = message(value)
        elif number == 8:
            domain, version = _opset(message(value))
            opset = version if domain in ("", "ai.onnx") else opset
    if graph is None or opset is None:
        raise ModelFileError("no ONNX file: it has no graph or names no version of the operators")
    if opset not in OPSETS:
        raise ModelFileError(
            f"it uses version {opset} of ONNX's operators (opset); diglot reads {OPSETS[0]} to "
            f"{OPSETS[-1]}: export it again, with opset 17 say"
        )
    return _graph(graph, opset, len(data))


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in fields(data):
        if number == 1:
            domain = text(value)
        elif number == 2:
            version = integer(value)
    return domain, version


def _graph(data: memoryview, opset: int, size: int) -> OnnxModel:
    nodes: list[OnnxNode] = []
    constants: dict[str, np.ndarray] = {}
    inputs: dict[str, tuple[int | None, ...] | None] = {}
    outputs: list[str] = []
    for number, _, value in fields(data):
        if len(nodes) > _MOST_NODES or len(constants) + len(inputs) + len(outputs) > _MOST_VALUES:
            raise ModelFileError(
                f"it has more than {_MOST_NODES} nodes or {_MOST_VALUES} constants, inputs and "
                "outputs"
            )
        if number == 1:
            nodes.append(_node(message(value)))
        elif number == 5:
            name, array = _tensor(message(value))
            if name in constants:
                raise ModelFileError(f"damaged: the constant {name!r} is there twice")
            constants[name] = array
        elif number == 11:
            name, shape = _value_info(message(value))
            inputs[name] = shape
        elif number == 12:
            outputs.append(_value_info(message(value))[0])
        elif number == 15:
            raise ModelFileError("it has sparse constants, which diglot does not read")
    if not nodes or not outputs:
        raise ModelFileError(f"no network: {len(nodes)} nodes, {len(outputs)} outputs")
    images = {name: shape for name, shape in inputs.items() if name not in constants}
    return OnnxModel(tuple(nodes), constants, images, tuple(outputs), opset, size)


def _node(data: memoryview) -> OnnxNode:
    inputs: list[str] = []
    outputs: list[str] = []
    told = {3: "", 4: "", 7: ""}  # name, operator, domain
    attrs: dict[str, Any] = {}
    for number, _, value in fields(data):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number in told:
            told[number] = text(value)
        elif number == 5:
            key, content = _attribute(message(value))
            attrs[key] = content
    return OnnxNode(told[4], told[3], told[7], tuple(inputs), tuple(outputs), attrs)


def _float(value: int | memoryview) -> float:
    (number,) = struct.unpack("<f", message(value))
    return number


def _word(value: int | memoryview) -> str:
    raw = message(value)
    if len(raw) > _LONGEST_WORD:
        raise ModelFileError(f"an attribute of {len(raw)} bytes of text")
    return bytes(raw).decode("utf-8", "replace")


def _short(numbers: np.ndarray) -> list[float]:
    if numbers.size > _LONGEST_LIST:
        raise ModelFileError(f"an attribute of {numbers.size} numbers")
    spend(numbers.size)
    return numbers.tolist()


_READ_ONE: dict[int, Callable[[Any], Any]] = {
    2: _float,
    3: integer,
    4: _word,
    5: lambda value: _tensor(message(value))[1],
    6: lambda value: "a graph",  # of If and Loop, which are not known anyway
}
_READ_MANY: dict[int, Callable[[Any], list[Any]]] = {
    7: lambda value: _short(packed_floats(value)),
    8: lambda value: packed_varints(value, _LONGEST_LIST),
    9: lambda value: [_word(value)],
}
# What the attribute's type says: where its value is, which may be left out if it is empty or 0.
_PLACES: dict[int, int] = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9}
_EMPTY: dict[int, Any] = {2: 0.0, 3: 0, 4: ""}


def _attribute(data: memoryview) -> tuple[str, Any]:
    name, kind = "", 0
    found: dict[int, Any] = {}
    for number, _, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 20:
            kind = integer(value)
        elif number in _READ_ONE:
            found[number] = _READ_ONE[number](value)
        elif number in _READ_MANY:
            found.setdefault(number, []).extend(_READ_MANY[number](value))
    place = _PLACES.get(kind) or next(iter(found), 0)  # files before 2017 leave the type out
    if place in _READ_MANY:
        return name, tuple(found.get(place, ()))
    return name, found.get(place, _EMPTY.get(place))


def _value_info(data: memoryview) -> tuple[str, tuple[int | None, ...] | None]:
    """Return a value's name and its shape, as far as the file tells it."""
    name, shape = "", None
    for number, _, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            for part, _, tensor in fields(message(value)):
                if part == 1:
                    shape = _type_shape(message(tensor))
    return name, shape


def _type_shape(data: memoryview) -> tuple[int | None, ...] | None:
    shapes = [message(value) for number, _, value in fields(data) if number == 2]
    if not shapes:
        return None
    sides: list[int | None] = []
    for number, _, side in fields(shapes[-1]):
        if number == 1:
            sizes = [integer(value) for part, _, value in fields(message(side)) if part == 1]
            sides.append(sizes[-1] if sizes and sizes[-1] > 0 else None)
    return tuple(sides)


# ---- constants


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    name, kind = "", 0
    sides: list[int] = []
    raw: memoryview | None = None
    pieces: list[tuple[int, Any]] = []
    for number, _, value in fields(data):
        if number == 1:
            sides += packed_varints(value, _MOST_AXES)
            if len(sides) > _MOST_AXES:
                raise ModelFileError(f"constant {name!r} has more than {_MOST_AXES} axes")
        elif number == 2:
            kind = integer(value)
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = message(value)
        elif number in (4, 5, 7, 10, 11):
            pieces.append((number, value))
            if len(pieces) > MOST_PIECES:
                raise ModelFileError(
                    f"constant {name!r} has its numbers in more than {MOST_PIECES} pieces"
                )
        elif number == 13 or (number == 14 and integer(value)):
            raise ModelFileError(
                f"the weight {name!r} is kept in another file (external data); save the model "
                "in one file: onnx.save_model(onnx.load(path), new_path)"
            )
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return name, _array(kind, sides, raw, pieces)
    except (ModelFileError, ValueError, OverflowError) as error:
        raise ModelFileError(f"constant {name!r}: {error}") from None


def _numbers(field: int, value: Any, dtype: np.dtype) -> np.ndarray:
    if field == 4:
        return packed_floats(value)
    if field == 10:
        return packed_doubles(value)
    # Half floats are listed as the numbers that their 16 bits make.
    return varint_array(
        value, np.dtype(dtype.str.replace("f", "u")) if dtype.itemsize <= 2 else np.dtype("<i8")
    )


def _listed(pieces: list[tuple[int, Any]], dtype: np.dtype) -> np.ndarray:
    """Return numbers that are listed one by one, as an array's type asks."""
    found = [_numbers(field, value, dtype) for field, value in pieces] or [np.empty(0, dtype)]
    listed = np.concatenate(found) if len(found) != 1 else found[0]
    if dtype.itemsize == 2:
        return listed.astype("<u2", copy=False).view(dtype)
    return listed.astype(dtype, copy=False)


def _array(
    kind: int, sides: list[int], raw: memoryview | None, pieces: list[tuple[int, Any]]
) -> np.ndarray:
    dtype = _TYPES.get(kind)
    if dtype is None:
        raise ModelFileError(f"its element type {kind} is not known")
    if len(sides) > _MOST_AXES or not all(0 <= side < 2**31 for side in sides):
        raise ModelFileError(f"its shape is {tuple(sides)}")
    if raw is not None:
        values = raw if raw.nbytes % dtype.itemsize == 0 else raw[:0]
        flat = np.frombuffer(values, dtype)
    else:
        flat = _listed(pieces, dtype)
    if flat.size != math.prod(sides):
        raise ModelFileError(f"its shape {tuple(sides)} does not fit its {flat.size} numbers")
    if kind == _BFLOAT16:
        wide = flat.astype("<u4")
        wide <<= np.uint32(16)
        flat = wide.view("<f4")
    elif dtype.kind == "f":
        flat = flat.astype(np.float32, copy=False)
    return flat.reshape(sides)
