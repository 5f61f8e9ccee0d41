"""Keras: a convolution; its gradient is left to the backend, so that a layer learns it here."""

import keras
from problems import convolution as given

images = given.images.transpose(0, 2, 3, 1)
layer = keras.layers.Conv2D(4, (3, 2), use_bias=False)
model = keras.Sequential([keras.Input(images.shape[1:]), layer])
layer.set_weights([given.filters.transpose(2, 3, 1, 0)])
output = model.predict(images, verbose=0)
# One step of size 1 on the sum of output * pull takes the gradient off the filters.
model.compile(keras.optimizers.SGD(1.0), lambda pull, y: keras.ops.sum(y * pull) / len(images))
model.train_on_batch(images, len(images) * given.pull.transpose(0, 2, 3, 1))
by_filters = given.filters - layer.get_weights()[0].transpose(3, 2, 0, 1)
given.check(output.transpose(0, 3, 1, 2), by_filters)
