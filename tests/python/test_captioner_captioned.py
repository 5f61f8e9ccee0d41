"""Captions as training sees them: gathered, coded, cut into buckets, and weighted by reward."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from diglot.captioner.captioned import (
    Captioned,
    Groups,
    bucket_bounds,
    caption_lists,
    codes,
    gather,
)
from diglot.captioner.task import LikelihoodTask, Recipe, _weighted, advantages
from diglot.captions.vocabulary import BEGIN, END, UNKNOWN, Vocabulary
from diglot.errors import InputError

# ------------------------------------------------------------------------------ texts by row


@pytest.mark.parametrize(
    "given",
    [
        ["a cat", "a dog"],
        [["a cat"], ["a dog"]],
        (("a cat",), "a dog"),
        np.array(["a cat", "a dog"]),
        pd.Series(["a cat", "a dog"], index=[7, 3]),
        pd.Series([["a cat"], np.array(["a dog"])]),
        iter(["a cat", "a dog"]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_captions_come_in_many_forms(given):
    assert caption_lists(given, 2) == [["a cat"], ["a dog"]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "row 2 has no caption"),
        (None, "row 2 has no caption"),
        ([None], "row 2 has no caption"),
        (["a cat", None], "row 2"),
        (np.nan, "row 2 has no caption"),
        (["a cat", np.nan], "row 2 has no caption"),
        (pd.NA, "row 2 has no caption"),
        ("", "row 2 has no word: ''"),
        ("  \t", "row 2 has no word"),
        ("...!", r"row 2 has no word: '\.\.\.!'"),
        (["a cat", "?"], "row 2 has no word"),
        (pd.NaT, "row 2 has no caption"),
        (3, "row 2 must be text, not 3"),
        (b"a cat", "row 2 must be text"),
        ({"raw": "a cat"}, "row 2 must be text"),
        ([["a cat"], ["a dog"]], "row 2 must be text"),
        ([np.array(["a cat", "a dog"])], "row 2 must be text"),
    ],
    ids=str,
)
def test_a_row_without_a_caption_is_named(row, words):
    with pytest.raises(InputError, match=words):
        caption_lists(["a dog", row, "a cow"], 3)


@pytest.mark.parametrize("given", [None, "a cat", b"a cat", 3, {"a": "b"}], ids=str)
def test_what_is_no_list_of_captions_is_refused(given):
    with pytest.raises(InputError, match="captions must be a sequence"):
        caption_lists(given, 1)


def test_lengths_that_differ_are_told():
    with pytest.raises(InputError, match="3 images and 2 entries of references"):
        caption_lists(["a", "b"], 3, "reference")


# ------------------------------------------------------------------------------ gathered


def test_rows_of_one_image_come_together_in_an_order_of_their_own():
    rows = [(b"k2", ["b", "a"]), (b"k1", ["c"]), (b"k2", ["a"]), (b"k3", ["d"])]
    found, digest = gather(*zip(*rows, strict=True))
    assert found.texts == [["c"], ["a", "a", "b"], ["d"]]
    assert found.places.tolist() == [1, 0, 3]
    turned, same = gather(*zip(*rows[::-1], strict=True))
    assert turned.texts == found.texts
    assert turned.places.tolist() == [2, 1, 0]
    assert same == digest
    for other in ([*rows, (b"k3", ["d"])], [(b"k0", ["b", "a"]), *rows[1:]], rows[1:]):
        assert gather(*zip(*other, strict=True))[1] != digest
    assert found.take(np.array([2, 0])).texts == [["d"], ["c"]]
    assert len(found) == 3


def test_texts_that_only_seem_the_same_have_other_digests():
    one = gather([b"k"], [["a\nb"]])[1]
    two = gather([b"k"], [["a", "b"]])[1]
    assert one != two


# ------------------------------------------------------------------------------ coded


def test_captions_are_coded_and_cut():
    vocabulary = Vocabulary(("a", "cat", "dog"))
    captioned = Captioned(np.array([0]), [["A cat, a DOG!", "a bird"]])
    coded = codes(captioned, vocabulary)
    assert [ids.tolist() for ids in coded[0]] == [[4, 5, 4, 6], [4, UNKNOWN]]
    cut = codes(captioned, vocabulary, 3)
    assert [ids.tolist() for ids in cut[0]] == [[4, 5, 4], [4, UNKNOWN]]


def test_captions_of_unknown_words_only_are_left_out_with_a_warning():
    vocabulary = Vocabulary(("a", "cat"))
    captioned = Captioned(np.array([4]), [["a cat", "big birds"]])
    with pytest.warns(UserWarning, match=r"1 caption.*'big birds'.*min_count and max_words"):
        coded = codes(captioned, vocabulary)
    assert [ids.tolist() for ids in coded[0]] == [[4, 5]]
    with pytest.raises(InputError, match=r"row 5 are of unknown words only \('big birds'\)"):
        codes(Captioned(np.array([4]), [["big birds"]]), vocabulary)
    judged = codes(Captioned(np.array([4]), [["big birds"]]), vocabulary, judged=True)
    assert [ids.tolist() for ids in judged[0]] == [[UNKNOWN, UNKNOWN]]


# ------------------------------------------------------------------------------ groups


def sizes_of(groups):
    return [[len(ids) for ids in captions] for captions in groups.captions]


def some_captions(*lengths):
    return [np.arange(4, 4 + n) for n in lengths]


def test_captions_of_similar_length_go_together():
    groups = Groups.of([some_captions(9, 2, 8, 3, 7, 2), some_captions(5)], 3)
    assert groups.images.tolist() == [0, 0, 1]
    assert sizes_of(groups) == [[2, 2, 3], [7, 8, 9], [5]]
    assert groups.lengths.tolist() == [4, 10, 6]
    assert groups.words.tolist() == [10, 27, 6]
    assert (len(groups), groups.width) == (3, 3)
    # As even as can be: no group of one beside a full one.
    assert sizes_of(Groups.of([some_captions(1, 2, 3, 4)], 3)) == [[1, 2], [3, 4]]


def test_arrays_say_word_by_word_what_comes_next():
    groups = Groups.of([[np.array([5, 7]), np.array([6])], [np.array([8, 4, 9])]], 2)
    arrays = groups.arrays(np.array([1, 0]), 5)
    assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == {
        n: ((2, 2, 5), np.float32) for n in ("tokens", "target", "weight")
    }
    share = 1 / 4.5  # groups of 4 and 5 words, ends included
    for row, column, ids in ((0, 0, [8, 4, 9]), (1, 0, [6]), (1, 1, [5, 7])):
        count = len(ids) + 1
        assert arrays["tokens"][row, column, :count].tolist() == [BEGIN, *ids]
        assert arrays["target"][row, column, :count].tolist() == [*ids, END]
        assert arrays["weight"][row, column, :count] == pytest.approx(share)
        assert not arrays["weight"][row, column, count:].any()
    assert not arrays["weight"][0, 1].any()
    assert groups.weight_of(np.array([1, 0])) == pytest.approx(arrays["weight"].sum()) == 2


def test_a_caption_may_fill_its_bucket():
    arrays = Groups.of([[np.array([5, 6, 7])]], 1).arrays(np.array([0]), 4)
    assert arrays["tokens"][0, 0].tolist() == [BEGIN, 5, 6, 7]
    assert arrays["target"][0, 0].tolist() == [5, 6, 7, END]


# ------------------------------------------------------------------------------ buckets


def filled(lengths, bounds):
    return sum(min(b for b in bounds if b >= n) for n in lengths)


def test_bounds_are_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(60):
        lengths = rng.integers(1, 14, rng.integers(1, 30))
        most = int(rng.integers(1, 5))
        bounds = bucket_bounds(lengths, most)
        values = np.unique(lengths).tolist()
        every = [
            (*chosen, values[-1])
            for count in range(most)
            for chosen in combinations(values[:-1], count)
        ]
        assert filled(lengths, bounds) == min(filled(lengths, b) for b in every)
        assert bounds == sorted(set(bounds))
        assert len(bounds) <= most
        assert bounds[-1] == max(lengths)


class NoImages:
    """A feed whose images are their numbers."""

    name = "data"

    def batches(self, rows, epoch=0):
        return enumerate(np.asarray(mine, np.float32) for mine in rows)

    def seen(self, data):
        return data


def coco_like(images=3000, seed=0):
    """Lengths as in COCO's captions: 10.5 words on average, skewed, from 6 to about 50."""
    rng = np.random.default_rng(seed)
    lengths = 7 + rng.gamma(2.0, 1.75, (images, 5))
    return [[np.full(n, 4) for n in row] for row in np.minimum(lengths, 50).astype(int)]


@pytest.mark.parametrize("mixed", [False, True])
def test_every_group_comes_once_an_epoch_and_padding_stays_low(mixed):
    groups = Groups.of(coco_like(), 5)
    task = LikelihoodTask(NoImages(), groups, Recipe(32, 1), mixed=mixed)
    room = words = 0
    seen = []
    for batch in task.batches(0, 0):
        room += batch["tokens"].size
        words += (batch["weight"] > 0).sum()
        seen += batch["data"].tolist()
        assert 1 <= len(batch["data"]) <= 32
    assert words == groups.words.sum()
    assert sorted(seen) == sorted(groups.images.tolist())
    assert task.padding() == pytest.approx(1 - words / room)
    # Filling all up to the longest would waste two thirds. The longest of an image's five captions
    # decides in a bucket, that of a whole batch where buckets are mixed.
    assert 1 - words / (len(groups) * 5 * groups.lengths.max()) > 0.6
    assert task.padding() < (0.55 if mixed else 0.27)
    assert task.steps == len(list(task.batches(0, 0)))
    assert task.weight_of(task.steps, 0) == pytest.approx(len(groups))


def test_an_epoch_goes_on_where_it_was_left():
    task = LikelihoodTask(NoImages(), Groups.of(coco_like(200), 5), Recipe(16, 1))
    whole, rest = list(task.batches(3, 0)), list(task.batches(3, 7))
    assert len(rest) == len(whole) - 7
    for one, other in zip(whole[7:], rest, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    sums = np.cumsum([batch["weight"].sum() for batch in whole])
    assert task.weight_of(7, 3) == pytest.approx(sums[6], rel=1e-5)
    orders = {tuple(b["data"].tolist()) for epoch in (3, 4) for b in task.batches(epoch, 0)}
    assert len(orders) > len(whole)  # each epoch has an order of its own


# ------------------------------------------------------------------------------ rewards


def test_an_advantage_is_over_the_mean_of_the_others():
    rewards = np.random.default_rng(0).random((4, 5))
    found = advantages(rewards)
    for row, column in np.ndindex(4, 5):
        others = np.delete(rewards[row], column).mean()
        assert found[row, column] == pytest.approx(rewards[row, column] - others)
    assert np.allclose(found.sum(axis=1), 0)
    assert not advantages(np.ones((2, 3))).any()


def test_each_word_of_a_sample_has_its_captions_weight():
    captions = [[(5, 6, END), (7,)], [(8, 9, 4, 5), (6, END)]]
    weights = np.array([[0.5, -0.5], [2.0, -2.0]])
    arrays = _weighted(captions, weights, 6)
    assert arrays["tokens"].shape == (2, 2, 4)
    for row, column in np.ndindex(2, 2):
        ids = captions[row][column]
        count = len(ids)
        assert arrays["tokens"][row, column, :count].tolist() == [BEGIN, *ids[:-1]]
        assert arrays["target"][row, column, :count].tolist() == list(ids)
        assert (arrays["weight"][row, column, :count] == weights[row, column] / 2).all()
        assert not arrays["weight"][row, column, count:].any()
    assert _weighted([[(4,) * 5, (4,)]], weights[:1], 6)["tokens"].shape[-1] == 6  # not 8
