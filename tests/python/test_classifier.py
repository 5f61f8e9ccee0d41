"""The classifier as its users meet it: scikit-learn's rules, labels, files, and bad input."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from diglot import ImageClassifier, load, loads, read_images
from diglot.errors import (
    DeviceError,
    DivergedError,
    ImageError,
    InputError,
    InterruptedFitWarning,
    ModelFileError,
    OutOfMemoryError,
)

RANDOM = np.random.default_rng(0)


def stripes(n=40, height=8, width=8, seed=0):
    """Make grey images that are bright on the left ("left") or on the right ("right")."""
    random = np.random.default_rng(seed)
    images = random.random((n, height, width)).astype(np.float32) * 0.5
    labels = np.array(["left", "right"])[np.arange(n) % 2]
    images[labels == "left", :, : width // 2] += 0.5
    images[labels == "right", :, width // 2 :] += 0.5
    return images, labels


def mlp(**settings):
    chosen = {"epochs": 2, "batch_size": 16, "seed": 1, "learning_rate": 0.05, "verbose": False}
    return ImageClassifier("mlp", **{**chosen, **settings})


IMAGES, LABELS = stripes()


@pytest.fixture(scope="module")
def fitted():
    return mlp().fit(IMAGES, LABELS)


# ------------------------------------------------------------------------------ scikit-learn


def test_scikit_learns_own_checks_pass():
    check_estimator(
        ImageClassifier("mlp", epochs=20, batch_size=16, seed=1, learning_rate=0.05, verbose=False)
    )


def test_clone_keeps_settings_and_forgets_the_fit(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "network_")


def test_pipeline_cross_validation_and_grid_search():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200], y[:200] % 2
    scores = cross_val_score(mlp(epochs=5), X, y, cv=3)
    assert scores.mean() > 0.8
    pipe = Pipeline([("scale", MinMaxScaler()), ("net", mlp())])
    search = GridSearchCV(pipe, {"net__epochs": [1, 5]}, cv=2).fit(X, y)
    assert search.best_params_["net__epochs"] == 5
    assert search.predict(X[:3]).shape == (3,)


def test_digits_are_learned():
    digits = load_digits()
    images, labels = digits.images.astype(np.float32), digits.target
    model = mlp(epochs=8).fit(images[:1000], labels[:1000])
    assert model.score(images[1000:], labels[1000:]) > 0.85  # chance is 0.1
    table = model.evaluate(images[1000:], labels[1000:])
    row = table[(table["metric"] == "accuracy")].iloc[0]
    assert row["estimate"] == pytest.approx(model.score(images[1000:], labels[1000:]))
    assert row["lower"] < row["estimate"] < row["upper"]


# ------------------------------------------------------------------------------ same bytes

SAME = """
import numpy as np
from diglot import ImageClassifier
X = np.random.default_rng(5).random((30, 8, 8))
m = ImageClassifier("mlp", epochs=2, batch_size=8, seed=3, mixup=0.2, augment="light",
                    verbose=False).fit(X, np.arange(30) % 3)
print(m.fingerprint())
"""


def test_same_seed_gives_the_same_bytes_in_another_process():
    there = subprocess.run([sys.executable, "-c", SAME], capture_output=True, text=True, check=True)
    X = np.random.default_rng(5).random((30, 8, 8))
    settings = {"epochs": 2, "batch_size": 8, "mixup": 0.2, "augment": "light", "verbose": False}
    here = ImageClassifier("mlp", seed=3, **settings).fit(X, np.arange(30) % 3)
    other = ImageClassifier("mlp", seed=4, **settings).fit(X, np.arange(30) % 3)
    assert there.stdout.strip() == here.fingerprint() != other.fingerprint()


def test_a_drawn_seed_is_kept_and_gives_the_fit_again():
    model = mlp(seed=None).fit(IMAGES, LABELS)
    assert mlp(seed=model.seed_).fit(IMAGES, LABELS).fingerprint() == model.fingerprint()


def test_order_of_rows_does_not_matter(fitted):
    order = RANDOM.permutation(len(IMAGES))
    assert mlp().fit(IMAGES[order], LABELS[order]).fingerprint() == fitted.fingerprint()


def test_repeated_rows_are_weights_and_rows_of_weight_zero_are_not_there():
    counts = RANDOM.integers(0, 4, len(IMAGES))
    repeated = mlp().fit(np.repeat(IMAGES, counts, axis=0), np.repeat(LABELS, counts))
    weighted = mlp().fit(IMAGES, LABELS, sample_weight=counts)
    assert repeated.fingerprint() == weighted.fingerprint()
    assert repeated.fingerprint() != mlp().fit(IMAGES, LABELS).fingerprint()


# ------------------------------------------------------------------------------ labels


def test_a_categoricals_order_is_kept(fitted):
    given = pd.Categorical(LABELS, categories=["right", "unused", "left"], ordered=True)
    model = mlp(epochs=6).fit(IMAGES, given)
    assert model.classes_.tolist() == ["right", "left"]
    assert fitted.classes_.tolist() == ["left", "right"]
    assert loads(model.to_bytes()).classes_.tolist() == ["right", "left"]
    assert (model.predict(IMAGES) == LABELS).mean() > 0.9


@pytest.mark.parametrize("values", [[3, -1], [1.0, 2.0], [False, True], ["ä", "b"]])
def test_labels_keep_their_type(values):
    labels = np.array(values)[np.arange(len(IMAGES)) % 2]
    model = mlp(epochs=1).fit(IMAGES, labels)
    for one in (model, loads(model.to_bytes())):
        assert set(one.predict(IMAGES).tolist()) <= set(values)
        assert type(one.classes_.tolist()[0]) is type(values[0])


def test_class_weights_are_sample_weights_by_another_name():
    rows = np.r_[0:40:2, 1:12:2]  # 20 left, 6 right
    X, y = IMAGES[rows], LABELS[rows]
    balanced = np.where(y == "left", 26 / (2 * 20), 26 / (2 * 6))
    want = mlp(learning_rate=1e-3).fit(X, y, sample_weight=balanced).predict_proba(X)
    for given in ("balanced", {"left": 26 / 40, "right": 26 / 12}):
        got = mlp(learning_rate=1e-3, class_weight=given).fit(X, y).predict_proba(X)
        assert np.allclose(got, want, atol=1e-5)
    assert not np.allclose(mlp(learning_rate=1e-3).fit(X, y).predict_proba(X), want, atol=1e-3)


# ------------------------------------------------------------------------------ answers, files


def test_an_images_answer_does_not_depend_on_its_company(fitted):
    together = fitted.predict_proba(IMAGES)
    alone = np.concatenate([fitted.predict_proba(IMAGES[i : i + 1]) for i in range(10)])
    assert np.array_equal(together[:10], alone)
    assert together.dtype == np.float64
    assert np.allclose(together.sum(axis=1), 1, atol=1e-12)


def test_zero_images_give_zero_answers(fitted):
    assert fitted.predict(IMAGES[:0]).shape == (0,)
    assert fitted.predict_proba(IMAGES[:0]).shape == (0, 2)


def test_height_and_width_are_not_mixed_up():
    X, y = stripes(40, 6, 14)
    model = mlp(epochs=8).fit(X, y)
    spec = model.network_.input
    assert (spec.height, spec.width) == (6, 14)
    assert model.score(*stripes(40, 6, 14, seed=9)) > 0.9
    with pytest.raises(InputError):  # there is no way to fit into one the other's size
        mlp(size=(6, 14, 3)).fit(X, y)


def test_save_load_and_loads_give_the_same_model(fitted, tmp_path):
    path = fitted.save(tmp_path / "model.safetensors")
    assert path.read_bytes() == fitted.to_bytes()
    for copy in (load(path), loads(fitted.to_bytes())):
        assert copy.fingerprint() == fitted.fingerprint()
        assert np.array_equal(copy.predict_proba(IMAGES), fitted.predict_proba(IMAGES))
        assert copy.to_bytes() == fitted.to_bytes()
        pd.testing.assert_frame_equal(copy.history_, fitted.history_)
        again = copy.update(IMAGES, LABELS).fingerprint()
    assert again == loads(fitted.to_bytes()).update(IMAGES, LABELS).fingerprint()


def test_damaged_model_files_are_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ModelFileError, match=r"m\.safetensors"):
        load(path)
    with pytest.raises(ModelFileError, match=r"none\.safetensors"):
        load(tmp_path / "none.safetensors")


def test_a_folder_of_files_trains(tmp_path):
    X, y = stripes(20)
    for row, (image, label) in enumerate(zip(X, y, strict=True)):
        (tmp_path / label).mkdir(exist_ok=True)
        grey = np.round(image * 255).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / label / f"{row:02}.png")
    table = read_images(tmp_path)
    model = mlp(epochs=6).fit(table[["image"]], table["label"])
    assert model.score(table[["image"]], table["label"]) > 0.9
    arrays = np.stack([np.asarray(Image.open(p)) for p in table["image"]])
    assert np.array_equal(model.predict_proba(arrays), model.predict_proba(table["image"]))


# ------------------------------------------------------------------------------ training


def test_the_best_epochs_weights_are_restored():
    X, y = stripes(40, seed=4)
    held = stripes(30, seed=5)
    noisy = np.where(RANDOM.random(40) < 0.3, y[::-1], y)  # so that it overfits
    model = mlp(epochs=12, learning_rate=0.2).fit(X, noisy, validation_data=held)
    losses = model.history_["val_loss"]
    assert model.best_epoch_ == losses.idxmin() + 1
    truth = model.predict_proba(held[0])[np.arange(30), (held[1] == "right").astype(int)]
    assert -np.log(truth).mean() == pytest.approx(losses.min(), rel=1e-5)
    last = mlp(epochs=12, learning_rate=0.2, restore_best=False)
    last.fit(X, noisy, validation_data=held)
    truth = last.predict_proba(held[0])[np.arange(30), (held[1] == "right").astype(int)]
    assert -np.log(truth).mean() == pytest.approx(losses.iloc[-1], rel=1e-5)


def test_patience_stops_so_many_epochs_after_the_best():
    model = mlp(epochs=60, validation=0.25, patience=2, monitor="val_accuracy").fit(IMAGES, LABELS)
    assert model.stopped_ == "early"
    assert len(model.history_) == model.best_epoch_ + 2
    assert model.history_["val_accuracy"].idxmax() + 1 == model.best_epoch_


def test_callbacks_hear_each_epoch_and_can_stop():
    heard = []

    def stop(record):
        heard.append(record["loss"])
        return len(heard) < 3

    model = mlp(epochs=9, callbacks=stop).fit(IMAGES, LABELS)
    assert model.stopped_ == "callback"
    assert heard == model.history_["loss"].tolist()
    assert len(heard) == 3


def test_update_and_partial_fit_go_on(fitted):
    model = loads(fitted.to_bytes()).update(IMAGES, LABELS, epochs=2)
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4]
    assert model.fingerprint() != fitted.fingerprint()
    parts = mlp()
    parts.partial_fit(IMAGES[::2], LABELS[::2], classes=["left", "right"])
    parts.partial_fit(IMAGES[1::2], LABELS[1::2])
    assert parts.history_["epoch"].tolist() == [1, 2]
    assert parts.classes_.tolist() == ["left", "right"]
    with pytest.raises(InputError, match=r"'up' of row 2 was not seen"):
        parts.partial_fit(IMAGES[:2], ["left", "up"])


def test_a_loss_that_is_not_finite_stops_the_fit():
    with pytest.raises(DivergedError, match="learning_rate=") as caught:
        mlp(learning_rate=1e30, epochs=5).fit(IMAGES, LABELS)
    assert isinstance(caught.value, ArithmeticError)


def test_a_failed_update_keeps_the_weights_seen_before():
    steady = mlp(epochs=2).fit(IMAGES, LABELS)
    steady.learning_rate = 1e30
    with pytest.raises(DivergedError):
        steady.update(IMAGES, LABELS, epochs=3)
    assert np.isfinite(steady.predict_proba(IMAGES)).all()
    assert len(steady.history_) >= 2


def test_a_fit_never_ends_with_weights_that_are_not_finite():
    # One step: the loss is that of the weights before it, and does not see what it did.
    with pytest.raises(DivergedError):
        mlp(learning_rate=1e38, epochs=1, batch_size=64, weight_decay=1e3).fit(IMAGES * 50, LABELS)


# ------------------------------------------------------------------------------ bad input


def paths(folder, broken=None):
    files = []
    for row, image in enumerate(IMAGES[:8]):
        path = folder / f"image{row}.png"
        noise = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise if row != broken else np.tile(noise, (8, 8))).save(path)
        if row == broken:
            path.write_bytes(path.read_bytes()[:-400])
        files.append(str(path))
        assert image is not None
    return files


def test_a_truncated_image_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"image5\.png"):
        mlp(size=8).fit(paths(tmp_path, broken=5), LABELS[:8])


def test_an_unreadable_and_a_missing_file_are_named(tmp_path):
    files = paths(tmp_path)
    with open(files[2], "w", encoding="ascii") as file:
        file.write("no image")
    with pytest.raises(ImageError, match=r"image2\.png"):
        mlp().fit(files, LABELS[:8])
    files[2] = str(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"gone\.png"):
        mlp().fit(files, LABELS[:8])


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=tmp_path.name):
        read_images(tmp_path)


def test_a_missing_path_is_refused_by_row(tmp_path):
    files = [*paths(tmp_path)[:3], None]
    with pytest.raises(InputError, match=r"row 4|4"):
        mlp().fit(files, LABELS[:4])
    with pytest.raises(InputError, match=r"row 4|4"):
        mlp().fit(pd.DataFrame({"image": files}), LABELS[:4])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_missing_label_is_refused_by_row(missing):
    labels = [*LABELS[:7].tolist(), missing]
    for given in (labels, pd.Series(labels, dtype=object), pd.Categorical(labels)):
        with pytest.raises(InputError, match="row 8 is missing"):
            mlp().fit(IMAGES[:8], given)


BAD_SETTINGS = [
    ({"epochs": -1}, InputError, "epochs must be a whole number from 1, not -1"),
    ({"batch_size": 0}, InputError, "batch_size"),
    ({"learning_rate": -1}, InputError, "learning_rate"),
    ({"optimizer": "sdg"}, InputError, "sdg"),
    ({"schedule": "cosin"}, InputError, "cosin"),
    ({"validation": 1.5}, InputError, "validation"),
    ({"patience": 2}, InputError, "patience"),
    ({"network": "lenett"}, InputError, "lenett.*lenet"),
    ({"device": "gpu:9"}, DeviceError, "gpu:9"),
    ({"device": "tpu"}, InputError, "tpu"),
    ({"class_weight": {"up": 2}}, InputError, "up"),
    ({"class_weight": "even"}, InputError, "even"),
    ({"resume": True}, InputError, "checkpoint"),
    ({"checkpoint_every": 3}, InputError, "checkpoint"),
    ({"callbacks": 3}, InputError, "3"),
    ({"size": 0}, InputError, "size"),
]


@pytest.mark.parametrize(("settings", "kind", "words"), BAD_SETTINGS)
def test_bad_settings_are_refused_by_name(settings, kind, words):
    model = mlp().set_params(**settings)
    with pytest.raises(kind, match=words):
        model.fit(IMAGES, LABELS)
    assert not hasattr(model, "network_")


def test_other_bad_rows_are_refused(fitted):
    with pytest.raises(InputError, match="only one class is there \\('left'\\)"):
        mlp().fit(IMAGES[:4], ["left"] * 4)
    with pytest.raises(InputError, match="40 images and 39 labels"):
        mlp().fit(IMAGES, LABELS[:39])
    with pytest.raises(InputError, match="row 3"):
        mlp().fit(IMAGES[:4], LABELS[:4], sample_weight=[1, 1, -1, 1])
    with pytest.raises(ImageError, match="8 x 8.*9 x 8.*size="):
        mlp().fit([IMAGES[0], np.zeros((9, 8))], ["a", "b"])
    with pytest.raises(ImageError, match=r"3 channel\(s\).*trained on 1"):
        fitted.predict(np.zeros((2, 8, 8, 3)))
    with pytest.raises(InputError, match="image"):
        fitted.predict(pd.DataFrame({"picture": ["a.png"], "other": ["b"]}))
    with pytest.raises(InputError, match="'up' of row 2 was not seen"):
        fitted.evaluate(IMAGES[:2], ["left", "up"])


def test_evaluate_checks_images_before_labels():
    model = mlp().fit(IMAGES.reshape(len(IMAGES), -1), LABELS)
    with pytest.raises(ValueError, match="49 features.*expecting 64"):
        model.evaluate(np.zeros((2, 49)), ["up"])


def test_a_failed_update_loses_nothing(fitted):
    model, before = loads(fitted.to_bytes()), fitted.fingerprint()
    for X, y in [(IMAGES, LABELS[:3]), (IMAGES[:2], ["left", "up"])]:
        with pytest.raises(InputError):
            model.update(X, y)
    assert model.fingerprint() == before
    assert model.to_bytes() == fitted.to_bytes()


def test_a_batch_beyond_memory_is_refused_with_a_size_that_fits(monkeypatch):
    monkeypatch.setattr("diglot.estimators.phases.available_memory", lambda: 6 << 20)
    model = ImageClassifier("lenet", size=28, batch_size=40, epochs=1, verbose=False)
    with pytest.raises(OutOfMemoryError, match=r"batch of 40 .*(try batch_size|smaller)"):
        model.fit(IMAGES, LABELS)


def test_an_interrupt_that_is_told_of_twice_keeps_the_fit():
    """R tells of one Ctrl-C when it is pressed, and again when R is called next."""

    def listener(event):
        if event["event"] in ("row", "finish"):
            raise KeyboardInterrupt

    images = np.random.default_rng(1).random((40, 8, 8))
    model = ImageClassifier("mlp", epochs=50, seed=1, verbose=listener)
    with pytest.warns(InterruptedFitWarning):
        model.fit(images, ["a", "b"] * 20)
    assert model.stopped_ == "interrupted"
    assert len(model.history_) == 1
