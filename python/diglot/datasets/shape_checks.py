"""Captions of drawn shapes against the record of the drawing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from diglot.datasets.shapes import COLOURS, MOST_OBJECTS, SHAPES
from diglot.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTES = ("colour", "size", "shape")
COLUMNS = (*ATTRIBUTES, "relation", "all")
_NEEDED = {*ATTRIBUTES, "x", "y"}


class _Statement(NamedTuple):
    """What a caption says: objects as named, and (subject, relation, object) by their places."""

    objects: list[dict[str, str]]
    relations: list[tuple[int, str, int]]


_DIRECTIONS = ("left", "right", "above", "below")
_WHERE = r"(?:(?:on |to )?(?:the )?(?:left|right) of|above|below)"
_TOKENS = {
    # Before relations: "above it" is not "above" with a word left over.
    "P": rf"(?:on |to )?its (?:left|right)|{_WHERE} it",
    "R": rf"(?:(?:is|lies) )?{_WHERE}",
    "N": r"(?:(?:a|an|the) )?(?P<size>small|large) "
    rf"(?P<colour>{'|'.join(COLOURS)}) (?P<shape>{'|'.join(SHAPES)})",
    "W": "which|that",
    "A": "and",
    "H": "with",
    "": "there is|this is|(?:the|this) (?:picture|image) shows|(?:a|the) (?:picture|image) of"
    "|on a(?: dark| light)? grey background",
}
_TOKENS = {letter: re.compile(rf"(?:{words})\b ?") for letter, words in _TOKENS.items()}
# With a letter for each token, a sentence is a noun with relations to others ("N left of N which
# is below N", "N left of N and below N") or with others that relate to it ("N with N to its left
# and N below it").
_DIRECT = re.compile("N(?:W?RN(?:[WA]RN)*)?")
_WITH = re.compile("NHNP(?:ANP)*")


def check_shapes(captions: Sequence[str], data: pd.DataFrame) -> pd.DataFrame:
    """Compare captions of drawn shapes with the record of the drawing.

    A caption is read by its noun phrases ("a small red circle") and relations ("to the left of",
    "with ... below it"), in any wording that is made of them. It has to name every object once.

    Parameters
    ----------
    captions : list of str
        One for each row of `data`.
    data : pandas.DataFrame
        As `shapes` gives it; its column `objects` is used.

    Returns
    -------
    pandas.DataFrame
        One row for each caption, all bool: `colour`, `size` and `shape` tell whether that of
        every object is right, `relation` whether each further object is related to another and
        each relation is true (of two directions the one in which the centres lie farther apart
        counts), and `all` whether all of these are. A caption that cannot be read or names too
        many or too few objects is False throughout.

    Raises
    ------
    InputError
        If `captions` are no texts, not one for each row, or `data` has no such column.

    Examples
    --------
    >>> from diglot.datasets import shapes
    >>> data = shapes(100, seed=1)
    >>> bool(check_shapes([texts[0] for texts in data["captions"]], data)["all"].all())
    True
    """
    import pandas as pd

    texts = _texts(captions)
    records = _records(data)
    if len(texts) != len(records):
        raise InputError(
            f"There are {len(texts)} captions but {len(records)} rows in data: each row needs one."
        )
    rows = [_verdict(text, record) for text, record in zip(texts, records, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=bool)


def _texts(captions: Any) -> list[str]:
    if isinstance(captions, str):
        raise InputError("captions must be a list of texts, one for each row of data, not a text.")
    try:
        texts = list(captions)
    except TypeError:
        raise InputError(f"captions must be a list of texts, not {captions!r}.") from None
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"captions must be texts; number {i} (from 0) is {text!r}.")
    return texts


def _records(data: Any) -> list[Sequence[Mapping[str, Any]]]:
    try:
        records = list(data["objects"])
    except (KeyError, TypeError, IndexError):
        raise InputError(
            "data has no column 'objects'; give the table that shapes() returned."
        ) from None
    for row, record in enumerate(records):
        counted = isinstance(record, (list, tuple)) and 1 <= len(record) <= MOST_OBJECTS
        if not counted or not all(map(_is_object, record)):
            raise InputError(
                f"The record of the drawing in row {row} of data (from 0) is damaged; give the "
                "table that shapes() returned."
            )
    return records


def _is_object(one: Any) -> bool:
    return isinstance(one, Mapping) and one.keys() >= _NEEDED


def _verdict(text: str, record: Sequence[Mapping[str, Any]]) -> tuple[bool, ...]:
    said = _read(text)
    if said is None or len(said.objects) != len(record):
        return (False,) * len(COLUMNS)
    # Which object each phrase means is open where attributes are wrong: the reading that is
    # right most often counts.
    verdicts = (_compare(said, [record[i] for i in p]) for p in permutations(range(len(record))))
    right, relation = max(verdicts, key=lambda v: (sum(map(sum, v[0])), v[1]))
    attributes = [all(column) for column in zip(*right, strict=True)]
    return (*attributes, relation, all(attributes) and relation)


def _compare(said: _Statement, meant: Sequence[Mapping[str, Any]]) -> tuple[list[list[bool]], bool]:
    right = [
        [named[attribute] == one[attribute] for attribute in ATTRIBUTES]
        for named, one in zip(said.objects, meant, strict=True)
    ]
    return right, all(_holds(meant[i], relation, meant[j]) for i, relation, j in said.relations)


def _holds(one: Mapping[str, Any], relation: str, other: Mapping[str, Any]) -> bool:
    right, down = one["x"] - other["x"], one["y"] - other["y"]
    distance = {"left": -right, "right": right, "above": -down, "below": down}[relation]
    return distance > 0 and distance >= max(abs(right), abs(down))


def _read(text: str) -> _Statement | None:
    """Return what a caption says, or None if it is no sentence of this language."""
    words = " ".join(re.findall(r"\w+", text.lower()))
    sentence, objects, relations = "", [], []
    place = 0
    while place < len(words):
        letter, token = _next(words, place)
        if token is None:
            return None
        place = token.end()
        sentence += letter
        if letter == "N":
            objects.append(token.groupdict())
        elif letter in ("P", "R"):
            relations.append(next(word for word in _DIRECTIONS if word in token[0]))
    if _DIRECT.fullmatch(sentence):
        return _Statement(objects, _direct(sentence, relations))
    if _WITH.fullmatch(sentence):
        return _Statement(objects, [(i + 1, word, 0) for i, word in enumerate(relations)])
    return None


def _next(words: str, place: int) -> tuple[str, re.Match[str] | None]:
    for letter, pattern in _TOKENS.items():
        token = pattern.match(words, place)
        if token is not None:
            return letter, token
    return "", None


def _direct(sentence: str, relations: list[str]) -> list[tuple[int, str, int]]:
    """Give each relation its subject: after "and" that of the one before, else the last noun."""
    found: list[tuple[int, str, int]] = []
    nouns, subject = 0, 0
    for letter in sentence:
        if letter == "N":
            nouns += 1
        elif letter == "W":
            subject = nouns - 1
        elif letter == "R":
            found.append((subject, relations[len(found)], nouns))
    return found
