"""How much memory and how many cores this process may use."""

from __future__ import annotations

import os

from diglot.cgroups import memory_left, usable_processors


def available_memory() -> int:
    """Return the bytes of memory that can be used now without swapping.

    Returns
    -------
    int
        The least of what the machine has available and what the container (control group) and
        ``ulimit -v`` still allow; 1 GiB where neither can be found out.

    Examples
    --------
    >>> available_memory() > 0
    True
    """
    found = [value for value in (_machine(), memory_left(), _addresses()) if value is not None]
    return max(0, min(found)) if found else 1 << 30


def usable_cores() -> int:
    """Return the number of processor cores that this process may use.

    Returns
    -------
    int
        At least 1; no more than a container's quota allows.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    return usable_processors()


def _machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        # macOS cannot tell what is free; half of all is a careful guess.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _addresses() -> int | None:
    """Return what ``ulimit -v`` leaves to this process; None without such a limit."""
    try:
        import resource  # not on Windows

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        with open("/proc/self/statm", encoding="ascii") as file:
            return most - int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError, IndexError):
        return None
