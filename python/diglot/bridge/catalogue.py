"""Networks: the catalogue, and those with weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diglot
from diglot.bridge import plain, received
from diglot.bridge.answers import answered


@answered
def networks(pattern: str | None = None) -> dict[str, Any]:
    """Return the catalogue of networks."""
    return plain.table(diglot.networks(pattern))


@answered
def network(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Build a network once, to check its settings and to show it."""
    graph = received.built(recipe)
    return {
        "name": graph.name,
        "parameters": plain.count(graph.parameter_count),
        "text": str(graph),
    }


@answered
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

    settings = {
        n: received.whole(v) for n, v in dict(recipe["settings"]).items()
    }  # R sends [] for none
    weights = received.weights(recipe["weights"])
    net = diglot.pretrained(
        recipe["name"], weights, **settings, verbose=received.listener(progress)
    )
    source, _, commit = str(net.origin["source"]).rpartition("@")
    return {
        "network": net,
        "name": net.name,
        "parameters": plain.count(net.parameter_count),
        "card": card_of(net),
        "commit": commit if source == weights else None,
        "fingerprint": fingerprint(net.weights),
    }
