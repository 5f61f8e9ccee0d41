"""A predictor's settings: each is refused by name where it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diglot.errors import InputError
from diglot.estimators.precision import check_precision
from diglot.estimators.settings import check_training, is_several, jsonable, number, whole

TRAIN = ("all", "head", "head_then_all")


def check_settings(model: Any) -> None:
    """Refuse settings that cannot be, each by name, before any image is read."""
    epochs = model.epochs if is_several(model.epochs) else (model.epochs,)
    for value in epochs:
        whole("epochs", value, 1)
    if len(epochs) > 1 and model.train != "head_then_all":
        raise InputError(f'epochs={model.epochs!r} are two numbers only for train="head_then_all"')
    if len(epochs) not in (1, 2):
        raise InputError(f"epochs must be one number, or two, not {model.epochs!r}")
    _check_train(model.train)
    check_training(model)
    number("mixup", model.mixup, lambda v: v >= 0, "a number from 0")
    number("layer_decay", model.layer_decay, lambda v: 0 < v <= 1, "above 0 and at most 1")
    if model.monitor not in model.monitors:
        known = " or ".join(f'"{name}"' for name in model.monitors)
        raise InputError(f"monitor must be {known}, not {model.monitor!r}")
    check_precision(model.precision)
    _check_covariates(model.covariates, model.contrasts)


def _check_train(train: Any) -> None:
    if isinstance(train, str):
        if train not in TRAIN:
            known = ", ".join(map(repr, TRAIN))
            raise InputError(f"train must be {known} or a list of layer groups, not {train!r}")
    elif not is_several(train) or not all(isinstance(name, str) for name in train):
        raise InputError(f"train must be text or a list of layer groups, not {train!r}")


def _check_covariates(names: Any, contrasts: Any) -> None:
    if names is not None:
        if not is_several(names) or not all(isinstance(name, str) for name in names):
            raise InputError(
                f"covariates must be a list of columns' names such as ['age', 'sex'], not {names!r}"
            )
        if "image" in names or len(set(names)) != len(names):
            raise InputError(f"covariates must be different columns, none the image: {names!r}")
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise InputError(f"contrasts must be a dict by covariate, not {contrasts!r}")


def jsonable_weights(given: Any) -> Any:
    """Return class weights as JSON can hold them: pairs, as its keys can only be text."""
    if given is None or isinstance(given, str):
        return given
    return [[jsonable(k), float(w)] for k, w in given.items()]


def weights_from(kept: Any) -> Any:
    """Return class weights as `jsonable_weights` kept them."""
    return kept if kept is None or isinstance(kept, str) else {k: w for k, w in kept}
