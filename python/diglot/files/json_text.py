"""JSON from strangers, which is counted before it is read."""

from __future__ import annotations

import json
import math
import re
import sys
from itertools import islice
from typing import Any

from diglot.files.reading import ROOM

_MOST_PARTS = 1_000_000  # lists, tables and what is in them; networks have some ten thousand
# Bytes that Python's objects take at most besides the text that they hold, while they are made.
_LIST, _TABLE, _KEYS, _KEY_MORE, _PLACE, _NUMBER, _STRING, _WIDER = 88, 64, 176, 70, 12, 32, 64, 24
_MOST_NAMES = 10_000  # of fields, that are told apart
_LEAST = 50  # no text becomes more than so many times its length
# What names a field: a short word before a colon. An escaped quote begins no string.
_FIELD = re.compile(r'(?<!\\)"(\w{1,40})"\s*:')
_PAIR = re.compile(r"\\u[dD][89abAB]")  # half of a character that takes four bytes


def parse_json(text: str, *, room: int = ROOM, unique: bool = False) -> Any:
    """Read JSON from a stranger, who may have it fill the memory: 3 bytes make a list of 64.

    Numbers beyond a float's range, such as 1e999, would become infinite and are refused.

    Parameters
    ----------
    text : str
        JSON.
    room : int
        How many bytes of memory its values may take, besides twice the text.
    unique : bool
        Refuse an object that has a key twice, of which else the last counts.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        It is no JSON, has more values than any model needs, an infinite number, or a key twice.

    Examples
    --------
    >>> parse_json('{"a": [1, 2]}')
    {'a': [1, 2]}
    """
    refuse_crowded(text, room)
    pairs = _unique if unique else None
    return json.loads(
        text, parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=pairs
    )


def refuse_crowded(text: str, room: int) -> None:
    """Refuse what would take too much memory, before anything is made of it."""
    if len(text) * _LEAST <= room:
        return
    parts = sum(map(text.count, "[{,"))
    if parts > _MOST_PARTS:
        raise ValueError(f"it has {parts} values, and at most {_MOST_PARTS} are read")
    needed = _needed(text)
    if needed > room:
        raise ValueError(
            f"its {parts} values would take {needed / 1e6:.0f} MB of memory besides the text, and "
            f"may take {room / 1e6:.0f} MB"
        )


def _needed(text: str) -> int:
    """Return how many bytes a text of JSON takes at most besides twice its length, when read.

    It is counted and not read, so that what stands within strings counts, too.
    """
    lists, tables, commas, colons = (text.count(sign) for sign in "[{,:")
    # Of a string's two quotes the first is never escaped; a backslash may itself be.
    quotes = text.count('"') - text.count('\\"') + text.count('\\\\"')
    strings, keys = (quotes + 1) // 2, min(colons, commas + tables)
    filled, again = min(tables, keys), _repeated(text, keys)
    given = sys.getsizeof(text) // len(text)  # bytes for each character
    wide = max(given, _escaped(text))
    string = _STRING if wide == 1 and text.isascii() else _STRING + _WIDER
    # What has escapes is put together with some room, and again where they make it wider.
    held = given if "\\" not in text else 1.25 * (1 + wide if wide > 1 else 1)
    return round(
        lists * _LIST
        + tables * _TABLE
        + filled * _KEYS
        + (keys - filled) * _KEY_MORE
        + (keys - again) * _KEY_MORE  # in json's own table of names, too
        + commas * _PLACE
        + max(commas + 1 - strings + keys, 0) * _NUMBER
        + (strings - again) * string
        + (given - 1 + held - 1) * len(text)
    )


def _repeated(text: str, keys: int) -> int:
    """Count the fields whose name an earlier one has: json keeps each name once."""
    seen: set[str] = set()
    again = 0
    for match in islice(_FIELD.finditer(text), keys):
        if match[1] in seen:
            again += 1
        elif len(seen) < _MOST_NAMES:
            seen.add(match[1])
    return again


def _escaped(text: str) -> int:
    """Return how many bytes a character takes that may be written as an escape."""
    if "\\u" not in text:
        return 1
    return 4 if _PAIR.search(text) else 2


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; refuse a repeated key, for nobody knows which value counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
