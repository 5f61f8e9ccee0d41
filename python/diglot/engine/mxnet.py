"""The one door to MXNet: a guarded import, threads, devices, and its errors in our words."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import numpy as np

from diglot.cgroups import usable_processors
from diglot.engine.libraries import (
    find_libraries,
    keep_own_blas,
    load_fast_blas,
    package_folders,
    preload,
)
from diglot.engine.mxnet_versions import same_arrays, settle
from diglot.errors import DeviceError, MissingPackageError, OutOfMemoryError
from diglot.gpus import Gpu, find_gpus, installed_build, overlaid, why_not

# MXNet 1.9.1 reads these names while it is imported; numpy 1.24 took them away.
_ALIASES = {
    "bool": bool,
    "int": int,
    "float": float,
    "object": object,
    "complex": complex,
    "str": str,
    "PZERO": 0.0,
    "NZERO": -0.0,
    "NINF": -np.inf,
    "PINF": np.inf,
}


_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # NVIDIA's driver, also within Windows' Linux


@contextmanager
def _numpy_aliases() -> Iterator[None]:
    """Lend numpy the names that MXNet looks for, and leave it as it was."""
    missing = {n: v for n, v in _ALIASES.items() if n not in np.__dict__}
    try:
        for name, value in missing.items():
            setattr(np, name, value)
        yield
    finally:
        for name in missing:
            delattr(np, name)


def physical_cores() -> int:
    """Return how many physical cores this process may use; no more than a container's quota.

    Two threads on one core share its vector units: MXNet runs fastest with one a core.
    """
    most = usable_processors()
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS
        return most
    cores = set()
    for cpu in allowed:
        try:
            folder = f"/sys/devices/system/cpu/cpu{cpu}/topology"
            with open(f"{folder}/thread_siblings_list", encoding="ascii") as file:
                cores.add(file.read())
        except OSError:
            cores.add(str(cpu))
    return max(1, min(most, len(cores)))


def _environment() -> dict[str, str]:
    """Return the settings that MXNet reads while it is loaded; what the user has set goes first."""
    settings = {"OMP_NUM_THREADS": str(physical_cores()), "MXNET_SUBGRAPH_VERBOSE": "0"}
    if _is_built_for_gpus():
        # CUDA numbers GPUs by their speed if it is not told to number them as nvidia-smi does.
        settings["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    if not _may_use_gpu():
        # On a CPU, MXNet's scheduler thread only puts OpenMP's threads to sleep between operators
        # (LeNet trains at half the speed with it); its choice of which operators to run on
        # several threads goes by times that it measures while it is loaded.
        settings |= {"MXNET_ENGINE_TYPE": "NaiveEngine", "MXNET_USE_OPERATOR_TUNING": "0"}
    return settings


def _is_built_for_gpus() -> bool:
    build = installed_build()
    return build is not None and build.for_gpus


def _may_use_gpu() -> bool:
    """Whether the installed build is for GPUs, and has code for one that is here."""
    build = installed_build()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if build is None or not build.for_gpus or hidden:
        return False
    found = find_gpus()
    if found:
        return any(build.serves(gpu) for gpu in found)
    return any(map(os.path.exists, _DRIVERS))  # as in containers without nvidia-smi


@cache
def load() -> ModuleType:
    """Import MXNet, once, with the number of threads set before.

    Raises
    ------
    MissingPackageError
        If it is not installed or cannot be loaded.
    """
    for name, value in _environment().items():
        os.environ.setdefault(name, value)
    problems = preload(find_libraries(package_folders("mxnet"))) if _is_built_for_gpus() else {}
    try:
        # 2.0 announces itself, where 1.9 is silent.
        with standard_error_closed(), warnings.catch_warnings(), _numpy_aliases():
            warnings.simplefilter("ignore")
            load_fast_blas(package_folders("mxnet"))
            keep_own_blas(package_folders("mxnet"), "mxnet/libmxnet.so")
            module = importlib.import_module("mxnet")
    except ImportError as error:
        raise MissingPackageError(
            f"MXNet cannot be loaded ({error}); install it with: pip install 'mxnet>=1.9.1' "
            "'numpy<2' setuptools"
        ) from error
    except (OSError, AttributeError) as error:
        broken = "".join(f" ({name}: {why})" for name, why in problems.items())
        raise MissingPackageError(
            f"MXNet is installed but does not load: {error}{broken}; {_mend(str(error))}"
        ) from error
    with standard_error_closed():
        settle(module)
    return module


def _mend(error: str) -> str:
    """Say what helps where MXNet does not load."""
    if not _is_built_for_gpus():
        return "see check_setup() for what is missing"
    if "libcuda.so" in error:
        return (
            "this build is for GPUs and needs NVIDIA's driver: install that, or the build for the "
            "CPU: pip uninstall mxnet-cu117, then pip install mxnet 'numpy<2'"
        )
    return "python -m diglot.setup_gpu installs the libraries that it needs"


@contextmanager
def standard_error_closed() -> Iterator[None]:
    """Keep what C++ writes to standard error to itself, for as short a time as can be."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def version() -> str:
    """Return MXNet's version."""
    return load().__version__


@cache
def gpu_count() -> int:
    """Return how many GPUs this build of MXNet can use; 0 for the CPU build."""
    mx = load()
    try:
        return int(mx.context.num_gpus()) if mx.runtime.Features().is_enabled("CUDA") else 0
    except (mx.base.MXNetError, RuntimeError):
        return 0


def gpu_problem(index: int, gpus: list[Gpu] | None = None) -> str:
    """Return why GPU ``index`` cannot be used, and what to do; "" if it can.

    MXNet counts every GPU of the machine, also those that its build has no code for: to compute
    there would end in a crash. ``gpus`` are those of the machine, looked for if not given.
    """
    found = find_gpus() if gpus is None else gpus
    count = gpu_count()
    if index < len(found):
        if index >= count and (problem := overlaid(found)):
            return problem
        return why_not(found[index], installed_build(), sees_it=index < count)
    if index < count:  # MXNet sees one where nvidia-smi is missing, as in some containers
        return ""
    number = max(len(found), count)
    return f"there are only {number} GPU(s)" if number else "no usable GPU was found"


def verify_gpu(index: int = 0) -> None:
    """Compute something known on a GPU.

    Raises
    ------
    DeviceError
        If it cannot be used, or computes something else.
    """
    problem = gpu_problem(index)
    if problem:
        raise DeviceError(problem)
    mx = load()
    rng = np.random.default_rng(1)
    images, kernel = rng.random((2, 3, 8, 9)), rng.random((4, 3, 3, 3))
    with errors_translated(batch=len(images)):
        at = mx.gpu(index)
        found = mx.nd.Convolution(
            mx.nd.array(images, ctx=at),
            mx.nd.array(kernel, ctx=at),
            kernel=(3, 3),
            num_filter=4,
            no_bias=True,
        ).asnumpy()
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    # the convolutions of newer GPUs keep 10 bits of a number
    if not np.allclose(found, np.einsum("nchwij,fcij->nfhw", windows, kernel), rtol=1e-2):
        raise DeviceError(f"gpu:{index} computes wrong numbers: check its driver")


def threads() -> int:
    """Return how many threads MXNet computes with on the CPU."""
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(text) if text.isdigit() and int(text) else physical_cores()


def devices() -> list[dict[str, object]]:
    """Return one row a device that this build can use: device, engine, version, memory in bytes."""
    mx = load()
    rows: list[dict[str, object]] = [
        {"device": "cpu", "engine": "mxnet", "version": version(), "memory": None}
    ]
    for index in range(gpu_count()):
        if gpu_problem(index):
            continue
        _, total = mx.context.gpu_memory_info(index)
        rows.append(
            {"device": f"gpu:{index}", "engine": "mxnet", "version": version(), "memory": total}
        )
    return rows


# What functions of the user's raised within MXNet, which would print it and go on.
failures: list[BaseException] = []

_MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "memory allocation")


@contextmanager
def errors_translated(batch: int, *, training: bool = False) -> Iterator[None]:
    """Turn MXNet's errors into ours; ``batch`` is the size that was being computed."""
    mx = load()
    try:
        with same_arrays(mx):
            yield
        _raise_failure()
    except (mx.base.MXNetError, MemoryError) as error:
        _raise_failure()
        text = str(error)
        if isinstance(error, MemoryError) or any(w in text.lower() for w in _MEMORY_WORDS):
            raise OutOfMemoryError.of_batch(batch, training=training) from error
        last = [line for line in text.strip().splitlines() if line.strip()] or ["unknown error"]
        raise DeviceError(f"MXNet failed: {last[-1].strip()}") from error


def _raise_failure() -> None:
    if failures:
        first = failures[0]
        failures.clear()
        raise first
