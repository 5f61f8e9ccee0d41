"""Image classifiers in ONNX files, as PyTorch and others export them. ONNX is not needed.

The file's operators become MXNet's, one for one where that is possible: the network is a graph
like those of the catalogue, so that its head can be replaced and all of it trained.

Reference: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.errors import DiglotError, InputError, ModelFileError, cause
from diglot.graph import Graph, InputSpec, InputTooSmallError
from diglot.networks.own import with_backbone
from diglot.weights.onnx.constants import fold
from diglot.weights.onnx.file import OnnxModel, OnnxNode, read_onnx_file
from diglot.weights.onnx.operators import RULES, SHAPES_ONLY
from diglot.weights.onnx.step import Step, Value

_SPARE_BYTES = 2**24  # of constants and weights that are made beside as many as the file has
_SPARE_NUMBERS = 2**24  # that are worked with for constants beside as many as the file has bytes
_MOST_LAYERS = 8_000  # of the most nodes that a graph may have, the rest are parameters
_SUFFIXES = ("weight", "bias", "gamma", "beta", "moving_mean", "moving_var")


def read_onnx(
    path: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> Graph:
    """Read an image classifier with its weights.

    Parameters
    ----------
    path : path
        An ONNX file, of the operators' versions (opsets) 7 to 23, its weights inside.
    size : int or (height, width), optional
        In pixels; needed where the file leaves the input's size open.
    mean, std : sequence of float, optional
        Per channel, for pixels from 0 to 1; see `InputSpec`. Without them pixels are not
        normalised: an ONNX file does not tell what its network was trained with.

    Returns
    -------
    Graph
        Its parameters in the groups "backbone" and "head", the last dense layer or convolution.
        A softmax at the end is left out: the outputs are logits. A fixed number of images in the
        file does not bind.

    Raises
    ------
    ModelFileError
        The file is damaged, is no image classifier, or uses what diglot does not know; the
        message names the node and the operator.
    InputError
        The size is needed and not given, or cannot be.

    Examples
    --------
    >>> read_onnx("nowhere.onnx")
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: nowhere.onnx cannot be read: No such file or directory
    """
    model = read_onnx_file(path)
    try:
        network = Network(model, _input(model, size, mean, std))
        graph = with_backbone(network.graph(Path(path).stem))
        return graph.with_weights(network.weights)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except InputError as error:
        # Without arguments it is the file that asks for what cannot be.
        asked = isinstance(error, _OpenSizeError) or size is not None or len(mean) or len(std)
        raise (InputError if asked else ModelFileError)(f"{path}: {error}") from error


class _OpenSizeError(InputError):
    """The file does not tell how large images are."""


@dataclass(frozen=True)
class _Image:
    """The network's input: its name in the file, and whether it has its channels last there."""

    name: str
    spec: InputSpec
    channels_last: bool


def _input(
    model: OnnxModel,
    size: int | tuple[int, int] | None,
    mean: Sequence[float],
    std: Sequence[float],
) -> _Image:
    if len(model.inputs) != 1:
        raise ModelFileError(
            f"an image classifier takes one input, and this takes {len(model.inputs)}: "
            f"{', '.join(list(model.inputs)[:5])}"
        )
    ((name, shape),) = model.inputs.items()
    if shape is None or len(shape) != 4:
        raise ModelFileError(f"its input {name!r} has the shape {shape}; images have four sides")
    users = [node for node in model.nodes if name in node.inputs]
    last = bool(users) and all(
        n.op == "Transpose" and n.attrs.get("perm") == (0, 3, 1, 2) for n in users
    )
    channels, height, width = (shape[3], *shape[1:3]) if last else shape[1:]
    if channels is None:
        channels = _channels_of_first_convolution(model)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    if height is None or width is None:
        raise _OpenSizeError("the file leaves the input's size open: give size=(height, width)")
    return _Image(name, InputSpec(height, width, channels, tuple(mean), tuple(std)), last)


def _channels_of_first_convolution(model: OnnxModel) -> int:
    for node in model.nodes:
        weight = model.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.op == "Conv" and weight is not None and weight.ndim == 4:
            group = node.attrs.get("group", 1)
            return weight.shape[1] * group if type(group) is int else weight.shape[1]
    raise ModelFileError("the file leaves the number of channels open")


class Network:
    """The graph while it is built: what each of the file's values is by now."""

    def __init__(self, model: OnnxModel, image: _Image) -> None:
        self.model = model
        self.image = image
        self.builder = Builder(image.spec)
        self.weights: dict[str, np.ndarray] = {}
        self.values: dict[str, Value] = {image.name: self.builder.data, **model.constants}
        self.users: dict[str, list[int]] = {}
        for index, node in enumerate(model.nodes):
            for name in node.inputs:
                self.users.setdefault(name, []).append(index)
        self._results = set(model.outputs)
        self.done: set[int] = set()  # nodes that an earlier one took in
        self._names: set[str] = {"data"}
        self._turns: dict[str, int] = {}  # where to go on counting layers of the same name
        self._made = self._worked = 0  # bytes, and numbers that constants were computed from
        self._held: set[int] = set()  # where the arrays lie that were counted when they were made
        self._owned: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
        self._ends: set[str] | None = None
        self._layers = 0

    def graph(self, name: str) -> Graph:
        """Read all nodes that the result needs, and return the graph."""
        needed = _needed(self.model)
        steps = [(i, node) for i, node in enumerate(self.model.nodes) if i in needed]
        # Constants first: some look ahead for the constant that is added next.
        for index, node in sorted(steps, key=lambda step: step[1].op != "Constant"):
            if index not in self.done:
                self._read(index, node)
        end = self.values.get(self.model.outputs[0])
        if not isinstance(end, Tensor):
            raise ModelFileError(f"its output {self.model.outputs[0]!r} depends on no image")
        if math.prod(end.shape) != end.shape[0]:
            raise ModelFileError(
                f"its output for one image has the shape {end.shape}; a classifier's is one "
                "number a class"
            )
        if len(end.shape) > 1:
            end = self.builder.add("Flatten", end, name=self.claim("output"))
        return self.builder.graph(name, end)

    def own(self, array: np.ndarray) -> np.ndarray:
        """Return a constant as a weight: in its own memory, and once for all nodes that take it."""
        place = (_place(array), array.shape, array.strides, array.dtype.str)
        if place not in self._owned:
            plain = (
                array.dtype == np.float32 and array.flags.writeable
            )  # what the file holds is not
            own = array if plain and array.flags.carray else np.array(array, np.float32, order="C")
            if own is not array or _place(array) not in self._held:
                self._count(own.nbytes)
            # The array stays, so that no other one comes to lie in its place.
            self._owned[place] = array, own
        return self._owned[place][1]

    def count_layer(self) -> None:
        """Refuse a file that makes many layers of few nodes."""
        self._layers += 1
        if self._layers > _MOST_LAYERS:
            raise ModelFileError(f"its nodes make more than {_MOST_LAYERS} layers")

    def _count(self, size: int) -> None:
        self._made += size
        if self._made > self.model.size + _SPARE_BYTES:
            raise ModelFileError(
                f"the file of {self.model.size} bytes computes too many constants; simplify it "
                "where it was exported (constant folding)"
            )

    def _keep(self, result: np.ndarray, inputs: Sequence[Value | None]) -> np.ndarray:
        """Count a computed constant, unless it is but a view of what it was computed from."""
        arrays = [array for array in inputs if isinstance(array, np.ndarray)]
        if any(np.may_share_memory(result, array) for array in arrays):
            return result
        self._worked += result.size + sum(array.size for array in arrays)
        if self._worked > self.model.size + _SPARE_NUMBERS:
            raise ModelFileError("the file computes too many constants")
        self._count(result.nbytes)
        self._held.add(_place(result))
        return result

    def ends(self) -> set[str]:
        """Return the values after which nothing but changes of shape lead to the output."""
        if self._ends is None:
            self._ends = {self.model.outputs[0]}
            for index in range(len(self.model.nodes) - 1, -1, -1):
                node = self.model.nodes[index]
                if node.op in SHAPES_ONLY and node.inputs and node.outputs:
                    alone = self.only_user(node.inputs[0]) == index
                    if alone and node.outputs[0] in self._ends:
                        self._ends.add(node.inputs[0])
        return self._ends

    def only_user(self, name: str) -> int | None:
        """Return the one node that takes a value, None if there are others or it is a result."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and name not in self._results else None

    def _read(self, index: int, node: OnnxNode) -> None:
        try:
            inputs = [self._value(name) for name in node.inputs]
            outputs = self._outputs(index, node, inputs)
        except InputTooSmallError:
            raise
        except ModelFileError as error:
            raise ModelFileError(f"{_label(node)}: {error}") from None
        except DiglotError as error:
            raise ModelFileError(f"{_label(node)}: {error}") from error
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(f"{_label(node)} is damaged: {cause(error)}") from error
        for name, value in zip(node.outputs, outputs, strict=False):
            if name:
                self.values[name] = value

    def _value(self, name: str) -> Value | None:
        if not name:
            return None
        if name not in self.values:
            raise ModelFileError(f"it takes {name!r}, which nothing before it gives")
        return self.values[name]

    def _outputs(
        self, index: int, node: OnnxNode, inputs: list[Value | None]
    ) -> Sequence[Value | None]:
        if node.domain not in ("", "ai.onnx"):
            raise ModelFileError(f"the operator is of {node.domain!r}; diglot knows ONNX's own")
        if node.op == "Constant":
            return [_constant(node)]
        if not any(isinstance(value, Tensor) for value in inputs):
            result = fold(node.op, inputs, node.attrs)
            if result is not None:
                return [self._keep(result, inputs)]
        rule = RULES.get(node.op)
        if rule is None:
            raise ModelFileError(
                f"diglot does not know the operator {node.op!r}; it knows "
                f"{', '.join(sorted(RULES))}"
            )
        if not inputs or not any(isinstance(value, Tensor) for value in inputs):
            raise ModelFileError("it is applied to constants only")
        result = rule(Step(self, index, node, inputs))
        return result if isinstance(result, list) else [result]

    def claim(self, wish: str) -> str:
        """Return a layer's name, plain and like no other."""
        base = re.sub(r"[^\w.]+", "_", wish, flags=re.ASCII).strip("_.")[:200] or "layer"
        name, count = base, self._turns.get(base, 1)
        if base in self._turns:
            name = f"{base}_{count}"
        while not self._names.isdisjoint(names := _with_parameters(name)):
            name, count = f"{base}_{count}", count + 1
        self._turns[base] = count
        self._names.update(names)
        return name


def _place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _with_parameters(name: str) -> list[str]:
    return [name, *(f"{name}_{suffix}" for suffix in _SUFFIXES)]


def _needed(model: OnnxModel) -> set[int]:
    """Return the nodes on which the first output depends; others, such as auxiliary heads, go."""
    wanted = {model.outputs[0]}
    needed = set()
    for index in range(len(model.nodes) - 1, -1, -1):
        node = model.nodes[index]
        if wanted.intersection(node.outputs):
            needed.add(index)
            wanted.update(node.inputs)
    return needed


def _label(node: OnnxNode) -> str:
    given = node.name or (node.outputs[0] if node.outputs else "")
    return f"node {given!r} ({node.op})"


def _constant(node: OnnxNode) -> np.ndarray:
    kinds = {
        "value": None,
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for key, dtype in kinds.items():
        if key in node.attrs:
            value = node.attrs[key]
            if dtype is None and not isinstance(value, np.ndarray):
                raise ModelFileError("its value is damaged")
            return value if dtype is None else np.array(value, dtype)
    raise ModelFileError("it has no value that diglot knows")
