"""PyTensor: a new operator in Python, with its gradient."""

import pytensor
import pytensor.tensor as pt
from problems import custom_operator as given
from pytensor.graph import Apply, Op


class Backward(Op):
    def make_node(self, pull, x):
        return Apply(self, [pull, x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = given.backward(*inputs)


class Rounded(Op):
    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = given.forward(inputs[0])

    def pullback(self, inputs, outputs, pulls):
        return [Backward()(pulls[0], inputs[0])]


x, pull = pt.fvector(), pt.fvector()
output = Rounded()(x)
both = [output, pytensor.grad((output * pull).sum(), x)]
given.check(*pytensor.function([x, pull], both)(given.x, given.pull))
