"""diglot on MXNet: a condition inside a network."""

import numpy as np
from diglot.builder import Builder
from diglot.control_flow import cond
from diglot.engine import open_executor
from diglot.graph import InputSpec
from problems import condition as given

b = Builder(InputSpec(3, 1, 1))
is_up = b.add("_greater_scalar", b.add("sum", b.data, name="sum"), name="is_up", scalar=0)
(branch,) = cond(
    b,
    is_up,
    lambda inner: inner.add("sin", b.data, name="sin"),
    lambda inner: inner.add("square", b.data, name="square"),
    name="branch",
)
net = b.graph("branch", b.add("sum", branch, name="total", axis=(1, 2, 3))).with_weights({})
found = [
    open_executor(net).gradients({"data": x.reshape(1, 3, 1, 1)}, "data", np.ones_like)
    for x in given.xs
]
given.check([value.item() for value, _ in found], [by_x.ravel() for _, by_x in found])
