"""PyTorch on a GPU, against the CPU and against MXNet; skipped where PyTorch can use none."""

from __future__ import annotations

import numpy as np
import pytest

import diglot
from diglot import RBM, ImageCaptioner, ImageClassifier
from diglot.engine import Device, open_executor, pick_device
from engine_checks import largest_difference
from test_engines import CAPTIONS, IMAGES, LABELS, SMALL
from test_networks import TINY
from test_torch_engine import batch, small, stepped
from test_torch_networks import MORE, still, values_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch_gpu

from diglot.engine.torch_executor import TorchExecutor  # noqa: E402

CPU, GPU = Device("cpu", engine="torch"), Device("gpu", engine="torch")


def test_the_gpu_is_listed_and_chosen():
    table = diglot.devices().set_index("device")
    assert table.usable["gpu:0"] and "torch " in table.engine["gpu:0"]
    assert pick_device("gpu", "torch") == pick_device("auto", "torch") == GPU


@pytest.mark.parametrize("name", [*TINY, *MORE])
def test_networks_answer_as_on_the_cpu_in_double_precision(name):
    graph = still(diglot.network(name, classes=3, **{**TINY, **MORE}[name]))
    values = values_of(graph, rows=20)
    graph = graph.with_weights({n: values[n] for n in graph.parameters})
    images = {"data": np.ascontiguousarray(values["data"].transpose(0, 2, 3, 1))}
    here, there = (
        TorchExecutor(graph, device, dtype="float64").forward(images) for device in (GPU, CPU)
    )
    assert largest_difference(here, there) < 1e-10


@pytest.mark.parametrize("name", ["resnet20", "mlp"])
def test_steps_are_those_of_the_cpu(name):
    graph = small(name)
    here, there = (stepped(open_executor(graph, device), graph) for device in (GPU, CPU))
    for key, weight in there.items():
        np.testing.assert_allclose(here[key], weight, rtol=2e-3, atol=2e-4, err_msg=key)


def test_the_same_seed_gives_the_same_bytes():
    graph = small("mlp", dropout_rate=0.5)
    first, again = (stepped(open_executor(graph, GPU), graph) for _ in range(2))
    assert all(np.array_equal(again[n], w) for n, w in first.items())


def test_gradients_by_the_input_are_those_of_the_cpu():
    graph = small(widths=(4, 6, 8))
    (_, here), (_, there) = (
        open_executor(graph, d).gradients({"data": batch()["data"]}, "data", np.ones_like)
        for d in (GPU, CPU)
    )
    np.testing.assert_allclose(here, there, atol=1e-4 * np.abs(there).max())


def test_every_capability_trains():
    settings = {**SMALL, "device": "gpu", "engine": "torch"}
    model = ImageClassifier("resnet20", size=12, augment="light", **settings).fit(IMAGES, LABELS)
    assert model.device_ == "gpu:0"
    assert model.fine_tune(IMAGES, LABELS, epochs=1, train="head").network_ is not None
    captioner = {**settings, "size": 28, "hidden": 16, "embedding": 8, "layers": 2}
    ImageCaptioner("lenet", **captioner).fit(IMAGES, CAPTIONS).predict(IMAGES[:3])
    RBM(12, **settings).fit(IMAGES).transform(IMAGES)


def test_memory_is_free_after_a_fit():
    settings = {**SMALL, "device": "gpu", "engine": "torch"}
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    ImageClassifier("resnet20", size=12, **settings).fit(IMAGES, LABELS)
    assert torch.cuda.memory_allocated() <= before + 2**20
