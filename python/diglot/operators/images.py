"""Operators on images: convolutions, pooling, resizing, and blocks of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diglot.errors import ModelFileError
from diglot.operators.attrs import Attrs, Shape
from diglot.operators.rules import Operator, Slot, check_count, rule, with_bias

_CHANNELS_FIRST = ("NCW", "NCHW", "NCDHW")


def _spatial(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """Return an image's sides; refuse layouts that have the channels last."""
    rank = len(inputs[0])
    if not 3 <= rank <= 5:
        raise ModelFileError(f"it works on images, and its input has the shape {inputs[0][1:]}")
    attrs.choice("layout", _CHANNELS_FIRST[rank - 3], _CHANNELS_FIRST[rank - 3])
    return inputs[0][2:]


def _kernel(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if attrs["kernel"] == ():
        raise ModelFileError("its kernel is ()")
    return attrs.numbers("kernel", len(inputs[0]) - 2, 1, least=1)


def _depth(attrs: Attrs, inputs: Sequence[Shape]) -> int:
    """Return how many input channels one filter sees."""
    groups, channels = attrs.whole("num_group", 1), inputs[0][1]
    if channels % groups or attrs.whole("num_filter") % groups:
        raise ModelFileError(
            f"{channels} channels and {attrs['num_filter']} filters do not divide into {groups} "
            "groups"
        )
    return channels // groups


def _conv_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    filters, depth = attrs.whole("num_filter"), _depth(attrs, inputs)
    return with_bias(attrs, (filters, depth, *_kernel(attrs, inputs)), filters)


def _conv_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    sides = _spatial(attrs, inputs)
    n, kernel = len(sides), _kernel(attrs, inputs)
    stride, pad = attrs.numbers("stride", n, 1, least=1), attrs.numbers("pad", n, 0)
    dilate = attrs.numbers("dilate", n, 1, least=1)
    out = [
        (sides[i] + 2 * pad[i] - dilate[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(n)
    ]
    return [(inputs[0][0], attrs.whole("num_filter"), *out)]


def _conv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output[1:]) * _depth(attrs, inputs) * math.prod(_kernel(attrs, inputs))


def _deconv_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    filters, groups = attrs.whole("num_filter"), attrs.whole("num_group", 1)
    _depth(attrs, inputs)
    weight = (inputs[0][1], filters // groups, *_kernel(attrs, inputs))
    return with_bias(attrs, weight, filters, no_bias=True)


def _deconv_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    sides = _spatial(attrs, inputs)
    n, kernel = len(sides), _kernel(attrs, inputs)
    stride, pad = attrs.numbers("stride", n, 1, least=1), attrs.numbers("pad", n, 0)
    dilate, adj = attrs.numbers("dilate", n, 1, least=1), attrs.numbers("adj", n, 0)
    target = attrs.numbers("target_shape", n, 0)
    if any(a >= s for a, s in zip(adj, stride, strict=True)):
        raise ModelFileError(f"its adj {adj} must be below its stride {stride}")
    whole = [stride[i] * (sides[i] - 1) + dilate[i] * (kernel[i] - 1) + 1 for i in range(n)]
    for size, wanted, step in zip(whole, target, stride, strict=True):
        if wanted and (wanted > size or (size - wanted) % 2 >= step):
            # What is too much goes away on both sides; the odd one is made up for by adj.
            raise ModelFileError(
                f"its target_shape {target} is beyond the whole answer, {tuple(whole)}, or less by "
                "an odd number where the stride is 1: no engine computes that"
            )
    out = [target[i] or whole[i] - 2 * pad[i] + adj[i] for i in range(n)]
    return [(inputs[0][0], attrs.whole("num_filter"), *out)]


def _deconv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(inputs[0][1:]) * math.prod(_deconv_slots(attrs, inputs)[0].shape[1:])


def _pool_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    sides = _spatial(attrs, inputs)
    n = len(sides)
    if attrs.flag("global_pool"):
        for key, least in (("kernel", 1), ("stride", 1), ("pad", 0)):
            given = attrs.get(key, ())  # of any length, as they count for nothing
            if min(given if isinstance(given, tuple) else (given,), default=1) < least:
                raise ModelFileError(f"its {key} is {given}")
        return [(*inputs[0][:2], *(1,) * n)]
    kernel = _kernel(attrs, inputs)
    stride, pad = attrs.numbers("stride", n, 1, least=1), attrs.numbers("pad", n, 0)
    ceil = attrs.choice("pooling_convention", "valid", "valid", "full") == "full"
    out = []
    for i in range(n):
        span = sides[i] + 2 * pad[i] - kernel[i]
        steps = -(-span // stride[i]) if ceil else span // stride[i]
        out.append(steps + 1 if span >= 0 else 0)  # MXNet has no part of a kernel outside
    return [(*inputs[0][:2], *out)]


def _adaptive_pool_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    _spatial(attrs, inputs)
    return [(*inputs[0][:2], *attrs.numbers("output_size", 2, 1, least=1))]


def _resize_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    attrs.choice("mode", "size", "size")
    scales = [attrs.get(f"scale_{side}") for side in ("height", "width")]
    if scales.count(None) == 1:
        raise ModelFileError("it scales one side alone; diglot knows it for both")
    sides = [attrs.whole(side, 1) for side in ("height", "width")]
    out = [
        side if scale is None else int(scale * old)
        for side, scale, old in zip(sides, scales, _spatial(attrs, inputs), strict=True)
    ]
    return [(*inputs[0][:2], *out)]


def _upsampling_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    attrs.choice("sample_type", "", "nearest")
    check_count(attrs, inputs)
    scale = attrs.whole("scale")
    return [(*inputs[0][:2], *(scale * side for side in _spatial(attrs, inputs)))]


def _depth_to_space(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    (n, c, h, w), block = inputs[0], attrs.whole("block_size")
    if c % block**2:
        raise ModelFileError(f"{c} channels do not make blocks of {block} x {block}")
    return [(n, c // block**2, h * block, w * block)]


def _space_to_depth(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    (n, c, h, w), block = inputs[0], attrs.whole("block_size")
    if h % block or w % block:
        raise ModelFileError(f"{h} x {w} does not divide into blocks of {block} x {block}")
    return [(n, c * block**2, h // block, w // block)]


IMAGES: dict[str, Operator] = {
    "Convolution": rule(_conv_shapes, _conv_slots, _conv_macs, 1),
    "Deconvolution": rule(_deconv_shapes, _deconv_slots, _deconv_macs, 1),
    "Pooling": rule(_pool_shapes),
    "_contrib_AdaptiveAvgPooling2D": rule(_adaptive_pool_shapes),
    "_contrib_BilinearResize2D": rule(_resize_shapes),
    "UpSampling": rule(_upsampling_shapes),
    "depth_to_space": rule(_depth_to_space),
    "space_to_depth": rule(_space_to_depth),
}
