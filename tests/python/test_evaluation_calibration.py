"""Reliability against scikit-learn and a loop; the calibration error's interval by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from diglot import reliability
from diglot.errors import InputError
from diglot.evaluation import evaluate_classes, wilson
from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.calibration import CalibrationError


def calibrated(rng, n, k=4, heat=1.0):
    """Give truths that come from the probabilities, and these made too sure by ``heat``."""
    scores = 1.5 * rng.normal(size=(n, k))
    p, stated = (np.exp(s) / np.exp(s).sum(axis=1, keepdims=True) for s in (scores, heat * scores))
    truth = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return np.minimum(truth, k - 1), stated


def test_two_classes_agree_with_scikit_learn():
    truth, p = calibrated(np.random.default_rng(0), 300, k=2)
    table = reliability(truth, p, [0, 1], bins=8)
    own = table[table["class"] == "1"]
    observed, confidence = calibration_curve(truth == 1, p[:, 1], n_bins=8)
    np.testing.assert_allclose(own["observed"], observed)
    np.testing.assert_allclose(own["confidence"], confidence)
    assert set(table["class"].dropna()) == {"1"}
    assert own["n"].sum() == 300


def test_every_row_is_what_a_loop_counts():
    truth, p = calibrated(np.random.default_rng(1), 200)
    names = ["d", "b", "c", "a"]
    table = reliability([names[t] for t in truth], p, names, bins=5, level=0.9)
    assert list(dict.fromkeys(table["class"].dropna())) == names
    for _, row in table.iterrows():
        if row["class"] in names:
            place = names.index(row["class"])
            confidence, hit = p[:, place], truth == place
        else:
            confidence, hit = p.max(axis=1), truth == p.argmax(axis=1)
        inside = (confidence > row["from"]) & (confidence <= row["to"])
        assert inside.sum() == row["n"] > 0
        assert row["observed"] == pytest.approx(hit[inside].mean())
        assert row["confidence"] == pytest.approx(confidence[inside].mean())
        ends = wilson(hit[inside].sum(), inside.sum(), 0.9)
        assert [row["lower"], row["upper"]] == pytest.approx([float(end) for end in ends])
        assert (row["bin"] - 1) / 5 == pytest.approx(row["from"])


def test_ends_and_nothing():
    table = reliability(["a", "b"], np.array([[1.0, 0.0], [0.5, 0.5]]), ["a", "b"], bins=2)
    assert table[table["class"] == "b"]["bin"].tolist() == [1]
    assert table[table["class"].isna()]["bin"].tolist() == [1, 2]
    assert len(reliability([], np.zeros((0, 2)), ["a", "b"])) == 0
    with pytest.raises(InputError, match="bins is 0"):
        reliability(["a"], np.array([[1.0]]), ["a"], bins=0)
    with pytest.raises(InputError, match="level is 95"):
        reliability(["a"], np.array([[1.0]]), ["a"], level=95)


@pytest.mark.parametrize(
    ("heat", "n", "least"), [(1.0, 200, 0.94), (1.5, 800, 0.9), (2.5, 200, 0.9)]
)
def test_the_interval_of_the_error_covers(heat, n, least):
    truth, p = calibrated(np.random.default_rng(2), 500_000, heat=heat)
    population = CalibrationError(truth, p).of(np.ones((1, len(p))))[0]
    if heat == 1:
        assert population < 0.003
    inside = 0
    for seed in range(150):
        truth, p = calibrated(np.random.default_rng(seed), n, heat=heat)
        error, draws = CalibrationError(truth, p), Bootstrap(n, 300, seed)
        sample = draws.samples(lambda times, error=error: {"error": error.of(times)})["error"]
        lower, upper = error.interval(sample, draws, 0.95)
        inside += lower <= max(population, 0.003 if heat == 1 else 0) and population <= upper
    assert inside / 150 >= least


def test_the_error_is_in_the_table_with_an_interval_around_it():
    truth, p = calibrated(np.random.default_rng(3), 300, heat=2)
    table = evaluate_classes(truth, p.argmax(axis=1), p, range(4)).set_index("metric")
    row = table.loc["expected_calibration_error"]
    assert 0 < row["lower"] < row["estimate"] < row["upper"] < 1
    bins = reliability(truth, p, range(4))
    top = bins[bins["class"].isna()]
    expected = (top["n"] * (top["observed"] - top["confidence"]).abs()).sum() / 300
    assert row["estimate"] == pytest.approx(expected)
