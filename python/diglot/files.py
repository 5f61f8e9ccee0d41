"""The door through which a stranger's file comes in: a regular file, and not too large a one."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str], largest: int | None = None) -> BinaryIO:
    """Open a file for reading that cannot keep its reader waiting, nor go on for ever.

    Parameters
    ----------
    path : path
        The file. A pipe or a device is refused before it is opened, and after, too, should
        another have taken its place meanwhile.
    largest : int, optional
        In bytes; a larger file is refused.

    Returns
    -------
    binary file
        Unbuffered.

    Raises
    ------
    OSError
        If it is not there, a folder, or may not be read.
    ValueError
        If it is not a regular file, is too large, or its name cannot be one.

    Examples
    --------
    >>> open_regular(os.devnull)
    Traceback (most recent call last):
    ...
    ValueError: it is not a regular file
    """
    _refuse_special(os.stat(path))
    file = open(path, "rb", buffering=0, opener=_without_waiting)  # noqa: SIM115 (the caller's)
    try:
        found = os.fstat(file.fileno())
        _refuse_special(found)
        if largest is not None and found.st_size > largest:
            raise ValueError(f"it has {found.st_size:,} bytes, and may have {largest:,}")
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | os.PathLike[str], largest: int) -> bytes:
    """Read a file whole, by `open_regular`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"learned")
    ...     file.flush()
    ...     read_regular(file.name, 100)
    b'learned'
    """
    with open_regular(path, largest) as file:
        left = os.fstat(file.fileno()).st_size
        pieces = []
        # No more than it had: it may be growing.
        while left and (piece := file.read(left)):
            pieces.append(piece)
            left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_special(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
