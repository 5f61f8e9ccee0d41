"""TensorFlow 0.12: training on two devices, whose gradients are averaged by hand."""

import tensorflow as tf
from problems import devices as given

w = tf.Variable(given.w[:, None])
gradients = []
for device, rows in (("/cpu:0", slice(0, 4)), ("/cpu:1", slice(4, 8))):
    with tf.device(device):
        x, y = tf.constant(given.x[rows]), tf.constant(given.y[rows, None])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        gradients += tf.gradients(loss, w)
step = w.assign_sub(given.rate * tf.add_n(gradients) / len(gradients))
session = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
session.run(tf.global_variables_initializer())
told, options = tf.RunMetadata(), tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
for _ in range(2):
    session.run(step, options=options, run_metadata=told)
used = [stats.device for stats in told.step_stats.dev_stats]
given.check(session.run(w), used)
