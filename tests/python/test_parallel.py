"""Several devices train as one does; two parts of the CPU stand for two GPUs."""

import numpy as np
import pytest

from diglot import ImageCaptioner, ImageClassifier, ImageRegressor, InputError, load
from diglot.engine import Device, pick_device

TWO, THREE = ["cpu:0", "cpu:1"], ["cpu:0", "cpu:1", "cpu:2"]
_rng = np.random.default_rng(5)
IMAGES = _rng.random((50, 12, 9, 1), dtype=np.float32)
LABELS = np.where(IMAGES[:, :6].mean((1, 2, 3)) > IMAGES[:, 6:].mean((1, 2, 3)), "top", "bottom")


def _largest_difference(first, second):
    return max(
        np.abs(first.network_.weights[n] - w).max() for n, w in second.network_.weights.items()
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("devices", [TWO, THREE])
def test_weights_are_those_of_one_device(devices, optimizer):
    settings = {"epochs": 3, "batch_size": 16, "seed": 2, "optimizer": optimizer, "clip_norm": 1.0}
    one = ImageClassifier("mlp", device="cpu", **settings).fit(IMAGES, LABELS)
    several = ImageClassifier("mlp", device=devices, **settings).fit(IMAGES, LABELS)
    start = ImageClassifier("mlp", device="cpu", **{**settings, "epochs": 1}).fit(IMAGES, LABELS)
    assert _largest_difference(one, several) < 1e-5 < 1e-3 < _largest_difference(one, start)
    columns = ["loss", "accuracy"]
    np.testing.assert_allclose(several.history_[columns], one.history_[columns], rtol=1e-4)
    np.testing.assert_allclose(several.predict_proba(IMAGES), one.predict_proba(IMAGES), atol=1e-5)
    assert several.device_ == ", ".join(["cpu", *devices[1:]])


def test_batches_smaller_than_the_devices_train():
    settings = {"epochs": 2, "batch_size": 2, "seed": 2}
    one = ImageClassifier("mlp", device="cpu", **settings).fit(IMAGES[:5], LABELS[:5])
    several = ImageClassifier("mlp", device=THREE, **settings).fit(IMAGES[:5], LABELS[:5])
    assert _largest_difference(one, several) < 1e-5


def test_a_frozen_part_and_held_out_images():
    first = ImageClassifier("mlp", epochs=1, seed=1).fit(IMAGES, LABELS)
    settings = {"epochs": 2, "seed": 3, "validation": 0.2, "train": "head_then_all"}
    one = first.fine_tune(IMAGES, LABELS, device="cpu", **settings)
    several = first.fine_tune(IMAGES, LABELS, device=TWO, **settings)
    assert _largest_difference(one, several) < 1e-5
    np.testing.assert_allclose(several.history_["val_loss"], one.history_["val_loss"], rtol=1e-4)


def test_the_same_bytes_again_also_after_a_break(tmp_path):
    settings = {"batch_size": 16, "seed": 2, "device": TWO, "optimizer": "adam"}
    whole = ImageClassifier("lenet", epochs=4, size=28, **settings).fit(IMAGES, LABELS)

    class Break(Exception):
        pass

    def breaks(record):
        if record["epoch"] == 3:
            raise Break

    given = {"epochs": 4, "size": 28, "checkpoint": tmp_path, **settings}
    with pytest.raises(Break):
        ImageClassifier("lenet", callbacks=breaks, **given).fit(IMAGES, LABELS)
    assert list(tmp_path.iterdir())
    resumed = ImageClassifier("lenet", resume=True, **given).fit(IMAGES, LABELS)
    assert resumed.fingerprint() == whole.fingerprint()


def test_numbers_and_captions_train_on_several_devices():
    values = IMAGES.mean((1, 2, 3))
    settings = {"epochs": 2, "seed": 2}
    one = ImageRegressor("mlp", device="cpu", **settings).fit(IMAGES, values)
    two = ImageRegressor("mlp", device=TWO, **settings).fit(IMAGES, values)
    assert _largest_difference(one, two) < 1e-5
    words = [f"it is {label}" for label in LABELS]
    # Adam would make steps of what is only rounding: the gradient of the keys' bias, which is 0.
    settings = {"epochs": 1, "seed": 1, "size": 28, "dropout": 0.0, "optimizer": "sgd"}
    one = ImageCaptioner("lenet", device="cpu", **settings).fit(IMAGES, words)
    two = ImageCaptioner("lenet", device=TWO, **settings).fit(IMAGES, words)
    assert _largest_difference(one, two) < 1e-5
    assert two.device_ == "cpu, cpu:1"


def test_a_file_remembers_and_opens_on_one_device(tmp_path):
    model = ImageClassifier("mlp", epochs=1, seed=1, device=TWO).fit(IMAGES, LABELS)
    model.save(tmp_path / "model.diglot")
    again = load(tmp_path / "model.diglot")
    assert again.device_ == "cpu, cpu:1" and again.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(again.predict_proba(IMAGES), model.predict_proba(IMAGES))


def test_devices_that_cannot_go_together_are_named():
    assert pick_device(TWO) == Device("cpu", 0, (Device("cpu", 1),))
    for wrong in (["cpu:0", "gpu:0"], ["cpu", "cpu:0"], [], ["auto", "cpu"], ["cpu:0", 1], "cpu:1"):
        with pytest.raises(InputError, match="device must"):
            pick_device(wrong)
