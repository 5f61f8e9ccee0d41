"""MXNet: a file in ONNX's format; that needs the package onnx."""

import old_numpy  # noqa: F401
import mxnet as mx
from problems import onnx_file as given

given.write("small.onnx")
net = mx.contrib.onnx.import_to_gluon("small.onnx", mx.cpu())
given.check(net(mx.nd.array(given.x)).asnumpy())
