"""MobileNetV2: three libraries count its seventeen blocks in three ways."""

from __future__ import annotations

import numpy as np

from diglot.weights.names.tables import Arrays, Layout, renamed

_DEPTHS = (1, 2, 3, 4, 3, 3, 1)  # blocks a stage, as published
_PLACES = [(stage, block) for stage, depth in enumerate(_DEPTHS) for block in range(depth)]


def _rules(block: str, parts: dict[str, str], number: int) -> list[tuple[str, str]]:
    return [(block + theirs, f"block{number}_{ours}") for theirs, ours in parts.items()]


_TORCHVISION = renamed(
    [
        (r"features\.0\.0", "stem"),
        (r"features\.0\.1", "stem_bn"),
        # the first block does not widen, so that its parts have other numbers
        (r"features\.1\.conv\.0\.0", "block1_depthwise"),
        (r"features\.1\.conv\.0\.1", "block1_depthwise_bn"),
        (r"features\.1\.conv\.1", "block1_project"),
        (r"features\.1\.conv\.2", "block1_project_bn"),
        (r"features\.18\.0", "last"),
        (r"features\.18\.1", "last_bn"),
        (r"features\.(\d+)\.conv\.0\.0", r"block\1_expand"),
        (r"features\.(\d+)\.conv\.0\.1", r"block\1_expand_bn"),
        (r"features\.(\d+)\.conv\.1\.0", r"block\1_depthwise"),
        (r"features\.(\d+)\.conv\.1\.1", r"block\1_depthwise_bn"),
        (r"features\.(\d+)\.conv\.2", r"block\1_project"),
        (r"features\.(\d+)\.conv\.3", r"block\1_project_bn"),
        (r"classifier\.1", "head"),
    ]
)

_TIMM_FIRST = {
    "conv_dw": "depthwise",
    "bn1": "depthwise_bn",
    "conv_pw": "project",
    "bn2": "project_bn",
}
_TIMM_PARTS = {
    "conv_pw": "expand",
    "bn1": "expand_bn",
    "conv_dw": "depthwise",
    "bn2": "depthwise_bn",
    "conv_pwl": "project",
    "bn3": "project_bn",
}
_TIMM = renamed(
    [
        ("conv_stem", "stem"),
        ("bn1", "stem_bn"),
        *_rules(r"blocks\.0\.0\.", _TIMM_FIRST, 1),
        *(
            rule
            for number, (stage, block) in enumerate(_PLACES[1:], 2)
            for rule in _rules(rf"blocks\.{stage}\.{block}\.", _TIMM_PARTS, number)
        ),
        ("conv_head", "last"),
        ("bn2", "last_bn"),
        ("classifier", "head"),
    ]
)

_TRANSFORMERS_PARTS = {
    rf"{theirs}\.{kind}": ours + ending
    for theirs, ours in [
        ("expand_1x1", "expand"),
        ("conv_3x3", "depthwise"),
        ("reduce_1x1", "project"),
    ]
    for kind, ending in [("convolution", ""), ("normalization", "_bn")]
}
_RENAMED = renamed(
    [
        (r"mobilenet_v2\.conv_stem\.first_conv\.convolution", "stem"),
        (r"mobilenet_v2\.conv_stem\.first_conv\.normalization", "stem_bn"),
        *_rules(r"mobilenet_v2\.conv_stem\.", _TRANSFORMERS_PARTS, 1),
        *(
            rule
            for number in range(2, len(_PLACES) + 1)
            for rule in _rules(rf"mobilenet_v2\.layer\.{number - 2}\.", _TRANSFORMERS_PARTS, number)
        ),
        (r"mobilenet_v2\.conv_1x1\.convolution", "last"),
        (r"mobilenet_v2\.conv_1x1\.normalization", "last_bn"),
        ("classifier", "head"),
    ]
)


def _transformers(arrays: Arrays) -> dict[str, np.ndarray]:
    """Turn the kernels by 180 degrees, as the network's ``same_padding`` wants them."""
    return {
        name: array[:, :, ::-1, ::-1] if array.ndim == 4 else array
        for name, array in _RENAMED(arrays).items()
    }


LAYOUTS: dict[str, Layout] = {
    "torchvision": _TORCHVISION,
    "timm": _TIMM,
    "transformers": _transformers,
}

# What the network must be built with for a library's weights: without it, names and shapes fit and
# the numbers are wrong.
SETTINGS = {"transformers": {"same_padding": True, "eps": 1e-3}}
