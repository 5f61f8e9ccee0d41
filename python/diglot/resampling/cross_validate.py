"""``cross_validate()``: one row a fold, predictions of images that the model had not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import DiglotError, InputError, InterruptedFitWarning
from diglot.estimators.settings import whole
from diglot.progress import reporter
from diglot.resampling.folds import Fold, make_folds, strata
from diglot.resampling.intervals import summarise
from diglot.resampling.processes import run_tasks, threads_of
from diglot.resampling.rows import count
from diglot.resampling.tasks import (
    Failure,
    Job,
    Outcome,
    Task,
    as_objects,
    classes_of,
    is_flat,
    metrics_of_the_whole,
    point_estimates,
)
from diglot.seeds import check_seed, stream

_KNOWN = ("repeat", "fold", "n_train", "n_test", "seconds", "seed")


@dataclass(frozen=True, repr=False)
class Resamples:
    """What cross-validation found.

    Attributes
    ----------
    folds : DataFrame
        One row a fold: ``repeat`` and ``fold`` (from 1), ``n_train``, ``n_test``, ``seconds`` (of
        training), ``seed`` (of the model), then the metrics, missing where the fold failed.
    predictions : DataFrame
        One row a test image of a fold: ``row`` (from 0), ``repeat``, ``fold``, ``truth``,
        ``predicted``, and ``prob_<class>`` for each class. Several predictions an image, such as
        tags, are ``predicted_<name>``, and ``truth`` is left out.
    failures : DataFrame
        ``repeat``, ``fold``, ``error``: folds that failed.
    seed : int
        Of the folds.
    jobs, threads : int
        How many processes ran side by side, and how many threads each computed with. Networks
        have the same weights to the byte for the same number of threads only.
    """

    folds: pd.DataFrame
    predictions: pd.DataFrame
    failures: pd.DataFrame
    seed: int
    jobs: int
    threads: int

    @property
    def metrics(self) -> list[str]:
        """The metrics' names."""
        return [name for name in self.folds.columns if name not in _KNOWN]

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Return each metric's mean over folds, with the corrected resampled t interval.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            metric, estimate, lower, upper, method, n (of folds that count); see
            `diglot.resampling.corrected_interval`.
        """
        return summarise(self.folds, self.metrics, level)

    def __repr__(self) -> str:
        repeats = self.folds["repeat"].nunique()
        again = f" in {repeats} repeats" if repeats > 1 else ""
        failed = f", {len(self.failures)} failed" if len(self.failures) else ""
        table = self.summary().round(4).to_string(index=False)
        return f"{len(self.folds)} folds{again}{failed}, seed {self.seed}\n{table}"


def cross_validate(
    model: Any,
    X: Any,
    y: Any,
    *,
    folds: int = 5,
    repeats: int = 1,
    groups: Any = None,
    stratify: bool = True,
    metrics: Sequence[str] | None = None,
    sample_weight: Any = None,
    seed: int | None = 0,
    jobs: int = 1,
    verbose: Any = "auto",
) -> Resamples:
    """Judge a model by images that it was not trained on: each image is tested once a repeat.

    Parameters
    ----------
    model : estimator
        Any of diglot's models, or any classifier of scikit-learn, also a pipeline. It is copied
        for each fold and stays as it is.
    X, y : images and outcomes
        As the model's ``fit`` takes them. Files are read where they are needed.
    folds : int
        Parts of the data, each of which is tested on once.
    repeats : int
        How many times the data are dealt out anew.
    groups : sequence of n labels, optional
        Images that belong together, such as those of one patient: no group is on both sides of
        a fold.
    stratify : bool
        Give each fold the same shares of the classes, or of ten bins of a numeric outcome.
    metrics : sequence of str, optional
        Such as ``["accuracy", "log_loss"]``; by default all that are not of one class.
    sample_weight : array of n floats, optional
        How much each image counts in training.
    seed : int, optional
        Of the folds, the same by default, so that two models are compared on the same folds; None
        draws one. A model with ``seed=None`` (or ``random_state=None``) is given another seed in
        each fold, derived from this one; a seed that it has is left as it is.
    jobs : int
        How many folds to train side by side, each in a process of its own with its share of the
        cores; see `Resamples` on ``threads``.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Returns
    -------
    Resamples
        ``.folds``, ``.predictions`` and ``.summary()``.

    Raises
    ------
    InputError
        If an argument cannot be used, or no folds can be made as asked; see `make_folds`.
    DiglotError
        If every fold failed, with the first one's reason. If some do, a warning names them, and
        the others are there. An interrupt, likewise, leaves the folds that are done.

    Notes
    -----
    Checkpoints are switched off, lest the folds write over each other. Metrics are those of
    ``model.evaluate()``, computed once a fold. With ``metrics``, a classifier's are computed from
    ``predict_proba()`` with all classes, also those that a fold's test images lack.

    Examples
    --------
    >>> from diglot import ImageClassifier, cross_validate, example_images
    >>> digits = example_images("digits")[:200]
    >>> model = ImageClassifier("mlp", epochs=1)
    >>> found = cross_validate(model, digits, digits["label"], folds=4, metrics=["accuracy"])
    >>> found.folds.shape, len(found.predictions), found.summary()["n"].item()
    ((4, 7), 200, 4)
    """
    jobs, seed = whole("jobs", jobs, 1), check_seed(seed)
    job = prepared(model, X, y, metrics, sample_weight)
    splits = make_folds(
        count(X), folds=folds, repeats=repeats, groups=groups, seed=seed,
        strata=strata(y, classes=job.classes is not None) if stratify else None,
    )  # fmt: skip
    tasks = [Task(s.repeat, s.fold, s.train, s.test, fold_seed(seed, s)) for s in splits]
    outcomes = collected(job, tasks, jobs, verbose, "Cross-validating")
    done = {place: o for place, o in outcomes.items() if isinstance(o, Outcome)}
    rows = [
        {
            "repeat": task.repeat,
            "fold": task.fold,
            "n_train": len(task.train),
            "n_test": len(task.test),
            "seconds": done[place].seconds if place in done else np.nan,
            "seed": done[place].seed if place in done else None,
            **(done[place].metrics if place in done else {}),
        }
        for place, task in enumerate(tasks)
        if place in outcomes
    ]
    return Resamples(
        pd.DataFrame(rows).astype({"seed": "Int64"}),
        _predictions(job, [(tasks[place], done[place]) for place in sorted(done)]),
        failures_of(tasks, outcomes),
        seed,
        jobs,
        threads_of(jobs),
    )


def prepared(model: Any, X: Any, y: Any, metrics: Any, sample_weight: Any) -> Job:
    """Return what all fits share, checked before any of them costs time."""
    if y is None:
        raise InputError("there are no outcomes: y is None")
    if count(y) != count(X):
        raise InputError(f"there are {count(X)} images and {count(y)} outcomes: give one an image")
    if isinstance(metrics, str):
        metrics = [metrics]
    classes = classes_of(model, y)
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight, np.float64)
        if sample_weight.shape != (count(X),):
            raise InputError(f"sample_weight must be {count(X)} numbers, one an image")
    if classes is not None and metrics is not None:
        names, sure = as_objects(classes), np.eye(len(classes))
        ordered = bool(getattr(getattr(y, "array", y), "ordered", False))
        metrics_of_the_whole(point_estimates(names, names, sure, classes, ordered), metrics)
    return Job(model, X, y, classes, sample_weight, metrics)


def fold_seed(seed: int, fold: Fold) -> int:
    """Return the seed of one fold's model."""
    return int(stream(seed, "fold", fold.repeat, fold.fold).integers(2**31))


def collected(
    job: Job, tasks: Sequence[Task], jobs: int, verbose: Any, title: str
) -> dict[int, Outcome | Failure]:
    """Run all tasks and return what came of them by their place; refuse if nothing did."""
    listener, outcomes = reporter(verbose), {}
    listener.start(title, len(tasks), "fit")
    try:
        for place, outcome in run_tasks(job, tasks, jobs):
            outcomes[place] = outcome
            listener.step(len(outcomes))
    except KeyboardInterrupt:
        if not any(isinstance(outcome, Outcome) for outcome in outcomes.values()):
            raise
        warnings.warn(
            f"interrupted: {len(outcomes)} of {len(tasks)} fits are there",
            InterruptedFitWarning,
            stacklevel=3,
        )
    finally:
        listener.finish()
    outcomes = dict(sorted(outcomes.items()))
    _tell(tasks, outcomes)
    return outcomes


def _tell(tasks: Sequence[Task], outcomes: dict[int, Outcome | Failure]) -> None:
    """Give the fits' warnings, each once, and say what failed; raise if all did."""
    failures = {p: o for p, o in outcomes.items() if isinstance(o, Failure)}
    told = [w for o in outcomes.values() if isinstance(o, Outcome) for w in o.warnings]
    for category, text in dict.fromkeys(told):
        warnings.warn(text, category, stacklevel=4)
    if not failures:
        return
    place, first = next(iter(failures.items()))
    words = f"{_named(tasks[place])}: {_words(first.error)}"
    if len(failures) == len(outcomes):
        kind = type(first.error) if isinstance(first.error, DiglotError) else DiglotError
        raise kind(f"no fit succeeded; {words}") from first.error
    warnings.warn(
        f"{len(failures)} of {len(outcomes)} fits failed; {words}", UserWarning, stacklevel=4
    )


def _named(task: Task) -> str:
    return f"fold {task.fold} of repeat {task.repeat} with {len(task.train)} images"


def _words(error: Exception) -> str:
    text = str(error)
    return text if isinstance(error, DiglotError) else f"{type(error).__name__}: {text}"


def failures_of(tasks: Sequence[Task], outcomes: dict[int, Outcome | Failure]) -> pd.DataFrame:
    """Return which tasks failed and why."""
    rows = [
        (tasks[p].repeat, tasks[p].fold, _words(o.error))
        for p, o in outcomes.items()
        if isinstance(o, Failure)
    ]
    return pd.DataFrame(rows, columns=["repeat", "fold", "error"])


def _predictions(job: Job, done: Sequence[tuple[Task, Outcome]]) -> pd.DataFrame:
    parts = []
    for task, outcome in done:
        place = {"row": task.test, "repeat": task.repeat, "fold": task.fold}
        parts.append(pd.DataFrame({**place, **outcome.predictions}))
    table = pd.concat(parts, ignore_index=True)
    if is_flat(getattr(job.y, "array", job.y)):
        truth = np.asarray(job.y)[table["row"].to_numpy()]
        table.insert(3, "truth", truth if job.classes is None else _labels(truth, job))
    if job.classes is not None:
        table["predicted"] = _labels(table["predicted"], job)
    return table


def _labels(values: Any, job: Job) -> pd.Categorical:
    ordered = bool(getattr(getattr(job.y, "array", job.y), "ordered", False))
    return pd.Categorical(list(np.asarray(values)), categories=job.classes, ordered=ordered)
