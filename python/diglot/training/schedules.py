"""Learning rates over the course of a fit: each schedule maps progress in [0, 1) to a factor."""

from __future__ import annotations

import math
from collections.abc import Callable

from diglot.errors import InputError


def _constant(progress: float) -> float:
    return 1.0


def _step(progress: float) -> float:
    """Go down to a tenth after half of the fit, a hundredth after three quarters (He, 2016)."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


def _cosine(progress: float) -> float:
    """Follow half a cosine wave down to zero (Loshchilov and Hutter, 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _one_cycle(progress: float) -> float:
    """Rise from a 25th over the first 30 %, then go down to nearly zero (Smith, Topin, 2019)."""
    start, end, peak = 1 / 25, 1e-4 / 25, 0.3
    if progress < peak:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * progress / peak))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (progress - peak) / (1 - peak)))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
}


def learning_rate(
    schedule: str, peak: float, step: int, steps: int, warmup_steps: int = 0
) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule : {"constant", "step", "cosine", "one_cycle"}
        The course after the warm-up.
    peak : float
        The largest learning rate.
    step, steps : int
        Which step, counted from 0, of how many.
    warmup_steps : int
        So many steps at the start, the rate grows in a line from ``peak / warmup_steps``.

    Examples
    --------
    >>> learning_rate("cosine", 0.1, 0, 100), round(learning_rate("cosine", 0.1, 50, 100), 3)
    (0.1, 0.05)
    """
    if schedule not in SCHEDULES:
        raise InputError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}")
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * SCHEDULES[schedule]((step - warmup_steps) / max(1, steps - warmup_steps))
