"""How much is tried: little in ``make test``, more by ``make soak``."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOAK = float(os.environ.get("DIGLOT_SOAK") or 0)
"""0 is the short form, 1 the long one; a share of it takes about that share of its time."""


def rounds(short: int, long: int) -> int:
    """Return how often to try something."""
    return max(short, round(long * SOAK))


def alone() -> dict[str, str]:
    """Return the environment of a process that uses one core and finds this diglot, in R too."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "R_LIBS": f"{ROOT / '.Rlib'}:{os.environ.get('R_LIBS', '')}",
    }
