"""VGG (Simonyan and Zisserman, 2015): stages of 3x3 convolutions, then two wide dense layers."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import (
    act,
    adaptive_pool,
    conv,
    dense,
    dropout,
    flatten,
    norm,
    pool,
    same_length,
)


def vgg(
    spec: InputSpec,
    classes: int,
    *,
    depths: Sequence[int] = (2, 2, 3, 3, 3),
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    batch_norm: bool = False,
    grid: int = 7,
    hidden: Sequence[int] = (4096, 4096),
    dropout_rate: float = 0.5,
) -> Graph:
    """Build a VGG network of any depth, for images of any size from 32 pixels.

    The last stage's map is averaged to ``grid`` x ``grid`` cells, whatever its size, so that the
    dense layers have the same weights for every image size. At 224 x 224 the map has just 7 x 7
    cells and the averaging changes nothing: the network of the paper. For small images,
    ``grid=1`` with ``hidden=(512,)`` saves most of the weights.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    depths, widths : sequence of int
        Each stage's number of convolutions, and its channels.
    batch_norm : bool
        Whether each convolution is followed by batch normalisation.
    grid : int
        Cells, per side, of the map that the dense layers see.
    hidden : sequence of int
        The dense layers' widths.
    dropout_rate : float
        The share of dense units that training zeroes.

    Returns
    -------
    Graph

    Notes
    -----
    Layers have the names of the authors' own release, ``conv1_1`` and so on; structure and
    weights' shapes are those of torchvision. Simonyan and Zisserman (2015), Very deep
    convolutional networks for large-scale image recognition, arXiv:1409.1556.

    Examples
    --------
    >>> vgg(InputSpec(32, 32, 3), 10, grid=1, hidden=(512,)).parameter_count
    14982474
    """
    same_length(depths=depths, widths=widths)
    b = Builder(spec)
    x = b.data
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        with b.group(f"stage{stage}"):
            for number in range(1, depth + 1):
                name = f"conv{stage}_{number}"
                x = conv(b, x, width, name=name)
                if batch_norm:
                    x = norm(b, x, name=f"{name}_bn")
                x = act(b, x, name=f"{name}_relu")
            x = pool(b, x, name=f"pool{stage}")
    x = features = flatten(b, adaptive_pool(b, x, grid, name="grid"), name="flat")
    for number, width in enumerate(hidden, len(widths) + 1):
        with b.group(f"dense{number}"):
            x = dense(b, x, width, name=f"fc{number}", init="he")
            x = features = act(b, x, name=f"fc{number}_relu")
            x = dropout(b, x, dropout_rate, name=f"fc{number}_dropout")
    with b.group("head"):
        return b.graph("vgg", dense(b, x, classes, name="head"), features=features)
