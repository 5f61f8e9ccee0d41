"""What a TIFF file claims to hold, against what it can hold; and of a stack only what is wanted.

tifffile reads what a file says: strips that inflate to any size, pages that are not there as
zeros, stacks whole. A stranger's file is looked at first.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import zlib
from collections.abc import Callable
from itertools import product
from typing import Any, BinaryIO
from xml.parsers import expat

import numpy as np

from diglot.errors import ImageError

_NONE, _LZW, _DEFLATE, _PACKBITS, _LZMA = (1,), (5,), (8, 32946, 50013), (32773,), (34925,)
_YCBCR = 6
# How many times smaller a codec can make what it packs, at best: Deflate 1,032, LZW's codes of
# 12 bits 2,731, PackBits' pairs of bytes 64. Others have no bound that is worth a check.
_MOST = {**dict.fromkeys(_NONE, 1), **dict.fromkeys(_LZW, 2731), **dict.fromkeys(_DEFLATE, 1040)}
_MOST |= dict.fromkeys(_PACKBITS, 64)
_HARMLESS = 1 << 26  # bytes that a strip may inflate to unseen
_MOST_PLANES = 100_000  # that an OME file may speak of: tifffile makes a list of them
_LONGEST_OME = 1 << 24  # bytes


def refuse_hollow(file: BinaryIO, page: Any, path: str) -> None:
    """Refuse a page whose pixels do not lie in the file, or are more than it can hold.

    Raises
    ------
    ImageError
        If the file is cut short, or claims more pixels than the bytes there can hold.
    """
    size = file.seek(0, 2)
    there = 0
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        if start + length > size:
            raise ImageError(
                f"'{path}' is cut short: its pixels should reach byte {start + length}, the file "
                f"ends at {size}; replace the file or remove it from the data."
            )
        there += length
    # Strips may lie upon each other.
    there = min(there, size)
    keyframe = page.keyframe
    claimed, ratio = _packed_size(keyframe), _MOST.get(int(keyframe.compression))
    if ratio is not None and claimed > there * ratio:
        raise ImageError(
            f"'{path}' claims to be {keyframe.imagelength} x {keyframe.imagewidth} pixels, "
            f"{claimed} bytes, which the {there} bytes of pixels in it cannot hold; replace the "
            "file or remove it from the data."
        )
    _refuse_inflated(file, page, path)


def _packed_size(page: Any) -> int:
    """Return the bytes that the pixels of a page take without compression, at least."""
    # Colours of YCbCr may be kept for several pixels together.
    samples = 1 if page.photometric == _YCBCR else page.samplesperpixel
    bits = page.bitspersample
    bits = min(bits) if isinstance(bits, tuple) else bits
    row = -(-page.imagewidth * samples * bits // 8)
    return row * page.imagelength * page.imagedepth


def _refuse_inflated(file: BinaryIO, page: Any, path: str) -> None:
    """Refuse strips that inflate to more than they may: tifffile inflates them to any size."""
    keyframe = page.keyframe
    codec = int(keyframe.compression)
    if codec in _DEFLATE:
        open_codec: Callable[[], Any] = zlib.decompressobj
    elif codec in _LZMA:
        open_codec = lzma.LZMADecompressor
    else:
        return
    most = math.prod(keyframe.chunks) * (keyframe.dtype.itemsize if keyframe.dtype else 1)
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        if codec in _DEFLATE and length * _MOST[codec] <= max(_HARMLESS, most):
            continue
        file.seek(start)
        if _inflated(open_codec(), file.read(length), most) > most:
            raise ImageError(
                f"'{path}' is a decompression bomb: a part of its pixels should have {most} bytes "
                "and inflates to more; remove it from the data."
            )


def _inflated(codec: Any, data: bytes, most: int) -> int:
    """Return how many bytes data inflate to, or more than `most`; what is damaged to none."""
    found = 0
    try:
        while found <= most:
            piece = codec.decompress(data, 1 << 22)
            found += len(piece)
            data = getattr(codec, "unconsumed_tail", b"")
            if codec.eof or not (piece or data):
                break
    except (zlib.error, lzma.LZMAError, EOFError):
        return 0  # the reader says so itself
    return found


def check_ome(text: str, pages: int, path: str) -> None:
    """Refuse an OME description that would have tifffile count without end.

    Parameters
    ----------
    text : str
        The description: XML.
    pages : int
        How many the file has.
    path : str
        The file's name, for the message.

    Raises
    ------
    ImageError
        If it speaks of more planes than images have, or is more than a description.

    Examples
    --------
    >>> check_ome('<OME><Image><Pixels SizeT="3000000" /></Image></OME>', 1, "a.tif")
    Traceback (most recent call last):
    ...
    diglot.errors.ImageError: 'a.tif' is an OME file whose description is damaged or speaks of ...
    """
    counted = math.inf if len(text) > _LONGEST_OME else 0.0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal counted
        counted += _counted(name, attributes, pages)

    def declare(*_: Any) -> None:
        nonlocal counted
        counted = math.inf  # entities, which may stand for anything

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = begin, declare
    # What is no XML tifffile reads no further, either.
    with contextlib.suppress(expat.ExpatError):
        parser.Parse(text[:_LONGEST_OME], True)
    if not counted <= _MOST_PLANES:
        raise ImageError(
            f"'{path}' is an OME file whose description is damaged or speaks of more than "
            f"{_MOST_PLANES} planes; save the image that is wanted in a file of its own."
        )


def _counted(name: str, attributes: dict[str, str], pages: int) -> float:
    """Return how far tifffile counts because of one element of an OME description."""
    try:
        if name.endswith("Pixels"):
            return math.prod(max(1.0, float(attributes.get(f"Size{axis}", 1))) for axis in "ZCT")
        if name.endswith("TiffData"):
            alone = 1 if "IFD" in attributes else pages
            planes = [attributes.get(key, 0) for key in ("PlaneCount", "NumPlanes")]
            first = [value for key, value in attributes.items() if key.startswith("First")]
            return max(float(n) for n in (*planes, *first, alone))
        if name[:-1].endswith("Along"):
            start, end, step = (float(attributes.get(k, 1)) for k in ("Start", "End", "Step"))
            return abs((end - start) / step)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return 0.0


# ---------------------------------------------------------------------------------- stacks


def read_stack(file: BinaryIO, series: Any, axes: str, path: str) -> tuple[np.ndarray, str]:
    """Read the first image of a stack, with all its channels, and nothing else of it.

    Parameters
    ----------
    file : binary file
        The TIFF file.
    series : tifffile.TiffPageSeries
        Its pages, and the array that they are together.
    axes : str
        What each dimension of that array is.
    path : str
        The file's name, for messages.

    Returns
    -------
    pixels : ndarray
    axes : str
        The letters of Y, X, C and S that there are, in the order of the array's dimensions.

    Raises
    ------
    ImageError
        If a page that it needs is not in the file.
    """
    shape, page = series.shape, series.keyframe
    size = math.prod(page.shape)
    inner = next((k for k in range(len(shape)) if math.prod(shape[k:]) == size), None)
    if inner is None:
        raise ImageError(f"'{path}' holds an array that its pages do not make up; replace it.")
    wanted = [range(n) if axis in "YXCS" else range(1) for axis, n in zip(axes, shape, strict=True)]
    outer = [
        np.ravel_multi_index(at, shape[:inner]) if inner else 0 for at in product(*wanted[:inner])
    ]
    read = _from_one if series.dataoffset is not None else _from_pages
    planes = read(file, series, [int(n) for n in outer], size, path)
    pixels = planes.reshape([len(chosen) for chosen in wanted[:inner]] + list(shape[inner:]))
    for at, axis in reversed(list(enumerate(axes))):
        if axis not in "YXCS":
            pixels = pixels.take(0, axis=at)
    return pixels, "".join(axis for axis in axes if axis in "YXCS")


def _from_one(file: BinaryIO, series: Any, numbers: list[int], size: int, path: str) -> np.ndarray:
    """Read planes that lie one after another, uncompressed."""
    dtype = np.dtype(series.keyframe.parent.byteorder + series.dtype.char)
    first, last = min(numbers), max(numbers) + 1
    whole, length = file.seek(0, 2), size * dtype.itemsize
    if series.dataoffset + last * length > whole:
        raise ImageError(
            f"'{path}' is cut short: its pixels should reach byte "
            f"{series.dataoffset + last * length}, the file ends at {whole}; replace the file or "
            "remove it from the data."
        )
    if len(numbers) * 2 > last - first:  # side by side
        file.seek(series.dataoffset + first * length)
        content = np.frombuffer(file.read((last - first) * length), dtype)
        planes = content.reshape(last - first, size)[np.array(numbers) - first]
    else:
        planes = np.empty((len(numbers), size), dtype)
        for row, number in zip(planes, numbers, strict=True):
            file.seek(series.dataoffset + number * length)
            row[:] = np.frombuffer(file.read(length), dtype)
    return planes.astype(dtype.newbyteorder("="), copy=False)


def _from_pages(
    file: BinaryIO, series: Any, numbers: list[int], size: int, path: str
) -> np.ndarray:
    planes = None
    for row, number in enumerate(numbers):
        page = series.pages[number] if number < len(series.pages) else None
        if page is None:
            raise ImageError(
                f"'{path}' is one file of several, or damaged: page {number + 1} of its image is "
                "not in it; save the image in one file."
            )
        refuse_hollow(file, page, path)
        pixels = page.asarray()
        if pixels.size != size:
            raise ImageError(f"'{path}' has pages of different sizes; replace it.")
        if planes is None:
            planes = np.empty((len(numbers), size), pixels.dtype)
        planes[row] = pixels.reshape(-1)
    return planes
