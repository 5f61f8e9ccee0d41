"""Networks from ONNX files."""

from __future__ import annotations

from diglot.weights.onnx.network import read_onnx

__all__ = ["read_onnx"]
