"""MXNet: a condition inside a graph."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import condition as given


class Branch(mx.gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.contrib.cond(F.sum(x) > 0, lambda: F.sum(F.sin(x)), lambda: F.sum(x * x))


branch = Branch()
branch.hybridize()
values, gradients = [], []
for x in map(mx.nd.array, given.xs):
    x.attach_grad()
    with mx.autograd.record():
        value = branch(x)
    value.backward()
    values.append(value.asscalar())
    gradients.append(x.grad.asnumpy())
given.check(values, gradients)
