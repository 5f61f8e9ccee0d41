"""TensorFlow 0.12: a graph with placeholders, run in a session."""

from handover import Run

run = Run("channels last")
with run.importing():
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.client import device_lib

given = run.weights


def variable(name):
    return tf.Variable(given[name])


def dense(x, name):
    return tf.matmul(x, variable(name + ".weight")) + variable(name + ".bias")


def pool(x):
    return tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "VALID")


# ---- lenet
def lenet(x):
    for name in ("conv1", "conv2"):
        x = tf.nn.conv2d(x, variable(name + ".weight"), [1, 1, 1, 1], "VALID")
        x = pool(tf.nn.tanh(tf.nn.bias_add(x, variable(name + ".bias"))))
    return dense(tf.nn.tanh(dense(tf.reshape(x, (-1, 800)), "dense1")), "dense2")


# ---- cnn
def cnn(x):
    for name in ("conv1", "conv2", "conv3", "conv4"):
        x = tf.nn.conv2d(x, variable(name + ".weight"), [1, 1, 1, 1], "SAME")
        x = pool(tf.nn.tanh(tf.nn.bias_add(x, variable(name + ".bias"))))
    return dense(tf.nn.tanh(dense(tf.reshape(x, (-1, 1024)), "dense1")), "dense2")


# ---- lstm
def lstm(x):
    # Its gates are input, candidate, forget, output; its weights those of input and state, stacked.
    stacked = np.concatenate([given["lstm.input"], given["lstm.recurrent"]])
    order = np.concatenate([np.arange(128 * n, 128 * (n + 1)) for n in (0, 2, 1, 3)])
    cell = tf.nn.rnn_cell.BasicLSTMCell(128, forget_bias=0.0)
    states, _ = tf.nn.rnn(cell, tf.unstack(x, axis=1), dtype=tf.float32)
    for weight, value in zip(
        tf.trainable_variables(), (stacked[:, order], given["lstm.bias"][order])
    ):
        first_values.append(tf.assign(weight, value))
    return dense(states[-1], "dense1")


# ---- all
first_values = []
shape = (None,) + run.train[0].shape[1:]
images, labels = tf.placeholder(tf.float32, shape), tf.placeholder(tf.int32, (None,))
scores = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network](images)
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(scores, labels))
train = tf.train.MomentumOptimizer(run.rate, run.momentum).minimize(loss)
classes = tf.argmax(scores, 1)

session = tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=run.threads))
session.run(tf.global_variables_initializer())
session.run(first_values)


def step(x, y):
    return session.run([loss, train], {images: x, labels: y})[0]


for batches in run.epochs():
    run.epoch_done([step(x, y) for x, y in batches])

run.on(device_lib.list_local_devices()[-1].name)  # the last is a GPU, if there is one
found = [session.run(classes, {images: x}) for x in run.test_batches()]
run.finish(found, version=tf.__version__)
