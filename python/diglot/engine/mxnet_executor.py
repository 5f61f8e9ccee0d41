"""Graphs on MXNet: gluon's SymbolBlock with autograd, for training and for scoring."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diglot.engine import STEADY_ROWS, Device, Optimiser, Weigh
from diglot.engine.layout import engine_input, from_engine_layout
from diglot.engine.mxnet import errors_translated, load
from diglot.engine.mxnet_chance import with_drawn_slopes, without_chance
from diglot.engine.mxnet_fusion import fused as fused_symbol
from diglot.engine.mxnet_fusion import may_fuse
from diglot.engine.mxnet_operators import has_own, make_known
from diglot.engine.mxnet_optimisers import Updater
from diglot.engine.mxnet_versions import make_parameters, read_graph, same_arrays, shared
from diglot.engine.shortcuts import as_activations, folded, pooled_first
from diglot.engine.vectors import whole_vectors, widens
from diglot.errors import InputError
from diglot.graph import Graph


class MXNetExecutor:
    """Runs one graph on one device; see :class:`diglot.engine.Executor`."""

    def __init__(self, graph: Graph, device: Device, *, changing: bool = False) -> None:
        if graph.weights is None:
            raise InputError(f"network {graph.name!r} has no weights yet: train or load it first")
        self._mx = load()
        self.device = device
        self._context = getattr(self._mx, device.kind)(device.index)
        self._parameters = graph.parameters
        self._graph = as_activations(graph)
        self._decides = any(node.subgraphs for node in graph.nodes)
        self._score: Any = None  # made when it is first asked for
        self._differentiable: Any = None  # likewise
        self._train: dict[tuple[Any, ...], Any] = {}  # by the shapes of what goes in
        self._training: Graph | None = None
        self._kept: dict[str, Any] = {}
        self._lock = threading.RLock()  # a block's outputs lie where the next call's will lie
        self._changing = changing
        self._arrays = self._make_arrays(graph)
        self._updater: Updater | None = None
        self._totals: list[Any] = []

    def _make_arrays(self, graph: Graph) -> Any:
        """Return the arrays of a graph's parameters, with its weights."""
        settings = {
            parameter.name: {
                "shape": parameter.shape,
                "grad_req": "null",  # gradients take as much memory: only training makes them
                "differentiable": not parameter.auxiliary,
            }
            for parameter in graph.parameters.values()
        }
        made = make_parameters(self._mx, settings)
        with same_arrays(self._mx):
            for parameter in made.values():
                parameter.initialize(self._mx.init.Zero(), self._context)
        for name in graph.parameters:
            made[name].set_data(self._array(graph.weights[name]))
        return made

    def _block(
        self, graph: Graph, *, fused: bool = False, drawn: bool = False, arrays: Any = None
    ) -> tuple[list[str], Any]:
        if has_own(graph):
            make_known()

        def turned(read: Graph) -> Graph:
            wide = whole_vectors(read) if self.device.kind == "cpu" else read
            return with_drawn_slopes(wide) if drawn else wide

        # Convolutions take normalisation, activation and sums along: up to three times as fast,
        # but for weights that stay, as what was made of them is kept.
        read = fused_symbol if fused else read_graph
        symbol = read(self._mx, graph, turned)
        names = graph.inputs
        inputs = [self._mx.sym.var(name, dtype="float32") for name in names]
        with warnings.catch_warnings():
            # SymbolBlock warns that it cannot tell the input's type, which it then is given.
            warnings.simplefilter("ignore")
            parameters = shared(self._mx, symbol, self._arrays if arrays is None else arrays)
            block = self._mx.gluon.SymbolBlock(symbol, inputs, params=parameters)
        # MXNet loses what a loop did in its steps where it plans memory ahead.
        planned = not any(node.subgraphs for node in graph.nodes)
        block.hybridize(static_alloc=planned, static_shape=planned)
        return names, block

    def _array(self, values: np.ndarray) -> Any:
        # Not mx.nd.array: that looks for sparse matrices first, by names that SciPy deprecates.
        return self._mx.nd.ndarray.array(values, ctx=self._context, dtype="float32")

    def prepare_training(
        self, graph: Graph, optimiser: Optimiser, factors: Mapping[str, float] | None = None
    ) -> None:
        """Take the training graph; its parameters are the executor's."""
        factors = factors or {}
        learned = {}
        with same_arrays(self._mx):  # it makes those of the gradients
            for name, parameter in self._parameters.items():
                if parameter.auxiliary:
                    continue
                if factors.get(name, 1.0):
                    self._arrays[name].grad_req = "write"
                    learned[name] = self._arrays[name]
                else:
                    self._arrays[name].grad_req = "null"
        self._training, self._train = pooled_first(as_activations(graph)), {}
        self._train_inputs = graph.inputs
        self._score = None
        self._random = any(node.draws for node in graph.nodes)
        self._updater = Updater(
            self._mx,
            optimiser,
            {n: p.data(self._context) for n, p in learned.items()},
            {n: p.grad(self._context) for n, p in learned.items()},
            {n: self._parameters[n].decays for n in learned},
            {n: factors.get(n, 1.0) for n in learned},
        )
        self.set_totals(np.zeros(len(graph.heads)))

    def train_step(self, inputs: Mapping[str, np.ndarray], rate: float, seed: int) -> None:
        """Go one step down the gradient of the mean of the first output."""
        batch = len(inputs[self._train_inputs[0]])
        with errors_translated(batch, training=True):
            self._differentiate(inputs, seed)
            self._updater.step(rate, batch)

    def _differentiate(self, inputs: Mapping[str, np.ndarray], seed: int) -> None:
        """Compute the gradients of the first output's sum, and add the outputs to the totals."""
        if self._random:
            self._mx.random.seed(seed, ctx=self._context)
        with self._mx.autograd.record():
            outputs = self._training_outputs(inputs)
        outputs[0].backward()
        for total, output in zip(self._totals, outputs, strict=True):
            total += output.sum()

    def _training_outputs(self, inputs: Mapping[str, np.ndarray]) -> Sequence[Any]:
        arrays = [self._array(engine_input(n, inputs[n])) for n in self._train_inputs]
        # A block plans its memory for one shape; sequences come in several lengths.
        lengths = tuple(array.shape[1:] for array in arrays)
        if lengths not in self._train:
            self._train[lengths] = self._block(self._training, drawn=True)[1]
        outputs = self._train[lengths](*arrays)
        return outputs if isinstance(outputs, Sequence) else [outputs]

    def totals(self) -> np.ndarray:
        """Return the sums of the training graph's outputs; waits for the device."""
        with errors_translated(1):
            return np.array([float(t.asscalar()) for t in self._totals])

    def set_totals(self, values: np.ndarray) -> None:
        """Set those sums."""
        self._totals = [self._array(np.array([v])) for v in values]

    def forward(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the graph's first output, in scoring mode."""
        return self._scored(inputs, 1)[0]

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs of the graph, in scoring mode."""
        return self._scored(inputs, len(self._graph.heads))

    def gradients(
        self, inputs: Mapping[str, np.ndarray], wrt: str, weigh: Weigh
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first output, and the gradient of its weighted sum by the input ``wrt``."""
        with self._lock:
            return self._gradients(inputs, wrt, weigh)

    def _gradients(
        self, inputs: Mapping[str, np.ndarray], wrt: str, weigh: Weigh
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._differentiable is None:
            if self._training is None:
                for parameter in self._arrays.values():
                    parameter.grad_req = "null"  # gradients by parameters would only take time
            self._differentiable = self._block(
                without_chance(self._graph.frozen(self._graph.parameters))
            )
        names, block = self._differentiable
        rows, autograd = len(inputs[wrt]), self._mx.autograd
        with errors_translated(rows):
            given = {name: self._padded(name, values) for name, values in inputs.items()}
            arrays = {**self._kept, **given}
            arrays[wrt].attach_grad()
            with autograd.record():
                outputs = block(*(arrays[name] for name in names))
            first = outputs[0] if isinstance(outputs, Sequence) else outputs
            values = first.asnumpy()
            weights = np.zeros_like(values)
            weights[:rows] = weigh(values[:rows])
            first.backward(self._array(weights))
            gradient = arrays[wrt].grad.asnumpy()[:rows]
        turned = wrt == "data" and gradient.ndim == 4
        return values[:rows], from_engine_layout(gradient) if turned else gradient

    def keep(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Leave these inputs on the device; the next calls need not give them again."""
        with errors_translated(1):
            self._kept = {name: self._padded(name, values) for name, values in inputs.items()}

    def _scored(self, inputs: Mapping[str, np.ndarray], count: int) -> list[np.ndarray]:
        rows = len(next(iter(inputs.values())))
        with self._lock, errors_translated(rows):
            if self._score is None:
                self._score_inputs, self._score = self._scoring_block()
            given = {name: self._padded(name, values) for name, values in inputs.items()}
            arrays = {**self._kept, **given}
            outputs = self._score(*(arrays[name] for name in self._score_inputs))
            outputs = outputs if isinstance(outputs, Sequence) else [outputs]
            return [output.asnumpy()[:rows] for output in outputs[:count]]

    def _scoring_block(self) -> tuple[list[str], Any]:
        """Return what computes answers; its layers are put together where weights stay."""
        steady = self._training is None and not self._changing
        if not (steady and self.device.kind == "cpu" and may_fuse(self._graph)):
            return self._block(self._graph)
        if not widens(self._graph):
            return self._block(self._graph, fused=True)
        # MXNet takes a normalisation into the convolution before it, but not past a cut.
        graph = folded(self._graph.with_weights(self.weights()))
        return self._block(graph, fused=True, arrays=self._make_arrays(graph))

    def _padded(self, name: str, values: np.ndarray) -> Any:
        """Fill small batches up: an image's answer shall not depend on its company.

        Below 16 rows the CPU's matrix products take other paths, which round differently. Where a
        loop or branch decides by the whole batch, rows that nobody gave must not take part.
        """
        if len(values) < STEADY_ROWS and not self._decides:
            filled = np.zeros((STEADY_ROWS, *values.shape[1:]), np.float32)
            filled[: len(values)] = values
            values = filled
        return self._array(engine_input(name, values))

    def weights(self) -> dict[str, np.ndarray]:
        """Return copies of all weights and statistics; waits for the device."""
        with errors_translated(1):
            return {n: self._arrays[n].data(self._context).asnumpy() for n in self._parameters}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set all weights and statistics."""
        for name in self._parameters:
            self._arrays[name].set_data(self._array(weights[name]))
        if self._training is None and not self._changing:
            self._score = None

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Return the optimiser's arrays and its step counter."""
        with errors_translated(1):
            return self._updater.state()

    def load_optimiser_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set what :meth:`optimiser_state` returned."""
        self._updater.load_state(state)
