"""What R sends, turned into what the Python API takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import diglot
from diglot.bridge import plain
from diglot.bridge.answers import CallbackError
from diglot.interrupts import heard_by_r

_IMAGES_TURNED = 16  # at a time, from column-major to row-major

_TRAIN = ("all", "head", "head_then_all")

_WHOLE = (
    "size",
    "channels",
    "orientations",
    "cell",
    "block",
    "inner_folds",
    "n_hidden",
    "widths",
    "k",
    "views",
    "layers",
    "hidden",
    "embedding",
    "heads",
    "min_count",
    "max_words",
    "max_length",
    "epochs",
    "self_critical",
    "batch_size",
    "warmup_epochs",
    "patience",
    "checkpoint_every",
    "memory_limit",
    "threads",
    "seed",
)
"""Settings that count something. R's numbers are doubles, also 10."""


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
        # What is too large becomes infinite, and is refused by its row.
        with np.errstate(over="ignore"):
            copy[some] = pixels[some].astype(dtype, order="K")
    return copy


def images(payload: Mapping[str, Any]) -> Any:
    """Return paths, an array, a list of arrays of different sizes, or a table with covariates."""
    if payload["kind"] == "table":
        return _table(payload)
    if payload["kind"] == "paths":
        return list(payload["paths"])
    if payload["kind"] == "list":
        return [_array(item) for item in payload["items"]]
    return _array(payload)


def _table(payload: Mapping[str, Any]) -> Any:
    """Return a data frame: a column of images, and the covariates beside them."""
    import pandas as pd

    shown = list(images(payload["images"]))
    column = np.empty(len(shown), object)
    column[:] = shown
    beside = {str(c["name"]): _covariate(c) for c in payload["columns"]}
    return pd.DataFrame({"image": column, **beside})


def _covariate(column: Mapping[str, Any]) -> Any:
    if column["kind"] == "numbers":
        return numbers(column["values"])
    return labels({**column, "type": "character"})


def _classes(levels: Sequence[str], kind: str) -> list[Any]:
    """Turn R's levels, which are text, into the labels they stand for."""
    if kind == "integer":
        return [int(level) for level in levels]
    if kind == "logical":
        return [level == "TRUE" for level in levels]
    return [str(level) for level in levels]


def labels(payload: Mapping[str, Any]) -> Any:
    """Return a pandas Categorical: it keeps the order of the levels."""
    import pandas as pd

    classes = _classes(payload["levels"], payload["type"])
    return pd.Categorical.from_codes(
        np.array(payload["codes"], dtype=np.int64), classes, ordered=bool(payload["ordered"])
    )


def outcome(payload: Mapping[str, Any]) -> Any:
    """Return what is to be learned: a Categorical, numbers, a table of tags, or lists of them."""
    import pandas as pd

    kind = payload.get("kind", "classes")
    if kind == "numbers":
        return numbers(payload["values"])
    if kind == "tags":
        names = [str(tag) for tag in payload["tags"]]
        return pd.DataFrame(np.array(payload["values"], np.float64), columns=names)
    return texts(payload) if kind == "lists" else labels(payload)


def levels(y: Any) -> list[Any]:
    """Return the classes of a Categorical; numbers and tags have none."""
    import pandas as pd

    return y.categories.tolist() if isinstance(y, pd.Categorical) else []


def pair(validation: Sequence[Any] | None) -> tuple[Any, Any] | None:
    """Return images and labels to validate on, if there are any."""
    if validation is None:
        return None
    return images(validation[0]), outcome(validation[1])


def numbers(values: Any) -> np.ndarray | None:
    """Return numbers of our own, if there are any: R may free its memory."""
    return None if values is None else np.array(values, dtype=np.float64)


def _counted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Mend the settings that count something. R sends [] for none."""
    return {name: whole(value) if name in _WHOLE else value for name, value in dict(given).items()}


def settings(given: Mapping[str, Any], classes: Sequence[Any]) -> dict[str, Any]:
    """Mend what R cannot say: whole numbers, tuples, dictionaries with keys that are no text."""
    mended = _counted(given)
    weight = mended.get("class_weight")
    if isinstance(weight, Mapping):
        by_level = {plain.level_text(value): value for value in classes}
        mended["class_weight"] = {by_level[k]: float(v) for k, v in weight.items()}
    if "network" in mended:
        mended["network"] = _network(mended["network"])
    if "covariates" in mended:
        mended["covariates"] = list(mended["covariates"]) or None
    if isinstance(mended.get("contrasts"), Mapping):
        mended["contrasts"] = {n: _contrasts(c) for n, c in mended["contrasts"].items()}
    if isinstance(mended.get("train"), str) and mended["train"] not in _TRAIN:
        mended["train"] = [mended["train"]]  # R cannot tell one text from a list of one
    return mended


def _contrasts(given: Any) -> Any:
    """Return a name of contrasts as it is, and a matrix, which came row by row, as a table."""
    import pandas as pd

    if not isinstance(given, Mapping):
        return given
    columns = [str(name) for name in np.atleast_1d(given["columns"])]
    values = np.array(given["values"], np.float64).reshape(-1, len(columns))
    return pd.DataFrame(values, columns=columns)


def judging(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how a model is judged: groups as codes, counts as whole numbers."""
    chosen = dict(options or {})
    groups = chosen.pop("groups", None)
    chosen = {name: whole(value) for name, value in chosen.items()}
    return chosen if groups is None else {**chosen, "groups": np.array(groups, np.int64)}


def captioner_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Mend the settings of a captioner."""
    mended = _counted(given)
    if "encoder" in mended:
        mended["encoder"] = _network(mended["encoder"])
    return mended


def _network(given: Any) -> Any:
    """Return a network; R's recipes are built, and a fitted model stands for its own."""
    return built(given) if isinstance(given, Mapping) else getattr(given, "network_", given)


def texts(payload: Mapping[str, Any]) -> list[list[str]]:
    """Return the texts of each image, which came as one list beside how many each has.

    Examples
    --------
    >>> texts({"values": ["a", "b", "c"], "lengths": [2, 1]})
    [['a', 'b'], ['c']]
    """
    values = [str(value) for value in payload["values"]]
    ends = np.cumsum([0, *payload["lengths"]]).tolist()
    return [values[start:end] for start, end in pairwise(ends)]


def whole(value: Any) -> Any:
    """Return whole numbers as int, also those in vectors, and anything else as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(whole(v.item() if hasattr(v, "item") else v) for v in value)
    return value


def built(recipe: Mapping[str, Any]) -> Any:
    """Build the network that R's network() describes."""
    settings = {n: whole(v) for n, v in dict(recipe["settings"]).items()}  # R sends [] for none
    return diglot.network(recipe["name"], **settings)


def weights(given: Any) -> Any:
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
        with heard_by_r():
            return function(event)
    except RuntimeError as reason:
        raise KeyboardInterrupt from reason


def listener(progress: Any) -> Any:
    """Return what hears of the progress: R's function, or whether there is any."""
    return functools.partial(_ask, progress) if callable(progress) else progress


def measured(function: Callable[..., Any], event: Mapping[str, Any]) -> float:
    """Return the number that an R function gives."""
    answer = _ask(function, event)
    if answer == "failed":
        raise CallbackError
    if answer == "interrupted":
        raise KeyboardInterrupt
    return float(answer)


def callback(function: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """Wrap the one R function that stands for all of R's callbacks."""

    def on_epoch(record: Mapping[str, Any]) -> bool:
        answer = _ask(function, {name: plain.plain(value) for name, value in record.items()})
        if answer == "failed":
            raise CallbackError
        if answer == "interrupted":
            raise KeyboardInterrupt
        return answer != "stop"

    return on_epoch
