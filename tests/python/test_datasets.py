"""The example images against the places they come from."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from sklearn.datasets import load_digits

from diglot.datasets import example_images
from diglot.errors import InputError
from diglot.images import as_images


def test_digits():
    table, source = example_images("digits"), load_digits()
    assert table["label"].tolist() == source.target.tolist()
    assert table["label"].cat.categories.tolist() == list(range(10))
    assert table["image"][5].dtype == np.float32
    np.testing.assert_array_equal(np.stack(table["image"]), source.images)
    images = as_images(table)
    assert images.sizes()[0].tolist() == [8, 8]


def test_faces():
    table = example_images("faces")
    assert table["label"].value_counts().to_dict() == {"face": 100, "other": 100}
    np.testing.assert_allclose(np.stack(table["image"]), data.lfw_subset(), atol=1e-7)
    # Faces resemble each other, the rest does not: the order of the labels is right.
    images = np.stack(table["image"])
    spread = [
        images[(table["label"] == name).to_numpy()].std(axis=0).mean() for name in ("face", "other")
    ]
    assert spread[0] < spread[1]
    assert as_images(table).sizes()[0].tolist() == [25, 25]


def test_textures():
    table = example_images("textures")
    assert table["label"].tolist() == ["brick"] * 64 + ["grass"] * 64 + ["gravel"] * 64
    assert table["image"][0].dtype == np.uint8
    np.testing.assert_array_equal(table["image"][64 + 8 + 2], data.grass()[64:128, 128:192])
    assert len({image.tobytes() for image in table["image"]}) == 192
    left = table[(table["half"] == "left") & (table["label"] == "gravel")]
    assert len(left) == 32
    pixels = np.sort(np.concatenate([patch.ravel() for patch in left["image"]]))
    np.testing.assert_array_equal(pixels, np.sort(data.gravel()[:, :256].ravel()))


def test_unknown_set():
    with pytest.raises(InputError, match="Did you mean 'digits'"):
        example_images("digit")
