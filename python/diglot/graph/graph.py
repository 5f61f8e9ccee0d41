"""A network as data: what follows from its nodes, and what can be made of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError, cause
from diglot.graph.input_spec import InputSpec
from diglot.graph.nodes import Node, Parameter
from diglot.graph.shape_inference import BATCH, InputTooSmallError, infer_graph, multiply_adds
from diglot.graph.symbol import read_symbol, write_symbol
from diglot.operators import Attrs, Shape

_PREDICTIONS = {"SoftmaxOutput", "softmax", "log_softmax", "SoftmaxActivation", "Softmax"}
COVARIATES = "covariates"  # the input of numbers beside the image
BATCH_NORMS = {"BatchNorm", "_contrib_SyncBatchNorm"}
_HEADS = {"FullyConnected", "Convolution"}


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as data, with or without weights.

    Attributes
    ----------
    name : str
        What it is called, such as ``"lenet"``.
    nodes : tuple of Node
        In order: a node's inputs come before it.
    heads : tuple of (int, int)
        The (node, output) pairs that are the graph's outputs.
    input : InputSpec
        What the variable ``data`` must look like.
    features : str
        The node that ends the backbone; what comes after it is the head.
    weights : mapping of str to numpy.ndarray, or None
        The parameters' values, statistics included.
    extra_inputs : mapping of str to tuple of int
        Shapes, without the batch, of inputs beside ``data``.
    origin : mapping of str, or None
        Where the weights came from, as JSON-able data: source, licence and so on.

    Examples
    --------
    >>> from diglot import network
    >>> net = network("lenet", classes=10)
    >>> net.parameter_count
    431080
    """

    name: str
    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]
    input: InputSpec
    features: str = ""
    weights: Mapping[str, np.ndarray] | None = None
    extra_inputs: Mapping[str, Shape] | None = None
    origin: Mapping[str, Any] | None = None

    def __deepcopy__(self, memo: Any) -> Graph:
        return self  # nothing in it changes, and weights are large

    # ---- what follows from the nodes

    @cached_property
    def _inferred(self) -> tuple[list[list[Shape]], dict[str, Parameter]]:
        inputs = {"data": self.input.shape, **(self.extra_inputs or {})}
        return infer_graph(self.nodes, self.heads, inputs)

    @property
    def output_shapes(self) -> list[list[Shape]]:
        """Every node's outputs' shapes, the batch in front, in the nodes' order."""
        return self._inferred[0]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by name, in the graph's order."""
        return self._inferred[1]

    @property
    def inputs(self) -> list[str]:
        """The names of the graph's inputs: ``data`` first where it is there."""
        names = {n.name for n in self.nodes if n.is_variable}
        return [n for n in ("data", *(self.extra_inputs or {})) if n in names]

    @property
    def groups(self) -> dict[str, list[str]]:
        """The parameters' names by layer group, from the input to the head."""
        groups: dict[str, list[str]] = {}
        for parameter in self.parameters.values():
            groups.setdefault(parameter.group, []).append(parameter.name)
        return groups

    @property
    def output_shape(self) -> Shape:
        """The shape of the first output, without the batch."""
        node, output = self.heads[0]
        return self._inferred[0][node][output][1:]

    def gives(self, classes: int) -> bool:
        """Whether the output is ``classes`` numbers for each image of a batch by itself."""
        node, output = self.heads[0]
        return self._inferred[0][node][output] == (BATCH, classes)

    def shape_of(self, layer: str) -> Shape:
        """Return the output shape of a layer, without the batch."""
        return self._inferred[0][self.index_of(layer)][0][1:]

    def index_of(self, layer: str) -> int:
        """Return the position of the node called ``layer``."""
        for index, node in enumerate(self.nodes):
            if node.name == layer:
                return index
        raise InputError(f"network {self.name!r} has no layer {layer!r}; see its layers()")

    @property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(p.size for p in self.parameters.values() if not p.auxiliary)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image's forward pass, in convolutions and dense layers."""
        return sum(row["multiply_adds"] for row in self.layers())

    @property
    def activation_count(self) -> int:
        """How many numbers all layers' outputs for one image hold together."""
        shapes = self._inferred[0]
        outputs = (out for n, out in zip(self.nodes, shapes, strict=True) if not n.is_variable)
        return sum(math.prod(shape) // BATCH for out in outputs for shape in out)

    def layers(self) -> list[dict[str, Any]]:
        """Return one row a layer: name, operator, output shape, parameters, multiply-adds."""
        shapes, parameters = self._inferred
        rows = []
        for index, node in enumerate(self.nodes):
            if node.is_variable:
                continue
            mine = [self.nodes[i].name for i, _ in node.inputs if self.nodes[i].name in parameters]
            rows.append(
                {
                    "layer": node.name,
                    "operator": node.op,
                    "output": shapes[index][0][1:],
                    "parameters": sum(
                        parameters[n].size for n in mine if not parameters[n].auxiliary
                    ),
                    "multiply_adds": multiply_adds(self.nodes, index, shapes) // BATCH,
                }
            )
        return rows

    def __str__(self) -> str:
        head = ("layer", "operator", "output", "parameters", "multiply-adds")
        body = [
            (
                row["layer"],
                row["operator"],
                "x".join(map(str, row["output"])),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
            )
            for row in self.layers()
        ]
        total = ("total", "", "", f"{self.parameter_count:,}", f"{self.multiply_adds:,}")
        rows = [head, *body, total]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join(
                cell.ljust(w) if i < 3 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        size = f"{self.input.height} x {self.input.width} x {self.input.channels}"
        trained = "with weights" if self.weights is not None else "without weights"
        return "\n".join([f"{self.name} for images of {size}, {trained}", *lines])

    def __repr__(self) -> str:
        size = f"{self.input.height}x{self.input.width}x{self.input.channels}"
        weights = "with weights" if self.weights is not None else "no weights"
        return (
            f"<{type(self).__name__} {self.name}: input {size}, output {self.output_shape}, "
            f"{self.parameter_count:,} parameters, {weights}>"
        )

    # ---- pure operations: each returns another graph

    def with_input(self, spec: InputSpec) -> Graph:
        """Return the network for another input, and its weights made to fit where they can be.

        The first convolution's weights are made for the new number of channels: summed up for
        one channel, which sees what it saw when grey was repeated; otherwise repeated in turn,
        scaled so that the sums keep their size.

        Raises
        ------
        InputError
            If a weight does not fit the new size; the message names it and both shapes.
        """
        other = replace(self, input=spec)
        if self.weights is None:
            return other
        weights = dict(self.weights)
        if spec.channels != self.input.channels:
            for name in self.first_convolutions():
                weights[name] = _for_channels(weights[name], spec.channels)
        for name, parameter in other.parameters.items():
            if name in weights and tuple(weights[name].shape) != parameter.shape:
                was, now = (
                    f"{s.height} x {s.width} pixels and {s.channels} channel(s)"
                    for s in (self.input, spec)
                )
                raise InputError(
                    f"the weight {name!r} of {self.name!r} was made for {was} and has the shape "
                    f"{tuple(weights[name].shape)}; for {now} it would need {parameter.shape}: "
                    f"give size=({self.input.height}, {self.input.width}) and "
                    f"channels={self.input.channels}"
                )
        return replace(other, weights=weights)

    def first_convolutions(self) -> list[str]:
        """Return the weights of convolutions that see the image itself."""
        images = {self.index_of("data")}
        images |= {  # the same image, turned around
            index
            for index, node in enumerate(self.nodes)
            if node.op == "reverse" and node.inputs[0][0] in images
        }
        return [
            self.nodes[node.inputs[1][0]].name
            for node in self.nodes
            if node.op == "Convolution"
            and node.inputs[0][0] in images
            and Attrs(node.attrs).whole("num_group", 1) == 1
        ]

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Graph:
        """Return the network with these weights; every parameter must be there, with its shape.

        Raises
        ------
        ModelFileError
            If one is missing, unknown, or of another shape; the message names it.
        """
        for name, parameter in self.parameters.items():
            if name not in weights:
                raise ModelFileError(f"the weights of {self.name!r} lack {name!r}")
            if tuple(weights[name].shape) != parameter.shape:
                raise ModelFileError(
                    f"the weight {name!r} has the shape {tuple(weights[name].shape)}; "
                    f"{self.name!r} needs {parameter.shape}"
                )
        unknown = sorted(set(weights) - set(self.parameters))
        if unknown:
            raise ModelFileError(f"{self.name!r} has no parameter {unknown[0]!r}")
        ordered = {name: weights[name] for name in self.parameters}
        return replace(self, weights=ordered)

    def with_stored(self, tensors: Mapping[str, np.ndarray]) -> Graph:
        """Return the network with the weights of a model file, which are float32.

        Raises
        ------
        ModelFileError
            As `with_weights`, and where one is of another type (made float32, a file of small
            numbers would take several times its size) or holds what is no number.
        """
        for name, tensor in tensors.items():
            if tensor.dtype != np.float32:
                raise ModelFileError(
                    f"the weight {name!r} of {self.name!r} is of type {tensor.dtype}, and a model "
                    "file's are float32"
                )
            if not np.isfinite(tensor).all():
                raise ModelFileError(f"the weight {name!r} of {self.name!r} holds NaN or infinity")
        return self.with_weights(tensors)

    def without_weights(self) -> Graph:
        """Return the bare network."""
        return replace(self, weights=None)

    @property
    def head(self) -> str:
        """The name of the layer that makes the classes: the last dense layer or convolution.

        One that takes covariates only adds to what it makes.
        """
        for node in reversed(self.nodes):
            if node.op in _HEADS and self.nodes[node.inputs[0][0]].name != COVARIATES:
                return node.name
        raise InputError(f"network {self.name!r} has no dense layer or convolution to be its head")

    def with_head(self, classes: int) -> Graph:
        """Return the network with its last layer made for ``classes`` outputs.

        The head's weights are dropped, so that the result must be initialised or trained.
        """
        if not isinstance(classes, (int, np.integer)) or not 0 < classes < 2**31:
            raise InputError(f"classes must be a whole number from 1, not {classes!r}")
        at = self.index_of(self.head)
        node = self.nodes[at]
        key = "num_hidden" if node.op == "FullyConnected" else "num_filter"
        attrs = {**node.attrs, key: str(int(classes))}
        nodes = (*self.nodes[:at], replace(node, attrs=attrs), *self.nodes[at + 1 :])
        other = replace(self, nodes=nodes)
        if not other.gives(classes):
            raise InputError(
                f"network {self.name!r} gives an output of shape {other.output_shape} where "
                f"({classes},) is needed: end it in a dense layer, one number a class"
            )
        if self.weights is None:
            return other
        head = {p.name for p in other.parameters.values() if p.layer == node.name}
        kept = {n: w for n, w in self.weights.items() if n not in head}
        return replace(other, weights=_fitting(kept, other.parameters))

    def renamed(self, names: Mapping[str, str]) -> Graph:
        """Return the network with other names for some of its layers and parameters."""
        new = {old: name for old, name in names.items() if old not in self.inputs}
        nodes = tuple(replace(node, name=new.get(node.name, node.name)) for node in self.nodes)
        weights = self.weights and {new.get(n, n): w for n, w in self.weights.items()}
        features = new.get(self.features, self.features)
        return replace(self, nodes=nodes, weights=weights, features=features)

    def up_to(self, layer: str) -> Graph:
        """Return the part of the network that computes ``layer``'s output."""
        return self.ending_in(layer)

    def ending_in(self, *layers: str) -> Graph:
        """Return the part of the network that computes these layers' outputs."""
        return self.pruned(tuple((self.index_of(layer), 0) for layer in layers))

    def pruned(self, heads: tuple[tuple[int, int], ...]) -> Graph:
        """Return the part of the network that computes these (node, output) pairs."""
        needed = {i for i, _ in heads}
        for index in range(max(needed), -1, -1):
            if index in needed:
                needed.update(i for i, _ in self.nodes[index].inputs)
        place = {old: new for new, old in enumerate(sorted(needed))}
        nodes = tuple(
            replace(self.nodes[i], inputs=tuple((place[j], o) for j, o in self.nodes[i].inputs))
            for i in sorted(needed)
        )
        names = {n.name for n in nodes}
        weights = self.weights and {n: w for n, w in self.weights.items() if n in names}
        extra = {n: s for n, s in (self.extra_inputs or {}).items() if n in names}
        features = self.features if self.features in names else ""
        new_heads = tuple((place[i], o) for i, o in heads)
        return replace(
            self,
            nodes=nodes,
            heads=new_heads,
            weights=weights,
            extra_inputs=extra,
            features=features,
        )

    def after(self, layer: str) -> Graph:
        """Return the part of the network that computes its outputs from ``layer``'s output.

        That output becomes the input ``features``. Nothing else of what comes before may be
        used later: see :meth:`cuts`.
        """
        at = self.index_of(layer)
        shape = self._inferred[0][at][0][1:]
        name = "features"
        while any(n.name == name for n in self.nodes):
            name += "_"
        start = Node("null", name, {"__dtype__": "0"})
        nodes = (*self.nodes[:at], start, *self.nodes[at + 1 :])
        extra = {**(self.extra_inputs or {}), name: shape}
        cut = replace(self, nodes=nodes, extra_inputs=extra, features="")
        return cut.pruned(self.heads)

    def cuts(self, learned: Collection[str] | None = None) -> list[str]:
        """Return the layers through which everything passes that comes before them.

        Parameters
        ----------
        learned : collection of str, optional
            Only layers before which none of these parameters lies.

        Returns
        -------
        list of str
            In order. The last is where the part that stays as it is can be cut off.
        """
        learned = set() if learned is None else set(learned)
        parameters = self.parameters
        last_use = [-1] * len(self.nodes)
        several = set()  # layers of which another output than the first is used
        for index, node in enumerate(self.nodes):
            for i, output in node.inputs:
                last_use[i] = index
                several.update({i} if output else ())
        found: list[str] = []
        reach = 0  # where the last use is of what came so far
        for index, node in enumerate(self.nodes[: self.heads[0][0]]):
            if any(self.nodes[i].name in learned for i, _ in node.inputs):
                break
            if not node.is_variable and reach <= index and index not in several:
                found.append(node.name)
            if node.name not in parameters:
                reach = max(reach, last_use[index])
        return found

    def frozen(self, names: Collection[str]) -> Graph:
        """Return the network in which these parameters' layers do not change by training either.

        A batch normalisation whose scale or shift is among ``names`` normalises by its stored
        statistics, which stay as they are.
        """
        nodes = list(self.nodes)
        for index, node in enumerate(nodes):
            if node.op in BATCH_NORMS and any(nodes[i].name in names for i, _ in node.inputs[1:]):
                nodes[index] = replace(node, attrs={**node.attrs, "use_global_stats": "True"})
        return replace(self, nodes=tuple(nodes))

    def without_prediction(self) -> Graph:
        """Return the network without the softmax (and label) that a foreign graph may end in."""
        graph = self
        while (end := graph.nodes[graph.heads[0][0]]).op in _PREDICTIONS:
            if not end.inputs:
                raise ModelFileError(f"layer {end.name!r} ({end.op}) takes nothing")
            graph = graph.pruned(end.inputs[:1])
        return graph if len(graph.heads) == 1 else graph.pruned(graph.heads[:1])

    # ---- to and from JSON

    def to_json(self) -> str:
        """Return the graph in MXNet's JSON format, which ``mx.sym.load_json`` reads."""
        return write_symbol(self.nodes, self.heads)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the weights, as JSON-able data."""
        return {
            "name": self.name,
            "symbol": self.to_json(),
            "input": asdict(self.input),
            "features": self.features,
            **({"inputs": self._other_inputs()} if self.extra_inputs else {}),
            **({"origin": dict(self.origin)} if self.origin else {}),
        }

    def _other_inputs(self) -> dict[str, list[int]]:
        return {name: list(shape) for name, shape in self.extra_inputs.items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Graph:
        """Read what :meth:`to_dict` wrote; a file's data is checked, not trusted."""
        try:
            name, symbol, features = fields["name"], fields["symbol"], fields["features"]
            spec = InputSpec.from_dict(fields["input"])
        except (KeyError, TypeError) as error:
            raise ModelFileError(f"the network's description is damaged: {cause(error)}") from error
        if not all(isinstance(text, str) for text in (name, symbol, features)):
            raise ModelFileError("the network's description is damaged: text expected")
        origin = fields.get("origin")
        if origin is not None and not isinstance(origin, dict):
            raise ModelFileError("the network's description is damaged: its origin is no table")
        extra = _read_shapes(fields.get("inputs"))
        graph = cls.from_json(symbol, spec, name=name, features=features, extra_inputs=extra)
        return replace(graph, origin=origin)

    @classmethod
    def from_json(
        cls,
        text: str,
        spec: InputSpec,
        *,
        name: str = "network",
        features: str = "",
        extra_inputs: Mapping[str, Shape] | None = None,
    ) -> Graph:
        """Read a graph in MXNet's JSON format (1.x, and older ones with ``param``/``attr``).

        Raises
        ------
        ModelFileError
            If the text is not such a graph, or uses an operator that diglot does not know.
        """
        nodes, heads = read_symbol(text)
        graph = cls(name, nodes, heads, spec, features, extra_inputs=extra_inputs)
        names = {n.name for n in nodes}
        if "data" not in names or (features and features not in names):
            raise ModelFileError(f"the graph lacks the node {features or 'data'!r}")
        try:
            _ = graph.parameters  # the shapes are checked here, not at the first use
        except InputTooSmallError as error:
            raise ModelFileError(f"the graph does not fit its input: {error}") from error
        return graph


def _read_shapes(given: Any) -> dict[str, Shape] | None:
    """Read the shapes of inputs beside ``data``."""
    if given is None:
        return None
    sound = isinstance(given, dict) and all(
        isinstance(shape, list)
        and len(shape) <= 8
        and all(type(side) is int and 0 < side < 2**31 for side in shape)
        for shape in given.values()
    )
    if not sound:
        raise ModelFileError("the network's description is damaged: the shapes of its inputs")
    return {name: tuple(shape) for name, shape in given.items()}


def _for_channels(weight: np.ndarray, channels: int) -> np.ndarray:
    have = weight.shape[1]
    if channels == 1:
        return weight.sum(axis=1, keepdims=True)
    turn = np.arange(channels) % have
    return weight[:, turn] * np.float32(have / channels)


def _fitting(
    weights: Mapping[str, np.ndarray] | None, parameters: Mapping[str, Parameter]
) -> dict[str, np.ndarray] | None:
    if weights is None:
        return None
    return {
        name: weights[name]
        for name, parameter in parameters.items()
        if name in weights and tuple(weights[name].shape) == parameter.shape
    }
