"""TensorFlow: a new operator in Python, with its gradient, inside a graph."""

import tensorflow as tf
from problems import custom_operator as given


@tf.custom_gradient
def rounded(x):
    def backward(pull):
        return tf.numpy_function(given.backward, [pull, x], tf.float32)

    return tf.numpy_function(given.forward, [x], tf.float32), backward


@tf.function
def both(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = rounded(x)
    return output, tape.gradient(output, x, output_gradients=tf.constant(given.pull))


given.check(*both(tf.constant(given.x)))
