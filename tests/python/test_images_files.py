"""Files made to fit: large JPEGs are decoded small, all others have the pixels of a full decode."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from skimage import data

from diglot.errors import ImageError
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images, decode, prepare, prepare_file
from diglot.images.decode import read_picture

CROP = InputSpec(48, 40, 3, resize="crop", interpolation="bicubic")
SQUASH = InputSpec(48, 40, 3)
PHOTOS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "rocket")


@pytest.fixture(scope="module")
def photos():
    return {name: np.asarray(Image.fromarray(getattr(data, name)())) for name in PHOTOS}


def saved(path, pixels, orientation=1, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return str(path)


def in_full(path, spec):
    """Every pixel decoded, turned by Pillow's own function, and resized."""
    image = ImageOps.exif_transpose(Image.open(path))
    return prepare(np.asarray(image), spec, path, from_file=True)


@pytest.mark.parametrize("spec", [CROP, SQUASH], ids=["crop", "squash"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("name", PHOTOS)
def test_large_photographs_change_hardly(tmp_path, photos, name, subsampling, spec):
    path = saved(tmp_path / "p.jpg", photos[name], quality=90, subsampling=subsampling)
    got, want = prepare_file(path, spec).astype(int), in_full(path, spec).astype(int)
    assert read_picture(path, lambda height, width: (55, 55)).scale > 1
    difference = np.abs(got - want)
    assert 0 < difference.mean() < 1
    assert np.percentile(difference, 99) <= 4
    assert np.abs((got - want).mean(axis=(0, 1))).max() < 0.4


@pytest.mark.parametrize("size", [(401, 299), (403, 294)])
@pytest.mark.parametrize("spec", [CROP, SQUASH], ids=["crop", "squash"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_drafted_picture_lies_where_the_whole_one_does(tmp_path, orientation, spec, size):
    # Waves across and along: a shift by a tenth of a pixel would change values by several steps.
    down, across = np.mgrid[: size[1], : size[0]]
    waves = [np.sin(across / 20), np.sin(down / 20), np.sin((across + 2 * down) / 40)]
    pixels = (127.5 + 110 * np.stack(waves, axis=2)).astype(np.uint8)
    path = saved(tmp_path / "p.jpg", pixels, orientation, quality=100, subsampling=0)
    spec = dataclasses.replace(spec, height=36, width=32, interpolation="bilinear")
    difference = prepare_file(path, spec).astype(int) - in_full(path, spec)
    assert np.abs(difference).mean() < 0.5
    assert np.abs(difference[1:-1, 1:-1]).max() <= 2  # at the edge there is less to average over


def test_how_much_smaller_a_jpeg_is_decoded(tmp_path):
    path = saved(tmp_path / "p.jpg", np.zeros((600, 900, 3), np.uint8))
    turned = saved(tmp_path / "t.jpg", np.zeros((600, 900, 3), np.uint8), 6)
    for wanted, scale in {(300, 300): 1, (151, 10): 1, (150, 226): 1, (150, 225): 2, (75, 1): 4,
                          (38, 1): 4, (37, 1): 8, (1, 1): 8}.items():  # fmt: skip
        found = read_picture(path, lambda *_, wanted=wanted: wanted)
        assert (found.scale, found.height, found.width) == (scale, 600, 900)
        assert found.image.size == (-(-900 // scale), -(-600 // scale))
        found = read_picture(turned, lambda *_, wanted=wanted[::-1]: wanted)
        assert (found.scale, found.height, found.width) == (scale, 900, 600)
    seen = []
    read_picture(turned, lambda height, width: seen.append((height, width)))
    assert seen == [(900, 600)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("spec", [CROP, SQUASH], ids=["crop", "squash"])
def test_small_photographs_have_the_very_same_pixels(tmp_path, photos, orientation, spec):
    spec = dataclasses.replace(spec, height=100, width=110)
    path = saved(tmp_path / "p.jpg", photos["chelsea"], orientation)
    got = prepare_file(path, spec)
    np.testing.assert_array_equal(got, in_full(path, spec))
    np.testing.assert_array_equal(got, prepare(decode(path), spec, path))
    gray = saved(tmp_path / "g.jpg", photos["chelsea"][:, :, 1], orientation)
    np.testing.assert_array_equal(
        prepare_file(gray, spec), prepare(decode(gray), spec, gray, from_file=True)
    )


def test_single_pixels_are_picked_from_all(tmp_path, photos):
    path = saved(tmp_path / "p.jpg", photos["rocket"])
    spec = dataclasses.replace(SQUASH, interpolation="nearest")
    np.testing.assert_array_equal(prepare_file(path, spec), in_full(path, spec))


def test_other_formats_and_modes_have_all_their_pixels(tmp_path, photos):
    big = photos["coffee"]
    alpha = np.tile(np.linspace(0, 255, big.shape[1]).astype(np.uint8), (big.shape[0], 1))
    deep = big[:, :, 0].astype(np.uint16) * 257
    Image.fromarray(big).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(big).save(tmp_path / "colour.webp")
    Image.fromarray(big).quantize(32).save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([big, alpha])).save(tmp_path / "alpha.png")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(big[:, :, 0] > 99).save(tmp_path / "bits.png")
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    Image.fromarray(big).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    for path in map(str, tmp_path.iterdir()):
        for spec in (CROP, SQUASH, InputSpec(48, 40, 1, convert_colour=True)):
            want = prepare(decode(path), spec, path, from_file=True)
            got = prepare_file(path, spec)
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want, err_msg=path)


def test_a_phones_picture_with_a_second_one_in_it(tmp_path, photos):
    path = tmp_path / "phone.jpg"
    first, second = (Image.fromarray(photos[name]) for name in ("rocket", "coffee"))
    first.save(path, format="MPO", save_all=True, append_images=[second])
    assert read_picture(str(path), lambda *_: (40, 40)).scale == 4
    got, want = prepare_file(str(path), CROP).astype(int), prepare(photos["rocket"], CROP, "")
    assert np.abs(got - want).mean() < 3


def test_colour_becomes_gray_where_that_is_allowed(tmp_path, photos):
    path = saved(tmp_path / "p.jpg", photos["chelsea"])
    spec = InputSpec(200, 210, 1, convert_colour=True)
    np.testing.assert_array_equal(prepare_file(path, spec), in_full(path, spec))
    with pytest.raises(ImageError, match=r"p\.jpg' has 3 channels"):
        prepare_file(path, dataclasses.replace(spec, convert_colour=False))


def test_a_large_file_that_is_cut_is_refused(tmp_path, photos):
    path = tmp_path / "p.jpg"
    saved(path, photos["rocket"])
    content = path.read_bytes()
    for part in (0.02, 0.4, 0.9):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ImageError, match=r"p\.jpg.*cut"):
            prepare_file(str(path), SQUASH)


def test_a_bomb_is_refused_however_small_it_is_wanted(tmp_path, monkeypatch):
    path = saved(tmp_path / "p.jpg", np.zeros((100, 100, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(ImageError, match=r"p\.jpg.*decompression bomb"):
        prepare_file(path, InputSpec(2, 2, 3))


def test_training_and_scoring_see_the_same(tmp_path, photos):
    paths = [saved(tmp_path / f"{name}.jpg", photo) for name, photo in photos.items()]
    images = as_images(paths)
    want = np.stack([prepare_file(path, CROP) for path in paths])
    for cache in (True, False):
        with PreparedImages(images, CROP, cache=cache) as prepared:
            np.testing.assert_array_equal(prepared.get(np.arange(len(paths))), want)
    np.testing.assert_array_equal(images.prepared(3, CROP), want[3])
