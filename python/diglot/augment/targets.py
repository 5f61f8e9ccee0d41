"""What becomes of the targets of images: blended with others, or moved towards all classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from diglot.augment.checks import is_number
from diglot.errors import InputError


def mixup(
    batch: np.ndarray, targets: np.ndarray, alpha: float, seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image, and its target, with another of the batch.

    Parameters
    ----------
    batch : ndarray of shape (b, height, width, channels), float32
        Images.
    targets : ndarray of shape (b, k), float32
        One row of class probabilities for each image.
    alpha : float
        The weight is drawn from Beta(alpha, alpha), once for the batch; 0 blends nothing.
    seed : int, sequence of int or numpy.random.Generator
        The same seed gives the same result.

    Returns
    -------
    batch, targets : ndarray
        ``weight * x + (1 - weight) * x[order]`` of both, float32, with a random order (Zhang and
        others, "mixup: Beyond empirical risk minimization", ICLR 2018).

    Raises
    ------
    InputError
        If alpha is negative or the lengths differ.

    Examples
    --------
    >>> images, classes = np.zeros((4, 2, 2, 1), "float32"), np.eye(4, dtype="float32")
    >>> mixup(images, classes, 0.2, seed=1)[1].sum(axis=1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not is_number(alpha) or alpha < 0:
        raise InputError(f"mixup must be a number from 0, not {alpha!r}.")
    if len(batch) != len(targets):
        raise InputError(f"mixup: {len(batch)} images but {len(targets)} targets.")
    batch, targets = np.asarray(batch, np.float32), np.asarray(targets, np.float32)
    if alpha == 0 or len(batch) < 2:
        return batch, targets
    random = np.random.default_rng(seed)
    weight = np.float32(random.beta(alpha, alpha))
    order = random.permutation(len(batch))
    rest = np.float32(1) - weight
    return weight * batch + rest * batch[order], weight * targets + rest * targets[order]


def smooth(targets: np.ndarray, amount: float, among: int | None = None) -> np.ndarray:
    """Move a part of each target evenly to all classes.

    Parameters
    ----------
    targets : ndarray of shape (b, k), float32
        One row of class probabilities for each image.
    amount : float
        Which part, 0 to below 1.
    among : int, optional
        To how many alternatives, if not the k classes: 2 for tags, of which each is there or not.

    Returns
    -------
    ndarray of shape (b, k), float32
        ``(1 - amount) * targets + amount / among`` (Szegedy and others, "Rethinking the Inception
        architecture for computer vision", CVPR 2016).

    Raises
    ------
    InputError
        If the amount is out of range.

    Examples
    --------
    >>> smooth(np.eye(2, dtype="float32"), 0.5).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    if not is_number(amount) or not 0 <= amount < 1:
        raise InputError(f"label_smoothing must be a number from 0 to below 1, not {amount!r}.")
    targets = np.asarray(targets, np.float32)
    return np.float32(1 - amount) * targets + np.float32(amount / (among or targets.shape[1]))
