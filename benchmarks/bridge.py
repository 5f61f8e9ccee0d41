"""What the bridge from R to Python costs: time of a fit, copies of the pixels.

The first table tells how much longer a fit takes from R than from Python, of the same model, once
both have started; the second how often and how fast 1,000 images of 64 x 64 x 3 are copied on their
way from R to the engine.

Run it by ``.venv/bin/python benchmarks/bridge.py [fits]`` (0 for the second table alone), after
``make test-r`` or ``make demo`` has installed diglot's R package. Each language lives in one
process for the whole run; the two take turns at fitting, so that both meet the same load of the
machine. Each fit's time runs from the call to its return, so R's includes the images' way to Python
and the fit's way back. Each process fits once before that, untimed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
from side_by_side import ROOT, machine, ratios, spread, table

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

# Copies of the whole are counted where they are made: R logs what it allocates, from a byte a pixel
# on; of Python, tracemalloc tells the peak. Beyond that, the engine takes batches of some images.
COPIES_IN_R = r"""
suppressPackageStartupMessages(library(diglot))
n <- 1000L
pixels <- ((seq_len(n * 64 * 64 * 3) - 1) * 7919) %% 251
images <- array(pixels, c(n, 64L, 64L, 3L))
images <- switch(Sys.getenv("TYPE"),
  integer = array(as.integer(images), dim(images)),
  double = images / 250,
  raw = array(as.raw(images), dim(images))
)
rm(pixels)
some <- images[1:64, , , , drop = FALSE]
fit <- image_classifier(some, rep(1:2, 32), network = "mlp", epochs = 1, seed = 1, verbose = FALSE)
invisible(predict(fit, some))
invisible(gc())
python <- reticulate::py_run_string("
import time, tracemalloc
from diglot.bridge import received
def arrive(payload):
    tracemalloc.start()
    came = received.images(payload)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    began = time.perf_counter()
    again = received.images(payload)
    seconds = time.perf_counter() - began
    return [most, seconds, float(came.nbytes), float((came == again).all())]
")
log <- tempfile()
Rprofmem(log, threshold = n * 64 * 64 * 3)
arrived <- unlist(python$arrive(diglot:::image_payload(images)))
Rprofmem(NULL)
in_r <- length(grep("^[0-9]+ :", readLines(log)))
invisible(gc())
status <- function(what) {
  as.numeric(gsub("\\D", "", grep(what, readLines("/proc/self/status"), value = TRUE))) / 1024
}
writeLines("5", "/proc/self/clear_refs") # the peak counts from here
before <- status("VmRSS")
seconds <- system.time(predict(fit, images))[["elapsed"]]
cat("@", object.size(images) / 2^20, in_r, arrived, status("VmHWM") - before, seconds, "\n")
"""


def copies() -> None:
    """Print what happens to an array of R on its way."""
    print("1,000 images of 64 x 64 x 3 from R to the engine\n")
    header = ["type", "in R, MiB", "copies in R", "in Python", "MiB each", "to Python, s"]
    rows = []
    for kind in ("integer", "double", "raw"):
        os.environ["TYPE"] = kind
        process = started(["Rscript", "--vanilla", "-e", COPIES_IN_R])
        output, _ = process.communicate()
        (line,) = (line for line in output.splitlines() if line.startswith("@"))
        size, in_r, most, seconds, each, same, peak, whole = map(float, line.split()[1:])
        assert same == 1
        # a bytearray, which is how raw vectors cross, is made before anything can be traced
        in_python = round(most / each) + (kind == "raw")
        rows.append(
            [kind, f"{size:.1f}", f"{in_r:.0f}", in_python, f"{each / 2**20:.1f}", f"{seconds:.3f}"]
            + [f"{whole:.2f}", f"{peak:.0f}"]
        )
    print(table([*header, "predict, s", "its peak, MiB"], rows))


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
    print(f"LeNet, seconds of {fits} fits each, medians (lowest to highest)\n")
    rows = []
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
        python, r = seconds["Python"], seconds["R"]
        same = "yes" if len(weights) == 1 else "NO"
        rows.append([case, epochs, spread(python, 2), spread(r, 2), ratios(r, python, 3), same])
    print(table(["", "epochs", "Python", "R", "R / Python", "same weights"], rows))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve()
    else:
        print(machine())
        if sys.argv[1:2] != ["0"]:
            main(*map(int, sys.argv[1:2]))
        copies()
