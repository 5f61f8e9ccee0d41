"""Trains LeNet on handwritten digits from Python and from R, compares the two, writes a report.

Run it by ``make demo``, which installs what it needs and tells R where diglot is. It fails if the
two languages do not end in the same model.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import diglot

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "demo"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    digits = diglot.example_images("digits")
    test = digits.index % 5 == 0  # every fifth; tools/demo.R splits in the same way
    train_x, train_y = digits.loc[~test, ["image"]], digits.label[~test]
    test_x, test_y = digits.loc[test, ["image"]], digits.label[test]
    print(f"{len(train_y)} handwritten digits to learn from, {len(test_y)} to test on")

    print("\nPython: LeNet, 10 epochs, seed 1")
    started = time.perf_counter()
    model = diglot.ImageClassifier(network="lenet", epochs=10, seed=1).fit(train_x, train_y)
    seconds = time.perf_counter() - started
    correct = (model.predict(test_x) == test_y.to_numpy()).mean()
    print(f"  {seconds:.1f} s, {100 * correct:.2f} % of the test images right")
    model.save(FOLDER / "digits-python.safetensors")

    print("\nR: LeNet, 10 epochs, seed 1", flush=True)
    subprocess.run(["Rscript", "--vanilla", "tools/demo.R"], cwd=ROOT, check=True)
    from_r = (FOLDER / "fingerprint-r.txt").read_text(encoding="utf-8").strip()

    print("\nFingerprints (SHA-256 of the weights)")
    print(f"  Python  {model.fingerprint()}")
    print(f"  R       {from_r}")
    if from_r != model.fingerprint():
        print("The two models differ: something is wrong.", file=sys.stderr)
        return 1
    if diglot.load(FOLDER / "digits-r.safetensors").fingerprint() != from_r:
        print("Python reads another model from R's file: something is wrong.", file=sys.stderr)
        return 1
    print("  the same model, to the byte; and Python reads R's file")

    table = model.evaluate(test_x, test_y)
    accuracy = table[table.metric == "accuracy"].iloc[0]
    print(
        f"\nAccuracy {100 * accuracy.estimate:.2f} % "
        f"({100 * accuracy.lower:.2f} to {100 * accuracy.upper:.2f}, n = {accuracy.n})"
    )
    diglot.report(model, test_x, test_y, FOLDER / "report.html", title="Handwritten digits")
    print("demo/report.html: metrics with intervals, confusions, the digits it got wrong, and more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
