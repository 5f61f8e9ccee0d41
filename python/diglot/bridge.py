"""What the R package calls: arguments as R sends them to the Python API, answers as plain data.

Every public function here answers ``{"value", "error", "warnings"}``: an exception never crosses
the border, for R would see only its text. Tables cross as columns, images as arrays, the model
file as bytes. R checks its arguments before it calls (R/convert.R); rows count from 1 there.
"""

from __future__ import annotations

import functools
import inspect
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import diglot
from diglot.errors import DiglotError, DivergedError, InterruptedFitWarning
from diglot.graph import Graph

_IMAGES_TURNED = 16  # at a time, from column-major to row-major

_TRAIN = ("all", "head", "head_then_all")

_WHOLE = (
    "size",
    "channels",
    "views",
    "epochs",
    "batch_size",
    "warmup_epochs",
    "patience",
    "checkpoint_every",
    "memory_limit",
    "threads",
    "seed",
)
"""Settings that count something. R's numbers are doubles, also 10."""


class CallbackError(Exception):
    """An R callback failed. R kept the condition itself, so nothing is said here."""


# ---- answers


def _answers(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return exceptions and warnings as data."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> dict[str, Any]:
        value = error = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
            try:
                value = function(*args, **kwargs)
            except (Exception, KeyboardInterrupt) as reason:
                error = _error(reason)
        return {"value": value, "error": error, "warnings": [_warning(w) for w in caught]}

    return wrapper


def _error(reason: BaseException) -> dict[str, Any]:
    if isinstance(reason, CallbackError):
        kinds, message = ["callback"], "A callback failed."
    elif isinstance(reason, KeyboardInterrupt):
        kinds, message = ["interrupted"], "Interrupted."
    elif isinstance(reason, DiglotError):
        # ImageError is an InputError: R handlers for either shall catch it.
        parents = (c for c in type(reason).__mro__ if issubclass(c, DiglotError))
        kinds = list(dict.fromkeys(c.kind for c in parents if c is not DiglotError))
        kinds = kinds or [DiglotError.kind]
        message = str(reason)
    else:
        kinds, message = ["python"], f"{type(reason).__name__}: {reason}"
    return {
        "kinds": kinds,
        "message": message,
        "class": type(reason).__name__,
        "traceback": "".join(traceback.format_exception(reason)),
        "model": reason.model if isinstance(reason, DivergedError) else None,
    }


def _warning(caught: warnings.WarningMessage) -> dict[str, Any]:
    interrupted = issubclass(caught.category, InterruptedFitWarning)
    return {
        "kind": "interrupted" if interrupted else None,
        "class": caught.category.__name__,
        "message": str(caught.message),
    }


# ---- what R sends


def _array(item: Mapping[str, Any]) -> np.ndarray:
    """Turn R's column-major array, images counted by the first, last or no dimension, into ours."""
    shape = tuple(int(n) for n in item["dim"])
    data = item["data"]
    if isinstance(data, (bytes, bytearray)):
        pixels = np.frombuffer(data, np.uint8).reshape(shape, order="F")
        dtype = np.uint8
    else:
        pixels = np.asarray(data).reshape(shape, order="F")
        # R's integers are 8-bit pixels (it has checked the range), its doubles are numbers.
        dtype = np.uint8 if pixels.dtype.kind == "i" else np.float32
    if item["axis"] == "last":
        pixels = np.moveaxis(pixels, -1, 0)
    # R may free its memory while a thread still reads: always a copy. A few images at a time fit
    # into the processor's cache, where turning them around is up to three times as fast.
    copy = np.empty(pixels.shape, dtype)
    for start in range(0, len(pixels), _IMAGES_TURNED):
        some = slice(start, start + _IMAGES_TURNED)
        copy[some] = pixels[some].astype(dtype, order="K")
    return copy


def _images(payload: Mapping[str, Any]) -> Any:
    if payload["kind"] == "paths":
        return list(payload["paths"])
    if payload["kind"] == "list":
        return [_array(item) for item in payload["items"]]
    return _array(payload)


def _classes(levels: Sequence[str], kind: str) -> list[Any]:
    """Turn R's levels, which are text, into the labels they stand for."""
    if kind == "integer":
        return [int(level) for level in levels]
    if kind == "logical":
        return [level == "TRUE" for level in levels]
    return [str(level) for level in levels]


def _labels(payload: Mapping[str, Any]) -> Any:
    """Return a pandas Categorical: it keeps the order of the levels."""
    import pandas as pd

    classes = _classes(payload["levels"], payload["type"])
    return pd.Categorical.from_codes(
        np.array(payload["codes"], dtype=np.int64), classes, ordered=bool(payload["ordered"])
    )


def _numbers(values: Any) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _settings(settings: Mapping[str, Any], classes: Sequence[Any]) -> dict[str, Any]:
    """Mend what R cannot say: whole numbers, tuples, dictionaries with keys that are no text."""
    mended = dict(settings)
    for name in _WHOLE:
        if name in mended:
            mended[name] = _whole(mended[name])
    weight = mended.get("class_weight")
    if isinstance(weight, Mapping):
        by_level = {level_text(value): value for value in classes}
        mended["class_weight"] = {by_level[k]: float(v) for k, v in weight.items()}
    if isinstance(mended.get("network"), Mapping):
        mended["network"] = _recipe(mended["network"])
    if isinstance(mended.get("train"), str) and mended["train"] not in _TRAIN:
        mended["train"] = [mended["train"]]  # R cannot tell one text from a list of one
    return mended


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(_whole(v.item() if hasattr(v, "item") else v) for v in value)
    return value


def _recipe(recipe: Mapping[str, Any]) -> Any:
    """Build the network that R's network() describes."""
    settings = {n: _whole(v) for n, v in dict(recipe["settings"]).items()}  # R sends [] for none
    return diglot.network(recipe["name"], **settings)


def _weights(given: Any) -> Any:
    """Return a name or a file as it is, and R's arrays by name."""
    if not isinstance(given, Mapping):
        return given
    return {name: np.array(array, np.float32, order="C") for name, array in given.items()}


def _ask(function: Callable[..., Any], event: Mapping[str, Any]) -> Any:
    """Call an R function. It answers its own errors, so what still comes through is an interrupt.

    reticulate turns one that falls between Python and the function's own handlers into a
    RuntimeError without words.
    """
    try:
        return function(event)
    except RuntimeError as reason:
        raise KeyboardInterrupt from reason


def _listener(progress: Any) -> Any:
    """Return what hears of the progress: R's function, or whether there is any."""
    return functools.partial(_ask, progress) if callable(progress) else progress


def _callback(function: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """Wrap the one R function that stands for all of R's callbacks."""

    def on_epoch(record: Mapping[str, Any]) -> bool:
        answer = _ask(function, {name: _plain(value) for name, value in record.items()})
        if answer == "failed":
            raise CallbackError
        if answer == "interrupted":
            raise KeyboardInterrupt
        return answer != "stop"

    return on_epoch


# ---- what R gets


def level_text(value: Any) -> str:
    """Spell a class as R would: ``TRUE`` for True, ``3`` for 3.

    Examples
    --------
    >>> level_text(True), level_text(3), level_text("cat")
    ('TRUE', '3', 'cat')
    """
    value = _plain(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars into Python's own, which R understands."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


def _table(frame: Any) -> dict[str, Any]:
    """Turn a data frame into columns that cross whole, each with a word on what it is."""
    names, types, columns = [], [], []
    for name in frame.columns:
        kind, column = _column(frame[name])
        names.append(str(name))
        types.append(kind)
        columns.append(column)
    return {"names": names, "types": types, "columns": columns}


def _column(series: Any) -> tuple[str, Any]:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return "factor", {
            "codes": series.cat.codes.to_numpy(np.int32),
            "levels": [level_text(v) for v in series.cat.categories],
            "ordered": bool(series.cat.ordered),
        }
    if pd.api.types.is_bool_dtype(series.dtype):
        return "plain", series.to_numpy(bool)
    if pd.api.types.is_integer_dtype(series.dtype):
        values = series.to_numpy(np.int64)
        small = values.size == 0 or (values.min() > -(2**31) and values.max() < 2**31)
        return "plain", values.astype(np.int32 if small else np.float64)
    if pd.api.types.is_float_dtype(series.dtype):
        return "plain", series.to_numpy(np.float64)
    values = list(series)
    if values and all(isinstance(v, np.ndarray) for v in values):
        return _pictures(values)
    return "text", [None if v is None or v is pd.NA or v != v else level_text(v) for v in values]


def _pictures(values: Sequence[np.ndarray]) -> tuple[str, Any]:
    if len({(v.shape, v.dtype) for v in values}) == 1:
        return "pixels", _pixels(np.moveaxis(np.stack(values), 0, -1))
    return "images", [_pixels(v) for v in values]


def _pixels(array: np.ndarray) -> np.ndarray:
    """Return 8-bit pixels as R's integers and all others as R's doubles, 16 bits scaled to 1."""
    if array.dtype == np.uint8:
        return np.asfortranarray(array, dtype=np.int32)
    if array.dtype == np.uint16:
        return np.asfortranarray(array, dtype=np.float64) / 65535
    return np.asfortranarray(array, dtype=np.float64)


def _description(model: Any) -> dict[str, Any]:
    """Return what R keeps of a fitted model beside its bytes."""
    from diglot.classifier.lineage import lineage

    graph = model.network_
    classes = list(model.classes_)
    return {
        "model": bytearray(model.to_bytes()),
        "levels": [level_text(c) for c in classes],
        "type": _class_type(classes),
        "ordered": bool(model.ordered_),
        "history": _table(model.history_),
        "seed": _count(model.seed_),
        "device": str(model.device_),
        "network": {
            "name": graph.name,
            "parameters": _count(graph.parameter_count),
            "height": graph.input.height,
            "width": graph.input.width,
            "channels": graph.input.channels,
        },
        "lineage": lineage(model),
        "settings": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in model.get_params(deep=False).items()
            if isinstance(value, (bool, int, float, str, tuple, list))
            and name not in ("verbose", "callbacks")
        },
        "versions": versions_of_core(),
        "fingerprint": model.fingerprint(),
    }


def _count(number: int) -> int | float:
    """Return a whole number as R can hold it: its integers end at 2^31."""
    return int(number) if abs(number) < 2**31 else float(number)


def _class_type(classes: Sequence[Any]) -> str:
    kinds = {type(_plain(c)) for c in classes}
    if kinds == {bool}:
        return "logical"
    return "integer" if kinds <= {int, float} else "character"


def versions_of_core() -> dict[str, str]:
    """Return the versions of what computed a fit."""
    import platform
    from importlib import metadata

    found = {"diglot": diglot.__version__, "Python": platform.python_version()}
    for name in ("mxnet", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a build of another name, such as mxnet-cu117
            continue
    return found


# ---- what R calls


@_answers
def fit(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a classifier.

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    y = _labels(labels)
    model = diglot.ImageClassifier(
        **_settings(settings, list(y.categories)),
        callbacks=None if callback is None else [_callback(callback)],
        verbose=_listener(progress),
    )
    model.fit(
        _images(images),
        y,
        sample_weight=_numbers(weights),
        validation_data=_pair(validation),
    )
    return _trained(model)


@_answers
def fine_tune(
    model: Any,
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    weights: Any = None,
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a new classifier from a live one's weights; answers as `fit` does."""
    y = _labels(labels)
    new = model.fine_tune(
        _images(images),
        y,
        sample_weight=_numbers(weights),
        validation_data=_pair(validation),
        **_settings(settings, list(y.categories)),
        callbacks=None if callback is None else [_callback(callback)],
        verbose=_listener(progress),
    )
    return _trained(new)


@_answers
def find_learning_rate(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    settings: Mapping[str, Any],
    lowest: float,
    highest: float,
    steps: float,
    progress: Any = False,
) -> dict[str, Any]:
    """Run the learning-rate range test of a classifier with these settings."""
    y = _labels(labels)
    model = diglot.ImageClassifier(
        **_settings(settings, list(y.categories)), verbose=_listener(progress)
    )
    found = model.find_learning_rate(
        _images(images), y, lowest=lowest, highest=highest, steps=_whole(steps)
    )
    return {"table": _table(found.table), "suggestion": found.suggestion}


def _pair(validation: Sequence[Any] | None) -> tuple[Any, Any] | None:
    if validation is None:
        return None
    images, labels = validation
    return _images(images), _labels(labels)


def _trained(model: Any) -> dict[str, Any]:
    # An R function outlives its call no longer than R wants: the model must not keep it.
    model.set_params(callbacks=None, verbose=False)
    return {"model": model, "description": _description(model)}


@_answers
def update(
    data: bytes,
    images: Mapping[str, Any],
    codes: Any,
    settings: Mapping[str, Any],
    weights: Any = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a model on, from the bytes of its file: the fit that R holds stays as it was."""
    model = diglot.loads(bytes(data))
    model.set_params(
        callbacks=None if callback is None else [_callback(callback)], verbose=_listener(progress)
    )
    model.update(
        _images(images),
        _known(model, codes),
        sample_weight=_numbers(weights),
        **_settings(settings, list(model.classes_)),
    )
    return _trained(model)


def _known(model: Any, codes: Any) -> np.ndarray:
    """Return the labels that R's codes stand for."""
    return np.asarray(model.classes_)[np.array(codes, dtype=np.int64).reshape(-1)]


@_answers
def describe(model: Any) -> dict[str, Any]:
    """Describe a live model, see `fit`."""
    return _trained(model)


@_answers
def load(path: str) -> dict[str, Any]:
    """Load a model file."""
    model = diglot.load(path)
    return {"model": model, "description": _description(model)}


@_answers
def revive(data: bytes) -> Any:
    """Return the live model of a file's bytes."""
    return diglot.loads(bytes(data))


@_answers
def predict_proba(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return the probabilities, a row an image, a column a class."""
    return np.asfortranarray(model.predict_proba(_images(images)), dtype=np.float64)


@_answers
def embed(model: Any, images: Mapping[str, Any], layer: str | None = None) -> dict[str, Any]:
    """Return a layer's output for images, from a live classifier or network.

    Returns
    -------
    dict
        ``values``, images first and channels last, and their ``dim``.
    """
    quiet = {"verbose": False} if isinstance(model, Graph) else {}
    values = model.embed(_images(images), layer, **quiet)
    return {"values": np.asfortranarray(values, dtype=np.float64), "dim": list(values.shape)}


@_answers
def evaluate(model: Any, images: Mapping[str, Any], codes: Any) -> dict[str, Any]:
    """Return the metrics with their intervals."""
    return _table(model.evaluate(_images(images), _known(model, codes)))


@_answers
def summary(model: Any) -> str:
    """Return a network's table of layers as text; R writes the rest of a summary itself."""
    return Graph.__str__(getattr(model, "network_", model))


@_answers
def report(model: Any, images: Mapping[str, Any], codes: Any, path: str) -> str:
    """Write the HTML report, return its path."""
    from diglot.report import report as write_report

    return str(write_report(model, _images(images), _known(model, codes), path))


@_answers
def networks(pattern: str | None = None) -> dict[str, Any]:
    """Return the catalogue of networks."""
    return _table(diglot.networks(pattern))


@_answers
def network(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Build a network once, to check its settings and to show it."""
    graph = _recipe(recipe)
    return {"name": graph.name, "parameters": _count(graph.parameter_count), "text": str(graph)}


@_answers
def pretrained(recipe: Mapping[str, Any], progress: Any = False) -> dict[str, Any]:
    """Load the network with weights that R's pretrained() describes.

    Returns
    -------
    dict
        ``network``, the live one; its ``card`` in words; the ``fingerprint`` of its weights; and
        the ``commit`` that brings the same files from the hub again, where they came from there.
    """
    from diglot.storage import fingerprint
    from diglot.weighted import describe as card_of

    settings = {n: _whole(v) for n, v in dict(recipe["settings"]).items()}  # R sends [] for none
    weights = _weights(recipe["weights"])
    net = diglot.pretrained(recipe["name"], weights, **settings, verbose=_listener(progress))
    source, _, commit = str(net.origin["source"]).rpartition("@")
    return {
        "network": net,
        "name": net.name,
        "parameters": _count(net.parameter_count),
        "card": card_of(net),
        "commit": commit if source == weights else None,
        "fingerprint": fingerprint(net.weights),
    }


@_answers
def read_images(folder: str) -> dict[str, Any]:
    """Return the files below a folder, with the folders' names as labels."""
    return _table(diglot.read_images(folder))


@_answers
def read_idx(images: str, labels: str | None = None) -> dict[str, Any]:
    """Return MNIST's files as a table."""
    return _table(diglot.read_idx(images, labels))


@_answers
def example_images(name: str) -> dict[str, Any]:
    """Return a set of images that comes along with a library."""
    return _table(diglot.example_images(name))


@_answers
def devices() -> dict[str, Any]:
    """Return the devices and whether they work."""
    return _table(diglot.devices())


@_answers
def check_setup() -> dict[str, Any]:
    """Return the requirements of the core and what was found."""
    return _table(diglot.check_setup())


@_answers
def has_engine() -> bool:
    """Say whether MXNet is installed, without the second that its import takes."""
    from importlib.util import find_spec

    return find_spec("mxnet") is not None


@_answers
def defaults() -> dict[str, Any]:
    """Return the settings of `ImageClassifier` and their defaults, which R's must equal."""
    signature = inspect.signature(diglot.ImageClassifier.__init__)
    return {n: p.default for n, p in signature.parameters.items() if n != "self"}
