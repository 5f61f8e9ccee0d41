"""Theano 0.8: automatic differentiation of a graph."""

import theano
import theano.tensor as T
from problems import autodiff as given

W, x = T.fmatrix(), T.fvector()
loss = (T.tanh(T.dot(W, x)) ** 2).sum()
gradients = theano.function([W, x], theano.grad(loss, [W, x]))
given.check(*gradients(given.W, given.x))
