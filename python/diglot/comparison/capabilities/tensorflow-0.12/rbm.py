"""TensorFlow 0.12: a restricted Boltzmann machine by contrastive divergence, written out."""

import tensorflow as tf
from problems import rbm as given

tf.set_random_seed(1)
W = tf.Variable(given.weights)
h_bias, v_bias = tf.Variable(tf.zeros([given.hidden])), tf.Variable(tf.zeros([given.visible]))


def drawn(shares):
    return tf.to_float(tf.random_uniform(tf.shape(shares)) < shares)


v0 = tf.placeholder(tf.float32, (None, given.visible))
p0 = tf.sigmoid(tf.matmul(v0, W, transpose_b=True) + h_bias)
v1 = drawn(tf.sigmoid(tf.matmul(drawn(p0), W) + v_bias))
p1 = tf.sigmoid(tf.matmul(v1, W, transpose_b=True) + h_bias)
change = tf.matmul(p0, v0, transpose_a=True) - tf.matmul(p1, v1, transpose_a=True)
changes = [change / tf.to_float(tf.shape(v0)[0])]
changes += [tf.reduce_mean(p0 - p1, 0), tf.reduce_mean(v0 - v1, 0)]
with tf.control_dependencies(changes):  # all of them from the weights as they were
    weights = zip((W, h_bias, v_bias), changes)
    step = tf.group(*(tf.assign_add(weight, given.rate * by) for weight, by in weights))
session = tf.Session()
session.run(tf.global_variables_initializer())
for rows in given.batches():
    session.run(step, {v0: rows})
given.check(*session.run([W, h_bias, v_bias]))
