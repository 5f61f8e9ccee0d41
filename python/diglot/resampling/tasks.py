"""One fit of a resampling: an estimator, rows to train on, rows to judge it by."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier

from diglot.errors import InputError
from diglot.evaluation import evaluate_classes
from diglot.resampling.rows import take

# What would have the folds write over each other.
_NOT_IN_FOLDS = ("checkpoint", "checkpoint_every", "resume")


@dataclass(frozen=True)
class Job:
    """What all fits of a resampling share.

    Attributes
    ----------
    model : estimator
        Is cloned; stays as it is.
    X, y : images and outcomes
        Of all rows.
    classes : list or None
        All classes, where the outcome names classes.
    weights : ndarray or None
        How much each row counts in training.
    metrics : sequence of str or None
        Which metrics; all by default.
    """

    model: Any
    X: Any
    y: Any
    classes: list[Any] | None
    weights: np.ndarray | None = None
    metrics: Sequence[str] | None = None


@dataclass(frozen=True)
class Task:
    """One fit: its rows and its seed; ``training`` judges by the training rows, too."""

    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    seed: int
    training: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes
    ----------
    metrics, training : dict of str to float
        By the test rows, and by the training rows if that was asked for.
    predictions : dict of str to ndarray
        ``predicted``, and ``prob_<class>`` where there are probabilities; of the test rows.
    seconds : float
        Of training.
    seed : int or None
        That the model was given, or has.
    warnings : list of (type, str)
        That were given on the way.
    """

    metrics: Mapping[str, float]
    predictions: Mapping[str, np.ndarray]
    seconds: float
    seed: int | None
    training: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[tuple[type[Warning], str]] = ()


@dataclass(frozen=True)
class Failure:
    """Why a task failed: its error, which a process may have sent as text."""

    error: Exception
    trace: str


def run_task(job: Job, task: Task) -> Outcome | Failure:
    """Fit and judge one model; what goes wrong is answered, so that other folds go on.

    Raises
    ------
    KeyboardInterrupt
        Also where the fit itself ended at it.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            model, seed = for_fold(job.model, task.seed)
            start = time.perf_counter()
            _fitted(model, job, task.train)
            seconds = time.perf_counter() - start
            metrics, predictions = judge(model, job, task.test)
            training = judge(model, job, task.train)[0] if task.training else {}
    except Exception as error:
        return Failure(error, traceback.format_exc())
    told = [(w.category, str(w.message)) for w in caught if issubclass(w.category, UserWarning)]
    return Outcome(metrics, predictions, seconds, seed, training, told)


def for_fold(model: BaseEstimator, seed: int) -> tuple[BaseEstimator, int | None]:
    """Return an unfitted copy for one fold, and the seed that it learns by.

    A seed that the model has is left as it is. Where it has none, so that it would draw one, it
    is given the fold's.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> for_fold(ImageClassifier(), 7)[1], for_fold(ImageClassifier(seed=1), 7)[1]
    (7, 1)
    """
    copy, found, changes = clone(model), None, {}
    for name, value in copy.get_params(deep=True).items():
        leaf = name.rpartition("__")[2]
        if leaf in ("seed", "random_state"):
            if value is None:
                changes[name] = value = seed
            if found is None and isinstance(value, (int, np.integer)):
                found = int(value)
        elif leaf in _NOT_IN_FOLDS and value is not None:
            changes[name] = None
        elif leaf == "verbose" and isinstance(value, str):
            changes[name] = False
    return copy.set_params(**changes), found


def _fitted(model: Any, job: Job, rows: np.ndarray) -> None:
    more = {} if job.weights is None else {"sample_weight": job.weights[rows]}
    model.fit(take(job.X, rows), take(job.y, rows), **more)
    if getattr(model, "stopped_", None) == "interrupted":
        raise KeyboardInterrupt


def judge(model: Any, job: Job, rows: np.ndarray) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the metrics of a fitted model on some rows, and its predictions."""
    X, y = take(job.X, rows), take(job.y, rows)
    if job.classes is None:
        quick = {"resamples": 0} if "resamples" in signature(model.evaluate).parameters else {}
        table, predictions = model.evaluate(X, y, **quick), predictions_of(model.predict(X))
    else:
        probabilities = _probabilities(model, X, job.classes)
        if probabilities is None:
            predicted = np.asarray(model.predict(X))
        else:
            predicted = as_objects(job.classes)[probabilities.argmax(axis=1)]
        ordered = bool(getattr(model, "ordered_", False))
        table = point_estimates(y, predicted, probabilities, job.classes, ordered)
        predictions = {"predicted": predicted}
        if probabilities is not None:
            named = zip(job.classes, probabilities.T, strict=True)
            predictions |= {f"prob_{c}": p for c, p in named}
    return metrics_of_the_whole(table, job.metrics), predictions


def predictions_of(predicted: Any) -> dict[str, np.ndarray]:
    """Return predictions as columns: several an image, such as tags, have one each.

    Examples
    --------
    >>> list(predictions_of(np.zeros(2))), list(predictions_of(np.zeros((2, 2))))
    (['predicted'], ['predicted_1', 'predicted_2'])
    """
    values = np.asarray(predicted)
    if values.ndim == 1:
        return {"predicted": values}
    names = getattr(predicted, "columns", range(1, values.shape[1] + 1))
    return {f"predicted_{name}": column for name, column in zip(names, values.T, strict=True)}


def point_estimates(
    truth: Any, predicted: Any, probabilities: np.ndarray | None, classes: list[Any], ordered: bool
) -> Any:
    """Return the table of metrics without bootstrap intervals, which would cost more than a fit."""
    labels = as_objects(np.asarray(truth).tolist())
    return evaluate_classes(labels, predicted, probabilities, classes, ordered=ordered, resamples=0)


def metrics_of_the_whole(table: Any, wanted: Sequence[str] | None) -> dict[str, float]:
    """Return the metrics that are not of a class, by name."""
    if "class" in table:
        table = table[table["class"].isna()]
    found = dict(zip(table["metric"], table["estimate"].astype(float), strict=True))
    if wanted is None:
        return found
    strange = [name for name in wanted if name not in found]
    if strange:
        raise InputError(
            f"metrics names {strange[0]!r}, which is not among the metrics of this model: "
            f"{', '.join(found)}"
        )
    return {name: found[name] for name in wanted}


def _probabilities(model: Any, X: Any, classes: list[Any]) -> np.ndarray | None:
    """Return a column for each class, 0 for classes that this fold's model did not see."""
    if not hasattr(model, "predict_proba"):
        return None
    given = np.asarray(model.predict_proba(X), np.float64)
    place = {name: column for column, name in enumerate(classes)}
    columns = [place[name] for name in np.asarray(model.classes_).tolist()]
    found = np.zeros((len(given), len(classes)))
    found[:, columns] = given
    return found


def classes_of(model: Any, y: Any) -> list[Any] | None:
    """Return all classes, those of categories in their order, or None where y is no label.

    Raises
    ------
    InputError
        If the model neither tells classes apart nor can evaluate itself.
    """
    import pandas as pd

    values = getattr(y, "array", y)
    if is_classifier(model) and (isinstance(values, pd.Categorical) or is_flat(values)):
        if isinstance(values, pd.Categorical):
            return values.remove_unused_categories().categories.tolist()
        missing = np.flatnonzero(pd.isna(np.asarray(values, object)))
        if len(missing):
            raise InputError(f"the label of row {missing[0] + 1} is missing: leave that row out")
        return np.unique(np.asarray(values)).tolist()
    if not hasattr(model, "evaluate"):
        raise InputError(
            f"a {type(model).__name__} is no classifier of single labels and has no evaluate(): "
            "resampling needs one or the other"
        )
    return None


def is_flat(values: Any) -> bool:
    """Whether there is one outcome an image, not a list or row of several.

    Examples
    --------
    >>> is_flat(["a", "b"]), is_flat([["a"], ["a", "b"]]), is_flat(np.eye(2))
    (True, False, False)
    """
    try:
        return np.ndim(values) == 1
    except ValueError:
        return False


def as_objects(labels: Sequence[Any]) -> np.ndarray:
    """Return labels as an array of Python's own values."""
    found = np.empty(len(labels), object)
    found[:] = labels
    return found
