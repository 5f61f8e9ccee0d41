"""Ctrl-C where R listens too, played by a handler as reticulate's."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from diglot import ImageClassifier, InterruptedFitWarning
from diglot.bridge.answers import answered
from diglot.bridge.received import listener
from diglot.interrupts import heard_by_python, native_handler


@pytest.fixture
def reticulate():
    """Install a handler that fails as that of reticulate 1.28 now and then does."""
    heard = []

    def handler(number, frame):
        heard.append(number)
        raise RuntimeError("(Unknown exception occurred)")

    handler.__module__ = "rpytools.signals"
    before = signal.signal(signal.SIGINT, handler)
    yield heard
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, before)


def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)


def test_in_python_an_interrupt_is_pythons(reticulate):
    native = native_handler()
    assert answered(interrupt)()["error"]["kinds"] == ["interrupted"]
    assert not reticulate
    assert native_handler() == native


def test_in_an_r_function_it_is_rs(reticulate):
    with heard_by_python(), pytest.raises(KeyboardInterrupt):  # as R's says so by its error
        listener(interrupt)({})
    assert reticulate == [signal.SIGINT]


def test_a_fit_that_r_began_ends_after_a_whole_step(reticulate):
    X, y = np.random.default_rng(1).random((20, 8, 8)), np.arange(20) % 2

    @answered
    def fit():
        model = ImageClassifier("mlp", epochs=9, seed=1, verbose=False)
        press = lambda record: interrupt() if record["epoch"] == 2 else None  # noqa: E731
        return len(model.set_params(callbacks=press).fit(X, y).history_)

    answer = fit()
    assert answer["value"] == 2
    assert [w["class"] for w in answer["warnings"]] == [InterruptedFitWarning.__name__]
    assert not reticulate


def test_other_handlers_are_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("theirs"))
    try:
        with heard_by_python():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["theirs"]
    with heard_by_python():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_ignores_interrupts_goes_on_to():
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from diglot.interrupts import heard_by_python
with heard_by_python():
    os.kill(os.getpid(), signal.SIGINT)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
