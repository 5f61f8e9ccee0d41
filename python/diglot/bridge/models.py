"""Fitted models of any kind: described, loaded, revived."""

from __future__ import annotations

from typing import Any

import diglot
from diglot import models
from diglot.bridge import baseline, boltzmann, captioner, fitted, predictor
from diglot.bridge.answers import answered
from diglot.files import write_bytes
from diglot.graph import Graph


def _description(model: Any) -> dict[str, Any]:
    if isinstance(model, diglot.HogClassifier):
        return baseline.description(model)
    if isinstance(model, (diglot.RBM, diglot.DBN)):
        return boltzmann.description(model)
    kind = captioner if isinstance(model, diglot.ImageCaptioner) else predictor
    return kind.description(model)


@answered
def describe(model: Any) -> dict[str, Any]:
    """Describe a live model, as fits do."""
    return fitted.trained(model, _description(model))


@answered
def load(path: str, engine: str = "auto") -> dict[str, Any]:
    """Load a model file."""
    model = diglot.load(path, engine)
    return {"model": model, "description": _description(model)}


@answered
def save(path: str, data: bytes) -> None:
    """Write a model file's bytes, whole or not at all, and through to the disk."""
    write_bytes(path, bytes(data))


@answered
def revive(data: bytes, engine: str = "auto") -> Any:
    """Return the live model of a file's bytes."""
    return models.revive(bytes(data), engine)


@answered
def summary(model: Any) -> str:
    """Return a network's table of layers as text; R writes the rest of a summary itself."""
    return Graph.__str__(getattr(model, "network_", model))
