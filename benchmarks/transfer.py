"""Few images: digits 5 to 9 learned from scratch, and from a network that knows 0 to 4.

Run it by ``.venv/bin/python benchmarks/transfer.py [seeds] [images a class] [networks ...]``.
Each seed draws the training images anew; all other digits 5 to 9 test. Both ways have the same
network, the same images, and the same number of epochs, once few and once more, of which
fine-tuning spends the first on the new head alone. The intervals are of the mean over seeds, by
Student's t.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import t as student
from side_by_side import machine

from diglot import ImageClassifier, example_images, network
from diglot.graph import Graph

EPOCHS, BATCH = (5, 20), 16
WIDTHS = (16, 32, 64, 64, 64)


def small_vgg(name: str) -> Graph:
    """Return a VGG-11 with a quarter of its channels, so that this takes minutes."""
    return network(name, size=32, channels=1, widths=WIDTHS, grid=1, hidden=(128,))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "lenet": lambda: network("lenet"),
    "resnet20": lambda: network("resnet20", channels=1),
    "vgg11_bn": lambda: small_vgg("vgg11_bn"),
    "vgg11": lambda: small_vgg("vgg11"),
}


def interval(values: np.ndarray) -> str:
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():6.1f} ({values.mean() - half:.1f} to {values.mean() + half:.1f})"


def drawn(table: pd.DataFrame, each: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    train = table.groupby("label", observed=True).sample(each, random_state=seed)
    return train, table.drop(train.index)


def accuracy(model: ImageClassifier, table: pd.DataFrame) -> float:
    return 100 * float(np.mean(model.predict(table[["image"]]) == table["label"].to_numpy()))


def compared(
    first: ImageClassifier, net: Graph, new: pd.DataFrame, each: int, epochs: int, seed: int
) -> tuple[float, float]:
    """Return the accuracy from scratch, and fine-tuned."""
    train, test = drawn(new, each, seed)
    given = (train[["image"]], train["label"])
    scratch = ImageClassifier(net, epochs=epochs, seed=seed, batch_size=BATCH, verbose=False)
    tuned = first.fine_tune(*given, epochs=(1, epochs - 1), augment=None, seed=seed)
    return accuracy(scratch.fit(*given), test), accuracy(tuned, test)


def main(seeds: int = 10, each: int = 10, *names: str) -> None:
    digits = example_images("digits").assign(label=lambda d: d["label"].astype(int))
    known, new = digits[digits["label"] < 5], digits[digits["label"] >= 5]
    print(f"Digits 5 to 9, {each} images a class to train on, {seeds} seeds; test accuracy in per")
    print(f"cent, mean and 95 % interval\n{machine()}\n")
    titles = ("from scratch", "fine-tuned", "difference")
    print(f"{'':10}{'epochs':>6}" + "".join(f"{title:>22}" for title in titles) + "  seconds")
    for name in names or NETWORKS:
        net = NETWORKS[name]()
        first = ImageClassifier(
            net, epochs=20, augment="light", seed=1, batch_size=BATCH, verbose=False
        )
        first.fit(known[["image"]], known["label"])
        for epochs in EPOCHS:
            began = time.perf_counter()
            scores = [compared(first, net, new, each, epochs, seed) for seed in range(seeds)]
            scratch, tuned = np.array(scores).T
            told = "".join(f"{interval(v):>22}" for v in (scratch, tuned, tuned - scratch))
            seconds = time.perf_counter() - began
            print(f"{name:10}{epochs:>6}{told}{seconds:>9.0f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
