"""One node of an ONNX file on its way into a graph, and what all rules ask of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diglot.builder import Tensor
from diglot.errors import ModelFileError
from diglot.weights.onnx.file import OnnxNode

if TYPE_CHECKING:
    from diglot.weights.onnx.network import Network

Value = Tensor | np.ndarray
"""What a name in the file stands for: an output of the graph, or a constant."""

_MOST_AXES = 16
_LARGEST_OUTPUT = 2**31  # numbers that a layer gives for one image


class Step:
    """One node of the file on its way into the graph."""

    def __init__(
        self, network: Network, index: int, node: OnnxNode, inputs: list[Value | None]
    ) -> None:
        self.network = network
        self.index = index
        self.node = node
        self.inputs = inputs
        self.attrs = node.attrs

    @property
    def x(self) -> Tensor:
        """The first input, which is no constant."""
        if not isinstance(self.inputs[0], Tensor):
            raise ModelFileError("its first input is a constant")
        return self.inputs[0]

    def image(self) -> Tensor:
        """Return the first input, which must have channels, rows and columns."""
        if len(self.x.shape) != 3:
            raise ModelFileError(f"it works on images, and its input has the shape {self.x.shape}")
        return self.x

    def optional(self, at: int) -> np.ndarray | None:
        """Return an input that must be a constant, or None where it is left out."""
        value = self.inputs[at] if at < len(self.inputs) else None
        if isinstance(value, Tensor):
            raise ModelFileError(f"its input {self.node.inputs[at]!r} must be a constant")
        return value

    def constant(self, at: int) -> np.ndarray:
        """Return an input that must be a constant."""
        value = self.optional(at)
        if value is None:
            raise ModelFileError(f"it lacks its input {at + 1}")
        return value

    def floats(self, at: int) -> np.ndarray:
        """Return a weight, which must be a constant array of floats."""
        array = self.constant(at)
        if array.dtype.kind != "f":
            raise ModelFileError(f"its weight {self.node.inputs[at]!r} is of type {array.dtype}")
        return array.astype(np.float32, copy=False)

    def number(self, at: int) -> float | None:
        """Return an input that must be one constant number, or None where it is left out."""
        array = self.optional(at)
        return None if array is None or not array.size else float(array.reshape(-1)[0])

    def whole(self, key: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        value = self.attrs.get(key, default)
        if type(value) is not int:
            raise ModelFileError(f"its {key} is {value!r}")
        return value

    def axis(self, default: int, rank: int) -> int:
        """Return the attribute ``axis``, counted from the front."""
        axis = self.whole("axis", default)
        if not -rank <= axis < rank:
            raise ModelFileError(f"it has no axis {axis}")
        return axis % rank

    def pair(self, key: str, default: int = 1) -> tuple[int, int]:
        """Return an attribute for rows and columns."""
        value = self.attrs.get(key) or (default, default)
        if len(value) != 2 or not all(type(v) is int and 0 <= v < 2**31 for v in value):
            raise ModelFileError(f"its {key} is {value!r}; images have rows and columns")
        return value

    def layer(
        self, op: str, *inputs: Tensor, weights: dict[str, np.ndarray] | None = None, **attrs: Any
    ) -> Tensor:
        """Add one of MXNet's operators, and keep the weights that belong to it."""
        name = self.network.claim(self.node.name or self.node.op)
        result = self.network.builder.add(op, *inputs, name=name, **attrs)
        self.network.count_layer()
        if len(result.shape) > _MOST_AXES or math.prod(result.shape) > _LARGEST_OUTPUT:
            raise ModelFileError(f"its output of shape {result.shape[:8]} is too large")
        for suffix, array in (weights or {}).items():
            self.network.weights[f"{name}_{suffix}"] = self.network.own(array)
        return result

    def parameter(self, array: np.ndarray, kind: str) -> Tensor:
        """Add a constant array as a parameter by itself, such as a scale of each channel."""
        name = self.network.claim(self.node.name or self.node.op)
        self.network.weights[name] = self.network.own(array)
        return self.network.builder.parameter(name, array.shape, kind)
