"""PyTensor: a graph of symbols, its gradients, one compiled function a step."""

from handover import Run

run = Run("channels first")
with run.importing():
    import numpy as np
    import pytensor
    import pytensor.tensor as pt

pytensor.config.floatX = "float32"
weights = {name: pytensor.shared(value, name) for name, value in run.weights.items()}


def convolve(x, channels, size, name, kernel, pad=0):
    """Convolve images by one matrix product: PyTensor has no layers of convolution."""
    if pad:
        x = pt.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = size + 2 * pad - kernel + 1
    places = [(i, j) for i in range(kernel) for j in range(kernel)]
    columns = pt.stack([x[:, :, i : i + out, j : j + out] for i, j in places], axis=2)
    columns = columns.transpose(1, 2, 0, 3, 4).reshape((channels * kernel * kernel, -1))
    y = weights[name + ".weight"].reshape((-1, channels * kernel * kernel)) @ columns
    y = y.reshape((-1, run.batch, out, out)) + weights[name + ".bias"][:, None, None, None]
    return y.transpose(1, 0, 2, 3)


def pool(x, channels, size):
    return x.reshape((-1, channels, size // 2, 2, size // 2, 2)).max(axis=(3, 5))


def dense(x, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


# ---- lenet
def lenet(x):
    x = pool(pt.tanh(convolve(x, 1, 28, "conv1", 5)), 20, 24)
    x = pool(pt.tanh(convolve(x, 20, 12, "conv2", 5)), 50, 8)
    return dense(pt.tanh(dense(x.reshape((run.batch, 800)), "dense1")), "dense2")


# ---- cnn
def cnn(x):
    channels, size = 3, 64
    for name, more in (("conv1", 16), ("conv2", 32), ("conv3", 64), ("conv4", 64)):
        x = pool(pt.tanh(convolve(x, channels, size, name, 3, pad=1)), more, size)
        channels, size = more, size // 2
    return dense(pt.tanh(dense(x.reshape((run.batch, 1024)), "dense1")), "dense2")


# ---- lstm
def lstm(x):
    def cell(row, h, c):
        gates = row @ weights["lstm.input"].T + h @ weights["lstm.recurrent"].T
        gates = gates + weights["lstm.bias"]
        i, f, g, o = (gates[:, 128 * n : 128 * (n + 1)] for n in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c

    zeros = pt.zeros((run.batch, 128), dtype="float32")
    h, _ = pytensor.scan(cell, x.swapaxes(0, 1), [zeros, zeros], return_updates=False)
    return dense(h[-1], "dense1")


# ---- all
images = (pt.tensor3 if run.network == "lstm" else pt.tensor4)("images", dtype="float32")
labels = pt.ivector("labels")
scores = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network](images)
loss = -pt.special.log_softmax(scores, axis=1)[pt.arange(run.batch), labels].mean()
updates = {}
for weight, gradient in zip(weights.values(), pytensor.grad(loss, list(weights.values()))):
    velocity = pytensor.shared(np.zeros_like(weight.get_value()))
    updates[velocity] = np.float32(run.momentum) * velocity + gradient
    updates[weight] = weight - np.float32(run.rate) * updates[velocity]
step = pytensor.function([images, labels], loss, updates=updates)

for batches in run.epochs():
    run.epoch_done([step(x, y) for x, y in batches])

run.on("cpu")  # its C code is for nothing else
classify = pytensor.function([images], scores.argmax(axis=1))
run.finish([classify(x) for x in run.test_batches()], version=pytensor.__version__)
