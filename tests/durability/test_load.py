"""Many at once on one model file, threads of Python or processes of R: the serial answers."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diglot import ImageCaptioner, ImageClassifier, load
from soak import ROOT, SOAK, alone, rounds

THREADS = 8
RANDOM = np.random.default_rng(4)
IMAGES = RANDOM.integers(0, 256, (40, 16, 14, 3), np.uint8)
LABELS = np.arange(40) % 3
TEXTS = [["red on blue", "a red one"], ["blue on red", "blue"]] * 20


@pytest.fixture(scope="module")
def classifier():
    settings = {"epochs": 2, "seed": 1, "verbose": False}
    return ImageClassifier("resnet20", size=16, **settings).fit(IMAGES, LABELS)


@pytest.fixture(scope="module")
def captioner():
    settings = {"hidden": 8, "embedding": 6, "heads": 2, "epochs": 3, "seed": 1}
    return ImageCaptioner("convnet", verbose=False, **settings).fit(IMAGES, TEXTS)


def parts(number):
    """Return images in batches of other sizes for each turn."""
    return [IMAGES[i : i + 1 + (i + number) % 9] for i in range(0, 40, 5)]


def in_threads(answer):
    """Ask from 8 threads, several times; return whether all answers are the serial ones."""
    turns = range(rounds(3, 60))
    serial = [[answer(part) for part in parts(turn)] for turn in turns]
    jobs = [(turn, at) for turn in turns for at in range(8)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda job: answer(parts(job[0])[job[1]]), jobs))
    return all(
        np.array_equal(serial[turn][at], one) for (turn, at), one in zip(jobs, found, strict=True)
    )


def test_threads_that_share_a_model_get_the_serial_answers(classifier, captioner):
    assert in_threads(classifier.predict_proba)
    assert in_threads(captioner.predict)


def test_threads_that_load_the_same_file_get_the_serial_answers(classifier, tmp_path):
    path = classifier.save(tmp_path / "m.safetensors")
    assert in_threads(lambda images: load(path).predict_proba(images))


def test_threads_that_fit_get_the_serial_fits():
    def fingerprint(seed):
        model = ImageClassifier("mlp", size=8, epochs=2, seed=seed, verbose=False)
        return model.fit(IMAGES, LABELS).fingerprint()

    serial = [fingerprint(seed) for seed in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(fingerprint, range(THREADS))) == serial


IN_R = """
library(diglot)
given <- commandArgs(trailingOnly = TRUE)
workers <- as.integer(given[1])
images <- array(as.integer((seq_len(40 * 16 * 14) * 7919) %% 256), c(40, 16, 14))
list_of <- lapply(seq_len(40), function(i) images[i, , ])
frame <- tibble::tibble(image = list_of, label = factor(rep(c("a", "b"), 20)))
fit <- image_classifier(label ~ image, frame, network = "lenet", size = 16, epochs = 2, seed = 1)
save_model(fit, given[2])
cat("saved\\n")
rows <- split(seq_len(40), rep(seq_len(workers), length.out = 40))
serial <- lapply(rows, function(some) predict(fit, frame[some, ], type = "prob"))
cluster <- parallel::makePSOCKcluster(workers)
paths <- .libPaths()
answers <- parallel::parLapply(cluster, rows, function(some, path, frame, paths) {
  .libPaths(paths)
  library(diglot)
  fit <- load_model(path)
  for (turn in 1:5) answer <- predict(fit, frame[some, ], type = "prob")
  answer
}, path = given[2], frame = frame, paths = paths)
parallel::stopCluster(cluster)
cat(identical(answers, serial), "\\n")
ants <- vapply(serial, function(one) sum(one[[1L]]), 0)
cat(format(sum(ants), digits = 17), "\\n")
"""


@pytest.mark.needs_r
def test_workers_of_r_beside_threads_of_python_get_the_serial_answers(tmp_path):
    """All on one file, all at once: 8 threads here ask until R's workers have had their answers."""
    path = tmp_path / "m.safetensors"
    command = ["Rscript", "--vanilla", "-e", IN_R, str(rounds(2, 8)), str(path)]
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    images = ((np.arange(40 * 16 * 14) + 1) * 7919 % 256).astype(np.uint8)
    images = images.reshape((40, 16, 14), order="F")  # R's order
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        saved = process.stdout.readline()
        if saved != "saved\n":
            pytest.fail(process.communicate()[1][-2000:])
        serial = load(path).predict_proba(images)
        turns, wrong = 0, 0

        def answer(number):
            return np.array_equal(load(path).predict_proba(images[number::8]), serial[number::8])

        with ThreadPoolExecutor(THREADS) as pool:
            while process.poll() is None:
                turns += 1
                wrong += THREADS - sum(pool.map(answer, range(THREADS)))
                time.sleep(0 if SOAK else 0.2)  # R's processes need the cores to start, too
        same, total = process.stdout.read().split()
        errors = process.stderr.read()
    assert same == "TRUE", errors[-2000:]
    assert wrong == 0 and turns > 1
    assert float(total) == pytest.approx(serial[:, 0].sum(), abs=1e-4)
