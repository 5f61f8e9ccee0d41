"""Packed images: against MXNet's own reader and writer, and against the files they come from."""

from __future__ import annotations

import importlib
import json
import os
import struct
import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

import diglot
from diglot.engine.mxnet import load
from diglot.errors import ImageError, InputError
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images, decode, prepare_file, read_header, read_images
from diglot.images.recordio import MAGIC, Record, decode_record, encode_record

RANDOM = np.random.default_rng(0)
SPEC = InputSpec(12, 10, 3)


@pytest.fixture(scope="module")
def recordio():
    return importlib.import_module(load().__name__ + ".recordio")


@pytest.fixture
def folder(tmp_path):
    """Two classes, one file of each kind, every image asymmetric."""
    root = tmp_path / "photos"
    for label in ("zebra", "Äffchen"):
        (root / label).mkdir(parents=True)
    ramp = np.add.outer(np.arange(40) * 3, np.arange(30) * 2).astype(np.uint8)
    colour = np.stack([ramp, 255 - ramp, ramp[::-1]], axis=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colour).save(root / "zebra" / "turned.jpg", exif=exif)
    Image.fromarray(np.tile(colour, (6, 6, 1))).save(root / "zebra" / "large one.jpg")
    Image.fromarray(ramp).save(root / "zebra" / "gray.png")
    Image.fromarray(np.dstack([colour, ramp])).save(root / "Äffchen" / "alpha.png")
    Image.fromarray(ramp.astype(np.uint16) * 200).save(root / "Äffchen" / "deep.png")
    tifffile.imwrite(root / "Äffchen" / "real.tif", ramp.astype(np.float32) / 7)
    Image.fromarray(colour).quantize(16).save(root / "Äffchen" / "palette.gif")
    return root


@pytest.fixture
def colours(tmp_path):
    """Twelve colour pictures in two classes, which a network can be fitted to."""
    root = tmp_path / "colours"
    for i in range(12):
        place = root / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = RANDOM.integers(0, 128, (18, 14, 3), dtype=np.uint8)
        pixels[:9] += np.uint8(100 * (i % 2))
        Image.fromarray(pixels).save(place / f"{i}.png")
    return root


# ---------------------------------------------------------------------------------- the format


def contents():
    yield b""
    for size in range(1, 12):
        yield RANDOM.bytes(size)
    yield from (MAGIC, MAGIC * 3, b"abc" + MAGIC, b"abcd" + MAGIC + b"x", b"ab" + MAGIC + b"cd")
    yield MAGIC + b"....." + MAGIC + b"..." + MAGIC + b"."
    for _ in range(40):
        yield b"".join(RANDOM.choice([MAGIC, b"1234", b"56", b"7"], 9).tolist())


def test_mxnet_reads_what_we_write_and_we_what_it_writes(tmp_path, recordio):
    given = [Record(c, 0.5 * i, i, 2**64 - 1 - i) for i, c in enumerate(contents())]
    ours, theirs = tmp_path / "ours.rec", tmp_path / "theirs.rec"
    ours.write_bytes(b"".join(map(encode_record, given)))
    writer = recordio.MXRecordIO(str(theirs), "w")
    for record in given:
        header = recordio.IRHeader(0, record.label, record.id, record.id2)
        writer.write(recordio.pack(header, record.content))
    writer.close()
    assert ours.read_bytes() == theirs.read_bytes()
    reader = recordio.MXRecordIO(str(ours), "r")
    for record in given:
        header, content = recordio.unpack(reader.read())
        assert (header.label, header.id, header.id2) == (record.label, record.id, record.id2)
        assert content == record.content
    assert reader.read() is None
    for record in given:
        assert decode_record(encode_record(record)) == record


def test_damaged_records_are_refused():
    whole = encode_record(Record(b"1234" + MAGIC + b"5678" + MAGIC + b"9", 1.0, 3))
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="record"):
            decode_record(whole[:end])
    with pytest.raises(ValueError, match="another length"):
        decode_record(whole + bytes(4))
    with pytest.raises(ValueError, match="several labels"):
        plain = bytearray(encode_record(Record(b"1234")))
        plain[8] = 1
        decode_record(bytes(plain))
    for _ in range(500):
        changed = bytearray(whole)
        changed[RANDOM.integers(len(whole))] = RANDOM.integers(256)
        try:
            decode_record(bytes(changed))
        except ValueError as error:
            assert "record" in str(error)


def test_mxnet_finds_images_by_our_index(folder, tmp_path, recordio):
    table = read_images(folder, cache=tmp_path / "p.rec")
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "p.idx"), str(tmp_path / "p.rec"), "r")
    assert reader.keys == list(range(len(table)))
    files = read_images(folder)
    for i in reversed(range(len(table))):
        header, content = recordio.unpack(reader.read_idx(i))
        with open(files["image"][i], "rb") as file:
            assert content == file.read()
        assert header.label == table["label"].cat.codes[i] and header.id == i
    turned = table["image"].str.endswith("turned.jpg").to_numpy().nonzero()[0].item()
    content = recordio.unpack(reader.read_idx(turned))[1]
    # MXNet takes no notice of Exif, we do: the same pixels, turned.
    pixels = load().image.imdecode(content).asnumpy()
    np.testing.assert_allclose(
        np.rot90(pixels, -1).astype(float), decode(table["image"][turned]), atol=4
    )


# ---------------------------------------------------------------------------------- the same images


def test_packed_rows_stand_for_the_files(folder, tmp_path):
    files, packed = read_images(folder), read_images(folder, cache=tmp_path / "p.rec")
    assert packed["label"].equals(files["label"])
    inside = [path.removeprefix(f"{tmp_path / 'p.rec'}/") for path in packed["image"]]
    assert inside == [os.path.relpath(path, folder) for path in files["image"]]
    for path, file in zip(packed["image"], files["image"], strict=True):
        assert read_header(path) == read_header(file)
        np.testing.assert_array_equal(decode(path), decode(file))
        for spec in (SPEC, InputSpec(9, 9, 1, resize="crop", convert_colour=True)):
            np.testing.assert_array_equal(prepare_file(path, spec), prepare_file(file, spec))
    images = as_images(packed)
    assert not images.missing.any()
    assert images.sizes().tolist() == as_images(files).sizes().tolist()
    # Text, so that a table of them can be written down and read again.
    packed.to_csv(tmp_path / "rows.csv", index=False)
    again = pd.read_csv(tmp_path / "rows.csv")
    np.testing.assert_array_equal(as_images(again)[3], decode(files["image"][3]))


def test_the_packed_file_alone_gives_the_table(folder, tmp_path):
    packed = read_images(folder, cache=tmp_path / "p.rec")
    for path in folder.rglob("*.*"):
        path.unlink()
    for form in (tmp_path / "p.rec", str(tmp_path / "p.rec")):
        pd.testing.assert_frame_equal(read_images(form), packed)
    assert len(decode(packed["image"][0])) == 40
    for suffix in (".rec", ".idx", ".jsonl"):
        os.rename(tmp_path / f"p{suffix}", tmp_path / f"moved{suffix}")
    moved = read_images(tmp_path / "moved.rec")
    assert read_header(moved["image"][0]).width == decode(moved["image"][0]).shape[1]
    with pytest.raises(InputError, match="packed file already"):
        read_images(tmp_path / "moved.rec", cache=tmp_path / "p.rec")


def test_images_without_class_folders_have_no_label(folder, tmp_path):
    packed = read_images(folder / "zebra", cache=tmp_path / "p.rec")
    assert list(packed.columns) == ["image"]
    assert list(read_images(tmp_path / "p.rec").columns) == ["image"]


def test_a_real_folder_with_that_name_is_a_folder(tmp_path):
    place = tmp_path / "odd.rec"
    place.mkdir()
    Image.fromarray(RANDOM.integers(0, 255, (5, 7, 3), dtype=np.uint8)).save(place / "1.png")
    path = read_images(place)["image"][0]
    assert decode(path).shape == (5, 7, 3)
    packed = read_images(place, cache=tmp_path / "even.REC")
    np.testing.assert_array_equal(decode(packed["image"][0]), decode(path))


def test_names_that_are_no_utf8(tmp_path):
    root = tmp_path / "names"
    root.mkdir()
    name = os.fsdecode(b"caf\xe9\n\t.png")
    try:
        Image.new("L", (3, 2), 9).save(root / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names in UTF-8")
    packed = read_images(root, cache=tmp_path / "p.rec")
    assert packed["image"][0].endswith(name) and decode(packed["image"][0]).max() == 9


def test_fits_predictions_and_failures_are_the_same(colours, tmp_path):
    files, packed = read_images(colours), read_images(colours, cache=tmp_path / "p.rec")
    small = read_images(colours, cache=tmp_path / "s.rec", cache_size=(11, 13))
    models = [
        diglot.ImageClassifier("mlp", size=(11, 13), epochs=2, seed=1, verbose=False).fit(
            table, table["label"]
        )
        for table in (files, packed, small)
    ]
    assert len({model.fingerprint() for model in models}) == 1
    want = models[0].predict_proba(files)
    np.testing.assert_array_equal(models[0].predict_proba(packed), want)
    np.testing.assert_array_equal(models[0].predict_proba(small), want)
    with_gap = [*packed["image"], f"{tmp_path / 'p.rec'}/a/gone.png"]
    with pytest.warns(UserWarning, match=r"gone\.png"):
        found = diglot.predict_files(models[0], with_gap, on_error="report", verbose=False)
    assert found.failures["kind"].tolist() == ["missing"] and found.count == len(files)
    whole = diglot.predict_files(models[0], tmp_path / "p.rec", verbose=False)
    assert whole.table["file"].tolist() == packed["image"].tolist()
    maps = [models[0].explain(table[:2], method="occlusion").maps for table in (files, packed)]
    np.testing.assert_array_equal(*maps)


def test_stored_sizes(folder, tmp_path):
    files = read_images(folder)
    spec = InputSpec(12, 10, 3, resize="crop", interpolation="bicubic")
    packed = read_images(folder, cache=tmp_path / "p.rec", cache_size=spec)
    for path, file in zip(packed["image"], files["image"], strict=True):
        header = read_header(path)
        if header.dtype == "uint8":
            assert (header.height, header.width) == (12, 10)
            assert decode(path).shape == (12, 10, read_header(file).channels)
            np.testing.assert_array_equal(prepare_file(path, spec), prepare_file(file, spec))
        else:
            np.testing.assert_array_equal(decode(path), decode(file))
    assert sum(read_header(path).dtype == "uint8" for path in packed["image"]) == 5
    gray = InputSpec(12, 10, 1, convert_colour=True)
    packed = read_images(folder, cache=tmp_path / "p.rec", cache_size=gray)
    for path, file in zip(packed["image"], files["image"], strict=True):
        np.testing.assert_array_equal(prepare_file(path, gray), prepare_file(file, gray))
    net = diglot.network("mlp", size=(8, 6), channels=3, classes=2)
    packed = read_images(folder / "zebra", cache=tmp_path / "z.rec", cache_size=net)
    assert as_images(packed).sizes().tolist() == [[8, 6]] * 3


# ---------------------------------------------------------------------------------- fresh or stale


def stamps(path):
    return [(p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(path.parent.glob("p.*"))]


def test_packed_once_and_again_when_something_changed(folder, tmp_path):
    target = tmp_path / "p.rec"

    def pack(**more):
        table = read_images(folder, cache=target, **more)
        for path, file in zip(table["image"], read_images(folder)["image"], strict=True):
            if not more:
                np.testing.assert_array_equal(decode(path), decode(file))
        return stamps(target)

    first = pack()
    assert pack() == first
    file = folder / "zebra" / "gray.png"
    Image.fromarray(RANDOM.integers(0, 255, (6, 9), dtype=np.uint8)).save(file)
    second = pack()
    assert second != first
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    third = pack()
    assert third != second and pack() == third
    file.rename(folder / "zebra" / "grey.png")
    fourth = pack()
    assert fourth != third
    (folder / "zebra" / "grey.png").unlink()
    fifth = pack()
    assert fifth != fourth
    sixth = pack(cache_size=8)
    assert sixth != fifth and pack(cache_size=8) == sixth and pack(cache_size=(8, 9)) != sixth
    (tmp_path / "p.idx").unlink()
    seventh = pack()
    for suffix in (".jsonl", ".rec"):
        (tmp_path / f"p{suffix}").write_bytes(b"damaged")
        assert pack() != seventh
    assert sorted(p.name for p in tmp_path.glob("*p.*")) == ["p.idx", "p.jsonl", "p.rec"]


def test_rows_of_a_cache_that_was_packed_again(folder, tmp_path):
    old = read_images(folder, cache=tmp_path / "p.rec")
    file = folder / "zebra" / "gray.png"
    Image.fromarray(RANDOM.integers(0, 255, (6, 9), dtype=np.uint8)).save(file)
    (folder / "zebra" / "turned.jpg").unlink()
    read_images(folder, cache=tmp_path / "p.rec")
    for path in old["image"]:
        if path.endswith("turned.jpg"):
            with pytest.raises(ImageError, match=r"no image 'zebra/turned.jpg' in .*p\.rec"):
                decode(path)
        else:
            np.testing.assert_array_equal(
                decode(path), decode(str(folder / os.path.relpath(path, tmp_path / "p.rec")))
            )


def test_while_it_is_packed_again_the_open_one_serves(folder, tmp_path):
    path = read_images(folder, cache=tmp_path / "p.rec")["image"][0]
    want = decode(path)
    other = tmp_path / "other.rec"
    other.write_bytes((tmp_path / "p.rec").read_bytes() + b"....")
    os.replace(other, tmp_path / "p.rec")  # the list is still that of the earlier one
    np.testing.assert_array_equal(decode(path), want)


def test_nothing_stays_where_packing_fails(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=r"p\.rec' cannot be written \(No space left"):
        read_images(folder, cache=tmp_path / "p.rec")
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_a_file_that_changes_meanwhile_is_named(folder, tmp_path):
    def change(event):
        if event["event"] == "start":
            (folder / "zebra" / "gray.png").write_bytes(b"other")

    with pytest.raises(ImageError, match=r"gray\.png' changed while it was packed"):
        read_images(folder, cache=tmp_path / "p.rec", verbose=change)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_damaged_files_are_packed_and_refused_when_they_are_used(folder, tmp_path):
    (folder / "zebra" / "cut.jpg").write_bytes((folder / "zebra" / "turned.jpg").read_bytes()[:400])
    (folder / "zebra" / "empty.png").write_bytes(b"")
    (folder / "zebra" / "text.png").write_bytes(b"not an image")
    for more in ({}, {"cache_size": 8}):
        table = read_images(folder, cache=tmp_path / "p.rec", **more)
        paths = {os.path.basename(path): path for path in table["image"]}
        for name, why in (("cut.jpg", "cut"), ("empty.png", "0 bytes"), ("text.png", "not a PNG")):
            with pytest.raises(ImageError, match=rf"p\.rec/zebra/{name}.*{why}"):
                decode(paths[name])


# ---------------------------------------------------------------------------------- hostile files


def test_hostile_lists_are_refused(folder, tmp_path):
    read_images(folder, cache=tmp_path / "p.rec")
    path, place = f"{tmp_path / 'p.rec'}/zebra/gray.png", tmp_path / "p.jsonl"
    whole = place.read_text().splitlines()
    head, rows = json.loads(whole[0]), [json.loads(line) for line in whole[1:]]
    size = (tmp_path / "p.rec").stat().st_size

    def tried(head, rows):
        place.write_text("".join(json.dumps(line) + "\n" for line in [head, *rows]))
        os.utime(tmp_path / "p.rec")  # so that it is looked at anew
        os.rename(tmp_path / "p.rec", tmp_path / "q.rec")
        with pytest.raises(ImageError):
            decode(path)
        os.rename(tmp_path / "q.rec", tmp_path / "p.rec")
        with pytest.raises(ImageError, match=r"p\.(rec|jsonl)"):
            diglot.images.packed.Packed(str(tmp_path / "p.rec")).read("zebra/gray.png")

    for change in (
        {"diglot": "else"}, {"version": 2}, {"identity": "zz"}, {"identity": "f" * 17},
        {"identity": "0" * 16}, {"bytes": size + 1}, {"bytes": "1"}, {"bytes": -1}, {"images": 3},
        {"images": 1.5}, {"stored": 3},
    ):  # fmt: skip
        tried({**head, **change}, rows)
    for column, value in (
        (0, ""), (0, 3), (0, rows[1][0]), (1, -4), (1, size), (1, 1e3), (1, None), (2, 0),
        (2, size + 4), (2, 2**70), (3, "1"), (4, "x"), (5, [1, 2]), (5, [0, 1, 1, "uint8"]),
        (5, [1, 1, 1, "int64"]), (5, "uint8"),
    ):  # fmt: skip
        changed = [list(row) for row in rows]
        for row in changed:
            row[column] = value
        tried(head, changed)
    tried(head, rows[:-1])
    tried(head, [row[:-1] for row in rows])
    tried(head, [rows[0], *rows])
    tried([1], rows)
    swapped = [list(row) for row in rows]
    for i, row in enumerate(swapped):
        row[1:3] = rows[i - 1][1:3]
    tried(head, swapped)
    deep = "[" * 100_000
    place.write_text(deep)
    with pytest.raises(ImageError, match="cannot be read"):
        diglot.images.packed.Packed(str(tmp_path / "p.rec"))


def test_a_packed_file_that_was_cut_or_changed(folder, tmp_path):
    read_images(folder, cache=tmp_path / "p.rec")
    place = tmp_path / "p.rec"
    whole = place.read_bytes()
    names = list(diglot.images.packed.Packed(str(place)).contents.entries)
    for content in (b"", whole[:-4], whole + b"1234"):
        place.write_bytes(content)
        with pytest.raises(ImageError, match="another length than its list"):
            diglot.images.packed.Packed(str(place))
    place.write_bytes(bytes(len(whole)))
    packed = diglot.images.packed.Packed(str(place))
    for name in names:
        with pytest.raises(ImageError, match=rf"p\.rec.*{name}"):
            packed.read(name)
    for suffix in (".jsonl",):
        (tmp_path / f"p{suffix}").unlink()
        with pytest.raises(ImageError, match=r"no list .*p\.jsonl' beside it"):
            diglot.images.packed.Packed(str(place))
    with pytest.raises(ImageError, match="no file"):
        decode(f"{tmp_path / 'gone.rec'}/a.png")


def test_a_list_that_is_no_regular_file_is_refused_and_does_not_wait(folder, tmp_path):
    place = tmp_path / "p.rec"
    path = read_images(folder, cache=place)["image"][0]
    for make in (
        os.mkfifo,
        lambda target: target.symlink_to("/dev/zero"),
        lambda target: target.mkdir(),
        lambda target: target.symlink_to(target),
    ):
        target = tmp_path / "p.jsonl"
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()
        make(target)
        diglot.images.packed._opened.clear()
        for read in (lambda: decode(path), lambda: read_images(place)):
            with pytest.raises(ImageError, match=r"p\.jsonl"):
                read()
    os.mkfifo(tmp_path / "q.rec")
    with pytest.raises(ImageError, match=r"q\.rec"):
        diglot.images.packed.Packed(str(tmp_path / "q.rec"))


def test_a_newer_list_says_what_to_do(folder, tmp_path):
    place = tmp_path / "p.rec"
    path = read_images(folder, cache=place)["image"][0]
    text = (tmp_path / "p.jsonl").read_text()
    (tmp_path / "p.jsonl").write_text(text.replace('"version": 1', '"version": 2'))
    diglot.images.packed._opened.clear()
    for read in (lambda: decode(path), lambda: read_images(place)):
        with pytest.raises(ImageError, match=r"version 2, .* install a newer diglot") as caught:
            read()
        assert "remove it" not in str(caught.value)


def test_a_list_that_would_fill_the_memory_is_refused(folder, tmp_path):
    place = tmp_path / "p.rec"
    path = read_images(folder, cache=place)["image"][0]
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    for number, line in (
        (0, '{"a": [' + "[]," * 3_000_000 + "0]}"),
        (1, "[[],[],[]]\n" * 900_000),
    ):
        bomb = [*lines]
        bomb[number] = line
        (tmp_path / "p.jsonl").write_text("\n".join(bomb) + "\n")
        diglot.images.packed._opened.clear()
        tracemalloc.start()
        with pytest.raises(ImageError, match=r"p\.jsonl"):
            decode(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40e6
    with (tmp_path / "p.jsonl").open("wb") as file:
        file.truncate(900_000_000)  # without a byte on the disk
    diglot.images.packed._opened.clear()
    with pytest.raises(ImageError, match=r"900,000,000 bytes"):
        decode(path)


def test_arguments_that_cannot_be_used(folder, tmp_path):
    for cache, message in (
        (3, "cache must be a path"),
        (tmp_path / "p.zip", r"end in \.rec"),
        (tmp_path / ".rec", r"end in \.rec"),
        (tmp_path / "gone" / "p.rec", "no folder for it"),
        (folder.rename(tmp_path / "photos.rec"), "is a folder"),
    ):
        with pytest.raises(InputError, match=message):
            read_images(tmp_path / "photos.rec" if not folder.exists() else folder, cache=cache)
    root = tmp_path / "photos.rec"
    for size in ("8", 8.5, True, (1, 2, 3), 0, -1, (8, None)):
        with pytest.raises(InputError, match="cache_size|height|width"):
            read_images(root, cache=tmp_path / "p.rec", cache_size=size)
    with pytest.raises(InputError, match="give cache="):
        read_images(root, cache_size=8)


def test_many_threads_read_at_once(folder, tmp_path):
    paths = read_images(folder, cache=tmp_path / "p.rec")["image"].tolist() * 20
    want = [decode(path).sum() for path in paths]
    found = {}

    def work(number):
        found[number] = [decode(path).sum() for path in paths]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(sums == want for sums in found.values()) and len(found) == 6
    spec = InputSpec(12, 10, 3)
    with PreparedImages(as_images(paths[4:7]), spec) as prepared:
        assert prepared.get([0, 2]).shape == (2, 12, 10, 3)


def test_the_header_is_mxnets(tmp_path):
    """flag, label, id and id2 as ``mxnet.recordio`` has them, after magic number and length."""
    record = encode_record(Record(b"12345", 2.5, 7, 9))
    assert record == struct.pack("<IIIfQQ5s3x", 0xCED7230A, 29, 0, 2.5, 7, 9, b"12345")
