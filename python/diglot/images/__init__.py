"""Where images come in: arrays, files, folders, data frames and MNIST's IDX files."""

from .batches import batches
from .cache import PreparedImages
from .decode import decode, read_header
from .prepare import prepare
from .source import ImageSet, as_images

__all__ = [
    "ImageSet",
    "PreparedImages",
    "as_images",
    "batches",
    "decode",
    "prepare",
    "read_header",
]
