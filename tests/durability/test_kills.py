"""A fit that is killed, at whatever moment, resumes to the bytes that it would have ended in."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diglot import ImageClassifier, storage
from diglot.errors import ModelFileError
from diglot.training import Checkpoints
from killing import FILE, Fit
from soak import SOAK, rounds

IMAGES = np.random.default_rng(1).integers(0, 256, (24, 8, 8), np.uint8)
LABELS = np.arange(24) % 2


def side_by_side(jobs):
    """Do two things at a time, and let what fails fail."""
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(*job) for job in jobs]:
            future.result()


def killed(fits, tmp_path, kills):
    side_by_side([(f.undisturbed, tmp_path / "whole" / f.language / f.kind) for f in fits])
    assert [f.faults for f in fits] == [[]] * len(fits)
    jobs = [
        (f.kill_at_random, tmp_path / f.language / f.kind, kills, seed)
        for seed, f in enumerate(fits)
    ]
    side_by_side(jobs)
    told = {f"{f.kind} in {f.language}": (f.kills, f.faults) for f in fits}
    assert told == {name: (kills, []) for name in told}


def test_fits_from_python_that_are_killed_at_random_moments(tmp_path):
    kinds = ("classifier", "tuned", "captioner")
    killed([Fit("Python", kind) for kind in kinds], tmp_path, rounds(1, 22))


@pytest.mark.needs_r
def test_fits_from_r_that_are_killed_at_random_moments(tmp_path):
    kinds = ("classifier", "tuned", "captioner") if SOAK else ("classifier",)
    killed([Fit("R", kind) for kind in kinds], tmp_path, rounds(1, 7))


def test_fits_that_are_killed_while_a_checkpoint_is_written(tmp_path):
    """Half of a checkpoint, one that is not on the disk yet, one that has no name yet."""
    places = ("half", "written", "renamed")
    numbers = np.random.default_rng(7).integers(2, 90, (rounds(1, 6), len(places))).tolist()
    whole = Fit("Python", "classifier")
    whole.undisturbed(tmp_path / "whole")
    jobs, fits = [], []
    for row in numbers:
        for place, number in zip(places, row, strict=True):
            fits.append(Fit("Python", "classifier", whole.ending))
            jobs.append((fits[-1].kill_at, tmp_path / f"{place}{number}", place, number))
    side_by_side(jobs)
    assert [(f.kills, f.faults) for f in fits] == [(1, [])] * len(fits)


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
