"""How good predictions are: every metric with its interval. Arrays in, tables out."""

from diglot.evaluation.classification import confusion, evaluate_classes, wilson

__all__ = ["confusion", "evaluate_classes", "wilson"]
