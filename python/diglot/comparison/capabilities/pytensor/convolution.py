"""PyTensor: a convolution, from that of one image by one filter, as there is no layer of it."""

import pytensor
import pytensor.tensor as pt
from problems import convolution as given

images, filters, pull = (pt.tensor4(dtype="float32") for _ in range(3))
turned = filters[None, :, :, ::-1, ::-1]  # a convolution of signals turns filters around
output = pt.signal.convolve2d(images[:, None], turned, mode="valid").sum(axis=2)
both = [output, pytensor.grad((output * pull).sum(), filters)]
given.check(*pytensor.function([images, filters, pull], both)(
    given.images, given.filters, given.pull
))  # fmt: skip
