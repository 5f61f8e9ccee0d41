"""Loops and branches in a graph: MXNet's ``_foreach``, ``_while_loop`` and ``_cond``.

Each has bodies, which are graphs of their own, and says by numbers which of its inputs is which of
a body's variables. Bodies count their variables in the order in which MXNet comes upon them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diglot.errors import ModelFileError
from diglot.operators import Attrs, Shape

Body = Callable[[Sequence[Shape]], list[Shape]]  # shapes of the variables to those of the outputs
_SCALARS = ([(1,)], [()])


def variables_in_order(nodes: Sequence[Any], heads: Sequence[tuple[int, int]]) -> list[int]:
    """Return a body's variables as MXNet counts them: depth first, from its outputs on.

    Parameters
    ----------
    nodes : sequence of Node
    heads : sequence of (int, int)
        The (node, output) pairs that are its outputs.

    Returns
    -------
    list of int
        Places in ``nodes``; variables that nothing depends on are left out.
    """
    found, seen = [], set()
    for head, _ in heads:
        stack = [(head, 0)]
        while stack:
            index, taken = stack.pop()
            if taken == 0 and index in seen:
                continue
            seen.add(index)
            inputs = nodes[index].inputs
            if taken < len(inputs):
                stack += [(index, taken + 1), (inputs[taken][0], 0)]
            elif nodes[index].is_variable:
                found.append(index)
    return found


def places(attrs: Attrs, key: str) -> list[int]:
    """Return a list of places; an empty one is written as ``[]``."""
    value = attrs.get(key, ())
    value = () if value in ("[]", "()") else value
    return list(value if isinstance(value, tuple) else (value,))


def _places(attrs: Attrs, key: str, below: int) -> list[int]:
    value = places(attrs, key)
    if not all(type(place) is int and 0 <= place < below for place in value):
        raise ModelFileError(f"its {key} are {attrs[key]!r}")
    return value


def _foreach(attrs: Attrs, inputs: Sequence[Shape], bodies: Sequence[Body]) -> list[Shape]:
    """Go along the first axis of the data; states are handed from step to step."""
    count = len(inputs)
    kinds = [_places(attrs, f"{key}_locs", count) for key in ("in_data", "in_state", "remain")]
    order = [place for some in kinds for place in some]
    if sorted(order) != list(range(count)) or not kinds[0]:
        raise ModelFileError("its inputs are not the variables of its body")
    data, states = inputs[: len(kinds[0])], list(inputs[len(kinds[0]) :][: len(kinds[1])])
    lengths = {shape[0] for shape in data if shape}
    if len(lengths) != 1:
        raise ModelFileError(f"it cannot go along axes of the lengths {sorted(lengths)}")
    (steps,) = lengths
    seen: list[Shape] = [()] * count
    for shape, place in zip([*(s[1:] for s in data), *inputs[len(data) :]], order, strict=True):
        seen[place] = shape
    outputs = bodies[0](seen)
    number = attrs.whole("num_out_data", least=0)
    if len(outputs) != number + len(states) or outputs[number:] != states:
        raise ModelFileError(f"its states of the shapes {states} come back as {outputs[number:]}")
    return [*((steps, *shape) for shape in outputs[:number]), *states]


def _while_loop(attrs: Attrs, inputs: Sequence[Shape], bodies: Sequence[Body]) -> list[Shape]:
    """Go on as long as a condition holds, at most so many steps."""
    count = len(inputs)
    condition = _places(attrs, "cond_input_locs", count)
    taken = _places(attrs, "func_input_locs", count)
    variables = _places(attrs, "func_var_locs", len(taken))
    if bodies[0]([inputs[i] for i in condition]) not in _SCALARS:
        raise ModelFileError("its condition must be one number")
    outputs = bodies[1]([inputs[i] for i in taken])
    states = [inputs[taken[i]] for i in variables]
    number = attrs.whole("num_out_data", least=0)
    if len(outputs) != number + len(states) or outputs[number:] != states:
        raise ModelFileError(f"its variables of the shapes {states} become {outputs[number:]}")
    return [*((attrs.whole("max_iterations"), *shape) for shape in outputs[:number]), *states]


def _cond(attrs: Attrs, inputs: Sequence[Shape], bodies: Sequence[Body]) -> list[Shape]:
    """Compute one of two bodies, as a condition says."""
    found = []
    for body, key in zip(bodies, ("cond", "then", "else"), strict=True):
        found.append(body([inputs[i] for i in _places(attrs, f"{key}_input_locs", len(inputs))]))
    if found[0] not in _SCALARS:
        raise ModelFileError("its condition must be one number")
    if found[1] != found[2]:
        raise ModelFileError(f"its branches have the shapes {found[1]} and {found[2]}")
    return found[1]


# How many bodies each has, and its rule.
CONTROL: dict[str, tuple[int, Callable[..., list[Shape]]]] = {
    "_foreach": (1, _foreach),
    "_while_loop": (2, _while_loop),
    "_cond": (3, _cond),
}


def most_steps(op: str, attrs: Attrs, inputs: Sequence[Shape]) -> int:
    """Return how often a body is computed at most."""
    if op == "_foreach":
        return inputs[0][0]
    return attrs.whole("max_iterations") if op == "_while_loop" else 1
