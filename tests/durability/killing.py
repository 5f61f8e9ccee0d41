"""Starts fits in processes of their own, kills them, resumes them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diglot import storage
from soak import ROOT, alone

HERE = Path(__file__).parent
FILE = "checkpoint.safetensors"
LONGEST = 300  # seconds that one process may take


@dataclass
class Fit:
    """A kind of fit, and the language that it is asked for in."""

    language: str
    kind: str
    ending: str = ""  # what the undisturbed fit printed
    seconds: float = 0.0  # that it took, without loading
    kills: int = 0
    faults: list[str] = field(default_factory=list)

    def command(self, folder: Path, *place: str) -> list[str]:
        if self.language == "R":
            return ["Rscript", "--vanilla", str(HERE / "fits.R"), self.kind, str(folder), *place]
        return [sys.executable, str(HERE / "fits.py"), self.kind, str(folder), *place]

    def run(self, folder: Path, *place: str, after: float | None = None) -> tuple[str, float]:
        """Run the fit, and kill it so many seconds after it began; return what it printed."""
        environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
        with subprocess.Popen(
            self.command(folder, *place),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            timers = [threading.Timer(LONGEST, kill, [process])]
            timers[0].start()
            errors: list[str] = []
            listener = threading.Thread(target=lambda: errors.append(process.stderr.read()))
            listener.start()
            began = process.stdout.readline()
            started = time.perf_counter()
            if began == "begin\n" and after is not None:
                timers.append(threading.Timer(after, kill, [process]))
                timers[1].start()
            printed = process.stdout.read()
            listener.join()
            for timer in timers:
                timer.cancel()
        if process.returncode not in (0, -signal.SIGKILL):
            self.faults.append(f"it ended with {process.returncode}: {errors[0][-2000:]}")
        return printed.strip(), time.perf_counter() - started

    def undisturbed(self, folder: Path) -> None:
        self.ending, self.seconds = self.run(folder)

    def check(self, folder: Path) -> None:
        """Note it where the checkpoint cannot be read; there need not be one yet."""
        path = folder / FILE
        if path.exists():
            try:
                storage.read_file(path)
            except Exception as error:
                self.faults.append(f"after {self.kills} kills: {error!r}")

    def kill_at(self, folder: Path, place: str, number: int) -> None:
        """Kill it while it writes a checkpoint, and let it go on to its end."""
        printed, _ = self.run(folder, place, str(number))
        self.kills += 1
        if printed:
            self.faults.append(f"it was not killed at {place} {number}")
        self.check(folder)
        self.finish(folder)

    def kill_at_random(self, folder: Path, kills: int, seed: int) -> None:
        """Kill it at random moments, each time anew where it was; then let it go on to its end."""
        rng = np.random.default_rng(seed)
        part = 0
        while self.kills < kills and not self.faults:
            now = folder / str(part)
            printed, _ = self.run(now, after=rng.uniform(0, self.seconds))
            if printed:  # it had ended before
                self.judge(now, printed)
                part += 1
                continue
            self.kills += 1
            self.check(now)
        self.finish(folder / str(part))

    def finish(self, folder: Path) -> None:
        self.judge(folder, self.run(folder)[0])

    def judge(self, folder: Path, printed: str) -> None:
        if printed != self.ending:
            self.faults.append(f"it ended in {printed!r} and not in {self.ending!r}")
        left = os.listdir(folder)
        if left != [FILE]:
            self.faults.append(f"it left {left}")


def kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
