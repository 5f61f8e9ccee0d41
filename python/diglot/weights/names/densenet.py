"""DenseNet: torchvision's and timm's names are the same, but for older files."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_TORCH = renamed(
    [
        (r"features\.(conv0|norm0|norm5)", r"\1"),
        # "norm.1" in files from before PyTorch refused names with dots, "norm1" since
        (
            r"features\.denseblock(\d+)\.denselayer(\d+)\.(conv|norm)\.?(\d)",
            r"block\1_layer\2_\3\4",
        ),
        (r"features\.transition(\d+)\.(conv|norm)", r"transition\1_\2"),
        ("classifier", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCH, "timm": _TORCH}
