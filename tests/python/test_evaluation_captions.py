"""Caption metrics against pycocoevalcap, intervals against SciPy and against planted truth."""

from __future__ import annotations

import itertools
import random
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diglot.captions import END
from diglot.errors import DiglotError, InputError, MissingPackageError
from diglot.evaluation import (
    CiderD,
    bleu_scores,
    bleu_statistics,
    captions,
    evaluate_captions,
    meteor,
    meteor_available,
    meteor_score,
    meteor_statistics,
    rouge_l,
)
from diglot.evaluation.bootstrap import Bootstrap

METRICS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"]
needs_meteor = pytest.mark.skipif(not meteor_available(), reason="needs Java and pycocoevalcap")


def sentence(rng, words, least, most):
    """Give some words, the first of them often, so that n-grams repeat."""
    return [f"w{min(int(rng.paretovariate(1)), words)}" for _ in range(rng.randint(least, most))]


def problem(seed, n=12, words=30, least=0, most=15):
    rng = random.Random(seed)
    candidates = [sentence(rng, words, least, most) for _ in range(n)]
    references = [
        [sentence(rng, words, 1, rng.choice([1, most])) for _ in range(rng.randint(1, 6))]
        for _ in range(n)
    ]
    return candidates, references


def as_coco(candidates, references):
    """Give the two dictionaries that pycocoevalcap takes: references, then results."""
    given = {i: [" ".join(tokens) for tokens in group] for i, group in enumerate(references)}
    return given, {i: [" ".join(tokens)] for i, tokens in enumerate(candidates)}


def check_against_pycocoevalcap(candidates, references):
    oracle = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu()
    pair = as_coco(candidates, references)
    whole, each = oracle.compute_score(*pair, verbose=0)
    table = bleu_statistics(candidates, references)
    np.testing.assert_allclose(bleu_scores(table.sum(axis=0)), whole, atol=1e-9)
    np.testing.assert_allclose(bleu_scores(table), np.transpose(each), atol=1e-9)

    oracle = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    _, each = oracle.compute_score(*pair)
    np.testing.assert_allclose(rouge_l(candidates, references), each, atol=1e-9)

    oracle = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    _, each = oracle.compute_score(*pair)
    found = CiderD(references).score(range(len(candidates)), candidates)
    np.testing.assert_allclose(found, each, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_pycocoevalcaps(seed):
    sizes = itertools.product([1, 2, 12], [2, 5, 30], [1, 6, 20])
    n, words, most = list(sizes)[seed % 27]
    check_against_pycocoevalcap(*problem(seed, n, words, 0, most))


token = st.sampled_from(["a", "b", "c", "dd"])
group = st.lists(st.lists(token, min_size=1, max_size=9), min_size=1, max_size=3)


@given(st.lists(st.tuples(st.lists(token, max_size=9), group), min_size=1, max_size=5))
def test_scores_are_pycocoevalcaps_on_odd_texts(images):
    check_against_pycocoevalcap(*(list(part) for part in zip(*images, strict=True)))


def test_an_empty_candidate_scores_nothing():
    references = [[["a", "b", "c", "d", "e"]], [["f"]]]
    assert rouge_l([[], []], references).tolist() == [0, 0]
    assert CiderD(references).score([0, 1], [[], []]).tolist() == [0, 0]
    assert bleu_scores(bleu_statistics([[], []], references).sum(axis=0)).max() < 1e-6


def test_the_closest_length_is_the_shorter_of_two():
    table = bleu_statistics([["a"] * 4], [[["a"] * 6, ["a"] * 5, ["a"] * 3]])
    assert table[0, -2:].tolist() == [4, 3]


def test_cider_scores_any_rows_in_any_order():
    candidates, references = problem(1, n=20)
    cider = CiderD(references)
    whole = cider.score(range(20), candidates)
    rows = [7, 3, 3, 19, 0, 7]
    found = cider.score(rows, [candidates[row] for row in rows])
    np.testing.assert_allclose(found, whole[rows], atol=1e-12)
    assert cider.score([], []).shape == (0,)
    # Words that no reference has differ from each other, and count the more often they occur.
    cider = CiderD([[["a", "b"]], [["c", "d"]]])
    strange = cider.score([0, 0], [["a", "x", "y"], ["a", "x", "x"]])
    assert strange[0] > strange[1] > 0


def test_cider_takes_ids_as_well_as_words():
    candidates, references = problem(2)
    ids = {}

    def code(tokens):
        return [ids.setdefault(word, len(ids) + 4) for word in tokens]

    coded = [[code(tokens) for tokens in group] for group in references]
    found = CiderD(coded).score(range(12), [code(tokens) for tokens in candidates])
    expected = CiderD(references).score(range(12), candidates)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_end_is_a_token_like_others():
    candidates, references = problem(3, least=1)
    ended = [[[*tokens, END] for tokens in group] for group in references]
    finished = [[*tokens, END] for tokens in candidates]
    expected = CiderD(ended).score(range(12), finished)
    cider = CiderD(references, end=True)
    np.testing.assert_allclose(cider.score(range(12), finished), expected)
    # A caption that stops in mid-sentence does not get the reward of one that ends.
    full = [[5, 6, 7, 8], [5, 9, 6, 10]]
    cider = CiderD([[tokens] for tokens in full], end=True)
    assert (cider.score([0, 1], full) < cider.score([0, 1], [[*t, END] for t in full])).all()


def test_cider_is_quick():
    rng = random.Random(4)
    references = [[sentence(rng, 3000, 12, 12) for _ in range(5)] for _ in range(1000)]
    candidates = [sentence(rng, 3000, 12, 12) for _ in range(3000)]
    cider = CiderD(references)
    rows = [rng.randrange(1000) for _ in candidates]
    start = time.perf_counter()
    cider.score(rows, candidates)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CiderD([]), "image 1 has none"),
        (lambda: CiderD([[["a"]], []]), "image 2 has none"),
        (lambda: CiderD([[["a"]]]).score([0], []), "1 rows for 0 candidates"),
        (lambda: CiderD([[["a"]]]).score([1], [["a"]]), "from 0 to 0"),
        (lambda: CiderD([[["a"]]]).score([-1], [["a"]]), "from 0 to 0"),
    ],
)
def test_bad_input_of_cider(call, message):
    with pytest.raises(InputError, match=message):
        call()


def texts(seed, n=40, least=0):
    candidates, references = problem(seed, n, least=least)
    # Capitals and full stops, which make no difference.
    return (
        [" ".join(tokens).capitalize() for tokens in candidates],
        [[" ".join(tokens) + "." for tokens in group] for group in references],
        candidates,
        references,
    )


def test_the_table():
    given, known, candidates, references = texts(5)
    table = evaluate_captions(given, known, meteor=False)
    assert list(table.columns) == ["metric", "estimate", "lower", "upper", "method", "n"]
    assert table["metric"].tolist() == METRICS
    expected = [
        *bleu_scores(bleu_statistics(candidates, references).sum(axis=0)),
        rouge_l(candidates, references).mean(),
        CiderD(references).score(range(40), candidates).mean(),
    ]
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-12)
    assert (table["lower"] < table["estimate"]).all()
    assert (table["estimate"] < table["upper"]).all()
    assert set(table["n"]) == {40}
    assert set(table["method"]) == {"bootstrap BCa, 1000 resamples of images"}


def test_same_seed_same_table():
    given, known, *_ = texts(6)
    one, two, other = (
        evaluate_captions(given, known, seed=seed, resamples=50, meteor=False) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


def test_a_wider_level_gives_a_wider_interval():
    given, known, *_ = texts(7)
    narrow, wide = (
        evaluate_captions(given, known, level=level, meteor=False) for level in (0.5, 0.99)
    )
    assert (wide["upper"] - wide["lower"] > narrow["upper"] - narrow["lower"]).all()


def test_the_interval_is_scipys():
    """SciPy resamples the images, too, and scores each sample anew."""
    _, _, candidates, references = texts(8, n=60)
    table = bleu_statistics(candidates, references)
    rows = np.arange(60)
    resamples = 4000
    for column in (0, 3):
        expected = stats.bootstrap(
            (rows,),
            lambda at, axis, k=column: bleu_scores(table[at].sum(axis=-2))[..., k],
            n_resamples=resamples,
            method="BCa",
            rng=np.random.default_rng(1),
            batch=500,
        ).confidence_interval
        lower, upper = Bootstrap(60, resamples, 1).intervals(table, bleu_scores, 0.95)[column]
        width = expected.high - expected.low
        assert abs(lower - expected.low) < 0.06 * width
        assert abs(upper - expected.high) < 0.06 * width


def test_blocks_make_no_difference():
    """A sample depends on the seed and its number, not on how many fit in memory at once."""
    blocks = list(Bootstrap(300_000, 15, 3).times())
    assert [len(block) for block in blocks] == [6, 6, 3]
    few = list(Bootstrap(300_000, 4, 3).times())[0]
    np.testing.assert_array_equal(blocks[0][:4], few)


def test_intervals_cover():
    """Draw small sets of images from a population, whose own score the intervals must cover."""
    rng = random.Random(10)
    candidates, references = [], []
    for _ in range(3000):
        truth = sentence(rng, 12, 3, 12)
        share = rng.betavariate(1, 2)  # few captions are good: the scores are skewed
        candidates.append([w if rng.random() < share else f"w{rng.randint(1, 12)}" for w in truth])
        references.append([truth, sentence(rng, 12, 3, 12)])
    statistics = bleu_statistics(candidates, references)
    scores = rouge_l(candidates, references)[:, None]
    whole = bleu_scores(statistics.sum(axis=0))
    times, n, inside = 400, 60, np.zeros(3)
    for draw in range(times):
        at = np.random.default_rng(draw).integers(3000, size=n)
        draws = Bootstrap(n, 500, draw)
        ends = [
            *draws.intervals(scores[at], lambda sums: sums / n, 0.95),
            *draws.intervals(statistics[at], bleu_scores, 0.95)[[0, 1]],
        ]
        truths = [scores.mean(), whole[0], whole[1]]
        inside += [low <= truth <= high for (low, high), truth in zip(ends, truths, strict=True)]
    assert ((inside / times > 0.92) & (inside / times < 0.98)).all(), inside / times


def test_where_there_is_nothing_to_resample():
    perfect = evaluate_captions(
        ["a b c d e", "f g h i j"], [["a b c d e"], ["f g h i j"]], meteor=False
    )
    np.testing.assert_allclose(perfect["estimate"], [1, 1, 1, 1, 1, 10])
    np.testing.assert_allclose(perfect["lower"], perfect["estimate"], atol=1e-6)
    single = evaluate_captions(["a dog"], [["a cat"]], meteor=False)
    assert single[["lower", "upper"]].isna().all(axis=None)
    assert single["estimate"].notna().all()
    none = evaluate_captions(["a dog", "b"], [["a cat"], ["b"]], resamples=0, meteor=False)
    assert none[["lower", "upper"]].isna().all(axis=None)
    nothing = evaluate_captions(["", "?!"], [["a cat"], ["b"]], meteor=False)
    assert (nothing["estimate"] < 1e-6).all()


def test_columns_of_a_data_frame_will_do():
    table = pd.DataFrame({"guess": ["a dog", "a cat"], "known": [["a dog"], ("one cat", "cat")]})
    found = evaluate_captions(table["guess"], table["known"], resamples=0, meteor=False)
    assert found["n"].tolist() == [2] * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": ["a"]}, "1 candidates and references of 2 images"),
        ({"candidates": [], "references": []}, "at least one image"),
        ({"candidates": ["a", None]}, "Candidate 2 must be text, not None"),
        ({"candidates": "ab"}, "candidates must have an entry for each image"),
        ({"references": [["a"], []]}, "Row 2 has no references"),
        ({"references": [["a"], None]}, "references of row 2 must be a list"),
        ({"references": [["a"], "b"]}, "references of row 2 must be a list of texts, not 'b'"),
        ({"references": [["a", float("nan")], ["b"]]}, "Reference 2 of row 1 must be text"),
        ({"references": [["a"], ["b", " ."]]}, "Reference 2 of row 2 has no words: ' .'"),
        ({"level": 95}, "level is 95"),
        ({"resamples": -1}, "resamples is -1"),
        ({"resamples": 1.5}, "resamples is 1.5"),
        ({"seed": -1}, "seed must be"),
        ({"meteor": "yes"}, "meteor is 'yes'"),
    ],
)
def test_bad_input(change, message):
    good = {"candidates": ["a", "b"], "references": [["a"], ["b"]], "meteor": False}
    evaluate_captions(**good)
    with pytest.raises(InputError, match=message):
        evaluate_captions(**good | change)


WORDS = "a the dog dogs runs running ran cat big large small red in on park it's t-shirt été 犬 man"


@needs_meteor
def test_meteor_is_pycocoevalcaps(monkeypatch):
    rng = random.Random(11)
    words = WORDS.split()

    def some(least, most):
        return rng.choices(words, k=rng.randint(least, most))

    references = [[some(1, 9) for _ in range(rng.randint(1, 5))] for _ in range(30)]
    candidates = [some(0, 12) for _ in range(26)] + [group[0] for group in references[26:]]
    oracle = pytest.importorskip("pycocoevalcap.meteor.meteor").Meteor()
    try:
        whole, each = oracle.compute_score(*as_coco(candidates, references))
    finally:
        oracle.meteor_p.stdout.close()
        oracle.meteor_p.stderr.close()
    table = meteor_statistics(candidates, references)
    assert meteor_score(table.sum(axis=0)) == pytest.approx(whole, abs=1e-9)
    np.testing.assert_allclose(meteor_score(table), each, atol=1e-9)
    assert each[-1] == 1

    given = [" ".join(tokens) for tokens in candidates]
    known = [[" ".join(tokens) for tokens in group] for group in references]
    # The program takes seconds to start: once is enough.
    monkeypatch.setattr(captions, "meteor_statistics", lambda found, known: table)
    row = evaluate_captions(given, known, meteor=True, resamples=100).iloc[-1]
    assert row["metric"] == "meteor" and row["estimate"] == pytest.approx(whole, abs=1e-9)
    assert row["lower"] < row["estimate"] < row["upper"]


@needs_meteor
def test_hostile_tokens_do_not_break_meteors_protocol():
    hostile = [["a|||b"], ["a\nEVAL"], ["|||"], ["\x00", "\u2028"], ["\ud800 a"], []]
    table = meteor_statistics([*hostile, ["a"]], [*([h or ["a"]] for h in hostile), [["a"]]])
    assert table.shape == (7, 23)
    assert meteor_score(table[-1]) == 1 and meteor_score(table[-2]) == 0


@needs_meteor
def test_meteor_is_ended_when_its_time_is_up():
    with pytest.raises(DiglotError, match="did not finish within 0 s"):
        meteor_statistics([["a"]], [[["a"]]], timeout=0.05)


def test_meteor_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(meteor.shutil, "which", lambda name: None)
    assert not meteor_available()
    with pytest.raises(MissingPackageError, match="needs Java.*install"):
        evaluate_captions(["a"], [["a"]], meteor=True)
    assert "meteor" not in set(evaluate_captions(["a"], [["a"]])["metric"])
    monkeypatch.setattr(meteor.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(meteor, "find_spec", lambda name: None)
    assert not meteor_available()
    with pytest.raises(MissingPackageError, match="pip install 'pycocoevalcap>="):
        evaluate_captions(["a"], [["a"]], meteor=True)


@pytest.mark.parametrize("answer", [b"", b"1.0 2.0\n", b"Error: heap\n", b"1 " * 22 + b"x\n"])
def test_a_program_that_fails_costs_only_its_own_metric(monkeypatch, tmp_path, answer):
    def run(command, **settings):
        assert settings["timeout"] > 0 and not settings.get("shell")
        return subprocess.CompletedProcess(command, 1, answer, b"no memory")

    monkeypatch.setattr(meteor.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(meteor, "_program", lambda: tmp_path / "meteor-1.5.jar")
    monkeypatch.setattr(meteor.subprocess, "run", run)
    with pytest.raises(DiglotError, match=r"failed \(exit status 1\): no memory"):
        evaluate_captions(["a"], [["a"]], meteor=True)
    with pytest.warns(UserWarning, match="METEOR is left out.*no memory"):
        table = evaluate_captions(["a"], [["a"]])
    assert table["metric"].tolist() == METRICS
