"""Sequences of up to four words as whole numbers, so that counting them is work for NumPy."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import chain

import numpy as np

LONGEST = 4  # as BLEU and CIDEr count


class NGrams:
    """The n-grams of a collection of sentences, each length numbered from 0 on.

    An n-gram is coded by the number of its first n - 1 words' n-gram and its last word, which
    fit together into 64 bits.

    Parameters
    ----------
    sentences : sequence of sequences of hashables
        Lists of tokens.

    Attributes
    ----------
    sizes : list of 4 int
        How many different n-grams of 1, 2, 3 and 4 words there are.

    Examples
    --------
    >>> grams = NGrams([["a", "b", "a", "b"]])
    >>> grams.sizes
    [2, 2, 2, 1]
    >>> [numbers.tolist() for _, numbers in grams.numbers([["a", "b", "c"]])]
    [[0, 1, 2], [0, 2], [2], []]
    """

    def __init__(self, sentences: Sequence[Sequence[Hashable]]) -> None:
        self._words: dict[Hashable, int] = {}
        for word in chain.from_iterable(sentences):
            self._words.setdefault(word, len(self._words))
        self._codes: list[np.ndarray] = []
        self.sizes = [len(self._words)]
        words, _, left = _flat(sentences, self._words)
        numbers = words
        for n in range(2, LONGEST + 1):
            codes, inverse = np.unique(_codes(numbers, words, left, n), return_inverse=True)
            self._codes.append(codes)
            self.sizes.append(len(codes))
            numbers = np.zeros(len(words), np.int64)
            numbers[left >= n] = inverse

    def numbers(
        self, sentences: Sequence[Sequence[Hashable]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the n-grams of sentences, for n from 1 to 4.

        Parameters
        ----------
        sentences : sequence of sequences of hashables
            Lists of tokens.

        Yields
        ------
        sentence, number : arrays of int64
            Which sentence (from 0), and which n-gram. One that the collection lacks has a number
            from `sizes` on, the same wherever it occurs in this call.
        """
        strange = {w: None for s in sentences for w in s if w not in self._words}
        strange = {word: i for i, word in enumerate(strange, start=len(self._words))}
        words, sentence, left = _flat(sentences, self._words, strange)
        yield sentence, words
        numbers = words
        for n, known in enumerate(self._codes, start=2):
            codes, there = _codes(numbers, words, left, n), left >= n
            found = places(known, codes)
            new = found < 0
            found[new] = len(known) + np.unique(codes[new], return_inverse=True)[1]
            numbers = np.zeros(len(words), np.int64)
            numbers[there] = found
            yield sentence[there], found


def count(sentence: np.ndarray, number: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Count the n-grams of each sentence.

    Parameters
    ----------
    sentence, number : arrays of int64
        As `NGrams.numbers` gives them.
    size : int
        More than the largest number.

    Returns
    -------
    sentence, number, times : arrays
        Sorted by sentence, then by number.

    Examples
    --------
    >>> [a.tolist() for a in count(np.array([0, 0, 1]), np.array([5, 5, 2]), 6)]
    [[0, 1], [5, 2], [2, 1]]
    """
    both, times = np.unique(sentence * size + number, return_counts=True)
    return both // size, both % size, times


def _flat(
    sentences: Sequence[Sequence[Hashable]], *numbers: dict[Hashable, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each word's number, its sentence, and how many words are left from it on."""
    place = numbers[0] if len(numbers) == 1 else {**numbers[0], **numbers[1]}
    lengths = np.array([len(s) for s in sentences], dtype=np.int64)
    words = np.fromiter((place[w] for s in sentences for w in s), np.int64, lengths.sum())
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    return words, sentence, np.cumsum(lengths)[sentence] - np.arange(len(words))


def _codes(numbers: np.ndarray, words: np.ndarray, left: np.ndarray, n: int) -> np.ndarray:
    """Code the n-grams by the numbers of their first n - 1 words' and their last words."""
    start = np.flatnonzero(left >= n)
    return (numbers[start] << 32) | words[start + n - 1]


def places(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where in a sorted table the values are, -1 for those that are not."""
    if not len(table):
        return np.full(len(values), -1)
    at = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return np.where(table[at] == values, at, -1)
