"""One safetensors file holds a model or a checkpoint: read and write, everything checked.

The tensors are the arrays; everything else is JSON text under the one key ``"diglot"`` of the
file's string metadata. One key, sorted JSON and the library's own ordering of tensors make the
bytes a function of the content alone. Nothing in a file is ever executed, imported or used as
a path.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy

from diglot.errors import InputError, ModelFileError
from diglot.files import ROOM, decoded, opened, parse_json, refuse_crowded, told, write_bytes

FORMAT = 1
"""The newest version of the file format; a file with a higher one is refused."""

_KEY = "diglot"
_LONGEST_HEADER = 100_000_000  # the limit of the format's own library
_BLOCK = 2**16  # numbers that are converted at a time
_MOST_AXES = 32  # as in NumPy before 2.0; a product of 100,000 sides takes half a minute

# The element types that NumPy and safetensors share, by their names in the file.
_DTYPES = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("uint8"),
    "I8": np.dtype("int8"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def encode(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """Turn named arrays and metadata into the bytes of a safetensors file.

    The same content always gives the same bytes, whatever the order of the names.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Boolean, integer (8 to 64 bits) or float (16 to 64 bits) arrays of any shape.
    metadata : mapping
        Anything that JSON can hold, with NumPy scalars and arrays turned into numbers and lists.
        NaN and the infinities, which JSON lacks, become null. The key ``"format"`` is added.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        An array's element type, a name or a metadata value cannot be stored.

    See Also
    --------
    decode

    Examples
    --------
    >>> import numpy as np
    >>> from diglot.storage import decode, encode
    >>> tensors, metadata = decode(encode({"w": np.ones(2)}, {"kind": "classifier"}))
    >>> tensors["w"], metadata
    (array([1., 1.]), {'format': 1, 'kind': 'classifier'})
    """
    arrays = {name: _storable(name, tensors[name]) for name in _sorted_names(tensors)}
    content = {**metadata, "format": FORMAT}
    try:
        plain = _plain(content, "metadata")
    except RecursionError:
        raise InputError("metadata is nested too deeply, or holds itself; flatten it.") from None
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = safetensors.numpy.save(arrays, {_KEY: text})
    _refuse_unreadable(data, text)
    return data


def decode(
    data: bytes | bytearray | memoryview,
    name: str = "the data",
    *,
    require_metadata: bool = True,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Turn the bytes of a safetensors file into named arrays and metadata.

    Parameters
    ----------
    data : bytes, bytearray or memoryview
        The whole file.
    name : str
        What error messages call the data: a path, say.
    require_metadata : bool
        Refuse a file that diglot did not write. With False such a file gives metadata ``{}``.

    Returns
    -------
    tensors : dict of str to ndarray
        By sorted name; the arrays own their memory and can be written to. The 16-bit
        "bfloat" type, which NumPy lacks, comes as float32, without loss.
    metadata : dict
        With ``"format"``, the version of the file format.

    Raises
    ------
    ModelFileError
        The data are damaged, foreign, or of a newer format version.

    Examples
    --------
    >>> from diglot.storage import decode
    >>> decode(b"not a model", "notes.txt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: notes.txt is not a safetensors file, or it is damaged ...
    """
    data = data if isinstance(data, bytes) else bytes(data)
    with io.BytesIO(data) as file:
        return _read(file, len(data), name, require_metadata)


def write_file(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> Path:
    """Write a model file so that a crash leaves either the old file or the new one, whole.

    Parameters
    ----------
    path : path
        The file; its folder must exist. An existing file is replaced.
    tensors, metadata
        See `encode`.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ModelFileError
        The file cannot be written there; an existing file is as it was.
    InputError
        See `encode`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from diglot.storage import read_file, write_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_file(f"{folder}/m.safetensors", {"w": np.zeros(3)}, {"kind": "demo"})
    ...     read_file(path)[1]["kind"]
    'demo'
    """
    return write_bytes(path, encode(tensors, metadata))


def read_file(
    path: str | os.PathLike[str], *, require_metadata: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a model file.

    Parameters
    ----------
    path : path
        A safetensors file.
    require_metadata : bool
        See `decode`.

    Returns
    -------
    tensors : dict of str to ndarray
    metadata : dict

    Raises
    ------
    ModelFileError
        There is no such file, it cannot be read, or `decode` refuses it.

    Examples
    --------
    >>> from diglot.storage import read_file
    >>> read_file("nowhere.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: nowhere.safetensors cannot be read: ...
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            return _read(file, size, str(path), require_metadata)
    except ModelFileError:
        raise
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read: {told(error, path)}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what diglot wrote beside a file's tensors, without the tensors.

    Parameters
    ----------
    path : path
        A safetensors file.

    Returns
    -------
    dict
        Empty if it is another program's file.

    Raises
    ------
    ModelFileError
        If it cannot be read, or is damaged.

    Examples
    --------
    >>> from diglot.storage import read_metadata
    >>> read_metadata("nowhere.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: nowhere.safetensors cannot be read: ...
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            header, begin = _header(file, size)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read: {told(error, path)}") from error
    return _metadata(header, str(path), False, _room(size, begin))


def fingerprint(tensors: Mapping[str, np.ndarray]) -> str:
    """Give the SHA-256 of named arrays: names, element types, shapes and bytes.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        See `encode`; the order of the names does not matter.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> from diglot.storage import fingerprint
    >>> fingerprint({"w": np.zeros(3)})[:8]
    '3875fe3e'
    """
    digest = hashlib.sha256()
    for name in _sorted_names(tensors):
        array = _storable(name, tensors[name])
        # JSON delimits itself, so no two contents run together into the same stream of bytes.
        head = json.dumps([name, _DTYPE_NAMES[array.dtype], array.shape])
        digest.update(head.encode("ascii"))
        digest.update(array.tobytes())
    return digest.hexdigest()


def _refuse_unreadable(data: bytes, text: str) -> None:
    """Refuse to write a file that would be refused when it is read."""
    (length,) = struct.unpack("<Q", data[:8])
    try:
        for part in (decoded(data[8 : 8 + length], _room(len(data), length)), text):
            refuse_crowded(part, _room(len(data), length))
    except ValueError as error:
        raise InputError(
            f"metadata is more than a model file can hold: {error}; keep such data in files of "
            "its own."
        ) from None


def _room(size: int, length: int) -> int:
    """Return what a file's header may take: as much as its tensors, which twice are promised."""
    return ROOM + size - length


def _sorted_names(tensors: Mapping[str, np.ndarray]) -> list[str]:
    for name in tensors:
        if not isinstance(name, str) or name == "__metadata__":
            raise InputError(f"{name!r} cannot name a tensor; use another string.")
    return sorted(tensors)


def _storable(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _DTYPE_NAMES:
        raise InputError(
            f"Tensor {name!r} has element type {array.dtype}, which a model file cannot hold; "
            f"use one of {', '.join(str(d) for d in _DTYPES.values())}."
        )
    return np.asarray(array, dtype=dtype, order="C")


def _plain(value: Any, where: str) -> Any:
    """Turn a value into what JSON can hold, or say where it is that JSON cannot."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        for key in value:
            # JSON would turn 1 and "1" into the same key without a word.
            if not isinstance(key, str):
                raise InputError(f"{where} has the key {key!r}; the keys must be strings.")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise InputError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold; use strings, numbers, "
        "lists and dicts."
    )


@dataclass(frozen=True)
class _Entry:
    """A tensor as the header tells of it; ``start`` and ``stop`` count from the header's end."""

    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    stop: int


def _read(
    file: BinaryIO, size: int, name: str, require_metadata: bool
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file of ``size`` bytes tensor by tensor; the header is checked whole before."""
    try:
        header, begin = _header(file, size)
        entries = _entries(header, size - begin)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{name} is not a safetensors file, or it is damaged ({error}); "
            "copy it again from its source, or save the model again."
        ) from None
    metadata = _metadata(header, name, require_metadata, _room(size, begin))
    del header  # a large one would be kept beside the tensors
    file.seek(begin)
    tensors = {entry.name: _tensor(file, entry, name) for entry in entries}
    return dict(sorted(tensors.items())), metadata


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and where the tensors' bytes begin."""
    start = file.read(8)
    if len(start) < 8:
        raise ValueError("it is shorter than any such file")
    (length,) = struct.unpack("<Q", start)
    if length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"its header would have {length} bytes")
    room = _room(size, length)
    header = parse_json(decoded(file.read(length), room), room=room, unique=True)
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    return header, 8 + length


def _entries(header: Mapping[str, Any], room: int) -> list[_Entry]:
    """Check that the tensors fill ``room`` bytes without gap or overlap; give them in order."""
    entries = [_entry(key, told) for key, told in header.items() if key != "__metadata__"]
    entries.sort(key=lambda entry: (entry.start, entry.stop))
    end = 0
    for entry in entries:
        if entry.start != end:
            raise ValueError(f"tensor {entry.name!r} begins at byte {entry.start}, not at {end}")
        end = entry.stop
    if end != room:
        raise ValueError(f"its tensors need {end} bytes, and {room} are there")
    return entries


def _entry(key: str, told: Any) -> _Entry:
    key.encode("utf-8")  # half a surrogate pair is no text and could not be saved again
    try:
        code, shape, (start, stop) = told["dtype"], told["shape"], told["data_offsets"]
        whole = all(type(n) is int and 0 <= n < 2**63 for n in (*shape, start, stop))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole or not isinstance(code, str) or not isinstance(shape, list):
        raise ValueError(f"the entry of tensor {key!r} is damaged")
    if len(shape) > _MOST_AXES:
        raise ValueError(f"tensor {key!r} has {len(shape)} axes, and at most {_MOST_AXES} are read")
    if code not in _DTYPES and code != "BF16":
        raise ValueError(f"the element type {code!r} of tensor {key!r} is unknown here")
    itemsize = _DTYPES[code].itemsize if code in _DTYPES else 2
    if math.prod(shape) * itemsize != stop - start:
        raise ValueError(
            f"tensor {key!r} of shape {tuple(shape)} and type {code} needs "
            f"{math.prod(shape) * itemsize} bytes, and has {stop - start}"
        )
    return _Entry(key, code, tuple(shape), start, stop)


def _tensor(file: BinaryIO, entry: _Entry, name: str) -> np.ndarray:
    """Read the next tensor, straight into its memory."""
    # NumPy lacks "bfloat", which is the upper half of a float32.
    dtype = _DTYPES.get(entry.code, _DTYPES["F32"])
    try:
        array = np.empty(entry.shape, dtype)
        flat = array.reshape(-1).view(np.uint8)
        # Half as many bytes are read to the end of what they become, and spread from there.
        read = file.readinto(flat[flat.size - (entry.stop - entry.start) :])
        if read != entry.stop - entry.start:
            raise ValueError("the file ends before it does")
    except (ValueError, MemoryError) as error:
        raise ModelFileError(
            f"{name}: tensor {entry.name!r} of shape {entry.shape} cannot be read ({error}); "
            "convert or save the file again."
        ) from None
    if entry.code == "BF16":
        _widen(array.reshape(-1))
    return array


def _widen(numbers: np.ndarray) -> None:
    """Make float32 of the "bfloat16" in its second half, in place and from the front on.

    A number is written to no place that was not read before: number i lies in the upper or lower
    part of place (n + i) / 2, which is behind place i.
    """
    count = numbers.size
    halves, whole = numbers.view("<u2")[count:], numbers.view("<u4")
    for start in range(0, count, _BLOCK):
        block = halves[start : start + _BLOCK].astype("<u4")  # a copy: the places may overlap
        whole[start : start + _BLOCK] = block << np.uint32(16)


def _metadata(header: Mapping[str, Any], name: str, required: bool, room: int) -> dict[str, Any]:
    """Read diglot's own metadata from a header."""
    try:
        texts = header.get("__metadata__")
        texts = {} if texts is None else texts
        if not isinstance(texts, dict) or not all(isinstance(t, str) for t in texts.values()):
            raise ValueError("it is not text by name")
        text = texts.get(_KEY)
        if text is None:
            if required:
                raise ModelFileError(
                    f"{name} is a safetensors file, but diglot did not write it; read it as a "
                    "file of weights, not as a model."
                )
            return {}
        metadata = parse_json(text, room=room, unique=True)
        if not isinstance(metadata, dict):
            raise ValueError("it is not an object")
        version = metadata.get("format")
        if type(version) is not int or version < 1:
            raise ValueError(f"the format version is {version!r}")
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{name} is damaged: its metadata cannot be read ({error}); "
            "copy it again from its source, or save the model again."
        ) from None
    if version > FORMAT:
        raise ModelFileError(
            f"{name} has format version {version}, and this diglot reads up to {FORMAT}; "
            "install a newer diglot to read it."
        )
    return metadata
