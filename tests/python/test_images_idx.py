"""IDX files, written by hand."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest

import diglot.images.idx as idx_module
from diglot.errors import ImageError, InputError
from diglot.images import as_images, read_idx, read_idx_array

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array, kind="u1"):
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(f">{kind}").tobytes()


IMAGES = np.arange(3 * 4 * 5).reshape(3, 4, 5)


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("pack", [lambda x: x, gzip.compress], ids=["plain", "gzip"])
def test_every_type(tmp_path, kind, pack):
    path = tmp_path / "x.idx"  # the name does not say whether it is gzipped
    values = IMAGES - 20 if kind != "u1" else IMAGES
    path.write_bytes(pack(idx(values, kind)))
    array = read_idx_array(path)
    assert array.dtype == np.dtype(kind) and array.dtype.isnative
    np.testing.assert_array_equal(array, values)


def test_images_with_labels(tmp_path):
    # Bytes written out by hand: two images of 2 x 3, labels 7 and 4.
    (tmp_path / "i").write_bytes(
        b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 6, 9, 8, 7, 6, 5, 4])
    )
    (tmp_path / "l").write_bytes(b"\0\0\x08\x01\0\0\0\x02\x07\x04")
    table = read_idx(tmp_path / "i", tmp_path / "l")
    assert table["image"][0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table["image"][1].tolist() == [[9, 8, 7], [6, 5, 4]]
    assert table["label"].tolist() == [7, 4]
    assert table["label"].cat.categories.tolist() == [4, 7]
    images = as_images(table)
    assert images.sizes().tolist() == [[2, 3]] * 2 and images[0].dtype == np.uint8
    assert list(read_idx(str(tmp_path / "i")).columns) == ["image"]
    with pytest.raises(InputError, match="exchanged"):
        read_idx(tmp_path / "l", tmp_path / "i")
    with pytest.raises(InputError, match="labels need 1"):
        read_idx(tmp_path / "i", tmp_path / "i")
    (tmp_path / "l3").write_bytes(idx(np.arange(3)))
    with pytest.raises(InputError, match="2 images but .* 3 labels"):
        read_idx(tmp_path / "i", tmp_path / "l3")


def test_colour_and_no_rows(tmp_path):
    (tmp_path / "c").write_bytes(idx(np.arange(48).reshape(2, 2, 4, 3)))
    assert read_idx(tmp_path / "c")["image"][1].shape == (2, 4, 3)
    (tmp_path / "n").write_bytes(idx(np.zeros((0, 4, 5))))
    assert len(read_idx(tmp_path / "n")) == 0


@pytest.mark.parametrize("pack", [lambda x: x, gzip.compress], ids=["plain", "gzip"])
def test_damaged_files_are_refused_by_name(tmp_path, pack):
    whole = idx(IMAGES)
    path = tmp_path / "bad.idx"
    cases = {
        whole[:-1]: "cut short",
        whole[:9]: "cut short",
        whole + b"\0": "longer than",
        b"": "not an IDX",
        b"\0\0\x08": "not an IDX",
        b"\x89PNG" + whole: "not an IDX",
        b"\0\0\x07\x01\0\0\0\x01\0": "not an IDX",
        b"\0\0\x08\0\0": "not an IDX",
        b"\0\0\x08\xff" + bytes(1100): "255 dimensions",
        b"\0\0\x0e\x04" + b"\xff" * 16 + bytes(50): "cut short",
    }
    for content, message in cases.items():
        path.write_bytes(pack(content))
        with pytest.raises(ImageError, match=rf"bad\.idx.*{message}"):
            read_idx_array(path)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "bad.idx.gz"
    noise = np.random.default_rng(0).integers(0, 255, (50, 8, 8))
    packed = gzip.compress(idx(noise))
    for content in (packed[:-9], packed[:200], packed[:2], packed[:-6] + b"abcdef"):
        path.write_bytes(content)
        with pytest.raises(ImageError, match=r"bad\.idx\.gz"):
            read_idx_array(path)


def test_claims_cost_no_memory(tmp_path):
    head = b"\0\0\x08\x03" + struct.pack(">3I", 100_000, 1000, 1000)
    (tmp_path / "plain").write_bytes(head + bytes(100))
    (tmp_path / "packed").write_bytes(gzip.compress(head + bytes(100)))
    # Within what gzip could hold, but not what it does: zeros that stop early.
    head = b"\0\0\x08\x03" + struct.pack(">3I", 100, 1000, 1000)
    (tmp_path / "early").write_bytes(gzip.compress(head + bytes(2_000_000)) + bytes(200_000))
    tracemalloc.start()
    for name in ("plain", "packed", "early"):
        with pytest.raises(ImageError, match=f"{name}.*cut short"):
            read_idx_array(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


def test_no_such_file(tmp_path):
    with pytest.raises(ImageError, match="no file"):
        read_idx_array(tmp_path / "none.idx")
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "a directory"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "null"),
    ):
        with pytest.raises(ImageError, match=rf"(?i){words}"):
            read_idx_array(path)


def test_memory_is_taken_once_for_what_the_header_says(tmp_path):
    """Also where the bytes of each number must be turned, and from a file that is far smaller."""
    for array, pack in (
        (np.zeros((90, 100, 100), ">i4"), gzip.compress),
        (np.arange(900_000, dtype=">i4").reshape(90, 100, 100), bytes),
    ):
        head = b"\0\0\x0c\x03" + struct.pack(">3I", *array.shape)
        (tmp_path / "a").write_bytes(pack(head + array.tobytes()))
        tracemalloc.start()
        found = read_idx_array(tmp_path / "a")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.2 * array.nbytes + 9e6
        np.testing.assert_array_equal(found, array)
        assert found.dtype.isnative


def test_a_header_that_claims_more_than_there_is_memory(tmp_path, monkeypatch):
    """Nothing is inflated before."""
    monkeypatch.setattr(idx_module, "available_memory", lambda: 10_000)
    head = b"\0\0\x08\x03" + struct.pack(">3I", 100, 100, 100)
    (tmp_path / "a.gz").write_bytes(gzip.compress(head + bytes(1_000_000)))
    with pytest.raises(ImageError, match="more than is available"):
        read_idx_array(tmp_path / "a.gz")
