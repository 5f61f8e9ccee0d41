"""Which part of a batch each of several devices takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["part"]


def part(inputs: Mapping[str, np.ndarray], number: int, count: int) -> dict[str, np.ndarray]:
    """Return the rows of one of ``count`` devices.

    Examples
    --------
    >>> part({"data": np.arange(5)}, 1, 2)["data"]
    array([3, 4])
    """
    return {name: np.array_split(values, count)[number] for name, values in inputs.items()}
