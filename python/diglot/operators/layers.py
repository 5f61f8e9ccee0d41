"""Layers and products: dense ones, norms, embedding, recurrence, and those of one's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diglot.errors import ModelFileError
from diglot.operators.attrs import Attrs, Shape, is_whole
from diglot.operators.rules import Operator, Slot, rule, with_bias
from diglot.own_operators import OP_TYPE, own_operator


def _dense_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    x, hidden = inputs[0], attrs.whole("num_hidden")
    width = math.prod(x[1:]) if attrs.flag("flatten", True) else x[-1]
    return with_bias(attrs, (hidden, width), hidden)


def _dense_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    kept = inputs[0][:1] if attrs.flag("flatten", True) else inputs[0][:-1]
    return [(*kept, attrs.whole("num_hidden"))]


def _dense_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return _dense_slots(attrs, inputs)[0].shape[1] * math.prod(output[1:])


def _embedding_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return [Slot("weight", (attrs.whole("input_dim"), attrs.whole("output_dim")), "weight")]


def _embedding_shapes(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0], attrs.whole("output_dim"))]


def _scale_and_shift(width: Shape) -> list[Slot]:
    return [Slot("gamma", width, "scale"), Slot("beta", width, "shift")]


def _batch_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    width = (inputs[0][attrs.axis("axis", 1, len(inputs[0]))],)
    statistics = [Slot("moving_mean", width, "mean"), Slot("moving_var", width, "variance")]
    return [*_scale_and_shift(width), *statistics]


def _layer_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return _scale_and_shift((inputs[0][attrs.axis("axis", -1, len(inputs[0]))],))


def _instance_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return _scale_and_shift((inputs[0][1],))


def _group_norm_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    # In 1.9.1 the scale is one number a group, and not one a channel as in the paper.
    groups = attrs.whole("num_groups", 1)
    if inputs[0][1] % groups:
        raise ModelFileError(f"{inputs[0][1]} channels do not divide into {groups} groups")
    return _scale_and_shift((groups,))


def _leaky_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    if attrs.get("act_type", "leaky") != "prelu":
        return []
    return [Slot("gamma", (inputs[0][1],), "scale")]


def _factors(attrs: Attrs, inputs: Sequence[Shape]) -> tuple[Shape, Shape]:
    a, b = inputs
    if attrs.flag("transpose_a"):
        a = (*a[:-2], a[-1], a[-2])
    if attrs.flag("transpose_b"):
        b = (*b[:-2], b[-1], b[-2])
    return a, b


def _dot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Multiply two matrices; the second is a parameter, as rows of a batch are not mixed."""
    if any(len(shape) != 2 for shape in inputs):
        raise ModelFileError(f"diglot knows it for matrices, not for {inputs[0]} and {inputs[1]}")
    a, b = _factors(attrs, inputs)
    if a[1] != b[0]:
        raise ModelFileError(f"{inputs[0]} and {inputs[1]} cannot be multiplied")
    return [(a[0], b[1])]


def _dot_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output[1:]) * _factors(attrs, inputs)[0][-1]


def _batch_dot(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Multiply the matrices of the last two axes, for each place of all axes before."""
    if len(inputs[0]) != len(inputs[1]) or len(inputs[0]) < 3:
        raise ModelFileError(f"{inputs[0][1:]} and {inputs[1][1:]} are not stacks of matrices")
    a, b = _factors(attrs, inputs)
    if a[:-2] != b[:-2] or a[-1] != b[-2]:
        raise ModelFileError(f"{inputs[0][1:]} and {inputs[1][1:]} cannot be multiplied")
    return [(*a[:-1], b[-1])]


_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "gru": 3, "lstm": 4}


def _rnn_size(attrs: Attrs, width: int) -> int:
    """Return how many weights and biases all layers have, given the width of what comes in."""
    mode = attrs.choice("mode", "", *_GATES)
    hidden, layers = attrs.whole("state_size"), attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    inner = (layers - 1) * (hidden * ways + hidden + 2)
    return _GATES[mode] * hidden * ways * (width + hidden + 2 + inner)


def _rnn(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Take a sequence (time, batch, width), flat parameters, and the first states."""
    if attrs.flag("use_sequence_length") or attrs.get("projection_size") is not None:
        raise ModelFileError("diglot knows it without use_sequence_length and projection_size")
    x, parameters, *states = inputs
    hidden, layers = attrs.whole("state_size"), attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    if len(x) != 3 or parameters != (_rnn_size(attrs, x[-1]),):
        raise ModelFileError(
            f"a sequence of {x} needs {_rnn_size(attrs, x[-1])} parameters, not {parameters}"
        )
    state = (layers * ways, x[1], hidden)
    if states != [state] * (2 if attrs["mode"] == "lstm" else 1):
        raise ModelFileError(f"its states are {states}, where each must be {state}")
    kept = states if attrs.flag("state_outputs") else []
    return [(*x[:2], hidden * ways), *kept]


def _rnn_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    biases = 2 * _GATES[attrs["mode"]] * attrs.whole("state_size") * attrs.whole("num_layers")
    ways = 2 if attrs.flag("bidirectional") else 1
    return inputs[0][1] * (_rnn_size(attrs, inputs[0][-1]) - biases * ways)


def _own(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    if attrs.get("op_type") != OP_TYPE:
        raise ModelFileError(
            f"it is the operator {attrs.get('op_type')!r} of somebody's Python code, which a file "
            "does not hold: write it anew by diglot.register_operator()"
        )
    operator, count = own_operator(attrs.get("operator")), attrs.whole("inputs", 1)
    if len(inputs) != count:
        raise ModelFileError(f"it takes {count} inputs, the file has {len(inputs)}")
    shape = operator.shape(*(x[1:] for x in inputs))
    if not isinstance(shape, (tuple, list)) or not all(is_whole(side) for side in shape):
        raise ModelFileError(f"its shape function returned {shape!r}, which is no tuple of sides")
    return [(inputs[0][0], *shape)]


LAYERS: dict[str, Operator] = {
    "FullyConnected": rule(_dense_shapes, _dense_slots, _dense_macs, 1),
    "Embedding": rule(_embedding_shapes, _embedding_slots, data=1),
    "BatchNorm": rule(slots=_batch_norm_slots, data=1),
    "_contrib_SyncBatchNorm": rule(slots=_batch_norm_slots, data=1),
    "LayerNorm": rule(slots=_layer_norm_slots, data=1),
    "InstanceNorm": rule(slots=_instance_norm_slots, data=1),
    "GroupNorm": rule(slots=_group_norm_slots, data=1),
    "LeakyReLU": rule(slots=_leaky_slots, data=1),
    "dot": rule(_dot, macs=_dot_macs, takes=2),
    "batch_dot": rule(_batch_dot, macs=_dot_macs, takes=2),
    "RNN": rule(_rnn, macs=_rnn_macs, takes=None),
    "Custom": rule(_own, takes=None),
}
