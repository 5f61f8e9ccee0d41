"""TensorFlow 0.12: an LSTM; its gates come in the order input, candidate, forget, output."""

import numpy as np
import tensorflow as tf
from problems import recurrence as given

x = tf.constant(given.x)
cell = tf.nn.rnn_cell.BasicLSTMCell(given.units, forget_bias=0.0)
states, _ = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)
order = np.arange(16).reshape(4, 4)[[0, 2, 1, 3]].reshape(-1)
weight, bias = tf.trainable_variables()
with tf.Session() as session:
    session.run(weight.assign(np.hstack([given.by_input, given.recurrent])[order].T))
    session.run(bias.assign(given.bias[order]))
    state = states[:, -1]
    given.check(*session.run([state, tf.gradients(state, x)[0]]))
