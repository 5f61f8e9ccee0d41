"""What graphs are made of: operations, variables, and the parameters that some of these are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diglot.errors import ModelFileError
from diglot.operators import Shape, Slot, parse

_KINDS = ("weight", "bias", "scale", "shift")
_DEFAULT_INIT = {"weight": "xavier", "scale": "ones", "variance": "ones"}


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

    @property
    def has_random_slopes(self) -> bool:
        """Whether in training it multiplies what is below 0 by numbers that it draws."""
        return self.op == "LeakyReLU" and self.attrs.get("act_type") == "rrelu"

    @property
    def draws(self) -> bool:
        """Whether it draws numbers in training.

        Examples
        --------
        >>> Node("LeakyReLU", "slopes", {"act_type": "rrelu"}, ()).draws
        True
        """
        drops = self.op == "RNN" and parse(self.attrs.get("p", "0")) > 0
        return self.op == "Dropout" or drops or self.has_random_slopes


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


def parameter_of(node: Node, slot: Slot, layer: str) -> Parameter:
    """Return the parameter that a variable is, from the layer's slot that it fills."""
    init = node.attrs.get("__diglot_init__") or _DEFAULT_INIT.get(slot.kind, "zeros")
    group = node.attrs.get("__diglot_group__", "all")
    return Parameter(node.name, slot.shape, slot.kind, init, group, layer)


def free_parameter(node: Node) -> Parameter | None:
    """Return the parameter that stands for itself, not for an operator's slot; if it is one."""
    kind = node.attrs.get("__diglot_kind__")
    if kind is None:
        return None
    shape = parse(node.attrs.get("__shape__"))
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if not whole or kind not in _KINDS:
        raise ModelFileError(f"the parameter {node.name!r} has a damaged shape or kind")
    return parameter_of(node, Slot("", shape, kind), node.name)


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
