"""What R keeps of a fitted model, whatever its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from diglot.bridge import plain
from diglot.bridge.setup import versions_of_core


def trained(model: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Return a live model and what is known of it, as R's fits are made from."""
    # An R function outlives its call no longer than R wants: the model must not keep it.
    if "callbacks" in model.get_params(deep=False):
        model.set_params(callbacks=None, verbose=False)
    return {"model": model, "description": about}


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of every fitted model: its file's bytes, and what it says of itself."""
    graph = model.network_
    return {
        "model": bytearray(model.to_bytes()),
        "history": plain.table(model.history_),
        "seed": plain.count(model.seed_),
        "device": str(model.device_),
        "engine": str(model.engine_),
        "network": {
            "name": graph.name,
            "parameters": plain.count(graph.parameter_count),
            "height": graph.input.height,
            "width": graph.input.width,
            "channels": graph.input.channels,
        },
        "settings": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in model.get_params(deep=False).items()
            if isinstance(value, (bool, int, float, str, tuple, list))
            and name not in ("verbose", "callbacks")
        },
        "versions": versions_of_core(model.engine_, "numpy"),
        "fingerprint": model.fingerprint(),
    }


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's optional arguments and their defaults, which R's must equal."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
