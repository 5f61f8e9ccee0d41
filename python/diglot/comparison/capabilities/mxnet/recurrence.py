"""MXNet: an LSTM."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import recurrence as given

lstm = mx.gluon.rnn.LSTM(given.units, layout="NTC", input_size=3)
lstm.initialize(mx.init.Zero())
lstm.l0_i2h_weight.set_data(mx.nd.array(given.by_input))
lstm.l0_h2h_weight.set_data(mx.nd.array(given.recurrent))
lstm.l0_i2h_bias.set_data(mx.nd.array(given.bias))
x = mx.nd.array(given.x)
x.attach_grad()
with mx.autograd.record():
    state = lstm(x)[:, -1]
state.backward()
given.check(state.asnumpy(), x.grad.asnumpy())
