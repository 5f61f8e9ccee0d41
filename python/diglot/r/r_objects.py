"""Data from Python to R: vectors, factors, arrays, lists and data frames."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.r.memory import memory_of
from diglot.r.session import start

_LARGEST = 2**53  # up to here every whole number is a double
_INT = 2**31  # R's integers lie between -2^31 and 2^31; -2^31 itself is NA
_SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "days": 86400, "weeks": 604800}


def to_r(value: Any) -> Any:
    """Return a Python value as an R object.

    Parameters
    ----------
    value : object
        None (NULL), a number, text, bytes, a numpy array, a pandas object, a list or tuple, a
        dict, a fitted model, or an object of R, which stays as it is.

    Returns
    -------
    R object

    Raises
    ------
    InputError
        If R has nothing of the kind, or the value would not be the same there: whole numbers
        beyond 2^53, text with a zero byte.

    Notes
    -----
    - An array keeps its shape, (n, height, width, channel) for images, and is copied once.
      8-, 16- and 32-bit integers become R's integers; those of 64 bits, too, or doubles where one
      lies beyond 2^31. floats become doubles, 16 and 32 bits as well.
    - What is missing (None, pandas.NA, NaT, NaN among texts) becomes NA of its type. NaN among
      numbers stays NaN, but NA that came from R goes back as NA.
    - A Categorical becomes a factor, its order kept; categories that are no text are spelled.
    - A DataFrame becomes a tibble (a data frame where R has no tibble). An index of text becomes
      row names, as in a data frame of R's own; any other index is left out.
    - A list becomes a list, also one of numbers: for a vector give an array. Only in the cell of
      a table, a list of texts or of numbers becomes a vector. A dict becomes a list with names.

    Examples
    --------
    >>> pixels = np.arange(6, dtype="uint8").reshape(1, 2, 3, 1)
    >>> list(to_r(pixels).do_slot("dim"))
    [1, 2, 3, 1]
    """
    rinterface = start()
    if isinstance(value, rinterface.Sexp):
        return value
    if value is None:
        return rinterface.NULL
    for kinds, convert in _TO_R:
        if isinstance(value, kinds):
            return convert(value)
    if hasattr(value, "to_bytes") and hasattr(value, "network_"):
        from diglot.r.fits import fit

        return fit(value)
    if value is pd.NA or value is pd.NaT:
        return rinterface.BoolSexpVector([rinterface.NA])
    raise InputError(f"R has nothing like an object of class {type(value).__name__}: {value!r}")


def _bytes_to_r(value: bytes) -> Any:
    return start().ByteSexpVector.from_memoryview(memoryview(value)) if value else _new("raw", (0,))


def _scalar_to_r(value: Any) -> Any:
    return _array_to_r(np.asarray([value], dtype=object if isinstance(value, str) else None))


def _list_to_r(value: Sequence[Any]) -> Any:
    return start().ListSexpVector([to_r(each) for each in value])


def _dict_to_r(value: Mapping[Any, Any]) -> Any:
    strange = [name for name in value if not isinstance(name, str)]
    if strange:
        raise InputError(f"a dict needs text as its keys to become a list of R, not {strange[0]!r}")
    answer = _list_to_r(list(value.values()))
    answer.names = _texts_to_r(list(value))
    return answer


def _array_to_r(array: np.ndarray) -> Any:
    """Return an array as R's array, or one with one dimension as a vector."""
    kind = array.dtype.kind
    if kind == "b":
        return _filled("logical", array)
    if kind in "iu":
        return _integers_to_r(array)
    if kind == "f":
        return _filled("double", array)
    if kind == "c":
        # R keeps pairs of doubles, as numpy does
        return _shaped(start().ComplexSexpVector(array.ravel(order="F").tolist()), array.shape)
    if kind in "mM":
        return _times_to_r(pd.Series(array.ravel(order="F")), days=array.dtype == "M8[D]")
    if kind in "UO":
        return _shaped(_objects_to_r(array.ravel(order="F").tolist()), array.shape)
    raise InputError(f"R has no arrays of numpy's {array.dtype}")


def _integers_to_r(array: np.ndarray, missing: np.ndarray | None = None) -> Any:
    if array.dtype.itemsize < 4 or not array.size:
        return _filled("integer", array, missing)
    low, high = int(array.min()), int(array.max())
    if low > -_INT and high < _INT:
        return _filled("integer", array, missing)
    if low >= -_LARGEST and high <= _LARGEST:
        return _filled("double", array, missing)
    worst = high if high > _LARGEST else low
    raise InputError(
        f"R has no whole number as large as {worst} (its doubles are exact up to 2^53): divide it, "
        "or turn it into text or float first"
    )


def _new(kind: str, shape: Sequence[int]) -> Any:
    return start().baseenv["vector"](kind, int(np.prod(shape, dtype=np.int64)))


def _shaped(vector: Any, shape: Sequence[int]) -> Any:
    """Give a vector that nobody else has seen its dimensions, where it is."""
    if len(shape) != 1:
        vector.do_slot_assign("dim", start().IntSexpVector([int(n) for n in shape or (1,)]))
    return vector


def _filled(kind: str, array: np.ndarray, missing: np.ndarray | None = None) -> Any:
    """Return numbers as a new vector or array of R: its memory is written once, and directly."""
    vector = _new(kind, array.shape)
    if array.size:
        memory = memory_of(vector)
        # Of doubles to doubles this moves bytes as they are, and so NA, which is one of many NaN.
        memory.reshape(array.shape, order="F")[...] = array
        if missing is not None and missing.any():
            memory[missing] = _missing(kind)
    return _shaped(vector, array.shape)


def _missing(kind: str) -> Any:
    rinterface = start()
    if kind == "double":
        return memory_of(rinterface.FloatSexpVector([rinterface.NA_Real]))[0]
    return -_INT


def _texts_to_r(values: Sequence[Any]) -> Any:
    rinterface = start()
    for value in values:
        if isinstance(value, str) and "\0" in value:
            raise InputError(f"R's texts hold no zero byte, as there is in {value!r}")
    return rinterface.StrSexpVector(
        [value if isinstance(value, str) else rinterface.NA_Character for value in values]
    )


def _objects_to_r(values: Sequence[Any]) -> Any:
    """Return Python objects as the simplest vector that holds them all, else as a list."""
    present = [value for value in values if not _is_missing(value)]
    kinds = {type(value) for value in present}
    missing = np.array([_is_missing(value) for value in values], bool)
    if all(issubclass(kind, str) for kind in kinds):
        return _texts_to_r(values)
    if kinds <= {bool, np.bool_}:
        return _filled("logical", _completed(values, missing, False), missing)
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        try:
            return _integers_to_r(_completed(values, missing, 0, np.int64), missing)
        except OverflowError as error:
            raise InputError("R has no whole numbers beyond 2^53") from error
    if all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds):
        return _filled("double", _completed(values, missing, np.nan, np.float64), missing)
    if all(issubclass(kind, (datetime.date, np.datetime64)) for kind in kinds):
        days = all(issubclass(k, datetime.date) and not hasattr(k, "hour") for k in kinds)
        return _times_to_r(pd.Series(pd.to_datetime(pd.Series(values))), days=days)
    return _list_to_r([_cell(value) for value in values])


def _cell(value: Any) -> Any:
    """Return what lies in one cell of a table: several texts or numbers are a vector there."""
    scalar = (str, bool, int, float, np.generic)
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, scalar) for v in value):
        vector = _objects_to_r(value)
        return value if isinstance(vector, start().ListSexpVector) else vector
    return value


def _completed(values: Sequence[Any], missing: np.ndarray, instead: Any, dtype: Any = bool) -> Any:
    pairs = zip(values, missing, strict=True)
    return np.array([instead if lost else value for value, lost in pairs], dtype)


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, (float, np.floating)) and value != value


def _times_to_r(times: pd.Series, *, days: bool = False) -> Any:
    rinterface = start()
    missing = times.isna().to_numpy()
    if times.dtype.kind == "m":
        vector = _filled("double", times.dt.total_seconds().to_numpy(np.float64), missing)
        vector.do_slot_assign("units", rinterface.StrSexpVector(["secs"]))
        vector.rclass = rinterface.StrSexpVector(["difftime"])
        return vector
    zone = getattr(times.dtype, "tz", None)
    plain = times.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else times
    nanoseconds = plain.to_numpy("M8[ns]").astype(np.int64)
    seconds = nanoseconds // 10**9 + (nanoseconds % 10**9) / 1e9
    vector = _filled("double", seconds / 86400 if days else seconds, missing)
    if not days:
        vector.do_slot_assign("tzone", rinterface.StrSexpVector([str(zone or "UTC")]))
    vector.rclass = rinterface.StrSexpVector(["Date"] if days else ["POSIXct", "POSIXt"])
    return vector


def _categorical_to_r(value: pd.Categorical) -> Any:
    rinterface = start()
    codes = np.asarray(value.codes, np.int32)
    vector = _filled("integer", codes + 1, codes < 0)
    levels = [spelled(category) for category in value.categories]
    vector.do_slot_assign("levels", rinterface.StrSexpVector(levels))
    kinds = ["ordered", "factor"] if value.ordered else ["factor"]
    vector.rclass = rinterface.StrSexpVector(kinds)
    return vector


def spelled(value: Any) -> str:
    """Return a class as R spells it: ``TRUE`` for True, ``3`` for 3.

    Examples
    --------
    >>> spelled(True), spelled(3.0), spelled("cat")
    ('TRUE', '3', 'cat')
    """
    if isinstance(value, (bool, np.bool_)):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _column_to_r(column: pd.Series) -> Any:
    """Return a column, or any Series, as a vector without names."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical_to_r(column.array)
    if dtype.kind in "mM" or isinstance(dtype, pd.DatetimeTZDtype):
        return _times_to_r(column)
    if isinstance(dtype, np.dtype):
        return _array_to_r(column.to_numpy())
    missing = column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(dtype):
        return _filled("logical", column.fillna(False).to_numpy(bool), missing)
    if pd.api.types.is_integer_dtype(dtype):
        return _integers_to_r(column.fillna(0).to_numpy(dtype.numpy_dtype), missing)
    if pd.api.types.is_float_dtype(dtype):
        return _filled("double", column.to_numpy(np.float64, na_value=np.nan), missing)
    if pd.api.types.is_string_dtype(dtype):
        return _texts_to_r(column.tolist())
    raise InputError(f"R has nothing like a column of pandas' {dtype}: convert it to text")


def _frame_to_r(frame: pd.DataFrame) -> Any:
    rinterface = start()
    columns = []
    for place, name in enumerate(frame.columns):
        try:
            columns.append(_column_to_r(frame.iloc[:, place]))
        except InputError as error:
            raise InputError(f"column {name!r}: {error}") from error
    answer = rinterface.ListSexpVector(columns)
    answer.names = _texts_to_r([spelled(name) for name in frame.columns])
    named = len(frame) > 0 and all(isinstance(name, str) for name in frame.index)
    if named and frame.index.is_unique:
        rows, kinds = _texts_to_r(frame.index.tolist()), ["data.frame"]
    else:
        rows = rinterface.IntSexpVector([rinterface.NA_Integer, -len(frame)])  # R's short form
        kinds = ["tbl_df", "tbl", "data.frame"] if _has_tibble() else ["data.frame"]
    answer.do_slot_assign("row.names", rows)
    answer.rclass = rinterface.StrSexpVector(kinds)
    return answer


@functools.cache
def _has_tibble() -> bool:
    """Load R's package tibble, without which tibbles print as data frames; say whether it is."""
    return bool(start().baseenv["requireNamespace"]("tibble", quietly=True)[0])


_TO_R: list[tuple[Any, Callable[[Any], Any]]] = [
    ((str, bool, int, float, complex, np.generic, datetime.date), _scalar_to_r),
    ((bytes, bytearray), _bytes_to_r),
    (np.ndarray, _array_to_r),
    (pd.DataFrame, _frame_to_r),
    (pd.Categorical, _categorical_to_r),
    ((pd.Series, pd.Index), lambda value: _column_to_r(pd.Series(value))),
    (pd.api.extensions.ExtensionArray, lambda value: _column_to_r(pd.Series(value))),
    (Mapping, _dict_to_r),
    ((list, tuple), _list_to_r),
]
