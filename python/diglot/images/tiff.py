"""TIFF files: ordinary pictures by Pillow, all others by tifffile."""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

import numpy as np

from diglot.errors import ImageError
from diglot.images.picture import Header, Picture, over_white, refuse_bomb, turned
from diglot.images.pillow import from_pillow, pillow_picture
from diglot.images.tiff_checks import check_ome, read_stack, refuse_hollow

_SILENT = logging.NullHandler()
_GRAY_INVERTED, _GRAY, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6


def tiff_header(file: BinaryIO, path: str) -> Header:
    """Describe what `tiff_picture` will return."""
    import tifffile

    # _multifile: an OME file may name other files, which are none of our business.
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        page = tiff.pages.first
        _refuse_bomb(path, page)
        if not _plain(tiff):
            return _described(tiff, path)
        # Pillow turns TIFF images while it loads them, but not every version's size tells so.
        height, width = page.imagelength, page.imagewidth
        if _orientation(page) >= 5:
            height, width = width, height
        return Header(
            height, width, 1 if page.photometric in (_GRAY, _GRAY_INVERTED) else 3, "uint8"
        )


def tiff_picture(file: BinaryIO, path: str) -> Picture | np.ndarray:
    """Read a file, whose sizes are checked first; an ordinary picture stays with Pillow."""
    import tifffile

    with tifffile.TiffFile(file, _multifile=False) as tiff:
        page = tiff.pages.first
        _refuse_bomb(path, page)
        refuse_hollow(file, page, path)
        if not _plain(tiff):
            return _array(tiff, file, path)
    file.seek(0)
    return pillow_picture(file, path, "TIFF")


def _refuse_bomb(path: str, page: Any) -> None:
    bits = page.bitspersample
    size = (max(bits) if isinstance(bits, tuple) else bits) // 8
    depth = page.imagedepth * page.samplesperpixel
    refuse_bomb(path, page.imagelength, page.imagewidth, depth, size)
    if page.is_ome:
        check_ome(page.description, len(page.parent.pages), path)


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


def _described(tiff: Any, path: str) -> Header:
    page = tiff.pages.first
    axes, shape = _layout(tiff, path)
    height, width, channels = _sizes(axes, shape)
    refuse_bomb(path, height, width, channels, 1 if page.dtype is None else page.dtype.itemsize)
    channels -= len(_alpha_samples(page, axes))
    if page.photometric == _CMYK and channels == 4:
        channels = 3
    if page.photometric == _PALETTE:
        channels = 3
    if _orientation(page) >= 5:
        height, width = width, height
    dtype = page.dtype
    if dtype is None:
        raise ImageError(f"'{path}' has a number format that diglot does not read.")
    name = str(dtype) if dtype in (np.uint8, np.uint16) else "float32"
    if page.bitspersample == 1:
        name = "uint8"
    return Header(height, width, channels, name)


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    value = 1 if tag is None else tag.value
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def _array(tiff: Any, file: BinaryIO, path: str) -> np.ndarray:
    page = tiff.pages.first
    axes, shape = _layout(tiff, path)
    header = _described(tiff, path)
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
    pixels = _colours(pixels, page, _alpha_samples(page, axes))
    if not np.isfinite(pixels).all():
        raise ImageError(f"'{path}' contains NaN or infinite pixels; replace them.")
    return turned(pixels, _orientation(page))


def _colours(pixels: np.ndarray, page: Any, alphas: list[int]) -> np.ndarray:
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
