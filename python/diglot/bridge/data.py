"""Data: what is read from files, and what comes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import diglot
from diglot.bridge import plain, received
from diglot.bridge.answers import answered

_NUMBERS = ("x", "y", "radius")  # of the record of a drawing


@answered
def read_images(
    folder: str,
    cache: str | None = None,
    cache_size: Any = None,
    progress: Any = False,
    extensions: Sequence[str] = (),
    recursive: bool = True,
) -> dict[str, Any]:
    """Return the files below a folder, with the folders' names as labels."""
    size = received.built(cache_size) if isinstance(cache_size, Mapping) else cache_size
    found = diglot.read_images(
        folder,
        extensions=list(extensions) or None,
        recursive=bool(recursive),
        cache=cache,
        cache_size=received.whole(size),
        verbose=received.listener(progress),
    )
    return plain.table(found)


@answered
def read_idx(images: str, labels: str | None = None) -> dict[str, Any]:
    """Return MNIST's files as a table."""
    return plain.table(diglot.read_idx(images, labels))


@answered
def example_images(name: str) -> dict[str, Any]:
    """Return a set of images that comes along with a library."""
    return plain.table(diglot.example_images(name))


@answered
def read_captions(
    file: str, images: str | None = None, split: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return a file of captions as a table."""
    return plain.table(diglot.read_captions(file, images, split=split))


@answered
def shapes(n: Any, seed: Any, size: Any, split: str, captions: Any) -> dict[str, Any]:
    """Return drawn images in one pile, their captions, and the record of the drawing.

    Returns
    -------
    dict
        ``image``; ``captions``, as `plain.lists` gives them; ``objects``, all of them in one
        table, and ``counts``, how many each image has.
    """
    import pandas as pd

    n, seed, size, captions = map(received.whole, (n, seed, size, captions))
    data = diglot.shapes(n, seed, size=size, split=split, captions=captions)
    images = np.array(list(data["image"]), np.uint8).reshape(n, size, size, 3)
    objects = plain.lists(data["objects"])
    record = pd.DataFrame(objects["values"], columns=["shape", "colour", "size", *_NUMBERS])
    return {
        "image": plain.pile(images),
        "captions": plain.lists(data["captions"]),
        "objects": plain.table(record.astype(dict.fromkeys(_NUMBERS, int))),
        "counts": objects["lengths"],
    }


@answered
def check_shapes(
    captions: Sequence[str], objects: Mapping[str, Any], counts: Sequence[int]
) -> dict[str, Any]:
    """Compare captions with the records of drawings, which come in columns, as `shapes` gave them.

    Each image owns the next ``counts`` of them.
    """
    import pandas as pd

    records = pd.DataFrame(dict(objects)).to_dict("records")
    ends = np.cumsum([0, *counts]).tolist()
    each = [records[start:end] for start, end in pairwise(ends)]
    data = pd.DataFrame({"objects": pd.Series(each, dtype=object)})
    return plain.table(diglot.check_shapes(list(captions), data))
