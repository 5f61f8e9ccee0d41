"""Outcomes: losses in the training graph against formulas, cumulative logits, codes, thresholds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logsumexp

from diglot import ImageClassifier, InputError, ModelFileError, loads, network
from diglot.builder import Builder, initial_weights
from diglot.engine import open_executor
from diglot.graph import InputSpec
from diglot.outcomes import Classes, bare, with_covariates, with_cutpoints
from diglot.outcomes.numbers import Numbers, encode_numbers
from diglot.outcomes.tags import Tags, encode_tags
from diglot.outcomes.thresholds import best_thresholds
from diglot.predictor.task import training_graph

RANDOM = np.random.default_rng(3)
LETTERS = np.array(list("abcdefg"))


def scores_graph(width):
    """Return a network that puts out what goes in."""
    b = Builder(InputSpec(1, 1, 1), images=False)
    given = b.input("scores", (width,))
    return b.graph("scores", b.add("_mul_scalar", given, name="as_given", scalar=1.0))


def run(outcome, scores, values, weights=None):
    """Return each row's loss and measure, as the training graph computes them."""
    graph = training_graph(scores_graph(scores.shape[1]), outcome).with_weights({})
    weights = np.ones(len(scores)) if weights is None else weights
    inputs = {
        "scores": scores.astype(np.float32),
        "target": outcome.targets(values),
        "weight": weights.astype(np.float32)[:, None],
    }
    loss, measure = open_executor(graph, "cpu").outputs(inputs)
    return loss[:, 0], measure[:, 0]


# ---- losses


def test_cross_entropy():
    scores, codes = RANDOM.normal(0, 4, (20, 5)), RANDOM.integers(0, 5, 20)
    loss, hit = run(Classes(LETTERS[:5]), scores, codes)
    expected = logsumexp(scores, axis=1) - scores[np.arange(20), codes]
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(hit, scores.argmax(axis=1) == codes)


def test_squared_error_on_the_scale_of_training():
    y, weights = RANDOM.normal(7, 3, 20), RANDOM.random(20)
    outcome = Numbers.of(y, np.ones(20), "gaussian")
    assert (outcome.centre, outcome.scale) == pytest.approx((y.mean(), y.std()))
    scores = RANDOM.normal(size=(20, 1))
    loss, error = run(outcome, scores, y, weights)
    predicted = y.mean() + y.std() * scores[:, 0]
    np.testing.assert_allclose(loss, weights * ((predicted - y) / y.std()) ** 2 / 2, rtol=1e-4)
    np.testing.assert_allclose(error, weights * np.abs(predicted - y), rtol=1e-4)
    np.testing.assert_allclose(outcome.predicted(scores)[:, 0], predicted)


def test_poissons_deviance():
    y = RANDOM.poisson(3, 20).astype(float)
    outcome = Numbers.of(y, np.ones(20), "poisson")
    scores = RANDOM.normal(size=(20, 1))
    loss, error = run(outcome, scores, y)
    rate = y.mean() * np.exp(scores[:, 0])
    # but for what does not depend on the score: the negative log-likelihood over the mean
    likelihood = (rate - y * np.log(rate)) / y.mean()
    np.testing.assert_allclose(
        np.ptp(loss - likelihood - y / y.mean() * np.log(y.mean())), 0, atol=1e-4
    )
    np.testing.assert_allclose(error, np.abs(rate - y), rtol=1e-4, atol=1e-4)


def test_the_pinball_loss():
    y, quantiles = RANDOM.normal(5, 2, 30), (0.9, 0.1, 0.5)
    outcome = Numbers.of(y, np.ones(30), "quantile", quantiles)
    scores = RANDOM.normal(size=(30, 3))
    loss, error = run(outcome, scores, y)
    off = y[:, None] - (y.mean() + y.std() * scores)
    pinball = np.where(off > 0, quantiles * off, (np.array(quantiles) - 1) * off)
    np.testing.assert_allclose(loss, pinball.sum(axis=1) / y.std(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(error, np.abs(off[:, 2]), rtol=1e-4, atol=1e-5)
    assert outcome.middle == 2


def test_the_cross_entropy_of_tags():
    scores, values = RANDOM.normal(0, 5, (20, 3)), RANDOM.integers(0, 2, (20, 3))
    loss, share = run(Tags(("a", "b", "c")), scores, values)
    p = expit(scores)
    expected = -np.log(np.where(values, p, 1 - p)).mean(axis=1)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(share, ((p > 0.5) == values).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("extreme", [-80.0, 80.0])
def test_losses_are_finite_at_extreme_scores(extreme):
    scores = np.full((4, 2), extreme) * [[1, -1]]
    for outcome, values in (
        (Classes(LETTERS[:2]), np.array([0, 1, 0, 1])),
        (Tags(("a", "b")), np.array([[0, 1], [1, 0], [1, 1], [0, 0]])),
    ):
        loss, _ = run(outcome, scores, values)
        assert np.isfinite(loss).all()
        assert loss.max() >= 80 * 0.9


@pytest.mark.parametrize(
    "outcome",
    [
        Classes(LETTERS[:4]),
        Numbers("gaussian", 3.0, 2.0),
        Numbers("poisson", 0.0, 2.5),
        Numbers("quantile", 3.0, 2.0, (0.2, 0.7)),
        Tags(("a", "b", "c")),
    ],
)
def test_validation_judges_as_training_does(outcome):
    scores, weights = RANDOM.normal(size=(25, outcome.width)), RANDOM.random(25)
    if isinstance(outcome, Classes):
        values = RANDOM.integers(0, 4, 25)
    elif isinstance(outcome, Tags):
        values = RANDOM.integers(0, 2, (25, 3))
    else:
        values = RANDOM.poisson(3, 25).astype(float)
    if outcome.family == "quantile":
        scores.sort(axis=1)  # quantiles that cross are put in order before they are judged
    loss, measure = run(outcome, scores, values)
    judged = outcome.judge(scores, values, weights)
    assert judged["loss"] == pytest.approx(np.average(loss, weights=weights), rel=1e-4)
    assert judged[outcome.measure] == pytest.approx(np.average(measure, weights=weights), rel=1e-4)


# ---- cumulative logits


def cutpoints(weights):
    gaps = np.log1p(np.exp(weights.get("cutpoint_gaps", np.zeros((1, 0))).astype(float)))[0]
    return weights["first_cutpoint"][0, 0] + np.r_[0, np.cumsum(gaps + 1e-6)]


def literal(cut, x):
    """McCullagh's formula, on the side of the logistic function where it is small."""
    upper, lower = np.r_[cut, np.inf] - x, np.r_[-np.inf, cut] - x
    with np.errstate(over="ignore"):
        right, left = expit(upper) - expit(lower), expit(-lower) - expit(-upper)
    return np.where(upper + np.where(np.isinf(lower), upper, lower) < 0, right, left)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_cumulative_probabilities_are_the_formulas(k):
    graph = with_cutpoints(scores_graph(1), k)
    weights = {"first_cutpoint": np.array([[-0.7]], np.float32)}
    if k > 2:
        weights["cutpoint_gaps"] = RANDOM.normal(size=(1, k - 2)).astype(np.float32)
    cut = cutpoints(weights)
    x = np.r_[RANDOM.normal(0, 3, 20), -60, -20, 20, 60].astype(np.float32)
    found = open_executor(graph.with_weights(weights), "cpu").forward({"scores": x[:, None]})
    expected = np.log([literal(cut, score) for score in x.astype(float)])
    assert found.shape == (24, k)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(np.exp(found.astype(float)).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_cutpoints_begin_in_order_and_even(k):
    graph = with_cutpoints(network("mlp", classes=1, size=4), k)
    weights = initial_weights(graph, 1)
    cut = cutpoints(weights)
    assert len(cut) == k - 1
    np.testing.assert_allclose(cut, -cut[::-1], atol=1e-5)  # symmetric: neither end is favoured
    assert expit(cut[0]) == pytest.approx(1 / k, abs=1e-6)
    assert bare(graph).output_shape == (1,)


def test_close_cutpoints_leave_a_finite_loss():
    weights = {"first_cutpoint": np.zeros((1, 1)), "cutpoint_gaps": np.full((1, 1), -40.0)}
    weights = {n: w.astype(np.float32) for n, w in weights.items()}
    executor = open_executor(with_cutpoints(scores_graph(1), 3).with_weights(weights), "cpu")
    found = executor.forward({"scores": np.array([[-50], [0], [50]], np.float32)})
    assert np.isfinite(found).all()


def test_a_cumulative_model_is_an_ordered_one():
    """Images whose brightness is the latent score; classes cut it at known places."""
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    rng = np.random.default_rng(5)
    latent = rng.normal(size=800)
    grade = np.digitize(latent * 1.5 + rng.logistic(size=800), [-1, 0.5])
    y = pd.Categorical(grade + 2, ordered=True)
    x = np.zeros((800, 4, 4), np.float32) + latent[:, None, None].astype(np.float32)
    model = ImageClassifier("mlp", family="cumulative", epochs=15, learning_rate=0.02, seed=1)
    model.fit(x, y)
    theirs = ordinal.OrderedModel(y, latent[:, None], distr="logit").fit(method="bfgs", disp=0)
    expected = theirs.predict(latent[:, None])
    assert np.abs(model.predict_proba(x) - expected).mean() < 0.03
    assert model.classes_.tolist() == [2, 3, 4]
    again = loads(model.to_bytes())
    assert (again.family, again.ordered_) == ("cumulative", True)
    np.testing.assert_array_equal(again.predict_proba(x[:9]), model.predict_proba(x[:9]))
    tuned = model.fine_tune(x, np.where(grade > 0, "ill", "well"), epochs=1)
    assert tuned.predict_proba(x[:3]).shape == (3, 2)
    other = model.fine_tune(x, np.where(grade > 0, "ill", "well"), epochs=1, family="multinomial")
    assert other.network_.output_shape == (2,)
    assert "first_cutpoint" not in other.network_.weights


def test_effects_of_covariates_add_to_the_scores():
    graph = with_covariates(scores_graph(3), 2)
    effects = RANDOM.normal(size=(3, 2)).astype(np.float32)
    executor = open_executor(graph.with_weights({"covariate_effects_weight": effects}), "cpu")
    scores, z = (RANDOM.normal(size=(5, m)).astype(np.float32) for m in (3, 2))
    found = executor.forward({"scores": scores, "covariates": z})
    np.testing.assert_allclose(found, scores + z @ effects.T, atol=1e-5)
    assert with_covariates(graph, 0) is graph


# ---- codes


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.0, np.nan, 2.0], "row 2"),
        ([1.0, np.inf, 2.0], "row 2"),
        ([1, None, 3], "row 2"),
        (["a", "b", "c"], "must be numbers"),
        (pd.Categorical([1, 2, 3]), "ImageClassifier learns classes"),
        (np.zeros((3, 2)), r"shape is \(3, 2\)"),
        ([1, 2], "3 images and 2 numbers"),
    ],
)
def test_what_is_no_number_is_refused(y, words):
    with pytest.raises(InputError, match=words):
        encode_numbers(y, 3, "gaussian")


def test_numbers_come_in_many_kinds():
    for y in ([1, 2, 4], pd.Series([1, 2, 4], dtype="Int64"), np.array([1, 2, 4], "f4")):
        found = encode_numbers(y, 3, "gaussian")
        assert found.dtype == np.float64
        assert found.tolist() == [1, 2, 4]
    with pytest.warns(UserWarning, match="column-vector"):
        assert encode_numbers(np.array([[1], [2]]), 2, "gaussian").tolist() == [1, 2]
    with pytest.raises(InputError, match=r"counts from 0, not -1 \(row 2\)"):
        encode_numbers([1, -1, 3], 3, "poisson")


def test_tags_come_in_many_kinds():
    table = pd.DataFrame({"dog": [1, 0], "cat": [1, 1]})
    values, tags = encode_tags(table, 2)
    assert (values.tolist(), tags) == ([[1, 1], [0, 1]], ("dog", "cat"))
    values, tags = encode_tags([{"dog", "cat"}, ("cat",)], 2, known=("dog", "cat"))
    assert values.tolist() == [[1, 1], [0, 1]]
    values, tags = encode_tags(np.array([[True], [False]]), 2)
    assert (values.tolist(), tags) == ([[1], [0]], ("1",))
    values, _ = encode_tags(table[["cat", "dog"]], 2, known=("dog", "cat"))
    assert values.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("y", "known", "words"),
    [
        ([["a"], "b"], None, "row 2"),
        ([[], []], None, "no image has any tag"),
        ([["a"], ["z"]], ("a",), "row 2 has the tag 'z'"),
        (pd.DataFrame({"a": [0, 2]}), None, "row 2, column 1 holds 2"),
        (pd.DataFrame({"a": [0, None]}), None, "row 2, column 1"),
        (pd.DataFrame({"a": ["x", "y"]}), None, "zeros and ones"),
        (pd.DataFrame({"b": [0, 1]}), ("a",), "must be a, as in training"),
        (np.zeros((2, 3)), ("a",), "must be a, as in training"),
        ([["a"]], None, "2 images and the tags of 1"),
        (pd.DataFrame([[0, 1]] * 2, columns=["a", "a"]), None, "different names"),
        (7, None, "tags"),
        (["a", "b"], None, "row 1"),
    ],
)
def test_what_are_no_tags_is_refused(y, known, words):
    with pytest.raises(InputError, match=words):
        encode_tags(y, 2, known)


# ---- files


def test_numbers_survive_json():
    for outcome in (
        Numbers("gaussian", 1.5, 2.0),
        Numbers("poisson", 0.0, 3.0),
        Numbers("quantile", 1.0, 2.0, (0.1, 0.9)),
    ):
        assert Numbers.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


@pytest.mark.parametrize(
    "damage",
    [
        {"family": "gamma"},
        {"scale": 0.0},
        {"scale": -1.0},
        {"centre": float("nan")},
        {"quantiles": [0.5]},
        {"family": "quantile"},
        {"family": "quantile", "quantiles": [1.0]},
        {"family": "quantile", "quantiles": [0.5] * 2000},
        {"scale": "x"},
        {"quantiles": None},
        {"family": ["gaussian"]},
    ],
)
def test_damaged_numbers_are_refused(damage):
    fields = {**Numbers("gaussian", 1.5, 2.0).to_dict(), **damage}
    with pytest.raises((ModelFileError, ValueError, TypeError)):
        Numbers.from_dict(fields)


@pytest.mark.parametrize("names", [None, [], ["a", "a"], ["a", 3], "ab", {"a": 1}])
def test_damaged_tags_are_refused(names):
    with pytest.raises(ModelFileError, match="tags is damaged"):
        Tags.from_list(names)


# ---- thresholds


def f1(truth, probability, threshold):
    said = probability >= threshold
    hits = (said & (truth == 1)).sum()
    return 2 * hits / max(said.sum() + truth.sum(), 1)


@pytest.mark.parametrize("seed", range(8))
def test_thresholds_are_the_best_there_are(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (40, 3))
    p = np.clip(0.3 * truth + rng.random((40, 3)), 0, 1).round(1 if seed % 2 else 3)  # with ties
    found = best_thresholds(truth, p)
    for t in range(3):
        tried = [f1(truth[:, t], p[:, t], c) for c in np.r_[p[:, t], 0, 1.1]]
        assert f1(truth[:, t], p[:, t], found[t]) == pytest.approx(max(tried))


def test_thresholds_of_a_tag_that_is_never_or_always_there():
    truth, p = np.array([[0, 1], [0, 1]]), np.array([[0.2, 0.4], [0.9, 0.8]])
    found = best_thresholds(truth, p)
    assert found[0] == 0.5
    assert found[1] < 0.4
