"""Words and vocabularies, against Unicode's own rules and against counting by hand."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diglot.captions import BEGIN, END, PAD, UNKNOWN, Vocabulary, tokenise
from diglot.errors import InputError, ModelFileError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A dog, a cat -- and (maybe) a T-shirt!", "a dog a cat and maybe a t-shirt"),
        ("Don't; the dogs' bowl isn\u2019t 'clean'", "don't the dogs bowl isn't clean"),
        ("rock\u2019n\u2019roll, co\u2010op and co\u2011op", "rock'n'roll co-op and co-op"),
        ("3.5 of 1,000 kg. 2, 3", "3.5 of 1,000 kg 2 3"),
        ("a_b/c@d", "a b c d"),
        ("cafe\u0301 CAF\u00c9", "caf\u00e9 caf\u00e9"),
        ("ΟΔΟΣ ЁЖ Straße", "οδος ёж straße"),
        ("हिन्दी में", "हिन्दी में"),
        ("한국어 문장", "한국어 문장"),
        ("赤い車 Tシャツ", "赤 い 車 t シ ャ ツ"),
        ("ภาษ ๒๕", "ภ า ษ ๒๕"),
        ("か\u3099", "\u304c"),
        ("犬。猫、「鳥」", "犬 猫 鳥"),
        ("👍🏽 🇬🇧🇫🇷 ❤️‍🔥 👨‍👩‍👧😀", "👍🏽 🇬🇧 🇫🇷 ❤\u200d🔥 👨‍👩‍👧 😀"),
        ("soft\u00adhy\u200bphen \u200djoin\u200ded", "softhyphen joined"),
        ("a\x00b\x1bc\td\ne\u2028f", "abc d e f"),
        ("\u0301 \ud800 \ue000 € + ©", ""),
        ("", ""),
    ],
)
def test_tokens(text, tokens):
    assert tokenise(text) == tokens.split()


def test_capitals_are_kept_on_request():
    assert tokenise("A Dog É", lowercase=False) == ["A", "Dog", "É"]


def test_marks_stay_with_their_letters_in_every_script():
    for letters in ("ก็", "ကို", "កា", "நீ", "e\u0323\u0301", "ש\u05c1"):
        (token,) = tokenise(letters)
        assert token == unicodedata.normalize("NFC", letters)


anything = st.text(st.characters(), max_size=40)
tricky = st.text(
    st.sampled_from(list("aB'3.,-_\u2019 \u0301\u200d\u200b\ufe0f👍🏽🇬🇧👩❤犬か\u3099กำİΣ한\x00\n")),
    max_size=20,
)


@given(anything | tricky, st.booleans())
def test_tokens_are_clean_and_stay_as_they_are(text, lowercase):
    tokens = tokenise(text, lowercase)
    for token in tokens:
        assert token and token == unicodedata.normalize("NFC", token)
        assert not any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in token)
    assert tokenise(" ".join(tokens), lowercase) == tokens


@given(anything | tricky)
def test_composed_and_decomposed_text_have_the_same_tokens(text):
    assert tokenise(unicodedata.normalize("NFD", text)) == tokenise(
        unicodedata.normalize("NFC", text)
    )


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=60))
def test_the_quick_way_for_ascii_cuts_like_the_other(text):
    # A letter that is not ASCII takes the other way.
    assert [*tokenise(text), "é"] == tokenise(f"{text} é")


def test_a_long_text_is_cut_in_time_that_grows_with_its_length():
    for hostile in ("a'" * 200_000, "é-" * 200_000, "👍🏽\u200d" * 100_000, "\u200d" * 200_000):
        start = time.perf_counter()
        tokenise(hostile)
        assert time.perf_counter() - start < 5


def test_fifty_thousand_captions_take_seconds():
    rng = random.Random(1)
    words = [f"word{i}" for i in range(2000)]
    captions = [" ".join(rng.choices(words, k=11)).capitalize() + "." for _ in range(50_000)]
    start = time.perf_counter()
    built = Vocabulary.build(captions)
    assert time.perf_counter() - start < 3
    assert len(built) == 2004


def test_ids_and_words():
    words = Vocabulary.build(["b a", "a c", "A b."])
    counts = Counter(["b", "a", "a", "c", "a", "b"])
    assert words.words == tuple(sorted(counts, key=lambda w: (-counts[w], w)))
    assert (PAD, BEGIN, END, UNKNOWN) == (0, 1, 2, 3)
    assert words.encode("c, d A") == [6, UNKNOWN, 4]
    assert words.tokens([BEGIN, 6, UNKNOWN, PAD, 4, END, 5]) == ["c", "<unk>", "a"]
    assert words.tokens(np.array([4, 5])) == ["a", "b"]
    assert words.decode([BEGIN, 6, UNKNOWN, 4]) == "c <unk> a"
    assert len(words) == 7
    assert Vocabulary.build([]).encode("a") == [UNKNOWN]


def test_limits_of_a_vocabulary():
    captions = ["c b a", "c b", "c", "d" * 201]
    assert Vocabulary.build(captions, min_count=2).words == ("c", "b")
    assert Vocabulary.build(captions, max_size=1).words == ("c",)
    assert Vocabulary.build(captions).words == ("c", "b", "a")
    assert Vocabulary.build(["A a"], lowercase=False).words == ("A", "a")


@given(st.lists(anything | tricky, max_size=8), st.booleans())
def test_texts_survive_coding(captions, lowercase):
    words = Vocabulary.build(captions, lowercase=lowercase)
    for caption in captions:
        tokens = tokenise(caption, lowercase)
        assert words.tokens(words.encode(caption)) == tokens
        assert tokenise(words.decode(words.encode(caption)), lowercase) == tokens
    assert Vocabulary.from_dict(json.loads(json.dumps(words.to_dict()))) == words


def test_spaces_only_where_the_script_has_them():
    for text in ("赤い車 red car 犬", "한국어 문장", "ภาษา a", "👍 犬", "3 犬"):
        words = Vocabulary.build([text])
        assert words.decode(words.encode(text)) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tokenise(None), "must be text.*None"),
        (lambda: Vocabulary.build("a dog"), "give a list"),
        (lambda: Vocabulary.build(["a", float("nan")]), "Caption 2 must be text.*nan"),
        (lambda: Vocabulary.build(["a"], min_count=0), "min_count must be"),
        (lambda: Vocabulary.build(["a"], min_count=1.5), "min_count must be"),
        (lambda: Vocabulary.build(["a"], max_size=True), "max_size must be"),
        (lambda: Vocabulary("dog"), "tuple of words"),
        (lambda: Vocabulary(("a", "a")), "'a' is there more than once"),
        (lambda: Vocabulary(("a",)).tokens([5]), "no id 5; ids are from 0 to 4"),
        (lambda: Vocabulary(("a",)).decode([-1]), "no id -1"),
        (lambda: Vocabulary(("a",)).decode([4.0]), "whole number, not 4.0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "must have `words` and `lowercase`"),
        ([], "must have `words` and `lowercase`"),
        ({"words": ["a"]}, "must have `words` and `lowercase`"),
        ({"words": "abc", "lowercase": True}, "must be a list"),
        ({"words": {"a": 1}, "lowercase": True}, "must be a list"),
        ({"words": ["a", 1], "lowercase": True}, "word 2 must be text, not 1"),
        ({"words": ["a", ["b"]], "lowercase": True}, "word 2 must be text"),
        ({"words": ["a", ""], "lowercase": True}, "word 2, '', must have 1 to 200"),
        ({"words": ["a b"], "lowercase": True}, "word 1.*no space"),
        ({"words": ["a\n"], "lowercase": True}, "word 1.*no space"),
        ({"words": ["\x1b[2J"], "lowercase": True}, "word 1.*control"),
        ({"words": ["\ud800"], "lowercase": True}, "word 1"),
        ({"words": ["a" * 201], "lowercase": True}, "word 1.*1 to 200"),
        ({"words": ["a", "b", "a"], "lowercase": True}, "'a' is there more than once"),
        ({"words": ["a"], "lowercase": 1}, "lowercase must be True or False"),
        ({"words": ["a"] * 1_000_001, "lowercase": True}, "1000001 words; at most 1000000"),
    ],
)
def test_a_damaged_vocabulary_is_refused(data, message):
    with pytest.raises(ModelFileError, match=message):
        Vocabulary.from_dict(data)
