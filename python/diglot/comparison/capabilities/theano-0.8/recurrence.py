"""Lasagne 0.1 on Theano 0.8: an LSTM."""

import theano
import theano.tensor as T
from lasagne import layers
from lasagne.nonlinearities import tanh
from problems import recurrence as given


def gate(number, **how):
    rows = slice(number * given.units, (number + 1) * given.units)
    weights = given.by_input[rows].T.copy(), given.recurrent[rows].T.copy()
    return layers.Gate(*weights, W_cell=None, b=given.bias[rows], **how)


x = T.ftensor3()
layer = layers.InputLayer(given.x.shape, x)
gates = dict(ingate=gate(0), forgetgate=gate(1), cell=gate(2, nonlinearity=tanh), outgate=gate(3))
layer = layers.LSTMLayer(layer, given.units, peepholes=False, **gates)
state = layers.get_output(layer)[:, -1]
given.check(*theano.function([x], [state, theano.grad(state.sum(), x)])(given.x))
