"""Where in an image a network sees what it says: Grad-CAM, integrated gradients, occlusion.

Each method takes a `Graph` with weights and images, and returns a `Saliency`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diglot.errors import InputError
from diglot.explanation.grad_cam import grad_cam
from diglot.explanation.integrated_gradients import integrated_gradients
from diglot.explanation.occlusion import occlusion
from diglot.explanation.saliency import Saliency
from diglot.graph import Graph

__all__ = ["METHODS", "Saliency", "explain", "grad_cam", "integrated_gradients", "occlusion"]

METHODS = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}


def explain(
    method: str,
    graph: Graph,
    images: Any,
    outputs: Any = None,
    *,
    names: Sequence[Any] | None = None,
    **settings: Any,
) -> Saliency:
    """Explain by the method of this name.

    Parameters
    ----------
    method : {"grad_cam", "integrated_gradients", "occlusion"}
    graph, images, outputs
        See `grad_cam`.
    names : sequence, optional
        What each output stands for; then the result's classes are these.
    **settings
        Of the method.

    Returns
    -------
    Saliency

    Raises
    ------
    InputError
        If there is no such method, or it has no such setting.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> explain("occlusion", model.network_, images[:2], [0, 1], names=["a", "b"]).classes.tolist()
    ['a', 'b']
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(map(repr, METHODS))}, not {method!r}")
    known = inspect.signature(METHODS[method]).parameters
    for name in settings:
        if name not in known:
            mine = [n for n in known if n not in ("graph", "images", "outputs")]
            raise InputError(f"{method} has no setting {name!r}; it has {', '.join(mine)}")
    found = METHODS[method](graph, images, outputs, **settings)
    return found if names is None else replace(found, classes=np.asarray(names)[found.classes])
