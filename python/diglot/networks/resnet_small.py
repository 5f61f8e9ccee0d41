"""ResNet (He et al., 2016) for small images: the paper's CIFAR-10 form, three thin stages."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, conv, dense, global_pool, norm, same_length
from diglot.networks.resnet import basic_block


def resnet_small(
    spec: InputSpec,
    classes: int,
    *,
    depth: int = 3,
    widths: Sequence[int] = (16, 32, 64),
) -> Graph:
    """Build a residual network for images of about 16 to 64 pixels.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    depth : int
        Blocks a stage: 3 for ``resnet20``, 5 for ``resnet32`` and so on, 6 ``depth`` + 2 layers.
    widths : sequence of int
        Each stage's channels.

    Returns
    -------
    Graph

    Notes
    -----
    Where a stage widens, a 1x1 convolution goes past the block (the paper's option B), where the
    paper's CIFAR networks pad with zeros (option A): 1 % more weights, and any widths work.
    He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, section 4.2,
    doi:10.1109/CVPR.2016.90.

    Examples
    --------
    >>> resnet_small(InputSpec(32, 32, 3), 10).parameter_count
    272474
    """
    same_length(widths=widths)
    b = Builder(spec)
    with b.group("stem"):
        x = conv(b, b.data, widths[0], bias=False, name="conv1")
        x = act(b, norm(b, x, name="bn1"), name="relu")
    for stage, width in enumerate(widths, 1):
        with b.group(f"stage{stage}"):
            for number in range(depth):
                stride = 2 if stage > 1 and number == 0 else 1
                x = basic_block(b, x, width, stride, name=f"layer{stage}_{number}")
    x = features = global_pool(b, x, name="avgpool")
    with b.group("head"):
        return b.graph("resnet_small", dense(b, x, classes, name="head"), features=features)
