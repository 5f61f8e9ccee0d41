"""GoogLeNet (Szegedy et al., 2015): inception modules of four branches side by side."""

from __future__ import annotations

from collections.abc import Sequence

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
    local_response_norm,
    norm,
    pool,
)

# The paper's table 1: channels of the 1x1 branch, the 3x3 one (reduced to, put out), the 5x5 one
# (the same two), and of the branch that pools. One line a module, one tuple a stage.
_STAGES = (
    (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
    ),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    (
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ),
)


def googlenet(
    spec: InputSpec,
    classes: int,
    *,
    form: str = "torchvision",
    stages: Sequence[Sequence[Sequence[int]]] = _STAGES,
    stem: Sequence[int] = (64, 64, 192),
    dropout_rate: float = 0.2,
) -> Graph:
    """Build a GoogLeNet (Inception-v1), without the auxiliary heads that only train it.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    form : {"torchvision", "bvlc"}
        The published weights come in two forms. Torchvision's has batch normalisation, 3x3
        kernels in place of the 5x5 ones, and 2x2 windows in the last max pooling. BVLC's, trained
        in Caffe, is the paper's: biases, local response normalisation in the stem, 5x5, and 3x3.
    stages : sequence of sequence of six int
        For each stage, each module's channels: of the 1x1 branch, the 3x3 branch (reduced to, put
        out), the 5x5 branch (reduced to, put out), the pooling branch.
    stem : sequence of three int
        Channels of the first convolutions, 7x7, 1x1 and 3x3.
    dropout_rate : float
        The share of the feature vector that training zeroes; 0.4 in the paper.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If ``form`` is unknown, or ``stages`` or ``stem`` has another number of entries.

    Notes
    -----
    Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich (2015), Going
    deeper with convolutions, doi:10.1109/CVPR.2015.7298594.

    Examples
    --------
    >>> googlenet(InputSpec(224, 224, 3), 1000).parameter_count
    6624904
    """
    if form not in ("torchvision", "bvlc"):
        raise InputError(f'form must be "torchvision" or "bvlc", not {form!r}')
    if len(stem) != 3:
        raise InputError(f"stem must have 3 entries, not {len(stem)}")
    if not stages or not all(stages) or any(len(module) != 6 for s in stages for module in s):
        raise InputError("stages must have at least one module each, and each module 6 entries")
    bvlc = form == "bvlc"
    b = Builder(spec)
    with b.group("stem"):
        x = _unit(b, b.data, stem[0], 7, stride=2, bvlc=bvlc, name="conv1")
        x = pool(b, x, kernel=3, stride=2, ceil=True, name="pool1")
        x = local_response_norm(b, x, name="pool1_lrn") if bvlc else x
        x = _unit(b, x, stem[1], 1, bvlc=bvlc, name="conv2")
        x = _unit(b, x, stem[2], 3, bvlc=bvlc, name="conv3")
        x = local_response_norm(b, x, name="conv3_lrn") if bvlc else x
    for number, modules in enumerate(stages):
        last = 0 < number == len(stages) - 1
        window = 2 if last and not bvlc else 3
        x = pool(b, x, kernel=window, stride=2, ceil=True, name=f"pool{number + 2}")
        with b.group(f"stage{number + 1}"):
            for place, widths in enumerate(modules):
                # the paper counts the stem as 1 and 2, so that the modules start with 3a
                name = f"inception{number + 3}{chr(ord('a') + place)}"
                x = _module(b, x, widths, bvlc=bvlc, name=name)
    x = features = global_pool(b, x, name="avgpool")
    x = dropout(b, x, dropout_rate, name="dropout")
    with b.group("head"):
        return b.graph("googlenet", dense(b, x, classes, name="head"), features=features)


def _unit(
    b: Builder, x: Tensor, channels: int, kernel: int, *, bvlc: bool, name: str, stride: int = 1
) -> Tensor:
    x = conv(b, x, channels, kernel, stride=stride, bias=bvlc, name=name)
    x = x if bvlc else norm(b, x, name=f"{name}_bn", eps=1e-3)
    return act(b, x, name=f"{name}_relu")


def _module(b: Builder, x: Tensor, widths: Sequence[int], *, bvlc: bool, name: str) -> Tensor:
    """Look at the input at three scales, and at its maxima; join what was seen."""
    single, reduced3, out3, reduced5, out5, projected = widths
    one = _unit(b, x, single, 1, bvlc=bvlc, name=f"{name}_1x1")
    three = _unit(b, x, reduced3, 1, bvlc=bvlc, name=f"{name}_3x3_reduce")
    three = _unit(b, three, out3, 3, bvlc=bvlc, name=f"{name}_3x3")
    five = _unit(b, x, reduced5, 1, bvlc=bvlc, name=f"{name}_5x5_reduce")
    five = _unit(b, five, out5, 5 if bvlc else 3, bvlc=bvlc, name=f"{name}_5x5")
    top = pool(b, x, kernel=3, stride=1, pad=1, name=f"{name}_pool")
    top = _unit(b, top, projected, 1, bvlc=bvlc, name=f"{name}_pool_proj")
    return concat(b, one, three, five, top, name=f"{name}_concat")
