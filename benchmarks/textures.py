"""Draws JPEG files of textures, in one folder a class, so that nothing need be downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw_textures(
    folder: Path, images: int, seed: int, *, size: tuple[int, int] = (224, 224), classes: int = 5
) -> None:
    """Draw files of (height, width) pixels.

    Each class has a frequency and a direction of its own; tint, phase and noise are any.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    for number in range(images):
        label = number % classes
        angle, waves = label * np.pi / classes + rng.normal(0, 0.1), 6 + 3 * label
        phase = rng.uniform(0, 2 * np.pi)
        turned = (np.cos(angle) * rows + np.sin(angle) * columns) / min(size)
        wave = np.sin(2 * np.pi * waves * turned + phase)
        tint = rng.uniform(0.3, 0.7, 3)
        noise = rng.normal(0, 0.08, (height, width, 3))
        pixels = np.clip(tint + 0.35 * wave[:, :, None] + noise, 0, 1)
        path = folder / "abcdefgh"[label] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * pixels).astype(np.uint8)).save(path, quality=90)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return files and their classes."""
    paths = sorted(folder.glob("*/*.jpg"))
    return [str(p) for p in paths], [p.parent.name for p in paths]
