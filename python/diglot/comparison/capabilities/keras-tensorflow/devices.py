"""Keras on TensorFlow: training on two devices, by TensorFlow's own means."""

import keras
import tensorflow as tf
from problems import devices as given

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(given.rate), "mse")
model.set_weights([given.w[:, None]])
# A batch is divided among the devices.
model.fit(given.x, given.y[:, None], batch_size=8, epochs=2, shuffle=False, verbose=0)
used = [value.device for value in model.layers[0].kernel.value.values]
given.check(model.get_weights()[0], used)
