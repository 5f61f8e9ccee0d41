"""diglot on MXNet: an LSTM over the rows of an image."""

import numpy as np
from diglot.builder import Builder
from diglot.engine import open_executor
from diglot.graph import InputSpec
from problems import recurrence as given

n, time, features = given.x.shape
parts = given.by_input, given.recurrent, given.bias, 0 * given.bias
weights = np.concatenate([part.ravel() for part in parts])
b = Builder(InputSpec(time, features, 1))
x = b.add("Reshape", b.data, name="rows", shape=(0, time, features))
x = b.add("SwapAxis", x, name="time_in_front", dim1=0, dim2=1)
begin = b.add("SwapAxis", b.input("begin", (1, given.units)), name="begin_in", dim1=0, dim2=1)
flat = b.parameter("lstm_weight", weights.shape)
size = {"mode": "lstm", "state_size": given.units, "num_layers": 1}
states = b.add("RNN", x, flat, begin, begin, name="lstm", **size)
states = b.add("SwapAxis", states, name="images_in_front", dim1=0, dim2=1)
last = b.add("slice_axis", states, name="last", axis=1, begin=-1, end=None)
net = b.graph("lstm", last).with_weights({"lstm_weight": weights})
inputs = {"data": given.x[..., None], "begin": np.zeros((n, 1, given.units), np.float32)}
state, by_x = open_executor(net).gradients(inputs, "data", np.ones_like)
given.check(state[:, 0], by_x[..., 0])
