"""How a program runs: in training or in scoring, and where its chance comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.operators import Attrs

Tensor = Any  # torch.Tensor: PyTorch is not imported to say so
Function = Callable[..., Any]  # of tensors, to a tensor or a tuple of them
Bodies = Sequence[Callable[[Sequence[Tensor]], list[Tensor]]]


@dataclass
class Mode:
    """What operators ask that do something else in training.

    Attributes
    ----------
    training : bool
    generator : torch.Generator
        That draws what is dropped: seeded at each step, and nobody else's.
    mixed : bool
        Whether some layers answer with floats of 16 bits.
    """

    training: bool
    generator: Any
    mixed: bool = False


Maker = Callable[[Attrs, Mode], Function]  # reads a layer's attributes once, not at every step


def c_float(value: float) -> float:
    """Return a number as MXNet keeps most of its settings: with 24 bits.

    Examples
    --------
    >>> c_float(0.1)
    0.10000000149011612
    """
    return float(np.float32(value))


def plain(function: Function) -> Maker:
    """Return the maker of an operator that has no settings."""
    return lambda attrs, mode: function
