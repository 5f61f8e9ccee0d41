"""Memory, open files and threads stay as they are, however long a process works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soak import ROOT, SOAK, alone, rounds

HERE = Path(__file__).parent
# MXNet keeps memory that it had once, for later: the first parts of a run are not yet even. The
# short form is so short that this is most of it.
MOST_GROWTH = 0.02 if SOAK else 0.03


def told_by(command):
    """Return what a run printed: memory, files and threads after each tenth of it."""
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array([line.split() for line in done.stdout.splitlines()], float)


def flat(name, told):
    assert told.shape == (10, 3)
    memory, files, threads = told.T
    before, after = memory[2], memory[-1]
    print(f"{name}: {before / 2**20:.1f} MiB, then {after / 2**20:.1f} ({after / before - 1:+.2%})")
    assert after < before * (1 + MOST_GROWTH)
    assert files[-1] <= files[2]
    assert threads[-1] <= threads[2]


@pytest.mark.parametrize(
    ("what", "short", "long"),
    [("epochs", 50, 200), ("predictions", 1000, 10_000), ("files", 100, 1000), ("fits", 30, 300)],
)
def test_python_stays_as_it_is(what, short, long):
    number = rounds(short, long)
    command = [sys.executable, str(HERE / "long_runs.py"), what, str(number)]
    flat(f"Python, {number} {what}", told_by(command))


IN_R = [("predictions", 100, 10_000), ("epochs", 50, 200), ("files", 50, 1000)]


@pytest.mark.needs_r
@pytest.mark.parametrize(("what", "short", "long"), IN_R if SOAK else IN_R[:1])
def test_r_stays_as_it_is(what, short, long):
    number = rounds(short, long)
    command = ["Rscript", "--vanilla", str(HERE / "long_runs.R"), what, str(number)]
    flat(f"R, {number} {what}", told_by(command))
