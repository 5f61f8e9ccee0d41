"""Progress: silent by default in tests and scripts, throttled, and plain for a callback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diglot import progress
from diglot.errors import InputError


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def work(listener, steps=3):
    listener.start("Training", total=steps, unit="batch")
    for done in range(1, steps + 1):
        listener.step(done, f"loss {1 / done:.2f}")
    listener.row({"epoch": 1, "loss": 0.5})
    listener.finish()


def test_choice():
    assert isinstance(progress.reporter("auto"), progress.Silent)
    assert isinstance(progress.reporter(False), progress.Silent)
    assert isinstance(progress.reporter(True), progress.Bar)
    assert isinstance(progress.reporter(print), progress.Forward)
    own = progress.Silent()
    assert progress.reporter(own) is own
    for bad in ("yes", 3, 1, np.ones(2)):
        with pytest.raises(InputError, match="verbose is"):
            progress.reporter(bad)


def test_every_reporter_keeps_the_protocol():
    for kind in (progress.Silent(), progress.Bar(), progress.Forward(print)):
        assert isinstance(kind, progress.Reporter)


def test_silence(capfd):
    for verbose in ("auto", False):
        work(progress.reporter(verbose))
    out, err = capfd.readouterr()
    assert out == err == ""


def test_events_are_plain(clock):
    events = []
    listener = progress.reporter(events.append)
    listener.start("Training", total=4, unit="batch")
    listener.step(np.int64(1), "loss 2")
    clock.now += 1
    listener.step(2)
    listener.row({"epoch": np.int64(1), "loss": np.float32(0.5), "note": "x", "val_loss": None})
    listener.finish()
    listener.finish()
    listener.step(3)
    assert events == [
        {"event": "start", "title": "Training", "total": 4, "unit": "batch"},
        {"event": "step", "done": 1, "total": 4, "text": "loss 2"},
        {"event": "step", "done": 2, "total": 4, "text": ""},
        {"event": "row", "row": {"epoch": 1, "loss": 0.5, "note": "x", "val_loss": None}},
        {"event": "finish"},
    ]
    assert type(events[1]["done"]) is int
    assert [type(v) for v in events[3]["row"].values()] == [int, float, str, type(None)]


def test_at_most_ten_steps_a_second_and_the_last_one_always(clock):
    events = []
    listener = progress.reporter(events.append)
    listener.start("Training", total=2001)
    for done in range(1, 2001):
        listener.step(done)
        clock.now += 0.001
    shown = [event["done"] for event in events[1:]]
    assert 19 <= len(shown) <= 21 and shown[0] == 1
    listener.step(2000)
    listener.step(2001)
    assert events[-1]["done"] == 2001


def test_a_second_start_ends_the_first():
    events = []
    listener = progress.reporter(events.append)
    listener.start("Training")
    listener.start("Prediction")
    assert [event["event"] for event in events] == ["start", "finish", "start"]


def test_what_the_callback_raises_comes_through():
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        progress.reporter(stop).start("Training")


def test_bar_draws_on_stderr_only(monkeypatch, clock):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    bar = progress.Bar(delay=0, lines=True)
    bar.start("Training", total=2, unit="batch")
    bar.step(1, "loss 0.70")
    clock.now += 1
    bar.step(2, "loss 0.60")
    bar.row({"epoch": 1, "loss": 0.123456789})
    bar.finish()
    bar.finish()
    text = stderr.getvalue()
    assert "Training" in text and "epoch 1  loss 0.1235\n" in text


def test_bar_is_silent_before_its_delay(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    work(progress.Bar(delay=60))
    assert stderr.getvalue() == ""


PROGRAM = """
import sys
from diglot import progress
assert "tqdm" not in sys.modules
sys.stdout.write(type(progress.reporter("auto")).__name__)
"""


def test_auto_draws_in_a_terminal_only():
    pty = pytest.importorskip("pty")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment["PYTHONPATH"] = str(Path(progress.__file__).parents[1])

    def chosen(stderr, **extra):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment | extra,
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=True,
        )
        return done.stdout.decode()

    leader, terminal = pty.openpty()
    try:
        assert chosen(terminal) == "Bar"
        assert chosen(terminal, PYTEST_CURRENT_TEST="x") == "Silent"
    finally:
        os.close(leader)
        os.close(terminal)
    assert chosen(subprocess.DEVNULL) == "Silent"
