"""What diglot hands to a runner, and what a runner hands back.

A runner is a script in the idiom of its framework: ``runner.py given.safetensors answer.json``.
This file needs Python 3.6 and numpy alone, as the oldest frameworks run with nothing newer.
"""

import json
import platform
import struct
import sys
import time
from contextlib import contextmanager

import numpy as np

_TYPES = {"F32": "<f4", "I32": "<i4", "U8": "u1"}


def read(path):
    """Return the settings and the arrays of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length).decode("utf-8"))
        content = bytearray(file.read())  # frameworks refuse arrays that cannot be written to
    settings = json.loads(header.pop("__metadata__")["diglot"])
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(content[start:end], _TYPES[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])
    return settings, arrays


class Run:
    """One run of a task: its data in the framework's layout, its clock, its answer.

    Parameters
    ----------
    layout : str
        "channels first": images (n, c, h, w), filters (out, in, h, w), dense weights (out, in).
        "channels last": images (n, h, w, c), filters (h, w, in, out), dense weights (in, out).
        Sequences are (n, time, features) in both; recurrent weights are as dense ones, their gates
        in the order input, forget, candidate, output.
    """

    def __init__(self, layout):
        self.settings, arrays = read(sys.argv[1])
        self.network, self.device = self.settings["network"], self.settings["device"]
        self.batch, self.threads = self.settings["batch"], self.settings["threads"]
        self.rate, self.momentum = self.settings["rate"], self.settings["momentum"]
        last = layout == "channels last"
        self.weights = {
            name: _turned(arrays[name], self.settings["flattened"].get(name), last)
            for name in self.settings["weights"]  # in the order of the layers
        }
        self.train, self.test = (
            (
                _images(arrays[part + ".images"], self.settings["centre"], last),
                arrays[part + ".labels"],
            )
            for part in ("train", "test")
        )
        self._order = arrays["order"]
        self._answer = {"python": platform.python_version(), "epochs": [], "losses": []}
        self._began = 0.0

    @contextmanager
    def importing(self):
        """Time the import of the framework; what comes after it counts for the first step."""
        began = time.perf_counter()
        yield
        self._began = time.perf_counter()
        self._answer["import_seconds"] = self._began - began

    def epochs(self):
        """Yield the batches of each epoch; the first one is the first step alone."""
        yield self._batches(self._order[0][: self.batch])
        for rows in self._order:
            self._began = time.perf_counter()
            yield self._batches(rows)

    def _batches(self, rows):
        images, labels = self.train
        for start in range(0, len(rows), self.batch):
            chosen = rows[start : start + self.batch]
            yield images[chosen], labels[chosen]

    def epoch_done(self, losses):
        """End an epoch, whose losses are known: what was computed is finished."""
        seconds = time.perf_counter() - self._began
        self._answer["epochs"].append({"seconds": seconds, "steps": len(losses)})
        self._answer["losses"] += [float(loss) for loss in losses]

    def on(self, device):
        """Stop unless it computed on the device that was asked for.

        A framework that finds no GPU, or has a build without, may go on with the processor.
        """
        found = "cpu" if "cpu" in str(device).lower() else "gpu"
        if found != self.device:
            raise RuntimeError("it computed on %s, not on a %s" % (device, self.device.upper()))

    def test_batches(self):
        """Yield the images to classify in the end, the last batch filled up with the first ones.

        What is compiled may be for whole batches alone.
        """
        images = self.test[0]
        for start in range(0, len(images), self.batch):
            rows = np.arange(start, start + self.batch) % len(images)
            yield images[rows]

    def finish(self, classes, **about):
        """Hand back the classes of the test images, and what to know about the run."""
        predicted = np.concatenate([np.asarray(some).reshape(-1) for some in classes])
        predicted = predicted[: len(self.test[1])]
        self._answer["right"] = int((predicted == self.test[1]).sum())
        self._answer["n"] = len(predicted)
        self._answer["memory"] = _memory()
        self._answer.update(about)
        with open(sys.argv[2], "w") as file:
            json.dump(self._answer, file)


def _images(pixels, centre, last):
    values = pixels.astype(np.float32) / np.float32(255) - np.float32(
        centre
    )  # (n, h, w, c), or (n, time, features)
    if values.ndim == 4 and not last:
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values)


def _turned(value, flattened, last):
    """Return a weight in the layout asked for; ``flattened`` is the shape its input had before."""
    if not last or value.ndim == 1:
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
    if flattened:
        images = value.reshape([len(value)] + flattened)
        value = images.transpose(0, 2, 3, 1).reshape(len(value), -1)
    return np.ascontiguousarray(value.T)


def _memory():
    """Return the most memory that this process has had, in bytes."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
