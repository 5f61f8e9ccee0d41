"""What runs a graph on a device, of whichever engine: :class:`Executor`, and what opens one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from diglot.engine.device import Device, pick_device
from diglot.errors import InputError, MissingPackageError
from diglot.graph import Graph

Weigh = Callable[[np.ndarray], np.ndarray]
# Smaller batches are filled up: products of few rows take other paths, which round differently.
STEADY_ROWS = 16
# In an optimiser's state, where it trains with float16 alone: any other fit goes on without it.
LOSS_SCALE = "loss_scale"


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


def open_executor(
    graph: Graph, device: str | Device = "auto", *, changing: bool = False
) -> Executor:
    """Return an executor for ``graph``, which must have weights.

    With ``changing`` it is made for weights that are often loaded anew; else it may fold them
    into something that scores faster.
    """
    picked = pick_device(device)
    if picked.engine == "torch":
        from diglot.engine.torch_executor import TorchExecutor
        from diglot.engine.torch_parallel import ParallelTorchExecutor

        make = ParallelTorchExecutor if picked.beside else TorchExecutor
        return make(graph, picked, changing=changing)
    from diglot.engine.mxnet_executor import MXNetExecutor
    from diglot.engine.mxnet_parallel import ParallelExecutor

    make = ParallelExecutor if picked.beside else MXNetExecutor
    return make(graph, picked, changing=changing)


def integer_device() -> Device | None:
    """Return where int8 can be calibrated and scored: MXNet's CPU; None without MXNet.

    Examples
    --------
    >>> found = integer_device()
    >>> found is None or found.has_integers
    True
    """
    from diglot.engine.mxnet import load as load_mxnet

    try:
        load_mxnet()
    except MissingPackageError:
        return None
    return Device("cpu")


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
