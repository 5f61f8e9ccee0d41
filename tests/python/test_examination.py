"""Worst errors against a table sorted by pandas; nearest images against all distances."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

import diglot
from diglot import ImageClassifier, nearest_images, worst_errors
from diglot.errors import InputError


@pytest.fixture(scope="module")
def digits():
    return diglot.example_images("digits")[:400]


@pytest.fixture(scope="module")
def model(digits):
    return ImageClassifier("mlp", epochs=2, seed=1).fit(digits[["image"]], digits["label"])


def test_worst_errors_are_those_that_pandas_sorts_first(model, digits):
    X, y = digits[["image"]], digits["label"]
    p = pd.DataFrame(model.predict_proba(X), columns=model.classes_)
    table = pd.DataFrame({"truth": y.to_numpy(), "predicted": p.idxmax(axis=1)})
    table["probability"] = p.max(axis=1)
    table["probability_of_truth"] = [p.loc[i, label] for i, label in enumerate(table["truth"])]
    table = table[table["truth"] != table["predicted"]].sort_values("probability_of_truth")
    assert len(table) > 10
    found = worst_errors(model, X, y, n=10)
    assert found["row"].tolist() == table.index[:10].tolist()
    for name in ("truth", "predicted"):
        assert found[name].tolist() == table[name].tolist()[:10]
        assert found[name].cat.categories.tolist() == model.classes_.tolist()
    for name in ("probability", "probability_of_truth"):
        assert np.allclose(found[name], table[name][:10], rtol=1e-12)
    assert np.allclose(np.exp(-found["loss"]), found["probability_of_truth"])
    assert len(worst_errors(model, X, y, n=10_000)) == len(table)


def guesses(p, classes=("no", "yes")):
    return SimpleNamespace(classes_=np.array(classes), predict_proba=lambda X: np.array(p))


def test_a_model_without_errors_has_no_worst(model, digits):
    sure = guesses([[0.9, 0.1], [0.2, 0.8]])
    found = worst_errors(sure, None, ["no", "yes"])
    assert found.shape == (0, 6)
    assert found["truth"].cat.categories.tolist() == ["no", "yes"]


def test_what_was_ruled_out_is_worst_and_ties_keep_their_order():
    sure = guesses([[0.3, 0.7], [0.0, 1.0], [0.3, 0.7], [0.6, 0.4]])
    found = worst_errors(sure, None, ["no", "no", "no", "no"])
    assert found["row"].tolist() == [1, 0, 2]
    assert found["loss"].iloc[0] == np.inf


def test_worst_errors_refuse_what_they_cannot_judge(model, digits):
    X, y = digits[["image"]][:4], digits["label"][:4]
    with pytest.raises(InputError, match="4 images and 3 labels"):
        worst_errors(model, X, y[:3])
    with pytest.raises(InputError, match="n must be"):
        worst_errors(model, X, y, n=0)
    with pytest.raises(InputError, match="classifier"):
        worst_errors(SimpleNamespace(), X, y)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("block", [7, 10_000])
def test_nearest_images_against_all_distances(model, digits, metric, block, monkeypatch):
    monkeypatch.setattr("diglot.examination._BLOCK", block)
    X, train = digits[["image"]][:20], digits[["image"]][20:]
    labels = digits["label"][20:]
    found = nearest_images(model, X, train, labels, n=4, metric=metric)
    every = cdist(
        model.transform(X).astype(float), model.transform(train).astype(float), metric=metric
    )
    order = every.argsort(axis=1, kind="stable")[:, :4]
    assert found.columns.tolist() == ["row", "rank", "neighbour", "distance", "label"]
    assert found["row"].tolist() == np.repeat(np.arange(20), 4).tolist()
    assert found["rank"].tolist() == [1, 2, 3, 4] * 20
    assert np.array_equal(found["neighbour"].to_numpy().reshape(20, 4), order)
    assert np.allclose(found["distance"], np.take_along_axis(every, order, 1).ravel(), atol=1e-9)
    assert found["label"].tolist() == labels.to_numpy()[order.ravel()].tolist()


def test_an_image_is_nearest_to_itself_and_its_likes_come_in_order(model, digits):
    X = np.stack(digits["image"][:6])
    train = np.concatenate([X, X[::-1]])
    found = nearest_images(model, X, train, n=2)
    assert found["neighbour"].to_numpy().reshape(6, 2).tolist() == [[i, 11 - i] for i in range(6)]
    assert (found["distance"] == 0).all()
    assert found["label"].isna().all()


def test_layers_that_keep_places_are_averaged():
    rng = np.random.default_rng(0)
    images = rng.random((12, 12, 10))
    net = diglot.network("squeezenet1_1", classes=2, size=(32, 40), channels=1)
    model = ImageClassifier(net, size=(32, 40), epochs=1, seed=1)
    model.fit(images, ["a", "b"] * 6)
    assert model.embed(images[:1]).ndim == 4
    every = cdist(model.transform(images), model.transform(images))
    found = nearest_images(model, images, images, n=3)
    assert np.allclose(found["distance"], np.sort(every, axis=1)[:, :3].ravel(), atol=1e-6)


def test_nearest_images_of_none_and_of_more_than_there_are(model, digits):
    X = digits[["image"]]
    assert len(nearest_images(model, X[:0], X[:3])) == 0
    assert len(nearest_images(model, X[:2], X[:3], n=50)) == 6
    labels = pd.Categorical(["b", "a", "b"], ["b", "a"])
    found = nearest_images(model, X[:2], X[:3], labels, n=1)
    assert found["label"].cat.categories.tolist() == ["b", "a"]


def test_nearest_images_refuse_what_cannot_be(model, digits):
    X = digits[["image"]]
    with pytest.raises(InputError, match="3 images but train_y 2"):
        nearest_images(model, X[:2], X[:3], ["a", "b"])
    with pytest.raises(InputError, match="metric"):
        nearest_images(model, X[:2], X[:3], metric="manhattan")
    with pytest.raises(InputError, match="n must be"):
        nearest_images(model, X[:2], X[:3], n=0)
    with pytest.raises(InputError):
        nearest_images(model, X[:2], X[:0])
