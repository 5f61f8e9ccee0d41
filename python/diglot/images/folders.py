"""Folders of images, one sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from diglot.errors import InputError
from diglot.files import path_of
from diglot.graph import InputSpec
from diglot.images.packed import ENDING, open_packed
from diglot.images.packing import Source, check_stored, check_target, pack
from diglot.progress import Reporter, reporter

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = (
    ".bmp",
    ".dib",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)


def find_images(
    folder: str | os.PathLike[str],
    *,
    extensions: Iterable[str] | None = None,
    recursive: bool = True,
) -> list[tuple[str, str | None]]:
    """List the images in a folder with the class folder that each lies in.

    Parameters
    ----------
    folder : path
        Holds one sub-folder for each class, or the images themselves.
    extensions : iterable of str, optional
        Which file names count, such as ``["png", "jpg"]``; by default all that diglot reads.
    recursive : bool
        Whether folders below the class folders count too.

    Returns
    -------
    list of (path, label)
        Sorted by folder and name, by code point and thus the same under every locale. The label
        is the name of the folder right under `folder`, None for images in `folder` itself.

    Raises
    ------
    InputError
        If the folder is missing or holds no images, a class folder is empty, or images lie
        beside class folders.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (pathlib.Path(folder) / name).mkdir()
    ...         _ = (pathlib.Path(folder) / name / "1.png").write_bytes(b"")
    ...     [label for path, label in find_images(folder)]
    ['cat', 'dog']
    """
    root = os.path.expanduser(path_of(folder, "folder"))
    wanted = _endings(extensions)
    if not os.path.exists(root):
        raise InputError(
            f"There is no folder '{root}' (looked from '{os.path.abspath('.')}'); check the path."
        )
    if not os.path.isdir(root):
        raise InputError(f"'{root}' is a file, not a folder; give the folder that holds it.")
    top, classes = _listed(root, wanted)
    beside = [(os.path.join(root, name), None) for name in top]
    found: list[tuple[str, str | None]] = []
    empty = []
    for name in classes:
        inside = _walk(os.path.join(root, name), wanted, recursive, ())
        found += [(path, name) for path in inside]
        if not inside:
            empty.append(name)
    if not found and not beside:
        raise InputError(
            f"The folder '{root}' holds no images; diglot looks for {', '.join(wanted)}."
        )
    # A folder of images with, say, an empty "results" folder in it is still a folder of images.
    if beside and not found:
        return beside
    if empty:
        names = ", ".join(f"'{name}'" for name in empty[:5]) + (" ..." if len(empty) > 5 else "")
        raise InputError(
            f"The class folder{'s' * (len(empty) > 1)} {names} in '{root}' hold"
            f"{'s' * (len(empty) == 1)} no images; add some or remove the folder."
        )
    if beside:
        raise InputError(
            f"'{beside[0][0]}' lies beside the class folders ({len(beside)} such image"
            f"{'s' * (len(beside) > 1)}), so it has no label; move it into a class folder."
        )
    return found


def walk_images(folder: str | os.PathLike[str]) -> list[str]:
    """List all images below a folder, whether it has class folders or not.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of str
        A folder's own images come before those of the folders in it; names are sorted by code
        point. Hidden ones do not count.

    Raises
    ------
    InputError
        If there are none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (pathlib.Path(folder) / "more").mkdir()
    ...     for name in ("b.png", "more/a.png", "notes.txt"):
    ...         _ = (pathlib.Path(folder) / name).write_bytes(b"")
    ...     [os.path.relpath(path, folder).replace(os.sep, "/") for path in walk_images(folder)]
    ['b.png', 'more/a.png']
    """
    root = os.path.expanduser(path_of(folder, "folder"))
    found = _walk(root, EXTENSIONS, True, ())
    if not found:
        raise InputError(
            f"The folder '{root}' holds no images; diglot looks for {', '.join(EXTENSIONS)}."
        )
    return found


def read_images(
    folder: str | os.PathLike[str],
    *,
    extensions: Iterable[str] | None = None,
    recursive: bool = True,
    cache: str | os.PathLike[str] | None = None,
    cache_size: Any = None,
    verbose: Any = "auto",
) -> pd.DataFrame:
    """Read a folder of images into a table; the pixels are read when they are needed.

    Parameters
    ----------
    folder : path
        Holds one sub-folder for each class, or images without labels. Also a packed file that was
        made earlier, for use without the folder.
    extensions : iterable of str, optional
        Which file names count, such as ``["png", "jpg"]``; by default all that diglot reads.
    recursive : bool
        Whether folders below the class folders count too.
    cache : path, optional
        A file such as ``"photos.rec"``, into which all images are packed, and again when a file's
        size or time of change, or the list of files, is another. MXNet's RecordIO format, with
        its index ``photos.idx`` and a list ``photos.jsonl``. See the notes for when it pays.
    cache_size : int, (int, int), network or InputSpec, optional
        Pack 8-bit pictures decoded and resized: to this height and width as a whole, as networks
        without weights see them, or as a network takes them. By default files are packed as they
        are.
    verbose : {"auto", True, False} or callable
        Progress of packing; see `diglot.progress.reporter`.

    Returns
    -------
    pandas.DataFrame
        Columns `image` (the path) and `label` (categorical, the name of the folder right under
        `folder`, categories sorted). Without class folders there is no column `label`. Of packed
        images the path is such as ``"photos.rec/cat/1.png"``, and stands for the image wherever a
        path does.

    Raises
    ------
    InputError
        If the folder is missing or holds no images, a class folder is empty, or images lie
        beside class folders; or the cache cannot be written.
    ImageError
        If a packed file is damaged, or a file cannot be read for packing. Images that are damaged
        themselves are refused when they are used, packed or not.

    Notes
    -----
    A model that is fitted to packed files is the one that is fitted to the files, to the byte.
    With ``cache_size`` so is one whose network takes images of that size, resized that way; other
    networks see them resized twice.

    A fit decodes each image once and keeps it, so that a packed file saves time from the second
    fit on: folds, settings to compare, a run after a run.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("dog", "cat"):
    ...         (pathlib.Path(folder) / name).mkdir()
    ...         _ = (pathlib.Path(folder) / name / "1.png").write_bytes(b"")
    ...     read_images(folder)["label"].tolist()
    ['cat', 'dog']
    """
    if cache is None and cache_size is not None:
        raise InputError("cache_size is the size of packed images: give cache='photos.rec', too")
    if is_packed(folder):
        if cache is not None:
            raise InputError(f"'{folder}' is a packed file already: give cache=None")
        return _table(list_packed(folder))
    found = find_images(folder, extensions=extensions, recursive=recursive)
    if cache is not None:
        target, stored = check_target(cache), check_stored(cache_size)
        found = _packed(found, folder, target, stored, reporter(verbose))
    return _table(found)


def _packed(
    found: list[tuple[str, str | None]],
    folder: str | os.PathLike[str],
    target: str,
    stored: InputSpec | None,
    listener: Reporter,
) -> list[tuple[str, str | None]]:
    """Pack what was found; return the same with the paths in the packed file."""
    root = os.path.expanduser(os.fsdecode(folder))
    names = [os.path.relpath(path, root).replace(os.sep, "/") for path, _ in found]
    codes = {label: code for code, label in enumerate(sorted({label or "" for _, label in found}))}
    sources = [
        Source(path, name, codes[label or ""])
        for (path, label), name in zip(found, names, strict=True)
    ]
    pack(sources, target, stored, listener)
    return [(f"{target}/{name}", label) for name, (_, label) in zip(names, found, strict=True)]


def is_packed(path: Any) -> bool:
    """Return whether a path is that of a packed file.

    Examples
    --------
    >>> is_packed("photos")
    False
    """
    if not isinstance(path, (str, os.PathLike)):
        return False
    place = os.path.expanduser(os.fsdecode(path))
    return place.lower().endswith(ENDING) and os.path.isfile(place)


def list_packed(path: str | os.PathLike[str]) -> list[tuple[str, str | None]]:
    """List the images in a packed file, as `find_images` does those in a folder.

    Parameters
    ----------
    path : path
        Ends in ``.rec``.

    Returns
    -------
    list of (path, label)
        In the order in which they were packed.

    Raises
    ------
    ImageError
        If it is damaged.
    """
    place = os.path.expanduser(os.fsdecode(path))
    names = list(open_packed(place).contents.entries)
    return [(f"{place}/{name}", name.split("/")[0] if "/" in name else None) for name in names]


def _table(found: list[tuple[str, str | None]]) -> pd.DataFrame:
    import pandas as pd

    paths = [path for path, _ in found]
    try:
        "".join(paths).encode()
        table = pd.DataFrame({"image": paths})
    except UnicodeEncodeError:
        # A name that is no UTF-8; pandas' own string type may refuse it.
        table = pd.DataFrame({"image": pd.Series(paths, dtype=object)})
    labels = [label for _, label in found]
    if None not in labels:
        # Object, not pandas' string type, so that classes are plain str whichever version runs.
        categories = pd.Index(sorted(set(labels)), dtype=object)
        # By codes, as pandas would first turn the labels themselves into its own string type.
        code = {label: number for number, label in enumerate(categories)}
        codes = [code[label] for label in labels]
        table["label"] = pd.Categorical.from_codes(codes, categories)
    return table


def _endings(extensions: Iterable[str] | None) -> tuple[str, ...]:
    if extensions is None:
        return EXTENSIONS
    given = [extensions] if isinstance(extensions, str) else list(extensions)
    if not given or not all(isinstance(name, str) and name.strip(". ") for name in given):
        raise InputError(
            f"extensions must be file name endings such as ['png', 'jpg'], not {given!r}."
        )
    return tuple("." + name.strip().lstrip(".").lower() for name in given)


def _listed(folder: str, wanted: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the names of images and of folders in a folder, each sorted, without hidden ones."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                # __MACOSX is what macOS leaves in archives: hidden in all but name.
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.name.lower().endswith(wanted) and entry.is_file():
                    files.append(entry.name)
    except PermissionError:
        raise InputError(
            f"The folder '{folder}' may not be read; change its permissions."
        ) from None
    return sorted(files), sorted(folders)


def _walk(
    folder: str, wanted: tuple[str, ...], recursive: bool, above: tuple[tuple[int, int], ...]
) -> list[str]:
    here = os.stat(folder)
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        return []  # a link back to a folder above
    files, folders = _listed(folder, wanted)
    found = [os.path.join(folder, name) for name in files]
    if recursive:
        for name in folders:
            found += _walk(os.path.join(folder, name), wanted, True, (*above, identity))
    return found
