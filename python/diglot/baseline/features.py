"""Histograms of oriented gradients: what an image shows, as a few hundred numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diglot.errors import InputError
from diglot.estimators.inputs import size_pair
from diglot.graph import InputSpec
from diglot.images import ImageSet
from diglot.images.prepare import to_unit

_LARGEST, _SMALLEST, _DIFFERENT = 128, 8, 64  # pixels a side


@dataclass(frozen=True)
class Hog:
    """How features are computed.

    Attributes
    ----------
    height, width, channels : int
        What images are brought to.
    orientations : int
        Bins of a histogram.
    cell : int
        Height and width in pixels of the squares that have a histogram each.
    block : int
        Height and width in cells of the squares within which histograms are normalised.

    References
    ----------
    N. Dalal and B. Triggs (2005), Histograms of oriented gradients for human detection, CVPR.
    """

    height: int
    width: int
    channels: int
    orientations: int
    cell: int
    block: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < self.cell * self.block:
            raise InputError(
                f"blocks of {self.block} x {self.block} cells of {self.cell} pixels do not fit "
                f"into images of {self.height} x {self.width}: use a smaller cell= or block=, or "
                "a larger size="
            )

    @property
    def count(self) -> int:
        """How many features an image has."""
        blocks = [side // self.cell - self.block + 1 for side in (self.height, self.width)]
        return blocks[0] * blocks[1] * self.block**2 * self.orientations

    def features(self, images: ImageSet) -> np.ndarray:
        """Return the features of images.

        Parameters
        ----------
        images : ImageSet
            Of any size; grey ones do for colour and the other way round. Of colours, the gradient
            of the channel where it is strongest counts, pixel by pixel.

        Returns
        -------
        ndarray of shape (n, count), float64

        Examples
        --------
        >>> from diglot.images import as_images
        >>> hog = Hog(16, 16, 1, orientations=9, cell=8, block=2)
        >>> hog.features(as_images(np.eye(16)[None])).shape, hog.count
        ((1, 36), 36)
        """
        from skimage.feature import hog

        spec = InputSpec(self.height, self.width, self.channels, convert_colour=True)
        found = np.empty((len(images), self.count))
        for i in range(len(images)):
            image = to_unit(images.prepared(i, spec))
            found[i] = hog(
                image,
                orientations=self.orientations,
                pixels_per_cell=(self.cell, self.cell),
                cells_per_block=(self.block, self.block),
                channel_axis=-1,
            )
        return found


def common_size(images: ImageSet, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width to bring images to.

    By default what they share, made smaller in proportion where a side is longer than 128 pixels
    and larger where one is shorter than 8; 64 x 64 where they differ.

    Examples
    --------
    >>> from diglot.images import as_images
    >>> common_size(as_images(np.zeros((2, 100, 256))), None)
    (50, 128)
    """
    if size is not None:
        return size_pair(size)
    sizes = images.sizes()
    if (sizes != sizes[0]).any():
        return _DIFFERENT, _DIFFERENT
    factor = min(1.0, _LARGEST / sizes[0].max())
    height, width = (max(_SMALLEST, round(float(side) * factor)) for side in sizes[0])
    return height, width


def cell_of(height: int, width: int) -> int:
    """Return the size of a cell: an eighth of the shorter side, from 2 to 8 pixels.

    Examples
    --------
    >>> cell_of(8, 8), cell_of(28, 28), cell_of(128, 100)
    (2, 3, 8)
    """
    return min(8, max(2, min(height, width) // 8))
