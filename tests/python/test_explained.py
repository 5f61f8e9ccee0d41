"""``explain()`` of every predictor: labels in and out, covariates, outcomes of all kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import ImageClassifier
from diglot.errors import InputError
from diglot.explanation import METHODS, grad_cam, integrated_gradients, occlusion
from diglot.graph import COVARIATES


def table(n=40, seed=0):
    """Return images whose class is where a bright stripe lies, and two covariates."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (n, 16, 14)).astype(np.uint8)
    label = np.arange(n) % 3
    for row, code in enumerate(label):
        images[row, 5 * code : 5 * code + 3, 2:9] = 240
    frame = pd.DataFrame({"image": list(images), "age": rng.normal(50, 9, n).round()})
    frame["sex"] = pd.Categorical(rng.choice(["f", "m"], n))
    return frame, pd.Categorical.from_codes(label, ["low", "high", "middle"])


def fitted(**settings):
    X, y = table()
    net = diglot.network("convnet", classes=3, size=(16, 14), channels=1, widths=(8, 16))
    return ImageClassifier(net, epochs=4, batch_size=8, seed=1, **settings).fit(X, y)


@pytest.fixture(scope="module")
def model():
    return fitted()


def test_predicted_classes_are_explained_by_default(model):
    X, _ = table(12, 1)
    found = model.explain(X)
    assert found.method == "grad_cam"
    assert found.classes.tolist() == model.predict(X).tolist()
    straight = grad_cam(model.network_, X)
    assert np.array_equal(found.maps, straight.maps)
    assert np.array_equal(found.images, straight.images)
    assert np.array_equal(straight.images[..., 0], np.stack(X["image"]) / np.float32(255))


def test_classes_are_asked_for_by_label(model):
    X, y = table(6, 1)
    methods = {"grad_cam": grad_cam, "integrated_gradients": integrated_gradients}
    for name, function in {**methods, "occlusion": occlusion}.items():
        codes = [model.classes_.tolist().index(label) for label in y]
        assert np.array_equal(
            model.explain(X, y, method=name).maps, function(model.network_, X, codes).maps
        )
        assert set(model.explain(X, "high", method=name).classes) == {"high"}
    settings = {"segments": 9, "fill": "blur", "scale": "probability"}
    found = model.explain(X, method="occlusion", **settings)
    assert found.scale == "probability"
    p = model.predict_proba(X)
    assert np.allclose(found.scores, p.max(axis=1), atol=1e-6)


def test_numbers_may_be_labels():
    X, y = table()
    model = ImageClassifier("mlp", epochs=1, seed=1).fit(X, np.array([7, 3, 5])[y.codes])
    found = model.explain(X[:4], [3, 7, np.int64(5), 3], "occlusion")
    assert found.classes.tolist() == [3, 7, 5, 3]
    with pytest.raises(InputError, match="integrated_gradients"):
        model.explain(X)


def test_what_is_unknown_is_refused(model):
    X, _ = table(4, 1)
    for classes in ("lowest", ["low", "low", "low", "nought"]):
        with pytest.raises(InputError, match="does not know: 'low', 'high', 'middle'"):
            model.explain(X, classes)
    with pytest.raises(InputError, match="4 of them"):
        model.explain(X, ["low", "high"])
    with pytest.raises(InputError, match="method"):
        model.explain(X, method="lime")
    for name in ("baseline", "extra", "device"):
        with pytest.raises(InputError, match=f"no setting '{name}'; it has layer, scale"):
            model.explain(X, **{name: "black"})
    with pytest.raises(InputError, match="channel"):
        model.explain(np.zeros((2, 16, 14, 3)))


def test_explaining_leaves_the_model_as_it_was(model):
    X, _ = table(8, 2)
    before, answers, told = model.fingerprint(), model.predict_proba(X), model.to_bytes()
    for method in METHODS:
        model.explain(X, method=method)
    assert model.fingerprint() == before and model.to_bytes() == told
    assert np.array_equal(model.predict_proba(X), answers)


def test_no_images(model):
    assert model.explain(np.empty((0, 16, 14))).maps.shape == (0, 16, 14)


def test_covariates_are_held():
    model = fitted(covariates=["age", "sex"])
    X, _ = table(6, 1)
    for method in METHODS:
        found = model.explain(X, "low", method, scale="logit")
        beside = model.design_.matrix(X)
        straight = METHODS[method](model.network_, X, 0, extra={COVARIATES: beside}, scale="logit")
        assert np.array_equal(found.maps, straight.maps)
    with pytest.raises(InputError, match="data frame"):
        model.explain(np.stack(X["image"]))
    other = model.explain(X.assign(age=X["age"] + 30), "low", "occlusion", scale="logit")
    effect = model.network_.weights["covariate_effects_weight"][0, 0]
    moved = effect * (model.design_.matrix(X.assign(age=X["age"] + 30)) - beside)[:, 0]
    assert np.allclose(other.scores - found.scores, moved, atol=1e-5)


def test_ordered_classes():
    model = fitted(family="cumulative")
    X, _ = table(5, 1)
    found = model.explain(X, "high", "integrated_gradients", scale="probability", steps=200)
    assert np.allclose(found.scores, model.predict_proba(X)[:, 1], atol=1e-6)
    assert (abs(found.completeness_error) < 0.02 * abs(found.changes) + 1e-3).all()
    assert model.explain(X).maps.any()


def test_numbers_and_tags():
    X, y = table()
    net = diglot.network("convnet", classes=1, size=(16, 14), channels=1, widths=(8, 16))
    number = diglot.ImageRegressor(net, epochs=2, seed=1).fit(X, y.codes * 2.5)
    for method in METHODS:
        found = number.explain(X[:3], method=method)
        assert set(found.classes) == {"prediction"} and found.scale == "prediction"
        assert np.allclose(found.scores, number.predict(X[:3]), atol=1e-5)
    whole = number.explain(X[:3], method="integrated_gradients", baseline="black", steps=200)
    change = number.predict(X[:3]) - number.predict(np.zeros((1, 16, 14), np.uint8))
    assert np.allclose(whole.maps.sum(axis=(1, 2)), change, atol=0.01)
    assert np.allclose(whole.changes, change, atol=1e-4)
    assert np.allclose(whole.completeness_error, whole.maps.sum(axis=(1, 2)) - change, atol=1e-4)
    count = diglot.ImageRegressor(net, family="poisson", epochs=2, seed=1).fit(X, y.codes + 1)
    found = count.explain(X[:3])
    assert found.scale == "log_rate"
    assert np.allclose(np.exp(found.scores), count.predict(X[:3]), rtol=1e-5)
    three = [0.1, 0.5, 0.9]
    number = diglot.ImageRegressor(net, family="quantile", quantiles=three, epochs=2, seed=1)
    number.fit(X, y.codes * 2.5)
    assert number.explain(X[:3]).classes.tolist() == [0.5] * 3
    assert number.explain(X[:2], [0.9, 0.1]).classes.tolist() == [0.9, 0.1]
    tags = [["a"], ["b", "a"], []] * 13 + [["b"]]
    tagger = diglot.ImageTagger(net, epochs=2, seed=1).fit(X, tags)
    found = tagger.explain(X[:3], "b", "occlusion", segments=9)
    assert found.scale == "logit" and found.classes.tolist() == ["b"] * 3
    logits = found.scores
    assert np.allclose(1 / (1 + np.exp(-logits)), tagger.predict_proba(X[:3])["b"], atol=1e-5)
    with pytest.raises(InputError, match="scale"):
        tagger.explain(X[:3], scale="probability")
