"""Inception-v3: torchvision's and timm's names are the same."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_TORCH = renamed(
    [
        (r"Conv2d_(\d\w)_\dx\d\.conv", r"conv\1"),
        (r"Conv2d_(\d\w)_\dx\d\.bn", r"conv\1_bn"),
        (r"Mixed_(\d\w)\.(branch\w+)\.conv", r"mixed\1_\2"),
        (r"Mixed_(\d\w)\.(branch\w+)\.bn", r"mixed\1_\2_bn"),
        ("fc", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCH, "timm": _TORCH}
