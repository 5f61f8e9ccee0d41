"""``HogClassifier``: what one gets without a network, to see what a network adds."""

from diglot.baseline.estimator import HogClassifier

__all__ = ["HogClassifier"]
