"""All of MXNet's operators that diglot knows, in PyTorch: under their names, what makes each."""

from __future__ import annotations

from diglot.engine import torch_elementwise, torch_images, torch_layers, torch_shapes
from diglot.engine.torch_mode import Function, Maker, Mode
from diglot.errors import DiglotError, InputError
from diglot.graph import Node
from diglot.operators import Attrs

OPERATORS: dict[str, Maker] = {
    **torch_elementwise.MAKERS,
    **torch_images.MAKERS,
    **torch_layers.MAKERS,
    **torch_shapes.MAKERS,
}


def made(node: Node, mode: Mode) -> Function:
    """Return what a layer computes.

    Raises
    ------
    InputError
        If its operator is not known; it is named with the layer.
    """
    maker = OPERATORS.get(node.op)
    if maker is None:
        raise InputError(
            f"layer {node.name!r} uses the operator {node.op!r}, which the PyTorch engine does "
            'not know; use engine="mxnet"'
        )
    try:
        return maker(Attrs(node.attrs), mode)
    except DiglotError as error:
        raise InputError(f"layer {node.name!r} ({node.op}): {error}") from error
