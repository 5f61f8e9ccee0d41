"""diglot on MXNet: training on two devices."""

from diglot.builder import Builder
from diglot.engine import Optimiser, open_executor, pick_device
from diglot.graph import InputSpec
from problems import devices as given

b = Builder(InputSpec(3, 1, 1))
answer = b.add("FullyConnected", b.data, name="line", num_hidden=1, no_bias=True)
net = b.graph("line", answer).with_weights({"line_weight": given.w[None]})
b = Builder(net.input, net)
wrong = b.add("elemwise_sub", b.start_output(), b.input("y", (1,)), name="wrong")
loss = b.graph("loss", b.add("sum", b.add("square", wrong, name="square"), name="loss", axis=1))
executor = open_executor(net, pick_device(["cpu:0", "cpu:1"]))
executor.prepare_training(loss, Optimiser("sgd", momentum=0))
for _ in range(2):
    images = given.x.reshape(-1, 3, 1, 1)
    executor.train_step({"data": images, "y": given.y[:, None]}, rate=given.rate, seed=1)
used = [executor.device.kind + str(executor.device.index), *executor.device.beside]
given.check(executor.weights()["line_weight"], used)
