"""``Builder`` writes a graph node by node; ``initial_weights`` draws its first weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.graph import (
    BATCH,
    MOST_NODES,
    Graph,
    InputSpec,
    Node,
    Parameter,
    apply_operator,
    count_nodes,
)
from diglot.operators import OPERATORS, Shape, Slot
from diglot.seeds import stream


@dataclass(frozen=True)
class Tensor:
    """A layer's output while building: where it comes from, and its shape without the batch.

    ``owner`` is the builder that made it: inside a loop, others come from outside.
    """

    node: int
    output: int
    shape: Shape
    owner: Any = field(default=None, repr=False, compare=False)


class Builder:
    """Writes a graph node by node; shapes and parameters follow at once.

    Parameters
    ----------
    spec : InputSpec
        What the variable ``data`` looks like.
    start : Graph, optional
        A graph to add to; its nodes are kept.
    images : bool
        Whether there is the variable ``data`` for images at all.

    Examples
    --------
    >>> b = Builder(InputSpec(28, 28, 1))
    >>> b.add("Flatten", b.data, name="flat").shape
    (784,)
    """

    def __init__(self, spec: InputSpec, start: Graph | None = None, *, images: bool = True) -> None:
        self.spec = spec
        self._nodes: list[Node] = list(start.nodes) if start else []
        self._shapes: list[list[Shape]] = list(start.output_shapes) if start else []
        self._extra: dict[str, Shape] = dict(start.extra_inputs or {}) if start else {}
        self._names = {n.name for n in self._nodes}
        self._group = "all"
        self._start = start
        if start is None and images:
            self._variable("data", (BATCH, *spec.shape), {"__dtype__": "0"})

    @property
    def data(self) -> Tensor:
        """The image."""
        return Tensor(0, 0, self.spec.shape, self)

    def start_output(self) -> Tensor:
        """Return the first output of the graph that is added to."""
        node, output = self._start.heads[0]
        return Tensor(node, output, self._shapes[node][output][1:], self)

    def input(self, name: str, shape: Shape) -> Tensor:
        """Add an input beside ``data``, such as the target; ``shape`` is without the batch."""
        self._extra[name] = tuple(shape)
        place = self._variable(name, (BATCH, *shape), {"__dtype__": "0"})
        return Tensor(place, 0, tuple(shape), self)

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Put the parameters added inside into the layer group ``name``."""
        outer, self._group = self._group, name
        try:
            yield
        finally:
            self._group = outer

    def output(self, tensor: Tensor, number: int) -> Tensor:
        """Return another output of the layer that ``tensor`` is an output of."""
        return Tensor(tensor.node, number, self._shapes[tensor.node][number][1:], self)

    def add(
        self,
        op: str,
        *inputs: Tensor,
        name: str,
        init: str = "",
        shared: Mapping[str, Tensor] | None = None,
        **attrs: Any,
    ) -> Tensor:
        """Add an operation with its parameters, and return its first output.

        Parameters
        ----------
        op : str
            MXNet's name of the operator, such as ``"Convolution"``.
        *inputs : Tensor
            The data it works on.
        name : str
            The layer's name; its parameters are called ``<name>_weight`` and so on.
        init : str, optional
            The rule for the weight's first values.
        shared : mapping of str to Tensor, optional
            Parameters made before that this layer uses, too, by what it calls them ("weight").
        **attrs
            The operator's attributes.

        Raises
        ------
        InputError
            If there is no such operator.
        """
        if op not in OPERATORS:
            near = get_close_matches(op, OPERATORS, 3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise InputError(f"layer {name!r}: diglot knows no operator {op!r}{hint}")
        text = {k: str(v) for k, v in attrs.items()}
        places = [self.place(t) for t in inputs]
        shapes = [self._shapes[node][output] for node, output in places]
        outputs, slots = apply_operator(op, name, text, shapes)
        for slot in slots:
            if shared and slot.suffix in shared:
                places.append(self.place(shared[slot.suffix]))
            else:
                places.append((self._slot(f"{name}_{slot.suffix}", slot, init), 0))
        return self.append(Node(op, name, text, tuple(places)), outputs)

    def append(self, node: Node, outputs: list[Shape]) -> Tensor:
        """Add a node whose output shapes are known, and return its first output."""
        self._claim(node.name)
        self._nodes.append(node)
        self._shapes.append(outputs)
        return Tensor(len(self._nodes) - 1, 0, outputs[0][1:], self)

    def place(self, tensor: Tensor) -> tuple[int, int]:
        """Return the (node, output) of a tensor in this graph.

        Raises
        ------
        InputError
            If it was made by another builder, such as that of a loop's body.
        """
        if tensor.owner not in (None, self):
            raise InputError(
                "an output of a loop's or branch's body is used outside of it: return it from the "
                "body"
            )
        return tensor.node, tensor.output

    def shape(self, tensor: Tensor) -> Shape:
        """Return the whole shape of a tensor of this graph, the batch in front where it has one."""
        node, output = self.place(tensor)
        return self._shapes[node][output]

    def _slot(self, name: str, slot: Slot, init: str) -> int:
        """Add the variable of an operator's own parameter, and return its place."""
        extra = {"__dtype__": "0", "__diglot_group__": self._group}
        if init and slot.kind == "weight":
            extra["__diglot_init__"] = init
        return self._variable(name, slot.shape, extra)

    def parameter(self, name: str, shape: Shape, kind: str = "weight", init: str = "") -> Tensor:
        """Add a learned array that is no operator's own, such as a position embedding.

        Parameters
        ----------
        name : str
            The parameter's name.
        shape : tuple of int
            Its whole shape: it has no batch in front, so it goes into ``broadcast_`` operators.
        kind : {"weight", "bias", "scale", "shift"}
            Its role: only weights decay.
        init : str, optional
            The rule for its first values; see :class:`Parameter`.
        """
        attrs = {
            "__dtype__": "0",
            "__shape__": str(tuple(shape)),
            "__diglot_group__": self._group,
            "__diglot_kind__": kind,
        }
        if init:
            attrs["__diglot_init__"] = init
        return Tensor(self._variable(name, tuple(shape), attrs), 0, tuple(shape)[1:], self)

    def graph(self, name: str, *outputs: Tensor, features: Tensor | None = None) -> Graph:
        """Return what was built, ending in ``outputs``."""
        ends = self._nodes[features.node].name if features else ""
        heads = tuple(map(self.place, outputs))
        count = count_nodes(self._nodes)
        if count > MOST_NODES:  # its model file could not be read
            raise InputError(
                f"the network {name!r} has {count} layers and parameters, and at most {MOST_NODES} "
                "are possible; make it less deep"
            )
        return Graph(name, tuple(self._nodes), heads, self.spec, ends, None, dict(self._extra))

    def _claim(self, name: str) -> None:
        if name in self._names:
            raise InputError(f"two layers are called {name!r}")
        self._names.add(name)

    def _variable(self, name: str, shape: Shape, attrs: dict[str, str]) -> int:
        self._claim(name)
        self._nodes.append(Node("null", name, attrs))
        self._shapes.append([shape])
        return len(self._nodes) - 1


# ---- first values


def initial_weights(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Draw the first values of every parameter, each from a stream of its own.

    Weights that the graph already has are kept.

    Parameters
    ----------
    graph : Graph
        The network.
    seed : int
        The user's seed.

    Returns
    -------
    dict of str to numpy.ndarray
        float32 arrays.

    Notes
    -----
    "he": normal with variance 2 / fan-in (He et al., 2015); "xavier": uniform with variance
    2 / (fan-in + fan-out) (Glorot and Bengio, 2010); "normal": normal with standard deviation
    0.02, cut at two of them (as ViT and ConvNeXt have it), "normal 0.5": with another one, not
    cut; "orthogonal": each square block is a random rotation (Saxe, McClelland and Ganguli,
    2014); "waves 7x7+1": sines and cosines of the places of a grid, after one cell that has no
    place (Vaswani et al., 2017, in two dimensions); a number: that constant.
    """
    have = graph.weights or {}
    return {
        name: have[name] if name in have else _first_values(parameter, seed)
        for name, parameter in graph.parameters.items()
    }


def _first_values(parameter: Parameter, seed: int) -> np.ndarray:
    shape = parameter.shape
    if parameter.init in ("zeros", "ones"):
        return getattr(np, parameter.init)(shape, np.float32)
    constant = _number(parameter.init)
    if constant is not None:
        return np.full(shape, constant, np.float32)
    field = math.prod(shape[2:])
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * field
    generator = stream(seed, f"initial {parameter.name}")
    if parameter.init == "he":
        return generator.normal(0, math.sqrt(2 / fan_in), shape).astype(np.float32)
    if parameter.init == "xavier":
        bound = math.sqrt(6 / (fan_in + fan_out))
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    if parameter.init == "normal":
        values = generator.normal(0, 0.02, shape)
        return np.clip(values, -0.04, 0.04).astype(np.float32)
    if parameter.init == "orthogonal":
        return _rotations(generator, shape).astype(np.float32)
    if found := re.fullmatch(r"normal ([0-9.e-]+)", parameter.init):
        spread = _number(found[1])
        if spread is not None and spread >= 0:
            return generator.normal(0, spread, shape).astype(np.float32)
    if found := re.fullmatch(r"waves (\d{1,4})x(\d{1,4})\+(\d)", parameter.init):
        height, width, before = map(int, found.groups())
        if shape[:2] == (1, before + height * width):
            return _waves(height, width, before, shape[2]).astype(np.float32)
    raise ModelFileError(f"{parameter.name!r} has the unknown initial rule {parameter.init!r}")


def _rotations(generator: np.random.Generator, shape: Shape) -> np.ndarray:
    rows, side = shape
    blocks = []
    for _ in range(-(-rows // side)):
        q, r = np.linalg.qr(generator.normal(size=(side, side)))
        blocks.append(q * np.sign(np.diag(r)))  # evenly over all rotations
    return np.concatenate(blocks)[:rows]


def _waves(height: int, width: int, before: int, count: int) -> np.ndarray:
    """Return ``count`` numbers a place: from half a wave over the grid to one of two cells."""
    values = np.zeros((1, before + height * width, count))
    places = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )
    quarter = max(1, count // 4)
    columns = []
    for side, place in zip((height, width), places, strict=True):
        waves = np.pi * np.geomspace(0.5, max(side / 2, 0.5), quarter)
        angles = place.reshape(-1, 1) * waves
        columns += [np.sin(angles), np.cos(angles)]
    made = np.concatenate(columns, axis=1)[:, :count]
    values[0, before:, : made.shape[1]] = made
    return values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
