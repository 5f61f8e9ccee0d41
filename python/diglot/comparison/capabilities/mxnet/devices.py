"""MXNet: training on two devices."""

import old_numpy  # noqa: F401
import mxnet as mx
from mxnet.gluon.utils import split_and_load
from problems import devices as given

contexts = [mx.cpu(0), mx.cpu(1)]
model = mx.gluon.nn.Dense(1, use_bias=False, in_units=3)
model.initialize(ctx=contexts)
model.weight.set_data(mx.nd.array(given.w[None]))
trainer = mx.gluon.Trainer(model.collect_params(), "sgd", {"learning_rate": given.rate})
parts = zip(*(split_and_load(mx.nd.array(part), contexts) for part in (given.x, given.y)))
parts = list(parts)
for _ in range(2):
    with mx.autograd.record():
        losses = [((model(x)[:, 0] - y) ** 2).sum() for x, y in parts]
    mx.autograd.backward(losses)
    trainer.step(len(given.x))  # gradients are summed over the devices
used = [weight.context for weight in model.weight.list_data()]
given.check(model.weight.data(contexts[1]).asnumpy(), used)
