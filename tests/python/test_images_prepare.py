"""Preparing images: against Pillow, scikit-image and torchvision's rule written out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray

from diglot.errors import ImageError
from diglot.graph import InputSpec
from diglot.images import prepare

RANDOM = np.random.default_rng(0)
PHOTO = np.asarray(
    Image.fromarray(RANDOM.integers(0, 255, (9, 13, 3), dtype=np.uint8)).resize((64, 44))
)
METHODS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@pytest.mark.parametrize("method", METHODS)
def test_squash_is_pillows_resize(method):
    spec = InputSpec(20, 30, 3, interpolation=method)
    want = np.asarray(Image.fromarray(PHOTO).resize((30, 20), METHODS[method]))
    np.testing.assert_array_equal(prepare(PHOTO, spec, "x"), want)
    gray = prepare(PHOTO[:, :, :1], InputSpec(20, 30, 1, interpolation=method), "x")
    want = np.asarray(Image.fromarray(PHOTO[:, :, 0]).resize((30, 20), METHODS[method]))
    np.testing.assert_array_equal(gray[:, :, 0], want)


@pytest.mark.parametrize("method", METHODS)
def test_types_and_channel_counts_agree(method):
    spec = InputSpec(20, 30, 3, interpolation=method)
    eight = prepare(PHOTO, spec, "x") / 255
    single = prepare(PHOTO.astype(np.float32) / 255, spec, "x")
    sixteen = prepare(PHOTO.astype(np.uint16) * 257, spec, "x")
    assert single.dtype == sixteen.dtype == np.float32
    np.testing.assert_allclose(np.clip(single, 0, 1), eight, atol=1.5 / 255)
    np.testing.assert_allclose(sixteen, single, atol=1e-5)
    five = np.dstack([PHOTO, PHOTO[:, :, :2]])
    many = prepare(five, InputSpec(20, 30, 5, interpolation=method), "x")
    np.testing.assert_allclose(many[:, :, :3].astype(int), prepare(PHOTO, spec, "x"), atol=1)
    np.testing.assert_array_equal(many[:, :, 3], many[:, :, 0])


def test_large_reductions_are_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[:, :, None]
    small = prepare(stripes, InputSpec(8, 8, 1), "x")
    assert np.abs(small.astype(int) - 128).max() < 8


def torchvision_crop(image, height, width, fraction, method):
    """Resize the shorter side, then cut the centre out, as torchvision's transforms do."""
    side = math.floor(height / fraction)
    w, h = image.size
    size = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    image = image.resize(size, method)
    top = int(round((image.height - height) / 2.0))
    left = int(round((image.width - width) / 2.0))
    return image.crop((left, top, left + width, top + height))


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("fraction", [0.875, 1.0, 0.96])
def test_crop_is_torchvisions(method, turn, fraction):
    photo = np.ascontiguousarray(PHOTO.transpose(1, 0, 2)) if turn else PHOTO
    spec = InputSpec(24, 24, 3, resize="crop", crop_fraction=fraction, interpolation=method)
    want = torchvision_crop(Image.fromarray(photo), 24, 24, fraction, METHODS[method])
    got = prepare(photo, spec, "x").astype(int)
    # Cutting before resizing may round single values differently.
    difference = np.abs(got - np.asarray(want))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_crop_to_a_rectangle_keeps_the_proportions():
    spec = InputSpec(20, 40, 1, resize="crop", crop_fraction=0.8)
    ramp = np.tile(np.arange(120, dtype=np.float32), (60, 1))[:, :, None]
    got = prepare(ramp, spec, "x")[:, :, 0]
    # 60 x 120 covers 25 x 50 exactly; the middle 40 of 50 columns are pixels 12 to 108.
    np.testing.assert_allclose(got[0], 12 + (np.arange(40) + 0.5) * 2.4 - 0.5, atol=0.05)
    assert got.shape == (20, 40)


def test_long_narrow_images_need_no_huge_ones_in_between():
    narrow = np.zeros((2, 60_000, 1), np.uint8)
    spec = InputSpec(200, 200, 1, resize="crop")
    assert prepare(narrow, spec, "x").shape == (200, 200, 1)


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_the_right_size_is_left_alone(resize):
    spec = InputSpec(44, 64, 3, resize=resize, interpolation="bicubic")
    for image in (PHOTO, PHOTO.astype(np.float32)):
        assert prepare(image, spec, "x").tobytes() == image.tobytes()


def test_gray_files_serve_colour_networks_and_arrays_do_not():
    gray = PHOTO[:, :, :1]
    spec = InputSpec(44, 64, 3)
    three = prepare(gray, spec, "cat.png", from_file=True)
    np.testing.assert_array_equal(three, np.repeat(gray, 3, axis=2))
    with pytest.raises(
        ImageError, match=r"row 3 of the array has 1 channel, .* takes 3; .*channels=1"
    ):
        prepare(gray, spec, "row 3 of the array")
    willing = dataclasses.replace(spec, convert_colour=True)
    assert prepare(gray, willing, "row 3 of the array").shape == (44, 64, 3)


def test_colour_becomes_gray_only_where_that_is_allowed():
    spec = InputSpec(44, 64, 1)
    for from_file in (True, False):
        with pytest.raises(ImageError, match=r"'cat\.png' has 3 channels, .* takes 1"):
            prepare(PHOTO, spec, "cat.png", from_file=from_file)
    willing = dataclasses.replace(spec, convert_colour=True)
    want = np.asarray(Image.fromarray(PHOTO).convert("L"))
    np.testing.assert_array_equal(prepare(PHOTO, willing, "x")[:, :, 0], want)
    single = prepare(PHOTO.astype(np.float32) / 255, willing, "x")[:, :, 0]
    np.testing.assert_allclose(single, want / 255, atol=1 / 255)
    # scikit-image weighs colours a little differently (BT.709), so only roughly.
    np.testing.assert_allclose(single, rgb2gray(PHOTO), atol=0.15)
    with pytest.raises(ImageError, match="has 5 channels"):
        prepare(np.zeros((44, 64, 5), np.uint8), willing, "x")
