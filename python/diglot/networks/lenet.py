"""LeNet (LeCun et al., 1998), in the form of the Caffe and MXNet examples: 20-50-500."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, conv, dense, flatten, pool


def lenet(
    spec: InputSpec,
    classes: int,
    *,
    widths: Sequence[int] = (20, 50),
    hidden: int = 500,
    kernel: int = 5,
    activation: str = "tanh",
) -> Graph:
    """Build convolutions with max pooling, and one hidden dense layer.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    widths : sequence of int
        Each convolution's channels. Multiples of 16 run fastest on a CPU.
    hidden : int
        The dense layer's width.
    kernel : int
        The convolutions' height and width in pixels.
    activation : {"tanh", "relu", "relu6", "sigmoid", "softrelu", "softsign"}
        What follows each layer.

    Returns
    -------
    Graph

    Notes
    -----
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document
    recognition, doi:10.1109/5.726791.

    Examples
    --------
    >>> lenet(InputSpec(28, 28, 1), 10).parameter_count
    431080
    >>> lenet(InputSpec(28, 28, 1), 10, widths=(16, 48), activation="relu").shape_of("pool2")
    (48, 4, 4)
    """
    b = Builder(spec)
    x = b.data
    init = "he" if activation == "relu" else "xavier"
    for number, width in enumerate(widths, 1):
        with b.group(f"conv{number}"):
            x = conv(b, x, width, kernel, pad=0, name=f"conv{number}", init=init)
            x = act(b, x, activation, name=f"conv{number}_{activation}")
            x = pool(b, x, name=f"pool{number}")
    with b.group("dense"):
        x = dense(b, flatten(b, x, name="flat"), hidden, name="dense", init=init)
        x = features = act(b, x, activation, name=f"dense_{activation}")
    with b.group("head"):
        return b.graph("lenet", dense(b, x, classes, name="head"), features=features)
