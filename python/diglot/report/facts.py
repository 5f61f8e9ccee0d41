"""What a report tells, as plain data: tables, texts and thumbnails."""

from __future__ import annotations

import base64
import inspect
import io
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation import confusion, evaluate_classes, reliability, roc_curve
from diglot.examination import worst_errors
from diglot.images import ImageSet, as_images
from diglot.images.shown import picture
from diglot.outcomes.labels import encode_labels
from diglot.predictor import ImagePredictor
from diglot.predictor.lineage import lineage
from diglot.report.repeat import code_in_python, code_in_r

_SHOWN = 24  # as many thumbnails as one looks through
_PIXELS = 128  # the longest side up to which one wants to see each pixel


def report_data(
    model: Any,
    X: Any,  # noqa: N803
    y: Iterable[Any],
    *,
    title: str | None = None,
    training_images: int | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Gather what a report tells on a fitted classifier.

    Parameters
    ----------
    model : fitted classifier
        With ``classes_`` and ``predict_proba``; what else it knows of itself is told, too.
    X : n images
        That the model has not learned from; with its covariates, if it has any.
    y : n labels
        What they show.
    title : str, optional
        The heading.
    training_images : int, optional
        How many images it learned from, where it does not know it itself.
    names : sequence of k str, optional
        How to spell the classes.

    Returns
    -------
    dict
        ``title``; ``data`` (``part``, ``images``) and ``classes`` (``class``, ``images``: of the
        test images); ``metrics``, ``roc`` and ``reliability`` as from ``evaluate`` and its
        relatives; ``confusion`` (``truth``, ``predicted``, ``n``: cells that are not empty);
        ``wrong`` (how many images), ``errors`` (``name``, ``truth``, ``predicted``,
        ``probability``, ``probability_of_truth``, ``picture``: a PNG as a data URI, ``pixelated``;
        the worst first; without errors the images it was least sure of); ``history``, or None;
        ``model``, ``settings`` (``name``, ``value``) and ``layers``; ``r`` and ``python``, the
        code that repeats it.

    Raises
    ------
    InputError
        There are no images, or not as many labels; a label is new to the model; or it is no
        classifier.

    Examples
    --------
    >>> import diglot
    >>> digits = diglot.example_images("digits")[:100]
    >>> model = diglot.ImageClassifier("mlp", epochs=1, seed=1)
    >>> model = model.fit(digits[["image"]], digits["label"])
    >>> told = report_data(model, digits[["image"]], digits["label"])
    >>> told["data"].to_numpy().tolist()
    [['training', 100], ['test', 100]]
    """
    if not hasattr(model, "predict_proba") or not hasattr(model, "classes_"):
        raise InputError(f"a report is on a fitted classifier, not on a {type(model).__name__}.")
    images = as_images(X)
    classes = np.asarray(model.classes_)
    truth = encode_labels(y, len(images), classes).codes
    probabilities = np.asarray(model.predict_proba(X))
    names = [_clean(label) for label in (classes.tolist() if names is None else names)]
    if len(set(names)) < len(names):  # told apart by what cannot be shown
        names = [f"{name} ({code + 1})" for code, name in enumerate(names)]
    labels = [names[code] for code in truth]
    predicted = [names[code] for code in probabilities.argmax(axis=1)]
    ordered = bool(getattr(model, "ordered_", False))
    network = getattr(getattr(model, "network_", None), "name", None)
    return {
        "title": _clean(title or f"Image classification{f' with {network}' if network else ''}"),
        "data": _parts(training_images or getattr(model, "n_images_", None), len(images)),
        "classes": pd.DataFrame(
            {"class": names, "images": np.bincount(truth, minlength=len(names))}
        ),
        "metrics": evaluate_classes(labels, predicted, probabilities, names, ordered=ordered),
        "confusion": _cells(confusion(labels, predicted, names)),
        "roc": roc_curve(labels, probabilities, names),
        "reliability": reliability(labels, probabilities, names),
        "wrong": sum(one != other for one, other in zip(labels, predicted, strict=True)),
        "errors": _errors(images, labels, probabilities, names),
        "history": getattr(model, "history_", None),
        "model": _facts(model),
        "settings": _settings(model),
        "layers": _layers(model),
        "r": code_in_r(model),
        "python": code_in_python(model),
    }


def _clean(value: Any) -> str:
    """Return text without what a page cannot hold: control characters, halves of pairs."""
    text = "".join(
        c if c in "\t\n" or (c >= " " and not "\x7f" <= c <= "\x9f") else "\ufffd"
        for c in str(value)
    )
    # a lone half of a surrogate pair, and the two code points that are no characters
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def _parts(training: int | None, test: int) -> pd.DataFrame:
    parts = [] if training is None else [("training", training)]
    return pd.DataFrame([*parts, ("test", test)], columns=["part", "images"])


def _cells(matrix: pd.DataFrame) -> pd.DataFrame:
    counts = matrix.to_numpy()
    rows, columns = np.nonzero(counts)
    names = matrix.index.to_numpy()
    return pd.DataFrame(
        {"truth": names[rows], "predicted": names[columns], "n": counts[rows, columns]}
    )


# ---- the worst errors


def _errors(
    images: ImageSet, labels: list[str], probabilities: np.ndarray, names: list[str]
) -> pd.DataFrame:
    answers = SimpleNamespace(classes_=np.array(names), predict_proba=lambda _: probabilities)
    table = worst_errors(answers, images, labels, n=_SHOWN)
    if not len(table):
        table = _least_sure(labels, probabilities, names)
    thumbnails = [_thumbnail(images[row]) for row in table["row"]]
    return pd.DataFrame(
        {
            "name": [_name(images, row) for row in table["row"]],
            "truth": table["truth"].astype(str).to_list(),
            "predicted": table["predicted"].astype(str).to_list(),
            "probability": table["probability"],
            "probability_of_truth": table["probability_of_truth"],
            "picture": [source for source, _ in thumbnails],
            "pixelated": [small for _, small in thumbnails],
        }
    )


def _least_sure(labels: list[str], probabilities: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Return the images that were right by the least, as `worst_errors` returns wrong ones."""
    most = probabilities.max(axis=1)
    rows = np.argsort(most, kind="stable")[: _SHOWN // 2]
    right = [labels[row] for row in rows]
    return pd.DataFrame(
        {
            "row": rows,
            "truth": right,
            "predicted": right,
            "probability": most[rows],
            "probability_of_truth": most[rows],
        }
    )


def _name(images: ImageSet, row: int) -> str:
    """Name an image by its file, else by its place; readers count from 1."""
    return _clean(os.path.basename(images.name(row))) if images.is_files else f"image {row + 1}"


def _thumbnail(image: np.ndarray) -> tuple[str, bool]:
    """Give an image as the address of its own PNG, and whether it shows its single pixels."""
    shown = picture(image)
    small = max(shown.size) <= _PIXELS
    shown.thumbnail((2 * _PIXELS, 2 * _PIXELS))
    stream = io.BytesIO()
    shown.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), small


# ---- the model


def _named(rows: Iterable[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame([(n, _clean(v)) for n, v in rows], columns=["name", "value"], dtype=object)


def _facts(model: Any) -> pd.DataFrame:
    graph, facts = getattr(model, "network_", None), [("kind", type(model).__name__)]
    if graph is not None:
        spec = graph.input
        channels = f"{spec.channels} channel" + ("s" if spec.channels != 1 else "")
        facts += [
            ("network", graph.name),
            ("input", f"{spec.height} x {spec.width} pixels, {channels}"),
            ("parameters", f"{graph.parameter_count:,}"),
            ("multiply-adds", f"{graph.multiply_adds:,} an image"),
        ]
    if isinstance(model, ImagePredictor):
        facts += lineage(model).items()
    facts += [
        (name, getattr(model, attribute))
        for name, attribute in [
            ("seed", "seed_"),
            ("device", "device_"),
            ("engine", "engine_"),
            ("ended", "stopped_"),
        ]
        if getattr(model, attribute, None) not in (None, "")
    ]
    if hasattr(model, "fingerprint"):
        facts.append(("fingerprint", model.fingerprint()))
    return _named([*facts, ("software", ", ".join(_versions()))])


def _versions() -> Iterable[str]:
    yield f"diglot {sys.modules['diglot'].__version__}"  # the root is a room above
    yield f"Python {platform.python_version()}"
    for label, package in [("MXNet", "mxnet"), ("NumPy", "numpy")]:
        try:
            yield f"{label} {metadata.version(package)}"
        except metadata.PackageNotFoundError:  # a build of another name, such as mxnet-cu117
            continue


def _settings(model: Any) -> pd.DataFrame:
    if not hasattr(model, "get_params"):
        return _named([])
    given = model.get_params(deep=False)
    order = [name for name in inspect.signature(type(model)).parameters if name in given]
    # who listens to the training changes nothing of it
    told = [name for name in order or given if name not in ("verbose", "callbacks")]
    return _named([(name, _brief(given[name])) for name in told])


def _brief(value: Any) -> str:
    """Describe a setting in a line: data by its shape, anything long by its beginning."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {tuple(value.shape)}"
    if isinstance(value, str | int | float | bool | None):
        return str(value)
    # without addresses in memory, which differ from run to run
    text = re.sub(r" at 0x[0-9A-Fa-f]+", "", " ".join(repr(value).split()))
    return text if len(text) <= 60 else text[:57] + "..."


def _layers(model: Any) -> pd.DataFrame:
    columns = ["layer", "operator", "output", "parameters", "multiply_adds"]
    graph = getattr(model, "network_", None)
    layers = [] if graph is None else graph.layers()
    rows = [
        (
            _clean(layer["layer"]),
            _clean(layer["operator"]),
            " x ".join(map(str, layer["output"])),
            float(layer["parameters"]),  # R's whole numbers end at 2^31
            float(layer["multiply_adds"]),
        )
        for layer in layers
    ]
    return pd.DataFrame(rows, columns=columns)
