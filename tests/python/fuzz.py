"""Damage to files: a reader must refuse it in words, quickly, or not mind."""

from __future__ import annotations

import numpy as np

from diglot.errors import ModelFileError


def damaged(data, *, flips=2000, seed=0, truncations=None):
    """Yield a file's bytes cut off at every place (or some), and with random bytes changed."""
    places = range(len(data)) if truncations is None else truncations
    yield from (data[:place] for place in places)
    rng = np.random.default_rng(seed)
    for _ in range(flips):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        yield bytes(changed)


def refusals(read, path, versions):
    """Return how many versions of a file were refused; any other error fails the test."""
    refused = 0
    for data in versions:
        path.unlink(missing_ok=True)  # to write over a file takes ten times as long
        path.write_bytes(data)
        try:
            read(path)
        except ModelFileError as error:
            assert path.name in str(error)
            refused += 1
    return refused
