"""Images in a packed file, which are named like files in a folder: ``photos.rec/cats/1.jpg``.

Beside ``photos.rec`` (MXNet's RecordIO) lies ``photos.jsonl``, which lists what is in it: in its
first line what the file must be, then a line for each image.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from diglot.errors import ImageError, cause
from diglot.files import opened, parse_json, read_bytes
from diglot.images.recordio import SHORTEST, decode_record

ENDING = ".rec"
FORMAT = 1
_MOST_LIST_BYTES = 1 << 30
_LIST_BYTES = 1 << 24  # that a list may have of however small a packed file
_MOST_OPEN = 8  # packed files at a time
_DTYPES = ("uint8", "uint16", "float32")
_INSIDE = re.compile(r"(?i)\.rec[/\\]" if os.sep == "\\" else r"(?i)\.rec/")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list.

    Attributes
    ----------
    name : str
        The file's path below the folder that was packed, with slashes.
    offset, length : int
        Where its record lies.
    size, modified : int
        The source file's bytes, and when it last changed, in nanoseconds since 1970.
    header : tuple of (int, int, int, str), or None
        Height, width, channels and type; None of a file that cannot be read.
    """

    name: str
    offset: int
    length: int
    size: int
    modified: int
    header: tuple[int, int, int, str] | None


@dataclass(frozen=True)
class Contents:
    """The list of a packed file.

    Attributes
    ----------
    identity : int
        Of 64 bits; each record has it, too, so that no list is taken for another file's.
    size : int
        Of the packed file, in bytes.
    stored : dict or None
        For which input the images were made to fit; None of files as they were.
    entries : dict of str to (int, Entry)
        By their names; the numbers count from 0.
    """

    identity: int
    size: int
    stored: dict[str, Any] | None
    entries: dict[str, tuple[int, Entry]]


def list_path(path: str) -> str:
    """Return where the list of a packed file lies.

    Examples
    --------
    >>> list_path("data/photos.rec")
    'data/photos.jsonl'
    """
    return path[: -len(ENDING)] + ".jsonl"


def index_path(path: str) -> str:
    """Return where MXNet's own index of a packed file lies.

    Examples
    --------
    >>> index_path("data/photos.rec")
    'data/photos.idx'
    """
    return path[: -len(ENDING)] + ".idx"


def write_list(contents: Contents) -> bytes:
    """Return the list as it lies in its file."""
    head = {
        "diglot": "packed images",
        "version": FORMAT,
        "identity": f"{contents.identity:016x}",
        "bytes": contents.size,
        "images": len(contents.entries),
        "stored": contents.stored,
    }
    lines = [head] + [
        [e.name, e.offset, e.length, e.size, e.modified, e.header]
        for _, e in contents.entries.values()
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode("ascii")


def read_list(data: bytes) -> Contents:
    """Read a list; it may come from anybody, so everything in it is checked.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        lines = io.BytesIO(data)
        head = parse_json(lines.readline().decode("ascii"))
        if not isinstance(head, dict) or head.get("diglot") != "packed images":
            raise ValueError("it is no list of packed images")
        version = head.get("version")
        if type(version) is int and version > FORMAT:
            raise _Newer(
                f"it has version {version}, and this diglot reads up to {FORMAT}; install a newer "
                "diglot to read it"
            )
        if type(version) is not int or version != FORMAT:
            raise ValueError(f"it has version {version!r}, not {FORMAT}")
        identity, size, count = int(head["identity"], 16), head["bytes"], head["images"]
        stored = head["stored"]
        if not (_whole(size) and _whole(count) and data.endswith(b"\n")):
            raise ValueError("it is cut short")
        if count != data.count(b"\n") - 1 or count * SHORTEST > size:
            raise ValueError("it does not list as many images as there are")
        if not (0 <= identity < 1 << 64 and (stored is None or isinstance(stored, dict))):
            raise ValueError("its first line is damaged")
        entries = {}
        for number, line in enumerate(lines):
            entry = _entry(parse_json(line.decode("ascii")), size)
            entries[entry.name] = number, entry
        if len(entries) != count:
            raise ValueError("two images have one name")
    except (KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is damaged: {cause(error)}") from error
    return Contents(identity, size, stored, entries)


class _Newer(ValueError):
    """The list is of a newer version: nothing is wrong with it."""


def _entry(found: Any, size: int) -> Entry:
    name, offset, length, bytes_, modified, header = found
    sound = isinstance(name, str) and name and all(map(_whole, (offset, length, bytes_)))
    sound = sound and type(modified) is int and length >= SHORTEST and offset + length <= size
    if sound and header is not None:
        height, width, channels, dtype = header
        sound = all(_whole(n) and n for n in (height, width, channels)) and dtype in _DTYPES
        header = height, width, channels, dtype
    if not sound:
        raise ValueError("a line is damaged")
    return Entry(name, offset, length, bytes_, modified, header)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


# ---------------------------------------------------------------------------------- reading


class Packed:
    """A packed file that is open for reading, by several threads at once.

    Parameters
    ----------
    path : str
        Of the ``.rec`` file.

    Raises
    ------
    ImageError
        If it, or its list, is missing or damaged.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()
        self._file: Any = None
        try:
            self._file = opened(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ImageError(f"'{path}' cannot be read: {why}.") from error
        try:
            found = os.fstat(self._file.fileno())
            # A line is shorter than a picture: what is longer by far is no list of them.
            most = min(_MOST_LIST_BYTES, _LIST_BYTES + found.st_size)
            self.contents = read_list(read_bytes(list_path(path), most))
        except FileNotFoundError:
            raise ImageError(
                f"'{path}' has no list '{list_path(path)}' beside it: copy that, too, or make both "
                "anew by read_images(folder, cache=)."
            ) from None
        except _Newer as error:
            raise ImageError(f"'{list_path(path)}', the list of '{path}': {error}.") from None
        except (OSError, ValueError) as error:
            raise ImageError(
                f"'{list_path(path)}', the list of '{path}', cannot be read ({error}); remove it "
                "and make both anew by read_images(folder, cache=)."
            ) from error
        self.state = _state(found)
        if found.st_size != self.contents.size:
            raise self._damaged("it has another length than its list says")

    def read(self, name: str) -> bytes:
        """Return the content of an image file.

        Raises
        ------
        ImageError
            If it is not there, or the packed file is damaged.
        """
        number, entry = self._found(name)
        try:
            record = decode_record(self._bytes(entry.offset, entry.length))
        except (OSError, ValueError) as error:
            raise self._damaged(f"{error}, of '{name}'") from error
        if (record.id, record.id2) != (number, self.contents.identity):
            raise self._damaged(f"where '{name}' should be there is another record")
        return record.content

    def header(self, name: str) -> tuple[int, int, int, str] | None:
        """Return height, width, channels and type of an image, if they are known."""
        return self._found(name)[1].header

    def size(self, name: str) -> int | None:
        """Return how many bytes the source file of an image had; None if it is not there."""
        found = self.contents.entries.get(name)
        return None if found is None else found[1].size

    def _found(self, name: str) -> tuple[int, Entry]:
        found = self.contents.entries.get(name)
        if found is None:
            raise ImageError(
                f"There is no image '{name}' in the packed file '{self._path}'; read the folder "
                "again by read_images(folder, cache=)."
            )
        return found

    def _bytes(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length)

    def _damaged(self, why: str) -> ImageError:
        return ImageError(
            f"'{self._path}' is damaged, or its list is another file's ({why}); remove it and make "
            "it anew by read_images(folder, cache=)."
        )

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._file.close()


_opened: OrderedDict[str, Packed] = OrderedDict()
_lock = threading.Lock()


def find_packed(path: str) -> tuple[Packed, str] | None:
    """Return the packed file that holds an image, and the image's name in it.

    Parameters
    ----------
    path : str
        Of any image.

    Returns
    -------
    (Packed, str) or None
        None for what is no packed image, such as a file in a folder.

    Raises
    ------
    ImageError
        If the packed file is damaged.

    Examples
    --------
    >>> find_packed("photos/cats/1.jpg") is None
    True
    """
    for match in _INSIDE.finditer(path):
        place = path[: match.end() - 1]
        try:
            found = os.stat(place)
        except (OSError, ValueError):
            return None
        if stat.S_ISREG(found.st_mode):
            return open_packed(place, found), path[match.end() :].replace(os.sep, "/")
    return None


def open_packed(path: str, found: os.stat_result | None = None) -> Packed:
    """Return a packed file, kept open from call to call until it is replaced."""
    state, key = _state(found or os.stat(path)), os.path.abspath(path)
    with _lock:
        packed = _opened.get(key)
        if packed is None or packed.state != state:
            try:
                packed = _opened[key] = Packed(path)
            except ImageError:
                # Perhaps it is being replaced just now: the one that is open is still whole.
                if packed is None:
                    raise
        _opened.move_to_end(key)
        while len(_opened) > _MOST_OPEN:
            _opened.popitem(last=False)
        return packed


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
