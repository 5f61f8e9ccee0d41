"""The one door to PyTorch: a guarded import, its devices, and its errors in our words."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from diglot.engine.libraries import keep_own_blas, package_folders
from diglot.errors import DeviceError, DiglotError, MissingPackageError, OutOfMemoryError

HOW_TO_INSTALL = "pip install 'torch>=2.0'"
_OLDEST = (2, 0)
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
# What PyTorch has MKL compute, where it was built with that.
_VECTOR_FUNCTIONS = (
    *("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "expm1", "lgamma"),
    *("log", "log10", "log1p", "log2", "sin", "sqrt", "tan", "tanh"),
)
_LARGEST_KEPT = 2**25 - 2**13  # bytes, less than 32 MiB with what malloc writes in front


def is_installed() -> bool:
    """Whether there is a PyTorch, without loading it, which takes seconds."""
    return importlib.util.find_spec("torch") is not None


@cache
def load() -> ModuleType:
    """Import PyTorch, once.

    Raises
    ------
    MissingPackageError
        If it is not installed, too old, or cannot be loaded.
    """
    # cuBLAS reads it when it starts: with a workspace of one size its sums have one order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if _is_intel():
        # MKL, too: else the order of its sums depends on how many rows there are.
        os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    try:
        keep_own_blas(package_folders("torch"), "torch/lib/libtorch_cpu.so")
        module = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise MissingPackageError(
            f"PyTorch cannot be loaded ({error}); install it with: {HOW_TO_INSTALL}"
        ) from error
    numbers = tuple(int(part) for part in module.__version__.split(".")[:2])
    if numbers < _OLDEST:
        raise MissingPackageError(
            f"PyTorch is {module.__version__} and must be 2.0 or newer: {HOW_TO_INSTALL}"
        )
    _keep_freed_memory(module)
    _begin_vector_functions(module)
    return module


def _is_intel() -> bool:
    """Whether the processor is Intel's.

    Elsewhere, MKL keeps the order of its sums by its slowest code alone.
    """
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # not Linux
        return "GenuineIntel" in platform.processor()


def _begin_vector_functions(torch: ModuleType) -> None:
    """Call each of MKL's functions of vectors once, before several threads do so at once.

    The first call chooses the code that suits the processor. Threads that make it together can be
    given different ones: in one of twenty processes half of a first tanh was off by 5e-5.
    """
    for kind in (torch.float32, torch.float64):
        few = torch.full((32,), 0.5, dtype=kind)  # too few to be shared out to threads
        for name in _VECTOR_FUNCTIONS:
            getattr(torch, name)(few)


def _keep_freed_memory(torch: ModuleType) -> None:
    """Let the C library keep what a step of training gives back, for the next one to take.

    Else it may hand all of it to the system, and get it again page by page: a third of LeNet's
    time. glibc learns from the largest array freed so far, up to 32 MiB, that arrays of its size
    come again (M_MMAP_THRESHOLD in its manual); this one is never written to, so that it costs
    nothing. Other C libraries do not mind.
    """
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8)


def version() -> str:
    """Return PyTorch's version, such as "2.13.0+cpu"."""
    return str(load().__version__)


def gpu_kind() -> str:
    """Return what PyTorch calls the GPUs that it sees: "cuda" (AMD's, too), "mps", "xpu" or ""."""
    torch = load()
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    xpu = getattr(torch, "xpu", None)  # Intel's came with 2.3
    return "xpu" if xpu is not None and xpu.is_available() else ""


def gpu_count() -> int:
    """Return how many GPUs PyTorch sees."""
    kind = gpu_kind()
    if kind in ("cuda", "xpu"):
        return int(getattr(load(), kind).device_count())
    return int(kind == "mps")


def gpu_problem(index: int) -> str:
    """Return why PyTorch cannot use GPU ``index``; "" if it can."""
    count = gpu_count()
    if index >= count:
        return f"PyTorch sees only {count} GPU(s)" if count else "PyTorch sees no GPU"
    torch = load()
    if gpu_kind() != "cuda" or torch.version.hip:
        return ""
    code, capability = torch.cuda.get_arch_list(), torch.cuda.get_device_capability(index)
    if not code or serves(code, capability):
        return ""
    told = "{}.{}".format(*capability)
    return (
        f"PyTorch {version()} has no code for its compute capability {told} "
        f"(it has: {', '.join(code)}): install another build, see https://pytorch.org"
    )


def short_floats(index: int) -> tuple[str, ...]:
    """Return the floats of 16 bits that GPU ``index`` has units for, the better first.

    NVIDIA's GPUs have units for float16 from compute capability 7.0 on, for bfloat16 from 8.0 on,
    and imitate it before, slower than they compute with float32.

    Raises
    ------
    DeviceError
        If it has none; the message says why.
    """
    torch = load()
    if gpu_kind() == "cuda" and not torch.version.hip:
        capability = torch.cuda.get_device_capability(index)
        if capability >= (8, 0):
            return "bfloat16", "float16"
        if capability >= (7, 0):
            return ("float16",)
        told = "{}.{}".format(*capability)
        raise DeviceError(
            "mixed precision needs a GPU of compute capability 7.0 or more, "
            f"and gpu:{index} has {told}"
        )
    if problem := _bfloat16_problem(index):
        raise DeviceError(problem)
    return ("bfloat16",)


def _bfloat16_problem(index: int) -> str:
    """Return why another GPU cannot compute with bfloat16, by trying; "" if it can."""
    torch = load()
    try:
        one = torch.ones((1, 1), dtype=torch.bfloat16, device=torch_device("gpu", index))
        with torch.autocast(one.device.type, torch.bfloat16):
            works = float(one @ one) == 1
    except (RuntimeError, TypeError) as error:
        return f"PyTorch cannot compute with bfloat16 on gpu:{index}: {error}"
    return "" if works else f"bfloat16 gives wrong numbers on gpu:{index}"


def give_back_memory() -> None:
    """Return GPU memory that nothing uses any more, which PyTorch would keep for itself."""
    torch, kind = load(), gpu_kind()
    if kind:
        getattr(torch, kind).empty_cache()


def threads() -> int:
    """Return with how many threads PyTorch computes on the CPU."""
    return int(load().get_num_threads())


def serves(code: list[str], capability: tuple[int, int]) -> bool:
    """Whether a build with code for these architectures runs on a compute capability.

    Machine code runs on GPUs of its own generation from its own number on; what is called
    "compute" is compiled by the driver of any newer one.

    Examples
    --------
    >>> serves(["sm_80", "sm_90"], (8, 9)), serves(["sm_80"], (9, 0))
    (True, False)
    >>> serves(["sm_80", "compute_80"], (9, 0))
    True
    """
    for entry in code:
        word, _, digits = entry.partition("_")
        digits = digits.rstrip("af")  # such as sm_90a: of this very GPU
        if not digits.isdigit():
            continue
        known = (int(digits[:-1]), int(digits[-1]))
        if word == "compute" and known <= capability:
            return True
        if word == "sm" and known[0] == capability[0] and known <= capability:
            return True
    return False


def devices() -> list[dict[str, object]]:
    """Return one row a device that PyTorch can use: device, engine, version, memory in bytes."""
    torch = load()
    rows: list[dict[str, object]] = [
        {"device": "cpu", "engine": "torch", "version": version(), "memory": None}
    ]
    for index in range(gpu_count()):
        if gpu_problem(index):
            continue
        kind, memory, name = gpu_kind(), None, ""
        if kind == "cuda":
            told = torch.cuda.get_device_properties(index)
            memory, name = told.total_memory, told.name
        rows.append(
            {
                "device": f"gpu:{index}",
                "engine": "torch",
                "version": version(),
                "memory": memory,
                "name": name or {"mps": "Apple GPU", "xpu": "Intel GPU"}.get(kind, "GPU"),
            }
        )
    return rows


def torch_device(kind: str, index: int) -> Any:
    """Return PyTorch's device for ours."""
    torch = load()
    if kind == "cpu":
        return torch.device("cpu")
    return torch.device(gpu_kind(), index)


@contextmanager
def errors_translated(batch: int, *, training: bool = False) -> Iterator[None]:
    """Turn PyTorch's errors into ours; ``batch`` is the size that was being computed."""
    torch = load()
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        if isinstance(error, DiglotError):  # told already
            raise
        text = str(error)
        without_memory = (MemoryError, torch.cuda.OutOfMemoryError)
        if isinstance(error, without_memory) or any(w in text.lower() for w in _MEMORY_WORDS):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise OutOfMemoryError.of_batch(batch, training=training) from error
        last = [line for line in text.strip().splitlines() if line.strip()] or ["unknown error"]
        raise DeviceError(f"PyTorch failed: {last[0].strip()}") from error
