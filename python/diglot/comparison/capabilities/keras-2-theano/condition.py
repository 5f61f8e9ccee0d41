"""Keras 2: a condition inside a graph."""

from keras import backend as K
from problems import condition as given

x = K.placeholder((3,))
value = K.switch(K.sum(x) > 0, K.sum(K.sin(x)), K.sum(K.square(x)))
both = K.function([x], [value] + K.gradients(value, [x]))
given.check(*zip(*(both([numbers]) for numbers in given.xs)))
