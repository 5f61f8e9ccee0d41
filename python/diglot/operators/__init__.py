"""What diglot knows of MXNet's operators: shapes out, parameters in, multiply-adds, attributes.

One entry an operator. Shapes carry the batch in front. The rules follow MXNet 1.9.1's own shape
inference, which the tests hold them against.
"""

from __future__ import annotations

from diglot.operators.attrs import LARGEST, Attrs, Shape, parse
from diglot.operators.elementwise import ELEMENTWISE
from diglot.operators.images import IMAGES
from diglot.operators.layers import LAYERS
from diglot.operators.rules import Operator, Slot
from diglot.operators.shapes import SHAPES

__all__ = ["LARGEST", "OPERATORS", "Attrs", "Operator", "Shape", "Slot", "parse"]

OPERATORS: dict[str, Operator] = {**LAYERS, **IMAGES, **ELEMENTWISE, **SHAPES}
