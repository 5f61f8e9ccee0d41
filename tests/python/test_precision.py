"""Scoring with 8-bit integers: calibrated, kept in the model file, against float32 and NumPy."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import diglot
import diglot.estimators.precision as estimators_precision
from diglot import storage
from diglot.builder import Builder, initial_weights
from diglot.engine import int8_scorer, measure_ranges, open_executor
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images
from diglot.networks.layers import act, add, conv, dense, flatten, own
from diglot.own_operators import register_operator
from test_networks import MORE, TINY

rng = np.random.default_rng(5)
IMAGES = rng.random((96, 20, 28, 3)).astype(np.float32)
IMAGES[::2, 2:9, 3:20] += 1.5
LABELS = np.where(np.arange(96) % 2, "plain", "bright")


def inputs(graph, n=16):
    spec = graph.input
    return {"data": rng.normal(size=(n, spec.height, spec.width, spec.channels)).astype("f4")}


def test_a_dense_layer_is_its_integers():
    """Against the arithmetic itself: weights by row and inputs in 8 bits, sums in float64."""
    b = Builder(InputSpec(4, 6, 1))
    flat = b.add("Flatten", b.data, name="flat")
    graph = b.graph("dense", b.add("FullyConnected", flat, name="head", num_hidden=16))
    graph = graph.with_weights(initial_weights(graph, 1))
    given = inputs(graph, 32)
    answer = int8_scorer(graph, measure_ranges(graph, [given])).forward(given)
    x, w = given["data"].reshape(32, -1), graph.weights["head_weight"]
    step_x, step_w = np.abs(x).max() / 127, np.abs(w).max(axis=1, keepdims=True) / 127
    whole = np.rint(x / step_x) @ np.rint(w / step_w).T * step_x * step_w.T
    assert np.abs(answer - whole).max() < 0.02 * np.abs(whole).max()
    assert 0 < np.abs(answer - x @ w.T).max() < 0.05 * np.abs(whole).max()


@pytest.mark.parametrize("name", [*TINY, *MORE])
def test_networks_of_every_family_answer_much_as_in_float32(name):
    graph = diglot.network(name, classes=3, **{**TINY, **MORE}[name])
    graph = graph.with_weights(initial_weights(graph, 1))
    given = inputs(graph)
    ranges = measure_ranges(graph, [given])
    assert ranges  # not one of them has to stay with float32
    integers = int8_scorer(graph, ranges).forward(given)
    floats = open_executor(graph, "cpu").forward(given)
    assert not np.array_equal(integers, floats)
    assert np.corrcoef(integers.ravel(), floats.ravel())[0, 1] > 0.97


def test_what_no_integers_fit_scores_in_float32_and_says_so_once():
    # What somebody's own function does between layers, MXNet is not known to leave as it is.
    register_operator("doubled_in_floats", lambda x: 2 * x, lambda gradient, x: 2 * gradient)
    b = Builder(InputSpec(20, 28, 3))
    first = dense(b, flatten(b, b.data, name="flat"), 8, name="first")
    both = own(b, "doubled_in_floats", first, name="both")
    with b.group("head"):
        graph = b.graph("twice", dense(b, both, 2, name="head"))
    settings = {"epochs": 1, "seed": 1, "verbose": False}
    model = diglot.ImageClassifier(graph, precision="int8", **settings)
    with pytest.warns(UserWarning, match="No layer of 'twice'.*float32") as told:
        model.fit(IMAGES, LABELS)
    mine = [each for each in told if each.category is UserWarning]  # MXNet's own are others
    assert len(mine) == 1 and mine[0].filename == __file__ and model.int8_ is None
    floats = diglot.ImageClassifier(graph, precision="float32", **settings).fit(IMAGES, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = diglot.loads(model.to_bytes())
        for each in (model, again):
            found = each.predict_proba(IMAGES)
            np.testing.assert_array_equal(found, floats.predict_proba(IMAGES))


def test_an_images_answer_does_not_depend_on_its_company():
    graph = diglot.network("resnet20", size=24, channels=3)
    graph = graph.with_weights(initial_weights(graph, 1))
    given = inputs(graph)
    scorer = int8_scorer(graph, measure_ranges(graph, [given]))
    alone = scorer.forward({"data": given["data"][5:6]})
    np.testing.assert_array_equal(alone[0], scorer.forward(given)[5])


def test_ranges_hold_the_outputs_of_all_batches():
    graph = diglot.network("lenet", size=20, channels=1)
    graph = graph.with_weights(initial_weights(graph, 1))
    first, second = inputs(graph), inputs(graph)
    both = measure_ranges(graph, [first, second])
    for one in (measure_ranges(graph, [first]), measure_ranges(graph, [second])):
        assert all(both[n][0] <= one[n][0] and one[n][1] <= both[n][1] for n in both)


def test_ranges_of_another_network_are_refused():
    graph = diglot.network("lenet", size=20, channels=1)
    graph = graph.with_weights(initial_weights(graph, 1))
    with pytest.raises(diglot.InputError, match="lenet.*ranges lack"):
        int8_scorer(graph, {"other": (0.0, 1.0)})


@pytest.fixture(scope="module")
def model():
    settings = {"epochs": 3, "seed": 1, "precision": "int8", "verbose": False}
    return diglot.ImageClassifier("convnet", **settings).fit(IMAGES, LABELS)


def test_a_model_scores_with_integers(model):
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32")
    ours, theirs = model.predict_proba(IMAGES), floats.predict_proba(IMAGES)
    assert model.fingerprint() == floats.fingerprint()
    assert 0 < np.abs(ours - theirs).max() < 0.1
    agrees = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
    assert agrees == pytest.approx(model.int8_.agreement, abs=0.05)
    assert f"{100 * model.int8_.agreement:.1f} % of 96" in model.summary()


def test_a_model_file_keeps_the_ranges(model):
    again = diglot.loads(model.to_bytes())
    assert again.int8_ == model.int8_
    np.testing.assert_array_equal(again.predict_proba(IMAGES), model.predict_proba(IMAGES))


@pytest.mark.parametrize(
    "damage", [{"agreement": 2}, {"n": 0}, {"ranges": {"a": [1, 0]}}, {"n": True}]
)
def test_damaged_ranges_are_refused(model, damage):
    tensors, meta = storage.decode(model.to_bytes())
    meta["int8"] = {**meta["int8"], **damage}
    with pytest.raises(diglot.ModelFileError, match="int8"):
        diglot.loads(storage.encode(tensors, json.loads(json.dumps(meta))))


def test_auto_leaves_small_networks_alone():
    model = diglot.ImageClassifier("convnet", epochs=1, seed=1, verbose=False)
    assert model.fit(IMAGES, LABELS).int8_ is None


def test_ranges_that_do_not_fit_this_mxnet_are_left_aside_and_it_says_so_once(model):
    other = diglot.loads(model.to_bytes())
    other.int8_ = replace(other.int8_, ranges={"another layer": (0.0, 1.0)})
    with pytest.warns(UserWarning, match="float32.*ranges lack"):
        found = other.predict_proba(IMAGES)
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32")
    np.testing.assert_array_equal(found, floats.predict_proba(IMAGES))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.predict_proba(IMAGES)


def test_ranges_are_called_alike_by_every_mxnet():
    graph = diglot.network("lenet", size=20, channels=1)
    graph = graph.with_weights(initial_weights(graph, 1))
    assert set(measure_ranges(graph, [inputs(graph)])) == {
        "data",
        "conv1",
        "pool1",
        "conv2",
        "flat",
        "dense",
        "dense_tanh",
        "head",
    }


def test_auto_takes_integers_where_they_agree(monkeypatch):
    monkeypatch.setattr("diglot.estimators.precision.LEAST_WORK", 0)
    monkeypatch.setattr("diglot.estimators.precision.is_faster", lambda *_: True)
    model = diglot.ImageClassifier("convnet", epochs=3, seed=1, verbose=False).fit(IMAGES, LABELS)
    explicit = diglot.loads(model.to_bytes()).set_params(precision="int8")
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32")
    expected = explicit if model.int8_.agreement >= 0.995 else floats
    np.testing.assert_array_equal(model.predict_proba(IMAGES), expected.predict_proba(IMAGES))


def test_auto_leaves_integers_that_disagree_or_are_slow(model, monkeypatch):
    def scores(faster, agreement, precision="auto"):
        monkeypatch.setattr("diglot.estimators.precision.is_faster", lambda *_: faster)
        other = diglot.loads(model.to_bytes()).set_params(precision=precision)
        other.int8_ = replace(other.int8_, agreement=agreement)
        return other.predict_proba(IMAGES)

    floats, integers = scores(False, 1.0, "float32"), scores(False, 0.9, "int8")
    assert not np.array_equal(floats, integers)
    np.testing.assert_array_equal(scores(True, 1.0), integers)
    np.testing.assert_array_equal(scores(True, 0.995), integers)
    np.testing.assert_array_equal(scores(True, 0.99), floats)
    np.testing.assert_array_equal(scores(True, 0.9), floats)
    np.testing.assert_array_equal(scores(False, 1.0), floats)


def test_agreement_is_that_of_256_images_where_there_are_as_many():
    images = np.concatenate([IMAGES, 0.5 * IMAGES, 0.25 * IMAGES, IMAGES[:, ::-1]])
    labels = np.tile(LABELS, 4)
    settings = {"epochs": 1, "seed": 1, "precision": "int8", "verbose": False}
    model = diglot.ImageClassifier("convnet", **settings).fit(images, labels)
    assert model.int8_.n == 256
    assert 255 / 256 >= 0.995 > 63 / 64  # so that one in them may differ, but not one in 64
    # The rows that were compared are the first by their content.
    with PreparedImages(as_images(images), model.network_.input) as ready:
        order = np.argsort(np.array(ready.keys(), object))[:256]
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32")
    same = model.predict(images[order]) == floats.predict(images[order])
    assert model.int8_.agreement == pytest.approx(same.mean(), abs=1.5 / 256)


# ---- a fit is never lost to what comes after it


class Stopped:
    """Stands for what measures: goes wrong."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def __call__(self, *_):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        diglot.OutOfMemoryError("a batch of 16 images does not fit into memory"),
        diglot.ImageError("There is no file 'gone.png'"),
        diglot.DeviceError("MXNet failed: it is not known why"),
        MemoryError(),
        KeyboardInterrupt(),
        RuntimeError("whatever"),
    ],
)
def test_a_fit_outlives_its_calibration(monkeypatch, error):
    stopped = Stopped(error)
    monkeypatch.setattr("diglot.estimators.precision.measure_ranges", stopped)
    fresh = diglot.ImageClassifier("mlp", epochs=2, seed=1, precision="int8", verbose=False)
    with pytest.warns(UserWarning, match=r"whole, but scores in float32\. Fit again.*int") as told:
        fresh.fit(IMAGES, LABELS)
    assert stopped.calls == 1 and fresh.int8_ is None and fresh.stopped_ == "completed"
    assert str(error) in str(told[0].message) and told[0].filename == __file__
    plain = diglot.ImageClassifier("mlp", epochs=2, seed=1, precision="float32", verbose=False)
    assert fresh.fingerprint() == plain.fit(IMAGES, LABELS).fingerprint()
    assert diglot.loads(fresh.to_bytes()).predict(IMAGES).tolist() == plain.predict(IMAGES).tolist()


def test_a_vanished_file_does_not_cost_the_fit(tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{i}.png") for i in range(24)]
    for i, path in enumerate(paths):
        Image.fromarray((80 * IMAGES[i]).clip(0, 255).astype("uint8")).save(path)
    real = estimators_precision.measure_ranges

    def vanishing(graph, given):
        for path in paths:
            os.unlink(path)
        return real(graph, given)

    monkeypatch.setattr("diglot.estimators.precision.measure_ranges", vanishing)
    fresh = diglot.ImageClassifier(
        "convnet", epochs=1, seed=1, precision="int8", verbose=False, memory_limit=0
    )
    monkeypatch.setattr("diglot.images.store.ArrayStore._reserve", lambda *_: False)
    with pytest.warns(UserWarning, match="There is no file.*scores in float32"):
        fresh.fit(paths, LABELS[:24])
    assert len(fresh.history_) == 1 and fresh.int8_ is None


def test_an_interrupted_fit_is_not_followed_by_more_work(monkeypatch):
    stopped = Stopped(AssertionError("measured"))
    monkeypatch.setattr("diglot.estimators.precision.measure_ranges", stopped)

    def interrupt(progress):
        raise KeyboardInterrupt

    fresh = diglot.ImageClassifier(
        "mlp", epochs=5, seed=1, precision="int8", verbose=False, callbacks=[interrupt]
    )
    with pytest.warns(UserWarning) as told:
        fresh.fit(IMAGES, LABELS)
    assert fresh.stopped_ == "interrupted" and fresh.int8_ is None and stopped.calls == 0
    assert any("interrupted, the fitted model is whole" in str(w.message) for w in told)


def test_bad_input_to_more_training_does_not_cost_the_ranges(model):
    other = diglot.loads(model.to_bytes())
    with pytest.raises(diglot.InputError):
        other.update(IMAGES, ["unknown"] * len(IMAGES))
    assert other.int8_ == model.int8_


# ---- trained elsewhere, scored on MXNet's CPU


def test_what_pytorch_trained_scores_with_mxnets_integers(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("diglot.estimators.precision.LEAST_WORK", 0)
    fresh = diglot.ImageClassifier("convnet", epochs=3, seed=1, engine="torch", verbose=False)
    fresh.fit(IMAGES, LABELS)
    assert fresh.engine_ == "torch" and fresh.int8_.n == 96
    assert "int8" in fresh.summary()
    other = diglot.loads(fresh.to_bytes())
    assert other.int8_ == fresh.int8_
    integers, floats = (
        diglot.loads(fresh.to_bytes()).set_params(engine="mxnet", precision=p).predict_proba(IMAGES)
        for p in ("int8", "float32")
    )
    assert 0 < np.abs(integers - floats).max() < 0.1
    same = integers.argmax(axis=1) == floats.argmax(axis=1)
    assert fresh.int8_.agreement == pytest.approx(same.mean(), abs=0.02)
    np.testing.assert_allclose(fresh.predict_proba(IMAGES), floats, atol=1e-4)


def test_without_mxnet_int8_says_once_that_it_stays_with_float32(monkeypatch):
    monkeypatch.setattr("diglot.estimators.precision.integer_device", lambda: None)
    settings = {"epochs": 1, "seed": 1, "verbose": False}
    with pytest.warns(UserWarning, match="Without MXNet.*float32") as told:
        model = diglot.ImageClassifier("mlp", precision="int8", **settings).fit(IMAGES, LABELS)
    assert len(told) == 1 and model.int8_ is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.predict(IMAGES)) == 96
        monkeypatch.setattr("diglot.estimators.precision.LEAST_WORK", 0)
        diglot.ImageClassifier("mlp", **settings).fit(IMAGES, LABELS)  # "auto" is content


def test_numbers_and_tags_score_with_integers(monkeypatch):
    kept = {"epochs": 2, "seed": 1, "precision": "int8", "verbose": False}
    number = diglot.ImageRegressor("convnet", **kept).fit(IMAGES, IMAGES.mean(axis=(1, 2, 3)))
    tags = diglot.ImageTagger("convnet", **kept).fit(IMAGES, [[x] for x in LABELS])
    for each in (number, tags):
        assert 0 <= each.int8_.agreement <= 1
        floats = diglot.loads(each.to_bytes()).set_params(precision="float32")
        same = np.corrcoef(np.ravel(each._scores(IMAGES)), np.ravel(floats._scores(IMAGES)))
        assert same[0, 1] > 0.99


def test_an_unknown_precision_is_refused():
    with pytest.raises(diglot.InputError, match="precision"):
        diglot.ImageClassifier("mlp", precision="int4").fit(IMAGES, LABELS)


def test_ranges_go_by_the_names_of_the_networks_layers():
    graph = diglot.network("resnet18", size=32, channels=3)
    graph = graph.with_weights(initial_weights(graph, 1))
    given = inputs(graph)
    ranges = measure_ranges(graph, [given])
    layers = {row["layer"] for row in graph.layers()}
    assert ranges.keys() <= {"data", *layers}
    # What a rectifier gives is never below zero, and is what it is in float32.
    rectified = [n for n in ranges if "relu" in n]
    assert len(rectified) > 10 and all(ranges[n][0] == 0 for n in rectified)
    runner = open_executor(graph.up_to(rectified[3]), "cpu")
    assert runner.forward(given).max() == pytest.approx(ranges[rectified[3]][1], rel=1e-4)


def test_features_are_computed_with_integers_where_answers_are(model):
    floats = diglot.loads(model.to_bytes()).set_params(precision="float32")
    ours, theirs = model.embed(IMAGES), floats.embed(IMAGES)
    assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    layer = model.network_.layers()[0]["layer"]
    np.testing.assert_array_equal(model.embed(IMAGES, layer), floats.embed(IMAGES, layer))


@pytest.mark.parametrize("other", ["signed", "rectified"])
@pytest.mark.parametrize("rectified", [True, False])
def test_sums_of_two_branches_keep_all_of_their_range(other, rectified):
    """MXNet 1.9.1 cuts off half of it where a summand with a sign is fused with a rectifier."""
    b = Builder(InputSpec(12, 12, 3))
    first = act(b, conv(b, b.data, 16, 3, name="first"), "relu", name="relu1")
    beside = conv(b, first, 16, 1, name="beside")
    if other == "rectified":
        beside = act(b, beside, "relu", name="relu2")
    summed = add(b, conv(b, first, 16, 3, name="conv"), beside, name="sum")
    last = act(b, summed, "relu", name="relu3") if rectified else summed
    graph = b.graph("branches", dense(b, flatten(b, last, name="flat"), 7, name="head"))
    graph = graph.with_weights(initial_weights(graph, 1))
    given = inputs(graph)
    floats = open_executor(graph, "cpu").forward(given)
    integers = int8_scorer(graph, measure_ranges(graph, [given])).forward(given)
    assert np.abs(integers - floats).mean() < 0.03 * np.abs(floats).mean()
