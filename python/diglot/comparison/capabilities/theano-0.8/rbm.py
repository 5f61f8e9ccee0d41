"""Theano 0.8: a restricted Boltzmann machine by contrastive divergence, written out."""

import numpy as np
import theano
import theano.tensor as T
from problems import rbm as given
from theano.tensor.shared_randomstreams import RandomStreams

draw = RandomStreams(1)
W = theano.shared(given.weights)
h_bias = theano.shared(np.zeros(given.hidden, "float32"))
v_bias = theano.shared(np.zeros(given.visible, "float32"))


def drawn(shares):
    return draw.binomial(size=shares.shape, p=shares, dtype="float32")


v0 = T.fmatrix()
p0 = T.nnet.sigmoid(T.dot(v0, W.T) + h_bias)
v1 = drawn(T.nnet.sigmoid(T.dot(drawn(p0), W) + v_bias))
p1 = T.nnet.sigmoid(T.dot(v1, W.T) + h_bias)
rate = np.float32(given.rate)
updates = [
    (W, W + rate * (T.dot(p0.T, v0) - T.dot(p1.T, v1)) / T.cast(v0.shape[0], "float32")),
    (h_bias, h_bias + rate * (p0 - p1).mean(axis=0)),
    (v_bias, v_bias + rate * (v0 - v1).mean(axis=0)),
]
step = theano.function([v0], [], updates=updates)
for rows in given.batches():
    step(rows)
given.check(W.get_value(), h_bias.get_value(), v_bias.get_value())
