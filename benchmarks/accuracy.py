"""Accuracy of LeNet by stratified 5-fold cross-validation, on the digits and faces that come along.

Run it by ``.venv/bin/python benchmarks/accuracy.py [digits|faces ...]``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from side_by_side import machine
from sklearn.model_selection import StratifiedKFold

from diglot import ImageClassifier, example_images
from diglot.evaluation import wilson

SETTINGS = {
    "digits": {"epochs": 20, "augment": "light"},
    "faces": {"epochs": 20},
}
GOALS = {"digits": 0.99, "faces": 0.97}


def main(names: list[str]) -> None:
    print(f"LeNet, stratified 5-fold cross-validation, seed 1\n{machine()}\n")
    print(
        f"{'':8}{'n':>5}{'mean':>9}{'95 % interval':>18}{'goal':>9}{'seconds':>9}  folds, settings"
    )
    for name in names:
        table, began = example_images(name), time.perf_counter()
        x, y = table[["image"]], table["label"].to_numpy()
        accuracies, hits = [], 0
        for train, test in StratifiedKFold(5, shuffle=True, random_state=1).split(x, y):
            model = ImageClassifier("lenet", seed=1, verbose=False, **SETTINGS[name])
            right = model.fit(x.iloc[train], y[train]).predict(x.iloc[test]) == y[test]
            accuracies.append(right.mean())
            hits += int(right.sum())
        # Every image is predicted once, by a model that has not seen it.
        lower, upper = wilson(hits, len(y))
        folds = " ".join(f"{100 * a:.1f}" for a in accuracies)
        given = ", ".join(f"{k}={v!r}" for k, v in SETTINGS[name].items())
        print(
            f"{name:8}{len(y):>5}{np.mean(accuracies):>9.2%}{f'{lower:.2%} to {upper:.2%}':>18}"
            f"{GOALS[name]:>9.1%}{time.perf_counter() - began:>9.0f}  {folds}, {given}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
