"""diglot on MXNet: automatic differentiation, by two inputs of a network."""

import numpy as np
from diglot.builder import Builder
from diglot.engine import open_executor
from diglot.graph import InputSpec
from problems import autodiff as given

b = Builder(InputSpec(3, 1, 1))
x = b.add("Reshape", b.data, name="column", shape=(0, 3, 1))
inner = b.add("tanh", b.add("batch_dot", b.input("W", (4, 3)), x, name="product"), name="tanh")
net = b.graph("sum", b.add("square", inner, name="square")).with_weights({})
inputs = {"data": given.x.reshape(1, 3, 1, 1), "W": given.W[None]}
by_W, by_x = (open_executor(net).gradients(inputs, name, np.ones_like)[1] for name in ("W", "data"))
given.check(by_W[0], by_x.ravel())
