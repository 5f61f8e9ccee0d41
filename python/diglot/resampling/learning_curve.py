"""``learning_curve()``: how a model's quality grows with the number of training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.estimators.settings import whole
from diglot.resampling.cross_validate import collected, failures_of, fold_seed, prepared
from diglot.resampling.folds import Fold, make_folds, strata
from diglot.resampling.intervals import summarise
from diglot.resampling.processes import threads_of
from diglot.resampling.rows import count
from diglot.resampling.tasks import Outcome, Task
from diglot.seeds import check_seed, stream

SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, repr=False)
class LearningCurve:
    """What a learning curve is drawn from.

    Attributes
    ----------
    table : DataFrame
        ``n_train``, ``repeat``, ``fold``, ``metric``, ``training`` (whether it is of the training
        images) and ``estimate``.
    failures : DataFrame
        ``repeat``, ``fold``, ``error``: fits that failed.
    seed : int
        Of the folds.
    jobs, threads : int
        See `Resamples`.
    ratio : float
        Images of a test set over images that there are to train on, for the intervals.
    """

    table: pd.DataFrame
    failures: pd.DataFrame
    seed: int
    jobs: int
    threads: int
    ratio: float

    def summary(self, level: float = 0.95, *, training: bool = False) -> pd.DataFrame:
        """Return each metric's mean over folds, for each number of images.

        Parameters
        ----------
        level : float
            Of the intervals.
        training : bool
            Of the training images, not of the test images.

        Returns
        -------
        DataFrame
            n_train, metric, estimate, lower, upper, n (of folds that count). The interval is the
            corrected resampled t, with the correction of the whole folds: smaller training sets
            overlap less, so that it is on the safe side for them.
        """
        return summarise_curve(self.table, self.ratio, level, training=training)

    def __repr__(self) -> str:
        return f"learning curve, seed {self.seed}\n{self.summary().round(4).to_string(index=False)}"


def learning_curve(
    model: Any,
    X: Any,
    y: Any,
    *,
    sizes: Sequence[float] = SIZES,
    folds: int = 5,
    repeats: int = 1,
    groups: Any = None,
    stratify: bool = True,
    metrics: Sequence[str] | None = None,
    sample_weight: Any = None,
    seed: int | None = 0,
    jobs: int = 1,
    verbose: Any = "auto",
) -> LearningCurve:
    """Train on more and more of the images of each fold, and judge by the same test images.

    Parameters
    ----------
    model, X, y
        As for `cross_validate`.
    sizes : sequence of int or float
        How many images to train on: whole numbers count them, numbers up to 1.0 are shares of
        what a fold has to train on (of the smallest, where folds differ).
    folds, repeats, groups, stratify, metrics, sample_weight, seed, jobs, verbose
        As for `cross_validate`. Without a seed of its own, a model has the same one for all sizes
        of a fold.

    Returns
    -------
    LearningCurve
        ``.table`` and ``.summary()``.

    Raises
    ------
    InputError
        If a size cannot be: more images than there are, or fewer than classes.

    Notes
    -----
    Within a fold, each training set holds the smaller ones. Each has its share of every class,
    and at least one image of it.

    Examples
    --------
    >>> from diglot import ImageClassifier, example_images, learning_curve
    >>> digits = example_images("digits")[:200]
    >>> model = ImageClassifier("mlp", epochs=1)
    >>> curve = learning_curve(
    ...     model, digits, digits["label"], sizes=[50, 1.0], folds=2, metrics=["accuracy"]
    ... )
    >>> curve.summary()[["n_train", "metric", "n"]].to_numpy().tolist()
    [[50, 'accuracy', 2], [100, 'accuracy', 2]]
    """
    jobs, seed = whole("jobs", jobs, 1), check_seed(seed)
    job = prepared(model, X, y, metrics, sample_weight)
    layers = strata(y, classes=job.classes is not None)
    splits = make_folds(
        count(X), folds=folds, repeats=repeats, groups=groups, seed=seed,
        strata=layers if stratify else None,
    )  # fmt: skip
    counts = training_sizes(sizes, splits, 1 if job.classes is None else len(job.classes))
    codes = None if job.classes is None else np.unique(np.asarray(layers), return_inverse=True)[1]
    tasks = []
    for split in splits:
        order = growing(split, codes, seed)
        task = Task(split.repeat, split.fold, order, split.test, fold_seed(seed, split), True)
        tasks += [replace(task, train=np.sort(order[:size])) for size in counts]
    outcomes = collected(job, tasks, jobs, verbose, "Learning curve")
    rows = [
        (len(tasks[p].train), tasks[p].repeat, tasks[p].fold, metric, training, estimate)
        for p, outcome in outcomes.items()
        if isinstance(outcome, Outcome)
        for training, found in ((False, outcome.metrics), (True, outcome.training))
        for metric, estimate in found.items()
    ]
    columns = ["n_train", "repeat", "fold", "metric", "training", "estimate"]
    ratio = float(np.mean([len(s.test) / len(s.train) for s in splits]))
    failures = failures_of(tasks, outcomes)
    table = pd.DataFrame(rows, columns=columns)
    return LearningCurve(table, failures, seed, jobs, threads_of(jobs), ratio)


def training_sizes(sizes: Sequence[float], folds: Sequence[Fold], least: int) -> list[int]:
    """Return how many images to train on, growing.

    Examples
    --------
    >>> training_sizes([1.0, 0.5, 3], [Fold(1, 1, np.arange(8), np.arange(2))], 1)
    [3, 4, 8]
    """
    most = min(len(fold.train) for fold in folds)
    found = set()
    for size in np.atleast_1d(np.asarray(sizes, object)).tolist():
        share = isinstance(size, float) and 0 < size <= 1
        number = round(size * most) if share else whole("sizes", size, 1)
        if not least <= number <= most:
            raise InputError(
                f"sizes asks for {number} training images ({size}), there can be {least} (the "
                f"number of classes) to {most} (what a fold has to train on)"
            )
        found.add(number)
    if not found:
        raise InputError("sizes is empty: give numbers of images, or shares such as 0.5")
    return sorted(found)


def growing(fold: Fold, codes: np.ndarray | None, seed: int) -> np.ndarray:
    """Return a fold's training rows in an order of which every beginning has all classes' shares.

    Examples
    --------
    >>> fold = Fold(1, 1, np.arange(9), np.arange(0))
    >>> order = growing(fold, np.array([0, 0, 0, 0, 0, 0, 1, 1, 1]), 1)
    >>> (order[:3] > 5).sum(), (order[:6] > 5).sum()
    (1, 2)
    """
    rows = stream(seed, "subset", fold.repeat, fold.fold).permutation(fold.train)
    if codes is None:
        return rows
    mine = codes[rows]
    totals = np.bincount(mine)
    rank = np.empty(len(rows))
    for code in np.unique(mine):
        rank[mine == code] = np.arange(totals[code])
    # The i-th of m images of a class comes where (i + 1/2) / m of all have come; a class's first
    # comes at once, as nothing could be learned of the class without it.
    due = np.where(rank == 0, 0, (rank + 0.5) / totals[mine])
    return rows[np.argsort(due, kind="stable")]


def summarise_curve(
    table: pd.DataFrame, ratio: float, level: float = 0.95, *, training: bool = False
) -> pd.DataFrame:
    """Return the means over folds of a table of `LearningCurve`; see `LearningCurve.summary`."""
    some = table[table["training"] == training]
    parts = []
    metrics = list(dict.fromkeys(some["metric"]))
    for size, rows in some.groupby("n_train"):
        wide = rows.pivot(index=["repeat", "fold"], columns="metric", values="estimate")
        wide = wide.assign(n_train=1.0, n_test=ratio)
        part = summarise(wide, metrics, level).drop(columns="method")
        part.insert(0, "n_train", size)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
