"""What evaluations are given: labels as codes, probabilities, groups; checked, each by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError


def listed(labels: Iterable[Hashable]) -> list[Hashable]:
    """Return labels as a list; NumPy's and pandas' own scalars become Python's.

    Examples
    --------
    >>> listed(np.array([1, 2]))
    [1, 2]
    """
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)


def check_classes(classes: Sequence[Hashable]) -> list[Hashable]:
    """Return the classes as a list, each of them once.

    Raises
    ------
    InputError
        If there are none, or one is there twice.

    Examples
    --------
    >>> check_classes(np.array(["b", "a"]))
    ['b', 'a']
    """
    names = listed(classes)
    if not names or len(set(names)) != len(names):
        raise InputError(f"classes are {names}; give each class once, and at least one.")
    return names


def codes(argument: str, labels: Iterable[Hashable], names: Sequence[Hashable]) -> np.ndarray:
    """Return the place of each label in the classes.

    Parameters
    ----------
    argument : str
        What errors call the labels.
    labels : sequence of n labels
    names : sequence of k labels
        The classes.

    Returns
    -------
    ndarray of intp, (n,)

    Raises
    ------
    InputError
        If a label is not one of the classes.

    Examples
    --------
    >>> codes("truth", ["b", "a", "b"], ["a", "b"])
    array([1, 0, 1])
    """
    place = {name: code for code, name in enumerate(names)}
    values = listed(labels)
    try:
        found = [place.get(value, -1) for value in values]
    except TypeError:
        raise InputError(f"{argument} must be a plain sequence of labels, one an image.") from None
    strange = Counter(repr(v) for v, code in zip(values, found, strict=True) if code < 0)
    if strange:
        label, times = strange.most_common(1)[0]
        known = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
        raise InputError(
            f"{argument} has the label {label} ({times} times), which is not one of the classes "
            f"({known}); drop those rows, or correct them."
        )
    return np.array(found, dtype=np.intp)


def check_probabilities(
    probabilities: Any, n: int, k: int, name: str = "probabilities"
) -> np.ndarray:
    """Return probabilities as an array of floats.

    Raises
    ------
    InputError
        If the shape is not (n, k), or a row is not of numbers from 0 to 1 that sum to 1.

    Examples
    --------
    >>> check_probabilities([[0.5, 0.5]], 1, 2)
    array([[0.5, 0.5]])
    """
    p = np.asarray(probabilities)
    if p.shape != (n, k):
        raise InputError(
            f"{name} have shape {p.shape}; they need {n} rows, one an image, and {k} "
            "columns, one a class."
        )
    if p.dtype.kind != "f":
        p = p.astype(float)
    # The negation also catches NaN.
    if not (np.all(p >= 0) and np.all(np.abs(p.sum(axis=1, dtype=float) - 1) < 1e-3)):
        raise InputError(
            f"{name} must be numbers from 0 to 1 that sum to 1 in each row; scores need "
            "a softmax first."
        )
    return p


def check_groups(groups: Iterable[Hashable] | None, n: int) -> np.ndarray | None:
    """Return which images belong together, as codes from 0.

    Parameters
    ----------
    groups : sequence of n labels, or None
        Such as the patient of each image.
    n : int
        Number of images.

    Returns
    -------
    ndarray of intp, (n,), or None

    Raises
    ------
    InputError
        If there is not one label for each image.

    Examples
    --------
    >>> check_groups(["ann", "bob", "ann"], 3)
    array([0, 1, 0])
    """
    if groups is None:
        return None
    values = pd.Series(listed(groups), dtype=object)
    if len(values) != n:
        raise InputError(f"groups has {len(values)} labels for {n} images; give one for each.")
    try:
        found, _ = pd.factorize(values)
    except TypeError:
        raise InputError("groups must be a plain sequence of labels, one an image.") from None
    missing = np.flatnonzero(found < 0)
    if len(missing):
        raise InputError(
            f"groups has no label in {len(missing)} rows, the first at place {missing[0]}; an "
            "image that belongs to no other needs a group of its own."
        )
    return found.astype(np.intp)


def check_count(name: str, value: Any, least: int) -> int:
    """Return a whole number as int.

    Raises
    ------
    InputError
        If it is none, or below ``least``.

    Examples
    --------
    >>> check_count("resamples", 1000, 0)
    1000
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"{name} is {value!r}; use a whole number from {least}.")
    return int(value)
