"""What every framework computes: images, first weights, and the batches in their order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diglot import storage
from diglot.datasets import shapes
from diglot.datasets.shapes import COLOURS
from diglot.errors import InputError
from diglot.files import path_of
from diglot.images import example_images, read_idx_array
from diglot.seeds import stream

__all__ = ["TASKS", "Handover", "prepare_task"]

# Two neighbours in a window of max pooling that are exactly equal, as the pixels of a blank
# background, share the gradient in some frameworks and not in others: a speck of noise in the
# pixels leaves no ties.
_SPECKS = 8  # grey levels of 256
_COPIES = 4  # of each of scikit-learn's digits, each at a place of its own
_DIGITS_TO_TRAIN = 1500
_DRAWN = {"train": 2400, "test": 256}
_IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Task:
    """A task: what a runner calls its network, and how all train it.

    ``weights`` are the shapes of the weights in the order of the layers: filters (out, in, height,
    width), dense weights (out, in), recurrent ones with their gates in the order input, forget,
    candidate, output. ``flattened`` tells what shape (channels, height, width) a dense layer's
    input had before.
    """

    network: str
    batch: int
    rate: float
    weights: Shapes
    flattened: Mapping[str, tuple[int, int, int]]
    momentum: float = 0.9
    centre: float = 0.0  # taken off the pixels, which are from 0 to 1


def _layers(*layers: tuple[str, tuple[int, ...]]) -> Shapes:
    """Return the shapes of weights and biases."""
    shapes = {}
    for name, shape in layers:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]
    return shapes


LENET = Task(
    "lenet",
    batch=64,
    rate=0.005,
    weights=_layers(
        ("conv1", (20, 1, 5, 5)),
        ("conv2", (50, 20, 5, 5)),
        ("dense1", (500, 800)),
        ("dense2", (10, 500)),
    ),
    flattened={"dense1.weight": (50, 4, 4)},
)
CNN = Task(
    "cnn",
    batch=32,
    rate=0.003,
    centre=0.5,
    weights=_layers(
        ("conv1", (16, 3, 3, 3)),
        ("conv2", (32, 16, 3, 3)),
        ("conv3", (64, 32, 3, 3)),
        ("conv4", (64, 64, 3, 3)),
        ("dense1", (128, 1024)),
        ("dense2", (6, 128)),
    ),
    flattened={"dense1.weight": (64, 4, 4)},
)
LSTM = Task(
    "lstm",
    batch=64,
    rate=0.05,
    weights={
        "lstm.input": (4 * 128, 28),
        "lstm.recurrent": (4 * 128, 128),
        "lstm.bias": (4 * 128,),
        **_layers(("dense1", (10, 128))),
    },
    flattened={},
)
TASKS = {"lenet-mnist": LENET, "cnn-64": CNN, "lstm": LSTM}


@dataclass(frozen=True)
class Handover:
    """What a runner is given: arrays by name, and settings; ``name`` tells which data it became."""

    name: str
    tensors: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    def write(self, path: Path, **more: Any) -> None:
        """Write the file that a runner reads, with settings that differ between runners."""
        storage.write_file(path, self.tensors, {**self.settings, **more})


def prepare_task(
    task: str, *, epochs: int, seed: int, data: str | os.PathLike[str] | None = None
) -> Handover:
    """Draw or read a task's images, draw its first weights and the order of its batches.

    Parameters
    ----------
    task : {"lenet-mnist", "cnn-64", "lstm"}
    epochs : int
    seed : int
    data : path, optional
        A folder with MNIST's four IDX files, gzipped or not. Without it scikit-learn's digits
        stand in, drawn at 20 x 20 pixels somewhere on 28 x 28: the name then says "digits".

    Returns
    -------
    Handover
        ``train.images`` and ``test.images``, uint8 (n, height, width, channels), sequences
        (n, time, features); ``train.labels`` and ``test.labels``, int32 (n,); ``order``, int32
        (epochs, rows), whole batches only; and the weights, float32.

    Raises
    ------
    InputError
        If there is no such task, or the files do not fit.

    Examples
    --------
    >>> given = prepare_task("lenet-mnist", epochs=2, seed=1)
    >>> given.name, given.tensors["order"].shape, given.tensors["conv2.weight"].shape
    ('lenet-digits', (2, 5952), (50, 20, 5, 5))
    """
    if task not in TASKS:
        known = ", ".join(map(repr, TASKS))
        raise InputError(f"task must be one of {known}, not {task!r}")
    chosen = TASKS[task]
    if task == "cnn-64":
        if data is not None:
            raise InputError("data= is for MNIST's files; task 'cnn-64' draws its own images")
        name, sets = task, _drawn(seed)
    elif data is None:
        name, sets = {"lenet-mnist": "lenet-digits", "lstm": "lstm-digits"}[task], _digits(seed)
    else:
        name, sets = {"lenet-mnist": task, "lstm": "lstm-mnist"}[task], _mnist(data)
    return hand_over(name, chosen, sets, epochs=epochs, seed=seed)


def hand_over(
    name: str,
    task: Task,
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    epochs: int,
    seed: int,
) -> Handover:
    """Put together images (n, height, width, channels), uint8, and what is drawn by the seed."""
    tensors = {}
    for part, (images, labels) in sets.items():
        if part == "train" and len(images) < task.batch:
            raise InputError(f"there are {len(images)} images to train, fewer than a batch")
        specked = _specked(images, stream(seed, f"comparison specks {part}"))
        tensors[f"{part}.images"] = specked[..., 0] if task.network == "lstm" else specked
        tensors[f"{part}.labels"] = labels.astype(np.int32)
    rows = len(tensors["train.labels"]) // task.batch * task.batch
    orders = [
        stream(seed, "comparison order", epoch).permutation(len(tensors["train.labels"]))[:rows]
        for epoch in range(epochs)
    ]
    tensors["order"] = np.array(orders, np.int32)
    return Handover(
        name=name,
        tensors=tensors | first_weights(task, seed),
        settings={
            "network": task.network,
            "batch": task.batch,
            "rate": task.rate,
            "momentum": task.momentum,
            "centre": task.centre,
            "weights": list(task.weights),
            "flattened": {name: list(shape) for name, shape in task.flattened.items()},
        },
    )


def first_weights(task: Task, seed: int) -> dict[str, np.ndarray]:
    """Draw the weights that all frameworks begin with; biases are 0.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr and K.-R. Müller (1998), Efficient BackProp, section 4.6.
    """
    weights = {}
    for number, (name, shape) in enumerate(task.weights.items()):
        if len(shape) == 1:
            weights[name] = np.zeros(shape, np.float32)
            continue
        most = np.sqrt(3 / np.prod(shape[1:]))
        draw = stream(seed, "comparison weights", number)
        weights[name] = draw.uniform(-most, most, shape).astype(np.float32)
    return weights


def _specked(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    specks = draw.integers(0, _SPECKS, images.shape, dtype=np.uint8)
    # In whole numbers, and in steps that stay within 16 bits.
    dimmed = images.astype(np.uint16) * (256 - _SPECKS) // 255
    return dimmed.astype(np.uint8) + specks


def _digits(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from PIL import Image

    table = example_images("digits")
    labels = table["label"].cat.codes.to_numpy()
    draw = stream(seed, "comparison digits")
    mixed = draw.permutation(len(table))
    large = [
        np.asarray(
            Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize(
                (20, 20), Image.Resampling.BILINEAR
            )
        )
        for image in table["image"]
    ]

    def placed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = np.zeros((len(rows), 28, 28, 1), np.uint8)
        for image, row, (top, left) in zip(
            images, rows, draw.integers(2, 7, (len(rows), 2)), strict=True
        ):
            image[top : top + 20, left : left + 20, 0] = large[row]
        return images, labels[rows]

    return {
        "train": placed(np.repeat(mixed[:_DIGITS_TO_TRAIN], _COPIES)),
        "test": placed(mixed[_DIGITS_TO_TRAIN:]),
    }


def _drawn(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return drawings of one object, whose colour is the class, on the same grey."""
    codes = {colour: code for code, colour in enumerate(COLOURS)}
    sets = {}
    for part, wanted in _DRAWN.items():
        # About three drawings in ten have one object.
        table = shapes(4 * wanted, seed, split=part, captions=1)
        table = table[table["objects"].map(len) == 1][:wanted]
        images = np.stack(list(table["image"])).astype(np.int16)
        # Most of a drawing is background, of which each has its own grey.
        images += 128 - np.median(images, axis=(1, 2), keepdims=True).astype(np.int16)
        labels = np.array([codes[objects[0]["colour"]] for objects in table["objects"]])
        sets[part] = (images.clip(0, 255).astype(np.uint8), labels)
    return sets


def _mnist(folder: str | os.PathLike[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    place = Path(os.path.expanduser(path_of(folder, "data")))
    sets = {}
    for part, names in _IDX.items():
        images, labels = (read_idx_array(_found(place, name)) for name in names)
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise InputError(f"'{place / names[0]}' does not hold 8-bit images of 28 x 28 pixels")
        if labels.shape != images.shape[:1] or labels.dtype != np.uint8 or labels.max() > 9:
            raise InputError(f"'{place / names[1]}' does not hold one digit for each image")
        sets[part] = (images[..., None], labels)
    return sets


def _found(folder: Path, name: str) -> Path:
    """Return where one of MNIST's files is, under any of the names that are in use."""
    names = [name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"]
    for each in names:
        if (folder / each).is_file():
            return folder / each
    raise InputError(f"there is no file '{name}' or '{name}.gz' in '{folder}'")
