"""Tags: each is there or not, several may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diglot.builder import Builder, Tensor
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph


@dataclass(frozen=True)
class Tags:
    """Any number of tags; see :class:`diglot.outcomes.Outcome`.

    The network gives one number a tag: the logarithm of its odds.

    Attributes
    ----------
    tags : tuple of str
        Their names.
    """

    tags: tuple[str, ...]
    family = "binomial"
    measure = "accuracy"
    alternatives = 2  # each tag is there or not

    @property
    def width(self) -> int:
        """One number a tag."""
        return len(self.tags)

    @property
    def target_width(self) -> int:
        """One number a tag."""
        return len(self.tags)

    def extended(self, graph: Graph) -> Graph:
        """Return the network as it is."""
        return graph

    def targets(self, values: np.ndarray) -> np.ndarray:
        """Return ones and zeros."""
        return values.astype(np.float32)

    def loss(self, b: Builder, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Write the mean cross-entropy of the tags, and the share of them that is right."""
        soft = b.add("Activation", scores, name="log_partition", act_type="softrelu")
        gain = b.add("elemwise_mul", scores, target, name="target_scores")
        each = b.add("elemwise_sub", soft, gain, name="tag_cross_entropy")
        loss = b.add("mean", each, name="cross_entropy", axis=1, keepdims=True)
        guess = b.add("_greater_scalar", scores, name="guess", scalar=0)
        truth = b.add("_greater_scalar", target, name="truth", scalar=0.5)
        hits = b.add("_equal", guess, truth, name="hits")
        return loss, b.add("mean", hits, name="hit_share", axis=1, keepdims=True)

    def judge(self, scores: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Return the means of the cross-entropy and of the share that is right."""
        scores = scores.astype(np.float64)
        losses = np.logaddexp(0, scores) - scores * values
        hits = (scores > 0) == (values > 0)
        return {
            "loss": float(np.average(losses.mean(axis=1), weights=weights)),
            "accuracy": float(np.average(hits.mean(axis=1), weights=weights)),
        }

    def effects(self, weight: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
        """Return the effects on each tag's log-odds."""
        return list(zip(self.tags, weight, strict=True))

    def agreement(self, scores: np.ndarray, others: np.ndarray) -> float:
        """Return the share of images for which both say the same tags."""
        return float(np.mean(((scores > 0) == (others > 0)).all(axis=1)))

    def strata(self, values: np.ndarray) -> np.ndarray:
        """Return one stratum."""
        return np.zeros(len(values), np.int64)

    @classmethod
    def from_list(cls, names: Any) -> Tags:
        """Read the names from a file, which may be damaged."""
        sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not sound or not names or len(set(names)) != len(names):
            raise ModelFileError("the description of the tags is damaged")
        return cls(tuple(names))


def encode_tags(
    y: Any, rows: int, known: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which tags each image has, and their names.

    Parameters
    ----------
    y : DataFrame, array of shape (n, t), or sequence of n collections of tags
        A table of zeros and ones, one column a tag; or the tags that each image has.
    rows : int
        How many images there are.
    known : sequence of str, optional
        The tags of an earlier fit; another one is an error.

    Returns
    -------
    values : ndarray of shape (n, t), uint8
    tags : tuple of str
        A table's columns in their order, else sorted.

    Raises
    ------
    InputError
        If something is missing or is no tag, or the lengths differ.

    Examples
    --------
    >>> values, tags = encode_tags([["cat", "dog"], [], ["dog"]], 3)
    >>> values.tolist(), tags
    ([[1, 1], [0, 0], [0, 1]], ('cat', 'dog'))
    """
    table = getattr(y, "ndim", 1) == 2
    values, tags = _from_table(y, known) if table else _from_lists(y, known)
    if len(values) != rows:
        raise InputError(
            f"there are {rows} images and the tags of {len(values)}: give tags, perhaps none, for "
            "each image (inconsistent numbers of samples)"
        )
    if known is not None and tags != tuple(known):
        if not isinstance(y, pd.DataFrame) or set(tags) != set(known):
            raise InputError(
                f"the tags must be {', '.join(known)}, as in training; they are {tags}"
            )
        values, tags = values[:, [tags.index(tag) for tag in known]], tuple(known)
    return values, tags


def _from_table(y: Any, known: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    frame = isinstance(y, pd.DataFrame)
    tags = tuple(map(str, y.columns)) if frame else None
    try:
        numbers = np.asarray(y.to_numpy(np.float64, na_value=np.nan) if frame else y, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"a table of tags must hold zeros and ones: {error}") from error
    wrong = np.argwhere((numbers != 0) & (numbers != 1))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"a table of tags must hold zeros and ones; row {row + 1}, column {column + 1} holds "
            f"{numbers[row, column]:g}"
        )
    if tags is None:
        same = known is not None and len(known) == numbers.shape[1]
        tags = tuple(known) if same else tuple(str(i + 1) for i in range(numbers.shape[1]))
    if len(set(tags)) != len(tags) or not tags:
        raise InputError(f"the columns of tags must have different names: {tags}")
    return numbers.astype(np.uint8), tags


def _from_lists(y: Any, known: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if isinstance(y, (str, bytes)) or not hasattr(y, "__iter__"):
        raise InputError(f"y must be a table of tags, or a list of tags for each image, not {y!r}")
    rows = list(y)
    for number, row in enumerate(rows, start=1):
        if isinstance(row, (str, bytes)) or not hasattr(row, "__iter__"):
            raise InputError(
                f"row {number} of the tags is {row!r}; give a list of tags for each image, or a "
                "table with one column a tag"
            )
    named = [{str(tag) for tag in row} for row in rows]
    tags = tuple(sorted(set().union(*named))) if known is None else tuple(known)
    if not tags:
        raise InputError("no image has any tag")
    place = {tag: column for column, tag in enumerate(tags)}
    values = np.zeros((len(rows), len(tags)), np.uint8)
    for number, row in enumerate(named):
        for tag in row:
            if tag not in place:
                raise InputError(
                    f"row {number + 1} has the tag {tag!r}, which was not seen in training"
                )
            values[number, place[tag]] = 1
    return values, tags
