"""MXNet 0.9: a convolution."""

import mxnet as mx
from problems import convolution as given

images, filters = mx.sym.Variable("images"), mx.sym.Variable("filters")
output = mx.sym.Convolution(images, filters, kernel=(3, 2), num_filter=4, no_bias=True)
gradient = mx.nd.zeros(given.filters.shape)
values = {"images": mx.nd.array(given.images), "filters": mx.nd.array(given.filters)}
executor = output.bind(mx.cpu(), values, {"filters": gradient})
executor.forward(is_train=True)
executor.backward(mx.nd.array(given.pull))
given.check(executor.outputs[0].asnumpy(), gradient.asnumpy())
