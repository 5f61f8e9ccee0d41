"""What the R package calls: arguments as R sends them to the Python API, answers as plain data.

Every function here answers ``{"value", "error", "warnings"}``: an exception never crosses the
border, for R would see only its text. Tables cross as columns, images as arrays, the model file
as bytes. R checks its arguments before it calls (R/convert.R); rows count from 1 there.
"""

from diglot.bridge.catalogue import network, networks, pretrained
from diglot.bridge.classifier import (
    defaults,
    describe,
    embed,
    evaluate,
    find_learning_rate,
    fine_tune,
    fit,
    load,
    predict_proba,
    report,
    revive,
    summary,
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
from diglot.bridge.setup import check_setup, devices, has_engine

__all__ = [
    "check_setup",
    "check_shapes",
    "defaults",
    "describe",
    "devices",
    "embed",
    "evaluate",
    "example_images",
    "find_learning_rate",
    "fine_tune",
    "fit",
    "has_engine",
    "load",
    "network",
    "networks",
    "predict_proba",
    "pretrained",
    "read_captions",
    "read_idx",
    "read_images",
    "report",
    "revive",
    "shapes",
    "summary",
    "update",
]
