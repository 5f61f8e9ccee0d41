"""Cross-validation and learning curves of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import diglot
from diglot.bridge import plain, predictor, received
from diglot.bridge.answers import answered

_COUNTS = ("folds", "repeats", "seed", "jobs")


@answered
def cross_validate(
    images: Mapping[str, Any],
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any,
    options: Mapping[str, Any],
    progress: Any = False,
) -> dict[str, Any]:
    """Cross-validate a classifier, a regressor, a tagger or the baseline.

    Parameters
    ----------
    images, outcome, settings, weights, progress
        As for `diglot.bridge.predictor.fit`.
    options : mapping
        ``model``, the kind of estimator; ``groups``, as labels come, or None; what
        `diglot.cross_validate` takes beside.

    Returns
    -------
    dict
        The tables ``folds``, ``predictions`` (rows count from 1, columns are named as R names
        predictions) and ``failures``; ``seed``, ``jobs``, ``threads``.
    """
    model, X, y, given = _received(images, outcome, settings, weights, options, progress)
    found = diglot.cross_validate(model, X, y, **given)
    names = _names_in_r(found.predictions, received.levels(y))
    predictions = found.predictions.assign(row=found.predictions["row"] + 1).rename(columns=names)
    return {
        **_about(found),
        "folds": plain.table(found.folds.astype({"seed": float})),
        "predictions": plain.table(predictions),
    }


@answered
def learning_curve(
    images: Mapping[str, Any],
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any,
    options: Mapping[str, Any],
    sizes: Any,
    progress: Any = False,
) -> dict[str, Any]:
    """Return a classifier's learning curve; arguments as of `cross_validate`.

    Returns
    -------
    dict
        ``table``, ``failures``, ``seed``, ``jobs``, ``threads``, and ``ratio``, which
        `summarise_curve` needs.
    """
    model, X, y, given = _received(images, outcome, settings, weights, options, progress)
    # R's numbers are doubles: 1 is all images, not one.
    wanted = [float(v) if v <= 1 else received.whole(float(v)) for v in np.ravel(sizes).tolist()]
    found = diglot.learning_curve(model, X, y, sizes=wanted, **given)
    return {**_about(found), "table": plain.table(found.table), "ratio": found.ratio}


@answered
def summarise_folds(columns: Mapping[str, Any], level: float) -> dict[str, Any]:
    """Return the means of metrics over folds, of ``n_train``, ``n_test`` and the metrics."""
    import pandas as pd

    from diglot.resampling import summarise

    folds = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()}, dtype=float)
    metrics = [name for name in folds.columns if name not in ("n_train", "n_test")]
    return plain.table(summarise(folds, metrics, level))


@answered
def summarise_curve(
    columns: Mapping[str, Any], ratio: float, level: float, training: bool
) -> dict[str, Any]:
    """Return the means over folds of a learning curve's table, which comes in columns."""
    import pandas as pd

    from diglot.resampling.learning_curve import summarise_curve as summarised

    table = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
    return plain.table(summarised(table, ratio, level, training=training))


def _received(
    images: Mapping[str, Any],
    outcome: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any,
    options: Mapping[str, Any],
    progress: Any,
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return an estimator, images, labels, and what else both functions take."""
    y, given = received.outcome(outcome), dict(options)
    name = given.pop("model")
    kind = diglot.HogClassifier if name == "hog" else predictor.estimator(name)
    model = kind(**received.settings(settings, received.levels(y)))
    groups, metrics = given.pop("groups"), given.pop("metrics")
    return (
        model,
        received.images(images),
        y,
        {
            **{k: received.whole(v) if k in _COUNTS else v for k, v in given.items()},
            "groups": None if groups is None else received.labels(groups),
            "metrics": None if metrics is None else [str(name) for name in metrics],
            "sample_weight": received.numbers(weights),
            "verbose": received.listener(progress),
        },
    )


def _names_in_r(predictions: Any, levels: list[Any]) -> dict[str, str]:
    """Return R's names of the columns of predictions, by Python's."""
    names = {"row": ".row", "predicted": ".pred_class" if levels else ".pred"}
    names |= {f"prob_{level}": f".pred_{plain.level_text(level)}" for level in levels}
    several = [name for name in predictions if name.startswith("predicted_")]
    return names | {name: f".pred_{name.removeprefix('predicted_')}" for name in several}


def _about(found: Any) -> dict[str, Any]:
    return {
        "failures": plain.table(found.failures),
        "seed": plain.count(found.seed),
        "jobs": found.jobs,
        "threads": found.threads,
    }
