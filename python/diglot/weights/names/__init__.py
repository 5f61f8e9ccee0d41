"""How other libraries name the weights of our networks: readable tables, one file a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.graph import Graph, Parameter
from diglot.weights.names import (
    alexnet,
    convnext,
    densenet,
    efficientnet,
    googlenet,
    inception_v3,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    squeezenet,
    vgg,
    vit,
)
from diglot.weights.names.tables import Arrays, Layout

# By family, and by the library whose names they are.
LAYOUTS: dict[str, Mapping[str, Layout]] = {
    "alexnet": alexnet.LAYOUTS,
    "convnext": convnext.LAYOUTS,
    "densenet": densenet.LAYOUTS,
    "efficientnet": efficientnet.LAYOUTS,
    "googlenet": googlenet.LAYOUTS,
    "inception_v3": inception_v3.LAYOUTS,
    "mobilenet_v2": mobilenet_v2.LAYOUTS,
    "mobilenet_v3": mobilenet_v3.LAYOUTS,
    "resnet": resnet.LAYOUTS,
    "squeezenet": squeezenet.LAYOUTS,
    "vgg": vgg.LAYOUTS,
    "vit": vit.LAYOUTS,
}

# By family and library, too: the settings without which a network takes that library's weights
# without complaint and computes something else.
SETTINGS: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "convnext": convnext.SETTINGS,
    "efficientnet": efficientnet.SETTINGS,
    "mobilenet_v2": mobilenet_v2.SETTINGS,
    "mobilenet_v3": mobilenet_v3.SETTINGS,
    "vit": vit.SETTINGS,
}

# What a layer's parameters are called: by MXNet's operators, and by all the other libraries.
_ENDINGS = {
    "weight": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


@dataclass(frozen=True)
class Translation:
    """Tensors of a file by our parameters' names, and which of them are which.

    Attributes
    ----------
    style : str
        Whose names the file has.
    arrays : dict of str to ndarray
        What fits a parameter by name, of whatever shape.
    skipped : list of str
        Names, in the layout's words, that no parameter has.
    missing : list of str
        Parameters that no tensor is for.
    """

    style: str
    arrays: dict[str, np.ndarray]
    skipped: list[str]
    missing: list[str]


def translate(graph: Graph, family: str, arrays: Arrays, style: str | None = None) -> Translation:
    """Bring a file's tensors to our names, by the layout that finds the most parameters.

    Parameters
    ----------
    graph : Graph
        The network that the tensors are for.
    family : str
        Its family in the catalogue.
    arrays : mapping of str to ndarray
        What a reader returned.
    style : str, optional
        Whose names they are, where names alone do not tell: ``"timm_tf"`` for timm's models that
        come from TensorFlow.

    Returns
    -------
    Translation

    Examples
    --------
    >>> from diglot import network
    >>> net = network("resnet18", classes=2)
    >>> found = translate(net, "resnet", {"fc.bias": np.zeros(2), "epoch": np.zeros(1)})
    >>> list(found.arrays), found.skipped, len(found.missing)
    (['head_bias'], ['epoch'], 101)
    """
    wanted = {_their_name(p): p.name for p in graph.parameters.values()}
    layouts: dict[str, Layout] = {**LAYOUTS.get(family, {}), "diglot": _own}
    if style is not None:
        layouts = {style: layouts[style]}
    found = [_matched(own, layout(arrays), wanted) for own, layout in layouts.items()]
    return max(found, key=lambda t: len(t.arrays))


def _own(arrays: Arrays) -> dict[str, np.ndarray]:
    """Take our own names, as diglot's model files have them."""
    return dict(arrays)


def _their_name(parameter: Parameter) -> str:
    if parameter.name == parameter.layer:  # a parameter that is no operator's
        return parameter.name
    return f"{parameter.layer}.{_ENDINGS[parameter.name.removeprefix(parameter.layer + '_')]}"


def _matched(style: str, arrays: Arrays, wanted: Mapping[str, str]) -> Translation:
    by_ours = {name: name for name in wanted.values()} | wanted
    taken = {by_ours[name]: array for name, array in arrays.items() if name in by_ours}
    skipped = [name for name in arrays if name not in by_ours]
    missing = [name for name in wanted.values() if name not in taken]
    return Translation(style, taken, skipped, missing)
