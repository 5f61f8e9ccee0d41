"""CIDEr-D: how much a caption agrees with the consensus of its references."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from diglot.captions import END
from diglot.errors import InputError
from diglot.evaluation.ngrams import LONGEST, NGrams, count, places

_SIGMA = 6.0  # of the penalty on differences of length, in words


class CiderD:
    """Scores captions by CIDEr-D, with document frequencies that are fixed once.

    N-grams of 1 to 4 words weigh by their frequency in the sentence times the logarithm of the
    inverse of the share of images whose references have them. A caption's score is the mean
    cosine of its weights with those of its references, clipped to the reference's, times a
    penalty on different lengths, times 10.

    Parameters
    ----------
    references : sequence of n sequences of lists of tokens
        Each image's references, at least one. Tokens are words, ids, or any hashables.
    end : bool
        Tokens are ids of a `diglot.captions.Vocabulary`, and ``END`` is appended to each
        reference, so that n-grams with the end of a sentence count. The candidates bring their
        ``END`` with them, and only where they ended: that is what training on the score must
        reward.

    Raises
    ------
    InputError
        If there is no image, or an image without references.

    Notes
    -----
    With one image alone all its n-grams are in all images, and all scores are 0.

    References
    ----------
    R. Vedantam, C. L. Zitnick, D. Parikh (2015), CIDEr: consensus-based image description
    evaluation, CVPR; the variant D is that of COCO's evaluation server (X. Chen and others,
    2015, arXiv:1504.00325) and of pycocoevalcap, whose results this equals. On the end token:
    S. J. Rennie and others (2017), Self-critical sequence training for image captioning, CVPR.

    Examples
    --------
    >>> cider = CiderD([[["a", "red", "circle"]], [["a", "blue", "square"]]])
    >>> cider.score([0, 0], [["a", "red", "circle"], ["a", "red", "square"]]).round(3)
    array([7.5, 2.5])
    """

    def __init__(
        self, references: Sequence[Sequence[Sequence[Hashable]]], end: bool = False
    ) -> None:
        sizes = np.array([len(alternatives) for alternatives in references], dtype=np.int64)
        if not sizes.all() or not len(sizes):
            missing = int(np.argmin(sizes)) + 1 if len(sizes) else 1
            raise InputError(f"CIDEr-D needs references; image {missing} has none.")
        tail = [END] if end else []
        sentences = [[*sentence, *tail] for group in references for sentence in group]
        # The references of image i are those from _first[i] to before _first[i + 1].
        self._first = np.concatenate([[0], np.cumsum(sizes)])
        self._grams = NGrams(sentences)
        self._pairs = np.array([_pairs(sentence) for sentence in sentences])
        image = np.repeat(np.arange(len(sizes)), sizes)
        self._most = np.log(len(sizes))  # the weight of n-grams that no image has
        self._tables = [
            _Weights(reference, gram, size, image, self._most)
            for size, (reference, gram) in zip(
                self._grams.sizes, self._grams.numbers(sentences), strict=True
            )
        ]

    def score(self, rows: Sequence[int], candidates: Sequence[Sequence[Hashable]]) -> np.ndarray:
        """Score captions against the references of their images.

        Parameters
        ----------
        rows : sequence of m int
            Each candidate's image, from 0 on; images may be there several times or not at all.
        candidates : sequence of m lists of tokens
            The captions. An empty one scores 0.

        Returns
        -------
        array of float64, (m,)
            From 0 to 10. The score of a collection is the mean.

        Raises
        ------
        InputError
            If lengths differ, or there is no such image.
        """
        images = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(images) != len(candidates):
            raise InputError(f"There are {len(images)} rows for {len(candidates)} candidates.")
        if len(images) and not 0 <= images.min() <= images.max() < len(self._first) - 1:
            raise InputError(f"rows must be from 0 to {len(self._first) - 2}, one an image.")
        # One comparison for each reference of each candidate's image.
        many = np.diff(self._first)[images]
        first = np.cumsum(many) - many
        total = np.zeros(many.sum())
        for table, (candidate, gram) in zip(
            self._tables, self._grams.numbers(candidates), strict=True
        ):
            total += table.compare(candidate, gram, self._first[images], many, first)
        which = np.repeat(np.arange(len(images)), many)
        reference = self._first[images][which] + np.arange(len(which)) - first[which]
        pairs = np.array([_pairs(candidate) for candidate in candidates], dtype=float)
        gap = pairs[which] - self._pairs[reference]
        total *= np.exp(-(gap**2) / (2 * _SIGMA**2))
        return 10 / LONGEST * np.bincount(which, total, len(images)) / many


class _Weights:
    """The weights of the n-grams of one length in all references."""

    def __init__(
        self, sentence: np.ndarray, gram: np.ndarray, size: int, image: np.ndarray, most: float
    ) -> None:
        self.size, self.most = size, most
        reference, number, self.times = count(sentence, gram, size)
        self.keys = reference * size + number  # ascending
        _, once, _ = count(image[reference], number, size)
        self.weight = most - np.log(np.bincount(once, minlength=size))
        self.norm = _norms(reference, self.times * self.weight[number], len(image))

    def compare(
        self,
        sentence: np.ndarray,
        gram: np.ndarray,
        reference: np.ndarray,
        many: np.ndarray,
        first: np.ndarray,
    ) -> np.ndarray:
        """Compare candidates with ``many`` references each, from ``reference`` on.

        The answer has a place for each comparison; a candidate's are from ``first`` on.
        """
        candidate, number, times = count(sentence, gram, max(self.size, gram.max(initial=0) + 1))
        known = number < self.size
        weight = np.full(len(number), self.most)
        weight[known] = self.weight[number[known]]
        norm = _norms(candidate, times * weight, len(many))
        # One line for each known n-gram of a candidate and each reference of its image.
        candidate, number = candidate[known], number[known]
        lines = np.repeat(np.arange(len(number)), many[candidate])
        ends = np.cumsum(many[candidate])
        step = np.arange(len(lines)) - (ends - many[candidate])[lines]
        at = places(self.keys, (reference[candidate][lines] + step) * self.size + number[lines])
        lines, step, at = (part[at >= 0] for part in (lines, step, at))
        theirs, ours = self.times[at], times[known][lines]
        product = np.minimum(ours, theirs) * theirs * self.weight[number[lines]] ** 2
        place = first[candidate[lines]] + step
        dots = np.bincount(place, product, many.sum())
        whose = np.repeat(np.arange(len(many)), many)
        norms = norm[whose] * self.norm[reference[whose] + np.arange(len(whose)) - first[whose]]
        return np.divide(dots, norms, out=np.zeros(len(dots)), where=norms > 0)


def _norms(sentence: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    return np.sqrt(np.bincount(sentence, weights**2, n))


def _pairs(tokens: Sequence[Hashable]) -> int:
    # pycocoevalcap measures a sentence's length by its pairs of neighbours.
    return max(0, len(tokens) - 1)
