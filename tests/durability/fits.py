"""Fits that are killed: ``fits.py KIND FOLDER [PLACE NUMBER]`` prints what it ended in.

With a place the process kills itself while it writes the checkpoint of that number: "half"
written, "written" but not on the disk, or before it is "renamed".
"""

from __future__ import annotations

import io
import os
import signal
import sys

import numpy as np

import diglot
from diglot import ImageCaptioner, ImageClassifier, network, storage
from diglot.builder import initial_weights
from diglot.files import writing

RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.integers(0, 256, (40, 12, 10, 3), np.uint8)
LABELS = np.array(["ant", "bee"] * 20)
SETTINGS = {
    "batch_size": 8,
    "seed": 3,
    "validation": 0.25,
    "resume": True,
    "checkpoint_every": 1,
    "verbose": False,
}


def classifier(folder: str, **other):
    net = network("mlp", classes=2, size=(12, 10), channels=3, dropout_rate=0.3)
    model = ImageClassifier(net, epochs=25, augment="light", checkpoint=folder, **SETTINGS, **other)
    return model.fit(IMAGES, LABELS)


def tuned(folder: str):
    net = network("convnet", classes=5, size=(12, 10), channels=3, widths=(4, 6))
    net = net.with_weights(initial_weights(net, 1))
    model = ImageClassifier(
        net, train="head_then_all", epochs=(10, 12), checkpoint=folder, **SETTINGS
    )
    return model.fit(IMAGES, LABELS)


def captioner(folder: str):
    texts = [["red left of blue", "a red one"], ["blue above red", "a blue one", "blue"]] * 20
    model = ImageCaptioner(
        "convnet", epochs=10, hidden=8, embedding=6, heads=2, checkpoint=folder, **SETTINGS
    )
    return model.fit(IMAGES, texts)


FITS = {"classifier": classifier, "tuned": tuned, "captioner": captioner}


def ending(model) -> str:
    """Return the weights' fingerprint and the history's, but for what depends on the clock."""
    columns = [c for c in model.history_ if c not in ("seconds", "images_per_second")]
    history = storage.fingerprint({c: model.history_[c].to_numpy(np.float64) for c in columns})
    return f"{model.fingerprint()} {history} {model.best_epoch_}"


def die_at(place: str, number: int) -> None:
    """Let the process die while it writes the checkpoint of that number."""
    seen = []

    def count() -> bool:
        seen.append(1)
        return len(seen) == number

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    class HalfWritten(io.FileIO):
        """A file that stops in the middle."""

        def write(self, data):
            if count():
                super().write(data[: len(data) // 2])
                die()
            return super().write(data)

    if place == "half":
        writing.open = HalfWritten
        return
    name = {"written": "fsync", "renamed": "replace"}[place]
    real = getattr(os, name)

    def wrapped(*given):
        # fsync is called for the folder, too: only what is a file counts
        if (name == "replace" or os.path.isfile(f"/proc/self/fd/{given[0]}")) and count():
            die()
        return real(*given)

    setattr(os, name, wrapped)


if __name__ == "__main__":
    kind, folder, *place = sys.argv[1:]
    if place:
        die_at(place[0], int(place[1]))
    diglot.devices()  # MXNet is loaded before the clock starts
    print("begin", flush=True)
    print(ending(FITS[kind](folder)), flush=True)
