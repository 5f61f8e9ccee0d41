"""TensorFlow: an LSTM."""

import tensorflow as tf
from problems import recurrence as given

lstm = tf.keras.layers.LSTM(given.units)
lstm.build(given.x.shape)
lstm.set_weights([given.by_input.T, given.recurrent.T, given.bias])
x = tf.Variable(given.x)
with tf.GradientTape() as tape:
    state = lstm(x)
    loss = tf.reduce_sum(state)
given.check(state, tape.gradient(loss, x))
