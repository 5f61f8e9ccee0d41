"""Images with their captions as training sees them: gathered, coded, held out, in buckets."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diglot.captions.vocabulary import BEGIN, END, UNKNOWN, Vocabulary, tokenise
from diglot.errors import InputError
from diglot.seeds import stream

_MOST_BUCKETS = 6


def caption_lists(captions: Any, images: int, what: str = "caption") -> list[list[str]]:
    """Return the captions of each row of images as a list.

    Parameters
    ----------
    captions : sequence
        One text, or several, a row.
    images : int
        How many rows there are.
    what : {"caption", "reference"}
        What they are called in errors.

    Raises
    ------
    InputError
        If a row has none, or an empty one; the message names the row.

    Examples
    --------
    >>> caption_lists(["a cat", ["a dog", "a hound"]], 2)
    [['a cat'], ['a dog', 'a hound']]
    """
    if isinstance(captions, (str, bytes, Mapping)) or not isinstance(captions, Iterable):
        raise InputError(f"{what}s must be a sequence, one text or several an image")
    rows = list(captions)
    if len(rows) != images:
        raise InputError(
            f"there are {images} images and {len(rows)} entries of {what}s: give one entry an "
            f"image, a text or a list of texts"
        )
    return [_texts(row, number, what) for number, row in enumerate(rows, 1)]


def _texts(row: Any, number: int, what: str) -> list[str]:
    several = isinstance(row, Iterable) and not isinstance(row, (str, bytes, Mapping))
    texts = list(row) if several else [row]
    if not texts or any(pd.isna(text) is True for text in texts):
        raise InputError(f"the image in row {number} has no {what}: leave it out or give one")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"the {what} of row {number} must be text, not {text!r:.50}")
        if not tokenise(text):
            raise InputError(
                f"a {what} of row {number} has no word: {text!r:.50}; leave it out or write one"
            )
    return texts


@dataclass(frozen=True)
class Captioned:
    """Images with their captions: ``places`` finds image i, ``texts[i]`` are its captions."""

    places: np.ndarray
    texts: list[list[str]]

    def __len__(self) -> int:
        return len(self.places)

    def take(self, chosen: np.ndarray) -> Captioned:
        """Return some of the images."""
        return Captioned(self.places[chosen], [self.texts[i] for i in chosen])


def gather(keys: Sequence[bytes], texts: Sequence[Sequence[str]]) -> tuple[Captioned, str]:
    """Bring the captions of each image together, in an order that is their own.

    Parameters
    ----------
    keys : sequence of bytes
        Identify the images: rows of the same image may be many.
    texts : sequence of sequences of str
        The captions of each row.

    Returns
    -------
    captioned : Captioned
        Sorted by key and by text, so that the order of rows does not matter.
    digest : str
        Identifies images and captions.
    """
    found: dict[bytes, list[str]] = {}
    first: dict[bytes, int] = {}
    for row, (key, mine) in enumerate(zip(keys, texts, strict=True)):
        found.setdefault(key, []).extend(mine)
        first.setdefault(key, row)
    order = sorted(found)
    digest = hashlib.sha256()
    for key in order:
        for part in (key, *(t.encode("utf-8", "surrogatepass") for t in sorted(found[key]))):
            digest.update(len(part).to_bytes(8, "little") + part)
        digest.update(b"\xff" * 8)  # no length: the next is another image
    places = np.array([first[key] for key in order], np.int64)
    return Captioned(places, [sorted(found[key]) for key in order]), digest.hexdigest()


def codes(
    captioned: Captioned,
    vocabulary: Vocabulary,
    longest: int | None = None,
    *,
    judged: bool = False,
) -> list[list[np.ndarray]]:
    """Return each image's captions as numbers; those of unknown words only are left out.

    Parameters
    ----------
    captioned : Captioned
    vocabulary : Vocabulary
    longest : int, optional
        Captions are cut after so many words.
    judged : bool
        Whether the images are there to judge by: then nothing is left out, since a model that
        knows none of the words is to be judged, too.

    Raises
    ------
    InputError
        If an image has no caption left.
    """
    coded, strange = [], []
    for place, texts in zip(captioned.places, captioned.texts, strict=True):
        mine = [np.array(vocabulary.encode(text)[:longest], np.int32) for text in texts]
        known = [ids for ids in mine if judged or (ids != UNKNOWN).any()]
        if not known:
            raise InputError(
                f"the captions of the image in row {place + 1} are of unknown words only "
                f"({texts[0]!r:.60}): lower min_count, raise max_words, or leave the image out"
            )
        coded.append(known)
        if not judged:
            strange += [t for t, ids in zip(texts, mine, strict=True) if (ids == UNKNOWN).all()]
    if strange:
        warnings.warn(
            f"{len(strange)} caption(s) of unknown words only are left out, such as "
            f"{strange[0]!r:.60}; min_count and max_words decide which words are known",
            stacklevel=2,
        )
    return coded


def held_out(count: int, share: float, seed: int) -> np.ndarray:
    """Return which of ``count`` images are held out to judge by, at random."""
    if count < 2:
        raise InputError("validation= needs at least two different images")
    chosen = np.zeros(count, bool)
    held = min(count - 1, max(1, round(share * count)))
    chosen[stream(seed, "validation").permutation(count)[:held]] = True
    return chosen


@dataclass(frozen=True)
class Groups:
    """Captions of the same image that go through the network together.

    Attributes
    ----------
    images : ndarray of int
        The image of each group.
    captions : list of list of ndarray
        The coded captions of each, at most ``width``.
    lengths : ndarray of int
        The longest caption of each, its end included.
    words : ndarray of int
        How many words each has, ends included.
    width : int
        How many captions there is room for.
    """

    images: np.ndarray
    captions: list[list[np.ndarray]]
    lengths: np.ndarray
    words: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, coded: Sequence[Sequence[np.ndarray]], width: int) -> Groups:
        """Put captions of similar length together."""
        images, groups = [], []
        for image, captions in enumerate(coded):
            ordered = sorted(captions, key=lambda ids: (len(ids), ids.tolist()))
            parts = -(-len(ordered) // width)
            for part in np.array_split(np.arange(len(ordered)), parts):
                images.append(image)
                groups.append([ordered[i] for i in part])
        lengths = [max(len(ids) for ids in group) + 1 for group in groups]
        words = [sum(len(ids) + 1 for ids in group) for group in groups]
        return cls(np.array(images), groups, np.array(lengths), np.array(words), width)

    def arrays(self, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Return tokens, targets and weights of some groups, (rows, width, length) float32.

        A word's weight is 1 over the average number of words of a group, so that the mean over
        a batch's groups is about the mean over its words.
        """
        shape = (len(rows), self.width, length)
        tokens, target, weight = (np.zeros(shape, np.float32) for _ in range(3))
        share = 1 / self.words.mean()
        tokens[:, :, 0] = BEGIN
        for row, group in enumerate(rows):
            for column, ids in enumerate(self.captions[group]):
                count = len(ids)
                tokens[row, column, 1 : count + 1] = ids[: length - 1]
                target[row, column, :count] = ids
                target[row, column, count] = END
                weight[row, column, : count + 1] = share
        return {"tokens": tokens, "target": target, "weight": weight}

    def weight_of(self, rows: np.ndarray) -> float:
        """Return the sum of all weights that `arrays` gives."""
        return float(self.words[rows].sum() / self.words.mean())


def bucket_bounds(lengths: np.ndarray, most: int = _MOST_BUCKETS) -> list[int]:
    """Return the lengths to which sequences are filled up, so that little is filled.

    Parameters
    ----------
    lengths : ndarray of int
    most : int
        How many different lengths there may be.

    Returns
    -------
    list of int
        Increasing; the last is the largest length.

    Examples
    --------
    >>> bucket_bounds(np.array([3, 3, 4, 9, 10, 10]), 2)
    [4, 10]
    """
    sizes, counts = np.unique(lengths, return_counts=True)
    if len(sizes) <= most:
        return sizes.tolist()
    # best[k][j]: the least total length of the first j sizes in k buckets.
    before = np.concatenate([[0], np.cumsum(counts)])
    best = np.full((most + 1, len(sizes) + 1), np.inf)
    cut = np.zeros((most + 1, len(sizes) + 1), int)
    best[0, 0] = 0
    for k in range(1, most + 1):
        for j in range(1, len(sizes) + 1):
            totals = best[k - 1, :j] + (before[j] - before[:j]) * sizes[j - 1]
            cut[k, j] = int(totals.argmin())
            best[k, j] = totals[cut[k, j]]
    bounds, j = [], len(sizes)
    for k in range(most, 0, -1):
        if j:
            bounds.append(int(sizes[j - 1]))
            j = int(cut[k, j])
    return sorted(set(bounds))
