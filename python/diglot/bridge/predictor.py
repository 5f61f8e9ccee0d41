"""Estimators of one outcome an image: fitted, described, asked; whatever the outcome is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import diglot
from diglot import models
from diglot.bridge import classifier, fitted, plain, received
from diglot.bridge.answers import answered
from diglot.graph import Graph

_KINDS = {
    "classifier": "ImageClassifier",
    "regressor": "ImageRegressor",
    "tagger": "ImageTagger",
}


def estimator(kind: str) -> Any:
    """Return the class of that kind."""
    return getattr(diglot, _KINDS[kind])


@answered
def fit(
    images: Mapping[str, Any],
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
    kind: str = "classifier",
) -> dict[str, Any]:
    """Train a classifier, a regressor or a tagger.

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    y = received.outcome(outcome)
    model = estimator(kind)(
        **received.settings(settings, received.levels(y)),
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
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a new model from a live one's weights; answers as `fit` does."""
    y = received.outcome(outcome)
    new = model.fine_tune(
        received.images(images),
        y,
        sample_weight=received.numbers(weights),
        validation_data=received.pair(validation),
        **received.settings(settings, received.levels(y)),
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    return _trained(new)


@answered
def find_learning_rate(
    images: Mapping[str, Any],
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    lowest: float,
    highest: float,
    steps: float,
    progress: Any = False,
    kind: str = "classifier",
) -> dict[str, Any]:
    """Run the learning-rate range test of an estimator with these settings."""
    y = received.outcome(outcome)
    model = estimator(kind)(
        **received.settings(settings, received.levels(y)), verbose=received.listener(progress)
    )
    found = model.find_learning_rate(
        received.images(images), y, lowest=lowest, highest=highest, steps=received.whole(steps)
    )
    return {"table": plain.table(found.table), "suggestion": found.suggestion}


@answered
def update(
    data: bytes,
    engine: str,
    images: Mapping[str, Any],
    given: Any,
    settings: Mapping[str, Any],
    weights: Any = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a model on, from the bytes of its file: the fit that R holds stays as it was."""
    model = models.revive(bytes(data), engine)
    chosen = received.settings(settings, list(getattr(model, "classes_", [])))
    model.set_params(
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    if "augment" in chosen:
        model.set_params(augment=chosen.pop("augment"))
    model.update(
        received.images(images),
        known(model, given),
        sample_weight=received.numbers(weights),
        **chosen,
    )
    return _trained(model)


def _trained(model: Any) -> dict[str, Any]:
    return fitted.trained(model, description(model))


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of a fitted model beside its live self."""
    from diglot.predictor.lineage import lineage

    return {
        **fitted.description(model),
        **_outcome(model),
        "kind": model.kind,
        "images": None if model.n_images_ is None else plain.count(model.n_images_),
        "covariates": [] if model.design_ is None else model.design_.names,
        "lineage": {
            **lineage(model),
            **({} if model.int8_ is None else {"int8": model.int8_.told("training images")}),
        },
        "certainty": model.certainty() if hasattr(model, "certainty") else {},
    }


def _outcome(model: Any) -> dict[str, Any]:
    """Return what R keeps of what is learned."""
    if model.kind == "classifier":
        return {**classifier.classes(model), "family": model.family}
    if model.kind == "regressor":
        outcome = model.outcome_
        return {"family": outcome.family, "quantiles": list(outcome.quantiles)}
    return {
        "family": "binomial",
        "tags": list(model.tags_),
        "thresholds": model.thresholds_.tolist(),
    }


def known(model: Any, given: Any) -> Any:
    """Return outcomes, which R has in the model's own code: codes of labels, numbers, or tags."""
    if hasattr(model, "classes_"):
        return classifier.known(model, given)
    return received.outcome(given)


@answered
def evaluate(
    model: Any, images: Mapping[str, Any], given: Any, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the metrics with their intervals."""
    chosen = received.judging(options)
    table = model.evaluate(received.images(images), known(model, given), **chosen)
    # TRUE is what Python spells True.
    spelt = {str(label): plain.level_text(label) for label in getattr(model, "classes_", [])}
    return plain.table(table.replace({"class": spelt}))


@answered
def embed(
    model: Any,
    images: Mapping[str, Any],
    layer: str | None = None,
    engine: str | None = None,
) -> dict[str, Any]:
    """Return a layer's output for images, from a live model, or from a network on an engine.

    Returns
    -------
    dict
        ``values``, images first and channels last, and their ``dim``.
    """
    more = {"verbose": False, "engine": engine or "auto"} if isinstance(model, Graph) else {}
    values = model.embed(received.images(images), layer, **more)
    return {"values": np.asfortranarray(values, dtype=np.float64), "dim": list(values.shape)}


@answered
def coefficients(
    model: Any,
    images: Mapping[str, Any] | None = None,
    given: Any = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the table of the covariates' coefficients; with images, their intervals."""
    if images is None:
        return plain.table(model.coefficients())
    chosen = received.judging(options)
    table = model.coefficients(received.images(images), known(model, given), **chosen)
    return plain.table(table)


@answered
def predict_numbers(
    model: Any, images: Mapping[str, Any], what: str, coverage: float = 0.9
) -> np.ndarray:
    """Return a regressor's answers, a row an image: numbers, quantiles or an interval's ends."""
    given = received.images(images)
    if what == "interval":
        table = model.predict_interval(given, coverage)
        values = np.column_stack([model.predict(given), table["lower"], table["upper"]])
    elif what == "quantile":
        values = model.predict_quantiles(given).to_numpy()
    else:
        values = model.predict(given)[:, None]
    return np.asfortranarray(values, dtype=np.float64)


@answered
def predict_tags(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return a tagger's probabilities, a row an image, a column a tag."""
    found = model.predict_proba(received.images(images))
    return np.asfortranarray(found.to_numpy(), dtype=np.float64)


@answered
def tune_thresholds(
    data: bytes, engine: str, images: Mapping[str, Any], given: Any
) -> dict[str, Any]:
    """Choose a tagger's thresholds; answers as `fit` does."""
    model = models.revive(bytes(data), engine)
    model.tune_thresholds(received.images(images), known(model, given))
    return _trained(model)


@answered
def defaults(kind: str = "classifier") -> dict[str, Any]:
    """Return the settings of an estimator and their defaults, which R's must equal."""
    return fitted.defaults(estimator(kind).__init__)
