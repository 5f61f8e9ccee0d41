"""Graphs on PyTorch: for training and for scoring, on any device that PyTorch serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np

from diglot.engine import LOSS_SCALE, STEADY_ROWS, Device, Optimiser, Weigh
from diglot.engine.shortcuts import folded, pooled_first
from diglot.engine.torch import errors_translated, load, torch_device
from diglot.engine.torch_layout import image_layout
from diglot.engine.torch_mode import Mode, Tensor
from diglot.engine.torch_optimisers import Updater
from diglot.engine.torch_program import Program
from diglot.engine.torch_recorded import RecordedSteps, Recorder, recorder_for
from diglot.engine.torch_scaling import LossScale
from diglot.engine.torch_settled import settled
from diglot.errors import InputError
from diglot.graph import Graph

torch = load()


class TorchExecutor:
    """Runs one graph on one device; see :class:`diglot.engine.Executor`.

    Parameters
    ----------
    graph : Graph
        With weights.
    device : Device
    changing : bool
        Whether its weights are often loaded anew; else scoring folds normalisations into them.
    dtype : {"float32", "float64"}
        The second is for tests, which compare engines by it.
    """

    def __init__(
        self, graph: Graph, device: Device, *, changing: bool = False, dtype: str = "float32"
    ) -> None:
        if graph.weights is None:
            raise InputError(f"network {graph.name!r} has no weights yet: train or load it first")
        self.device, self._graph = device, graph
        self._at, self._dtype = torch_device(device.kind, device.index), getattr(torch, dtype)
        self._mode = Mode(False, torch.Generator(device=self._at), mixed=bool(device.mixed))
        self._decides = any(node.subgraphs for node in graph.nodes)
        self._score = Program(graph, self._mode)
        self._layout = image_layout(graph, self._at.type)
        self._changing = changing
        self._folded: tuple[Program, dict[str, Tensor]] | None = None
        self._arrays: dict[str, Tensor] = {}
        with errors_translated(1):
            for name, parameter in graph.parameters.items():
                array = torch.zeros(parameter.shape, dtype=self._dtype, device=self._at)
                self._arrays[name] = self._laid(array).requires_grad_(not parameter.auxiliary)
        self.load_weights(graph.weights)
        self._train: Program | None = None
        self._updater: Updater | None = None
        self._scale: LossScale | None = None
        self._kept: dict[str, Tensor] = {}
        self._totals: list[Tensor] = []
        self._steps: RecordedSteps | None = None

    # ---- arrays in and out

    def _array(self, name: str, values: np.ndarray) -> Tensor:
        """Return an input on the device, images as (n, channel, height, width)."""
        array = self._sent(self._tensor(values))
        return self._laid(array.permute(0, 3, 1, 2)) if _is_image(name, array) else array

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(_plain(values)).to(self._dtype)

    def _sent(self, array: Tensor) -> Tensor:
        """Return an array on the device; CUDA takes it while the CPU goes on."""
        if self._at.type == "cuda":
            return array.pin_memory().to(self._at, non_blocking=True)
        return array.to(self._at)

    def _laid(self, array: Tensor) -> Tensor:
        """Return images or filters as the device is quickest with them in memory."""
        layout = self._layout if array.dim() == 4 else torch.contiguous_format
        return array.contiguous(memory_format=layout)

    def _padded(self, name: str, values: np.ndarray) -> Tensor:
        """Fill small batches up, so that an image's answer does not depend on its company."""
        if len(values) < STEADY_ROWS and not self._decides:
            filled = np.zeros((STEADY_ROWS, *values.shape[1:]), values.dtype)
            filled[: len(values)] = values
            values = filled
        return self._array(name, values)

    def weights(self) -> dict[str, np.ndarray]:
        """Return copies of all weights and statistics; waits for the device."""
        with errors_translated(1):
            return {n: np.array(a.detach().cpu(), order="C") for n, a in self._arrays.items()}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set all weights and statistics."""
        with errors_translated(1), torch.no_grad():
            for name, array in self._arrays.items():
                array.copy_(torch.from_numpy(_plain(weights[name])))
        self._folded = None

    # ---- training

    def prepare_training(
        self, graph: Graph, optimiser: Optimiser, factors: Mapping[str, float] | None = None
    ) -> None:
        """Take the training graph; its parameters are the executor's."""
        factors, parameters = factors or {}, self._graph.parameters
        learned = {}
        for name, parameter in parameters.items():
            learns = not parameter.auxiliary and bool(factors.get(name, 1.0))
            self._arrays[name].requires_grad_(learns)
            if learns:
                learned[name] = self._arrays[name]
        self._train, self._train_inputs = Program(pooled_first(graph), self._mode), graph.inputs
        decays = {name: parameters[name].decays for name in learned}
        rates = {name: factors.get(name, 1.0) for name in learned}
        self._updater = Updater(optimiser, learned, decays, rates)
        self._scale = LossScale() if self.device.mixed == "float16" else None
        make = dict(dtype=self._dtype, device=self._at)
        self._totals = [torch.zeros((), **make) for _ in graph.heads]
        # Loops, branches and people's own functions ask the CPU in the middle of a step.
        asks = any(node.subgraphs or node.op == "Custom" for node in graph.nodes)
        recorder = None if asks else self._recorder()
        self._steps = RecordedSteps(self._computed, self._changed, self._mode, recorder)

    def _recorder(self) -> Recorder | None:
        return recorder_for(self._at)

    def _changed(self) -> list[Tensor]:
        """Return what a step changes besides the weights: statistics and totals."""
        parameters = self._graph.parameters
        statistics = [a for name, a in self._arrays.items() if parameters[name].auxiliary]
        return [*statistics, *self._totals]

    def train_step(self, inputs: Mapping[str, np.ndarray], rate: float, seed: int) -> None:
        """Go one step down the gradient of the mean of the first output."""
        batch = len(inputs[self._train_inputs[0]])
        with errors_translated(batch, training=True):
            gradients = self._differentiated(inputs, seed, batch, self._scaling())
            self._step(gradients, rate)

    def _scaling(self) -> float:
        return 1.0 if self._scale is None else self._scale.value

    def _step(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """Update the weights, but by gradients that float16 could not hold."""
        if self._scale is None or not gradients or self._scale.undo(list(gradients.values())):
            self._updater.step(gradients, rate)

    def _differentiated(
        self, inputs: Mapping[str, np.ndarray], seed: int, batch: int, scale: float
    ) -> dict[str, Tensor]:
        """Return the gradients of the first output's mean, and add the outputs to the totals.

        ``batch`` is of how many rows, which may be more than these; ``scale`` is what the mean is
        multiplied by.
        """
        given = {name: self._array(name, inputs[name]) for name in self._train_inputs}
        with self._in_training(), settled():
            found = self._steps(given, seed, batch, scale)
        return dict(zip(self._updater.weights, found, strict=True))

    def _computed(self, given: Mapping[str, Tensor], batch: int, scale: float) -> list[Tensor]:
        """Return gradients of what is learned, in order; asks nothing that waits for a GPU."""
        learned = list(self._updater.weights.values())
        with self._numbers():
            outputs = self._train({**self._arrays, **given})
        found = (None,) * len(learned)
        if learned and outputs[0].requires_grad:
            mean = self._summed(outputs[0]) / batch * scale
            found = torch.autograd.grad(mean, learned, allow_unused=True)
        for total, output in zip(self._totals, outputs, strict=True):
            total += self._summed(output.detach())
        return [
            torch.zeros_like(weight) if gradient is None else gradient
            for weight, gradient in zip(learned, found, strict=True)
        ]

    def _summed(self, output: Tensor) -> Tensor:
        """Return the sum of an output, which may be of 16 bits: its sum would be, too."""
        return output.sum(dtype=self._dtype)

    @contextmanager
    def _numbers(self) -> Iterator[None]:
        """Compute with the numbers that the device is to."""
        mixed = self.device.mixed  # else nothing is asked: not every device knows the word
        floats = getattr(torch, mixed or "float32")
        with settled(), torch.autocast(self._at.type, floats) if mixed else nullcontext():
            yield

    @contextmanager
    def _in_training(self) -> Iterator[None]:
        self._mode.training = True
        try:
            yield
        finally:
            self._mode.training = False

    def totals(self) -> np.ndarray:
        """Return the sums of the training graph's outputs; waits for the device."""
        with errors_translated(1):
            return np.array([float(total) for total in self._totals])

    def set_totals(self, values: np.ndarray) -> None:
        """Set those sums."""
        for total, value in zip(self._totals, values, strict=True):
            total.fill_(float(value))

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Return the optimiser's arrays and its step counter."""
        with errors_translated(1):
            state = self._updater.state()
            return state if self._scale is None else {**state, LOSS_SCALE: self._scale.state()}

    def load_optimiser_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set what :meth:`optimiser_state` returned."""
        self._updater.load_state(state)
        if self._scale is not None and LOSS_SCALE in state:
            self._scale.load_state(state[LOSS_SCALE])

    # ---- answers

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output, in scoring mode."""
        return self.outputs(inputs, 1)[0]

    def outputs(
        self, inputs: Mapping[str, np.ndarray], count: int | None = None
    ) -> list[np.ndarray]:
        """Return all outputs of the graph, or the first ones, in scoring mode."""
        rows = len(next(iter(inputs.values())))
        with errors_translated(rows), torch.inference_mode(), self._numbers():
            given = {name: self._padded(name, values) for name, values in inputs.items()}
            score, arrays = self._scoring()
            found = score({**arrays, **self._kept, **given})
            # Copies: an output may be an input as it came, which is the caller's.
            return [np.array(o[:rows].to(self._dtype).cpu()) for o in found[:count]]

    def _scoring(self) -> tuple[Program, dict[str, Tensor]]:
        """Return what computes answers, and its weights: folded where they stay as they are."""
        # Norms of mixed precision compute with 32 bits, which folded ones would not.
        if self._train is not None or self._changing or self.device.mixed:
            return self._score, self._arrays
        if self._folded is None:
            weights = self.weights()
            graph = folded(self._graph.with_weights(weights))
            new = {n: w for n, w in graph.weights.items() if w is not weights[n]}
            arrays = {n: self._laid(self._sent(self._tensor(w))) for n, w in new.items()}
            self._folded = Program(graph, self._mode), {**self._arrays, **arrays}
        return self._folded

    def gradients(
        self, inputs: Mapping[str, np.ndarray], wrt: str, weigh: Weigh
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first output, and the gradient of its weighted sum by the input ``wrt``."""
        rows = len(inputs[wrt])
        with errors_translated(rows), settled():
            given = {name: self._padded(name, values) for name, values in inputs.items()}
            given[wrt].requires_grad_()
            first = self._score({**self._arrays, **self._kept, **given})[0]
            values = np.array(first.detach().cpu())
            weights = np.zeros_like(values)
            weights[:rows] = weigh(values[:rows])
            by = torch.from_numpy(weights).to(self._at)
            (gradient,) = torch.autograd.grad(first, given[wrt], by, allow_unused=True)
        if gradient is None:
            gradient = torch.zeros_like(given[wrt])
        if _is_image(wrt, gradient):
            gradient = gradient.permute(0, 2, 3, 1)
        return values[:rows], np.ascontiguousarray(gradient[:rows].cpu().numpy())

    def keep(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Leave these inputs on the device; the next calls need not give them again."""
        with errors_translated(1):  # copies: the caller may change its arrays
            self._kept = {n: self._padded(n, np.array(values)) for n, values in inputs.items()}


def _is_image(name: str, array: Tensor) -> bool:
    return name == "data" and array.dim() == 4


def _plain(values: np.ndarray) -> np.ndarray:
    """Return an array that PyTorch takes: floats of this machine, in rows that go forwards.

    And that may be written to, else it warns that it might.
    """
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64) or not values.dtype.isnative:
        values = values.astype(np.float64 if values.dtype.itemsize == 8 else np.float32)
    values = np.ascontiguousarray(values)
    return values if values.flags.writeable else values.copy()
