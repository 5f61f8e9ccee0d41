"""MXNet 0.9.5: a symbol with a loss at its end, trained by the Module interface."""

from handover import Run

run = Run("channels first")
with run.importing():
    import mxnet as mx
    import numpy as np


# ---- lenet
def lenet(x):
    for number, channels in enumerate((20, 50), 1):
        x = mx.sym.Convolution(x, num_filter=channels, kernel=(5, 5), name="conv%d" % number)
        x = mx.sym.Activation(x, act_type="tanh")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=500, name="dense1")
    return mx.sym.FullyConnected(
        mx.sym.Activation(x, act_type="tanh"), num_hidden=10, name="dense2"
    )


# ---- cnn
def cnn(x):
    for number, channels in enumerate((16, 32, 64, 64), 1):
        name = "conv%d" % number
        x = mx.sym.Convolution(x, num_filter=channels, kernel=(3, 3), pad=(1, 1), name=name)
        x = mx.sym.Activation(x, act_type="tanh")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=128, name="dense1")
    return mx.sym.FullyConnected(mx.sym.Activation(x, act_type="tanh"), num_hidden=6, name="dense2")


# ---- lstm
def lstm(x):
    # Its cell has a second bias, which adds nothing and stays 0.
    cell = mx.rnn.LSTMCell(128, prefix="lstm_", forget_bias=0.0)
    states, _ = cell.unroll(28, x, layout="NTC")
    return mx.sym.FullyConnected(states[-1], num_hidden=10, name="dense1")


# ---- all
net = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network](mx.sym.Variable("data"))
net = mx.sym.SoftmaxOutput(net, name="softmax")
shape = (run.batch,) + run.train[0].shape[1:]
fixed = [name for name in net.list_arguments() if name == "lstm_h2h_bias"]
context = mx.gpu() if run.device == "gpu" else mx.cpu()
module = mx.mod.Module(net, context=context, fixed_param_names=fixed)
module.bind([("data", shape)], [("softmax_label", (run.batch,))])
names = {"lstm.input": "lstm_i2h_weight", "lstm.recurrent": "lstm_h2h_weight"}
names["lstm.bias"] = "lstm_i2h_bias"
weights = {
    names.get(name, name.replace(".", "_")): mx.nd.array(value)
    for name, value in run.weights.items()
}
module.init_params(mx.init.Zero(), arg_params=weights, allow_missing=True)
module.init_optimizer(
    kvstore=None,
    optimizer="sgd",
    optimizer_params={
        "learning_rate": run.rate,
        "momentum": run.momentum,
        "wd": 0.0,
        "rescale_grad": 1.0 / run.batch,
    },
)


def step(x, y):
    module.forward_backward(mx.io.DataBatch([mx.nd.array(x)], [mx.nd.array(y)]))
    module.update()
    shares = module.get_outputs()[0].asnumpy()
    return -np.log(shares[np.arange(len(y)), y]).mean()


for batches in run.epochs():
    run.epoch_done([step(x, y) for x, y in batches])

run.on(module.get_outputs()[0].context)
classes = []
for x in run.test_batches():
    module.forward(mx.io.DataBatch([mx.nd.array(x)], None), is_train=False)
    classes.append(module.get_outputs()[0].asnumpy().argmax(axis=1))
run.finish(classes, version=mx.__version__)
