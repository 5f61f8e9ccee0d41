"""ResNet, ResNeXt and Wide ResNet: torchvision's and timm's names are the same."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_TORCH = renamed(
    [
        ("fc", "head"),
        (r"layer(\d)\.(\d+)\.downsample\.(\d)", r"layer\1_\2_downsample_\3"),
        (r"layer(\d)\.(\d+)\.(conv|bn)(\d)", r"layer\1_\2_\3\4"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCH, "timm": _TORCH}
