"""Where images come in: arrays, files, folders, data frames and MNIST's IDX files."""

from diglot.datasets import example_images
from diglot.images.batches import batches
from diglot.images.cache import PreparedImages
from diglot.images.decode import decode, read_header
from diglot.images.folders import find_images, read_images, walk_images
from diglot.images.idx import read_idx, read_idx_array
from diglot.images.image_set import ImageSet
from diglot.images.prepare import prepare, prepare_file
from diglot.images.source import as_images
from diglot.images.store import ArrayStore

__all__ = [
    "ArrayStore",
    "ImageSet",
    "PreparedImages",
    "as_images",
    "batches",
    "decode",
    "example_images",
    "find_images",
    "prepare",
    "prepare_file",
    "read_header",
    "read_idx",
    "read_idx_array",
    "read_images",
    "walk_images",
]
