"""MXNet 1.9: Gluon blocks, hybridized; autograd and Trainer."""

from handover import Run

run = Run("channels first")
import numpy as np  # noqa: E402

# numpy 1.24 took these names away, and MXNet 1.9.1 still looks for them.
for name, value in {"bool": bool, "int": int, "float": float, "object": object}.items():
    if name not in np.__dict__:
        setattr(np, name, value)
with run.importing():
    import mxnet as mx
    from mxnet import autograd, gluon
    from mxnet.gluon import nn, rnn

context = mx.gpu() if run.device == "gpu" else mx.cpu()


# ---- lenet
def lenet():
    net = nn.HybridSequential()
    for channels in (20, 50):
        net.add(nn.Conv2D(channels, 5, activation="tanh"), nn.MaxPool2D(2))
    net.add(nn.Dense(500, activation="tanh"), nn.Dense(10))
    return net


# ---- cnn
def cnn():
    net = nn.HybridSequential()
    for channels in (16, 32, 64, 64):
        net.add(nn.Conv2D(channels, 3, padding=1, activation="tanh"), nn.MaxPool2D(2))
    net.add(nn.Dense(128, activation="tanh"), nn.Dense(6))
    return net


# ---- lstm
class Lstm(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.lstm = rnn.LSTM(128, layout="NTC", input_size=28)
        self.dense = nn.Dense(10)
        # cuDNN's LSTM has a second bias, which adds nothing.
        self.lstm.l0_h2h_bias.grad_req = "null"

    def hybrid_forward(self, F, x):
        states = self.lstm(x)
        return self.dense(F.slice_axis(states, axis=1, begin=-1, end=None))


# ---- all
net = {"lenet": lenet, "cnn": cnn, "lstm": Lstm}[run.network]()
net.initialize(mx.init.Zero(), ctx=context)
net.hybridize(static_alloc=True, static_shape=True)
net(mx.nd.array(run.train[0][: run.batch], ctx=context))  # the first images tell the shapes
free = [p for p in net.collect_params().values() if p.grad_req != "null"]
for parameter, value in zip(free, run.weights.values()):
    parameter.set_data(mx.nd.array(value))
loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(
    net.collect_params(), "sgd", {"learning_rate": run.rate, "momentum": run.momentum}
)


def step(images, labels):
    with autograd.record():
        losses = loss_function(net(images), labels)
    losses.backward()
    trainer.step(len(images))
    return losses.mean()


def on_device(array):
    return mx.nd.array(array, ctx=context)


for batches in run.epochs():
    losses = [step(on_device(x), on_device(y)) for x, y in batches]
    run.epoch_done([loss.asscalar() for loss in losses])

run.on(losses[-1].context)
classes = [net(on_device(x)).argmax(axis=1).asnumpy() for x in run.test_batches()]
run.finish(classes, version=mx.__version__)
