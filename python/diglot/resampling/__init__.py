"""Resampling: cross-validation and learning curves, with intervals that know folds depend."""

from diglot.resampling.cross_validate import Resamples, cross_validate
from diglot.resampling.folds import Fold, make_folds, strata
from diglot.resampling.intervals import corrected_interval, summarise
from diglot.resampling.learning_curve import LearningCurve, learning_curve

__all__ = [
    "Fold",
    "LearningCurve",
    "Resamples",
    "corrected_interval",
    "cross_validate",
    "learning_curve",
    "make_folds",
    "strata",
    "summarise",
]
