"""diglot on MXNet: a new operator in Python, with its gradient, in a network."""

import numpy as np
from diglot import register_operator
from diglot.builder import Builder
from diglot.engine import open_executor
from diglot.graph import InputSpec
from diglot.networks.layers import own
from problems import custom_operator as given

register_operator("rounded", given.forward, given.backward)
b = Builder(InputSpec(1, 6, 1))
net = b.graph("rounded", own(b, "rounded", b.data, name="rounded")).with_weights({})
images = {"data": given.x.reshape(1, 1, 6, 1)}
pull = given.pull.reshape(1, 1, 1, 6)
output, by_x = open_executor(net).gradients(images, "data", lambda output: pull)
given.check(np.ravel(output), np.ravel(by_x))
