"""Data: what is read from files, and what comes along."""

from __future__ import annotations

from typing import Any

import diglot
from diglot.bridge import plain
from diglot.bridge.answers import answered


@answered
def read_images(folder: str) -> dict[str, Any]:
    """Return the files below a folder, with the folders' names as labels."""
    return plain.table(diglot.read_images(folder))


@answered
def read_idx(images: str, labels: str | None = None) -> dict[str, Any]:
    """Return MNIST's files as a table."""
    return plain.table(diglot.read_idx(images, labels))


@answered
def example_images(name: str) -> dict[str, Any]:
    """Return a set of images that comes along with a library."""
    return plain.table(diglot.example_images(name))
