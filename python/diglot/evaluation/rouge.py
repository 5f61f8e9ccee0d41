"""ROUGE-L: how long a caption's longest common subsequence with its references is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

_BETA = 1.2  # weight of recall, as COCO's evaluation has it


def rouge_l(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> np.ndarray:
    """Compute ROUGE-L of each caption.

    Parameters
    ----------
    candidates : sequence of n lists of tokens
        One caption an image. An empty one scores 0.
    references : sequence of n sequences of lists of tokens
        Each image's references, at least one, none empty.

    Returns
    -------
    array of float64, (n,)
        From 0 to 1: the F measure of the best precision and the best recall over the
        references, as COCO's evaluation and pycocoevalcap compute it (they need not be of the
        same reference). The score of a collection is the mean.

    References
    ----------
    C.-Y. Lin (2004), ROUGE: a package for automatic evaluation of summaries, ACL workshop.

    Examples
    --------
    >>> rouge_l([["a", "red", "dog"]], [[["a", "dog"], ["one", "dog", "is", "red"]]]).round(3)
    array([0.83])
    """
    return np.array([_score(c, r) for c, r in zip(candidates, references, strict=True)], float)


def _score(candidate: Sequence[Hashable], references: Sequence[Sequence[Hashable]]) -> float:
    if not candidate:
        return 0.0
    common = [_common(candidate, reference) for reference in references]
    precision = max(common) / len(candidate)
    recall = max(c / len(r) for c, r in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, a whole row of the table at a time.

    A row is one number: a bit that is 0 is a place where the row grows by one (H. Hyyro, 2004,
    Bit-parallel LCS-length computation revisited, AWOCA).
    """
    at: dict[Hashable, int] = {}
    for place, word in enumerate(one):
        at[word] = at.get(word, 0) | 1 << place
    ones = (1 << len(one)) - 1
    row = ones
    for word in other:
        matched = row & at.get(word, 0)
        row = ((row + matched) | (row - matched)) & ones
    return len(one) - row.bit_count()
