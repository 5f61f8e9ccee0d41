"""MXNet's operators in PyTorch: those that work on the places of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diglot.engine.torch import load
from diglot.engine.torch_mode import Function, Maker, Mode, Tensor, c_float
from diglot.operators import OPERATORS, Attrs

torch = load()
F = torch.nn.functional
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_MAXIMA = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_AVERAGES = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
_VECTOR = 8  # channels side by side from which on they are worth the rearranging


def _convolution(attrs: Attrs, mode: Mode) -> Function:
    rank = _rank(attrs)
    stride, pad = attrs.numbers("stride", rank, 1), attrs.numbers("pad", rank, 0)
    dilate, groups = attrs.numbers("dilate", rank, 1), attrs.whole("num_group", 1)
    function = _CONVOLUTIONS[rank - 1]
    return lambda x, w, b=None: function(x, w, b, stride, pad, dilate, groups)


def _rank(attrs: Attrs) -> int:
    """Return how many axes of places there are: one number of the kernel for each."""
    kernel = attrs["kernel"]
    return len(kernel) if isinstance(kernel, tuple) else 2


def _deconvolution(attrs: Attrs, mode: Mode) -> Function:
    rank = _rank(attrs)
    kernel, stride = attrs.numbers("kernel", rank, 1), attrs.numbers("stride", rank, 1)
    pad, adj = attrs.numbers("pad", rank, 0), attrs.numbers("adj", rank, 0)
    dilate, groups = attrs.numbers("dilate", rank, 1), attrs.whole("num_group", 1)
    target = attrs.numbers("target_shape", rank, 0)
    function = _TRANSPOSED[rank - 1]

    def deconvolution(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        left, more = pad, adj
        if any(target):  # what is too much goes away on both sides
            spare = [
                stride[i] * (x.shape[i + 2] - 1) + dilate[i] * (kernel[i] - 1) + 1 - target[i]
                for i in range(rank)
            ]
            left, more = [(s + 1) // 2 for s in spare], [s % 2 for s in spare]
        return function(x, w, b, stride, left, more, groups, dilate)

    return deconvolution


# ---- pooling


def _pooling(attrs: Attrs, mode: Mode) -> Function:
    kind = attrs.choice("pool_type", "max", "max", "avg", "sum", "lp")
    power = attrs.whole("p_value", 2)
    if attrs.flag("global_pool"):
        return _global_pooling(kind, power)
    rank = _rank(attrs)
    kernel, stride = attrs.numbers("kernel", rank, 1), attrs.numbers("stride", rank, 1)
    pad = attrs.numbers("pad", rank, 0)
    full = attrs.choice("pooling_convention", "valid", "valid", "full") == "full"
    windows = _Windows(kernel, stride, pad, full)
    if kind == "max":
        return windows.maxima
    if kind == "avg":
        inside = attrs.get("count_include_pad")
        return windows.averages if inside is None or inside else windows.averages_of_image
    if kind == "sum":
        return windows.sums
    return lambda x: _root(windows.sums(x**power), power)


def _root(x: Tensor, power: int) -> Tensor:
    """Return the root of a sum of powers, whose sign an odd power keeps, as MXNet does."""
    if power == 1:
        return x
    # A root is infinitely steep at 0, and infinity times 0 is no number: the gradient there is 0.
    some = x != 0
    safe = torch.where(some, x, 1.0)
    root = torch.sqrt(safe) if power == 2 else torch.sign(safe) * torch.abs(safe) ** (1 / power)
    return torch.where(some, root, 0.0)


def _global_pooling(kind: str, power: int) -> Function:
    def over(x: Tensor) -> tuple[int, ...]:
        return tuple(range(2, x.dim()))

    return {
        # Not amax: of several maxima, the first alone has the gradient.
        "max": lambda x: _MAXIMA[x.dim() - 3](x, tuple(x.shape[2:])),
        "avg": lambda x: x.mean(over(x), keepdim=True),
        "sum": lambda x: x.sum(over(x), keepdim=True),
        "lp": lambda x: _root((x**power).sum(over(x), keepdim=True), power),
    }[kind]


class _MaximaByVectors(torch.autograd.Function):
    """Maxima over windows of images, on a CPU, where planes are at hand and asked for.

    PyTorch compares numbers by vectors only where a place's channels lie side by side; the way
    back is quicker plane by plane, and so are the layers before and behind.
    """

    @staticmethod
    def forward(ctx, x, kernel, stride, pad):
        side_by_side = x.contiguous(memory_format=torch.channels_last)
        maxima, places = F.max_pool2d(side_by_side, kernel, stride, pad, return_indices=True)
        ctx.save_for_backward(x, places.contiguous())
        ctx.windows = kernel, stride, pad
        return maxima.contiguous()

    @staticmethod
    def backward(ctx, gradient):
        x, places = ctx.saved_tensors
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        once = (1, 1)
        found = backward(gradient.contiguous(), x, *ctx.windows, once, False, places)
        return found, None, None, None


class _Windows:
    """Pooling over windows, which may begin before the image and end behind it.

    The convention "full" has as many windows as it takes to cover all of the image. PyTorch's own
    ``ceil_mode`` leaves those out that begin behind it, so the image is made larger instead.
    """

    def __init__(
        self, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], full: bool
    ) -> None:
        self.kernel, self.stride, self.pad, self.full = kernel, stride, pad, full
        self._most = [k // 2 for k in kernel]  # as much padding as PyTorch takes

    def _behind(self, x: Tensor) -> list[int]:
        """Return how far windows reach behind the padded image, for each axis."""
        if not self.full:
            return [0] * len(self.kernel)
        behind = []
        for size, k, s, p in zip(x.shape[2:], self.kernel, self.stride, self.pad, strict=True):
            steps = -(-(size + 2 * p - k) // s)
            behind.append(max(0, steps * s + k - size - 2 * p))
        return behind

    def _padded(self, x: Tensor, value: float) -> Tensor:
        sides = zip(self.pad, self._behind(x), strict=True)
        return F.pad(x, [w for p, b in reversed(list(sides)) for w in (p, p + b)], value=value)

    def _fits(self, x: Tensor) -> bool:
        """Whether PyTorch's own padding does."""
        narrow = all(p <= m for p, m in zip(self.pad, self._most, strict=True))
        return narrow and not any(self._behind(x))

    def maxima(self, x: Tensor) -> Tensor:
        planes = x.dim() == 4 and x.is_contiguous()
        if x.device.type != "cpu" or not planes or x.shape[1] < _VECTOR:
            return self._maxima(x)
        if self._fits(x):
            return _MaximaByVectors.apply(x, self.kernel, self.stride, self.pad)
        return _MaximaByVectors.apply(self._padded(x, -math.inf), self.kernel, self.stride, (0, 0))

    def _maxima(self, x: Tensor) -> Tensor:
        function = _MAXIMA[len(self.kernel) - 1]
        if self._fits(x):
            return function(x, self.kernel, self.stride, self.pad)
        return function(self._padded(x, -math.inf), self.kernel, self.stride)

    def sums(self, x: Tensor) -> Tensor:
        averages = _AVERAGES[len(self.kernel) - 1](self._padded(x, 0.0), self.kernel, self.stride)
        return averages * math.prod(self.kernel)

    def averages(self, x: Tensor) -> Tensor:
        return self._averages(x, True)

    def averages_of_image(self, x: Tensor) -> Tensor:
        return self._averages(x, False)

    def _averages(self, x: Tensor, with_padding: bool) -> Tensor:
        if self._fits(x):
            function = _AVERAGES[len(self.kernel) - 1]
            return function(x, self.kernel, self.stride, self.pad, False, with_padding)
        # What lies behind the padding never counts, the padding as it is asked for.
        ones = torch.ones_like(x[:1, :1])
        if with_padding:
            ones = F.pad(ones, [w for p in reversed(self.pad) for w in (p, p)], value=1.0)
            sides = [w for b in reversed(self._behind(x)) for w in (0, b)]
            ones = F.pad(ones, sides)
            function = _AVERAGES[len(self.kernel) - 1]
            counts = function(ones, self.kernel, self.stride) * math.prod(self.kernel)
        else:
            counts = self.sums(ones)
        return self.sums(x) / counts


def _adaptive_average(attrs: Attrs, mode: Mode) -> Function:
    sides = attrs.numbers("output_size", 2, 1, least=1)
    return lambda x: F.adaptive_avg_pool2d(x, sides)


# ---- other sizes


def _bilinear_resize(attrs: Attrs, mode: Mode) -> Function:
    rule, corners = OPERATORS["_contrib_BilinearResize2D"].shapes, attrs.flag("align_corners", True)

    def resize(x: Tensor) -> Tensor:
        sides = rule(attrs, [tuple(x.shape)])[0][2:]
        return F.interpolate(x, sides, mode="bilinear", align_corners=corners)

    return resize


def _upsampling(attrs: Attrs, mode: Mode) -> Function:
    scale = attrs.whole("scale")
    return lambda x: F.interpolate(x, scale_factor=scale, mode="nearest")


def _local_response(attrs: Attrs, mode: Mode) -> Function:
    size = attrs.whole("nsize")
    alpha, beta = c_float(attrs.get("alpha", 1e-4)), c_float(attrs.get("beta", 0.75))
    knorm = c_float(attrs.get("knorm", 2.0))
    return lambda x: F.local_response_norm(x, size, alpha, beta, knorm)


MAKERS: dict[str, Maker] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "Pooling": _pooling,
    "_contrib_AdaptiveAvgPooling2D": _adaptive_average,
    "_contrib_BilinearResize2D": _bilinear_resize,
    "UpSampling": _upsampling,
    "LRN": _local_response,
}
