"""LeNet training: images a second of diglot and of the same loop in PyTorch, on the CPU.

Run it by ``.venv/bin/python benchmarks/lenet.py [images] [epochs] [rounds]``. Each round trains
with both, one after the other, each in a process of its own, so that both meet the same load of
the machine; compare the ratio. A library that is not installed is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from diglot.engine.mxnet import physical_cores

BATCH = 64
MODULES = {"diglot": "mxnet", "PyTorch": "torch"}


def data(images: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((images, 28, 28, 1), np.float32), np.arange(images) % 10


def run_diglot(images: int, epochs: int) -> dict[str, object]:
    from diglot import ImageClassifier
    from diglot.engine import mxnet as engine

    x, y = data(images)
    model = ImageClassifier("lenet", epochs=epochs, batch_size=BATCH, seed=1, device="cpu")
    model.set_params(verbose=False).fit(x, y)
    rates = model.history_["images_per_second"].tolist()
    return {"version": f"MXNet {engine.version()}", "threads": engine.threads(), "rates": rates}


def run_pytorch(images: int, epochs: int) -> dict[str, object]:
    import torch
    from torch import nn

    x, y = data(images)
    x, y = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
    torch.manual_seed(1)
    x = (x - x.mean()) / x.std()
    net = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.Tanh(), nn.Linear(500, 10)),
    )
    optimiser = torch.optim.SGD(net.parameters(), 0.02, 0.9, weight_decay=1e-4, nesterov=True)
    steps = -(-images // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    rates = []
    for _ in range(epochs):
        began = time.perf_counter()
        losses, hits = torch.zeros(()), torch.zeros(())
        for rows in torch.randperm(images).split(BATCH):
            optimiser.zero_grad()
            scores, labels = net(x[rows]), y[rows]
            loss = nn.functional.cross_entropy(scores, labels)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses += loss.detach() * len(rows)  # diglot's history has both sums, too
            hits += (scores.detach().argmax(1) == labels).sum()
        losses.item(), hits.item()
        rates.append(images / (time.perf_counter() - began))
    return {"version": torch.__version__, "threads": torch.get_num_threads(), "rates": rates}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def in_its_own_process(name: str, images: int, epochs: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--one", name, str(images), str(epochs)]
    # Both get as many threads as diglot would take by itself.
    environment = {"OMP_NUM_THREADS": str(physical_cores()), **os.environ}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(answer.stdout.splitlines()[-1])


def main(images: int = 6400, epochs: int = 4, rounds: int = 5) -> None:
    names = [name for name, module in MODULES.items() if importlib.util.find_spec(module)]
    found: dict[str, dict[str, object]] = {}
    medians: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            found[name] = in_its_own_process(name, images, epochs)
            # The first epoch also warms up.
            medians[name].append(float(np.median(found[name]["rates"][1:])))

    print(f"LeNet 20-50-500-10, tanh, batches of {BATCH}, {images} images of 28 x 28 x 1")
    print(f"{processor()}, {os.cpu_count()} cores, {date.today()}, Python {sys.version.split()[0]}")
    print(f"{rounds} rounds of {epochs} epochs, median over rounds (lowest to highest)\n")
    print(f"{'':10}{'version':18}{'threads':>8}{'images/s':>10}  range")
    for name in names:
        rates, about = medians[name], found[name]
        print(
            f"{name:10}{about['version']:18}{about['threads']:>8}{np.median(rates):>10.0f}"
            f"  {min(rates):.0f} to {max(rates):.0f}"
        )
    if len(names) == 2:
        ratios = np.array(medians[names[0]]) / np.array(medians[names[1]])
        print(f"\n{names[0]} / {names[1]}: {np.median(ratios):.2f}, median of the rounds' ratios")
    for name in set(MODULES) - set(names):
        print(f"\n{name} skipped: {MODULES[name]} is not installed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run = {"diglot": run_diglot, "PyTorch": run_pytorch}[sys.argv[2]]
        print(json.dumps(run(*map(int, sys.argv[3:5]))))
    else:
        main(*map(int, sys.argv[1:4]))
