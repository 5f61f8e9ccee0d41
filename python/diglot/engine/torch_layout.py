"""How images and filters lie in PyTorch's memory: plane after plane, or place after place."""

from __future__ import annotations

import math
from collections.abc import Iterator

from diglot.engine import STEADY_ROWS
from diglot.engine.torch import load
from diglot.graph import Graph
from diglot.operators import Attrs

torch = load()

_VECTOR = 16  # floats in AVX-512's


def image_layout(graph: Graph, kind: str) -> torch.memory_format:
    """Return the layout with which a device is quickest.

    The tensor cores of GPUs want the channels of a place side by side. So do oneDNN's vectors, but
    it then rearranges the filters at every step, which pays only where images hold more numbers
    than filters do: measured with ResNet-18 (from 128 pixels a side on), MobileNet-V2 and LeNet
    (from 28).

    Parameters
    ----------
    graph : Graph
    kind : str
        Of device, as PyTorch names it.

    Examples
    --------
    >>> from diglot import network
    >>> image_layout(network("mlp", classes=2), "cpu")
    torch.contiguous_format
    """
    if kind == "cuda":
        return torch.channels_last
    if kind != "cpu" or not torch.backends.mkldnn.is_available():
        return torch.contiguous_format
    of_images = of_filters = 0
    for attrs, filters, images in _convolutions(graph):
        if _crashes(filters, attrs.numbers("stride", 2, 1)):
            return torch.contiguous_format
        of_images += STEADY_ROWS * math.prod(images[1:])
        of_filters += math.prod(filters)
    return torch.channels_last if of_images > of_filters else torch.contiguous_format


def _convolutions(graph: Graph) -> Iterator[tuple[Attrs, tuple[int, ...], tuple[int, ...]]]:
    """Yield each convolution over two axes: its settings, and the shapes of filters and output."""
    shapes = graph.output_shapes
    for node, (first, *_) in zip(graph.nodes, shapes, strict=True):
        if node.op == "Convolution" and len(first) == 4:
            yield Attrs(node.attrs), shapes[node.inputs[1][0]][0], first


def _crashes(filters: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether oneDNN writes where it must not when it differentiates by such filters.

    With the channels of a place side by side, filters of one place that go on by several write
    over what lies behind, where they take fewer channels than a vector holds, and the process
    ends: oneDNN's issue 6035, open in November 2026.
    """
    return filters[2:] == (1, 1) and max(stride) > 1 and filters[1] < _VECTOR
