"""The machine that something was measured on, as results tell it."""

from __future__ import annotations

import os
import platform
from typing import Any

from diglot.engine.mxnet import physical_cores
from diglot.gpus import find_gpus

__all__ = ["this_machine"]

_MIB = 2**20


def this_machine() -> dict[str, Any]:
    """Return ``processor``, ``cores`` (physical), ``memory_mib``, ``system`` and ``gpu``.

    Examples
    --------
    >>> this_machine()["cores"] >= 1
    True
    """
    gpus = find_gpus()
    return {
        "processor": _processor(),
        "cores": physical_cores(),
        "memory_mib": _memory() // _MIB,
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": gpus[0].name if gpus else "",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = (line.partition(":")[2].strip() for line in file if "model name" in line)
            return next(names, "") or platform.machine()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
