"""Drawn shapes: the pixels, the captions and the record against each other."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from diglot import check_shapes, shapes
from diglot.errors import InputError, OutOfMemoryError

COLOURS = {  # hues in degrees, as painters' wheels have them
    "red": 0,
    "orange": 30,
    "yellow": 55,
    "green": 127,
    "blue": 230,
    "purple": 288,
}
HELD_OUT = {
    ("red", "triangle"),
    ("green", "cross"),
    ("blue", "circle"),
    ("yellow", "square"),
    ("purple", "triangle"),
}
COLUMNS = ["colour", "size", "shape", "relation", "all"]


def digest(data):
    made = hashlib.sha256()
    for image, texts in zip(data["image"], data["captions"], strict=True):
        made.update(image.tobytes())
        made.update("\n".join(texts).encode())
    return made.hexdigest()


def hue(rgb):
    import colorsys

    return 360 * colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))[0]


@pytest.fixture(scope="module")
def train():
    return shapes(3000, seed=3)


@pytest.fixture(scope="module")
def unseen():
    return shapes(3000, seed=3, split="unseen")


# ---- the table


def test_the_table(train):
    assert list(train.columns) == ["image", "captions", "objects"]
    image = train["image"][0]
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert image.flags.c_contiguous and image.flags.writeable
    for texts in train["captions"]:
        assert len(set(texts)) == 5
        assert all(len(text.split()) <= 22 for text in texts)
    assert Counter(map(len, train["objects"])).keys() == {1, 2, 3}
    record = train["objects"][0][0]
    assert record.keys() == {"shape", "colour", "size", "x", "y", "radius"}
    assert all(type(record[name]) is int for name in ("x", "y", "radius"))


def test_the_same_seed_draws_the_same():
    assert digest(shapes(50, seed=7)) == digest(shapes(50, seed=7))
    others = [
        digest(shapes(50, seed=8)),
        digest(shapes(50, seed=7, split="test")),
        digest(shapes(50, seed=7, split="unseen")),
        digest(shapes(50)),
        digest(shapes(50)),
    ]
    assert len({digest(shapes(50, seed=7)), *others}) == 6


def test_a_row_does_not_depend_on_how_many_there_are():
    few, many = shapes(5, seed=2), shapes(60, seed=2)
    assert digest(few) == digest(many[:5])
    one = shapes(5, seed=2, captions=1)
    assert [texts[0] for texts in one["captions"]] == [texts[0] for texts in few["captions"]]


def test_no_image_is_in_both_splits(train):
    test = shapes(3000, seed=3, split="test")
    seen = {image.tobytes() for image in train["image"]}
    assert not any(image.tobytes() in seen for image in test["image"])


def test_no_images_make_an_empty_table():
    none = shapes(0, seed=1)
    assert len(none) == 0 and list(none.columns) == ["image", "captions", "objects"]
    assert check_shapes([], none).shape == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"n": -1}, "n must"),
        ({"n": 1.5}, "n must"),
        ({"n": "3"}, "n must"),
        ({"n": True}, "n must"),
        ({"n": None}, "n must"),
        ({"n": float("nan")}, "n must"),
        ({"n": 1, "size": 31}, "size must"),
        ({"n": 1, "size": 10**6}, "size must"),
        ({"n": 1, "captions": 0}, "captions must"),
        ({"n": 1, "captions": 6}, "captions must"),
        ({"n": 1, "split": "validation"}, "split must"),
        ({"n": 1, "split": ["train"]}, "split must"),
        ({"n": 1, "seed": -1}, "seed must"),
        ({"n": 1, "seed": "one"}, "seed must"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, culprit):
    with pytest.raises(InputError, match=culprit):
        shapes(**arguments)


def test_more_than_fits_into_memory_is_refused():
    with pytest.raises(OutOfMemoryError, match="ask for fewer"):
        shapes(2**31 - 1, seed=1, size=4096)


def test_it_is_fast():
    shapes(10, seed=1)
    start = time.perf_counter()
    shapes(1000, seed=1)
    # 2,000 images a second are promised and 7,000 were measured; a busy machine may halve it twice.
    assert time.perf_counter() - start < 1


# ---- the drawing


@pytest.mark.parametrize("size", [32, 64, 97, 200])
def test_pixels_agree_with_the_record(size):
    """The image falls apart into as many pieces as objects; each has its place, width and form."""
    for image, record in shapes(150, seed=size, size=size)[["image", "objects"]].to_numpy():
        grey = image[0, 0].astype(int)
        assert np.ptp(grey) == 0
        assert 20 <= grey[0] <= 75 or 185 <= grey[0] <= 240
        coloured = np.abs(image.astype(int) - grey).max(2) > 40
        assert not coloured[[0, -1]].any() and not coloured[:, [0, -1]].any()
        pieces, count = ndimage.label(coloured, np.ones((3, 3)))
        assert count == len(record)
        for one in record:
            x, y, radius = one["x"], one["y"], one["radius"]
            inside = pieces == pieces[y, x]
            assert pieces[y, x] > 0
            rows, columns = np.nonzero(inside)
            assert (columns.min(), columns.max()) == (x - radius, x + radius)
            assert (rows.min(), rows.max()) == (y - radius, y + radius)
            shades = np.unique(image[inside], axis=0)
            assert len(shades) == 1
            away = {
                name: abs((hue(shades[0]) - h + 180) % 360 - 180) for name, h in COLOURS.items()
            }
            assert min(away, key=away.get) == one["colour"]
            assert (
                form(inside[y - radius : y + radius + 1, x - radius : x + radius + 1])
                == (one["shape"])
            )


def form(box):
    """Tell a shape by its corners and its share of the box, not by how it is drawn."""
    top, bottom = box[0, [0, -1]].any(), box[-1, [0, -1]].any()
    if bottom:
        return "square" if top else "triangle"
    # A disk fills pi / 4 of its box, a cross of two bars a third wide 5 / 9; pixels are coarse.
    return "circle" if box.mean() > 0.7 else "cross"


def test_sizes_are_clearly_apart(train):
    widths = {"small": [], "large": []}
    for record in train["objects"]:
        for one in record:
            widths[one["size"]].append(2 * one["radius"] + 1)
    assert max(widths["small"]) * 1.5 < min(widths["large"])
    larger = shapes(300, seed=1, size=256)
    for record in larger["objects"]:
        for one in record:
            assert (one["radius"] > 30) == (one["size"] == "large")


def test_colours_are_clearly_apart(train):
    shades = {name: [] for name in COLOURS}
    greys = []
    for image, record in train[["image", "objects"]].to_numpy():
        greys.append(image[0, 0])
        for one in record:
            shades[one["colour"]].append(image[one["y"], one["x"]])
    sets = [np.unique(np.array(s, float), axis=0) for s in (*shades.values(), greys)]
    for some, others in combinations(sets, 2):
        assert np.linalg.norm(some[:, None] - others[None], axis=2).min() > 50


def test_neighbours_lie_clearly(train):
    for record in train["objects"]:
        for one, other in zip(record, record[1:], strict=False):
            x, y = other["x"] - one["x"], other["y"] - one["y"]
            near, far = sorted((abs(x), abs(y)))
            assert far >= 2 * near
            assert far > one["radius"] + other["radius"]
            assert x + y > 0


def test_all_there_is_to_draw_is_drawn_about_equally(train):
    objects = [one for record in train["objects"] for one in record]
    pairs = Counter((one["colour"], one["shape"]) for one in objects)
    assert len(pairs) == 6 * 4 - 5
    assert min(pairs.values()) > 0.7 * len(objects) / 19
    assert abs(np.mean([one["size"] == "large" for one in objects]) - 0.5) < 0.03
    counts = Counter(map(len, train["objects"]))
    assert min(counts.values()) > 0.3 * len(train)
    firsts = Counter(texts[0].split()[0] for texts in train["captions"])
    assert len(firsts) >= 3  # the wordings come in random order
    words = Counter(" ".join(texts[0] for texts in train["captions"]).split())
    assert min(words[w] for w in ("left", "right", "above", "below")) > 0.1 * len(train)


# ---- what is held out


def test_held_out_combinations_are_never_seen(train, unseen):
    for split, data in (("train", train), ("test", shapes(3000, seed=4, split="test"))):
        shown = {(one["colour"], one["shape"]) for record in data["objects"] for one in record}
        assert not shown & HELD_OUT, split
        said = " ".join(text for texts in data["captions"] for text in texts)
        assert not any(" ".join(pair) in said for pair in HELD_OUT)
        assert {colour for colour, _ in shown} == set(COLOURS)
        assert {shape for _, shape in shown} == {"circle", "square", "triangle", "cross"}
    for record in unseen["objects"]:
        pairs = [(one["colour"], one["shape"]) for one in record]
        assert len(HELD_OUT.intersection(pairs)) == 1 and len(set(pairs)) == len(pairs)
    places = Counter(
        i
        for record in unseen["objects"]
        for i, one in enumerate(record)
        if len(record) == 3 and (one["colour"], one["shape"]) in HELD_OUT
    )
    assert min(places.values()) > 250  # of a thousand: it is not always the first one


# ---- captions against the record


@pytest.mark.parametrize("split", ["train", "test", "unseen"])
def test_its_own_captions_are_right(split):
    data = shapes(1500, seed=9, split=split)
    for k in range(5):
        verdicts = check_shapes([texts[k] for texts in data["captions"]], data)
        assert list(verdicts.columns) == COLUMNS
        assert verdicts.to_numpy().dtype == bool and verdicts.to_numpy().all()


def test_every_wording_names_everything(train):
    """Count words, which knows nothing of wordings."""
    for texts, record in train[["captions", "objects"]].to_numpy():
        for text in texts:
            words = Counter(text.split())
            for name in ("colour", "size", "shape"):
                wanted = Counter(one[name] for one in record)
                assert all(words[word] == times for word, times in wanted.items())
            relations = sum(words[w] for w in ("left", "right", "above", "below"))
            assert relations == len(record) - 1


def one_image(*objects):
    names = ("size", "colour", "shape", "x", "y")
    record = [dict(zip(names, one, strict=True)) for one in objects]
    return pd.DataFrame({"objects": pd.Series([record], dtype=object)})


PAIR = one_image(("small", "red", "circle", 10, 30), ("large", "blue", "square", 45, 34))
TRIO = one_image(
    ("small", "red", "circle", 10, 12),
    ("large", "blue", "square", 45, 14),
    ("small", "red", "cross", 48, 50),
)


@pytest.mark.parametrize(
    "text",
    [
        "a small red circle left of a large blue square",
        "A small red circle is to the left of a large blue square.",
        "there is a large blue square on the right of the small red circle",
        "a large blue square with a small red circle on its left",
        "this is a small red circle with a large blue square to the right of it",
        "the image shows a small red circle which is left of a large blue square",
    ],
)
def test_right_captions_in_other_words(text):
    assert check_shapes([text], PAIR).to_numpy().all(), text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a small green circle left of a large blue square", {"colour"}),
        ("a small blue circle left of a large red square", {"colour"}),
        ("a large red circle left of a large blue square", {"size"}),
        ("a small red triangle left of a large blue square", {"shape"}),
        ("a small red circle right of a large blue square", {"relation"}),
        ("a large blue square with a small red circle to its right", {"relation"}),
        ("a small red circle above a large blue square", {"relation"}),  # but barely higher up
        ("a small green circle below a large blue cross", {"colour", "shape", "relation"}),
        ("a small red circle", set(COLUMNS)),
        ("a small red circle and a large blue square", set(COLUMNS)),
        ("a small red circle left of a small red circle", {"colour", "size", "shape"}),
        (
            "a small red circle left of a large blue square which is left of a small red cross",
            set(COLUMNS),
        ),
        ("a small red circle left of a large blue blue square", set(COLUMNS)),
        ("a small red circle left left of a large blue square", set(COLUMNS)),
        ("a small red circle left of a large blue", set(COLUMNS)),
        ("a red circle left of a large blue square", set(COLUMNS)),
        ("", set(COLUMNS)),
        ("square", set(COLUMNS)),
    ],
)
def test_planted_mistakes_in_a_pair(text, wrong):
    verdict = check_shapes([text], PAIR).iloc[0]
    assert {name for name in COLUMNS if not verdict[name]} == (wrong | {"all"})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("{a} left of {b} which is above {c}", True),
        ("{b} right of {a} and above {c}", True),
        ("{c} below {b} which is right of {a}", True),
        ("{b} with {c} below it and {a} to its left", True),
        ("{a} left of {b} and above {c}", True),  # by a hair: 38 across, 38 down
        ("{a} left of {b} which is below {c}", False),
        ("{b} right of {a} and right of {c}", False),
        ("{b} with {a} below it and {c} to its left", False),
        ("{c} left of {b} which is above {a}", False),
    ],
)
def test_relations_among_three(text, right):
    names = {"a": "a small red circle", "b": "a large blue square", "c": "a small red cross"}
    verdict = check_shapes([text.format_map(names)], TRIO).iloc[0]
    assert verdict[["colour", "size", "shape"]].all()
    assert verdict["relation"] == verdict["all"] == right


def test_random_mistakes_in_its_own_captions_are_found(train):
    """Exchange a word for another of its kind, flip a relation, or drop an object."""
    rng = np.random.default_rng(5)
    kinds = {
        "colour": list(COLOURS),
        "size": ["small", "large"],
        "shape": ["circle", "square", "triangle", "cross"],
        "relation": ["left", "right"],
    }
    for kind, words in kinds.items():
        rows, texts = [], []
        for row, captions in enumerate(train["captions"]):
            text = captions[rng.integers(5)]
            found = [m for m in re.finditer(r"\w+", text) if m[0] in words]
            if found:
                m = found[rng.integers(len(found))]
                other = rng.choice([word for word in words if word != m[0]])
                rows.append(row)
                texts.append(text[: m.start()] + other + text[m.end() :])
        assert len(rows) > 500
        verdicts = check_shapes(texts, train.iloc[rows])
        assert not verdicts["all"].any() and not verdicts[kind].any()


def test_a_caption_of_fewer_objects_is_wrong_throughout(train):
    more = train[[len(record) > 1 for record in train["objects"]]]
    texts = [f"a {r[0]['size']} {r[0]['colour']} {r[0]['shape']}" for r in more["objects"]]
    assert not check_shapes(texts, more).to_numpy().any()


WORDS = """a small large red blue circle square left right of to the its above below it which is and
with there picture on grey background zebra , \u00e9 \u0660"""


@given(st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join) | st.text(max_size=60))
def test_any_text_gets_an_answer(text):
    assert check_shapes([text], PAIR).shape == (1, 5)


def test_what_cannot_be_checked_is_named(train):
    with pytest.raises(InputError, match="2 captions but 1 rows"):
        check_shapes(["a", "b"], PAIR)
    with pytest.raises(InputError, match="no column 'objects'"):
        check_shapes(["a"], PAIR.rename(columns={"objects": "object"}))
    with pytest.raises(InputError, match="no column 'objects'"):
        check_shapes(["a"], None)
    with pytest.raises(InputError, match="not a text"):
        check_shapes("a small red circle", PAIR)
    with pytest.raises(InputError, match="number 0"):
        check_shapes([["a small red circle"]], PAIR)
    with pytest.raises(InputError, match="list of texts"):
        check_shapes(3, PAIR)
    with pytest.raises(InputError, match="row 0 of data"):
        check_shapes(["a"], pd.DataFrame({"objects": [[{"shape": "circle"}]]}))
    with pytest.raises(InputError, match="row 0 of data"):
        check_shapes(["a"], pd.DataFrame({"objects": [3]}))
