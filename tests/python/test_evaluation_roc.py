"""ROC curves and areas: against scikit-learn, DeLong's formula written out, and planted truth."""

from __future__ import annotations

import time
from statistics import NormalDist

import numpy as np
import pytest
from sklearn import metrics

from diglot import roc_curve
from diglot.errors import InputError
from diglot.evaluation import evaluate_classes, roc_auc
from diglot.evaluation.roc import macro_area, mean_error, placements


def scored(n=200, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    score = 1 / (1 + np.exp(-rng.normal(size=n) - 1.2 * positive))
    return positive, score.round(2) if ties else score


def written_out(positive, *scores):
    """DeLong's covariance matrix of areas, by the definition, pair by pair."""
    above, below = [], []
    for score in scores:
        high, low = score[positive][:, None], score[~positive][None, :]
        wins = (high > low) + (high == low) / 2
        above.append(wins.mean(axis=1))
        below.append(wins.mean(axis=0))
    return np.cov(above) / positive.sum() + np.cov(below) / (~positive).sum()


@pytest.mark.parametrize("ties", [True, False])
def test_the_curve_is_scikit_learns(ties):
    positive, score = scored(ties=ties)
    p = np.column_stack([1 - score, score])
    table = roc_curve(np.where(positive, "sick", "well"), p, ["well", "sick"])
    false, true, thresholds = metrics.roc_curve(positive, score, drop_intermediate=False)
    assert set(table["class"]) == {"sick"}
    # Only where the curve turns; scikit-learn's own way of dropping keeps some straight points.
    kept = [0]
    for i in range(1, len(true) - 1):
        (right, further), (up, higher) = (np.diff(rate[i - 1 : i + 2]) for rate in (false, true))
        if abs(right * higher - up * further) > 1e-12:
            kept.append(i)
    kept.append(len(true) - 1)
    np.testing.assert_allclose(table["sensitivity"], true[kept])
    np.testing.assert_allclose(table["specificity"], 1 - false[kept], atol=1e-15)
    np.testing.assert_allclose(table["threshold"], thresholds[kept])
    assert np.isinf(table["threshold"][0])


def test_of_more_classes_each_has_a_curve_against_the_rest():
    rng = np.random.default_rng(1)
    truth = rng.choice(["a", "b", "c"], size=90)
    p = rng.dirichlet(np.ones(4), size=90)
    table = roc_curve(truth, p, ["c", "a", "nowhere", "b"])
    assert list(dict.fromkeys(table["class"])) == ["c", "a", "b"]
    for place, label in [(0, "c"), (1, "a"), (3, "b")]:
        rows = table[table["class"] == label]
        area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
        found = area(rows["sensitivity"], 1 - rows["specificity"])
        assert found == pytest.approx(metrics.roc_auc_score(truth == label, p[:, place]))


def test_curves_of_nothing():
    assert len(roc_curve([], np.zeros((0, 2)), ["a", "b"])) == 0
    assert len(roc_curve(["a"], np.array([[0.5, 0.5]]), ["a", "b"])) == 0
    assert list(roc_curve([], np.zeros((0, 2)), ["a", "b"])) == [
        "class",
        "threshold",
        "sensitivity",
        "specificity",
    ]


@pytest.mark.parametrize("ties", [True, False])
def test_area_and_interval_are_delongs(ties):
    positive, score = scored(ties=ties)
    found = roc_auc(positive, score, level=0.9)
    area, variance = metrics.roc_auc_score(positive, score), float(written_out(positive, score))
    half = NormalDist().inv_cdf(0.95) * np.sqrt(variance)
    assert found["estimate"] == pytest.approx(area, abs=1e-12)
    assert [found["lower"], found["upper"]] == pytest.approx([area - half, area + half], abs=1e-12)
    assert (found["method"], found["n"]) == ("DeLong", 200)


def test_the_variance_of_a_difference_is_delongs():
    positive, score = scored()
    other = (score + scored(seed=1)[1]).round(2)
    matrix = written_out(positive, score, other)
    expected = matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]
    found = placements(positive, score).minus(placements(positive, other))
    assert found.variance == pytest.approx(expected, abs=1e-14)


def test_groups_of_one_change_nothing():
    positive, score = scored()
    alone, grouped = placements(positive, score), placements(positive, score, np.arange(200))
    assert grouped.variance == pytest.approx(alone.variance, abs=1e-15)
    p = np.random.default_rng(2).dirichlet(np.ones(3), size=200)
    influence = macro_area(np.arange(200) % 3, p).influence
    assert mean_error(influence, np.arange(200)) == pytest.approx(mean_error(influence, None))


def test_every_image_twice_as_a_group_is_as_good_as_once():
    """What repeats says nothing new: the variance stays where images are in pairs."""
    positive, score = scored()
    twice = placements(np.tile(positive, 2), np.tile(score, 2), np.tile(np.arange(200), 2))
    assert twice.variance == pytest.approx(placements(positive, score).variance, rel=1e-12)


def clustered(rng, groups=40, size=5, shift=1.0):
    """Give images of patients, whose scores have the patient in common; some have both kinds."""
    group = np.repeat(np.arange(groups), size)
    positive = rng.random(groups * size) < np.repeat(rng.beta(1, 1, size=groups), size)
    patient = np.repeat(rng.normal(size=groups), size)
    return group, positive, patient + rng.normal(size=groups * size) + shift * positive


def test_the_interval_of_groups_covers_and_the_other_does_not():
    # The difference of two scores is normal with variance 2 * (1 + 1).
    truth, inside, naive = NormalDist().cdf(1 / 2), 0, 0
    for seed in range(400):
        group, positive, score = clustered(np.random.default_rng(seed))
        found, plain = roc_auc(positive, score, groups=group), roc_auc(positive, score)
        inside += found["lower"] <= truth <= found["upper"]
        naive += plain["lower"] <= truth <= plain["upper"]
    assert 0.92 < inside / 400 < 0.98
    assert naive / 400 < 0.9


def test_delongs_interval_covers():
    truth, inside = NormalDist().cdf(1.2 / np.sqrt(2)), 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        positive = np.arange(120) < 40
        found = roc_auc(positive, rng.normal(size=120) + 1.2 * positive)
        inside += found["lower"] <= truth <= found["upper"]
    assert 0.92 < inside / 400 < 0.98


@pytest.mark.parametrize("size", [1, 4])
def test_the_interval_of_the_mean_area_covers(size):
    """Of three classes; with groups, images of a patient share their scores' deviation."""

    def draw(rng, groups):
        truth = rng.choice(3, size=groups * size, p=[0.5, 0.3, 0.2])
        noise = np.repeat(rng.normal(size=(groups, 3)), size, axis=0)
        scores = noise + rng.normal(size=(groups * size, 3)) + np.eye(3)[truth]
        p = np.exp(scores)
        return truth, p / p.sum(axis=1, keepdims=True)

    truth, p = draw(np.random.default_rng(1000), 20_000)
    population, inside = macro_area(truth, p).area, 0
    for seed in range(300):
        truth, p = draw(np.random.default_rng(seed), 60)
        groups = None if size == 1 else np.repeat(np.arange(60), size)
        found = macro_area(truth, p)
        half = 1.96 * mean_error(found.influence, groups)
        inside += abs(found.area - population) <= half
    assert 0.91 < inside / 300 < 0.98


def test_separated_without_error():
    found = roc_auc([False] * 30 + [True] * 8, np.arange(38))
    assert found["estimate"] == found["upper"] == 1
    # Eight pairs that share no image were all won: the score test of 8 of 8.
    z = NormalDist().inv_cdf(0.975)
    assert found["lower"] == pytest.approx(8 / (8 + z**2))
    assert found["method"] == "Wilson, of independent pairs"
    upside_down = roc_auc([True] * 8 + [False] * 30, np.arange(38))
    assert upside_down["estimate"] == upside_down["lower"] == 0
    groups = np.repeat(np.arange(19), 2)
    assert roc_auc([False] * 30 + [True] * 8, np.arange(38), groups=groups)["lower"] == (
        pytest.approx(4 / (4 + z**2))
    )


def test_what_has_no_area_or_no_interval():
    nothing = roc_auc([], [])
    assert nothing["n"] == 0 and np.isnan(nothing["estimate"])
    assert roc_auc([True, True], [0.1, 0.2])["n"] == 0
    single = roc_auc([True, False, False], [0.5, 0.2, 0.7])
    assert single["estimate"] == 0.5 and np.isnan(single["lower"])
    one_group = roc_auc([True, False, True, False], [0.5, 0.2, 0.1, 0.3], groups=["p"] * 4)
    assert np.isnan(one_group["upper"])


def test_a_class_that_is_nowhere_has_no_area():
    p = np.random.default_rng(3).dirichlet(np.ones(3), size=50)
    table = evaluate_classes(["a", "b"] * 25, ["a"] * 50, p, ["a", "b", "c"], resamples=0)
    areas = table[table["metric"] == "roc_auc"].set_index("class", drop=False)
    assert areas["n"].tolist() == [50, 50, 50, 0]
    assert np.isnan(areas["estimate"].iloc[3])
    assert areas["estimate"].iloc[0] == pytest.approx(areas["estimate"].iloc[1:3].mean())


@pytest.mark.parametrize(
    ("positive", "score", "message"),
    [
        ([True, False], [0.1], r"shape \(2,\) and score \(1,\)"),
        ([True, False], [0.1, np.nan], "missing at place 1"),
    ],
)
def test_bad_input(positive, score, message):
    with pytest.raises(InputError, match=message):
        roc_auc(positive, score)


def test_the_table_of_2000_images_is_quick():
    rng = np.random.default_rng(4)
    truth = rng.integers(10, size=2000)
    p = rng.dirichlet(np.ones(10), size=2000)
    start = time.perf_counter()
    evaluate_classes(truth, p.argmax(axis=1), p, range(10), groups=np.arange(2000) // 3)
    assert time.perf_counter() - start < 5
