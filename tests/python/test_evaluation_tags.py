"""Tags against scikit-learn, and their bootstrap against resampling image by image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from diglot.errors import InputError
from diglot.evaluation import evaluate_tags
from diglot.evaluation.bootstrap import Bootstrap
from diglot.evaluation.tags import Tags

NAMES = ["sky", "dog", "tree"]


def tagged(n=150, seed=0, digits=2):
    """Give three tags of unequal frequency, and probabilities with ties."""
    rng = np.random.default_rng(seed)
    has = rng.random((n, 3)) < [0.6, 0.2, 0.4]
    p = 1 / (1 + np.exp(-(rng.normal(size=(n, 3)) + 1.5 * has - 1)))
    return has, p.round(digits)


def test_estimates_agree_with_scikit_learn():
    has, p = tagged()
    limits = [0.5, 0.3, 0.6]
    given = p >= limits
    table = evaluate_tags(has, p, NAMES, limits, resamples=20)
    whole = table[table["class"].isna()].set_index("metric")["estimate"]
    expected = {
        "subset_accuracy": metrics.accuracy_score(has, given),
        "hamming_loss": metrics.hamming_loss(has, given),
        "micro_f1": metrics.f1_score(has, given, average="micro"),
        "macro_f1": metrics.f1_score(has, given, average="macro"),
        "mean_average_precision": metrics.average_precision_score(has, p),
    }
    assert whole.to_dict() == pytest.approx(expected)
    for t, tag in enumerate(NAMES):
        rows = table[table["class"] == tag].set_index("metric")["estimate"]
        assert rows.to_dict() == pytest.approx(
            {
                "sensitivity": metrics.recall_score(has[:, t], given[:, t]),
                "specificity": metrics.recall_score(has[:, t], given[:, t], pos_label=False),
                "precision": metrics.precision_score(has[:, t], given[:, t]),
                "f1": metrics.f1_score(has[:, t], given[:, t]),
                "average_precision": metrics.average_precision_score(has[:, t], p[:, t]),
                "roc_auc": metrics.roc_auc_score(has[:, t], p[:, t]),
            }
        )
    assert (table["lower"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["upper"]).all()


@pytest.mark.parametrize("groups", [None, np.arange(150) // 4])
def test_samples_are_what_scikit_learn_says_of_their_images(groups):
    has, p = tagged()
    given, draws = p >= 0.5, Bootstrap(150, 15, 2, groups)
    samples = draws.samples(Tags(has, given, p).metrics)
    for row, times in enumerate(np.concatenate(list(draws.times()))):
        at = np.repeat(np.arange(150), times.astype(int))
        truth, called, score = has[at], given[at], p[at]
        for metric, number in [
            ("micro_f1", metrics.f1_score(truth, called, average="micro")),
            ("macro_f1", metrics.f1_score(truth, called, average="macro")),
            ("hamming_loss", metrics.hamming_loss(truth, called)),
            ("subset_accuracy", metrics.accuracy_score(truth, called)),
            ("average_precision", metrics.average_precision_score(truth, score, average=None)),
            ("sensitivity", metrics.recall_score(truth, called, average=None)),
            ("precision", metrics.precision_score(truth, called, average=None)),
        ]:
            np.testing.assert_allclose(samples[metric][row], number, err_msg=metric)


def test_the_interval_of_average_precision_covers():
    has, p = tagged(200_000, seed=1, digits=3)
    population = metrics.average_precision_score(has[:, 2], p[:, 2])
    inside = 0
    for seed in range(200):
        table = evaluate_tags(*tagged(300, seed + 2, digits=3), NAMES, resamples=200, seed=seed)
        row = table[(table["metric"] == "average_precision") & (table["class"] == "tree")].iloc[0]
        inside += row["lower"] <= population <= row["upper"]
    assert 0.9 < inside / 200 < 0.99


def test_a_tag_that_no_image_has():
    has, p = tagged()
    has[:, 1] = False
    table = evaluate_tags(has, p, NAMES, 1.0).set_index(["metric", "class"])
    for metric in ("sensitivity", "average_precision", "roc_auc", "f1"):
        row = table.loc[(metric, "dog")]
        assert row["n"] == 0 and np.isnan(row["estimate"]) and np.isnan(row["lower"])


def test_all_right_still_has_an_interval():
    has = tagged(40)[0]
    table = evaluate_tags(has, has * 0.9, NAMES)
    rows = table[table["class"].isna()].set_index("metric")
    for metric in ("subset_accuracy", "micro_f1", "macro_f1"):
        assert rows.loc[metric, "lower"] < 1 == rows.loc[metric, "estimate"]
    assert rows.loc["hamming_loss", "upper"] == pytest.approx(
        1 - rows.loc["subset_accuracy", "lower"]
    )


def test_no_image():
    table = evaluate_tags(np.zeros((0, 3), bool), np.zeros((0, 3)), NAMES)
    assert (table["n"] == 0).all() and table["estimate"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": [[1, 0]]}, r"truth has shape \(1, 2\) and probabilities \(2, 2\)"),
        ({"truth": [[1, 2], [0, 1]]}, "True or False"),
        ({"probabilities": [[0.5, 1.5], [0, 1]]}, "from 0 to 1"),
        ({"probabilities": [[0.5, np.nan], [0, 1]]}, "from 0 to 1"),
        ({"thresholds": [0.1, 0.2, 0.3]}, "or 2 of them"),
        ({"thresholds": 2}, "thresholds must be a number"),
        ({"tags": ["a", "a"]}, "each class once"),
        ({"groups": ["p"]}, "1 labels for 2 images"),
    ],
)
def test_bad_input(change, message):
    good = {
        "truth": [[1, 0], [0, 1]],
        "probabilities": [[0.5, 0.2], [0.1, 1.0]],
        "tags": ["a", "b"],
    }
    evaluate_tags(**good)
    with pytest.raises(InputError, match=message):
        evaluate_tags(**good | change)
