"""From JPEG files on disk to answers: diglot beside PyTorch, with the same weights, on the CPU.

Run it by ``.venv/bin/python benchmarks/scoring.py [resnet50 resnet18 mobilenet_v2] [--images 1000]
[--rounds 3] [--only NAME ...]``. Networks and files are made once and kept in build/bench/: each
network is trained here, on drawn textures of 500 x 375 pixels in 8 classes, and its weights go into
PyTorch as well. Before anything is timed, the logits of both are compared, and PyTorch chooses the
batch size of 8, 16 and 32 that it is quickest with. PyTorch decodes by Pillow in a DataLoader with
2 workers beside its computing threads. Times are of a process that is warm: the network is there
and has answered once.

The first table is from files to answers; the second of images that are in memory, already
prepared; the third tells where diglot's time goes.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import (
    CACHE,
    Candidate,
    Runs,
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

NETWORKS = ("resnet50", "resnet18", "mobilenet_v2")
CLASSES, SIDE, SIZE = 8, 224, (375, 500)
BATCHES = (8, 16, 32)
IN_MEMORY = 96  # images of the second table
MOST_APART = 1e-3  # of logits, in float32


# ---- files and networks, made once


def files(part: str, images: int, seed: int) -> Path:
    folder = CACHE / f"textures-{part}-{images}"
    if not (folder / "whole").exists():
        draw_textures(folder, images, seed, size=SIZE, classes=CLASSES)
        (folder / "whole").touch()
    return folder


def train(name: str) -> dict[str, Any]:
    """Train a network, and keep it as diglot's file, and its weights by PyTorch's names.

    A deep network learns the textures in minutes by many small crops first.
    """
    import safetensors.numpy
    from torch_networks import weights_for_torch

    from diglot import ImageClassifier

    paths, labels = listed(files("train", 800, seed=1))
    settings = {"optimizer": "adam", "seed": 1, "verbose": False}
    few = ImageClassifier(name, epochs=4, batch_size=32, learning_rate=1e-3, **settings)
    few.set_params(precision="float32").fit(*crops(paths, labels, side=64, each=2))
    model = ImageClassifier(few.network_, size=SIDE, resize="crop", **settings)
    model.set_params(epochs=4, batch_size=16, learning_rate=1e-3, precision="int8")
    chosen = np.random.default_rng(1).permutation(len(paths))[:640]
    model.fit([paths[i] for i in chosen], [labels[i] for i in chosen])
    weights = weights_for_torch(model.network_, name)
    safetensors.numpy.save_file(weights, CACHE / f"{name}.torch.safetensors")
    spec = model.network_.input
    given = {"mean": spec.mean, "std": spec.std, "shorter": int(SIDE / spec.crop_fraction)}
    (CACHE / f"{name}.json").write_text(json.dumps(given), encoding="utf-8")
    model.save(CACHE / f"{name}.safetensors")  # last: who finds it finds all
    return {}


def crops(
    paths: list[str], labels: list[str], side: int, each: int
) -> tuple[np.ndarray, list[str]]:
    """Cut squares out of images that have the size from which networks take their centre."""
    rng, found = np.random.default_rng(1), []
    for path in paths:
        image = Image.open(path).resize((341, 256), Image.Resampling.BILINEAR)
        for _ in range(each):
            left, top = (int(rng.integers(size - side)) for size in image.size)
            found.append(np.asarray(image.crop((left, top, left + side, top + side))))
    return np.stack(found), [label for label in labels for _ in range(each)]


def some_images(count: int) -> np.ndarray:
    """Return noise as a network takes it: (count, height, width, 3), float32."""
    return np.random.default_rng(3).normal(0, 1, (count, SIDE, SIDE, 3)).astype(np.float32)


# ---- what each does


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Give a function that returns the most MiB that were resident, workers' own ones with them."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    workers, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            workers.append(sum(map(_own_memory, _children())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: _field(Path("/proc/self/status"), "VmHWM:") + max(workers)
    finally:
        done.set()
        watcher.join()


def _children() -> list[str]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue  # it has just ended
    return found


def _own_memory(process: str) -> float:
    """Return the MiB of a process that it shares with no other."""
    try:
        return _field(Path("/proc", process, "smaps_rollup"), "Private_Dirty:")
    except OSError:
        return 0.0


def _field(file: Path, name: str) -> float:
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def quickest(forward: Callable[[int], Any], images: int) -> float:
    """Return images a second, the better of two runs after one that warms up."""
    forward(images)
    return images / min(timed(lambda: forward(images))[1] for _ in range(2))


def run_diglot(
    network: str, precision: str, folder: str = "", check: int = 0, engine: str = "mxnet"
) -> dict[str, Any]:
    """Answer by `predict_files` and by `predict_proba`; or return logits, to compare them."""
    import diglot
    from diglot.engine import mxnet, torch

    model = diglot.load(CACHE / f"{network}.safetensors")
    model.set_params(precision=precision, verbose=False, device="cpu", engine=engine)
    named, door = {"mxnet": ("MXNet", mxnet), "torch": ("PyTorch", torch)}[engine]
    about = {"version": f"{named} {door.version()}", "threads": None}
    if check:
        return {"logits": model._scorer().forward({"data": some_images(check)}).tolist()}
    paths, labels = listed(Path(folder))
    model.predict_proba(paths[: max(BATCHES)])
    with peak_memory() as peak:
        found, by_files = timed(lambda: diglot.predict_files(model, folder))
        memory = peak()
    proba, by_proba = timed(lambda: model.predict_proba(paths))
    scorer = model._scorer()
    batch = some_images(16)

    def forward(images: int) -> None:
        for _ in range(images // len(batch)):
            scorer.forward({"data": batch})

    answers = found.table["predicted"].astype(str).tolist()
    assert answers == model.classes_[proba.argmax(axis=1)].tolist()
    return {
        **about,
        "threads": door.threads(),
        "rate": len(paths) / by_files,
        "proba_rate": len(paths) / by_proba,
        "engine_rate": quickest(forward, IN_MEMORY),
        "memory": memory,
        "classes": answers,
        "accuracy": float(np.mean(np.array(answers) == labels)),
    }


def run_pytorch(
    network: str,
    how: str,
    folder: str = "",
    check: int = 0,
    batch: int = 16,
) -> dict[str, Any]:
    """Answer by the usual loop; or return logits and the rates by batch size, to choose one."""
    import safetensors.torch
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torch_networks import torch_network

    spec = json.loads((CACHE / f"{network}.json").read_text(encoding="utf-8"))
    mean, std = (np.array(spec[k], np.float32) for k in ("mean", "std"))
    paths, labels = listed(Path(folder)) if folder else ([], [])
    classes = sorted(set(labels))

    class Files(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int) -> torch.Tensor:
            image = Image.open(paths[i]).convert("RGB")
            ratio = spec["shorter"] / min(image.size)
            size = [int(ratio * side) for side in image.size]
            image = image.resize(size, Image.Resampling.BILINEAR)
            left, top = (round((side - SIDE) / 2) for side in size)
            image = image.crop((left, top, left + SIDE, top + SIDE))
            pixels = (np.asarray(image, np.float32) / 255 - mean) / std
            return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    if how == "frozen":
        torch._inductor.config.freezing = True
    layout = torch.channels_last if how == "channels_last" else torch.contiguous_format
    net = torch_network(network, CLASSES)
    state = safetensors.torch.load_file(CACHE / f"{network}.torch.safetensors")
    net.load_state_dict(state, strict=False)  # but for the counts of batches, which say nothing
    net = net.eval().to(memory_format=layout)
    run = torch.compile(net) if how in ("compile", "frozen") else net

    def forward(x: torch.Tensor, batch: int) -> torch.Tensor:
        """Answer for a batch that may be the last: one of another size would compile anew."""
        missing = batch - len(x) if run is not net else 0
        x = torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x
        x = x.contiguous(memory_format=layout)
        return run(x)[: batch - missing]

    def in_memory(batch: int) -> float:
        x = torch.from_numpy(some_images(batch).transpose(0, 3, 1, 2).copy())
        return quickest(lambda n: [forward(x, batch) for _ in range(n // batch)], IN_MEMORY)

    def answer() -> list[str]:
        loader = DataLoader(Files(), batch, num_workers=2)
        found = torch.cat([torch.softmax(forward(x, batch), 1) for x in loader])
        return [classes[i] for i in found.argmax(1).tolist()]

    with torch.inference_mode():
        if check:
            x = torch.from_numpy(some_images(check).transpose(0, 3, 1, 2).copy())
            rates = {size: in_memory(size) for size in BATCHES}
            return {"logits": forward(x, check).tolist(), "rates": rates}
        engine_rate = in_memory(batch)  # warms up, too
        with peak_memory() as peak:
            answers, seconds = timed(answer)
            memory = peak()
    return {
        "version": f"PyTorch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "rate": len(paths) / seconds,
        "engine_rate": engine_rate,
        "memory": memory,
        "classes": answers,
        "accuracy": float(np.mean(np.array(answers) == labels)),
    }


def run_memory(network: str, folder: str, images: int) -> dict[str, Any]:
    """Score many files, the same ones again and again, and tell what that takes at most."""
    import tempfile

    import diglot

    model = diglot.load(CACHE / f"{network}.safetensors")
    model.set_params(precision="int8", verbose=False, device="cpu")
    paths = listed(Path(folder))[0]
    many = [paths[i % len(paths)] for i in range(images)]
    with tempfile.TemporaryDirectory() as place, peak_memory() as peak:
        diglot.predict_files(model, paths, output=Path(place, "few.csv"))
        few = peak()
        _, seconds = timed(lambda: diglot.predict_files(model, many, output=Path(place, "a.csv")))
        return {"few": few, "many": peak(), "seconds": seconds}


def run_profile(network: str, folder: str) -> dict[str, Any]:
    """Return milliseconds an image of each part of diglot's work by itself."""
    import diglot
    from diglot.engine.layout import to_engine_layout
    from diglot.images import PreparedImages, as_images, batches
    from diglot.images.decode import decode
    from diglot.images.prepare import prepare

    paths = listed(Path(folder))[0][:256]
    model = diglot.load(CACHE / f"{network}.safetensors").set_params(verbose=False)
    spec = model.network_.input

    def each(work: Callable[[], Any]) -> float:
        return min(timed(work)[1] for _ in range(3)) * 1000 / len(paths)

    sample = [decode(path) for path in paths[:16]]
    parts = {
        "decode, 1 thread": each(lambda: [decode(path) for path in paths]),
        "crop and resize, 1 thread": each(
            lambda: [prepare(sample[i % 16], spec, "image") for i in range(len(paths))]
        ),
    }
    edges = [*range(0, len(paths), 16), len(paths)]
    rows = [np.arange(a, b) for a, b in pairwise(edges)]

    def fed() -> None:
        with PreparedImages(as_images(paths), spec, cache=False) as ready:
            for _ in batches(ready, rows):
                pass

    parts["files to prepared batches, all threads"] = each(fed)
    batch = some_images(16)
    parts["transpose for the engine, 1 thread"] = each(
        lambda: [to_engine_layout(batch) for _ in rows]
    )
    for precision in ("float32", "int8"):
        scorer = model.set_params(precision=precision)._scorer()
        scorer.forward({"data": batch})
        parts[f"copy in and compute, {precision}, all threads"] = each(
            lambda s=scorer: [s.forward({"data": batch}) for _ in rows]
        )
        model.predict_proba(paths[:32])
        parts[f"files to answers, {precision}"] = each(lambda: model.predict_proba(paths))
    return {"parts": parts}


def run_diglot_int8(**arguments: Any) -> dict[str, Any]:
    return run_diglot(precision="int8", **arguments)


def run_diglot_float32(**arguments: Any) -> dict[str, Any]:
    return run_diglot(precision="float32", **arguments)


def run_diglot_on_pytorch(**arguments: Any) -> dict[str, Any]:
    return run_diglot(precision="float32", engine="torch", **arguments)


def pytorch(how: str) -> Callable[..., dict[str, Any]]:
    return lambda **arguments: run_pytorch(how=how, **arguments)


INT8, FLOAT32 = "diglot, int8", "diglot, float32"
ON_PYTORCH = "diglot on PyTorch, float32"
EAGER, COMPILED = "PyTorch eager", "torch.compile"
CANDIDATES = [
    Candidate(INT8, run_diglot_int8, ("mxnet",)),
    Candidate(FLOAT32, run_diglot_float32, ("mxnet",)),
    Candidate(ON_PYTORCH, run_diglot_on_pytorch, ("torch",)),
    Candidate(EAGER, pytorch("eager"), ("torch",)),
    Candidate(f"{EAGER}, channels last", pytorch("channels_last"), ("torch",)),
    Candidate(COMPILED, pytorch("compile"), ("torch",)),
    Candidate(f"{COMPILED}, frozen", pytorch("frozen"), ("torch",)),
]
PREPARING = Candidate("prepare", train, ("mxnet", "torch"))
PROFILE = Candidate("profile", run_profile, ("mxnet",))
MEMORY = Candidate("memory", run_memory, ("mxnet",))


# ---- what is told


def checked(candidates: list[Candidate], network: str) -> tuple[dict[str, Any], str]:
    """Compare logits; return the batch size that suits each best, and what was found."""
    found = {c.name: in_its_own_process(c, network=network, check=16) for c in candidates}
    logits = {n: np.array(answer["logits"]) for n, answer in found.items() if n != INT8}
    first = next((logits[n] for n in (FLOAT32, *logits) if n in logits), None)
    apart = max((float(np.abs(values - first).max()) for values in logits.values()), default=0.0)
    batches = {}
    for name, answer in found.items():
        if rates := answer.get("rates"):
            batches[name] = {"batch": int(max(rates, key=rates.get))}
    if apart > MOST_APART:
        raise SystemExit(f"{network}: float32 logits differ by {apart:.2g}; nothing was timed")
    return batches, f"float32 logits differ by at most {apart:.1g}"


def told(network: str, runs: Runs, batches: dict[str, Any]) -> str:
    images = len(next(iter(runs.values()))[0]["classes"])
    rates = {name: [r["rate"] for r in answers] for name, answers in runs.items()}
    engine = {name: [r["engine_rate"] for r in answers] for name, answers in runs.items()}

    def against(rates: dict[str, list[float]], name: str) -> list[str]:
        return [ratios(rates[name], rates[p]) if p in rates else "" for p in (EAGER, COMPILED)]

    header = (f"{network}, from files", "images/s", "/ eager", "/ compile", "accuracy")
    first = table(
        [*header, "peak MiB"],
        [
            [
                name,
                spread(rates[name], 1),
                *against(rates, name),
                f"{answers[0]['accuracy']:.1%}",
                f"{max(r['memory'] for r in answers):,.0f}",
            ]
            for name, answers in runs.items()
        ],
    )
    second = table(
        [f"{network}, in memory", "batch", *header[1:4]],
        [
            [name, batches.get(name, {"batch": 16})["batch"], spread(engine[name], 1)]
            + against(engine, name)
            for name in runs
        ],
    )
    lines = [first]
    for name in (INT8, FLOAT32, ON_PYTORCH):
        if name in runs:
            rate = spread([r["proba_rate"] for r in runs[name]], 1)
            lines.append(f"{name}, by predict_proba: {rate} images/s")
    if INT8 in runs and FLOAT32 in runs:
        same = np.mean(np.array(runs[INT8][0]["classes"]) == runs[FLOAT32][0]["classes"])
        lines.append(f"int8 and float32 agree on {same:.1%} of {images:,} classes")
    return "\n".join([*lines, "", second])


def memory_told(network: str, folder: str, images: int) -> str:
    """Score many files in one process, and tell what memory that takes beside a few."""
    found = in_its_own_process(MEMORY, network=network, folder=folder, images=images)
    few = len(listed(Path(folder))[0])
    rows = [
        [
            f"{network}, int8, predict_files() to CSV",
            f"peak MiB of {few:,}",
            f"of {images:,}",
            "images/s",
        ],
        [
            "diglot",
            f"{found['few']:,.0f}",
            f"{found['many']:,.0f}",
            f"{images / found['seconds']:.1f}",
        ],
    ]
    return table(rows[0], rows[1:])


def train_once(network: str) -> None:
    """Train a network, unless an earlier run did."""
    if (CACHE / f"{network}.safetensors").exists():
        return
    if PREPARING.missing:
        raise SystemExit(f"{network} cannot be trained here: {PREPARING.missing}")
    print(f"training {network}, once ...", file=sys.stderr, flush=True)
    in_its_own_process(PREPARING, name=network)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("networks", nargs="*", default=NETWORKS)
    asked.add_argument("--images", type=int, default=1000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--only", nargs="*", help="candidates, by name")
    asked.add_argument("--no-profile", action="store_true")
    asked.add_argument("--memory", type=int, help="score so many files instead, by diglot alone")
    given = asked.parse_args()
    candidates, skipped = present(c for c in CANDIDATES if not given.only or c.name in given.only)
    folder = str(files("test", given.images, seed=2))
    print(
        f"{given.images:,} JPEG files of {SIZE[1]} x {SIZE[0]} pixels, networks at {SIDE} x {SIDE}"
    )
    print(f"{given.rounds} rounds, medians (lowest to highest)\n{machine()}")
    for number, network in enumerate(given.networks):
        train_once(network)
        if given.memory:
            print(f"\n{memory_told(network, folder, given.memory)}", flush=True)
            continue
        batches, logits = checked(candidates, network)
        own = {c.name: {"network": network, **batches.get(c.name, {})} for c in candidates}
        runs = alternate(candidates, given.rounds, own, folder=folder)
        if number == 0:
            print("\n".join([versions(runs), *skipped]))
        print(f"\n{told(network, runs, batches)}\n{logits}", flush=True)
        if not given.no_profile and not PROFILE.missing:
            parts = in_its_own_process(PROFILE, network=network, folder=folder)["parts"]
            rows = ([name, f"{value:.2f}"] for name, value in parts.items())
            print(f"\n{table([f'{network}, part of diglot', 'ms an image'], rows)}", flush=True)


if __name__ == "__main__":
    run_script(main, [*CANDIDATES, PREPARING, PROFILE, MEMORY])
