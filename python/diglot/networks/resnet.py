"""ResNet (He et al., 2016) for photographs: four stages of basic or bottleneck blocks."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, add, conv, dense, global_pool, norm, pool, same_length

_EXPANSION = 4  # a bottleneck block puts out four times the channels that it works in


def resnet(
    spec: InputSpec,
    classes: int,
    *,
    depths: Sequence[int] = (2, 2, 2, 2),
    widths: Sequence[int] = (64, 128, 256, 512),
    bottleneck: bool = False,
    stem: int = 64,
    groups: int = 1,
    base_width: int = 64,
) -> Graph:
    """Build a residual network for images of about 64 pixels and more.

    With bottleneck blocks, ``groups=32, base_width=4`` makes it a ResNeXt (32x4d), and
    ``base_width=128`` a Wide ResNet that is twice as wide where its 3x3 convolutions are.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    depths, widths : sequence of int
        Each stage's number of blocks, and the channels that its blocks work in.
    bottleneck : bool
        Whether blocks are 1x1, 3x3, 1x1 convolutions that put out four times their width, in
        place of two 3x3 ones.
    stem : int
        Channels of the first convolution.
    groups : int
        Into how many groups the 3x3 convolution of a bottleneck block is divided.
    base_width : int
        Channels a group, where a stage's width is 64; in proportion where it is not.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If ``groups`` or ``base_width`` is set for basic blocks, which have neither.

    Notes
    -----
    The stride of a bottleneck block is in its 3x3 convolution, as in torchvision and timm and
    unlike the paper (where it is in the first 1x1): their weights need this form. The layers
    have torchvision's names with ``_`` for ``.``, and ``head`` for ``fc``. He, Zhang, Ren and Sun
    (2016), Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90. Xie, Girshick,
    Dollar, Tu and He (2017), Aggregated residual transformations for deep neural networks,
    doi:10.1109/CVPR.2017.634. Zagoruyko and Komodakis (2016), Wide residual networks,
    arXiv:1605.07146.

    Examples
    --------
    >>> resnet(InputSpec(224, 224, 3), 1000).parameter_count
    11689512
    """
    same_length(depths=depths, widths=widths)
    if not bottleneck and (groups, base_width) != (1, 64):
        raise InputError("groups and base_width go with bottleneck=True: basic blocks have neither")
    b = Builder(spec)
    with b.group("stem"):
        x = conv(b, b.data, stem, 7, stride=2, bias=False, name="conv1")
        x = act(b, norm(b, x, name="bn1"), name="relu")
        x = pool(b, x, kernel=3, stride=2, pad=1, name="maxpool")
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        with b.group(f"stage{stage}"):
            for number in range(depth):
                stride = 2 if stage > 1 and number == 0 else 1
                name = f"layer{stage}_{number}"
                if bottleneck:
                    inner = max(1, width * base_width // 64) * groups
                    out = _EXPANSION * width
                    x = bottleneck_block(b, x, inner, out, stride, name=name, groups=groups)
                else:
                    x = basic_block(b, x, width, stride, name=name)
    x = features = global_pool(b, x, name="avgpool")
    with b.group("head"):
        return b.graph("resnet", dense(b, x, classes, name="head"), features=features)


def basic_block(b: Builder, x: Tensor, width: int, stride: int, *, name: str) -> Tensor:
    """Add two 3x3 convolutions and what goes past them."""
    y = conv(b, x, width, stride=stride, bias=False, name=f"{name}_conv1")
    y = act(b, norm(b, y, name=f"{name}_bn1"), name=f"{name}_relu1")
    y = conv(b, y, width, bias=False, name=f"{name}_conv2")
    y = norm(b, y, name=f"{name}_bn2")
    past = _shortcut(b, x, width, stride, name=name)
    return act(b, add(b, y, past, name=f"{name}_add"), name=f"{name}_relu2")


def bottleneck_block(
    b: Builder, x: Tensor, inner: int, out: int, stride: int, *, name: str, groups: int = 1
) -> Tensor:
    """Add a 1x1 and a 3x3 convolution of width ``inner``, a 1x1, and what goes past them."""
    y = conv(b, x, inner, 1, bias=False, name=f"{name}_conv1")
    y = act(b, norm(b, y, name=f"{name}_bn1"), name=f"{name}_relu1")
    y = conv(b, y, inner, stride=stride, groups=groups, bias=False, name=f"{name}_conv2")
    y = act(b, norm(b, y, name=f"{name}_bn2"), name=f"{name}_relu2")
    y = conv(b, y, out, 1, bias=False, name=f"{name}_conv3")
    y = norm(b, y, name=f"{name}_bn3")
    past = _shortcut(b, x, out, stride, name=name)
    return act(b, add(b, y, past, name=f"{name}_add"), name=f"{name}_relu3")


def _shortcut(b: Builder, x: Tensor, channels: int, stride: int, *, name: str) -> Tensor:
    """Pass the block's input on, by a 1x1 convolution where its shape changes."""
    if stride == 1 and x.shape[0] == channels:
        return x
    x = conv(b, x, channels, 1, stride=stride, bias=False, name=f"{name}_downsample_0")
    return norm(b, x, name=f"{name}_downsample_1")
