"""EfficientNet (Tan and Le, 2019): one small network, made wider and deeper by a rule."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.inverted_residual import Units, image, inverted_residual
from diglot.networks.layers import dense, dropout, global_pool, same_length, silu


def efficientnet(
    spec: InputSpec,
    classes: int,
    *,
    widths: Sequence[int] = (16, 24, 40, 80, 112, 192, 320),
    depths: Sequence[int] = (1, 2, 2, 3, 3, 4, 1),
    strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1),
    kernels: Sequence[int] = (3, 3, 5, 3, 5, 5, 3),
    expansions: Sequence[int] = (1, 6, 6, 6, 6, 6, 6),
    stem: int = 32,
    last: int = 1280,
    dropout_rate: float = 0.2,
    eps: float = 1e-5,
    same_padding: bool = False,
) -> Graph:
    """Build an EfficientNet; the defaults are B0.

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
    expansions : sequence of int
        How many times as many channels as it takes in a block of the stage widens to.
    stem, last : int
        Channels of the first convolution, and of the one after the last stage.
    dropout_rate : float
        The share of the feature vector that training zeroes.
    eps : float
        What batch normalisation adds to the variance: 1e-5 for torchvision's weights and timm's
        own, 1e-3 for TensorFlow's.
    same_padding : bool
        Whether convolutions pad as TensorFlow's "same" does, for weights that were trained there
        (timm's ``tf_efficientnet``,
        Hugging Face's ``google/efficientnet``). The kernels are then stored turned by 180 degrees:
        see :func:`diglot.networks.inverted_residual.image`.

    Returns
    -------
    Graph

    Notes
    -----
    The structure is torchvision's and timm's. Stochastic depth, by which training skips blocks
    at random, is left out: it changes no prediction. Tan and Le (2019), EfficientNet: rethinking
    model scaling for convolutional neural networks, arXiv:1905.11946.

    Examples
    --------
    >>> efficientnet(InputSpec(224, 224, 3), 1000).parameter_count
    5288548
    """
    same_length(
        widths=widths, depths=depths, strides=strides, kernels=kernels, expansions=expansions
    )
    b = Builder(spec)
    units = Units(eps, silu)
    with b.group("stem"):
        x = units(b, image(b, same_padding), stem, 3, stride=2, name="stem")
    number = 0
    stages = zip(widths, depths, strides, kernels, expansions, strict=True)
    for stage, (width, depth, stride, kernel, expansion) in enumerate(stages, 1):
        with b.group(f"stage{stage}"):
            for block in range(depth):
                number += 1
                x = inverted_residual(
                    b,
                    x,
                    width,
                    units,
                    inner=expansion * x.shape[0],
                    kernel=kernel,
                    stride=stride if block == 0 else 1,
                    squeezed=max(1, x.shape[0] // 4),
                    squeeze=silu,
                    name=f"block{number}",
                )
    with b.group("last"):
        x = units(b, x, last, 1, name="last")
    x = features = global_pool(b, x, name="avgpool")
    with b.group("head"):
        x = dropout(b, x, dropout_rate, name="dropout")
        return b.graph("efficientnet", dense(b, x, classes, name="head"), features=features)
