"""How images lie in memory: channels last outside the engines, channels first within."""

from __future__ import annotations

import numpy as np

__all__ = ["engine_input", "from_engine_layout", "to_engine_layout"]


def to_engine_layout(images: np.ndarray) -> np.ndarray:
    """Turn (n, height, width, channel) into (n, channel, height, width).

    Examples
    --------
    >>> to_engine_layout(np.zeros((2, 5, 7, 3), np.float32)).shape
    (2, 3, 5, 7)
    """
    if images.shape[3] == 1:
        return np.ascontiguousarray(images, np.float32).reshape(
            images.shape[0], 1, *images.shape[1:3]
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def from_engine_layout(images: np.ndarray) -> np.ndarray:
    """Turn (n, channel, height, width) into (n, height, width, channel).

    Examples
    --------
    >>> from_engine_layout(np.zeros((2, 3, 5, 7), np.float32)).shape
    (2, 5, 7, 3)
    """
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def engine_input(name: str, values: np.ndarray) -> np.ndarray:
    """Turn images around; features and targets lie as the graph has them."""
    return to_engine_layout(values) if name == "data" and values.ndim == 4 else values
