"""PyTensor: a restricted Boltzmann machine by contrastive divergence, written out."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from problems import rbm as given
from pytensor.tensor.random.utils import RandomStream

pytensor.config.floatX = "float32"
draw = RandomStream(seed=1)
W = pytensor.shared(given.weights)
h_bias = pytensor.shared(np.zeros(given.hidden, "float32"))
v_bias = pytensor.shared(np.zeros(given.visible, "float32"))


def drawn(shares):
    return pt.cast(draw.bernoulli(shares), "float32")


v0 = pt.fmatrix()
p0 = pt.sigmoid(v0 @ W.T + h_bias)
v1 = drawn(pt.sigmoid(drawn(p0) @ W + v_bias))
p1 = pt.sigmoid(v1 @ W.T + h_bias)
rate = np.float32(given.rate)
rows = pt.cast(v0.shape[0], "float32")
updates = {
    W: W + rate * (p0.T @ v0 - p1.T @ v1) / rows,
    h_bias: h_bias + rate * (p0 - p1).mean(0),
    v_bias: v_bias + rate * (v0 - v1).mean(0),
}
step = pytensor.function([v0], [], updates=updates)
for batch in given.batches():
    step(batch)
given.check(W.get_value(), h_bias.get_value(), v_bias.get_value())
