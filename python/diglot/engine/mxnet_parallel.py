"""Training on several devices at once: each takes a part of every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diglot.engine import Optimiser
from diglot.engine.mxnet import errors_translated
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.parts import part
from diglot.graph import Graph


class ParallelExecutor(MXNetExecutor):
    """Trains on several devices; everything else runs on the first.

    Each step, every device has the same weights and computes the gradients of its own rows; the
    first adds them up, updates the weights and sends them to the others. So a step is that of one
    device with the whole batch, but for two things: dropout draws other numbers, and batch
    normalisation sees a device's rows alone (the first device's statistics are kept).
    """

    _others: Sequence[MXNetExecutor] = ()

    def prepare_training(
        self, graph: Graph, optimiser: Optimiser, factors: Mapping[str, float] | None = None
    ) -> None:
        """Take the training graph, on every device."""
        self._others = [
            MXNetExecutor(self._graph.with_weights(self.weights()), device)
            for device in self.device.beside
        ]
        for other in self._others:
            other.prepare_training(graph, optimiser, factors)
        super().prepare_training(graph, optimiser, factors)

    def train_step(self, inputs: Mapping[str, np.ndarray], rate: float, seed: int) -> None:
        """Go one step down the gradient of the mean of the first output."""
        batch = len(inputs[self._train_inputs[0]])
        runners = [self, *self._others][:batch]  # at least one row for each
        with errors_translated(batch, training=True):
            for number, runner in enumerate(runners):
                runner._differentiate(part(inputs, number, len(runners)), seed + number)
            for other in runners[1:]:
                for name, gradient in self._updater.gradients.items():
                    gradient += other._updater.gradients[name].as_in_context(self._context)
            self._updater.step(rate, batch)
            self._send_weights()

    def _send_weights(self) -> None:
        for other in self._others:
            for name, weight in self._updater.weights.items():
                weight.copyto(other._updater.weights[name])

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
