"""What is installed, what runs where, and how to mend what does not."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from diglot.errors import DiglotError, MissingPackageError
from diglot.gpus import CPU, Gpu, build_for, find_gpus, installed_build, overlaid, why_not

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_setup", "devices", "setup_rows"]

# Import names differ from these, which are the names of distributions. A test compares the table
# with pyproject.toml; it stands here as the R package carries this code without any metadata.
_NEEDED = {
    "joblib": ("1.4", None),
    "numpy": ("1.23", "2"),
    "pandas": ("1.5", None),
    "pillow": ("9.4", None),
    "safetensors": ("0.4", None),
    "scikit-image": ("0.20", None),
    "scikit-learn": ("1.6", None),
    "tqdm": ("4.60", None),
}
_PYTHON = ("3.10", "3.13")
_OLDEST_R = "4.1"
_GIB = 2**30


def check_setup() -> pd.DataFrame:
    """Check what diglot needs on this machine, and say how to mend what is missing.

    Returns
    -------
    pandas.DataFrame
        One row a requirement, in the columns ``requirement``; ``found``, its version, or "none";
        ``ok``; ``fix``, what to do where ``ok`` is False; and ``optional``: without R, rpy2 or a
        GPU diglot works, and with one of MXNet and PyTorch.

    Raises
    ------
    MissingPackageError
        If pandas, in which the answer comes, is itself missing.

    See Also
    --------
    devices : The processors that can train and score.

    Examples
    --------
    >>> import diglot
    >>> table = diglot.check_setup()
    >>> bool(table.ok[~table.optional].all())
    True
    """
    return _frame(setup_rows())


def setup_rows() -> list[dict[str, Any]]:
    """Return the rows of :func:`check_setup` as plain data, which needs no other package."""
    checks = [_check_python(), *(_check_package(name) for name in _NEEDED)]
    checks += [_check_mxnet(), _check_torch(), _check_gpu(), _check_r(), _check_rpy2()]
    return [asdict(check) for check in checks]


def devices() -> pd.DataFrame:
    """List the processors of this machine, and which of them diglot can use.

    Returns
    -------
    pandas.DataFrame
        One row a device, in the columns ``device``, what ``ImageClassifier(device=...)`` takes;
        ``name``; ``kind``, "cpu" or "gpu"; ``memory`` in GiB; ``threads``, with which the CPU
        computes, 0 for a GPU; ``engine``, those that can compute on it, with their versions, the
        one that ``engine="auto"`` takes first; ``usable``; ``note``, which says what is in the
        way where ``usable`` is False; ``capability``, a GPU's compute capability such as "8.6";
        and ``build``, the build of MXNet that serves it: "mxnet", "mxnet-cu117"
        with the nvidia-*-cu11 wheels (compute capability 5.0 to 8.9), or the 2.0 line for CUDA 13
        (9.0 and later); "none" where no build does.

    Notes
    -----
    GPUs are those that NVIDIA's ``nvidia-smi`` lists, whether they can be used or not, and any
    others that PyTorch can use.
    ``python -m diglot.setup_gpu`` installs the build of MXNet or PyTorch that serves them, or says
    why it cannot.

    Examples
    --------
    >>> import diglot
    >>> diglot.devices().device[0]
    'cpu'
    """
    problem, threads = "", os.cpu_count() or 1
    serving: dict[str, list[str]] = {}  # the engines of each device
    try:
        from diglot.engine import mxnet

        for row in mxnet.devices():
            serving.setdefault(str(row["device"]), []).append(f"mxnet {row['version']}")
        threads = mxnet.threads()
    except DiglotError as error:
        problem = str(error)
    others = _by_torch(serving)
    if serving.get("cpu", [""])[0].startswith("torch "):
        threads = _threads_of_torch(threads)
    build, gpus = installed_build(), find_gpus()
    several = overlaid(gpus)
    table = [
        {
            "device": "cpu",
            "name": _cpu_name(),
            "kind": "cpu",
            "memory": round(_memory() / _GIB, 1),
            "threads": threads,
            "engine": ", ".join(serving.get("cpu", [])),
            "usable": "cpu" in serving,
            "note": "" if "cpu" in serving else problem,
            "capability": "",
            "build": CPU.name,
        }
    ]
    for gpu in gpus:
        device, served = f"gpu:{gpu.index}", build_for(gpu)
        table.append(
            {
                "device": device,
                "name": gpu.name,
                "kind": "gpu",
                "memory": round(gpu.memory / _GIB, 1),
                "threads": 0,
                "engine": ", ".join(serving.get(device, [])),
                "usable": device in serving,
                "note": "" if device in serving else problem or several or why_not(gpu, build),
                "capability": gpu.compute,
                "build": served.name if served else "none",
            }
        )
    listed = {row["device"] for row in table}
    for row in others:
        if row["device"] not in listed:
            table.append(
                {
                    "device": row["device"],
                    "name": row["name"],
                    "kind": "gpu",
                    "memory": round((row["memory"] or 0) / _GIB, 1),
                    "threads": 0,
                    "engine": f"torch {row['version']}",
                    "usable": True,
                    "note": "",
                    "capability": "",
                    "build": "none",
                }
            )
    return _frame(table)


def _by_torch(serving: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Add what PyTorch serves, and return its GPUs.

    It is loaded, which takes seconds, only where there may be a GPU.
    """
    from diglot.engine import may_have_gpu, torch

    if not torch.is_installed():
        return []
    gpus: list[dict[str, Any]] = []
    try:
        if may_have_gpu():
            gpus = [row for row in torch.devices() if row["device"] != "cpu"]
        version = metadata.version("torch")
    except (DiglotError, metadata.PackageNotFoundError):
        return []
    for row in [{"device": "cpu"}, *gpus]:
        serving.setdefault(str(row["device"]), []).append(f"torch {version}")
    return gpus


def _threads_of_torch(otherwise: int) -> int:
    """Return PyTorch's threads where it is what computes: then it will be loaded anyway."""
    from diglot.engine import torch

    try:
        return torch.threads()
    except DiglotError:
        return otherwise


@dataclass
class _Check:
    requirement: str
    found: str
    ok: bool
    fix: str = ""
    optional: bool = False


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError(
            f"pandas cannot be loaded ({error}); install it with: {_pip('pandas')}"
        ) from error
    return pd.DataFrame(rows)


def _pip(*requirements: str) -> str:
    """Return the command that installs into this Python, which need not be the first on PATH."""
    python = sys.executable or "python"
    return " ".join([python, "-m pip install", *(f'"{each}"' for each in requirements)])


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "2.0.0b1" gives (2, 0, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _within(version: str, low: str, high: str | None) -> bool:
    numbers = _numbers(version)
    return _numbers(low) <= numbers and (high is None or numbers < _numbers(high))


def _check_python() -> _Check:
    found = platform.python_version()
    low, high = _PYTHON
    fix = f"make a virtual environment with a Python from {low}, older than {high}"
    ok = _within(found, low, high)
    return _Check("Python", found, ok, "" if ok else fix)


def _check_package(name: str) -> _Check:
    low, high = _NEEDED[name]
    requirement = f"{name}>={low}" + (f",<{high}" if high else "")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return _Check(name, "none", False, _pip(requirement))
    ok = _within(found, low, high)
    return _Check(name, found, ok, "" if ok else _pip(requirement))


def _check_mxnet() -> _Check:
    from diglot.engine import torch

    beside = torch.is_installed()  # then MXNet can be done without
    try:
        from diglot.engine import mxnet

        build = "for GPUs" if mxnet.load().runtime.Features().is_enabled("CUDA") else "for the CPU"
        problem = overlaid(find_gpus())
        return _Check("MXNet", f"{mxnet.version()}, built {build}", not problem, problem, beside)
    except DiglotError as error:
        return _Check("MXNet", "none that loads", False, str(error), beside)
    except ImportError as error:  # numpy itself is missing
        fix = f"first mend what it needs ({error})"
        return _Check("MXNet", "not tried", False, fix, beside)


def _check_torch() -> _Check:
    try:
        return _Check("PyTorch", metadata.version("torch"), True, optional=True)
    except metadata.PackageNotFoundError:
        fix = "for devices that MXNet has no code for: " + _pip("torch>=2.0")
        return _Check("PyTorch", "none", False, fix, optional=True)


def _check_gpu() -> _Check:
    gpus = find_gpus()
    if not gpus:
        return _Check("GPU", "none", True, optional=True)
    found = ", ".join(gpu.name for gpu in gpus)
    problems = [_gpu_problem(gpu, gpus) for gpu in gpus]
    fix = next((problem for problem in problems if problem), "")
    return _Check("GPU", found, not fix, fix, optional=True)


def _gpu_problem(gpu: Gpu, gpus: list[Gpu]) -> str:
    """Return why no engine can use a GPU; "" if one can."""
    from diglot.engine import torch

    try:
        from diglot.engine import mxnet

        problem = mxnet.gpu_problem(gpu.index, gpus)
    except (DiglotError, ImportError):
        problem = "first mend MXNet, as above"
    if not problem or not torch.is_installed():
        return problem
    try:
        return problem if torch.gpu_problem(gpu.index) else ""
    except (DiglotError, ImportError):
        return problem


def _check_r() -> _Check:
    words = _output([shutil.which("R") or "R", "--version"]).split()
    found = words[2] if words[:2] == ["R", "version"] else "none"
    ok = found != "none" and _within(found, _OLDEST_R, None)
    fix = f"to use diglot from R too, install R {_OLDEST_R} or newer; on Debian: r-base"
    return _Check("R", found, ok, "" if ok else fix, optional=True)


def _check_rpy2() -> _Check:
    try:
        return _Check("rpy2", metadata.version("rpy2"), True, optional=True)
    except metadata.PackageNotFoundError:
        # rpy2 3.6 calls functions that came with R 4.5.
        fix = (
            "to call R from Python: " + _pip("rpy2>=3.5.17") + ' ("rpy2>=3.5.17,<3.6" for R < 4.5)'
        )
        return _Check("rpy2", "none", False, fix, optional=True)


def _output(command: Sequence[str]) -> str:
    """Return what a program writes, or nothing if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _memory() -> int:
    """Return this machine's memory in bytes, 0 where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
