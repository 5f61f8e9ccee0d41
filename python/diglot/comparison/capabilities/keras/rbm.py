"""Keras: a restricted Boltzmann machine by contrastive divergence, written out."""

import keras
from keras import ops
from problems import rbm as given

draw = keras.random.SeedGenerator(1)
W = ops.convert_to_tensor(given.weights)
h_bias, v_bias = ops.zeros(given.hidden), ops.zeros(given.visible)


def drawn(shares):
    return ops.cast(keras.random.uniform(ops.shape(shares), seed=draw) < shares, "float32")


for v0 in map(ops.convert_to_tensor, given.batches()):
    p0 = ops.sigmoid(v0 @ ops.transpose(W) + h_bias)
    v1 = drawn(ops.sigmoid(drawn(p0) @ W + v_bias))
    p1 = ops.sigmoid(v1 @ ops.transpose(W) + h_bias)
    change = ops.transpose(p0) @ v0 - ops.transpose(p1) @ v1
    W = W + given.rate * change / len(v0)
    h_bias = h_bias + given.rate * ops.mean(p0 - p1, axis=0)
    v_bias = v_bias + given.rate * ops.mean(v0 - v1, axis=0)
given.check(*map(ops.convert_to_numpy, (W, h_bias, v_bias)))
