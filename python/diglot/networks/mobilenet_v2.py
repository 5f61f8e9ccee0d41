"""MobileNetV2 (Sandler et al., 2018): inverted residuals of depthwise convolutions."""

from __future__ import annotations

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.inverted_residual import image, multiple_of_8
from diglot.networks.layers import act, add, conv, dense, dropout, global_pool, norm

# The paper's table 2: expansion, channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(
    spec: InputSpec,
    classes: int,
    *,
    width: float = 1.0,
    stem: int = 32,
    last: int = 1280,
    dropout_rate: float = 0.2,
    eps: float = 1e-5,
    same_padding: bool = False,
) -> Graph:
    """Build a small, quick network for phones and other weak machines.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    width : float
        What every layer's channels are multiplied by, then rounded to a multiple of 8.
    stem, last : int
        Channels of the first and the last convolution, before ``width`` multiplies them; a
        ``width`` below 1 does not apply to the last.
    dropout_rate : float
        The share of the feature vector that training zeroes.
    eps : float
        What batch normalisation adds to the variance; 1e-3 in TensorFlow's weights.
    same_padding : bool
        Whether convolutions of stride 2 are padded as TensorFlow's "SAME" has it, for weights
        that were trained there. The kernels are then stored turned by 180 degrees, see the notes.

    Returns
    -------
    Graph

    Notes
    -----
    The structure is torchvision's. At stride 2, TensorFlow pads an even side at its end only, and
    an odd one at both ends; elsewhere the padding is at both ends, and an even side's last zero
    is not reached. One is the other seen in a mirror. So with ``same_padding`` the image is turned
    by 180 degrees first, and with the kernels turned as well the network computes the same for
    images of every size. Sandler, Howard, Zhu, Zhmoginov and Chen (2018), MobileNetV2:
    inverted residuals and linear bottlenecks, doi:10.1109/CVPR.2018.00474.

    Examples
    --------
    >>> mobilenet_v2(InputSpec(224, 224, 3), 1000).parameter_count
    3504872
    """
    if not 0 < width <= 100:
        raise InputError(f"width must be above 0 and at most 100, not {width}")
    b = Builder(spec)
    x = image(b, same_padding)
    with b.group("stem"):
        x = _unit(b, x, multiple_of_8(stem * width), 3, stride=2, name="stem", eps=eps)
    number = 0
    for stage, (expansion, channels, blocks, stride) in enumerate(_STAGES, 1):
        with b.group(f"stage{stage}"):
            for block in range(blocks):
                number += 1
                x = _block(
                    b,
                    x,
                    multiple_of_8(channels * width),
                    expansion,
                    stride if block == 0 else 1,
                    name=f"block{number}",
                    eps=eps,
                )
    with b.group("last"):
        x = _unit(b, x, multiple_of_8(last * max(1.0, width)), 1, name="last", eps=eps)
    x = features = global_pool(b, x, name="avgpool")
    x = dropout(b, x, dropout_rate, name="dropout")
    with b.group("head"):
        return b.graph("mobilenet_v2", dense(b, x, classes, name="head"), features=features)


def _unit(
    b: Builder,
    x: Tensor,
    channels: int,
    kernel: int,
    *,
    name: str,
    eps: float,
    stride: int = 1,
    groups: int = 1,
) -> Tensor:
    x = conv(b, x, channels, kernel, stride=stride, groups=groups, bias=False, name=name)
    return act(b, norm(b, x, name=f"{name}_bn", eps=eps), "relu6", name=f"{name}_relu6")


def _block(
    b: Builder, x: Tensor, channels: int, expansion: int, stride: int, *, name: str, eps: float
) -> Tensor:
    """Widen, filter each channel by itself, narrow again; add the input where it fits."""
    inner = expansion * x.shape[0]
    y = x if expansion == 1 else _unit(b, x, inner, 1, name=f"{name}_expand", eps=eps)
    y = _unit(b, y, inner, 3, stride=stride, groups=inner, name=f"{name}_depthwise", eps=eps)
    y = conv(b, y, channels, 1, bias=False, name=f"{name}_project")
    y = norm(b, y, name=f"{name}_project_bn", eps=eps)
    fits = stride == 1 and x.shape[0] == channels
    return add(b, x, y, name=f"{name}_add") if fits else y
