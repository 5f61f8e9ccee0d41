"""Operators of one's own in MXNet: its ``Custom`` operator hands the arrays to our functions."""

from __future__ import annotations

from functools import cache

import numpy as np

from diglot.engine.mxnet import failures, load
from diglot.graph import Graph
from diglot.own_operators import OP_TYPE, own_operator, told_failure


def has_own(graph: Graph) -> bool:
    """Whether a graph uses operators of one's own, in loops and branches, too."""
    bodies = [body for node in graph.nodes for body in node.subgraphs]
    nodes = list(graph.nodes)
    while bodies:
        body = bodies.pop()
        nodes += body.nodes
        bodies += [inner for node in body.nodes for inner in node.subgraphs]
    return any(node.op == "Custom" for node in nodes)


@cache
def make_known() -> None:
    """Tell MXNet of our operators: all are one to it, which differs by an attribute."""
    mx = load()

    class Operator(mx.operator.CustomOp):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._operator = own_operator(name)

        def forward(self, is_train, req, in_data, out_data, aux) -> None:
            arrays = [x.asnumpy() for x in in_data]
            shapes = [y.shape for y in out_data]
            values = self._tried(shapes, lambda: [self._operator.output(arrays)])
            self.assign(out_data[0], req[0], mx.nd.array(values[0], ctx=out_data[0].context))

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux) -> None:
            arrays, gradient = [x.asnumpy() for x in in_data], out_grad[0].asnumpy()
            shapes = [x.shape for x in in_data]
            found = self._tried(shapes, lambda: self._operator.gradients(gradient, arrays))
            for place, how, values in zip(in_grad, req, found, strict=True):
                self.assign(place, how, mx.nd.array(values, ctx=place.context))

        def _tried(self, shapes, function) -> list[np.ndarray]:
            """Return what a function gives as float32; where it fails, that is told later."""
            try:
                return [np.asarray(values, np.float32) for values in function()]
            except BaseException as failure:  # an interrupt, too: MXNet would swallow it
                failures.append(told_failure(self._operator.name, failure))
                return [np.full(shape, np.nan, np.float32) for shape in shapes]

    class Property(mx.operator.CustomOpProp):
        def __init__(self, operator: str, inputs: str = "1") -> None:
            super().__init__(need_top_grad=True)
            self._name, self._inputs = operator, int(inputs)

        def list_arguments(self) -> list[str]:
            return [f"input{i}" for i in range(self._inputs)]

        def infer_shape(self, in_shape):
            shape = own_operator(self._name).shape(*(tuple(s[1:]) for s in in_shape))
            return in_shape, [[in_shape[0][0], *shape]], []

        def create_operator(self, ctx, in_shapes, in_dtypes) -> Operator:
            return Operator(self._name)

    mx.operator.register(OP_TYPE)(Property)
