"""A plain convolutional network for small images: no branches, one convolution a size."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, conv, dense, global_pool, norm, pool


def convnet(spec: InputSpec, classes: int, *, widths: Sequence[int] = (16, 32, 64, 128)) -> Graph:
    """Build a stack of 3x3 convolutions with batch normalisation, halving the size between them.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like; made for about 32 to 96 pixels.
    classes : int
        How many numbers the network puts out.
    widths : sequence of int
        Each convolution's channels. Multiples of 16 run fastest on a CPU.

    Returns
    -------
    Graph

    Notes
    -----
    The plain network of He, Zhang, Ren and Sun (2016), section 3.3 (3x3 filters, twice the
    channels for half the size), cut down to one convolution a size, with max pooling.
    doi:10.1109/CVPR.2016.90. The last convolution's grid is an eighth of the image's sides.

    Examples
    --------
    >>> convnet(InputSpec(64, 64, 3), 10).shape_of("relu4")
    (128, 8, 8)
    """
    b = Builder(spec)
    x = b.data
    for number, width in enumerate(widths, 1):
        with b.group(f"conv{number}"):
            x = conv(b, x, width, bias=False, name=f"conv{number}")
            x = act(b, norm(b, x, name=f"bn{number}"), name=f"relu{number}")
            if number < len(widths):
                x = pool(b, x, name=f"pool{number}")
    x = features = global_pool(b, x, name="avgpool")
    with b.group("head"):
        return b.graph("convnet", dense(b, x, classes, name="head"), features=features)
