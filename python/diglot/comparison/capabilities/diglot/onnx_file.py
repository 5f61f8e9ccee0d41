"""diglot on MXNet: a file in ONNX's format; that needs no other package."""

from diglot import pretrained
from problems import onnx_file as given

given.write("small.onnx")
net = pretrained(weights="small.onnx", size=(2, 2), channels=1, mean=0, std=1)
given.check(net.logits(given.x.transpose(0, 2, 3, 1)))
