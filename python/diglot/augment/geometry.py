"""Images moved: by whole pixels, or by an affine map."""

from __future__ import annotations

import math

import numpy as np


def matrix_of(
    height: int,
    width: int,
    angle: float,
    zoom: float,
    move_y: float,
    move_x: float,
    flip_y: bool,
    flip_x: bool,
) -> np.ndarray:
    """Return the 2 x 3 matrix from (row, column, 1) in the result to row and column in the image.

    The image is flipped, then turned counter-clockwise (as seen) and enlarged about its centre,
    then moved down and right.
    """
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    linear = np.array([[cos, sin], [-sin, cos]])
    linear[0] *= -1 if flip_y else 1
    linear[1] *= -1 if flip_x else 1
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    start = centre - linear @ (centre + [move_y, move_x])
    return np.column_stack([linear, start])


def shifted(
    image: np.ndarray,
    target: np.ndarray,
    move_y: int,
    move_x: int,
    flip_y: bool,
    flip_x: bool,
    fill: str | float,
) -> None:
    """Flip and move by whole pixels; the same as `warp` with such a matrix, but faster."""
    if not (move_y or move_x):
        target[...] = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        return
    height, width = image.shape[:2]
    rows, columns = np.arange(height) - move_y, np.arange(width) - move_x
    rows = height - 1 - rows if flip_y else rows
    columns = width - 1 - columns if flip_x else columns
    if not isinstance(fill, str):
        inside_y, inside_x = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        target[...] = fill
        target[np.ix_(inside_y, inside_x)] = image[np.ix_(rows[inside_y], columns[inside_x])]
        return
    inside = _folded if fill == "reflect" else _clipped
    target[...] = image[inside(rows, height)][:, inside(columns, width)]


def warp(
    image: np.ndarray,
    matrix: np.ndarray,
    fill: str | float = "edge",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resample an image by an affine map, bilinearly.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels), float32
        The image.
    matrix : ndarray of shape (2, 3)
        From (row, column, 1) in the result to (row, column) in the image, in pixels between
        centres.
    fill : {"edge", "reflect"} or float
        What lies outside.
    out : ndarray of the image's shape, optional
        Where to write.

    Returns
    -------
    ndarray of the image's shape, float32

    Examples
    --------
    >>> image = np.array([[[1], [3]]], "float32")
    >>> warp(image, np.array([[1, 0, 0], [0, 1, 0.5]]))[0, :, 0].tolist()
    [2.0, 3.0]
    """
    height, width, channels = image.shape
    if out is None:
        out = np.empty(image.shape, np.float32)
    matrix = np.asarray(matrix, np.float64)
    down = np.arange(height, dtype=np.float64)[:, None]
    across = np.arange(width, dtype=np.float64)[None, :]
    # The sums in double precision, so that places on whole pixels stay there.
    places = []
    for line, size in zip(matrix, (height, width), strict=True):
        place = line[0] * down + (line[1] * across + line[2])
        if fill == "reflect":
            place = _folded(place, size)
        elif fill == "edge":
            np.clip(place, 0, size - 1, out=place)
        else:
            np.clip(place, -1, size, out=place)
        place += 1  # for the border of one pixel that is added below
        places.append(place)
    row, column = places[0].astype(np.intp), places[1].astype(np.intp)
    part_y = (places[0] - row).astype(np.float32)
    part_x = (places[1] - column).astype(np.float32)
    wide = width + 3
    corner = row * wide + column
    # One pixel before, two after: every neighbour exists, and nothing needs to be asked.
    outside = 0.0 if isinstance(fill, str) else fill
    padded = np.full((height + 3, wide), outside, np.float32)
    flat = padded.ravel()
    for channel in range(channels):
        padded[1 : height + 1, 1 : width + 1] = image[:, :, channel]
        upper, upper_next = flat.take(corner), flat[1:].take(corner)
        lower, lower_next = flat[wide:].take(corner), flat[wide + 1 :].take(corner)
        upper_next -= upper
        upper_next *= part_x
        upper += upper_next
        lower_next -= lower
        lower_next *= part_x
        lower += lower_next
        lower -= upper
        lower *= part_y
        upper += lower
        out[:, :, channel] = upper
    return out


def _clipped(places: np.ndarray, size: int) -> np.ndarray:
    return np.clip(places, 0, size - 1)


def _folded(places: np.ndarray, size: int) -> np.ndarray:
    """Mirror places outside back in, about the centres of the border pixels."""
    if size == 1:
        return np.zeros_like(places)
    period = 2 * (size - 1)
    places = np.mod(places, period)
    return np.minimum(places, period - places)
