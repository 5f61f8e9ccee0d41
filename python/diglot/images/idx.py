"""MNIST's IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from diglot.errors import ImageError, InputError
from diglot.files import opened, path_of
from diglot.images.memory import available_memory

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_DIMENSIONS = 8
# Deflate cannot make a file more than about 1,032 times smaller.
_MOST_COMPRESSION = 1040


def read_idx_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one IDX file (MNIST's format), gzipped or not.

    Parameters
    ----------
    path : path
        The file; whether it is gzipped is seen from its content.

    Returns
    -------
    ndarray
        With the shape and type that the file states, in the machine's byte order.

    Raises
    ------
    ImageError
        If the file is missing, no IDX file, cut short, or longer than its header says. Nothing
        is read into memory before the header was checked: against the file's size, of a gzipped
        file against what that may inflate to (1,040 times as much at most) and the memory that is
        available. Memory is taken once for what the header says, and no more.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits, section "File
    formats".

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels.idx")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx_array(path).tolist()
    [7, 2, 1]
    """
    name = os.fspath(path)
    place = os.path.expanduser(name)
    try:
        with opened(place) as file:
            size = os.fstat(file.fileno()).st_size
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not gzipped:
                return _read(file, name, size, size)
            with gzip.open(file) as unpacked:
                return _read(unpacked, name, size * _MOST_COMPRESSION, None)
    except FileNotFoundError:
        raise ImageError(
            f"There is no file '{name}' (looked from '{os.path.abspath('.')}'); check the path."
        ) from None
    except PermissionError:
        raise ImageError(f"'{name}' may not be read; change the file's permissions.") from None
    except ImageError:
        raise
    except (IsADirectoryError, ValueError) as error:
        raise ImageError(
            f"'{name}' cannot be read ({getattr(error, 'strerror', None) or error}); give the path "
            "of an IDX file."
        ) from error
    except (EOFError, OSError, zlib.error) as error:
        raise ImageError(
            f"'{name}' cannot be unpacked, it is damaged or cut short ({error}); download it again."
        ) from error


def _read(file: BinaryIO | gzip.GzipFile, name: str, most: int, exact: int | None) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not start[3]:
        raise ImageError(
            f"'{name}' is not an IDX file (MNIST's format); for PNG, JPEG and other images use "
            "read_images() or give their paths."
        )
    dimensions = start[3]
    if dimensions > _MOST_DIMENSIONS:
        raise ImageError(f"'{name}' claims {dimensions} dimensions; it is damaged, replace it.")
    counts = file.read(4 * dimensions)
    if len(counts) < 4 * dimensions:
        raise ImageError(f"'{name}' is cut short within its header; download it again.")
    shape = struct.unpack(f">{dimensions}I", counts)
    dtype = np.dtype(_TYPES[start[2]])
    header = 4 + 4 * dimensions
    size = math.prod(shape) * dtype.itemsize
    stated = f"its header says {' x '.join(map(str, shape))} values, {header + size} bytes"
    if exact is not None and exact != header + size:
        what = "cut short" if exact < header + size else "longer than its header says"
        raise ImageError(f"'{name}' is {what} ({stated}; it has {exact}); download it again.")
    if header + size > most:
        raise ImageError(f"'{name}' is cut short ({stated}); download it again.")
    if size > available_memory():
        raise ImageError(
            f"'{name}' needs {size / 2**30:.1f} GiB of memory, more than is available; split it."
        )
    content = bytearray()
    # In pieces: a gzipped file may claim much and hold little, and memory follows what it holds.
    while len(content) < size:
        piece = file.read(min(1 << 22, size - len(content)))
        if not piece:
            raise ImageError(
                f"'{name}' is cut short ({stated}; it has {header + len(content)}); download it "
                "again."
            )
        content += piece
    if file.read(1):
        raise ImageError(f"'{name}' is longer than its header says ({stated}); download it again.")
    array = np.frombuffer(content, dtype).reshape(shape)
    if not dtype.isnative:
        # In place: as a copy it would be there twice.
        array = array.byteswap(inplace=True).view(dtype.newbyteorder())
    return array


def read_idx(
    images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> pd.DataFrame:
    """Read images, and their labels, from IDX files (MNIST and its kin), gzipped or not.

    Parameters
    ----------
    images : path
        The file with the images, such as ``train-images-idx3-ubyte.gz``.
    labels : path, optional
        The file with the labels, such as ``train-labels-idx1-ubyte.gz``.

    Returns
    -------
    pandas.DataFrame
        Column `image`, one array (height, width) or (height, width, channels) in each row, and
        with labels the column `label`, categorical, categories sorted.

    Raises
    ------
    ImageError
        If a file is damaged or not an IDX file.
    InputError
        If the files were exchanged, or do not have the same number of rows.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "images.idx")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4]))
    ...     read_idx(path)["image"][0].tolist()
    [[1, 2], [3, 4]]
    """
    import pandas as pd

    images = path_of(images, "images", ImageError)
    labels = None if labels is None else path_of(labels, "labels", ImageError)
    pixels = read_idx_array(images)
    if pixels.ndim not in (3, 4):
        fix = " Were the two files exchanged?" if labels is not None and pixels.ndim == 1 else ""
        raise InputError(
            f"'{images}' holds an array of {pixels.ndim} dimension"
            f"{'s' * (pixels.ndim > 1)}; images need 3 (n, height, width) or 4.{fix}"
        )
    column = np.empty(len(pixels), object)
    for i, image in enumerate(pixels):
        column[i] = image
    table = pd.DataFrame({"image": pd.Series(column, dtype=object)})
    if labels is not None:
        codes = read_idx_array(labels)
        if codes.ndim != 1:
            raise InputError(
                f"'{labels}' holds an array of {codes.ndim} dimensions; labels need 1."
            )
        if len(codes) != len(pixels):
            raise InputError(
                f"'{images}' holds {len(pixels)} images but '{labels}' "
                f"{len(codes)} labels; take two files of the same set."
            )
        if codes.dtype.kind in "iu":
            codes = codes.astype(np.int64)
        table["label"] = pd.Categorical(codes)
    return table
