"""What the tables of MobileNetV3 and EfficientNet share: blocks counted, and kernels turned."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

import numpy as np

from diglot.weights.names.tables import Arrays, Layout, renamed

# From the layers inside of a block, as a library calls them, and the block's number: ours.
Parts = Callable[[Collection[str], int], dict[str, str]]

_ROLES = ("expand", "depthwise", "project")
_EXPANDED = {
    "conv_pw": "expand",
    "bn1": "expand_bn",
    "conv_dw": "depthwise",
    "bn2": "depthwise_bn",
    "conv_pwl": "project",
    "bn3": "project_bn",
}
_NOT_EXPANDED = {
    "conv_dw": "depthwise",
    "bn1": "depthwise_bn",
    "conv_pw": "project",
    "bn2": "project_bn",
}
_SQUEEZE = {"se.conv_reduce": "squeeze", "se.conv_expand": "excite"}


def in_blocks(block: str, parts: Parts, rules: Sequence[tuple[str, str]]) -> Layout:
    """Return a layout that counts the blocks, and renames what is in and outside of them.

    Parameters
    ----------
    block : str
        A regular expression for the path of a tensor in a block: its groups are the numbers by
        which the blocks are in order, and the last one is the path inside of the block.
    parts : callable
        The paths inside of one block, and that block's number from 1, in; a table from these paths
        to our layers' names out.
    rules : sequence of (pattern, replacement)
        For all other tensors: see :func:`diglot.weights.names.tables.renamed`.

    Returns
    -------
    callable
        Tensors by other names in, the same by ours out.
    """
    pattern, outside = re.compile(block), renamed(rules)

    def layout(arrays: Arrays) -> dict[str, np.ndarray]:
        inside: dict[tuple[int, ...], dict[str, str]] = {}  # by block: names to paths inside
        for name in arrays:
            if match := pattern.fullmatch(name.rpartition(".")[0]):
                *place, path = match.groups()
                place = tuple(int(number or 0) for number in place)
                inside.setdefault(place, {})[name] = path
        ours: dict[str, str] = {}
        for number, place in enumerate(sorted(inside), 1):
            names = inside[place]
            table = parts(set(names.values()), number)
            for name, path in names.items():
                if path in table:
                    ours[name] = f"{table[path]}.{name.rpartition('.')[2]}"
        found = outside({name: array for name, array in arrays.items() if name not in ours})
        return found | {ours[name]: arrays[name] for name in ours}

    return layout


def torchvision_parts(paths: Collection[str], number: int) -> dict[str, str]:
    """Name the layers of a block whose units are only numbered: some blocks have fewer."""
    units = sorted(path.split(".")[0] for path in paths if path.endswith(".0"))
    table = {}
    for unit, role in zip(units, _ROLES[-len(units) :], strict=False):
        table[f"{unit}.0"] = f"block{number}_{role}"
        table[f"{unit}.1"] = f"block{number}_{role}_bn"
    for path in paths:
        if path.endswith((".fc1", ".fc2")):
            role = "squeeze" if path.endswith("1") else "excite"
            table[path] = f"block{number}_{role}"
    return table


def timm_parts(paths: Collection[str], number: int) -> dict[str, str]:
    """Name the layers of a block; MobileNetV3's last convolution stands like one there."""
    if "conv" in paths:
        return {"conv": "last", "bn1": "last_bn"}
    table = _EXPANDED if "conv_pwl" in paths else _NOT_EXPANDED
    return {path: f"block{number}_{role}" for path, role in (table | _SQUEEZE).items()}


def turned(layout: Layout) -> Layout:
    """Turn the kernels by 180 degrees, as our networks want them with ``same_padding``."""

    def turn(arrays: Arrays) -> dict[str, np.ndarray]:
        return {
            name: array[:, :, ::-1, ::-1] if array.ndim == 4 else array
            for name, array in layout(arrays).items()
        }

    return turn
