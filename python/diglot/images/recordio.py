"""MXNet's RecordIO format: many images in one file, each found by its offset.

The format is dmlc-core's (``dmlc/recordio.h``), the header before each image that of
``mxnet.recordio``. Everything is little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = struct.pack("<I", 0xCED7230A)
_FRAME = struct.Struct("<4sI")  # the magic number; what kind of part it is, and its length
_HEADER = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)

LONGEST = (1 << _LENGTH_BITS) - 1 - _HEADER.size
SHORTEST = _FRAME.size + _HEADER.size
"""Bytes: of the longest image that fits into a record, and of the shortest record."""


@dataclass(frozen=True)
class Record:
    """An image file's content, with the header that MXNet puts before it.

    Attributes
    ----------
    content : bytes
        Of the image file, at most `LONGEST`.
    label : float
        A number that MXNet's own iterators take for the image's class.
    id, id2 : int
        Two numbers of 64 bits, free to use.
    """

    content: bytes
    label: float = 0.0
    id: int = 0
    id2: int = 0


def encode_record(record: Record) -> bytes:
    """Return a record as it lies in a file.

    Where the content has the magic number at a multiple of four bytes, it is cut there and the
    magic number left out, so that a reader which lost its place finds the next record.

    Examples
    --------
    >>> decode_record(encode_record(Record(b"pixels", 2.0, 7))).id
    7
    """
    content = _HEADER.pack(0, record.label, record.id, record.id2) + record.content
    parts = _cut(content)
    kinds = [_MIDDLE] * len(parts)
    kinds[0], kinds[-1] = _FIRST, _LAST
    if len(parts) == 1:
        kinds = [_WHOLE]
    frames = [
        _FRAME.pack(MAGIC, kind << _LENGTH_BITS | len(part)) + part
        for kind, part in zip(kinds, parts, strict=True)
    ]
    return b"".join(frames) + bytes(-len(content) % 4)


def _cut(content: bytes) -> list[bytes]:
    parts, begin, place = [], 0, content.find(MAGIC)
    while place >= 0:
        if place % 4 == 0:
            parts.append(content[begin:place])
            begin = place + len(MAGIC)
        place = content.find(MAGIC, place + 1)
    return [*parts, content[begin:]]


def decode_record(data: bytes) -> Record:
    """Read what `encode_record` or MXNet wrote: exactly one record.

    Parameters
    ----------
    data : bytes
        From a file, so nothing in it is trusted.

    Raises
    ------
    ValueError
        If it is damaged, or a header of several labels, which diglot does not write.
    """
    parts, place, kind = [], 0, None
    while kind not in (_WHOLE, _LAST):
        if len(data) - place < _FRAME.size:
            raise ValueError("a record is cut short")
        magic, word = _FRAME.unpack_from(data, place)
        before, kind, length = kind, word >> _LENGTH_BITS, word & (1 << _LENGTH_BITS) - 1
        place += _FRAME.size
        expected = (_WHOLE, _FIRST) if before is None else (_MIDDLE, _LAST)
        if magic != MAGIC or kind not in expected or length > len(data) - place:
            raise ValueError("no record begins where one should")
        parts.append(data[place : place + length])
        place += length + -length % 4
    content = MAGIC.join(parts)
    if place != len(data) or len(content) < _HEADER.size:
        raise ValueError("a record has another length than it should")
    flag, label, first, second = _HEADER.unpack_from(content)
    if flag:
        raise ValueError("a record has several labels")
    return Record(content[_HEADER.size :], label, first, second)
