"""Keras: training on two devices."""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"  # processors, for JAX
import keras
from problems import devices as given

names = keras.distribution.list_devices()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names[:2]))
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
model.set_weights([given.w[:, None]])
model.compile(keras.optimizers.SGD(given.rate), "mse")
for _ in range(2):
    model.train_on_batch(given.x, given.y[:, None])
used = model.layers[0].kernel.value.devices()
given.check(model.get_weights()[0], used)
