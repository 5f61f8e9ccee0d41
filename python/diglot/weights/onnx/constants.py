"""ONNX's operators on constants: the arithmetic of shapes that exporters leave in the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from diglot.errors import ModelFileError

MOST_NUMBERS = 2**21
"""How many numbers a constant may have that is computed from smaller ones."""

Arrays = Sequence["np.ndarray | None"]

CASTS = {
    1: np.dtype("float32"),
    2: np.dtype("uint8"),
    3: np.dtype("int8"),
    6: np.dtype("int32"),
    7: np.dtype("int64"),
    9: np.dtype("bool"),
    10: np.dtype("float32"),  # half floats are widened everywhere
    11: np.dtype("float32"),
    16: np.dtype("float32"),
}
"""ONNX's numbers of element types, as far as constants are cast to them."""


def fold(op: str, inputs: Arrays, attrs: Mapping[str, Any]) -> np.ndarray | None:
    """Compute one operator's first output from constants.

    Parameters
    ----------
    op : str
        ONNX's name of the operator.
    inputs : sequence of ndarray or None
        None for an input that is left out.
    attrs : mapping
        The operator's attributes.

    Returns
    -------
    ndarray or None
        None for an operator that is not known here.

    Raises
    ------
    ModelFileError
        The operator cannot be applied to these constants.

    Examples
    --------
    >>> import numpy as np
    >>> fold("Mul", [np.array([2, 3]), np.array(4)], {})
    array([ 8, 12])
    """
    rule = _RULES.get(op)
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(rule(inputs, attrs))
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
        raise ModelFileError(f"it cannot be applied to its constants: {error}") from error
    return result


def axes_of(inputs: Arrays, attrs: Mapping[str, Any], at: int = 1) -> list[int] | None:
    """Return the axes of an operator, an attribute until opset 12 or 17 and an input since."""
    if "axes" in attrs:
        return [int(axis) for axis in attrs["axes"]]
    if len(inputs) > at and inputs[at] is not None:
        return whole_numbers(inputs[at])
    return None


def whole_numbers(array: Any) -> list[int]:
    """Return a constant list of whole numbers, such as a shape."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iub" or array.size > 64:
        raise ModelFileError("it needs a short constant list of whole numbers")
    return [int(number) for number in array.reshape(-1)]


def _bounded(shape: Sequence[int], inputs: Arrays = ()) -> tuple[int, ...]:
    most = max(MOST_NUMBERS, sum(array.size for array in inputs if array is not None))
    if not all(side >= 0 for side in shape) or math.prod(shape) > most:
        raise ValueError(f"a constant of shape {tuple(shape)} is too large")
    return tuple(shape)


def _elementwise(function: Callable[..., Any]) -> Callable[[Arrays, Mapping[str, Any]], Any]:
    def rule(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
        _bounded(np.broadcast_shapes(*(array.shape for array in inputs)), inputs)
        result = function(*inputs)
        kinds = {array.dtype.kind for array in inputs}
        floats = kinds == {"f"} and result.dtype.kind == "f"
        return result.astype(np.float32, copy=False) if floats else result

    return rule


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        raise ValueError("division by zero")
    quotient = np.abs(a) // np.abs(b)  # ONNX rounds towards zero
    return np.where((a < 0) != (b < 0), -quotient, quotient)


def _gather(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    data, places = inputs
    axis = attrs.get("axis", 0)
    _bounded((math.prod(data.shape) // max(1, data.shape[axis]), places.size), inputs)
    return np.take(data, places.astype(np.int64), axis)


def _slice(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    data = inputs[0]
    cuts = [slice(None)] * data.ndim
    for axis, first, last, step in slices(inputs, attrs, data.ndim):
        cuts[axis] = slice(first, last, step)
    return data[tuple(cuts)]


def slices(
    inputs: Arrays, attrs: Mapping[str, Any], rank: int
) -> list[tuple[int, int, int | None, int]]:
    """Return axis, start, end and step of each cut that the operator Slice makes.

    Attributes until opset 9, inputs since.
    """
    if "starts" in attrs:
        starts, ends = list(attrs["starts"]), list(attrs["ends"])
        axes, steps = list(attrs.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        given = [None if array is None else whole_numbers(array) for array in inputs[1:]]
        starts, ends, axes, steps = (*given, None, None)[:4]
        axes = list(range(len(starts))) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
    cuts = []
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        if not -rank <= axis < rank or step == 0:
            raise ModelFileError(f"it cuts axis {axis} in steps of {step}")
        # The smallest number stands for "down to the first", included.
        open_end = last >= 2**31 - 1 or (step < 0 and last < -(2**31) + 2)
        cuts.append((axis % rank, first, None if open_end else last, step))
    return cuts


def _concat(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    return np.concatenate(inputs, attrs["axis"])


def _squeeze(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    axes = axes_of(inputs, attrs)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    return np.expand_dims(inputs[0], tuple(axes_of(inputs, attrs)))


def _reshape(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    data, shape = inputs[0], whole_numbers(inputs[1])
    if not attrs.get("allowzero"):
        shape = [data.shape[i] if side == 0 else side for i, side in enumerate(shape)]
    return data.reshape(shape)


def _expand(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(whole_numbers(inputs[1])))
    return np.broadcast_to(inputs[0], _bounded(shape))


def _constant_of_shape(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    value = attrs.get("value")
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(_bounded(whole_numbers(inputs[0])), value.reshape(-1)[0])


def _range(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    first, last, step = (array.item() for array in inputs)
    _bounded((math.ceil((last - first) / step) if step else -1,))
    return np.arange(first, last, step, dtype=inputs[0].dtype)


def _flatten(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    axis = attrs.get("axis", 1)
    return inputs[0].reshape(math.prod(inputs[0].shape[:axis]), -1)


def _cast(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    return inputs[0].astype(CASTS[attrs["to"]], copy=False)


def _transpose(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
    return np.transpose(inputs[0], attrs.get("perm"))


def _reduce(function: Callable[..., Any]) -> Callable[[Arrays, Mapping[str, Any]], Any]:
    def rule(inputs: Arrays, attrs: Mapping[str, Any]) -> Any:
        axes = axes_of(inputs, attrs)
        kept = bool(attrs.get("keepdims", 1))
        return function(inputs[0], None if axes is None else tuple(axes), keepdims=kept)

    return rule


_RULES: dict[str, Callable[[Arrays, Mapping[str, Any]], Any]] = {
    "Identity": lambda inputs, attrs: inputs[0],
    "Dropout": lambda inputs, attrs: inputs[0],
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
    "Pow": _elementwise(np.power),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Sqrt": _elementwise(np.sqrt),
    "Reciprocal": _elementwise(np.reciprocal),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Equal": _elementwise(np.equal),
    "Where": _elementwise(np.where),
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": _cast,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Shape": lambda inputs, attrs: np.array(inputs[0].shape[slice_of_shape(attrs)], np.int64),
}


def slice_of_shape(attrs: Mapping[str, Any]) -> slice:
    """Return the part of a shape that the operator Shape gives, all of it until opset 14."""
    return slice(attrs.get("start", 0), attrs.get("end"))
