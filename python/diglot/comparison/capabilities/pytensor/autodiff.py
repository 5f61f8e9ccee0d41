"""PyTensor: automatic differentiation."""

import pytensor
import pytensor.tensor as pt
from problems import autodiff as given

W, x = pt.fmatrix(), pt.fvector()
loss = (pt.tanh(W @ x) ** 2).sum()
gradients = pytensor.function([W, x], pytensor.grad(loss, [W, x]))
given.check(*gradients(given.W, given.x))
