"""Decoding: from a decoder's log-probabilities to captions, by beam search or by sampling.

The network is behind `Stepper`, so this is plain numpy: all images and all their beams are one
batch, and what was said is kept as back-pointers until the captions are read off at the end.

Words may be ended by `END` only after the first; `PAD`, `BEGIN` and `UNKNOWN` are never said.
Log-probabilities are taken as they are: not renormalised without those. A word that the model
holds impossible (log-probability minus infinity) counts as -1e6: it is said only where nothing
else is left, and so no image ever stays without a caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from diglot.captioner.choosing import draw, draw_from_nucleus, largest
from diglot.captions import BEGIN, END, UNKNOWN
from diglot.errors import DiglotError, InputError
from diglot.estimators.settings import number, whole

_FIRST_WORD = UNKNOWN + 1  # ids from here on are words
_IMPOSSIBLE = -1e6  # instead of minus infinity, which is left to what does not exist
_ROUNDING = 0.01  # log-probabilities are at most 0, but for half precision
_COLDEST = 1e-30  # temperatures below are the same in float32: the best word is certain


class Stepper(Protocol):
    """Runs a decoder over several images and several beams of each at once.

    Attributes
    ----------
    words : int
        Size of the vocabulary: ids are 0 to ``words - 1``.
    """

    words: int

    def begin(self, beams: int) -> int:
        """Set the states of all images to the start; return the number of images, n."""

    def step(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Take the words (n, beams) in and score what follows.

        Returns log-probabilities (n, beams, words), float32, and attention (n, beams, cells),
        float32, or None. Both may be written over at the next step.
        """

    def choose(self, parents: np.ndarray) -> None:
        """Let beam j of image i go on from the states of beam ``parents[i, j]``, (n, beams).

        Not called where every beam goes on from itself.
        """

    def keep(self, images: np.ndarray) -> None:
        """Drop all images but those at these ascending positions among the current ones."""


@dataclass(frozen=True)
class Hypothesis:
    """A caption that a search or a draw found.

    Attributes
    ----------
    tokens : tuple of int
        Ids of the words, without `BEGIN` and `END`; at least one.
    ended : bool
        Whether the model ended the caption; otherwise the maximum length did.
    log_probability : float
        Natural logarithm of the caption's probability, `END` included where it ended.
    score : float
        What captions are ranked by: the log-probability, in beam search normalised for length.
    attention : array of float32, (len(tokens), cells), or None
        Where the model looked for each word.
    """

    tokens: tuple[int, ...]
    ended: bool
    log_probability: float
    score: float
    attention: np.ndarray | None = field(default=None, repr=False, compare=False)


def beam_search(
    stepper: Stepper,
    *,
    beams: int,
    max_length: int,
    length_penalty: float = 1.0,
    n_best: int = 1,
    attention: bool = True,
) -> list[list[Hypothesis]]:
    """Find the most probable captions of each image by beam search.

    Each image has `beams` places. At each step its running beams and the words that may follow
    compete for them by log-probability; a hypothesis that ends keeps its place, so that the
    search narrows as captions end, and one beam is greedy search. An image is finished when
    `n_best` hypotheses ended and no running beam can still beat the last of them, or at
    `max_length` words.

    Parameters
    ----------
    stepper : Stepper
        The decoder with its images.
    beams : int
        Hypotheses kept of each image.
    max_length : int
        Most words of a caption; one of so many words is cut, not ended.
    length_penalty : float
        From 0 to 10. Scores are log-probabilities divided by ``((5 + length) / 6) **
        length_penalty``, where the length counts the words and the `END`; 0 leaves them as
        they are.
    n_best : int
        How many captions of each image, at most `beams`.
    attention : bool
        Whether to collect what the stepper gives.

    Returns
    -------
    list of n lists of Hypothesis
        The `n_best` of each image, the best first, those that did not end behind those that
        did; fewer only where fewer different captions exist. Equal scores go by the shorter
        caption, then by the earlier place in the search, which goes by beam and word id.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DiglotError
        If the model is broken: it gives NaN, or numbers that are no log-probabilities.

    References
    ----------
    Y. Wu and others (2016), Google's neural machine translation system, arXiv:1609.08144,
    equation 14, for the score. Places kept by ended hypotheses: D. Bahdanau, K. Cho,
    Y. Bengio (2015), Neural machine translation by jointly learning to align and translate,
    ICLR, in the authors' program.

    Examples
    --------
    A model of two words, 4 and 5, that forgets what it said. It ends with probability 0.5.

    >>> class Coin:
    ...     words = 6
    ...     def begin(self, beams):
    ...         return 1
    ...     def step(self, tokens):
    ...         row = np.log([1e-9, 1e-9, 0.5, 1e-9, 0.3, 0.2])
    ...         return np.broadcast_to(row, (*tokens.shape, 6)), None
    ...     def choose(self, parents):
    ...         pass
    >>> for found in beam_search(Coin(), beams=3, max_length=4, n_best=2)[0]:
    ...     print(found.tokens, found.ended, round(np.exp(found.log_probability), 3))
    (4,) True 0.15
    (5,) True 0.1
    """
    beams = whole("beams", beams, 1)
    max_length = whole("max_length", max_length, 1)
    n_best = whole("n_best", n_best, 1)
    if n_best > beams:
        raise InputError(f"n_best={n_best} captions cannot be found with beams={beams}; use more.")
    number("length_penalty", length_penalty, lambda value: 0 <= value <= 10, "from 0 to 10")
    _check_words(stepper)

    many = stepper.begin(beams)
    current = np.arange(many)  # the numbers of the images that are not dropped
    record = _Record(many, attention)
    found = _Found(many, beams, length_penalty)
    tokens = np.full((many, beams), BEGIN)
    # Log-probabilities of the running beams; minus infinity is a place without one. All beams
    # start alike, so one of them is enough.
    total = np.full((many, beams), -np.inf)
    total[:, 0] = 0.0
    for step in range(max_length if many else 0):
        scores, seen = _step(stepper, tokens)
        words, gains = _extensions(scores, beams, step > 0)
        ranked, parents, tokens = _compete(total, words, gains)
        ranked[np.arange(beams) >= beams - found.count[current, None]] = -np.inf
        ends = (tokens == END) & (ranked > -np.inf)
        total = np.where(ends, -np.inf, ranked)
        found.add(current, ends, ranked, parents, step, ended=True)
        record.add(current, tokens, parents, seen)

        # Log-probabilities only fall, and the largest divisor is that of the longest caption.
        reachable = total.max(axis=1) / _divisor(max_length, length_penalty)
        done = found.last_of_best(current, n_best) >= reachable
        if done.all():
            break
        if step + 1 == max_length:
            own = np.broadcast_to(np.arange(beams), total.shape)
            found.add(current, total > -np.inf, total, own, max_length, ended=False)
            break
        staying = _dropping(done)
        if staying is not None:
            stepper.keep(staying)
            current, total = current[staying], total[staying]
            tokens, parents = tokens[staying], parents[staying]
        if (parents != np.arange(beams)).any():
            stepper.choose(parents)
    return found.best(n_best, record)


def sample(
    stepper: Stepper,
    *,
    samples: int,
    max_length: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    streams: Sequence[np.random.Generator],
    attention: bool = True,
) -> list[list[Hypothesis]]:
    """Draw captions of each image at random, word by word.

    Parameters
    ----------
    stepper : Stepper
        The decoder with its images.
    samples : int
        Independent draws for each image.
    max_length : int
        Most words of a caption; one of so many words is cut, not ended.
    temperature : float
        Above 0. Divides the log-probabilities: below 1 probable words become more probable.
    top_p : float
        Above 0, at most 1. Nucleus sampling: each word is drawn from the smallest set of most
        probable words that together have this probability, among those that may be said and at
        the given temperature; of equally probable words the lower ids are in it.
    streams : sequence of n numpy.random.Generator
        One for each image. All uniform numbers of an image, (max_length, samples), are drawn
        from its generator at once, so that its captions do not depend on the other images.
    attention : bool
        Whether to collect what the stepper gives; self-critical training has no use for it.

    Returns
    -------
    list of n lists of Hypothesis
        The draws of each image, as drawn. Log-probability and score are both the model's own
        log-probability of the caption, at temperature 1 and of all words.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DiglotError
        If the model is broken: it gives NaN, or numbers that are no log-probabilities.

    References
    ----------
    A. Holtzman and others (2020), The curious case of neural text degeneration, ICLR.

    Examples
    --------
    A model of two words, 4 and 5, that forgets what it said. It ends with probability 0.5.

    >>> class Coin:
    ...     words = 6
    ...     def begin(self, beams):
    ...         return 1
    ...     def step(self, tokens):
    ...         row = np.log([1e-9, 1e-9, 0.5, 1e-9, 0.3, 0.2])
    ...         return np.broadcast_to(row, (*tokens.shape, 6)), None
    >>> streams = [np.random.default_rng(1)]
    >>> [draw.tokens for draw in sample(Coin(), samples=3, max_length=4, streams=streams)[0]]
    [(4, 5, 5), (5,), (4,)]
    """
    samples = whole("samples", samples, 1)
    max_length = whole("max_length", max_length, 1)
    number("temperature", temperature, lambda value: value > 0, "above 0")
    number("top_p", top_p, lambda value: 0 < value <= 1, "above 0 and at most 1")
    _check_words(stepper)

    many = stepper.begin(samples)
    if len(streams) != many:
        raise InputError(f"There are {len(streams)} streams for {many} images; give one an image.")
    uniforms = [generator.random((max_length, samples)) for generator in streams]
    chance = np.reshape(uniforms, (many, max_length, samples))
    current = np.arange(many)
    record = _Record(many, attention)
    own = np.arange(samples)
    tokens = np.full((many, samples), BEGIN)
    running = np.ones((many, samples), dtype=bool)
    total = np.zeros((many, samples))
    lengths = np.zeros((many, samples), dtype=np.int64)
    for step in range(max_length if many else 0):
        scores, seen = _step(stepper, tokens)
        tokens = np.full(running.shape, END)
        gains = np.zeros(running.shape)
        tokens[running], gains[running] = _draw(
            scores[running], chance[current, step][running], step > 0, temperature, top_p
        )
        running = tokens != END
        total[current] += gains
        lengths[current] += running
        record.add(current, tokens, np.broadcast_to(own, tokens.shape), seen)
        done = ~running.any(axis=1)
        if done.all():
            break
        staying = _dropping(done)
        if staying is not None and step + 1 < max_length:
            stepper.keep(staying)
            current, tokens, running = current[staying], tokens[staying], running[staying]
    images, places = np.divmod(np.arange(many * samples), samples)
    captions, maps = record.trace(images, places, lengths.ravel())
    return [
        [
            Hypothesis(
                tokens=captions[at],
                ended=len(captions[at]) < max_length,
                log_probability=float(total[image, place]),
                score=float(total[image, place]),
                attention=maps[at],
            )
            for place, at in enumerate(range(image * samples, (image + 1) * samples))
        ]
        for image in range(many)
    ]


class _Record:
    """What each beam said at each step and which beam it came from, for all images.

    An image keeps its number when others are dropped; a dropped one has zeros from then on.
    """

    def __init__(self, images: int, attention: bool) -> None:
        self._images = images
        self._wants_attention = attention
        self._words: list[np.ndarray] = []
        self._parents: list[np.ndarray] = []
        self._attention: list[np.ndarray] = []

    def add(
        self, current: np.ndarray, words: np.ndarray, parents: np.ndarray, seen: np.ndarray | None
    ) -> None:
        """Note a step: what the beams said, from which, and what those had looked at."""
        self._words.append(self._spread(current, words))
        self._parents.append(self._spread(current, parents))
        if self._wants_attention and seen is not None:
            self._attention.append(self._spread(current, seen))

    def _spread(self, current: np.ndarray, values: np.ndarray) -> np.ndarray:
        every = np.zeros((self._images, *values.shape[1:]), dtype=values.dtype)
        every[current] = values
        return every

    def trace(
        self, images: np.ndarray, places: np.ndarray, lengths: np.ndarray
    ) -> tuple[list[tuple[int, ...]], list[np.ndarray | None]]:
        """Read captions backwards from the places of their last words.

        Parameters
        ----------
        images, places, lengths : arrays of m int
            Each caption's image, the beam that said its last word, its number of words.

        Returns
        -------
        tuple of two lists of m
            Words, and attention (length, cells) or None.
        """
        tokens = np.zeros((len(images), len(self._words)), dtype=np.int64)
        maps = None
        if self._attention:
            shape = (*tokens.shape, self._attention[0].shape[-1])
            maps = np.zeros(shape, dtype=self._attention[0].dtype)
        places = places.copy()
        for step in reversed(range(len(self._words))):
            on = np.flatnonzero(lengths > step)
            image, place = images[on], places[on]
            tokens[on, step] = self._words[step][image, place]
            places[on] = parent = self._parents[step][image, place]
            if maps is not None:
                maps[on, step] = self._attention[step][image, parent]
        captions = [
            tuple(row[:length]) for row, length in zip(tokens.tolist(), lengths, strict=True)
        ]
        if maps is None:
            return captions, [None] * len(captions)
        # Copies: a view would keep the maps of the whole batch in memory.
        return captions, [row[:length].copy() for row, length in zip(maps, lengths, strict=True)]


class _Found:
    """The hypotheses that are no longer running, in the order in which they were found."""

    def __init__(self, images: int, beams: int, length_penalty: float) -> None:
        self._penalty = length_penalty
        self.count = np.zeros(images, dtype=np.int64)
        self._score = np.full((images, beams), -np.inf)
        self._total = np.zeros((images, beams))
        self._ended = np.zeros((images, beams), dtype=bool)
        self._length = np.zeros((images, beams), dtype=np.int64)  # words
        self._place = np.zeros((images, beams), dtype=np.int64)  # the beam of the last word

    def add(
        self,
        current: np.ndarray,
        which: np.ndarray,
        total: np.ndarray,
        places: np.ndarray,
        length: int,
        *,
        ended: bool,
    ) -> None:
        """Add the marked hypotheses, (n, beams), of the current images; all have one length."""
        rows, columns = np.nonzero(which)
        rank = which.cumsum(axis=1)[rows, columns] - 1
        at = current[rows], self.count[current[rows]] + rank
        self._total[at] = total[rows, columns]
        self._score[at] = total[rows, columns] / _divisor(length + ended, self._penalty)
        self._ended[at] = ended
        self._length[at] = length
        self._place[at] = places[rows, columns]
        self.count[current] += which.sum(axis=1)

    def last_of_best(self, current: np.ndarray, n_best: int) -> np.ndarray:
        """Return each image's n_best-th score; minus infinity if there are fewer."""
        scores = self._score[current]
        at = scores.shape[1] - n_best
        return np.partition(scores, at, axis=1)[:, at]

    def best(self, n_best: int, record: _Record) -> list[list[Hypothesis]]:
        """Return each image's best, those that ended first; ties as they were found."""
        order = np.lexsort((-self._score, ~self._ended), axis=-1)[:, :n_best]
        images, ranks = np.nonzero(np.arange(n_best) < self.count[:, None])
        at = images, order[images, ranks]
        captions, maps = record.trace(images, self._place[at], self._length[at])
        answers: list[list[Hypothesis]] = [[] for _ in self.count]
        columns = (images, captions, self._ended[at], self._total[at], self._score[at], maps)
        for image, caption, ended, total, score, seen in zip(*columns, strict=True):
            answers[image].append(
                Hypothesis(caption, bool(ended), float(total), float(score), seen)
            )
        return answers


def _divisor(length: int, length_penalty: float) -> float:
    """Return what a log-probability is divided by: Wu et al. (2016), equation 14."""
    return ((5 + length) / 6) ** length_penalty


def _dropping(done: np.ndarray) -> np.ndarray | None:
    """Return the positions of the images to go on with if enough are done to drop them.

    Dropping costs, as the decoder's graph is made for another size; so a quarter must be done.
    """
    return np.flatnonzero(~done) if 4 * done.sum() >= len(done) else None


def _check_words(stepper: Stepper) -> None:
    if stepper.words <= _FIRST_WORD:
        raise InputError("The vocabulary has no words, so nothing can be said.")


def _step(stepper: Stepper, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    scores, seen = stepper.step(tokens)
    if scores.shape != (*tokens.shape, stepper.words):
        raise DiglotError(
            f"The decoder scored {scores.shape} words; {(*tokens.shape, stepper.words)} (images, "
            "beams, words) were expected."
        )
    return scores, seen


def _check_scores(best: np.ndarray) -> None:
    """Refuse what cannot be the largest log-probabilities; NaN is neither above nor below."""
    if not (best <= _ROUNDING).all():
        raise DiglotError(
            "The model is broken: it scores words with NaN or with numbers above 0, which are no "
            "log-probabilities. Its weights may have diverged; train again with a lower learning "
            "rate, or go back to a model file from before."
        )


def _extensions(scores: np.ndarray, most: int, may_end: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the ways in which each beam may go on: `END` and its best words.

    Parameters
    ----------
    scores : array of float, (n, beams, words)
        Log-probabilities.
    most : int
        Words needed of each beam.
    may_end : bool
        Whether `END` may follow.

    Returns
    -------
    tuple of arrays, (n, beams, at most most + 1)
        Ids and log-probabilities (float64).
    """
    n, beams, size = scores.shape
    rows = scores.reshape(n * beams, size)
    most = min(most, size - _FIRST_WORD)
    best = largest(rows[:, _FIRST_WORD:], most) + _FIRST_WORD
    words = np.concatenate([np.full((len(rows), 1), END), best], axis=1)
    gains = np.take_along_axis(rows, words, axis=1).astype(np.float64)
    _check_scores(gains)
    gains = np.clip(gains, _IMPOSSIBLE, 0.0)
    if not may_end:
        gains[:, 0] = -np.inf
    return words.reshape(n, beams, -1), gains.reshape(n, beams, -1)


def _compete(
    total: np.ndarray, words: np.ndarray, gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best of all extensions of an image's beams.

    Parameters
    ----------
    total : array of float64, (n, beams)
        Log-probabilities of the beams.
    words, gains : arrays, (n, beams, k)
        How they may go on.

    Returns
    -------
    tuple of arrays, (n, beams)
        Log-probabilities in descending order, the beams that were extended, the words.
    """
    n, beams, k = words.shape
    totals = (total[:, :, None] + gains).reshape(n, beams * k)
    best = largest(totals, beams)
    ranked = np.take_along_axis(totals, best, axis=1)
    return ranked, best // k, np.take_along_axis(words.reshape(n, -1), best, axis=1)


def _draw(
    scores: np.ndarray, chance: np.ndarray, may_end: bool, temperature: float, top_p: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a word for each row by the inverse of its distribution function.

    Parameters
    ----------
    scores : array of float, (m, words)
        Log-probabilities.
    chance : array of float64, (m,)
        Uniform numbers from 0 to below 1.
    may_end : bool
        Whether `END` may be drawn.
    temperature, top_p : float
        As of `sample`.

    Returns
    -------
    tuple of arrays, (m,)
        Ids and their log-probabilities.
    """
    # Column 0 is END, column j the word with the id UNKNOWN + j.
    allowed = np.concatenate([scores[:, END : END + 1], scores[:, _FIRST_WORD:]], axis=1)
    np.maximum(allowed, _IMPOSSIBLE, out=allowed)
    _check_scores(allowed.max(axis=1))
    if not may_end:
        allowed[:, 0] = -np.inf
    weights = allowed - allowed.max(axis=1, keepdims=True)
    weights /= max(temperature, _COLDEST)
    np.exp(weights, out=weights)
    drawn = draw_from_nucleus(weights, chance, top_p) if top_p < 1 else draw(weights, chance)
    gains = np.minimum(np.take_along_axis(allowed, drawn[:, None], axis=1)[:, 0], 0)
    return np.where(drawn == 0, END, UNKNOWN + drawn), gains
