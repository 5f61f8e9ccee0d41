"""How ONNX moves numbers, or sums them up along axes, in MXNet's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx.constants import axes_of, slice_of_shape, slices, whole_numbers
from diglot.weights.onnx.step import Step
from diglot.weights.onnx.windows import global_pool

BATCH = 1_000_000_007
"""Stands for the number of images in constants that are made from shapes; no file has it."""

_MOST_PIECES = 1024  # of a Split


def _reduce(op: str, pool: str | None = None) -> Callable[[Step], Tensor]:
    """Reduce axes; over an image's rows and columns it is a global pooling."""

    def rule(step: Step) -> Tensor:
        x, rank = step.x, len(step.x.shape) + 1
        given = axes_of([None, step.optional(1)], step.attrs)
        if given is None and step.attrs.get("noop_with_empty_axes"):
            return x
        axes = sorted(_axes(given, rank))
        keep = bool(step.whole("keepdims", 1))
        if axes == [2, 3] and rank == 4 and pool:
            pooled = global_pool(pool)(step)
            return pooled if keep else step.layer("Flatten", pooled)
        return step.layer(op, x, axis=tuple(axes), keepdims=keep)

    return rule


def _axes(given: Sequence[int] | None, rank: int) -> list[int]:
    """Return axes counted from the front; the first holds the images, which stay apart."""
    if not given or not all(-rank <= axis < rank for axis in given):
        raise ModelFileError(f"its axes are {given}, where the input has {rank}")
    axes = [axis % rank for axis in given]
    if 0 in axes or len(set(axes)) != len(axes):
        raise ModelFileError(f"its axes are {given}: the images of a batch must stay apart")
    return axes


def _shape(step: Step) -> np.ndarray:
    return np.array((BATCH, *step.x.shape), np.int64)[slice_of_shape(step.attrs)]


def _flatten(step: Step) -> Tensor:
    rank = len(step.x.shape) + 1
    axis = step.whole("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis <= rank or math.prod(step.x.shape[: axis - 1]) != 1:
        raise ModelFileError(f"its axis {axis} would mix the images of a batch")
    return step.layer("Flatten", step.x)


def _reshape(step: Step) -> Tensor:
    x, shape = step.x, whole_numbers(step.constant(1))
    if step.attrs.get("allowzero") and 0 in shape:
        raise ModelFileError("its shape holds a zero that does not mean: keep the side")
    whole = (BATCH, *x.shape)
    sides = [whole[i] if side == 0 and i < len(whole) else side for i, side in enumerate(shape)]
    rest = sides[1:]
    known = math.prod(side for side in rest if side != -1)
    if rest.count(-1) == 1 and known and not math.prod(x.shape) % known:
        rest = [math.prod(x.shape) // known if side == -1 else side for side in rest]
    # The first side may be the batch by name, unknown, or the number with which it was exported.
    if not rest or min(rest) < 1 or math.prod(rest) != math.prod(x.shape):
        raise ModelFileError(f"its shape {tuple(shape)} does not fit images of {x.shape}")
    if len(rest) == 1:
        return step.layer("Flatten", x)
    return step.layer("Reshape", x, shape=(0, *rest))


def _transpose(step: Step) -> Tensor:
    rank = len(step.x.shape) + 1
    axes = tuple(step.attrs.get("perm") or range(rank)[::-1])
    if step.network.image.channels_last and step.node.inputs[0] == step.network.image.name:
        return step.x  # from channels last to channels first, as the graph's input is anyway
    if axes[0] != 0:
        raise ModelFileError(f"its perm {axes} moves the images of a batch")
    return step.layer("transpose", step.x, axes=axes)


def _squeeze(step: Step) -> Tensor:
    x, rank = step.x, len(step.x.shape) + 1
    given = axes_of([None, step.optional(1)], step.attrs)
    if given is None:
        given = [i + 1 for i, side in enumerate(x.shape) if side == 1]
    axes = _axes(given, rank) if given else []
    if any(x.shape[axis - 1] != 1 for axis in axes):
        raise ModelFileError(f"its axes {given} of {x.shape} are not all of size 1")
    return step.layer("squeeze", x, axis=tuple(sorted(axes))) if axes else x


def _unsqueeze(step: Step) -> Tensor:
    x, given = step.x, axes_of([None, step.optional(1)], step.attrs)
    for axis in sorted(_axes(given, len(x.shape) + 1 + len(given or ()))):
        x = step.layer("expand_dims", x, axis=axis)
    return x


def _concat(step: Step) -> Tensor:
    if not all(isinstance(value, Tensor) for value in step.inputs):
        raise ModelFileError("it joins constants to outputs")
    (axis,) = _axes([step.whole("axis", 1)], len(step.x.shape) + 1)
    return step.layer("Concat", *step.inputs, dim=axis, num_args=len(step.inputs))


def _gather(step: Step) -> Tensor:
    x, place = step.x, step.constant(1)
    (axis,) = _axes([step.whole("axis", 0)], len(x.shape) + 1)
    if place.size != 1 or place.ndim > 1:
        raise ModelFileError("it picks several places; diglot knows one")
    (at,) = whole_numbers(place)
    at = at + x.shape[axis - 1] if at < 0 else at
    piece = step.layer("slice_axis", x, axis=axis, begin=at, end=at + 1)
    return piece if place.ndim else step.layer("squeeze", piece, axis=axis)


def _slice(step: Step) -> Tensor:
    x = step.x
    constants = [None, *(step.optional(i) for i in range(1, len(step.inputs)))]
    for axis, first, last, stride in slices(constants, step.attrs, len(x.shape) + 1):
        if axis == 0 or stride != 1:
            raise ModelFileError(f"it cuts axis {axis} in steps of {stride}")
        begin, end, _ = slice(first, last).indices(x.shape[axis - 1])
        x = step.layer("slice_axis", x, axis=axis, begin=begin, end=end)
    return x


def _split(step: Step) -> list[Tensor | None]:
    x = step.x
    (axis,) = _axes([step.whole("axis", 0)], len(x.shape) + 1)
    side, count = x.shape[axis - 1], len(step.node.outputs)
    if count > _MOST_PIECES:
        raise ModelFileError(f"it splits into {count}; diglot knows {_MOST_PIECES} at most")
    given = step.attrs.get("split") or (step.optional(1) if len(step.inputs) > 1 else None)
    if given is None:
        sizes = [-(-side // count)] * (count - 1)
        sizes.append(side - sum(sizes))
    else:
        sizes = whole_numbers(np.asarray(given))
    if len(sizes) != count or sum(sizes) != side or min(sizes) < 1:
        raise ModelFileError(f"it splits {side} into {sizes}, and has {count} outputs")
    pieces: list[Tensor | None] = []
    at = 0
    for size, name in zip(sizes, step.node.outputs, strict=True):
        piece = {"axis": axis, "begin": at, "end": at + size}
        pieces.append(step.layer("slice_axis", x, **piece) if name else None)
        at += size
    return pieces


def _pad(step: Step) -> Tensor:
    x, mode = step.x, step.attrs.get("mode", "constant")
    rank = len(x.shape) + 1
    if mode not in ("constant", "reflect", "edge"):
        raise ModelFileError(f"its mode is {mode!r}; diglot knows constant, reflect and edge")
    pads = step.attrs.get("pads") or whole_numbers(step.constant(1))
    value = step.attrs.get("value", step.number(2) or 0.0)
    axes = step.optional(3)
    axes = range(rank) if axes is None else [a % rank for a in whole_numbers(axes)]
    if len(pads) != 2 * len(axes) or not all(0 <= p < 2**20 for p in pads):
        raise ModelFileError(f"its pads are {tuple(pads)}")
    if not any(pads):
        return x
    widths = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        widths[2 * axis : 2 * axis + 2] = pads[i], pads[i + len(axes)]
    if rank != 4 or any(widths[:4]):
        raise ModelFileError("it pads other axes than an image's rows and columns")
    return step.layer("Pad", x, mode=mode, pad_width=tuple(widths), constant_value=value)


SHAPES: dict[str, Callable[[Step], Any]] = {
    "ReduceMean": _reduce("mean", "avg"),
    "ReduceMax": _reduce("max", "max"),
    "ReduceMin": _reduce("min"),
    "ReduceSum": _reduce("sum"),
    "ReduceL2": _reduce("norm"),
    "Shape": _shape,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
}
