"""What the room's functions take, and what its objects are read from, checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError


def check_probabilities(probabilities: Any, classes: int | None = None) -> np.ndarray:
    """Return probabilities (n, k) as float64.

    Raises
    ------
    InputError
        If they are no table of numbers that sum to 1 in each row, or have other than ``classes``
        columns.
    """
    p = np.asarray(probabilities)
    if p.ndim != 2 or p.shape[1] < 2 or p.dtype.kind not in "fiub":
        raise InputError(
            f"probabilities are {p.dtype} of shape {p.shape}; they must be numbers with a row an "
            "image and a column for each of at least two classes."
        )
    if classes is not None and p.shape[1] != classes:
        raise InputError(f"probabilities have {p.shape[1]} columns for {classes} classes.")
    p = p.astype(np.float64)
    # The negation also catches NaN.
    bad = np.flatnonzero(~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3)))
    if len(bad):
        raise InputError(
            f"probabilities of row {bad[0]} are not from 0 to 1 with the sum 1; scores need a "
            "softmax first."
        )
    return p


def check_codes(codes: Any, n: int, classes: int) -> np.ndarray:
    """Return the true classes as 0-based codes.

    Raises
    ------
    InputError
        If they are not ``n`` whole numbers from 0 to ``classes`` - 1.
    """
    code = np.asarray(codes)
    if code.ndim != 1 or (code.dtype.kind not in "iu" and code.size):
        raise InputError("codes must be whole numbers, one an image: the column of its class.")
    if len(code) != n:
        raise InputError(f"There are {n} rows of predictions but {len(code)} codes.")
    if code.size and not (code.min() >= 0 and code.max() < classes):
        raise InputError(f"codes must be from 0 to {classes - 1}, the columns of the classes.")
    return code.astype(np.intp)


def check_numbers(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return finite numbers of this shape as float64.

    Raises
    ------
    InputError
        If they are anything else.
    """
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers of shape {shape}.")
    return array.astype(np.float64)


def check_coverage(coverage: Any) -> float:
    """Return a stated coverage.

    Raises
    ------
    InputError
        If it is not between 0 and 1.
    """
    is_number = isinstance(coverage, (int, float, np.number)) and not isinstance(coverage, bool)
    if not is_number or not 0 < coverage < 1:
        raise InputError(f"coverage must be between 0 and 1, such as 0.9, not {coverage!r}.")
    return float(coverage)


def enough(n: int) -> None:
    """Refuse to learn from nothing."""
    if not n:
        raise InputError("There are no images to learn from: give at least one, better hundreds.")


# ---- what a file says


def told(given: Any, name: str, kinds: type | tuple[type, ...]) -> Any:
    """Return one entry of a file's table; anything of another type is damage.

    Raises
    ------
    ModelFileError
        If it is missing, or of another type.
    """
    value = given.get(name) if isinstance(given, Mapping) else None
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise ModelFileError(f"the model's uncertainty is damaged: its {name!r} cannot be")
    return value


def told_number(given: Any, name: str, lowest: float, highest: float) -> float:
    """Return a number of a file's table, from ``lowest`` to ``highest``."""
    value = told(given, name, (int, float))
    if not lowest <= value <= highest:  # also catches NaN
        raise ModelFileError(f"the model's uncertainty is damaged: its {name!r} is {value!r}")
    return float(value)


def told_count(given: Any, name: str, lowest: int, highest: int = 2**53) -> int:
    """Return a whole number of a file's table."""
    value = told(given, name, int)
    if not lowest <= value <= highest:
        raise ModelFileError(f"the model's uncertainty is damaged: its {name!r} is {value!r}")
    return value


def rising(values: Any, name: str) -> np.ndarray:
    """Return finite numbers in rising order, as a file holds them.

    Raises
    ------
    ModelFileError
        If they are anything else.
    """
    fine = isinstance(values, list) and all(map(_is_number, values))
    array = np.array(values, np.float64) if fine else np.array([np.nan])
    if not fine or (np.diff(array) < 0).any():
        raise ModelFileError(
            f"the model's uncertainty is damaged: its {name} are not numbers in rising order"
        )
    return array


def _is_number(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) <= sys.float_info.max  # false of NaN, and of huge integers
