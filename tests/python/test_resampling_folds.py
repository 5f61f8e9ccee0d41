"""Folds against what defines them and against scikit-learn's; the interval against its formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from diglot.errors import InputError
from diglot.resampling import corrected_interval, make_folds, strata, summarise


def check_partition(folds, n, count, repeats):
    assert [(f.repeat, f.fold) for f in folds] == [
        (r + 1, f + 1) for r in range(repeats) for f in range(count)
    ]
    for repeat in range(repeats):
        mine = folds[repeat * count : (repeat + 1) * count]
        assert sorted(np.concatenate([f.test for f in mine]).tolist()) == list(range(n))
        for fold in mine:
            assert sorted([*fold.train, *fold.test]) == list(range(n))
            assert (np.diff(fold.train) > 0).all()
            assert len(fold.test) > 0


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 90), count=st.integers(2, 9), repeats=st.integers(1, 3))
def test_plain_folds_part_the_rows_evenly(n, count, repeats):
    count = min(n, count)
    folds = make_folds(n, folds=count, repeats=repeats, seed=3)
    check_partition(folds, n, count, repeats)
    sizes = [len(f.test) for f in folds]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(5, 30), min_size=1, max_size=6),
    count=st.integers(2, 5),
    seed=st.integers(0, 2**53 - 1),
)
def test_stratified_folds_differ_by_one_image_of_each_class(counts, count, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = make_folds(len(labels), folds=count, strata=labels, seed=seed)
    check_partition(folds, len(labels), count, 1)
    table = np.array([np.bincount(labels[f.test], minlength=len(counts)) for f in folds])
    assert (table.max(axis=0) - table.min(axis=0) <= 1).all()
    assert np.ptp(table.sum(axis=1)) <= 1
    theirs = StratifiedKFold(count, shuffle=True, random_state=0).split(labels, labels)
    theirs = [np.bincount(labels[test], minlength=len(counts)) for _, test in theirs]
    for mine, other in zip(table.T, np.transpose(theirs), strict=True):
        assert sorted(mine) == sorted(other)


def grouped_problem(seed, groups=60, classes=3):
    """Give groups of 1 to 12 images, each mostly of one class."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 13, groups)
    members = np.repeat(np.arange(groups), sizes)
    main = rng.choice(classes, groups, p=[0.6, 0.3, 0.1])[members]
    other = rng.integers(0, classes, len(members))
    return members, np.where(rng.random(len(members)) < 0.8, main, other)


def unevenness(tests, labels):
    shares = np.array([np.bincount(labels[t], minlength=3) / len(t) for t in tests])
    whole = np.bincount(labels) / len(labels)
    return np.abs(shares - whole).mean()


def test_groups_stay_together_and_classes_even():
    ours, theirs, sizes, their_sizes = [], [], [], []
    for seed in range(25):
        members, labels = grouped_problem(seed)
        folds = make_folds(len(labels), folds=5, strata=labels, groups=members, seed=seed)
        check_partition(folds, len(labels), 5, 1)
        for fold in folds:
            assert set(members[fold.train]).isdisjoint(members[fold.test])
        tests = [f.test for f in folds]
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        other = [test for _, test in splitter.split(labels, labels, members)]
        ours.append(unevenness(tests, labels))
        theirs.append(unevenness(other, labels))
        sizes.append(np.ptp([len(t) for t in tests]))
        their_sizes.append(np.ptp([len(t) for t in other]))
    assert np.mean(ours) < 1.1 * np.mean(theirs)
    assert np.mean(sizes) < 1.1 * np.mean(their_sizes)


def test_groups_without_classes_give_folds_of_like_size():
    members, _ = grouped_problem(1)
    folds = make_folds(len(members), folds=4, groups=members, repeats=2)
    check_partition(folds, len(members), 4, 2)
    assert np.ptp([len(f.test) for f in folds]) <= 2
    assert all(set(members[f.train]).isdisjoint(members[f.test]) for f in folds)


def test_a_seed_decides_and_repeats_differ():
    labels = ["a", "b"] * 20
    first = make_folds(40, strata=labels, repeats=2, seed=1)
    again = make_folds(40, strata=labels, repeats=2, seed=1)
    other = make_folds(40, strata=labels, repeats=2, seed=2)
    tests = [[f.test.tolist() for f in folds] for folds in (first, again, other)]
    assert tests[0] == tests[1] != tests[2]
    assert tests[0][:5] != tests[0][5:]


def test_folds_are_drawn_evenly():
    """Each pair of rows is as often in one test set as chance would have it."""
    together = np.zeros((10, 10))
    for fold in make_folds(10, folds=5, repeats=4000, seed=5):
        together[np.ix_(fold.test, fold.test)] += 1
    pairs = together[~np.eye(10, dtype=bool)]
    expected = 4000 / 9  # the other row of a pair is one of nine
    assert np.abs(pairs - expected).max() < 5 * np.sqrt(expected)


def test_a_numeric_outcome_is_cut_into_ten_bins():
    outcome = np.random.default_rng(1).exponential(size=103)
    bins = strata(outcome, classes=False)
    assert set(np.bincount(bins)) <= {10, 11}
    assert (np.diff(bins[np.argsort(outcome)]) >= 0).all()

    def spread(bins):
        folds = [make_folds(103, strata=bins, seed=s) for s in range(50)]
        return np.mean([np.std([outcome[f.test].mean() for f in some]) for some in folds])

    assert spread(bins) < 0.7 * spread(None)
    assert strata(outcome[:19], classes=False) is None
    assert strata(np.eye(30), classes=False) is None
    assert strata([["a", "b"], ["a"]] * 20, classes=False) is None


@pytest.mark.parametrize(
    ("words", "n", "arguments"),
    [
        ("4 images, too few for 5 folds", 4, {}),
        ("folds must be a whole number from 2", 9, {"folds": 1}),
        ("repeats must be a whole number from 1", 9, {"repeats": 0}),
        ("class 'b' has 2 image.*folds=2", 9, {"folds": 3, "strata": list("aaaaaaabb")}),
        ("class 'b' has 1 image.*stratify=False", 9, {"folds": 2, "strata": list("aaaaaaaab")}),
        ("3 groups, too few for 5 folds", 9, {"groups": list("aaabbbccc")}),
        ("strata has 3 labels for 9 images", 9, {"strata": list("aab")}),
        ("groups is missing.*row 2", 4, {"folds": 2, "groups": ["a", None, "b", "b"]}),
        (
            "class 'y' are of one group, 'bob'",
            6,
            {"folds": 2, "strata": list("xxyyxx"), "groups": ["ann"] * 2 + ["bob"] * 2 + ["c"] * 2},
        ),
    ],
)
def test_folds_that_cannot_be_are_refused(words, n, arguments):
    with pytest.raises(InputError, match=words):
        make_folds(n, **arguments)


def test_categories_that_do_not_occur_do_not_count():
    labels = pd.Categorical(["a", "b"] * 5, categories=["c", "b", "a"])
    assert len(make_folds(10, strata=labels)) == 5


# ---- the interval


def test_the_interval_is_nadeaus_and_bengios_formula():
    values = [0.91, 0.88, 0.93, 0.85, 0.9, 0.92]
    mean, lower, upper = corrected_interval(values, 90, 10, level=0.9)
    variance = (1 / 6 + 10 / 90) * sum((v - sum(values) / 6) ** 2 for v in values) / 5
    half = stats.t.ppf(0.95, 5) * variance**0.5
    assert (mean, lower, upper) == pytest.approx((np.mean(values), mean - half, mean + half))
    # A fold that failed does not count.
    assert corrected_interval([*values, np.nan], 90, 10, 0.9) == (mean, lower, upper)


def test_the_interval_needs_two_folds():
    assert corrected_interval([np.nan], 9, 1) == pytest.approx((np.nan,) * 3, nan_ok=True)
    assert corrected_interval([0.5], 9, 1) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)
    with pytest.raises(InputError, match="level"):
        corrected_interval([0.5, 0.6], 9, 1, level=95)


def test_intervals_end_where_the_metric_does():
    folds = pd.DataFrame({"n_train": 8, "n_test": 2, "accuracy": [1, 0.9], "log_loss": [0.1, 0.3]})
    table = summarise(folds, ["accuracy", "log_loss"]).set_index("metric")
    assert table.loc["accuracy", "upper"] == 1
    assert table.loc["log_loss", "lower"] == 0
    assert table.loc["accuracy", "lower"] < 0.9


def test_the_corrected_interval_covers_where_the_naive_one_does_not():
    """The accuracy of a threshold between two means, whose truth the normal distribution tells."""
    rng, n, repeats, count = np.random.default_rng(7), 100, 4, 5
    labels = np.repeat([0, 1], n // 2)

    def accuracy(low, high):
        cut = (low + high) / 2
        return (stats.norm.cdf(cut) + stats.norm.sf(cut, loc=1)) / 2

    # What a model of 80 images is expected to reach.
    size = n * (count - 1) // count // 2
    truth = accuracy(rng.normal(0, size**-0.5, 20_000), rng.normal(1, size**-0.5, 20_000)).mean()
    corrected = naive = 0
    for run in range(500):
        x = rng.normal(labels)
        values = []
        for fold in make_folds(n, folds=count, repeats=repeats, strata=labels, seed=run):
            mine, train = x[fold.train], labels[fold.train]
            cut = (mine[train == 0].mean() + mine[train == 1].mean()) / 2
            values.append(((x[fold.test] > cut) == labels[fold.test]).mean())
        _, lower, upper = corrected_interval(values, 80, 20)
        corrected += lower <= truth <= upper
        ends = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        naive += ends[0] <= truth <= ends[1]
    assert 0.92 <= corrected / 500 <= 0.99
    assert naive / 500 < 0.8
