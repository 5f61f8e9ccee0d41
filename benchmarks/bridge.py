"""How much longer a fit takes from R than from Python, of the same model, once both have started.

Run it by ``.venv/bin/python benchmarks/bridge.py [fits]``, after ``make test-r`` or ``make demo``
has installed diglot's R package. Each language lives in one process for the whole run; the two
take turns at fitting, so that both meet the same load of the machine. Each fit's time runs from
the call to its return, so R's includes the images' way to Python and the fit's way back. Each
process fits once before that, untimed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CASES = {"digits": 10, "colour": 10}  # epochs

IN_R = r"""
suppressPackageStartupMessages(library(diglot))
digits <- example_images("digits")
n <- 2000L
pixels <- ((seq_len(n * 64 * 64 * 3) - 1) * 7919) %% 251
colour <- aperm(array(as.integer(pixels), c(3L, 64L, 64L, n)), c(4L, 3L, 2L, 1L))
classes <- rep(c("a", "b", "c", "d"), length.out = n)
lines <- file("stdin", "r")
while (length(line <- readLines(lines, 1L)) > 0L) {
  words <- strsplit(line, " ")[[1L]]
  epochs <- as.integer(words[2L])
  gc()
  began <- proc.time()[["elapsed"]]
  fit <- if (words[1L] == "digits") {
    image_classifier(label ~ image, digits, epochs = epochs, seed = 1, verbose = FALSE)
  } else {
    image_classifier(colour, classes, epochs = epochs, seed = 1, verbose = FALSE)
  }
  seconds <- proc.time()[["elapsed"]] - began
  cat("@", format(seconds, digits = 8), fingerprint(fit), "\n")
  flush(stdout())
}
"""


def serve() -> None:
    """Fit once for each line of the input, as the R half does."""
    from diglot import ImageClassifier, example_images

    digits = example_images("digits")
    n = 2000
    pixels = (np.arange(n * 64 * 64 * 3, dtype=np.int64) * 7919) % 251
    colour = pixels.astype(np.uint8).reshape(n, 64, 64, 3)
    classes = np.resize(["a", "b", "c", "d"], n)
    for line in sys.stdin:
        case, epochs = line.split()
        model = ImageClassifier(epochs=int(epochs), seed=1, verbose=False)
        began = time.perf_counter()
        if case == "digits":
            model.fit(digits[["image"]], digits["label"])
        else:
            model.fit(colour, classes)
        print("@", time.perf_counter() - began, model.fingerprint(), flush=True)


def started(command: list[str]) -> subprocess.Popen[str]:
    library = os.pathsep.join(filter(None, [str(ROOT / ".Rlib"), os.environ.get("R_LIBS")]))
    environment = {
        **{"LANG": "C.UTF-8", **os.environ},
        "R_LIBS": library,
        "RETICULATE_PYTHON": str(ROOT / ".venv" / "bin" / "python"),
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def timed(process: subprocess.Popen[str], case: str) -> tuple[float, str]:
    process.stdin.write(f"{case} {CASES[case]}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("@"):
            return float(line.split()[1]), line.split()[2]
    raise SystemExit("a process ended before its fit did; its message is above")


def main(fits: int = 7) -> None:
    processes = {
        "Python": started([sys.executable, __file__, "--serve"]),
        "R": started(["Rscript", "--vanilla", "-e", IN_R]),
    }
    print(f"LeNet, {os.cpu_count()} cores, {date.today()}; median of {fits} fits, seconds\n")
    print(f"{'':8}{'epochs':>7}{'Python':>9}{'R':>9}{'R / Python':>12}  same weights")
    for case, epochs in CASES.items():
        seconds: dict[str, list[float]] = {name: [] for name in processes}
        weights = set()
        for number in range(fits + 1):
            order = list(processes) if number % 2 else list(processes)[::-1]
            for name in order:
                taken, fingerprint = timed(processes[name], case)
                weights.add(fingerprint)
                if number:  # the first warms up
                    seconds[name].append(taken)
        python, r = (np.array(seconds[name]) for name in ("Python", "R"))
        print(
            f"{case:8}{epochs:>7}{np.median(python):>9.2f}{np.median(r):>9.2f}"
            f"{np.median(r / python):>12.3f}  {'yes' if len(weights) == 1 else 'NO'}",
            flush=True,
        )
    for process in processes.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve()
    else:
        main(*map(int, sys.argv[1:2]))
