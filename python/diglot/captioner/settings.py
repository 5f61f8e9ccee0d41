"""A captioner's settings: each is refused by name where it cannot be."""

from __future__ import annotations

from typing import Any

from diglot.captioner.decoder import CELLS, MOST_LAYERS
from diglot.captioner.task import MEASURES
from diglot.errors import InputError
from diglot.estimators.precision import check_precision
from diglot.estimators.settings import check_training, flag, is_several, number, whole

MOST_WORDS = 2**16 - 1  # of a caption
TRAIN = ("auto", "all", "decoder", "decoder_then_all")


def check_settings(model: Any) -> None:
    """Refuse settings that cannot be, each by name, before any image is read."""
    if model.decoder not in CELLS:
        raise InputError(f'decoder must be "lstm" or "gru", not {model.decoder!r}')
    if model.train not in TRAIN:
        raise InputError(f"train must be {', '.join(map(repr, TRAIN))}, not {model.train!r}")
    for name in ("attention", "tied", "lowercase"):
        flag(name, getattr(model, name))
    for name in ("layers", "hidden", "embedding", "heads", "min_count"):
        whole(name, getattr(model, name), 1)
    if model.layers > MOST_LAYERS:
        raise InputError(f"layers must be at most {MOST_LAYERS}, not {model.layers}")
    for name in ("max_words", "max_length"):
        if getattr(model, name) is not None:
            whole(name, getattr(model, name), 1)
    if model.max_length is not None and model.max_length > MOST_WORDS:
        raise InputError(f"max_length must be at most {MOST_WORDS:,}, not {model.max_length!r}")
    whole("self_critical", model.self_critical, 0)
    if model.attention and model.hidden % model.heads:
        raise InputError(
            f"hidden={model.hidden} must be a multiple of heads={model.heads}, as each head has "
            "an equal part"
        )
    number("dropout", model.dropout, lambda v: 0 <= v < 1, "a number from 0 to below 1")
    if model.encoder_rate is not None:
        number("encoder_rate", model.encoder_rate, lambda v: v > 0, "a positive number or None")
    epochs = model.epochs if is_several(model.epochs) else (model.epochs,)
    for value in epochs:
        whole("epochs", value, 1)
    if len(epochs) > 2 or (len(epochs) == 2 and model.train != "decoder_then_all"):
        raise InputError(
            f'epochs={model.epochs!r} must be one number; two are for train="decoder_then_all" only'
        )
    if model.monitor not in MEASURES:
        raise InputError(f"monitor must be one of {', '.join(MEASURES)}, not {model.monitor!r}")
    check_precision(model.precision)
    check_training(model)
