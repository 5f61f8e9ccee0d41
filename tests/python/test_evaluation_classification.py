"""Metrics against scikit-learn, intervals against statsmodels, coverage against planted truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from diglot.errors import InputError
from diglot.evaluation import confusion, evaluate_classes, wilson
from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.confusions import Confusions
from diglot.evaluation.intervals import percentiles

CLASSES = ["e", "b", "a", "d", "c", "f", "g"]


def problem(n=400, k=7, seed=0, dtype="float64"):
    """Labels of k classes of unequal size, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, size=n, p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    scores = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[truth]
    p = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(dtype)
    names = np.array(CLASSES[:k])
    return names[truth], names[p.argmax(axis=1)], p, list(names)


def value(table, metric, label=None, column="estimate"):
    which = table["class"].isna() if label is None else table["class"] == label
    return table.loc[(table["metric"] == metric) & which, column].item()


def area(truth, columns):
    if columns.shape[1] == 2:
        return metrics.roc_auc_score(truth, columns[:, 1])
    rows = columns / columns.sum(axis=1, keepdims=True)  # float32 sums to 1 only nearly
    return metrics.roc_auc_score(truth, rows, multi_class="ovr")


def naive_calibration_error(right, confidence):
    total = 0.0
    for b in range(10):
        inside = (confidence > b / 10) & (confidence <= (b + 1) / 10)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_estimates_agree_with_scikit_learn(k, dtype):
    truth, guess, p, names = problem(k=k, dtype=dtype)
    table = evaluate_classes(truth, guess, p, names, resamples=20)
    code = [names.index(t) for t in truth]
    # scikit-learn takes the columns in sorted order.
    columns = p[:, np.argsort(names)]
    p64, one_hot = p.astype(float), np.eye(k)[code]
    brier = ((p64 - one_hot) ** 2).sum(axis=1).mean() / (2 if k == 2 else 1)
    expected = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "macro_f1": metrics.f1_score(truth, guess, average="macro"),
        "macro_precision": metrics.precision_score(truth, guess, average="macro"),
        "macro_specificity": np.mean(
            [metrics.recall_score(truth == c, guess == c, pos_label=False) for c in names]
        ),
        "weighted_precision": metrics.precision_score(truth, guess, average="weighted"),
        "weighted_f1": metrics.f1_score(truth, guess, average="weighted"),
        "kappa": metrics.cohen_kappa_score(truth, guess),
        "roc_auc": area(truth, columns),
        "expected_calibration_error": naive_calibration_error(truth == guess, p64.max(axis=1)),
        "log_loss": metrics.log_loss(truth, columns),
        "brier": brier,
    }
    if k == 7:
        expected["top_5_accuracy"] = metrics.top_k_accuracy_score(truth, columns, k=5)
    whole = table[table["class"].isna()].set_index("metric")
    assert set(whole.index) == set(expected)
    for metric, number in expected.items():
        assert whole.loc[metric, "estimate"] == pytest.approx(number, rel=1e-6), metric
        assert whole.loc[metric, "n"] == 400
    for label in names:
        for metric, score, positive in [
            ("sensitivity", metrics.recall_score, True),
            ("specificity", metrics.recall_score, False),
            ("precision", metrics.precision_score, True),
            ("f1", metrics.f1_score, True),
        ]:
            number = score(truth == label, guess == label, pos_label=positive)
            assert value(table, metric, label) == pytest.approx(number), (metric, label)
        if k > 2:
            number = metrics.roc_auc_score(truth == label, p[:, names.index(label)])
            assert value(table, "roc_auc", label) == pytest.approx(number)
    assert (table["lower"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["upper"]).all()


def test_scikit_learns_brier_agrees():
    truth, guess, p, names = problem(k=2)
    expected = metrics.brier_score_loss(truth == names[1], p[:, 1])
    table = evaluate_classes(truth, guess, p, names, resamples=0)
    assert value(table, "brier") == pytest.approx(expected)


def test_weighted_kappa_agrees_with_scikit_learn():
    truth, guess, p, names = problem(k=5)
    table = evaluate_classes(truth, guess, p, names, ordered=True, resamples=50)
    expected = metrics.cohen_kappa_score(truth, guess, labels=names, weights="quadratic")
    assert value(table, "weighted_kappa") == pytest.approx(expected)
    ranks = [[names.index(label) for label in some] for some in (truth, guess)]
    expected = metrics.mean_absolute_error(*ranks)
    assert value(table, "mean_rank_error") == pytest.approx(expected)
    assert "kappa" not in set(table["metric"])


def test_confusion_agrees_with_scikit_learn():
    truth, guess, _, names = problem()
    table = confusion(truth, guess, names)
    np.testing.assert_array_equal(table, metrics.confusion_matrix(truth, guess, labels=names))
    assert list(table.index) == list(table.columns) == names
    assert (table.index.name, table.columns.name) == ("truth", "predicted")


def test_wilson_agrees_with_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for n in (1, 7, 100, 10_000):
        counts = np.unique(np.linspace(0, n, 9).astype(int))
        for level in (0.5, 0.95, 0.999):
            expected = proportion.proportion_confint(counts, n, alpha=1 - level, method="wilson")
            np.testing.assert_allclose(wilson(counts, n, level), expected, atol=1e-12)
    assert [float(end) for end in wilson(0, 5)][0] == 0 and float(wilson(5, 5)[1]) == 1
    assert np.isnan(wilson(0, 0)).all()


def test_mean_interval_agrees_with_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    truth, guess, p, names = problem()
    own = p[np.arange(len(p)), [names.index(t) for t in truth]]
    expected = weightstats.DescrStatsW(-np.log(own)).zconfint_mean(alpha=0.1)
    table = evaluate_classes(truth, guess, p, names, level=0.9, resamples=0)
    found = [value(table, "log_loss", column=end) for end in ("lower", "upper")]
    assert found == pytest.approx(expected)


def test_bootstrap_agrees_with_resampling_images():
    truth, guess, _, names = problem(n=150, k=3)
    codes = (np.array([names.index(label) for label in some]) for some in (truth, guess))
    sample = Bootstrap(150, 4000, 1).samples(Confusions(*codes, 3).of_whole)
    fast = [sample[metric] for metric in ("balanced_accuracy", "macro_f1", "kappa")]
    rng = np.random.default_rng(2)
    slow = []
    for _ in range(400):
        at = rng.integers(150, size=150)
        t, g = truth[at], guess[at]
        slow.append(
            (
                metrics.balanced_accuracy_score(t, g),
                metrics.f1_score(t, g, average="macro"),
                metrics.cohen_kappa_score(t, g),
            )
        )
    for one, other in zip(fast, np.array(slow).T, strict=True):
        assert one.mean() == pytest.approx(other.mean(), abs=0.01)
        assert one.std() == pytest.approx(other.std(), rel=0.15)


def test_wilson_covers():
    rng = np.random.default_rng(3)
    for rate, n in [(0.5, 30), (0.9, 100), (0.99, 300)]:
        lower, upper = wilson(rng.binomial(n, rate, size=2000), np.full(2000, n))
        assert 0.925 < np.mean((lower <= rate) & (rate <= upper)) < 0.985


def planted(accuracy, k=3):
    """Give a population: shares of a confusion matrix."""
    row = np.arange(1, k + 1) / (k * (k + 1) / 2)
    return row[:, None] * (accuracy * np.eye(k) + (1 - accuracy) * (1 - np.eye(k)) / (k - 1))


def test_the_bootstrap_of_kappa_covers():
    share = planted(0.8)
    chance = share.sum(axis=1) @ share.sum(axis=0)
    kappa = (np.trace(share) - chance) / (1 - chance)
    rng = np.random.default_rng(4)
    inside = 0
    for seed, matrix in enumerate(rng.multinomial(200, share.ravel(), size=500)):
        cell = np.repeat(np.arange(9), matrix)
        judged = Confusions(cell // 3, cell % 3, 3)
        sample = Bootstrap(200, 300, seed).samples(judged.of_whole)["kappa"]
        lower, upper = percentiles(sample, 0.95)
        inside += lower <= kappa <= upper
    assert 0.92 < inside / 500 < 0.98


def test_the_interval_of_f1_covers_where_errors_are_rare():
    share = planted(0.97)
    f1 = 2 * share[0, 0] / (share[0].sum() + share[:, 0].sum())
    m = np.random.default_rng(5).multinomial(200, share.ravel(), size=2000).reshape(-1, 3, 3)
    tp, both = m[:, 0, 0], m[:, 0].sum(axis=1) + m[:, :, 0].sum(axis=1)
    lower, upper = (2 * end / (1 + end) for end in wilson(tp, both - tp))
    assert 0.925 < np.mean((lower <= f1) & (f1 <= upper)) < 0.985


def test_same_seed_same_table():
    truth, guess, p, names = problem(k=3)
    one, two, other = (
        evaluate_classes(truth, guess, p, names, resamples=50, seed=s) for s in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


def test_a_wider_level_gives_a_wider_interval():
    truth, guess, p, names = problem(k=3)
    narrow, wide = (evaluate_classes(truth, guess, p, names, level=level) for level in (0.5, 0.99))
    assert (wide["upper"] - wide["lower"] > narrow["upper"] - narrow["lower"]).all()


def test_a_class_that_is_nowhere():
    table = evaluate_classes(["a", "b", "b"], ["a", "b", "a"], None, ["a", "b", "c"])
    rows = table[table["class"] == "c"].set_index("metric")
    for metric in ("sensitivity", "precision", "f1"):
        assert rows.loc[metric, "n"] == 0
        assert rows.loc[metric, ["estimate", "lower", "upper"]].isna().all()
    assert rows.loc["specificity", "n"] == 3 and rows.loc["specificity", "estimate"] == 1
    assert value(table, "balanced_accuracy") == 0.75
    assert value(table, "macro_f1") == pytest.approx(2 / 3)


def test_a_probability_of_zero_is_clipped_as_in_scikit_learn():
    p = np.array([[0.0, 1.0], [0.25, 0.75], [1.0, 0.0]])
    truth = ["a", "b", "a"]
    table = evaluate_classes(truth, ["b", "b", "a"], p, ["a", "b"])
    assert value(table, "log_loss") == pytest.approx(metrics.log_loss(truth, p))
    assert value(table, "log_loss") > 12


def test_all_right_still_has_an_interval():
    truth = ["a"] * 30 + ["b"] * 10
    table = evaluate_classes(truth, truth, None, ["a", "b"])
    lower = float(wilson(40, 40)[0])
    for metric in ("balanced_accuracy", "macro_f1"):
        assert value(table, metric, column="lower") == pytest.approx(lower)
        assert value(table, metric, column="method") == "Wilson, of accuracy"
    assert value(table, "kappa", column="lower") == pytest.approx(1 - (1 - lower) / 0.375)
    assert (table["upper"] == 1).all()
    wrong = evaluate_classes(["a", "b"], ["b", "a"], None, ["a", "b"])
    assert value(wrong, "macro_f1", column="upper") == pytest.approx(float(wilson(0, 2)[1]))


def test_nothing_and_one():
    empty = evaluate_classes([], [], np.zeros((0, 2)), ["a", "b"])
    assert (empty["n"] == 0).all() and empty["estimate"].isna().all()
    single = evaluate_classes(["a"], ["a"], np.array([[0.5, 0.5]]), ["a", "b"])
    assert value(single, "accuracy") == 1 and np.isnan(value(single, "kappa"))
    assert np.isnan(value(single, "log_loss", column="lower"))
    only = evaluate_classes(["a", "a"], ["a", "a"], None, ["a"])
    assert np.isnan(value(only, "specificity", "a"))


def test_ties_go_to_the_earlier_class():
    names = list("abcdefg")
    table = evaluate_classes(names, ["a"] * 7, np.full((7, 7), 1 / 7), names, resamples=0)
    assert value(table, "top_5_accuracy") == pytest.approx(5 / 7)


def test_labels_may_be_anything():
    for names in ([3, 1], [("x", 1), ("y", 2)], [True, False], pd.Index(["u", "v"])):
        names = list(names)
        truth = [names[0], names[1], names[1]]
        table = evaluate_classes(truth, truth, None, names, resamples=0)
        assert set(table["class"].dropna()) == {str(name) for name in names}
        assert confusion(truth, truth, names).to_numpy().tolist() == [[1, 0], [0, 2]]
    series = pd.Series(["v", "u"], dtype="category")
    assert confusion(series, pd.Categorical(["v", "v"]), ["u", "v"]).to_numpy().sum() == 2


def test_a_thousand_classes_fit():
    rng = np.random.default_rng(6)
    truth = rng.integers(1000, size=5000)
    guess = np.where(rng.random(5000) < 0.7, truth, rng.integers(1000, size=5000))
    table = evaluate_classes(truth, guess, None, range(1000), resamples=200)
    assert value(table, "kappa", column="lower") < value(table, "kappa")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": ["a", "x", "x"]}, r"truth has the label 'x' \(2 times\).*'a', 'b'"),
        ({"truth": ["a", None, "b"]}, "label None"),
        ({"truth": ["a", float("nan"), "b"]}, "label nan"),
        ({"predicted": ["a", "b", "c"]}, "predicted has the label 'c'"),
        ({"predicted": ["a", "b"]}, "truth has 3 labels and predicted 2"),
        ({"predicted": [["a"], ["b"], ["b"]]}, "plain sequence of labels"),
        ({"probabilities": np.full((3, 3), 1 / 3)}, r"shape \(3, 3\); they need 3 rows"),
        ({"probabilities": np.ones((3, 2))}, "sum to 1"),
        ({"probabilities": np.array([[0.5, 0.5], [0.5, 0.5], [np.nan, 1]])}, "sum to 1"),
        ({"probabilities": np.array([[0.5, 0.5], [0.5, 0.5], [-1, 2]])}, "from 0 to 1"),
        ({"classes": ["a", "b", "a"]}, "each class once"),
        ({"classes": []}, "at least one"),
        ({"level": 95}, "level is 95"),
        ({"resamples": -1}, "resamples is -1"),
        ({"groups": ["p", "q"]}, "groups has 2 labels for 3 images"),
        ({"groups": ["p", None, "q"]}, "no label in 1 rows, the first at place 1"),
        ({"groups": [["p"], ["q"], ["q"]]}, "groups must be a plain sequence"),
    ],
)
def test_bad_input(change, message):
    good = {
        "truth": ["a", "b", "b"],
        "predicted": ["a", "b", "a"],
        "probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        "classes": ["a", "b"],
    }
    evaluate_classes(**good)
    with pytest.raises(InputError, match=message):
        evaluate_classes(**good | change)
