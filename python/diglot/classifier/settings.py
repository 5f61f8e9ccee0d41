"""Settings: each is refused by name where it cannot be, and brought to plain data for files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from diglot.augment import augment
from diglot.errors import InputError
from diglot.progress import reporter
from diglot.seeds import check_seed
from diglot.training import learning_rate

TRAIN = ("all", "head", "head_then_all")


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number from ``least``; R's numbers are floats, also 10."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if isinstance(value, float) and value.is_integer():
        is_whole = True
    if not is_whole or value < least:
        raise InputError(f"{name} must be a whole number from {least}, not {value!r}")
    return int(value)


def number(name: str, value: Any, allowed: Callable[[float], bool], words: str) -> None:
    """Refuse what is no finite number, or not an allowed one."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not allowed(float(value)):
        raise InputError(f"{name} must be {words}, not {value!r}")


def check_settings(model: Any) -> None:
    """Refuse settings that cannot be, each by name, before any image is read."""
    whole("batch_size", model.batch_size, 1)
    epochs = model.epochs if is_several(model.epochs) else (model.epochs,)
    for value in epochs:
        whole("epochs", value, 1)
    if len(epochs) > 1 and model.train != "head_then_all":
        raise InputError(f'epochs={model.epochs!r} are two numbers only for train="head_then_all"')
    if len(epochs) not in (1, 2):
        raise InputError(f"epochs must be one number, or two, not {model.epochs!r}")
    _check_train(model.train)
    for name in ("patience", "checkpoint_every", "threads", "views"):
        if getattr(model, name) is not None:
            whole(name, getattr(model, name), 1)
    if model.learning_rate is not None:
        number("learning_rate", model.learning_rate, lambda v: v > 0, "a positive number")
    if model.clip_norm is not None:
        number("clip_norm", model.clip_norm, lambda v: v > 0, "a positive number or None")
    if model.validation is not None:
        number("validation", model.validation, lambda v: 0 < v < 1, "between 0 and 1, or None")
    for name in ("weight_decay", "mixup", "warmup_epochs"):
        number(name, getattr(model, name), lambda v: v >= 0, "a number from 0")
    number("layer_decay", model.layer_decay, lambda v: 0 < v <= 1, "above 0 and at most 1")
    for name in ("momentum", "label_smoothing"):
        number(name, getattr(model, name), lambda v: 0 <= v < 1, "a number from 0 to below 1")
    if model.monitor not in ("val_loss", "val_accuracy"):
        raise InputError(f'monitor must be "val_loss" or "val_accuracy", not {model.monitor!r}')
    if model.checkpoint_every is not None and model.checkpoint is None and not model.resume:
        raise InputError("checkpoint_every needs checkpoint=, the folder to save in")
    learning_rate(model.schedule, 1.0, 0, 1)
    model._optimiser()
    augment(model.augment)
    check_seed(model.seed)
    reporter(model.verbose)


def _check_train(train: Any) -> None:
    if isinstance(train, str):
        if train not in TRAIN:
            known = ", ".join(map(repr, TRAIN))
            raise InputError(f"train must be {known} or a list of layer groups, not {train!r}")
    elif not is_several(train) or not all(isinstance(name, str) for name in train):
        raise InputError(f"train must be text or a list of layer groups, not {train!r}")


def is_several(value: Any) -> bool:
    """Whether a setting was given as a list of values."""
    return isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) == 1 and len(value) > 0


def jsonable(value: Any) -> Any:
    """Return a setting as JSON can hold it; None for what it cannot."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if hasattr(value, "item") and np.ndim(value) == 0:
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value if isinstance(value, (bool, int, float, str)) else None


def jsonable_weights(given: Any) -> Any:
    """Return class weights as JSON can hold them: pairs, as its keys can only be text."""
    if given is None or isinstance(given, str):
        return given
    return [[jsonable(k), float(w)] for k, w in given.items()]
