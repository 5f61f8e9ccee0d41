"""On a GPU: fits, files and answers, held against the CPU's; skipped where there is none."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import diglot
from diglot import ImageCaptioner, ImageClassifier, network
from diglot.builder import Builder, initial_weights
from diglot.engine import Optimiser, open_executor, pick_device
from diglot.engine.mxnet import load, verify_gpu
from diglot.graph import InputSpec

pytestmark = pytest.mark.gpu

rng = np.random.default_rng(11)
LABELS = np.array(["dark", "light"])[np.arange(64) % 2]
IMAGES = rng.random((64, 24, 20, 3)).astype(np.float32)
IMAGES[1::2, 3:9, 2:18] += 1.5  # asymmetric: a transpose could not hide
# The convolutions of newer GPUs keep 10 bits of a number.
NEAR = {"rtol": 1e-2, "atol": 1e-2}


@pytest.fixture(scope="module")
def gpu():
    """Return the first GPU that MXNet can use."""
    table = diglot.devices()
    return str(table.device[(table.kind == "gpu") & table.engine.str.contains("mxnet")].iloc[0])


def classifier(device, name="resnet20", **settings):
    chosen = {"epochs": 3, "batch_size": 16, "seed": 1, "verbose": False, **settings}
    return ImageClassifier(name, device=device, **chosen)


@pytest.fixture(scope="module")
def fitted(gpu):
    return classifier(gpu, epochs=6).fit(IMAGES, LABELS)


def weights_of(name, **settings):
    graph = network(name, **{"size": (24, 20), "classes": 2, "channels": 3, **settings})
    return graph.with_weights(initial_weights(graph, 3))


def test_the_gpu_is_listed_and_computes(gpu):
    index = int(gpu.partition(":")[2])
    verify_gpu(index)
    found = diglot.devices().set_index("device").loc[gpu]
    assert (found.kind, found.note) == ("gpu", "")
    assert found.memory > 1
    assert found.capability.count(".") == 1
    assert str(pick_device("auto")) == gpu


@pytest.mark.parametrize("name", ["lenet", "resnet20", "mobilenet_v2", "mobilenet_v3_small"])
def test_networks_answer_as_on_the_cpu(gpu, name):
    graph = weights_of(name, size=32)
    images = {"data": rng.normal(size=(20, *graph.input.shape[1:], 3)).astype(np.float32)}
    here, there = (open_executor(graph, device).forward(images) for device in (gpu, "cpu"))
    np.testing.assert_allclose(here, there, rtol=1e-2, atol=1e-2 * np.abs(there).max())


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_a_step_of_training_is_the_cpus(gpu, optimiser):
    b = Builder(InputSpec(1, 1, 1), images=False)
    y = b.add("FullyConnected", b.input("x", (7,)), name="dense", num_hidden=3)
    error = b.add("elemwise_sub", y, b.input("target", (3,)), name="error")
    graph = b.graph("loss", b.add("sum", b.add("square", error, name="far"), name="loss", axis=1))
    graph = graph.with_weights(initial_weights(graph, 1))
    given = {"x": rng.normal(size=(9, 7)), "target": rng.normal(size=(9, 3))}
    found = []
    for device in (gpu, "cpu"):
        executor = open_executor(graph, device, changing=True)
        executor.prepare_training(graph, Optimiser(optimiser, weight_decay=0.01))
        for seed in range(3):
            executor.train_step(given, 0.01, seed)
        found.append((executor.weights(), executor.totals()))
    (ours, totals), (theirs, others) = found
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(totals, others, rtol=1e-2)


def test_it_learns_and_says_where(fitted, gpu):
    assert fitted.device_ == gpu
    assert gpu in fitted.summary()
    assert (fitted.predict(IMAGES) == LABELS).mean() > 0.9


def test_saved_on_the_gpu_and_loaded_on_the_cpu(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    code = (
        "import sys, numpy as np, diglot\n"
        "model = diglot.load(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict_proba(np.load(sys.argv[2])))\n"
        "print(model.fingerprint())\n"
    )
    np.save(tmp_path / "images.npy", IMAGES)
    files = [str(tmp_path / n) for n in ("model.safetensors", "images.npy", "found.npy")]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, *files], env=hidden, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == fitted.fingerprint()
    assert "cpu computes in its place" in done.stderr
    np.testing.assert_allclose(np.load(files[2]), fitted.predict_proba(IMAGES), **NEAR)


def test_a_model_of_the_cpu_is_fine_tuned_on_the_gpu(gpu):
    first = classifier("cpu", epochs=2).fit(IMAGES, LABELS)
    here, there = (
        first.fine_tune(IMAGES, LABELS, device=device, epochs=2, train="head")
        for device in (gpu, "cpu")
    )
    assert (here.device_, there.device_) == (gpu, "cpu")
    np.testing.assert_allclose(
        here.predict_proba(IMAGES), there.predict_proba(IMAGES), rtol=0.05, atol=0.05
    )
    whole = first.fine_tune(IMAGES, LABELS, device=gpu, epochs=4, train="all")
    assert (whole.predict(IMAGES) == LABELS).mean() > 0.8


FIT = """
import json, os, sys
import numpy as np
from diglot import ImageClassifier
from diglot.training.checkpoints import Checkpoints
folder, device, die = sys.argv[1], sys.argv[2], int(sys.argv[3])
saved, save = [], Checkpoints.save
def dying(*args):
    save(*args)
    saved.append(1)
    if len(saved) == die:
        os.kill(os.getpid(), 9)
Checkpoints.save = dying
rng = np.random.default_rng(3)
images, labels = rng.random((48, 20, 24, 3)).astype(np.float32), list("ab" * 24)
model = ImageClassifier("lenet", epochs=4, seed=5, batch_size=16, device=device, verbose=False,
                        checkpoint=folder, resume=True)
model.fit(images, labels)
answers = model.predict_proba(images).tolist()
print(json.dumps([model.device_, len(model.history_), answers]))
"""


def test_a_killed_fit_resumes(gpu, tmp_path):
    def fit(folder, die=0):
        return subprocess.run(
            [sys.executable, "-c", FIT, str(tmp_path / folder), gpu, str(die)],
            capture_output=True,
            text=True,
            check=False,
        )

    whole = json.loads(fit("whole").stdout)
    assert fit("parts", die=2).returncode == -9
    parts = json.loads(fit("parts").stdout)
    assert parts[:2] == whole[:2] == [gpu, 4]
    # A GPU sums in an order of its own: not to the byte.
    np.testing.assert_allclose(parts[2], whole[2], **NEAR)


def test_captions_are_those_of_the_cpu(gpu, tmp_path):
    table = diglot.shapes(24, seed=2, captions=1)
    model = ImageCaptioner(
        "convnet", hidden=16, embedding=12, epochs=2, seed=1, device=gpu, verbose=False
    ).fit(table["image"], table["captions"])
    assert model.device_ == gpu
    model.save(tmp_path / "captioner.safetensors")
    again = diglot.load(tmp_path / "captioner.safetensors").set_params(device="cpu")
    ours, theirs = (each.predict(table["image"]) for each in (model, again))
    assert (np.array(ours) == np.array(theirs)).mean() >= 0.9


def used(index):
    free, total = load().context.gpu_memory_info(index)
    return total - free


def test_memory_that_does_not_suffice_is_an_error_that_says_what_helps(gpu):
    b = Builder(InputSpec(1, 1, 1), images=False)
    many = b.add(
        "broadcast_axis", b.input("x", (1, 1)), name="many", axis=(1, 2), size=(2**17,) * 2
    )
    graph = b.graph("large", b.add("sum", many, name="sums", axis=(1, 2))).with_weights({})
    with pytest.raises(diglot.OutOfMemoryError, match="batch_size="):
        open_executor(graph, gpu).forward({"x": np.ones((64, 1, 1), np.float32)})
    small = weights_of("lenet")  # and the GPU goes on
    assert np.isfinite(open_executor(small, gpu).forward({"data": IMAGES})).all()


def test_memory_is_used_again_and_given_back(gpu):
    index = int(gpu.partition(":")[2])
    context = load().gpu(index)

    def fit_and_forget():
        classifier(gpu, epochs=1).fit(IMAGES, LABELS).predict(IMAGES)
        gc.collect()
        load().nd.waitall()

    fit_and_forget()  # the driver's own part is taken once
    before = used(index)
    for _ in range(3):
        fit_and_forget()
    assert used(index) - before < 2**26
    context.empty_cache()
    assert used(index) <= before
