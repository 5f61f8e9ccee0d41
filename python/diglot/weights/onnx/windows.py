"""What ONNX computes in windows that move over an image, in MXNet's operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx.step import Step

_LOWEST = float(np.finfo(np.float32).min)


def _conv(step: Step) -> Tensor:
    x, weight = step.image(), step.floats(1)
    if weight.ndim != 4:
        raise ModelFileError(f"its weight has the shape {weight.shape}; images need four sides")
    kernel = weight.shape[2:]
    if tuple(step.attrs.get("kernel_shape") or kernel) != kernel:
        raise ModelFileError(
            f"its kernel_shape {step.attrs['kernel_shape']} contradicts its weight's {kernel}"
        )
    group, stride, dilate = step.whole("group", 1), step.pair("strides"), step.pair("dilations")
    if weight.shape[1] * group != x.shape[0]:
        raise ModelFileError(
            f"its weight {step.node.inputs[1]!r} of shape {weight.shape} in {group} group(s) does "
            f"not fit an input of shape {x.shape}"
        )
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilate, strict=True))
    before, after = _pads(step, x.shape[1:], span, stride)
    if before != after:
        x, before = _padded(step, x, before, after, 0.0), (0, 0)
    bias = step.optional(2)
    weights = {"weight": weight, **({} if bias is None else {"bias": step.floats(2)})}
    return step.layer(
        "Convolution",
        x,
        weights=weights,
        kernel=kernel,
        stride=stride,
        dilate=dilate,
        pad=before,
        num_filter=weight.shape[0],
        num_group=group,
        no_bias=bias is None,
    )


def _pads(
    step: Step, sides: Sequence[int], span: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how many rows and columns are added before, and after."""
    auto = step.attrs.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return (0, 0), (0, 0)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-side // s) - 1) * s + k - side, 0)
            for side, k, s in zip(sides, span, stride, strict=True)
        ]
        small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    if auto != "NOTSET":
        raise ModelFileError(f"its auto_pad is {auto!r}")
    pads = step.attrs.get("pads") or (0, 0, 0, 0)
    if len(pads) != 4 or not all(type(p) is int and 0 <= p < 2**20 for p in pads):
        raise ModelFileError(f"its pads are {pads!r}")
    return tuple(pads[:2]), tuple(pads[2:])


def _padded(
    step: Step, x: Tensor, before: Sequence[int], after: Sequence[int], value: float
) -> Tensor:
    widths = (0, 0, 0, 0, before[0], after[0], before[1], after[1])
    return step.layer("Pad", x, mode="constant", pad_width=widths, constant_value=value)


def _max_pool(step: Step) -> Tensor:
    if len([name for name in step.node.outputs if name]) > 1:
        raise ModelFileError("it gives the places of the largest numbers, too")
    return _pool(step, "max")


def _pool(step: Step, kind: str, count_pads: bool = False) -> Tensor:
    """Add pooling; MXNet pads both sides alike, and may end windows beyond the padding.

    Where its windows are the file's windows, that is all. Else the image is padded before. An
    average that counts the padding counts nothing beyond it: so do PyTorch, MXNet and, from opset
    19 on, ONNX Runtime.
    """
    if set(step.attrs.get("dilations") or (1,)) != {1}:
        raise ModelFileError("its dilations are not 1")
    if not step.attrs.get("kernel_shape"):
        raise ModelFileError("it lacks its kernel_shape")
    x, kernel, stride = step.image(), step.pair("kernel_shape"), step.pair("strides")
    before, after = _pads(step, x.shape[1:], kernel, stride)
    if min(*kernel, *stride) < 1 or any(p >= k for p, k in zip(before, kernel, strict=True)):
        raise ModelFileError(f"its kernel is {kernel}, its stride {stride}, its padding {before}")
    ceil = bool(step.attrs.get("ceil_mode", 0))
    if ceil and not any((*before, *after)):
        # A window that is larger than the image ends where the image does.
        if all(k > side for k, side in zip(kernel, x.shape[1:], strict=True)):
            return global_pool(kind)(step)
        kernel = tuple(min(k, side) for k, side in zip(kernel, x.shape[1:], strict=True))
    counts = _window_counts(x.shape[1:], kernel, stride, before, after, ceil)
    same_pads = before == after
    settings = {"kernel": kernel, "stride": stride, "pool_type": kind}
    for convention in ("full", "valid") if ceil else ("valid", "full"):
        round_up = convention == "full"
        ours = _mxnet_counts(x.shape[1:], kernel, stride, before, round_up)
        # With counted pads the divisor tells where the padding ends.
        if ours == counts and (same_pads or not count_pads):
            return step.layer(
                "Pooling",
                x,
                pad=before,
                pooling_convention=convention,
                count_include_pad=count_pads,
                **settings,
            )
    if kind == "avg" and (ceil or not count_pads):
        raise ModelFileError(
            f"pads {(*before, *after)} with kernel {kernel}, stride {stride} and "
            f"ceil_mode {int(ceil)} on an input of {x.shape[1:]} cannot be followed; export the "
            "network with a padding of its own (Pad) before this layer"
        )
    sides = zip(counts, kernel, stride, before, x.shape[1:], strict=True)
    needed = tuple(max((n - 1) * s + k - b - side, 0) for n, k, s, b, side in sides)
    x = _padded(step, x, before, needed, _LOWEST if kind == "max" else 0.0)
    return step.layer("Pooling", x, count_include_pad=True, **settings)


def _window_counts(
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    ceil: bool,
) -> list[int]:
    """Return how many windows ONNX has: one that would begin in the padding behind is none."""
    counts = []
    for side, k, s, b, a in zip(sides, kernel, stride, before, after, strict=True):
        span = side + b + a - k
        count = (-(-span // s) if ceil else span // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= side + b else count)
    return counts


def _mxnet_counts(
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    round_up: bool,
) -> list[int]:
    spans = [side + 2 * p - k for side, k, p in zip(sides, kernel, pad, strict=True)]
    steps = zip(spans, stride, strict=True)
    return [(-(-span // s) if round_up else span // s) + 1 for span, s in steps]


def global_pool(kind: str) -> Callable[[Step], Tensor]:
    """Return the rule that takes the mean, or the largest, of each channel."""

    def rule(step: Step) -> Tensor:
        x, rank = step.x, len(step.x.shape) + 1
        if rank == 4:
            return step.layer("Pooling", x, pool_type=kind, global_pool=True, kernel=(1, 1))
        op = {"avg": "mean", "max": "max"}[kind]
        return step.layer(op, x, axis=tuple(range(2, rank)), keepdims=True)

    return rule


WINDOWS: dict[str, Callable[[Step], Any]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": lambda s: _pool(s, "avg", bool(s.attrs.get("count_include_pad", 0))),
    "GlobalAveragePool": global_pool("avg"),
    "GlobalMaxPool": global_pool("max"),
}
