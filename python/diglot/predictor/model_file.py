"""What a predictor's model file says, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.estimators.model_file import common_metadata, damage_told, restore_common
from diglot.estimators.precision import Int8
from diglot.graph import COVARIATES, Graph
from diglot.outcomes import Design, bare
from diglot.predictor.settings import check_settings


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights: all that makes a fitted model."""
    names = getattr(model, "feature_names_in_", None)
    return {
        **common_metadata(model, model.kind, "network", "class_weight", "contrasts"),
        **model._told(),
        "design": None if model.design_ is None else model.design_.to_dict(),
        "int8": None if model.int8_ is None else model.int8_.to_dict(),
        "images": model.n_images_,
        "features": getattr(model, "n_features_in_", None),
        "feature_names": None if names is None else [str(n) for n in names],
    }


def restore(
    model: Any, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str
) -> None:
    """Set settings and fitted attributes of a new model from what a file says.

    Raises
    ------
    ModelFileError
        If it is a damaged file.
    """
    with damage_told(name):
        graph = restore_common(model, tensors, meta, "network", ("size", "epochs"))
        design = meta.get("design")  # files of version 0.1.0 had none
        model.design_ = None if design is None else Design.from_dict(design)
        int8 = meta.get("int8")
        model.int8_ = None if int8 is None else Int8.from_dict(int8)
        count = meta.get("images")
        model.n_images_ = None if count is None else _count(count)
        if meta.get("features") is not None:
            model.n_features_in_ = int(meta["features"])
        if meta.get("feature_names") is not None:
            model.feature_names_in_ = _names(meta["feature_names"])
        _check_settings(model)
        sound = model._restored(meta, graph) and _takes(graph, model.design_)
        sound = sound and bare(graph).output_shape == (model.outcome_.width,)
    if not sound:
        raise ModelFileError(
            f"{name} is a damaged model file: its outcome or covariates do not fit its network"
        )


def _count(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise ValueError(f"it was learned from {given!r} images")
    return given


def _names(given: Any) -> np.ndarray:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError("its names of features are no list of text")
    return np.array(given, object)


def _check_settings(model: Any) -> None:
    try:
        check_settings(model)
    except InputError as error:
        raise ValueError(f"its settings: {error}") from error


def _takes(graph: Graph, design: Design | None) -> bool:
    """Whether the network takes just these covariates beside the image."""
    extra = {name: tuple(shape) for name, shape in (graph.extra_inputs or {}).items()}
    return extra == ({} if design is None else {COVARIATES: (len(design.terms),)})
