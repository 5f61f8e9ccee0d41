"""What an operator of MXNet's is told, read and checked: its attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from diglot.errors import ModelFileError

Shape = tuple[int, ...]

LARGEST = 2**31 - 1
"""Of an axis: MXNet keeps sizes in 32 bits."""

_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None}


def parse(text: Any) -> Any:
    """Read one attribute of MXNet's JSON, all of which are strings.

    Examples
    --------
    >>> parse("(3, 3)"), parse("True"), parse("None"), parse("relu"), parse("3L")
    ((3, 3), True, None, 'relu', 3)
    """
    if not isinstance(text, str):
        return text
    if text in _WORDS:
        return _WORDS[text]
    plain = re.sub(r"(?<=\d)L\b", "", text.strip())
    plain = re.sub(r",\s*([)\]])", r"\1", plain).replace("(", "[").replace(")", "]")
    plain = plain.replace("None", "null")
    if not re.fullmatch(r"[-+0-9.eE,\[\]\s]+|.*null.*", plain):
        return text
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value


def is_whole(value: Any) -> bool:
    """Whether it is a whole number that MXNet can keep as a size."""
    return type(value) is int and abs(value) <= LARGEST


class Attrs(Mapping[str, Any]):
    """An operator's attributes, parsed and checked when asked for; MXNet's defaults at the call."""

    def __init__(self, attrs: Mapping[str, str]) -> None:
        self._attrs = attrs

    def __getitem__(self, key: str) -> Any:
        return parse(self._attrs[key])

    def __iter__(self):
        return iter(self._attrs)

    def __len__(self) -> int:
        return len(self._attrs)

    def whole(self, key: str, default: int | None = None, least: int | None = 1) -> int:
        """Return a number such as ``num_filter``; without a default it must be there."""
        value = self.get(key, default)
        if not is_whole(value) or (least is not None and value < least):
            raise ModelFileError(f"its {key} is {value!r}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a switch such as ``no_bias``."""
        value = self.get(key, default)
        if value not in (True, False):
            raise ModelFileError(f"its {key} is {value!r}")
        return bool(value)

    def choice(self, key: str, default: str, *known: str) -> str:
        """Return a word such as ``pool_type``, one of ``known``."""
        value = self.get(key, default)
        value = default if value is None else value
        if value not in known:
            raise ModelFileError(f"its {key} is {value!r}; diglot knows {', '.join(known)}")
        return value

    def numbers(self, key: str, count: int, default: int, least: int = 0) -> Shape:
        """Return a tuple such as ``stride``, of ``count`` numbers."""
        value = self.get(key)
        if value is None or value == ():
            return (default,) * count
        value = value if isinstance(value, tuple) else (value,) * count
        if len(value) != count or not all(is_whole(v) and v >= least for v in value):
            raise ModelFileError(f"its {key} is {value}")
        return value

    def axes(self, key: str, rank: int) -> list[int] | None:
        """Return an axis, or several, counted from the front; None where there are none."""
        value = self.get(key)
        if value is None or value == ():
            return None
        axes = [counted_axis(a, rank) for a in (value if isinstance(value, tuple) else (value,))]
        if len(set(axes)) != len(axes):
            raise ModelFileError(f"its {key} {value} has an axis twice")
        return axes

    def axis(self, key: str, default: int, rank: int) -> int:
        """Return one axis, counted from the front."""
        return counted_axis(self.get(key, default), rank)


def counted_axis(value: Any, rank: int) -> int:
    """Return an axis counted from the front; refuse one that an array of this rank lacks."""
    if not is_whole(value) or not -rank <= value < rank:
        raise ModelFileError(f"it has no axis {value!r}")
    return value % rank
