"""The baseline against scikit-image's features and scikit-learn's regression."""

from __future__ import annotations

import json
import struct

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.feature import hog
from skimage.transform import rescale
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import diglot
from diglot import HogClassifier, ImageClassifier, cross_validate
from diglot.baseline.features import Hog, common_size
from diglot.errors import ImageError, InputError, ModelFileError
from diglot.images import as_images
from diglot.seeds import engine_seed


@pytest.fixture(scope="module")
def digits():
    return diglot.example_images("digits")[:400].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(digits):
    return HogClassifier().fit(digits[:300], digits["label"][:300])


def scikit_features(digits):
    settings = {"orientations": 9, "pixels_per_cell": (2, 2), "cells_per_block": (2, 2)}
    features = [hog(image, **settings) for image in digits["image"]]
    return np.array(features, np.float64)


def test_features_are_scikit_images(digits, fitted):
    expected = scikit_features(digits)
    np.testing.assert_allclose(fitted.transform(digits), expected, atol=1e-6)
    assert fitted.hog_.count == expected.shape[1]


def test_of_colours_the_strongest_gradient_counts():
    rng = np.random.default_rng(1)
    grey = rng.random((20, 24))
    colour = np.stack([grey * 0.1, grey, grey * 0.3], axis=2)[None]
    setting = {"orientations": 8, "cell": 5, "block": 2}
    one = Hog(20, 24, 1, **setting).features(as_images(grey[None]))
    three = Hog(20, 24, 3, **setting).features(as_images(colour))
    np.testing.assert_allclose(one, three, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 10])
def test_the_regression_is_scikit_learns(digits, classes):
    some = digits[digits["label"].astype(int) < classes]
    train, test = some[: len(some) * 3 // 4], some[len(some) * 3 // 4 :]
    # Without a strong penalty, classes that can be told apart have no clear optimum.
    model = HogClassifier(C=(1e-4, 1e-3, 1e-2, 0.1)).fit(train, train["label"])
    X, y = scikit_features(train), np.asarray(train["label"])

    def pipeline(C):
        return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))

    splitter = StratifiedKFold(5, shuffle=True, random_state=engine_seed(0, "penalty"))
    for C, loss in model.path_.to_numpy():
        p = np.empty((len(y), classes))
        for mine, held in splitter.split(X, y):
            p[held] = pipeline(C).fit(X[mine], y[mine]).predict_proba(X[held])
        assert loss == pytest.approx(log_loss(y, p), rel=1e-3), C
    assert model.path_["C"][model.path_["log_loss"].idxmin()] == model.C_
    expected = pipeline(model.C_).fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(test), expected.predict_proba(scikit_features(test)), atol=5e-4
    )
    assert (model.predict(test) == expected.predict(scikit_features(test))).all()


def test_the_search_ends_once_a_weaker_penalty_does_worse(fitted):
    losses = fitted.path_["log_loss"].tolist()
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert losses[-1] > losses[-2] == min(losses)
    assert fitted.path_["C"].iloc[-2] == fitted.C_


def test_weights_count_as_repeated_rows(digits):
    counts = np.random.default_rng(1).integers(0, 3, 300)
    weighted = HogClassifier(C=0.01).fit(digits[:300], digits["label"][:300], counts)
    rows = np.repeat(np.arange(300), counts)
    repeated = HogClassifier(C=0.01).fit(digits.iloc[rows], digits["label"].iloc[rows])
    # The penalty weighs more where fewer rows are there: scikit-learn's sums over weights, and
    # the weights of a fit have a mean of 1.
    scale = counts.sum() / (counts > 0).sum()
    same = HogClassifier(C=0.01 * scale).fit(digits[:300], digits["label"][:300], counts)
    np.testing.assert_allclose(
        same.predict_proba(digits), repeated.predict_proba(digits), atol=2e-3
    )
    assert not np.allclose(weighted.predict_proba(digits), repeated.predict_proba(digits), 1e-3)
    balanced = HogClassifier(C=0.01, class_weight="balanced").fit(digits, digits["label"])
    assert balanced.C_ == 0.01
    assert len(balanced.path_) == 0


def test_images_may_come_in_any_form(tmp_path, digits, fitted):
    pixels = [(np.asarray(i) * 15).astype(np.uint8) for i in digits["image"][:80]]
    paths = []
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    y = digits["label"][:80]
    prints = {
        HogClassifier(C=0.1).fit(X, y).fingerprint()
        for X in (
            pixels,
            np.stack(pixels),
            np.stack(pixels)[..., None],
            np.stack(pixels).reshape(80, 64),
            paths,
            pd.DataFrame({"image": paths, "other": 1}),
        )
    }
    assert len(prints) == 1
    assert fitted.predict_proba(np.zeros((0, 8, 8))).shape == (0, 10)
    assert fitted.predict([]).shape == (0,)


def test_images_of_many_sizes_are_brought_to_one(digits):
    larger = [rescale(np.asarray(i), 1 + j % 3, order=1) for j, i in enumerate(digits["image"])]
    model = HogClassifier(C=0.1).fit(larger[:300], digits["label"][:300])
    assert (model.hog_.height, model.hog_.width, model.hog_.cell) == (64, 64, 8)
    assert (model.predict(larger[300:]) == digits["label"][300:]).mean() > 0.7
    assert common_size(as_images(np.zeros((1, 256, 100))), None) == (128, 50)
    assert common_size(as_images(np.zeros((1, 256, 4))), None) == (128, 8)
    assert common_size(as_images(np.zeros((1, 9, 9))), (20, 30)) == (20, 30)


def test_levels_keep_their_order_and_type(digits):
    levels = ["small", "large", "huge"]
    text = np.array(levels)[digits["label"].astype(int) // 4]
    y = pd.Categorical(text, [*levels, "unseen"], ordered=True)
    model = diglot.loads(HogClassifier(C=0.1).fit(digits, y).to_bytes())
    assert model.classes_.tolist() == levels
    assert model.ordered_
    assert "weighted_kappa" in set(model.evaluate(digits, y, resamples=5)["metric"])
    numbers = diglot.loads(HogClassifier(C=0.1).fit(digits, digits["label"].astype(int)).to_bytes())
    assert numbers.classes_.dtype == np.int64


def test_evaluate_has_the_tables_of_a_network(digits, fitted):
    network = ImageClassifier("mlp", epochs=1, seed=1).fit(digits[:300], digits["label"][:300])
    mine = fitted.evaluate(digits[300:], digits["label"][300:], resamples=20)
    theirs = network.evaluate(digits[300:], digits["label"][300:])
    assert mine[["metric", "class"]].equals(theirs[["metric", "class"]])
    assert mine["estimate"][0] == (fitted.predict(digits[300:]) == digits["label"][300:]).mean()


def test_it_is_one_of_scikit_learns_estimators(digits):
    model = HogClassifier(C=(0.01, 0.1), inner_folds=2)
    assert clone(model).get_params() == model.get_params()
    X, y = list(digits["image"]), digits["label"].to_numpy()
    scores = cross_val_score(model, X, y, cv=3)
    assert scores.min() > 0.8
    search = GridSearchCV(model, {"orientations": [4, 9]}, cv=2).fit(X, y)
    assert search.best_params_["orientations"] in (4, 9)
    found = cross_validate(model, digits, digits["label"], folds=3, metrics="accuracy")
    assert found.folds["accuracy"].min() > 0.8


def test_the_same_data_give_the_same_bytes(digits, fitted):
    again = HogClassifier().fit(digits[:300], digits["label"][:300])
    assert again.to_bytes() == fitted.to_bytes()
    assert (
        again.fingerprint()
        != HogClassifier(orientations=8).fit(digits[:300], digits["label"][:300]).fingerprint()
    )


def test_a_class_with_one_image_leaves_no_choice(digits):
    some = pd.concat([digits[digits["label"] == 1], digits[digits["label"] == 2][:1]])
    model = HogClassifier().fit(some, some["label"])
    assert model.C_ == 0.1
    assert len(model.path_) == 0


# ---- files


def test_a_file_gives_the_model_back(tmp_path, digits, fitted):
    again = diglot.load(fitted.save(tmp_path / "model.safetensors"))
    assert isinstance(again, HogClassifier)
    assert again.get_params() == fitted.get_params()
    np.testing.assert_array_equal(again.predict_proba(digits), fitted.predict_proba(digits))
    assert again.to_bytes() == fitted.to_bytes()
    pd.testing.assert_frame_equal(again.path_, fitted.path_)
    assert again.summary() == fitted.summary()
    assert "324: 9 orientations" in again.summary()


def changed(data, change):
    """Return a model file whose description is changed."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    meta = json.loads(header["__metadata__"]["diglot"])
    change(meta)
    header["__metadata__"]["diglot"] = json.dumps(meta)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hog", [8, 8, 1, 9, 2, 1]),
        ("hog", [8, 8, 1, 9, 2]),
        ("hog", [8, 8, 1, 9, 0, 2]),
        ("hog", [60000, 60000, 1, 9, 2, 2]),
        ("hog", "88192"),
        ("classes", {"type": "int", "values": [1, 2], "ordered": False}),
        ("classes", {"type": "int", "values": [1] * 10, "ordered": False}),
        ("classes", {"type": "object", "values": list(range(10)), "ordered": False}),
        ("classes", None),
        ("settings", {"size": None}),
        ("settings", []),
        ("class_weight", 3),
        ("chosen", "much"),
        ("path", [[1, 2, 3]]),
        ("seed", -1),
    ],
)
def test_a_damaged_file_is_refused(fitted, name, value):
    data = changed(fitted.to_bytes(), lambda meta: meta.update({name: value}))
    with pytest.raises(ModelFileError, match="damaged"):
        diglot.loads(data)


# ---- refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": 5}, "do not fit into images of 8 x 8"),
        ({"orientations": 0}, "orientations must be a whole number from 1"),
        ({"C": 0}, "C must be a positive number"),
        ({"C": [1, "much"]}, "C must be a positive number"),
        ({"inner_folds": 1}, "inner_folds"),
        ({"class_weight": {"cat": 2}}, "class_weight names 'cat'"),
        ({"channels": 2}, "channels=1 or channels=3"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_are_refused_by_name(digits, settings, words):
    with pytest.raises(InputError, match=words):
        HogClassifier(**settings).fit(digits, digits["label"])


def test_data_are_refused_by_row(digits, fitted):
    with pytest.raises(InputError, match="only one class"):
        HogClassifier().fit(digits, ["a"] * 400)
    with pytest.raises(InputError, match="400 images and 3 labels"):
        HogClassifier().fit(digits, ["a", "b", "a"])
    with pytest.raises(InputError, match="row 2"):
        HogClassifier().fit(digits, digits["label"], np.r_[1, -1, np.ones(398)])
    with pytest.raises(InputError, match="not seen in training"):
        fitted.evaluate(digits[:1], ["eleven"])
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        fitted.predict(["nowhere.png"])
