"""MXNet 0.9: a restricted Boltzmann machine by contrastive divergence, written out."""

import mxnet as mx
from problems import rbm as given

mx.random.seed(1)
W = mx.nd.array(given.weights)
h_bias, v_bias = mx.nd.zeros((1, given.hidden)), mx.nd.zeros((1, given.visible))


def shares(rows, weights, bias):
    return mx.nd.sigmoid(mx.nd.broadcast_add(mx.nd.dot(rows, weights), bias))


def drawn(shares):
    return mx.nd.sign(shares - mx.random.uniform(0, 1, shares.shape)) * 0.5 + 0.5


for v0 in map(mx.nd.array, given.batches()):
    p0 = shares(v0, W.T, h_bias)
    v1 = drawn(shares(drawn(p0), W, v_bias))
    p1 = shares(v1, W.T, h_bias)
    rate = given.rate / len(v0.asnumpy())
    W += rate * (mx.nd.dot(p0.T, v0) - mx.nd.dot(p1.T, v1))
    h_bias += rate * mx.nd.sum(p0 - p1, axis=0, keepdims=True)
    v_bias += rate * mx.nd.sum(v0 - v1, axis=0, keepdims=True)
given.check(W.asnumpy(), h_bias.asnumpy()[0], v_bias.asnumpy()[0])
