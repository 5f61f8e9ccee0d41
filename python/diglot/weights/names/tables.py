"""The means in which the tables of names are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diglot.errors import ModelFileError

Arrays = Mapping[str, np.ndarray]
Layout = Callable[[Arrays], dict[str, np.ndarray]]


def renamed(rules: Sequence[tuple[str, str]]) -> Layout:
    r"""Return a layout that renames the paths of tensors.

    Parameters
    ----------
    rules : sequence of (pattern, replacement)
        Regular expressions, matched in full against the part of a tensor's name before its last
        dot; the first that matches gives our layer's name. What none matches keeps its name.

    Returns
    -------
    callable
        Tensors by other names in, the same by ours out.

    Examples
    --------
    >>> layout = renamed([(r"layer(\d)\.(\d+)\.conv(\d)", r"layer\1_\2_conv\3"), ("fc", "head")])
    >>> sorted(layout({"layer1.0.conv2.weight": 1, "fc.bias": 2, "step": 3}))
    ['head.bias', 'layer1_0_conv2.weight', 'step']
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(name: str) -> str:
        path, dot, ending = name.rpartition(".")
        for pattern, replacement in compiled:
            if match := pattern.fullmatch(path):
                return match.expand(replacement) + dot + ending
        return name

    def layout(arrays: Arrays) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            ours = rename(name)
            if ours in found:
                raise ModelFileError(f"two tensors of the file are for {ours!r}: one is {name!r}")
            found[ours] = array
        return found

    return layout
