"""BLEU of a collection of captions, from counts that add up over images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import reduce
from operator import or_

import numpy as np

ORDERS = 4
# pycocoevalcap's guards against dividing by zero and against the logarithm of zero. They show in
# the result only where nothing of an order matches, or nothing can.
_SMALL, _TINY = 1e-9, 1e-15


def bleu_statistics(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> np.ndarray:
    """Count what BLEU is made of, image by image.

    Parameters
    ----------
    candidates : sequence of n lists of tokens
        One caption an image; it may be empty.
    references : sequence of n sequences of lists of tokens
        Each image's references, at least one.

    Returns
    -------
    array of float64, (n, 10)
        The candidate's n-grams of 1 to 4 words that are in a reference, each at most as often as
        in the reference that has it most; its n-grams of 1 to 4 words; its length; the length
        of the reference that is closest in length, the shorter of two.

    Examples
    --------
    >>> bleu_statistics([["a", "a", "dog"]], [[["a", "big", "dog"], ["a", "cat"]]])
    array([[2., 0., 0., 0., 3., 2., 1., 0., 3., 3.]])
    """
    table = np.zeros((len(candidates), 2 * ORDERS + 2))
    for row, candidate, alternatives in zip(table, candidates, references, strict=True):
        for k in range(ORDERS):
            most = reduce(or_, (_grams(reference, k + 1) for reference in alternatives))
            row[k] = (_grams(candidate, k + 1) & most).total()
            row[ORDERS + k] = max(0, len(candidate) - k)
        lengths = (len(reference) for reference in alternatives)
        row[-2] = len(candidate)
        row[-1] = min((abs(length - len(candidate)), length) for length in lengths)[1]
    return table


def bleu_scores(statistics: np.ndarray) -> np.ndarray:
    """Compute BLEU-1 to BLEU-4 from sums of `bleu_statistics` over images.

    Parameters
    ----------
    statistics : array of float, (..., 10)
        Sums over the images of a collection, or over those of a bootstrap sample.

    Returns
    -------
    array of float64, (..., 4)
        The geometric means of the precisions of orders 1 to k, times the brevity penalty; equal
        to pycocoevalcap's.

    References
    ----------
    K. Papineni, S. Roukos, T. Ward, W.-J. Zhu (2002), BLEU: a method for automatic evaluation of
    machine translation, ACL. X. Chen and others (2015), Microsoft COCO captions: data collection
    and evaluation server, arXiv:1504.00325.

    Examples
    --------
    >>> words = "a red circle left of a square".split()
    >>> bleu_scores(bleu_statistics([words], [[words]]).sum(axis=0)).round(6)
    array([1., 1., 1., 1.])
    """
    statistics = np.asarray(statistics, dtype=float)
    correct, guessed = statistics[..., :ORDERS], statistics[..., ORDERS : 2 * ORDERS]
    products = np.cumprod((correct + _TINY) / (guessed + _SMALL), axis=-1)
    ratio = (statistics[..., -2:-1] + _TINY) / (statistics[..., -1:] + _SMALL)
    return products ** (1 / np.arange(1, ORDERS + 1)) * np.exp(np.minimum(0, 1 - 1 / ratio))


def _grams(tokens: Sequence[Hashable], n: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
