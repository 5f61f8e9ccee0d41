"""Boltzmann machines against scikit-learn's, and against sums over all states of tiny ones."""

from __future__ import annotations

import itertools
import json
import struct

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import diglot
from diglot import DBN, RBM, ImageClassifier
from diglot.boltzmann.graphs import (
    gibbs_graph,
    machine_graph,
    pseudo_likelihood_graph,
    training_graph,
)
from diglot.boltzmann.task import dream
from diglot.engine import Optimiser, open_executor
from diglot.errors import ImageError, InputError, InterruptedFitWarning, ModelFileError
from diglot.graph import InputSpec
from diglot.seeds import stream
from diglot.training import Checkpoints

PIXELS, HIDDEN = 6, 3
TINY = InputSpec(2, 3, 1), HIDDEN
STATES = np.array(list(itertools.product([0.0, 1.0], repeat=PIXELS)))


@pytest.fixture(scope="module")
def digits():
    return np.stack(diglot.example_images("digits")["image"]).astype(np.float32) / 16


@pytest.fixture(scope="module")
def labels():
    return diglot.example_images("digits")["label"].to_numpy()


@pytest.fixture(scope="module")
def fitted(digits):
    return RBM(20, epochs=2, seed=1).fit(digits)


def planted(scale=1.5, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(0, scale, (HIDDEN, PIXELS)).astype(np.float32),
        "hidden_bias": rng.normal(0, 0.5, HIDDEN).astype(np.float32),
        "visible_bias": rng.normal(0, 0.5, (1, PIXELS)).astype(np.float32),
    }


def energy(v, weights):
    """Return the free energy of rows of binary pixels, in double precision."""
    soft = np.logaddexp(0, v @ weights["weight"].T.astype(float) + weights["hidden_bias"])
    return -v @ weights["visible_bias"][0].astype(float) - soft.sum(axis=1)


def exact(weights):
    """Return the probability of every state."""
    p = np.exp(-energy(STATES, weights))
    return p / p.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mean_gradient(v, p, weights):
    """Return the mean over states of the gradient of -F by each parameter."""
    on = sigmoid(v @ weights["weight"].T + weights["hidden_bias"])
    return {
        "weight": (on * p[:, None]).T @ v,
        "hidden_bias": p @ on,
        "visible_bias": (p @ v)[None],
    }


def images(rows, height=2, width=3):
    return rows.reshape(-1, height, width, 1).astype(np.float32)


# ---- what the graphs compute


def test_free_energies_and_hidden_units_are_scikit_learns(digits):
    X = digits.reshape(-1, 64)
    theirs = BernoulliRBM(30, n_iter=2, random_state=0).fit(X)
    ours = RBM(30, epochs=1, seed=1).fit(digits)
    weights = {
        "weight": theirs.components_.astype(np.float32),
        "hidden_bias": theirs.intercept_hidden_.astype(np.float32),
        "visible_bias": theirs.intercept_visible_.astype(np.float32)[None],
    }
    ours.network_ = ours.network_.with_weights(weights)
    np.testing.assert_allclose(ours.free_energy(digits), theirs._free_energy(X), rtol=1e-5)
    np.testing.assert_allclose(ours.transform(digits), theirs.transform(X), atol=1e-5)
    # scikit-learn flips one random pixel of each image: its mean over many draws is ours
    binary = (X > 0.5).astype(np.float32)
    estimates = [theirs.set_params(random_state=i).score_samples(binary).mean() for i in range(100)]
    assert ours.score(binary) == pytest.approx(np.mean(estimates), abs=0.15)


def test_pseudo_likelihood_is_that_of_every_pixel_given_the_others():
    weights = planted()
    expected = np.zeros(len(STATES))
    for pixel in range(PIXELS):
        flipped = STATES.copy()
        flipped[:, pixel] = 1 - flipped[:, pixel]
        expected -= np.logaddexp(0, energy(STATES, weights) - energy(flipped, weights))
    graph = pseudo_likelihood_graph(*TINY).with_weights(weights)
    found = open_executor(graph, "cpu").forward({"data": images(STATES)})[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_pseudo_likelihood_of_many_pixels_is_computed_in_parts(monkeypatch):
    whole = pseudo_likelihood_graph(*TINY).with_weights(planted())
    monkeypatch.setattr("diglot.boltzmann.graphs._LARGEST_BLOCK", 16 * HIDDEN * 4)
    parts = pseudo_likelihood_graph(*TINY).with_weights(planted())
    assert len(parts.nodes) > len(whole.nodes)
    inputs = {"data": images(STATES)}
    found = [open_executor(graph, "cpu").forward(inputs) for graph in (whole, parts)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_step_is_the_exact_gradient_of_data_less_sample():
    weights, rng = planted(), np.random.default_rng(1)
    data = STATES[rng.integers(64, size=32)]
    sample = STATES[rng.integers(64, size=32)]
    executor = open_executor(gibbs_graph(*TINY, "binary").with_weights(weights), "cpu")
    executor.prepare_training(training_graph(*TINY, "binary"), Optimiser("sgd", momentum=0.0))
    executor.train_step({"data": images(data), "sample": sample.astype(np.float32)}, 0.5, 0)
    even = np.full(32, 1 / 32)
    up, down = (mean_gradient(v, even, weights) for v in (data, sample))
    for name, after in executor.weights().items():
        expected = weights[name] + 0.5 * (up[name] - down[name])
        np.testing.assert_allclose(after, expected, atol=1e-5)
    loss = (energy(data, weights) - energy(sample, weights)).sum()
    assert executor.totals()[0] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_gibbs_sampling_draws_from_the_machines_distribution(visible):
    weights = planted(0.8)
    executor = open_executor(gibbs_graph(*TINY, visible).with_weights(weights), "cpu")
    begun = np.zeros((20_000, PIXELS), np.float32)
    drawn = dream(executor, begun, HIDDEN, visible, 60, stream(1, "test"))
    if visible == "binary":
        expected, codes = exact(weights), drawn @ 2 ** np.arange(PIXELS)[::-1]
        found = np.bincount(codes.astype(int), minlength=64) / len(drawn)
        assert np.abs(found - expected).max() < 4 * np.sqrt(expected.max() / len(drawn))
        return
    # summed over h: a mixture of normal distributions around a + W'h
    h = np.array(list(itertools.product([0.0, 1.0], repeat=HIDDEN)))
    centres = weights["visible_bias"][0] + h @ weights["weight"]
    size = (centres**2).sum(axis=1) - (weights["visible_bias"][0] ** 2).sum()
    p = np.exp(h @ weights["hidden_bias"] + size / 2)
    p /= p.sum()
    np.testing.assert_allclose(drawn.mean(axis=0), p @ centres, atol=0.06)
    spread = 1 + p @ (centres - p @ centres) ** 2
    np.testing.assert_allclose(drawn.var(axis=0), spread, rtol=0.05)


def test_the_free_energy_of_gaussian_units_is_that_of_their_mixture():
    weights, rng = planted(0.8), np.random.default_rng(2)
    v = rng.normal(size=(8, PIXELS))
    h = np.array(list(itertools.product([0.0, 1.0], repeat=HIDDEN)))
    own = 0.5 * ((v - weights["visible_bias"][0]) ** 2).sum(axis=1)
    joint = -own[:, None] + v @ weights["weight"].T @ h.T + h @ weights["hidden_bias"]
    graph = machine_graph(*TINY, "gaussian").with_weights(weights).ending_in("free_energy")
    found = open_executor(graph, "cpu").forward({"data": images(v)})[:, 0]
    np.testing.assert_allclose(found, -np.log(np.exp(joint).sum(axis=1)), atol=1e-5)


def test_contrastive_divergence_goes_the_way_of_the_likelihood():
    """Averaged over many draws, more so the longer the chains are."""
    truth, weights = planted(1.5, 4), planted(0.5, 5)
    rows = np.random.default_rng(1).choice(64, 20_000, p=exact(truth))
    data = STATES[rows].astype(np.float32)
    seen = mean_gradient(STATES, exact(truth), weights)
    known = mean_gradient(STATES, exact(weights), weights)
    executor = open_executor(gibbs_graph(*TINY, "binary").with_weights(weights), "cpu")
    agree = []
    for k in (1, 10):
        sample = dream(executor, data, HIDDEN, "binary", k, stream(k, "test"))
        even = np.full(len(data), 1 / len(data))
        up, down = (mean_gradient(v, even, weights) for v in (data, sample))
        a = np.concatenate([(up[n] - down[n]).ravel() for n in seen])
        b = np.concatenate([(seen[n] - known[n]).ravel() for n in seen])
        agree.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert agree[0] > 0.8
    assert agree[1] > max(0.99, agree[0])


# ---- learning


def test_a_planted_distribution_is_learned():
    p = exact(planted(2.0))
    rows = np.random.default_rng(1).choice(64, 4000, p=p)
    seen = np.bincount(rows, minlength=64) / 4000
    settings = {"learning_rate": 0.3, "batch_size": 100, "epochs": 40, "schedule": "cosine"}
    machine = RBM(6, persistent=True, k=3, weight_decay=0, seed=1, **settings)
    q = exact(machine.fit(images(STATES[rows])).network_.weights)
    independent = np.array([seen[STATES[:, i] == 1].sum() for i in range(PIXELS)])
    apart = np.prod(np.where(STATES == 1, independent, 1 - independent), axis=1)
    divergence, before = (float(np.sum(p * np.log(p / other))) for other in (q, apart))
    assert before > 0.25  # there is something to learn beside each pixel's share
    assert divergence < 0.03, divergence


@pytest.mark.parametrize("persistent", [True, False])
def test_digits_are_learned_as_well_as_scikit_learn_does(digits, persistent):
    X = digits.reshape(-1, 64)
    theirs = BernoulliRBM(64, learning_rate=0.06, batch_size=10, n_iter=8, random_state=0).fit(X)
    ours = RBM(
        *(64,), persistent=persistent, learning_rate=0.06, batch_size=10, epochs=8, momentum=0,
        weight_decay=0, seed=1,
    ).fit(digits)  # fmt: skip
    score = ours.score(digits)
    weights = {
        "weight": theirs.components_.astype(np.float32),
        "hidden_bias": theirs.intercept_hidden_.astype(np.float32),
        "visible_bias": theirs.intercept_visible_.astype(np.float32)[None],
    }
    judge = clone(ours).set_params(epochs=1).fit(digits)
    judge.network_ = ours.network_.with_weights(weights)
    assert score >= judge.score(digits)


def test_history_has_the_measures_that_were_promised(digits):
    machine = RBM(16, epochs=3, validation=0.2, seed=1).fit(digits)
    history = machine.history_
    measures = ["val_reconstruction_error", "free_energy_gap", "val_pseudo_likelihood"]
    assert list(history.columns[:3]) == ["epoch", "loss", "reconstruction_error"]
    assert set(measures) <= set(history.columns)
    assert (
        history["val_reconstruction_error"].iloc[-1] < history["val_reconstruction_error"].iloc[0]
    )
    assert machine.n_images_ == 1797 - 359
    held = np.sort(stream(1, "validation").permutation(1797)[:359])
    error = np.square(machine.reconstruct(digits[held]) - digits[held]).mean()
    assert history["val_reconstruction_error"].iloc[-1] == pytest.approx(error, rel=1e-4)
    learned = np.setdiff1d(np.arange(1797), held)[:359]
    gap = machine.free_energy(digits[held]).mean() - machine.free_energy(digits[learned]).mean()
    assert history["free_energy_gap"].iloc[-1] == pytest.approx(gap, abs=1e-3)
    exactly = machine.score(digits[held])
    assert history["val_pseudo_likelihood"].iloc[-1] == pytest.approx(exactly, abs=3)


def test_the_first_bias_knows_the_pixels_means(digits):
    machine = RBM(4, epochs=1, learning_rate=1e-9, seed=1).fit(digits)
    means = np.clip(digits.reshape(-1, 64).mean(axis=0), 0.01, 0.99)
    np.testing.assert_allclose(sigmoid(machine.intercept_visible_), means, atol=1e-5)


def test_colours_lie_as_in_arrays():
    rng = np.random.default_rng(1)
    pixels = (rng.random((60, 3, 4, 3)) < 0.2).astype(np.float32)
    pixels[:, 2, 1, 0] = 1  # always on, all others seldom
    machine = RBM(5, epochs=2, seed=1).fit(pixels)
    bias = machine.intercept_visible_.reshape(3, 4, 3)
    assert np.unravel_index(bias.argmax(), bias.shape) == (2, 1, 0)
    assert machine.filters().shape == (5, 3, 4, 3)
    told = machine.reconstruct(pixels[:7])
    assert told.shape == (7, 3, 4, 3)
    assert told[:, 2, 1, 0].min() > told.mean(axis=0).max() - 0.01
    hidden = sigmoid(pixels.reshape(60, -1) @ machine.components_.T + machine.intercept_hidden_)
    np.testing.assert_allclose(machine.transform(pixels), hidden, atol=1e-5)


def test_gaussian_pixels_keep_their_units():
    rng = np.random.default_rng(1)
    centres = np.array([np.arange(12.0).reshape(3, 4), np.arange(12.0)[::-1].reshape(3, 4)])
    pixels = 100 + 10 * centres[rng.integers(2, size=300)] + rng.normal(size=(300, 3, 4))
    machine = RBM(8, visible="gaussian", epochs=60, seed=1).fit(pixels)
    error = np.abs(machine.reconstruct(pixels) - pixels).mean()
    assert error < 0.25 * np.abs(pixels - pixels.mean(axis=0)).mean()
    assert abs(machine.sample(50, 200).mean() - pixels.mean()) < 15
    assert not hasattr(machine, "score_samples")
    assert "val_pseudo_likelihood" not in machine.history_
    far = pixels.copy()
    far[:, 0, 0] += 500
    assert (machine.free_energy(far) > machine.free_energy(pixels)).all()


# ---- answers


def test_answers_have_the_shape_of_what_was_asked(digits, fitted):
    flat = digits.reshape(-1, 64)
    assert fitted.transform(digits[:0]).shape == (0, 20)
    assert fitted.free_energy(digits[:0]).shape == (0,)
    assert fitted.reconstruct(digits[:3]).shape == (3, 8, 8)
    assert fitted.reconstruct(flat[:3]).shape == (3, 64)
    assert set(np.unique(fitted.gibbs(digits[:3], 2))) == {0, 1}
    np.testing.assert_array_equal(fitted.gibbs(digits[:3]), fitted.gibbs(digits[:3]))
    assert not np.array_equal(fitted.gibbs(digits[:3]), fitted.gibbs(digits[:3], seed=1))
    assert fitted.sample(2, 5).shape == (2, 8, 8)
    np.testing.assert_array_equal(fitted.filters().reshape(20, 64), fitted.components_)
    frame = pd.DataFrame({"image": list(digits[:5])})
    np.testing.assert_array_equal(fitted.transform(frame), fitted.transform(digits[:5]))
    assert "20 hidden units" in fitted.summary()


def test_bytes_of_pixels_are_scaled(fitted):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    scaled = pixels.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(fitted.transform(pixels), fitted.transform(scaled))


def test_wrong_arguments_are_refused_by_name(digits, fitted):
    with pytest.raises(ImageError, match=r"row 3 .*from 0 to 7.*divide"):
        wrong = digits[:5].copy()
        wrong[2, 1, 1] = 7
        RBM(4, epochs=1).fit(wrong)
    with pytest.raises(ImageError, match="row 1 "):
        fitted.transform(digits[:2] - 1)
    for settings, name in [
        ({"n_hidden": 0}, "n_hidden"),
        ({"k": 0}, "k must"),
        ({"visible": "poisson"}, "visible"),
        ({"persistent": 1}, "persistent"),
        ({"epochs": 1.5}, "epochs"),
        ({"validation": 2}, "validation"),
        ({"optimizer": "lbfgs"}, "optimizer"),
    ]:
        with pytest.raises(InputError, match=name):
            RBM(**settings).fit(digits[:10])
    with pytest.raises(InputError, match="validation"):
        RBM(4, validation=0.01).fit(digits[:10])
    with pytest.raises(InputError, match="steps"):
        fitted.gibbs(digits[:2], 0)
    with pytest.raises(InputError, match="widths"):
        DBN((4, 0)).fit(digits[:10])


@pytest.mark.parametrize(
    "model",
    [
        RBM(5, visible="gaussian", epochs=1, seed=1),
        DBN((4, 3), visible="gaussian", epochs=1, seed=1),
    ],
    ids=["rbm", "dbn"],
)
def test_scikit_learns_own_checks_pass(model):
    check_estimator(model, on_skip=None)


def test_it_is_a_step_of_a_pipeline(digits, labels):
    X = digits.reshape(-1, 64)[:400]
    pipeline = make_pipeline(RBM(64, epochs=30, seed=1), LogisticRegression(max_iter=500))
    assert pipeline.fit(X[:300], labels[:300]).score(X[300:], labels[300:400]) > 0.7
    search = GridSearchCV(RBM(16, epochs=1, seed=1), {"learning_rate": [0.001, 0.1]}, cv=2)
    assert search.fit(X).best_params_ == {"learning_rate": 0.1}


# ---- determinism and files


@pytest.mark.parametrize("settings", [{}, {"persistent": True}, {"visible": "gaussian"}])
def test_the_same_seed_gives_the_same_bytes(digits, settings):
    def fit(seed):
        return RBM(8, epochs=1, seed=seed, **settings).fit(digits[:200]).fingerprint()

    assert fit(1) == fit(1)
    assert fit(1) != fit(2)


@pytest.mark.parametrize("persistent", [True, False])
def test_a_killed_fit_resumes_to_the_same_bytes(tmp_path, monkeypatch, digits, persistent):
    settings = {"persistent": persistent, "k": 2, "epochs": 3, "validation": 0.2, "seed": 4}
    undisturbed = RBM(12, **settings).fit(digits[:300])
    save, saved = Checkpoints.save, []

    def killed(self, *args):
        save(self, *args)
        saved.append(1)
        if len(saved) == 5:  # after some steps of the second epoch
            raise RuntimeError("killed")

    monkeypatch.setattr(Checkpoints, "save", killed)
    places = {"checkpoint": tmp_path, "checkpoint_every": 3}
    with pytest.raises(RuntimeError, match="killed"):
        RBM(12, **settings, **places).fit(digits[:300])
    monkeypatch.undo()
    resumed = RBM(12, **settings, **places, resume=True).fit(digits[:300])
    assert resumed.fingerprint() == undisturbed.fingerprint()
    same = ["loss", "reconstruction_error", "val_pseudo_likelihood"]
    assert resumed.history_[same].equals(undisturbed.history_[same])
    with pytest.raises(InputError, match="n_hidden=12"):
        RBM(13, **settings, **places, resume=True).fit(digits[:300])
    with pytest.raises(InputError, match="other images"):
        RBM(12, **settings, **places, resume=True).fit(digits[1:301])


def test_an_interrupt_keeps_what_was_learned(digits):
    def interrupt(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.warns(InterruptedFitWarning):
        machine = RBM(8, epochs=5, seed=1, callbacks=[interrupt]).fit(digits[:100])
    assert machine.stopped_ == "interrupted"
    assert len(machine.history_) == 2
    with pytest.warns(InterruptedFitWarning):
        deep = DBN((8, 4), epochs=5, seed=1, callbacks=[interrupt]).fit(digits[:100])
    assert len(deep.machines_) == 1
    assert diglot.loads(deep.to_bytes()).transform(digits[:3]).shape == (3, 8)


def test_a_file_gives_the_machine_back(tmp_path, digits, fitted):
    again = diglot.load(fitted.save(tmp_path / "machine.safetensors"))
    assert isinstance(again, RBM)
    assert again.get_params() == {**fitted.get_params(), "verbose": "auto"}
    assert again.to_bytes() == fitted.to_bytes()
    np.testing.assert_array_equal(again.transform(digits), fitted.transform(digits))
    np.testing.assert_array_equal(again.score_samples(digits[:9]), fitted.score_samples(digits[:9]))
    assert again.history_.equals(fitted.history_)


def changed(data, change):
    """Return a model file's bytes with other metadata."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    meta = header["__metadata__"]
    name = next(n for n, text in meta.items() if '"kind"' in text)
    told = json.loads(meta[name])
    change(told)
    meta[name] = json.dumps(told)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["settings"].update(n_hidden=21),
        lambda told: told["settings"].update(visible="gaussian"),
        lambda told: told["settings"].update(visible=3),
        lambda told: told["settings"].update(k="a"),
        lambda told: told.update(images=-1),
        lambda told: told.update(history=3),
        lambda told: told.pop("graph"),
    ],
)
def test_damaged_files_are_refused(fitted, change):
    with pytest.raises(ModelFileError, match="damaged|lacks"):
        diglot.loads(changed(fitted.to_bytes(), change))


# ---- deep belief networks


@pytest.fixture(scope="module")
def deep(digits):
    return DBN((16, 9), epochs=2, seed=1).fit(digits[:400])


def test_layers_learn_from_the_layer_below(digits, deep):
    first, second = deep.machines_
    alone = RBM(16, epochs=2, seed=1).fit(digits[:400])
    assert alone.fingerprint() == first.fingerprint()
    features = alone.transform(digits[:400])
    above = RBM(9, epochs=2, seed=second.seed_).fit(features)
    assert above.fingerprint() == second.fingerprint()
    np.testing.assert_allclose(
        deep.transform(digits[:50]), above.transform(alone.transform(digits[:50])), atol=1e-6
    )
    assert deep.history_["layer"].tolist() == [1, 1, 2, 2]
    assert "64 binary pixels - 16 - 9" in deep.summary()


def test_its_network_computes_its_features(digits, labels, deep):
    net = deep.network(3)
    np.testing.assert_allclose(net.embed(digits[:20]), deep.transform(digits[:20]), atol=1e-5)
    assert net.logits(digits[:4, :, :, None]).shape == (4, 3)
    assert list(net.groups) == ["dense1", "dense2", "head"]
    for train in ("head", "all", "head_then_all"):
        model = ImageClassifier(net, train=train, epochs=1, seed=1)
        model.fit(digits[:200], labels[:200])
        kept = np.array_equal(
            model.network_.weights["dense1_weight"], deep.machines_[0].components_
        )
        assert kept == (train == "head")
        assert model.network_.output_shape == (10,)


def test_colour_images_have_a_network_too():
    pixels = np.random.default_rng(1).random((40, 3, 4, 3)).astype(np.float32)
    deep = DBN((6, 5), epochs=1, seed=1, visible="gaussian").fit(pixels)
    np.testing.assert_allclose(deep.network().embed(pixels), deep.transform(pixels), atol=1e-5)


def test_pretraining_helps_where_labels_are_few():
    """Ten noisy patterns: what they are can be seen without labels."""
    rng = np.random.default_rng(5)
    patterns, which = rng.random((10, 10, 10)) < 0.5, rng.integers(10, size=2500)
    pixels = (patterns[which] ^ (rng.random((2500, 10, 10)) < 0.3)).astype(np.float32)
    deep = DBN((64, 32), epochs=15, batch_size=20, seed=1).fit(pixels[:2000])
    net, rows = deep.network(), np.arange(50)
    settings = {"epochs": 60, "batch_size": 20, "learning_rate": 0.1, "seed": 1}
    scores = [
        ImageClassifier(given, train=train, **settings)
        .fit(pixels[rows], which[rows])
        .score(pixels[2000:], which[2000:])
        for given, train in [(net, "head_then_all"), (net.without_weights(), "all")]
    ]
    assert scores[0] > scores[1] + 0.1


def test_a_deep_fit_resumes_and_is_saved(tmp_path, monkeypatch, digits, deep):
    save, saved = Checkpoints.save, []

    def killed(self, *args):
        save(self, *args)
        saved.append(self.folder.name)
        if len(saved) == 3:
            raise RuntimeError("killed")

    monkeypatch.setattr(Checkpoints, "save", killed)
    with pytest.raises(RuntimeError, match="killed"):
        DBN((16, 9), epochs=2, seed=1, checkpoint=tmp_path).fit(digits[:400])
    monkeypatch.undo()
    assert saved == ["layer1", "layer1", "layer2"]
    resumed = DBN((16, 9), epochs=2, checkpoint=tmp_path, resume=True).fit(digits[:400])
    assert resumed.seed_ == 1
    assert resumed.fingerprint() == deep.fingerprint()
    again = diglot.load(deep.save(tmp_path / "deep.safetensors"))
    assert isinstance(again, DBN)
    assert again.to_bytes() == deep.to_bytes()
    np.testing.assert_array_equal(again.transform(digits), deep.transform(digits))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["settings"].update(widths=[16, 8]),
        lambda told: told["settings"].update(widths=[16]),
        lambda told: told.update(machines=[]),
        lambda told: told["machines"].pop(),
        lambda told: told["machines"].reverse(),
        lambda told: told.update(machines={}),
    ],
)
def test_damaged_deep_files_are_refused(deep, change):
    with pytest.raises(ModelFileError, match="damaged|needs"):
        diglot.loads(changed(deep.to_bytes(), change))
