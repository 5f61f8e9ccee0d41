"""What a captioner's model file says, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot.captioner.decoder import Decoder
from diglot.captioner.graphs import caption_graph, encoder_of, seen_layers, seen_places
from diglot.captioner.settings import MOST_WORDS, check_settings
from diglot.captions.vocabulary import Vocabulary
from diglot.errors import InputError, ModelFileError
from diglot.estimators.model_file import common_metadata, damage_told, restore_common
from diglot.estimators.precision import Int8
from diglot.graph import Graph

KIND = "captioner"


def metadata(model: Any) -> dict[str, Any]:
    """Return what a model file says beside the weights: all that makes a fitted model."""
    return {
        **common_metadata(model, KIND, "encoder"),
        "decoder": model.decoder_.to_dict(),
        "vocabulary": model.vocabulary_.to_dict(),
        "longest": model.longest_,
        "int8": None if model.int8_ is None else model.int8_.to_dict(),
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
        int8 = meta.get("int8")  # older files had none
        model.int8_ = None if int8 is None else Int8.from_dict(int8)
        sound = len(model.vocabulary_) == decoder.words and 0 < model.longest_ <= MOST_WORDS
        sound = sound and _has(graph, decoder)
        check_settings(model)
    if sound:
        model.places_ = seen_places(graph, decoder)
        if not isinstance(model.encoder, str):
            model.encoder = encoder_of(graph).without_weights()
    else:
        raise ModelFileError(
            f"{name} is a damaged model file: its words or its decoder do not fit its network"
        )


def _has(graph: Graph, decoder: Decoder) -> bool:
    """Whether this is the decoder of the network: its steps run on the network's weights."""
    try:
        encoder = encoder_of(graph)
        end = encoder.nodes[encoder.heads[0][0]].name
        other = caption_graph(encoder, end, decoder, *graph.extra_inputs["tokens"])
        same = [graph.shape_of(n) == other.shape_of(n) for n in seen_layers(decoder)]
    except (InputError, LookupError, TypeError):
        return False
    shapes, others = ({n: p.shape for n, p in g.parameters.items()} for g in (graph, other))
    return shapes == others and all(same) and graph.output_shape == other.output_shape
