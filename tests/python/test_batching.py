"""How many images are scored at once: fitted to memory, and the same answers for any number."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import diglot
from diglot.batching import Halving, Sparing, score_batch
from diglot.builder import initial_weights
from diglot.engine import Device, open_executor, pick_device
from diglot.images import memory

MIB = 2**20
rng = np.random.default_rng(4)
IMAGES = rng.integers(0, 255, (70, 20, 24, 3), "uint8")
LABELS = list("ab" * 35)


class Small:
    """Answers as an executor does, but has room for a few rows only."""

    def __init__(self, executor, room, error=diglot.OutOfMemoryError, device=None):
        self._executor, self._room, self._error = executor, room, error
        self.device = device or Device("gpu")
        self.asked = []

    def forward(self, inputs):
        rows = len(next(iter(inputs.values())))
        self.asked.append(rows)
        if rows > self._room:
            raise self._error(f"a batch of {rows} images does not fit into memory")
        return self._executor.forward(inputs)


def lenet():
    graph = diglot.network("lenet", size=(20, 24), channels=3, classes=5)
    return graph.with_weights(initial_weights(graph, 1))


def test_batches_are_fitted_to_what_is_free(monkeypatch):
    graph = diglot.network("resnet20", size=32, channels=3, classes=10)
    each, found = 4 * graph.activation_count, []
    for free in (2**40, 4 * 100 * each, 4 * 47 * each, 4 * 20 * each, 5 * each, 0):
        monkeypatch.setattr("diglot.batching.available_memory", lambda free=free: free)
        found.append(score_batch(graph))
    assert found[1:] == [96, 32, 16, 16, 16]
    assert 96 <= found[0] <= 256 * MIB // each


def test_large_networks_stay_within_the_cap(monkeypatch):
    monkeypatch.setattr("diglot.batching.available_memory", lambda: 2**40)
    small, large = diglot.network("resnet20", size=64), diglot.network("resnet50")
    assert score_batch(large) == 16
    assert score_batch(small) * 4 * small.activation_count <= 256 * MIB


@pytest.mark.parametrize("error", [diglot.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("room", [1, 3, 16, 40, 70])
def test_batches_are_halved_until_they_fit_and_stay_so(room, error):
    graph = lenet()
    given = {"data": rng.normal(size=(70, 20, 24, 3)).astype("f4")}
    executor = open_executor(graph, "cpu")
    small = Small(executor, room, error)
    sparing = Sparing(small)
    want = executor.forward(given)
    np.testing.assert_array_equal(sparing.forward(given), want)
    assert small.asked[-1] <= room
    failed = sum(n > room for n in small.asked)
    np.testing.assert_array_equal(sparing.forward(given), want)
    assert sum(n > room for n in small.asked) == failed  # what was learned is kept


def test_where_one_image_is_too_much_the_error_stands():
    small = Small(None, 0)
    with pytest.raises(diglot.OutOfMemoryError, match="a batch of 1 images"):
        Sparing(small).forward({"data": np.zeros((9, 2, 2, 1), np.float32)})
    assert small.asked == [9, 5, 3, 2, 1]


def test_mxnets_cpu_is_not_asked_again():
    """Its memory is not in order after that: it crashed in trials (see `Halving`)."""
    small = Small(None, 0, device=Device("cpu"))
    with pytest.raises(diglot.OutOfMemoryError, match="a batch of 9 images"):
        Sparing(small).forward({"data": np.zeros((9, 2, 2, 1), np.float32)})
    assert small.asked == [9]


def test_other_errors_pass():
    def fail(_):
        raise diglot.DeviceError("broken")

    with pytest.raises(diglot.DeviceError, match="broken"):
        Halving(Device("gpu")).each(fail, 4)


@pytest.fixture
def little_room(monkeypatch):
    """Let executors on the CPU stand for those of a GPU that has room for 5 images."""
    made = []

    def opened(graph, device):
        made.append(Small(open_executor(graph, "cpu"), 5))
        return made[-1]

    for module in ("predictor.base", "predictor.coefficients", "weighted"):
        monkeypatch.setattr(f"diglot.{module}.open_executor", opened, raising=True)
    return made


def test_models_answer_the_same_with_little_room(little_room, monkeypatch):
    settings = {"epochs": 1, "seed": 1, "verbose": False, "device": "cpu"}
    model = diglot.ImageClassifier("lenet", **settings).fit(IMAGES, LABELS)
    answers, features = model.predict_proba(IMAGES), model.embed(IMAGES)
    assert len(little_room) == 2
    assert all(max(n for n in small.asked if n <= 5) > 1 for small in little_room)
    monkeypatch.undo()
    model = diglot.loads(model.to_bytes())
    np.testing.assert_array_equal(model.predict_proba(IMAGES), answers)
    np.testing.assert_array_equal(model.embed(IMAGES), features)


def test_captions_are_the_same_with_little_room(monkeypatch):
    data = diglot.shapes(40, seed=1, size=32)
    model = diglot.ImageCaptioner(
        "convnet", hidden=16, embedding=8, epochs=1, seed=1, verbose=False, device="cpu"
    ).fit(data[["image"]], data["captions"])
    want = model.predict(data[["image"]]).tolist()
    drawn = model.predict(data[["image"]], temperature=1.0, seed=3).tolist()
    speaker = model._speaker(False)
    real, asked = speaker.see, []

    def see(pixels):
        asked.append(len(pixels))
        if len(pixels) > 7:
            raise diglot.OutOfMemoryError("too many")
        real(pixels)

    monkeypatch.setattr(speaker, "see", see)
    monkeypatch.setattr(speaker, "device", Device("cpu", engine="torch"))  # which recovers
    assert model.predict(data[["image"]]).tolist() == want
    assert model.predict(data[["image"]], temperature=1.0, seed=3).tolist() == drawn
    assert max(n for n in asked if n <= 7) > 1


@pytest.mark.parametrize("engine", ["mxnet", "torch"])
@pytest.mark.parametrize("name", ["mlp", "lenet", "resnet20", "mobilenet_v2"])
def test_answers_are_the_same_bytes_for_every_size_of_batch(engine, name):
    if engine == "torch":
        pytest.importorskip("torch")
    graph = diglot.network(name, size=32, channels=3, classes=7)
    graph = graph.with_weights(initial_weights(graph, 1))
    executor = open_executor(graph, pick_device("cpu", engine))
    given = rng.normal(size=(144, 32, 32, 3)).astype("f4")
    want = executor.forward({"data": given})
    for size in (1, 5, 16, 23, 32, 48, 128):
        rows = min(144, 8 * size)
        parts = [given[i : min(rows, i + size)] for i in range(0, rows, size)]
        found = np.concatenate([executor.forward({"data": part}) for part in parts])
        np.testing.assert_array_equal(found, want[:rows])


LIMITED = """
import json, resource, sys
import numpy as np, diglot
from diglot.batching import Sparing
from diglot.builder import initial_weights
from diglot.engine import open_executor, pick_device
from diglot.images.memory import available_memory

graph = diglot.network("resnet18", size=64, channels=3, classes=10)
graph = graph.with_weights(initial_weights(graph, 1))
executor = open_executor(graph, pick_device("cpu", "torch"))
images = np.random.default_rng(0).normal(size=(480, 64, 64, 3)).astype("f4")
want = executor.forward({"data": images[:16]})
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (180 << 20),) * 2)
left = available_memory()
asked, real = [], executor.forward
def forward(inputs):
    asked.append(len(inputs["data"]))
    return real(inputs)
executor.forward = forward
found = Sparing(executor).forward({"data": images})
print(json.dumps([left >> 20, asked, bool((found[:16] == want).all()), len(found)]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_pytorch_goes_on_with_less_where_memory_ends():
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    left, asked, same, count = json.loads(done.stdout)
    assert 130 <= left <= 180 and same and count == 480
    assert asked[0] == 480 and asked[-1] < 480


def test_a_limit_of_addresses_counts_as_memory(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**50, 2**50))
    assert memory._addresses() < 2**50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert memory.available_memory() == 0
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory._addresses() is None
