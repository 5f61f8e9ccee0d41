"""Curves of one classifier, and two of them on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diglot import evaluation
from diglot.bridge import plain, received
from diglot.bridge.answers import answered
from diglot.evaluation.paired import shared_classes


@answered
def compare_models(
    a: Any,
    b: Any,
    images: Mapping[str, Any],
    codes: Any,
    others: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare two live classifiers.

    Parameters
    ----------
    a, b : ImageClassifier
    images, codes
        Images as the first model takes them, and codes of its classes.
    others
        The images as the second model takes them, where that differs.
    options
        ``groups``, ``metrics``, ``level``, ``resamples``, ``seed``; ``functions``, metrics of R's
        own by their names.
    """
    chosen = received.judging(options)
    truth, ours, classes = _answers(a, images, codes)
    # By text, as R has levels: the numbers 0 and 1 for one model are a factor's for the other.
    theirs = [plain.level_text(label) for label in b.classes_]
    if set(theirs) != set(classes):
        shared_classes(a, b)  # says which
    metrics = _metrics(chosen.pop("metrics", None), chosen.pop("functions", None), classes)
    given = b.predict_proba(received.images(images if others is None else others))
    table = evaluation.compare_predictions(
        truth,
        ours,
        np.asarray(given)[:, [theirs.index(label) for label in classes]],
        classes,
        metrics=metrics,
        ordered=bool(a.ordered_),
        **chosen,
    )
    return plain.table(table)


def _metrics(
    names: Any, functions: Mapping[str, Any] | None, classes: list[Any]
) -> dict[str, Any] | None:
    """Return metrics by name: ours have no function, and R's are called with codes."""
    if names is None:
        return None
    place = {label: code for code, label in enumerate(classes)}

    def own(function: Callable[..., Any]) -> Callable[..., float]:
        def metric(labels: np.ndarray, p: np.ndarray) -> float:
            codes = np.array([place[label] for label in labels], np.int32)
            return received.measured(function, {"codes": codes, "prob": np.asfortranarray(p)})

        return metric

    return {name: None for name in names} | {
        name: own(function) for name, function in dict(functions or {}).items()
    }


@answered
def roc_curve(model: Any, images: Mapping[str, Any], codes: Any) -> dict[str, Any]:
    """Return the ROC curves of a live classifier."""
    return plain.table(evaluation.roc_curve(*_answers(model, images, codes)))


@answered
def reliability(
    model: Any, images: Mapping[str, Any], codes: Any, bins: float, level: float
) -> dict[str, Any]:
    """Return how often a live classifier's probabilities come true."""
    given = _answers(model, images, codes)
    return plain.table(evaluation.reliability(*given, bins=received.whole(bins), level=level))


def _answers(
    model: Any, images: Mapping[str, Any], codes: Any
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return truth, probabilities and classes, which R spells in its own way."""
    classes = [plain.level_text(label) for label in model.classes_]
    truth = [classes[code] for code in np.array(codes, np.int64).reshape(-1)]
    return truth, model.predict_proba(received.images(images)), classes
