"""ONNX's operators in MXNet's: one rule for each, which adds what it needs to the graph.

Reference: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diglot.weights.onnx.elementwise import ELEMENTWISE
from diglot.weights.onnx.layers import LAYERS
from diglot.weights.onnx.shapes import SHAPES
from diglot.weights.onnx.step import Step
from diglot.weights.onnx.windows import WINDOWS

RULES: dict[str, Callable[[Step], Any]] = {**WINDOWS, **LAYERS, **ELEMENTWISE, **SHAPES}

SHAPES_ONLY = {"Flatten", "Reshape", "Squeeze", "Identity", "Cast", "Dropout"}
"""Operators that change no number of a vector of scores."""
