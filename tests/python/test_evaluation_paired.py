"""Two models on the same images: against statsmodels, SciPy, definitions and planted truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn import metrics

from diglot import compare_models
from diglot.errors import InputError
from diglot.evaluation import compare_predictions, evaluate_classes
from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.differences import bootstrap_p, mcnemar, tango

COLUMNS = ["metric", "a", "b", "difference", "lower", "upper", "p_value", "method", "n"]


def contest(n=300, k=3, seed=0, strong=1.5, weak=0.9):
    """Give truths and two models' probabilities, which have half of their noise in common."""
    rng = np.random.default_rng(seed)
    truth, common = rng.integers(k, size=n), rng.normal(size=(n, k))

    def model(knows):
        scores = (common + rng.normal(size=(n, k))) / np.sqrt(2) + knows * np.eye(k)[truth]
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    return truth, model(strong), model(weak)


def row(table, metric):
    return table[table["metric"] == metric].iloc[0]


@pytest.mark.parametrize("k", [2, 3])
def test_both_sides_are_what_each_model_is_by_itself(k):
    truth, a, b = contest(k=k)
    table = compare_predictions(truth, a, b, range(k), resamples=50)
    assert list(table) == COLUMNS
    for side, p in [("a", a), ("b", b)]:
        alone = evaluate_classes(truth, p.argmax(axis=1), p, range(k), resamples=0)
        alone = alone[alone["class"].isna()].set_index("metric")["estimate"]
        for _, found in table.iterrows():
            assert found[side] == pytest.approx(alone[found["metric"]], abs=1e-12)
    np.testing.assert_allclose(table["difference"], table["a"] - table["b"])
    assert (table["n"] == 300).all()
    assert ((table["lower"] < table["difference"]) & (table["difference"] < table["upper"])).all()


def test_mcnemar_agrees_with_statsmodels():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for both, only_a, only_b, none in [
        (50, 12, 3, 9),
        (0, 1, 0, 0),
        (9, 0, 0, 3),
        (5, 400, 300, 9),
    ]:
        expected = tables.mcnemar([[both, only_a], [only_b, none]], exact=True).pvalue
        assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-8)
    truth, a, b = contest()
    right = [p.argmax(axis=1) == truth for p in (a, b)]
    expected = tables.mcnemar(pd.crosstab(*right), exact=True).pvalue
    found = row(compare_predictions(truth, a, b, range(3), metrics="accuracy"), "accuracy")
    assert found["p_value"] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("counts", [(12, 5, 100), (0, 7, 40), (3, 0, 30), (10, 10, 25)])
def test_tangos_interval_is_what_the_score_test_leaves(counts):
    """At its ends the score statistic, its likelihood maximised numerically, is the quantile."""
    only_a, only_b, n = counts

    def statistic(shift):
        def minus_likelihood(rare):  # rare: the share only b gets right
            shares = np.array([rare + shift, rare, 1 - 2 * rare - shift])
            seen = np.array([only_a, only_b, n - only_a - only_b])
            return -(seen[seen > 0] * np.log(np.maximum(shares[seen > 0], 1e-300))).sum()

        ends = (max(0, -shift) + 1e-13, (1 - shift) / 2 - 1e-13)
        rare = optimize.minimize_scalar(
            minus_likelihood, bounds=ends, method="bounded", options={"xatol": 1e-13}
        ).x
        variance = (2 * rare + shift - shift**2) / n
        return ((only_a - only_b) / n - shift) / np.sqrt(variance)

    lower, upper = tango(*counts, 0.9)
    z = NormalDist().inv_cdf(0.95)
    assert lower < (only_a - only_b) / n < upper
    assert statistic(lower) == pytest.approx(z, abs=1e-4)
    assert statistic(upper) == pytest.approx(-z, abs=1e-4)


def test_tango_at_the_edges():
    assert tango(10, 0, 10)[1] == 1 and tango(0, 10, 10)[0] == -1
    # Without discordant pairs the interval is z^2 / (n + z^2) to both sides (Tango 1998).
    edge = 1.959964**2 / (10 + 1.959964**2)
    assert tango(0, 0, 10) == pytest.approx((-edge, edge), abs=1e-6)
    assert all(np.isnan(tango(0, 0, 0)))


def test_tangos_interval_covers():
    rng, inside = np.random.default_rng(1), 0
    for only_a, only_b, _ in rng.multinomial(80, [0.12, 0.05, 0.83], size=500):
        lower, upper = tango(only_a, only_b, 80)
        inside += lower <= 0.07 <= upper
    assert 0.92 < inside / 500 < 0.98


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_means_are_compared_by_the_paired_test(metric):
    truth, a, b = contest()
    own = [p[np.arange(300), truth] for p in (a, b)]
    if metric == "log_loss":
        values = [-np.log(p) for p in own]
    else:
        values = [((p - np.eye(3)[truth]) ** 2).sum(axis=1) for p in (a, b)]
    gap = values[0] - values[1]
    found = row(compare_predictions(truth, a, b, range(3), metrics=[metric]), metric)
    error = stats.sem(gap)
    assert found["p_value"] == pytest.approx(2 * stats.norm.sf(abs(gap.mean() / error)), rel=1e-6)
    assert found["lower"] == pytest.approx(stats.norm.interval(0.95, gap.mean(), error)[0])


def test_areas_are_compared_by_delong():
    """By the definition, pair by pair; tests in R compare with pROC's roc.test."""
    truth, a, b = contest(k=2, n=120)
    wins = []
    for p in (a[:, 1], b[:, 1]):
        high, low = p[truth == 1][:, None], p[truth == 0][None, :]
        wins.append((high > low) + (high == low) / 2)
    gap = wins[0] - wins[1]
    variance = gap.mean(axis=1).var(ddof=1) / len(gap) + gap.mean(axis=0).var(ddof=1) / gap.shape[1]
    found = row(compare_predictions(truth, a, b, [0, 1], metrics=["roc_auc"]), "roc_auc")
    assert found["difference"] == pytest.approx(gap.mean(), abs=1e-12)
    assert found["p_value"] == pytest.approx(
        2 * stats.norm.sf(abs(gap.mean()) / np.sqrt(variance)), abs=1e-12
    )
    assert found["method"] == "DeLong, paired"


@pytest.mark.parametrize("groups", [None, np.arange(300) // 4])
def test_the_paired_bootstrap_is_what_a_loop_gives(groups):
    truth, a, b = contest()
    names = ["balanced_accuracy", "macro_f1", "kappa", "weighted_precision"]
    table = compare_predictions(
        truth, a, b, range(3), metrics=names, groups=groups, resamples=60, seed=5
    )
    scores = {
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "macro_f1": lambda t, g: metrics.f1_score(t, g, average="macro"),
        "kappa": metrics.cohen_kappa_score,
        "weighted_precision": lambda t, g: metrics.precision_score(t, g, average="weighted"),
    }
    gaps = {name: [] for name in names}
    for times in np.concatenate(list(Bootstrap(300, 60, 5, groups).times())):
        at = np.repeat(np.arange(300), times.astype(int))
        for name in names:
            both = [scores[name](truth[at], p.argmax(axis=1)[at]) for p in (a, b)]
            gaps[name].append(both[0] - both[1])
    for name in names:
        found, gap = row(table, name), np.array(gaps[name])
        expected = np.quantile(gap, [0.025, 0.975])
        assert [found["lower"], found["upper"]] == pytest.approx(expected.tolist(), abs=1e-12)
        rarer = min((gap <= 0).sum(), (gap >= 0).sum())
        assert found["p_value"] == pytest.approx(min(1, 2 * (rarer + 1) / 61))


def test_metrics_of_ones_own():
    truth, a, b = contest(n=80)
    names = np.array(["x", "y", "z"])

    def share_sure(labels, p):
        assert set(labels) <= set(names)
        return (p.max(axis=1) > 0.6).mean()

    table = compare_predictions(
        names[truth], a, b, names, metrics=["accuracy", share_sure], resamples=40, seed=2
    )
    assert table["metric"].tolist() == ["accuracy", "share_sure"]
    sure = [(p.max(axis=1) > 0.6).astype(float) for p in (a, b)]
    gaps = [
        times @ (sure[0] - sure[1]) / 80
        for times in np.concatenate(list(Bootstrap(80, 40, 2).times()))
    ]
    found = row(table, "share_sure")
    assert found["difference"] == pytest.approx(sure[0].mean() - sure[1].mean())
    assert found["upper"] == pytest.approx(np.quantile(gaps, 0.975))
    named = compare_predictions(
        names[truth], a, b, names, metrics={"kappa": None, "sure": share_sure}, resamples=40, seed=2
    )
    assert named["metric"].tolist() == ["kappa", "sure"]
    assert row(named, "sure")["upper"] == found["upper"]


def test_p_values_are_uniform_where_there_is_no_difference():
    """Models of equal skill: about one test in ten is below 0.1, for each kind of test."""
    kinds = ["accuracy", "macro_f1", "log_loss", "roc_auc"]
    small = {kind: 0 for kind in kinds}
    for seed in range(250):
        truth, a, b = contest(n=200, seed=seed, weak=1.5)
        table = compare_predictions(truth, a, b, range(3), metrics=kinds, resamples=200, seed=seed)
        for kind in kinds:
            small[kind] += row(table, kind)["p_value"] < 0.1
    for kind in kinds:
        assert small[kind] / 250 < 0.16, (kind, small)
        assert small[kind] / 250 > (0.02 if kind == "accuracy" else 0.05), (kind, small)


def test_groups_guard_against_too_small_p_values():
    """Patients on whose images the one model or the other is better."""
    small = {"with": 0, "without": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=200)
        better = np.repeat(rng.random(40) < 0.5, 5)
        right = [rng.random(200) < np.where(better == side, 0.95, 0.6) for side in (True, False)]
        a, b = (np.eye(2)[np.where(hit, truth, 1 - truth)] * 0.8 + 0.1 for hit in right)
        for key, groups in [("with", np.repeat(np.arange(40), 5)), ("without", None)]:
            table = compare_predictions(
                truth, a, b, [0, 1], groups=groups, metrics=["accuracy"], resamples=200, seed=seed
            )
            small[key] += table.loc[0, "p_value"] < 0.05
    assert small["with"] / 200 < 0.1
    assert small["without"] / 200 > 0.12


def test_with_groups_methods_say_so():
    truth, a, b = contest(k=2)
    table = compare_predictions(truth, a, b, [0, 1], groups=np.arange(300) // 3, ordered=True)
    assert table["method"].str.contains("cluster|Obuchowski").all()
    assert {"weighted_kappa", "mean_rank_error"} <= set(table["metric"])


def test_a_model_and_itself():
    truth, a, _ = contest()
    table = compare_predictions(truth, a, a, range(3), resamples=20)
    assert (table["difference"] == 0).all() and (table["p_value"] == 1).all()


def test_a_difference_without_spread_has_no_interval():
    truth = [0, 0, 1, 1]
    sure, flat = np.eye(2)[truth], np.full((4, 2), 0.5)
    found = row(compare_predictions(truth, sure, flat, [0, 1], metrics=["roc_auc"]), "roc_auc")
    assert found["difference"] == 0.5 and np.isnan(found["p_value"])


def test_bootstrap_p():
    assert bootstrap_p(np.zeros(9)) == 1
    assert bootstrap_p(np.full(99, np.nan)) is np.nan or np.isnan(bootstrap_p(np.full(9, np.nan)))
    assert bootstrap_p(-np.ones(999)) == pytest.approx(0.002)


class Fitted:
    def __init__(self, classes, p):
        self.classes_, self.p = np.array(classes), p

    def predict_proba(self, X):  # noqa: N803
        return self.p[X]


def test_models_may_order_their_classes_differently():
    truth, a, b = contest()
    names = np.array(["x", "y", "z"])
    table = compare_models(
        Fitted(names, a), Fitted(names[[2, 0, 1]], b[:, [2, 0, 1]]), np.arange(300), names[truth]
    )
    expected = compare_predictions(names[truth], a, b, names)
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": object()}, "a must be a fitted classifier"),
        ({"b": Fitted(["x", "q"], np.full((4, 2), 0.5))}, r"only one of them knows \['q', 'y'\]"),
        ({"y": ["x", "y", "x"]}, "need 3 rows"),
        ({"y": ["x", "y", "x", "q"]}, "truth has the label 'q'"),
        ({"metrics": ["acuracy"]}, "no metric 'acuracy'.*accuracy"),
        ({"metrics": {"mine": 3}}, "must be a function"),
        ({"groups": [1, 2]}, "2 labels for 4 images"),
        ({"X": np.arange(0), "y": []}, "no image to compare"),
    ],
)
def test_bad_input(change, message):
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    good = {
        "a": Fitted(["x", "y"], p),
        "b": Fitted(["x", "y"], p[::-1]),
        "X": np.arange(4),
        "y": ["x", "y", "x", "y"],
    }
    compare_models(**good)
    with pytest.raises(InputError, match=message):
        compare_models(**good | change)
