"""Files of captions: one table of images and what is said of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diglot.captions.formats import Captioned, parse
from diglot.errors import InputError
from diglot.files import path_of, read_bytes
from diglot.images.memory import available_memory

if TYPE_CHECKING:
    import pandas as pd

_LARGEST = 2**30  # bytes; COCO's have less than a fifth
_TIMES = 25  # that much of its size in memory a file of captions may take
_SPLITS = ("train", "restval", "val", "test")  # Karpathy's, in the order of their use


def read_captions(
    file: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    split: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    r"""Read a file of captions into a table; the pixels are read when they are needed.

    Three formats are told apart by their content:

    - COCO's captions, JSON with `images` and `annotations`, such as
      ``captions_train2017.json``;
    - Karpathy's splits, JSON with `images` that have `sentences` and a `split`, such as
      ``dataset_coco.json`` and ``dataset_flickr8k.json``;
    - Flickr8k's and Flickr30k's text: lines of an image's name, ``#``, the caption's number, a tab
      and the caption (``Flickr8k.token.txt``), or comma-separated values under the header
      ``image,caption`` (``captions.txt``).

    Parameters
    ----------
    file : path
        The file, in UTF-8.
    images : path, optional
        The folder of the images. Names in the file are relative to it and cannot lead out of it.
        Whether the images are there is seen when they are read.
    split : str or list of str, optional
        The parts to take, where the file has splits: "val", or ["train", "restval"] for all that
        Karpathy's splits train on.

    Returns
    -------
    pandas.DataFrame
        One row an image, in the file's order: `image`, the path; `captions`, a list of str,
        without blanks at their ends; and, where the file has splits, `split`, categorical.

    Raises
    ------
    InputError
        If the file is missing, damaged or of no known format. The message names the record, image
        or line; they count from 1.

    References
    ----------
    X. Chen and others: Microsoft COCO Captions: Data Collection and Evaluation Server, 2015,
    arXiv:1504.00325. A. Karpathy, L. Fei-Fei: Deep Visual-Semantic Alignments for Generating Image
    Descriptions, CVPR 2015. M. Hodosh, P. Young, J. Hockenmaier: Framing Image Description as a
    Ranking Task, Journal of Artificial Intelligence Research 47, 2013.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "captions.token.txt"
    ...     lines = ["dog.jpg#0\tA dog runs .", "dog.jpg#1\tA wet dog .", "cat.jpg#0\tA cat ."]
    ...     _ = file.write_text("\n".join(lines))
    ...     read_captions(file, "photos")["captions"].tolist()
    [['A dog runs .', 'A wet dog .'], ['A cat .']]
    """
    path = _path(file, "file")
    wanted = _wanted(split)
    folder = _folder(images)
    try:
        found = _chosen(parse(_text(path)), wanted)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None
    return _frame(found, folder)


def _path(given: Any, name: str) -> str:
    return os.path.expanduser(path_of(given, name))


def _folder(images: Any) -> str | None:
    if images is None:
        return None
    folder = _path(images, "images")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"images must be the folder of the images; '{folder}' is a file.")
    return folder


def _wanted(split: Any) -> list[str] | None:
    if split is None:
        return None
    names = [split] if isinstance(split, str) else split
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise InputError(f"split must be a name such as 'train', or a list of them, not {split!r}.")
    return list(names)


def _content(path: str) -> bytes:
    try:
        most = min(_LARGEST, available_memory() // _TIMES)
        return read_bytes(path, most)
    except FileNotFoundError:
        raise InputError(
            f"there is no such file (looked from '{os.path.abspath('.')}'); check the path."
        ) from None
    except IsADirectoryError:
        raise InputError("this is a folder; give the name of the file of captions in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the file cannot be read: {reason}.") from error


def _text(path: str) -> str:
    content = _content(path)
    if content.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise InputError("the file is packed; unpack it first and give the file that was in it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {line} is not in UTF-8 (byte {error.start + 1} of the file); convert the file "
            "to UTF-8."
        ) from None


def _chosen(found: list[Captioned], wanted: list[str] | None) -> list[Captioned]:
    if wanted is None:
        return found
    there = _ordered({one.split for one in found if one.split is not None})
    if not there:
        raise InputError("this file has no splits; leave split out.")
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise InputError(f"there is no split '{unknown[0]}'; there are {', '.join(there)}.")
    return [one for one in found if one.split in wanted]


def _ordered(splits: set[str]) -> list[str]:
    return [name for name in _SPLITS if name in splits] + sorted(splits.difference(_SPLITS))


def _frame(found: list[Captioned], folder: str | None) -> pd.DataFrame:
    import pandas as pd

    paths = [one.name if folder is None else os.path.join(folder, one.name) for one in found]
    texts = [one.captions for one in found]
    # Object, not pandas' string type, which refuses folders whose names are no UTF-8.
    table = pd.DataFrame(
        {"image": pd.Series(paths, dtype=object), "captions": pd.Series(texts, dtype=object)}
    )
    splits = [one.split for one in found]
    if found and None not in splits:
        categories = pd.Index(_ordered(set(splits)), dtype=object)
        table["split"] = pd.Categorical(splits, categories=categories)
    return table
