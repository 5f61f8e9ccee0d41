"""JPEG files to prepared batches: diglot, also from packed files, beside Pillow and PyTorch.

Run it by ``.venv/bin/python benchmarks/input.py [--images 1000] [--rounds 5]``. The files are of
500 x 375 pixels, made once and kept in build/bench/. Every reader takes the centre at 224 x 224 of
an image whose shorter side was made 256, normalises it and gives batches of 16, float32; before
anything is timed, they are compared with Pillow's at full resolution. Files are in the system's
cache: what a slow disk costs comes on top, and is where one packed file saves most.

The second table is of fits that follow each other, as folds do, one epoch each, from files and from
a packed file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image
from side_by_side import (
    CACHE,
    Candidate,
    alternate,
    in_its_own_process,
    machine,
    present,
    ratios,
    run_script,
    spread,
    table,
    versions,
)
from textures import draw_textures, listed

SIDE, SHORTER, BATCH, SIZE, CLASSES = 224, 256, 16, (375, 500), 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMPARED = 64  # images
FITS, FIT_SIDE = 4, 64
MOST_APART = 0.02  # mean absolute difference of pixels from 0 to 1


def folder_of(images: int) -> Path:
    folder = CACHE / f"textures-test-{images}"
    if not (folder / "whole").exists():
        draw_textures(folder, images, seed=2, size=SIZE, classes=CLASSES)
        (folder / "whole").touch()
    return folder


# ---- readers: each yields batches (16, 224, 224, 3)


def spec() -> Any:
    from diglot.graph import InputSpec

    return InputSpec(SIDE, SIDE, 3, mean=MEAN, std=STD, resize="crop", crop_fraction=SIDE / SHORTER)


def by_diglot(folder: str, packed: str) -> Callable[[], Iterator[np.ndarray]]:
    import diglot
    from diglot.images import PreparedImages, as_images, batches

    stored = {"": None, "files": None, "pictures": spec()}[packed]
    cache = Path(folder).with_suffix(f".{packed}.rec") if packed else None
    options = {"cache": cache, "cache_size": stored} if packed else {}
    paths = sorted(diglot.read_images(folder, verbose=False, **options)["image"])

    def read() -> Iterator[np.ndarray]:
        edges = [*range(0, len(paths), BATCH), len(paths)]
        rows = [np.arange(a, b) for a, b in pairwise(edges)]
        with PreparedImages(as_images(paths), spec(), cache=False) as ready:
            for _, batch in batches(ready, rows):
                yield batch

    return read


def _by_pillow(path: str) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    ratio = SHORTER / min(image.size)
    size = [round(ratio * side) for side in image.size]
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - SIDE) / 2) for side in size)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    pixels = np.asarray(image, np.float32) / 255
    return (pixels - np.float32(MEAN)) / np.float32(STD)


def by_pillow(folder: str) -> Callable[[], Iterator[np.ndarray]]:
    paths = sorted(listed(Path(folder))[0])

    def read() -> Iterator[np.ndarray]:
        for start in range(0, len(paths), BATCH):
            yield np.stack([_by_pillow(p) for p in paths[start : start + BATCH]])

    return read


def by_loader(folder: str) -> Callable[[], Iterator[np.ndarray]]:
    import torch
    from torch.utils.data import DataLoader, Dataset

    paths = sorted(listed(Path(folder))[0])

    class Files(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int) -> torch.Tensor:
            return torch.from_numpy(_by_pillow(paths[i]).transpose(2, 0, 1).copy())

    def read() -> Iterator[np.ndarray]:
        for batch in DataLoader(Files(), BATCH, num_workers=2):
            yield batch.numpy().transpose(0, 2, 3, 1)

    return read


def reader(make: Callable[..., Any], version: str, **how: Any) -> Callable[..., dict[str, Any]]:
    def run(folder: str, compare: bool = False) -> dict[str, Any]:
        read = make(folder, **how)
        if compare:
            some, exact = (
                np.concatenate(list(islice(batches(), COMPARED // BATCH)))
                for batches in (read, by_pillow(folder))
            )
            return {"apart": float((np.abs(some - exact) * np.float32(STD)).mean())}
        list(islice(read(), 2))  # libraries are loaded, and threads there
        start, images = time.perf_counter(), 0
        for batch in read():
            images += len(batch)
        return {
            "rate": images / (time.perf_counter() - start),
            "version": version,
            "threads": 1 if make is by_pillow else 2,
        }

    return run


def fits(packed: bool) -> Callable[..., dict[str, Any]]:
    """Return what fits a small network again and again, as folds and settings to compare do."""

    def run(folder: str) -> dict[str, Any]:
        import diglot

        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            how = {"cache": Path(place, "a.rec"), "cache_size": FIT_SIDE} if packed else {}
            data = diglot.read_images(folder, verbose=False, **how)
            seconds, model = [time.perf_counter() - start], None
            for _ in range(FITS):
                model = diglot.ImageClassifier("lenet", size=FIT_SIDE, epochs=1, seed=1)
                model.set_params(verbose=False).fit(data["image"].tolist(), data["label"])
                seconds.append(time.perf_counter() - start)
        return {"seconds": seconds, "fingerprint": model.fingerprint()}

    return run


PILLOW = f"Pillow {PIL.__version__}"
DIGLOT = "diglot, files"
READERS = [
    Candidate(DIGLOT, reader(by_diglot, "diglot", packed="")),
    Candidate("diglot, files packed as they are", reader(by_diglot, "diglot", packed="files")),
    Candidate("diglot, pictures packed", reader(by_diglot, "diglot", packed="pictures")),
    Candidate("Pillow, a loop", reader(by_pillow, PILLOW)),
    Candidate(
        "PyTorch's loader, 2 workers",
        reader(by_loader, f"{PILLOW} in PyTorch's loader"),
        ("torch",),
    ),
]
FITTERS = [Candidate("fits from files", fits(False)), Candidate("fits, packed", fits(True))]


# ---- what is told


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--images", type=int, default=1000)
    asked.add_argument("--rounds", type=int, default=5)
    given = asked.parse_args()
    folder = str(folder_of(given.images))
    readers, skipped = present(READERS)
    apart = {c.name: in_its_own_process(c, folder=folder, compare=True)["apart"] for c in readers}
    if max(apart.values()) > MOST_APART:
        raise SystemExit(f"the pixels differ, nothing was timed: {apart}")
    print(f"{given.images:,} JPEG files of {SIZE[1]} x {SIZE[0]} pixels to {SIDE} x {SIDE}")
    print(f"{given.rounds} rounds, medians (lowest to highest)\n{machine()}")
    runs = alternate(readers, given.rounds, folder=folder)
    rates = {name: [r["rate"] for r in answers] for name, answers in runs.items()}
    rows = [
        [name, spread(rate), ratios(rates[DIGLOT], rate), f"{apart[name]:.4f}"]
        for name, rate in rates.items()
    ]
    header = ["reader", "images/s", "diglot, files / it", "from Pillow's pixels"]
    print("\n".join([versions(runs), *skipped, "", table(header, rows), ""]))
    fitted = alternate(FITTERS, given.rounds, folder=folder)
    if len({r["fingerprint"] for answers in fitted.values() for r in answers}) > 1:
        raise SystemExit("packed files gave another model")
    seconds = {name: np.array([r["seconds"] for r in rs]) for name, rs in fitted.items()}
    rows = [[name, *(spread(column, 1) for column in values.T)] for name, values in seconds.items()]
    header = ["seconds until", "read or packed", *(f"fit {n + 1}" for n in range(FITS))]
    print(table([f"LeNet at {FIT_SIDE} x {FIT_SIDE}, {header[0]}", *header[1:]], rows))
    print("all fits end in the same bytes")


if __name__ == "__main__":
    run_script(main, [*READERS, *FITTERS])
