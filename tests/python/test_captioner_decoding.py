"""Beam search and sampling against enumeration of all captions of small random models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

from diglot.captioner import choosing
from diglot.captioner.decoding import beam_search, sample
from diglot.captions import BEGIN, END, PAD, UNKNOWN
from diglot.errors import DiglotError, InputError
from diglot.seeds import stream

CELLS = 3


class Model:
    """A decoder by heart: next-word scores of one image for each of its states.

    The state is drawn anew for each word from the state before, so that it depends on all that
    was said, and a beam that goes on from another's state is found out.
    """

    STATES = 1000  # so many that no two captions are equally probable

    def __init__(self, words, seed, spread=2.0, end=0.0):
        rng = stream(seed, "toy")
        scores = rng.normal(size=(self.STATES, words)) * spread
        scores[:, END] += end
        self.words = words
        self.start = int(rng.integers(self.STATES))
        self.moves = rng.integers(self.STATES, size=(self.STATES, words))
        self.log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        self.log_p = self.log_p.astype(np.float32)

    def state(self, said):
        state = self.start
        for word in said:
            state = int(self.moves[state, word])
        return state

    def after(self, said):
        return self.log_p[self.state(said)]

    def looks(self, said):
        """Where the model looks for the word after these: a number that tells them apart."""
        return np.array([self.state(said), len(said), said[-1] if said else -1], np.float32)


class Toy:
    """Runs several models as a Stepper, and checks that it is led as a decoder must be."""

    def __init__(self, models, attention=True):
        self.models, self.words = list(models), models[0].words
        self.attention = attention
        self.steps, self.sizes = 0, []
        self.buffer = None

    def begin(self, beams):
        self.current = list(self.models)
        self.said = [[() for _ in range(beams)] for _ in self.models]
        return len(self.models)

    def step(self, tokens):
        assert tokens.shape == (len(self.current), len(self.said[0]))
        assert np.issubdtype(tokens.dtype, np.integer)
        assert set(tokens.ravel().tolist()) <= set(range(self.words))
        if self.steps == 0:
            assert (tokens == BEGIN).all()
        else:
            self.said = [
                [(*said, int(word)) for said, word in zip(beams, row, strict=True)]
                for beams, row in zip(self.said, tokens, strict=True)
            ]
        self.steps += 1
        self.sizes.append(len(self.current))
        if self.buffer is not None:
            self.buffer[:] = np.nan  # who kept what was returned before loses it
        pairs = list(zip(self.current, self.said, strict=True))
        self.buffer = np.array([[model.after(s) for s in beams] for model, beams in pairs])
        if not self.attention:
            return self.buffer, None
        return self.buffer, np.array([[m.looks(s) for s in beams] for m, beams in pairs])

    def choose(self, parents):
        assert parents.shape == (len(self.current), len(self.said[0]))
        self.said = [
            [beams[parent] for parent in row] for beams, row in zip(self.said, parents, strict=True)
        ]

    def keep(self, images):
        assert list(images) == sorted(set(images)) and len(images) < len(self.current)
        self.current = [self.current[i] for i in images]
        self.said = [self.said[i] for i in images]


@dataclass
class Caption:
    tokens: tuple
    ended: bool
    log_probability: float
    score: float


def score(log_p, length, penalty):
    return log_p / ((5 + length) / 6) ** penalty


def every_caption(model, longest, penalty=1.0):
    """All captions by recursion, best first: those that ended before the others."""
    found = []

    def grow(said, log_p):
        row = model.after(said).astype(float)
        if said:
            total = log_p + row[END]
            found.append(Caption(said, True, total, score(total, len(said) + 1, penalty)))
        for word in range(UNKNOWN + 1, model.words):
            total, now = log_p + row[word], (*said, word)
            if len(now) == longest:
                found.append(Caption(now, False, total, score(total, longest, penalty)))
            else:
                grow(now, total)

    grow((), 0.0)
    return sorted(found, key=lambda caption: (not caption.ended, -caption.score))


def plain_search(model, beams, longest, penalty, n_best):
    """Beam search of one image in lists, that never stops early."""
    running, found = [((), 0.0)], []
    for _ in range(longest):
        grown = []
        for said, log_p in running:
            row = model.after(said).astype(float)
            words = range(UNKNOWN + 1, model.words)
            grown += [(said, w, log_p + row[w]) for w in ([END] if said else []) + list(words)]
        grown.sort(key=lambda item: -item[2])
        running = []
        for said, word, log_p in grown[: beams - len(found)]:
            if word == END:
                value = score(log_p, len(said) + 1, penalty)
                found.append(Caption(said, True, log_p, value))
            else:
                running.append(((*said, word), log_p))
    found += [Caption(s, False, lp, score(lp, len(s), penalty)) for s, lp in running]
    return sorted(found, key=lambda caption: (not caption.ended, -caption.score))[:n_best]


def assert_same(found, expected):
    assert [h.tokens for h in found] == [c.tokens for c in expected]
    assert [h.ended for h in found] == [c.ended for c in expected]
    for name in ("log_probability", "score"):
        values = [[getattr(h, name) for h in group] for group in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-12)


def assert_attention(found, model):
    for h in found:
        looks = [model.looks(h.tokens[:i]) for i in range(len(h.tokens))]
        np.testing.assert_array_equal(h.attention, looks)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize(("words", "longest"), [(6, 6), (7, 5), (9, 3), (6, 1), (5, 4)])
def test_a_wide_beam_finds_the_best_of_all_captions(words, longest, penalty):
    models = [Model(words, seed, end=-1.0) for seed in range(4)]
    every = [every_caption(model, longest, penalty) for model in models]
    n = len(every[0])
    for n_best in (1, 7, n):
        n_best = min(n, n_best)
        toy = Toy(models)
        answers = beam_search(
            toy, beams=n, max_length=longest, length_penalty=penalty, n_best=n_best
        )
        for model, found, expected in zip(models, answers, every, strict=True):
            assert_same(found, expected[:n_best])
            assert_attention(found, model)


def test_more_places_than_captions_change_nothing():
    model = Model(6, 3)
    every = every_caption(model, 4)
    (found,) = beam_search(Toy([model]), beams=80, max_length=4, n_best=70)
    assert len(every) < 70
    assert_same(found, every)
    assert len({h.tokens + (h.ended,) for h in found}) == len(every)


def test_one_beam_is_greedy_search():
    models = [Model(8, seed, end=1.0) for seed in range(40)]
    answers = beam_search(Toy(models), beams=1, max_length=9)
    lengths = set()
    for model, (found,) in zip(models, answers, strict=True):
        said, log_p = (), 0.0
        while len(said) < 9:
            row = model.after(said).astype(float)
            row[[PAD, BEGIN, UNKNOWN] + ([] if said else [END])] = -np.inf
            word = int(row.argmax())
            log_p += row[word]
            if word == END:
                break
            said += (word,)
        assert (found.tokens, found.ended) == (said, len(said) < 9)
        assert found.log_probability == pytest.approx(log_p, rel=1e-12)
        lengths.add(len(said))
    assert len(lengths) > 4


class Written(Model):
    """A model from a table: what was said to the probabilities of what follows."""

    def __init__(self, table, words=7):
        self.words, self.table = words, table

    def after(self, said):
        row = np.full(self.words, -np.inf, np.float32)
        for word, p in self.table.get(said, {END: 1.0}).items():
            row[word] = math.log(p) if p else -np.inf
        return row

    def looks(self, said):
        return np.array([len(said), 0, 0], np.float32)


GARDEN_PATH = {
    (): {4: 0.5, 5: 0.3, 6: 0.2},
    (4,): {4: 0.26, 5: 0.25, 6: 0.25, END: 0.24},
    (5,): {4: 0.05, 5: 0.05, 6: 0.9},
    (6,): {END: 0.4, 4: 0.6},
}


def test_three_beams_see_through_a_garden_path():
    model = Written(GARDEN_PATH)
    ((greedy,),) = beam_search(Toy([model]), beams=1, max_length=5, length_penalty=0)
    ((found,),) = beam_search(Toy([model]), beams=3, max_length=5, length_penalty=0)
    assert greedy.tokens == (4, 4) and greedy.log_probability == pytest.approx(math.log(0.13))
    assert found.tokens == (5, 6) and found.log_probability == pytest.approx(math.log(0.27))


def test_scores_are_those_of_wu_et_al():
    """By hand: two words and the end make a length of 3, and a divisor of 8/6."""
    ((found,),) = beam_search(Toy([Written(GARDEN_PATH)]), beams=3, max_length=5)
    assert found.score == pytest.approx(math.log(0.27) / (8 / 6))


@pytest.mark.parametrize("beams", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("longest", [1, 2, 7])
def test_many_images_at_once_as_one_by_one_without_stopping_early(beams, longest):
    """Images end at different steps, so that some are dropped while others go on."""
    models = [Model(9, seed, end=seed % 5 - 1.0) for seed in range(30)]
    for penalty, n_best in product((0.0, 1.0, 3.0), {1, beams}):
        toy = Toy(models)
        answers = beam_search(
            toy, beams=beams, max_length=longest, length_penalty=penalty, n_best=n_best
        )
        assert len(answers) == 30
        for model, found in zip(models, answers, strict=True):
            assert_same(found, plain_search(model, beams, longest, penalty, n_best))
            assert_attention(found, model)
            assert len(found) == n_best or longest == 1
            (alone,) = beam_search(
                Toy([model]),
                beams=beams,
                max_length=longest,
                length_penalty=penalty,
                n_best=n_best,
            )
            assert alone == found  # to the last bit


def test_images_are_dropped_by_quarters_and_the_search_stops_early():
    models = [Model(9, seed, end=seed % 4 + 1.0) for seed in range(40)]
    toy = Toy(models)
    beam_search(toy, beams=3, max_length=30)
    sizes = sorted(set(toy.sizes), reverse=True)
    assert len(sizes) > 2
    assert all(4 * smaller <= 3 * larger for larger, smaller in pairwise(sizes))
    assert toy.steps < 30
    sure = [Written({(): {4: 1.0}, (4,): {5: 1.0}})] * 3  # each ends after two words
    toy = Toy(sure)
    beam_search(toy, beams=3, max_length=30)
    assert toy.steps == 3


def test_the_search_goes_on_as_long_as_a_longer_caption_may_have_a_better_score():
    """(4) has ln(0.6) / (7/6) = -0.438; seven words and the end, ln(0.4) / (13/6) = -0.423."""
    table = {(): {4: 1.0}, (4,): {END: 0.6, 5: 0.4}}
    table |= {(4,) + (5,) * n: {5: 1.0} for n in range(1, 6)}
    for longest, best, steps in ((8, (4,) + (5,) * 6, 8), (7, (4,), 2)):
        toy = Toy([Written(table)])
        ((found,),) = beam_search(toy, beams=2, max_length=longest)
        assert (found.tokens, found.ended, toy.steps) == (best, True, steps)


def test_one_finished_image_is_dropped_of_four_but_not_of_five():
    short = Written({(): {4: 1.0}})
    long = Written({(4,) * n: {4: 1.0} for n in range(20)})
    for others, size in ((3, 3), (4, 5)):
        toy = Toy([short] + [long] * others)
        beam_search(toy, beams=1, max_length=6)
        assert toy.sizes == [others + 1] * 2 + [size] * 4
        toy = Toy([short] + [long] * others)
        streams = [stream(1, "draws", i) for i in range(others + 1)]
        sample(toy, samples=1, max_length=6, streams=streams)
        assert toy.sizes == [others + 1] * 2 + [size] * 4


def test_a_model_that_never_ends_is_cut_at_the_maximum_length():
    models = [Model(7, seed, end=-30.0) for seed in range(5)]
    for found in beam_search(Toy(models), beams=4, max_length=6, n_best=3):
        assert [h.ended for h in found] == [False] * 3
        assert [len(h.tokens) for h in found] == [6] * 3
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_captions_that_ended_come_before_better_ones_that_did_not():
    table = {(): {4: 0.6, 5: 0.4}, (4,): {4: 1.0}, (5,): {END: 0.1, 5: 0.9}}
    table[4, 4] = table[5, 5] = {4: 1.0}
    ((first, second),) = beam_search(Toy([Written(table)]), beams=3, max_length=3, n_best=2)
    assert (first.tokens, first.ended) == ((5,), True)
    assert (second.tokens, second.ended) == ((4, 4, 4), False)
    assert second.score > first.score


def test_what_may_not_be_said_is_not_said_however_probable():
    model = Model(8, 1)
    model.log_p = np.full_like(model.log_p, math.log(0.001))
    model.log_p[:, [PAD, BEGIN, UNKNOWN]] = math.log(0.3)
    model.log_p[model.start, END] = math.log(0.5)
    streams = [stream(1, "draws")]
    drawn = sample(Toy([model]), samples=50, max_length=4, streams=streams)
    for found in (beam_search(Toy([model]), beams=5, max_length=4, n_best=5), drawn):
        for h in found[0]:
            assert h.tokens and min(h.tokens) > UNKNOWN
            assert h.log_probability == pytest.approx(
                sum(
                    float(model.after(h.tokens[:i])[word])
                    for i, word in enumerate(h.tokens + (END,) * h.ended)
                )
            )


def test_impossible_words_are_the_last_resort():
    """A model that only wants to end, or only to say an unknown word, still gets its caption."""
    for table in ({(): {END: 1.0}}, {(): {UNKNOWN: 1.0}}):
        ((one, other),) = beam_search(Toy([Written(table)]), beams=2, max_length=4, n_best=2)
        assert (one.tokens, one.ended) == ((4,), True)
        assert (other.tokens, other.ended) == ((5,), True)
        assert one.log_probability == -1e6
        (draws,) = sample(
            Toy([Written(table)]), samples=60, max_length=4, streams=[stream(1, "draws")]
        )
        assert {h.tokens for h in draws} == {(4,), (5,), (6,)}
    ((found,),) = beam_search(Toy([Written({(): {4: 1.0}, (4,): {6: 1.0}})]), beams=6, max_length=4)
    assert found.tokens == (4, 6) and found.log_probability == 0


def test_ties_go_to_lower_ids():
    flat = Model(9, 1)
    flat.log_p = np.full_like(flat.log_p, -math.log(9))
    (found,) = beam_search(Toy([flat]), beams=4, max_length=3, n_best=4, length_penalty=0)
    assert [h.tokens for h in found] == [(4,), (4, 4), (4, 4, 4), (4, 4, 5)]
    assert [h.ended for h in found] == [True, True, False, False]


def test_the_answers_are_the_same_each_time():
    models = [Model(9, seed) for seed in range(6)]
    first, again = (beam_search(Toy(models), beams=4, max_length=6, n_best=4) for _ in range(2))
    assert first == again


def test_no_image_no_answer():
    class Nobody(Toy):
        def __init__(self):
            self.words = 9

        def begin(self, beams):
            return 0

    assert beam_search(Nobody(), beams=3, max_length=5) == []
    assert sample(Nobody(), samples=3, max_length=5, streams=[]) == []


def test_attention_is_left_where_it_is_not_wanted_or_not_there():
    model = Model(7, 1)
    for toy, wanted in ((Toy([model]), False), (Toy([model], attention=False), True)):
        (found,) = beam_search(toy, beams=3, max_length=5, n_best=3, attention=wanted)
        assert [h.attention for h in found] == [None] * 3
    for toy, wanted in ((Toy([model]), False), (Toy([model], attention=False), True)):
        streams = [stream(1, "draws")]
        (found,) = sample(toy, samples=3, max_length=5, streams=streams, attention=wanted)
        assert [h.attention for h in found] == [None] * 3


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
@pytest.mark.parametrize("word", [END, 4, 499])
@pytest.mark.parametrize("beams", [2, 100])
def test_a_broken_model_is_reported(value, word, beams):
    model = Model(500, 1)
    model.log_p[:, word] = value
    with pytest.raises(DiglotError, match="model is broken"):
        beam_search(Toy([Model(500, 2), model]), beams=beams, max_length=3)
    with pytest.raises(DiglotError, match="model is broken"):
        streams = [stream(1, "draws"), stream(2, "draws")]
        sample(Toy([Model(500, 2), model]), samples=beams, max_length=3, streams=streams)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beams": 0}, "beams must be a whole number from 1, not 0"),
        ({"beams": 1.5}, "beams"),
        ({"max_length": 0}, "max_length"),
        ({"n_best": 0}, "n_best"),
        ({"n_best": 4}, "n_best=4 captions cannot be found with beams=3"),
        ({"length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": math.nan}, "length_penalty"),
    ],
)
def test_bad_arguments_of_beam_search(arguments, message):
    with pytest.raises(InputError, match=message):
        beam_search(Toy([Model(7, 1)]), **{"beams": 3, "max_length": 5, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"max_length": "5"}, "max_length"),
        ({"temperature": 0}, "temperature must be above 0, not 0"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.01}, "top_p must be above 0 and at most 1"),
        ({"streams": []}, "0 streams for 1 images"),
    ],
)
def test_bad_arguments_of_sample(arguments, message):
    plain = {"samples": 3, "max_length": 5, "streams": [stream(1, "draws")]}
    with pytest.raises(InputError, match=message):
        sample(Toy([Model(7, 1)]), **{**plain, **arguments})


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(InputError, match="no words"):
        beam_search(Toy([Model(4, 1)]), beams=1, max_length=5)


def test_scores_of_the_wrong_shape_are_refused():
    toy = Toy([Model(7, 1)])
    toy.words = 8
    with pytest.raises(DiglotError, match=r"\(1, 2, 8\)"):
        beam_search(toy, beams=2, max_length=5)


def next_words(model, said, temperature, top_p):
    """Return the distribution to draw from, by the formulas of the papers."""
    row = model.after(said).astype(float)
    allowed = ([END] if said else []) + list(range(UNKNOWN + 1, model.words))
    p = np.array([math.exp(row[word] / temperature) for word in allowed])
    p /= p.sum()
    nucleus, mass = [], 0.0
    for at in np.argsort(-p):
        nucleus.append(at)
        mass += p[at]
        if mass >= top_p:
            break
    return {allowed[at]: p[at] / mass for at in nucleus}


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.8), (1.7, 0.6)]
)
def test_draws_have_the_probabilities_of_the_formula(temperature, top_p):
    n, longest = 6000, 3
    models = [Model(8, seed, spread=1.0) for seed in range(3)]
    streams = [stream(7, "draws", image) for image in range(3)]
    drawn = sample(
        Toy(models),
        samples=n,
        max_length=longest,
        temperature=temperature,
        top_p=top_p,
        streams=streams,
        attention=False,
    )
    for model, found in zip(models, drawn, strict=True):
        expected = {}

        def grow(said, p, model=model, expected=expected):
            if len(said) == longest or said[-1:] == (END,):
                expected[said] = p
                return
            for word, q in next_words(model, said, temperature, top_p).items():
                grow((*said, word), p * q)

        grow((), 1.0)
        counts = dict.fromkeys(expected, 0)
        for h in found:
            counts[h.tokens + (END,) * h.ended] += 1  # what is outside the nucleus is no key
            assert h.ended == (len(h.tokens) < longest)
        p = np.array(list(expected.values())) * n
        k = np.array(list(counts.values()))
        rare = p < 5
        if rare.any():
            p, k = (np.append(v[~rare], v[rare].sum()) for v in (p, k))
        assert len(p) > 5
        assert chisquare(k, p * (n / p.sum())).pvalue > 1e-3


def test_draws_tell_the_models_own_log_probability_whatever_they_are_drawn_from():
    model = Model(8, 2)
    streams = [stream(1, "draws")]
    (found,) = sample(
        Toy([model]), samples=40, max_length=4, temperature=3.0, top_p=0.9, streams=streams
    )
    captions = {(c.tokens, c.ended): c.log_probability for c in every_caption(model, 4)}
    for h in found:
        assert h.log_probability == pytest.approx(captions[h.tokens, h.ended], rel=1e-6)
        assert h.score == h.log_probability
    assert_attention(found, model)


def test_an_images_draws_depend_on_its_stream_alone():
    models = [Model(9, seed, end=seed % 4 - 1.0) for seed in range(12)]

    def draws(numbers):
        toy = Toy([models[i] for i in numbers])
        streams = [stream(5, "draws", i) for i in numbers]
        found = sample(toy, samples=4, max_length=12, top_p=0.95, streams=streams)
        return dict(zip(numbers, found, strict=True)), toy

    together, toy = draws(range(12))
    assert len(set(toy.sizes)) > 1  # some were dropped on the way
    for i in range(12):
        alone, _ = draws([i])
        assert alone[i] == together[i]
        assert_attention(alone[i], models[i])
        assert_attention(together[i], models[i])


@pytest.mark.parametrize("arguments", [{"temperature": 1e-300}, {"top_p": 1e-9}])
def test_cold_draws_are_greedy_search(arguments):
    models = [Model(9, seed) for seed in range(8)]
    greedy = beam_search(Toy(models), beams=1, max_length=6)
    streams = [stream(1, "draws", i) for i in range(8)]
    drawn = sample(Toy(models), samples=3, max_length=6, streams=streams, **arguments)
    for (best,), found in zip(greedy, drawn, strict=True):
        assert [h.tokens for h in found] == [best.tokens] * 3


def test_equal_words_enter_the_nucleus_by_id():
    flat = Model(14, 1)
    flat.log_p = np.full_like(flat.log_p, -math.log(14))
    (found,) = sample(
        Toy([flat]), samples=400, max_length=1, top_p=0.4, streams=[stream(1, "draws")]
    )
    assert {h.tokens for h in found} == {(4,), (5,), (6,), (7,)}  # 4 of 10


numbers = st.sampled_from([0.0, -1.0, -1.5, -2.0, -1e9, -np.inf]) | st.floats(
    -50, 0, width=32, allow_nan=False
)


@settings(max_examples=150, deadline=None)
@given(
    rows=hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 60)), elements=numbers),
    repeats=st.sampled_from([1, 7, 40]),
    share=st.floats(0, 1),
)
def test_the_largest_are_those_of_a_full_sort(rows, repeats, share):
    """Repeated numbers make ties, within blocks and between them."""
    rows = np.tile(rows, (1, repeats))
    k = 1 + int(share * (min(rows.shape[1], 100) - 1))
    expected = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(choosing.largest(rows, k), expected)


@pytest.mark.parametrize("k", [1, 5, 20, 64, 65, 200])
@pytest.mark.parametrize("columns", [256, 4096, 9996, 20001])
def test_the_largest_of_long_rows(k, columns):
    rng = stream(1, "rows", k, columns)
    rows = rng.normal(size=(6, columns)).astype(np.float32)
    rows[1] = rows[1].round(1)  # many ties
    rows[2] = 0
    rows[3, 3:-1] = -np.inf
    rows[4] = np.sort(rows[4])
    before = rows.copy()
    order = np.argsort(-rows, axis=1, kind="stable")
    found = choosing.largest(rows[:, 4:], min(k, columns - 4)) + 4
    order = np.array([[at for at in row if at >= 4] for row in order])
    np.testing.assert_array_equal(found, order[:, :k])
    np.testing.assert_array_equal(rows, before)


def test_draws_from_long_rows_are_in_proportion():
    """Over more than one block, the last of them short; groups of words against their sums."""
    rng = stream(3, "weights")
    weights = rng.gamma(0.3, size=300).astype(np.float32)
    weights[::7] = 0
    n = 40_000
    chance = (np.arange(n) + 0.5) / n  # evenly spread, so that shares are met to 1 / n
    drawn = choosing.draw(np.tile(weights, (n, 1)), chance)
    shares = np.bincount(drawn, minlength=300) / n
    np.testing.assert_allclose(shares, weights / weights.sum(dtype=float), atol=1.5 / n)
    assert not shares[::7].any()
    edges = np.array([0.0, np.nextafter(1.0, 0.0)])
    first, last = choosing.draw(np.tile(weights, (2, 1)), edges)
    assert (first, last) == (np.flatnonzero(weights)[0], np.flatnonzero(weights)[-1])
