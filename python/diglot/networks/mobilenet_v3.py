"""MobileNetV3 (Howard et al., 2019): inverted residuals whose shapes a search has found."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.inverted_residual import Units, image, inverted_residual, multiple_of_8
from diglot.networks.layers import (
    act,
    dense,
    dropout,
    global_pool,
    hard_sigmoid,
    hard_swish,
    same_length,
)


def mobilenet_v3(
    spec: InputSpec,
    classes: int,
    *,
    widths: Sequence[int] = (16, 24, 40, 80, 112, 160),
    depths: Sequence[int] = (1, 2, 3, 4, 2, 3),
    strides: Sequence[int] = (1, 2, 2, 2, 1, 2),
    kernels: Sequence[int] = (3, 3, 5, 3, 3, 5),
    squeezes: Sequence[bool] = (False, False, True, False, True, True),
    swishes: Sequence[bool] = (False, False, False, True, True, True),
    inner: Sequence[int] = (16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960),
    stem: int = 16,
    hidden: int = 1280,
    dropout_rate: float = 0.2,
    eps: float = 1e-3,
    same_padding: bool = False,
) -> Graph:
    """Build a small, quick network for phones and other weak machines, better than MobileNetV2.

    The defaults are the paper's large form.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    widths, depths : sequence of int
        Each stage's channels, and its number of blocks.
    strides, kernels : sequence of int
        The stride of each stage's first block, and the size of its depthwise convolutions.
    squeezes, swishes : sequence of bool
        Whether a stage's blocks weigh their channels (squeeze-and-excite), and whether they use
        hard-swish in place of ReLU.
    inner : sequence of int
        The channels that each block widens to, one number a block.
    stem : int
        Channels of the first convolution.
    hidden : int
        Units of the dense layer before the head.
    dropout_rate : float
        The share of these units that training zeroes.
    eps : float
        What batch normalisation adds to the variance: 1e-3 for torchvision's weights and
        TensorFlow's, 1e-5 for timm's own.
    same_padding : bool
        Whether convolutions pad as TensorFlow's "same" does, for weights that were trained there
        (timm's ``tf_mobilenetv3``). The kernels are then stored turned by 180 degrees:
        see :func:`diglot.networks.inverted_residual.image`.

    Returns
    -------
    Graph

    Notes
    -----
    The structure is torchvision's. Howard et al. (2019), Searching for MobileNetV3,
    doi:10.1109/ICCV.2019.00140.

    Examples
    --------
    >>> mobilenet_v3(InputSpec(224, 224, 3), 1000).parameter_count
    5483032
    """
    same_length(
        widths=widths,
        depths=depths,
        strides=strides,
        kernels=kernels,
        squeezes=squeezes,
        swishes=swishes,
    )
    if len(inner) != sum(depths):
        raise InputError(f"inner ({len(inner)}) must have one entry a block ({sum(depths)})")
    b = Builder(spec)
    units = Units(eps, hard_swish)
    with b.group("stem"):
        x = units(b, image(b, same_padding), stem, 3, stride=2, name="stem")
    number = 0
    stages = zip(widths, depths, strides, kernels, squeezes, swishes, strict=True)
    for stage, (width, depth, stride, kernel, squeeze, swish) in enumerate(stages, 1):
        with b.group(f"stage{stage}"):
            for block in range(depth):
                x = inverted_residual(
                    b,
                    x,
                    width,
                    Units(eps, hard_swish if swish else act),
                    inner=inner[number],
                    kernel=kernel,
                    stride=stride if block == 0 else 1,
                    squeezed=multiple_of_8(inner[number] // 4) if squeeze else 0,
                    gate=hard_sigmoid,
                    name=f"block{number + 1}",
                )
                number += 1
    with b.group("last"):
        x = global_pool(b, units(b, x, 6 * x.shape[0], 1, name="last"), name="avgpool")
        x = dense(b, x, hidden, name="hidden", init="he")
        x = features = hard_swish(b, x, name="hidden_act")
    with b.group("head"):
        x = dropout(b, x, dropout_rate, name="dropout")
        return b.graph("mobilenet_v3", dense(b, x, classes, name="head"), features=features)
