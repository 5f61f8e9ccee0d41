"""``ImageRegressor``: planted numbers, generalised linear models, scikit-learn's own checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from diglot import ImageClassifier, ImageRegressor, InputError, ModelFileError, load, loads, storage


def bright(n=300, seed=0):
    """Return images of asymmetric light, how light they are, and random numbers."""
    rng = np.random.default_rng(seed)
    light = rng.random(n)
    slope = np.linspace(0.5, 1, 36).reshape(6, 6)
    images = light[:, None, None] * slope + rng.normal(0, 0.02, (n, 6, 6))
    return images.astype(np.float32), light, rng


def mlp(**settings):
    return ImageRegressor("mlp", **{"epochs": 8, "batch_size": 32, "seed": 1, **settings})


@pytest.fixture(scope="module")
def fitted():
    images, light, _ = bright()
    return mlp().fit(images, 10 + 4 * light)


def test_scikit_learns_own_checks_pass():
    # its regression data has 10 columns, which are images one pixel high
    check_estimator(
        ImageRegressor("mlp", epochs=20, batch_size=16, seed=1, learning_rate=0.02, verbose=False)
    )


def test_cross_validation_and_grid_search():
    images, light, _ = bright(120)
    assert cross_val_score(mlp(), images, light, cv=3).mean() > 0.7  # R squared
    search = GridSearchCV(mlp(), {"epochs": [1, 8]}, cv=2).fit(images, light)
    assert search.best_params_ == {"epochs": 8}
    copy = clone(search.best_estimator_)
    assert not hasattr(copy, "network_")


def test_a_measurement_is_learned_in_its_own_units(fitted):
    images, light, _ = bright(200, seed=1)
    truth = 10 + 4 * light
    predicted = fitted.predict(images)
    assert predicted.dtype == np.float64
    assert predicted.shape == (200,)
    assert np.sqrt(np.mean((predicted - truth) ** 2)) < 0.25 * truth.std()
    assert fitted.score(images, truth) > 0.9
    assert fitted.history_["mae"].iloc[-1] < 0.4
    assert list(fitted.history_.columns[:3]) == ["epoch", "loss", "mae"]
    assert fitted.predict(images[:0]).shape == (0,)


def test_units_do_not_matter():
    """Training is on a scale of its own: in other units the same fit, to rounding."""
    images, light, _ = bright(100)
    one, other = mlp().fit(images, light), mlp().fit(images, 1e6 * light - 5e6)
    np.testing.assert_allclose(other.predict(images), 1e6 * one.predict(images) - 5e6, atol=300)


def test_counts_are_those_of_a_poisson_regression():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(2)
    x = rng.normal(size=600)
    counts = rng.poisson(np.exp(0.8 + 0.6 * x))
    images = np.zeros((600, 3, 4), np.float32) + x[:, None, None].astype(np.float32)
    model = mlp(family="poisson", epochs=15).fit(images, counts)
    theirs = sm.GLM(counts, sm.add_constant(x), family=sm.families.Poisson()).fit()
    rates = theirs.predict(sm.add_constant(x))
    # a network bends a little where there are few images
    assert np.median(np.abs(np.log(model.predict(images) / rates))) < 0.1
    assert (model.predict(images) > 0).all()
    assert model._optimiser().clip_norm == 1.0
    assert mlp(family="poisson", clip_norm=5.0)._optimiser().clip_norm == 5.0


def test_quantiles_have_their_share_below():
    """The spread grows with the light: each stated share lies below its quantile, also by part."""
    images, light, rng = bright(1500, seed=3)
    y = 5 + 2 * light + (0.2 + light) * rng.normal(size=1500)
    quantiles = [0.9, 0.1, 0.5]
    model = mlp(family="quantile", quantiles=quantiles, epochs=15).fit(images[:1000], y[:1000])
    found, truth = model.predict_quantiles(images[1000:]), y[1000:]
    assert found.columns.tolist() == quantiles
    for quantile in quantiles:
        below = truth < found[quantile]
        assert below.mean() == pytest.approx(quantile, abs=0.06)
        for part in (light[1000:] < 0.5, light[1000:] >= 0.5):
            assert below[part].mean() == pytest.approx(quantile, abs=0.11)
    width = found[0.9] - found[0.1]
    assert width[light[1000:] > 0.8].mean() > 1.5 * width[light[1000:] < 0.2].mean()
    np.testing.assert_array_equal(model.predict(images[1000:]), found[0.5])


def test_quantiles_never_cross():
    images, _, rng = bright(80)
    y = rng.normal(size=80)
    quantiles = [0.6, 0.4, 0.5, 0.45, 0.55]  # one epoch on noise: they would
    model = mlp(family="quantile", quantiles=quantiles, epochs=1).fit(images, y)
    raw = model._scores(images)[:, np.argsort(quantiles)]
    assert (np.diff(raw, axis=1) < 0).any()
    ordered = model.predict_quantiles(images)[sorted(quantiles)].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()


def test_one_quantile_may_be_a_number():
    images, light, _ = bright(60)
    model = mlp(family="quantile", quantiles=0.3, epochs=1).fit(images, light)
    assert model.predict_quantiles(images[:4]).shape == (4, 1)
    with pytest.raises(InputError, match='family="gaussian"'):
        mlp(epochs=1).fit(images, light).predict_quantiles(images)


def test_the_same_seed_gives_the_same_bytes(fitted, tmp_path):
    images, light, _ = bright()
    again = mlp().fit(images, 10 + 4 * light)
    assert again.fingerprint() == fitted.fingerprint()
    file = fitted.save(tmp_path / "model.safetensors")
    loaded = load(file)
    assert isinstance(loaded, ImageRegressor)
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))
    assert loaded.to_bytes() == fitted.to_bytes()
    assert "the mean, by least squares" in loaded.summary()


@pytest.mark.parametrize("family", ["gaussian", "poisson", "quantile"])
def test_every_family_survives_its_file(family):
    images, light, _ = bright(40)
    quantiles = [0.2, 0.8] if family == "quantile" else 0.5
    model = mlp(family=family, quantiles=quantiles, epochs=1).fit(images, (9 * light).round())
    again = loads(model.to_bytes())
    assert again.outcome_ == model.outcome_
    np.testing.assert_array_equal(again.predict(images), model.predict(images))


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": 0.0},
        {"family": "gamma"},
        {"quantiles": [0.2, 0.8], "family": "quantile"},  # two, where the network gives one
        {"centre": None},
    ],
)
def test_damaged_files_are_refused(fitted, damage):
    tensors, meta = storage.decode(fitted.to_bytes())
    meta["outcome"] = {**meta["outcome"], **damage}
    with pytest.raises(ModelFileError, match="damaged"):
        loads(storage.encode(tensors, meta))


def test_going_on(fitted):
    images, light, _ = bright(100, seed=5)
    more = loads(fitted.to_bytes()).update(images, 10 + 4 * light, epochs=2)
    assert len(more.history_) == 10
    assert more.outcome_ == fitted.outcome_  # on the same scale
    tuned = fitted.fine_tune(images, 100 * light, train="head", epochs=3)
    same = [n for n in tuned.network_.weights if "head" not in n]
    for name in same:
        np.testing.assert_array_equal(tuned.network_.weights[name], fitted.network_.weights[name])
    assert tuned.outcome_.scale == pytest.approx(100 * light.std())
    several = fitted.fine_tune(images, light, family="quantile", quantiles=[0.1, 0.9], epochs=1)
    assert several.predict_quantiles(images).shape == (100, 2)


def test_a_classifiers_network_learns_numbers():
    images, light, _ = bright(100)
    classifier = ImageClassifier("mlp", epochs=1, seed=1).fit(images, light > 0.5)
    model = ImageRegressor(classifier.network_, train="head", epochs=3, seed=1).fit(images, light)
    assert model.predict(images).shape == (100,)


def test_validation_stops_and_keeps_the_best():
    images, light, _ = bright(120)
    model = mlp(validation=0.25, patience=2, epochs=12, monitor="val_mae").fit(images, light)
    best = model.history_["val_mae"].idxmin()
    assert model.best_epoch_ == model.history_["epoch"][best]
    more = len(model.history_) + 2
    assert len(model.update(images, light, epochs=2).history_) == more  # nothing stops it
    given = mlp(epochs=3).fit(images[:90], light[:90], validation_data=(images[90:], light[90:]))
    error = np.abs(given.predict(images[90:]) - light[90:]).mean()
    at_best = given.history_.loc[given.history_["epoch"] == given.best_epoch_, "val_mae"].iloc[0]
    assert at_best == pytest.approx(error, rel=1e-4)


def test_evaluation_is_of_the_family():
    images, light, _ = bright(150)
    model = mlp(epochs=2).fit(images[:100], light[:100])
    table = model.evaluate(images[100:], light[100:], resamples=50).set_index("metric")
    error = model.predict(images[100:]) - light[100:]
    assert table.loc["rmse", "estimate"] == pytest.approx(np.sqrt((error**2).mean()))
    assert table.loc["mae", "estimate"] == pytest.approx(np.abs(error).mean())
    groups = np.arange(50) // 5
    grouped = model.evaluate(images[100:], light[100:], groups=groups, resamples=50)
    assert grouped["method"].str.contains("cluster").any()


@pytest.mark.parametrize(
    ("settings", "y", "words"),
    [
        ({"family": "multinomial"}, None, "for numbers, not 'multinomial'"),
        ({"family": "quantile", "quantiles": [0.5, 1.5]}, None, "quantiles"),
        ({"family": "quantile", "quantiles": "median"}, None, "quantiles"),
        ({"monitor": "val_accuracy"}, None, '"val_mae"'),
        ({}, ["a"] * 20, "must be numbers"),
        ({}, [3.0] * 20, "all outcomes are the same"),
        ({"family": "poisson"}, [-1.0] * 19 + [2], "counts from 0"),
        ({}, [1.0] * 19, "20 images and 19 numbers"),
    ],
)
def test_bad_arguments_are_refused_by_name(settings, y, words):
    images, light, _ = bright(20)
    with pytest.raises(InputError, match=words):
        mlp(**settings).fit(images, light if y is None else y)


def test_learning_rates_are_tried():
    images, light, _ = bright(60)
    found = mlp().find_learning_rate(images, light, steps=10)
    assert {"learning_rate", "loss"} <= set(found.table.columns)


def test_a_data_frame_of_images():
    images, light, _ = bright(40)
    table = pd.DataFrame({"image": list(images), "light": light})
    model = mlp(epochs=1).fit(table[["image"]], table["light"])
    np.testing.assert_array_equal(
        model.predict(table), mlp(epochs=1).fit(images, light).predict(images)
    )
