"""DenseNet (Huang et al., 2017): every layer of a block sees the outputs of all before it."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, concat, conv, dense, global_pool, norm, pool


def densenet(
    spec: InputSpec,
    classes: int,
    *,
    depths: Sequence[int] = (6, 12, 24, 16),
    growth: int = 32,
    expansion: int = 4,
    stem: int = 64,
) -> Graph:
    """Build a densely connected network (DenseNet-BC) for images of about 32 pixels and more.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    depths : sequence of int
        Each stage's number of layers.
    growth : int
        The channels that each layer adds.
    expansion : int
        A layer's 1x1 convolution, before its 3x3 one, has ``expansion * growth`` channels.
    stem : int
        Channels of the first convolution.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If ``depths`` has no entry.

    Notes
    -----
    Huang, Liu, van der Maaten and Weinberger (2017), Densely connected convolutional networks,
    doi:10.1109/CVPR.2017.243.

    Examples
    --------
    >>> densenet(InputSpec(224, 224, 3), 1000).parameter_count
    7978856
    """
    if not len(depths):
        raise InputError("depths must have at least one entry, one a stage")
    b = Builder(spec)
    with b.group("stem"):
        x = conv(b, b.data, stem, 7, stride=2, bias=False, name="conv0")
        x = act(b, norm(b, x, name="norm0"), name="relu0")
        x = pool(b, x, kernel=3, stride=2, pad=1, name="pool0")
    for stage, depth in enumerate(depths, 1):
        with b.group(f"stage{stage}"):
            for number in range(1, depth + 1):
                name = f"block{stage}_layer{number}"
                x = _layer(b, x, growth, expansion * growth, name=name)
            if stage < len(depths):
                x = _normed_conv(b, x, x.shape[0] // 2, 1, name=f"transition{stage}")
                x = pool(b, x, "avg", name=f"transition{stage}_pool")
            else:
                # torchvision's and timm's name, whatever the number of stages
                x = act(b, norm(b, x, name="norm5"), name="relu5")
    x = features = global_pool(b, x, name="avgpool")
    with b.group("head"):
        return b.graph("densenet", dense(b, x, classes, name="head"), features=features)


def _layer(b: Builder, x: Tensor, growth: int, inner: int, *, name: str) -> Tensor:
    """Add ``growth`` channels to those that there are."""
    y = _normed_conv(b, x, inner, 1, name=name, number="1")
    y = _normed_conv(b, y, growth, 3, name=name, number="2")
    return concat(b, x, y, name=f"{name}_concat")


def _normed_conv(
    b: Builder, x: Tensor, channels: int, kernel: int, *, name: str, number: str = ""
) -> Tensor:
    x = act(b, norm(b, x, name=f"{name}_norm{number}"), name=f"{name}_relu{number}")
    return conv(b, x, channels, kernel, bias=False, name=f"{name}_conv{number}")
