"""Drawings of coloured shapes with captions whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from diglot.datasets.shape_captions import WORDINGS, write_captions
from diglot.errors import InputError, OutOfMemoryError
from diglot.seeds import check_seed, stream

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {
    "red": (215, 35, 35),
    "green": (35, 160, 50),
    "blue": (40, 70, 215),
    "yellow": (245, 225, 40),
    "purple": (150, 45, 175),
    "orange": (245, 135, 20),
}
"""8-bit red, green and blue, before the jitter."""

SHAPES = ("circle", "square", "triangle", "cross")

UNSEEN = (
    ("red", "triangle"),
    ("green", "cross"),
    ("blue", "circle"),
    ("yellow", "square"),
    ("purple", "triangle"),
)
"""Combinations that only the split "unseen" draws."""

MOST_OBJECTS = 3
"""In an image."""

_SEEN = tuple((c, s) for c in COLOURS for s in SHAPES if (c, s) not in UNSEEN)
_SPLITS = ("train", "test", "unseen")
_SMALLEST = 32  # below, a small circle and a small square look the same
_LARGEST = 4096
_RADII = {"small": (5, 6), "large": (10, 12)}  # the least and the greatest, at 64 pixels
_DARK, _LIGHT = (25, 70), (190, 235)  # greys of the background; every colour stands out from them
_JITTER = 12  # of each channel of a colour, either way
_CLEAR = 2.0  # how many times farther two objects lie apart along one axis than along the other
_TRIES = 64  # layouts that are drawn at a time


def shapes(
    n: int,
    seed: int | None = None,
    *,
    size: int = 64,
    split: str = "train",
    captions: int = WORDINGS,
) -> pd.DataFrame:
    """Draw images of one to three coloured shapes, with captions and the record of the drawing.

    Each object is a small or large circle, square, triangle or cross in red, green, blue, yellow,
    purple or orange on grey. Objects do not overlap, no two objects of an image agree in colour
    and shape, and how neighbours lie to each other is clear: left of, right of, above or below.

    Parameters
    ----------
    n : int
        Number of images, 0 or more.
    seed : int, optional
        The same seed gives the same images and captions, in R too; row i is the same whatever
        `n` is.
    size : int
        Height and width in pixels, 32 to 4,096.
    split : {"train", "test", "unseen"}
        "train" and "test" draw from the same 19 combinations of colour and shape, but not the
        same images. In "unseen" each image has one object of a combination that they never show:
        red triangle, green cross, blue circle, yellow square or purple triangle.
    captions : int
        How many captions an image gets, 1 to 5, each in another of five wordings that are the
        same for all images with as many objects. Ask for all five to compare what a model says
        with everything that could be said.

    Returns
    -------
    pandas.DataFrame
        `image`, uint8 arrays (size, size, 3); `captions`, lists of str; `objects`, lists of dict
        with `shape`, `colour`, `size` ("small" or "large"), the centre `x`, `y` in pixels from
        the top left corner and `radius`, half of the width less half a pixel. Objects come from
        top left to bottom right, by x + y.

    Raises
    ------
    InputError
        If an argument does not fit.
    OutOfMemoryError
        If so many images do not fit into memory.

    See Also
    --------
    check_shapes : compares captions with the record.

    Examples
    --------
    >>> data = shapes(3, seed=5)
    >>> data["image"][0].shape, len(data["captions"][0])
    ((64, 64, 3), 5)
    """
    n = _whole(n, "n", 0, 2**31 - 1)
    seed = check_seed(seed)
    size = _whole(size, "size", _SMALLEST, _LARGEST)
    captions = _whole(captions, "captions", 1, WORDINGS)
    if not isinstance(split, str) or split not in _SPLITS:
        raise InputError(f"split must be 'train', 'test' or 'unseen', not {split!r}.")
    pixels = _room(n, size)
    texts, records = [], []
    for row in range(n):
        draw = stream(seed, f"shapes {split}", row)
        objects, colours, background = _scene(draw, size, split)
        _paint(pixels[row], objects, colours, background)
        order = draw.permutation(WORDINGS)
        texts.append(write_captions(objects, order[:captions]))
        records.append(objects)
    return _frame(pixels, texts, records)


def _room(n: int, size: int) -> np.ndarray:
    try:
        return np.empty((n, size, size, 3), np.uint8)
    except (MemoryError, ValueError):  # ValueError: more bytes than there are addresses
        raise OutOfMemoryError(
            f"{n:,} images of {size} x {size} pixels do not fit into memory; ask for fewer, or "
            "smaller ones."
        ) from None


def _frame(pixels: np.ndarray, texts: list[Any], records: list[Any]) -> pd.DataFrame:
    import pandas as pd

    columns = {"image": list(pixels), "captions": texts, "objects": records}
    return pd.DataFrame({name: pd.Series(rows, dtype=object) for name, rows in columns.items()})


def _whole(value: Any, name: str, least: int, most: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if isinstance(value, float) and value.is_integer():
        whole = True
    if not whole or not least <= value <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}.")
    return int(value)


# ---- what is in an image


def _scene(
    draw: np.random.Generator, size: int, split: str
) -> tuple[list[dict[str, Any]], np.ndarray, int]:
    """Choose objects, their colours' exact shades, and the grey of the background."""
    count = int(draw.integers(1, MOST_OBJECTS + 1))
    kinds = _combinations(draw, count, split)
    sizes = [("small", "large")[i] for i in draw.integers(0, 2, count).tolist()]
    within = draw.random(count)
    radii = np.array([_radius(*one, size) for one in zip(sizes, within, strict=True)])
    centres, order = _layout(draw, radii, size)
    objects = [
        {
            "shape": kinds[i][1],
            "colour": kinds[i][0],
            "size": sizes[i],
            "x": x,
            "y": y,
            "radius": int(radii[i]),
        }
        for i, (x, y) in zip(order, centres, strict=True)
    ]
    jitter = draw.integers(-_JITTER, _JITTER + 1, (count, 3))
    colours = np.array([COLOURS[one["colour"]] for one in objects]) + jitter
    least, most = _LIGHT if draw.random() < 0.5 else _DARK
    return objects, np.clip(colours, 0, 255), int(draw.integers(least, most + 1))


def _combinations(draw: np.random.Generator, count: int, split: str) -> list[tuple[str, str]]:
    """Choose different combinations of colour and shape; in "unseen", the first is held out."""
    places = draw.permutation(len(_SEEN))[:count].tolist()
    chosen = [_SEEN[place] for place in places]
    if split == "unseen":
        chosen[0] = UNSEEN[int(draw.integers(len(UNSEEN)))]
    return chosen


def _radius(name: str, u: float, size: int) -> int:
    least, most = (-(-radius * size // 64) for radius in _RADII[name])
    return least + int(u * (most - least + 1))


def _layout(
    draw: np.random.Generator, radii: np.ndarray, size: int
) -> tuple[list[list[int]], list[int]]:
    """Return centres (x, y) from top left to bottom right, and which object has each of them.

    Layouts are drawn until one is clear: along one axis neighbours in that order lie wholly
    beside each other, and there much farther apart than along the other axis.
    """
    count = len(radii)
    low = radii[:, None] + 1
    gap = -(-size // 32)
    while True:
        free = draw.random((_TRIES if count > 1 else 1, count, 2))
        centres = low + (free * (size - 2 * low)).astype(np.int64)
        if count == 1:
            return centres[0].tolist(), [0]
        order = centres.sum(2).argsort(1, kind="stable")
        centres = np.take_along_axis(centres, order[:, :, None], 1)
        needed = radii[order]
        apart = np.abs(np.diff(centres, axis=1))
        far, near = apart.max(2), apart.min(2)
        beside = far > needed[:, :-1] + needed[:, 1:] + gap
        good = (beside & (far >= _CLEAR * near)).all(1)
        if count == MOST_OBJECTS:
            ends = np.abs(centres[:, 2] - centres[:, 0]).max(1)
            good &= ends > needed[:, 2] + needed[:, 0] + gap
        found = int(good.argmax())
        if good[found]:
            return centres[found].tolist(), order[found].tolist()


# ---- how it is drawn


def _paint(
    image: np.ndarray, objects: Sequence[dict[str, Any]], colours: np.ndarray, background: int
) -> None:
    image[:] = background
    for one, colour in zip(objects, colours, strict=True):
        radius = one["radius"]
        top, left = one["y"] - radius, one["x"] - radius
        box = image[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
        box[_mask(one["shape"], radius)] = colour


@cache
def _mask(shape: str, radius: int) -> np.ndarray:
    """Return which pixels of the square box around a shape belong to it."""
    from skimage import draw

    side = 2 * radius + 1
    last = side - 1
    inside = (side, side)
    if shape == "circle":
        parts = [draw.disk((radius, radius), radius + 0.5, shape=inside)]
    elif shape == "square":
        parts = [draw.rectangle((0, 0), (last, last), shape=inside)]
    elif shape == "triangle":
        parts = [draw.polygon([0, last, last], [radius, 0, last], inside)]
    else:  # a cross: two bars, about a third as wide as long
        start = round(side / 3)
        stop = last - start
        parts = [
            draw.rectangle((start, 0), (stop, last), shape=inside),
            draw.rectangle((0, start), (last, stop), shape=inside),
        ]
    mask = np.zeros(inside, bool)
    for rows, columns in parts:
        mask[rows, columns] = True
    mask.setflags(write=False)  # shared by all drawings
    return mask
