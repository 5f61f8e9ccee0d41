"""diglot on MXNet: a convolution; a step of size 1 takes the gradient off its filters."""

from diglot.builder import Builder
from diglot.engine import Optimiser, open_executor
from diglot.graph import InputSpec
from diglot.networks.layers import conv
from problems import convolution as given

b = Builder(InputSpec(8, 9, 3))
output = conv(b, b.data, 4, (3, 2), pad=0, bias=False, name="conv")
net = b.graph("convolution", output).with_weights({"conv_weight": given.filters})
b = Builder(net.input, net)
loss = b.add("elemwise_mul", b.start_output(), b.input("pull", (4, 6, 8)), name="weighed")
loss = b.graph("loss", b.add("sum", loss, name="loss", axis=(1, 2, 3)))

images, count = given.images.transpose(0, 2, 3, 1), len(given.images)
executor = open_executor(net)
output = executor.forward({"data": images})
executor.prepare_training(loss, Optimiser("sgd", momentum=0))
# The mean over the images goes down: so many times the rate is the sum's gradient.
executor.train_step({"data": images, "pull": given.pull}, rate=count, seed=1)
given.check(output, given.filters - executor.weights()["conv_weight"])
