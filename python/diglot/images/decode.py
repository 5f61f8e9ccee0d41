"""Reads one image file, or only its header.

The content decides how a file is read, never its name. Whatever is wrong with a file arrives as
an ``ImageError`` that names it.
"""

from __future__ import annotations

import io
import logging
import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from diglot.errors import DiglotError, ImageError
from diglot.files import opened
from diglot.images.packed import find_packed
from diglot.images.tiff import check_ome, read_stack, refuse_hollow

if TYPE_CHECKING:
    from PIL import Image

READABLE = "PNG, JPEG, GIF, BMP, WebP or TIFF"
Wanted = Callable[[int, int], "tuple[int, int] | None"]
_SILENT = logging.NullHandler()
_GAP = 2  # how many times larger than wanted a JPEG is decoded at least; Image.thumbnail's figure


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
    return _guarded(path, _tiff_header, _pillow_header) if known is None else Header(*known)


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
    return _guarded(path, _tiff_picture, partial(_pillow_picture, wanted=wanted))


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


# ---------------------------------------------------------------------------------- opening


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


def _most_pixels() -> float:
    """Return the size above which Pillow too refuses an image as a decompression bomb."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    return float("inf") if limit is None else 2 * limit


def _refuse_bomb(path: str, height: int, width: int, samples: int = 1, size: int = 1) -> None:
    # Four samples a pixel, or 16 bytes, are common; only what needs far more is suspect.
    if height * width * max(1.0, samples / 4, samples * size / 16) > _most_pixels():
        raise ImageError(
            f"'{path}' claims to be {height} x {width} pixels (with {samples} values each), which "
            "is more than Pillow's limit against decompression bombs; if you trust the file, "
            "raise PIL.Image.MAX_IMAGE_PIXELS or make the image smaller."
        )


# ---------------------------------------------------------------------------------- Pillow


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


def _pillow_header(file: BinaryIO, path: str, kind: str) -> Header:
    with _open(file, path, kind) as image:
        width, height = image.size
        if _orientation(image, file) >= 5:
            width, height = height, width
        channels, dtype = _described(image)
    return Header(height, width, channels, dtype)


def _described(image: Image.Image) -> tuple[int, str]:
    """Return channels and type that `from_pillow` will give for this mode."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return 1, "uint16"
    if mode in ("I", "F"):
        return 1, "float32"
    return (1 if mode in ("1", "L", "LA", "La") else 3), "uint8"


def _pillow_picture(
    file: BinaryIO, path: str, kind: str, wanted: Wanted | None = None
) -> Picture | np.ndarray:
    from PIL import Image

    with _open(file, path, kind) as image:
        # Before the pixels are loaded, as for the header: the two must agree.
        turn = _orientation(image, file)
        size = image.size
        scale = 1 if wanted is None else _shrunk(image, turn, wanted)
        image.load()
        if image.mode not in ("L", "RGB") or "transparency" in image.info:
            return _turned(from_pillow(image), turn)
    if scale == 1:
        size = image.size  # Pillow turns TIFF images while it loads them
    left, top = (image.size[i] - size[i] / scale if turn in _FROM_END[i] else 0.0 for i in (0, 1))
    if turn > 1:
        image = image.transpose(Image.Transpose(_TRANSPOSED[turn]))
    if turn >= 5:
        size, left, top = size[::-1], top, left
    return Picture(image, size[1], size[0], scale, left, top)


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


# By EXIF orientation: Pillow's `Transpose`, and where an axis of the file runs backwards.
_TRANSPOSED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_FROM_END = ((2, 3, 7, 8), (3, 4, 6, 7))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to (height, width, channels)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 6, 7, 3):
        pixels = pixels[:, ::-1]
    if orientation in (4, 7, 8, 3):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


# ---------------------------------------------------------------------------------- TIFF

_GRAY_INVERTED, _GRAY, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6


def _refuse_tiff_bomb(path: str, page: Any) -> None:
    bits = page.bitspersample
    size = (max(bits) if isinstance(bits, tuple) else bits) // 8
    depth = page.imagedepth * page.samplesperpixel
    _refuse_bomb(path, page.imagelength, page.imagewidth, depth, size)
    if page.is_ome:
        check_ome(page.description, len(page.parent.pages), path)


def _tiff_header(file: BinaryIO, path: str) -> Header:
    import tifffile

    # _multifile: an OME file may name other files, which are none of our business.
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        page = tiff.pages.first
        _refuse_tiff_bomb(path, page)
        if not _plain(tiff):
            return _described_tiff(tiff, path)
        # Pillow turns TIFF images while it loads them, but not every version's size tells so.
        height, width = page.imagelength, page.imagewidth
        if _tiff_orientation(page) >= 5:
            height, width = width, height
        return Header(
            height, width, 1 if page.photometric in (_GRAY, _GRAY_INVERTED) else 3, "uint8"
        )


def _tiff_picture(file: BinaryIO, path: str) -> Picture | np.ndarray:
    import tifffile

    with tifffile.TiffFile(file, _multifile=False) as tiff:
        page = tiff.pages.first
        _refuse_tiff_bomb(path, page)
        refuse_hollow(file, page, path)
        if not _plain(tiff):
            return _tiff_array(tiff, file, path)
    file.seek(0)
    return _pillow_picture(file, path, "TIFF")


def _plain(tiff: Any) -> bool:
    """Return whether this is an ordinary 8-bit picture, which Pillow reads with every codec."""
    page = tiff.pages.first
    if _stacked(tiff) or page.bitspersample not in (1, 2, 4, 8) or page.sampleformat != 1:
        return False
    colours = {_GRAY_INVERTED: 1, _GRAY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
    own = colours.get(page.photometric)
    alpha = sum(1 for extra in page.extrasamples if extra in (1, 2))
    opaque = (_PALETTE, _GRAY_INVERTED)  # as far as Pillow knows
    most = 1 if own in (1, 3) and page.photometric not in opaque else 0
    return own is not None and alpha <= most and page.samplesperpixel == own + alpha


def _stacked(tiff: Any) -> bool:
    """Return whether the file says itself that its pages belong together as one array."""
    if not (tiff.is_imagej or tiff.is_ome or tiff.is_shaped):
        return False
    # What it cannot make sense of tifffile would say on the terminal.
    logging.getLogger("tifffile").addHandler(_SILENT)
    series = tiff.series
    if tiff.is_imagej and not (series and series[0].kind.lower() == "imagej"):
        raise ValueError("its pages are not those that ImageJ's description names")
    return bool(series) and any(axis not in "YXS" for axis in series[0].axes)


def _layout(tiff: Any, path: str) -> tuple[str, tuple[int, ...]]:
    """Return axes and shape of what is read; a channel axis is named C, samples S."""
    page = tiff.pages.first
    if not _stacked(tiff):
        return page.axes, page.shape
    series = tiff.series[0]
    axes, shape = series.axes, series.shape
    if "C" not in axes and "S" not in axes and len(axes) == 3 and axes[0] in "QI":
        # An unnamed 3-d array, as skimage.io.imsave() writes it: channels are the shorter end.
        axes = "CYX" if shape[0] < shape[2] else "YXC"
    if "Y" not in axes or "X" not in axes:
        raise ImageError(f"'{path}' holds an array with the axes {axes}, which is not an image.")
    return axes, shape


def _sizes(axes: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    lengths = dict(zip(axes, shape, strict=True))
    return lengths["Y"], lengths["X"], lengths.get("C", 1) * lengths.get("S", 1)


def _alpha_samples(page: Any, axes: str) -> list[int]:
    if "S" not in axes or "C" in axes:
        return []
    first = page.samplesperpixel - len(page.extrasamples)
    return [first + i for i, extra in enumerate(page.extrasamples) if extra in (1, 2)]


def _described_tiff(tiff: Any, path: str) -> Header:
    page = tiff.pages.first
    axes, shape = _layout(tiff, path)
    height, width, channels = _sizes(axes, shape)
    _refuse_bomb(path, height, width, channels, 1 if page.dtype is None else page.dtype.itemsize)
    channels -= len(_alpha_samples(page, axes))
    if page.photometric == _CMYK and channels == 4:
        channels = 3
    if page.photometric == _PALETTE:
        channels = 3
    if _tiff_orientation(page) >= 5:
        height, width = width, height
    dtype = page.dtype
    if dtype is None:
        raise ImageError(f"'{path}' has a number format that diglot does not read.")
    name = str(dtype) if dtype in (np.uint8, np.uint16) else "float32"
    if page.bitspersample == 1:
        name = "uint8"
    return Header(height, width, channels, name)


def _tiff_orientation(page: Any) -> int:
    tag = page.tags.get(274)
    value = 1 if tag is None else tag.value
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def _tiff_array(tiff: Any, file: BinaryIO, path: str) -> np.ndarray:
    page = tiff.pages.first
    axes, shape = _layout(tiff, path)
    header = _described_tiff(tiff, path)
    try:
        if _stacked(tiff):
            pixels, axes = read_stack(file, tiff.series[0], axes, path)
        else:
            pixels = page.asarray().reshape(shape)
    except (ValueError, NotImplementedError) as error:
        # tifffile reads some compressions only with the imagecodecs package.
        if "imagecodecs" not in str(error):
            raise
        pixels = _by_pillow(file, header, page)
        if pixels is not None:
            return pixels
        raise ImageError(
            f"'{path}' is compressed as {getattr(page.compression, 'name', page.compression)}; "
            "install the codecs (pip install imagecodecs) or save it uncompressed."
        ) from error
    for axis in [axis for axis in axes if axis not in "YXCS"]:
        # Of a stack of slices within a page the first one is the image.
        pixels = pixels.take(0, axis=axes.index(axis))
        axes = axes.replace(axis, "", 1)
    order = [axes.index(axis) for axis in "YXCS" if axis in axes]
    pixels = pixels.transpose(order)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    pixels = _tiff_colours(pixels, page, _alpha_samples(page, axes))
    if not np.isfinite(pixels).all():
        raise ImageError(f"'{path}' contains NaN or infinite pixels; replace them.")
    return _turned(pixels, _tiff_orientation(page))


def _tiff_colours(pixels: np.ndarray, page: Any, alphas: list[int]) -> np.ndarray:
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):
            pixels = pixels.astype(np.float32)
    white = {"uint8": 255, "uint16": 65535}.get(str(pixels.dtype))
    if page.photometric == _PALETTE and white is not None:
        table = np.asarray(page.colormap)  # of 16 bits, whatever the places in it have
        table = table >> 8 if white == 255 else table
        colours = table[:, pixels[:, :, 0]].transpose(1, 2, 0)
        return np.ascontiguousarray(colours).astype(pixels.dtype)
    if page.photometric == _GRAY_INVERTED and white is not None:
        pixels = _upright_gray(pixels, page, alphas, white)  # first, as what is behind is white
    if alphas:
        keep = [i for i in range(pixels.shape[2]) if i not in alphas]
        colour, alpha = pixels[:, :, keep], pixels[:, :, alphas[:1]]
        picture = page.photometric in (_GRAY, _GRAY_INVERTED, _RGB) and len(keep) in (1, 3)
        # In a measurement with many channels there is no white to see through to.
        if not picture or white is None:
            pixels = colour
        elif page.extrasamples[0] == 1:
            through = white - alpha.astype(np.int64)
            pixels = np.clip(colour + through, 0, white).astype(pixels.dtype)
        else:
            pixels = over_white(colour, alpha, white)
    if page.photometric == _CMYK and pixels.shape[2] == 4 and white is not None:
        ink = pixels.astype(np.uint64)
        pixels = ((white - ink[:, :, :3]) * (white - ink[:, :, 3:]) // white).astype(pixels.dtype)
    return pixels


def _upright_gray(pixels: np.ndarray, page: Any, alphas: list[int], white: int) -> np.ndarray:
    """Return gray as light, where the file has it as ink; the samples of transparency stay."""
    light = white - pixels
    for alpha in alphas:
        light[:, :, alpha] = pixels[:, :, alpha]
    if alphas and page.extrasamples[0] == 1:  # the ink was multiplied by it already
        inks = [i for i in range(pixels.shape[2]) if i not in alphas]
        opaque = pixels[:, :, alphas[:1]]
        light[:, :, inks] = opaque - np.minimum(pixels[:, :, inks], opaque)
    return light.astype(pixels.dtype)


def _by_pillow(file: BinaryIO, header: Header, page: Any) -> np.ndarray | None:
    """Read with Pillow what tifffile has no codec for, if nothing is lost on the way."""
    from PIL import Image

    if header.channels != 1 or page.samplesperpixel != 1:
        return None
    file.seek(0)
    with Image.open(file, formats=["TIFF"]) as image:
        image.load()
        pixels = from_pillow(image)
    same = str(pixels.dtype) == header.dtype and pixels.shape[:2] == (header.height, header.width)
    return pixels if same else None
