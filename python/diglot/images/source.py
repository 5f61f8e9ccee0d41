"""What may be given as images, and how it becomes an `ImageSet`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from diglot.errors import ImageError, InputError
from diglot.images.image_set import ImageSet
from diglot.images.memory import available_memory
from diglot.images.pillow import from_pillow

_BLOCK_BYTES = 1 << 24


class _InputTypeError(InputError, TypeError):
    """An input of the wrong kind; scikit-learn's checks look for a TypeError there."""


def as_images(x: Any, *, column: str | None = None, allow_empty: bool = False) -> ImageSet:
    """Bring whatever holds images into one form.

    Parameters
    ----------
    x : array, list, data frame, path or ImageSet
        - An array (n, height, width) or (n, height, width, channels).
        - A 2-d array (n, p), or a data frame of p > 1 numeric columns: each row is a flat square
          image if p is a square number, else an image 1 pixel high and p wide; one channel.
        - A list of arrays (height, width) or (height, width, channels), which may differ in size,
          or of Pillow images.
        - A list, Series, Index or one-column array of paths, or a single path.
        - A data frame with a column of paths or arrays.

        8-bit and 16-bit unsigned integers keep their type (they are scaled to 0...1 later), all
        other numbers are taken as they are, as float32.
    column : str, optional
        The column of a data frame; by default "image", or its only column.
    allow_empty : bool
        Whether no images at all are fine.

    Returns
    -------
    ImageSet
        The images in the same order.

    Raises
    ------
    InputError
        If there is nothing to use, or a row is missing, not finite or not an image; the message
        names the row, counting from 1.

    Examples
    --------
    >>> as_images(np.zeros((10, 64))).sizes()[0].tolist()
    [8, 8]
    >>> as_images(["a.png", "b.png"]).name(1)
    'b.png'
    """
    if isinstance(x, ImageSet):
        return _checked_length(x, allow_empty)
    if x is None:
        raise InputError("There are no images: X is None; give an array, paths or a data frame.")
    if _is_sparse(x):
        raise _InputTypeError(
            "Sparse data was passed for the images, but dense data is required; use X.toarray()."
        )
    if isinstance(x, (str, os.PathLike)):
        return _from_items([x], "the paths", allow_empty)
    if _is_frame(x):
        return _from_frame(x, column, allow_empty)
    if _from_pandas(x):
        where = "the Series" if getattr(x, "name", None) is None else f"column '{x.name}'"
        return _from_items(list(x), where, allow_empty)
    if isinstance(x, Sequence) and not isinstance(x, (bytes, bytearray)):
        return _from_items(list(x), "the list", allow_empty)
    if isinstance(x, np.ndarray) or hasattr(x, "__array__"):
        array = np.asarray(x)
        items = array.dtype.kind in "OUT" and array.size and _is_item(array.flat[0])
        if items and (array.ndim == 1 or array.shape[1:] == (1,)):
            return _from_items(list(array.ravel()), "the array", allow_empty)
        return _from_array(array, "the array", allow_empty)
    raise InputError(
        f"Images cannot be a {type(x).__name__}; give an array, a list of arrays or paths, or a "
        "data frame with a column 'image'."
    )


def _is_sparse(x: Any) -> bool:
    return hasattr(x, "toarray") and hasattr(x, "nnz")


def _is_frame(x: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(x, pandas.DataFrame)


def _from_pandas(x: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(
        x, (pandas.Series, pandas.Index, pandas.api.extensions.ExtensionArray)
    )


def _is_item(value: Any) -> bool:
    """Return whether one element of an object array is an image or a path, not a number."""
    return isinstance(value, (str, os.PathLike, np.ndarray)) or _is_pillow(value)


def _is_pillow(value: Any) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _checked_length(images: ImageSet, allow_empty: bool) -> ImageSet:
    if not len(images) and not allow_empty:
        raise InputError("Found 0 sample(s) while a minimum of 1 is required; give some images.")
    return images


def _from_frame(x: Any, column: str | None, allow_empty: bool) -> ImageSet:
    names = list(x.columns)
    if column is not None:
        if column not in names:
            raise InputError(
                f"The data frame has no column '{column}'; its columns are: {_listed(names)}."
            )
    elif "image" in names:
        column = "image"
    elif len(names) == 1:
        column = names[0]
    elif names and all(_kind(dtype) in "buif" for dtype in x.dtypes):
        # scikit-learn's way to write a table of numbers, for example one column for each pixel.
        return _from_array(x.to_numpy(), "the data frame", allow_empty)
    else:
        raise InputError(
            "The data frame has no column 'image'; rename the column with the paths or arrays, or "
            f"name it. Its columns are: {_listed(names)}."
        )
    if names.count(column) > 1:
        raise InputError(f"The data frame has several columns '{column}'; keep one of them.")
    values = x[column]
    if _kind(values.dtype) in "buif" and len(names) == 1 and len(values):
        return _from_array(x.to_numpy(), "the data frame", allow_empty)
    return _from_items(list(values), f"column '{column}'", allow_empty)


def _kind(dtype: Any) -> str:
    """Return numpy's one-letter kind of a column's type; pandas' own types know theirs too."""
    return getattr(dtype, "kind", "O")


def _listed(names: list[Any]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:8])
    return (shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "none"


def _from_items(items: list[Any], where: str, allow_empty: bool) -> ImageSet:
    if not items:
        return _checked_length(
            ImageSet.from_array(np.zeros((0, 1, 1, 1), "uint8"), where), allow_empty
        )
    gaps = [i for i, item in enumerate(items) if _is_missing(item)]
    # A list of numbers with a NaN is no list of images with one missing; let the array rule speak.
    if gaps and not all(isinstance(item, (int, float, complex, np.number)) for item in items):
        rows = ", ".join(str(i + 1) for i in gaps[:5]) + (" ..." if len(gaps) > 5 else "")
        raise InputError(
            f"The image is missing (NA or an empty path) in row{'s' * (len(gaps) > 1)} {rows} of "
            f"{where}; remove {'these rows' if len(gaps) > 1 else 'this row'} or fill the gap."
        )
    paths = [isinstance(item, (str, os.PathLike)) for item in items]
    if all(paths):
        return ImageSet.from_files([_path(item, i, where) for i, item in enumerate(items)], where)
    if any(paths):
        odd = paths.index(not paths[0])
        raise InputError(
            f"Row {odd + 1} of {where} is {'a path' if paths[odd] else 'no path'}, unlike row 1; "
            "give only paths or only arrays."
        )
    return _from_arrays(items, where, allow_empty)


def _path(item: Any, i: int, where: str) -> str:
    path = os.fspath(item)
    if not isinstance(path, str):
        path = os.fsdecode(path)
    if "\0" in path:
        raise InputError(f"The path in row {i + 1} of {where} contains a NUL character.")
    return path


def _from_arrays(items: list[Any], where: str, allow_empty: bool) -> ImageSet:
    images = []
    for i, item in enumerate(items):
        try:
            image = from_pillow(item) if _is_pillow(item) else np.asarray(item)
        except ValueError as error:
            raise InputError(f"Row {i + 1} of {where} is not a regular array: {error}.") from error
        images.append(image)
    dimensions = {image.ndim for image in images}
    if dimensions <= {0, 1}:
        # Rows of numbers: a 2-d array that was written as a list (0-d: a 1-d array).
        try:
            rows = np.asarray(items if dimensions != {1} else images)
        except ValueError as error:
            raise InputError(
                f"The rows of {where} have different lengths; give (height, width) arrays for "
                "images of different sizes."
            ) from error
        return _from_array(rows, where, allow_empty)
    for i, image in enumerate(images):
        if image.ndim not in (2, 3) or 0 in image.shape:
            raise InputError(
                f"Row {i + 1} of {where} has the shape {image.shape}; an image is (height, width) "
                "or (height, width, channels)."
            )
    shapes = {image.shape for image in images}
    types = {image.dtype for image in images}
    if len(shapes) == 1 and len(types) == 1:
        size = images[0].nbytes * len(images)
        if size < available_memory() // 4 or size < _BLOCK_BYTES:
            whole = np.stack(images)
            return _from_array(whole, where, allow_empty)
    return ImageSet.from_list(
        [
            _numbers(image[None] if image.ndim == 3 else image[None, :, :, None], where, i)[0]
            for i, image in enumerate(images)
        ],
        where,
    )


def _from_array(array: np.ndarray, where: str, allow_empty: bool) -> ImageSet:
    if array.ndim == 0:
        raise InputError(f"Images cannot be a single number ({array}); give an array of images.")
    if array.dtype.kind == "c":
        raise InputError("Complex data not supported: images are real numbers.")
    if array.ndim == 1:
        raise InputError(
            "Expected images, got a 1-d array of numbers. Reshape your data: "
            "array.reshape(1, -1) is one image in one row; (n, height, width) is usual."
        )
    if array.ndim > 4:
        raise InputError(
            f"{where.capitalize()} has {array.ndim} dimensions, shape {array.shape}; images are "
            "(n, height, width) or (n, height, width, channels)."
        )
    if 0 in array.shape[1:]:
        raise InputError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if array.shape[0] == 0 and not allow_empty:
        raise InputError(
            f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    numbers = _numbers(array, where)
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        height, width = (side, side) if side * side == array.shape[1] else (1, array.shape[1])
        numbers = numbers.reshape(len(array), height, width, 1)
    elif array.ndim == 3:
        numbers = numbers[:, :, :, None]
    return ImageSet.from_array(numbers, where)


def _numbers(array: np.ndarray, where: str, first: int = 0) -> np.ndarray:
    """Return the array as C-ordered uint8, uint16 or float32; the user's own where it is so."""
    kind = array.dtype.kind
    if kind == "c":
        raise InputError("Complex data not supported: images are real numbers.")
    if kind == "O":
        try:
            array = array.astype(np.float64)
        except TypeError as error:
            raise _InputTypeError(
                f"{where.capitalize()} holds what is no number: {error}."
            ) from None
        except ValueError as error:
            raise InputError(f"{where.capitalize()} holds what is no number: {error}.") from None
    elif kind not in "buif":
        raise InputError(
            f"{where.capitalize()} holds {array.dtype} values, which are no numbers; give pixels "
            "as numbers, or paths as a list."
        )
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.dtype.kind == "b":
        return np.ascontiguousarray(array, np.float32)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, np.float32)
    if array.dtype.kind == "f":
        _refuse_nonfinite(array, numbers, where, first)
    return numbers


def _refuse_nonfinite(original: np.ndarray, numbers: np.ndarray, where: str, first: int) -> None:
    block = max(1, _BLOCK_BYTES // max(1, numbers[:1].nbytes))
    for start in range(0, len(numbers), block):
        good = np.isfinite(numbers[start : start + block].reshape(-1, numbers[0].size)).all(axis=1)
        if good.all():
            continue
        row = start + int(np.argmin(good))
        values = np.asarray(original[row], np.float64)
        if np.isnan(values).any():
            what = "NaN (a missing value)"
        elif np.isinf(values).any():
            what = "inf (infinity)"
        else:
            what = "a value too large for float32, which becomes inf"
        raise ImageError(
            f"Row {first + row + 1} of {where} contains {what}; replace it or remove the row."
        )
