"""TensorFlow: a restricted Boltzmann machine by contrastive divergence, written out."""

import tensorflow as tf
from problems import rbm as given

tf.random.set_seed(1)
W = tf.Variable(given.weights)
h_bias, v_bias = tf.Variable(tf.zeros(given.hidden)), tf.Variable(tf.zeros(given.visible))


def drawn(shares):
    return tf.cast(tf.random.uniform(tf.shape(shares)) < shares, tf.float32)


@tf.function
def step(v0):
    p0 = tf.sigmoid(v0 @ tf.transpose(W) + h_bias)
    v1 = drawn(tf.sigmoid(drawn(p0) @ W + v_bias))
    p1 = tf.sigmoid(v1 @ tf.transpose(W) + h_bias)
    change = tf.matmul(p0, v0, transpose_a=True) - tf.matmul(p1, v1, transpose_a=True)
    W.assign_add(given.rate * change / len(v0))
    h_bias.assign_add(given.rate * tf.reduce_mean(p0 - p1, 0))
    v_bias.assign_add(given.rate * tf.reduce_mean(v0 - v1, 0))


for rows in given.batches():
    step(tf.constant(rows))
given.check(W.numpy(), h_bias.numpy(), v_bias.numpy())
