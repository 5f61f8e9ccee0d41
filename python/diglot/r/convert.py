"""Data, from Python to R and back: vectors, factors, arrays, lists and data frames."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.r.session import start

_LARGEST = 2**53  # up to here every whole number is a double
_INT = 2**31  # R's integers lie between -2^31 and 2^31; -2^31 itself is NA
_SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "days": 86400, "weeks": 604800}

# ---------------------------------------------------------------------------------- to R


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
        memory = _memory(vector)
        # Of doubles to doubles this moves bytes as they are, and so NA, which is one of many NaN.
        memory.reshape(array.shape, order="F")[...] = array
        if missing is not None and missing.any():
            memory[missing] = _missing(kind)
    return _shaped(vector, array.shape)


def _missing(kind: str) -> Any:
    rinterface = start()
    if kind == "double":
        return _memory(rinterface.FloatSexpVector([rinterface.NA_Real]))[0]
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

# ---------------------------------------------------------------------------------- to Python


def to_python(value: Any) -> Any:
    """Return an R object as a Python value.

    Parameters
    ----------
    value : R object

    Returns
    -------
    object
        NULL: None. A vector: an array, also one of a single number, as R has no others. A factor:
        a Categorical. A matrix or an array: an array of its shape. A data frame or tibble: a
        DataFrame. A list: a dict where it has names, else a list. A fit of diglot: the fitted
        model. What has no counterpart, such as a function: itself.

    Raises
    ------
    InputError
        If a list has names, but not a name of its own for each element.

    Notes
    -----
    Integers and doubles are R's own memory, not a copy: read-only views, column by column
    (``order="F"``), that keep the R object alive. Others are copied.

    NA: integers come as pandas' Int32 and logicals as its boolean where one is missing (as floats
    with NaN where they are a matrix or an array); texts hold None (a data frame's columns of text
    pandas.NA); doubles hold NaN, and numpy warns of the first computation with it; factors and
    dates are missing as pandas has it. Names of vectors and dimnames are left out, and row names
    that are only numbers.

    Examples
    --------
    >>> from diglot.r import evaluate
    >>> to_python(evaluate("matrix(1:6, 2)")).tolist()
    [[1, 3, 5], [2, 4, 6]]
    >>> to_python(evaluate("factor(c('low', NA), c('low', 'high'))")).categories.tolist()
    ['low', 'high']
    """
    rinterface = start()
    if not isinstance(value, rinterface.Sexp):
        return value
    if isinstance(value, rinterface.NULL.__class__):
        return None
    classes = set(value.rclass)
    if "diglot_model" in classes:
        from diglot.r.fits import model

        return model(value)
    if "data.frame" in classes:
        return _frame(value)
    if isinstance(value, rinterface.ListSexpVector):
        if "POSIXlt" in classes:
            return to_python(rinterface.baseenv["as.POSIXct"](value))
        return _list(value)
    if isinstance(value, rinterface.SexpVector) and value.typeof.name in _VECTORS:
        return _vector(value, classes)
    return value


_VECTORS = ("LGLSXP", "INTSXP", "REALSXP", "CPLXSXP", "STRSXP", "RAWSXP")


def _vector(value: Any, classes: set[str]) -> Any:
    if "factor" in classes:
        return _factor(value)
    if classes & {"Date", "POSIXct", "difftime", "integer64"}:
        return _special(value, classes)
    kind = value.typeof.name
    if kind == "STRSXP":
        missing = start().NA_Character
        texts = np.empty(len(value), object)
        texts[:] = [None if text is missing else str(text) for text in value]
        return texts.reshape(_dim(value), order="F")
    if kind == "CPLXSXP":
        return np.array(list(value), np.complex128).reshape(_dim(value), order="F")
    memory = _view(value)
    if kind == "RAWSXP":
        return memory
    if kind == "REALSXP":
        return memory
    missing = memory == -_INT
    if not missing.any():
        return memory.astype(bool) if kind == "LGLSXP" else memory
    if memory.ndim != 1:
        numbers = memory.astype(np.float64)
        numbers[missing] = np.nan
        return numbers
    if kind == "LGLSXP":
        return pd.arrays.BooleanArray(memory != 0, missing)
    return pd.arrays.IntegerArray(memory.copy(), missing)


def _attribute(value: Any, name: str) -> Any:
    """Return an attribute, or None. rpy2's own get_attrib() finds none where there are some."""
    try:
        return value.do_slot(name)
    except LookupError:
        return None


def _dim(value: Any) -> tuple[int, ...]:
    dim = _attribute(value, "dim")
    return (len(value),) if dim is None else tuple(int(n) for n in dim)


class _Owned:
    """The memory of R's vector as numpy takes it: the array's base, which keeps R's vector."""

    def __init__(self, vector: Any) -> None:
        self.vector = vector
        # rpy2's own arrays do not keep it: R may free the memory under them
        address = np.asarray(vector).ctypes.data
        self.__array_interface__ = {
            "shape": (len(vector),),
            "typestr": {"RAWSXP": "|u1", "REALSXP": "=f8"}.get(vector.typeof.name, "=i4"),
            "data": (address, False),
            "version": 3,
        }


def _memory(vector: Any) -> np.ndarray:
    """Return a vector's numbers where they are."""
    return np.asarray(_Owned(vector))


def _view(value: Any) -> np.ndarray:
    """Return numbers of R where they are, in their shape; nobody may write to them."""
    if not len(value):
        types = {"RAWSXP": np.uint8, "REALSXP": np.float64}
        return np.empty(_dim(value), types.get(value.typeof.name, np.int32), order="F")
    memory = _memory(value).reshape(_dim(value), order="F")
    memory.flags.writeable = False
    return memory


def _factor(value: Any) -> pd.Categorical:
    missing = start().NA_Character
    levels = list(value.do_slot("levels"))
    codes = _view(value).ravel()
    codes = np.where(codes == -_INT, 0, codes) - 1
    for place in (i for i, level in enumerate(levels) if level is missing):
        # a level that is NA itself, as addNA() makes it, is no category
        codes = np.where(codes == place, -1, codes - (codes > place))
    known = [str(level) for level in levels if level is not missing]
    return pd.Categorical.from_codes(codes, known, ordered="ordered" in value.rclass)


def _special(value: Any, classes: set[str]) -> Any:
    """Return what R keeps as numbers with a class that gives them a meaning."""
    numbers = _view(value).ravel()
    if "integer64" in classes:
        whole = numbers.view(np.int64)
        return pd.arrays.IntegerArray(whole.copy(), whole == np.iinfo(np.int64).min)
    missing = numbers == -_INT if numbers.dtype.kind == "i" else np.isnan(numbers)
    numbers = np.where(missing, np.nan, numbers)  # numpy warns where it computes with R's own NA
    if "Date" in classes:
        days = np.where(missing, np.iinfo(np.int64).min, np.floor(numbers))
        return days.astype(np.int64).view("M8[D]")
    if "difftime" in classes:
        factor = _SECONDS[str(value.do_slot("units")[0])]
        return pd.to_timedelta(numbers * factor, unit="s")
    zone = _attribute(value, "tzone")
    named = (str(zone[0]) if zone else "") or "UTC"
    whole = np.floor(np.where(missing, 0, numbers))
    rest = np.where(missing, 0, numbers) - whole
    nanoseconds = whole.astype(np.int64) * 10**9 + np.round(rest * 1e6).astype(np.int64) * 1000
    nanoseconds[missing] = np.iinfo(np.int64).min
    times = pd.DatetimeIndex(nanoseconds.view("M8[ns]"))
    return times.tz_localize("UTC").tz_convert(named)


def _list(value: Any) -> Any:
    values = [to_python(each) for each in value]
    names = _attribute(value, "names")
    if names is None:
        return values
    texts = [str(name) for name in names]
    if "" in texts or len(set(texts)) < len(texts):
        raise InputError(
            "a list of R becomes a dict only if each element has a name of its own: take the names "
            "off by unname(), or mend them by make.unique()"
        )
    return dict(zip(texts, values, strict=True))


def _frame(value: Any) -> pd.DataFrame:
    names = [str(name) for name in value.do_slot("names")]
    rows = value.do_slot("row.names")
    index: Any = pd.RangeIndex(len(rows))
    if isinstance(rows, start().StrSexpVector):
        index = pd.Index([str(row) for row in rows])
    columns = {i: pd.Series(_column(each), index=index) for i, each in enumerate(value)}
    frame = pd.DataFrame(columns, index=index)
    frame.columns = names
    return frame


def _column(value: Any) -> Any:
    answer = to_python(value)
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, pd.DataFrame):
        raise InputError("a data frame that is a column of another: tidyr::unpack() takes it out")
    if isinstance(answer, list) or (isinstance(answer, np.ndarray) and answer.ndim > 1):
        return _boxed(answer)
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        return pd.array(answer, dtype="string")
    if isinstance(answer, np.ndarray) and answer.dtype == "M8[D]":
        return answer.astype("M8[s]")
    return np.array(answer) if isinstance(answer, np.ndarray) else answer


def _boxed(values: Any) -> np.ndarray:
    """Return a list, or an array counted by its first dimension, as a column of its elements."""
    column = np.empty(len(values), object)
    for i, each in enumerate(values):
        column[i] = each
    return column
