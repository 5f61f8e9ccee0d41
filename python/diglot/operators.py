"""What diglot knows of MXNet's operators: shapes out, parameters in, multiply-adds, attributes.

One entry an operator. Shapes carry the batch in front. The rules follow MXNet 1.9.1's own shape
inference, which the tests hold them against.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diglot.errors import ModelFileError
from diglot.own_operators import OP_TYPE, own_operator

Shape = tuple[int, ...]

LARGEST = 2**31 - 1
"""Of an axis: MXNet keeps sizes in 32 bits."""

_MOST_CODES = 96  # of a reshape: three for each of as many axes as an array may have
_MOST_PIECES = 64  # of what a split makes: a graph's connections name no more outputs of a node


@dataclass(frozen=True)
class Slot:
    """A parameter that an operator takes: its name's ending, shape, and role."""

    suffix: str
    shape: Shape
    kind: str  # "weight", "bias", "scale", "shift", "mean", "variance"

    @property
    def auxiliary(self) -> bool:
        """Whether MXNet keeps it as a statistic instead of learning it."""
        return self.kind in ("mean", "variance")


@dataclass(frozen=True)
class Operator:
    """The rules of one operator.

    ``shapes(attrs, inputs)`` gives the outputs' shapes from the data inputs' shapes,
    ``slots(attrs, inputs)`` the parameters it takes after them, ``macs`` the multiply-adds of
    one entry of its output's first axis.
    ``data_inputs`` is how many inputs are data (None: all), ``takes`` how many of these there must
    be (None: as many as its attribute ``num_args`` says, or as its own rule).
    """

    shapes: Callable[[Attrs, Sequence[Shape]], list[Shape]]
    slots: Callable[[Attrs, Sequence[Shape]], list[Slot]]
    macs: Callable[[Attrs, Sequence[Shape], Shape], int]
    data_inputs: int | None = None
    takes: int | None = None


_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None}


def parse(text: Any) -> Any:
    """Read one attribute of MXNet's JSON, all of which are strings.

    Examples
    --------
    >>> parse("(3, 3)"), parse("True"), parse("None"), parse("relu"), parse("3L")
    ((3, 3), True, None, 'relu', 3)
    """
    if not isinstance(text, str):
        return text
    if text in _WORDS:
        return _WORDS[text]
    plain = re.sub(r"(?<=\d)L\b", "", text.strip())
    plain = re.sub(r",\s*([)\]])", r"\1", plain).replace("(", "[").replace(")", "]")
    plain = plain.replace("None", "null")
    if not re.fullmatch(r"[-+0-9.eE,\[\]\s]+|.*null.*", plain):
        return text
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= LARGEST


class Attrs(Mapping[str, Any]):
    """An operator's attributes, parsed and checked when asked for; MXNet's defaults at the call."""

    def __init__(self, attrs: Mapping[str, str]) -> None:
        self._attrs = attrs

    def __getitem__(self, key: str) -> Any:
        return parse(self._attrs[key])

    def __iter__(self):
        return iter(self._attrs)

    def __len__(self) -> int:
        return len(self._attrs)

    def whole(self, key: str, default: int | None = None, least: int | None = 1) -> int:
        """Return a number such as ``num_filter``; without a default it must be there."""
        value = self.get(key, default)
        if not _is_whole(value) or (least is not None and value < least):
            raise ModelFileError(f"its {key} is {value!r}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a switch such as ``no_bias``."""
        value = self.get(key, default)
        if value not in (True, False):
            raise ModelFileError(f"its {key} is {value!r}")
        return bool(value)

    def choice(self, key: str, default: str, *known: str) -> str:
        """Return a word such as ``pool_type``, one of ``known``."""
        value = self.get(key, default)
        value = default if value is None else value
        if value not in known:
            raise ModelFileError(f"its {key} is {value!r}; diglot knows {', '.join(known)}")
        return value

    def numbers(self, key: str, count: int, default: int, least: int = 0) -> Shape:
        """Return a tuple such as ``stride``, of ``count`` numbers."""
        value = self.get(key)
        if value is None or value == ():
            return (default,) * count
        value = value if isinstance(value, tuple) else (value,) * count
        if len(value) != count or not all(_is_whole(v) and v >= least for v in value):
            raise ModelFileError(f"its {key} is {value}")
        return value

    def axes(self, key: str, rank: int) -> list[int] | None:
        """Return an axis, or several, counted from the front; None where there are none."""
        value = self.get(key)
        if value is None or value == ():
            return None
        axes = [_axis(a, rank) for a in (value if isinstance(value, tuple) else (value,))]
        if len(set(axes)) != len(axes):
            raise ModelFileError(f"its {key} {value} has an axis twice")
        return axes

    def axis(self, key: str, default: int, rank: int) -> int:
        """Return one axis, counted from the front."""
        return _axis(self.get(key, default), rank)


def _axis(value: Any, rank: int) -> int:
    if not _is_whole(value) or not -rank <= value < rank:
        raise ModelFileError(f"it has no axis {value!r}")
    return value % rank


# ---- parameters


def _no_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return []


def _no_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


def _with_bias(attrs: Attrs, weight: Shape, width: int, no_bias: bool = False) -> list[Slot]:
    slots = [Slot("weight", weight, "weight"), Slot("bias", (width,), "bias")]
    return slots[:1] if attrs.flag("no_bias", no_bias) else slots


def _conv_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    filters, depth = attrs.whole("num_filter"), _depth(attrs, inputs)
    return _with_bias(attrs, (filters, depth, *_kernel(attrs, inputs)), filters)


def _deconv_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    filters, groups = attrs.whole("num_filter"), attrs.whole("num_group", 1)
    _depth(attrs, inputs)
    weight = (inputs[0][1], filters // groups, *_kernel(attrs, inputs))
    return _with_bias(attrs, weight, filters, no_bias=True)


def _dense_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    x, hidden = inputs[0], attrs.whole("num_hidden")
    width = math.prod(x[1:]) if attrs.flag("flatten", True) else x[-1]
    return _with_bias(attrs, (hidden, width), hidden)


def _batch_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    width = (inputs[0][attrs.axis("axis", 1, len(inputs[0]))],)
    statistics = [Slot("moving_mean", width, "mean"), Slot("moving_var", width, "variance")]
    return [*_scale_and_shift(width), *statistics]


def _scale_and_shift(width: Shape) -> list[Slot]:
    return [Slot("gamma", width, "scale"), Slot("beta", width, "shift")]


def _layer_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return _scale_and_shift((inputs[0][attrs.axis("axis", -1, len(inputs[0]))],))


def _instance_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return _scale_and_shift((inputs[0][1],))


def _group_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    # In 1.9.1 the scale is one number a group, and not one a channel as in the paper.
    groups = attrs.whole("num_groups", 1)
    if inputs[0][1] % groups:
        raise ModelFileError(f"{inputs[0][1]} channels do not divide into {groups} groups")
    return _scale_and_shift((groups,))


def _leaky_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    if attrs.get("act_type", "leaky") != "prelu":
        return []
    return [Slot("gamma", (inputs[0][1],), "scale")]


def _embedding_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return [Slot("weight", (attrs.whole("input_dim"), attrs.whole("output_dim")), "weight")]


# ---- convolutions, dense layers and pooling

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


def _conv_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    sides = _spatial(attrs, inputs)
    n, kernel = len(sides), _kernel(attrs, inputs)
    stride, pad = attrs.numbers("stride", n, 1, least=1), attrs.numbers("pad", n, 0)
    dilate = attrs.numbers("dilate", n, 1, least=1)
    out = [
        (sides[i] + 2 * pad[i] - dilate[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(n)
    ]
    return [(inputs[0][0], attrs.whole("num_filter"), *out)]


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


def _conv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output[1:]) * _depth(attrs, inputs) * math.prod(_kernel(attrs, inputs))


def _deconv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(inputs[0][1:]) * math.prod(_deconv_slots(attrs, inputs)[0].shape[1:])


def _dense_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    kept = inputs[0][:1] if attrs.flag("flatten", True) else inputs[0][:-1]
    return [(*kept, attrs.whole("num_hidden"))]


def _dense_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return _dense_slots(attrs, inputs)[0].shape[1] * math.prod(output[1:])


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
    _check_count(attrs, inputs)
    scale = attrs.whole("scale")
    return [(*inputs[0][:2], *(scale * side for side in _spatial(attrs, inputs)))]


# ---- element by element


def _same(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[0]]


def _dropout(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    share = attrs.get("p", 0.5)
    if not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise ModelFileError(f"its p is {share!r}, which is no share")
    axes = attrs.get("axes", ())
    if not set(axes if isinstance(axes, tuple) else (axes,)) <= set(range(len(inputs[0]))):
        raise ModelFileError(f"its axes are {axes}")
    return [inputs[0]]


def _softmax(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Lengths, one for each row, may come after the data."""
    x, *lengths = inputs
    axis = attrs.axis("axis", -1, len(x))
    if lengths != [x[:axis] + x[axis + 1 :]] * attrs.flag("use_length"):
        raise ModelFileError(f"its lengths are {lengths}, and use_length is what asks for them")
    return [x]


def _elementwise(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    if any(shape != inputs[0] for shape in inputs):
        told = " and ".join(str(shape[1:]) for shape in inputs)
        raise ModelFileError(f"the shapes {told} differ where they must be equal")
    return [inputs[0]]


def _check_count(attrs: Attrs, inputs: Sequence[Shape]) -> None:
    """Refuse an operator of any number of inputs that has others than it says."""
    count = attrs.whole("num_args")
    if count != len(inputs):
        raise ModelFileError(f"its num_args is {count}, and it has {len(inputs)} inputs")


def _sum(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    _check_count(attrs, inputs)
    return _elementwise(attrs, inputs)


def _broadcast(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    a, b = inputs
    if len(a) != len(b) or any(m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
        raise ModelFileError(f"the shapes {a[1:]} and {b[1:]} cannot be combined")
    return [tuple(max(m, n) for m, n in zip(a, b, strict=True))]


def _where(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return _elementwise(attrs, inputs[1:])


# ---- shapes


def _flatten(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[0][0], math.prod(inputs[0][1:]))]


def _reshape(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Follow MXNet's codes: 0 keeps, -1 infers, -2 keeps the rest, -3 joins two, -4 splits one."""
    source, codes = list(inputs[0]), attrs["shape"]
    codes = list(codes if isinstance(codes, tuple) else (codes,))
    if not codes or not all(_is_whole(c) and c >= -4 for c in codes):
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
    _check_count(attrs, inputs)
    axis = attrs.axis("dim", 1, len(inputs[0]))
    first = inputs[0]
    if len({s[:axis] + s[axis + 1 :] for s in inputs}) > 1:
        told = " and ".join(str(shape[1:]) for shape in inputs)
        raise ModelFileError(f"the shapes {told} cannot be joined along axis {axis}")
    return [first[:axis] + (sum(s[axis] for s in inputs),) + first[axis + 1 :]]


def _stack(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    shape = _sum(attrs, inputs)[0]
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
    if not all(_is_whole(s) for s in starts) or starts[:1] != [0]:
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
    axis = _axis(attrs["axis"], len(inputs[0]) + 1)
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
        if value is not None and not _is_whole(value):
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
    axis = _axis(attrs["axis"], len(x))
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
    if not all(_is_whole(t) and t > 0 for t in times):
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


def _embedding_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0], attrs.whole("output_dim"))]


def _one_hot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0], attrs.whole("depth"))]


# ---- products


def _factors(attrs: Attrs, inputs: Sequence[Shape]) -> tuple[Shape, Shape]:
    a, b = inputs
    if attrs.flag("transpose_a"):
        a = (*a[:-2], a[-1], a[-2])
    if attrs.flag("transpose_b"):
        b = (*b[:-2], b[-1], b[-2])
    return a, b


def _dot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Multiply two matrices; the second is a parameter, as rows of a batch are not mixed."""
    if any(len(shape) != 2 for shape in inputs):
        raise ModelFileError(f"diglot knows it for matrices, not for {inputs[0]} and {inputs[1]}")
    a, b = _factors(attrs, inputs)
    if a[1] != b[0]:
        raise ModelFileError(f"{inputs[0]} and {inputs[1]} cannot be multiplied")
    return [(a[0], b[1])]


def _dot_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output[1:]) * _factors(attrs, inputs)[0][-1]


def _batch_dot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Multiply the matrices of the last two axes, for each place of all axes before."""
    if len(inputs[0]) != len(inputs[1]) or len(inputs[0]) < 3:
        raise ModelFileError(f"{inputs[0][1:]} and {inputs[1][1:]} are not stacks of matrices")
    a, b = _factors(attrs, inputs)
    if a[:-2] != b[:-2] or a[-1] != b[-2]:
        raise ModelFileError(f"{inputs[0][1:]} and {inputs[1][1:]} cannot be multiplied")
    return [(*a[:-1], b[-1])]


# ---- operators of one's own


def _own(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    if attrs.get("op_type") != OP_TYPE:
        raise ModelFileError(
            f"it is the operator {attrs.get('op_type')!r} of somebody's Python code, which a file "
            "does not hold: write it anew by diglot.register_operator()"
        )
    operator, count = own_operator(attrs.get("operator")), attrs.whole("inputs", 1)
    if len(inputs) != count:
        raise ModelFileError(f"it takes {count} inputs, the file has {len(inputs)}")
    shape = operator.shape(*(x[1:] for x in inputs))
    if not isinstance(shape, (tuple, list)) or not all(_is_whole(side) for side in shape):
        raise ModelFileError(f"its shape function returned {shape!r}, which is no tuple of sides")
    return [(inputs[0][0], *shape)]


# ---- recurrence

_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "gru": 3, "lstm": 4}


def _rnn_size(attrs: Attrs, width: int) -> int:
    """Return how many weights and biases all layers have, given the width of what comes in."""
    mode = attrs.choice("mode", "", *_GATES)
    hidden, layers = attrs.whole("state_size"), attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    inner = (layers - 1) * (hidden * ways + hidden + 2)
    return _GATES[mode] * hidden * ways * (width + hidden + 2 + inner)


def _rnn(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Take a sequence (time, batch, width), flat parameters, and the first states."""
    if attrs.flag("use_sequence_length") or attrs.get("projection_size") is not None:
        raise ModelFileError("diglot knows it without use_sequence_length and projection_size")
    x, parameters, *states = inputs
    hidden, layers = attrs.whole("state_size"), attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    if len(x) != 3 or parameters != (_rnn_size(attrs, x[-1]),):
        raise ModelFileError(
            f"a sequence of {x} needs {_rnn_size(attrs, x[-1])} parameters, not {parameters}"
        )
    state = (layers * ways, x[1], hidden)
    if states != [state] * (2 if attrs["mode"] == "lstm" else 1):
        raise ModelFileError(f"its states are {states}, where each must be {state}")
    kept = states if attrs.flag("state_outputs") else []
    return [(*x[:2], hidden * ways), *kept]


def _rnn_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    biases = 2 * _GATES[attrs["mode"]] * attrs.whole("state_size") * attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    return inputs[0][1] * (_rnn_size(attrs, inputs[0][-1]) - biases * ways)


# ---- the table


def _rule(
    shapes: Callable = _same,
    slots: Callable = _no_slots,
    macs: Callable = _no_macs,
    data: int | None = None,
    takes: int | None = 1,
) -> Operator:
    return Operator(shapes, slots, macs, data, takes)


def _all(names: str, rule: Operator) -> dict[str, Operator]:
    return dict.fromkeys(names.split(), rule)


OPERATORS: dict[str, Operator] = {
    # with parameters
    "Convolution": _rule(_conv_shapes, _conv_slots, _conv_macs, 1),
    "Deconvolution": _rule(_deconv_shapes, _deconv_slots, _deconv_macs, 1),
    "FullyConnected": _rule(_dense_shapes, _dense_slots, _dense_macs, 1),
    "BatchNorm": _rule(slots=_batch_norm_slots, data=1),
    "_contrib_SyncBatchNorm": _rule(slots=_batch_norm_slots, data=1),
    "LayerNorm": _rule(slots=_layer_norm_slots, data=1),
    "InstanceNorm": _rule(slots=_instance_norm_slots, data=1),
    "GroupNorm": _rule(slots=_group_norm_slots, data=1),
    "LeakyReLU": _rule(slots=_leaky_slots, data=1),
    "Embedding": _rule(_embedding_shapes, _embedding_slots, data=1),
    # images
    "Pooling": _rule(_pool_shapes),
    "_contrib_AdaptiveAvgPooling2D": _rule(_adaptive_pool_shapes),
    "_contrib_BilinearResize2D": _rule(_resize_shapes),
    "UpSampling": _rule(_upsampling_shapes),
    "depth_to_space": _rule(_depth_to_space),
    "space_to_depth": _rule(_space_to_depth),
    # one input, the same shape out
    **_all(
        "Activation SoftmaxActivation LRN L2Normalization "
        "clip relu sigmoid hard_sigmoid tanh softsign erf smooth_l1 _contrib_div_sqrt_dim "
        "exp expm1 log log2 log10 log1p sqrt rsqrt cbrt square reciprocal abs sign negative "
        "sin cos tan arctan sinh cosh floor ceil round rint fix trunc logical_not "
        "identity _copy BlockGrad stop_gradient make_loss MakeLoss Cast cast amp_cast reverse "
        "flip zeros_like ones_like "
        "_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar "
        "_mod_scalar _rmod_scalar _power_scalar _rpower_scalar _maximum_scalar _minimum_scalar "
        "_equal_scalar _not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar "
        "_lesser_equal_scalar",
        _rule(),
    ),
    "Dropout": _rule(_dropout),
    **_all("softmax softmin log_softmax", _rule(_softmax, takes=None)),
    # several inputs
    **_all(
        "elemwise_add elemwise_sub elemwise_mul elemwise_div _Plus _plus _add _Minus _minus _sub "
        "_Mul _mul _Div _div _grad_add _power _Power _maximum _Maximum _minimum _Minimum _hypot "
        "_mod _equal _not_equal _greater _greater_equal _lesser _lesser_equal",
        _rule(_elementwise, takes=2),
    ),
    **_all("add_n ElementWiseSum", _rule(_sum, takes=None)),
    **_all(
        "broadcast_add broadcast_plus broadcast_sub broadcast_minus broadcast_mul broadcast_div "
        "broadcast_mod broadcast_power broadcast_maximum broadcast_minimum broadcast_hypot "
        "broadcast_equal broadcast_not_equal broadcast_greater broadcast_greater_equal "
        "broadcast_lesser broadcast_lesser_equal",
        _rule(_broadcast, takes=2),
    ),
    "where": _rule(_where, takes=3),
    **_all("Concat concat", _rule(_concat, takes=None)),
    "stack": _rule(_stack, takes=None),
    "dot": _rule(_dot, macs=_dot_macs, takes=2),
    "batch_dot": _rule(_batch_dot, macs=_dot_macs, takes=2),
    "RNN": _rule(_rnn, macs=_rnn_macs, takes=None),
    "Custom": _rule(_own, takes=None),
    # shapes
    **_all("Flatten flatten", _rule(_flatten)),
    **_all("Reshape reshape", _rule(_reshape)),
    **_all("sum sum_axis mean prod nansum nanprod max max_axis min min_axis norm", _rule(_reduce)),
    **_all("argmax argmin", _rule(_reduce)),
    "pick": _rule(_pick, takes=2),
    "one_hot": _rule(_one_hot),
    "transpose": _rule(_transpose),
    **_all("SwapAxis swapaxes", _rule(_swap_axes)),
    "expand_dims": _rule(_expand_dims),
    "squeeze": _rule(_squeeze),
    **_all("slice crop", _rule(_slice)),
    "slice_axis": _rule(_slice_axis),
    "slice_like": _rule(_slice_like, takes=2),
    **_all("SliceChannel split", _rule(_split)),
    "_split_v2": _rule(_split_v2),
    **_all("Pad pad", _rule(_pad)),
    "tile": _rule(_tile),
    "repeat": _rule(_repeat),
    "broadcast_to": _rule(_broadcast_to),
    **_all("broadcast_axis broadcast_axes", _rule(_broadcast_axis)),
    "broadcast_like": _rule(_broadcast_like, takes=2),
    "reshape_like": _rule(_reshape_like, takes=2),
}
