"""Random changes to training images: they teach a model what does not matter.

What happens to an image depends on its key alone, not on the other images of its batch, on
threads or on the order of calls.
"""

from diglot.augment.changes import Augment, FunctionAugment, augment
from diglot.augment.draws import row_keys, uniforms
from diglot.augment.geometry import warp
from diglot.augment.targets import mixup, smooth

__all__ = [
    "Augment",
    "FunctionAugment",
    "augment",
    "mixup",
    "row_keys",
    "smooth",
    "uniforms",
    "warp",
]
