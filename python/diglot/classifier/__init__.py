"""``ImageClassifier``: train a network to tell classes of images apart."""

from diglot.classifier.estimator import ImageClassifier

__all__ = ["ImageClassifier"]
