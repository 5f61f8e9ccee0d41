"""Calibration against scikit-learn and formulas; conformal sets against the literal definition.

The promise of conformal sets is checked on digits: over random splits the number of sets that
hold the truth has a distribution that is known exactly, the beta-binomial one (Vovk 2012).
"""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import sklearn
from scipy import optimize, stats
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.utils.fixes import parse_version
from statsmodels.stats.proportion import proportion_confint

from diglot.errors import InputError, ModelFileError
from diglot.uncertainty import (
    ConformalSets,
    Isotonic,
    NumberConformal,
    Temperature,
    calibration_from_dict,
    coverage_table,
    fit_calibration,
    fit_conformal,
    fit_intervals,
    interval_coverage_table,
    uniforms_of,
)


def overconfident(n=2000, k=4, sharpness=2.5, seed=0):
    """Labels drawn from probabilities, and these made too sure: temperature 2.5 mends them."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, k)) * 1.5
    code = (softmax(logits, 1).cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return softmax(sharpness * logits, 1), code


class Given(ClassifierMixin, BaseEstimator):
    """Its images are the probabilities: so scikit-learn calibrates what we calibrate."""

    def __init__(self, logs=False):
        self.logs = logs

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        scores = np.log(X) if self.logs else X
        return scores if len(self.classes_) > 2 else scores[:, 1] - scores[:, 0]

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]


def scikit_learns(p, code, method):
    model = FrozenEstimator(Given(logs=method == "temperature").fit(p, code))
    return CalibratedClassifierCV(model, method=method).fit(p, code).predict_proba(p)


# -------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize("k", [2, 4, 9])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5, 30.0])
def test_the_temperature_is_the_most_likely_one(k, sharpness):
    p, code = overconfident(k=k, sharpness=sharpness)
    found = fit_calibration(p, code)

    def loss(log_temperature):
        q = softmax(np.log(p) / np.exp(log_temperature), 1)
        return -np.log(q[np.arange(len(code)), code]).mean()

    best = optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    # A minimum that is found by values alone is known to the root of the rounding error.
    assert np.log(found.temperature) == pytest.approx(best.x, abs=1e-6)
    assert found.n == 2000
    # At the maximum the mean log-probability is what the calibrated probabilities expect.
    logs, q = np.log(p), found.apply(p)
    assert logs[np.arange(2000), code].mean() == pytest.approx((q * logs).sum(axis=1).mean())
    assert found.temperature == pytest.approx(sharpness, rel=0.1)  # as was planted


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.8"), reason="new there")
@pytest.mark.parametrize("k", [2, 4])
def test_temperature_scaling_agrees_with_scikit_learn(k):
    p, code = overconfident(k=k)
    expected = scikit_learns(p, code, "temperature")
    np.testing.assert_allclose(fit_calibration(p, code).apply(p), expected, atol=1e-8)


def test_temperature_scaling_keeps_the_order_of_classes_and_mends_the_log_loss():
    p, code = overconfident()
    q = fit_calibration(p[:1000], code[:1000]).apply(p[1000:])
    np.testing.assert_array_equal(q.argsort(axis=1), p[1000:].argsort(axis=1))
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-12)
    held, rows = code[1000:], np.arange(1000)
    assert -np.log(q[rows, held]).mean() < -np.log(p[1000:][rows, held]).mean() - 0.1


def test_probabilities_of_zero_do_not_stop_temperature_scaling():
    p = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = fit_calibration(p, [0, 0, 1, 1])
    assert np.isfinite(found.apply(p)).all() and found.temperature > 1


def test_images_that_say_nothing_of_the_temperature_leave_it_at_one():
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.warns(UserWarning, match="classified right"):
        assert fit_calibration(p, [0, 1]).temperature == 1
    with pytest.warns(UserWarning, match="know nothing"):
        assert fit_calibration(p, [1, 0]).apply(p) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("k", [2, 4])
def test_isotonic_calibration_agrees_with_scikit_learn(k):
    p, code = overconfident(k=k)
    p[::7] = p[0]  # ties
    found = fit_calibration(p, code, "isotonic")
    if k == 2:
        fitted = IsotonicRegression(out_of_bounds="clip").fit(p[:, 1], code)
        second = fitted.predict(p[:, 1])
        expected = np.stack([1 - second, second], axis=1)
    else:
        each = [
            IsotonicRegression(out_of_bounds="clip").fit(p[:, c], code == c).predict(p[:, c])
            for c in range(k)
        ]
        expected = np.stack(each, axis=1) / np.sum(each, axis=0)[:, None]
        theirs = scikit_learns(p, code, "isotonic")
        np.testing.assert_allclose(found.apply(p), theirs, atol=1e-8)
    np.testing.assert_allclose(found.apply(p), expected, atol=1e-12)


def test_isotonic_calibration_makes_frequencies_of_probabilities():
    p, code = overconfident(n=20_000, k=2)
    q = fit_calibration(p[:10_000], code[:10_000], "isotonic").apply(p[10_000:])[:, 1]
    held = code[10_000:]
    for low in np.arange(0, 1, 0.2):
        among = (q >= low) & (q < low + 0.2)
        assert held[among].mean() == pytest.approx(q[among].mean(), abs=0.03)


def test_rows_that_fit_no_curve_become_even():
    curves = tuple((np.array([0.5, 0.6]), np.array([0.0, 1.0])) for _ in range(4))
    assert Isotonic(curves, 10).apply([[0.25] * 4]).tolist() == [[0.25] * 4]


def test_isotonic_calibration_needs_images_of_each_class():
    p, code = overconfident(k=3)
    with pytest.raises(InputError, match=r"'fish' has no image.*temperature"):
        fit_calibration(p[code < 2], code[code < 2], "isotonic", ["cat", "dog", "fish"])


@pytest.mark.parametrize(("k", "method"), [(2, "isotonic"), (4, "isotonic"), (4, "temperature")])
def test_a_calibration_survives_json(k, method):
    p, code = overconfident(k=k)
    found = fit_calibration(p, code, method)
    again = calibration_from_dict(json.loads(json.dumps(found.to_dict())))
    assert type(again) is type(found)
    np.testing.assert_array_equal(again.apply(p), found.apply(p))


CURVE = {"from": [0.1, 0.9], "to": [0.0, 1.0]}


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        {"method": "magic", "n": 1},
        {"method": ["temperature"], "n": 1},
        {"method": "temperature", "n": 5},
        {"method": "temperature", "temperature": "1", "n": 5},
        {"method": "temperature", "temperature": True, "n": 5},
        {"method": "temperature", "temperature": 0, "n": 5},
        {"method": "temperature", "temperature": math.nan, "n": 5},
        {"method": "temperature", "temperature": 10**400, "n": 5},
        {"method": "temperature", "temperature": 1.0, "n": -1},
        {"method": "temperature", "temperature": 1.0, "n": 1.5},
        {"method": "isotonic", "n": 5, "curves": []},
        {"method": "isotonic", "n": 5, "curves": [CURVE, CURVE]},
        {"method": "isotonic", "n": 5, "curves": [{"from": [], "to": []}]},
        {"method": "isotonic", "n": 5, "curves": [{"from": [0.1], "to": [0.1, 0.2]}]},
        {"method": "isotonic", "n": 5, "curves": [{"from": [0.9, 0.1], "to": [0, 1]}]},
        {"method": "isotonic", "n": 5, "curves": [{"from": [0, 1], "to": [0, 2]}]},
        {"method": "isotonic", "n": 5, "curves": [{"from": "01", "to": [0, 1]}]},
        {"method": "isotonic", "n": 5, "curves": [{"from": [0, None], "to": [0, 1]}]},
        {"method": "isotonic", "n": 5, "curves": [7]},
    ],
)
def test_a_damaged_calibration_is_refused(given):
    with pytest.raises(ModelFileError):
        calibration_from_dict(given)


@pytest.mark.parametrize(
    ("p", "code", "method", "words"),
    [
        ([[0.5, 0.5]], [0], "platt", '"temperature" or "isotonic"'),
        ([0.5, 0.5], [0, 1], "temperature", "row an image"),
        ([[1.0]], [0], "temperature", "two classes"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 1], "temperature", "row 1"),
        ([[np.nan, 1]], [0], "temperature", "row 0"),
        ([["a", "b"]], [0], "temperature", "numbers"),
        (np.empty((0, 2)), [], "temperature", "no images"),
        ([[0.5, 0.5]], [0, 1], "temperature", "1 rows of predictions but 2 codes"),
        ([[0.5, 0.5]], [2], "temperature", "0 to 1"),
        ([[0.5, 0.5]], [0.5], "temperature", "whole numbers"),
    ],
)
def test_what_cannot_be_calibrated_is_told(p, code, method, words):
    with pytest.raises(InputError, match=words):
        fit_calibration(p, code, method)


# ------------------------------------------------------------------ conformal sets, by definition


def literal_score(p, label, u, method, k_reg, penalty):
    """Score one class of one image as the papers write it."""
    if method == "lac":
        return 1 - p[label]
    ranking = sorted(range(len(p)), key=lambda c: (-p[c], c))
    rank = ranking.index(label) + 1
    score = sum(p[c] for c in ranking[: rank - 1]) + u * p[label]
    return score + (penalty * max(0, rank - k_reg) if method == "raps" else 0)


def literal_sets(p_learn, code, u_learn, p_new, u_new, coverage, by_class, method, *more):
    own = [
        literal_score(p, c, u, method, *more)
        for p, c, u in zip(p_learn, code, u_learn, strict=True)
    ]
    sets = []
    for p, u in zip(p_new, u_new, strict=True):
        inside = []
        for label in range(len(p)):
            group = sorted(s for s, c in zip(own, code, strict=True) if c == label or not by_class)
            place = math.ceil((len(group) + 1) * coverage)
            limit = group[place - 1] if place <= len(group) else math.inf
            inside.append(literal_score(p, label, u, method, *more) <= limit + 1e-12)
        sets.append(inside)
    return np.array(sets)


def dirichlet(n, k, seed=0, alpha=0.4):
    random = np.random.default_rng(seed)
    p = random.dirichlet([alpha] * k, n)
    return p, (p.cumsum(axis=1) < random.random((n, 1))).sum(axis=1).clip(max=k - 1)


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("randomized", [False, True])
def test_sets_are_those_of_the_definition(method, by_class, randomized):
    p, code = dirichlet(157, 5)
    p = p.round(3) + 1e-9  # ties
    p /= p.sum(axis=1, keepdims=True)
    new, _ = dirichlet(60, 5, seed=1)
    random = np.random.default_rng(2)
    u_learn, u_new = random.random(len(p)), random.random(len(new))
    reg = {"k_reg": 2, "penalty": 0.05} if method == "raps" else {}
    rule = fit_conformal(
        p,
        code,
        method,
        class_conditional=by_class,
        randomized=randomized,
        allow_empty=True,
        uniforms=u_learn,
        **reg,
    )
    if not randomized:
        u_learn, u_new = np.ones(len(p)), np.ones(len(new))
    for coverage in (0.6, 0.8, 0.9):
        expected = literal_sets(
            p, code, u_learn, new, u_new, coverage, by_class, method, *(reg.values() or (0, 0))
        )
        np.testing.assert_array_equal(rule.sets(new, coverage, u_new), expected)
    again = ConformalSets.from_dict(json.loads(json.dumps(rule.to_dict())))
    np.testing.assert_array_equal(again.sets(new, 0.9, u_new), rule.sets(new, 0.9, u_new))
    np.testing.assert_array_equal(again.sets(new), rule.sets(new))


def test_aps_without_chance_takes_classes_until_their_sum_reaches_the_threshold():
    p, code = dirichlet(500, 6)
    rule = fit_conformal(p, code, "aps", randomized=False, allow_empty=True)
    (limit,) = rule.thresholds(0.8)
    for row, inside in zip(p, rule.sets(p, 0.8), strict=True):
        falling = np.sort(row)[::-1]
        assert inside.sum() == (falling.cumsum() <= limit + 1e-12).sum()
        assert set(np.flatnonzero(inside)) == set(np.argsort(-row)[: inside.sum()])


def test_an_empty_set_gets_the_most_probable_class_unless_it_may_be_empty():
    p, code = dirichlet(300, 4, alpha=0.05)
    rules = [fit_conformal(p, code, "lac", allow_empty=allowed) for allowed in (True, False)]
    may, never = (rule.sets(p, 0.5) for rule in rules)
    empty = ~may.any(axis=1)
    assert empty.any() and never.any(axis=1).all()
    np.testing.assert_array_equal(never[~empty], may[~empty])
    np.testing.assert_array_equal(never[empty].argmax(axis=1), p[empty].argmax(axis=1))
    assert (never[empty].sum(axis=1) == 1).all()


def test_too_few_images_put_every_class_in_every_set():
    p, code = dirichlet(8, 3)
    rule = fit_conformal(p, code, "lac")
    with pytest.warns(UserWarning, match="needs 9 images, there were 8"):
        assert rule.sets(p, 0.9).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_conformal(*dirichlet(9, 3), "lac").sets(p, 0.9)


def test_a_class_with_too_few_images_is_in_every_set_and_is_named():
    p, code = dirichlet(200, 3)
    rare = np.flatnonzero(code == 2)[4:]
    p, code = np.delete(p, rare, axis=0), np.delete(code, rare)
    rule = fit_conformal(p, code, "lac", class_conditional=True)
    with pytest.warns(UserWarning, match=r"9 images a class.*'fish' \(4\)\."):
        sets = rule.sets(p, 0.9, names=["cat", "dog", "fish"])
    assert sets[:, 2].all() and not sets[:, :2].all()


def test_raps_chooses_its_penalty_on_images_of_their_own():
    p, code = dirichlet(500, 8)
    rule = fit_conformal(p, code, "raps", seed=3)
    assert rule.n == 400  # a fifth chose
    assert rule.penalty in (0.001, 0.01, 0.1, 0.2, 0.5) and 1 <= rule.k_reg <= 8
    assert fit_conformal(p, code, "raps", k_reg=1, penalty=0.1).n == 500
    with pytest.raises(InputError, match="too few"):
        fit_conformal(p[:2], code[:2], "raps")


def test_random_parts_of_learning_are_not_those_of_prediction():
    p, code = dirichlet(50, 3)
    rule = fit_conformal(p, code, "aps")
    assert not np.isin(rule.score(p)[np.arange(50), code], rule.scores[0]).any()


def test_an_images_own_random_part_does_not_depend_on_its_neighbours():
    keys = [str(i).encode() for i in range(2000)]
    u = uniforms_of(keys, seed=1)
    assert stats.kstest(u, "uniform").pvalue > 0.001
    np.testing.assert_array_equal(uniforms_of(keys[7:9], seed=1), u[7:9])
    assert abs(np.corrcoef(u, uniforms_of(keys, seed=2))[0, 1]) < 0.1


GOOD = fit_conformal(*dirichlet(20, 3), "aps").to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"method": "magic"},
        {"method": None},
        {"classes": 1},
        {"classes": True},
        {"scores": []},
        {"scores": [[0.1], [0.2]]},
        {"scores": [[0.2, 0.1]]},
        {"scores": [["a"]]},
        {"scores": ["a"]},
        {"scores": ""},
        {"scores": [""]},
        {"scores": [[math.inf]]},
        {"scores": [[10**400]]},
        {"scores": [[True]]},
        {"scores": [[[0.1]]]},
        {"class_conditional": True},
        {"class_conditional": 0},
        {"seed": -1},
        {"seed": 0.5},
        {"k_reg": "1"},
        {"penalty": math.nan},
        {"penalty": -1},
        {"allow_empty": None},
    ],
)
def test_a_damaged_rule_is_refused(change):
    ConformalSets.from_dict(GOOD)
    with pytest.raises(ModelFileError):
        ConformalSets.from_dict({**GOOD, **change})


@pytest.mark.parametrize("given", [None, [], {}, 3])
def test_what_is_no_rule_is_refused(given):
    for kind in (ConformalSets, NumberConformal, Temperature, Isotonic):
        with pytest.raises(ModelFileError):
            kind.from_dict(given)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"method": "magic"}, '"aps", "raps", "lac"'),
        ({"k_reg": 1}, "raps"),
        ({"method": "raps", "k_reg": -1}, "k_reg"),
        ({"method": "raps", "k_reg": 1.5}, "k_reg"),
        ({"method": "raps", "penalty": math.nan}, "penalty"),
        ({"class_conditional": 1}, "class_conditional"),
        ({"randomized": "no"}, "randomized"),
        ({"seed": -1}, "seed"),
        ({"uniforms": [0.5]}, "uniforms"),
        ({"uniforms": [2.0] * 20}, "from 0 to 1"),
    ],
)
def test_arguments_of_a_rule_are_checked(more, words):
    with pytest.raises(InputError, match=words):
        fit_conformal(*dirichlet(20, 3), **more)


@pytest.mark.parametrize("coverage", [0, 1, 90, -1, math.nan, "0.9", None, True])
def test_a_coverage_that_cannot_be_is_refused(coverage):
    p, code = dirichlet(20, 3)
    with pytest.raises(InputError, match="coverage"):
        fit_conformal(p, code).sets(p, coverage)


def test_probabilities_of_other_classes_are_refused():
    rule = fit_conformal(*dirichlet(20, 3))
    with pytest.raises(InputError, match="4 columns for 3 classes"):
        rule.sets(dirichlet(5, 4)[0])


# ----------------------------------------------------------------------- the promise, on digits


@pytest.fixture(scope="module")
def digits():
    """Probabilities of 1,397 digits by a model of 400 others, which is too sure and often wrong."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16 + np.random.default_rng(1).normal(scale=0.4, size=X.shape), y[order]
    model = LogisticRegression(C=10, max_iter=500).fit(X[:400], y[:400])
    return model.predict_proba(X[400:]), y[400:]


SPLITS, LEARN = 200, 700
RULES = {
    "lac": {},
    "aps": {},
    "aps, not random": {"randomized": False},
    "raps": {"k_reg": 2, "penalty": 0.05},
    "raps, tuned": {},
}


def splits(n):
    for number in range(SPLITS):
        order = np.random.default_rng([7, number]).permutation(n)
        yield number, order[:LEARN], order[LEARN:]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("name", RULES)
def test_stated_coverage_holds_over_200_splits_of_the_digits(digits, name, coverage):
    p, code = digits
    hits, tests = [], len(p) - LEARN
    for number, learn, test in splits(len(p)):
        rule = fit_conformal(
            p[learn],
            code[learn],
            name.split(",")[0],
            allow_empty=True,
            seed=number,
            **RULES[name],
        )
        hits.append(rule.sets(p[test], coverage)[np.arange(tests), code[test]].sum())
    place = math.ceil((rule.n + 1) * coverage)
    expected = stats.betabinom(tests, place, rule.n + 1 - place)
    assert expected.mean() / tests == pytest.approx(coverage, abs=1 / rule.n)
    z = (np.mean(hits) - expected.mean()) / (expected.std() / math.sqrt(SPLITS))
    assert abs(z) < 3.5, f"coverage {np.mean(hits) / tests:.4f}, stated {coverage}"
    # Not the mean alone: the whole distribution is the known one.
    assert stats.kstest(expected.cdf(hits), "uniform").pvalue > 0.001


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_coverage_within_each_class_holds_over_200_splits_of_the_digits(digits, method):
    p, code = digits
    reg = {"k_reg": 2, "penalty": 0.05} if method == "raps" else {}
    z, shares = np.zeros(10), []
    for number, learn, test in splits(len(p)):
        rule = fit_conformal(
            p[learn],
            code[learn],
            method,
            class_conditional=True,
            allow_empty=True,
            seed=number,
            **reg,
        )
        inside = rule.sets(p[test], 0.9)[np.arange(len(test)), code[test]]
        for label, scores in enumerate(rule.scores):
            mine = code[test] == label
            place = math.ceil((len(scores) + 1) * 0.9)
            expected = stats.betabinom(mine.sum(), place, len(scores) + 1 - place)
            z[label] += (inside[mine].sum() - expected.mean()) / expected.std()
        shares.append(inside.mean())
    assert (np.abs(z / math.sqrt(SPLITS)) < 3.9).all(), z / math.sqrt(SPLITS)
    assert 0.9 <= np.mean(shares) < 0.92  # the place is rounded up in each class


def test_without_empty_sets_coverage_is_at_least_the_stated_one(digits):
    p, code = digits
    shares = []
    for number, learn, test in splits(len(p)):
        rule = fit_conformal(p[learn], code[learn], "aps", allow_empty=False, seed=number)
        shares.append(rule.sets(p[test], 0.8)[np.arange(len(test)), code[test]].mean())
    assert np.mean(shares) > 0.8


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_coverage_holds_for_a_bad_model_on_simulated_images(method):
    """Few images to learn from, and probabilities that know little: the promise is the same."""
    hits, expected = [], stats.betabinom(40, 18, 20 - 18)
    for number in range(2000):
        random = np.random.default_rng([11, number])
        code = random.integers(6, size=59)
        p = softmax(random.normal(size=(59, 6)) + 0.3 * np.eye(6)[code], axis=1)
        rule = fit_conformal(p[:19], code[:19], method, allow_empty=True, seed=number)
        hits.append(rule.sets(p[19:], 0.9)[np.arange(40), code[19:]].sum())
    assert abs(np.mean(hits) - 36) < 3.5 * expected.std() / math.sqrt(2000)


# ------------------------------------------------------------------------------ coverage tables


def test_coverage_is_counted_for_the_whole_and_for_each_class():
    random = np.random.default_rng(0)
    code, sets = random.integers(3, size=200), random.random((200, 4)) < 0.7
    table = coverage_table(code, sets, 0.9, ["d", "b", "c", "a"], level=0.9)
    assert list(table) == [
        "coverage",
        "class",
        "estimate",
        "lower",
        "upper",
        "method",
        "n",
        "mean_size",
    ]
    assert table["class"].isna().tolist() == [True] + [False] * 4
    assert table["class"].tolist()[1:] == ["d", "b", "c", "a"]
    assert (table["coverage"] == 0.9).all() and (table["method"] == "Wilson").all()
    for label in (None, 0, 1, 2):
        row = table.iloc[0 if label is None else label + 1]
        mine = [i for i in range(200) if label in (None, code[i])]
        count = sum(bool(sets[i, code[i]]) for i in mine)
        assert (row["n"], row["estimate"]) == (len(mine), count / len(mine))
        assert row["mean_size"] == pytest.approx(np.mean([sets[i].sum() for i in mine]))
        ends = proportion_confint(count, len(mine), alpha=0.1, method="wilson")
        assert (row["lower"], row["upper"]) == pytest.approx(ends, abs=1e-12)
    none = table.iloc[4]
    assert (
        none["n"] == 0
        and np.isnan(none[["estimate", "lower", "upper", "mean_size"]].tolist()).all()
    )


@pytest.mark.parametrize(
    ("code", "sets", "words"),
    [
        ([0], np.ones((1, 2)), "True and False"),
        ([0], np.ones((2, 2), bool), "2 rows"),
        ([5], np.ones((1, 2), bool), "0 to 1"),
    ],
)
def test_what_cannot_be_counted_is_told(code, sets, words):
    with pytest.raises(InputError, match=words):
        coverage_table(code, sets, 0.9)
    with pytest.raises(InputError, match="3 classes"):
        coverage_table([0], np.ones((1, 2), bool), 0.9, ["a", "b", "c"])


# ------------------------------------------------------------------------------------- numbers


def numbers(n, seed):
    random = np.random.default_rng(seed)
    x = random.uniform(0, 3, n)
    return x, 2 * x + random.normal(scale=0.2 + x, size=n)


@pytest.mark.parametrize("method", ["absolute", "quantile"])
def test_intervals_hold_numbers_as_often_as_was_asked_for(method):
    hits, expected = [], stats.betabinom(100, 45, 5)
    for number in range(500):
        x, y = numbers(149, [3, number])
        guess = 2 * x if method == "absolute" else np.stack([2 * x - x, 2 * x + x], axis=1)
        rule = fit_intervals(guess[:49], y[:49], method)
        ends = rule.intervals(guess[49:], 0.9)
        hits.append(((ends[:, 0] <= y[49:]) & (y[49:] <= ends[:, 1])).sum())
    assert abs(np.mean(hits) - 90) < 3.5 * expected.std() / math.sqrt(500)


def test_intervals_are_those_of_the_definition():
    x, y = numbers(99, 0)
    rule = fit_intervals(2 * x, y)
    margin = sorted(abs(y - 2 * x))[89]
    np.testing.assert_allclose(
        rule.intervals([1.0, 5.0], 0.9), [[1 - margin, 1 + margin], [5 - margin, 5 + margin]]
    )
    wide = np.stack([2 * x - 100, 2 * x + 90], axis=1)
    rule = fit_intervals(wide, y, "quantile")
    margin = sorted(max(low - t, t - high) for (low, high), t in zip(wide, y, strict=True))[89]
    assert margin < 0
    np.testing.assert_allclose(rule.intervals([[-100, 90]], 0.9), [[-100 - margin, 90 + margin]])
    assert rule.intervals([[0.0, 4.0]], 0.9).tolist() == [[2, 2]]  # they would cross
    again = NumberConformal.from_dict(json.loads(json.dumps(rule.to_dict())))
    np.testing.assert_array_equal(again.intervals(wide), rule.intervals(wide))


def test_intervals_of_too_few_images_are_infinite():
    with pytest.warns(UserWarning, match="infinite"):
        assert np.isinf(fit_intervals([1, 2], [1, 3]).intervals([1], 0.9)).all()


def test_intervals_are_counted():
    x, y = numbers(99, 0)
    ends = fit_intervals(2 * x, y).intervals(2 * x, 0.8)
    row = interval_coverage_table(y, ends[:, 0], ends[:, 1], 0.8).iloc[0]
    count = sum(low <= t <= high for (low, high), t in zip(ends, y, strict=True))
    assert (row["estimate"], row["n"]) == (count / 99, 99)
    assert row["mean_size"] == pytest.approx(ends[0, 1] - ends[0, 0])
    assert (row["lower"], row["upper"]) == pytest.approx(
        proportion_confint(count, 99, method="wilson")
    )
    with pytest.raises(InputError, match="2 numbers"):
        interval_coverage_table([1, 2], [0], [1, 1], 0.9)


@pytest.mark.parametrize(
    "given",
    [
        {"method": "x", "scores": []},
        {"method": "absolute", "scores": [2, 1]},
        {"method": "absolute"},
    ],
)
def test_damaged_intervals_are_refused(given):
    with pytest.raises(ModelFileError):
        NumberConformal.from_dict(given)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (([1], [1], "magic"), "method"),
        (([1], [1, 2]), "truth"),
        (([[1, 2]], [1]), "predicted"),
        (([1], [1], "quantile"), "predicted"),
        (([np.nan], [1]), "predicted"),
        (([], []), "no images"),
    ],
)
def test_arguments_of_intervals_are_checked(args, words):
    with pytest.raises(InputError, match=words):
        fit_intervals(*args)
