"""The loop: schedules against formulas, and fits that are killed and resumed."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from diglot import ImageClassifier, network
from diglot.engine import Optimiser
from diglot.engine.mxnet import load
from diglot.engine.mxnet_optimisers import Updater
from diglot.errors import InputError
from diglot.training import learning_rate


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


def reference(name, weights, gradients, rate, decay, clip):
    """Apply ten updates by the papers' formulas, in float64; the bias "b" does not decay."""
    w = {n: a.astype(np.float64) for n, a in weights.items()}
    m = {n: np.zeros_like(a) for n, a in w.items()}
    v = {n: np.zeros_like(a) for n, a in w.items()}
    for t, step in enumerate(gradients, 1):
        norm = math.sqrt(sum((g**2).sum() for g in step.values()))
        for n in w:
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
    rule = Optimiser(name, weight_decay=0.1, clip_norm=clip)
    updater = Updater(mx, rule, weights, gradients, {"a": True, "b": False})
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
