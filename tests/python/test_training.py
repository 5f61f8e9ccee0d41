"""The loop: schedules against formulas, and fits that are killed and resumed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from diglot import ImageClassifier, network
from diglot.builder import Builder, initial_weights
from diglot.engine import Optimiser, open_executor, pick_device
from diglot.engine.mxnet import load
from diglot.engine.mxnet_optimisers import Updater
from diglot.errors import DivergedError, InputError, InterruptedFitWarning, ModelFileError
from diglot.graph import InputSpec
from diglot.progress import reporter
from diglot.training import (
    SCHEDULES,
    Checkpoints,
    Plan,
    State,
    find_checkpoint,
    learning_rate,
    read_checkpoint,
    train,
)


def test_schedules_follow_their_formulas():
    for step in range(100):
        p = step / 100
        assert learning_rate("constant", 0.2, step, 100) == 0.2
        want = 0.2 * (1 if p < 0.5 else 0.1 if p < 0.75 else 0.01)
        assert learning_rate("step", 0.2, step, 100) == pytest.approx(want)
        want = 0.2 * math.cos(math.pi * p / 2) ** 2
        assert learning_rate("cosine", 0.2, step, 100) == pytest.approx(want)
    assert learning_rate("one_cycle", 0.2, 0, 100) == pytest.approx(0.2 / 25)
    assert learning_rate("one_cycle", 0.2, 30, 100) == pytest.approx(0.2)
    assert [learning_rate("constant", 1.0, s, 9, 4) for s in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    with pytest.raises(InputError, match="cosin"):
        learning_rate("cosin", 1.0, 0, 1)


FIT = """
import os, sys
import numpy as np
from diglot import ImageClassifier, network
from diglot.training.checkpoints import Checkpoints
folder, die = sys.argv[1], int(sys.argv[2])
saved, save = [], Checkpoints.save
def dying(*args):
    save(*args)
    saved.append(1)
    if len(saved) == die:
        os.kill(os.getpid(), 9)
Checkpoints.save = dying
X = np.random.default_rng(5).random((40, 8, 8))
net = network("mlp", classes=2, size=8, channels=1, dropout_rate=0.3)
model = ImageClassifier(net, epochs=3, batch_size=8, seed=3, augment="light", validation=0.25,
                        checkpoint=folder, checkpoint_every=2, resume=True, verbose=False)
print(model.fit(X, np.arange(40) % 2).fingerprint())
"""


def run_fit(folder, die):
    command = [sys.executable, "-c", FIT, str(folder), str(die)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_fit_resumes_to_the_same_bytes(tmp_path):
    whole = run_fit(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    for die in (1, 2):  # within the first epoch, and at a later save
        killed = run_fit(tmp_path / str(die), die)
        assert killed.returncode == -9
        assert run_fit(tmp_path / str(die), 0).stdout == whole.stdout


def test_resuming_with_other_settings_or_data_is_refused(tmp_path):
    X, y = np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2
    settings = {"epochs": 2, "seed": 1, "verbose": False, "checkpoint": tmp_path}
    first = ImageClassifier("mlp", **settings).fit(X, y)
    again = ImageClassifier("mlp", resume=True, **settings).fit(X, y)
    assert again.fingerprint() == first.fingerprint()
    with pytest.raises(InputError, match="batch_size"):
        ImageClassifier("mlp", resume=True, batch_size=5, **settings).fit(X, y)
    with pytest.raises(InputError, match="other images"):
        ImageClassifier("mlp", resume=True, **settings).fit(X + 1, y)
    held = (X[:4] + 2, y[:4])
    with pytest.raises(InputError, match="other images"):
        ImageClassifier("mlp", resume=True, **settings).fit(X, y, validation_data=held)
    for hidden in ((8,), (9,)):
        net = network("mlp", classes=2, size=8, hidden=hidden)
        if hidden == (8,):
            ImageClassifier(net, **{**settings, "checkpoint": tmp_path / "own"}).fit(X, y)
    with pytest.raises(InputError, match="network"):
        ImageClassifier(net, resume=True, **{**settings, "checkpoint": tmp_path / "own"}).fit(X, y)


def test_later_rows_of_a_checkpoints_history_may_have_more_columns(tmp_path):
    history = [
        {"epoch": 1.0, "loss": 0.1 + 0.2, "val_loss": 1 / 3},
        {"epoch": 2.0, "loss": 1e-300, "val_loss": math.nan},
        {"epoch": 3.0, "loss": 5e-324, "reward": 2 / 3, "val_loss": 0.25},
    ]
    state = State(phase=1, epoch=1, step=4, totals=[0.1, 0.7], history=history, best_epoch=3)
    run = {"seed": 1}
    Checkpoints(tmp_path).save(run, state, {"w": np.ones(2)}, {"steps": np.array([3])})
    found = read_checkpoint(find_checkpoint(tmp_path), run).state
    assert found.totals == [0.1, 0.7]
    assert (found.phase, found.epoch, found.step, found.best_epoch) == (1, 1, 4, 3)
    # To the last bit; what was not measured, or was no number, is not there.
    del history[1]["val_loss"]
    assert found.history == history


def test_a_measure_that_was_once_no_number_decides_nothing():
    class Losses:
        """A task whose losses on held-out rows are given."""

        rows, steps, metrics = 4, 1, ("loss",)

        def __init__(self, values):
            self.values = iter(values)

        def weight_of(self, steps, epoch):
            return 4.0

        def batches(self, epoch, start):
            yield {"data": np.zeros((4, 1, 1, 1), np.float32), "target": np.zeros(4, np.float32)}

        def validate(self, executor):
            return {"val_loss": next(self.values)}

    b = Builder(InputSpec(1, 1, 1))
    x = b.add("FullyConnected", b.data, name="dense", num_hidden=1)
    trained = b.graph("tiny", b.add("sum", x, name="sum", axis=1))
    plan = Plan(epochs=4, learning_rate=0.1, monitor="val_loss")
    for values, best, before in (
        ([math.nan, 3.0, 2.0, 4.0], 3, State()),
        ([2.0, math.nan, 1.0, 4.0], 3, State()),
        # As a checkpoint gives it back: the first epoch has no val_loss.
        ([3.0, 2.0, 4.0], 3, State(epoch=1, history=[{"epoch": 1.0, "loss": 1.0}])),
    ):
        executor = open_executor(
            trained.with_weights(initial_weights(trained, 1)), pick_device("cpu")
        )
        executor.prepare_training(trained, Optimiser("sgd"))
        result = train(
            executor, Losses(values), plan, run={}, reporter=reporter(False), state=before
        )
        assert result.best_epoch == best


def test_a_checkpoint_folder_that_cannot_be_is_refused_before_the_first_epoch(tmp_path):
    (tmp_path / "file").write_text("")
    heard = []
    model = ImageClassifier("mlp", checkpoint=tmp_path / "file" / "in", callbacks=heard.append)
    with pytest.raises(ModelFileError, match="cannot be made"):
        model.fit(np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2)
    assert not heard


def test_warm_up_goes_with_every_schedule():
    X, y = np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2
    settings = {"epochs": 3, "batch_size": 5, "warmup_epochs": 2, "learning_rate": 0.08}
    for schedule, last in (("constant", 0.08), ("cosine", 0.08 * math.cos(math.pi * 0.375) ** 2)):
        model = ImageClassifier("mlp", schedule=schedule, seed=1, verbose=False, **settings)
        rates = model.fit(X, y).history_["learning_rate"].tolist()
        # Of each epoch's last step: 4 and 8 of 8 steps of the warm-up, then 3 of the 4 others.
        assert rates == pytest.approx([0.04, 0.08, last])


def test_ctrl_c_keeps_what_was_learned():
    X, y = np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2

    def press(record):
        if record["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    model = ImageClassifier("mlp", epochs=9, seed=1, callbacks=press, verbose=False)
    with pytest.warns(InterruptedFitWarning, match="after 2 whole epochs"):
        model.fit(X, y)
    assert model.stopped_ == "interrupted"
    assert len(model.history_) == 2
    assert np.isfinite(model.predict_proba(X)).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_loss_that_goes_late_leaves_the_best_weights(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "late", lambda p: 1e-31 if p < 0.7 else 1.0)
    X, y = np.random.default_rng(1).random((40, 8, 8)), np.arange(40) % 2
    settings = {"epochs": 10, "batch_size": 8, "seed": 1, "verbose": False, "momentum": 0.0}
    model = ImageClassifier("mlp", schedule="late", learning_rate=1e30, **settings)
    with pytest.raises(DivergedError, match="epoch") as caught:
        model.fit(X, y, validation_data=(X[:10], 1 - y[:10]))
    assert caught.value.model is model
    assert model.stopped_ == "diverged"
    losses = model.history_["val_loss"]
    assert 6 <= len(losses) < 10
    assert model.best_epoch_ == losses.idxmin() + 1 < len(losses)
    truth = model.predict_proba(X[:10])[np.arange(10), 1 - y[:10]]
    assert -np.log(truth).mean() == pytest.approx(losses.min(), rel=1e-5)


def reference(name, weights, gradients, peak, decay, clip):
    """Apply the papers' formulas, in float64; the bias "b" does not decay, and learns slower."""
    w = {n: a.astype(np.float64) for n, a in weights.items()}
    m = {n: np.zeros_like(a) for n, a in w.items()}
    v = {n: np.zeros_like(a) for n, a in w.items()}
    for t, step in enumerate(gradients, 1):
        norm = math.sqrt(sum((g**2).sum() for g in step.values()))
        for n, rate in (("a", peak), ("b", peak / 4)):
            g = step[n] * min(1, clip / norm) if clip else step[n]
            wd = decay if n == "a" else 0.0
            if name == "sgd":
                g = g + wd * w[n]
                m[n] = 0.9 * m[n] + g
                w[n] = w[n] - rate * (g + 0.9 * m[n])
                continue
            if name == "adam":
                g = g + wd * w[n]
            else:
                w[n] = w[n] * (1 - rate * wd)
            m[n], v[n] = 0.9 * m[n] + 0.1 * g, 0.999 * v[n] + 0.001 * g**2
            w[n] = w[n] - rate * (m[n] / (1 - 0.9**t)) / (np.sqrt(v[n] / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimisers_follow_their_papers(name, clip):
    mx, random, batch = load(), np.random.default_rng(2), 4
    start = {n: random.normal(size=(3, 2)).astype(np.float32) for n in "ab"}
    steps = [{n: random.normal(size=(3, 2)) for n in "ab"} for _ in range(10)]
    weights = {n: mx.nd.array(a) for n, a in start.items()}
    gradients = {n: mx.nd.zeros((3, 2)) for n in "ab"}
    factors = {"a": 1.0, "b": 0.25}
    rule = Optimiser(name, weight_decay=0.1, clip_norm=clip)
    updater = Updater(mx, rule, weights, gradients, {"a": True, "b": False}, factors)
    for step in steps:
        for n, g in step.items():
            gradients[n][:] = g * batch  # the engine's are sums over the batch
        updater.step(0.05, batch)
    want = reference(name, start, steps, 0.05, 0.1, clip)
    for n in "ab":
        assert np.allclose(weights[n].asnumpy(), want[n], atol=2e-5)


def test_dropout_changes_training():
    X, y = np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2
    prints = {
        ImageClassifier(
            network("mlp", classes=2, size=8, channels=1, dropout_rate=rate),
            epochs=1, seed=1, verbose=False,
        ).fit(X, y).fingerprint()
        for rate in (0.0, 0.5)
    }  # fmt: skip
    assert len(prints) == 2
