"""TensorFlow: training on two devices."""

import tensorflow as tf
from problems import devices as given

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    w = tf.Variable(given.w)
    optimizer = tf.keras.optimizers.SGD(given.rate)
data = tf.data.Dataset.from_tensors((given.x, given.y)).unbatch().batch(8).repeat(2)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        # Gradients are summed over the devices.
        loss = tf.reduce_sum((tf.linalg.matvec(x, w) - y) ** 2) / 8
    optimizer.apply_gradients([(tape.gradient(loss, w), w)])


for x, y in strategy.experimental_distribute_dataset(data):
    strategy.run(step, (x, y))
used = [value.device for value in w.values]
given.check(w.numpy(), used)
