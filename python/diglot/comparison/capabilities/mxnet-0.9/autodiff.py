"""MXNet 0.9: automatic differentiation of a symbol."""

import mxnet as mx
from problems import autodiff as given

W, x = mx.sym.Variable("W"), mx.sym.Variable("x")
loss = mx.sym.MakeLoss(mx.sym.sum(mx.sym.square(mx.sym.tanh(mx.sym.dot(W, x)))))
values = {"W": mx.nd.array(given.W), "x": mx.nd.array(given.x[:, None])}
gradients = {name: mx.nd.zeros(value.shape) for name, value in values.items()}
executor = loss.bind(mx.cpu(), values, gradients)
executor.forward(is_train=True)
executor.backward()
given.check(gradients["W"].asnumpy(), gradients["x"].asnumpy()[:, 0])
