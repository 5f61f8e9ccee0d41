"""Images in groups: intervals by clusters cover where others do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diglot.evaluation import evaluate_classes, wilson
from diglot.evaluation.bootstrap import Bootstrap


def patients(rng, groups=50, size=6, sure=0.9):
    """Give predictions that are right by patient: some are hard, and all their images are."""
    hard = np.repeat(rng.random(groups) < 0.3, size)
    truth = rng.integers(2, size=groups * size)
    right = rng.random(groups * size) < np.where(hard, 0.4, sure)
    return np.repeat(np.arange(groups), size), truth, np.where(right, truth, 1 - truth)


def rows(table):
    return table[table["class"].isna()].set_index("metric")


def test_the_interval_of_accuracy_covers_only_with_groups():
    truth_of_all, inside, naive, f1 = 0.3 * 0.4 + 0.7 * 0.9, 0, 0, 0
    for seed in range(300):
        group, truth, guess = patients(np.random.default_rng(seed))
        for groups in (group, None):
            table = rows(
                evaluate_classes(
                    truth, guess, None, [0, 1], groups=groups, resamples=300, seed=seed
                )
            )
            lower, upper = table.loc["accuracy", ["lower", "upper"]]
            hit = lower <= truth_of_all <= upper
            if groups is None:
                naive += hit
            else:
                inside += hit
                # Both classes and both errors are alike, so that F1 is the accuracy.
                f1 += (
                    table.loc["macro_f1", "lower"] <= truth_of_all <= table.loc["macro_f1", "upper"]
                )
    assert 0.91 < inside / 300 < 0.98
    assert 0.91 < f1 / 300 < 0.98
    assert naive / 300 < 0.9


def test_drawing_groups_is_drawing_their_images():
    """The standard error is that of the groups' sums, by the formula of a ratio of means."""
    group, truth, guess = patients(np.random.default_rng(1), groups=200)
    draws = Bootstrap(len(truth), 2000, 1, group)
    hit = (truth == guess).astype(float)
    sample = draws.samples(lambda times: {"a": times @ hit / times.sum(axis=1)})["a"]
    by_group = hit.reshape(200, -1).mean(axis=1)
    assert sample.std() == pytest.approx(by_group.std() / np.sqrt(200), rel=0.06)


def test_groups_of_different_sizes_are_drawn_whole():
    group = np.array([0, 1, 1, 2, 2, 2])
    for times in Bootstrap(6, 50, 3, group).times():
        assert (times[:, 1] == times[:, 2]).all() and (times[:, 3] == times[:, 5]).all()
        assert (times[:, 0] + times[:, 1] + times[:, 3] == 3).all()


def test_methods_say_clusters():
    rng = np.random.default_rng(2)
    group, truth, guess = patients(rng)
    p = np.where(guess == 1, 0.8, 0.3)[:, None] * [-1, 1] + [1, 0]
    table = evaluate_classes(truth, guess, p, [0, 1], groups=group, ordered=True)
    assert table["method"].str.contains("cluster|Obuchowski").all()
    assert table[["lower", "upper"]].notna().all(axis=None)
    assert (table["lower"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["upper"]).all()


def test_names_of_groups_do_not_matter():
    group, truth, guess = patients(np.random.default_rng(3))
    one = evaluate_classes(truth, guess, None, [0, 1], groups=group)
    two = evaluate_classes(truth, guess, None, [0, 1], groups=[f"patient {g}" for g in group])
    pd.testing.assert_frame_equal(one, two)


def test_all_right_counts_each_group_once():
    truth = [0, 0, 1, 1, 1, 1]
    table = evaluate_classes(truth, truth, None, [0, 1], groups=[1, 1, 2, 2, 3, 3])
    of = table.set_index(["metric", table["class"].fillna("")])
    assert of.loc[("accuracy", ""), "lower"] == pytest.approx(float(wilson(3, 3)[0]))
    assert of.loc[("accuracy", ""), "n"] == 6
    assert of.loc[("sensitivity", "1"), "lower"] == pytest.approx(float(wilson(2, 2)[0]))
    assert of.loc[("macro_f1", ""), "lower"] == pytest.approx(float(wilson(3, 3)[0]))
    share = float(wilson(2, 2)[0])
    assert of.loc[("f1", "1"), "lower"] == pytest.approx(2 * share / (1 + share))


def test_one_group_has_no_interval():
    table = evaluate_classes([0, 1, 1], [0, 1, 0], None, [0, 1], groups=["p"] * 3)
    assert np.isnan(rows(table).loc["accuracy", "lower"])
