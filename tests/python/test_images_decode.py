"""Decoding against Pillow, tifffile, numpy and planted pixels; hostile files."""

from __future__ import annotations

import io
import lzma
import os
import struct
import sys
import time
import tracemalloc
import zlib
from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from diglot.errors import ImageError
from diglot.graph import InputSpec
from diglot.images import decode, prepare_file, read_header
from diglot.images.picture import Header

# Asymmetric in every direction and not square, so that no transpose can hide.
RAMP = (np.arange(5)[:, None] * 40 + np.arange(7)[None, :] * 5).astype(np.uint8)
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP[::-1]], axis=2)


def agree(path):
    """Decode, and check that the header told the truth."""
    pixels, header = decode(str(path)), read_header(str(path))
    assert pixels.shape == (header.height, header.width, header.channels)
    assert str(pixels.dtype) == header.dtype
    assert pixels.flags.c_contiguous
    return pixels


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "webp", "tif"])
def test_lossless_gray_and_colour(tmp_path, ending):
    gray, colour = tmp_path / f"gray.{ending}", tmp_path / f"colour.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(RAMP).save(gray, **options)
    Image.fromarray(COLOUR).save(colour, **options)
    if ending in ("gif", "webp"):
        # These formats have no true gray; WebP none at all, GIF only by a gray palette.
        np.testing.assert_array_equal(agree(gray)[:, :, 0], RAMP)
    else:
        np.testing.assert_array_equal(agree(gray), RAMP[:, :, None])
    np.testing.assert_array_equal(agree(colour), COLOUR)


def test_jpeg_as_pillow_and_by_content_not_by_name(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(COLOUR).save(path, format="JPEG", quality=95)
    np.testing.assert_array_equal(agree(path), np.asarray(Image.open(path)))


def test_gif_first_frame(tmp_path):
    path = tmp_path / "film.gif"
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(agree(path)[:, :, 0], RAMP)


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_exif_orientation(tmp_path, orientation, ending):
    path = tmp_path / f"turned.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(COLOUR).save(path, exif=exif, **options)
    np.testing.assert_array_equal(agree(path), TURNED[orientation](COLOUR))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_jpeg_and_deep_tiff(tmp_path, orientation):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(path, exif=exif, quality=100, subsampling=0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(agree(path), upright)
    assert np.abs(agree(path).astype(int) - TURNED[orientation](COLOUR).astype(int)).max() < 16

    deep = COLOUR.astype(np.uint16) * 257
    path = tmp_path / "turned.tif"
    tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(agree(path), TURNED[orientation](deep))


def test_exif_after_the_pixels_of_a_png(tmp_path):
    plain = io.BytesIO()
    Image.fromarray(COLOUR).save(plain, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
    content = plain.getvalue()
    path = tmp_path / "late.png"
    path.write_bytes(content[:-12] + chunk + content[-12:])
    np.testing.assert_array_equal(agree(path), TURNED[6](COLOUR))
    np.testing.assert_array_equal(
        agree(path), np.asarray(ImageOps.exif_transpose(Image.open(path)))
    )


def test_damaged_exif_is_ignored(tmp_path):
    path = tmp_path / "odd.png"
    Image.fromarray(COLOUR).save(path, exif=b"Exif\0\0" + b"\xff" * 40)
    np.testing.assert_array_equal(agree(path), COLOUR)


def over_white(colour, alpha):
    part = alpha[:, :, None] / 255
    return colour * part + 255 * (1 - part)


def test_transparency_is_laid_over_white(tmp_path):
    alpha = np.linspace(0, 255, RAMP.size).round().astype(np.uint8).reshape(RAMP.shape)
    path = tmp_path / "rgba.png"
    Image.fromarray(np.dstack([COLOUR, alpha])).save(path)
    assert np.abs(agree(path) - over_white(COLOUR, alpha)).max() <= 1
    path = tmp_path / "la.png"
    Image.fromarray(np.dstack([RAMP, alpha])).save(path)
    assert np.abs(agree(path) - over_white(RAMP[:, :, None], alpha)).max() <= 1
    assert agree(path).shape[2] == 1


def test_palette_and_named_transparent_colours(tmp_path):
    indices = Image.fromarray((np.arange(35) % 3).astype(np.uint8).reshape(5, 7))
    palette = Image.fromarray(np.asarray(indices))
    palette = palette.convert("P")
    palette.putdata(list(np.asarray(indices).ravel()))
    palette.putpalette([10, 20, 30, 200, 100, 50, 1, 2, 3])
    path = tmp_path / "palette.png"
    palette.save(path)
    table = np.array([[10, 20, 30], [200, 100, 50], [1, 2, 3]])
    np.testing.assert_array_equal(agree(path), table[np.asarray(indices)])
    palette.save(path, transparency=1)
    table[1] = 255
    np.testing.assert_array_equal(agree(path), table[np.asarray(indices)])
    # A single gray value, or colour, of a PNG can be transparent too.
    Image.fromarray(RAMP).save(path, transparency=int(RAMP[2, 3]))
    want = np.where(np.equal(RAMP, RAMP[2, 3]), 255, RAMP)
    np.testing.assert_array_equal(agree(path), want[:, :, None])
    Image.fromarray(COLOUR).save(path, transparency=tuple(int(v) for v in COLOUR[1, 1]))
    assert agree(path)[1, 1].tolist() == [255, 255, 255]
    assert agree(path)[0, 0].tolist() == COLOUR[0, 0].tolist()


def test_cmyk_and_one_bit(tmp_path):
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    path = tmp_path / "press.jpg"
    cmyk.save(path, quality=100)
    pixels = agree(path)
    assert pixels.shape == (5, 7, 3)
    assert np.abs(pixels.astype(int) - COLOUR).mean() < 12
    path = tmp_path / "press.tif"
    cmyk.save(path)
    np.testing.assert_array_equal(agree(path), np.asarray(cmyk.convert("RGB")))
    bits = RAMP > 100
    for ending in ("png", "tif", "bmp"):
        path = tmp_path / f"bits.{ending}"
        Image.fromarray(bits).save(path)
        np.testing.assert_array_equal(agree(path)[:, :, 0], bits * 255)


def test_sixteen_bit_gray_png(tmp_path):
    deep = RAMP.astype(np.uint16) * 257 + 3
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    pixels = agree(path)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[:, :, 0], deep)


@pytest.mark.parametrize(
    "array",
    [
        RAMP.astype(np.uint16) * 200,
        RAMP.astype(np.float32) / 7,
        RAMP.astype(np.float64) / 7,
        RAMP.astype(np.int16) - 100,
        RAMP.astype(np.uint32) * 1000,
        RAMP.astype(np.float16),
    ],
    ids=str,
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_gray_tiff(tmp_path, array, compression):
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, array, compression=compression, byteorder=">")
    pixels = agree(path)
    want = array if array.dtype == np.uint16 else array.astype(np.float32)
    np.testing.assert_array_equal(pixels[:, :, 0], want)


def test_many_channels_in_tiff(tmp_path):
    random = np.random.default_rng(0)
    five = random.integers(0, 65535, (6, 9, 5), dtype=np.uint16)
    ways = {
        "together": (five, {"photometric": "minisblack", "planarconfig": "contig"}),
        "apart": (
            five.transpose(2, 0, 1),
            {"photometric": "minisblack", "planarconfig": "separate"},
        ),
        "last axis": (five, {"photometric": "minisblack"}),
        "first axis": (five.transpose(2, 0, 1), {"photometric": "minisblack"}),
        "imagej": (
            five.transpose(2, 0, 1),
            {"imagej": True, "metadata": {"axes": "CYX"}},
        ),
        "ome": (five.transpose(2, 0, 1), {"ome": True, "metadata": {"axes": "CYX"}}),
        "small": (
            (five >> 8).astype(np.uint8),
            {"photometric": "minisblack", "planarconfig": "contig"},
        ),
    }
    for name, (array, options) in ways.items():
        path = tmp_path / f"{name}.ome.tif" if name == "ome" else tmp_path / f"{name}.tif"
        tifffile.imwrite(path, array, **options)
        want = array if array.shape == (6, 9, 5) else array.transpose(1, 2, 0)
        np.testing.assert_array_equal(agree(path), want, err_msg=name)


def test_tiff_alpha_is_no_channel(tmp_path):
    deep = np.dstack([COLOUR, RAMP]).astype(np.uint16) * 257
    path = tmp_path / "alpha.tif"
    tifffile.imwrite(path, deep, photometric="rgb", extrasamples=["unassalpha"])
    pixels = agree(path)
    want = over_white(COLOUR, RAMP) * 257
    assert pixels.dtype == np.uint16 and pixels.shape[2] == 3
    assert np.abs(pixels - want).max() <= 1
    premultiplied = deep.copy()
    premultiplied[:, :, :3] = np.round(deep[:, :, :3] * (deep[:, :, 3:] / 65535))
    tifffile.imwrite(path, premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(agree(path) - want).max() <= 2
    measured = np.dstack([deep, deep])
    tifffile.imwrite(
        path,
        measured,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"] * 6 + ["unassalpha"],
    )
    np.testing.assert_array_equal(agree(path), measured[:, :, :7])


def test_stacks_give_their_first_slice_and_pages_their_first(tmp_path):
    stack = np.random.default_rng(0).integers(0, 255, (4, 2, 6, 9), dtype=np.uint16)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(agree(path), stack[0].transpose(1, 2, 0))
    pages = tmp_path / "pages.tif"
    images = [Image.fromarray(RAMP), Image.fromarray(RAMP.T)]
    images[0].save(pages, save_all=True, append_images=images[1:])
    np.testing.assert_array_equal(agree(pages)[:, :, 0], RAMP)


def test_tiff_where_zero_is_white(tmp_path):
    deep = RAMP.astype(np.uint16) * 9
    for array, white in ((deep, 65535), (RAMP, 255)):
        path = tmp_path / "inverted.tif"
        tifffile.imwrite(path, array, photometric="miniswhite")
        np.testing.assert_array_equal(agree(path)[:, :, 0], white - array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha"])
def test_transparent_tiff_where_zero_is_white(tmp_path, dtype, extra):
    """Ink on white paper: where it is transparent, the paper is seen."""
    white = np.iinfo(dtype).max
    rng = np.random.default_rng(3)
    ink, alpha = rng.integers(0, white + 1, (2, 5, 7)).astype(dtype)
    alpha[0], alpha[1] = 0, white
    share = alpha / white
    stored = ink if extra == "unassalpha" else np.round(ink * share).astype(dtype)
    path = tmp_path / "ink.tif"
    layers = {"photometric": "miniswhite", "planarconfig": "contig", "extrasamples": [extra]}
    tifffile.imwrite(path, np.stack([stored, alpha], axis=-1), **layers)
    found = agree(path)[:, :, 0]
    np.testing.assert_allclose(found, white - ink * share, atol=1)
    assert (found[0] == white).all() and (found[1] == white - ink[1]).all()


def test_palettes_of_16_bits_keep_their_colours(tmp_path):
    rng = np.random.default_rng(4)
    for dtype, shift in (("uint8", 8), ("uint16", 0)):
        table = rng.integers(0, 1 << 16, (3, np.iinfo(dtype).max + 1)).astype(np.uint16)
        places = rng.integers(0, table.shape[1], (5, 7)).astype(dtype)
        path = tmp_path / f"{dtype}.tif"
        tifffile.imwrite(path, places, photometric="palette", colormap=table)
        with tifffile.TiffFile(path) as tiff:
            wanted = tiff.pages.first.asrgb() if dtype == "uint16" else None
        colours = np.moveaxis(table[:, places], 0, -1) >> shift
        found = agree(path)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, colours)
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted)


def test_lzw_without_imagecodecs(tmp_path):
    for mode, array in {"gray": RAMP, "rgb": COLOUR, "deep": RAMP.astype(np.uint16) * 257}.items():
        path = tmp_path / f"{mode}.tif"
        Image.fromarray(array).save(path, compression="tiff_lzw")
        np.testing.assert_array_equal(agree(path).squeeze(), array)


def test_not_finite_tiff(tmp_path):
    path = tmp_path / "gap.tif"
    array = RAMP.astype(np.float32)
    array[2, 3] = np.nan
    tifffile.imwrite(path, array)
    with pytest.raises(ImageError, match="gap.tif.*NaN"):
        decode(str(path))


# ---------------------------------------------------------------------------------- hostile files


def samples(folder):
    """One valid file of each kind."""
    big = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    for ending in ("png", "jpg", "gif", "bmp", "webp"):
        Image.fromarray(big).save(folder / f"whole.{ending}")
    tifffile.imwrite(folder / "whole.tif", big, photometric="rgb")
    tifffile.imwrite(folder / "whole16.tif", big.astype(np.uint16), photometric="rgb")
    tifffile.imwrite(
        folder / "wholez.tif", big.astype(np.uint16), photometric="rgb", compression="zlib"
    )
    return sorted(folder.glob("whole*"))


def test_cut_files_are_refused_by_name(tmp_path):
    for whole in samples(tmp_path):
        content = whole.read_bytes()
        decode(str(whole))
        for part in (0.02, 0.3, 0.7, 0.9):
            cut = tmp_path / f"cut{whole.suffix}"
            cut.write_bytes(content[: int(len(content) * part)])
            with pytest.raises(ImageError, match="cut"):
                decode(str(cut))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
def test_damaged_files_never_crash(tmp_path):
    random = np.random.default_rng(1)
    for whole in samples(tmp_path):
        content = np.frombuffer(whole.read_bytes(), np.uint8)
        damaged = tmp_path / f"damaged{whole.suffix}"
        for _ in range(25):
            bytes_ = content.copy()
            where = random.integers(0, min(len(bytes_), 400), 6)
            bytes_[where] = random.integers(0, 256, 6)
            damaged.write_bytes(bytes_.tobytes())
            for read in (decode, read_header, partial(prepare_file, spec=InputSpec(5, 4, 3))):
                try:
                    read(str(damaged))
                except ImageError as error:
                    assert "damaged" in str(error)


def test_what_is_no_image(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.png.*0 bytes"):
        decode(str(tmp_path / "empty.png"))
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ImageError, match=r"text\.png.*is not a PNG, JPEG"):
        decode(str(tmp_path / "text.png"))
    (tmp_path / "start.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"start\.png"):
        decode(str(tmp_path / "start.png"))
    with pytest.raises(ImageError, match="is a folder"):
        decode(str(tmp_path))
    with pytest.raises(ImageError, match=r"no file.*none\.png"):
        decode(str(tmp_path / "none.png"))
    with pytest.raises(ImageError, match="web address"):
        decode("https://example.org/cat.png")
    with pytest.raises(ImageError):
        decode("nul\0.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        decode(str(tmp_path / "pipe.png"))


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(RAMP).save(path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # Permissions alone do not stop root, who runs the tests in containers.
    monkeypatch.setattr(sys.modules["diglot.images.decode"], "opened", refuse)
    with pytest.raises(ImageError, match=r"secret\.png.*permissions"):
        decode(str(path))


def png_of(width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_decompression_bombs(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(50_000, 50_000))
    for read in (decode, read_header):
        with pytest.raises(ImageError, match=r"bomb\.png.*decompression bomb"):
            read(str(path))
    # TIFF is not read by Pillow alone: with the limit down, an honest file shows the rule.
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / "bomb.tif"
        tifffile.imwrite(path, np.zeros((100, 100, 3), dtype), photometric="rgb")
        with monkeypatch.context() as patch:
            patch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
            for read in (decode, read_header):
                with pytest.raises(ImageError, match=r"bomb\.tif.*decompression bomb"):
                    read(str(path))
        decode(str(path))


# ------------------------------------------------------------------ TIFF files that claim much


def peak(read):
    """Return what a reader answers, and the most memory that it held meanwhile."""
    tracemalloc.start()
    try:
        return read(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "metadata": {"axes": "TZCYX"}},
        {"ome": True, "metadata": {"axes": "TZCYX"}},
        {"ome": True, "metadata": {"axes": "CZTYX"}},
        {"metadata": {"axes": "TZCYX"}},
        {"metadata": {"axes": "CZTYX"}},
    ],
    ids=["ImageJ", "OME", "OME, channels apart", "shaped", "shaped, channels apart"],
)
def test_of_a_stack_only_the_first_image_is_read(tmp_path, options, compression):
    sizes = dict(zip("TZCYX", (5, 4, 3, 120, 130), strict=True))
    axes = options["metadata"]["axes"]
    shape = [sizes[axis] for axis in axes]
    stack = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, stack, compression=compression, photometric="minisblack", **options)
    found, most = peak(lambda: decode(str(path)))
    first = stack[0, 0] if axes[0] == "T" else stack[:, 0, 0]
    np.testing.assert_array_equal(found, first.transpose(1, 2, 0))
    assert read_header(str(path)) == Header(120, 130, 3, "uint16")
    if most > 2e6:  # the first time modules are loaded, too
        most = peak(lambda: decode(str(path)))[1]
    assert most < 1.2e6 < stack.nbytes  # an image has 94 kB


def test_a_stack_that_was_cut_is_refused_where_the_first_image_is_missing(tmp_path):
    path = tmp_path / "a.tif"
    stack = np.arange(3 * 50 * 60, dtype=np.uint16).reshape(3, 50, 60)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "CYX"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-3000])
    with pytest.raises(ImageError, match=r"a\.tif"):
        decode(str(path))


@pytest.mark.parametrize(
    "change",
    [
        (b'SizeT="5"', b'SizeT="3000000"'),
        (b'SizeZ="4"', b'SizeZ="99999"'),
        (b'SizeT="5"', b'SizeT="&#51;000000"'),
        (b'PlaneCount="20"', b'PlaneCount="9999999"'),
        (b'FirstT="0"', b'FirstT="9e9"'),
        (b'SizeC="1"', b'SizeC="1e999"'),
        (b"<Image ", b'<X><ModuloAlongZ Start="0" End="1e9"/></X><Image '),
        (b"<Image ", b'<X><ModuloAlongZ Start="0" End="1" Step="0"/></X><Image '),
        (b"<OME ", b"<!DOCTYPE a><OME "),
    ],
    ids=lambda change: change[1].decode()[:20],
)
def test_an_ome_description_that_counts_without_end_is_refused(tmp_path, change):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((5, 4, 6, 7), np.uint16), metadata={"axes": "TZYX"}, ome=True)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata.encode()
    for before, after in [(b'SizeT="5"', b'SizeT="5"'), change]:
        if before == b'FirstT="0"' and before not in text:
            text = text.replace(b'IFD="0"', b'IFD="0" FirstT="0"')
        assert before in text
        tifffile.imwrite(
            path,
            np.zeros((6, 7), np.uint16),
            description=text.replace(before, after),
            metadata=None,
        )
        if before == after:
            continue
        for read in (read_header, decode):
            start = time.perf_counter()
            with pytest.raises(ImageError, match=r"a\.ome\.tif.*OME file"):
                read(str(path))
            assert time.perf_counter() - start < 0.3


def test_an_ome_file_without_all_its_pages_is_refused_silently(tmp_path, capfd):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.ones((2, 6, 7), np.uint16), metadata={"axes": "CYX"}, ome=True)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata.encode()
    tifffile.imwrite(path, np.ones((6, 7), np.uint16), description=text, metadata=None)
    with pytest.raises(ImageError, match=r"a\.ome\.tif"):
        decode(str(path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
@pytest.mark.parametrize("samples", [1, 4])
def test_tiff_strips_that_are_not_there_are_no_pixels(tmp_path, dtype, samples):
    path = tmp_path / "hollow.tif"
    size = np.dtype(dtype).itemsize
    for codec, strip in ((None, b""), ("zlib", zlib.compress(b"\0" * 9000))):
        plain = np.zeros((100, 100, samples) if samples > 1 else (100, 100), dtype)
        tifffile.imwrite(
            path, plain, compression=codec, metadata=None, rowsperstrip=100,
            photometric="rgb" if samples > 1 else "minisblack",
        )  # fmt: skip
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tags = tiff.pages.first.tags
            offset, count = tags["StripOffsets"], tags["StripByteCounts"]
            assert len(tiff.pages.first.dataoffsets) == 1
            for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tags[name].overwrite(3000)
            if not strip:
                offset.overwrite(0)
                count.overwrite(0)
        (_, most) = peak(lambda: refused(path))
        assert most < 3e6 < 9e6 * samples * size


def refused(path):
    with pytest.raises(ImageError, match=path.name):
        decode(str(path))


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_tiff_strip_that_inflates_to_more_than_it_may_is_refused(tmp_path, compression):
    path = tmp_path / "bomb.tif"
    bomb = {"zlib": zlib.compress, "lzma": lzma.compress}[compression](b"\0" * 200_000_000)
    plain = np.arange(100 * 100, dtype=np.uint16).reshape(100, 100)
    tifffile.imwrite(path, plain, compression=compression, metadata=None)
    np.testing.assert_array_equal(decode(str(path))[:, :, 0], plain)
    place = path.stat().st_size
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages.first.tags
        tags["StripOffsets"].overwrite(place)
        tags["StripByteCounts"].overwrite(len(bomb))
    with path.open("ab") as file:
        file.write(bomb)
    assert peak(lambda: refused(path))[1] < 30e6
