"""Formats of caption files: COCO's, Karpathy's and Flickr's, from text to images with captions.

The files are other people's: whatever is not as it should be is named by its record (counted from
1, as lines are) and its image.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diglot.errors import InputError

_KNOWN = (
    "diglot reads COCO's captions (JSON with images and annotations), Karpathy's splits (JSON with "
    "images that have sentences) and Flickr8k's text (lines such as 'name.jpg#0', a tab and the "
    "caption; or comma-separated values under the header image,caption)"
)
_TOKEN = re.compile(r"(?P<name>.+)#(?P<number>[0-9]+)\t(?P<caption>.*)")
_HEADER = ["image", "caption"]
_BROKEN = re.compile("[\0\ud800-\udfff]")  # NUL and halves of characters: JSON can hold them
_LONGEST_NAME = 1000
# Characters that a value of JSON, a line have at least, over a whole file of more than a few.
_LEAST_PART, _LEAST_LINE, _FEW = 5, 16, 100_000


@dataclass(slots=True)
class Captioned:
    """An image of the file: its name, relative to the folder of images, and what is said of it."""

    name: str
    captions: list[str] = field(default_factory=list)
    split: str | None = None


def parse(text: str) -> list[Captioned]:
    r"""Read the text of a caption file of any of the formats.

    Parameters
    ----------
    text : str
        The whole file.

    Returns
    -------
    list of Captioned
        In the file's order; each has a caption.

    Raises
    ------
    InputError
        If it is of no known format, or damaged.

    Examples
    --------
    >>> parse("image,caption\ndog.jpg,A dog runs .\n")
    [Captioned(name='dog.jpg', captions=['A dog runs .'], split=None)]
    """
    start = text.lstrip()[:1]
    if not start:
        raise InputError("the file is empty.")
    _refuse_crowded(text, start in "{[")
    if start in "{[":
        found = _parse_json(text)
    elif _fields(text.lstrip().split("\n", 1)[0]) == _HEADER:
        found = _parse_table(text)
    elif _TOKEN.match(text.lstrip()):
        found = _parse_tokens(text)
    else:
        raise InputError(f"the file is of no known format: {_KNOWN}.")
    if not found:
        raise InputError("the file holds no images.")
    for one in found:
        if not one.captions:
            raise InputError(f"the image '{one.name}' has no caption; remove it or add one.")
    return found


def _refuse_crowded(text: str, is_json: bool) -> None:
    """Refuse what is made to fill the memory: three bytes of JSON can be a list of 64."""
    parts = sum(map(text.count, "[{,")) if is_json else text.count("\n")
    least = _LEAST_PART if is_json else _LEAST_LINE
    if parts > max(_FEW, len(text) // least):
        raise InputError(
            f"the file has {parts:,} values in {len(text):,} characters; captions are longer."
        )


# ---- COCO and Karpathy


def _parse_json(text: str) -> list[Captioned]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the file is damaged or no JSON, line {error.lineno}, column {error.colno}: "
            f"{error.msg}; download it again."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        # Numbers of many digits, brackets without end.
        raise InputError(f"the file is damaged or no JSON: {error}; download it again.") from None
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        if isinstance(content.get("annotations"), list):
            return _parse_coco(content["images"], content["annotations"])
        if any(isinstance(one, dict) and "sentences" in one for one in content["images"][:100]):
            return _parse_karpathy(content["images"])
    raise InputError(f"the file is JSON, but of no known format: {_KNOWN}.")


def _parse_coco(images: list[Any], annotations: list[Any]) -> list[Captioned]:
    names = _Once("the image")
    ids, numbers = _Once("the id"), _Once("the id")
    by_id: dict[Any, Captioned] = {}
    for where, record in _records(images, "images"):
        number = ids.add(_identity(record, "id", where), where)
        name = names.add(_name(_text(record, "file_name", where), where), where)
        by_id[number] = Captioned(name)
    for where, record in _records(annotations, "annotations"):
        number = _identity(record, "image_id", where)
        if number not in by_id:
            raise InputError(
                f"{where} is for the image id {_shown(number)}, which is none of images."
            )
        if "id" in record:
            numbers.add(_identity(record, "id", where), where)
        if "caption" not in record:
            raise InputError(f"{where} has no caption; is this a file of captions?")
        image = by_id[number]
        image.captions.append(_caption(record["caption"], image.name, where))
    return list(by_id.values())


def _parse_karpathy(images: list[Any]) -> list[Captioned]:
    names = _Once("the image")
    found = []
    for where, record in _records(images, "images"):
        name = _text(record, "filename", where)
        if record.get("filepath") not in (None, ""):
            name = _text(record, "filepath", where) + "/" + name
        name = names.add(_name(name, where), where)
        one = Captioned(name, split=_text(record, "split", where))
        sentences = record.get("sentences")
        if not isinstance(sentences, list):
            raise InputError(f"{where}, the image '{name}', has no list of sentences.")
        for inner, sentence in _records(sentences, f"sentences of {where}"):
            one.captions.append(_caption(_raw(sentence), name, inner))
        found.append(one)
    return found


def _raw(sentence: Mapping[str, Any]) -> Any:
    """Return a sentence as it was written, or else its words; None if it has neither."""
    tokens = sentence.get("tokens")
    words = isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
    return " ".join(tokens) if words and "raw" not in sentence else sentence.get("raw")


# ---- Flickr8k


def _parse_tokens(text: str) -> list[Captioned]:
    found: dict[str, Captioned] = {}
    numbers = _Once("the caption")
    for where, line in _lines(text):
        parts = _TOKEN.fullmatch(line)
        if parts is None:
            raise InputError(
                f"{where} is not a name, #, a number, a tab and a caption: {_shown(line)}"
            )
        name = _name(parts["name"], where)
        numbers.add(f"{name}#{parts['number']}", where)
        caption = _caption(parts["caption"], name, where)
        found.setdefault(name, Captioned(name)).captions.append(caption)
    return list(found.values())


def _parse_table(text: str) -> list[Captioned]:
    found: dict[str, Captioned] = {}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        next(row for row in rows if row)  # the header
        for row in filter(None, rows):
            where = f"line {rows.line_num}"
            if len(row) != len(_HEADER):
                raise InputError(
                    f"{where} has {len(row)} fields, not 2: a caption with a comma must stand in "
                    "double quotes."
                )
            name = _name(row[0], where)
            found.setdefault(name, Captioned(name)).captions.append(_caption(row[1], name, where))
    except csv.Error as error:
        raise InputError(f"line {rows.line_num} is damaged: {error}.") from None
    return list(found.values())


def _fields(line: str) -> list[str]:
    return [part.strip().strip('"').lower() for part in line.split(",")]


def _lines(text: str) -> Iterable[tuple[str, str]]:
    # Not splitlines(), which also ends lines at signs that captions may hold.
    for i, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {i}", line.rstrip("\r")


# ---- records


def _records(records: list[Any], of: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for i, record in enumerate(records, 1):
        where = f"record {i} of {of}"
        if not isinstance(record, dict):
            raise InputError(f"{where} is damaged: it is no JSON object.")
        yield where, record


def _identity(record: Mapping[str, Any], key: str, where: str) -> int | str:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InputError(f"{where} has no {key}, which must be a whole number or a text.")
    return value


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} has no {key}.")
    if _BROKEN.search(value):
        raise InputError(f"{where} has a {key} that is no text: {_shown(value)}")
    return value


def _caption(value: Any, name: str, where: str) -> str:
    if value is None:
        raise InputError(f"{where}, for the image '{name}', has no caption.")
    if not isinstance(value, str):
        raise InputError(f"{where}, for the image '{name}', has a caption that is no text.")
    if not value.strip():
        raise InputError(f"{where}, for the image '{name}', has an empty caption; remove it.")
    if _BROKEN.search(value):
        raise InputError(
            f"{where}, for the image '{name}', has a caption with signs that are no text."
        )
    return value.strip()


def _name(name: str, where: str) -> str:
    """Return the name of an image's file if it stays in the folder of images."""
    parts = re.split(r"[/\\]", name)
    # A colon would name a drive of Windows.
    outside = ".." in parts or not parts[0] or ":" in parts[0]
    if not name.strip() or outside or _BROKEN.search(name) or len(name) > _LONGEST_NAME:
        raise InputError(
            f"{where} names the file {_shown(name)}, which is not in the folder of images; only "
            "names relative to it are read."
        )
    return name


class _Once:
    """Sees to it that each id or name stands in a file once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: dict[Any, str] = {}

    def add(self, value: Any, where: str) -> Any:
        if value in self._seen:
            raise InputError(
                f"{where} has {self._what} {_shown(value)} of {self._seen[value]} again; each may "
                "stand there once."
            )
        self._seen[value] = where
        return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
