"""The comparison of frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diglot
from diglot.bridge import plain, received
from diglot.bridge.answers import answered

_COUNTS = ("epochs", "rounds", "seed")
_ABOUT = ("task", "device", "epochs", "rounds", "threads", "date")


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
        What `diglot.compare_frameworks` takes beside.

    Returns
    -------
    dict
        The tables ``table``, ``epoch_times``, ``losses`` and ``summary``; ``machine``; and
        ``task``, ``device``, ``epochs``, ``rounds``, ``seed``, ``threads``, ``date``.
    """
    given = {k: received.whole(v) if k in _COUNTS else v for k, v in dict(options).items()}
    if given.get("python") is not None:
        given["python"] = dict(given["python"])
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


def _for_r(table: Any) -> Any:
    """Return the table with missing numbers as R sends them on: NaN, which a count cannot hold."""
    numbers = {name: "float64" for name in ("rank", "n", "lines", "agrees")}
    return table.astype(numbers)
