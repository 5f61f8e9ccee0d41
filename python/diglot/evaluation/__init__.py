"""How good predictions are: every metric with its interval. Arrays in, tables out."""

from diglot.evaluation.bleu import bleu_scores, bleu_statistics
from diglot.evaluation.calibration import reliability
from diglot.evaluation.captions import evaluate_captions
from diglot.evaluation.cider import CiderD
from diglot.evaluation.classification import confusion, evaluate_classes
from diglot.evaluation.intervals import wilson
from diglot.evaluation.meteor import meteor_available, meteor_score, meteor_statistics
from diglot.evaluation.roc import roc_auc, roc_curve
from diglot.evaluation.rouge import rouge_l

__all__ = [
    "CiderD",
    "bleu_scores",
    "bleu_statistics",
    "confusion",
    "evaluate_captions",
    "evaluate_classes",
    "meteor_available",
    "meteor_score",
    "meteor_statistics",
    "reliability",
    "roc_auc",
    "roc_curve",
    "rouge_l",
    "wilson",
]
