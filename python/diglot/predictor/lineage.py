"""Where a fitted model comes from: what learned, what was frozen, whose weights it began with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diglot.graph import Graph
from diglot.weighted import describe

_TOLD = ("weights", "licence", "skipped")


def learned_groups(graph: Graph, train: str | Sequence[str]) -> list[str]:
    """Return the layer groups that learn in the last phase of a fit.

    Parameters
    ----------
    graph : Graph
        The network.
    train : {"all", "head", "head_then_all"} or sequence of str
        The setting of that name.

    Returns
    -------
    list of str
        In the network's order.

    Examples
    --------
    >>> from diglot import network
    >>> learned_groups(network("lenet"), ["head", "dense"])
    ['dense', 'head']
    """
    if isinstance(train, str):
        train = ["head"] if train == "head" else list(graph.groups)
    return [group for group in graph.groups if group in train]


def lineage(model: Any) -> dict[str, str]:
    """Return what a fitted model learned from, in words.

    Parameters
    ----------
    model : ImageClassifier
        Fitted.

    Returns
    -------
    dict of str to str
        "learned" and "frozen", the layer groups; "weights", "licence" and "skipped" where they
        are known. Nothing for a model that was trained from scratch.
    """
    graph = model.network_
    card = describe(graph)
    told = {name: card[name] for name in _TOLD if name in card}
    if model.train == "all" and not told:
        return {}
    learned = learned_groups(graph, model.train)
    frozen = [group for group in graph.groups if group not in learned]
    words = ", ".join(learned) if frozen else "everything"
    if isinstance(model.train, str) and model.train == "head_then_all":
        words = f"head, then {words}"
    return {"learned": words, "frozen": ", ".join(frozen) or "nothing", **told}
