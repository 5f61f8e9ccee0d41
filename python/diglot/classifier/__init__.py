"""Image classification: ``ImageClassifier``, and the functions that load one."""

from diglot.classifier.estimator import ImageClassifier, load, loads

__all__ = ["ImageClassifier", "load", "loads"]
