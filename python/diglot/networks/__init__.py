"""The catalogue of networks: one file a family, and the registry that finds them by name."""

from __future__ import annotations

import difflib
import fnmatch
import numbers
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from diglot.errors import InputError
from diglot.graph import Graph, InputSpec, InputTooSmallError
from diglot.networks.catalogue import CARDS, Card
from diglot.networks.own import is_path, own_network
from diglot.networks.vit import at_size, has_positions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Card", "card", "network", "networks", "refit", "resolve", "smallest_size"]

_LARGEST_SEARCHED = 4096


def card(name: str) -> Card:
    """Return what the catalogue knows of the network called ``name``.

    Parameters
    ----------
    name : str
        Such as ``"lenet"``; :func:`networks` lists them.

    Returns
    -------
    Card

    Raises
    ------
    InputError
        If there is none of that name; the message names the nearest.

    Examples
    --------
    >>> card("lenet").channels
    1
    """
    if not isinstance(name, str):
        raise InputError(f"a network's name must be text, not {name!r}")
    if name in CARDS:
        return CARDS[name]
    near = difflib.get_close_matches(name.lower(), CARDS, 3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise InputError(f"there is no network {name!r}{hint} (diglot.networks() lists all)")


def network(
    name: str,
    *,
    classes: int | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    **settings: Any,
) -> Graph:
    """Return a network of the catalogue, without weights.

    Parameters
    ----------
    name : str
        Such as ``"resnet18"``; :func:`networks` lists them.
    classes : int, optional
        How many numbers it puts out. As in the paper by default.
    size : int or (int, int), optional
        The images' height and width in pixels. As in the paper by default.
    channels : int, optional
        1 for grey, 3 for colour, or more. As in the paper by default.
    **settings
        The family's own settings, such as ``hidden=(64, 32)`` for ``"mlp"``.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If the name or a setting is unknown, a value cannot be used, or the size is too small;
        the message says what can be.

    Examples
    --------
    >>> network("lenet", size=32, channels=3)
    <Graph lenet: input 32x32x3, output (10,), 657,080 parameters, no weights>
    >>> network("mlp", classes=3, hidden=20).shape_of("dense1")
    (20,)
    """
    entry = card(name)
    return _build(entry, _spec(entry, size, channels), classes, settings)


def networks(pattern: str | None = None) -> pd.DataFrame:
    """Return the catalogue as a table, one row a network.

    Parameters
    ----------
    pattern : str, optional
        Keep the names that match, such as ``"resnet*"``.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``family``, ``height``, ``width``, ``channels`` and ``classes`` (as in
        the paper), ``smallest`` (the least height and width in pixels), ``parameters`` and
        ``multiply_adds`` (of one image of that size), ``source``.

    Examples
    --------
    >>> networks("lenet")[["name", "parameters", "smallest"]].values.tolist()
    [['lenet', 431080, 16]]
    """
    import pandas as pd

    columns = [
        *("name", "family", "height", "width", "channels", "classes", "smallest"),
        *("parameters", "multiply_adds", "source"),
    ]
    names = [n for n in CARDS if pattern is None or fnmatch.fnmatchcase(n, pattern)]
    return pd.DataFrame([_row(name) for name in names], columns=columns)


@cache
def _row(name: str) -> tuple[Any, ...]:
    entry = CARDS[name]
    graph = network(name)
    return (
        *(name, entry.family, *entry.size, entry.channels, entry.classes, smallest_size(name)),
        *(graph.parameter_count, graph.multiply_adds, entry.source),
    )


def smallest_size(given: str | Graph, **settings: Any) -> int:
    """Return the least height and width, in pixels, that a network can take.

    Parameters
    ----------
    given : str or Graph
        A network's name, or a network.
    **settings
        The family's own settings, for a name.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If no size works with these settings.

    Examples
    --------
    >>> smallest_size("lenet"), smallest_size("lenet", kernel=3)
    (16, 10)
    """
    if isinstance(given, Graph):
        channels, bare = given.input.channels, given.without_weights()
        return _search(lambda n: bare.with_input(InputSpec(n, n, channels)).parameters)
    entry = card(given)
    values = _checked(entry, settings)
    spec = entry.spec
    return _search(lambda n: entry.build(replace(spec, height=n, width=n), 2, **values))


def _search(build: Callable[[int], Any]) -> int:
    """Find the least size that ``build`` takes: double until one fits, then bisect."""

    def problem(size: int) -> InputTooSmallError | None:
        try:
            build(size)
        except InputTooSmallError as error:
            return error
        return None

    fits, last = 1, problem(1)
    while last and fits < _LARGEST_SEARCHED:
        fits *= 2
        last = problem(fits)
    if last:
        raise InputError(f"no size up to {fits} x {fits} works: {last}") from last
    small = fits // 2  # known not to fit, or 0
    while fits - small > 1:
        middle = (fits + small) // 2
        if problem(middle):
            small = middle
        else:
            fits = middle
    return fits


def resolve(given: Any, spec: InputSpec, classes: int, **settings: Any) -> Graph:
    """Return the network that a user gave in any form, made for an input and a number of classes.

    Parameters
    ----------
    given : str, path, Graph, MXNet symbol or Gluon HybridBlock
        A name of the catalogue; a file of MXNet's symbol JSON (a text that ends in ``.json`` or
        has a folder in it, or a :class:`pathlib.Path`); a network; MXNet's own objects.
    spec : InputSpec
        What the input will look like.
    classes : int
        How many numbers the network must put out; its last layer is replaced where it differs.
    **settings
        The family's own settings, for a name.

    Returns
    -------
    Graph
        With the weights that it came with, but for a head that was replaced.

    Raises
    ------
    InputError
        If it is none of these, or cannot take such an input.
    ModelFileError
        If the file or symbol is damaged, or uses an operator that diglot does not know.

    Examples
    --------
    >>> resolve("lenet", InputSpec(28, 28, 1), 3).output_shape
    (3,)
    >>> resolve(network("lenet", classes=10), InputSpec(20, 20, 3), 3).output_shape
    (3,)
    """
    if isinstance(given, str) and not is_path(given):
        return _build(card(given), spec, classes, settings)
    if settings:
        raise InputError(
            f"the setting {next(iter(settings))!r} goes with a network of the catalogue, given by "
            "its name; another network is taken as it is"
        )
    graph = refit(given, spec) if isinstance(given, Graph) else own_network(given, spec)
    _ = graph.parameters  # an input that does not fit is refused here
    classes = _whole("classes", classes)
    return graph if graph.gives(classes) else graph.with_head(classes)


def refit(graph: Graph, spec: InputSpec) -> Graph:
    """Return a network, with its weights, for images of another size or other channels.

    Parameters
    ----------
    graph : Graph
        With or without weights. A transformer's position embeddings are stretched.
    spec : InputSpec
        What the input will look like.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If the network cannot take it, or a weight does not fit.

    Examples
    --------
    >>> refit(network("resnet18", size=64), InputSpec(96, 80, 1)).shape_of("layer4_1_relu2")
    (512, 3, 3)
    """
    same_size = (spec.height, spec.width) == (graph.input.height, graph.input.width)
    if not same_size and (graph.origin or {}).get("fixed_size"):
        raise InputError(
            f"network {graph.name!r} was read for images of {graph.input.height} x "
            f"{graph.input.width} pixels, to which its file fits its padding; read it for another "
            "size by pretrained(..., size=)"
        )
    return at_size(graph, spec) if has_positions(graph) else graph.with_input(spec)


def _build(entry: Card, spec: InputSpec, classes: int | None, settings: Mapping[str, Any]) -> Graph:
    values = _checked(entry, settings)
    classes = entry.classes if classes is None else _whole("classes", classes)
    try:
        return replace(entry.build(spec, classes, **values), name=entry.name)
    except InputTooSmallError as error:
        smallest = smallest_size(entry.name, **settings)
        raise InputError(
            f"network {entry.name!r} needs images of at least {smallest} x {smallest} pixels; "
            f"{spec.height} x {spec.width} was asked for"
        ) from error


def _spec(entry: Card, size: int | tuple[int, int] | None, channels: int | None) -> InputSpec:
    if size is None:
        height, width = entry.size
    elif isinstance(size, numbers.Real):
        height = width = _whole("size", size)
    else:
        try:
            height, width = (_whole("size", side) for side in size)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"size must be one number or (height, width), not {size!r}") from None
    channels = entry.channels if channels is None else _whole("channels", channels)
    return InputSpec(height, width, channels)


def _checked(entry: Card, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Bring settings to their defaults' types: R sends 3 as 3.0, and c(3) as 3."""
    allowed = entry.allowed
    values = dict(entry.settings)
    for name, value in settings.items():
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise InputError(
                f"network {entry.name!r} has no setting {name!r}; its settings are: {known}"
            )
        values[name] = _like(allowed[name], name, value)
    return values


def _like(default: Any, name: str, value: Any) -> Any:
    if isinstance(default, tuple):
        one = isinstance(value, (numbers.Real, str)) or not hasattr(value, "__iter__")
        entries = [value] if one else list(value)
        return tuple(_like(default[0], name, entry) for entry in entries)
    if isinstance(default, bool):
        if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
            return bool(value)
        raise InputError(f"{name} must be true or false, not {value!r}")
    if isinstance(default, int):
        return _whole(name, value)
    if isinstance(default, float):
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            return float(value)
        raise InputError(f"{name} must be a number, not {value!r}")
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {value!r}")
    return value


def _whole(name: str, value: Any) -> int:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 1 <= value < 2**31 or value != int(value):
        raise InputError(f"{name} must be a whole number from 1, not {value!r}")
    return int(value)


class _Catalogue(types.ModuleType):
    """Importing this package sets ``diglot.networks``, which must be :func:`networks` as well."""

    def __call__(self, pattern: str | None = None) -> pd.DataFrame:
        return networks(pattern)


sys.modules[__name__].__class__ = _Catalogue
