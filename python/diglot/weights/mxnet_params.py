"""MXNet's ``.params`` files, and its symbol JSON with them: networks that MXNet itself saved.

MXNet is not needed to read them. The layout follows ``src/ndarray/ndarray.cc`` of MXNet 1.9.1,
which still reads the formats of all versions before it; all numbers are little-endian.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.files import read_text, read_view
from diglot.graph import Graph, InputSpec, Parameter, read_symbol
from diglot.networks.own import foreign_network, with_slopes
from diglot.operators import Attrs

_LIST = 0x112  # a file of arrays
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # an array of MXNet 0.12, 1.0, and NumPy shapes
_MOST_AXES = 32  # NumPy's limit in 1.x; MXNet's files hold five at most
_MOST_ARRAYS = 1_000_000
_LONGEST_NAME = 2**16
_STORAGE = {1: "row-sparse", 2: "sparse (CSR)"}
_BFLOAT16 = 12
_TYPES = {
    0: np.dtype("<f4"),
    1: np.dtype("<f8"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("<i4"),
    5: np.dtype("i1"),
    6: np.dtype("<i8"),
    7: np.dtype("?"),
    8: np.dtype("<i2"),
    9: np.dtype("<u2"),
    10: np.dtype("<u4"),
    11: np.dtype("<u8"),
    _BFLOAT16: np.dtype("<u2"),
}


def read_params(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a file of arrays as MXNet writes it.

    Parameters
    ----------
    path : path
        What ``mx.nd.save``, ``Module.save_checkpoint``, ``HybridBlock.export`` or Gluon's
        ``save_parameters`` of any MXNet 1.x wrote, or an older version.

    Returns
    -------
    dict of str to ndarray
        In the file's order and of its element types ("bfloat16", which NumPy lacks, comes as
        float32, without loss). The prefixes ``arg:`` and ``aux:`` of checkpoints are taken off. A
        file of arrays without names gives "0", "1", and so on.

    Raises
    ------
    ModelFileError
        The file is damaged or foreign, or holds sparse or empty arrays; the message names which.

    Notes
    -----
    Nothing in the file is executed. A file by MXNet 2's ``npx.savez`` is a zip archive and not
    of this format.

    Examples
    --------
    >>> read_params("resnet-0000.params")
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: resnet-0000.params cannot be read: No such file or directory
    """
    data = read_view(path)
    try:
        return _read_list(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


class _Cursor:
    """Goes through the bytes; nothing is taken that is not there."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def take(self, count: int, what: str) -> memoryview:
        if count > self.left:
            raise ModelFileError(
                f"it is cut off or damaged: {what} needs {count} bytes at byte {self.at}, where "
                f"{self.left} are left"
            )
        self.at += count
        return self._data[self.at - count : self.at]

    def numbers(self, form: str, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), what))

    def number(self, form: str, what: str) -> int:
        return self.numbers(form, what)[0]


def _read_list(data: memoryview) -> dict[str, np.ndarray]:
    cursor = _Cursor(data)
    if data[:4] == b"PK\x03\x04":
        raise ModelFileError(
            "it is a zip archive (as MXNet 2 and NumPy write them), not MXNet's .params format; "
            "read it with numpy.load and save it as safetensors"
        )
    magic, reserved = cursor.numbers("QQ", "the file's head")
    if magic != _LIST:
        raise ModelFileError(
            f"it is not a .params file of MXNet: it starts with {magic:#x} and not {_LIST:#x}"
        )
    if reserved:
        raise ModelFileError("it is damaged: its reserved number is not 0")
    count = _count(cursor, "arrays")
    arrays = [_read_array(cursor, index) for index in range(count)]
    named = _count(cursor, "names")
    if named not in (0, count):
        raise ModelFileError(f"it is damaged: {count} arrays and {named} names")
    names = [_read_name(cursor) for _ in range(named)] or [str(i) for i in range(count)]
    if cursor.left:
        raise ModelFileError(f"it is damaged: {cursor.left} bytes follow the last name")
    found: dict[str, np.ndarray] = {}
    for name, array in zip(names, arrays, strict=True):
        plain = name.removeprefix("arg:") if name.startswith("arg:") else name.removeprefix("aux:")
        if plain in found:
            raise ModelFileError(f"it holds two arrays called {plain!r}")
        found[plain] = _checked(plain, array)
    return found


def _count(cursor: _Cursor, what: str) -> int:
    count = cursor.number("Q", f"the number of {what}")
    if count > min(_MOST_ARRAYS, cursor.left // 4 + 1):  # nothing takes fewer than four bytes
        raise ModelFileError(f"it is cut off or damaged: it claims {count} {what}")
    return count


def _read_name(cursor: _Cursor) -> str:
    length = cursor.number("Q", "a name's length")
    if length > _LONGEST_NAME:
        raise ModelFileError(f"it is damaged: a name of {length} bytes")
    try:
        return str(cursor.take(length, "a name"), "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"it is damaged: a name is not text ({error})") from error


def _read_array(cursor: _Cursor, index: int) -> np.ndarray | None:
    """Read one array; None stands for MXNet's array without a value."""
    what = f"array {index}"
    magic = cursor.number("I", what)
    if magic in (_V2, _V3):
        storage = cursor.number("i", what)
        if storage in _STORAGE:
            raise ModelFileError(
                f"{what} is {_STORAGE[storage]}; make it dense with tostype('default') in MXNet "
                "and save it again"
            )
        if storage:
            raise ModelFileError(f"it is damaged: {what} has the storage type {storage}")
        shape = _read_shape(cursor, cursor.number("i", what), "q", what)
        # Where shapes are NumPy's, no axes mean one number; before, they meant no value.
        if shape is None or (magic == _V2 and not shape):
            return None
    else:
        # Before MXNet 0.12 an array had no magic number: the count of its axes stands there.
        axes, form = (cursor.number("i", what), "q") if magic == _V1 else (magic, "I")
        shape = _read_shape(cursor, axes, form, what)
        if not shape:
            return None
    cursor.take(8, what)  # the device that it was on: type and number
    code = cursor.number("i", what)
    if code not in _TYPES:
        raise ModelFileError(f"it is damaged: {what} has the element type {code}")
    dtype = _TYPES[code]
    raw = cursor.take(math.prod(shape) * dtype.itemsize, f"{what} of shape {shape}")
    try:
        array = np.frombuffer(raw, dtype).reshape(shape)
    except ValueError as error:  # an empty array's other axes may be larger than memory
        raise ModelFileError(f"{what} has the impossible shape {shape}") from error
    if code == _BFLOAT16:  # the upper half of a float32
        return (array.astype("<u4") << 16).view("<f4")
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ModelFileError(f"it is damaged: {what} holds truth values other than 0 and 1")
    return array.copy()  # aligned, writeable, and not holding the whole file in memory


def _read_shape(cursor: _Cursor, axes: int, form: str, what: str) -> tuple[int, ...] | None:
    """Return a shape, or None where it is unknown."""
    if axes == -1:
        return None
    if not 0 <= axes <= _MOST_AXES:
        raise ModelFileError(f"it is not MXNet's format, or damaged: {what} has {axes} axes")
    shape = cursor.numbers(f"{axes}{form}", what)
    if -1 in shape:
        return None
    if any(side < 0 for side in shape):
        raise ModelFileError(f"it is damaged: {what} has the shape {shape}")
    return shape


def _checked(name: str, array: np.ndarray | None) -> np.ndarray:
    if array is None:
        raise ModelFileError(
            f"the array {name!r} has no value: it was saved before the network was initialised"
        )
    return array


# ---- a network: the symbol's JSON and its arrays


def read_mxnet(
    symbol_path: str | os.PathLike[str],
    params_path: str | os.PathLike[str],
    spec: InputSpec | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
) -> Graph:
    """Read a network as MXNet saved it: the symbol's JSON and the weights beside it.

    Parameters
    ----------
    symbol_path : path
        JSON by ``HybridBlock.export``, ``Module.save_checkpoint`` or ``symbol.save``, also of
        versions before 1.0.
    params_path : path
        The arrays; see `read_params`.
    spec : InputSpec, optional
        What an image must look like: size, mean and standard deviation are not in the files.
    size : int or (int, int), optional
        Without ``spec``: the image's height and width in pixels. Pixels then go in as they are,
        scaled to [0, 1].
    channels : int
        With ``size``: 3 for colour.

    Returns
    -------
    Graph
        The network as it is, with float32 weights, without the softmax that it ends in; its last
        layer is the group "head", and ``with_head`` replaces it. Of several outputs the first is
        kept.

    Raises
    ------
    ModelFileError
        A file is damaged; the symbol uses an operator that diglot does not know; or a parameter
        is missing, unknown to the symbol, not of floats, or of another shape.
    InputError
        Neither ``spec`` nor ``size`` is given, or the network cannot take such an image.

    Notes
    -----
    Where batch normalisation says ``fix_gamma`` (MXNet's default), MXNet takes its scale for 1
    whatever the file says, and so the scale is 1 in the result.

    Examples
    --------
    >>> read_mxnet("mine-symbol.json", "mine-0000.params", size=224)
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: mine-symbol.json cannot be read: No such file or directory
    """
    spec = spec or _spec(size, channels)
    text = read_text(symbol_path)
    arrays = read_params(params_path)
    name = Path(symbol_path).name.removesuffix(".json").removesuffix("-symbol")
    shapes = {n: a.shape for n, a in arrays.items()}
    try:
        graph = foreign_network(text, spec, name, shapes)
        known = {node.name for node in read_symbol(text)[0] if node.is_variable}
    except ModelFileError as error:
        raise ModelFileError(f"{symbol_path}: {error}") from error
    try:
        return graph.with_weights(_matched(graph, arrays, known))
    except ModelFileError as error:
        raise ModelFileError(f"{params_path} does not fit {symbol_path}: {error}") from error


def _spec(size: int | tuple[int, int] | None, channels: int) -> InputSpec:
    if size is None:
        raise InputError(
            "MXNet's files do not say how large an image is: give size=224, say, or spec="
        )
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise InputError(f"size must be one number or (height, width), not {size!r}")
    return InputSpec(*sides, channels)


def _matched(
    graph: Graph, arrays: Mapping[str, np.ndarray], known: set[str]
) -> dict[str, np.ndarray]:
    """Return every parameter's value; names that only pruned outputs had are passed over."""
    missing = [n for n in graph.parameters if n not in arrays]
    if missing:
        raise ModelFileError(
            f"it lacks {_listed(missing)}. It holds {_listed(sorted(arrays))}. (Gluon's "
            "save_parameters has other names than the symbol: use export() instead)"
        )
    unknown = [n for n in arrays if n not in known and n not in graph.parameters]
    if unknown:
        raise ModelFileError(f"the symbol has no parameter {_listed(unknown)}")
    arrays = with_slopes(graph, arrays)
    values = {n: _floats(p, arrays[n]) for n, p in graph.parameters.items()}
    for name in _fixed_scales(graph):
        values[name] = np.ones_like(values[name])
    return values


def _listed(names: list[str], most: int = 5) -> str:
    told = ", ".join(map(repr, names[:most])) or "no arrays"
    return told if len(names) <= most else f"{told} and {len(names) - most} more"


def _floats(parameter: Parameter, array: np.ndarray) -> np.ndarray:
    if array.shape != parameter.shape:
        raise ModelFileError(
            f"{parameter.name!r} has the shape {array.shape} in the file, and the network needs "
            f"{parameter.shape}"
        )
    if array.dtype.kind != "f":
        raise ModelFileError(
            f"{parameter.name!r} holds {array.dtype} numbers; diglot reads networks of floats, "
            "not quantised ones"
        )
    return array.astype(np.float32, copy=False)


def _fixed_scales(graph: Graph) -> list[str]:
    """Return the scales of batch normalisations that MXNet takes for 1."""
    return [
        graph.nodes[node.inputs[1][0]].name
        for node in graph.nodes
        if node.op in ("BatchNorm", "_contrib_SyncBatchNorm")
        and Attrs(node.attrs).flag("fix_gamma", True)
    ]
