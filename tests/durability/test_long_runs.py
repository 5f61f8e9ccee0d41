"""Memory, open files and threads stay as they are, however long a process works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soak import ROOT, alone, rounds

HERE = Path(__file__).parent
MOST_GROWTH = 0.02


def told_by(command):
    """Return what a run printed: memory, files and threads after each tenth of it."""
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array([line.split() for line in done.stdout.splitlines()], float)


def flat(name, told):
    assert told.shape == (10, 3)
    memory, files, threads = told.T
    # MXNet keeps memory that it had once, for later: the first parts of a run are not yet even. R
    # holds 20 MiB more at some moments than at others, to and fro; what leaks raises the least.
    before, after = memory[2:5].min(), memory[-3:].min()
    print(f"{name}: {before / 2**20:.1f} MiB, then {after / 2**20:.1f} ({after / before - 1:+.2%})")
    assert after < before * (1 + MOST_GROWTH)
    assert files[-1] <= files[2]
    assert threads[-1] <= threads[2]


@pytest.mark.parametrize(
    ("what", "short", "long"),
    [("epochs", 50, 200), ("predictions", 500, 10_000), ("files", 60, 1000), ("fits", 20, 300)],
)
def test_python_stays_as_it_is(what, short, long):
    number = rounds(short, long)
    command = [sys.executable, str(HERE / "long_runs.py"), what, str(number)]
    flat(f"Python, {number} {what}", told_by(command))


IN_R = [("predictions", 200, 10_000), ("epochs", 20, 200), ("files", 20, 1000), ("fits", 10, 300)]


@pytest.mark.needs_r
def test_r_stays_as_it_is():
    """All in one session: starting it takes longer than the short form of each."""
    asked = [str(word) for what, *number in IN_R for word in (what, rounds(*number))]
    told = told_by(["Rscript", "--vanilla", str(HERE / "long_runs.R"), *asked])
    assert len(told) == 10 * len(IN_R)
    for (what, *number), part in zip(IN_R, np.split(told, len(IN_R)), strict=True):
        flat(f"R, {rounds(*number)} {what}", part)
