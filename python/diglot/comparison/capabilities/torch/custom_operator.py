"""PyTorch: a new operator in Python, with its gradient."""

import torch
from problems import custom_operator as given


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.from_numpy(given.forward(x.detach().numpy()))

    @staticmethod
    def backward(context, pull):
        (x,) = context.saved_tensors
        return torch.from_numpy(given.backward(pull.numpy(), x.detach().numpy()))


x = torch.tensor(given.x, requires_grad=True)
output = Rounded.apply(x)
output.backward(torch.tensor(given.pull))
given.check(output.detach(), x.grad)
