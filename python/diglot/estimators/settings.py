"""Settings: each is refused by name where it cannot be, and brought to plain data for files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diglot.augment import augment
from diglot.engine import Optimiser, check_device, check_engine
from diglot.errors import InputError
from diglot.files import path_of
from diglot.progress import reporter
from diglot.seeds import check_seed
from diglot.training import learning_rate

# Not part of a model file: they say how to watch, keep and compute a fit, not what it is.
UNSAVED = ("callbacks", "verbose", "checkpoint", "checkpoint_every", "resume", "engine")


def keep_settings(model: Any, given: Mapping[str, Any]) -> None:
    """Set an estimator's settings: all arguments of its ``__init__``, which ``locals()`` are."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(model, name, value)


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


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} must be True or False, not {value!r}")


def checkpoint_place(model: Any, setting: str) -> str | bool | None:
    """Return the setting ``checkpoint``, a path, or ``resume``, which may be True or False."""
    given = getattr(model, setting)
    plain = given is None or (setting == "resume" and isinstance(given, bool))
    return given if plain else path_of(given, setting)


def check_training(model: Any) -> None:
    """Refuse settings of training, which every estimator has, each by name."""
    whole("batch_size", model.batch_size, 1)
    for name in ("patience", "checkpoint_every", "threads", "views"):
        if getattr(model, name) is not None:
            whole(name, getattr(model, name), 1)
    if model.memory_limit is not None:
        whole("memory_limit", model.memory_limit, 0)
    if model.learning_rate is not None:
        number("learning_rate", model.learning_rate, lambda v: v > 0, "a positive number")
    if model.clip_norm is not None:
        number("clip_norm", model.clip_norm, lambda v: v > 0, "a positive number or None")
    if model.validation is not None:
        number("validation", model.validation, lambda v: 0 < v < 1, "between 0 and 1, or None")
    for name in ("weight_decay", "warmup_epochs"):
        number(name, getattr(model, name), lambda v: v >= 0, "a number from 0")
    for name in ("momentum", "label_smoothing"):
        number(name, getattr(model, name, 0.0), lambda v: 0 <= v < 1, "a number from 0 to below 1")
    if model.checkpoint_every is not None and model.checkpoint is None and not model.resume:
        raise InputError("checkpoint_every needs checkpoint=, the folder to save in")
    for name in ("checkpoint", "resume"):
        checkpoint_place(model, name)
    check_engine(model.engine)
    learning_rate(model.schedule, 1.0, 0, 1)
    optimiser(model)
    augment(model.augment)
    check_seed(model.seed)
    check_device(model.device)
    reporter(model.verbose)


def optimiser(model: Any) -> Optimiser:
    """Return what an estimator's settings say of the optimiser."""
    return Optimiser(
        model.optimizer,
        momentum=float(model.momentum),
        weight_decay=float(model.weight_decay),
        clip_norm=None if model.clip_norm is None else float(model.clip_norm),
    )


def is_several(value: Any) -> bool:
    """Whether a setting was given as a list of values."""
    return isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) == 1 and len(value) > 0


def epochs(value: Any) -> int | tuple[int, ...]:
    """Return the number of epochs, or one for each of two phases."""
    return tuple(int(v) for v in value) if is_several(value) else int(value)


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


def jsonable_settings(model: Any, leave_out: tuple[str, ...]) -> dict[str, Any]:
    """Return an estimator's settings as JSON can hold them, without those to leave out."""
    given = model.get_params(deep=False)
    return {name: jsonable(value) for name, value in given.items() if name not in leave_out}
