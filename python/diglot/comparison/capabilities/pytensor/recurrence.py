"""PyTensor: an LSTM, written out, as there is no layer of it; its loop is inside the graph."""

import pytensor
import pytensor.tensor as pt
from problems import recurrence as given


def cell(row, h, c):
    gates = row @ given.by_input.T + h @ given.recurrent.T + given.bias
    i, f, g, o = (gates[:, given.units * n : given.units * (n + 1)] for n in range(4))
    c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
    return pt.sigmoid(o) * pt.tanh(c), c


x = pt.tensor3(dtype="float32")
zeros = pt.zeros((2, given.units), dtype="float32")
states, _ = pytensor.scan(cell, x.swapaxes(0, 1), [zeros, zeros], return_updates=False)
both = [states[-1], pytensor.grad(states[-1].sum(), x)]
given.check(*pytensor.function([x], both)(given.x))
