"""Where graphs run, behind one small interface: :class:`Executor`.

There are two engines, which run the same graphs with the same weights: MXNet and PyTorch. Only the
``mxnet*`` files in this folder import the first, only the ``torch*`` files the second, and only
when a graph is run.
"""

from __future__ import annotations

from diglot.engine.device import (
    ENGINES,
    Device,
    check_device,
    check_engine,
    devices,
    give_back_memory,
    may_have_gpu,
    mixing,
    pick_device,
)
from diglot.engine.executor import (
    LOSS_SCALE,
    STEADY_ROWS,
    Executor,
    Optimiser,
    Scorer,
    Weigh,
    int8_scorer,
    integer_device,
    measure_ranges,
    open_executor,
)

__all__ = [
    "ENGINES",
    "LOSS_SCALE",
    "STEADY_ROWS",
    "Device",
    "Executor",
    "Optimiser",
    "Scorer",
    "Weigh",
    "check_device",
    "check_engine",
    "devices",
    "give_back_memory",
    "int8_scorer",
    "integer_device",
    "may_have_gpu",
    "measure_ranges",
    "mixing",
    "open_executor",
    "pick_device",
]
