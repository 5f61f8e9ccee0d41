"""SqueezeNet 1.1, as torchvision numbers its layers: the poolings have numbers, too."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_FIRES = {3: 2, 4: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8, 12: 9}  # theirs: the paper's

_TORCHVISION = renamed(
    [
        (r"features\.0", "conv1"),
        *(
            (rf"features\.{theirs}\.(squeeze|expand1x1|expand3x3)", rf"fire{ours}_\1")
            for theirs, ours in _FIRES.items()
        ),
        (r"classifier\.1", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCHVISION}
