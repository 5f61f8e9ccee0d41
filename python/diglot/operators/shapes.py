"""Operators that move numbers, or sum them up along axes: what shape is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from diglot.errors import ModelFileError
from diglot.operators.attrs import Attrs, Shape, counted_axis, is_whole
from diglot.operators.rules import Operator, check_count, each, equal_in_number, rule

_MOST_CODES = 96  # of a reshape: three for each of as many axes as an array may have

_MOST_PIECES = 64  # of what a split makes: a graph's connections name no more outputs of a node


def _flatten(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[0][0], math.prod(inputs[0][1:]))]


def _reshape(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Follow MXNet's codes: 0 keeps, -1 infers, -2 keeps the rest, -3 joins two, -4 splits one."""
    source, codes = list(inputs[0]), attrs["shape"]
    codes = list(codes if isinstance(codes, tuple) else (codes,))
    if not codes or not all(is_whole(c) and c >= -4 for c in codes):
        raise ModelFileError(f"its shape is {attrs['shape']!r}")
    if len(codes) > _MOST_CODES:
        raise ModelFileError(f"its shape has {len(codes)} sides")
    backwards = attrs.flag("reverse")
    if backwards:
        source.reverse()
        codes.reverse()
    out: list[int] = []
    at, unknown = 0, None
    while codes:
        code = codes.pop(0)
        if code == -1:
            if unknown is not None:
                raise ModelFileError(f"its shape {attrs['shape']} has two unknown sides")
            unknown, at = len(out), at + 1
            out.append(1)
        elif code == -2:
            out += source[at:]
            at = len(source)
        elif code == -3:
            out.append(source[at] * source[at + 1])
            at += 2
        elif code == -4:
            first, second = codes.pop(0), codes.pop(0)
            first = source[at] // second if first == -1 else first
            second = source[at] // first if second == -1 else second
            if first * second != source[at]:
                raise ModelFileError(f"it cannot split {source[at]} into {first} x {second}")
            out += [first, second]
            at += 1
        else:
            out.append(code or source[at])
            at += 1
    if unknown is not None:
        out[unknown] = math.prod(source) // math.prod(out)
    if math.prod(out) != math.prod(source):
        raise ModelFileError(f"an output of {inputs[0][1:]} cannot take the shape {attrs['shape']}")
    return [tuple(reversed(out) if backwards else out)]


def _reduce(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    axes = attrs.axes("axis", len(x))
    if axes is None:
        axes = list(range(len(x)))
    elif attrs.flag("exclude"):
        axes = [a for a in range(len(x)) if a not in axes]
    if attrs.flag("keepdims"):
        return [tuple(1 if i in axes else s for i, s in enumerate(x))]
    return [tuple(s for i, s in enumerate(x) if i not in axes) or (1,)]


def _pick(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, places = inputs
    axis = attrs.axis("axis", -1, len(x))
    kept, dropped = x[:axis] + (1,) + x[axis + 1 :], x[:axis] + x[axis + 1 :]
    if places not in (kept, dropped):
        raise ModelFileError(f"it cannot pick from {x[1:]} at places of the shape {places[1:]}")
    return [kept if attrs.flag("keepdims") else dropped]


def _concat(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    check_count(attrs, inputs)
    axis = attrs.axis("dim", 1, len(inputs[0]))
    first = inputs[0]
    if len({s[:axis] + s[axis + 1 :] for s in inputs}) > 1:
        told = " and ".join(str(shape[1:]) for shape in inputs)
        raise ModelFileError(f"the shapes {told} cannot be joined along axis {axis}")
    return [first[:axis] + (sum(s[axis] for s in inputs),) + first[axis + 1 :]]


def _stack(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    shape = equal_in_number(attrs, inputs)[0]
    axis = attrs.axis("axis", 0, len(shape) + 1)
    return [shape[:axis] + (len(inputs),) + shape[axis:]]


def _split(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    count = attrs.whole("num_outputs")
    axis = attrs.axis("axis", 1, len(inputs[0]))
    return _pieces(attrs, inputs[0], axis, _equal_pieces(inputs[0][axis], count))


def _split_v2(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    axis = attrs.axis("axis", 1, len(x))
    sections = attrs.whole("sections", 0, least=0)
    if sections:
        return _pieces(attrs, x, axis, _equal_pieces(x[axis], sections))
    starts = attrs["indices"]
    starts = list(starts if isinstance(starts, tuple) else (starts,))
    if not all(is_whole(s) for s in starts) or starts[:1] != [0]:
        raise ModelFileError(f"its indices are {attrs['indices']!r}")
    ends = [*starts[1:], x[axis]]
    return _pieces(attrs, x, axis, [e - s for s, e in zip(starts, ends, strict=True)])


def _equal_pieces(size: int, count: int) -> list[int]:
    if count > _MOST_PIECES:
        raise ModelFileError(f"it cuts into {count} pieces; diglot knows {_MOST_PIECES} at most")
    if count > size or size % count:
        raise ModelFileError(f"it cannot cut {size} into {count} equal pieces")
    return [size // count] * count


def _pieces(attrs: Attrs, x: Shape, axis: int, sizes: Sequence[int]) -> list[Shape]:
    if len(sizes) > _MOST_PIECES:
        raise ModelFileError(
            f"it cuts into {len(sizes)} pieces; diglot knows {_MOST_PIECES} at most"
        )
    if attrs.flag("squeeze_axis"):
        if any(size != 1 for size in sizes):
            raise ModelFileError("it cannot drop an axis that has more than one entry a piece")
        return [x[:axis] + x[axis + 1 :] for _ in sizes]
    return [x[:axis] + (size,) + x[axis + 1 :] for size in sizes]


def _transpose(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    axes = attrs.axes("axes", len(x)) or list(range(len(x)))[::-1]
    if sorted(axes) != list(range(len(x))):
        raise ModelFileError(f"its axes are {attrs['axes']!r}")
    return [tuple(x[a] for a in axes)]


def _swap_axes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    out = list(inputs[0])
    a, b = (attrs.axis(key, 0, len(out)) for key in ("dim1", "dim2"))
    out[a], out[b] = out[b], out[a]
    return [tuple(out)]


def _expand_dims(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    axis = counted_axis(attrs["axis"], len(inputs[0]) + 1)
    return [inputs[0][:axis] + (1,) + inputs[0][axis:]]


def _squeeze(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    axes = attrs.axes("axis", len(x)) or []
    if attrs.get("axis") is None:
        axes = [i for i, s in enumerate(x) if s == 1]
    if any(x[a] != 1 for a in axes):
        raise ModelFileError(f"it cannot drop an axis of {x[1:]} that has more than one entry")
    return [tuple(s for i, s in enumerate(x) if i not in axes) or (1,)]


def _sliced(size: int, begin: Any, end: Any, step: Any = None) -> int:
    for value in (begin, end, step):
        if value is not None and not is_whole(value):
            raise ModelFileError(f"it cuts at {value!r}")
    return len(range(*slice(begin, end, step or 1).indices(size)))


def _slice(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    cuts, lengths = [], []
    for key in ("begin", "end", "step"):
        value = attrs.get(key)
        value = value if isinstance(value, tuple) else () if value is None else (value,)
        cuts.append([*value, *(None,) * (len(x) - len(value))])
        lengths.append(len(value))
    if lengths[0] != lengths[1] or lengths[2] not in (0, lengths[0]):
        raise ModelFileError(f"its begin, end and step are of the lengths {lengths}")
    return [tuple(_sliced(s, *cut) for s, *cut in zip(x, *cuts, strict=True))]


def _slice_axis(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = list(inputs[0])
    axis = counted_axis(attrs["axis"], len(x))
    begin, end = attrs["begin"], attrs["end"]
    size = x[axis]
    x[axis] = _sliced(size, begin, end)
    if begin < -size or (end is not None and not -size <= end <= size):
        raise ModelFileError(f"it cuts from {begin} to {end}, where there are {size} places")
    return [tuple(x)]


def _slice_like(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, like = inputs
    axes = attrs.axes("axes", len(x)) or list(range(len(x)))
    if any(like[a] > x[a] for a in axes):
        raise ModelFileError(f"it cannot cut {like[1:]} out of {x[1:]}")
    return [tuple(like[i] if i in axes else s for i, s in enumerate(x))]


def _pad(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    if attrs["pad_width"] == ():
        raise ModelFileError("its pad_width is ()")
    widths = attrs.numbers("pad_width", 2 * len(x), 0)
    return [tuple(s + widths[2 * i] + widths[2 * i + 1] for i, s in enumerate(x))]


def _tile(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, times = inputs[0], attrs["reps"]
    times = times if isinstance(times, tuple) else (times,)
    if not all(is_whole(t) and t > 0 for t in times):
        raise ModelFileError(f"its reps are {times}")
    rank = max(len(x), len(times))
    x, times = (1,) * (rank - len(x)) + x, (1,) * (rank - len(times)) + times
    return [tuple(s * t for s, t in zip(x, times, strict=True))]


def _repeat(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, times = inputs[0], attrs.whole("repeats")
    axes = attrs.axes("axis", len(x))
    if axes is None:
        return [(math.prod(x) * times,)]
    return [tuple(s * times if i in axes else s for i, s in enumerate(x))]


def _broadcast_to(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    if attrs["shape"] == ():
        raise ModelFileError("its shape is ()")
    wanted = attrs.numbers("shape", len(x), 0)
    return _grown(x, [w or s for s, w in zip(x, wanted, strict=True)])


def _broadcast_axis(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x = inputs[0]
    axes = attrs.axes("axis", len(x)) or []
    given = attrs.get("size", ())
    if axes and given == ():
        raise ModelFileError("its size is ()")
    sizes = dict(zip(axes, attrs.numbers("size", len(axes), 1, least=1), strict=True))
    return _grown(x, [sizes.get(i, s) for i, s in enumerate(x)])


def _broadcast_like(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, like = inputs
    if attrs.get("lhs_axes") is not None or len(x) != len(like):
        raise ModelFileError("diglot knows it without axes, for inputs of as many axes")
    return _grown(x, like)


def _grown(x: Shape, wanted: Sequence[int]) -> list[Shape]:
    if any(s not in (1, w) for s, w in zip(x, wanted, strict=True)):
        raise ModelFileError(f"an output of {x[1:]} cannot be spread to {tuple(wanted)[1:]}")
    return [tuple(wanted)]


def _reshape_like(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    x, like = inputs
    ends = [f"{side}_{end}" for side in ("lhs", "rhs") for end in ("begin", "end")]
    if any(attrs.get(end) is not None for end in ends):
        raise ModelFileError("diglot knows it without begin and end")
    if math.prod(x) != math.prod(like):
        raise ModelFileError(f"an output of {x[1:]} cannot take the shape {like[1:]}")
    return [like]


def _one_hot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0], attrs.whole("depth"))]


SHAPES: dict[str, Operator] = {
    **each("Concat concat", rule(_concat, takes=None)),
    "stack": rule(_stack, takes=None),
    **each("Flatten flatten", rule(_flatten)),
    **each("Reshape reshape", rule(_reshape)),
    **each("sum sum_axis mean prod nansum nanprod max max_axis min min_axis norm", rule(_reduce)),
    **each("argmax argmin", rule(_reduce)),
    "pick": rule(_pick, takes=2),
    "one_hot": rule(_one_hot),
    "transpose": rule(_transpose),
    **each("SwapAxis swapaxes", rule(_swap_axes)),
    "expand_dims": rule(_expand_dims),
    "squeeze": rule(_squeeze),
    **each("slice crop", rule(_slice)),
    "slice_axis": rule(_slice_axis),
    "slice_like": rule(_slice_like, takes=2),
    **each("SliceChannel split", rule(_split)),
    "_split_v2": rule(_split_v2),
    **each("Pad pad", rule(_pad)),
    "tile": rule(_tile),
    "repeat": rule(_repeat),
    "broadcast_to": rule(_broadcast_to),
    **each("broadcast_axis broadcast_axes", rule(_broadcast_axis)),
    "broadcast_like": rule(_broadcast_like, takes=2),
    "reshape_like": rule(_reshape_like, takes=2),
}
