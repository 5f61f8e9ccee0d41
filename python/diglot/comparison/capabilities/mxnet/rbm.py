"""MXNet: a restricted Boltzmann machine by contrastive divergence, written out."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import rbm as given

mx.random.seed(1)
W = mx.nd.array(given.weights)
h_bias, v_bias = mx.nd.zeros(given.hidden), mx.nd.zeros(given.visible)


def drawn(shares):
    return mx.nd.random.uniform(shape=shares.shape) < shares


for v0 in map(mx.nd.array, given.batches()):
    p0 = mx.nd.sigmoid(mx.nd.dot(v0, W.T) + h_bias)
    v1 = drawn(mx.nd.sigmoid(mx.nd.dot(drawn(p0), W) + v_bias))
    p1 = mx.nd.sigmoid(mx.nd.dot(v1, W.T) + h_bias)
    W += given.rate * (mx.nd.dot(p0.T, v0) - mx.nd.dot(p1.T, v1)) / len(v0)
    h_bias += given.rate * (p0 - p1).mean(axis=0)
    v_bias += given.rate * (v0 - v1).mean(axis=0)
given.check(W.asnumpy(), h_bias.asnumpy(), v_bias.asnumpy())
