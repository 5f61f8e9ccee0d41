"""What a fitted model makes of single images: its worst errors, and what it takes for alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from diglot.errors import InputError
from diglot.estimators.settings import whole
from diglot.images import ImageSet, as_images
from diglot.outcomes.labels import encode_labels

_METRICS = ("euclidean", "cosine")
_BLOCK = 1024  # images whose features are computed together


def worst_errors(model: Any, X: Any, y: Any, n: int = 24) -> pd.DataFrame:
    """Return the images that a classifier got most wrong.

    Parameters
    ----------
    model : ImageClassifier
        Fitted; or anything with ``classes_`` and ``predict_proba``.
    X : images
    y : sequence of labels
        What they show, one an image.
    n : int
        How many at most; there are fewer where the model made fewer errors.

    Returns
    -------
    DataFrame
        One row an error, the worst first: ``row`` (of X, from 0), ``truth`` and ``predicted``
        (Categorical), ``probability`` (of what was predicted), ``probability_of_truth``, and
        ``loss``, the negative logarithm of that, by which they are ordered.

    Raises
    ------
    InputError
        If a label is unknown, or the lengths differ.

    Examples
    --------
    >>> from diglot import ImageClassifier, example_images
    >>> digits = example_images("digits")
    >>> model = ImageClassifier("mlp", epochs=2, seed=1).fit(digits[["image"]], digits["label"])
    >>> worst_errors(model, digits[["image"]], digits["label"], n=3).columns.tolist()
    ['row', 'truth', 'predicted', 'probability', 'probability_of_truth', 'loss']
    """
    n = whole("n", n, 1)
    if not hasattr(model, "classes_"):
        raise InputError(
            f"worst errors are those of a fitted classifier; a {type(model).__name__} tells no "
            "classes apart"
        )
    classes = np.asarray(model.classes_)
    probabilities = np.asarray(model.predict_proba(X), np.float64)
    truth = encode_labels(y, len(probabilities), classes).codes
    predicted = probabilities.argmax(axis=1)
    rows = np.arange(len(truth))
    with np.errstate(divide="ignore"):  # what was ruled out costs infinitely much
        loss = -np.log(probabilities[rows, truth])
    wrong = np.flatnonzero(predicted != truth)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:n]
    ordered = bool(getattr(model, "ordered_", False))
    return pd.DataFrame(
        {
            "row": worst,
            "truth": pd.Categorical.from_codes(truth[worst], classes, ordered=ordered),
            "predicted": pd.Categorical.from_codes(predicted[worst], classes, ordered=ordered),
            "probability": probabilities[worst, predicted[worst]],
            "probability_of_truth": probabilities[worst, truth[worst]],
            "loss": loss[worst],
        }
    )


def nearest_images(
    model: Any,
    X: Any,
    train_X: Any,
    train_y: Any = None,
    n: int = 5,
    metric: str = "euclidean",
) -> pd.DataFrame:
    """Return the training images that a model takes for most alike, for each image.

    Parameters
    ----------
    model : ImageClassifier, ImageRegressor or ImageTagger
        Fitted: alike is what has nearly the same features, which the head sees.
    X : images
    train_X : images
        In which to look.
    train_y : sequence of labels, optional
        What these show.
    n : int
        How many for each image.
    metric : {"euclidean", "cosine"}
        The distance between features; "cosine" is one less the cosine of their angle.

    Returns
    -------
    DataFrame
        One row a neighbour: ``row`` (of X, from 0), ``rank`` (from 1, the nearest),
        ``neighbour`` (its row in ``train_X``, from 0), ``distance`` and ``label`` (from
        ``train_y``; missing without). Of neighbours as near, the earlier come first.

    Raises
    ------
    InputError
        If there is nothing to look in, or lengths differ.

    Examples
    --------
    >>> from diglot import ImageClassifier, example_images
    >>> digits = example_images("digits")[:100]
    >>> model = ImageClassifier("mlp", epochs=2, seed=1).fit(digits[["image"]], digits["label"])
    >>> found = nearest_images(model, digits[["image"]][:3], digits[["image"]], digits["label"])
    >>> found.query("rank == 1")["neighbour"].tolist()  # each is its own nearest
    [0, 1, 2]
    """
    n = whole("n", n, 1)
    if metric not in _METRICS:
        raise InputError(f"metric must be one of {', '.join(map(repr, _METRICS))}, not {metric!r}")
    asked, known = as_images(X, allow_empty=True), as_images(train_X)
    if train_y is not None and len(train_y) != len(known):
        raise InputError(
            f"train_X has {len(known)} images but train_y {len(train_y)} labels: each needs one"
        )
    n = min(n, len(known))
    places, distances = np.empty((0, n), np.int64), np.empty((0, n))
    if len(asked):
        places, distances = _nearest(_features(model, asked), _features(model, known), n, metric)
    labels = pd.Series([None] * len(known), dtype=object)
    if train_y is not None:
        labels = pd.Series(train_y).reset_index(drop=True)
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(asked)), n),
            "rank": np.tile(np.arange(1, n + 1), len(asked)),
            "neighbour": places.ravel(),
            "distance": distances.ravel(),
            "label": labels.iloc[places.ravel()].reset_index(drop=True),
        }
    )


def _features(model: Any, images: ImageSet) -> np.ndarray:
    """Return what the head sees, block by block: a layer that keeps places is large."""
    starts = range(0, len(images), _BLOCK)
    blocks = (np.arange(i, min(i + _BLOCK, len(images))) for i in starts)
    return np.concatenate([model.transform(images.take(rows)) for rows in blocks])


def _nearest(
    asked: np.ndarray, known: np.ndarray, n: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the n nearest, and their distances, the nearest first."""
    search = NearestNeighbors(n_neighbors=n, algorithm="brute", metric=metric).fit(known)
    places = search.kneighbors(asked, return_distance=False)
    distances = np.empty(places.shape)
    for row, mine in enumerate(places):
        # Anew, as the search takes differences of large numbers, which leave the like not at 0.
        distances[row] = _distances(asked[row], known[mine], metric)
        order = np.lexsort((mine, distances[row]))
        places[row], distances[row] = mine[order], distances[row][order]
    return places, distances


def _distances(one: np.ndarray, others: np.ndarray, metric: str) -> np.ndarray:
    one, others = one.astype(np.float64), others.astype(np.float64)
    if metric == "euclidean":
        return np.linalg.norm(others - one, axis=1)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(one)
    cosines = np.divide(others @ one, lengths, out=np.zeros(len(others)), where=lengths > 0)
    return np.maximum(1 - cosines, 0)
