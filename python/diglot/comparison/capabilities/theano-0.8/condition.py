"""Theano 0.8: a condition inside a graph."""

import theano
import theano.tensor as T
from problems import condition as given
from theano.ifelse import ifelse

x = T.fvector()
value = ifelse(T.gt(x.sum(), 0), T.sin(x).sum(), (x * x).sum())
both = theano.function([x], [value, theano.grad(value, x)])
given.check(*zip(*(both(numbers) for numbers in given.xs)))
