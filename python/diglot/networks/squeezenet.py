"""SqueezeNet 1.1 (Iandola et al., 2016): AlexNet's accuracy with a fiftieth of its weights."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, concat, conv, dropout, global_pool, pool


def squeezenet(
    spec: InputSpec,
    classes: int,
    *,
    squeeze: Sequence[Sequence[int]] = ((16, 16), (32, 32), (48, 48, 64, 64)),
    expansion: int = 4,
    stem: int = 64,
    dropout_rate: float = 0.5,
) -> Graph:
    """Build a SqueezeNet, version 1.1, for images of any size from 25 pixels.

    Its head is a 1x1 convolution, whose maps are averaged to one number a class.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    squeeze : sequence of sequence of int
        For each stage, the channels that each of its fire modules squeezes its input to.
    expansion : int
        A module puts out ``expansion`` times as many channels by 1x1 convolutions, and as many
        again by 3x3 ones.
    stem : int
        Channels of the first convolution.
    dropout_rate : float
        The share of the head's input that training zeroes.

    Returns
    -------
    Graph
        The features are a map (channels, height, width), not a vector.

    Raises
    ------
    InputError
        If ``squeeze`` has no stage, or a stage no module.

    Notes
    -----
    As published, the output is what is left of the head's maps after a rectifier, never below 0.
    Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer (2016), SqueezeNet, arXiv:1602.07360.

    Examples
    --------
    >>> squeezenet(InputSpec(224, 224, 3), 1000).parameter_count
    1235496
    """
    if not squeeze or not all(squeeze):
        raise InputError("squeeze must have at least one stage, and each stage one module")
    b = Builder(spec)
    with b.group("stem"):
        x = conv(b, b.data, stem, stride=2, pad=0, name="conv1")
        x = act(b, x, name="conv1_relu")
    number = 1
    for stage, modules in enumerate(squeeze, 1):
        x = pool(b, x, kernel=3, stride=2, ceil=True, name=f"pool{stage}")
        with b.group(f"stage{stage}"):
            for width in modules:
                number += 1
                x = _fire(b, x, width, expansion * width, name=f"fire{number}")
    features = x
    x = dropout(b, x, dropout_rate, name="dropout")
    with b.group("head"):
        x = act(b, conv(b, x, classes, 1, name="head"), name="head_relu")
        return b.graph("squeezenet", global_pool(b, x, name="avgpool"), features=features)


def _fire(b: Builder, x: Tensor, squeezed: int, expanded: int, *, name: str) -> Tensor:
    """Squeeze the channels by a 1x1 convolution, then widen by 1x1 and 3x3 ones side by side."""
    x = act(b, conv(b, x, squeezed, 1, name=f"{name}_squeeze"), name=f"{name}_squeeze_relu")
    sides = []
    for kernel in (1, 3):
        layer = f"{name}_expand{kernel}x{kernel}"
        sides.append(act(b, conv(b, x, expanded, kernel, name=layer), name=f"{layer}_relu"))
    return concat(b, *sides, name=f"{name}_concat")
