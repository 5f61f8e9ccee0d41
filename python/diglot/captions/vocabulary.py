"""Words and their numbers: captions cut into tokens, and the vocabulary that codes them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from operator import index
from typing import Any

from diglot.errors import InputError, ModelFileError

PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3
_SPECIALS = 4
_UNKNOWN_TEXT = "<unk>"  # no token: tokens hold no punctuation of this kind

_MOST_WORDS = 1_000_000
_LONGEST_WORD = 200  # what is longer is noise, as an address on the web; it stays unknown

# Words are written with spaces between them, on one line, in UTF-8.
_NOT_IN_WORDS = re.compile("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# Letters and digits, with apostrophes and hyphens inside, and points and commas inside numbers.
_INNER = r"(?:['-]|(?<=\d)[.,](?=\d))"
_ASCII_WORD = re.compile(rf"[A-Za-z0-9]+(?:{_INNER}[A-Za-z0-9]+)*")

# Typographic forms of one sign: right quotation mark and modifier letter; the two Unicode hyphens.
_ONE_FORM = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"})

# Scripts written without spaces between words (Unicode Standard, chapters 16 and 18). Hangul and
# Tibetan are not among them: they mark words or syllables.
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # Han: iteration mark, closing mark, zero
    (0x3021, 0x312F),  # Han numerals, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo and Katakana, extended
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xA9E0, 0xA9FF),  # Myanmar, extended
    (0xAA60, 0xAADF),  # Myanmar, extended; Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x1AFF0, 0x1B16F),  # Kana, extended
    (0x20000, 0x3FFFF),  # Han, extensions B and on
)
_UNSPACED_NUMERALS = "\u3007\u3021-\u3029\u3038-\u303a"  # numbers to Unicode, characters to Han

# Pictographs (Unicode Technical Standard 51) without arrows and ornaments, which are punctuation.
_PICTURE = (
    "[\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u2600-\u26ff\u2702-\u2757\u2763\u2764"
    "\u2795-\u2797\u27a1\u27b0\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\U0001f000-\U0001faff]"
)
_SKIN = "[\U0001f3fb-\U0001f3ff]"
_JOINER = "\u200d"
_EMOJI = (
    "[\U0001f1e6-\U0001f1ff]{2}"  # a flag is two letters
    f"|{_PICTURE}{_SKIN}?(?:{_JOINER}{_PICTURE}{_SKIN}?)*"
)
_LONE_JOINER = re.compile(f"(?<!{_PICTURE}){_JOINER}|{_JOINER}(?!{_PICTURE})")


def tokenise(text: str, lowercase: bool = True) -> list[str]:
    """Cut a text into tokens.

    Parameters
    ----------
    text : str
        A caption.
    lowercase : bool
        Write all letters small.

    Returns
    -------
    list of str
        - Words, in Unicode's composed form (NFC), with their apostrophes and hyphens ("don't",
          "t-shirt"; typographic ones become plain) and their combining marks.
        - Numbers, with their inner points and commas ("3.5").
        - One token a character of scripts without spaces (Han, Hiragana, Katakana, Thai, Lao,
          Khmer, Myanmar and others); Hangul has spaces.
        - One token an emoji, flags and joined emoji too.

        Punctuation and other symbols are dropped, as is usual for captions; so are zero-width
        and control characters, which do not separate words.

    Raises
    ------
    InputError
        If the text is no str.

    References
    ----------
    Unicode Standard Annex 15 (normalisation forms) and 44 (categories), Technical Standard 51
    (emoji).

    Examples
    --------
    >>> tokenise("A man's red T-shirt, size 3.5!")
    ['a', "man's", 'red', 't-shirt', 'size', '3.5']
    >>> tokenise("赤い car")
    ['赤', 'い', 'car']
    """
    if not isinstance(text, str):
        raise InputError(f"A caption must be text (str), not {text!r:.50}.")
    if text.isascii() and text.isprintable():  # most captions
        return _ASCII_WORD.findall(text.lower() if lowercase else text)
    signs = _signs()
    text = signs.invisible.sub("", text.translate(_ONE_FORM))
    text = unicodedata.normalize("NFC", _LONE_JOINER.sub("", text))
    if lowercase:  # small letters may be written with marks that compose anew
        text = unicodedata.normalize("NFC", text.lower())
    return signs.token.findall(text)


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids.

    Ids 0 to 3 are `PAD`, `BEGIN`, `END` and `UNKNOWN`; word i of `words` has the id i + 4.

    Parameters
    ----------
    words : tuple of str
        At most a million different words of 1 to 200 characters, without spaces.
    lowercase : bool
        Texts are written small before they are coded.

    Raises
    ------
    InputError
        If `words` is not like that.

    Examples
    --------
    >>> words = Vocabulary.build(["A red circle", "a blue circle"])
    >>> words.words
    ('a', 'circle', 'blue', 'red')
    >>> words.encode("a green circle")
    [4, 3, 5]
    >>> words.decode([BEGIN, 4, 7, 5, END, PAD])
    'a red circle'
    >>> len(words)
    8
    """

    words: tuple[str, ...]
    lowercase: bool = True
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = self.words
        if not isinstance(words, str):  # which would be taken for a list of letters
            words = tuple(words)
        fault = _fault(words, self.lowercase)
        if fault:
            raise InputError(f"Not a vocabulary: {fault}")
        # A frozen dataclass sets its own attributes like this.
        object.__setattr__(self, "words", words)
        ids = {word: i for i, word in enumerate(words, start=_SPECIALS)}
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(
        cls,
        captions: Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        lowercase: bool = True,
    ) -> Vocabulary:
        """Collect the words of captions, the most frequent first, ties in alphabetical order.

        Parameters
        ----------
        captions : iterable of n str
            The texts.
        min_count : int
            Words that occur less often stay unknown.
        max_size : int or None
            At most so many words, the special ids not counted; None for a million.
        lowercase : bool
            Write all letters small.

        Returns
        -------
        Vocabulary
            Words of more than 200 characters are left out.

        Raises
        ------
        InputError
            If a caption is no text, or a limit no number that fits.

        Examples
        --------
        >>> Vocabulary.build(["two dogs", "two cats"], min_count=2).words
        ('two',)
        """
        if isinstance(captions, str):
            raise InputError(f"captions is one text ({captions!r:.50}); give a list of texts.")
        least = _whole("min_count", min_count)
        most = _MOST_WORDS if max_size is None else _whole("max_size", max_size)
        counts: Counter[str] = Counter()
        for row, caption in enumerate(captions, start=1):
            if not isinstance(caption, str):
                raise InputError(f"Caption {row} must be text (str), not {caption!r:.50}.")
            counts.update(tokenise(caption, lowercase))
        kept = [(-n, w) for w, n in counts.items() if n >= least and len(w) <= _LONGEST_WORD]
        kept = sorted(kept)[: min(most, _MOST_WORDS)]
        return cls(tuple(word for _, word in kept), lowercase)

    def __len__(self) -> int:
        """Return the number of ids, the four special ones included."""
        return len(self.words) + _SPECIALS

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's tokens, without `BEGIN` and `END`.

        Parameters
        ----------
        text : str
            A caption; it is cut by `tokenise`.

        Returns
        -------
        list of int
            `UNKNOWN` for words that the vocabulary lacks.

        Raises
        ------
        InputError
            If the text is no str.

        Examples
        --------
        >>> Vocabulary(("a", "dog")).encode("A big dog.")
        [4, 3, 5]
        """
        ids = self._ids
        return [ids.get(token, UNKNOWN) for token in tokenise(text, self.lowercase)]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ids up to the first `END`, without `PAD` and `BEGIN`.

        Parameters
        ----------
        ids : iterable of int
            From 0 to ``len(self) - 1``.

        Returns
        -------
        list of str
            ``"<unk>"`` for `UNKNOWN`.

        Raises
        ------
        InputError
            If an id is not one of the vocabulary.

        Examples
        --------
        >>> Vocabulary(("a", "dog")).tokens([BEGIN, 4, UNKNOWN, 5, END, 5])
        ['a', '<unk>', 'dog']
        """
        found = []
        for given in ids:
            number = self._checked(given)
            if number == END:
                break
            if number >= _SPECIALS:
                found.append(self.words[number - _SPECIALS])
            elif number == UNKNOWN:
                found.append(_UNKNOWN_TEXT)
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids: their `tokens`, with spaces where the script has them.

        Parameters
        ----------
        ids : iterable of int
            From 0 to ``len(self) - 1``.

        Returns
        -------
        str
            The caption.

        Raises
        ------
        InputError
            If an id is not one of the vocabulary.

        Examples
        --------
        >>> words = Vocabulary.build(["赤い円", "a circle"])
        >>> words.decode(words.encode("circle 赤い円"))
        'circle 赤い円'
        """
        return "".join(_spaced(self.tokens(ids)))

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as plain data for JSON.

        Examples
        --------
        >>> Vocabulary(("a", "dog")).to_dict()
        {'words': ['a', 'dog'], 'lowercase': True}
        """
        return {"words": list(self.words), "lowercase": self.lowercase}

    @classmethod
    def from_dict(cls, data: Any) -> Vocabulary:
        """Return the vocabulary that `to_dict` wrote down.

        Parameters
        ----------
        data : dict
            As from a model file, where nothing can be trusted.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ModelFileError
            If it is not what `to_dict` writes.

        Examples
        --------
        >>> words = Vocabulary(("a", "dog"))
        >>> Vocabulary.from_dict(words.to_dict()) == words
        True
        """
        if not isinstance(data, Mapping) or not {"words", "lowercase"} <= set(data):
            fault = "it must have `words` and `lowercase`."
        elif not isinstance(data["words"], list):
            fault = f"words must be a list, not {data['words']!r:.50}."
        else:
            fault = _fault(tuple(data["words"]), data["lowercase"])
        if fault:
            raise ModelFileError(f"The vocabulary in the file is damaged: {fault}")
        return cls(tuple(data["words"]), data["lowercase"])

    def _checked(self, given: Any) -> int:
        try:
            number = index(given)
        except TypeError:
            raise InputError(f"An id must be a whole number, not {given!r:.50}.") from None
        if not 0 <= number < len(self):
            raise InputError(f"There is no id {number}; ids are from 0 to {len(self) - 1}.")
        return number


def _fault(words: Any, lowercase: Any) -> str:
    """Say what is wrong with the parts of a vocabulary; nothing if they are right."""
    if not isinstance(words, tuple):
        return f"words must be a tuple of words, not {words!r:.50}."
    if not isinstance(lowercase, bool):
        return f"lowercase must be True or False, not {lowercase!r:.50}."
    if len(words) > _MOST_WORDS:
        return f"it has {len(words)} words; at most {_MOST_WORDS} can be used."
    for place, word in enumerate(words, start=1):
        if not isinstance(word, str):
            return f"word {place} must be text, not {word!r:.50}."
        if not 0 < len(word) <= _LONGEST_WORD or _NOT_IN_WORDS.search(word):
            return (
                f"word {place}, {word!r:.50}, must have 1 to {_LONGEST_WORD} characters, no space "
                "or control character among them."
            )
    if len(set(words)) < len(words):
        twice = next(word for word, n in Counter(words).items() if n > 1)
        return f"the word {twice!r:.50} is there more than once."
    return ""


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or index(value) < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r:.50}.")
    return index(value)


def _spaced(tokens: list[str]) -> Iterator[str]:
    """Give the tokens, and a space between two unless both are of scripts without spaces."""
    yield from tokens[:1]
    for before, after in pairwise(tokens):
        if before.isascii() or not (_is_unspaced(before) and _is_unspaced(after)):
            yield " "
        yield after


def _is_unspaced(token: str) -> bool:
    return bool(_signs().unspaced.match(token))


@dataclass(frozen=True)
class _Signs:
    """Patterns over all of Unicode; ``re`` knows letters and digits, but no marks or scripts."""

    token: re.Pattern[str]
    invisible: re.Pattern[str]
    unspaced: re.Pattern[str]


@cache
def _signs() -> _Signs:
    """Make the patterns at first need: it takes some tenths of a second."""
    marks, invisible = [], []
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        if category[0] == "M":
            marks.append(code)
        elif category in ("Cc", "Cf") and not chr(code).isspace() and chr(code) != _JOINER:
            invisible.append(code)
    # Variation selectors are marks by category, and say only how to draw what is before them.
    selectors = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x1810)}
    mark = _ranges([code for code in marks if code not in selectors])
    letters = [
        code
        for first, last in _UNSPACED_BLOCKS
        for code in range(first, last + 1)
        if unicodedata.category(chr(code))[0] == "L"
    ]
    unspaced = _ranges(letters) + _UNSPACED_NUMERALS
    word = f"[^\\W_{unspaced}][{mark}]*"
    return _Signs(
        token=re.compile(f"{_EMOJI}|[{unspaced}][{mark}]*|(?:{word})+(?:{_INNER}(?:{word})+)*"),
        invisible=re.compile(f"[{_ranges(sorted([*invisible, *selectors]))}]+"),
        unspaced=re.compile(f"[{unspaced}]"),
    )


def _ranges(codes: list[int]) -> str:
    """Write ascending code points as the inside of a character class."""
    parts, first = [], 0
    for place, code in enumerate(codes):
        if place + 1 == len(codes) or codes[place + 1] != code + 1:
            parts.append(f"\\U{codes[first]:08x}-\\U{code:08x}")
            first = place + 1
    return "".join(parts)
