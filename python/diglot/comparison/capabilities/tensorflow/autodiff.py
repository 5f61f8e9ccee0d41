"""TensorFlow: automatic differentiation."""

import tensorflow as tf
from problems import autodiff as given

W, x = tf.Variable(given.W), tf.Variable(given.x)
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.tanh(tf.linalg.matvec(W, x)) ** 2)
given.check(*tape.gradient(loss, [W, x]))
