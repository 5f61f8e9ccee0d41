"""How sure classifiers are: calibrated, conformalised, and asked for sets.

R's fits stay as they were: what changes a model begins with the bytes of its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot import models
from diglot.bridge import fitted, plain, predictor, received
from diglot.bridge.answers import answered


@answered
def calibrate(
    data: bytes, engine: str, images: Mapping[str, Any] | None, codes: Any, method: str
) -> dict[str, Any]:
    """Calibrate a model; no images are needed where ``method`` is "none".

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    model = _revived(data, engine)
    if images is None:
        model.calibrate(method=method)
    else:
        model.calibrate(received.images(images), predictor.known(model, codes), method)
    return fitted.trained(model, predictor.description(model))


@answered
def conformalize(
    data: bytes,
    engine: str,
    images: Mapping[str, Any],
    given: Any,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Let a classifier learn to say sets, a regressor intervals; answers as `calibrate` does."""
    model = _revived(data, engine)
    chosen = {name: received.whole(value) for name, value in dict(options).items()}
    model.conformalize(received.images(images), predictor.known(model, given), **chosen)
    return fitted.trained(model, predictor.description(model))


@answered
def predict_set(model: Any, images: Mapping[str, Any], coverage: float) -> np.ndarray:
    """Return which classes are in the set of each image, a row an image, a column a class."""
    return np.asfortranarray(model.predict_set(received.images(images), coverage).to_numpy(bool))


@answered
def coverage(
    model: Any, images: Mapping[str, Any], given: Any, stated: Any, level: float
) -> dict[str, Any]:
    """Return the table of how often sets hold the true class, or intervals the true number."""
    truth = predictor.known(model, given)
    asked = np.array(stated, np.float64).reshape(-1).tolist()
    return plain.table(model.coverage(received.images(images), truth, asked, level=level))


def _revived(data: bytes, engine: str) -> Any:
    return models.revive(bytes(data), engine).set_params(verbose=False)
