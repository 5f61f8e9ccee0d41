"""Where a model looks, what it got most wrong, and which images it takes for alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import diglot
from diglot.bridge import plain, predictor, received
from diglot.bridge.answers import answered


@answered
def explain(
    model: Any,
    images: Mapping[str, Any],
    codes: Any,
    method: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return saliency maps; ``codes`` say of which classes, tags or quantiles.

    None is of those predicted, and of the quantile nearest to the median.

    Returns
    -------
    dict
        ``maps`` and ``images``, images first and channels last, and their ``dim``; ``codes``,
        ``scale``, ``scores``, ``settings``, ``completeness_error`` and ``changes``.
    """
    chosen = {name: _setting(value) for name, value in dict(settings).items()}
    names = model._output_names()
    classes = None if codes is None else names[np.array(codes, np.int64).reshape(-1)]
    found = model.explain(received.images(images), classes, method, **chosen)
    code_of = {label: code for code, label in enumerate(names.tolist())}
    return {
        "maps": np.asfortranarray(found.maps, np.float64),
        "images": np.asfortranarray(found.images, np.float64),
        "dim": list(found.images.shape),
        "codes": np.array([code_of[label] for label in found.classes.tolist()], np.int32),
        "scale": found.scale,
        "scores": found.scores,
        "settings": {n: v for n, v in found.settings.items() if isinstance(v, (str, int, float))},
        "completeness_error": found.completeness_error,
        "changes": found.changes,
    }


def _setting(value: Any) -> Any:
    """Return a baseline that is an image as an array of our own, all else as usual."""
    return np.array(value, np.float64) if np.ndim(value) > 1 else received.whole(value)


@answered
def worst_errors(model: Any, images: Mapping[str, Any], codes: Any, n: Any) -> dict[str, Any]:
    """Return the table of the worst errors; rows count from 0."""
    truth = predictor.known(model, codes)
    found = diglot.worst_errors(model, received.images(images), truth, n=received.whole(n))
    return plain.table(found)


@answered
def nearest_images(
    model: Any, images: Mapping[str, Any], data: Mapping[str, Any], n: Any, metric: str
) -> dict[str, Any]:
    """Return the table of nearest images without their labels, which R has; rows count from 0."""
    given = received.images(images), received.images(data)
    found = diglot.nearest_images(model, *given, n=received.whole(n), metric=metric)
    return plain.table(found.drop(columns="label"))
