"""MXNet 0.9: an LSTM, unrolled."""

import mxnet as mx
from problems import recurrence as given

cell = mx.rnn.LSTMCell(given.units, prefix="", forget_bias=0.0)
states, _ = cell.unroll(5, mx.sym.Variable("x"), layout="NTC")
executor = states[-1].simple_bind(mx.cpu(), x=given.x.shape)
executor.arg_dict["x"][:] = given.x
executor.arg_dict["i2h_weight"][:] = given.by_input
executor.arg_dict["h2h_weight"][:] = given.recurrent
executor.arg_dict["i2h_bias"][:] = given.bias
executor.arg_dict["h2h_bias"][:] = 0
executor.forward(is_train=True)
executor.backward(mx.nd.ones((2, given.units)))
given.check(executor.outputs[0].asnumpy(), executor.grad_dict["x"].asnumpy())
