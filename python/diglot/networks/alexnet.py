"""AlexNet (Krizhevsky, 2014): five convolutions, then two wide dense layers."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, adaptive_pool, conv, dense, dropout, flatten, pool

# Each stage's kernel and stride; after the first, the second and the last the map is pooled.
_STAGES = ((11, 4), (5, 1), (3, 1), (3, 1), (3, 1))
_POOLED = (1, 2, 5)


def alexnet(
    spec: InputSpec,
    classes: int,
    *,
    widths: Sequence[int] = (64, 192, 384, 256, 256),
    grid: int = 6,
    hidden: Sequence[int] = (4096, 4096),
    dropout_rate: float = 0.5,
) -> Graph:
    """Build an AlexNet for images of any size from 63 pixels.

    The last map is averaged to ``grid`` x ``grid`` cells, so that the dense layers have the same
    weights for every image size. At 224 x 224 the averaging changes nothing.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    widths : sequence of int
        The five convolutions' channels.
    grid : int
        Cells, per side, of the map that the dense layers see.
    hidden : sequence of int
        The dense layers' widths.
    dropout_rate : float
        The share of each dense layer's input that training zeroes, the last layer's excepted.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If ``widths`` does not have five entries.

    Notes
    -----
    The form of torchvision: that of the author's later paper, in one column and without local
    response normalisation. Krizhevsky (2014), One weird trick for parallelizing convolutional
    neural networks, arXiv:1404.5997; first in Krizhevsky, Sutskever and Hinton (2012),
    ImageNet classification with deep convolutional neural networks, doi:10.1145/3065386.

    Examples
    --------
    >>> alexnet(InputSpec(224, 224, 3), 1000).parameter_count
    61100840
    """
    if len(widths) != len(_STAGES):
        raise InputError(f"widths must have {len(_STAGES)} entries, not {len(widths)}")
    b = Builder(spec)
    x = b.data
    for stage, (width, (kernel, stride)) in enumerate(zip(widths, _STAGES, strict=True), 1):
        with b.group(f"stage{stage}"):
            # torchvision pads the first convolution by less than half its kernel
            pad = 2 if stage == 1 else None
            x = conv(b, x, width, kernel, stride=stride, pad=pad, name=f"conv{stage}")
            x = act(b, x, name=f"conv{stage}_relu")
            x = pool(b, x, kernel=3, stride=2, name=f"pool{stage}") if stage in _POOLED else x
    x = features = flatten(b, adaptive_pool(b, x, grid, name="grid"), name="flat")
    for number, width in enumerate(hidden, len(widths) + 1):
        with b.group(f"dense{number}"):
            x = dropout(b, x, dropout_rate, name=f"fc{number}_dropout")
            x = dense(b, x, width, name=f"fc{number}", init="he")
            x = features = act(b, x, name=f"fc{number}_relu")
    with b.group("head"):
        return b.graph("alexnet", dense(b, x, classes, name="head"), features=features)
