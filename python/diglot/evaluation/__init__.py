"""How good predictions are: every metric with its interval. Arrays in, tables out."""

from diglot.evaluation.bleu import bleu_scores, bleu_statistics
from diglot.evaluation.calibration import reliability
from diglot.evaluation.captions import evaluate_captions
from diglot.evaluation.cider import CiderD
from diglot.evaluation.classification import confusion, evaluate_classes
from diglot.evaluation.intervals import wilson
from diglot.evaluation.meteor import meteor_available, meteor_score, meteor_statistics
from diglot.evaluation.numbers import evaluate_numbers
from diglot.evaluation.paired import compare_models, compare_predictions
from diglot.evaluation.roc import roc_auc, roc_curve
from diglot.evaluation.rouge import rouge_l
from diglot.evaluation.tags import evaluate_tags

__all__ = [
    "CiderD",
    "bleu_scores",
    "bleu_statistics",
    "compare_models",
    "compare_predictions",
    "confusion",
    "evaluate_captions",
    "evaluate_classes",
    "evaluate_numbers",
    "evaluate_tags",
    "meteor_available",
    "meteor_score",
    "meteor_statistics",
    "reliability",
    "roc_auc",
    "roc_curve",
    "rouge_l",
    "wilson",
]
