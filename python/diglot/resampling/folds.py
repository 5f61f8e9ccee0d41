"""Folds: rows dealt out to test sets, evenly by class, whole groups together, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.errors import InputError
from diglot.estimators.settings import whole
from diglot.seeds import check_seed, stream

_BINS = 10  # of a numeric outcome


@dataclass(frozen=True)
class Fold:
    """One split: rows to train on and rows to test on, both 0-based and in ascending order.

    Attributes
    ----------
    repeat, fold : int
        Both count from 1.
    train, test : ndarray of int
        Rows.
    """

    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray


def make_folds(
    n: int,
    *,
    folds: int = 5,
    repeats: int = 1,
    strata: Any = None,
    groups: Any = None,
    seed: int | None = 0,
) -> list[Fold]:
    """Deal rows out to folds; every row is tested once in each repeat.

    Parameters
    ----------
    n : int
        How many rows.
    folds : int
        At least 2; as many as rows is leaving one out.
    repeats : int
        How many times all rows are dealt out anew.
    strata : sequence of n labels, optional
        The folds have equal shares of each label: without ``groups`` the numbers differ by one at
        most, with them they are as equal as a greedy search makes them. See `strata` for an
        outcome that is a number.
    groups : sequence of n labels, optional
        Rows of one group are never on both sides of a split, such as the images of one patient.
    seed : int, optional
        The same seed gives the same folds. None draws one.

    Returns
    -------
    list of Fold
        Repeat by repeat.

    Raises
    ------
    InputError
        There are fewer rows, rows of a class, or groups than folds; or a class occurs in one
        group only, so that a model could not learn it.

    Notes
    -----
    Groups are dealt out one after the other, those with the most images first, each to the fold
    that has the least of the classes that it brings: the sum over classes of the squared shares
    grows least. Ties go to the fold with the fewest rows, and are broken by chance before.

    Examples
    --------
    >>> [fold.test.tolist() for fold in make_folds(6, folds=3, strata=list("aaabbb"))]
    [[0, 4], [1, 5], [2, 3]]
    >>> first, second = make_folds(4, folds=2, groups=["ann", "ann", "bob", "eve"])
    >>> sorted([first.test.tolist(), second.test.tolist()])
    [[0, 1], [2, 3]]
    """
    n, folds, repeats = whole("n", n, 0), whole("folds", folds, 2), whole("repeats", repeats, 1)
    seed = check_seed(seed)
    if n < folds:
        raise InputError(f"there are {n} images, too few for {folds} folds: use fewer folds")
    codes = np.zeros(n, np.int64)
    if strata is not None:
        names, codes = _coded("strata", strata, n)
        if groups is None:
            _refuse_small(names, codes, folds)
    if groups is not None:
        owners, members = _coded("groups", groups, n)
        if len(owners) < folds:
            raise InputError(
                f"there are {len(owners)} groups, too few for {folds} folds: use "
                f"folds={max(2, len(owners))} or fewer"
            )
        if strata is not None:
            _refuse_lone(names, codes, owners, members)
    found = []
    for repeat in range(1, repeats + 1):
        numbers = stream(seed, "folds", repeat)
        if groups is None:
            place = _dealt(codes, folds, numbers)
        else:
            place = _dealt_groups(codes, members, folds, numbers)
        for fold in range(folds):
            test = place == fold
            found.append(Fold(repeat, fold + 1, np.flatnonzero(~test), np.flatnonzero(test)))
    return found


def strata(outcome: Any, *, classes: bool) -> Any:
    """Return what to stratify by: the classes, or bins of a numeric outcome.

    Parameters
    ----------
    outcome : sequence of n labels or numbers
    classes : bool
        Whether the outcome names classes.

    Returns
    -------
    sequence of n labels, or None
        A numeric outcome is cut into ten bins of equal counts; with fewer than twenty rows, and
        where there are several outcomes an image, there is nothing to stratify by.

    Examples
    --------
    >>> strata(["b", "a"], classes=True)
    ['b', 'a']
    >>> np.bincount(strata(np.arange(40.0), classes=False)).tolist()
    [4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    """
    if classes:
        return outcome
    try:
        values = np.asarray(outcome, np.float64)
    except (TypeError, ValueError):
        return None
    if values.ndim != 1 or len(values) < 2 * _BINS or not np.isfinite(values).all():
        return None
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return rank * _BINS // len(values)


def _coded(argument: str, labels: Any, n: int) -> tuple[list[Any], np.ndarray]:
    """Return the labels that occur, and each row's as a code; missing ones are refused."""
    import pandas as pd

    labels = getattr(labels, "array", labels)
    if not isinstance(labels, pd.Categorical):
        labels = pd.Categorical(pd.Series(list(labels), dtype=object))
    if len(labels) != n:
        raise InputError(f"{argument} has {len(labels)} labels for {n} images: give one an image")
    codes = np.asarray(labels.codes, np.int64)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0]) + 1
        raise InputError(f"{argument} is missing (NaN or NA) in row {row}: fill it in")
    used, codes = np.unique(codes, return_inverse=True)
    return np.asarray(labels.categories)[used].tolist(), codes


def _refuse_small(names: list[Any], codes: np.ndarray, folds: int) -> None:
    counts = np.bincount(codes)
    least = int(counts.argmin())
    if counts[least] < folds:
        fix = f"folds={counts[least]}, " if counts[least] > 1 else ""
        raise InputError(
            f"the class {names[least]!r} has {counts[least]} image(s), too few for {folds} folds: "
            f"use {fix}more images of it, or stratify=False"
        )


def _refuse_lone(
    names: list[Any], codes: np.ndarray, owners: list[Any], members: np.ndarray
) -> None:
    """Refuse a class that occurs in one group only: with it goes all there is to learn from."""
    for code, name in enumerate(names):
        own = np.unique(members[codes == code])
        if len(own) == 1:
            raise InputError(
                f"all images of the class {name!r} are of one group, {owners[own[0]]!r}: no model "
                "could learn it where that group is tested; add another group with it, leave the "
                "class out, or use stratify=False"
            )


def _dealt(codes: np.ndarray, folds: int, numbers: np.random.Generator) -> np.ndarray:
    """Return each row's fold: rows in chance order within their class, dealt out like cards."""
    order = np.lexsort((numbers.random(len(codes)), codes))
    place = np.empty(len(codes), np.int64)
    # Which folds are the larger ones is left to chance, too.
    place[order] = numbers.permutation(folds)[np.arange(len(codes)) % folds]
    return place


def _dealt_groups(
    codes: np.ndarray, members: np.ndarray, folds: int, numbers: np.random.Generator
) -> np.ndarray:
    """Return each row's fold, the same for all rows of a group."""
    counts = np.zeros((members.max() + 1, codes.max() + 1))
    np.add.at(counts, (members, codes), 1)
    weight = counts.sum(axis=0) ** -2.0  # so that rare classes count as much as frequent ones
    order = numbers.permutation(len(counts))
    # Large groups of few classes first: they are the hardest to make up for.
    order = order[np.argsort(-np.linalg.norm(counts[order], axis=1), kind="stable")]
    totals, place = np.zeros((folds, counts.shape[1])), np.empty(len(counts), np.int64)
    for group in order:
        growth = totals @ (counts[group] * weight)
        place[group] = np.lexsort((totals.sum(axis=1), growth.round(12)))[0]
        totals[place[group]] += counts[group]
    return place[members]
