"""LeNet (LeCun et al., 1998), in the form of the Caffe and MXNet examples: 20-50-500."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.graph import Builder, Graph, InputSpec
from diglot.networks.layers import act, conv, dense, flatten, pool


def lenet(
    spec: InputSpec,
    classes: int,
    *,
    channels: Sequence[int] = (20, 50),
    hidden: int = 500,
    kernel: int = 5,
    activation: str = "tanh",
) -> Graph:
    """Two convolutions with max pooling, one hidden dense layer."""
    b = Builder(spec)
    x = b.data
    init = "he" if activation == "relu" else "xavier"
    for number, width in enumerate(channels, 1):
        with b.group(f"conv{number}"):
            x = conv(b, x, width, kernel, pad=0, name=f"conv{number}", init=init)
            x = act(b, x, activation, name=f"conv{number}_{activation}")
            x = pool(b, x, name=f"pool{number}")
    with b.group("dense"):
        x = dense(b, flatten(b, x, name="flat"), hidden, name="dense", init=init)
        x = features = act(b, x, activation, name=f"dense_{activation}")
    with b.group("head"):
        return b.graph("lenet", dense(b, x, classes, name="head"), features=features)
