"""AlexNet, as torchvision numbers its layers."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_TORCHVISION = renamed(
    [
        (r"features\.0", "conv1"),
        (r"features\.3", "conv2"),
        (r"features\.6", "conv3"),
        (r"features\.8", "conv4"),
        (r"features\.10", "conv5"),
        (r"classifier\.1", "fc6"),
        (r"classifier\.4", "fc7"),
        (r"classifier\.6", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCHVISION}
