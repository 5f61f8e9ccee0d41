"""What R gets: Python's values as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def level_text(value: Any) -> str:
    """Spell a class as R would: ``TRUE`` for True, ``3`` for 3.

    Examples
    --------
    >>> level_text(True), level_text(3), level_text("cat")
    ('TRUE', '3', 'cat')
    """
    value = plain(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def plain(value: Any) -> Any:
    """Turn NumPy's scalars into Python's own, which R understands."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


def table(frame: Any) -> dict[str, Any]:
    """Turn a data frame into columns that cross whole, each with a word on what it is."""
    names, types, columns = [], [], []
    for name in frame.columns:
        kind, values = column(frame[name])
        names.append(str(name))
        types.append(kind)
        columns.append(values)
    return {"names": names, "types": types, "columns": columns}


def column(series: Any) -> tuple[str, Any]:
    """Return a word on what a column is, and its values."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return "factor", {
            "codes": series.cat.codes.to_numpy(np.int32),
            "levels": [level_text(v) for v in series.cat.categories],
            "ordered": bool(series.cat.ordered),
        }
    if pd.api.types.is_bool_dtype(series.dtype):
        return "plain", series.to_numpy(bool)
    if pd.api.types.is_integer_dtype(series.dtype):
        values = series.to_numpy(np.int64)
        small = values.size == 0 or (values.min() > -(2**31) and values.max() < 2**31)
        return "plain", values.astype(np.int32 if small else np.float64)
    if pd.api.types.is_float_dtype(series.dtype):
        return "plain", series.to_numpy(np.float64)
    values = list(series)
    if values and all(isinstance(v, np.ndarray) for v in values):
        return _pictures(values)
    if values and all(isinstance(v, list) for v in values):
        return "lists", lists(values)
    return "text", [None if v is None or v is pd.NA or v != v else level_text(v) for v in values]


def lists(values: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return lists of texts or of numbers as one, which crosses at once, and their lengths.

    Examples
    --------
    >>> lists([["a", "b"], ["c"]])
    {'values': ['a', 'b', 'c'], 'lengths': array([2, 1], dtype=int32)}
    """
    lengths = np.array([len(some) for some in values], np.int32)
    return {"values": [value for some in values for value in some], "lengths": lengths}


def _pictures(values: Sequence[np.ndarray]) -> tuple[str, Any]:
    if len({(v.shape, v.dtype) for v in values}) == 1:
        return "pixels", pile(np.stack(values))
    return "images", [_pixels(v) for v in values]


def pile(images: np.ndarray) -> np.ndarray:
    """Return images, counted by the first dimension, as R splits them fastest: by the last."""
    return _pixels(np.moveaxis(images, 0, -1))


def _pixels(array: np.ndarray) -> np.ndarray:
    """Return 8-bit pixels as R's integers and all others as R's doubles, 16 bits scaled to 1."""
    if array.dtype == np.uint8:
        # In two steps, as turning bytes around is much faster than turning integers around.
        return np.asfortranarray(array).astype(np.int32, order="F")
    if array.dtype == np.uint16:
        return np.asfortranarray(array, dtype=np.float64) / 65535
    return np.asfortranarray(array, dtype=np.float64)


def count(number: int) -> int | float:
    """Return a whole number as R can hold it: its integers end at 2^31."""
    return int(number) if abs(number) < 2**31 else float(number)
