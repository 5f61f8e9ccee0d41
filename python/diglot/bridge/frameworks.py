"""The comparison of frameworks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

import diglot
from diglot.bridge import plain, received
from diglot.bridge.answers import answered

_COUNTS = ("epochs", "rounds", "seed")
_ABOUT = ("task", "device", "epochs", "rounds", "threads", "wall_seconds", "date")
_TABLES = ("table", "epoch_times", "losses")


@answered
def compare_frameworks(
    frameworks: Any, task: str, options: Mapping[str, Any], progress: Any = False
) -> dict[str, Any]:
    """Compare frameworks.

    Parameters
    ----------
    frameworks
        A list of names, or None for today's.
    task
    options
        What `diglot.compare_frameworks` takes beside; ``cache``, R's variable DIGLOT_CACHE.

    Returns
    -------
    dict
        The tables ``table``, ``epoch_times``, ``losses`` and ``summary``; ``machine``; and
        ``task``, ``device``, ``epochs``, ``rounds``, ``seed``, ``threads``, ``wall_seconds``,
        ``date``.
    """
    given = {k: received.whole(v) if k in _COUNTS else v for k, v in _chosen(options).items()}
    found = diglot.compare_frameworks(
        None if frameworks is None else [str(name) for name in _several(frameworks)],
        task,
        verbose=received.listener(progress),
        **given,
    )
    return _as_data(found)


@answered
def read_frameworks(path: str) -> dict[str, Any]:
    """Return a comparison that was written to CSV, as `compare_frameworks` does."""
    from diglot.comparison import FrameworkComparison

    return _as_data(FrameworkComparison.read_csv(path))


@answered
def summarise_frameworks(given: Mapping[str, Any]) -> dict[str, Any]:
    """Compare frameworks measure by measure; ``given`` is as `compare_frameworks` answers."""
    return plain.table(_from_r(given).summary())


@answered
def write_frameworks(given: Mapping[str, Any], path: str) -> list[str]:
    """Write a comparison as CSV; return the paths of the files."""
    return [str(place) for place in _from_r(given).to_csv(path)]


@answered
def check_capabilities(
    frameworks: Any, capabilities: Any, options: Mapping[str, Any], progress: Any = False
) -> dict[str, Any]:
    """Try what frameworks can do.

    Returns
    -------
    dict
        ``table``; ``capabilities`` and ``told``, all there are and what tables call them, in
        their order; ``machine`` and ``date``.
    """
    given = _chosen(options)
    names = [None if some is None else _several(some) for some in (frameworks, capabilities)]
    found = diglot.check_capabilities(*names, verbose=received.listener(progress), **given)
    return _as_capabilities(found)


@answered
def read_capabilities(path: str) -> dict[str, Any]:
    """Return a table that was written to CSV, as `check_capabilities` does."""
    from diglot.comparison import FrameworkCapabilities

    return _as_capabilities(FrameworkCapabilities.read_csv(path))


@answered
def write_capabilities(given: Mapping[str, Any], path: str) -> list[str]:
    """Write such a table as CSV; return its path in a list."""
    from diglot.comparison import FrameworkCapabilities

    table = pd.DataFrame(dict(given["table"])).astype({"lines": "Int64"})
    machine = {name: received.whole(value) for name, value in dict(given["machine"]).items()}
    found = FrameworkCapabilities(table, machine=machine, date=given["date"])
    return [str(found.to_csv(path))]


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as Python takes them, once R's variable is this process's, too."""
    given = dict(options)
    cache = given.pop("cache", None)
    if cache:
        os.environ["DIGLOT_CACHE"] = cache
    elif cache is not None:
        os.environ.pop("DIGLOT_CACHE", None)
    if given.get("python") is not None:
        given["python"] = dict(given["python"])
    return given


def _several(names: Any) -> list[Any]:
    """Return a list: R sends one name as a text."""
    return [names] if isinstance(names, str) else list(names)


def _as_data(found: Any) -> dict[str, Any]:
    return {
        "table": plain.table(_for_r(found.table)),
        "epoch_times": plain.table(found.epoch_times),
        "losses": plain.table(found.losses),
        "summary": plain.table(found.summary()),
        "machine": {name: plain.plain(value) for name, value in found.machine.items()},
        "seed": plain.count(found.seed),
        **{name: getattr(found, name) for name in _ABOUT},
    }


def _as_capabilities(found: Any) -> dict[str, Any]:
    from diglot.comparison.capability import CAPABILITIES

    return {
        "table": plain.table(found.table.astype({"lines": "float64"})),
        "capabilities": list(CAPABILITIES),
        "told": list(CAPABILITIES.values()),
        "machine": {name: plain.plain(value) for name, value in found.machine.items()},
        "date": found.date,
    }


def _for_r(table: Any) -> Any:
    """Return the table with missing numbers as R sends them on: NaN, which a count cannot hold."""
    numbers = {name: "float64" for name in ("rank", "n", "lines", "agrees")}
    return table.astype(numbers)


def _from_r(given: Mapping[str, Any]) -> Any:
    """Return a comparison that R kept: tables are columns by name, all numbers doubles."""
    from diglot.comparison.result import FrameworkComparison, typed

    tables = {name: pd.DataFrame(dict(given[name])) for name in _TABLES}
    for name, column in (("epoch_times", "round"), ("epoch_times", "epoch"), ("losses", "step")):
        tables[name][column] = tables[name][column].astype("int64")
    about = {name: received.whole(given[name]) for name in _ABOUT}
    about["wall_seconds"] = float(given["wall_seconds"])
    return FrameworkComparison(
        table=typed(tables["table"]),
        epoch_times=tables["epoch_times"],
        losses=tables["losses"],
        machine={name: received.whole(value) for name, value in dict(given["machine"]).items()},
        seed=received.whole(given["seed"]),
        **about,
    )
