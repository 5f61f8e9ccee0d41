"""Networks from Caffe's files: a description in text, and its weights."""

from __future__ import annotations

from diglot.weights.caffe.caffemodel import read_caffemodel
from diglot.weights.caffe.network import IMAGENET_MEAN, caffe_network, read_caffe

__all__ = ["IMAGENET_MEAN", "caffe_network", "read_caffe", "read_caffemodel"]
