"""The block that MobileNetV3 and EfficientNet are made of: widen, filter, weigh, narrow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.networks.layers import act, add, conv, norm

Function = Callable[..., Tensor]  # (builder, x, name=...), such as layers.silu

_sigmoid = partial(act, kind="sigmoid")


@dataclass(frozen=True)
class Units:
    """What a network's convolutions have in common: their norm's ``eps``, and an activation."""

    eps: float
    activation: Function

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise InputError(f"eps must be above 0, not {self.eps}")

    def __call__(
        self,
        b: Builder,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        name: str,
        stride: int = 1,
        groups: int = 1,
    ) -> Tensor:
        """Add a convolution, batch normalisation and the activation."""
        x = conv(b, x, channels, kernel, stride=stride, groups=groups, bias=False, name=name)
        return self.activation(b, norm(b, x, name=f"{name}_bn", eps=self.eps), name=f"{name}_act")


def image(b: Builder, same_padding: bool) -> Tensor:
    """Return the image as a network sees it that pads by TensorFlow's rule, or by PyTorch's.

    At stride 2, TensorFlow pads an even side less at its beginning than at its end, and an odd
    one the same; PyTorch pads both ends alike, and does not reach an even side's last zero. One
    is the other seen in a mirror: on an image turned by 180 degrees, with the kernels turned as
    well, PyTorch's padding computes what TensorFlow's does, for images of every size.
    """
    return b.add("reverse", b.data, name="turned", axis=(2, 3)) if same_padding else b.data


def inverted_residual(
    b: Builder,
    x: Tensor,
    channels: int,
    units: Units,
    *,
    name: str,
    inner: int,
    kernel: int,
    stride: int,
    squeezed: int,
    squeeze: Function = act,
    gate: Function = _sigmoid,
) -> Tensor:
    """Widen to ``inner`` channels, filter each by itself, weigh and narrow them.

    What would not widen is left out, and so is the weighing where ``squeezed`` is 0; the input is
    added where it fits. ``squeeze`` and ``gate`` are the weighing's two activations.
    """
    y = x if inner == x.shape[0] else units(b, x, inner, 1, name=f"{name}_expand")
    y = units(b, y, inner, kernel, stride=stride, groups=inner, name=f"{name}_depthwise")
    if squeezed:
        y = _squeeze_excite(b, y, squeezed, squeeze, gate, name=name)
    y = conv(b, y, channels, 1, bias=False, name=f"{name}_project")
    y = norm(b, y, name=f"{name}_project_bn", eps=units.eps)
    fits = stride == 1 and x.shape[0] == channels
    return add(b, x, y, name=f"{name}_add") if fits else y


def _squeeze_excite(
    b: Builder, x: Tensor, squeezed: int, squeeze: Function, gate: Function, *, name: str
) -> Tensor:
    """Weigh each channel by what all channels' means say (Hu et al., 2018)."""
    w = b.add("Pooling", x, name=f"{name}_mean", pool_type="avg", global_pool=True, kernel=(1, 1))
    w = squeeze(b, conv(b, w, squeezed, 1, name=f"{name}_squeeze"), name=f"{name}_squeeze_act")
    w = gate(b, conv(b, w, x.shape[0], 1, name=f"{name}_excite"), name=f"{name}_gate")
    return b.add("broadcast_mul", x, w, name=f"{name}_weighed")


def multiple_of_8(channels: float) -> int:
    """Round to the nearest multiple of 8, but never down by more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
