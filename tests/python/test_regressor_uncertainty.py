"""A regressor's intervals: as often right as was asked for, kept in its file."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from diglot import ImageRegressor, loads, storage
from diglot.errors import InputError, ModelFileError
from diglot.uncertainty import fit_intervals

QUANTILES = [0.9, 0.5, 0.1]  # in no order


def bright(n, seed):
    """Make images whose mean brightness is to be told, through noise that grows with it."""
    random = np.random.default_rng(seed)
    y = random.random(n)
    images = y[:, None, None] * np.linspace(0.5, 1, 64).reshape(8, 8)
    return images, 10 + 4 * y + y * random.normal(size=n)


@pytest.fixture(scope="module", params=["gaussian", "quantile", "poisson"])
def fitted(request):
    quantiles = QUANTILES if request.param == "quantile" else [0.5]
    model = ImageRegressor(
        "mlp", family=request.param, quantiles=quantiles, epochs=10, seed=1, verbose=False
    )
    images, y = bright(300, 1)
    return model.fit(images, y.round() if request.param == "poisson" else y)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


def data(model, n, seed):
    images, y = bright(n, seed)
    return images, y.round() if model.family == "poisson" else y


def test_intervals_hold_the_truth_as_often_as_was_asked_for(model):
    model.conformalize(*data(model, 200, 2))
    table = model.coverage(*data(model, 2000, 3), [0.5, 0.9])
    for stated, estimate in zip(table["coverage"], table["estimate"], strict=True):
        place = math.ceil(201 * stated)
        expected = stats.betabinom(2000, place, 201 - place)
        chance = expected.cdf(round(estimate * 2000))
        assert chance > 0.0005
        # Whole numbers have ties, with which intervals hold them more often.
        assert chance < 0.9995 or model.family == "poisson"
    assert table["class"].isna().all() and (table["n"] == 2000).all()


def test_intervals_are_those_of_the_definition(model):
    images, y = data(model, 99, 2)
    new, _ = data(model, 20, 3)
    model.conformalize(images, y)
    if model.family == "quantile":
        columns = [0.1, 0.9]
        band, other = (model.predict_quantiles(x)[columns].to_numpy() for x in (images, new))
    else:
        band, other = (np.stack([model.predict(x)] * 2, axis=1) for x in (images, new))
    margin = sorted(np.maximum(band[:, 0] - y, y - band[:, 1]))[79]
    frame = pd.DataFrame({"image": list(new)}, index=range(5, 25))
    found = model.predict_interval(frame, coverage=0.8)
    expected = pd.DataFrame(other + [-margin, margin], frame.index, ["lower", "upper"])
    if model.family == "poisson":
        expected = expected.clip(lower=0)
    pd.testing.assert_frame_equal(found, expected)


def test_the_file_keeps_intervals(model):
    images, y = data(model, 99, 2)
    model.conformalize(images, y)
    again = loads(model.to_bytes())
    pd.testing.assert_frame_equal(again.predict_interval(images), model.predict_interval(images))
    assert "from 99 images" in again.summary()
    tensors, meta = storage.decode(model.to_bytes())
    for damaged in ({"method": "absolute"}, {"method": "lac", "scores": []}, 3):
        with pytest.raises(ModelFileError):
            loads(storage.encode(tensors, {**meta, "conformal": damaged}))
    other = "absolute" if model.family == "quantile" else "quantile"
    band = [1.0, 2.0] if other == "absolute" else [[1.0, 2.0], [2.0, 3.0]]
    wrong = fit_intervals(band, [1, 2], other).to_dict()
    with pytest.raises(ModelFileError):
        loads(storage.encode(tensors, {**meta, "conformal": wrong}))
    del meta["conformal"]
    assert loads(storage.encode(tensors, meta)).conformal_ is None


def test_intervals_need_their_own_images_and_are_forgotten_by_training(model):
    images, y = data(model, 99, 2)
    with pytest.raises(InputError, match=r"conformalize\(X, y\)"):
        model.predict_interval(images)
    model.conformalize(images, y)
    assert model.predict_interval(images[:0]).shape == (0, 2)
    with pytest.warns(UserWarning, match=r"conformalize\(\) again"):
        model.update(images, y)
    assert model.conformal_ is None
