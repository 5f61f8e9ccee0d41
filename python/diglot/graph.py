"""A model is a graph: MXNet's own JSON format as plain data, read and changed without MXNet.

:class:`Graph` holds the nodes, what the input must look like, and (once it has been trained or
loaded) the weights. :class:`diglot.builder.Builder` writes one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from diglot.attributes import check_attributes
from diglot.errors import InputError, ModelFileError
from diglot.operators import LARGEST, OPERATORS, Attrs, Shape, Slot, parse
from diglot.storage import parse_json
from diglot.subgraphs import CONTROL, most_steps, variables_in_order

_MXNET_VERSION = 10901  # the format's version; 1.9.1 and 2.0 both read it
MOST_NODES = 12_000
"""Of a graph, in the bodies of loops and branches, too; ResNet-1202 has 10,228."""

_MOST_OUTPUTS = 20_000  # of all of a graph's operations; few have more than one
_MOST_AXES = 32  # of an output; MXNet's operators take six at most
_DEEPEST = 4  # loops and branches within each other
# What MXNet's reader of JSON lacks the words for.
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_NOT_INSIDE = {"Dropout", "RNN"}  # what is drawn in a loop would not be what is drawn on resuming
BATCH = 2  # with which shapes are inferred: 1 would hide operators that mix a batch's images
_PREDICTIONS = {"SoftmaxOutput", "softmax", "log_softmax", "SoftmaxActivation", "Softmax"}
COVARIATES = "covariates"  # the input of numbers beside the image
BATCH_NORMS = {"BatchNorm", "_contrib_SyncBatchNorm"}
_HEADS = {"FullyConnected", "Convolution"}


class InputTooSmallError(InputError):
    """The image is so small that a layer of the network would have nothing to put out."""


@dataclass(frozen=True)
class InputSpec:
    """What a network's input must look like, and how an image is brought there.

    Attributes
    ----------
    height, width, channels : int
        The size in pixels.
    mean, std : tuple of float
        Per channel, in units after integers were scaled to [0, 1]; pixels become
        ``(pixel - mean) / std``.
    resize : {"squash", "crop"}
        Whether an image of another size is resized as a whole, or its shorter side is resized
        and the centre cropped.
    crop_fraction : float
        With ``resize="crop"``: the part of the resized shorter side that is kept.
    interpolation : {"bilinear", "bicubic", "nearest"}
        Antialiased as Pillow does it.
    convert_colour : bool
        Whether colour images may be turned grey for a network with one channel.

    Examples
    --------
    >>> InputSpec(28, 28, 1).shape
    (1, 28, 28)
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str = "squash"
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    convert_colour: bool = False

    def __post_init__(self) -> None:
        for side in ("height", "width", "channels"):
            value = getattr(self, side)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 65536:
                raise InputError(f"an input's {side} must be a whole number from 1, not {value!r}")
        if self.resize not in ("squash", "crop"):
            raise InputError(f'resize must be "squash" or "crop", not {self.resize!r}')
        if self.interpolation not in ("bilinear", "bicubic", "nearest"):
            raise InputError(
                'interpolation must be "bilinear", "bicubic" or "nearest", '
                f"not {self.interpolation!r}"
            )
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = tuple(float(v) for v in getattr(self, name)) or (default,) * self.channels
            if len(values) != self.channels or not all(math.isfinite(v) for v in values):
                raise InputError(f"{name} must be {self.channels} finite numbers, not {values}")
            object.__setattr__(self, name, values)
        if not all(v > 0 for v in self.std):
            raise InputError(f"std must be positive, not {self.std}")

    @property
    def shape(self) -> Shape:
        """Channels, height and width, as the engine sees an image."""
        return (self.channels, self.height, self.width)

    def with_channels(self, channels: int) -> InputSpec:
        """Return the specification for another number of channels.

        One channel has the average of the means and spreads, more repeat them in turn.
        """
        if channels == self.channels:
            return self
        if channels == 1:
            mean, std = (np.mean(self.mean).item(),), (np.mean(self.std).item(),)
        else:
            turn = [i % self.channels for i in range(channels)]
            mean = tuple(self.mean[i] for i in turn)
            std = tuple(self.std[i] for i in turn)
        return replace(self, channels=channels, mean=mean, std=std)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> InputSpec:
        """Read what ``dataclasses.asdict`` wrote, from a file that may be damaged."""
        try:
            known = {**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}
            return cls(**known)
        except (TypeError, LookupError, ValueError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(f"the input's description is damaged: {error}") from error


@dataclass(frozen=True)
class Node:
    """One operation or variable; ``inputs`` are (node, output) indices of earlier nodes.

    Loops and branches have bodies, their ``subgraphs``.
    """

    op: str
    name: str
    attrs: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...] = ()
    subgraphs: tuple[Subgraph, ...] = ()

    @property
    def is_variable(self) -> bool:
        """Whether it is an input or a parameter."""
        return self.op == "null"


@dataclass(frozen=True)
class Subgraph:
    """The body of a loop, or one way of a branch: its nodes, and its outputs."""

    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Parameter:
    """A learned array or a kept statistic.

    ``init`` is the rule of its first values: "he", "xavier", "normal", "orthogonal", "zeros",
    "ones", or a number as text.
    ``group`` is the layer group (stage) that it belongs to.
    """

    name: str
    shape: Shape
    kind: str
    init: str
    group: str
    layer: str

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def auxiliary(self) -> bool:
        """Whether it is a statistic (of batch normalisation) and not learned by gradient."""
        return self.kind in ("mean", "variance")

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: weights do, biases and norms do not."""
        return self.kind == "weight"


_KINDS = ("weight", "bias", "scale", "shift")
_DEFAULT_INIT = {"weight": "xavier", "scale": "ones", "variance": "ones"}


def _parameter(node: Node, slot: Slot, layer: str) -> Parameter:
    init = node.attrs.get("__diglot_init__") or _DEFAULT_INIT.get(slot.kind, "zeros")
    group = node.attrs.get("__diglot_group__", "all")
    return Parameter(node.name, slot.shape, slot.kind, init, group, layer)


def _free_parameter(node: Node) -> Parameter | None:
    """Return the parameter that stands for itself, not for an operator's slot; if it is one."""
    kind = node.attrs.get("__diglot_kind__")
    if kind is None:
        return None
    shape = parse(node.attrs.get("__shape__"))
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if not whole or kind not in _KINDS:
        raise ModelFileError(f"the parameter {node.name!r} has a damaged shape or kind")
    return _parameter(node, Slot("", shape, kind), node.name)


def apply_operator(
    op: str, name: str, attrs: Mapping[str, str], data: Sequence[Shape]
) -> tuple[list[Shape], list[Slot]]:
    """Return an operation's output shapes and the parameters it takes, from its data's shapes."""
    rule = OPERATORS[op]
    try:
        check_attributes(op, attrs)  # which bounds their lengths, before they are worked with
        if rule.takes not in (None, len(data)):
            raise ModelFileError(f"it takes {rule.takes} inputs, not {len(data)}")
        outputs = rule.shapes(Attrs(attrs), data)
        slots = rule.slots(Attrs(attrs), data)
    except ModelFileError as error:
        raise ModelFileError(f"layer {name!r} ({op}): {error}") from error
    except (LookupError, TypeError, ArithmeticError, ValueError) as error:
        raise ModelFileError(f"layer {name!r} ({op}) is damaged: {error!r}") from error
    for shape in outputs:
        if len(shape) > _MOST_AXES:
            raise ModelFileError(f"layer {name!r} ({op}) has an output of {len(shape)} axes")
        if max(shape, default=1) > LARGEST:
            raise ModelFileError(f"layer {name!r} ({op}) has an output with a side of {max(shape)}")
        if min(shape, default=1) <= 0:
            raise InputTooSmallError(
                f"layer {name!r} ({op}) would have the output size {tuple(shape[1:])}: the input "
                "is too small for this network"
            )
    return outputs, slots


def apply_control(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the output shapes of a loop or branch, from those of its inputs."""
    count, rule = CONTROL[node.op]
    if len(node.subgraphs) != count:
        raise ModelFileError(
            f"layer {node.name!r} ({node.op}) has {len(node.subgraphs)} bodies and needs {count}"
        )
    bodies = [partial(_infer_body, body) for body in node.subgraphs]
    try:
        return rule(Attrs(node.attrs), inputs, bodies)
    except InputTooSmallError:
        raise
    except ModelFileError as error:
        raise ModelFileError(f"layer {node.name!r} ({node.op}): {error}") from error
    except (LookupError, TypeError, ArithmeticError, ValueError) as error:
        raise ModelFileError(f"layer {node.name!r} ({node.op}) is damaged: {error!r}") from error


def _body_shapes(body: Subgraph, given: Sequence[Shape]) -> list[list[Shape]]:
    """Return the shapes of all of a body's nodes, from those of its variables."""
    order = variables_in_order(body.nodes, body.heads)
    if len(order) != len(given):
        raise ModelFileError(f"a body of it has {len(order)} variables, not {len(given)}")
    of_variable = dict(zip(order, given, strict=True))
    shapes: list[list[Shape]] = []
    made = 0
    for index, node in enumerate(body.nodes):
        if node.is_variable:
            shapes.append([of_variable[index]] if index in of_variable else [])
            continue
        if node.op in _NOT_INSIDE:
            raise ModelFileError(f"{node.op} ({node.name!r}) cannot be inside a loop or branch")
        outputs, slots = _infer_node(node, body.nodes, shapes)
        made = _with_more(made, outputs)
        for place, slot in slots:
            if slot.auxiliary or shapes[place] != [slot.shape]:
                fault = "keeps statistics" if slot.auxiliary else f"needs the shape {slot.shape}"
                raise ModelFileError(
                    f"{node.op} ({node.name!r}), inside a loop or branch, has the parameter "
                    f"{body.nodes[place].name!r}, which {fault}"
                )
        shapes.append(outputs)
    return shapes


def _infer_body(body: Subgraph, given: Sequence[Shape]) -> list[Shape]:
    shapes = _body_shapes(body, given)
    return [shapes[node][output] for node, output in body.heads]


def _infer_node(
    node: Node, nodes: Sequence[Node], shapes: Sequence[list[Shape]]
) -> tuple[list[Shape], list[tuple[int, Slot]]]:
    """Return an operation's output shapes, and the slot of each variable that is its parameter."""
    if node.op not in OPERATORS and node.op not in CONTROL:
        raise ModelFileError(
            f"layer {node.name!r} uses the operator {node.op!r}, whose shapes diglot does not know"
        )
    count = _data_inputs(node)
    for i, o in node.inputs[:count]:
        if o >= len(shapes[i]):
            fault = "has no known shape" if nodes[i].is_variable else f"has no output {o}"
            raise ModelFileError(f"layer {node.name!r} takes {nodes[i].name!r}, which {fault}")
    data = [shapes[i][o] for i, o in node.inputs[:count]]
    if node.op in CONTROL:
        return apply_control(node, data), []
    outputs, slots = apply_operator(node.op, node.name, node.attrs, data)
    taken = node.inputs[count:]
    if len(taken) != len(slots):
        raise ModelFileError(
            f"layer {node.name!r} ({node.op}) takes {len(slots)} parameters, the file has "
            f"{len(taken)}"
        )
    for i, o in taken:
        if o:
            raise ModelFileError(f"layer {node.name!r} takes output {o} of {nodes[i].name!r}")
    return outputs, [(i, slot) for (i, _), slot in zip(taken, slots, strict=True)]


def _with_more(made: int, outputs: Sequence[Shape]) -> int:
    """Count outputs; refuse more than any network has: pieces cost a file nothing."""
    made += len(outputs)
    if made > _MOST_OUTPUTS:
        raise ModelFileError(f"the graph's layers have more than {_MOST_OUTPUTS} outputs")
    return made


def _data_inputs(node: Node) -> int:
    count = None if node.op in CONTROL else OPERATORS[node.op].data_inputs
    return len(node.inputs) if count is None else count


def _multiply_adds(nodes: Sequence[Node], index: int, shapes: Sequence[Sequence[Shape]]) -> int:
    """Return a layer's multiply-adds for a batch; at most, for loops and branches."""
    node = nodes[index]
    data = [shapes[i][o] for i, o in node.inputs[: _data_inputs(node)]]
    attrs = Attrs(node.attrs)
    if node.op not in CONTROL:
        output = shapes[index][0]
        # The first axis need not be the batch: heads or captions may be in it, too.
        return OPERATORS[node.op].macs(attrs, data, output) * (output[0] if output else 1)
    rule = CONTROL[node.op][1]
    inside: list[int] = []

    def counted(body: Subgraph, given: Sequence[Shape]) -> list[Shape]:
        found = _body_shapes(body, given)
        operations = [i for i, inner in enumerate(body.nodes) if not inner.is_variable]
        inside.append(sum(_multiply_adds(body.nodes, i, found) for i in operations))
        return [found[i][o] for i, o in body.heads]

    rule(attrs, data, [partial(counted, body) for body in node.subgraphs])
    return most_steps(node.op, attrs, data) * sum(inside)


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
        shapes: list[list[Shape]] = []
        parameters: dict[str, Parameter] = {}
        made = 0
        for node in self.nodes:
            if node.is_variable:
                shapes.append([(BATCH, *inputs[node.name])] if node.name in inputs else [])
                if (free := _free_parameter(node)) and node.name not in inputs:
                    parameters[node.name] = free
                    shapes[-1] = [free.shape]
                continue
            outputs, slots = _infer_node(node, self.nodes, shapes)
            made = _with_more(made, outputs)
            shapes.append(outputs)
            for index, slot in slots:
                variable = self.nodes[index]
                if not variable.is_variable or variable.name in inputs:
                    raise ModelFileError(
                        f"layer {node.name!r} takes its {slot.suffix} from {variable.name!r}, "
                        "which is not a parameter"
                    )
                parameter = _parameter(variable, slot, node.name)
                known = parameters.setdefault(variable.name, parameter)
                if known.shape != parameter.shape:
                    raise ModelFileError(
                        f"parameter {variable.name!r} is used with the shapes {known.shape} and "
                        f"{parameter.shape}"
                    )
                shapes[index] = [slot.shape]
        for node, shape in zip(self.nodes, shapes, strict=True):
            if not shape:
                raise ModelFileError(f"the input {node.name!r} has no known shape")
        for node, output in self.heads:
            if output >= len(shapes[node]):
                raise ModelFileError(f"layer {self.nodes[node].name!r} has no output {output}")
        return shapes, parameters

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
                    "multiply_adds": _multiply_adds(self.nodes, index, shapes) // BATCH,
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
        return self._pruned(tuple((self.index_of(layer), 0) for layer in layers))

    def _pruned(self, heads: tuple[tuple[int, int], ...]) -> Graph:
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
        return cut._pruned(self.heads)

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
            graph = graph._pruned(end.inputs[:1])
        return graph if len(graph.heads) == 1 else graph._pruned(graph.heads[:1])

    # ---- to and from JSON

    def to_json(self) -> str:
        """Return the graph in MXNet's JSON format, which ``mx.sym.load_json`` reads."""
        body = _written(self.nodes, self.heads)
        body["attrs"] = {"mxnet_version": ["int", _MXNET_VERSION]}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False)  # MXNet reads no \u

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
            raise ModelFileError(f"the network's description is damaged: {error!r}") from error
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


def _written(nodes: Sequence[Node], heads: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a graph, or the body of a loop or branch, as MXNet's JSON has it."""
    written = [
        {
            "op": n.op,
            "name": n.name,
            **({"attrs": dict(n.attrs)} if n.attrs else {}),
            "inputs": [[i, o, 0] for i, o in n.inputs],
            **(
                {"subgraphs": [_written(b.nodes, b.heads) for b in n.subgraphs]}
                if n.subgraphs
                else {}
            ),
        }
        for n in nodes
    ]
    return {
        "nodes": written,
        "arg_nodes": [i for i, n in enumerate(nodes) if n.is_variable],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[i, o, 0] for i, o in heads],
    }


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


def read_symbol(text: str) -> tuple[tuple[Node, ...], tuple[tuple[int, int], ...]]:
    """Check and read MXNet's JSON: every index within bounds, every node after its inputs.

    Parameters
    ----------
    text : str
        What MXNet's ``symbol.tojson()`` gives.

    Returns
    -------
    nodes : tuple of Node
    heads : tuple of (int, int)

    Raises
    ------
    ModelFileError
        If the text is not a graph, or a damaged one.

    Examples
    --------
    >>> read_symbol('{"nodes": [{"op": "null", "name": "x", "inputs": []}], "heads": [[0, 0]]}')[1]
    ((0, 0),)
    """
    try:
        body = parse_json(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"not a graph in MXNet's JSON format: {error}") from error
    try:
        nodes, heads = _read_nodes(body)
    except ModelFileError:
        raise
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError) as error:
        raise ModelFileError(f"not a graph in MXNet's JSON format: {error!r}") from error
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            raise ModelFileError(f"the graph has two nodes called {node.name!r}")
        seen.add(node.name)
    count = count_nodes(nodes)
    if count > MOST_NODES:
        raise _too_many(count)
    return nodes, heads


def count_nodes(nodes: Sequence[Node]) -> int:
    """Count nodes, those in the bodies of loops and branches, too.

    Parameters
    ----------
    nodes : sequence of Node

    Returns
    -------
    int

    Examples
    --------
    >>> count_nodes([Node("null", "data", {})])
    1
    """
    inside = (body.nodes for node in nodes for body in node.subgraphs)
    return len(nodes) + sum(map(count_nodes, inside))


def _too_many(count: int) -> ModelFileError:
    return ModelFileError(f"a graph of {count} nodes; at most {MOST_NODES} are read")


def _read_nodes(
    body: Mapping[str, Any], depth: int = 0
) -> tuple[tuple[Node, ...], tuple[tuple[int, int], ...]]:
    raw = body["nodes"]
    if not isinstance(raw, list) or not raw:
        raise ModelFileError("a graph needs a list of nodes")
    if len(raw) > MOST_NODES:
        raise _too_many(len(raw))
    if depth > _DEEPEST:
        raise ModelFileError(f"loops and branches lie in more than {_DEEPEST} others")
    nodes = tuple(_read_node(index, entry, depth) for index, entry in _taken(raw))
    heads = tuple(_pair(h, len(nodes)) for h in body["heads"])
    if not heads:
        raise ModelFileError("the graph has no output")
    return nodes, heads


def _taken(raw: list[Any]) -> Iterator[tuple[int, Any]]:
    """Go through a list and empty it, so that it and what is made of it need not both fit."""
    for index, entry in enumerate(raw):
        raw[index] = None
        yield index, entry


def _read_node(index: int, entry: Mapping[str, Any], depth: int) -> Node:
    attrs: dict[str, str] = {}
    for key in ("attr", "param", "attrs"):
        attrs.update(entry.get(key) or {})
    if not all(isinstance(v, str) for v in attrs.values()):
        raise ModelFileError(f"node {index} has attributes that are not text")
    op, name = entry["op"], entry["name"]
    if not isinstance(op, str) or not isinstance(name, str):
        raise ModelFileError(f"node {index} has no proper name")
    if any(_UNREADABLE.search(text) for text in (name, *attrs.keys(), *attrs.values())):
        raise ModelFileError(f"node {index} has control characters in its name or attributes")
    inputs = tuple(_pair(i, index) for i in entry["inputs"])
    if op == "null" and inputs:
        raise ModelFileError(f"the variable {name!r} has inputs")
    bodies = entry.get("subgraphs") or []
    if bool(bodies) != (op in CONTROL) or not isinstance(bodies, list):
        raise ModelFileError(
            f"layer {name!r} ({op}) has bodies that do not belong to it, or lacks them"
        )
    read = tuple(Subgraph(*_read_nodes(body, depth + 1)) for body in bodies)
    return Node(op, name, attrs, inputs, read)


def _pair(entry: Sequence[int], below: int) -> tuple[int, int]:
    node, output = entry[0], entry[1]
    if type(node) is not int or type(output) is not int:  # a bool is an int, but no index
        raise ModelFileError("the graph's connections are not numbers")
    if not 0 <= node < below or not 0 <= output < 64:
        raise ModelFileError(f"the graph connects to node {node}, which does not come before")
    return node, output
