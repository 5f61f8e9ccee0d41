"""JAX: pure functions, a step compiled by jax.jit."""

from handover import Run

run = Run("channels last")
with run.importing():
    import jax
    import jax.numpy as jnp
    from jax import lax


def convolve(x, weight, bias, padding):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=dimensions) + bias


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dense(p, x, name):
    return x @ p[name + ".weight"] + p[name + ".bias"]


# ---- lenet
def lenet(p, x):
    for name in ("conv1", "conv2"):
        x = pool(jnp.tanh(convolve(x, p[name + ".weight"], p[name + ".bias"], "VALID")))
    x = x.reshape(len(x), -1)
    return dense(p, jnp.tanh(dense(p, x, "dense1")), "dense2")


# ---- cnn
def cnn(p, x):
    for name in ("conv1", "conv2", "conv3", "conv4"):
        x = pool(jnp.tanh(convolve(x, p[name + ".weight"], p[name + ".bias"], "SAME")))
    x = x.reshape(len(x), -1)
    return dense(p, jnp.tanh(dense(p, x, "dense1")), "dense2")


# ---- lstm
def lstm(p, x):
    def cell(state, row):
        h, c = state
        gates = row @ p["lstm.input"] + h @ p["lstm.recurrent"] + p["lstm.bias"]
        i, f, g, o = jnp.split(gates, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), 128))
    (h, _), _ = lax.scan(cell, (zeros, zeros), x.swapaxes(0, 1))
    return dense(p, h, "dense1")


# ---- all
net = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network]


def mean_loss(p, images, labels):
    scores = jax.nn.log_softmax(net(p, images))
    return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()


@jax.jit
def step(p, velocity, images, labels):
    loss, gradient = jax.value_and_grad(mean_loss)(p, images, labels)
    velocity = jax.tree.map(lambda v, g: run.momentum * v + g, velocity, gradient)
    return jax.tree.map(lambda w, v: w - run.rate * v, p, velocity), velocity, loss


@jax.jit
def classify(p, images):
    return net(p, images).argmax(1)


weights = {name: jnp.asarray(value) for name, value in run.weights.items()}
velocity = jax.tree.map(jnp.zeros_like, weights)
for batches in run.epochs():
    losses = []
    for x, y in batches:
        weights, velocity, loss = step(weights, velocity, x, y)
        losses.append(loss)
    run.epoch_done(jax.device_get(losses))

run.on(loss.device)
run.finish([classify(weights, x) for x in run.test_batches()], version=jax.__version__)
