"""Theano 0.8: a new operator in Python, with its gradient."""

import theano
import theano.tensor as T
from problems import custom_operator as given


class Backward(theano.Op):
    __props__ = ()

    def make_node(self, pull, x):
        return theano.Apply(self, [pull, x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = given.backward(*inputs)


class Rounded(theano.Op):
    __props__ = ()

    def make_node(self, x):
        return theano.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = given.forward(inputs[0])

    def grad(self, inputs, pulls):
        return [Backward()(pulls[0], inputs[0])]


x, pull = T.fvector(), T.fvector()
output = Rounded()(x)
both = [output, theano.grad((output * pull).sum(), x)]
given.check(*theano.function([x, pull], both)(given.x, given.pull))
