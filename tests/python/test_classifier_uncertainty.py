"""A classifier that says how sure it is: calibration and sets, through files and further fits."""

from __future__ import annotations

import copy
import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone

from diglot import ImageClassifier, example_images, load, loads, storage
from diglot.errors import InputError, ModelFileError
from diglot.uncertainty import fit_calibration, fit_conformal

DIGITS = example_images("digits")
X, Y = DIGITS[["image"]], DIGITS["label"]
TRAIN, CALIBRATE, CONFORM, TEST = (
    slice(0, 300),
    slice(300, 700),
    slice(700, 1200),
    slice(1200, 1797),
)


@pytest.fixture(scope="module")
def fitted():
    model = ImageClassifier(
        "mlp", epochs=15, learning_rate=0.1, batch_size=16, seed=1, verbose=False
    )
    return model.fit(X[TRAIN], Y[TRAIN])


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


@pytest.fixture(scope="module")
def sure(fitted):
    """Calibrate and conformalise a model, which no test may change."""
    model = copy.deepcopy(fitted)
    return model.calibrate(X[CALIBRATE], Y[CALIBRATE]).conformalize(X[CONFORM], Y[CONFORM])


def codes(rows):
    return Y[rows].cat.codes.to_numpy()


def log_loss(p, rows):
    return -np.log(p[np.arange(len(p)), codes(rows)]).mean()


def test_calibration_mends_what_predict_proba_says(model):
    before, weights = model.predict_proba(X[TEST]), model.fingerprint()
    assert model.calibrate(X[CALIBRATE], Y[CALIBRATE]) is model
    after = model.predict_proba(X[TEST])
    assert log_loss(after, TEST) < log_loss(before, TEST)
    assert model.fingerprint() == weights
    np.testing.assert_array_equal(model.predict(X[TEST]), model.classes_[before.argmax(axis=1)])
    evaluated = model.evaluate(X[TEST], Y[TEST]).set_index("metric")
    assert evaluated.loc["log_loss", "estimate"] == pytest.approx(log_loss(after, TEST))


def test_calibration_begins_with_what_the_network_says_each_time(model):
    raw = model.predict_proba(X[CALIBRATE])
    model.calibrate(X[CALIBRATE], Y[CALIBRATE])
    once = model.calibration_
    assert once == fit_calibration(raw, codes(CALIBRATE))
    assert model.calibrate(X[CALIBRATE], Y[CALIBRATE]).calibration_ == once
    assert model.calibrate(method="none").calibration_ is None
    np.testing.assert_array_equal(model.predict_proba(X[CALIBRATE]), raw)


def test_predicted_classes_are_the_most_probable_after_isotonic_calibration(model):
    raw = model.predict_proba(X[TEST])
    model.calibrate(X[CALIBRATE], Y[CALIBRATE], method="isotonic")
    p = model.predict_proba(X[TEST])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) != raw.argmax(axis=1)).any()
    np.testing.assert_array_equal(model.predict(X[TEST]), model.classes_[p.argmax(axis=1)])


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_sets_hold_the_truth_as_often_as_was_asked_for(model, method):
    model.conformalize(X[CONFORM], Y[CONFORM], method, allow_empty=True)
    table = model.coverage(X[TEST], Y[TEST], [0.7, 0.9])
    assert len(table) == 22 and table["class"].isna().sum() == 2
    whole = table[table["class"].isna()]
    n = model.conformal_.n
    for stated, estimate in zip(whole["coverage"], whole["estimate"], strict=True):
        place = math.ceil((n + 1) * stated)
        expected = stats.betabinom(597, place, n + 1 - place)
        assert 0.0005 < expected.cdf(round(estimate * 597)) < 0.9995


def test_sets_are_a_table_of_true_and_false(sure):
    some = X[TEST].iloc[[3, 1, 2]]
    sets = sure.predict_set(some, coverage=0.95)
    assert sets.index.tolist() == some.index.tolist()
    assert sets.columns.tolist() == sure.classes_.tolist()
    assert sets.to_numpy().dtype.kind == "b" and sets.any(axis=1).all()
    none = sure.predict_set(np.empty((0, 8, 8)))
    assert none.shape == (0, 10) and set(map(str, none.dtypes)) == {"bool"}
    sizes = [sure.predict_set(X[TEST], c).to_numpy().sum() for c in (0.5, 0.9, 0.99)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_an_images_set_does_not_depend_on_the_images_beside_it(sure):
    together = sure.predict_set(X[TEST], 0.99).to_numpy()
    alone = [sure.predict_set(X[TEST].iloc[[i]], 0.99).to_numpy()[0] for i in range(40)]
    np.testing.assert_array_equal(alone, together[:40])
    assert (together.sum(axis=1) > 1).any()
    pixels = np.stack(X[TEST]["image"].tolist())  # the same images in another form
    np.testing.assert_array_equal(sure.predict_set(pixels, 0.99).to_numpy(), together)


def test_the_table_of_coverage_counts_what_predict_set_says(sure):
    table = sure.coverage(X[TEST], Y[TEST], 0.95, level=0.9)
    sets = sure.predict_set(X[TEST], 0.95).to_numpy()
    held = sets[np.arange(len(sets)), codes(TEST)]
    whole = table[table["class"].isna()].iloc[0]
    assert (whole["estimate"], whole["mean_size"]) == (held.mean(), sets.sum(axis=1).mean())
    three = table[table["class"] == "3"].iloc[0]
    assert three["estimate"] == held[codes(TEST) == 3].mean()
    stated = sure.coverage(X[TEST], Y[TEST])["coverage"].unique().tolist()
    assert stated == [0.8, 0.9, 0.95]


def test_covariates_go_along():
    beside = X.assign(light=X["image"].map(np.mean))
    model = ImageClassifier("mlp", covariates=["light"], epochs=5, seed=1, verbose=False)
    model.fit(beside[TRAIN], Y[TRAIN]).calibrate(beside[CALIBRATE], Y[CALIBRATE])
    model.conformalize(beside[CONFORM], Y[CONFORM])
    again, darker = loads(model.to_bytes()), beside[TEST].assign(light=0.0)
    sets = model.predict_set(beside[TEST])
    pd.testing.assert_frame_equal(again.predict_set(beside[TEST]), sets)
    assert (model.predict_set(darker).to_numpy() != sets.to_numpy()).any()


def test_a_rare_class_is_named_where_it_is_in_every_set(model):
    keep = np.flatnonzero((codes(CONFORM) != 4) | (np.cumsum(codes(CONFORM) == 4) <= 3))
    model.conformalize(X[CONFORM].iloc[keep], Y[CONFORM].iloc[keep], "lac", class_conditional=True)
    with pytest.warns(UserWarning, match=r"9 images a class.*4'? \(3\)\."):
        assert model.predict_set(X[TEST], 0.9).iloc[:, 4].all()


def test_the_file_keeps_both(sure, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load(sure.save(tmp_path / "model.safetensors"))
    for name in ("predict_proba", "predict_set"):
        pd.testing.assert_frame_equal(
            pd.DataFrame(getattr(again, name)(X[TEST])), pd.DataFrame(getattr(sure, name)(X[TEST]))
        )
    assert again.to_bytes() == sure.to_bytes()
    assert "temperature" in again.summary() and "APS, from 500 images" in again.summary()


def test_files_from_before_there_was_any_are_read(fitted):
    tensors, meta = storage.decode(fitted.to_bytes())
    del meta["calibration"], meta["conformal"]
    old = loads(storage.encode(tensors, meta))
    assert old.calibration_ is None and old.conformal_ is None
    np.testing.assert_array_equal(old.predict_proba(X[:5]), fitted.predict_proba(X[:5]))


@pytest.mark.parametrize(
    "change",
    [
        {"calibration": 3},
        {"calibration": {"method": "temperature", "temperature": -1, "n": 3}},
        {"calibration": {"method": "isotonic", "n": 3, "curves": [{"from": [0], "to": [0]}]}},
        {"conformal": "aps"},
        {"conformal": fit_conformal([[0.5, 0.5]] * 9, [0] * 9).to_dict()},
    ],
)
def test_damaged_files_are_refused(fitted, change):
    tensors, meta = storage.decode(fitted.to_bytes())
    with pytest.raises(ModelFileError):
        loads(storage.encode(tensors, json.loads(json.dumps({**meta, **change}))))


def test_calibration_after_the_sets_forgets_the_sets(model):
    model.conformalize(X[CONFORM], Y[CONFORM])
    with pytest.warns(UserWarning, match=r"conformalize\(\) again"):
        model.calibrate(X[CALIBRATE], Y[CALIBRATE])
    with pytest.raises(InputError, match=r"conformalize\(X, y\)"):
        model.predict_set(X[TEST])


def test_training_forgets_what_was_about_other_weights(model):
    model.calibrate(X[CALIBRATE], Y[CALIBRATE]).conformalize(X[CONFORM], Y[CONFORM])
    assert clone(model).calibration_ is None
    tuned = model.fine_tune(X[:20], Y[:20], train="head", epochs=1)
    assert tuned.calibration_ is None and tuned.conformal_ is None
    with pytest.warns(UserWarning, match=r"calibrate\(\) and conformalize\(\) again"):
        model.update(X[:20], Y[:20])
    assert model.calibration_ is None and model.conformal_ is None
    model.calibrate(X[CALIBRATE], Y[CALIBRATE])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(epochs=1).fit(X[:40], Y[:40])
    assert model.calibration_ is None


@pytest.mark.parametrize("method", ["calibrate", "conformalize", "coverage"])
def test_labels_and_arguments_are_checked(model, method):
    call = getattr(model.conformalize(X[CONFORM], Y[CONFORM]), method)
    with pytest.raises(InputError, match="2"):
        call(X[:3], Y[:2])
    with pytest.raises(InputError, match="elephant"):
        call(X[:2], ["elephant", "3"])
    with pytest.raises(InputError):
        call(X[:20], Y[:20], "magic")
    with pytest.raises(InputError):
        model.coverage(X[:3], Y[:3], [])
