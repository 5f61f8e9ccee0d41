"""What a decoded image is, and what all readers of image files need for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from diglot.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

Wanted = Callable[[int, int], "tuple[int, int] | None"]


@dataclass(frozen=True)
class Header:
    """What an image will be once it is decoded (and turned as its EXIF tag says).

    Attributes
    ----------
    height, width : int
        Size in pixels.
    channels : int
        1 for gray, 3 for colour, palette and CMYK; transparency does not count.
    dtype : str
        "uint8", "uint16" or "float32".
    """

    height: int
    width: int
    channels: int
    dtype: str


@dataclass(frozen=True)
class Picture:
    """An upright 8-bit picture as Pillow holds it, which spares copies until it is resized.

    Attributes
    ----------
    image : PIL.Image.Image
        Of mode "L" or "RGB".
    height, width : int
        Of the picture in its file.
    scale : int
        How many times smaller `image` was decoded: 1, or 2, 4 or 8 of a JPEG file.
    left, top : float
        Where the picture begins in `image`: a side that `scale` does not divide is rounded up, and
        where the EXIF tag turns the picture, what was added may come first.
    """

    image: Image.Image
    height: int
    width: int
    scale: int = 1
    left: float = 0.0
    top: float = 0.0

    def box(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[float, float, float, float]:
        """Return where a part of the picture lies in `image`."""
        return (
            self.left + left / self.scale,
            self.top + top / self.scale,
            self.left + right / self.scale,
            self.top + bottom / self.scale,
        )


def over_white(colour: np.ndarray, alpha: np.ndarray, white: int) -> np.ndarray:
    """Lay integer pixels over white: ``alpha * colour + (1 - alpha) * white``, rounded.

    Parameters
    ----------
    colour : ndarray of shape (height, width, channels)
        uint8 or uint16.
    alpha : ndarray of shape (height, width, 1)
        Same type; `white` is opaque.
    white : int
        The largest value, 255 or 65535.

    Returns
    -------
    ndarray of shape (height, width, channels)
        Same type as `colour`.

    Examples
    --------
    >>> over_white(np.array([[[0]]], "u1"), np.array([[[51]]], "u1"), 255).item()
    204
    """
    wide_alpha = alpha.astype(np.uint64)
    mixed = colour.astype(np.uint64) * wide_alpha + white * (white - wide_alpha)
    return ((mixed + white // 2) // white).astype(colour.dtype)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to (height, width, channels)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 6, 7, 3):
        pixels = pixels[:, ::-1]
    if orientation in (4, 7, 8, 3):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _most_pixels() -> float:
    """Return how many pixels an image may have before Pillow, too, calls it a bomb."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    return float("inf") if limit is None else 2 * limit


def refuse_bomb(path: str, height: int, width: int, samples: int = 1, size: int = 1) -> None:
    """Raise an ImageError where Pillow's limit is passed; `size` is the bytes of a sample."""
    # Four samples a pixel, or 16 bytes, are common; only what needs far more is suspect.
    if height * width * max(1.0, samples / 4, samples * size / 16) > _most_pixels():
        raise ImageError(
            f"'{path}' claims to be {height} x {width} pixels (with {samples} values each), which "
            "is more than Pillow's limit against decompression bombs; if you trust the file, "
            "raise PIL.Image.MAX_IMAGE_PIXELS or make the image smaller."
        )
