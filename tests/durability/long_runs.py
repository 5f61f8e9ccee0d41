"""What a process does for long: ``long_runs.py WHAT ROUNDS`` prints memory, files and threads.

A line for each of ten equal parts of the run: resident bytes, open files, threads.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from diglot import ImageClassifier, load

PARTS = 10
IMAGES = np.random.default_rng(1).integers(0, 256, (32, 12, 12), np.uint8)
LABELS = np.arange(32) % 2


def measured() -> str:
    """Return resident bytes (what is free was given back), open files, threads."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files, threads = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task"))
    return f"{pages * os.sysconf('SC_PAGE_SIZE')} {files} {threads}"


def fit(**settings) -> ImageClassifier:
    settings = {"epochs": 2, "seed": 1, "verbose": False, **settings}
    return ImageClassifier("lenet", size=16, **settings).fit(IMAGES, LABELS)


def epochs(rounds: int) -> None:
    """Train so many epochs in one fit, with checkpoints."""
    part = max(1, rounds // PARTS)

    def at_end(record: dict[str, float]) -> None:
        if record["epoch"] % part == 0:
            print(measured(), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        fit(epochs=part * PARTS, checkpoint=folder, callbacks=at_end, augment="light")


def predictions(rounds: int) -> None:
    """Predict so often, in batches of any size."""
    model = fit()
    for _ in range(PARTS):
        for number in range(max(1, rounds // PARTS)):
            model.predict_proba(IMAGES[: 1 + number % 7])
        print(measured(), flush=True)


def files(rounds: int) -> None:
    """Save and load so often; each loaded model answers."""
    model = fit()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(PARTS):
            for _ in range(max(1, rounds // PARTS)):
                model = load(model.save(f"{folder}/m.safetensors"))
                model.predict(IMAGES[:2])
            print(measured(), flush=True)


def fits(rounds: int) -> None:
    """Fit so many models after each other."""
    for _ in range(PARTS):
        for _ in range(max(1, rounds // PARTS)):
            fit().predict(IMAGES[:2])
        print(measured(), flush=True)


if __name__ == "__main__":
    {f.__name__: f for f in (epochs, predictions, files, fits)}[sys.argv[1]](int(sys.argv[2]))
