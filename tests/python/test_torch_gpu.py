"""PyTorch on a GPU, against the CPU and against MXNet; skipped where PyTorch can use none."""

from __future__ import annotations

import numpy as np
import pytest

import diglot
from diglot import RBM, ImageCaptioner, ImageClassifier
from diglot.builder import Builder
from diglot.captioner.decoder import Decoder
from diglot.captioner.graphs import training_graph
from diglot.engine import Device, mixing, open_executor, pick_device
from diglot.errors import DeviceError
from diglot.graph import InputSpec
from engine_checks import largest_difference, on_torch
from test_captioner_graphs import SMALL as DECODER
from test_captioner_graphs import of_encoder
from test_engines import CAPTIONS, IMAGES, LABELS, SMALL
from test_networks import TINY
from test_torch_engine import RULES, batch, by_torch, small, stepped, ten_steps
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


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [*TINY, *MORE])
def test_gradients_and_statistics_are_those_of_the_cpu_in_double_precision(name, training):
    graph = still(diglot.network(name, classes=3, **{**TINY, **MORE}[name]))
    values = values_of(graph, rows=4)
    assert_devices_agree(graph, values, training)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_captioners_are_those_of_the_cpu_in_double_precision(cell, attention):
    decoder = Decoder(9, cell, layers=2, **DECODER | {"heads": 3 if attention else 0})
    graph = still(training_graph(of_encoder("convnet", decoder, attention), 0.1))
    values, rng = values_of(graph, rows=4), np.random.default_rng(3)
    for name in set(values) & {"tokens", "target"}:
        values[name] = rng.integers(0, 9, values[name].shape).astype(np.float64)
    assert_devices_agree(graph, values, True)


def assert_devices_agree(graph, values, training):
    outputs, gradients, kept = on_torch(graph, values, training, device="cuda")
    wanted, by, left = on_torch(graph, values, training)
    whole = max((np.abs(g).max(initial=0.0) for g in by.values()), default=0.0)
    for found, want in zip(outputs, wanted, strict=True):
        assert largest_difference(found, want) < 1e-10
    for name, gradient in by.items():
        # Of a gradient that is zero but for rounding, rounding is all that could be compared.
        assert np.abs(gradients[name] - gradient).max(initial=0.0) <= 1e-10 * whole, name
    for name, array in left.items():
        assert largest_difference(kept[name], array) < 1e-10, name


@pytest.mark.parametrize("name", RULES)
def test_ten_steps_of_each_optimiser_are_those_of_the_cpu(name):
    start, steps = ten_steps(RULES[name])
    weights, state = by_torch(RULES[name], start, steps, device="cuda")
    wanted, kept = by_torch(RULES[name], start, steps)
    for key, values in {**wanted, **kept}.items():
        np.testing.assert_allclose({**weights, **state}[key], values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "resnet18"])
def test_the_same_seed_gives_the_same_bytes(name):
    graph = small(name, dropout_rate=0.5) if name == "mlp" else small(name)
    first, again = (stepped(open_executor(graph, GPU), graph) for _ in range(2))
    assert all(np.array_equal(again[n], w) for n, w in first.items())


@pytest.mark.parametrize("name", ["mlp", "lenet", "resnet20"])
def test_steps_that_are_recorded_give_the_same_bytes(monkeypatch, name):
    graph = small(name, dropout_rate=0.5) if name == "mlp" else small(name)
    found = []
    for asked in ("0", "1"):
        monkeypatch.setenv("DIGLOT_CUDA_GRAPHS", asked)
        executor = open_executor(graph, GPU)
        found.append(stepped(executor, graph, steps=12))
    assert executor._steps.replays
    assert all(np.array_equal(found[1][n], w) for n, w in found[0].items())


@pytest.mark.parametrize("decoder", ["lstm", "gru"])
def test_captioners_learn_the_same_bytes_where_steps_are_recorded(monkeypatch, decoder):
    settings = {**SMALL, "device": "gpu", "engine": "torch", "size": 28, "decoder": decoder}
    settings |= {"hidden": 16, "embedding": 8, "layers": 2, "dropout": 0.5}
    prints = set()
    for asked in ("0", "1"):
        monkeypatch.setenv("DIGLOT_CUDA_GRAPHS", asked)
        model = ImageCaptioner("lenet", **settings).fit(IMAGES, CAPTIONS)
        prints.add(model.fingerprint())
    assert len(prints) == 1


@pytest.mark.parametrize("decoder", ["lstm", "gru"])
def test_recurrence_gives_the_same_bytes(decoder):
    settings = {**SMALL, "device": "gpu", "engine": "torch", "size": 28, "decoder": decoder}
    settings |= {"hidden": 16, "embedding": 8, "layers": 2, "dropout": 0.5}
    first, again = (ImageCaptioner("lenet", **settings).fit(IMAGES, CAPTIONS) for _ in "ab")
    assert first.fingerprint() == again.fingerprint()


def test_products_have_all_bits_whatever_the_user_allows():
    """TF32 keeps 10 bits of a number: products of it would be off by 1e-4 and more."""
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 256, 256)).astype(np.float32)
    b = Builder(InputSpec(1, 1, 1), images=False)
    scores = b.add("FullyConnected", b.input("x", (256,)), name="by", num_hidden=256, no_bias=True)
    graph = b.graph("product", scores).with_weights({"by_weight": right})
    torch.set_float32_matmul_precision("high")
    try:
        found = open_executor(graph, GPU).forward({"x": left})
    finally:
        torch.set_float32_matmul_precision("highest")
    assert largest_difference(found, left.astype(np.float64) @ right.T.astype(np.float64)) < 1e-6


def test_mixed_precision_learns_what_single_precision_does():
    try:
        mixing(GPU)
    except DeviceError as why:
        pytest.skip(str(why))
    settings = {**SMALL, "size": 28, "epochs": 4, "device": "gpu", "engine": "torch"}
    mixed = ImageClassifier("lenet", precision="mixed", **settings).fit(IMAGES, LABELS)
    plain = ImageClassifier("lenet", **settings).fit(IMAGES, LABELS)
    assert mixed.fingerprint() != plain.fingerprint()
    np.testing.assert_allclose(mixed.history_["loss"], plain.history_["loss"], rtol=0.02)


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
    ImageClassifier("resnet20", size=12, **settings).fit(IMAGES, LABELS)  # CUDA's own, once
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    ImageClassifier("resnet20", size=12, **settings).fit(IMAGES, LABELS)
    assert torch.cuda.memory_allocated() <= before[0] + 2**20
    assert torch.cuda.memory_reserved() <= before[1] + 2**21  # it is reserved by 2 MiB
