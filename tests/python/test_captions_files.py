"""Files of captions, as they are published and as they should not be."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diglot import read_captions
from diglot.captions.formats import parse
from diglot.errors import InputError
from fuzz import damaged

COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": 391895, "file_name": "000000391895.jpg", "height": 360},
        {"id": 522418, "file_name": "000000522418.jpg"},
        {"id": 184613, "file_name": "000000184613.jpg"},
    ],
    "annotations": [
        {"image_id": 522418, "id": 1, "caption": "A woman cutting a cake."},
        {"image_id": 391895, "id": 2, "caption": "A man riding a bike."},
        {"image_id": 184613, "id": 3, "caption": "A child holding an umbrella.\n"},
        {"image_id": 391895, "id": 4, "caption": "Ein Mann f\u00e4hrt \U0001f6b2"},
    ],
}


def karpathy_image(name, split, *texts, folder=None):
    sentences = [{"raw": text, "tokens": text.lower().split()} for text in texts]
    image = {"filename": name, "split": split, "sentences": sentences, "imgid": 0}
    return {**image, "filepath": folder} if folder else image


KARPATHY = {
    "dataset": "coco",
    "images": [
        karpathy_image("b.jpg", "test", "A dog .", "Two dogs .", folder="val2014"),
        karpathy_image("a.jpg", "restval", "A cat ."),
        karpathy_image("c.jpg", "train", "A cow , a hen ."),
        karpathy_image("d.jpg", "val", "Grass ."),
    ],
}
TOKENS = (
    "1000268201_693b08cb0e.jpg#0\tA child in a pink dress .\n"
    "1000268201_693b08cb0e.jpg#1\tA girl going into a building .\n"
    "\n"
    "b#2.jpg#0\tA dog\u2028runs .\r\n"
    "1000268201_693b08cb0e.jpg#2\tA caption # with\ta tab .\n"
)


@pytest.fixture
def read(tmp_path):
    def read(content, *args, **more):
        path = tmp_path / "captions file"
        if isinstance(content, (dict, list)):
            content = json.dumps(content)
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_captions(path, *args, **more)

    return read


def refused(read, content, *words, **more):
    with pytest.raises(InputError) as error:
        read(content, **more)
    for word in ("captions file", *words):
        assert word in str(error.value)


def changed(data, place, value):
    """Return a copy of nested data with the value at one place changed, or removed for ``...``."""
    copy = deepcopy(data)
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


# ---- what is good


@pytest.mark.parametrize("form", ["plain", "marked", "indented"])
def test_coco(read, form):
    content = json.dumps(COCO, indent=2 if form == "indented" else None, ensure_ascii=False)
    table = read(content.encode("utf-8-sig" if form == "marked" else "utf-8"), "photos")
    assert list(table.columns) == ["image", "captions"]
    names = ("000000391895.jpg", "000000522418.jpg", "000000184613.jpg")
    assert table["image"].tolist() == [os.path.join("photos", name) for name in names]
    assert table["captions"].tolist() == [
        ["A man riding a bike.", "Ein Mann f\u00e4hrt \U0001f6b2"],
        ["A woman cutting a cake."],
        ["A child holding an umbrella."],
    ]


def test_coco_as_pycocotools_reads_it(read, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    table = read(COCO)
    theirs = coco.COCO(str(tmp_path / "captions file"))
    for name, captions in table.to_numpy():
        (number,) = (i for i, image in theirs.imgs.items() if image["file_name"] == name)
        wanted = [one["caption"].strip() for one in theirs.imgToAnns[number]]
        assert captions == wanted


def test_karpathy(read):
    table = read(KARPATHY)
    assert table["image"].tolist() == ["val2014/b.jpg", "a.jpg", "c.jpg", "d.jpg"]
    assert table["captions"].tolist()[:2] == [["A dog .", "Two dogs ."], ["A cat ."]]
    assert table["split"].tolist() == ["test", "restval", "train", "val"]
    assert table["split"].cat.categories.tolist() == ["train", "restval", "val", "test"]
    both = read(KARPATHY, "photos", split=["train", "restval"])
    assert both["image"].tolist() == [os.path.join("photos", n) for n in ("a.jpg", "c.jpg")]
    assert read(KARPATHY, split="train")["captions"].tolist() == [["A cow , a hen ."]]
    assert read(KARPATHY, split="train")["split"].cat.categories.tolist() == ["train"]


def test_karpathy_with_tokens_alone(read):
    words = changed(KARPATHY, ["images", 0, "sentences", 0, "raw"], ...)
    assert read(words)["captions"][0] == ["a dog .", "Two dogs ."]


def test_flickr8k(read):
    table = read(TOKENS, "Flicker8k_Dataset")
    assert [os.path.basename(path) for path in table["image"]] == [
        "1000268201_693b08cb0e.jpg",
        "b#2.jpg",
    ]
    assert table["captions"].tolist() == [
        [
            "A child in a pink dress .",
            "A girl going into a building .",
            "A caption # with\ta tab .",
        ],
        ["A dog\u2028runs ."],
    ]


def test_flickr8k_as_comma_separated_values(read, tmp_path):
    rows = [
        ("a.jpg", "A dog , running ."),
        ("b.jpg", 'A "hot" dog'),
        ("a.jpg", "Two\nlines"),
        ("b.jpg", "Plain"),
    ]
    path = tmp_path / "source.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    for content in (path.read_bytes(), b"\n" + path.read_bytes()):
        table = read(content)
        assert table["image"].tolist() == ["a.jpg", "b.jpg"]
        assert table["captions"][0] == ["A dog , running .", "Two\nlines"]
        assert table["captions"][1] == ['A "hot" dog', "Plain"]


def test_paths_of_every_kind_are_taken(read, tmp_path):
    read(TOKENS)
    path = tmp_path / "captions file"
    assert len(read_captions(str(path), tmp_path)) == len(read_captions(os.fsencode(path))) == 2


# ---- what is not


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["annotations", 3, "caption"], ..., ["record 4 of annotations has no caption"]),
        (["annotations", 3, "caption"], None, ["record 4 of annotations", "no caption"]),
        (["annotations", 3, "caption"], 7, ["record 4 of annotations", "no text"]),
        (["annotations", 3, "caption"], " \n", ["empty caption", "000000391895.jpg"]),
        (["annotations", 3, "caption"], "a \ud800 b", ["000000391895.jpg", "no text"]),
        (["annotations", 3, "image_id"], 17, ["record 4 of annotations", "image id 17"]),
        (["annotations", 3, "image_id"], "391895", ["image id '391895'"]),
        (["annotations", 3, "image_id"], [1], ["record 4 of annotations has no image_id"]),
        (["annotations", 3, "image_id"], True, ["record 4 of annotations has no image_id"]),
        (["annotations", 3, "id"], 1, ["id 1 of record 1 of annotations again"]),
        (["annotations", 3], None, ["record 4 of annotations", "damaged"]),
        (["annotations", 2], ..., ["000000184613.jpg", "no caption"]),
        (["annotations"], {}, ["no known format", "COCO", "Karpathy", "Flickr8k"]),
        (["annotations"], ..., ["no known format"]),
        (["images", 1, "id"], 391895, ["record 2 of images", "id 391895 of record 1"]),
        (["images", 1, "id"], ..., ["record 2 of images has no id"]),
        (["images", 1, "id"], 1.5, ["record 2 of images has no id"]),
        (["images", 1, "file_name"], ..., ["record 2 of images has no file_name"]),
        (["images", 1, "file_name"], "000000391895.jpg", ["'000000391895.jpg' of record 1"]),
        (["images", 1], [], ["record 2 of images", "damaged"]),
        (["images"], [], ["record 1 of annotations", "522418"]),
        (["images"], None, ["no known format"]),
    ],
)
def test_damage_to_coco_is_named(read, place, value, words):
    refused(read, changed(COCO, place, value), *words)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["images", 1, "sentences"], [], ["'a.jpg'", "no caption"]),
        (["images", 1, "sentences"], ..., ["record 2 of images", "'a.jpg'", "sentences"]),
        (["images", 1, "sentences", 0], "A cat .", ["record 1 of sentences of record 2"]),
        (["images", 1, "sentences", 0, "raw"], "", ["record 1 of sentences", "'a.jpg'", "empty"]),
        (["images", 1, "sentences", 0], {}, ["record 1 of sentences", "no caption"]),
        (["images", 1, "sentences", 0], {"tokens": [1]}, ["no caption"]),
        (["images", 1, "split"], ..., ["record 2 of images has no split"]),
        (["images", 1, "split"], 3, ["record 2 of images has no split"]),
        (["images", 1, "filename"], ..., ["record 2 of images has no filename"]),
        (["images", 1, "filename"], "c.jpg", ["'c.jpg' of record 2 of images again"]),
        (["images", 1, "filepath"], 3, ["record 2 of images has no filepath"]),
        (["images", 1], 3, ["record 2 of images", "damaged"]),
    ],
)
def test_damage_to_karpathys_is_named(read, place, value, words):
    refused(read, changed(KARPATHY, place, value), *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a.jpg#0\tA dog .\na.jpg 1 A cat .\n", ["line 2"]),
        ("a.jpg#0\tA dog .\n\na.jpg#0\tA cat .\n", ["line 3", "'a.jpg#0' of line 1 again"]),
        ("a.jpg#0\tA dog .\nb.jpg#0\t \n", ["line 2", "'b.jpg'", "empty"]),
        ("image,caption\na.jpg,A dog .\nb.jpg,A dog, a cat\n", ["line 3", "3 fields", "quotes"]),
        ("image,caption\na.jpg,A dog .\nb.jpg\n", ["line 3", "1 fields"]),
        ("image,caption\na.jpg,A dog .\nb.jpg,\n", ["line 3", "'b.jpg'", "empty"]),
        ('image,caption\na.jpg,"A dog .\n', ["damaged"]),
        ('image,caption\na.jpg,"A dog"x .\n', ["line 2 is damaged"]),
        ("image,caption\n", ["no images"]),
        ("image,label\na.jpg,dog\n", ["no known format", "COCO", "Karpathy", "Flickr8k"]),
        ("", ["empty"]),
        (" \n ", ["empty"]),
        ("[]", ["no known format"]),
        ("{}", ["no known format"]),
        ('{"images": [], "annotations": []}', ["no images"]),
        ('{"images": [\n{"id": 1,}]}', ["line 2", "damaged or no JSON"]),
        ("[" * 100_000, ["damaged or no JSON"]),
        ('{"images": [{"id": ' + "9" * 9999 + '}], "annotations": []}', ["damaged or no JSON"]),
        (b"a.jpg#0\tA dog .\nb.jpg#0\tUn caf\xe9 .\n", ["line 2", "UTF-8", "byte 31"]),
        (TOKENS.encode("utf-16"), ["line 1", "UTF-8"]),
        (b"PK\x03\x04rest", ["unpack"]),
        (b"\x1f\x8brest", ["unpack"]),
    ],
)
def test_other_damage_is_named(read, content, words):
    refused(read, content, *words)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../secret.jpg",
        "a/../../secret.jpg",
        "..\\secret.jpg",
        "\\\\server\\share.jpg",
        "C:\\secret.jpg",
        "a\0.jpg",
        "..",
        "x" * 2000,
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(read, name):
    refused(read, changed(COCO, ["images", 1, "file_name"], name), "record 2 of images")
    refused(read, changed(KARPATHY, ["images", 1, "filename"], name), "record 2 of images")
    refused(read, TOKENS + f"{name}#0\tA dog .", "line 6", "folder of images")
    refused(read, f"image,caption\n{name},A dog .", "line 2", "folder of images")
    if "\0" not in name:
        refused(read, changed(KARPATHY, ["images", 1, "filepath"], name), "record 2 of images")


def test_arguments_that_do_not_fit_are_named(read, tmp_path):
    refused(read, KARPATHY, "no split 'training'", "train, restval, val, test", split="training")
    refused(read, COCO, "no splits", split="train")
    for split in ([], [1], 3, {"train"}):
        with pytest.raises(InputError, match="split must be"):
            read(KARPATHY, split=split)
    with pytest.raises(InputError, match="no such file"):
        read_captions(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="folder"):
        read_captions(tmp_path)
    with pytest.raises(InputError, match="regular"):
        read_captions(os.devnull)
    with pytest.raises(InputError, match="file has a NUL"):
        read_captions("a\0b")
    with pytest.raises(InputError, match="file must be a path"):
        read_captions(COCO)
    with pytest.raises(InputError, match="images must be a path"):
        read(COCO, 3)
    with pytest.raises(InputError, match="images must be the folder"):
        read(COCO, tmp_path / "captions file")


@pytest.mark.parametrize("source", [COCO, KARPATHY, TOKENS, "image,caption\na.jpg,A dog\n"])
def test_random_damage_is_refused_in_words_or_harmless(read, source):
    content = (source if isinstance(source, str) else json.dumps(source)).encode()
    refusals = 0
    for version in damaged(content, flips=1000):
        try:
            table = read(version)
        except InputError as error:
            refusals += "captions file" in str(error)
        else:
            assert all(captions and all(captions) for captions in table["captions"])
    assert refusals > 100


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(data, here=()):
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield [*here, key]
        yield from places(data[key], (*here, key))


@pytest.mark.parametrize("source", [COCO, KARPATHY])
def test_anything_anywhere_is_refused_in_words_or_harmless(read, source):
    @given(place=st.sampled_from(list(places(source))), value=ANYTHING)
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    def anything(place, value):
        try:
            table = read(changed(source, place, value))
        except InputError:
            return
        assert all(captions and all(captions) for captions in table["captions"])

    anything()


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [' + "[]," * 1_000_000 + "0]}",
        '{"images": [' + '{"a":0},' * 400_000 + "0]}",
        "image,caption\n" + "".join(f"{n:x},b\n" for n in range(500_000)),
        "".join(f"{n:x}#0\tb\n" for n in range(400_000)),
    ],
    ids=["lists", "records", "table", "tokens"],
)
def test_text_that_would_fill_the_memory_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"c\.json.* values in "):
            read_captions(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(text)
    finally:
        tracemalloc.stop()


def test_real_files_are_far_from_that_bound():
    """As COCO's and Karpathy's are written: the shortest captions, without blanks."""
    records = [{"image_id": n, "id": n, "caption": "a dog"} for n in range(30_000)]
    images = [{"file_name": f"{n}.jpg", "id": n} for n in range(30_000)]
    text = json.dumps({"images": images, "annotations": records}, separators=(",", ":"))
    assert sum(map(text.count, "[{,")) < len(text) / 8
    assert len(parse(text)) == 30_000
    tokens = [{"tokens": ["a", "man", "on", "it"], "raw": "A man on it."}]
    images = [{"filename": f"{n}.jpg", "split": "val", "sentences": tokens} for n in range(30_000)]
    text = json.dumps({"images": images}, separators=(",", ":"))
    assert sum(map(text.count, "[{,")) < len(text) / 7
    assert len(parse(text)) == 30_000


def test_files_that_are_no_regular_files_do_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(InputError):
            read_captions(path)
