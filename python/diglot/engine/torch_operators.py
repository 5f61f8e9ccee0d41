"""All of MXNet's operators that diglot knows, in PyTorch: under their names, what makes each."""

from __future__ import annotations

from typing import Any

from diglot.engine import torch_elementwise, torch_images, torch_layers, torch_shapes
from diglot.engine.torch import load
from diglot.engine.torch_mode import Function, Maker, Mode, Tensor
from diglot.errors import DiglotError, InputError
from diglot.graph import Node
from diglot.operators import Attrs

torch = load()

OPERATORS: dict[str, Maker] = {
    **torch_elementwise.MAKERS,
    **torch_images.MAKERS,
    **torch_layers.MAKERS,
    **torch_shapes.MAKERS,
}


_SHORT = (torch.bfloat16, torch.float16)
# What is computed with all bits of a float, also where what comes in has fewer: sums of many
# numbers, what is steep, losses, and functions of NumPy, which knows no bfloat16. Others take what
# comes.
_WHOLE = {
    *("softmax", "softmin", "log_softmax", "SoftmaxActivation", "make_loss", "MakeLoss"),
    *("LayerNorm", "InstanceNorm", "GroupNorm", "L2Normalization", "LRN", "norm"),
    *("sum", "mean", "prod", "nansum", "nanprod", "sum_axis"),
    *("exp", "expm1", "log", "log2", "log10", "log1p", "rsqrt", "smooth_l1", "pick"),
    "Custom",
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
        function = maker(Attrs(node.attrs), mode)
        return _with_whole_floats(function) if mode.mixed and node.op in _WHOLE else function
    except DiglotError as error:
        raise InputError(f"layer {node.name!r} ({node.op}): {error}") from error


def _with_whole_floats(function: Function) -> Function:
    def compute(*inputs: Tensor) -> Any:
        return function(*(x.float() if x.dtype in _SHORT else x for x in inputs))

    return compute
