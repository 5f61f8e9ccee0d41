"""A foreign file's bytes, as one view that the readers cut without copying."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from diglot.errors import ModelFileError

LARGEST = 8 * 2**30
"""In bytes; the largest published image classifiers stay below a quarter of it."""


def read_view(path: str | os.PathLike[str], *, largest: int = LARGEST) -> memoryview:
    """Read a whole file.

    Parameters
    ----------
    path : path
        A regular file: reading a pipe or a device could wait for ever.
    largest : int
        In bytes; a larger file is refused before it is read.

    Returns
    -------
    memoryview
        Read-only bytes.

    Raises
    ------
    ModelFileError
        There is no such file, it cannot be read, or it is too large.

    Examples
    --------
    >>> read_view("nowhere.caffemodel")
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: nowhere.caffemodel cannot be read: No such file or directory
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise ModelFileError(f"{path} is {kind}; give the name of a file")
        if found.st_size > largest:
            raise ModelFileError(
                f"{path} has {found.st_size} bytes; such a file may have {largest} at most"
            )
        return memoryview(Path(path).read_bytes())
    except ModelFileError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path} cannot be read: {reason}") from error
    except MemoryError as error:
        raise ModelFileError(f"{path} does not fit into this machine's memory") from error


def read_text(path: str | os.PathLike[str], *, largest: int = 2**26) -> str:
    """Read a whole text file in UTF-8.

    Parameters
    ----------
    path : path
        A regular file.
    largest : int
        In bytes; a larger file is refused before it is read.

    Returns
    -------
    str

    Raises
    ------
    ModelFileError
        As `read_view`, and if it is not text.
    """
    try:
        return str(read_view(path, largest=largest), "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not text: {error}") from error
