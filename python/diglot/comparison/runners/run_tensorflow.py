"""TensorFlow 2: variables, tf.nn, a step compiled by tf.function."""

from handover import Run

run = Run("channels last")
with run.importing():
    import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(run.threads)
device = "/GPU:0" if run.device == "gpu" else "/CPU:0"
with tf.device(device):
    weights = {name: tf.Variable(value) for name, value in run.weights.items()}


def dense(x, name):
    return x @ weights[name + ".weight"] + weights[name + ".bias"]


# ---- lenet
def lenet(x):
    for name in ("conv1", "conv2"):
        x = tf.nn.conv2d(x, weights[name + ".weight"], 1, "VALID")
        x = tf.nn.tanh(tf.nn.bias_add(x, weights[name + ".bias"]))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, (-1, 800))
    return dense(tf.nn.tanh(dense(x, "dense1")), "dense2")


# ---- cnn
def cnn(x):
    for name in ("conv1", "conv2", "conv3", "conv4"):
        x = tf.nn.conv2d(x, weights[name + ".weight"], 1, "SAME")
        x = tf.nn.tanh(tf.nn.bias_add(x, weights[name + ".bias"]))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, (-1, 1024))
    return dense(tf.nn.tanh(dense(x, "dense1")), "dense2")


# ---- lstm
def lstm(x):
    h = c = tf.zeros((tf.shape(x)[0], 128))
    for row in tf.unstack(x, axis=1):
        gates = row @ weights["lstm.input"] + h @ weights["lstm.recurrent"] + weights["lstm.bias"]
        i, f, g, o = tf.split(gates, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
    return dense(h, "dense1")


# ---- all
net = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network]
variables = list(weights.values())
velocities = [tf.Variable(tf.zeros_like(variable)) for variable in variables]


@tf.function
def step(images, labels):
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, net(images))
        loss = tf.reduce_mean(losses)
    for variable, velocity, gradient in zip(variables, velocities, tape.gradient(loss, variables)):
        velocity.assign(run.momentum * velocity + gradient)
        variable.assign_sub(run.rate * velocity)
    return loss


@tf.function
def classify(images):
    return tf.argmax(net(images), axis=1)


with tf.device(device):
    for batches in run.epochs():
        losses = [step(tf.constant(x), tf.constant(y)) for x, y in batches]
        run.epoch_done([loss.numpy() for loss in losses])
    run.on(losses[-1].device)
    classes = [classify(tf.constant(x)).numpy() for x in run.test_batches()]
run.finish(classes, version=tf.__version__)
