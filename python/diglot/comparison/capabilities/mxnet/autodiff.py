"""MXNet: automatic differentiation."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import autodiff as given

W, x = mx.nd.array(given.W), mx.nd.array(given.x)
W.attach_grad()
x.attach_grad()
with mx.autograd.record():
    loss = (mx.nd.tanh(mx.nd.dot(W, x)) ** 2).sum()
loss.backward()
given.check(W.grad.asnumpy(), x.grad.asnumpy())
