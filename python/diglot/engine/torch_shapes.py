"""MXNet's operators in PyTorch: other shapes, parts, sums along axes, choices and products.

What shape comes out is asked of the rules that diglot has for every operator anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from diglot.engine.torch import load
from diglot.engine.torch_mode import Function, Maker, Mode, Tensor, plain
from diglot.operators import OPERATORS, Attrs, Shape

torch = load()
F = torch.nn.functional


def _shape_rule(op: str, attrs: Attrs) -> Callable[..., Shape]:
    """Return what tells the output's shape from the inputs', and remembers it."""
    rule = OPERATORS[op].shapes

    @lru_cache(maxsize=64)
    def shape(*inputs: Shape) -> Shape:
        return rule(attrs, inputs)[0]

    return shape


# ---- the same numbers in another shape


def _reshaped(op: str) -> Maker:
    def make(attrs: Attrs, mode: Mode) -> Function:
        shape = _shape_rule(op, attrs)
        return lambda x, *like: x.reshape(shape(tuple(x.shape), *(tuple(y.shape) for y in like)))

    return make


def _spread(op: str) -> Maker:
    def make(attrs: Attrs, mode: Mode) -> Function:
        shape = _shape_rule(op, attrs)
        return lambda x, *like: x.expand(shape(tuple(x.shape), *(tuple(y.shape) for y in like)))

    return make


def _transpose(attrs: Attrs, mode: Mode) -> Function:
    axes = attrs.get("axes") or None
    return lambda x: x.permute(axes or tuple(reversed(range(x.dim()))))


def _swap_axes(attrs: Attrs, mode: Mode) -> Function:
    first, second = attrs.get("dim1", 0), attrs.get("dim2", 0)
    return lambda x: x.transpose(first, second)


def _reverse(attrs: Attrs, mode: Mode) -> Function:
    axis = attrs["axis"]
    axes = axis if isinstance(axis, tuple) else (axis,)
    return lambda x: x.flip(axes)


def _depth_to_space(attrs: Attrs, mode: Mode) -> Function:
    block = attrs.whole("block_size")

    def depth_to_space(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return depth_to_space


def _space_to_depth(attrs: Attrs, mode: Mode) -> Function:
    block = attrs.whole("block_size")

    def space_to_depth(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block**2, h // block, w // block)

    return space_to_depth


# ---- more of it, and parts


def _concat(attrs: Attrs, mode: Mode) -> Function:
    axis = attrs.get("dim", 1)
    return lambda *tensors: torch.cat(tensors, axis)


def _stack(attrs: Attrs, mode: Mode) -> Function:
    axis = attrs.get("axis", 0)
    return lambda *tensors: torch.stack(tensors, axis)


def _tile(attrs: Attrs, mode: Mode) -> Function:
    times = attrs["reps"]
    times = times if isinstance(times, tuple) else (times,)
    return lambda x: x.tile(times)


def _repeat(attrs: Attrs, mode: Mode) -> Function:
    times, axis = attrs.whole("repeats"), attrs.get("axis")
    return lambda x: torch.repeat_interleave(x, times, axis)


def _split(attrs: Attrs, mode: Mode) -> Function:
    count, axis = attrs.whole("num_outputs"), attrs.get("axis", 1)
    return _dropping_axis(attrs, axis, lambda x: x.chunk(count, axis))


def _split_v2(attrs: Attrs, mode: Mode) -> Function:
    axis, sections = attrs.get("axis", 1), attrs.whole("sections", 0, least=0)
    if sections:
        return _dropping_axis(attrs, axis, lambda x: x.chunk(sections, axis))
    starts = attrs["indices"]
    starts = starts if isinstance(starts, tuple) else (starts,)

    def cut(x: Tensor) -> list[Tensor]:
        ends = (*starts[1:], x.shape[axis])
        return [x.narrow(axis, s, e - s) for s, e in zip(starts, ends, strict=True)]

    return _dropping_axis(attrs, axis, cut)


def _dropping_axis(attrs: Attrs, axis: int, cut: Function) -> Function:
    if attrs.flag("squeeze_axis"):
        return lambda x: tuple(part.squeeze(axis) for part in cut(x))
    return lambda x: tuple(cut(x))


def _cut(x: Tensor, axis: int, begin: int | None, end: int | None, step: int | None) -> Tensor:
    """Return a part along one axis; PyTorch's own slices go forwards only."""
    places = range(*slice(begin, end, step or 1).indices(x.shape[axis]))
    if places == range(x.shape[axis]):
        return x
    if places.step > 0:
        return x[(slice(None),) * axis + (slice(places.start, places.stop, places.step),)]
    return x.index_select(axis, torch.tensor(list(places), device=x.device))


def _slice(attrs: Attrs, mode: Mode) -> Function:
    cuts = []
    for key in ("begin", "end", "step"):
        value = attrs.get(key)
        cuts.append(value if isinstance(value, tuple) else () if value is None else (value,))
    begins, ends, steps = cuts

    def sliced(x: Tensor) -> Tensor:
        for axis, begin in enumerate(begins):
            step = steps[axis] if axis < len(steps) else None
            x = _cut(x, axis, begin, ends[axis], step)
        return x

    return sliced


def _slice_axis(attrs: Attrs, mode: Mode) -> Function:
    axis, begin, end = attrs["axis"], attrs["begin"], attrs["end"]
    return lambda x: _cut(x, axis % x.dim(), begin, end, None)


def _slice_like(attrs: Attrs, mode: Mode) -> Function:
    def slice_like(x: Tensor, like: Tensor) -> Tensor:
        for axis in attrs.axes("axes", x.dim()) or range(x.dim()):
            x = x.narrow(axis, 0, like.shape[axis])
        return x

    return slice_like


def _pad(attrs: Attrs, mode: Mode) -> Function:
    how = attrs.choice("mode", "constant", "constant", "edge", "reflect")
    value, widths = float(attrs.get("constant_value", 0.0)), attrs["pad_width"]
    # PyTorch counts axes from the last; what is not constant it pads on the last axes only.
    backwards = [w for i in reversed(range(len(widths) // 2)) for w in widths[2 * i : 2 * i + 2]]
    if how == "constant":
        return lambda x: F.pad(x, backwards, "constant", value)
    name = {"edge": "replicate", "reflect": "reflect"}[how]
    return lambda x: F.pad(x, backwards[:-4], name)


# ---- sums along axes


class _Extreme(torch.autograd.Function):
    """The largest or smallest number; each that is it has the whole gradient."""

    @staticmethod
    def forward(ctx, x, function, axes):
        found = function(x, axes, True)
        ctx.save_for_backward(x, found)
        return found

    @staticmethod
    def backward(ctx, gradient):
        x, found = ctx.saved_tensors
        return torch.where(x == found, gradient, torch.zeros_like(gradient)), None, None


def _extreme(function: Function) -> Function:
    return lambda x, axes: _Extreme.apply(x, function, axes)


def _product(x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    return x


def _without_nan(x: Tensor, instead: float) -> Tensor:
    return torch.where(torch.isnan(x), torch.full_like(x, instead), x)


_REDUCTIONS: dict[str, Function] = {
    "sum": lambda x, axes: x.sum(axes, keepdim=True),
    "mean": lambda x, axes: x.mean(axes, keepdim=True),
    "prod": _product,
    "nansum": lambda x, axes: _without_nan(x, 0.0).sum(axes, keepdim=True),
    "nanprod": lambda x, axes: _product(_without_nan(x, 1.0), axes),
    "max": _extreme(torch.amax),
    "min": _extreme(torch.amin),
}
_REDUCTIONS |= {f"{name}_axis": _REDUCTIONS[name] for name in ("sum", "max", "min")}


def _reduction(op: str) -> Maker:
    function = _REDUCTIONS[op]

    def make(attrs: Attrs, mode: Mode) -> Function:
        shape = _shape_rule(op, attrs)

        @lru_cache(maxsize=16)
        def axes_of(rank: int) -> list[int]:
            axes = attrs.axes("axis", rank)
            if axes is None:
                return list(range(rank))
            inverse = attrs.flag("exclude")
            return [a for a in range(rank) if (a in axes) != inverse]

        return lambda x: function(x, axes_of(x.dim())).reshape(shape(tuple(x.shape)))

    return make


def _norm(attrs: Attrs, mode: Mode) -> Function:
    shape, order = _shape_rule("norm", attrs), attrs.whole("ord", 2)

    def norm(x: Tensor) -> Tensor:
        axes = attrs.axes("axis", x.dim()) or list(range(x.dim()))
        return torch.linalg.vector_norm(x, order, axes, True).reshape(shape(tuple(x.shape)))

    return norm


def _place(op: str, function: Function) -> Maker:
    """Return the maker of ``argmax`` and ``argmin``, whose answers are floats."""

    def make(attrs: Attrs, mode: Mode) -> Function:
        shape, axis = _shape_rule(op, attrs), attrs.get("axis")
        return lambda x: function(x, axis).to(_counting(x.dtype)).reshape(shape(tuple(x.shape)))

    return make


def _counting(dtype: Any) -> Any:
    """Return a type of floats that can count: bfloat16 has no 257."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


# ---- choices


def _indices(given: Tensor, count: int, mode: str) -> Tensor:
    """Return whole places from floats; one that is too large is the last, or counts on."""
    places = given.long()
    return places % count if mode == "wrap" else places.clamp(0, count - 1)


def _pick(attrs: Attrs, mode: Mode) -> Function:
    shape, how = _shape_rule("pick", attrs), attrs.choice("mode", "clip", "clip", "wrap")

    def pick(x: Tensor, given: Tensor) -> Tensor:
        axis = attrs.axis("axis", -1, x.dim())
        places = _indices(given, x.shape[axis], how)
        places = places.reshape(*x.shape[:axis], 1, *x.shape[axis + 1 :])
        return x.gather(axis, places).reshape(shape(tuple(x.shape), tuple(given.shape)))

    return pick


def _one_hot(attrs: Attrs, mode: Mode) -> Function:
    depth = attrs.whole("depth")
    on, off = float(attrs.get("on_value", 1.0)), float(attrs.get("off_value", 0.0))

    def one_hot(given: Tensor) -> Tensor:
        all_places = torch.arange(depth, device=given.device)
        hits = given.long().unsqueeze(-1) == all_places
        return hits.to(given.dtype) * (on - off) + off

    return one_hot


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    chosen = condition != 0
    if chosen.dim() < x.dim():
        chosen = chosen.reshape(-1, *(1,) * (x.dim() - 1))
    return torch.where(chosen, x, y)


# ---- products


def _matrix_product(attrs: Attrs, mode: Mode) -> Function:
    turn_a, turn_b = attrs.flag("transpose_a"), attrs.flag("transpose_b")
    return lambda a, b: torch.matmul(a.mT if turn_a else a, b.mT if turn_b else b)


_RESHAPED = ("Flatten", "flatten", "Reshape", "reshape", "reshape_like", "expand_dims", "squeeze")
_SPREAD = ("broadcast_to", "broadcast_axis", "broadcast_axes", "broadcast_like")

MAKERS: dict[str, Maker] = {
    **{op: _reshaped(op) for op in _RESHAPED},
    **{op: _spread(op) for op in _SPREAD},
    "transpose": _transpose,
    **dict.fromkeys(("SwapAxis", "swapaxes"), _swap_axes),
    **dict.fromkeys(("reverse", "flip"), _reverse),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    **dict.fromkeys(("Concat", "concat"), _concat),
    "stack": _stack,
    "tile": _tile,
    "repeat": _repeat,
    **dict.fromkeys(("SliceChannel", "split"), _split),
    "_split_v2": _split_v2,
    **dict.fromkeys(("slice", "crop"), _slice),
    "slice_axis": _slice_axis,
    "slice_like": _slice_like,
    **dict.fromkeys(("Pad", "pad"), _pad),
    **{op: _reduction(op) for op in _REDUCTIONS},
    "norm": _norm,
    "argmax": _place("argmax", torch.argmax),
    "argmin": _place("argmin", torch.argmin),
    "pick": _pick,
    "one_hot": _one_hot,
    "where": plain(_where),
    **dict.fromkeys(("dot", "batch_dot"), _matrix_product),
}
