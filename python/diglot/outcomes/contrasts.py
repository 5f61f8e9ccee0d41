"""Contrasts: the numbers that stand for a factor's levels in a model matrix, as R has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diglot.errors import InputError


def contrast_matrix(
    given: Any, levels: Sequence[str], name: str = "factor"
) -> tuple[np.ndarray, list[str]]:
    """Return the contrasts of a factor, and what its columns' names end in.

    Parameters
    ----------
    given : {"treatment", "sum", "helmert", "poly"}, DataFrame or array
        As R's ``contr.treatment`` and so on; or a matrix with one row a level.
    levels : sequence of k str
    name : str
        The factor's, for messages.

    Returns
    -------
    matrix : ndarray of shape (k, columns)
    suffixes : list of str

    Raises
    ------
    InputError
        If there are no such contrasts, or the matrix does not fit.

    References
    ----------
    J. M. Chambers and T. J. Hastie (1992), Statistical Models in S, section 2.3.

    Examples
    --------
    >>> matrix, suffixes = contrast_matrix("treatment", ["a", "b", "c"])
    >>> matrix.tolist(), suffixes
    ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ['b', 'c'])
    """
    k = len(levels)
    if isinstance(given, str):
        if given not in _MADE:
            raise InputError(
                f"contrasts of {name!r} must be one of {', '.join(map(repr, _MADE))} or a matrix, "
                f"not {given!r}"
            )
        return _MADE[given](levels)
    matrix = np.asarray(given, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != k or not 0 < matrix.shape[1] < k:
        raise InputError(
            f"contrasts of {name!r} must have {k} rows, one a level, and at most {k - 1} columns; "
            f"their shape is {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise InputError(f"contrasts of {name!r} must be finite numbers")
    columns = getattr(given, "columns", range(1, matrix.shape[1] + 1))
    return matrix, [str(column) for column in columns]


def _treatment(levels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    return np.eye(len(levels))[:, 1:], list(levels[1:])


def _sum(levels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    k = len(levels)
    return np.vstack([np.eye(k - 1), -np.ones(k - 1)]), _counted(k - 1)


def _helmert(levels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    k = len(levels)
    matrix = np.zeros((k, k - 1))
    for j in range(k - 1):
        matrix[: j + 1, j], matrix[j + 1, j] = -1, j + 1
    return matrix, _counted(k - 1)


def _poly(levels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    k = len(levels)
    centred = np.arange(1.0, k + 1) - (k + 1) / 2
    q, r = np.linalg.qr(np.vander(centred, k, increasing=True))
    matrix = (q * np.sign(np.diag(r)))[:, 1:]
    return matrix, [*(".L", ".Q", ".C")[: k - 1], *(f"^{power}" for power in range(4, k))]


def _counted(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]


_MADE = {"treatment": _treatment, "sum": _sum, "helmert": _helmert, "poly": _poly}
