"""TensorFlow 0.12: a new operator in Python; its gradient goes by a name that is overridden."""

import tensorflow as tf
from problems import custom_operator as given


@tf.RegisterGradient("Rounded")
def backward(op, pull):
    return tf.py_func(given.backward, [pull, op.inputs[0]], [tf.float32])[0]


x = tf.constant(given.x)
with tf.get_default_graph().gradient_override_map({"PyFunc": "Rounded"}):
    output = tf.py_func(given.forward, [x], [tf.float32])[0]
given.check(*tf.Session().run([output, tf.gradients(output, x, tf.constant(given.pull))[0]]))
