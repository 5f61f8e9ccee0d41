"""VGG: torchvision's numbers depend on the depth, and timm has convolutions for dense layers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from diglot.weights.names.tables import Arrays, Layout

_FEATURE = re.compile(r"features\.([0-9]{1,3})\.weight")
_DENSE = re.compile(r"classifier\.([0-9]{1,3})\.weight")


def _convolutions(arrays: Arrays) -> dict[str, str]:
    """Name the layers by their numbers alone, whatever the depth.

    A convolution is followed by its norm, if there is one, and its activation; each stage ends in
    a pooling, which has a number, too, and so leaves a gap.
    """
    numbers = sorted(int(m[1]) for name in arrays if (m := _FEATURE.fullmatch(name)))
    normed = any(number + 1 in numbers for number in numbers)
    convolutions = numbers[::2] if normed else numbers
    layers: dict[str, str] = {}
    stage, place, before = 1, 0, 0
    for number in convolutions:
        if number - before > (3 if normed else 2):
            stage, place = stage + 1, 0
        place, before = place + 1, number
        layers[f"features.{number}"] = f"conv{stage}_{place}"
        if normed:
            layers[f"features.{number + 1}"] = f"conv{stage}_{place}_bn"
    return layers


def _renamed(arrays: Arrays, layers: Mapping[str, str]) -> dict[str, np.ndarray]:
    parts = {name: name.rpartition(".") for name in arrays}
    return {
        layers.get(path, path) + dot + ending: arrays[name]
        for name, (path, dot, ending) in parts.items()
    }


def _stages(layers: Mapping[str, str]) -> int:
    return max((int(ours[4:].split("_")[0]) for ours in layers.values()), default=0)


def _torchvision(arrays: Arrays) -> dict[str, np.ndarray]:
    layers = _convolutions(arrays)
    numbers = sorted(int(m[1]) for name in arrays if (m := _DENSE.fullmatch(name)))
    for place, number in enumerate(numbers, _stages(layers) + 1):
        last = number == numbers[-1]
        layers[f"classifier.{number}"] = "head" if last else f"fc{place}"
    return _renamed(arrays, layers)


def _timm(arrays: Arrays) -> dict[str, np.ndarray]:
    layers = _convolutions(arrays)
    first = _stages(layers) + 1
    layers |= {
        "pre_logits.fc1": f"fc{first}",
        "pre_logits.fc2": f"fc{first + 1}",
        "head.fc": "head",
    }
    found = _renamed(arrays, layers)
    for number in (first, first + 1):
        # A convolution over the whole map is a dense layer over the map laid out flat.
        weight = found.get(f"fc{number}.weight")
        if weight is not None and weight.ndim == 4:
            found[f"fc{number}.weight"] = weight.reshape(len(weight), math.prod(weight.shape[1:]))
    return found


LAYOUTS: dict[str, Layout] = {"torchvision": _torchvision, "timm": _timm}
