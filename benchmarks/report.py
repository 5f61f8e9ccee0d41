"""How long a report takes on 2,000 test images, from Python and from R.

Run it by ``.venv/bin/python benchmarks/report.py``, after ``make test-r`` or ``make demo`` has
installed diglot's R package. The model and its file are the same in both; the time is that of the
call of report(), in a process in which nothing was rendered before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from side_by_side import ROOT, machine

IMAGES = 2000

IN_R = """
suppressPackageStartupMessages(library(diglot))
folder <- commandArgs(TRUE)
fit <- load_model(file.path(folder, "model.safetensors"))
test <- read_images(file.path(folder, "test"))
page <- file.path(folder, "r.html")
seconds <- system.time(report(fit, test, page, truth = test$label))
cat("@", seconds[["elapsed"]], "\\n")
"""


def noisy_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 2,000 digits of 28 x 28 pixels, drawn with replacement, with noise on them."""
    import diglot

    digits = diglot.example_images("digits")
    rng = np.random.default_rng(1)
    chosen = rng.integers(len(digits), size=IMAGES)
    small = np.stack(digits["image"].to_numpy())[chosen] / 16
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    noise = rng.normal(0, 0.15, large.shape)
    pixels = (np.clip(large + noise, 0, 1) * 255).astype(np.uint8)
    return pixels, digits["label"].astype(str).to_numpy()[chosen]


def main() -> None:
    """Print the seconds of both languages."""
    from PIL import Image

    import diglot

    pixels, labels = noisy_digits()
    model = diglot.ImageClassifier("lenet", epochs=2, seed=1, verbose=False)
    model.fit(pixels[:500], labels[:500])
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.safetensors")
        for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            place = Path(folder, "test", str(label))
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i:04}.png")
        test = diglot.read_images(f"{folder}/test")
        began = time.perf_counter()
        diglot.report(model, test[["image"]], test["label"], f"{folder}/python.html")
        seconds = {"Python": time.perf_counter() - began}
        library = os.pathsep.join(filter(None, [str(ROOT / ".Rlib"), os.environ.get("R_LIBS")]))
        environment = {**os.environ, "R_LIBS": library, "RETICULATE_PYTHON": sys.executable}
        command = ["Rscript", "--vanilla", "-e", IN_R, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("@"))
        seconds["R"] = float(line.split()[1])
        size = os.path.getsize(f"{folder}/python.html") / 2**20
    print(f"report on {IMAGES:,} images; the page has {size:.1f} MiB\n{machine()}\n")
    for language, taken in seconds.items():
        print(f"{language:8}{taken:6.1f} s")


if __name__ == "__main__":
    os.environ.setdefault("R_LIBS", str(ROOT / ".Rlib"))
    main()
