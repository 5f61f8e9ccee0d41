"""A fit that is killed, at whatever moment, resumes to the bytes that it would have ended in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diglot import ImageClassifier, load, network, storage
from diglot.errors import ModelFileError
from diglot.training import Checkpoints
from killing import FILE, Fit
from soak import ROOT, SOAK, alone, rounds

IMAGES = np.random.default_rng(1).integers(0, 256, (24, 8, 8), np.uint8)
LABELS = np.arange(24) % 2


def side_by_side(jobs):
    """Do two things at a time, and let what fails fail."""
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(*job) for job in jobs]:
            future.result()


ENDINGS = {}  # what each kind of fit ends in, and how long it takes, by language and kind


def undisturbed(fits, tmp_path):
    """Learn what fits end in that nobody kills; once for all tests."""
    missing = [fit for fit in fits if (fit.language, fit.kind) not in ENDINGS]
    side_by_side([(f.undisturbed, tmp_path / "whole" / f.language / f.kind) for f in missing])
    assert [fit.faults for fit in missing] == [[]] * len(missing)
    ENDINGS.update({(fit.language, fit.kind): (fit.ending, fit.seconds) for fit in missing})
    for fit in fits:
        fit.ending, fit.seconds = ENDINGS[fit.language, fit.kind]


def killed(fits, tmp_path, kills):
    undisturbed(fits, tmp_path)
    jobs = [
        (f.kill_at_random, tmp_path / f.language / f.kind, kills, seed)
        for seed, f in enumerate(fits)
    ]
    side_by_side(jobs)
    told = {f"{f.kind} in {f.language}": (f.kills, f.faults) for f in fits}
    assert told == {name: (kills, []) for name in told}


def test_fits_from_python_that_are_killed_at_random_moments(tmp_path):
    # The short form kills the others while they write, below.
    kinds = ("classifier", "tuned", "captioner") if SOAK else ("classifier",)
    killed([Fit("Python", kind) for kind in kinds], tmp_path, rounds(1, 22))


@pytest.mark.needs_r
def test_fits_from_r_that_are_killed_at_random_moments(tmp_path):
    kinds = ("classifier", "tuned", "captioner") if SOAK else ("classifier",)
    killed([Fit("R", kind) for kind in kinds], tmp_path, rounds(1, 7))


PLACES = ("half", "written", "renamed")
WRITES = {"classifier": 90, "tuned": 80, "captioner": 36}  # checkpoints of a fit, at least


def killed_while_writing(tmp_path, language, kinds, turns):
    """Half of a checkpoint, one that is not on the disk yet, one that has no name yet."""
    wholes = {kind: Fit(language, kind) for kind in kinds}
    undisturbed(wholes.values(), tmp_path)
    rng = np.random.default_rng(7)
    jobs, fits = [], []
    for kind, places in kinds.items():
        for turn in range(turns):
            for place in places:
                fits.append(Fit(language, kind, wholes[kind].ending))
                number = int(rng.integers(2, WRITES[kind]))
                folder = tmp_path / f"{kind}{turn}{place}"
                jobs.append((fits[-1].kill_at, folder, place, number))
    side_by_side(jobs)
    assert [(f.kind, f.kills, f.faults) for f in fits] == [(f.kind, 1, []) for f in fits]


def test_fits_from_python_that_are_killed_while_a_checkpoint_is_written(tmp_path):
    kinds = {"classifier": PLACES, "tuned": PLACES, "captioner": PLACES}
    if not SOAK:  # each kind once, each place once
        kinds = {kind: [place] for kind, place in zip(kinds, PLACES, strict=True)}
    killed_while_writing(tmp_path, "Python", kinds, rounds(1, 6))


@pytest.mark.needs_r
def test_fits_from_r_that_are_killed_while_a_checkpoint_is_written(tmp_path):
    kinds = {"classifier": PLACES, "tuned": PLACES, "captioner": PLACES}
    killed_while_writing(tmp_path, "R", kinds if SOAK else {"classifier": ["half"]}, rounds(1, 2))


def test_what_a_kill_left_behind_is_removed_and_nothing_else(tmp_path):
    others = [".notes.txt.tmp", "mine.tmp", ".checkpoint.safetensors.tmp", "a.safetensors"]
    for name in (*others, f".{FILE}.0123456789abcdef.tmp"):
        (tmp_path / name).write_text("")
    Checkpoints(tmp_path).make_folder()
    assert sorted(os.listdir(tmp_path)) == sorted(others)


# ------------------------------------------------------------------ disks that fail


def fitted(folder, *callbacks, **settings):
    settings = {"epochs": 6, "seed": 1, "verbose": False, "resume": True, **settings}
    settings |= {"callbacks": list(callbacks), "checkpoint": folder, "batch_size": 8}
    model = ImageClassifier("mlp", **settings)
    return model.fit(IMAGES, LABELS).fingerprint()


def at(epoch, act):
    """Return a callback that acts at the end of an epoch, before its checkpoint is written."""
    return lambda record: act() if record["epoch"] == epoch else None


def mount(*options):
    return subprocess.run(["mount", *map(str, options)], capture_output=True, check=False)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system in memory, with room for one checkpoint and a half."""
    place = tmp_path / "disk"
    place.mkdir()
    fitted(tmp_path / "elsewhere", epochs=1)
    size = os.path.getsize(tmp_path / "elsewhere" / FILE) * 3 // 2
    if mount("-t", "tmpfs", "-o", f"size={size}", "diglot", place).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def epochs_in(folder):
    return storage.read_file(folder / FILE)[1]["epoch"]


def test_a_full_disk_is_told_of_and_leaves_the_last_checkpoint(small_disk, tmp_path):
    folder = small_disk / "fit"
    with pytest.raises(ModelFileError, match="no room for .* MiB in .*; free some") as caught:
        fitted(folder)
    assert str(folder) in str(caught.value)
    assert os.listdir(folder) == [FILE] and epochs_in(folder) == 1
    mount("-o", "remount,size=100m", small_disk)
    assert fitted(folder) == fitted(tmp_path / "whole")


def test_a_disk_that_turns_read_only_is_told_of_and_leaves_the_last_checkpoint(
    small_disk, tmp_path
):
    folder = small_disk / "fit"
    mount("-o", "remount,size=100m", small_disk)
    act = at(3, lambda: mount("-o", "remount,ro", small_disk))
    with pytest.raises(ModelFileError, match="permission denied; choose a folder other than"):
        fitted(folder, act)
    assert os.listdir(folder) == [FILE] and epochs_in(folder) == 2
    with pytest.raises(ModelFileError, match="permission denied"):
        fitted(folder)
    mount("-o", "remount,rw", small_disk)
    assert fitted(folder) == fitted(tmp_path / "whole")


def saved_on(small_disk, tmp_path):
    """Save a model on a disk that has room for it once only; return its file, and a larger one."""
    small = ImageClassifier("mlp", epochs=1, seed=1, verbose=False).fit(IMAGES, LABELS)
    net = network("mlp", classes=2, size=8, channels=1, hidden=(2000,))
    large = ImageClassifier(net, epochs=1, seed=1, verbose=False).fit(IMAGES, LABELS)
    mount("-o", f"remount,size={3 * len(small.to_bytes()) // 2}", small_disk)
    return small.save(small_disk / "m.safetensors"), large


def test_a_model_that_is_saved_on_a_full_disk_costs_no_earlier_file(small_disk, tmp_path):
    path, large = saved_on(small_disk, tmp_path)
    before = path.read_bytes()
    for target in (path, small_disk / "other.safetensors"):
        with pytest.raises(ModelFileError, match="no room for .* MiB in .*; free some"):
            large.save(target)
    assert os.listdir(small_disk) == [path.name] and path.read_bytes() == before
    assert load(path).predict(IMAGES[:2]).shape == (2,)


def test_a_model_that_is_saved_on_a_read_only_disk_costs_no_earlier_file(small_disk, tmp_path):
    path, large = saved_on(small_disk, tmp_path)
    before = path.read_bytes()
    mount("-o", "remount,size=100m,ro", small_disk)
    with pytest.raises(ModelFileError, match="permission denied; choose a folder other than"):
        large.save(path)
    assert os.listdir(small_disk) == [path.name] and path.read_bytes() == before


DISKS_IN_R = """
library(diglot)
disk <- commandArgs(trailingOnly = TRUE)[1]
pixels <- array(as.integer((seq_len(24 * 64) * 7919) %% 256), c(24, 8, 8))
frame <- tibble::tibble(
  image = lapply(1:24, function(i) pixels[i, , ]), label = factor(rep(0:1, 12))
)
remount <- function(how) system2("mount", c("-o", paste0("remount,", how), disk))
fitted <- function(...) {
  image_classifier(
    label ~ image, frame, network = "mlp", epochs = 6, seed = 1, batch_size = 8, ...
  )
}
tell <- function(...) cat(gsub("\n", " ", paste(...)), "\n")
refused <- function(what) tryCatch(
  {
    what
    "done"
  },
  diglot_error_model_file = conditionMessage, error = function(e) paste("untyped", class(e))
)
folder <- file.path(disk, "fit")
tell(refused(fitted(checkpoint = folder))) # full
remount("size=100m")
fit <- fitted(checkpoint = folder, resume = TRUE)
tell(fingerprint(fit) == fingerprint(fitted()))
file <- save_model(fit, file.path(disk, "m.safetensors"))
before <- readBin(file, "raw", 1e7)
net <- network("mlp", classes = 2, size = 8, channels = 1, hidden = 5000)
large <- image_classifier(label ~ image, frame, network = net, epochs = 1, seed = 1)
used <- sum(file.size(list.files(disk, recursive = TRUE, full.names = TRUE)))
remount(sprintf("size=%.0f", used + 65536))
tell(refused(save_model(large, file))) # full
remount("size=100m,ro")
tell(refused(save_model(large, file))) # read-only
tell(refused(fitted(checkpoint = file.path(disk, "new"))))
tell(identical(readBin(file, "raw", 1e7), before), fingerprint(load_model(file)) ==
  fingerprint(fit), paste(sort(list.files(disk, all.files = TRUE, no.. = TRUE)), collapse = " "))
remount("rw")
gone <- file.path(disk, "gone")
at_end <- function(record) if (record$epoch == 3) unlink(gone, recursive = TRUE)
tell(refused(fitted(checkpoint = gone, callbacks = at_end))) # vanished
"""


@pytest.mark.needs_r
def test_r_tells_of_disks_that_fail_and_loses_nothing(small_disk):
    command = ["Rscript", "--vanilla", "-e", DISKS_IN_R, str(small_disk)]
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    full, resumed, full_save, read_only, read_only_fit, kept, vanished = map(
        str.strip, done.stdout.splitlines()
    )
    assert re.search(r"checkpoint\.safetensors.*no room for .* MiB", full)
    assert resumed == "TRUE"
    assert re.search(r"m\.safetensors cannot be written: no room for", full_save)
    assert re.search(r"m\.safetensors cannot be written: permission denied", read_only)
    assert re.search("checkpoint folder .* cannot be made", read_only_fit)
    assert kept == "TRUE TRUE fit m.safetensors"
    assert re.search("there is no folder .*gone", vanished)
    assert epochs_in(small_disk / "fit") == 6


def test_a_limit_on_the_size_of_files_is_told_of(tmp_path):
    """What a quota does, without being root; the process must survive the signal, too."""
    import resource

    fitted(tmp_path / "fit", epochs=1)
    before = (tmp_path / "fit" / FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(ModelFileError, match="no room for"):
            fitted(tmp_path / "fit", resume=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / "fit") == [FILE]
    assert (tmp_path / "fit" / FILE).read_bytes() == before


def test_a_folder_that_vanishes_is_told_of(tmp_path):
    folder = tmp_path / "fit"
    with pytest.raises(ModelFileError, match="there is no folder .*; create it"):
        fitted(folder, at(3, lambda: shutil.rmtree(folder)))
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told_of(tmp_path):
    folder = tmp_path / "fit"
    with pytest.raises(ModelFileError, match="permission denied"):
        fitted(folder, at(3, lambda: folder.chmod(0o555)))
    folder.chmod(0o755)
    assert os.listdir(folder) == [FILE] and epochs_in(folder) == 2
