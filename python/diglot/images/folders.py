"""Folders of images, one sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from diglot.errors import InputError

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
    root = os.path.expanduser(os.fspath(folder))
    if isinstance(root, bytes):
        root = os.fsdecode(root)
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
    root = os.path.expanduser(os.fsdecode(folder))
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
) -> pd.DataFrame:
    """Read a folder of images into a table; the pixels are read when they are needed.

    Parameters
    ----------
    folder : path
        Holds one sub-folder for each class, or images without labels.
    extensions : iterable of str, optional
        Which file names count, such as ``["png", "jpg"]``; by default all that diglot reads.
    recursive : bool
        Whether folders below the class folders count too.

    Returns
    -------
    pandas.DataFrame
        Columns `image` (the path) and `label` (categorical, the name of the folder right under
        `folder`, categories sorted). Without class folders there is no column `label`.

    Raises
    ------
    InputError
        If the folder is missing or holds no images, a class folder is empty, or images lie
        beside class folders.

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
    import pandas as pd

    found = find_images(folder, extensions=extensions, recursive=recursive)
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
        table["label"] = pd.Categorical(labels, categories=categories)
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
