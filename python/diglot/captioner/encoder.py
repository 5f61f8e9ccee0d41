"""Where an encoder ends for the decoder, and the places of what it puts out there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diglot.errors import InputError
from diglot.graph import Graph


def encoder_end(graph: Graph, attention: bool, layer: str | None = None) -> str:
    """Return the layer whose output the decoder sees.

    Parameters
    ----------
    graph : Graph
        The encoder.
    attention : bool
        Whether it must keep places.
    layer : str, optional
        The user's choice.

    Raises
    ------
    InputError
        If the network has no such layer, or none that keeps places.

    Examples
    --------
    >>> from diglot import network
    >>> net = network("resnet18")
    >>> encoder_end(net, False), encoder_end(net, True)
    ('avgpool_flat', 'layer4_1_relu2')
    """
    last = graph.nodes[graph.heads[0][0]].name
    passed = [*graph.cuts(), last]
    if layer is not None:
        rank = len(graph.shape_of(layer))
        if layer not in passed:
            raise InputError(f"not everything in {graph.name!r} passes through {layer!r}")
        if attention and rank not in (2, 3):
            raise InputError(
                f"the layer {layer!r} of {graph.name!r} has the output {graph.shape_of(layer)}, "
                "which has no places to attend to: name an earlier layer, or attention=False"
            )
        return layer
    # A network without a head, such as one that was cut, is used whole.
    backbone = graph.features or (graph.head if len(graph.output_shape) == 1 else last)
    ends = [name for name in passed if graph.index_of(name) <= graph.index_of(backbone)]
    ends = [name for name in ends if graph.nodes[graph.index_of(name)].op != "Dropout"]
    if not attention:
        return ends[-1]
    placed = [name for name in ends if _cells(graph.shape_of(name)) > 1]
    if not placed:
        raise InputError(
            f"the encoder {graph.name!r} keeps no places to attend to: take a convolutional "
            "network, or attention=False"
        )
    return placed[-1]


def _cells(shape: Sequence[int]) -> int:
    """Return how many places a layer's output has: an image's pixels, a transformer's tokens."""
    return shape[1] * shape[2] if len(shape) == 3 else shape[0] if len(shape) == 2 else 0


def places(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return height and width of an encoder's output, and how many cells before are no places.

    A transformer's tokens may have one more in front, which is of the whole image.

    Examples
    --------
    >>> places((512, 7, 7)), places((197, 384)), places((100,))
    ((7, 7, 0), (14, 14, 1), (1, 1, 0))
    """
    if len(shape) == 3:
        return shape[1], shape[2], 0
    cells = shape[0] if len(shape) == 2 else 1
    for skipped in (0, 1):
        side = math.isqrt(cells - skipped)
        if side * side == cells - skipped:
            return side, side, skipped
    return 1, cells, 0


def encoder_places(encoder: Graph) -> tuple[int, int, int]:
    """Return what `places` says of an encoder's output; a transformer's patches tell it best."""
    shape = encoder.output_shape
    if len(shape) == 2:
        for before in reversed(encoder.output_shapes):
            patches = before[0][1:]
            if len(patches) == 3 and patches[1] * patches[2] in (shape[0], shape[0] - 1):
                return patches[1], patches[2], shape[0] - patches[1] * patches[2]
    return places(shape)
