"""MXNet: a convolution."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import convolution as given

filters = mx.nd.array(given.filters)
filters.attach_grad()
with mx.autograd.record():
    output = mx.nd.Convolution(
        mx.nd.array(given.images), filters, kernel=(3, 2), num_filter=4, no_bias=True
    )
output.backward(mx.nd.array(given.pull))
given.check(output.asnumpy(), filters.grad.asnumpy())
