"""What a container, or a service, may take of the machine: Linux's control groups, of both kinds.

A group's limits also hold for the groups within it, so that the least on the way up counts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["memory_left", "processors", "usable_processors"]

_PROC, _MOUNTS = Path("/proc"), Path("/sys/fs/cgroup")
_MOST_BYTES = 1 << 60  # the first kind tells "no limit" by a number near 2 ** 63


def usable_processors() -> int:
    """Return how many processors this process may use: where it may run, and by its quota.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> usable_processors() >= 1
    True
    """
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        found = os.cpu_count() or 1
    quota = processors()
    return max(1, found if quota is None else min(found, quota))


def processors() -> int | None:
    """Return how many processors' time this process may take, rounded up; None without a limit.

    Examples
    --------
    >>> found = processors()
    >>> found is None or found >= 1
    True
    """
    shares = []
    for folder in _groups(""):
        shares.append(_share(*_words(folder / "cpu.max")[:2]))
    for folder in _groups("cpu"):
        quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
        shares.append(_share(*quota[:1], *period[:1]))
    found = [share for share in shares if share is not None]
    return max(1, math.ceil(min(found))) if found else None


def memory_left() -> int | None:
    """Return how many bytes of memory this process may still take; None without a limit.

    What files left in memory is given back when it is needed, and counts as free.

    Examples
    --------
    >>> found = memory_left()
    >>> found is None or found >= 0
    True
    """
    kinds = (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    left = []
    for kind, limit, used, idle in kinds:
        for folder in _groups(kind):
            most, now = _number(_words(folder / limit)), _number(_words(folder / used))
            if most is None or now is None or most >= _MOST_BYTES:
                continue
            words = _words(folder / "memory.stat")
            told = dict(zip(words[::2], words[1::2], strict=False))
            left.append(most - max(0, now - (_number([told.get(idle, "0")]) or 0)))
    return max(0, min(left)) if left else None


def _share(quota: str = "", period: str = "") -> float | None:
    """Return a quota of time as a number of processors; "max" and -1 are none."""
    numbers = _number([quota]), _number([period])
    return None if not numbers[0] or not numbers[1] else numbers[0] / numbers[1]


def _number(words: list[str]) -> int | None:
    return int(words[0]) if words and words[0].isascii() and words[0].isdigit() else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except (OSError, ValueError):
        return []


def _groups(kind: str) -> Iterator[Path]:
    """Yield this process's group and those around it.

    ``kind`` is what the first kind calls a controller, or "" for the second kind. Within a
    container the groups outside cannot be seen, and its own may be the root of what can.
    """
    root = _MOUNTS / kind
    inside = Path("/")
    for line in _words(_PROC / "self" / "cgroup"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if (kind in controllers.split(",")) if kind else not controllers:
            inside = Path(path)
    parts = [part for part in inside.parts[1:] if part != ".."]
    for count in range(len(parts), -1, -1):
        folder = root.joinpath(*parts[:count])
        if folder.is_dir():
            yield folder
