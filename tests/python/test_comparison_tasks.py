"""What frameworks are handed, and the losses they should compute."""

from __future__ import annotations

import gzip
import importlib.util
import json
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from diglot import InputError
from diglot.comparison import reference
from diglot.comparison.measures import RUNNERS
from diglot.comparison.tasks import TASKS, hand_over, prepare_task

RNG = np.random.default_rng(1)
SIDES = {"lenet": (28, 28, 1), "cnn": (64, 64, 3), "lstm": (28, 28, 1)}


def tiny(task, epochs=1, batches=2, seed=3):
    """Return a task on a few images of noise; nothing about them is symmetric."""
    chosen = TASKS[task]
    draw = np.random.default_rng(seed)

    def some(count):
        images = draw.integers(0, 256, (count, *SIDES[chosen.network])).astype(np.uint8)
        return images, draw.integers(0, 6, count)

    sets = {"train": some(batches * chosen.batch), "test": some(chosen.batch)}
    return hand_over(f"tiny {task}", chosen, sets, epochs=epochs, seed=seed)


def handover():
    spec = importlib.util.spec_from_file_location("handover", RUNNERS / "handover.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_of(given, folder, monkeypatch, layout):
    path = folder / "given.safetensors"
    given.write(path, threads=1, device="cpu")
    monkeypatch.setattr(sys, "argv", ["runner", str(path), str(folder / "answer.json")])
    return handover().Run(layout)


@pytest.mark.parametrize("task", TASKS)
def test_the_runners_reader_reads_what_safetensors_reads(task, tmp_path):
    given = tiny(task)
    given.write(tmp_path / "given.safetensors", threads=2, device="cpu")
    settings, arrays = handover().read(tmp_path / "given.safetensors")
    expected = safetensors.numpy.load_file(tmp_path / "given.safetensors")
    assert arrays.keys() == expected.keys() == given.tensors.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)
        np.testing.assert_array_equal(given.tensors[name], value)
    assert settings["threads"] == 2 and settings["weights"] == list(TASKS[task].weights)


def test_both_layouts_are_the_same_network(tmp_path, monkeypatch):
    given = tiny("lenet-mnist")
    first = run_of(given, tmp_path, monkeypatch, "channels first")
    last = run_of(given, tmp_path, monkeypatch, "channels last")
    np.testing.assert_array_equal(first.train[0].transpose(0, 2, 3, 1), last.train[0])
    # A convolution at one place, and the dense layer that reads what is flattened.
    patch = RNG.random((20, 5, 5))
    np.testing.assert_allclose(
        np.einsum("chw,ochw->o", patch, first.weights["conv2.weight"]),
        np.einsum("hwc,hwco->o", patch.transpose(1, 2, 0), last.weights["conv2.weight"]),
    )
    maps = RNG.random((3, 50, 4, 4))
    np.testing.assert_allclose(
        maps.reshape(3, -1) @ first.weights["dense1.weight"].T,
        maps.transpose(0, 2, 3, 1).reshape(3, -1) @ last.weights["dense1.weight"],
    )


def test_batches_come_in_the_order_that_was_drawn(tmp_path, monkeypatch):
    given = tiny("lenet-mnist", epochs=2, batches=3)
    run = run_of(given, tmp_path, monkeypatch, "channels first")
    epochs = [np.concatenate([labels for _, labels in batches]) for batches in run.epochs()]
    rows = given.tensors["order"]
    labels = given.tensors["train.labels"]
    assert [len(epoch) for epoch in epochs] == [64, 192, 192]  # the first step, then the epochs
    np.testing.assert_array_equal(epochs[0], labels[rows[0][:64]])
    np.testing.assert_array_equal(epochs[2], labels[rows[1]])
    assert sorted(rows[0]) == list(range(192)) and (rows[0] != rows[1]).any()


def test_every_test_image_is_classified_once(tmp_path, monkeypatch):
    given = tiny("lenet-mnist")
    tensors = dict(given.tensors)
    draw = np.random.default_rng(2)
    tensors["test.images"] = draw.integers(0, 256, (70, 28, 28, 1)).astype(np.uint8)
    tensors["test.labels"] = (np.arange(70) % 10).astype(np.int32)
    run = run_of(replace(given, tensors=tensors), tmp_path, monkeypatch, "channels last")
    batches = list(run.test_batches())
    assert [len(batch) for batch in batches] == [64, 64]  # what is compiled may need whole ones
    np.testing.assert_array_equal(np.concatenate(batches)[:70], run.test[0])
    # The last two of the 70 are taken for others, and so is all that fills up the last batch.
    classes = np.concatenate([tensors["test.labels"][:68], np.full(60, 99)])
    run.finish([classes[:64], classes[64:]])
    answer = json.loads((tmp_path / "answer.json").read_text("utf-8"))
    assert answer["n"] == 70 and answer["right"] == 68


@pytest.mark.parametrize("task", TASKS)
def test_the_references_gradients_are_the_slopes_of_its_losses(task):
    given = tiny(task)
    settings = given.settings
    weights = {name: given.tensors[name].astype(float) for name in settings["weights"]}
    layers = reference._NETWORKS[settings["network"]](weights)
    x = reference._centred(given.tensors["train.images"][:4], settings)
    labels = given.tensors["train.labels"][:4]

    _, gradients = reference._loss_and_gradients(layers, x, labels)
    assert gradients.keys() == weights.keys()
    draw = np.random.default_rng(3)  # its own: where a step crosses a bend, the slopes differ
    for name, weight in weights.items():
        direction = draw.normal(size=weight.shape)
        losses = []
        for step in (1e-7, -1e-7):
            weight += step * direction  # in place: the layers hold this array
            losses.append(reference._loss_and_gradients(layers, x, labels)[0])
            weight -= step * direction
        slope = (losses[0] - losses[1]) / 2e-7
        assert slope == pytest.approx((gradients[name] * direction).sum(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("task", TASKS)
def test_the_reference_trains_as_pytorch_does_in_double_precision(task):
    torch = pytest.importorskip("torch")
    given = tiny(task, epochs=2)
    settings = given.settings
    w = {
        name: torch.tensor(given.tensors[name], dtype=torch.float64, requires_grad=True)
        for name in settings["weights"]
    }
    functional = torch.nn.functional

    def forward(x):
        if settings["network"] == "lstm":
            cell = torch.nn.LSTM(28, 128, batch_first=True, dtype=torch.float64)
            bias = torch.zeros(512, dtype=torch.float64)
            flat = [w["lstm.input"], w["lstm.recurrent"], w["lstm.bias"], bias]
            names = [name for name, _ in cell.named_parameters()]
            x = torch.func.functional_call(cell, dict(zip(names, flat, strict=True)), x)[0][:, -1]
            return functional.linear(x, w["dense1.weight"], w["dense1.bias"])
        pad = 1 if settings["network"] == "cnn" else 0
        for name in (name[:-7] for name in w if name.startswith("conv") and "weight" in name):
            x = functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=pad)
            x = functional.max_pool2d(torch.tanh(x), 2)
        x = torch.tanh(functional.linear(x.flatten(1), w["dense1.weight"], w["dense1.bias"]))
        return functional.linear(x, w["dense2.weight"], w["dense2.bias"])

    optimiser = torch.optim.SGD(w.values(), settings["rate"], settings["momentum"])
    batch, order = settings["batch"], given.tensors["order"]
    rows = np.concatenate([order[0][:batch], order.reshape(-1)]).reshape(-1, batch)
    losses = []
    for chosen in rows:
        x = torch.tensor(reference._centred(given.tensors["train.images"][chosen], settings))
        labels = torch.tensor(given.tensors["train.labels"][chosen]).long()
        optimiser.zero_grad()
        loss = functional.cross_entropy(forward(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    np.testing.assert_allclose(reference.reference_losses(given), losses, rtol=1e-9)


def test_the_same_seed_hands_over_the_same():
    one, same, other = (prepare_task("lstm", epochs=2, seed=seed) for seed in (1, 1, 2))
    assert one.name == "lstm-digits" and one.settings == same.settings
    for name, value in one.tensors.items():
        np.testing.assert_array_equal(value, same.tensors[name])
    assert (one.tensors["order"] != other.tensors["order"]).any()
    assert (one.tensors["lstm.input"] != other.tensors["lstm.input"]).any()


def test_drawings_are_of_every_colour_on_one_grey():
    given = prepare_task("cnn-64", epochs=2, seed=1)
    images, labels = given.tensors["train.images"], given.tensors["train.labels"]
    assert images.shape == (2400, 64, 64, 3) and set(labels) == set(range(6))
    assert set(np.median(images, axis=(1, 2)).ravel().round(-1)) == {130}
    # Red is class 0: its drawings have the most of it.
    reds = images[labels == 0].reshape(-1, 3).astype(float).std(axis=0)
    assert reds.argmax() in (1, 2)  # where the others are dark


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def write_mnist(folder):
    images = RNG.integers(0, 256, (130, 28, 28)).astype(np.uint8)
    labels = (np.arange(130) % 10).astype(np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    (folder / "t10k-images.idx3-ubyte").write_bytes(idx(images[:70]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:70]))
    return labels


def test_mnist_is_taken_where_the_user_has_it(tmp_path):
    labels = write_mnist(tmp_path)
    given = prepare_task("lenet-mnist", epochs=2, seed=1, data=tmp_path)
    assert given.name == "lenet-mnist"
    np.testing.assert_array_equal(given.tensors["train.labels"], labels)
    assert given.tensors["order"].shape == (2, 128)  # whole batches only
    assert given.tensors["test.images"].shape == (70, 28, 28, 1)  # which are all classified


def test_mnist_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file 'train-images-idx3-ubyte'"):
        prepare_task("lenet-mnist", epochs=2, seed=1, data=tmp_path)
    write_mnist(tmp_path)
    wrong = np.full(130, 11, np.uint8)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(wrong)))
    with pytest.raises(InputError, match="one digit for each image"):
        prepare_task("lenet-mnist", epochs=2, seed=1, data=tmp_path)
    with pytest.raises(InputError, match="task must be one of 'lenet-mnist', 'cnn-64', 'lstm'"):
        prepare_task("lenet", epochs=2, seed=1)
    with pytest.raises(InputError, match="draws its own images"):
        prepare_task("cnn-64", epochs=2, seed=1, data=tmp_path)
