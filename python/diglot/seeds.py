"""Random streams: every one is derived from (seed, purpose, numbers), never from a shared state.

So a run that was stopped and resumed, or the same run from the other language, draws the same
numbers: a stream depends on where one is in the run, not on what was drawn before.
"""

from __future__ import annotations

import zlib

import numpy as np

from diglot.errors import InputError

_LARGEST = 2**53 - 1  # the largest integer that R's doubles and JSON both carry exactly


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the generator for one purpose at one place in the run.

    Parameters
    ----------
    seed : int
        The user's seed.
    purpose : str
        What the numbers are for, such as ``"shuffle"``.
    *numbers : int
        Where in the run: epoch, step, row.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> stream(1, "shuffle", 3).integers(1000) == stream(1, "shuffle", 3).integers(1000)
    True
    """
    words = [seed & 0xFFFFFFFF, seed >> 32, zlib.crc32(purpose.encode()), *numbers]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def engine_seed(seed: int, purpose: str, *numbers: int) -> int:
    """Return a 31-bit seed for an engine's own generator at one place in the run.

    Examples
    --------
    >>> 0 <= engine_seed(1, "dropout", 0, 0) < 2**31
    True
    """
    return int(stream(seed, purpose, *numbers).integers(2**31))


def check_seed(seed: object) -> int:
    """Return ``seed`` as an int, or a fresh one from the operating system for None.

    Raises
    ------
    InputError
        If it is not a whole number from 0 to 2**53 - 1.

    Examples
    --------
    >>> check_seed(7)
    7
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if isinstance(seed, float) and seed.is_integer():
        whole = True
    if not whole or not 0 <= int(seed) <= _LARGEST:
        raise InputError(f"seed must be a whole number from 0 to 2**53 - 1, not {seed!r}")
    return int(seed)
