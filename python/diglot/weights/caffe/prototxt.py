"""Protocol Buffers' text format, in which Caffe's ``.prototxt`` files are written.

Reference: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Union

from diglot.errors import ModelFileError

_DEEPEST = 32  # messages inside messages; Caffe's networks need five
_MOST_TOKENS = 300_000  # with the spaces between them; more would look like a hang

# A text is bounded, as the engine of these expressions keeps 150 bytes for each time that it may
# have to go back to.
_TOKEN = re.compile(
    r"""(?P<space>[\s,;]+|\#[^\n]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|inf\b|nan\b))
      | (?P<text>"[^"\\\n]{0,4096}(?:\\.[^"\\\n]{0,4096}){0,200}"
               | '[^'\\\n]{0,4096}(?:\\.[^'\\\n]{0,4096}){0,200}')
      | (?P<mark>[:{}<>\[\]])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
_CLOSING = {"{": "}", "<": ">"}

Value = Union[str, "Message"]


class Message:
    """A message's fields by name; numbers stay text until asked for as what they shall be.

    Parameters
    ----------
    where : str
        What errors call it, such as ``"layer 'conv1'"``.
    fields : dict of str to list
        Every field's values in the file's order: text, or messages.
    """

    def __init__(self, where: str, fields: dict[str, list[Value]] | None = None) -> None:
        self.where = where
        self.fields = {} if fields is None else fields

    def __contains__(self, key: str) -> bool:
        return key in self.fields

    def messages(self, key: str) -> list[Message]:
        """Return all messages called ``key``."""
        found = self.fields.get(key, [])
        if not all(isinstance(value, Message) for value in found):
            raise ModelFileError(f"{self.where}: its {key} must be a message in braces")
        return found

    def message(self, key: str) -> Message:
        """Return the one message called ``key``; an empty one where there is none."""
        found = self.messages(key)
        if len(found) > 1:
            raise ModelFileError(f"{self.where}: it has {len(found)} fields called {key}")
        return found[0] if found else Message(f"{self.where}, {key}")

    def texts(self, key: str) -> list[str]:
        """Return all plain values called ``key``, as text."""
        found = self.fields.get(key, [])
        if not all(isinstance(value, str) for value in found):
            raise ModelFileError(f"{self.where}: its {key} must be a plain value")
        return found

    def text(self, key: str, default: str = "") -> str:
        """Return the one plain value called ``key``."""
        found = self.texts(key)
        if len(found) > 1:
            raise ModelFileError(f"{self.where}: it has {len(found)} values called {key}")
        return found[0] if found else default

    def wholes(self, key: str) -> list[int]:
        """Return all whole numbers called ``key``."""
        return [self._whole(key, value) for value in self.texts(key)]

    def whole(self, key: str, default: int) -> int:
        """Return the one whole number called ``key``."""
        value = self.text(key)
        return self._whole(key, value) if value else default

    def reals(self, key: str) -> list[float]:
        """Return all numbers called ``key``."""
        return [self._real(key, value) for value in self.texts(key)]

    def real(self, key: str, default: float) -> float:
        """Return the one number called ``key``."""
        value = self.text(key)
        return self._real(key, value) if value else default

    def flag(self, key: str, default: bool) -> bool:
        """Return the one truth value called ``key``."""
        value = self.text(key)
        if value not in ("", "true", "false", "True", "False", "t", "f", "0", "1"):
            raise ModelFileError(f"{self.where}: its {key} is {value!r}, neither true nor false")
        return value in ("true", "True", "t", "1") if value else default

    def choice(self, key: str, *known: str, default: str = "") -> str:
        """Return the enum value called ``key``, by default the first of ``known``.

        The file may give its number, which is its place in ``known``.
        """
        value = self.text(key) or default or known[0]
        value = known[int(value)] if value in map(str, range(len(known))) else value
        if value not in known:
            raise ModelFileError(
                f"{self.where}: its {key} is {value}; diglot knows {', '.join(known)}"
            )
        return value

    def only(self, known: Iterable[str]) -> None:
        """Refuse a field that is not among ``known``: what it asks for would not be done."""
        for key in self.fields:
            if key not in known:
                raise ModelFileError(f"{self.where}: diglot does not know its field {key!r}")

    def _whole(self, key: str, value: str) -> int:
        if not re.fullmatch(r"[-+]?[0-9]{1,18}", value):
            raise ModelFileError(f"{self.where}: its {key} is {value!r}, not a whole number")
        return int(value)

    def _real(self, key: str, value: str) -> float:
        try:
            number = float(re.sub(r"(?<=[\d.])[fF]$", "", value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ModelFileError(f"{self.where}: its {key} is {value!r}, not a number")
        return number


def parse_text(text: str) -> Message:
    """Read a file in the text format.

    Parameters
    ----------
    text : str
        The file's content.

    Returns
    -------
    Message
        Without a schema: what a field is, the caller says when asking for it.

    Raises
    ------
    ModelFileError
        The text is not in this format; the message names the line.

    Examples
    --------
    >>> net = parse_text('layer { name: "fc" bottom: "x" bottom: "y" scale: 0.5 }  # a comment')
    >>> layer = net.message("layer")
    >>> layer.text("name"), layer.texts("bottom"), layer.real("scale", 1.0)
    ('fc', ['x', 'y'], 0.5)
    """
    tokens = _Tokens(text)
    root = Message("the network")
    open_messages: list[tuple[Message, str]] = [(root, "")]
    for kind, token in tokens:
        message, closing = open_messages[-1]
        if kind == "mark" and token == closing:
            open_messages.pop()
            continue
        if kind != "name":
            raise tokens.error(f"{token!r} stands where a field's name belongs")
        values = message.fields.setdefault(token, [])
        kind, mark = tokens.next()
        if mark == ":":
            kind, mark = tokens.next()
        elif mark not in _CLOSING:
            raise tokens.error(f"{token!r} has neither a value nor a message")
        if kind == "mark" and mark in _CLOSING:
            if len(open_messages) > _DEEPEST:
                raise tokens.error(f"messages are nested more than {_DEEPEST} deep")
            inner = Message(token)
            values.append(inner)
            open_messages.append((inner, _CLOSING[mark]))
        elif kind == "mark" and mark == "[":
            values += tokens.listed()
        else:
            values.append(tokens.scalar(kind, mark))
    if len(open_messages) > 1:
        raise ModelFileError(f"it is cut off: {open_messages[-1][0].where!r} is not closed")
    return root


class _Tokens:
    """The text's words one by one, with the line for errors."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._read = self._cut()
        self._ahead: tuple[str, str] | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        while (token := self._peek()) is not None:
            self._ahead = None
            yield token

    def next(self) -> tuple[str, str]:
        token = self._peek()
        if token is None:
            raise ModelFileError("it is cut off inside a field")
        self._ahead = None
        return token

    def scalar(self, kind: str, token: str) -> str:
        """Return a plain value; texts that follow each other are one."""
        if kind == "mark":
            raise self.error(f"{token!r} stands where a value belongs")
        if kind != "text":
            return token
        parts = [token]
        while (ahead := self._peek()) is not None and ahead[0] == "text":
            parts.append(self.next()[1])
        return "".join(self._unescaped(part[1:-1]) for part in parts)

    def listed(self) -> list[str]:
        """Return the values up to the closing bracket."""
        values = []
        while (token := self.next()) != ("mark", "]"):
            values.append(self.scalar(*token))
        return values

    def error(self, fault: str) -> ModelFileError:
        line = self._text.count("\n", 0, self._at) + 1
        return ModelFileError(f"not in Caffe's text format: line {line}: {fault}")

    def _unescaped(self, text: str) -> str:
        try:
            return re.sub(r"\\(.)", lambda match: _ESCAPES[match[1]], text)
        except KeyError as error:
            raise self.error(f"the escape \\{error.args[0]} is not read") from error

    def _peek(self) -> tuple[str, str] | None:
        if self._ahead is None:
            self._ahead = next(self._read, None)
        return self._ahead

    def _cut(self) -> Iterator[tuple[str, str]]:
        for _ in range(_MOST_TOKENS):
            if self._at == len(self._text):
                return
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                raise self.error(f"{self._text[self._at : self._at + 20]!r} is no word of it")
            self._at = match.end()
            if match.lastgroup != "space":
                yield match.lastgroup, match[0]
        raise self.error("it is too long to be a network")
