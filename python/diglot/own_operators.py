"""Operators of one's own: plain functions of NumPy arrays, with their gradients, under a name.

A network's file tells the name only. No code ever comes from a file: where the name is not
registered, the file is refused, and the message says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.errors import DiglotError, InputError, ModelFileError

OP_TYPE = "diglot"  # under which MXNet knows all of them
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_NO_NAMES = {"True", "False", "None", "true", "false", "null"}

Function = Callable[..., Any]


@dataclass(frozen=True)
class OwnOperator:
    """An operator of one's own: see `register_operator`."""

    name: str
    forward: Function
    backward: Function | None
    shape: Function

    def output(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return what ``forward`` makes of a batch, checked.

        Raises
        ------
        InputError
            If it has another shape than ``shape`` says.
        """
        found = np.asarray(self.forward(*inputs))
        wanted = (len(inputs[0]), *self.shape(*(x.shape[1:] for x in inputs)))
        if found.shape != wanted:
            raise InputError(
                f"the own operator {self.name!r} was to return the shape {wanted} of its forward "
                f"function and returned {found.shape}"
            )
        return found

    def gradients(
        self, gradient: np.ndarray, inputs: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, ...]:
        """Return what ``backward`` makes of a gradient, checked: one array for each input.

        Raises
        ------
        InputError
            If there are not as many, or their shapes are not the inputs'.
        """
        if self.backward is None:
            return tuple(map(np.zeros_like, inputs))
        found = self.backward(gradient, *inputs)
        several = tuple(map(np.asarray, found if isinstance(found, (tuple, list)) else (found,)))
        shapes, wanted = [g.shape for g in several], [x.shape for x in inputs]
        if shapes != wanted:
            raise InputError(
                f"the own operator {self.name!r} was to return gradients of the shapes {wanted} of "
                f"its backward function and returned {shapes}"
            )
        return several


_REGISTERED: dict[str, OwnOperator] = {}


def register_operator(
    name: str,
    forward: Function,
    backward: Function | None = None,
    shape: Function | None = None,
) -> None:
    """Register an operator of your own, for networks that are written or loaded afterwards.

    Networks use it by `diglot.networks.layers.own`. It is computed on the CPU, also where the
    rest of a network is not, so it costs a copy there and back on a GPU.

    Parameters
    ----------
    name : str
        Letters, digits and ``_``. A later operator of the same name takes its place.
    forward : callable
        ``forward(x, ...)``: of the inputs, float32 arrays with the batch in front and images as
        (n, channel, height, width), to one array. Each row is to depend on the same row only.
    backward : callable, optional
        ``backward(gradient, x, ...)``: of the loss's gradient by the output, and the inputs, to
        the gradient by each input: one array, or a tuple. Without it none passes.
    shape : callable, optional
        ``shape(a, ...)``: of the inputs' shapes, without the batch, to that of the output. By
        default the first input's.

    Raises
    ------
    InputError
        If the name is no name, or something is no function.

    See Also
    --------
    check_operator : hold a gradient against differences.

    Examples
    --------
    >>> register_operator(
    ...     "cubed", lambda x: x**3, lambda gradient, x: gradient * 3 * x**2
    ... )
    >>> check_operator("cubed", np.array([[0.5, -2.0]])) < 1e-6
    True
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _NO_NAMES:
        raise InputError(
            f"an operator's name must be of letters, digits and '_', and begin with a letter; "
            f"{name!r} is not"
        )
    for what, function in (("forward", forward), ("backward", backward), ("shape", shape)):
        if not callable(function) and (function is not None or what == "forward"):
            raise InputError(f"{what} of the operator {name!r} must be a function: {function!r}")
    _REGISTERED[name] = OwnOperator(name, forward, backward, shape or _same_as_first)


def _same_as_first(first: tuple[int, ...], *others: tuple[int, ...]) -> tuple[int, ...]:
    return first


def own_operator(name: Any) -> OwnOperator:
    """Return the operator that was registered under a name.

    Raises
    ------
    ModelFileError
        If none was.
    """
    if not isinstance(name, str) or name not in _REGISTERED:
        raise ModelFileError(
            f"it is the own operator {name!r}, which is not registered here: call "
            f"diglot.register_operator({name!r}, forward, backward) first; its code is not in "
            "the file"
        )
    return _REGISTERED[name]


def told_failure(name: str, failure: BaseException) -> BaseException:
    """Return a failure in words that name the operator; interrupts stay as they are."""
    if isinstance(failure, DiglotError) or not isinstance(failure, Exception):
        return failure
    told = InputError(f"the own operator {name!r} failed: {type(failure).__name__}: {failure}")
    told.__cause__ = failure
    return told


def check_operator(name: str, *inputs: Any, step: float = 1e-4, seed: int = 0) -> float:
    """Hold an own operator's gradient against differences, in double precision.

    Parameters
    ----------
    name : str
        What it was registered as.
    *inputs : array
        With the batch in front; away from places where the operator has kinks.
    step : float
        By which numbers are moved to both sides.
    seed : int
        Of the gradient that is handed to ``backward``.

    Returns
    -------
    float
        The largest difference, as a part of the largest gradient: about 1e-8 where ``backward``
        is right.

    Raises
    ------
    InputError
        If a function returns another shape than it has to, or no number.
    ModelFileError
        If there is no operator of that name.

    Examples
    --------
    >>> register_operator("doubled", lambda x: 2 * x, lambda gradient, x: 3 * gradient)
    >>> round(check_operator("doubled", np.ones((2, 3))), 3)
    0.5
    """
    operator = own_operator(name)
    arrays = [np.array(x, np.float64) for x in inputs]
    if not arrays or any(x.ndim < 1 for x in arrays):
        raise InputError("give the arrays that the operator takes, with the batch in front")
    output = operator.output(arrays)
    gradient = np.random.default_rng(seed).normal(size=output.shape)
    told = operator.gradients(gradient, arrays)
    measured = [np.empty_like(x) for x in arrays]
    for array, by in zip(arrays, measured, strict=True):
        for place in np.ndindex(array.shape):
            kept, ends = array[place], []
            for moved in (kept + step, kept - step):
                array[place] = moved
                ends.append(float((operator.output(arrays) * gradient).sum()))
            array[place] = kept
            by[place] = (ends[0] - ends[1]) / (2 * step)
    scale = max(float(np.abs(by).max(initial=0.0)) for by in measured) or 1.0
    off = max(float(np.abs(a - b).max()) for a, b in zip(told, measured, strict=True)) / scale
    if not np.isfinite(off):
        raise InputError(f"the own operator {name!r} returns what is no finite number")
    return off
