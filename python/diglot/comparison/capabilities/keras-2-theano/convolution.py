"""Keras 2: a convolution."""

from keras import backend as K
from problems import convolution as given

images, filters = K.placeholder((2, 3, 8, 9)), K.placeholder((3, 2, 3, 4))
output = K.conv2d(images, filters, data_format="channels_first")
by_filters = K.gradients(K.sum(output * K.constant(given.pull)), [filters])
# Theano turns filters around.
turned = given.filters.transpose(2, 3, 1, 0)[::-1, ::-1]
output, by_turned = K.function([images, filters], [output] + by_filters)([given.images, turned])
given.check(output, by_turned[::-1, ::-1].transpose(3, 2, 0, 1))
