"""Protocol Buffers' wire format, as far as Caffe's and ONNX's files use it.

A message is a row of fields, each a key (field number and wire type) and a value. What a number
means is the caller's knowledge; nothing here recurses, so a file cannot nest too deeply: a caller
calls :func:`fields` again for each message inside that it knows. Values are views of the file's
bytes; nothing is copied before an array is made.

Reference: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diglot.errors import ModelFileError

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5
"""The wire types that are read; groups (3 and 4), out of use since 2008, are refused."""

_MOST_FIELDS = 2_000_000  # in one message; a loop over more would look like a hang
_LONGEST_VARINT = 10  # bytes: 64 bits at 7 a byte
_WIDTHS = {BITS64: 8, BITS32: 4}


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
    for _ in range(_MOST_FIELDS):
        if at == end:
            return
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
    if at != end:
        raise ModelFileError(f"damaged: a message of more than {_MOST_FIELDS} fields")


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


def packed_varints(value: int | memoryview) -> list[int]:
    r"""Return a repeated ``int32`` or ``int64`` field, packed or one number of an unpacked one.

    Examples
    --------
    >>> packed_varints(memoryview(b"\x96\x01\x05")), packed_varints(7)
    ([150, 5], [7])
    """
    if isinstance(value, int):
        return [signed(value)]
    raw = np.frombuffer(_bytes(value), np.uint8)
    if not raw.size:
        return []
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
    return total.view(np.int64).tolist()


def text(value: int | memoryview) -> str:
    """Return a ``string`` field.

    Examples
    --------
    >>> text(memoryview(b"conv1"))
    'conv1'
    """
    try:
        return str(message(value), "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"damaged: a name is not text ({error})") from error


def _bytes(data: memoryview) -> memoryview:
    return data if data.format == "B" and data.ndim == 1 else data.cast("B")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a place, and the place after it."""
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
