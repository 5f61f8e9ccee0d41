"""What a captioner's model file says, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.captioner.graphs import Decoder, seen_layers
from diglot.captions.vocabulary import Vocabulary
from diglot.errors import ModelFileError
from diglot.estimators.model_file import common_metadata, damage_told, restore_common

KIND = "captioner"


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights: all that makes a fitted model."""
    return {
        **common_metadata(model, KIND, "encoder"),
        "decoder": model.decoder_.to_dict(),
        "vocabulary": model.vocabulary_.to_dict(),
        "longest": model.longest_,
        "places": None if model.places_ is None else list(model.places_),
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
        graph = restore_common(model, tensors, meta, "encoder", ("size", "epochs"))
        model.decoder_ = decoder = Decoder.from_dict(meta["decoder"])
        model.vocabulary_ = Vocabulary.from_dict(meta["vocabulary"])
        model.longest_ = int(meta["longest"])
        places = meta["places"]
        model.places_ = None if places is None else tuple(int(n) for n in places)
        names = {node.name for node in graph.nodes}
        sound = (
            len(model.vocabulary_) == decoder.words == graph.output_shape[-1]
            and names.issuperset(seen_layers(decoder))
            and 0 < model.longest_ < 2**16
            and (places is None or len(places) == 3)
        )
    if not sound:
        raise ModelFileError(
            f"{name} is a damaged model file: its words or its decoder do not fit its network"
        )
