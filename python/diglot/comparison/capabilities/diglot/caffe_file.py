"""diglot on MXNet: a network in Caffe's format; that needs no other package."""

from diglot import pretrained
from problems import caffe_file as given

given.write("small.prototxt", "small.caffemodel")
net = pretrained(weights="small.caffemodel", mean=0, std=1)
given.check(net.logits(given.x.transpose(0, 2, 3, 1)))
