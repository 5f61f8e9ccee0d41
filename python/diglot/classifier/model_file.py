"""What a classifier's model file says, written and read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from diglot.augment import augment
from diglot.classifier.settings import jsonable, jsonable_weights
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph

_KIND = "classifier"
UNSAVED = ("callbacks", "verbose", "checkpoint", "checkpoint_every", "resume")


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights: all that makes a fitted model."""
    settings = {
        k: v
        for k, v in ((k, jsonable(v)) for k, v in model.get_params(deep=False).items())
        if k not in (*UNSAVED, "network", "augment", "class_weight", "seed")
    }
    changes = augment(model.augment)
    names = getattr(model, "feature_names_in_", None)
    return {
        "kind": _KIND,
        "diglot": sys.modules["diglot"].__version__,  # the root is a room above
        "graph": model.network_.to_dict(),
        "network": model.network if isinstance(model.network, str) else None,
        "classes": {
            "type": _class_type(model.classes_),
            "values": model.classes_.tolist(),
            "ordered": bool(model.ordered_),
        },
        "settings": {
            **settings,
            "augment": None if changes is None else changes.to_dict(),
            "seed": model.seed,
        },
        "class_weight": jsonable_weights(model.class_weight),
        "history": {
            "columns": list(model.history_.columns),
            "rows": model.history_.to_numpy(np.float64).tolist(),
        },
        "best_epoch": model.best_epoch_,
        "stopped": model.stopped_,
        "seed": model.seed_,
        "device": model.device_,
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
        If it is no classifier's file, or a damaged one.
    """
    if meta.get("kind") != _KIND:
        raise ModelFileError(f"{name} holds no classifier but a {meta.get('kind')!r}")
    try:
        graph = Graph.from_dict(meta["graph"]).with_weights(
            {n: np.asarray(w, np.float32) for n, w in tensors.items()}
        )
        settings = dict(meta["settings"])
        classes = meta["classes"]
        values = np.array(classes["values"], _CLASS_TYPES[classes["type"]])
        known = model.get_params(deep=False)
        model.set_params(**{k: v for k, v in settings.items() if k in known})
        model.network = meta["network"] or graph.without_weights()
        for setting in ("size", "epochs"):
            if isinstance(getattr(model, setting), list):
                setattr(model, setting, tuple(getattr(model, setting)))
        if meta["class_weight"] is not None:
            kept = meta["class_weight"]
            model.class_weight = kept if isinstance(kept, str) else {k: w for k, w in kept}
        columns, rows = meta["history"]["columns"], meta["history"]["rows"]
        history = pd.DataFrame(np.array(rows, np.float64).reshape(-1, len(columns)), None, columns)
        history["epoch"] = history["epoch"].astype(int)
        model.classes_, model.ordered_ = values, bool(classes["ordered"])
        model.network_, model.history_ = graph, history
        model.best_epoch_, model.stopped_ = int(meta["best_epoch"]), str(meta["stopped"])
        model.seed_, model.device_ = int(meta["seed"]), str(meta["device"])
        if meta.get("features") is not None:
            model.n_features_in_ = int(meta["features"])
        if meta.get("feature_names") is not None:
            model.feature_names_in_ = np.array(meta["feature_names"], object)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{name} is a damaged model file: {error!r}") from error
    if graph.output_shape != (len(values),) or len(set(values.tolist())) != len(values):
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
