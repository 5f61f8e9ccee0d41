"""Where graphs run, behind one small interface: :class:`Executor`.

Only the ``mxnet*`` files in this folder import MXNet, and only when a graph is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from diglot.errors import DeviceError, InputError
from diglot.graph import Graph

__all__ = [
    "Device",
    "Executor",
    "Optimiser",
    "devices",
    "int8_scorer",
    "measure_ranges",
    "open_executor",
    "pick_device",
]

Weigh = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Device:
    """A processor that can run graphs, or several of which the first is the main one.

    Attributes
    ----------
    kind : {"cpu", "gpu"}
    index : int
        Counts GPUs. Several CPUs are the same one, in parts that know nothing of each other.
    beside : tuple of Device
        Those that train with it, each on a part of every batch.
    """

    kind: str
    index: int = 0
    beside: tuple[Device, ...] = ()

    def __str__(self) -> str:
        name = "cpu" if self.kind == "cpu" and not self.index else f"{self.kind}:{self.index}"
        return ", ".join([name, *map(str, self.beside)])


@dataclass(frozen=True)
class Optimiser:
    """How weights follow gradients.

    Attributes
    ----------
    name : {"sgd", "adam", "adamw"}
        SGD with Nesterov's momentum (Sutskever et al., 2013); Adam (Kingma and Ba, 2015), weight
        decay added to the gradient; AdamW (Loshchilov and Hutter, 2019), weight decay apart.
    momentum : float
        Of SGD.
    weight_decay : float
        On weights; never on biases and norms.
    clip_norm : float or None
        The largest norm of all gradients together.
    beta1, beta2, epsilon : float
        Of Adam and AdamW.
    """

    name: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        if self.name not in ("sgd", "adam", "adamw"):
            raise InputError(f'optimizer must be "sgd", "adam" or "adamw", not {self.name!r}')


class Executor(Protocol):
    """Runs one graph on one device, with its weights.

    Images go in as (n, height, width, channel) float32 and leave no trace of the engine's own
    layout. A training graph's outputs are one number a row each (the loss first): their sums
    are kept on the device until :meth:`totals` asks.
    """

    device: Device

    def prepare_training(
        self, graph: Graph, optimiser: Optimiser, factors: Mapping[str, float] | None = None
    ) -> None:
        """Take the training graph, which shares the executor's weights.

        ``factors`` multiply the learning rate by parameter; one with a factor of 0 is frozen.
        """

    def train_step(self, inputs: Mapping[str, np.ndarray], rate: float, seed: int) -> None:
        """Go one step down the gradient of the mean of the first output."""

    def losses(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the sums of the training graph's outputs in scoring mode; nothing changes."""

    def totals(self) -> np.ndarray:
        """Return the sums of the training graph's outputs since they were last set."""

    def set_totals(self, values: np.ndarray) -> None:
        """Set those sums: zeros at the start of an epoch, what a checkpoint kept on resuming."""

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output, in scoring mode."""

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs of the graph, in scoring mode."""

    def gradients(
        self, inputs: Mapping[str, np.ndarray], wrt: str, weigh: Weigh
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first output, and the gradient of its weighted sum by the input ``wrt``.

        In scoring mode, and by no parameter. ``weigh`` gets the output and returns the weights, of
        the same shape: the derivatives of what is to be explained by that output.
        """

    def keep(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Leave these inputs on the device; the next calls need not give them again."""

    def weights(self) -> dict[str, np.ndarray]:
        """Return copies of all weights and statistics."""

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set all weights and statistics."""

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Return the optimiser's arrays and its step counter."""

    def load_optimiser_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set what :meth:`optimiser_state` returned."""


class Scorer(Protocol):
    """Answers for one graph, and does nothing else."""

    device: Device

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output, in scoring mode."""


def devices() -> list[dict[str, object]]:
    """Return one row a device: device, engine and its version."""
    from diglot.engine import mxnet

    return mxnet.devices()


def pick_device(device: str | Sequence[str] | Device = "auto") -> Device:
    """Return the device that ``device`` names; "auto" is the first usable GPU, else the CPU.

    Several, such as ``["gpu:0", "gpu:1"]``, train together, each on a part of every batch.

    Raises
    ------
    DeviceError
        If it is named and not there, or if MXNet's build has no code for it: there is no silent
        fall-back, and no crash later.
    """
    if isinstance(device, Device):
        return device
    if not isinstance(device, str) and isinstance(device, Sequence):
        return _several(list(device))
    from diglot.engine import mxnet

    if str(device) == "auto":
        usable = (i for i in range(mxnet.gpu_count()) if not mxnet.gpu_problem(i))
        return next((Device("gpu", index) for index in usable), Device("cpu"))
    return _checked(_one(device))


def check_device(device: str | Sequence[str] | Device) -> None:
    """Refuse what cannot name a device; whether it is there is not looked at."""
    if isinstance(device, Device):
        return
    if not isinstance(device, str) and isinstance(device, Sequence):
        _all_named(list(device))
    elif str(device) != "auto":
        _one(device)


def _one(device: object) -> Device:
    found = _named(str(device))
    if found is None or (found.kind == "cpu" and ":" in str(device)):
        raise InputError(
            f'device must be "auto", "cpu", "gpu", "gpu:1" or several such as ["gpu:0", "gpu:1"], '
            f"not {device!r}"
        )
    return found


def _several(names: list[str]) -> Device:
    """Return the devices that train together."""
    first, *others = map(_checked, _all_named(names))
    return replace(first, beside=tuple(others))


def _all_named(names: list[str]) -> list[Device]:
    found = [_named(name) if isinstance(name, str) else None for name in names]
    kinds = {each.kind for each in found if each is not None}
    if None in found or len(kinds) != 1 or len(set(found)) != len(found):
        raise InputError(
            'device must name one device, or several GPUs that differ, such as ["gpu:0", "gpu:1"] '
            f'(or ["cpu:0", "cpu:1"], to try it out without), not {names!r}'
        )
    return found


def _named(name: str) -> Device | None:
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "gpu") or (colon and not (number.isascii() and number.isdigit())):
        return None
    return Device(kind, int(number or 0))


def _checked(device: Device) -> Device:
    """Refuse a GPU that MXNet cannot use."""
    if device.kind == "cpu":
        return device
    from diglot.engine import mxnet

    problem = mxnet.gpu_problem(device.index)
    if problem:
        raise DeviceError(
            f'device="{device}" was asked for, but {problem} (MXNet {mxnet.version()}); '
            'use device="cpu" or "auto", or see devices() for what is missing'
        )
    return device


def open_executor(
    graph: Graph, device: str | Device = "auto", *, changing: bool = False
) -> Executor:
    """Return an executor for ``graph``, which must have weights.

    With ``changing`` it is made for weights that are often loaded anew; else it may fold them
    into something that scores faster.
    """
    from diglot.engine.mxnet_executor import MXNetExecutor
    from diglot.engine.mxnet_parallel import ParallelExecutor

    picked = pick_device(device)
    make = ParallelExecutor if picked.beside else MXNetExecutor
    return make(graph, picked, changing=changing)


def measure_ranges(
    graph: Graph, batches: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Return what int8 must know of a network's layers: between which numbers their outputs lie.

    Nothing for a network of which no layer can be computed with integers.
    """
    from diglot.engine import mxnet_int8

    return mxnet_int8.measure_ranges(graph, batches)


def int8_scorer(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> Scorer:
    """Return what scores with 8-bit integers on a CPU, by ranges that `measure_ranges` measured."""
    from diglot.engine.mxnet_int8 import Int8Scorer

    return Int8Scorer(graph, ranges)
