"""What a classifier's model file says, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.classifier.settings import jsonable_weights
from diglot.errors import InputError, ModelFileError
from diglot.estimators.model_file import common_metadata, damage_told, restore_common

KIND = "classifier"


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights: all that makes a fitted model."""
    names = getattr(model, "feature_names_in_", None)
    return {
        **common_metadata(model, KIND, "network", "class_weight"),
        "classes": {
            "type": _class_type(model.classes_),
            "values": model.classes_.tolist(),
            "ordered": bool(model.ordered_),
        },
        "class_weight": jsonable_weights(model.class_weight),
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
        classes = meta["classes"]
        values = np.array(classes["values"], _CLASS_TYPES[classes["type"]])
        if meta["class_weight"] is not None:
            kept = meta["class_weight"]
            model.class_weight = kept if isinstance(kept, str) else {k: w for k, w in kept}
        model.classes_, model.ordered_ = values, bool(classes["ordered"])
        if meta.get("features") is not None:
            model.n_features_in_ = int(meta["features"])
        if meta.get("feature_names") is not None:
            model.feature_names_in_ = np.array(meta["feature_names"], object)
        sound = graph.output_shape == (len(values),) and len(set(values.tolist())) == len(values)
    if not sound:
        raise ModelFileError(f"{name} is a damaged model file: its classes do not fit its network")


_CLASS_TYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}


def _class_type(classes: np.ndarray) -> str:
    kinds = {type(c) for c in classes.tolist()}
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str)):
        if kinds == {kind}:
            return name
    raise InputError(
        f"classes of the type {sorted(k.__name__ for k in kinds)} cannot be stored: use text or "
        "numbers as labels"
    )
