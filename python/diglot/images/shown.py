"""Images of any kind as a screen can show them."""

from __future__ import annotations

import numpy as np
from PIL import Image


def picture(image: np.ndarray) -> Image.Image:
    """Return an image of any kind as one that a screen can show.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels)
        uint8, uint16 or float. Numbers from 0 to 1 are shares of white, else their range is;
        of more than three channels the first three are shown.

    Returns
    -------
    PIL.Image.Image
        Of mode "L" or "RGB".

    Examples
    --------
    >>> picture(np.zeros((2, 3, 5), "float32")).mode
    'RGB'
    """
    if image.dtype == np.uint16:
        pixels = (image >> 8).astype("uint8")
    elif image.dtype == np.uint8:
        pixels = image
    else:
        low, high = float(image.min()), float(image.max())
        low, high = (0.0, 1.0) if low >= 0 and 0.5 <= high <= 1 else (low, high)
        share = (image.astype(float) - low) / ((high - low) or 1.0)
        pixels = (255 * share).round().astype("uint8")
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(pixels))
