"""The baseline: fitted and described as networks are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diglot
from diglot.bridge import classifier, fitted, plain, received
from diglot.bridge.answers import answered
from diglot.bridge.setup import versions_of_core


@answered
def fit_hog(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
) -> dict[str, Any]:
    """Fit the baseline.

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    y = received.labels(labels)
    model = diglot.HogClassifier(**received.settings(settings, list(y.categories)))
    model.fit(received.images(images), y, sample_weight=received.numbers(weights))
    return {"model": model, "description": description(model)}


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of the baseline beside its live self: what it keeps of any classifier."""
    hog = model.hog_
    return {
        **classifier.classes(model),
        "kind": "baseline",
        "model": bytearray(model.to_bytes()),
        "history": plain.table(model.path_),
        "seed": plain.count(model.seed_),
        "device": "cpu",
        "network": {
            "name": "hog",
            "parameters": plain.count(len(model.classes_) * (hog.count + 1)),
            "height": hog.height,
            "width": hog.width,
            "channels": hog.channels,
        },
        "features": hog.count,
        "chosen": float(model.C_),
        "lineage": {},
        "settings": {name: getattr(hog, name) for name in ("orientations", "cell", "block")},
        "versions": versions_of_core("scikit-image", "scikit-learn"),
        "fingerprint": model.fingerprint(),
    }


@answered
def hog_defaults() -> dict[str, Any]:
    """Return the settings of `HogClassifier` and their defaults, which R's must equal."""
    found = fitted.defaults(diglot.HogClassifier.__init__)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


@answered
def hog_summary(model: Any) -> list[str]:
    """Return what the baseline is, line by line."""
    return model.summary().splitlines()
