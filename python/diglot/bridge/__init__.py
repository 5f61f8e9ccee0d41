"""What the R package calls: arguments as R sends them to the Python API, answers as plain data.

Every function here answers ``{"value", "error", "warnings"}``: an exception never crosses the
border, for R would see only its text. Tables cross as columns, images as arrays, the model file
as bytes. R checks its arguments before it calls (R/convert.R); rows count from 1 there.
"""

from diglot.bridge.captioner import (
    all_captions,
    caption,
    captioner_defaults,
    evaluate_captions,
    fit_captioner,
    pictures,
)
from diglot.bridge.catalogue import network, networks, pretrained
from diglot.bridge.classifier import (
    defaults,
    embed,
    evaluate,
    find_learning_rate,
    fine_tune,
    fit,
    predict_proba,
    report,
    update,
)
from diglot.bridge.data import (
    check_shapes,
    example_images,
    read_captions,
    read_idx,
    read_images,
    shapes,
)
from diglot.bridge.explanation import explain, nearest_images, worst_errors
from diglot.bridge.models import describe, load, revive, summary
from diglot.bridge.setup import check_setup, devices, has_engine
from diglot.bridge.uncertainty import calibrate, conformalize, coverage, predict_set

__all__ = [
    "all_captions",
    "calibrate",
    "caption",
    "captioner_defaults",
    "check_setup",
    "check_shapes",
    "conformalize",
    "coverage",
    "defaults",
    "describe",
    "devices",
    "embed",
    "evaluate",
    "evaluate_captions",
    "example_images",
    "explain",
    "find_learning_rate",
    "fine_tune",
    "fit",
    "fit_captioner",
    "has_engine",
    "load",
    "nearest_images",
    "network",
    "networks",
    "pictures",
    "predict_proba",
    "predict_set",
    "pretrained",
    "read_captions",
    "read_idx",
    "read_images",
    "report",
    "revive",
    "shapes",
    "summary",
    "update",
    "worst_errors",
]
