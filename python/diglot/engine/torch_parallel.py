"""Training with PyTorch on several devices at once: each takes a part of every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diglot.engine import Optimiser
from diglot.engine.parts import part
from diglot.engine.torch import errors_translated, load
from diglot.engine.torch_executor import TorchExecutor
from diglot.graph import Graph

torch = load()


class ParallelTorchExecutor(TorchExecutor):
    """Trains on several devices; everything else runs on the first.

    As with :class:`diglot.engine.mxnet_parallel.ParallelExecutor`, a step is that of one device
    with the whole batch, but for dropout's draws and batch normalisation's statistics.
    """

    _others: Sequence[TorchExecutor] = ()

    def prepare_training(
        self, graph: Graph, optimiser: Optimiser, factors: Mapping[str, float] | None = None
    ) -> None:
        """Take the training graph, on every device."""
        weighted = self._graph.with_weights(self.weights())
        self._others = [type(self)(weighted, device) for device in self.device.beside]
        for other in self._others:
            other.prepare_training(graph, optimiser, factors)
        super().prepare_training(graph, optimiser, factors)

    def _recorder(self) -> None:
        """Record nothing: it is not known to be sound beside other devices."""

    def train_step(self, inputs: Mapping[str, np.ndarray], rate: float, seed: int) -> None:
        """Go one step down the gradient of the mean of the first output."""
        batch = len(inputs[self._train_inputs[0]])
        runners = [self, *self._others][:batch]  # at least one row for each
        with errors_translated(batch, training=True):
            found = [
                runner._differentiated(
                    part(inputs, number, len(runners)), seed + number, batch, self._scaling()
                )
                for number, runner in enumerate(runners)
            ]
            summed = {
                name: sum((each[name].to(self._at) for each in found[1:]), first)
                for name, first in found[0].items()
            }
            self._step(summed, rate)
            with torch.no_grad():
                for other in self._others:
                    for name, weight in self._updater.weights.items():
                        other._updater.weights[name].copy_(weight)

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set all weights and statistics, on every device."""
        super().load_weights(weights)
        for other in self._others:
            other.load_weights(weights)

    def totals(self) -> np.ndarray:
        """Return the sums of the training graph's outputs; waits for the devices."""
        return sum((other.totals() for other in self._others), super().totals())

    def set_totals(self, values: np.ndarray) -> None:
        """Set those sums."""
        super().set_totals(values)
        for other in self._others:
            other.set_totals(np.zeros_like(values))
