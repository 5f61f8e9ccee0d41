"""Images that Pillow reads: PNG, JPEG, GIF, BMP, WebP and ordinary TIFF."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from diglot.errors import ImageError
from diglot.images.picture import Header, Picture, Wanted, over_white, turned

if TYPE_CHECKING:
    from PIL import Image

_GAP = 2  # how many times larger than wanted a JPEG is decoded at least; Image.thumbnail's figure
# By EXIF orientation: Pillow's `Transpose`, and where an axis of the file runs backwards.
_TRANSPOSED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_FROM_END = ((2, 3, 7, 8), (3, 4, 6, 7))


def pillow_header(file: BinaryIO, path: str, kind: str) -> Header:
    """Describe what `pillow_picture` will return of a file that begins like one of this kind."""
    with _open(file, path, kind) as image:
        width, height = image.size
        if _orientation(image, file) >= 5:
            width, height = height, width
        channels, dtype = _described(image)
    return Header(height, width, channels, dtype)


def pillow_picture(
    file: BinaryIO, path: str, kind: str, wanted: Wanted | None = None
) -> Picture | np.ndarray:
    """Read a file; an array of what is not 8-bit gray or RGB. `wanted` as in `read_picture`."""
    from PIL import Image

    with _open(file, path, kind) as image:
        # Before the pixels are loaded, as for the header: the two must agree.
        turn = _orientation(image, file)
        size = image.size
        scale = 1 if wanted is None else _shrunk(image, turn, wanted)
        image.load()
        if image.mode not in ("L", "RGB") or "transparency" in image.info:
            return turned(from_pillow(image), turn)
    if scale == 1:
        size = image.size  # Pillow turns TIFF images while it loads them
    left, top = (image.size[i] - size[i] / scale if turn in _FROM_END[i] else 0.0 for i in (0, 1))
    if turn > 1:
        image = image.transpose(Image.Transpose(_TRANSPOSED[turn]))
    if turn >= 5:
        size, left, top = size[::-1], top, left
    return Picture(image, size[1], size[0], scale, left, top)


def from_pillow(image: Image.Image) -> np.ndarray:
    """Turn an open Pillow image into a (height, width, channels) array, colours as in `decode`.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode that Pillow can turn into gray, RGB, 16-bit gray or floating point.

    Returns
    -------
    ndarray of shape (height, width, channels)
        uint8, uint16 or float32. The EXIF orientation is not applied.

    Examples
    --------
    >>> from PIL import Image
    >>> from_pillow(Image.new("RGBA", (2, 1), (0, 0, 0, 0)))[0, 0].tolist()
    [255, 255, 255]
    """
    from PIL import Image

    mode = image.mode
    transparent = "transparency" in image.info
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16, copy=False)[:, :, None]
    if mode == "I":
        whole = np.asarray(image)
        # Older Pillows open 16-bit gray PNG files as 32-bit integers.
        if image.format == "PNG":
            return whole.astype(np.uint16)[:, :, None]
        return whole.astype(np.float32)[:, :, None]
    if mode == "F":
        return np.asarray(image, np.float32)[:, :, None]
    if mode in ("LA", "La") or (mode in ("1", "L") and transparent):
        two = np.asarray(image.convert("L").convert("LA") if mode == "1" else image.convert("LA"))
        return over_white(two[:, :, :1], two[:, :, 1:], 255)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    if mode in ("RGBA", "RGBa", "PA") or (mode in ("P", "RGB") and transparent):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))


def _open(file: BinaryIO, path: str, kind: str) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(file, formats=[kind])
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"'{path}' is larger than Pillow's limit against decompression bombs ({error}); if "
            "you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS or make the image smaller."
        ) from error
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"'{path}' starts like a {kind} image but is damaged or cut short; replace the file "
            "or remove it from the data."
        ) from None
    if min(image.size) < 1:
        raise ImageError(f"'{path}' has no pixels; replace the file or remove it from the data.")
    return image


def _described(image: Image.Image) -> tuple[int, str]:
    """Return channels and type that `from_pillow` will give for this mode."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return 1, "uint16"
    if mode in ("I", "F"):
        return 1, "float32"
    return (1 if mode in ("1", "L", "LA", "La") else 3), "uint8"


def _shrunk(image: Image.Image, turn: int, wanted: Wanted) -> int:
    """Have a large JPEG file decoded to a part of its size; return how many times smaller."""
    if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
        return 1
    upright = image.size if turn < 5 else image.size[::-1]
    target = wanted(upright[1], upright[0])
    if target is None:
        return 1
    across, down = target[::-1] if turn < 5 else target
    least = (_GAP * across, _GAP * down)
    if min(image.size[0] // least[0], image.size[1] // least[1]) < 2:
        return 1
    before = image.size[0]
    found = image.draft(None, least)
    return 1 if found is None else round(before / found[1][2])


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    """Return the EXIF orientation 1 to 8 without decoding the pixels; damaged tags count as 1."""
    from PIL import Image

    if image.format == "TIFF":
        return 1  # Pillow applies it to TIFF images itself while it loads them.
    try:
        if image.format == "PNG" and "exif" not in image.info:
            late = _late_exif(file)
            if late:
                image.info["exif"] = late
        # Not PngImageFile's own method, which would decode the whole image.
        value = Image.Image.getexif(image).get(0x0112, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    except Exception:
        return 1


def _late_exif(file: BinaryIO) -> bytes | None:
    """Find a PNG file's EXIF chunk, which may also come after the pixels."""
    before = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"eXIf":
                return file.read(length) if length < 1 << 20 else None
            if name == b"IEND":
                return None
            file.seek(length + 4, os.SEEK_CUR)
        return None
    finally:
        file.seek(before)
