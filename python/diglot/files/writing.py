"""Files that are written whole or not at all, whatever stops the process."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from diglot.errors import DiglotError, ModelFileError
from diglot.files.reading import told


def write_bytes(
    path: str | os.PathLike[str], data: bytes, error: type[DiglotError] = ModelFileError
) -> Path:
    """Write a file so that a crash leaves either the old one or the new one, whole.

    Parameters
    ----------
    path : path
        The file; its folder must exist. An existing file is replaced.
    data : bytes
        Its content.
    error : type
        The kind of error to raise.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    DiglotError
        The file cannot be written there; an existing file is as it was.

    Examples
    --------
    >>> import tempfile
    >>> from diglot.files import write_bytes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/notes.txt", b"learned").read_bytes()
    b'learned'
    """
    try:
        # A link stays a link: the file it points to is replaced.
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        _write_atomically(target, data)
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be written: {told(problem, path, len(data))}") from problem
    return Path(path)


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed had written of a file; nobody else may be writing it.

    Parameters
    ----------
    path : path
        The file, as it was given to `write_bytes`; it stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, f".m.safetensors.{'0' * 16}.tmp").touch()
    ...     remove_unfinished(f"{folder}/m.safetensors")
    ...     os.listdir(folder)
    []
    """
    target = Path(os.path.realpath(path))
    names = re.compile(re.escape(_temporary_start(target)) + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if names.fullmatch(name):
                os.unlink(target.with_name(name))


def _write_atomically(target: Path, data: bytes) -> None:
    # The same folder: only there is a rename atomic. The name is free, the mode follows umask.
    temporary = target.with_name(f"{_temporary_start(target)}{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    # The rename itself must reach the disk too; some file systems cannot be asked for that.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _temporary_start(target: Path) -> str:
    return f".{target.name[:100]}."
