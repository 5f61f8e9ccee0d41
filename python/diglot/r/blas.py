"""A linear algebra of R's own, where MXNet was there first with a library of the same name.

MXNet's wheels bring an OpenBLAS, and Debian's R computes with another. Both are
``libopenblas.so.0``: the dynamic linker would give R the one that is loaded, a part of another
version, and the process would crash at R's first product of matrices. R that starts before MXNet
has no such trouble.
"""

from __future__ import annotations

import ctypes
import os
import sys
from glob import glob

from diglot.errors import DiglotError

_SHARED = "libopenblas.so.0"
# The reference implementations, which come with r-base: they need no other library.
_REFERENCE = ("blas/libblas.so.3", "lapack/liblapack.so.3")


def keep_apart() -> None:
    """Load a BLAS for R, before R, where it could not use its own.

    Raises
    ------
    DiglotError
        If there is none; R must then start first.
    """
    if not sys.platform.startswith("linux") or not _loaded(_SHARED) or _loaded("libR.so"):
        return
    for name in _REFERENCE:
        files = glob(f"/usr/lib/{name}") + glob(f"/usr/lib/*/{name}")
        if not files:
            if not glob(f"/usr/lib/*/{_SHARED}"):
                return  # an R that does not compute with OpenBLAS
            raise DiglotError(
                "R and MXNet have a library of the same name, so that R can no longer start: call "
                "diglot.r.start() before the first fit, or install libblas3 and liblapack3"
            )
        ctypes.CDLL(files[0])


def _loaded(library: str) -> bool:
    """Whether a shared library is in this process, without loading it."""
    try:
        ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True
