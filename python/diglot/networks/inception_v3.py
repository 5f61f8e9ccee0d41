"""Inception-v3 (Szegedy et al., 2016): inception modules whose large kernels are factorised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import (
    act,
    concat,
    conv,
    dense,
    dropout,
    global_pool,
    norm,
    pool,
    same_length,
)

_EPS = 1e-3
# A step of a branch: its name's ending, channels, kernel.
Step = tuple[str, int, "int | tuple[int, int]"]


def inception_v3(
    spec: InputSpec,
    classes: int,
    *,
    pooled: Sequence[int] = (32, 64, 64),
    factorised: Sequence[int] = (128, 160, 160, 192),
    last: int = 2,
    width: float = 1.0,
    dropout_rate: float = 0.5,
) -> Graph:
    """Build an Inception-v3, without the auxiliary head that only trains it.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    pooled : sequence of int
        One entry for each module of the first stage: the channels of its pooling branch.
    factorised : sequence of int
        One entry for each module of the second stage: the channels inside its branches of 1x7
        and 7x1 convolutions.
    last : int
        Modules of the third stage.
    width : float
        What the channels of every layer, ``pooled`` and ``factorised`` included, are multiplied by.
    dropout_rate : float
        The share of the feature vector that training zeroes.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If ``width`` is not above 0, or a stage has no module.

    Notes
    -----
    The structure is torchvision's and timm's, whose average pooling counts the padding. Szegedy,
    Vanhoucke, Ioffe, Shlens and Wojna (2016), Rethinking the Inception architecture for computer
    vision, doi:10.1109/CVPR.2016.308.

    Examples
    --------
    >>> inception_v3(InputSpec(299, 299, 3), 1000).parameter_count
    23834568
    """
    if not 0 < width <= 100:
        raise InputError(f"width must be above 0 and at most 100, not {width}")
    same_length(pooled=pooled)
    same_length(factorised=factorised)
    b = _Narrowed(spec, width)
    with b.group("stem"):
        x = b.unit(b.data, 32, 3, stride=2, pad=0, name="conv1a")
        x = b.unit(x, 32, 3, pad=0, name="conv2a")
        x = b.unit(x, 64, 3, name="conv2b")
        x = pool(b, x, kernel=3, stride=2, name="pool1")
        x = b.unit(x, 80, 1, name="conv3b")
        x = b.unit(x, 192, 3, pad=0, name="conv4a")
        x = pool(b, x, kernel=3, stride=2, name="pool2")
    with b.group("stage1"):
        for number, channels in enumerate(pooled):
            x = _first(b, x, channels, name=_name(5, number + 1))
    with b.group("stage2"):
        x = _halve_first(b, x, name=_name(6, 0))
        for number, channels in enumerate(factorised):
            x = _second(b, x, channels, name=_name(6, number + 1))
    with b.group("stage3"):
        x = _halve_second(b, x, name=_name(7, 0))
        for number in range(last):
            x = _third(b, x, name=_name(7, number + 1))
    x = features = global_pool(b, x, name="avgpool")
    x = dropout(b, x, dropout_rate, name="dropout")
    with b.group("head"):
        return b.graph("inception_v3", dense(b, x, classes, name="head"), features=features)


def _name(stage: int, number: int) -> str:
    return f"mixed{stage}{chr(ord('a') + number)}"


class _Narrowed(Builder):
    """A builder whose units are narrower or wider than they are asked to be."""

    def __init__(self, spec: InputSpec, width: float) -> None:
        super().__init__(spec)
        self._width = width

    def unit(
        self,
        x: Tensor,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        name: str,
        stride: int = 1,
        pad: int | None = None,
    ) -> Tensor:
        """Add a convolution with its norm and activation."""
        channels = max(1, round(channels * self._width))
        x = conv(self, x, channels, kernel, stride=stride, pad=pad, bias=False, name=name)
        return act(self, norm(self, x, name=f"{name}_bn", eps=_EPS), name=f"{name}_relu")

    def branch(self, x: Tensor, steps: Iterable[Step], *, name: str) -> Tensor:
        """Add one unit after the other."""
        for ending, channels, kernel in steps:
            x = self.unit(x, channels, kernel, name=f"{name}_{ending}")
        return x


def _averaged(b: _Narrowed, x: Tensor, channels: int, *, name: str) -> Tensor:
    x = pool(b, x, "avg", 3, stride=1, pad=1, count_pad=True, name=f"{name}_avgpool")
    return b.unit(x, channels, 1, name=f"{name}_branch_pool")


def _first(b: _Narrowed, x: Tensor, pooled: int, *, name: str) -> Tensor:
    """Branches of 1x1, of 5x5 and of two 3x3 convolutions (the paper's figure 5)."""
    branches = [
        b.unit(x, 64, 1, name=f"{name}_branch1x1"),
        b.branch(x, [("1", 48, 1), ("2", 64, 5)], name=f"{name}_branch5x5"),
        b.branch(x, [("1", 64, 1), ("2", 96, 3), ("3", 96, 3)], name=f"{name}_branch3x3dbl"),
        _averaged(b, x, pooled, name=name),
    ]
    return concat(b, *branches, name=f"{name}_concat")


def _halve_first(b: _Narrowed, x: Tensor, *, name: str) -> Tensor:
    """Halve height and width by strides and by pooling, side by side (figure 10)."""
    short = b.unit(x, 384, 3, stride=2, pad=0, name=f"{name}_branch3x3")
    long = b.branch(x, [("1", 64, 1), ("2", 96, 3)], name=f"{name}_branch3x3dbl")
    long = b.unit(long, 96, 3, stride=2, pad=0, name=f"{name}_branch3x3dbl_3")
    top = pool(b, x, kernel=3, stride=2, name=f"{name}_maxpool")
    return concat(b, short, long, top, name=f"{name}_concat")


def _second(b: _Narrowed, x: Tensor, inner: int, *, name: str) -> Tensor:
    """Branches whose 7x7 convolutions are a row's and a column's, one after the other (fig. 6)."""
    row, column = (1, 7), (7, 1)
    once = [("1", inner, 1), ("2", inner, row), ("3", 192, column)]
    twice = [
        ("1", inner, 1),
        *(("2", inner, column), ("3", inner, row), ("4", inner, column), ("5", 192, row)),
    ]
    branches = [
        b.unit(x, 192, 1, name=f"{name}_branch1x1"),
        b.branch(x, once, name=f"{name}_branch7x7"),
        b.branch(x, twice, name=f"{name}_branch7x7dbl"),
        _averaged(b, x, 192, name=name),
    ]
    return concat(b, *branches, name=f"{name}_concat")


def _halve_second(b: _Narrowed, x: Tensor, *, name: str) -> Tensor:
    """Halve height and width once more."""
    short = b.unit(x, 192, 1, name=f"{name}_branch3x3_1")
    short = b.unit(short, 320, 3, stride=2, pad=0, name=f"{name}_branch3x3_2")
    steps = [("1", 192, 1), ("2", 192, (1, 7)), ("3", 192, (7, 1))]
    long = b.branch(x, steps, name=f"{name}_branch7x7x3")
    long = b.unit(long, 192, 3, stride=2, pad=0, name=f"{name}_branch7x7x3_4")
    top = pool(b, x, kernel=3, stride=2, name=f"{name}_maxpool")
    return concat(b, short, long, top, name=f"{name}_concat")


def _third(b: _Narrowed, x: Tensor, *, name: str) -> Tensor:
    """Branches that end in a row and a column side by side (figure 7)."""
    branches = [b.unit(x, 320, 1, name=f"{name}_branch1x1")]
    for branch, end, steps in [
        ("branch3x3", 2, [("1", 384, 1)]),
        ("branch3x3dbl", 3, [("1", 448, 1), ("2", 384, 3)]),
    ]:
        y = b.branch(x, steps, name=f"{name}_{branch}")
        branches.append(b.unit(y, 384, (1, 3), name=f"{name}_{branch}_{end}a"))
        branches.append(b.unit(y, 384, (3, 1), name=f"{name}_{branch}_{end}b"))
    branches.append(_averaged(b, x, 192, name=name))
    return concat(b, *branches, name=f"{name}_concat")
