"""Numeric outcomes against scikit-learn, intervals against SciPy's bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from diglot.errors import InputError
from diglot.evaluation import evaluate_numbers, wilson


def measured(n=120, seed=0):
    rng = np.random.default_rng(seed)
    guess = rng.gamma(3, size=n)
    return rng.poisson(guess).astype(float), guess * rng.uniform(0.8, 1.4, size=n)


def estimates(table):
    return table.set_index("metric")["estimate"]


def test_estimates_agree_with_scikit_learn():
    y, guess = measured()
    found = estimates(evaluate_numbers(y, guess, family="poisson", resamples=0))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, guess))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, guess))
    assert found["r_squared"] == pytest.approx(metrics.r2_score(y, guess))
    assert found["deviance"] == pytest.approx(metrics.mean_poisson_deviance(y, guess))
    assert list(found.index) == ["rmse", "mae", "r_squared", "deviance"]
    table = evaluate_numbers(y, guess, family="quantile", quantile=0.8)
    found = estimates(table)
    assert found["pinball_loss"] == pytest.approx(
        metrics.mean_pinball_loss(y, guess, alpha=0.8), abs=1e-12
    )
    below = int((y <= guess).sum())
    row = table[table["metric"] == "share_below"].iloc[0]
    assert row["estimate"] == pytest.approx(below / 120)
    assert [row["lower"], row["upper"]] == pytest.approx([float(e) for e in wilson(below, 120)])
    assert list(table) == ["metric", "class", "estimate", "lower", "upper", "method", "n"]
    assert table["class"].isna().all() and (table["n"] == 120).all()


def test_r_squared_keeps_its_digits_far_from_zero():
    y, guess = measured()
    near, far = (estimates(evaluate_numbers(y + s, guess + s, resamples=0)) for s in (0, 1e6))
    assert far["r_squared"] == pytest.approx(near["r_squared"], abs=1e-8)


@pytest.mark.parametrize(
    ("metric", "score"),
    [("rmse", metrics.root_mean_squared_error), ("r_squared", metrics.r2_score)],
)
def test_the_interval_is_scipys(metric, score):
    y, guess = measured(60)
    expected = stats.bootstrap(
        (y, guess),
        score,
        paired=True,
        vectorized=False,
        n_resamples=3000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    table = evaluate_numbers(y, guess, resamples=3000).set_index("metric")
    width = expected.high - expected.low
    assert abs(table.loc[metric, "lower"] - expected.low) < 0.07 * width
    assert abs(table.loc[metric, "upper"] - expected.high) < 0.07 * width
    assert table.loc[metric, "method"] == "bootstrap BCa"


def test_the_interval_covers_also_by_groups():
    """Of errors that patients share, the plain interval is too short, that of groups is not."""
    inside = np.zeros(2)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 5)
        error = np.repeat(rng.normal(size=60), 5) + rng.normal(size=300)
        for place, groups in enumerate((group, None)):
            table = evaluate_numbers(error, np.zeros(300), groups=groups, resamples=300, seed=seed)
            lower, upper = table.loc[0, ["lower", "upper"]]
            inside[place] += lower <= np.sqrt(2) <= upper
    assert 0.89 < inside[0] / 200 < 0.98
    assert inside[1] / 200 < 0.87


def test_groups_say_so():
    y, guess = measured()
    table = evaluate_numbers(y, guess, family="quantile", groups=np.arange(120) // 3)
    assert set(table["method"]) == {"cluster bootstrap BCa", "cluster bootstrap percentile"}
    assert table[["lower", "upper"]].notna().all(axis=None)


def test_nothing_one_and_constant():
    empty = evaluate_numbers([], [], family="quantile")
    assert (empty["n"] == 0).all() and empty["estimate"].isna().all()
    single = evaluate_numbers([1.0], [2.0])
    assert single["estimate"].tolist()[:2] == [1, 1] and single["lower"].isna().all()
    constant = evaluate_numbers([2.0] * 9, np.arange(9.0)).set_index("metric")
    assert np.isnan(constant.loc["r_squared", "estimate"])
    assert constant.loc["mae", "lower"] < constant.loc["mae", "estimate"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "gamma"}, "family is 'gamma'; use one of gaussian, poisson, quantile"),
        ({"quantile": 1}, "quantile is 1"),
        ({"truth": [1.0, 2.0]}, "truth has 2 numbers and predicted 3"),
        ({"truth": [1.0, 2.0, np.nan]}, "truth is nan at place 2"),
        ({"truth": ["a", "b", "c"]}, "truth must be numbers"),
        ({"predicted": np.ones((3, 2))}, r"predicted has shape \(3, 2\)"),
        ({"truth": [1, -2, 0], "family": "poisson"}, "truth is -2.0 at place 1"),
        ({"predicted": [1, 2, 0], "family": "poisson"}, "predicted is 0.0 at place 2"),
        ({"groups": ["p"]}, "groups has 1 labels for 3 images"),
        ({"level": 0}, "level is 0"),
        ({"resamples": 1.5}, "resamples is 1.5"),
    ],
)
def test_bad_input(change, message):
    good = {"truth": [1.0, 2.0, 3.0], "predicted": [1.0, 2.0, 4.0]}
    evaluate_numbers(**good)
    with pytest.raises(InputError, match=message):
        evaluate_numbers(**good | change)
