"""Classifiers: fitted, described, asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import diglot
from diglot.bridge import fitted, plain, received
from diglot.bridge.answers import answered
from diglot.graph import Graph


@answered
def fit(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a classifier.

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    y = received.labels(labels)
    model = diglot.ImageClassifier(
        **received.settings(settings, list(y.categories)),
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    model.fit(
        received.images(images),
        y,
        sample_weight=received.numbers(weights),
        validation_data=received.pair(validation),
    )
    return _trained(model)


@answered
def fine_tune(
    model: Any,
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a new classifier from a live one's weights; answers as `fit` does."""
    y = received.labels(labels)
    new = model.fine_tune(
        received.images(images),
        y,
        sample_weight=received.numbers(weights),
        validation_data=received.pair(validation),
        **received.settings(settings, list(y.categories)),
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    return _trained(new)


@answered
def find_learning_rate(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    lowest: float,
    highest: float,
    steps: float,
    progress: Any = False,
) -> dict[str, Any]:
    """Run the learning-rate range test of a classifier with these settings."""
    y = received.labels(labels)
    model = diglot.ImageClassifier(
        **received.settings(settings, list(y.categories)), verbose=received.listener(progress)
    )
    found = model.find_learning_rate(
        received.images(images), y, lowest=lowest, highest=highest, steps=received.whole(steps)
    )
    return {"table": plain.table(found.table), "suggestion": found.suggestion}


def _trained(model: Any) -> dict[str, Any]:
    return fitted.trained(model, description(model))


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of a fitted classifier beside its live self."""
    from diglot.predictor.lineage import lineage

    classes = list(model.classes_)
    return {
        **fitted.description(model),
        "kind": "classifier",
        "levels": [plain.level_text(c) for c in classes],
        "type": _class_type(classes),
        "ordered": bool(model.ordered_),
        "lineage": lineage(model),
        "certainty": model.certainty(),
    }


def _class_type(classes: Sequence[Any]) -> str:
    kinds = {type(plain.plain(c)) for c in classes}
    if kinds == {bool}:
        return "logical"
    return "integer" if kinds <= {int, float} else "character"


@answered
def update(
    data: bytes,
    images: Mapping[str, Any],
    codes: Any,
    settings: Mapping[str, Any],
    weights: Any = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a model on, from the bytes of its file: the fit that R holds stays as it was."""
    model = diglot.loads(bytes(data))
    model.set_params(
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    model.update(
        received.images(images),
        known(model, codes),
        sample_weight=received.numbers(weights),
        **received.settings(settings, list(model.classes_)),
    )
    return _trained(model)


def known(model: Any, codes: Any) -> np.ndarray:
    """Return the labels that R's codes stand for."""
    return np.asarray(model.classes_)[np.array(codes, dtype=np.int64).reshape(-1)]


@answered
def predict_proba(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return the probabilities, a row an image, a column a class."""
    return np.asfortranarray(model.predict_proba(received.images(images)), dtype=np.float64)


@answered
def embed(model: Any, images: Mapping[str, Any], layer: str | None = None) -> dict[str, Any]:
    """Return a layer's output for images, from a live classifier or network.

    Returns
    -------
    dict
        ``values``, images first and channels last, and their ``dim``.
    """
    quiet = {"verbose": False} if isinstance(model, Graph) else {}
    values = model.embed(received.images(images), layer, **quiet)
    return {"values": np.asfortranarray(values, dtype=np.float64), "dim": list(values.shape)}


@answered
def evaluate(model: Any, images: Mapping[str, Any], codes: Any) -> dict[str, Any]:
    """Return the metrics with their intervals."""
    return plain.table(model.evaluate(received.images(images), known(model, codes)))


@answered
def report(model: Any, images: Mapping[str, Any], codes: Any, path: str) -> str:
    """Write the HTML report, return its path."""
    from diglot.report import report as write_report

    return str(write_report(model, received.images(images), known(model, codes), path))


@answered
def defaults() -> dict[str, Any]:
    """Return the settings of `ImageClassifier` and their defaults, which R's must equal."""
    return fitted.defaults(diglot.ImageClassifier.__init__)
