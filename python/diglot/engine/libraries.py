"""Shared libraries that are loaded before an engine, so that it finds those that it needs.

The nvidia-*-cu11 wheels put CUDA's into site-packages/nvidia/, where the system's loader does not
look; a library that is loaded already is found by its name, and MXNet needs no CUDA of the system.
Within R, another BLAS is there before MXNet's and PyTorch's own.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sysconfig
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

__all__ = [
    "LIBRARIES",
    "find_libraries",
    "keep_own_blas",
    "load_fast_blas",
    "package_folders",
    "preload",
]

# What mxnet-cu117 is linked to, and what that needs in turn; each after what it needs itself.
LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"),
    ("nvtx", "libnvToolsExt.so.1"),
    ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("cublas", "libcublasLt.so.11"),
    ("cublas", "libcublas.so.11"),
    ("cufft", "libcufft.so.10"),
    ("curand", "libcurand.so.10"),
    ("cusparse", "libcusparse.so.11"),
    ("cusolver", "libcusolver.so.11"),
    ("nccl", "libnccl.so.2"),
    ("cudnn", "libcudnn.so.8"),
)

_BLAS, _BLAS_KERNELS = "libopenblas.so.0", "OPENBLAS_CORETYPE"


def package_folders(package: str) -> list[Path]:
    """Return the folders of installed packages: that of `package` first, then this Python's."""
    folders = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        folders.insert(0, Path(spec.origin).parent.parent)
    return list(dict.fromkeys(folders))


def find_libraries(folders: Iterable[Path]) -> list[Path]:
    """Return the libraries that are there, in the order of loading, each from the first folder."""
    places = list(folders)
    found = []
    for package, name in LIBRARIES:
        candidates = (folder / "nvidia" / package / "lib" / name for folder in places)
        path = next((each for each in candidates if each.is_file()), None)
        if path is not None:
            found.append(path)
    return found


def preload(paths: Iterable[Path], load: Callable[..., object] = ctypes.CDLL) -> dict[str, str]:
    """Load libraries, for others to find; return what did not load, and why.

    A library that is missing or broken is no error here: the system may have another, and if
    not, MXNet's own import says which it misses.
    """
    problems = {}
    for path in paths:
        try:
            load(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            problems[path.name] = str(error)
    return problems


def keep_own_blas(
    folders: Iterable[Path], library: str, load: Callable[..., object] = ctypes.CDLL
) -> None:
    """Load an engine's library within R so that it computes with the BLAS that its wheel brings.

    The linker would give it R's, which came first and has functions of the same names: a fit from
    R would then not have the bytes of the same fit from Python.
    """
    deep = getattr(os, "RTLD_DEEPBIND", 0)  # glibc's alone
    files = (folder / library for folder in folders)
    path = next((each for each in files if each.is_file()), None)
    if not deep or path is None:
        return
    try:
        load("libR.so", mode=os.RTLD_NOLOAD)
    except OSError:  # this is no R
        return
    try:
        load(str(path), mode=os.RTLD_LOCAL | deep)
    except OSError:
        return  # the engine's own import says what is wrong


def load_fast_blas(
    folders: Iterable[Path],
    processors: Path = Path("/proc/cpuinfo"),
    load: Callable[..., object] = ctypes.CDLL,
) -> None:
    """Load MXNet's OpenBLAS so that it computes with AVX2, where the processor has it.

    MXNet's wheel brings one of 2020. A processor that came later is to it one of 2004, and products
    of matrices take more than twice as long. What the user has set stays, and other libraries'
    OpenBLAS see nothing of this.
    """
    files = (folder / "mxnet" / _BLAS for folder in folders)
    path = next((each for each in files if each.is_file()), None)
    if path is None or _BLAS_KERNELS in os.environ or not _has_avx2(processors):
        return
    with suppress(OSError):
        load(_BLAS, mode=os.RTLD_NOLOAD)
        return  # R's, of the same name, which MXNet will be given
    os.environ[_BLAS_KERNELS] = "HASWELL"  # its kernels for AVX-512 are no faster
    try:
        load(str(path))
    except OSError:
        return  # MXNet's own import says what is wrong
    finally:
        del os.environ[_BLAS_KERNELS]


def _has_avx2(processors: Path) -> bool:
    try:
        text = processors.read_text(errors="replace")
    except OSError:  # not Linux
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return {"avx2", "fma"} <= set(flags.split())
