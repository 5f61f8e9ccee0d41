"""PyTensor: a loop inside a graph."""

import pytensor
import pytensor.tensor as pt
from problems import loop as given
from pytensor.scan.utils import until


def step(x, a):
    new = (x + a / x) / 2
    return new, until(pt.abs(new * new - a) < 1e-3 * a)


a = pt.fscalar()
xs = pytensor.scan(step, outputs_info=a, non_sequences=a, n_steps=100, return_updates=False)
root = pytensor.function([a], [xs[-1], xs.shape[0]])
given.check(*zip(*(root(number) for number in given.numbers)))
