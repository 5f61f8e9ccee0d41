"""``Filed``: a fitted model is one file, which either language loads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diglot import storage
from diglot.errors import ModelFileError
from diglot.files import path_of


class Filed:
    """Gives a fitted model its file; an estimator says what is in it."""

    def _tensors(self) -> Mapping[str, np.ndarray]:
        """Return what was learned; refuse where nothing was, yet."""
        raise NotImplementedError

    def _metadata(self) -> dict[str, Any]:
        """Return what the model file says beside it."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the bytes of the model file."""
        return storage.encode(self._tensors(), self._metadata())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to one safetensors file, from which either language loads it.

        Parameters
        ----------
        path : path
            Replaced whole if it exists.

        Returns
        -------
        Path
        """
        place = path_of(path, "path", ModelFileError)
        return storage.write_file(place, self._tensors(), self._metadata())

    def fingerprint(self) -> str:
        """Return the SHA-256 of what was learned, in hexadecimal."""
        return storage.fingerprint(self._tensors())
