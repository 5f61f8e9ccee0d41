"""Where in an image a network sees what it says: Grad-CAM, integrated gradients, occlusion.

Each method takes a `Graph` with weights and images, and returns a `Saliency`.
"""

from __future__ import annotations

import inspect

from diglot.errors import InputError
from diglot.explanation.grad_cam import grad_cam
from diglot.explanation.integrated_gradients import integrated_gradients
from diglot.explanation.occlusion import occlusion
from diglot.explanation.saliency import Saliency

__all__ = [
    "METHODS",
    "Saliency",
    "grad_cam",
    "integrated_gradients",
    "occlusion",
    "settings_of",
]

METHODS = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}
_SUBJECT = ("graph", "images", "outputs", "extra", "device", "threads", "reporter")


def settings_of(method: str) -> list[str]:
    """Return the settings of a method, beside what it explains and where.

    Raises
    ------
    InputError
        If there is no such method.

    Examples
    --------
    >>> settings_of("grad_cam")
    ['layer', 'scale']
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(map(repr, METHODS))}, not {method!r}")
    return [name for name in inspect.signature(METHODS[method]).parameters if name not in _SUBJECT]
