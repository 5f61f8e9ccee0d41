"""Reads one image file, or only its header.

The content decides how a file is read, never its name. Whatever is wrong with a file arrives as
an ``ImageError`` that names it.
"""

from __future__ import annotations

import io
import os
import re
import stat
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from diglot.errors import DiglotError, ImageError
from diglot.files import opened
from diglot.images.packed import find_packed
from diglot.images.picture import Header, Picture, Wanted
from diglot.images.pillow import pillow_header, pillow_picture
from diglot.images.tiff import tiff_header, tiff_picture

READABLE = "PNG, JPEG, GIF, BMP, WebP or TIFF"


def read_header(path: str) -> Header:
    """Read an image file's size, channels and depth without decoding its pixels.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Header
        What `decode` would return, described.

    Raises
    ------
    ImageError
        If the file is missing or is not a readable image.

    Examples
    --------
    >>> import tempfile, os
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "wide.png")
    ...     Image.new("RGB", (4, 3)).save(path)
    ...     read_header(path)
    Header(height=3, width=4, channels=3, dtype='uint8')
    """
    place = _place(path)
    packed = find_packed(place)
    known = None if packed is None else packed[0].header(packed[1])
    return _guarded(path, tiff_header, pillow_header) if known is None else Header(*known)


def file_size(path: str) -> int | None:
    """Return an image file's bytes, also where it is packed; None if there is no such file.

    Examples
    --------
    >>> file_size("gone.png") is None
    True
    """
    place = _place(path)
    packed = find_packed(place)
    if packed is not None:
        return packed[0].size(packed[1])
    try:
        return os.stat(place).st_size
    except (OSError, ValueError):
        return None


def decode(path: str) -> np.ndarray:
    """Read an image file.

    Transparent pixels are laid over white, palettes and CMYK become RGB, the EXIF orientation
    is applied. Of an animation the first frame is read. 16-bit gray stays 16-bit; 16-bit colour
    stays so in TIFF and becomes 8-bit in PNG.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    ndarray of shape (height, width, channels)
        uint8, uint16 or float32.

    Raises
    ------
    ImageError
        If the file is missing, damaged, too large or not an image.

    Examples
    --------
    >>> import tempfile, os
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "wide.png")
    ...     Image.new("L", (4, 3), 7).save(path)
    ...     decode(path).shape
    (3, 4, 1)
    """
    found = read_picture(path)
    if isinstance(found, np.ndarray):
        return found
    pixels = np.asarray(found.image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def read_picture(path: str, wanted: Wanted | None = None) -> Picture | np.ndarray:
    """Read an image file as `decode` does, but leave a usual picture with Pillow.

    Parameters
    ----------
    path : str
        The file.
    wanted : callable, optional
        ``wanted(height, width)`` returns the height and width that the whole picture is going to
        be resampled to, or None where it needs all pixels. A JPEG file that is much larger is
        decoded to 1/2, 1/4 or 1/8 of its size (by smaller inverse cosine transforms), as long as
        that is at least twice what is wanted.

    Returns
    -------
    Picture or ndarray
        An array, as from `decode`, of what is not 8-bit gray or RGB.

    Raises
    ------
    ImageError
        If the file is missing, damaged, too large or not an image.

    Examples
    --------
    >>> import tempfile, os
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "large.jpg")
    ...     Image.new("RGB", (1001, 800)).save(path)
    ...     found = read_picture(path, lambda height, width: (100, 100))
    >>> found.image.size, found.scale, (found.width, found.height)
    ((251, 200), 4, (1001, 800))
    """
    return _guarded(path, tiff_picture, partial(pillow_picture, wanted=wanted))


def _guarded(path: str, tiff: Any, other: Any) -> Any:
    """Open a file, choose its reader by its first bytes, and translate whatever goes wrong."""
    if re.match(r"(?i)(https?|ftp|s3|file)://", path):
        raise ImageError(
            f"'{path}' is a web address; download the image and give the file's path instead."
        )
    try:
        with _opened(path) as file:
            kind = _kind(file.read(16))
            if kind is None:
                what = f"is not a {READABLE} image" if _size(file) else "is empty (0 bytes)"
                raise ImageError(f"'{path}' {what}; remove it from the data or replace it.")
            file.seek(0)
            return tiff(file, path) if kind == "TIFF" else other(file, path, kind)
    except FileNotFoundError:
        raise ImageError(
            f"There is no file '{path}' (looked from the folder '{_here()}'); check the path."
        ) from None
    except PermissionError:
        raise ImageError(f"'{path}' may not be read; change the file's permissions.") from None
    except DiglotError:
        raise
    except MemoryError as error:
        # Headers that lie about sizes get here more often than images that are truly too large.
        raise ImageError(
            f"'{path}' needs more memory than there is, or is damaged; make the image smaller, "
            "replace it or remove it from the data."
        ) from error
    except Exception as error:
        # A damaged file makes the decoders raise almost anything, from SyntaxError to KeyError.
        raise ImageError(
            f"'{path}' cannot be read, it is damaged or cut short ({_reason(error)}); "
            "replace the file or remove it from the data."
        ) from error


def _opened(path: str) -> BinaryIO:
    place = _place(path)
    packed = find_packed(place)
    if packed is not None:
        return io.BytesIO(packed[0].read(packed[1]))
    # A pipe or a device could block for ever once it is opened, so look first.
    mode = os.stat(place).st_mode
    if stat.S_ISDIR(mode):
        raise ImageError(
            f"'{path}' is a folder, not an image; read_images() lists the images in a folder."
        )
    if not stat.S_ISREG(mode):
        raise ImageError(f"'{path}' is not a regular file, so it cannot be read as an image.")
    return _Bounded(opened(place).detach())


class _Bounded(io.BufferedReader):
    """A file of which no more is asked for than it has: Pillow asks for what a chunk claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > 1 << 20:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def _place(path: str) -> str:
    return os.path.expanduser(path) if path.startswith("~") else path


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "?"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    # Pillow names the file object, which says nothing.
    text = re.sub(r"<[^>]* at 0x[0-9a-f]+>|<_io[^>]*>", "the file", text)
    return text[:200]


def _kind(start: bytes) -> str | None:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if start.startswith(b"BM"):
        return "BMP"
    return None
