"""Labels as codes, and a weight for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.errors import InputError


@dataclass(frozen=True)
class Labels:
    """Outcomes as codes: ``classes[codes[i]]`` is the label of row i."""

    codes: np.ndarray
    classes: np.ndarray
    ordered: bool = False


def encode_labels(y: Any, rows: int, known: np.ndarray | None = None) -> Labels:
    """Turn labels into codes; the order of categories is kept, other labels are sorted.

    Parameters
    ----------
    y : sequence of n labels
        A pandas Categorical (or Series of one), or any one-dimensional sequence.
    rows : int
        How many images there are.
    known : array, optional
        The classes of an earlier fit; a label beside them is an error.

    Returns
    -------
    Labels
        Only classes that occur, unless ``known`` is given.

    Raises
    ------
    InputError
        If a label is missing or unknown, or the lengths differ.
    """
    import pandas as pd
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    if y is None:
        raise InputError("fit requires y to be passed, but the target y is None")
    values = getattr(y, "array", y)
    if isinstance(values, pd.Categorical):
        categorical = values
    else:
        plain = column_or_1d(np.asarray(y, object if _has_missing(y) else None), warn=True)
        _refuse_missing(pd.isna(plain))
        try:
            check_classification_targets(plain)
        except ValueError as error:
            raise InputError(f"{error}; labels must name classes") from error
        found, codes = _sorted_unique(plain)
        # Object: pandas' own string type refuses names of folders that are no UTF-8.
        texts = found.dtype.kind in "OU"
        categorical = pd.Categorical.from_codes(
            codes, pd.Index(found, dtype=object if texts else None)
        )
    if len(categorical) != rows:
        raise InputError(
            f"there are {rows} images and {len(categorical)} labels: give one label an image "
            "(inconsistent numbers of samples)"
        )
    codes = np.asarray(categorical.codes, np.int64)
    _refuse_missing(codes < 0)
    if known is None:
        used = np.unique(codes)
        classes = np.asarray(categorical.categories)[used]
        return Labels(np.searchsorted(used, codes), classes, bool(categorical.ordered))
    return Labels(_recode(np.asarray(categorical.categories), codes, known), known)


def _sorted_unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that there are, and which of them each is."""
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        raise InputError(f"labels must be of one type, text or numbers: {error}") from error


def _has_missing(y: Any) -> bool:
    if not isinstance(y, (list, tuple)):
        return False
    # numpy would spell them as text among texts
    return any(v is None or (isinstance(v, float) and v != v) for v in y)


def _refuse_missing(missing: np.ndarray) -> None:
    if missing.any():
        rows = np.flatnonzero(missing) + 1
        raise InputError(
            f"the label of row {rows[0]} is missing (NaN or NA; {len(rows)} such rows): leave "
            "these rows out or label them"
        )


def _recode(categories: np.ndarray, codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    place = {value: code for code, value in enumerate(known.tolist())}
    table = np.array([place.get(value, -1) for value in categories.tolist()], np.int64)
    recoded = table[codes] if len(codes) else codes
    if (recoded < 0).any():
        row = int(np.flatnonzero(recoded < 0)[0])
        label = categories[codes[row]]
        raise InputError(
            f"the label {label!r} of row {row + 1} was not seen in training; "
            f"known are: {', '.join(map(repr, known.tolist()[:20]))}"
        )
    return recoded


def class_weights(
    given: Any, classes: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return one weight a class: all 1, "balanced" (n / (k * count)), or the given ones."""
    names = classes.tolist()
    if given is None:
        return np.ones(len(names))
    if isinstance(given, str):
        if given != "balanced":
            raise InputError(f'class_weight must be "balanced" or a dict, not {given!r}')
        counts = np.bincount(codes, weights, minlength=len(names))
        return counts.sum() / (len(names) * np.maximum(counts, 1e-12))
    if not isinstance(given, Mapping):
        raise InputError(f'class_weight must be "balanced" or a dict, not {given!r}')
    unknown = [c for c in given if c not in names]
    if unknown:
        raise InputError(f"class_weight names {unknown[0]!r}, which is not among the labels")
    values = np.array([float(given.get(c, 1.0)) for c in names])
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError("class_weight must hold finite numbers from 0")
    return values


def refuse_one_class(classes: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> None:
    """Refuse labels of which all that count are the same."""
    used = np.unique(codes[weights > 0])
    if len(used) < 2:
        name = classes[used[0]] if len(used) else "none"
        raise InputError(
            f"only one class is there ({name!r}), a classifier needs at least two: see whether "
            "labels got lost"
        )


_TYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}


def classes_told(classes: np.ndarray, ordered: bool) -> dict[str, Any]:
    """Return classes as a model file tells of them.

    Raises
    ------
    InputError
        If they are neither text nor numbers.

    Examples
    --------
    >>> classes_told(np.array(["b", "a"], object), False)
    {'type': 'str', 'values': ['b', 'a'], 'ordered': False}
    """
    kinds = {type(c) for c in classes.tolist()}
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str)):
        if kinds == {kind}:
            return {"type": name, "values": classes.tolist(), "ordered": bool(ordered)}
    raise InputError(
        f"classes of the type {sorted(k.__name__ for k in kinds)} cannot be stored: use text or "
        "numbers as labels"
    )


def classes_from(told: Mapping[str, Any]) -> tuple[np.ndarray, bool]:
    """Return the classes of a model file, and whether they are ordered.

    Raises
    ------
    ValueError, KeyError, TypeError
        If `classes_told` cannot have written it.

    Examples
    --------
    >>> classes_from({"type": "int", "values": [3, 5], "ordered": True})
    (array([3, 5]), True)
    """
    values = np.array(told["values"], _TYPES[told["type"]])
    if values.ndim != 1 or len(set(values.tolist())) != len(values):
        raise ValueError("classes must be a list without repeats")
    return values, bool(told["ordered"])
