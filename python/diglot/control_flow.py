"""Writes loops and branches into a network: ``foreach``, ``while_loop`` and ``cond``.

A body is a plain function that is called once, to write down what is to be computed. What it is
given are outputs inside the body; outputs from outside may be used in it as well. Layers with
parameters can be in it: the steps of a loop share them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Node, Subgraph, apply_control
from diglot.operators import Shape, Slot
from diglot.subgraphs import variables_in_order

Several = tuple[Tensor, ...]


class Body(Builder):
    """Writes the body of a loop or branch: what is from outside becomes a variable of it.

    Made by the functions below; networks' helpers take it as any builder.
    """

    def __init__(self, outer: Builder, name: str) -> None:
        super().__init__(outer.spec, images=False)
        self.outer, self.name = outer, name
        self.captured: dict[int, Tensor] = {}  # by the variable's place, what it stands for
        self._group = outer._group

    def argument(self, name: str, shape: Shape) -> Tensor:
        """Add a variable that the loop gives a value, of this whole shape."""
        place = self._variable(f"{self.name}_{name}", shape, {})
        return Tensor(place, 0, shape[1:], self)

    def place(self, tensor: Tensor) -> tuple[int, int]:
        """Return where a tensor is in the body; one from outside becomes a variable."""
        if tensor.owner is self:
            return tensor.node, tensor.output
        outside = self.outer.place(tensor)
        for place, known in self.captured.items():
            if self.outer.place(known) == outside:
                return place, 0
        shape = self.outer.shape(tensor)
        made = self.argument(f"outer{len(self.captured)}", shape)
        self.captured[made.node] = tensor
        return made.node, 0

    def parameter(self, name: str, shape: Shape, kind: str = "weight", init: str = "") -> Tensor:
        """Add a learned array outside, which all steps share."""
        return self.outer.parameter(name, shape, kind, init)

    def _slot(self, name: str, slot: Slot, init: str) -> int:
        if slot.auxiliary:
            raise InputError(
                f"a layer that keeps statistics ({name!r}) cannot be inside a loop or branch"
            )
        given = init if slot.kind == "weight" else "ones" if slot.kind == "scale" else ""
        return self.place(self.parameter(name, slot.shape, slot.kind, given))[0]

    def closed(self, outputs: Sequence[Tensor]) -> tuple[Subgraph, list[int]]:
        """Return the body that ends in these outputs, and its variables' places in order."""
        heads = []
        for number, output in enumerate(outputs):
            shape = [self.shape(output)]
            # MXNet wants outputs that are nodes of their own, no variables and none twice
            copied = Node("_copy", f"{self.name}_output{number}", {}, (self.place(output),))
            heads.append((self.append(copied, shape).node, 0))
        order = variables_in_order(self._nodes, heads)
        kept = sorted(_needed(self._nodes, heads))
        new = {old: i for i, old in enumerate(kept)}
        nodes = tuple(
            Node(n.op, n.name, n.attrs, tuple((new[i], o) for i, o in n.inputs), n.subgraphs)
            for n in (self._nodes[i] for i in kept)
        )
        return Subgraph(nodes, tuple((new[i], o) for i, o in heads)), order


def _needed(nodes: Sequence[Node], heads: Sequence[tuple[int, int]]) -> set[int]:
    needed = {i for i, _ in heads}
    for index in range(max(needed), -1, -1):
        if index in needed:
            needed.update(i for i, _ in nodes[index].inputs)
    return needed


def foreach(
    b: Builder,
    body: Callable[[Builder, Several, Several], tuple[Any, Any]],
    data: Tensor | Sequence[Tensor],
    states: Tensor | Sequence[Tensor] = (),
    *,
    name: str,
) -> tuple[Several, Several]:
    """Go along the first axis of the data, and hand states from step to step.

    Parameters
    ----------
    b : Builder
        The network.
    body : callable
        ``body(inner, slices, states)`` writes one step with the builder ``inner`` and returns its
        outputs and the new states, each a tensor or several.
    data : Tensor or sequence of Tensor
        Their first axes are gone along: swap the axis that is wanted to the front, where the
        batch is, by ``b.add("SwapAxis", x, dim1=0, dim2=1, name=...)``.
    states : Tensor or sequence of Tensor
        The first states; they keep their shapes.
    name : str
        The layer's name.

    Returns
    -------
    outputs : tuple of Tensor
        All steps' outputs, stacked along a new first axis.
    states : tuple of Tensor
        The last.

    Raises
    ------
    InputError
        If the body uses a slice or a state in no way, or returns another number of states.

    Examples
    --------
    Sums of the rows so far, from the top of an image to its bottom:

    >>> from diglot.graph import InputSpec
    >>> b = Builder(InputSpec(5, 4, 1))
    >>> rows = b.add("Reshape", b.data, name="rows", shape=(0, 5, 4))
    >>> rows = b.add("SwapAxis", rows, name="down", dim1=0, dim2=1)
    >>> top = b.add("sum", b.data, name="nothing", axis=(1, 2))
    >>> top = b.add("_mul_scalar", top, name="zeros", scalar=0)
    >>> def step(inner, row, total):
    ...     new = inner.add("elemwise_add", row[0], total[0], name="new")
    ...     return new, new
    >>> sums, (total,) = foreach(b, step, rows, top, name="scan")
    >>> b.shape(sums[0]), total.shape
    ((5, 2, 4), (4,))
    """
    given, begun = _several(data), _several(states)
    inner = Body(b, name)
    slices = tuple(inner.argument(f"slice{i}", b.shape(x)[1:]) for i, x in enumerate(given))
    kept = tuple(inner.argument(f"state{i}", b.shape(s)) for i, s in enumerate(begun))
    outputs, news = map(_several, body(inner, slices, kept))
    _check_count(news, begun, name)
    subgraph, order = inner.closed([*outputs, *news])
    own = [
        _order_of(order, t, f"{name!r} uses its {w} {i + 1} in no way")
        for w, some in (("slice", slices), ("state", kept))
        for i, t in enumerate(some)
    ]
    rest = [i for i in range(len(order)) if i not in own]
    inputs = [*given, *begun, *(inner.captured[order[i]] for i in rest)]
    attrs = {
        "in_data_locs": own[: len(given)],
        "in_state_locs": own[len(given) :],
        "remain_locs": rest,
        "num_out_data": len(outputs),
        "num_outputs": len(outputs) + len(news),
    }
    found = _added(b, "_foreach", name, attrs, inputs, [subgraph])
    return found[: len(outputs)], found[len(outputs) :]


def while_loop(
    b: Builder,
    condition: Callable[[Builder, Several], Tensor],
    body: Callable[[Builder, Several], Any],
    variables: Tensor | Sequence[Tensor],
    *,
    most: int,
    name: str,
) -> Several:
    """Compute new variables as long as a condition holds.

    The condition is one for the whole batch. What is different for each image is better computed
    for a fixed number of steps and chosen by ``where``.

    Parameters
    ----------
    b : Builder
        The network.
    condition : callable
        ``condition(inner, variables)`` returns a tensor of the shape (1,): 0 ends the loop.
    body : callable
        ``body(inner, variables)`` returns the new variables, of the same shapes.
    variables : Tensor or sequence of Tensor
        The first values.
    most : int
        After so many steps the loop ends in any case.
    name : str
        The layer's name.

    Returns
    -------
    tuple of Tensor
        The variables at the end. Outputs of single steps there are none: MXNet leaves those of
        steps that were not taken undefined.

    Raises
    ------
    InputError
        If the body uses a variable in no way, or returns another number of them.

    Examples
    --------
    >>> from diglot.graph import InputSpec
    >>> b = Builder(InputSpec(2, 2, 1))
    >>> def large(inner, values):
    ...     top = inner.add("max", values[0], name="top")
    ...     return inner.add("_greater_scalar", top, name="large", scalar=1.0)
    >>> def halve(inner, values):
    ...     return inner.add("_mul_scalar", values[0], name="half", scalar=0.5)
    >>> (small,) = while_loop(b, large, halve, b.data, most=50, name="halving")
    >>> small.shape
    (1, 2, 2)
    """
    begun = list(_several(variables))
    bodies = [Body(b, f"{name}_condition"), Body(b, f"{name}_body")]
    seen = [
        [inner.argument(f"variable{i}", b.shape(v)) for i, v in enumerate(begun)]
        for inner in bodies
    ]
    ends = _several(condition(bodies[0], tuple(seen[0])))
    news = _several(body(bodies[1], tuple(seen[1])))
    _check_count(news, begun, name)
    # MXNet 1.9.1 finds no gradients of what comes into a body from outside: it goes round, too.
    outside = {b.place(t): t for inner in bodies for t in inner.captured.values()}
    for inner, mine in zip(bodies, seen, strict=True):
        mine += [Tensor(*inner.place(t), t.shape, inner) for t in outside.values()]
    begun = _tied(b, [*begun, *outside.values()], name)
    count, round_trip = len(news), [*news, *seen[1][len(news) :]]
    closed = [inner.closed(out) for inner, out in zip(bodies, (ends, round_trip), strict=True)]
    for inner, mine in zip(bodies, seen, strict=True):
        inner.captured = {t.node: v for t, v in zip(mine, begun, strict=True)}
    inputs, (first, second) = _shared_inputs(b, bodies, [order for _, order in closed])
    order = closed[1][1]
    attrs = {
        "max_iterations": most,
        "cond_input_locs": first,
        "func_input_locs": second,
        "func_var_locs": [
            _order_of(order, t, f"{name!r} uses its variable {i + 1} in no way")
            for i, t in enumerate(seen[1])
        ],
        "num_out_data": 0,
        "num_outputs": len(begun),
    }
    found = _added(b, "_while_loop", name, attrs, inputs, [subgraph for subgraph, _ in closed])
    return found[:count]


def cond(
    b: Builder,
    condition: Tensor,
    then: Callable[[Builder], Any],
    otherwise: Callable[[Builder], Any],
    *,
    name: str,
) -> Several:
    """Compute one of two things, and only that.

    The condition is one for the whole batch, such as a parameter or a sum over all images, so that
    an image's answer may depend on its company. For a choice by image there is ``where``.

    Parameters
    ----------
    b : Builder
        The network.
    condition : Tensor
        Of the shape (1,): 0 is no.
    then, otherwise : callable
        ``then(inner)`` returns what is computed if it holds: tensors of the same shapes as those
        of ``otherwise(inner)``.
    name : str
        The layer's name.

    Returns
    -------
    tuple of Tensor

    Examples
    --------
    >>> from diglot.graph import InputSpec
    >>> b = Builder(InputSpec(2, 2, 1))
    >>> mean = b.add("mean", b.data, name="mean")
    >>> bright = b.add("_greater_scalar", mean, name="bright", scalar=1)
    >>> (out,) = cond(
    ...     b,
    ...     bright,
    ...     lambda inner: inner.add("_mul_scalar", b.data, name="darker", scalar=0.5),
    ...     lambda inner: inner.add("_copy", b.data, name="same"),
    ...     name="dimmer",
    ... )
    >>> out.shape
    (1, 2, 2)
    """
    bodies = [Body(b, f"{name}_{way}") for way in ("condition", "then", "else")]
    outputs = [(condition,), _several(then(bodies[1])), _several(otherwise(bodies[2]))]
    closed = [inner.closed(out) for inner, out in zip(bodies, outputs, strict=True)]
    inputs, places = _shared_inputs(b, bodies, [order for _, order in closed])
    keys = ("cond_input_locs", "then_input_locs", "else_input_locs")
    attrs = {**dict(zip(keys, places, strict=True)), "num_outputs": len(outputs[1])}
    return _added(b, "_cond", name, attrs, inputs, [subgraph for subgraph, _ in closed])


def _tied(b: Builder, tensors: Sequence[Tensor], name: str) -> list[Tensor]:
    """Return tensors of the same values that all depend on each other.

    MXNet 1.9.1 computes wrong gradients of a ``_while_loop`` where some of its variables need
    gradients and others do not, such as parameters and images, or are inputs of the network.
    """
    nothing = [
        b.add(
            "_mul_scalar",
            b.add("mean", t, name=f"{name}_mean{i}"),
            name=f"{name}_zero{i}",
            scalar=0,
        )
        for i, t in enumerate(tensors)
    ]
    nothing = b.add("add_n", *nothing, name=f"{name}_nothing", num_args=len(tensors))
    tied = []
    for i, tensor in enumerate(tensors):
        rank = len(b.shape(tensor))
        flat = b.add("Reshape", nothing, name=f"{name}_no{i}", shape=(1,) * rank)
        tied.append(b.add("broadcast_add", tensor, flat, name=f"{name}_first{i}"))
    return tied


def _several(given: Any) -> Several:
    return (given,) if isinstance(given, Tensor) else tuple(given)


def _check_count(news: Several, begun: Several, name: str) -> None:
    if len(news) != len(begun):
        raise InputError(
            f"the body of {name!r} returns {len(news)} new states and was given {len(begun)}"
        )


def _order_of(order: list[int], tensor: Tensor, fault: str) -> int:
    """Return which of a body's variables a tensor is."""
    if tensor.node not in order:
        raise InputError(f"the body of {fault}: leave it out")
    return order.index(tensor.node)


def _shared_inputs(
    b: Builder, bodies: Sequence[Body], orders: Sequence[list[int]]
) -> tuple[list[Tensor], list[list[int]]]:
    """Return what the bodies take together, and for each which of it its variables are."""
    inputs: list[Tensor] = []
    places = []
    for inner, order in zip(bodies, orders, strict=True):
        mine = []
        for variable in order:
            tensor = inner.captured[variable]
            known = [b.place(t) for t in inputs]
            if b.place(tensor) not in known:
                inputs.append(tensor)
                known.append(b.place(tensor))
            mine.append(known.index(b.place(tensor)))
        places.append(mine)
    return inputs, places


def _added(
    b: Builder,
    op: str,
    name: str,
    attrs: dict[str, Any],
    inputs: Sequence[Tensor],
    bodies: Sequence[Subgraph],
) -> Several:
    text = {key: str(value) for key, value in attrs.items()}
    text["num_args"] = str(len(inputs) + len(bodies))
    places = tuple(map(b.place, inputs))
    node = Node(op, name, text, places, tuple(bodies))
    outputs = apply_control(node, [b.shape(t) for t in inputs])
    first = b.append(node, outputs)
    return tuple(b.output(first, number) for number in range(len(outputs)))
