"""What stands for "nothing to be seen": the baseline of a path, the filling of a hidden part."""

from __future__ import annotations

from typing import Any

import numpy as np

from diglot.errors import InputError
from diglot.graph import InputSpec

_CONSTANTS = {"black": 0.0, "grey": 0.5, "white": 1.0}
FILLS = ("mean", *_CONSTANTS, "blur")
_BLUR = 0.1  # the Gaussian's standard deviation, in shorter sides


def fill(pixels: np.ndarray, spec: InputSpec, how: Any, name: str) -> np.ndarray:
    """Return images that show nothing, standardised as the network takes them.

    Parameters
    ----------
    pixels : ndarray of shape (n, height, width, channels), float32
        Standardised images.
    spec : InputSpec
        The network's input.
    how : {"mean", "black", "grey", "white", "blur"}, float or array
        The mean that the network's input is standardised by (of its training images); a constant;
        the image blurred by a Gaussian with a tenth of its shorter side as standard deviation; or
        numbers on the images' scale (integers scaled to [0, 1]): one, one a channel, or an image.
    name : str
        How messages call the argument.

    Returns
    -------
    ndarray of the same shape, float32
        May not be written into.

    Raises
    ------
    InputError
        If ``how`` is none of these; the message says which.

    Examples
    --------
    >>> spec = InputSpec(2, 2, 1, mean=(0.5,), std=(0.25,))
    >>> images = np.ones((1, 2, 2, 1), np.float32)
    >>> [fill(images, spec, how, "fill")[0, 0, 0, 0].item() for how in ("mean", "black", 0.75)]
    [0.0, -2.0, 1.0]
    """
    if isinstance(how, str) and how == "mean":
        return np.broadcast_to(np.float32(0), pixels.shape)
    if isinstance(how, str) and how == "blur":
        return _blurred(pixels)
    if isinstance(how, str) and how not in _CONSTANTS:
        known = ", ".join(map(repr, FILLS))
        raise InputError(f"{name} must be one of {known}, a number or an array, not {how!r}")
    values = _numbers(_CONSTANTS.get(how) if isinstance(how, str) else how, pixels, name)
    standard = (values - np.asarray(spec.mean)) / np.asarray(spec.std)
    return np.broadcast_to(standard.astype(np.float32), pixels.shape)


def _numbers(how: Any, pixels: np.ndarray, name: str) -> np.ndarray:
    try:
        values = np.asarray(how, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} holds what is no number: {error}") from error
    height, width, channels = pixels.shape[1:]
    if values.shape == (height, width) and channels == 1:
        values = values[:, :, None]
    if values.shape not in ((), (channels,), (height, width, channels)):
        raise InputError(
            f"{name} has the shape {values.shape}; give one number, {channels} of them, or an "
            f"image of {height} x {width} x {channels}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{name} has missing or infinite numbers")
    return values


def _blurred(pixels: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    spread = _BLUR * min(pixels.shape[1:3])
    return gaussian_filter(pixels, (0, spread, spread, 0), mode="nearest")
