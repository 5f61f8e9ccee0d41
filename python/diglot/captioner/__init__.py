"""``ImageCaptioner``: a network that sees an image and writes a sentence about it."""

from diglot.captioner.estimator import Caption, ImageCaptioner

__all__ = ["Caption", "ImageCaptioner"]
