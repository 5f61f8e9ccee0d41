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

_PARTS = [
    *((rf"layer\.{n - 1}\.convolution", f"conv{n}") for n in (1, 2, 3)),
    *((rf"layer\.{n - 1}\.normalization", f"bn{n}") for n in (1, 2, 3)),
    (r"shortcut\.convolution", "downsample_0"),
    (r"shortcut\.normalization", "downsample_1"),
]
# Stages and convolutions are counted from 0 there, which takes a rule for each.
_TRANSFORMERS = renamed(
    [
        (r"resnet\.embedder\.embedder\.convolution", "conv1"),
        (r"resnet\.embedder\.embedder\.normalization", "bn1"),
        *(
            (rf"resnet\.encoder\.stages\.{n - 1}\.layers\.(\d+)\.{theirs}", rf"layer{n}_\1_{ours}")
            for n in (1, 2, 3, 4)
            for theirs, ours in _PARTS
        ),
        (r"classifier\.1", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {
    "torchvision": _TORCH,
    "timm": _TORCH,
    "transformers": _TRANSFORMERS,
}
