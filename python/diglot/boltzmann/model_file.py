"""What the model files of Boltzmann machines say, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.boltzmann.graphs import machine_graph
from diglot.errors import ModelFileError
from diglot.estimators.model_file import common_metadata, damage_told, restore_common

_NETWORK = "network"  # a setting of other estimators, which a machine does not have


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights."""
    return {
        **common_metadata(model, model.kind, _NETWORK),
        "images": model.n_images_,
        "features": getattr(model, "n_features_in_", None),
    }


def restore(
    model: Any, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str
) -> None:
    """Set settings and fitted attributes of a new machine from what a file says.

    Raises
    ------
    ModelFileError
        If it is a damaged file.
    """
    with damage_told(name):
        graph = restore_common(model, tensors, meta, _NETWORK, ("size",))
        del model.network
        model._check_settings()
        model.n_images_ = _count(meta["images"])
        if meta["features"] is not None:
            model.n_features_in_ = _count(meta["features"])
        made = machine_graph(graph.input, int(model.n_hidden), model.visible)
        sound = graph.to_json() == made.to_json()
        sound = sound and all(np.isfinite(w).all() for w in graph.weights.values())
    if not sound:
        raise ModelFileError(
            f"{name} is a damaged model file: its network is no Boltzmann machine of these settings"
        )


def _count(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise ValueError(f"{given!r} is no number of images or pixels")
    return given
