"""``ImageTagger``: planted tags, thresholds, files, and what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import f1_score

from diglot import ImageTagger, InputError, ModelFileError, load, loads, storage


def tagged(n=300, seed=0):
    """Return images in which a corner is lit for each tag, and these tags; noise besides."""
    rng = np.random.default_rng(seed)
    tags = pd.DataFrame(
        {"top": rng.random(n) < 0.5, "left": rng.random(n) < 0.3, "rare": rng.random(n) < 0.1}
    )
    images = rng.random((n, 8, 8)).astype(np.float32) * 0.4
    images[tags["top"], :2, 5:] += 0.6
    images[tags["left"], 3:7, :2] += 0.6
    images[tags["rare"], 6:, 6:] += 0.6
    return images, tags.astype(int)


def mlp(**settings):
    return ImageTagger("mlp", **{"epochs": 8, "batch_size": 32, "seed": 1, **settings})


@pytest.fixture(scope="module")
def fitted():
    return mlp().fit(*tagged())


def test_planted_tags_are_found(fitted):
    images, tags = tagged(200, seed=1)
    found = fitted.predict(images)
    assert found.columns.tolist() == ["top", "left", "rare"]
    assert all(kind.kind == "b" for kind in found.dtypes)
    assert (found.to_numpy() == tags.to_numpy()).mean() > 0.97
    p = fitted.predict_proba(images)
    assert ((p > 0) & (p < 1)).all(axis=None)
    assert (p.sum(axis=1) > 1).any()  # not shares of one
    assert fitted.predict_proba(images[:0]).shape == (0, 3)


def test_tags_come_as_lists_too(fitted):
    images, tags = tagged()
    lists = [[tag for tag in tags.columns if row[tag]] for _, row in tags.iterrows()]
    model = mlp().fit(images, lists)
    assert model.tags_ == ("left", "rare", "top")  # sorted
    later = tagged(50, seed=2)[0]
    mine = model.predict_proba(later)[list(tags.columns)]
    np.testing.assert_allclose(mine, fitted.predict_proba(later), atol=0.25)
    assert ((mine > 0.5).to_numpy() == fitted.predict(later).to_numpy()).mean() > 0.95


def test_thresholds_are_tuned_by_f1(fitted):
    images, tags = tagged(300, seed=3)
    # labels of which many are wrong, so that no threshold is perfect
    noisy = tags.to_numpy() ^ (np.random.default_rng(1).random(tags.shape) < 0.2)
    model = loads(fitted.to_bytes())
    before = f1_score(noisy, model.predict(images), average=None)
    assert model.tune_thresholds(images, pd.DataFrame(noisy, columns=tags.columns)) is model
    after = f1_score(noisy, model.predict(images), average=None)
    assert (after >= before).all()
    p = model.predict_proba(images).to_numpy()
    for t in range(3):
        tried = [f1_score(noisy[:, t], p[:, t] >= c) for c in np.r_[0, p[:, t]]]
        assert after[t] == pytest.approx(max(tried))
    again = loads(model.to_bytes())
    np.testing.assert_array_equal(again.thresholds_, model.thresholds_)
    pd.testing.assert_frame_equal(again.predict(images), model.predict(images))
    assert clone(model).get_params()["epochs"] == 8


def test_the_same_seed_gives_the_same_bytes(fitted, tmp_path):
    images, tags = tagged()
    assert mlp().fit(images, tags).fingerprint() == fitted.fingerprint()
    loaded = load(fitted.save(tmp_path / "model.safetensors"))
    assert isinstance(loaded, ImageTagger)
    assert loaded.tags_ == fitted.tags_
    pd.testing.assert_frame_equal(loaded.predict_proba(images), fitted.predict_proba(images))
    assert "3: top, left, rare" in loaded.summary()


@pytest.mark.parametrize(
    "damage",
    [
        {"tags": ["top", "left"]},
        {"tags": ["top", "left", "left"]},
        {"tags": None},
        {"thresholds": [0.5, 0.5]},
        {"thresholds": [0.5, 0.5, float("nan")]},
        {"thresholds": ["a", "b", "c"]},
        {"thresholds": None},
    ],
)
def test_damaged_files_are_refused(fitted, damage):
    tensors, meta = storage.decode(fitted.to_bytes())
    try:
        data = storage.encode(tensors, {**meta, **damage})
    except ValueError:
        pytest.skip("JSON has no such number")
    with pytest.raises(ModelFileError, match="damaged"):
        loads(data)


def test_going_on(fitted):
    images, tags = tagged(100, seed=4)
    more = loads(fitted.to_bytes()).update(images, tags[["rare", "left", "top"]], epochs=1)
    assert len(more.history_) == 9
    assert more.tags_ == fitted.tags_
    with pytest.raises(InputError, match="as in training"):
        loads(fitted.to_bytes()).update(images, tags[["top"]])
    tuned = fitted.fine_tune(images, tags[["rare"]], epochs=1)
    assert tuned.tags_ == ("rare",)
    assert tuned.network_.output_shape == (1,)


def test_validation_data_and_smoothing():
    images, tags = tagged(120)
    model = mlp(epochs=3, label_smoothing=0.1, mixup=0.2)
    model.fit(images[:90], tags[:90], validation_data=(images[90:], tags[90:]))
    p = model.predict_proba(images[90:]).to_numpy()
    truth = tags[90:].to_numpy()
    loss = -np.log(np.where(truth, p, 1 - p)).mean()
    at_best = model.history_.loc[model.history_["epoch"] == model.best_epoch_].iloc[0]
    assert at_best["val_loss"] == pytest.approx(loss, rel=1e-4)
    assert at_best["val_accuracy"] == pytest.approx(((p > 0.5) == truth).mean(), abs=1e-6)


def test_smoothing_pulls_each_tag_towards_a_half():
    """The loss is least where a probability is half the smoothing away from certainty."""
    images, tags = tagged(200)
    sharp = mlp(epochs=40).fit(images, tags).predict_proba(images)
    smooth = mlp(epochs=40, label_smoothing=0.4).fit(images, tags).predict_proba(images)
    has = tags["top"] == 1
    assert sharp.loc[has, "top"].mean() > 0.97
    assert smooth.loc[has, "top"].mean() == pytest.approx(0.8, abs=0.06)
    assert smooth.loc[~has, "top"].mean() == pytest.approx(0.2, abs=0.06)


def test_training_on_forgets_thresholds_and_says_so(fitted):
    images, tags = tagged(60, seed=3)
    model = loads(fitted.to_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.update(images, tags)  # there were none to lose
    model.tune_thresholds(images, tags)
    assert (model.thresholds_ != 0.5).any()
    with pytest.warns(UserWarning, match=r"call tune_thresholds\(\) again"):
        model.update(images, tags)
    assert (model.thresholds_ == 0.5).all()
    model.tune_thresholds(images, tags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(images, tags)  # begins anew
    assert (model.thresholds_ == 0.5).all()


def test_weights_that_are_all_zero_are_refused(fitted):
    images, tags = tagged(20)
    for learn in (mlp().fit, loads(fitted.to_bytes()).update):
        with pytest.raises(InputError, match="sample_weight is zero in all rows"):
            learn(images, tags, sample_weight=np.zeros(20))


def test_evaluation_uses_the_thresholds(fitted):
    images, tags = tagged(100, seed=5)
    model = loads(fitted.to_bytes())
    model.thresholds_ = np.array([0.0, 0.5, 1.0])  # always, as it is, never
    table = model.evaluate(images, tags, resamples=50)
    sensitivity = table[table["metric"] == "sensitivity"].set_index("class")["estimate"]
    assert sensitivity["top"] == 1
    assert sensitivity["rare"] == 0


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["a"] * 20, "row 1 of the tags"),
        (np.full((20, 2), 3), "zeros and ones"),
        ([["a"]] * 19, "20 images and the tags of 19"),
        ([[]] * 20, "no image has any tag"),
        (None, "y"),
    ],
)
def test_bad_tags_are_refused(y, words):
    with pytest.raises(InputError, match=words):
        mlp(epochs=1).fit(tagged(20)[0], y)
