"""Theano 0.8: a convolution."""

import theano
import theano.tensor as T
from problems import convolution as given

images, filters, pull = T.ftensor4(), T.ftensor4(), T.ftensor4()
output = T.nnet.conv2d(images, filters, filter_flip=False)
both = [output, theano.grad((output * pull).sum(), filters)]
function = theano.function([images, filters, pull], both)
given.check(*function(given.images, given.filters, given.pull))
