"""Head-only fine-tuning of ResNet-18 from JPEG files: diglot beside the usual loop in PyTorch.

Run it by ``.venv/bin/python benchmarks/fine_tuning.py [images] [epochs] [rounds]``. It needs
PyTorch and transformers (for their ResNet-18); without them diglot's half runs alone. Both start
from the same weights, which the script pretrains a little (nothing is downloaded), and train the
last layer on the same JPEG files, which it draws. Each round runs both, one after the other,
each in a process of its own; the time is from the files to the fitted model. Accuracy is on
files that neither has seen.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

from diglot.engine.mxnet import physical_cores

SIDE, CLASSES, BATCH = 224, 5, 32
LIBRARIES = {"diglot": ("mxnet",), "PyTorch": ("torch", "transformers")}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_files(folder: Path, images: int, seed: int) -> None:
    """Draw textures: each class has a frequency, a direction and a tint of its own, and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(images):
        label = number % CLASSES
        angle, waves = label * np.pi / CLASSES + rng.normal(0, 0.1), 6 + 3 * label
        phase = rng.uniform(0, 2 * np.pi)
        turned = (np.cos(angle) * rows + np.sin(angle) * columns) / SIDE
        wave = np.sin(2 * np.pi * waves * turned + phase)
        tint = rng.uniform(0.3, 0.7, 3)
        noise = rng.normal(0, 0.08, (SIDE, SIDE, 3))
        pixels = np.clip(tint + 0.35 * wave[:, :, None] + noise, 0, 1)
        path = folder / f"{'abcdefgh'[label]}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * pixels).astype(np.uint8)).save(path, quality=90)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    paths = sorted(folder.glob("*/*.jpg"))
    return [str(p) for p in paths], [p.parent.name for p in paths]


def make_weights(file: Path) -> None:
    """Pretrain a little, on smaller textures of other tints, so that the features tell things."""
    import safetensors.numpy

    from diglot import ImageClassifier

    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place), 400, 3)
        model = ImageClassifier("resnet18", size=64, epochs=3, batch_size=32, seed=7, verbose=False)
        weights = model.fit(*listed(Path(place))).network_.weights
    safetensors.numpy.save_file({n: np.ascontiguousarray(w) for n, w in weights.items()}, file)


def run_diglot(folder: Path, epochs: int) -> dict[str, float]:
    from diglot import ImageClassifier, pretrained
    from diglot.engine import mxnet

    mxnet.load()
    files, labels = listed(folder / "train")
    began = time.perf_counter()
    net = pretrained("resnet18", weights=folder / "weights.safetensors")
    model = ImageClassifier(net, train="head", epochs=epochs, batch_size=BATCH, seed=1)
    model.set_params(learning_rate=0.01, weight_decay=0.0, schedule="constant", verbose=False)
    model.fit(files, labels)
    seconds = time.perf_counter() - began
    files, labels = listed(folder / "test")
    return {"seconds": seconds, "accuracy": float(model.score(files, labels))}


def run_pytorch(folder: Path, epochs: int) -> dict[str, float]:
    import safetensors.numpy
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from transformers import ResNetConfig, ResNetModel

    class Files(Dataset):
        def __init__(self, part: str) -> None:
            self.files, labels = listed(folder / part)
            self.labels = [ord(label) - ord("a") for label in labels]

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, i: int):
            pixels = np.asarray(Image.open(self.files[i]).convert("RGB"), np.float32) / 255
            pixels = (pixels - np.float32(MEAN)) / np.float32(STD)
            return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), self.labels[i]

    began = time.perf_counter()
    config = ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2] * 4, embedding_size=64
    )
    backbone = ResNetModel(config)
    stored = safetensors.numpy.load_file(folder / "weights.safetensors")
    state = backbone.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(stored[our_name(name)]))
    backbone.load_state_dict(state)
    backbone.eval().requires_grad_(False)  # frozen, its statistics too
    head = nn.Linear(512, CLASSES)
    optimiser = torch.optim.SGD(head.parameters(), 0.01, 0.9, nesterov=True)
    torch.manual_seed(1)
    # One worker that decodes beside the threads that compute: quicker here than none or two.
    loader = DataLoader(Files("train"), BATCH, shuffle=True, num_workers=1)
    for _ in range(epochs):
        for images, labels in loader:
            with torch.no_grad():
                features = backbone(images).pooler_output.flatten(1)
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(features), labels).backward()
            optimiser.step()
    seconds = time.perf_counter() - began
    hits = 0
    with torch.no_grad():
        for images, labels in DataLoader(Files("test"), BATCH):
            guesses = head(backbone(images).pooler_output.flatten(1)).argmax(1)
            hits += int((guesses == labels).sum())
    return {"seconds": seconds, "accuracy": hits / len(Files("test"))}


def our_name(theirs: str) -> str:
    """Turn a name of transformers' ResNetModel into ours."""
    parts = theirs.split(".")
    ending = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
    ending["running_var"] = "moving_var"
    last = parts[-1] if parts[-2] == "convolution" else ending[parts[-1]]
    if parts[0] == "embedder":
        return f"{'conv1' if parts[-2] == 'convolution' else 'bn1'}_{last}"
    layer = f"layer{int(parts[2]) + 1}_{parts[4]}"
    if parts[5] == "shortcut":
        return f"{layer}_downsample_{0 if parts[-2] == 'convolution' else 1}_{last}"
    kind = "conv" if parts[-2] == "convolution" else "bn"
    return f"{layer}_{kind}{int(parts[6]) + 1}_{last}"


def in_its_own_process(name: str, folder: Path, epochs: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", name, str(folder), str(epochs)]
    environment = {"OMP_NUM_THREADS": str(physical_cores()), **os.environ}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(answer.stdout.splitlines()[-1])


def main(images: int = 1000, epochs: int = 5, rounds: int = 3) -> None:
    names = [n for n, m in LIBRARIES.items() if all(map(importlib.util.find_spec, m))]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_files(folder / "train", images, 1)
        make_files(folder / "test", 200, 2)
        make_weights(folder / "weights.safetensors")
        for number in range(rounds):
            for name in names if number % 2 == 0 else names[::-1]:
                found[name].append(in_its_own_process(name, folder, epochs))
    print(f"ResNet-18, head only, {images} JPEG files of {SIDE} x {SIDE}, {epochs} epochs")
    print(f"{os.cpu_count()} cores, {date.today()}, median of {rounds} rounds (lowest, highest)\n")
    print(f"{'':10}{'seconds':>10}{'range':>18}{'accuracy':>10}")
    for name in names:
        seconds = [run["seconds"] for run in found[name]]
        told = f"{min(seconds):.1f} to {max(seconds):.1f}"
        accuracy = np.mean([run["accuracy"] for run in found[name]])
        print(f"{name:10}{np.median(seconds):>10.1f}{told:>18}{accuracy:>10.1%}")
    if len(names) == 2:
        pairs = zip(found["PyTorch"], found["diglot"], strict=True)
        ratios = [slow["seconds"] / quick["seconds"] for slow, quick in pairs]
        print(f"\nPyTorch's time / diglot's: {np.median(ratios):.1f}, median of the rounds' ratios")
    for name in set(LIBRARIES) - set(names):
        print(f"\n{name} skipped: {' and '.join(LIBRARIES[name])} must be installed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run = {"diglot": run_diglot, "PyTorch": run_pytorch}[sys.argv[2]]
        print(json.dumps(run(Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(*map(int, sys.argv[1:4]))
