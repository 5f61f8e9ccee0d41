"""Where a fitted model answers: as it was told here, and else as well as this machine can."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import diglot
from diglot import storage
from diglot.engine import Device, mxnet

rng = np.random.default_rng(5)
IMAGES = rng.random((24, 12, 16, 1)).astype(np.float32)
IMAGES[::2, 2:5, 3:12] += 1.5
LABELS = np.where(np.arange(24) % 2, "plain", "bright")


def fitted(device="auto", **settings):
    settings = {"epochs": 1, "seed": 1, "engine": "mxnet", "verbose": False, **settings}
    return diglot.ImageClassifier("mlp", device=device, **settings).fit(IMAGES, LABELS)


def with_gpus(monkeypatch, count):
    """Let MXNet see GPUs, or none."""
    monkeypatch.setattr(mxnet, "gpu_count", lambda: count)
    monkeypatch.setattr(
        mxnet, "gpu_problem", lambda i, _=None: "" if i < count else "no usable GPU was found"
    )


def made_on(model, device, where="gpu:0"):
    """Return a model's file as it would be, had it been made on a GPU."""
    tensors, meta = storage.decode(model.to_bytes())
    for part in (meta, *meta.get("machines", ())):
        part["settings"]["device"], part["device"] = device, where
    return storage.encode(tensors, meta)


def test_cpu_means_cpu_also_where_there_is_a_gpu(monkeypatch):
    model = fitted("cpu")
    answers = model.predict_proba(IMAGES)
    with_gpus(monkeypatch, 1)
    assert str(fitted("cpu", epochs=1)._device()) == "cpu"
    for each in (model, diglot.loads(model.to_bytes()), pickle.loads(pickle.dumps(model))):
        assert each._device() == Device("cpu")
        np.testing.assert_array_equal(each.predict_proba(IMAGES), answers)
    assert fitted_here_on_auto(monkeypatch)._device() == Device("gpu", 0)


def fitted_here_on_auto(monkeypatch):
    with_gpus(monkeypatch, 0)
    model = fitted("auto")
    assert model.device_ == "cpu"
    with_gpus(monkeypatch, 1)
    return model


def test_cpu_keeps_integers_where_there_is_a_gpu(monkeypatch):
    model = diglot.ImageClassifier(
        "mlp", device="cpu", epochs=1, seed=1, precision="int8", verbose=False
    ).fit(IMAGES, LABELS)
    integers = model.predict_proba(IMAGES)
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32").predict_proba(IMAGES)
    assert not np.array_equal(integers, floats)
    with_gpus(monkeypatch, 1)
    again = diglot.loads(model.to_bytes())
    np.testing.assert_array_equal(again.predict_proba(IMAGES), integers)


@pytest.mark.parametrize("device", ["gpu", "gpu:0", "gpu:1", ["gpu:0", "gpu:1"]])
def test_a_files_gpu_that_is_not_here_is_told_of_once(monkeypatch, device):
    model = fitted("cpu")
    with_gpus(monkeypatch, 0)
    loaded = diglot.loads(made_on(model, device))
    with pytest.warns(UserWarning, match=r"no usable GPU was found.*cpu computes.*devices\(\)"):
        found = loaded.predict_proba(IMAGES)
    np.testing.assert_array_equal(found, model.predict_proba(IMAGES))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded.embed(IMAGES).shape == model.embed(IMAGES).shape
        assert len(loaded.explain(IMAGES[:2], method="occlusion").maps) == 2
        loaded.update(IMAGES, LABELS)
    assert loaded.device_ == "cpu"


def test_a_files_second_gpu_gives_way_to_the_first(monkeypatch):
    loaded = diglot.loads(made_on(fitted("cpu"), "gpu:1", "gpu:1"))
    with_gpus(monkeypatch, 1)
    with pytest.warns(UserWarning, match="gpu:0 computes"):
        assert loaded._device() == Device("gpu", 0)


def test_a_gpu_that_is_asked_for_here_is_never_replaced(monkeypatch):
    model = fitted("cpu")
    with_gpus(monkeypatch, 0)
    loaded = diglot.loads(made_on(model, "gpu"))
    with pytest.warns(UserWarning, match="cpu computes"):
        loaded.predict(IMAGES)
    for strict in (loaded, model):
        with pytest.raises(diglot.DeviceError, match="no usable GPU"):
            strict.set_params(device="gpu").predict(IMAGES)
    with pytest.raises(diglot.DeviceError, match="no usable GPU"):
        copy.deepcopy(loaded).predict(IMAGES)
    with pytest.raises(diglot.DeviceError, match="no usable GPU"):
        fitted("gpu")
    assert loaded.set_params(device="cpu").predict(IMAGES).tolist() == list(
        fitted("cpu").predict(IMAGES)
    )


def test_a_captioner_and_machines_do_as_well(monkeypatch):
    with_gpus(monkeypatch, 0)
    data = diglot.shapes(24, seed=1, size=32)
    captioner = diglot.ImageCaptioner(
        "convnet", hidden=8, embedding=8, epochs=1, seed=1, verbose=False
    ).fit(data[["image"]], data["captions"])
    squares = (rng.random((30, 6, 6)) > 0.5).astype(np.float32)
    machine = diglot.RBM(4, epochs=1, seed=1, verbose=False).fit(squares)
    layers = diglot.DBN([5, 4], epochs=1, seed=1, verbose=False).fit(squares)
    for model, ask in (
        (captioner, lambda m: m.predict(data[["image"]][:3])),
        (machine, lambda m: m.transform(squares)),
        (layers, lambda m: m.transform(squares)),
    ):
        loaded = diglot.loads(made_on(model, "gpu"))
        with pytest.warns(UserWarning, match="cpu computes"):
            assert ask(loaded).tolist() == ask(model).tolist()
        with pytest.raises(diglot.DeviceError):
            ask(loaded.set_params(device="gpu"))
