"""The PyTorch engine behind the executor's interface: steps, optimisers, state in and out."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest

from diglot.builder import Builder, initial_weights
from diglot.engine import (
    Device,
    Optimiser,
    check_engine,
    devices,
    may_have_gpu,
    mixing,
    open_executor,
    pick_device,
)
from diglot.engine import torch as door
from diglot.engine.mxnet import load
from diglot.engine.mxnet_optimisers import Updater as MXNetUpdater
from diglot.errors import DeviceError, InputError, MissingPackageError, OutOfMemoryError
from diglot.estimators.precision import with_precision
from diglot.graph import InputSpec
from diglot.networks import network
from engine_checks import with_loss
from test_engine import computed, dense, some, trained
from test_training import reference

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

from diglot.engine.torch_executor import TorchExecutor  # noqa: E402
from diglot.engine.torch_optimisers import Updater  # noqa: E402
from diglot.engine.torch_scaling import LossScale  # noqa: E402
from diglot.engine.torch_settled import settled  # noqa: E402

TORCH = Device("cpu", engine="torch")
RULES = {
    "sgd": Optimiser("sgd", weight_decay=0.1),
    "sgd without momentum": Optimiser("sgd", momentum=0.0, weight_decay=0.1),
    "clipped": Optimiser("sgd", weight_decay=0.1, clip_norm=0.5),
    "adam": Optimiser("adam", weight_decay=0.1),
    "adamw": Optimiser("adamw", weight_decay=0.1),
    "adamw, clipped": Optimiser("adamw", weight_decay=0.1, clip_norm=0.5),
}
NAMES = {"decays": True, "stays": False, "slow": True}
FACTORS = {"decays": 1.0, "stays": 0.25, "slow": 0.25}


# ---- optimisers


def ten_steps(rule, dtype=np.float64):
    """Return the first weights, and ten gradients of a batch of 4."""
    rng = np.random.default_rng(2)
    start = {n: rng.normal(size=(3, 2)).astype(dtype) for n in NAMES}
    return start, [{n: rng.normal(size=(3, 2)).astype(dtype) for n in NAMES} for _ in range(10)]


def by_torch(rule, start, steps, state=None, device="cpu"):
    weights = {n: torch.from_numpy(a.copy()).to(device) for n, a in start.items()}
    updater = Updater(rule, weights, NAMES, FACTORS)
    if state is not None:
        updater.load_state(state)
    for step in steps:
        updater.step({n: torch.from_numpy(g).to(device) for n, g in step.items()}, 0.05)
    return {n: w.cpu().numpy() for n, w in weights.items()}, updater.state()


def by_mxnet(rule, start, steps, state=None):
    mx = load()
    weights = {n: mx.nd.array(a, dtype=a.dtype) for n, a in start.items()}
    gradients = {n: mx.nd.zeros(a.shape, dtype=a.dtype) for n, a in weights.items()}
    updater = MXNetUpdater(mx, rule, weights, gradients, NAMES, FACTORS)
    if state is not None:
        updater.load_state(state)
    for step in steps:
        for n, g in step.items():
            gradients[n][:] = 4 * g
        updater.step(0.05, 4)
    return {n: w.asnumpy() for n, w in weights.items()}, updater.state()


@pytest.mark.needs_mxnet1("2.0's operators want single precision")
@pytest.mark.parametrize("name", RULES)
def test_ten_steps_are_those_of_mxnet(name):
    # MXNet's norm of all gradients is of single precision.
    clips = RULES[name].clip_norm is not None
    start, steps = ten_steps(RULES[name], np.float32 if clips else np.float64)
    weights, state = by_torch(RULES[name], start, steps)
    wanted, kept = by_mxnet(RULES[name], start, steps)
    assert list(state) == list(kept)
    for key, values in {**wanted, **kept}.items():
        found, off = {**weights, **state}[key], 2e-6 if clips else 1e-6
        np.testing.assert_allclose(found, values, rtol=off, atol=off)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_ten_steps_are_those_of_the_papers(name, clip):
    rng = np.random.default_rng(2)
    start = {n: rng.normal(size=(3, 2)) for n in "ab"}
    steps = [{n: rng.normal(size=(3, 2)) for n in "ab"} for _ in range(10)]
    weights = {n: torch.from_numpy(a.copy()) for n, a in start.items()}
    rule = Optimiser(name, weight_decay=0.1, clip_norm=clip)
    updater = Updater(rule, weights, {"a": True, "b": False}, {"a": 1.0, "b": 0.25})
    for step in steps:
        updater.step({n: torch.from_numpy(g) for n, g in step.items()}, 0.05)
    want = reference(name, start, steps, 0.05, 0.1, clip)
    for n in "ab":
        np.testing.assert_allclose(weights[n].numpy(), want[n], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", RULES)
def test_the_state_of_one_goes_on_in_the_other(name):
    start, steps = ten_steps(RULES[name], np.float32)
    whole, _ = by_mxnet(RULES[name], start, steps)
    for first, second in ((by_torch, by_mxnet), (by_mxnet, by_torch)):
        half, state = first(RULES[name], start, steps[:5])
        ended, _ = second(RULES[name], half, steps[5:], state)
        for key in whole:
            np.testing.assert_allclose(ended[key], whole[key], rtol=1e-5, atol=1e-6)


# ---- the executor, as test_engine.py asks MXNet's


@pytest.mark.parametrize("rows", [1, 5, 16, 33])
def test_all_outputs_are_computed_for_any_number_of_rows(rows):
    graph, x = dense(), some(rows)["x"]
    executor = open_executor(graph, TORCH)
    assert isinstance(executor, TorchExecutor)
    first, second = executor.outputs({"x": x})
    assert np.allclose(first, computed(graph.weights, x), atol=1e-5)
    assert np.allclose(second, x.sum(axis=(1, 2)), atol=1e-5)
    assert np.array_equal(executor.forward({"x": x}), first)


def test_training_takes_several_lengths():
    graph = dense()
    executors = [open_executor(graph, device) for device in ("cpu", TORCH)]
    for executor in executors:
        executor.prepare_training(trained(graph), Optimiser("adam", weight_decay=0.01))
        for step, (count, length) in enumerate([(6, 4), (3, 7), (6, 4), (2, 1), (5, 7)]):
            executor.train_step(some(count, length, seed=step), 0.1, 0)
    first, second = executors
    np.testing.assert_allclose(second.totals(), first.totals(), rtol=1e-5)
    for name, weight in first.weights().items():
        np.testing.assert_allclose(second.weights()[name], weight, atol=1e-5)


def test_what_is_kept_is_a_copy_and_need_not_be_given_again():
    b = Builder(InputSpec(1, 1, 1), images=False)
    x, y = b.input("x", (3,)), b.input("y", (3,))
    graph = b.graph("sum", b.add("elemwise_sub", x, y, name="difference")).with_weights({})
    executor = open_executor(graph, TORCH)
    one, other = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    executor.keep({"y": other})
    kept = other.copy()
    other[:] = 0
    assert np.allclose(executor.forward({"x": one}), one - kept)
    executor.keep({})
    assert np.allclose(executor.forward({"x": one, "y": one}), 0)


def small(name="resnet20", **settings):
    graph = network(name, classes=3, size=(9, 12), channels=2, **settings)
    return graph.with_weights(initial_weights(graph, 1))


def batch(rows=8, seed=1):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(rows, 9, 12, 2)).astype(np.float32)
    return {"data": images, "label": rng.integers(0, 3, rows).astype(np.float32)}


def stepped(executor, graph, steps=3, factors=None):
    executor.prepare_training(with_loss(graph), Optimiser("sgd"), factors)
    for step in range(steps):
        executor.train_step(batch(seed=step), 0.05, step)
    return executor.weights()


def test_a_network_with_statistics_trains_as_on_mxnet():
    graph = small(widths=(4, 6, 8))
    first, second = (stepped(open_executor(graph, d), graph) for d in ("cpu", TORCH))
    for name, weight in first.items():
        np.testing.assert_allclose(second[name], weight, rtol=2e-3, atol=2e-4, err_msg=name)
    moved = [n for n, w in first.items() if n.endswith("_moving_var")]
    assert moved and all(not np.allclose(second[n], graph.weights[n]) for n in moved)


def test_what_is_frozen_stays():
    graph = small(widths=(4, 6, 8))
    head = set(graph.groups["head"])
    factors = {n: float(n in head) for n in graph.parameters}
    frozen = graph.frozen(set(graph.parameters) - head)
    found = stepped(open_executor(frozen, TORCH), frozen, factors=factors)
    for name, weight in graph.weights.items():
        assert np.array_equal(found[name], weight) != (name in head), name


def test_dropout_is_that_of_the_steps_seed_and_leaves_others_chance_alone():
    graph = small("mlp", dropout_rate=0.5)
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first, again = (stepped(open_executor(graph, TORCH), graph) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(np.array_equal(again[n], w) for n, w in first.items())
    executor = open_executor(graph, TORCH)
    executor.prepare_training(with_loss(graph), Optimiser("sgd"))
    executor.train_step(batch(), 0.05, 99)
    other = open_executor(graph, TORCH)
    other.prepare_training(with_loss(graph), Optimiser("sgd"))
    other.train_step(batch(), 0.05, 98)
    assert any(not np.array_equal(other.weights()[n], w) for n, w in executor.weights().items())


def test_gradients_by_the_input_are_mxnets():
    graph = small(widths=(4, 6, 8))
    inputs = {"data": batch()["data"]}
    (a, first), (b, second) = (
        open_executor(graph, d).gradients(
            inputs, "data", lambda v: np.eye(3, dtype=np.float32)[[0] * len(v)]
        )
        for d in ("cpu", TORCH)
    )
    assert first.shape == inputs["data"].shape
    np.testing.assert_allclose(b, a, atol=1e-5)
    np.testing.assert_allclose(second, first, atol=1e-5 * np.abs(first).max())


def test_an_answer_does_not_depend_on_its_company():
    graph = small(widths=(4, 6, 8))
    executor, images = open_executor(graph, TORCH), batch(12)["data"]
    together = executor.forward({"data": images})
    alone = np.concatenate([executor.forward({"data": images[i : i + 1]}) for i in range(12)])
    assert np.array_equal(together, alone)


def test_images_that_cannot_be_written_to_are_taken():
    graph = small("mlp")
    images = batch()["data"]
    images.flags.writeable = False
    assert open_executor(graph, TORCH).forward({"data": images}).shape == (8, 3)


@pytest.mark.parametrize(
    "turned",
    [
        lambda a: a[::-1],
        lambda a: a[:, :, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f4"),
        lambda a: a.astype(">f8"),
        lambda a: a.astype(np.float16).astype(np.float32).astype(np.float16),
    ],
)
def test_arrays_are_taken_however_they_lie_in_memory(turned):
    graph, given = small("mlp"), turned(batch(20)["data"])
    plain = np.ascontiguousarray(given, np.float32)
    executor = open_executor(graph, TORCH)
    for rows in (20, 3):
        found = executor.forward({"data": given[:rows]})
        np.testing.assert_array_equal(found, executor.forward({"data": plain[:rows]}))
    _, first = executor.gradients({"data": given}, "data", np.ones_like)
    _, second = executor.gradients({"data": plain}, "data", np.ones_like)
    np.testing.assert_array_equal(first, second)
    executor.load_weights({n: w.astype(">f4") for n, w in graph.weights.items()})
    np.testing.assert_array_equal(executor.forward({"data": plain[:3]}), found)


def test_answers_are_copies_of_what_goes_in():
    b = Builder(InputSpec(1, 1, 1), images=False)
    x, y = b.input("x", (3,)), b.input("y", (3,))
    weight = b.parameter("weight", (2, 3))
    heads = [b.add("identity", each, name=f"same{i}") for i, each in enumerate((x, x, y, weight))]
    graph = b.graph("same", *heads)
    graph = graph.with_weights({"weight": np.ones((2, 3), np.float32)})
    executor = open_executor(graph, TORCH)
    given, kept = np.ones((20, 3), np.float32), np.ones((20, 3), np.float32)
    executor.keep({"y": kept})
    found = executor.outputs({"x": given})
    values, _ = executor.gradients({"x": given}, "x", np.ones_like)
    for each in (*found, values):
        each += 1
    assert (given == 1).all() and (executor.weights()["weight"] == 1).all()
    assert (found[0] == 2).all() and (executor.outputs({"x": given})[2] == 1).all()


def test_one_number_a_channel_trains_as_on_mxnet():
    """At 32 pixels, the last stage of a ResNet-18 has one place: so a batch of one image."""
    graph = network("resnet18", classes=3, size=32, channels=3, widths=(4, 6, 6, 8), stem=4)
    graph = graph.with_weights(initial_weights(graph, 1))
    rng = np.random.default_rng(1)
    images = rng.normal(size=(3, 1, 32, 32, 3)).astype(np.float32)
    found = []
    for device in ("cpu", TORCH):
        executor = open_executor(graph, device)
        executor.prepare_training(with_loss(graph), Optimiser("sgd"))
        for step, image in enumerate(images):
            executor.train_step({"data": image, "label": np.array([step % 3.0])}, 0.01, step)
        found.append(executor.weights())
    for name, weight in found[0].items():
        np.testing.assert_allclose(found[1][name], weight, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize(("size", "beside"), [(32, False), (224, True)])
def test_channels_lie_side_by_side_where_images_hold_more_than_filters(size, beside):
    graph = network("resnet18", classes=3, size=size, channels=3)
    executor = TorchExecutor(graph.with_weights(initial_weights(graph, 1)), TORCH)
    filters = [array for array in executor._arrays.values() if array.dim() == 4]
    assert len(filters) == 20
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in filters) == beside
    images = executor._array("data", np.zeros((2, size, size, 3), np.float32))
    assert images.is_contiguous(memory_format=torch.channels_last) == beside


@pytest.mark.parametrize("widths", [(8, 16, 24, 32), (16, 16, 24, 32)])
def test_few_channels_in_large_steps_do_not_end_the_process(widths):
    """As PyTorch alone does with channels side by side: oneDNN's issue 6035."""
    graph = network("resnet18", classes=3, size=96, channels=3, widths=widths, stem=widths[0])
    graph = graph.with_weights(initial_weights(graph, 1))
    rng = np.random.default_rng(1)
    given = {"data": rng.normal(size=(15, 96, 96, 3)), "label": np.arange(15) % 3.0}
    found = []
    for device in ("cpu", TORCH):
        executor = open_executor(graph, device)
        executor.prepare_training(with_loss(graph), Optimiser("sgd"))
        for step in range(3):
            executor.train_step({n: v.astype(np.float32) for n, v in given.items()}, 0.01, step)
        found.append(executor.weights())
    side_by_side = executor._layout == torch.channels_last
    assert side_by_side == (widths[0] >= 16 and torch.backends.mkldnn.is_available())
    for name, weight in found[0].items():
        np.testing.assert_allclose(found[1][name], weight, rtol=2e-3, atol=2e-3, err_msg=name)


# ---- mixed precision


def test_a_thousand_classes_are_told_apart_in_mixed_precision():
    classes = 1000
    b = Builder(InputSpec(1, 1, 1), images=False)
    scores = b.add(
        "FullyConnected", b.input("x", (classes,)), name="eye", num_hidden=classes, no_bias=True
    )
    place = b.add("argmax", scores, name="place", axis=1)
    hit = b.add("broadcast_equal", place, b.input("label", ()), name="hit")
    graph = b.graph("hits", hit, place).with_weights(
        {"eye_weight": np.eye(classes, dtype=np.float32)}
    )
    executor = open_executor(graph, TORCH.mixing("bfloat16"))
    inputs = {"x": np.eye(classes, dtype=np.float32), "label": np.arange(classes)}
    hits, places = executor.outputs(inputs)
    np.testing.assert_array_equal(places, np.arange(classes))
    executor.prepare_training(graph, Optimiser("sgd"))
    assert hits.sum() == classes
    executor.train_step(inputs, 0.1, 0)  # what is added up, too; nothing here has a gradient
    assert executor.totals()[0] == classes


def test_sums_losses_and_norms_are_computed_with_all_bits_in_mixed_precision():
    graph = small(widths=(4, 6, 8))
    b = Builder(graph.input, graph)
    log_p = b.add("log_softmax", b.start_output(), name="log_p")
    whole = b.graph("p", b.add("exp", log_p, name="p")).with_weights(graph.weights)
    executor = open_executor(whole, TORCH.mixing("bfloat16"))
    given = batch()
    found = executor.forward({"data": given["data"]})
    # Rounded to bfloat16, probabilities would add up to 1 within 1e-2 only.
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    exact = open_executor(whole, TORCH).forward({"data": given["data"]})
    assert 1e-6 < np.abs(found - exact).max() < 0.05


def test_mixed_precision_asks_for_nothing_where_it_is_not_wanted(monkeypatch):
    def refuses(*arguments, **settings):
        raise RuntimeError("unsupported autocast device_type 'mps'")

    monkeypatch.setattr(torch, "autocast", refuses)
    graph = small("mlp")
    assert stepped(open_executor(graph, TORCH), graph)


@pytest.mark.parametrize(
    ("capability", "floats"), [((6, 1), None), ((7, 0), "float16"), ((8, 0), "bfloat16")]
)
def test_mixed_precision_takes_the_floats_that_a_gpu_has_units_for(monkeypatch, capability, floats):
    monkeypatch.setattr(door, "gpu_kind", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    gpu = Device("gpu", engine="torch")
    if floats:
        assert with_precision(gpu, "mixed").mixed == floats
    else:
        with pytest.raises(
            DeviceError, match=r'"mixed".*7\.0 or more, and gpu:0 has 6\.1; use "auto"'
        ):
            with_precision(gpu, "mixed")
    assert with_precision(TORCH, "mixed").mixed == "bfloat16"


def test_gpus_of_two_generations_train_with_the_floats_that_both_have(monkeypatch):
    have = [("bfloat16", "float16"), ("float16",)]
    monkeypatch.setattr(door, "short_floats", lambda index: have[index])
    both = Device("gpu", engine="torch", beside=(Device("gpu", 1, engine="torch"),))
    found = mixing(both)
    assert (found.mixed, found.beside[0].mixed) == ("float16", "float16")
    have[0] = ("bfloat16",)
    with pytest.raises(DeviceError, match="gpu:0, gpu:1 have no shorter floats in common"):
        mixing(both)


def test_another_gpu_is_tried(monkeypatch):
    monkeypatch.setattr(door, "gpu_kind", lambda: "mps")
    monkeypatch.setattr(door, "torch_device", lambda kind, index: torch.device("cpu"))
    assert mixing(Device("gpu", engine="torch")).mixed == "bfloat16"

    def refuses(*arguments, **settings):
        raise TypeError("BFloat16 is not supported on MPS")

    monkeypatch.setattr(torch, "ones", refuses)
    with pytest.raises(DeviceError, match="not supported on MPS"):
        mixing(Device("gpu", engine="torch"))


# ---- float16, whose loss is scaled; on a CPU it is slow and computes the same


HALF = TORCH.mixing("float16")


@pytest.mark.parametrize("loss_weight", [1.0, 3000.0])  # the second is too much at the first scale
def test_losses_are_scaled_as_pytorchs_own_scaler_does(loss_weight):
    b = Builder(InputSpec(1, 1, 1), images=False)
    scores = b.add("FullyConnected", b.input("x", (6,)), name="dense", num_hidden=4)
    log_p = b.add("log_softmax", scores, name="log_p")
    picked = b.add("pick", log_p, b.input("label", ()), name="picked")
    graph = b.graph("loss", b.add("_mul_scalar", picked, name="loss", scalar=-loss_weight))
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 1, (4, 6)).astype(np.float32)
    graph = graph.with_weights({"dense_weight": weight, "dense_bias": np.zeros(4, np.float32)})
    inputs = {"x": rng.normal(0, 1, (8, 6)).astype(np.float32), "label": np.arange(8) % 4}

    executor = open_executor(graph, HALF)
    executor.prepare_training(graph, Optimiser("sgd", momentum=0.9))
    net = torch.nn.Linear(6, 4)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weight))
        net.bias.zero_()
    rule = torch.optim.SGD(net.parameters(), 1e-4, momentum=0.9, nesterov=True)
    scaler = torch.amp.GradScaler("cpu")
    x, label = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["label"])
    for _ in range(12):
        executor.train_step(inputs, 1e-4, 1)
        with torch.autocast("cpu", torch.float16):
            loss = loss_weight * torch.nn.functional.cross_entropy(net(x).float(), label)
        rule.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(rule)
        scaler.update()
        assert executor.optimiser_state()["loss_scale"][0] == scaler.get_scale()
        np.testing.assert_allclose(
            executor.weights()["dense_weight"], net.weight.detach(), rtol=1e-5, atol=1e-7
        )
    assert (scaler.get_scale() < 2**16) == (loss_weight > 1)


def test_a_scale_that_stands_for_long_is_doubled_and_goes_on_from_its_state():
    scale, one = LossScale(), [torch.ones(1)]
    for _ in range(1999):
        assert scale.undo(one)
    again = LossScale()
    again.load_state(scale.state())
    assert again.undo(one) and again.value == 2**17
    assert again.undo(one) and not again.undo([torch.full((1,), torch.inf), *one])
    assert again.state().tolist() == [2**16, 0]


def test_a_gpu_is_verified_by_a_step_of_training(monkeypatch):
    from diglot.engine import torch_executor, torch_verify

    with pytest.raises(DeviceError, match=r"gpu|GPU"):
        torch_verify.verify_gpu(99)
    # The CPU stands in for a GPU: first a sound one, then one whose convolutions are wrong.
    monkeypatch.setattr(torch_verify, "gpu_problem", lambda index: "")
    monkeypatch.setattr(torch_executor, "torch_device", lambda kind, index: torch.device("cpu"))
    torch_verify.verify_gpu(0)
    weights = TorchExecutor.weights
    monkeypatch.setattr(
        TorchExecutor,
        "weights",
        lambda self: {
            n: w + (n.startswith("seen") and self.device.kind == "gpu")
            for n, w in weights(self).items()
        },
    )
    with pytest.raises(DeviceError, match="gpu:0 computes wrong numbers"):
        torch_verify.verify_gpu(0)


# ---- settings of the whole process


def settings():
    """Return all that a user may have set, as he can read it."""
    backends, found = torch.backends, {}
    kinds = [(backends.cudnn, "enabled"), (backends.cudnn, "benchmark")]
    kinds += [(backends.cudnn, "deterministic"), (backends.cudnn, "allow_tf32")]
    kinds += [(backends.cuda.matmul, "allow_tf32")]
    if hasattr(backends.cudnn, "conv"):
        places = (backends, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn)
        kinds += [(place, "fp32_precision") for place in (*places, backends.cuda.matmul)]
    for number, (place, name) in enumerate(kinds):
        try:
            found[number, name] = getattr(place, name)
        except RuntimeError:  # the older names, where the newer ones say something else
            found[number, name] = "not to be read"
    return found


def newer(place, value):
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("this PyTorch has the older names only")
    place.fp32_precision = value


USERS = {
    "nothing": (lambda: None, lambda: None),
    "older, matmul": (
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "older, medium": (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "older, cuDNN": (
        lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
        lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
    ),
    "benchmark": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: setattr(torch.backends.cudnn, "benchmark", False),
    ),
    "newer, matmul": (
        lambda: newer(torch.backends.cuda.matmul, "tf32"),
        lambda: newer(torch.backends.cuda.matmul, "none"),
    ),
    "newer, convolutions": (
        lambda: newer(torch.backends.cudnn.conv, "ieee"),
        lambda: newer(torch.backends.cudnn.conv, "tf32"),
    ),
    "newer, recurrence": (
        lambda: newer(torch.backends.cudnn.rnn, "ieee"),
        lambda: newer(torch.backends.cudnn.rnn, "tf32"),
    ),
    "newer, all": (
        lambda: newer(torch.backends, "tf32"),
        lambda: newer(torch.backends, "none"),
    ),
}


@pytest.mark.parametrize("user", USERS)
def test_short_floats_are_off_inside_and_the_users_settings_come_back(user):
    change, change_back = USERS[user]
    change()
    try:
        before = settings()
        with settled():
            inside = settings()
            with settled():
                pass
            assert inside == settings()
        assert settings() == before
    finally:
        change_back()
    for (number, name), value in inside.items():
        if name == "allow_tf32":
            assert value in (False, "not to be read"), inside
        if name == "fp32_precision" and number > 6:  # of one kind of product each
            assert value == "ieee", inside
    assert inside[1, "benchmark"] is False and inside[2, "deterministic"] is True


def test_settings_come_back_when_the_last_of_several_threads_is_done():
    before, all_in = settings(), threading.Barrier(8)
    torch.backends.cudnn.benchmark = True
    seen = []

    def computes(number):
        for turn in range(20):
            with settled():
                if not turn:
                    all_in.wait(60)
                time.sleep(0.0001 * ((number + turn) % 5))
                seen.append(torch.backends.cudnn.benchmark)

    try:
        threads = [threading.Thread(target=computes, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [False] * 160
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False
    assert settings() == before


def test_a_network_without_weights_is_refused():
    graph = network("mlp", classes=2)
    with pytest.raises(InputError, match="no weights"):
        open_executor(graph, TORCH)


# ---- which engine, and its errors


def test_engines_are_chosen_by_name():
    assert pick_device("cpu").engine == pick_device("auto").engine == "mxnet"
    assert pick_device("cpu", "torch") == pick_device(pick_device("cpu"), "torch") == TORCH
    assert pick_device("auto", "torch").engine == "torch"
    assert pick_device(["cpu:0", "cpu:1"], "torch").beside == (Device("cpu", 1, engine="torch"),)
    assert str(TORCH) == "cpu" and not TORCH.has_integers
    assert {row["engine"] for row in devices()} == {"mxnet", "torch"}
    for wrong in ("tensorflow", None, 1):
        with pytest.raises(InputError, match="engine must be one of 'auto', 'mxnet', 'torch'"):
            check_engine(wrong)


def test_a_gpu_that_neither_has_is_told_of_both():
    with pytest.raises(DeviceError, match=r"gpu:99.*MXNet.*PyTorch"):
        pick_device("gpu:99")
    with pytest.raises(DeviceError, match=r"gpu:99.*PyTorch sees"):
        pick_device("gpu:99", "torch")


def test_auto_takes_the_gpu_that_only_pytorch_can_use(monkeypatch):
    monkeypatch.setattr("diglot.engine.device.may_have_gpu", lambda: True)
    monkeypatch.setattr(door, "gpu_count", lambda: 2)
    monkeypatch.setattr(door, "gpu_problem", lambda index: "too new" if index == 0 else "")
    assert pick_device("auto") == Device("gpu", 1, engine="torch")
    assert pick_device("gpu:1") == Device("gpu", 1, engine="torch")
    assert pick_device("auto", "mxnet") == Device("cpu")


def test_programs_that_look_for_gpus_are_run_once(monkeypatch):
    asked = []
    monkeypatch.setattr("diglot.engine.device.may_have_gpu", lambda: bool(asked.append(1)))
    for _ in range(3):
        assert pick_device("auto") == Device("cpu")
    assert len(asked) == 1


@pytest.mark.parametrize(
    "trace", ["dev/nvidia0", "dev/nvidiactl", "dev/dri/renderD128", "dev/kfd", "dev/dxg", ""]
)
def test_gpus_leave_traces(tmp_path, monkeypatch, trace):
    monkeypatch.setattr("diglot.engine.device.find_gpus", list)
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / trace).parent.mkdir(parents=True, exist_ok=True)
    if trace:
        (tmp_path / trace).touch()
    (tmp_path / "dev" / "dri").mkdir(parents=True, exist_ok=True)
    assert may_have_gpu(tmp_path) == bool(trace)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert may_have_gpu(tmp_path)


def test_without_pytorch_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(door, "load", door.load.__wrapped__)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"PyTorch cannot be loaded.*pip install"):
        pick_device("cpu", "torch")


def test_what_pytorch_raises_is_told_in_our_words():
    with (
        pytest.raises(OutOfMemoryError, match="try batch_size=8, or"),
        door.errors_translated(16, training=True),
    ):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(OutOfMemoryError) as scoring, door.errors_translated(16):
        raise MemoryError
    assert "batch_size" not in str(scoring.value)  # none that predict() takes
    with (
        pytest.raises(DeviceError, match="PyTorch failed: mat1 and mat2"),
        door.errors_translated(1),
    ):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore")
    with pytest.raises(DeviceError, match="Expected more"), door.errors_translated(1):
        raise ValueError("Expected more than 1 value per channel when training")
    with pytest.raises(InputError, match="as it is"), door.errors_translated(1):
        raise InputError("as it is")
