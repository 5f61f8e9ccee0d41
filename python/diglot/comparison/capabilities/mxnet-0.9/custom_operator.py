"""MXNet 0.9: a new operator in Python, with its gradient."""

import mxnet as mx
from problems import custom_operator as given


class Rounded(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], mx.nd.array(given.forward(in_data[0].asnumpy())))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        gradient = given.backward(out_grad[0].asnumpy(), in_data[0].asnumpy())
        self.assign(in_grad[0], req[0], mx.nd.array(gradient))


@mx.operator.register("rounded")
class RoundedProp(mx.operator.CustomOpProp):
    def __init__(self):
        # Else the gradient of the output is not handed on, and the process dies of it.
        super().__init__(need_top_grad=True)

    def create_operator(self, ctx, shapes, dtypes):
        return Rounded()


gradient = mx.nd.zeros(given.x.shape)
output = mx.sym.Custom(mx.sym.Variable("x"), op_type="rounded")
executor = output.bind(mx.cpu(), {"x": mx.nd.array(given.x)}, {"x": gradient})
executor.forward(is_train=True)
pull = mx.nd.array(given.pull)
executor.backward(pull)
given.check(executor.outputs[0].asnumpy(), gradient.asnumpy())
