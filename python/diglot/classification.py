"""What image classification adds to the one loop: labelled rows, training graph, batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diglot.augment import Augment, mixup, row_keys, smooth
from diglot.engine import Executor
from diglot.errors import InputError
from diglot.graph import Builder, Graph
from diglot.images import ImageSet, PreparedImages, batches
from diglot.seeds import stream


@dataclass(frozen=True)
class Labels:
    """Outcomes as codes: ``classes[codes[i]]`` is the label of row i."""

    codes: np.ndarray
    classes: np.ndarray
    ordered: bool = False


def encode_labels(y: Any, rows: int, known: np.ndarray | None = None) -> Labels:
    """Turn labels into codes; the order of categories is kept, other labels are sorted.

    Parameters
    ----------
    y : sequence of n labels
        A pandas Categorical (or Series of one), or any one-dimensional sequence.
    rows : int
        How many images there are.
    known : array, optional
        The classes of an earlier fit; a label beside them is an error.

    Returns
    -------
    Labels
        Only classes that occur, unless ``known`` is given.

    Raises
    ------
    InputError
        If a label is missing or unknown, or the lengths differ.
    """
    import pandas as pd
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    if y is None:
        raise InputError("fit requires y to be passed, but the target y is None")
    values = getattr(y, "array", y)
    if isinstance(values, pd.Categorical):
        categorical = values
    else:
        plain = column_or_1d(np.asarray(y, object if _has_missing(y) else None), warn=True)
        _refuse_missing(pd.isna(plain))
        check_classification_targets(plain)
        categorical = pd.Categorical(plain, categories=_sorted_unique(plain))
    if len(categorical) != rows:
        raise InputError(
            f"there are {rows} images and {len(categorical)} labels: give one label an image "
            "(inconsistent numbers of samples)"
        )
    codes = np.asarray(categorical.codes, np.int64)
    _refuse_missing(codes < 0)
    if known is None:
        used = np.unique(codes)
        classes = np.asarray(categorical.categories)[used]
        return Labels(np.searchsorted(used, codes), classes, bool(categorical.ordered))
    return Labels(_recode(np.asarray(categorical.categories), codes, known), known)


def _sorted_unique(values: np.ndarray) -> np.ndarray:
    try:
        return np.unique(values)
    except TypeError as error:
        raise InputError(f"labels must be of one type, text or numbers: {error}") from error


def _has_missing(y: Any) -> bool:
    if not isinstance(y, (list, tuple)):
        return False
    # numpy would spell them as text among texts
    return any(v is None or (isinstance(v, float) and v != v) for v in y)


def _refuse_missing(missing: np.ndarray) -> None:
    if missing.any():
        rows = np.flatnonzero(missing) + 1
        raise InputError(
            f"the label of row {rows[0]} is missing (NaN or NA; {len(rows)} such rows): leave "
            "these rows out or label them"
        )


def _recode(categories: np.ndarray, codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    place = {value: code for code, value in enumerate(known.tolist())}
    table = np.array([place.get(value, -1) for value in categories.tolist()], np.int64)
    recoded = table[codes] if len(codes) else codes
    if (recoded < 0).any():
        row = int(np.flatnonzero(recoded < 0)[0])
        raise InputError(
            f"the label {categories[codes[row]]!r} of row {row + 1} was not seen in training; "
            f"known are: {', '.join(map(str, known.tolist()[:20]))}"
        )
    return recoded


def merge_repeats(
    keys: Sequence[bytes], codes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Bring rows into an order of their own, and repeated rows into one.

    A row that stands there twice counts as one row of twice the weight: frequency weights and
    repeated rows give the same fit, the order of rows does not matter, and no image is in the
    training and the validation part at once. Rows of weight zero go.

    Returns
    -------
    rows : ndarray of int
        Which rows are kept, in the order of their content.
    weights : ndarray of float
        Their weights, scaled to a mean of 1.
    digest : str
        Identifies images, labels and weights.
    """
    sums: dict[tuple[bytes, int], float] = {}
    first: dict[tuple[bytes, int], int] = {}
    for row in np.flatnonzero(weights > 0):
        identity = (keys[row], int(codes[row]))
        sums[identity] = sums.get(identity, 0.0) + float(weights[row])
        first.setdefault(identity, int(row))
    order = sorted(sums)
    merged = np.array([sums[i] for i in order])
    digest = hashlib.sha256(merged.tobytes())
    for key, code in order:
        digest.update(key + code.to_bytes(8, "little"))
    scaled = merged / merged.mean() if len(merged) else merged
    return np.array([first[i] for i in order], np.int64), scaled, digest.hexdigest()


def class_weights(given: Any, labels: Labels, weights: np.ndarray) -> np.ndarray:
    """Return one weight a class: all 1, "balanced" (n / (k * count)), or the given ones."""
    classes = labels.classes.tolist()
    if given is None:
        return np.ones(len(classes))
    if isinstance(given, str):
        if given != "balanced":
            raise InputError(f'class_weight must be "balanced" or a dict, not {given!r}')
        counts = np.bincount(labels.codes, weights, minlength=len(classes))
        return counts.sum() / (len(classes) * np.maximum(counts, 1e-12))
    if not isinstance(given, Mapping):
        raise InputError(f'class_weight must be "balanced" or a dict, not {given!r}')
    unknown = [c for c in given if c not in classes]
    if unknown:
        raise InputError(f"class_weight names {unknown[0]!r}, which is not among the labels")
    values = np.array([float(given.get(c, 1.0)) for c in classes])
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError("class_weight must hold finite numbers from 0")
    return values


def split_validation(codes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out: of each class its share, at least one where it can be.

    Parameters
    ----------
    codes : ndarray of int
        The rows' classes.
    fraction : float
        Between 0 and 1.
    seed : int
        The user's.

    Returns
    -------
    ndarray of bool
    """
    held = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        order = stream(seed, "validation", int(code)).permutation(len(rows))
        held[rows[order[:count]]] = True
    if not held.any():
        raise InputError(
            f"validation={fraction} holds no image out: every class has a single image"
        )
    return held


def training_graph(graph: Graph) -> Graph:
    """Return the graph that ends in each row's weighted cross-entropy and its weighted hit."""
    b = Builder(graph.input, graph)
    logits = b.start_output()
    classes = logits.shape[0]
    target, weight = b.input("target", (classes,)), b.input("weight", (1,))
    log_p = b.add("log_softmax", logits, name="log_probability", axis=-1)
    picked = b.add("elemwise_mul", log_p, target, name="target_log_probability")
    summed = b.add("sum", picked, name="log_likelihood", axis=1, keepdims=True)
    entropy = b.add("negative", summed, name="cross_entropy")
    loss = b.add("elemwise_mul", entropy, weight, name="loss")
    guess = b.add("argmax", logits, name="guess", axis=1, keepdims=True)
    truth = b.add("argmax", target, name="truth", axis=1, keepdims=True)
    hit = b.add("broadcast_equal", guess, truth, name="hit")
    accuracy = b.add("elemwise_mul", hit, weight, name="accuracy")
    return b.graph(f"{graph.name} in training", loss, accuracy)


@dataclass(frozen=True)
class Rows:
    """Images ready for the engine, with their codes and weights; ``places`` finds them."""

    images: PreparedImages
    places: np.ndarray
    codes: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, chosen: np.ndarray) -> Rows:
        return Rows(self.images, self.places[chosen], self.codes[chosen], self.weights[chosen])


@dataclass(frozen=True)
class Recipe:
    """How batches are made of rows."""

    batch_size: int
    seed: int
    augment: Augment | None = None
    mixup: float = 0.0
    smoothing: float = 0.0
    threads: int | None = None


class ClassificationTask:
    """What the loop trains: see :class:`diglot.training.Task`."""

    metrics = ("loss", "accuracy")

    def __init__(
        self, train: Rows, validation: Rows | None, classes: int, recipe: Recipe, score_batch: int
    ) -> None:
        self.rows = len(train)
        self.steps = -(-len(train) // recipe.batch_size)
        self._train, self._validation, self._recipe = train, validation, recipe
        self._targets = smooth(np.eye(classes, dtype=np.float32), recipe.smoothing)
        self._score_batch = score_batch

    def _order(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each step: sizes differ by one at most, so none is tiny."""
        order = stream(self._recipe.seed, "shuffle", epoch).permutation(self.rows)
        return np.array_split(order, self.steps)

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return the weights' sum over an epoch's first steps."""
        return float(sum(self._train.weights[r].sum() for r in self._order(epoch)[:steps]))

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield data, target and weight of each step."""
        recipe, rows = self._recipe, self._order(epoch)[start:]
        change = None
        if recipe.augment is not None:

            def change(batch: np.ndarray, position: int) -> np.ndarray:
                keys = row_keys(recipe.seed, epoch, rows[position])
                return recipe.augment.apply(batch, keys)

        places = [self._train.places[r] for r in rows]
        for position, data in batches(self._train.images, places, change, threads=recipe.threads):
            mine = rows[position]
            target = self._targets[self._train.codes[mine]]
            if recipe.mixup:
                numbers = stream(recipe.seed, "mixup", epoch, start + position)
                data, target = mixup(data, target, recipe.mixup, numbers)
            weight = self._train.weights[mine].astype(np.float32)[:, None]
            yield {"data": data, "target": target, "weight": weight}

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return ``val_loss`` and ``val_accuracy``."""
        held = self._validation
        if held is None:
            return {}
        logits = score(
            executor, held.images, self._score_batch, self._recipe.threads, places=held.places
        )
        mine = log_softmax(logits)[np.arange(len(held)), held.codes]
        hits = logits.argmax(axis=1) == held.codes
        return {
            "val_loss": float(np.average(-mine, weights=held.weights)),
            "val_accuracy": float(np.average(hits, weights=held.weights)),
        }


def score(
    executor: Executor,
    images: PreparedImages,
    batch: int,
    threads: int | None = None,
    heard: Any = None,
    places: np.ndarray | None = None,
) -> np.ndarray:
    """Return the logits of all images, or those at ``places``; ``heard(done)`` hears how far."""
    places = np.arange(len(images)) if places is None else places
    rows = [places[i : i + batch] for i in range(0, len(places), batch)]
    parts = []
    for position, data in batches(images, rows, threads=threads):
        parts.append(executor.forward({"data": data}))
        if heard is not None:
            heard(min((position + 1) * batch, len(places)))
    return np.concatenate(parts)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities in float64.

    Examples
    --------
    >>> np.exp(log_softmax(np.zeros((1, 4)))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def prepared(images: ImageSet, graph: Graph, limit: int | None, threads: int | None):
    """Return images made ready for a network."""
    return PreparedImages(images, graph.input, memory_limit=limit, threads=threads)


def standardised(graph: Graph, images: PreparedImages, rows: np.ndarray) -> Graph:
    """Return the network whose input is standardised by the training images' mean and spread."""
    mean, std = images.statistics(rows)
    spec = replace(graph.input, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    return replace(graph, input=spec)
