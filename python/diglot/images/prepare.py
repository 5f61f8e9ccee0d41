"""Makes an image fit a network's input: channels, number range and size."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from diglot.errors import ImageError
from diglot.images.decode import read_picture

LARGEST = {"uint8": np.float32(255), "uint16": np.float32(65535)}


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """Return a new float32 array: 8-bit values / 255, 16-bit values / 65535, others as they are.

    Parameters
    ----------
    pixels : ndarray
        uint8, uint16 or float32, any shape.

    Returns
    -------
    ndarray of float32
        Always a copy, so that the caller may write into it.

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], "uint8")).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    largest = LARGEST.get(str(pixels.dtype))
    if largest is None:
        return pixels.astype(np.float32)
    return np.divide(pixels, largest, dtype=np.float32)


def prepare(image: np.ndarray, spec: Any, name: str, *, from_file: bool = False) -> np.ndarray:
    """Make one image fit `spec`.

    An image that already has the right height and width is not resampled, whatever the resize
    rule. Otherwise it is resampled with antialiasing as Pillow does, which is what pretrained
    weights expect.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels)
        uint8, uint16 or float32.
    spec : InputSpec
        The input that the network takes.
    name : str
        How messages call the image, such as "row 3 of the array".
    from_file : bool
        Gray files serve colour networks (the channel is repeated), gray arrays only where
        ``spec.convert_colour`` allows it.

    Returns
    -------
    ndarray of shape (spec.height, spec.width, spec.channels)
        uint8 (0 to 255) or float32 (16-bit images come as values from 0 to 1).

    Raises
    ------
    ImageError
        If the channels do not fit.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> spec = SimpleNamespace(height=2, width=2, channels=1, resize="squash",
    ...     crop_fraction=0.875, interpolation="bilinear", convert_colour=False)
    >>> prepare(np.full((4, 6, 1), 9, "uint8"), spec, "row 1")[:, :, 0].tolist()
    [[9, 9], [9, 9]]
    """
    if image.dtype == np.uint16:
        image = to_unit(image)
    have, want = image.shape[2], spec.channels
    check_channels(have, spec, name, from_file=from_file)
    if have == 3 and want == 1:
        image = luminance(image)
    if image.shape[:2] != (spec.height, spec.width):
        image = _resized(image, spec)
    if have == 1 and want == 3:
        image = np.repeat(image, 3, axis=2)
    return image


def prepare_file(path: str, spec: Any) -> np.ndarray:
    """Read an image file and make it fit `spec`.

    Usual pictures stay with Pillow until they are small. A JPEG file whose picture is at least
    four times larger than what it is resampled to is decoded to a half, a quarter or an eighth
    of its size, which takes a fraction of the time and changes pixels by about one part in 255.

    Parameters
    ----------
    path : str
        The file.
    spec : InputSpec
        The input that the network takes.

    Returns
    -------
    ndarray of shape (spec.height, spec.width, spec.channels)
        As from `prepare`; of a smaller picture it is ``prepare(decode(path), spec, path)``.

    Raises
    ------
    ImageError
        If the file cannot be read, or its channels do not fit.

    Examples
    --------
    >>> import tempfile, os
    >>> from types import SimpleNamespace
    >>> from PIL import Image
    >>> spec = SimpleNamespace(height=2, width=2, channels=1, resize="squash",
    ...     crop_fraction=0.875, interpolation="bilinear", convert_colour=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "wide.png")
    ...     Image.new("L", (6, 4), 9).save(path)
    ...     prepare_file(path, spec)[:, :, 0].tolist()
    [[9, 9], [9, 9]]
    """
    found = read_picture(path, partial(_whole_size, spec=spec))
    if isinstance(found, np.ndarray):
        return prepare(found, spec, path, from_file=True)
    image, want = found.image, spec.channels
    check_channels(len(image.getbands()), spec, path, from_file=True)
    if image.mode == "RGB" and want == 1:
        image = image.convert("L")
    if image.size != (spec.width, spec.height):
        box = _box(found.height, found.width, spec)
        image = image.resize((spec.width, spec.height), _method(spec), found.box(*box))
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        return pixels
    return np.repeat(pixels[:, :, None], want, axis=2) if want > 1 else pixels[:, :, None]


def check_channels(have: int, spec: Any, name: str, *, from_file: bool) -> None:
    """Raise an ImageError if an image with `have` channels does not fit `spec`.

    Parameters
    ----------
    have : int
        The image's channels.
    spec : InputSpec
        Its `channels` and `convert_colour` count.
    name : str
        How the message calls the image.
    from_file : bool
        Whether the image comes from a file.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> spec = SimpleNamespace(channels=3, convert_colour=False)
    >>> check_channels(1, spec, "cat.png", from_file=True)
    """
    want = spec.channels
    repeat = have == 1 and want == 3 and (from_file or spec.convert_colour)
    if have == want or repeat or (have == 3 and want == 1 and spec.convert_colour):
        return
    fix = f"make the model with channels={have}, or convert the images to {want}"
    raise ImageError(
        f"{quoted(name)} has {have} channel{'s' * (have != 1)}, but the network takes {want}; "
        f"{fix}."
    )


def quoted(name: str) -> str:
    """Return how a message calls an image: a file's name in quotation marks.

    Examples
    --------
    >>> quoted("cat.png"), quoted("row 3 of the array")
    ("'cat.png'", 'row 3 of the array')
    """
    return name if name.startswith(("row ", "image ", "'")) else f"'{name}'"


def luminance(image: np.ndarray) -> np.ndarray:
    """Return the gray version of an RGB image.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3)
        uint8 or float32.

    Returns
    -------
    ndarray of shape (height, width, 1)
        Same type. The weights are 0.299, 0.587, 0.114 (Recommendation ITU-R BT.601).

    Examples
    --------
    >>> luminance(np.array([[[255, 0, 0]]], "uint8")).item()
    76
    """
    if image.dtype == np.uint8:
        # The same fixed-point arithmetic as Pillow's convert("L"), so that results agree.
        total = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        return ((total + 0x8000) >> 16).astype(np.uint8)[:, :, None]
    return (image @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]


def _method(spec: Any) -> Any:
    from PIL import Image

    return Image.Resampling[spec.interpolation.upper()]


def _resized(image: np.ndarray, spec: Any) -> np.ndarray:
    from PIL import Image

    method = _method(spec)
    box = _box(image.shape[0], image.shape[1], spec)
    size = (spec.width, spec.height)
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, method, box))
    out = np.empty((spec.height, spec.width, image.shape[2]), image.dtype)
    for channel in range(image.shape[2]):
        # uint8 becomes Pillow's mode L and float32 its mode F: one channel each.
        plane = Image.fromarray(np.ascontiguousarray(image[:, :, channel]))
        out[:, :, channel] = np.asarray(plane.resize(size, method, box))
    return out


def _whole_size(height: int, width: int, spec: Any) -> tuple[int, int] | None:
    """Return the size that the whole image is resampled to; None if single pixels are picked."""
    if spec.interpolation == "nearest":
        return None
    return _cover(height, width, spec) if spec.resize == "crop" else (spec.height, spec.width)


def _cover(height: int, width: int, spec: Any) -> tuple[int, int]:
    """Return the size at which the image just covers the input size / crop_fraction."""
    cover_height = math.floor(spec.height / spec.crop_fraction)
    cover_width = math.floor(spec.width / spec.crop_fraction)
    if cover_height == cover_width:
        if height <= width:
            return cover_height, int(cover_height * width / height)
        return int(cover_width * height / width), cover_width
    ratio = min(height / cover_height, width / cover_width)
    return max(spec.height, round(height / ratio)), max(spec.width, round(width / ratio))


def _box(height: int, width: int, spec: Any) -> tuple[float, float, float, float]:
    """Return the part of the image that is kept, in its own pixels: left, top, right, bottom.

    The rule of a centre crop is timm's and torchvision's: resize until the image just covers
    size / crop_fraction, then cut the centre out. Cutting first gives the same pixels and never
    makes a huge intermediate image of a long, narrow one.
    """
    if spec.resize != "crop":
        return 0, 0, width, height
    full = _cover(height, width, spec)
    top = round((full[0] - spec.height) / 2)
    left = round((full[1] - spec.width) / 2)
    down, across = height / full[0], width / full[1]
    return (
        left * across,
        top * down,
        min(width, (left + spec.width) * across),
        min(height, (top + spec.height) * down),
    )
