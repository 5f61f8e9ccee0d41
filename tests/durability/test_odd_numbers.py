"""Odd numbers go in; the right answer comes out, or an error that says what is wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from diglot import (
    DBN,
    RBM,
    HogClassifier,
    ImageCaptioner,
    ImageClassifier,
    ImageRegressor,
    ImageTagger,
)
from diglot.errors import ImageError, InputError

RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.integers(0, 256, (24, 24, 20), np.uint8)
LABELS = np.array(["b", "a"] * 12)
SETTINGS = {"epochs": 2, "seed": 1, "verbose": False}
WORDS = [["a red one"], ["a blue one", "blue"]] * 12

FITS = {
    "classifier": lambda X: ImageClassifier("mlp", **SETTINGS).fit(X, LABELS[: len(X)]),
    "regressor": lambda X: ImageRegressor("mlp", **SETTINGS).fit(X, np.arange(len(X))),
    "tagger": lambda X: ImageTagger("mlp", **SETTINGS).fit(X, [["a"], ["a", "b"]] * (len(X) // 2)),
    "captioner": lambda X: ImageCaptioner(
        "lenet", hidden=4, embedding=4, heads=1, **SETTINGS
    ).fit(X, WORDS[: len(X)]),
    "hog": lambda X: HogClassifier(C=0.1).fit(X, LABELS[: len(X)]),
    "rbm": lambda X: RBM(4, **SETTINGS).fit(X),
    "dbn": lambda X: DBN((4, 3), **SETTINGS).fit(X),
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", FITS)


def answers(model, images):
    method = model.transform if isinstance(model, (RBM, DBN)) else model.predict
    if isinstance(model, (ImageClassifier, HogClassifier, ImageTagger)):
        method = model.predict_proba
    return np.asarray(method(images))


@pytest.fixture(scope="module")
def fitted():
    return {kind: fit(IMAGES) for kind, fit in FITS.items()}


@kinds
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 3e38])
def test_what_is_not_finite_is_refused_by_row(fitted, kind, value):
    images = IMAGES / 255
    images[3, 5, 2] = value
    fit, words = FITS[kind], "Row 4 of the array" if value != 3e38 else "pixels"
    if kind == "hog" and value == 3e38:
        return  # gradients of any size are scaled to the same
    if kind != "captioner" or value != 3e38:
        with pytest.raises(InputError, match=rf"(?i){words}"):
            answers(fitted[kind], images)
    if value != 3e38:  # a spread that large is learned, too: nothing overflows
        with pytest.raises(ImageError, match=words):
            fit(images)


@kinds
@pytest.mark.parametrize("level", [0, 7, 255])
def test_images_that_are_all_the_same_tell_nothing_and_do_no_harm(kind, level):
    images = np.full((24, 24, 20), level, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = FITS[kind](images)
        found = answers(model, images)
    assert all(np.all(row == found[0]) for row in found)
    if found.dtype.kind == "f":
        assert np.isfinite(found).all()
    if kind in ("classifier", "hog"):
        np.testing.assert_allclose(found, 0.5, atol=0.02)
    if kind == "regressor":
        np.testing.assert_allclose(found, 11.5, atol=2)


@pytest.mark.parametrize("network", ["lenet", "resnet20", "convnet"])
def test_networks_with_batch_normalisation_learn_from_black_images(network):
    black = np.zeros((24, 16, 16, 3), np.uint8)
    found = ImageClassifier(network, size=16, **SETTINGS).fit(black, LABELS).predict_proba(black)
    np.testing.assert_allclose(found, 0.5, atol=0.05)


@kinds
def test_one_image(fitted, kind):
    one = answers(fitted[kind], IMAGES[:1])
    assert len(one) == 1
    every = answers(fitted[kind], IMAGES)[:1]
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, every, atol=1e-6)
    else:
        assert one.tolist() == every.tolist()
    if kind in ("classifier", "hog"):
        with pytest.raises(InputError, match="only one class is there"):
            FITS[kind](IMAGES[:1])
    elif kind in ("regressor", "tagger"):
        with pytest.raises(InputError):
            FITS[kind](IMAGES[:1])
    else:
        assert len(answers(FITS[kind](IMAGES[:1]), IMAGES)) == 24


def test_counts_of_classes():
    with pytest.raises(InputError, match="only one class is there"):
        ImageClassifier("mlp", **SETTINGS).fit(IMAGES, ["a"] * 24)
    many = RANDOM.integers(0, 256, (2000, 16, 16), np.uint8)
    labels = np.arange(2000) % 1000
    for model in (ImageClassifier("mlp", **SETTINGS), HogClassifier(C=1.0)):
        rows = 1000 if isinstance(model, HogClassifier) else 2000  # a regression for each class
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # so many classes might be numbers
            found = model.fit(many[:rows], labels[:rows]).predict_proba(many[:7])
        assert found.shape == (7, 1000)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert model.classes_.tolist() == list(range(1000))


@pytest.mark.parametrize("network", ["mlp", "resnet20"])
@pytest.mark.parametrize("size", [1, 23, 24, 10_000])
def test_batches_of_one_and_batches_larger_than_the_data(network, size):
    model = ImageClassifier(network, size=16, batch_size=size, **SETTINGS).fit(IMAGES, LABELS)
    assert np.isfinite(model.history_[["loss", "accuracy"]]).all(axis=None)
    found = model.predict_proba(IMAGES)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


SIZED = {
    "regressor": lambda b: ImageRegressor("mlp", batch_size=b, **SETTINGS).fit(IMAGES, range(24)),
    "tagger": lambda b: ImageTagger("mlp", batch_size=b, **SETTINGS).fit(
        IMAGES, [["a"], ["a", "b"]] * 12
    ),
    "captioner": lambda b: ImageCaptioner(
        "lenet", hidden=4, embedding=4, heads=1, batch_size=b, **SETTINGS
    ).fit(IMAGES, WORDS),
    "rbm": lambda b: RBM(4, batch_size=b, **SETTINGS).fit(IMAGES),
    "dbn": lambda b: DBN((4, 3), batch_size=b, **SETTINGS).fit(IMAGES),
}


@pytest.mark.parametrize("kind", SIZED)
@pytest.mark.parametrize("size", [1, 23, 10_000])
def test_batches_of_any_size_for_every_kind(kind, size):
    model = SIZED[kind](size)
    found = answers(model, IMAGES)
    assert len(found) == 24
    if found.dtype.kind == "f":
        assert np.isfinite(found).all()
        np.testing.assert_allclose(answers(model, IMAGES[3:4]), found[3:4], atol=1e-6)
    else:
        assert answers(model, IMAGES[3:4]).tolist() == found[3:4].tolist()


# 8- and 16-bit unsigned integers are parts of their largest value, other numbers what they are.
UNIT = IMAGES / 255
FORMS = {
    "float64": (UNIT, UNIT),
    "float32": (UNIT.astype(np.float32), UNIT),
    "big-endian": (UNIT.astype(">f4"), UNIT),
    "float16": (UNIT.astype(np.float16), UNIT.astype(np.float16).astype(float)),
    "uint8": (IMAGES, UNIT),
    "uint16": (IMAGES.astype(np.uint16) * 257, UNIT),
    "big-endian uint16": ((IMAGES.astype(np.uint16) * 257).astype(">u2"), UNIT),
    "int64": ((IMAGES > 127).astype(np.int64), (IMAGES > 127).astype(float)),
    "uint64": ((IMAGES > 127).astype(np.uint64), (IMAGES > 127).astype(float)),
    "int8": ((IMAGES > 127).astype(np.int8), (IMAGES > 127).astype(float)),
    "bool": (IMAGES > 127, (IMAGES > 127).astype(float)),
    "objects": (UNIT.astype(object), UNIT),
    "Fortran": (np.asfortranarray(IMAGES), UNIT),
    "backwards": (IMAGES[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1], UNIT),
    "every second": (np.repeat(np.repeat(IMAGES, 2, 1), 2, 2)[:, ::2, ::2], UNIT),
    "one row again and again": (
        np.broadcast_to(IMAGES[:1], IMAGES.shape),
        np.repeat(UNIT[:1], 24, 0),
    ),
}


@kinds
@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_form_mean_the_same(fitted, kind, form):
    given, plain = FORMS[form]
    before = given.copy()
    given.flags.writeable = False
    found, wanted = answers(fitted[kind], given), answers(fitted[kind], plain)
    if found.dtype.kind == "f":
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    else:
        assert found.tolist() == wanted.tolist()
    assert (given == before).all()
    learned = ("uint16", "Fortran", "backwards", "objects", "every second")
    if form in learned if kind == "classifier" else form == "Fortran":
        same = np.ascontiguousarray(given if given.dtype == np.uint8 else plain).copy()
        assert FITS[kind](given).fingerprint() == FITS[kind](same).fingerprint()


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(complex),
        IMAGES.astype(str),
        IMAGES.astype("datetime64[s]"),
        IMAGES[:, :0],
        np.zeros((3, 4, 5, 3, 1)),
        np.float64(3),
        [],
        [[]],
        [None] * 3,
        np.array([{}] * 3),
    ],
    ids=["complex", "text", "dates", "no rows", "5-d", "0-d", "none", "empty", "None", "dicts"],
)
def test_what_is_no_image_is_refused(fitted, images):
    if isinstance(images, list) and not images:
        assert len(fitted["classifier"].predict(images)) == 0
    else:
        with pytest.raises(InputError):
            fitted["classifier"].predict(images)
    with pytest.raises(InputError):
        ImageClassifier("mlp", **SETTINGS).fit(images, ["a", "b", "a"])
