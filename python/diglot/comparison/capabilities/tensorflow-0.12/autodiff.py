"""TensorFlow 0.12: automatic differentiation of a graph."""

import tensorflow as tf
from problems import autodiff as given

W, x = tf.constant(given.W), tf.constant(given.x[:, None])
loss = tf.reduce_sum(tf.square(tf.tanh(tf.matmul(W, x))))
by_W, by_x = tf.Session().run(tf.gradients(loss, [W, x]))
given.check(by_W, by_x[:, 0])
