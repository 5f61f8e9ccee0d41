"""EfficientNet in torchvision, timm and Hugging Face's transformers."""

from __future__ import annotations

from collections.abc import Collection

from diglot.weights.names.inverted_residuals import (
    in_blocks,
    timm_parts,
    torchvision_parts,
    turned,
)
from diglot.weights.names.tables import Layout

_TORCHVISION = in_blocks(
    r"features\.(\d{1,3})\.(\d{1,3})\.block\.(.+)",
    torchvision_parts,
    [
        (r"features\.0\.0", "stem"),
        (r"features\.0\.1", "stem_bn"),
        (r"features\.\d+\.0", "last"),
        (r"features\.\d+\.1", "last_bn"),
        (r"classifier\.1", "head"),
    ],
)

_TIMM = in_blocks(
    r"blocks\.(\d{1,3})\.(\d{1,3})\.(.+)",
    timm_parts,
    [
        ("conv_stem", "stem"),
        ("bn1", "stem_bn"),
        ("conv_head", "last"),
        ("bn2", "last_bn"),
        ("classifier", "head"),
    ],
)

_PARTS = {
    "expansion.expand_conv": "expand",
    "expansion.expand_bn": "expand_bn",
    "depthwise_conv.depthwise_conv": "depthwise",
    "depthwise_conv.depthwise_norm": "depthwise_bn",
    "squeeze_excite.reduce": "squeeze",
    "squeeze_excite.expand": "excite",
    "projection.project_conv": "project",
    "projection.project_bn": "project_bn",
}


def _transformers_parts(paths: Collection[str], number: int) -> dict[str, str]:
    return {path: f"block{number}_{role}" for path, role in _PARTS.items()}


_TRANSFORMERS = in_blocks(
    r"efficientnet\.encoder\.blocks\.(\d{1,3})\.(.+)",
    _transformers_parts,
    [
        (r"efficientnet\.embeddings\.convolution", "stem"),
        (r"efficientnet\.embeddings\.batchnorm", "stem_bn"),
        (r"efficientnet\.encoder\.top_conv", "last"),
        (r"efficientnet\.encoder\.top_bn", "last_bn"),
        ("classifier", "head"),
    ],
)

LAYOUTS: dict[str, Layout] = {
    "torchvision": _TORCHVISION,
    "timm": _TIMM,
    "timm_tf": turned(_TIMM),
    "transformers": turned(_TRANSFORMERS),
}

# What the network must be built with for a library's weights: without it, names and shapes fit and
# the numbers are wrong. "timm_tf" are timm's models whose names start with "tf_"; their tensors
# have the same names as the others'.
_TENSORFLOW = {"same_padding": True, "eps": 1e-3}
SETTINGS = {"timm_tf": _TENSORFLOW, "transformers": _TENSORFLOW}
