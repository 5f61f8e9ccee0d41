"""Protocol Buffers' wire format, as far as Caffe's and ONNX's files use it.

A message is a row of fields, each a key (field number and wire type) and a value. What a number
means is the caller's knowledge; nothing here recurses, so a file cannot nest too deeply: a caller
calls :func:`fields` again for each message inside that it knows. Values are views of the file's
bytes; nothing is copied before an array is made.

Reference: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from diglot.errors import ModelFileError

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5
"""The wire types that are read; groups (3 and 4), out of use since 2008, are refused."""

MOST_FIELDS = 250_000
"""Of one file, together with the numbers of its lists.

Each becomes up to 100 bytes of objects. 10,000 operators with two attributes each have 120,000.
"""

MOST_PIECES = 2**15
"""Into how many pieces a file may cut an array's numbers: each takes a field and an object."""

_LIST = 8  # a list of numbers takes as long as so many fields, also one without numbers
_BLOCK = 2**16  # bytes of a list of numbers that are read at a time
_LONGEST_VARINT = 10  # bytes: 64 bits at 7 a byte
_LONGEST_TEXT = 2**16  # bytes, each of which may take four in memory
_WIDTHS = {BITS64: 8, BITS32: 4}


class _Left(threading.local):
    """How many fields the file that this thread reads may still have; None between files."""

    fields: int | None = None


_LEFT = _Left()


@contextmanager
def one_file() -> Iterator[None]:
    """Count the fields of all messages inside together, as those of one file.

    Examples
    --------
    >>> with one_file():
    ...     len(list(fields(memoryview(bytes([8, 1, 8, 2])))))
    2
    """
    before, _LEFT.fields = _LEFT.fields, MOST_FIELDS
    try:
        yield
    finally:
        _LEFT.fields = before


def spend(count: int) -> None:
    """Count so many fields or listed numbers of the file that is read.

    Parameters
    ----------
    count : int

    Raises
    ------
    ModelFileError
        The file has more of them than `MOST_FIELDS`.
    """
    if _LEFT.fields is None:
        return
    _LEFT.fields -= count
    if _LEFT.fields < 0:
        raise ModelFileError(
            f"it has more than {MOST_FIELDS} fields and listed numbers; a network's weights are "
            "stored as raw bytes"
        )


def fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    r"""Go through one message's fields in the file's order.

    Parameters
    ----------
    data : memoryview
        The message's bytes.

    Yields
    ------
    number : int
        The field's number, from 1.
    wire_type : int
        `VARINT`, `BITS64`, `BYTES` or `BITS32`.
    value : int or memoryview
        An integer from 0 to 2**64 - 1 for a varint (see `signed`); otherwise a view of the
        value's bytes: 8, 4, or as many as the field says.

    Raises
    ------
    ModelFileError
        The message ends inside a field, or a key is none.

    Examples
    --------
    >>> [(number, wire, value) for number, wire, value in fields(memoryview(b"\x08\x96\x01"))]
    [(1, 0, 150)]
    """
    data = _bytes(data)
    at, end = 0, len(data)
    while at < end:
        spend(1)
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise ModelFileError(f"damaged at byte {at}: there is no field number {number}")
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire in _WIDTHS:
            length = _WIDTHS[wire]
        else:
            raise ModelFileError(f"damaged at byte {at}: field {number} has the wire type {wire}")
        if length > end - at:
            raise ModelFileError(
                f"cut off or damaged: field {number} has {length} bytes where {end - at} are left"
            )
        yield number, wire, data[at : at + length]
        at += length


def signed(value: int) -> int:
    """Read a varint as Protocol Buffers' int32 or int64, which may be negative.

    Examples
    --------
    >>> signed(2**64 - 1), signed(5)
    (-1, 5)
    """
    return value - 2**64 if value >= 2**63 else value


def integer(value: int | memoryview) -> int:
    """Return a varint field's value as int32 or int64; refuse one of another wire type."""
    if not isinstance(value, int):
        raise ModelFileError("damaged: bytes stand where a whole number belongs")
    return signed(value)


def message(value: int | memoryview) -> memoryview:
    """Return the bytes of a message inside; refuse a number where one belongs."""
    if isinstance(value, int):
        raise ModelFileError("damaged: a number stands where a message belongs")
    return value


def packed_floats(value: int | memoryview) -> np.ndarray:
    r"""Return a repeated ``float`` field, packed or one number of an unpacked one.

    Parameters
    ----------
    value : memoryview
        From `fields`, of the wire type `BYTES` (packed) or `BITS32` (one number).

    Returns
    -------
    numpy.ndarray
        float32, a read-only view of the file that may be unaligned.

    Examples
    --------
    >>> packed_floats(memoryview(b"\x00\x00\x80\x3f\x00\x00\x00\x40"))
    array([1., 2.], dtype=float32)
    """
    return _numbers(value, "<f4")


def packed_doubles(value: int | memoryview) -> np.ndarray:
    """Return a repeated ``double`` field as float64; see `packed_floats`."""
    return _numbers(value, "<f8")


def packed_varints(value: int | memoryview, most: int = 4096) -> list[int]:
    r"""Return a repeated ``int32`` or ``int64`` field, packed or one number of an unpacked one.

    For short lists, such as shapes.

    Raises
    ------
    ModelFileError
        There are more numbers than ``most``, or they are damaged.

    Examples
    --------
    >>> packed_varints(memoryview(b"\x96\x01\x05")), packed_varints(7)
    ([150, 5], [7])
    """
    if isinstance(value, int):
        return [signed(value)]
    spend(_LIST)
    count = _count(value)
    if count > most:
        raise ModelFileError(f"damaged: a list of {count} numbers, where {most} are the most")
    return varint_array(value, np.dtype("<i8")).tolist()


def varint_array(value: int | memoryview, dtype: np.dtype) -> np.ndarray:
    r"""Return a repeated ``int32`` or ``int64`` field as an array, which may be long.

    Parameters
    ----------
    value : int or memoryview
        From `fields`.
    dtype : numpy.dtype
        Whole numbers; what does not fit is cut to its lower bits. Numbers of more than 16 bits
        take several times the memory that they take in the file, and count as fields.

    Raises
    ------
    ModelFileError
        There are too many numbers, or they are damaged.

    Examples
    --------
    >>> varint_array(memoryview(b"\x96\x01\x05"), np.dtype("int64"))
    array([150,   5])
    """
    if isinstance(value, int):
        return np.array([signed(value)], np.int64).astype(dtype)
    count = _count(value)
    if dtype.itemsize > 2:
        spend(count)
    numbers, data, at, done = np.empty(count, dtype), _bytes(value), 0, 0
    while at < len(data):
        # Up to a number's end, which is near: a number that is longer is refused there.
        stop = min(at + _BLOCK, len(data))
        while stop < len(data) and stop - at < _BLOCK + 16 and data[stop - 1] >= 0x80:
            stop += 1
        block = _varints(np.frombuffer(data[at:stop], np.uint8))
        numbers[done : done + block.size] = block.astype(dtype)
        at, done = stop, done + block.size
    return numbers


def _count(value: memoryview) -> int:
    """Return how many numbers a list has: as many as there are bytes that end one."""
    data = _bytes(value)
    blocks = range(0, len(data), _BLOCK)
    return sum(
        int(np.count_nonzero(np.frombuffer(data[at : at + _BLOCK], np.uint8) < 0x80))
        for at in blocks
    )


def _varints(raw: np.ndarray) -> np.ndarray:
    """Return the int64 numbers that some bytes hold."""
    ends = np.flatnonzero(raw < 0x80)
    if not ends.size or ends[-1] != raw.size - 1:
        raise ModelFileError("cut off: a list of numbers ends inside a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_VARINT:
        raise ModelFileError(f"damaged: a number of {lengths.max()} bytes")
    # Byte after byte for all numbers at once: a list may hold millions.
    total = np.zeros(len(starts), np.uint64)
    for place in range(int(lengths.max())):
        has = lengths > place
        piece = raw[starts[has] + place].astype(np.uint64) & np.uint64(0x7F)
        total[has] |= piece << np.uint64(7 * place)
    return total.view(np.int64)


def text(value: int | memoryview) -> str:
    """Return a ``string`` field.

    Examples
    --------
    >>> text(memoryview(b"conv1"))
    'conv1'
    """
    raw = message(value)
    if len(raw) > _LONGEST_TEXT:
        raise ModelFileError(f"damaged: a name of {len(raw)} bytes")
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"damaged: a name is not text ({error})") from error


def _bytes(data: memoryview) -> memoryview:
    return data if data.format == "B" and data.ndim == 1 else data.cast("B")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a place, and the place after it."""
    if at < len(data) and data[at] < 0x80:  # as most are
        return data[at], at + 1
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (2**64 - 1), at + place + 1
    raise ModelFileError(f"cut off or damaged: no whole number at byte {at}")


def _numbers(value: int | memoryview, dtype: str) -> np.ndarray:
    raw = message(value)
    if raw.nbytes % np.dtype(dtype).itemsize:
        raise ModelFileError(f"damaged: a list of {dtype} has {raw.nbytes} bytes")
    return np.frombuffer(raw, dtype)
