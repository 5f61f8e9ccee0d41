"""ConvNeXt (Liu et al., 2022): a convolutional network with a transformer's habits."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder, Tensor
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import (
    add,
    conv,
    dense,
    gelu,
    global_pool,
    last_dense,
    layer_norm,
    same_length,
)

_EPS = 1e-6


def convnext(
    spec: InputSpec,
    classes: int,
    *,
    depths: Sequence[int] = (3, 3, 9, 3),
    widths: Sequence[int] = (96, 192, 384, 768),
    kernel: int = 7,
    patch: int = 4,
    expansion: int = 4,
    eps: float = _EPS,
) -> Graph:
    """Build a ConvNeXt; the defaults are the tiny form.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    depths, widths : sequence of int
        Each stage's number of blocks, and its channels.
    kernel : int
        The size of the depthwise convolutions, in pixels.
    patch : int
        The size and stride of the first convolution, in pixels.
    expansion : int
        How many times as many channels a block widens to.
    eps : float
        What the last layer normalisation adds to the variance: 1e-6 for torchvision's and timm's
        weights, 1e-12 for those of Hugging Face's transformers. All others add 1e-6.

    Returns
    -------
    Graph

    Notes
    -----
    The structure is torchvision's and timm's. Stochastic depth, by which training skips blocks at
    random, is left out: it changes no prediction. A block's two dense layers work on channels
    that come last: on a CPU, MXNet runs a stage's blocks 1.8 to 2.6 times as fast as with layer
    normalisation and 1x1 convolutions on channels that come first. Liu, Mao, Wu, Feichtenhofer,
    Darrell and Xie (2022), A ConvNet for the 2020s, doi:10.1109/CVPR52688.2022.01167.

    Examples
    --------
    >>> convnext(InputSpec(224, 224, 3), 1000).parameter_count
    28589128
    """
    same_length(depths=depths, widths=widths)
    b = Builder(spec)
    with b.group("stem"):
        x = conv(b, b.data, widths[0], patch, stride=patch, pad=0, init="normal", name="stem")
        x = _channel_norm(b, x, name="stem_norm")
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        with b.group(f"stage{stage}"):
            if stage > 1:
                name = f"stage{stage}_downsample"
                x = _channel_norm(b, x, name=f"{name}_norm")
                x = conv(b, x, width, 2, stride=2, pad=0, init="normal", name=name)
            for number in range(depth):
                x = _block(b, x, kernel, expansion, name=f"stage{stage}_{number}")
    with b.group(f"stage{len(depths)}"):
        x = global_pool(b, x, name="avgpool")
        x = features = layer_norm(b, x, name="norm", eps=eps)
    with b.group("head"):
        x = dense(b, x, classes, name="head", init="normal")
        return b.graph("convnext", x, features=features)


def _block(b: Builder, x: Tensor, kernel: int, expansion: int, *, name: str) -> Tensor:
    """Filter each channel by itself, widen, narrow, scale each channel, and add the input."""
    width = x.shape[0]
    y = conv(b, x, width, kernel, groups=width, init="normal", name=f"{name}_depthwise")
    y = _channels_last(b, y, name=f"{name}_last")
    y = layer_norm(b, y, name=f"{name}_norm", eps=_EPS)
    y = last_dense(b, y, expansion * width, name=f"{name}_expand", init="normal")
    y = gelu(b, y, name=f"{name}_gelu")
    y = last_dense(b, y, width, name=f"{name}_project", init="normal")
    scale = b.parameter(f"{name}_scale", (1, 1, 1, width), kind="scale", init="1e-6")
    y = b.add("broadcast_mul", y, scale, name=f"{name}_scaled")
    return add(b, x, _channels_first(b, y, name=f"{name}_first"), name=f"{name}_add")


def _channel_norm(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Normalise over the channels at each pixel; MXNet is slow where they are not last."""
    x = layer_norm(b, _channels_last(b, x, name=f"{name}_last"), name=name, eps=_EPS)
    return _channels_first(b, x, name=f"{name}_first")


def _channels_last(b: Builder, x: Tensor, *, name: str) -> Tensor:
    return b.add("transpose", x, name=name, axes=(0, 2, 3, 1))


def _channels_first(b: Builder, x: Tensor, *, name: str) -> Tensor:
    return b.add("transpose", x, name=name, axes=(0, 3, 1, 2))
