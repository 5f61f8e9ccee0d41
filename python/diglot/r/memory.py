"""R's vectors as NumPy's arrays, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np


class _Owned:
    """The memory of R's vector as numpy takes it: the array's base, which keeps R's vector."""

    def __init__(self, vector: Any) -> None:
        self.vector = vector
        # rpy2's own arrays do not keep it: R may free the memory under them
        address = np.asarray(vector).ctypes.data
        self.__array_interface__ = {
            "shape": (len(vector),),
            "typestr": {"RAWSXP": "|u1", "REALSXP": "=f8"}.get(vector.typeof.name, "=i4"),
            "data": (address, False),
            "version": 3,
        }


def memory_of(vector: Any) -> np.ndarray:
    """Return a vector's numbers where they are."""
    return np.asarray(_Owned(vector))
