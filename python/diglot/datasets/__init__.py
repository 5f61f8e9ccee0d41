"""Images that need no network: real ones that come with other packages, and drawn ones."""

from diglot.datasets.examples import example_images
from diglot.datasets.shape_checks import check_shapes
from diglot.datasets.shapes import shapes

__all__ = ["check_shapes", "example_images", "shapes"]
