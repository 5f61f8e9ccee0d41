"""What X may be, and the input that a network is made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from diglot.errors import ImageError, InputError
from diglot.estimators.settings import whole
from diglot.graph import Graph, InputSpec
from diglot.images import ImageSet, PreparedImages
from diglot.networks import card, smallest_size


def is_table(X: Any) -> bool:
    """Whether rows are numbers side by side, not images or paths."""
    if isinstance(X, ImageSet):
        return False
    if isinstance(X, pd.DataFrame):
        return "image" not in X.columns and all(map(pd.api.types.is_numeric_dtype, X.dtypes))
    if hasattr(X, "toarray") or (hasattr(X, "dtype") and getattr(X, "ndim", 0) in (0, 2)):
        return True
    if isinstance(X, pd.Series) or hasattr(X, "ndim"):
        return False
    if hasattr(X, "__array__"):
        return np.asarray(X).ndim in (0, 2)
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], (list, tuple)):
        return np.ndim(X[0][0]) == 0 if X[0] else True
    return False


def checked_table(model: Any, X: Any, *, reset: bool) -> np.ndarray:
    """Check rows of numbers as scikit-learn does, with its words in an error of our kind."""
    try:
        return validate_data(model, X, reset=reset, dtype="numeric")
    except ValueError as error:
        raise InputError(str(error)) from error


def is_empty_table(X: Any) -> bool:
    """Whether it has no row at all."""
    return getattr(X, "shape", ())[:1] == (0,) and not isinstance(X, pd.DataFrame)


def common_channels(images: ImageSet, given: int | None) -> int:
    """Return the channels that the images are to have: the given ones, or what all have."""
    if given is not None:
        return whole("channels", given, 1)
    found = images.channels()
    if images.is_files and set(np.unique(found)) <= {1, 3}:
        return int(found.max())  # grey files among colour ones are read as colour
    other = np.flatnonzero(found != found[0])
    if len(other):
        raise ImageError(
            f"images differ in channels: {images.name(0)} has {found[0]}, "
            f"{images.name(int(other[0]))} has {found[other[0]]}; give channels=1 or channels=3"
        )
    return int(found[0])


def size_pair(size: Any) -> tuple[int, int]:
    """Return height and width of a size that may be one number for both."""
    pair = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else (size, size)
    if len(pair) != 2:
        raise InputError(f"size must be one number or (height, width), not {size!r}")
    return whole("size", pair[0], 1), whole("size", pair[1], 1)


def input_spec(
    network: Any, images: ImageSet, size: Any, channels: int | None, resize: str | None
) -> InputSpec:
    """Decide the input's size and channels; a rule for each, no guess.

    Images follow the weights that a network came with, a network without weights follows the
    images.
    """
    given = network if isinstance(network, Graph) else None
    if given is not None and given.weights is not None:
        height, width = (given.input.height, given.input.width) if size is None else size_pair(size)
        spec = replace(
            given.input,
            height=height,
            width=width,
            resize=resize or given.input.resize,
            convert_colour=channels is not None or given.input.convert_colour,
        )
        return spec.with_channels(_fitting_channels(given, images, channels))
    have = common_channels(images, channels)
    height, width = _size(network, images, size)
    convert = channels is not None
    return InputSpec(height, width, have, resize=resize or "squash", convert_colour=convert)


def _fitting_channels(given: Graph, images: ImageSet, channels: int | None) -> int:
    """Return the channels for a network with weights: those of arrays; files are converted."""
    have = given.input.channels
    if channels is None and have in (1, 3) and (images.is_files or given.input.convert_colour):
        found = set(np.unique(images.channels()).tolist())
        if found <= {1, 3}:
            return have if have == 3 or given.input.convert_colour else max(found)
    return common_channels(images, channels)


def _size(network: Any, images: ImageSet, size: Any) -> tuple[int, int]:
    if size is not None:
        return size_pair(size)
    if isinstance(network, Graph):
        return network.input.height, network.input.width
    sizes = images.sizes()
    other = np.flatnonzero((sizes != sizes[0]).any(axis=1))
    if len(other):
        a, b = sizes[0], sizes[other[0]]
        raise ImageError(
            f"images differ in size: {images.name(0)} is {a[0]} x {a[1]} pixels, "
            f"{images.name(int(other[0]))} is {b[0]} x {b[1]}; give the size to bring them "
            "to, such as size=64"
        )
    height, width = int(sizes[0][0]), int(sizes[0][1])
    if not isinstance(network, str) or network.endswith(".json"):
        return height, width
    if min(height, width) < smallest_size(network):
        return card(network).size
    return height, width


def check_channels(images: ImageSet, spec: InputSpec) -> None:
    """Refuse arrays whose channels are not the model's."""
    if images.is_files or spec.convert_colour:
        return  # files are converted, or refused one by one when they are read
    have = images.channels()
    wrong = np.flatnonzero(have != spec.channels)
    if len(wrong):
        row = int(wrong[0])
        raise ImageError(
            f"{images.name(row)} has {have[row]} channel(s), the model was trained on "
            f"{spec.channels}: convert the images, or train with channels="
        )


def standardised(graph: Graph, images: PreparedImages, rows: np.ndarray) -> Graph:
    """Return the network whose input is standardised by the training images' mean and spread."""
    mean, std = images.statistics(rows)
    spec = replace(graph.input, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    return replace(graph, input=spec)
