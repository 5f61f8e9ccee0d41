"""What the R package calls: arguments as R sends them to the Python API, answers as plain data.

Every function here answers ``{"value", "error", "warnings"}``: an exception never crosses the
border, for R would see only its text. Tables cross as columns, images as arrays, the model file
as bytes. R checks its arguments before it calls (R/convert.R); rows count from 1 there.
"""

from diglot.bridge.baseline import fit_hog, hog_defaults, hog_summary
from diglot.bridge.boltzmann import (
    deep_network,
    fit_machine,
    machine_defaults,
    machine_filters,
    machine_hidden,
    machine_reconstructions,
    machine_samples,
    machine_scores,
)
from diglot.bridge.captioner import (
    all_captions,
    caption,
    captioner_defaults,
    evaluate_captions,
    fit_captioner,
    pictures,
)
from diglot.bridge.catalogue import network, networks, pretrained
from diglot.bridge.classifier import predict_proba
from diglot.bridge.comparison import compare_models, reliability, roc_curve
from diglot.bridge.data import (
    check_shapes,
    example_images,
    read_captions,
    read_idx,
    read_images,
    shapes,
)
from diglot.bridge.explanation import explain, nearest_images, worst_errors
from diglot.bridge.frameworks import (
    check_capabilities,
    compare_frameworks,
    read_capabilities,
    read_frameworks,
    summarise_frameworks,
    write_capabilities,
    write_frameworks,
)
from diglot.bridge.models import describe, load, revive, save, summary
from diglot.bridge.predictor import (
    coefficients,
    defaults,
    embed,
    evaluate,
    find_learning_rate,
    fine_tune,
    fit,
    predict_numbers,
    predict_tags,
    tune_thresholds,
    update,
)
from diglot.bridge.report import report_data
from diglot.bridge.resampling import (
    cross_validate,
    learning_curve,
    summarise_curve,
    summarise_folds,
)
from diglot.bridge.scoring import predict_files, predict_files_defaults
from diglot.bridge.setup import check_setup, devices, has_engine
from diglot.bridge.uncertainty import calibrate, conformalize, coverage, predict_set

__all__ = [
    "all_captions",
    "calibrate",
    "caption",
    "captioner_defaults",
    "check_capabilities",
    "check_setup",
    "check_shapes",
    "coefficients",
    "compare_frameworks",
    "compare_models",
    "conformalize",
    "coverage",
    "cross_validate",
    "deep_network",
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
    "fit_hog",
    "fit_machine",
    "has_engine",
    "hog_defaults",
    "hog_summary",
    "learning_curve",
    "load",
    "machine_defaults",
    "machine_filters",
    "machine_hidden",
    "machine_reconstructions",
    "machine_samples",
    "machine_scores",
    "nearest_images",
    "network",
    "networks",
    "pictures",
    "predict_files",
    "predict_files_defaults",
    "predict_numbers",
    "predict_proba",
    "predict_set",
    "predict_tags",
    "pretrained",
    "read_capabilities",
    "read_captions",
    "read_frameworks",
    "read_idx",
    "read_images",
    "reliability",
    "report_data",
    "revive",
    "roc_curve",
    "save",
    "shapes",
    "summarise_curve",
    "summarise_folds",
    "summarise_frameworks",
    "summary",
    "tune_thresholds",
    "update",
    "worst_errors",
    "write_capabilities",
    "write_frameworks",
]
