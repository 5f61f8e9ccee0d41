"""Packs image files into one file, and finds out whether it still is what they are."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np

from diglot.errors import ImageError, InputError
from diglot.files import opened, path_of
from diglot.graph import Graph, InputSpec
from diglot.images.decode import read_header
from diglot.images.memory import usable_cores
from diglot.images.packed import (
    ENDING,
    Contents,
    Entry,
    Packed,
    index_path,
    list_path,
    write_list,
)
from diglot.images.prepare import prepare_file
from diglot.images.recordio import LONGEST, Record, encode_record
from diglot.progress import Reporter

_AHEAD = 64  # files that threads read while earlier ones are written


@dataclass(frozen=True)
class Source:
    """A file to be packed: where it lies, its name in the packed file, its class's number."""

    path: str
    name: str
    label: int


def pack(
    sources: Sequence[Source], target: str, stored: InputSpec | None, reporter: Reporter
) -> None:
    """Pack image files, unless the packed file holds just these already.

    Parameters
    ----------
    sources : sequence of Source
        The files.
    target : str
        Ends in ``.rec``. It, its list and MXNet's index of it take their names once they are
        whole.
    stored : InputSpec, optional
        The size to bring pictures to, and how; of other files, and without it, the bytes are
        taken as they are.
    reporter : Reporter
        Hears of the progress.

    Raises
    ------
    ImageError
        If a file cannot be read at all, or changes meanwhile; one that is damaged is packed as it
        is, so that the error comes when it is used.
    InputError
        If the target cannot be written.
    """
    described = None if stored is None else _described(stored)
    states = [_state(source.path) for source in sources]
    if _is_fresh(target, sources, states, described):
        return
    identity = _identity(sources, states, described)
    entries: dict[str, tuple[int, Entry]] = {}
    reporter.start("Packing", len(sources), "image")
    try:
        with _written(target) as (records, index, contents):
            offset = 0
            made = _in_order(lambda i: _content(sources[i].path, states[i], stored), len(sources))
            for number, (content, header) in enumerate(made):
                source, (size, modified) = sources[number], states[number]
                record = encode_record(Record(content, source.label, number, identity))
                records.write(record)
                index.write(f"{number}\t{offset}\n".encode())
                line = Entry(source.name, offset, len(record), size, modified, header)
                entries[source.name] = number, line
                offset += len(record)
                reporter.step(number + 1)
            contents.write(write_list(Contents(identity, offset, described, entries)))
    finally:
        reporter.finish()


def check_target(cache: Any) -> str:
    """Return the path of a packed file that is to be made.

    Raises
    ------
    InputError
        If it cannot be one.
    """
    target = os.path.expanduser(path_of(cache, "cache"))
    if not target.lower().endswith(ENDING) or os.path.basename(target).lower() == ENDING:
        raise InputError(f"cache must end in {ENDING}, such as 'photos.rec', not '{target}'")
    if os.path.isdir(target) or not os.path.isdir(os.path.dirname(target) or "."):
        raise InputError(
            f"cache '{target}' cannot be written: it is a folder, or there is no folder for it"
        )
    return target


def check_stored(size: Any) -> InputSpec | None:
    """Return how pictures are to be made to fit before they are packed.

    Parameters
    ----------
    size : None, int, (int, int), Graph or InputSpec
        Height and width, to which pictures are resized as a whole; or what a network takes.

    Raises
    ------
    InputError
        If it is something else.
    """
    if size is None or isinstance(size, InputSpec):
        return size
    if isinstance(size, Graph):
        return size.input
    pair = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else (size, size)
    whole = [isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in pair]
    if len(pair) != 2 or not all(whole):
        raise InputError(
            f"cache_size must be one number, (height, width) or a network, not {size!r}"
        )
    return InputSpec(int(pair[0]), int(pair[1]), 3)


# ---------------------------------------------------------------------------------- what is fresh


def _state(path: str) -> tuple[int, int]:
    """Return a file's size, and when it changed."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise ImageError(f"'{path}' cannot be packed: {error.strerror or error}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"'{path}' is not a regular file, so it cannot be packed.")
    return found.st_size, found.st_mtime_ns


def _described(stored: InputSpec) -> dict[str, Any]:
    """Return what of an input decides its pixels before they are standardised."""
    found = asdict(stored)
    return {name: found[name] for name in sorted(found) if name not in ("mean", "std")}


def _identity(sources: Sequence[Source], states: Sequence[tuple[int, int]], described: Any) -> int:
    digest = hashlib.blake2b(repr(described).encode(), digest_size=8)
    for source, state in zip(sources, states, strict=True):
        digest.update(repr((os.fsencode(source.name), source.label, *state)).encode())
    return int.from_bytes(digest.digest(), "little")


def _is_fresh(
    target: str, sources: Sequence[Source], states: Sequence[tuple[int, int]], described: Any
) -> bool:
    try:
        contents = Packed(target).contents
    except (OSError, ImageError):
        return False  # there is none, or a damaged one
    same = contents.identity == _identity(sources, states, described)
    return same and os.path.exists(index_path(target))


# ---------------------------------------------------------------------------------- what is packed

Shape = tuple[int, int, int, str]


def _content(
    path: str, state: tuple[int, int], stored: InputSpec | None
) -> tuple[bytes, Shape | None]:
    """Return the bytes to pack, and what picture they hold."""
    try:
        header = read_header(path)
        shape = header.height, header.width, header.channels, header.dtype
        small = None if stored is None else _made_small(path, shape, stored)
    except ImageError:
        shape = small = None  # what is damaged is packed, too, and refused when it is used
    content, shape = (_bytes(path), shape) if small is None else small
    if len(content) > LONGEST:
        raise ImageError(f"'{path}' is larger than 512 MiB and cannot be packed; make it smaller.")
    if _state(path) != state:
        raise ImageError(f"'{path}' changed while it was packed; start again.")
    return content, shape


def _made_small(path: str, shape: Shape, stored: InputSpec) -> tuple[bytes, Shape] | None:
    """Return a picture made to fit, as a BMP file, which takes no time to decode; else None."""
    from PIL import Image

    channels, dtype = shape[2:]
    if dtype != "uint8" or channels not in (1, 3):
        return None
    if stored.channels == 1 and stored.convert_colour:
        channels = 1
    pixels = prepare_file(path, replace(stored, channels=channels, mean=(), std=()))
    file = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(file, "BMP")
    return file.getvalue(), (stored.height, stored.width, channels, "uint8")


def _bytes(path: str) -> bytes:
    try:
        with opened(path) as file:
            return file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ImageError(f"'{path}' cannot be packed: {why}.") from error


def _in_order(make: Callable[[int], Any], count: int) -> Iterator[Any]:
    """Yield what threads make, a few ahead."""
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="diglot-images")
    waiting: deque[Future[Any]] = deque()
    try:
        for number in range(count + _AHEAD):
            if number < count:
                waiting.append(pool.submit(make, number))
            if number >= _AHEAD:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _written(target: str) -> Iterator[list[IO[bytes]]]:
    """Open the packed file, its index and its list, each of which gets its name in the end."""
    names = [target, index_path(target), list_path(target)]
    folder, name = os.path.split(target)
    # In the same folder: only there is a rename atomic.
    aside = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.")
    temporary = [f"{aside}{number}.tmp" for number in range(len(names))]
    files: list[IO[bytes]] = []
    try:
        for path in temporary:
            files.append(open(path, "xb"))  # noqa: SIM115
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        # The list last: it is what says that the packed file is whole.
        for path, name in zip(temporary, names, strict=True):
            os.replace(path, name)
    except OSError as error:
        raise InputError(
            f"cache '{target}' cannot be written ({error.strerror or error}); choose another place"
        ) from error
    finally:
        for file, path in zip(files, temporary, strict=False):
            file.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
