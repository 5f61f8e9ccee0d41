"""Head-only fine-tuning of ResNet-18 from JPEG files: diglot beside the usual loop in PyTorch.

Run it by ``.venv/bin/python benchmarks/fine_tuning.py [images] [epochs] [rounds]``. It needs
PyTorch and transformers (for their ResNet-18); without them diglot's half runs alone. Both start
from the same weights, which the script pretrains a little (nothing is downloaded), and train the
last layer on the same JPEG files, which it draws. Each round runs both, one after the other,
each in a process of its own; the time is from the files to the fitted model. Accuracy is on
files that neither has seen.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import (
    Candidate,
    alternate,
    machine,
    present,
    ratios,
    run_script,
    spread,
    table,
    versions,
)
from textures import draw_textures, listed

CLASSES, BATCH = 5, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_weights(file: Path) -> None:
    """Pretrain a little, on smaller textures of other tints, so that the features tell things."""
    import safetensors.numpy

    from diglot import ImageClassifier

    with tempfile.TemporaryDirectory() as place:
        draw_textures(Path(place), 400, 3)
        model = ImageClassifier("resnet18", size=64, epochs=3, batch_size=32, seed=7, verbose=False)
        weights = model.fit(*listed(Path(place))).network_.weights
    safetensors.numpy.save_file({n: np.ascontiguousarray(w) for n, w in weights.items()}, file)


def run_diglot(folder: str, epochs: int) -> dict[str, object]:
    from diglot import ImageClassifier, pretrained
    from diglot.engine import mxnet

    mxnet.load()
    folder = Path(folder)
    files, labels = listed(folder / "train")
    began = time.perf_counter()
    net = pretrained("resnet18", weights=folder / "weights.safetensors")
    model = ImageClassifier(net, train="head", epochs=epochs, batch_size=BATCH, seed=1)
    model.set_params(learning_rate=0.01, weight_decay=0.0, schedule="constant", verbose=False)
    model.fit(files, labels)
    seconds = time.perf_counter() - began
    files, labels = listed(folder / "test")
    return {
        "version": f"MXNet {mxnet.version()}",
        "threads": mxnet.threads(),
        "seconds": seconds,
        "accuracy": float(model.score(files, labels)),
    }


def run_pytorch(folder: str, epochs: int) -> dict[str, object]:
    import safetensors.numpy
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from transformers import ResNetConfig, ResNetModel

    folder = Path(folder)

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
    return {
        "version": f"PyTorch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "accuracy": hits / len(Files("test")),
    }


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


CANDIDATES = [
    Candidate("diglot", run_diglot, ("mxnet",)),
    Candidate("PyTorch", run_pytorch, ("torch", "transformers")),
]


def main(images: int = 1000, epochs: int = 5, rounds: int = 3) -> None:
    candidates, skipped = present(CANDIDATES)
    with tempfile.TemporaryDirectory() as folder:
        draw_textures(Path(folder, "train"), images, 1)
        draw_textures(Path(folder, "test"), 200, 2)
        make_weights(Path(folder, "weights.safetensors"))
        runs = alternate(candidates, rounds, folder=folder, epochs=epochs)
    seconds = {name: [run["seconds"] for run in answers] for name, answers in runs.items()}
    accuracy = {name: np.mean([run["accuracy"] for run in a]) for name, a in runs.items()}
    print(f"ResNet-18, head only, {images} JPEG files of 224 x 224, {epochs} epochs")
    print(f"{rounds} rounds, medians (lowest to highest)\n{machine()}\n{versions(runs)}\n")
    rows = [
        [name, spread(taken, 1), ratios(taken, seconds["diglot"], 1), f"{accuracy[name]:.1%}"]
        for name, taken in seconds.items()
    ]
    print(table(["", "seconds", "/ diglot's", "accuracy"], rows))
    print("\n".join(skipped))


if __name__ == "__main__":
    run_script(lambda: main(*map(int, sys.argv[1:4])), CANDIDATES)
