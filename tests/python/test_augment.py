"""Random changes: against scipy and formulas, and independent of everything but the key."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
from scipy import ndimage, stats

from diglot import ImageClassifier, loads
from diglot.augment import Augment, augment, mixup, row_keys, smooth, uniforms, warp
from diglot.errors import InputError

RANDOM = np.random.default_rng(0)
BATCH = RANDOM.random((24, 17, 23, 3), dtype=np.float32)
KEYS = row_keys(1, 0, np.arange(24))
EVERYTHING = Augment(
    flip="both", crop=0.1, rotate=30, scale=(0.8, 1.2), shift=0.1, brightness=0.3, contrast=0.3,
    saturation=0.3, hue=0.1, erase=0.7, fill="reflect",
)  # fmt: skip


# ---------------------------------------------------------------------------------- numbers


def splitmix64(state, count):
    """Run the published generator in Python's own integers."""
    mask, found = 2**64 - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        found.append(z ^ (z >> 31))
    return found


def test_uniforms_are_splitmix64s():
    # The first outputs for the seed 1234567, as published with the reference code.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert splitmix64(1234567, 3) == published
    for key in (0, 1234567, 2**64 - 1):
        want = [(z >> 11) / 2**53 for z in splitmix64(key, 17)]
        assert uniforms(np.array([key], np.uint64), 17)[0].tolist() == want


def test_numbers_are_uniform_and_unrelated():
    keys = row_keys(3, 0, np.arange(20_000))
    draws = uniforms(keys, 17)
    assert len(set(keys.tolist())) == 20_000
    for column in draws.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    later = uniforms(row_keys(3, 1, np.arange(20_000)), 17)
    other = uniforms(row_keys(4, 0, np.arange(20_000)), 17)
    correlation = np.corrcoef(np.hstack([draws, later[:, :2], other[:, :2]]).T)
    assert np.abs(correlation - np.eye(21)).max() < 0.04
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.04


def test_keys_depend_on_row_epoch_and_seed_only():
    keys = row_keys(2**53 - 1, 7, [4, 9, 4])
    assert keys[0] == keys[2] == row_keys(2**53 - 1, 7, 4)[0]
    assert keys.dtype == np.uint64
    assert (
        len({int(row_keys(s, e, [r])[0]) for s in range(9) for e in range(9) for r in range(9)})
        == 729
    )


def test_an_image_does_not_depend_on_its_batch():
    whole = EVERYTHING.apply(BATCH, KEYS)
    order = np.array([4, 0, 5])
    assert EVERYTHING.apply(BATCH[order], KEYS[order]).tobytes() == whole[order].tobytes()
    fortran = np.asfortranarray(BATCH)
    assert EVERYTHING.apply(fortran, KEYS).tobytes() == whole.tobytes()
    assert not np.array_equal(EVERYTHING.apply(BATCH, row_keys(1, 1, np.arange(24))), whole)
    assert whole.shape == BATCH.shape and whole.dtype == np.float32
    assert EVERYTHING.apply(BATCH[:0], KEYS[:0]).shape == (0, 17, 23, 3)


def test_switching_one_change_on_leaves_the_others():
    plain = Augment(flip="horizontal").apply(BATCH, KEYS)
    both = Augment(flip="horizontal", brightness=0.2).apply(BATCH, KEYS)
    for before, after in zip(plain, both, strict=True):
        ratio = after[after < 1] / before[after < 1]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


# ---------------------------------------------------------------------------------- moves


@pytest.mark.parametrize(
    ("fill", "mode"), [("edge", "nearest"), ("reflect", "mirror"), (0.25, "grid-constant")]
)
def test_warp_is_scipys(fill, mode):
    for angle, zoom, shift in ((0.3, 1.2, 2.3), (-1.1, 0.6, -4.7), (0, 1, 0.5), (math.pi, 3, 0)):
        linear = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        linear /= zoom
        start = np.array([8, 11]) - linear @ np.array([8 + shift, 11 - shift])
        got = warp(BATCH[0], np.column_stack([linear, start]), fill)
        for channel in range(3):
            want = ndimage.affine_transform(
                BATCH[0, :, :, channel].astype(float), linear, start, order=1, mode=mode, cval=0.25
            )
            np.testing.assert_allclose(got[:, :, channel], want, atol=2e-5)


def test_flips_are_exact_and_fair():
    many = np.repeat(BATCH[:1], 2000, axis=0)
    out = Augment(flip="both").apply(many, row_keys(0, 0, np.arange(2000)))
    ways = [BATCH[0], BATCH[0][:, ::-1], BATCH[0][::-1], BATCH[0][::-1, ::-1]]
    counts = [sum(np.array_equal(image, way) for image in out) for way in ways]
    assert sum(counts) == 2000 and min(counts) > 430
    out = Augment(flip="horizontal").apply(many[:100], row_keys(0, 0, np.arange(100)))
    assert {np.array_equal(image, ways[0]) or np.array_equal(image, ways[1]) for image in out} == {
        True
    }


def test_crops_are_windows_of_the_padded_image():
    settings = {
        "edge": {"mode": "edge"},
        "reflect": {"mode": "reflect"},
        0.5: {"constant_values": 0.5},
    }
    for fill, options in settings.items():
        many = np.repeat(BATCH[:1], 300, axis=0)
        out = Augment(crop=0.2, fill=fill).apply(many, row_keys(0, 0, np.arange(300)))
        padded = np.pad(BATCH[0], ((3, 3), (5, 5), (0, 0)), **options)
        windows = {
            padded[y : y + 17, x : x + 23].tobytes(): (y, x) for y in range(7) for x in range(11)
        }
        places = {windows[image.tobytes()] for image in out}  # a KeyError is a wrong window
        assert {y for y, _ in places} == set(range(7)) and {x for _, x in places} == set(range(11))


def test_the_quick_way_is_the_exact_one():
    # A turn of nothing takes the resampling way; on whole pixels the two must agree to the byte.
    for fill in ("edge", "reflect", 0.5):
        quick = Augment(flip="both", crop=0.3, fill=fill).apply(BATCH, KEYS)
        slow = Augment(flip="both", crop=0.3, fill=fill, rotate=1e-12).apply(BATCH, KEYS)
        np.testing.assert_allclose(quick, slow, atol=1e-6)


def test_rotation_and_scale_as_planted():
    # A key whose draw is near the end of the range turns by nearly the full angle.
    keys = row_keys(0, 0, np.arange(4000))
    draws = uniforms(keys, 17)
    quarter = keys[[np.argmax(draws[:, 4])]]
    square = BATCH[:1, :17, :17]
    out = Augment(rotate=90).apply(square, quarter)[0]
    assert np.abs(out - np.rot90(square[0])).mean() < 0.01  # counter-clockwise, as numpy turns
    large = keys[[np.argmax(draws[:, 5])]]
    dot = np.zeros((1, 21, 21, 1), np.float32)
    dot[0, 10, 14] = 1
    out = Augment(scale=(1, 2), fill=0).apply(dot, large)[0, :, :, 0]
    assert np.unravel_index(out.argmax(), out.shape) == (10, 18)
    assert abs(out.sum() - 4) < 0.05
    down = keys[[np.argmax(draws[:, 6])]]
    out = Augment(shift=0.25, fill=0).apply(dot, down)[0, :, :, 0]
    row, _ = ndimage.center_of_mass(out)
    assert abs(row - 15.25) < 0.02


def test_tiny_and_odd_images():
    for shape in ((2, 1, 1, 1), (2, 1, 9, 2), (2, 9, 1, 5), (2, 2, 2, 3)):
        for fill in ("edge", "reflect", 0.0):
            batch = RANDOM.random(shape, dtype=np.float32)
            settings = {**EVERYTHING.to_dict(), "fill": fill}
            assert np.isfinite(augment(settings).apply(batch, KEYS[:2])).all()


# ---------------------------------------------------------------------------------- colours


def draws_of(keys):
    return uniforms(keys, 17)


def test_brightness_and_contrast_by_formula():
    setting = Augment(brightness=0.1, contrast=0.4)
    middle = 0.3 + 0.4 * BATCH  # far enough from 0 and 1 not to be clipped
    luma = np.array([0.299, 0.587, 0.114])
    for image, out, draw in zip(middle, setting.apply(middle, KEYS), draws_of(KEYS), strict=True):
        bright, contrast = 1 + 0.1 * (2 * draw[8] - 1), 1 + 0.4 * (2 * draw[9] - 1)
        lit = image.astype(float) * bright
        mean = (lit @ luma).mean()
        np.testing.assert_allclose(out, contrast * lit + (1 - contrast) * mean, atol=1e-5)


def test_saturation_and_hue_by_formula():
    middle = 0.4 + 0.2 * BATCH
    luma = np.array([0.299, 0.587, 0.114])
    gray = (middle @ luma)[..., None]
    out = Augment(saturation=0.5).apply(middle, KEYS)
    factor = 1 + 0.5 * (2 * draws_of(KEYS)[:, 10] - 1)
    want = gray + factor[:, None, None, None] * (middle - gray)
    np.testing.assert_allclose(out, want, atol=1e-5)
    out = Augment(hue=0.5).apply(middle, KEYS)
    np.testing.assert_allclose(out @ luma, gray[..., 0], atol=1e-4)
    assert np.abs(out - middle).max() > 0.05
    flat = np.repeat(BATCH[..., :1], 3, axis=3)
    np.testing.assert_allclose(Augment(hue=0.5, saturation=1).apply(flat, KEYS), flat, atol=1e-4)


def test_colours_of_other_channel_counts():
    five = RANDOM.random((24, 8, 8, 5), dtype=np.float32)
    out = Augment(saturation=1, hue=0.5).apply(five, KEYS)
    assert out.tobytes() == five.tobytes()
    assert Augment(brightness=0.5).apply(five, KEYS).max() <= 1


def test_values_stay_in_their_range():
    out = Augment(brightness=0.9, contrast=0.9, saturation=1, hue=0.5).apply(BATCH, KEYS)
    assert out.min() >= 0 and out.max() <= 1
    digits = BATCH * 16
    out = Augment(brightness=0.9, contrast=0.9).apply(digits, KEYS)
    assert out.max() > 2 and all(o.max() <= d.max() for o, d in zip(out, digits, strict=True))


def test_erasing_covers_one_rectangle_with_the_mean():
    many = np.repeat(BATCH[:1], 1000, axis=0)
    out = Augment(erase=0.4).apply(many, row_keys(0, 0, np.arange(1000)))
    mean = BATCH[0].mean(axis=(0, 1))
    parts = []
    for image in out:
        changed = (image != BATCH[0]).any(axis=2)
        if not changed.any():
            continue
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert changed.sum() == len(rows) * len(columns)
        np.testing.assert_allclose(
            image[changed], np.broadcast_to(mean, (changed.sum(), 3)), atol=1e-6
        )
        parts.append(changed.mean())
    assert 340 < len(parts) < 460
    assert 0.01 < min(parts) < 0.05 and 0.28 < max(parts) < 0.37


# ---------------------------------------------------------------------------------- choosing


def test_choosing():
    assert augment(None) is augment("none") is augment(False) is augment({}) is None
    assert augment({"fill": "reflect"}) is None
    assert augment(True) == augment("standard")
    assert augment(EVERYTHING) is EVERYTHING
    assert augment({"flip": "none", "scale": [0.9, 1.1]}).flip is False
    for name in ("light", "standard", "strong"):
        chosen = augment(name)
        assert augment(json.loads(json.dumps(chosen.to_dict()))) == chosen
        assert chosen.apply(BATCH, KEYS).shape == BATCH.shape
    assert not augment("light").flip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("standrad", "Did you mean 'standard'"),
        ({"rotat": 3}, "Did you mean 'rotate'"),
        (3, "augment must be"),
        ({"flip": "sideways"}, "flip must be"),
        ({"flip": True}, "flip must be"),
        ({"crop": 0.6}, "crop must be a number from 0 to 0.5"),
        ({"rotate": -1}, "rotate"),
        ({"rotate": math.nan}, "rotate"),
        ({"hue": 0.7}, "hue"),
        ({"erase": True}, "erase"),
        ({"brightness": "0.2"}, "brightness"),
        ({"scale": (1.1, 0.9)}, "scale"),
        ({"scale": (0, 1)}, "scale"),
        ({"scale": (1, 2, 3)}, "scale"),
        ({"fill": "wrap"}, "fill"),
        ({"fill": None}, "fill"),
    ],
)
def test_wrong_settings(value, message):
    with pytest.raises(InputError, match=message):
        augment(value)


def test_keys_and_images_must_match():
    with pytest.raises(InputError, match="24 images but 2 keys"):
        EVERYTHING.apply(BATCH, KEYS[:2])


# ---------------------------------------------------------------------------------- targets


def test_mixup_is_its_formula():
    targets = np.eye(24, dtype=np.float32)
    mixed, soft = mixup(BATCH, targets, 0.4, [3, 1])
    # With one-hot targets of its own class each row tells its weight and its partner.
    weight = np.diag(soft)[np.diag(soft) < 1][0]
    order = np.array(
        [np.argmax(row - weight * one) for row, one in zip(soft, targets, strict=True)]
    )
    assert sorted(order) == list(range(24))
    np.testing.assert_allclose(soft, weight * targets + (1 - weight) * targets[order], atol=1e-6)
    np.testing.assert_allclose(mixed, weight * BATCH + (1 - weight) * BATCH[order], atol=1e-6)
    again = mixup(BATCH, targets, 0.4, [3, 1])
    assert again[0].tobytes() == mixed.tobytes() and again[1].tobytes() == soft.tobytes()
    assert mixup(BATCH, targets, 0.4, [3, 2])[1].tobytes() != soft.tobytes()
    assert mixed.dtype == soft.dtype == np.float32
    np.testing.assert_array_equal(mixup(BATCH, targets, 0, 1)[0], BATCH)
    np.testing.assert_array_equal(mixup(BATCH[:1], targets[:1], 1, 1)[0], BATCH[:1])
    for wrong in (-1, math.nan, "1"):
        with pytest.raises(InputError, match="mixup"):
            mixup(BATCH, targets, wrong, 1)
    with pytest.raises(InputError, match="24 images but 2 targets"):
        mixup(BATCH, targets[:2], 1, 1)


def test_mixup_weights_are_beta_distributed():
    two, found = np.eye(2, dtype=np.float32), []
    for seed in range(600):
        soft = mixup(BATCH[:2, :1, :1], two, 0.5, seed)[1]
        if soft[0, 1] > 0:  # else the two were mixed with themselves
            found.append(soft[0, 0])
    assert 240 < len(found) < 360
    assert stats.kstest(found, stats.beta(0.5, 0.5).cdf).pvalue > 1e-3


def test_smoothing_is_its_formula():
    targets = np.eye(4, dtype=np.float32)[[2, 0]]
    np.testing.assert_allclose(smooth(targets, 0.1)[0], [0.025, 0.025, 0.925, 0.025], atol=1e-7)
    np.testing.assert_array_equal(smooth(targets, 0), targets)
    assert smooth(targets, 0.1).dtype == np.float32
    for wrong in (1, -0.1, math.nan, None):
        with pytest.raises(InputError, match="label_smoothing"):
            smooth(targets, wrong)


# ---- functions of the user's


def test_a_function_changes_images_by_their_keys_alone():
    seen = []

    def change(image, random):
        seen.append(image.shape)
        return image + random.random()

    batch = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4, 1)
    keys = row_keys(1, 0, [5, 9])
    both = augment(change).apply(batch, keys)
    other = augment(change).apply(batch[::-1], keys[::-1])[::-1]
    np.testing.assert_array_equal(both, other)
    shifts = (both - batch)[:, 0, 0, 0]
    assert shifts[0] != shifts[1] and ((shifts > 0) & (shifts < 1)).all()
    assert set(seen) == {(3, 4, 1)}
    assert both.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image, random: image[:2], r"must return an image of the shape \(3, 4, 1\)"),
        (lambda image, random: np.full(image.shape, np.nan), "not finite"),
        (lambda image, random: None, "must return an image"),
    ],
)
def test_what_a_function_gives_back_is_checked(change, words):
    with pytest.raises(InputError, match=words):
        augment(change).apply(np.zeros((1, 3, 4, 1)), row_keys(1, 0, [0]))


def test_a_function_is_named_in_a_file_but_lost():
    def darker(image, random):
        return image / 2

    kept = augment(augment(darker).to_dict())
    assert kept.to_dict() == {"function": "darker"}
    assert not kept.changes_nothing
    with pytest.raises(InputError, match="'darker', which its file cannot hold"):
        kept.apply(np.zeros((1, 3, 4, 1)), row_keys(1, 0, [0]))


def test_a_function_runs_in_the_thread_of_the_fit():
    threads = set()

    def change(image, random):
        threads.add(threading.current_thread())
        return image

    images = np.random.default_rng(1).random((64, 8, 8))
    model = ImageClassifier("mlp", augment=change, epochs=2, batch_size=8, seed=1, threads=4)
    model.fit(images, np.arange(64) % 2)
    assert threads == {threading.main_thread()}
    plain = ImageClassifier("mlp", epochs=2, batch_size=8, seed=1).fit(images, np.arange(64) % 2)
    assert model.fingerprint() == plain.fingerprint()
    again = loads(model.to_bytes())
    assert again.predict(images[:3]).tolist() == model.predict(images[:3]).tolist()
    assert loads(again.to_bytes()).fingerprint() == model.fingerprint()
    with pytest.raises(InputError, match="set_params"):
        again.fit(images, np.arange(64) % 2)
