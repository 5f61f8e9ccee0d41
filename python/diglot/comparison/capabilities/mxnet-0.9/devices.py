"""MXNet 0.9: training on two devices."""

import mxnet as mx
from problems import devices as given

line = mx.sym.FullyConnected(mx.sym.Variable("x"), num_hidden=1, no_bias=True, name="line")
loss = mx.sym.LinearRegressionOutput(line, mx.sym.Variable("y"))
module = mx.mod.Module(loss, ["x"], ["y"], context=[mx.cpu(0), mx.cpu(1)])
module.bind([("x", given.x.shape)], [("y", given.y[:, None].shape)])
module.init_params(arg_params={"line_weight": mx.nd.array(given.w[None])})
# The loss is half of the squared error, and its gradient is summed over rows and devices.
how = {"learning_rate": 2 * given.rate, "rescale_grad": 1.0 / len(given.x), "wd": 0.0}
module.init_optimizer("local", "sgd", how)
batch = mx.io.DataBatch([mx.nd.array(given.x)], [mx.nd.array(given.y[:, None])])
for _ in range(2):
    module.forward_backward(batch)
    module.update()
used = [part.context for part in module.get_outputs(merge_multi_context=False)[0]]
given.check(module.get_params()[0]["line_weight"].asnumpy(), used)
