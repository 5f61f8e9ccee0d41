"""The cache and the batches: memory or disk, one thread or four, the same bytes."""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from diglot.errors import ImageError, InputError
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images, batches, prepare

RANDOM = np.random.default_rng(0)
SPEC = InputSpec(10, 12, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
SLOT = 10 * 12 * 3


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for i in range(40):
        size = (int(RANDOM.integers(8, 30)), int(RANDOM.integers(8, 30)), 3)
        path = folder / f"{i}.png"
        Image.fromarray(RANDOM.integers(0, 255, size, dtype=np.uint8)).save(path)
        found.append(str(path))
    return found


def test_memory_disk_and_no_cache_give_the_same(paths):
    images = as_images(paths)
    want = np.stack([prepare(images[i], SPEC, "") for i in range(40)])
    order = RANDOM.permutation(40)
    for limit, in_memory, on_disk in ((None, 40, 0), (0, 0, 40), (15 * SLOT + 7, 15, 25)):
        with PreparedImages(images, SPEC, memory_limit=limit) as prepared:
            assert (prepared.in_memory, prepared.on_disk) == (in_memory, on_disk)
            for _ in range(2):
                got = prepared.get(order)
                assert got.dtype == np.uint8 and type(got) is np.ndarray
                np.testing.assert_array_equal(got, want[order])
            assert prepared.get([]).shape == (0, 10, 12, 3)
    prepared = PreparedImages(images, SPEC, cache=False)
    assert (prepared.in_memory, prepared.on_disk) == (0, 0)
    np.testing.assert_array_equal(prepared.get(order), want[order])


def test_each_image_is_decoded_once_by_many_threads(paths, monkeypatch):
    images = as_images(paths)
    calls = []
    read = images._store.prepared
    monkeypatch.setattr(images._store, "prepared", lambda i, spec: calls.append(i) or read(i, spec))
    for limit in (None, 10 * SLOT):
        calls.clear()
        prepared = PreparedImages(images, SPEC, memory_limit=limit)
        gate = threading.Barrier(6)

        def work(prepared=prepared, gate=gate):
            gate.wait()
            for start in range(0, 40, 5):
                prepared.get(np.arange(start, start + 5))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(calls) == list(range(40))


def test_a_full_disk_costs_speed_only(paths, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    images = as_images(paths)
    prepared = PreparedImages(images, SPEC, memory_limit=5 * SLOT)
    assert (prepared.in_memory, prepared.on_disk) == (5, 0)
    np.testing.assert_array_equal(prepared.get([3, 30])[1], prepare(images[30], SPEC, ""))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its name on Windows")
def test_nothing_stays_on_the_disk(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prepared = PreparedImages(as_images(paths), SPEC, memory_limit=0)
    prepared.get(np.arange(40))
    assert prepared.on_disk == 40
    assert list(tmp_path.iterdir()) == []
    file = prepared._store._file
    del prepared
    gc.collect()
    assert file.closed


def test_arrays_that_fit_are_not_copied():
    for dtype in (np.uint8, np.float32):
        x = RANDOM.integers(0, 255, (6, 10, 12, 3)).astype(dtype)
        images = as_images(x).take([5, 1, 3])
        prepared = PreparedImages(images, SPEC, memory_limit=0)
        assert (prepared.in_memory, prepared.on_disk) == (0, 0)
        np.testing.assert_array_equal(prepared.get([0, 2]), x[[5, 3]])
        assert prepared.get([0]).dtype == dtype
        assert np.shares_memory(prepared._array, x)
    deep = x.astype(np.uint16)
    got = PreparedImages(as_images(deep), SPEC).get([4])
    np.testing.assert_array_equal(got, (deep[[4]] / 65535).astype(np.float32))


def test_mixed_depths_become_float32(tmp_path):
    eight = RANDOM.integers(0, 255, (10, 12), dtype=np.uint8)
    Image.fromarray(eight).save(tmp_path / "a.png")
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "b.png")
    spec = InputSpec(10, 12, 1)
    images = as_images([str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    got = PreparedImages(images, spec).get([0, 1])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], got[1], atol=1e-6)
    np.testing.assert_allclose(got[0, :, :, 0], eight / 255, atol=1e-6)


def test_what_does_not_fit_is_named_before_the_work_begins(paths, tmp_path):
    with pytest.raises(ImageError, match="'.*0.png' has 3 channels"):
        PreparedImages(as_images(paths), InputSpec(10, 12, 1))
    with pytest.raises(ImageError, match="row 1 of the array has 1 channel"):
        PreparedImages(as_images(np.zeros((2, 10, 12))), SPEC)
    with pytest.raises(ImageError, match="row 2 of the list has 1 channel"):
        PreparedImages(as_images([np.zeros((4, 4, 3)), np.zeros((4, 5))]), SPEC)
    with pytest.raises(ImageError, match="gone.png"):
        PreparedImages(as_images([*paths, str(tmp_path / "gone.png")]), SPEC)
    with pytest.raises(InputError, match="memory_limit"):
        PreparedImages(as_images(paths), SPEC, memory_limit=-1)


def test_statistics(paths):
    prepared = PreparedImages(as_images(paths * 5), SPEC, threads=1)
    rows = RANDOM.permutation(200)[:170]
    mean, std = prepared.statistics(rows)
    values = prepared.get(rows).astype(np.float64) / 255
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(axis=(0, 1, 2)), rtol=1e-12)
    for threads in (2, 4):
        again = PreparedImages(as_images(paths * 5), SPEC, threads=threads).statistics(rows)
        assert again[0].tobytes() == mean.tobytes() and again[1].tobytes() == std.tobytes()
    constant = PreparedImages(as_images(np.full((300, 10, 12, 3), 0.1)), SPEC)
    np.testing.assert_array_equal(constant.statistics()[1], 1)
    far = RANDOM.normal(1e4, 1e-1, (300, 10, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(
        PreparedImages(as_images(far), SPEC).statistics()[1],
        far.astype(np.float64).std(axis=(0, 1, 2)),
        rtol=1e-9,
    )


def collect(*args, **kwargs):
    found = list(batches(*args, **kwargs))
    assert [position for position, _ in found] == list(range(len(found)))
    return [pixels for _, pixels in found]


def test_batches_are_scaled_transformed_and_normalised_in_order(paths):
    prepared = PreparedImages(as_images(paths), SPEC)
    rows = [np.array([3, 1]), np.array([7, 7, 39]), np.array([0])] * 4

    def transform(batch, position):
        assert batch.dtype == np.float32 and batch.min() >= 0 and batch.max() <= 1
        time.sleep(0.002 * (position % 3))  # later batches may be ready first
        return batch[:, ::-1] + np.float32(position)

    for kwargs in ({}, {"threads": 1}, {"threads": 4}, {"ahead": 0}, {"ahead": 30}):
        found = collect(prepared, rows, transform, **kwargs)
        for position, pixels in enumerate(found):
            unit = prepared.get(rows[position])[:, ::-1].astype(np.float32) / np.float32(255)
            want = (unit + np.float32(position) - np.float32(SPEC.mean)) / np.float32(SPEC.std)
            assert pixels.dtype == np.float32
            assert pixels.transpose(0, 3, 1, 2).flags.c_contiguous  # as engines take them
            np.testing.assert_array_equal(pixels, want)


def test_threads_change_no_byte(paths):
    rows = [RANDOM.permutation(40)[:9] for _ in range(20)]
    results = []
    for threads, limit in ((1, None), (4, None), (4, 11 * SLOT)):
        prepared = PreparedImages(as_images(paths), SPEC, memory_limit=limit)
        results.append(b"".join(x.tobytes() for x in collect(prepared, rows, threads=threads)))
    assert results[0] == results[1] == results[2]


def test_nothing_to_normalise_and_nothing_to_do():
    x = RANDOM.random((4, 10, 12, 3), dtype=np.float32)
    plain = dataclasses.replace(SPEC, mean=(0.0,) * 3, std=(1.0,) * 3)
    before = x.copy()
    prepared = PreparedImages(as_images(x), plain)
    np.testing.assert_array_equal(collect(prepared, [np.arange(4)])[0], x)
    collect(PreparedImages(as_images(x), SPEC), [np.arange(4)])
    np.testing.assert_array_equal(x, before)
    assert collect(prepared, []) == []


def test_a_damaged_image_is_reported_when_its_batch_is_due(paths, tmp_path):
    broken = tmp_path / "broken.png"
    with open(paths[0], "rb") as file:
        content = file.read()
    broken.write_bytes(content[: len(content) // 2])
    prepared = PreparedImages(as_images([*paths[:4], str(broken)]), SPEC)
    for kwargs in ({"ahead": 0}, {"threads": 1}, {"threads": 4}):
        seen = []
        with pytest.raises(ImageError, match=r"broken\.png"):
            for position, _ in batches(prepared, [[0], [1], [2, 4], [3]], **kwargs):
                seen.append(position)
        assert seen == [0, 1]


def test_stopping_early_stops_the_threads(paths):
    prepared = PreparedImages(as_images(paths), SPEC)
    made = []

    def slow(batch, position):
        made.append(position)
        time.sleep(0.005)
        return batch

    stream = batches(prepared, [np.arange(4)] * 500, slow, threads=2)
    next(stream)
    stream.close()
    count = len(made)
    assert count < 12
    time.sleep(0.03)
    assert len(made) == count
    assert not [t for t in threading.enumerate() if t.name.startswith("diglot-images")]
