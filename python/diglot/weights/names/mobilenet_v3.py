"""MobileNetV3 in torchvision and timm."""

from __future__ import annotations

import numpy as np

from diglot.weights.names.inverted_residuals import (
    in_blocks,
    timm_parts,
    torchvision_parts,
    turned,
)
from diglot.weights.names.tables import Arrays, Layout

_TORCHVISION = in_blocks(
    r"features\.(\d{1,3})\.block\.(.+)",
    torchvision_parts,
    [
        (r"features\.0\.0", "stem"),
        (r"features\.0\.1", "stem_bn"),
        (r"features\.\d+\.0", "last"),
        (r"features\.\d+\.1", "last_bn"),
        (r"classifier\.0", "hidden"),
        (r"classifier\.3", "head"),
    ],
)

_RENAMED = in_blocks(
    r"blocks\.(\d{1,3})\.(\d{1,3})\.(.+)",
    timm_parts,
    [
        ("conv_stem", "stem"),
        ("bn1", "stem_bn"),
        ("conv_head", "hidden"),
        ("classifier", "head"),
    ],
)


def _timm(arrays: Arrays) -> dict[str, np.ndarray]:
    """Make a dense layer of the 1x1 convolution that timm has after the pooling."""
    found = _RENAMED(arrays)
    weight = found.get("hidden.weight")
    if weight is not None and weight.shape[2:] == (1, 1):
        found["hidden.weight"] = weight[:, :, 0, 0]
    return found


LAYOUTS: dict[str, Layout] = {
    "torchvision": _TORCHVISION,
    "timm": _timm,
    "timm_tf": turned(_timm),
}

# What the network must be built with for a library's weights: without it, names and shapes fit and
# the numbers are wrong. "timm_tf" are timm's models whose names start with "tf_"; their tensors
# have the same names as the others'.
SETTINGS = {"timm": {"eps": 1e-5}, "timm_tf": {"same_padding": True, "eps": 1e-3}}
