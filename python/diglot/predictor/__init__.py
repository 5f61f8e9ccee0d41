"""What the classifier, the regressor and the tagger share: rows, the loop's task, fit and file."""

from diglot.predictor.base import ImagePredictor

__all__ = ["ImagePredictor"]
