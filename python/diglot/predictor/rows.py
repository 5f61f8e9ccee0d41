"""What a fit learns from, row by row: repeated rows as weights, and which rows are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diglot.errors import InputError
from diglot.graph import COVARIATES
from diglot.images import PreparedImages
from diglot.seeds import stream


@dataclass(frozen=True)
class Rows:
    """Images ready for the engine, with what is to be learned of them; ``places`` finds them.

    Attributes
    ----------
    images : PreparedImages
        More of them than rows, perhaps.
    places : ndarray of int, shape (n,)
        The image of each row.
    values : ndarray of shape (n,) or (n, t)
        What is to be learned, as the outcome codes it.
    weights : ndarray of shape (n,)
        How much each row counts.
    covariates : ndarray of shape (n, p), float32, or None
        Standardised.
    """

    images: PreparedImages
    places: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    covariates: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, chosen: np.ndarray) -> Rows:
        beside = None if self.covariates is None else self.covariates[chosen]
        return Rows(
            self.images, self.places[chosen], self.values[chosen], self.weights[chosen], beside
        )

    def beside(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the network takes beside images, of some rows."""
        return {} if self.covariates is None else {COVARIATES: self.covariates[chosen]}


def merge_repeats(
    keys: Sequence[bytes],
    values: np.ndarray,
    weights: np.ndarray,
    covariates: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Bring rows into an order of their own, and repeated rows into one.

    A row that stands there twice counts as one row of twice the weight: frequency weights and
    repeated rows give the same fit, the order of rows does not matter, and no image is in the
    training and the validation part at once. Rows of weight zero go.

    Parameters
    ----------
    keys : sequence of bytes
        What identifies each image.
    values : ndarray of shape (n,) or (n, t)
        What is to be learned of it; with other values it is another row.
    weights : ndarray of shape (n,)
    covariates : ndarray of shape (n, p), optional
        With other covariates, too.

    Returns
    -------
    rows : ndarray of int
        Which rows are kept, in the order of their content.
    weights : ndarray of float
        Their weights, scaled to a mean of 1.
    digest : str
        Identifies images, values, covariates and weights.
    """
    sums: dict[tuple[bytes, int | bytes, bytes], float] = {}
    first: dict[tuple[bytes, int | bytes, bytes], int] = {}
    for row in np.flatnonzero(weights > 0):
        beside = b"" if covariates is None else covariates[row].tobytes()
        identity = (keys[row], _identity(values[row]), beside)
        sums[identity] = sums.get(identity, 0.0) + float(weights[row])
        first.setdefault(identity, int(row))
    order = sorted(sums)
    merged = np.array([sums[i] for i in order])
    digest = hashlib.sha256(merged.tobytes())
    for key, value, beside in order:
        digest.update(key)
        digest.update(value.to_bytes(8, "little") if isinstance(value, int) else value)
        digest.update(beside)
    scaled = merged / merged.mean() if len(merged) else merged
    return np.array([first[i] for i in order], np.int64), scaled, digest.hexdigest()


def _identity(value: np.ndarray) -> int | bytes:
    return int(value) if value.dtype.kind == "i" and not value.ndim else value.tobytes()


def split_validation(codes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out: of each stratum its share, at least one where it can be.

    Parameters
    ----------
    codes : ndarray of int
        The rows' strata, such as their classes.
    fraction : float
        Between 0 and 1.
    seed : int
        The user's.

    Returns
    -------
    ndarray of bool
    """
    held = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        order = stream(seed, "validation", int(code)).permutation(len(rows))
        held[rows[order[:count]]] = True
    if not held.any():
        raise InputError(
            f"validation={fraction} holds no image out: every class has a single image"
        )
    return held
