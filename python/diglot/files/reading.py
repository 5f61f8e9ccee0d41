"""The door through which files that a user names come in: regular files, of a bounded size."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from typing import Any, BinaryIO

from diglot.errors import DiglotError, InputError, ModelFileError

LARGEST = 8 * 2**30
"""In bytes; the largest published image classifiers stay below a quarter of it."""

ROOM = 20_000_000
"""How many bytes of memory a reader may take, besides twice the file."""

# By their first byte: characters that take four bytes in memory, two or one, and each other one of
# the same text with them.
_WIDE = (
    (4, re.compile(b"[\xf0-\xff]")),
    (2, re.compile(b"[\xc4-\xff]")),
    (1, re.compile(b"[\x80-\xff]")),
)

# A pipe that took the file's place after it was looked at would otherwise be waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FLAGS |= getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)


def path_of(given: Any, name: str, error: type[DiglotError] = InputError) -> str:
    r"""Return an argument that is a path as text, or say which argument is none.

    Parameters
    ----------
    given : str, bytes or path
        Whether there is such a file is not looked at.
    name : str
        The argument's.
    error : type
        The kind of error to raise for a path that no file can have.

    Returns
    -------
    str

    Raises
    ------
    InputError
        It is no path.
    DiglotError
        It has a NUL character, at which a path ends for the system.

    Examples
    --------
    >>> path_of(b"a/b", "folder")
    'a/b'
    >>> path_of("a\0b", "folder")
    Traceback (most recent call last):
    ...
    diglot.errors.InputError: folder has a NUL character, as no path can have: 'a\x00b'
    """
    try:
        path = os.fsdecode(given)
    except TypeError:
        raise InputError(f"{name} must be a path, not {given!r}") from None
    if "\0" in path:
        raise error(f"{name} has a NUL character, as no path can have: {path[:200]!r}")
    return path


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file: reading a pipe or a device could wait, or go on, for ever.

    Parameters
    ----------
    path : path
        A file, or a link to one.

    Returns
    -------
    file
        For reading bytes.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder.
    ValueError
        It is neither a file nor a folder, or its name cannot be one.

    Examples
    --------
    >>> opened("/dev/null")
    Traceback (most recent call last):
    ...
    ValueError: it is not a regular file
    """
    _refuse(os.stat(path).st_mode)  # some devices do something when they are opened
    # By an opener the file keeps its name, which readers of TIFF files ask for.
    file = open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS))  # noqa: SIM115
    try:
        _refuse(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _refuse(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")


def read_view(path: str | os.PathLike[str], *, largest: int = LARGEST) -> memoryview:
    """Read a whole file.

    Parameters
    ----------
    path : path
        A regular file.
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
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                raise ModelFileError(
                    f"{path} has {size} bytes; such a file may have {largest} at most"
                )
            return memoryview(file.read(size))
    except ModelFileError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, IsADirectoryError):
            raise ModelFileError(
                f"{path} cannot be read: it is a folder; give the name of a file"
            ) from error
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
        return decoded(read_view(path, largest=largest))
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not text: {error}") from error
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error


def decoded(data: bytes | memoryview, room: int = ROOM) -> str:
    r"""Make text of bytes in UTF-8.

    Parameters
    ----------
    data : bytes or memoryview
        One character that is not ASCII makes every other one take as much as it does.
    room : int
        How many bytes of memory it may take, besides twice the data.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        It is not UTF-8, or would take more.

    Examples
    --------
    >>> decoded(b"caf\xc3\xa9")
    'café'
    """
    wide = next((width for width, first in _WIDE if first.search(data)), 0)
    if wide * len(data) > room:
        raise ValueError(
            f"its {len(data)} bytes of text, which is not plain ASCII, would take "
            f"{(2 + wide) * len(data) / 1e6:.0f} MB of memory, and may take "
            f"{(2 * len(data) + room) / 1e6:.0f} MB"
        )
    return str(data, "utf-8")


def read_bytes(path: str | os.PathLike[str], largest: int) -> bytes:
    """Read a whole file, and leave it to the caller to say what is wrong with it.

    Parameters
    ----------
    path : path
        A regular file.
    largest : int
        In bytes; a larger file is refused before it is read.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        As `opened`.
    ValueError
        As `opened`, and if it is too large.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"learned")
    ...     file.flush()
    ...     read_bytes(file.name, 100)
    b'learned'
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise ValueError(f"it has {size:,} bytes, and may have {largest:,}")
        return file.read(size)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Parameters
    ----------
    path : path
        A regular file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ModelFileError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     file_sha256(file.name)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    try:
        with opened(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read: {told(error, path)}") from error
    return digest.hexdigest()


def told(error: Exception, path: Any, size: int = 0) -> str:
    """Say what is wrong with a path and what to do about it."""
    code = getattr(error, "errno", None)
    folder = os.path.dirname(os.path.abspath(path)) if isinstance(code, int) else ""
    if code in (errno.ENOENT, errno.ENOTDIR):
        if not os.path.isdir(folder):
            return f"there is no folder {folder}; create it, or choose another."
        return "there is no such file; check the name."
    if code == errno.EISDIR:
        return "it is a folder; give the name of a file in it."
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"permission denied; choose a folder other than {folder}, or ask for access to it."
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room for {size / 2**20:.1f} MiB in {folder}; free some, or choose another."
    return f"{getattr(error, 'strerror', None) or error}; choose another path."
