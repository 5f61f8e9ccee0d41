"""Classes: as R keeps them, as its codes stand for them, and how probable they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diglot.bridge import plain, received
from diglot.bridge.answers import answered


def classes(model: Any) -> dict[str, Any]:
    """Return what R keeps of a model's classes."""
    known = list(model.classes_)
    return {
        "levels": [plain.level_text(c) for c in known],
        "type": _class_type(known),
        "ordered": bool(model.ordered_),
    }


def _class_type(classes: Sequence[Any]) -> str:
    kinds = {type(plain.plain(c)) for c in classes}
    if kinds == {bool}:
        return "logical"
    return "integer" if kinds <= {int, float} else "character"


def known(model: Any, codes: Any) -> np.ndarray:
    """Return the labels that R's codes stand for."""
    return np.asarray(model.classes_)[np.array(codes, dtype=np.int64).reshape(-1)]


@answered
def predict_proba(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return the probabilities, a row an image, a column a class."""
    return np.asfortranarray(model.predict_proba(received.images(images)), dtype=np.float64)
