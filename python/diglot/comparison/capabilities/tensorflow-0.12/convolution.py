"""TensorFlow 0.12: a convolution, with channels last."""

import tensorflow as tf
from problems import convolution as given

filters = tf.constant(given.filters.transpose(2, 3, 1, 0).copy())
images = tf.constant(given.images.transpose(0, 2, 3, 1).copy())
output = tf.nn.conv2d(images, filters, [1, 1, 1, 1], "VALID")
pull = tf.constant(given.pull.transpose(0, 2, 3, 1).copy())
found, by_filters = tf.Session().run([output, tf.gradients(output, filters, pull)[0]])
given.check(found.transpose(0, 3, 1, 2), by_filters.transpose(3, 2, 0, 1))
