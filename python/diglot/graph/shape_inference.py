"""Which shapes a graph's outputs and parameters have, and what it costs to compute them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from diglot.errors import InputError, ModelFileError, cause
from diglot.graph.nodes import Node, Parameter, Subgraph, free_parameter, parameter_of
from diglot.operators import LARGEST, OPERATORS, Attrs, Shape, Slot
from diglot.operators.known_attributes import check_attributes
from diglot.subgraphs import CONTROL, most_steps, variables_in_order

_MOST_OUTPUTS = 20_000  # of all of a graph's operations; few have more than one
_MOST_AXES = 32  # of an output; MXNet's operators take six at most
_NOT_INSIDE = {"Dropout", "RNN"}  # what is drawn in a loop would not be what is drawn on resuming
BATCH = 2  # with which shapes are inferred: 1 would hide operators that mix a batch's images


class InputTooSmallError(InputError):
    """The image is so small that a layer of the network would have nothing to put out."""


def infer_graph(
    nodes: Sequence[Node], heads: Sequence[tuple[int, int]], inputs: Mapping[str, Shape]
) -> tuple[list[list[Shape]], dict[str, Parameter]]:
    """Return the shapes of every node's outputs, and the parameters by name.

    Parameters
    ----------
    nodes : sequence of Node
    heads : sequence of (int, int)
    inputs : mapping of str to tuple of int
        The shapes of the graph's inputs, without the batch.

    Raises
    ------
    ModelFileError
        If the nodes do not go together.
    InputTooSmallError
        If a layer would have nothing to put out.
    """
    shapes: list[list[Shape]] = []
    parameters: dict[str, Parameter] = {}
    made = 0
    for node in nodes:
        if node.is_variable:
            shapes.append([(BATCH, *inputs[node.name])] if node.name in inputs else [])
            if (free := free_parameter(node)) and node.name not in inputs:
                parameters[node.name] = free
                shapes[-1] = [free.shape]
            continue
        outputs, slots = _infer_node(node, nodes, shapes)
        made = _with_more(made, outputs)
        shapes.append(outputs)
        for index, slot in slots:
            variable = nodes[index]
            if not variable.is_variable or variable.name in inputs:
                raise ModelFileError(
                    f"layer {node.name!r} takes its {slot.suffix} from {variable.name!r}, "
                    "which is not a parameter"
                )
            parameter = parameter_of(variable, slot, node.name)
            known = parameters.setdefault(variable.name, parameter)
            if known.shape != parameter.shape:
                raise ModelFileError(
                    f"parameter {variable.name!r} is used with the shapes {known.shape} and "
                    f"{parameter.shape}"
                )
            shapes[index] = [slot.shape]
    for node, shape in zip(nodes, shapes, strict=True):
        if not shape:
            raise ModelFileError(f"the input {node.name!r} has no known shape")
    for node, output in heads:
        if output >= len(shapes[node]):
            raise ModelFileError(f"layer {nodes[node].name!r} has no output {output}")
    return shapes, parameters


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
        raise ModelFileError(f"layer {name!r} ({op}) is damaged: {cause(error)}") from error
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
        raise ModelFileError(
            f"layer {node.name!r} ({node.op}) is damaged: {cause(error)}"
        ) from error


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
        if node.op in _NOT_INSIDE or node.has_random_slopes:
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


def multiply_adds(nodes: Sequence[Node], index: int, shapes: Sequence[Sequence[Shape]]) -> int:
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
        inside.append(sum(multiply_adds(body.nodes, i, found) for i in operations))
        return [found[i][o] for i, o in body.heads]

    rule(attrs, data, [partial(counted, body) for body in node.subgraphs])
    return most_steps(node.op, attrs, data) * sum(inside)
