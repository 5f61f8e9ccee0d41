"""Data from R to Python: arrays, categoricals, lists, dicts and data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.r.memory import memory_of
from diglot.r.session import start

_LARGEST = 2**53  # up to here every whole number is a double
_INT = 2**31  # R's integers lie between -2^31 and 2^31; -2^31 itself is NA
_SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "days": 86400, "weeks": 604800}


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


def _view(value: Any) -> np.ndarray:
    """Return numbers of R where they are, in their shape; nobody may write to them."""
    if not len(value):
        types = {"RAWSXP": np.uint8, "REALSXP": np.float64}
        return np.empty(_dim(value), types.get(value.typeof.name, np.int32), order="F")
    memory = memory_of(value).reshape(_dim(value), order="F")
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
