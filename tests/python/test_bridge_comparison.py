"""What R gets of curves and comparisons is what Python says, spelt as R spells it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diglot import ImageClassifier, bridge, compare_models, reliability, roc_curve
from diglot.evaluation import evaluate_classes

RNG = np.random.default_rng(1)
LABELS = np.arange(60) % 2 == 1
PICTURES = (RNG.integers(0, 200, size=(60, 6, 7)) + 20 * LABELS[:, None, None]).astype("uint8")
GROUPS = np.arange(60) // 3


def from_r(array: np.ndarray) -> dict:
    return {
        "kind": "array",
        "data": np.asfortranarray(array.astype("int32")),
        "dim": list(array.shape),
        "axis": "first",
    }


def table(answer: dict) -> pd.DataFrame:
    assert answer["error"] is None, answer["error"]
    value = answer["value"]
    return pd.DataFrame(dict(zip(value["names"], value["columns"], strict=True)))


@pytest.fixture(scope="module")
def models() -> list[ImageClassifier]:
    return [
        ImageClassifier("mlp", epochs=epochs, batch_size=8, seed=epochs).fit(PICTURES, LABELS)
        for epochs in (2, 1)
    ]


def test_a_comparison(models: list[ImageClassifier]) -> None:
    options = {"groups": GROUPS, "level": 0.9, "resamples": 50.0, "seed": 3.0}
    options["metrics"] = ["accuracy", "roc_auc", "log_loss"]
    found = table(
        bridge.compare_models(*models, from_r(PICTURES), LABELS.astype(int), None, options)
    )
    expected = compare_models(
        *models,
        PICTURES,
        LABELS,
        groups=GROUPS,
        metrics=options["metrics"],
        level=0.9,
        resamples=50,
        seed=3,
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    wrong = bridge.compare_models(
        *models, from_r(PICTURES), LABELS.astype(int), None, {"metrics": ["acuracy"]}
    )
    assert "acuracy" in wrong["error"]["message"]


def test_the_second_model_may_see_other_images(models: list[ImageClassifier]) -> None:
    """Such as another column of the data frame."""
    dark = PICTURES // 2
    found = table(
        bridge.compare_models(
            models[0], models[0], from_r(PICTURES), LABELS.astype(int), from_r(dark)
        )
    ).set_index("metric")
    for side, images in [("a", PICTURES), ("b", dark)]:
        right = (models[0].predict(images) == LABELS).mean()
        assert found.loc["accuracy", side] == pytest.approx(right)


def test_curves_have_rs_spelling_of_classes(models: list[ImageClassifier]) -> None:
    p = models[0].predict_proba(PICTURES)
    given = models[0], from_r(PICTURES), LABELS.astype(int)
    for found, expected in [
        (bridge.roc_curve(*given), roc_curve(LABELS, p, [False, True])),
        (
            bridge.reliability(*given, 5.0, 0.9),
            reliability(LABELS, p, [False, True], bins=5, level=0.9),
        ),
    ]:
        found = table(found)
        assert set(found["class"].dropna()) == {"TRUE"}
        pd.testing.assert_frame_equal(
            found.drop(columns="class"), expected.drop(columns="class"), check_dtype=False
        )


def test_a_classifier_judges_itself_by_groups(models: list[ImageClassifier]) -> None:
    p = models[0].predict_proba(PICTURES)
    expected = evaluate_classes(
        LABELS, p[:, 1] > p[:, 0], p, [False, True], groups=GROUPS, level=0.9, resamples=40, seed=2
    )
    options = {"level": 0.9, "resamples": 40, "seed": 2}
    found = models[0].evaluate(PICTURES, LABELS, groups=GROUPS, **options)
    pd.testing.assert_frame_equal(found, expected)
    crossed = table(
        bridge.evaluate(
            models[0], from_r(PICTURES), LABELS.astype(int), {"groups": GROUPS, **options}
        )
    )
    np.testing.assert_array_equal(crossed["lower"], expected["lower"])
    assert set(crossed["class"].dropna()) == {"TRUE", "FALSE"}
