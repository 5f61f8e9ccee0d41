"""How much memory and how many cores this process may use."""

from __future__ import annotations

import os


def available_memory() -> int:
    """Return the bytes of memory that can be used now without swapping.

    Returns
    -------
    int
        The smaller of what the machine has available and what the container (control group)
        still allows; 1 GiB where neither can be found out.

    Examples
    --------
    >>> available_memory() > 0
    True
    """
    found = [value for value in (_machine(), _container()) if value is not None]
    return max(0, min(found)) if found else 1 << 30


def usable_cores() -> int:
    """Return the number of processor cores that this process may use.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return max(1, os.cpu_count() or 1)


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


def _container() -> int | None:
    pairs = (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    )
    for limit, used in pairs:
        try:
            with open(limit, encoding="ascii") as file:
                most = int(file.read())
            with open(used, encoding="ascii") as file:
                return most - int(file.read())
        except (OSError, ValueError):
            # "max" is no number: there is no limit.
            continue
    return None
