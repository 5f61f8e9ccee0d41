"""What R calls to explain; arrays and labels stand here as R sends them."""

from __future__ import annotations

import numpy as np
import pytest

import diglot
from diglot import bridge


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (9, 16, 12)).astype("int32")


def sent(images):
    return {
        "kind": "array",
        "data": np.asfortranarray(images),
        "dim": list(images.shape),
        "axis": "first",
    }


@pytest.fixture(scope="module")
def model(images):
    net = diglot.network("convnet", classes=3, size=(16, 12), channels=1, widths=(4, 8))
    labels = np.array([False, True] * 4 + [True])
    model = diglot.ImageClassifier(net, epochs=1, seed=1, verbose=False)
    return model.fit(images.astype("uint8"), labels)


def value(answer):
    assert answer["error"] is None, answer["error"]
    return answer["value"]


def test_maps_come_as_arrays_that_r_reads_fastest(model, images):
    there = value(
        bridge.explain(
            model, sent(images), np.array([1.0] * 9), "integrated_gradients", {"steps": 4.0}
        )
    )
    want = model.explain(images.astype("uint8"), True, "integrated_gradients", steps=4)
    assert there["maps"].flags.f_contiguous and there["dim"] == [9, 16, 12, 1]
    assert np.array_equal(there["maps"], want.maps)
    assert np.array_equal(there["images"], want.images)
    assert there["codes"].tolist() == [1] * 9
    assert there["settings"] == {"baseline": "mean", "steps": 4}
    assert np.array_equal(there["changes"], want.changes)


def test_a_baseline_may_be_an_image_or_one_number_a_channel(model, images):
    image = np.asfortranarray(np.full((16, 12), 0.25))
    maps = [
        value(
            bridge.explain(
                model, sent(images), None, "integrated_gradients", {"baseline": b, "steps": 3}
            )
        )["maps"]
        for b in (image, 0.25, [0.25])
    ]
    assert np.array_equal(maps[0], maps[1]) and np.array_equal(maps[1], maps[2])


def test_what_fails_is_told(model, images):
    error = bridge.explain(model, sent(images), None, "grad_cam", {"layer": "head"})["error"]
    assert error["kinds"] == ["input"] and "places" in error["message"]


def test_tables(model, images):
    codes = np.array([0.0] * 9)
    table = value(bridge.worst_errors(model, sent(images), codes, 3.0))
    want = diglot.worst_errors(model, images.astype("uint8"), [False] * 9, n=3)
    columns = dict(zip(table["names"], table["columns"], strict=True))
    assert columns["row"].tolist() == want["row"].tolist()
    assert columns["truth"]["levels"] == ["FALSE", "TRUE"]
    table = value(bridge.nearest_images(model, sent(images[:2]), sent(images), 2.0, "cosine"))
    assert table["names"] == ["row", "rank", "neighbour", "distance"]
    assert table["columns"][2][[0, 2]].tolist() == [0, 1]
