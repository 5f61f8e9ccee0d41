"""What a model's files on the hub say about it, in timm's words or in transformers'."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diglot.errors import InputError, ModelFileError
from diglot.graph import InputSpec

_MOST_CLASSES = 1_000_000
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_KNOWN = ("nearest", "bilinear", "bicubic")
_CROPS_BY_FRACTION = ("ConvNext", "PoolFormer")  # their "size" is what is left after the crop


@dataclass(frozen=True)
class HubCard:
    """What is known of a model beside its weights.

    Attributes
    ----------
    library : {"timm", "transformers", ""}
        Whose settings they are.
    architecture : str
        As that library names it: ``"resnet50"`` in timm, ``"resnet"`` in transformers.
    settings : dict
        The library's own settings of the architecture, such as widths and depths.
    input : InputSpec or None
        What the images must look like; None where the files do not tell the size.
    classes : tuple of str or None
        The classes' names in the order of the outputs, where they are told.
    class_count : int or None
        How many outputs the head has.
    licence : str or None
        Such as ``"apache-2.0"``.
    source : str
        Where it comes from, as name@commit.
    notes : tuple of str
        Where the preprocessing cannot be followed to the letter, or had to be assumed.
    """

    library: str
    architecture: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    input: InputSpec | None = None
    classes: tuple[str, ...] | None = None
    class_count: int | None = None
    licence: str | None = None
    source: str = ""
    notes: tuple[str, ...] = ()


def describe(
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any] | None = None,
    *,
    source: str = "",
    licence: str | None = None,
) -> HubCard:
    """Read a model's ``config.json`` and ``preprocessor_config.json``.

    Parameters
    ----------
    config : mapping
        timm's or transformers' settings of a model.
    preprocessor : mapping, optional
        transformers' settings of the preprocessing.
    source : str
        Where the model comes from.
    licence : str, optional
        From the model's page; what ``config`` says itself counts more.

    Returns
    -------
    HubCard

    Raises
    ------
    ModelFileError
        A setting is damaged; the message names it.

    Examples
    --------
    >>> card = describe(
    ...     {
    ...         "architecture": "resnet18",
    ...         "num_classes": 2,
    ...         "label_names": ["cat", "dog"],
    ...         "pretrained_cfg": {
    ...             "input_size": [3, 224, 224],
    ...             "mean": [0.485, 0.456, 0.406],
    ...             "std": [0.229, 0.224, 0.225],
    ...             "interpolation": "bicubic",
    ...             "crop_pct": 0.95,
    ...         },
    ...     }
    ... )
    >>> card.architecture, card.classes, card.input.crop_fraction
    ('resnet18', ('cat', 'dog'), 0.95)
    """
    read = _describe_timm if "architecture" in config else _describe_transformers
    try:
        return read(config, preprocessor or {}, source, licence)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        told = f"{source}: " if source else ""
        raise ModelFileError(f"{told}the model's settings are damaged: {error}") from error


def licence_of_readme(text: str) -> str | None:
    """Return the licence that the head of a model's page names, if it does.

    Examples
    --------
    >>> licence_of_readme("---" + chr(10) + "license: apache-2.0" + chr(10) + "---")
    'apache-2.0'
    """
    head = re.match(r"---\s*\n(.{0,20000}?)\n---", text, re.DOTALL)
    lines = re.findall(
        r"^(license|license_name):\s*['\"]?([\w.+ -]+)", head[1] if head else "", re.M
    )
    found = dict(lines)
    # "other" stands for a licence that has only a name.
    named = found.get("license_name") if found.get("license") == "other" else None
    return (named or found.get("license") or "").strip() or None


# ---- timm


def _describe_timm(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], source: str, licence: str | None
) -> HubCard:
    pretrained = config.get("pretrained_cfg") or {}
    classes, count = _names(config.get("label_names"), config.get("num_classes"))
    bulky = ("pretrained_cfg", "label_names", "label_descriptions")
    settings = {k: v for k, v in config.items() if k not in bulky}
    notes: list[str] = []
    return HubCard(
        library="timm",
        architecture=_text("architecture", config["architecture"]),
        settings={**settings, **(config.get("model_args") or {})},
        input=_timm_input(pretrained, notes),
        classes=classes,
        class_count=count,
        licence=pretrained.get("license") or licence,
        source=source,
        notes=tuple(notes),
    )


def _timm_input(pretrained: Mapping[str, Any], notes: list[str]) -> InputSpec | None:
    size = pretrained.get("input_size")
    if size is None:
        return None
    channels, height, width = size
    mode, fraction = pretrained.get("crop_mode") or "center", pretrained.get("crop_pct") or 0.875
    if mode not in ("center", "squash"):
        notes.append(f"crop_mode {mode!r} is taken as a crop of the centre")
    if mode == "squash" and fraction != 1:
        notes.append(f"after squashing, the outer {1 - fraction:.1%} are not cut off")
    return InputSpec(
        height,
        width,
        channels,
        tuple(pretrained.get("mean") or ()),
        tuple(pretrained.get("std") or ()),
        resize="squash" if mode == "squash" else "crop",
        crop_fraction=_fraction(fraction),
        interpolation=_interpolation(pretrained.get("interpolation"), notes),
    )


# ---- transformers


def _describe_transformers(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], source: str, licence: str | None
) -> HubCard:
    labels = config.get("id2label")
    names = [labels[key] for key in sorted(labels, key=int)] if labels else None
    classes, count = _names(names, len(labels) if labels else config.get("num_labels"))
    if classes == tuple(f"LABEL_{i}" for i in range(count or 0)):
        classes = None  # the library's stand-ins for names that nobody gave
    bulky = ("id2label", "label2id")
    notes: list[str] = []
    return HubCard(
        library="transformers" if config else "",
        architecture=_text("model_type", config.get("model_type", "")),
        settings={k: v for k, v in config.items() if k not in bulky},
        input=_transformers_input(config, preprocessor, notes),
        classes=classes,
        class_count=count,
        licence=config.get("license") or licence,
        source=source,
        notes=tuple(notes),
    )


def _transformers_input(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], notes: list[str]
) -> InputSpec | None:
    size = preprocessor.get("size", config.get("image_size"))
    if size is None:
        return None
    if not preprocessor:
        notes.append("there are no settings of the preprocessing: mean 0, std 1 is assumed")
    mean, std = _normalisation(preprocessor)
    height, width, resize, fraction = _geometry(size, preprocessor, notes)
    return InputSpec(
        height,
        width,
        len(mean) or config.get("num_channels", 3),
        mean,
        std,
        resize=resize,
        crop_fraction=_fraction(fraction),
        interpolation=_interpolation(_RESAMPLE.get(preprocessor.get("resample", 2)), notes),
    )


def _geometry(
    size: Any, preprocessor: Mapping[str, Any], notes: list[str]
) -> tuple[int, int, str, float]:
    """Return height, width, how to resize, and the part that the crop leaves."""
    height, width = _sides(size)
    kind = preprocessor.get("image_processor_type") or preprocessor.get("feature_extractor_type")
    kind = _text("image_processor_type", kind or "")
    by_fraction = kind.startswith(_CROPS_BY_FRACTION) or "crop_pct" in preprocessor
    if by_fraction:
        # ConvNeXt's rule: large images are squashed whole.
        if kind.startswith("ConvNext") and height >= 384:
            return height, width, "squash", 1.0
        return height, width, "crop", preprocessor.get("crop_pct") or 224 / 256
    crop = preprocessor.get("crop_size")
    shorter_side = isinstance(size, Mapping) and "shortest_edge" in size
    if crop is not None and preprocessor.get("do_center_crop", True):
        out_height, out_width = _sides(crop)
        if not shorter_side and (out_height, out_width) != (height, width):
            notes.append("the shorter side is resized before the crop, not both sides")
        return out_height, out_width, "crop", min(out_height / height, 1.0)
    return height, width, "crop" if shorter_side else "squash", 1.0


def _sides(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
        return size["height"], size["width"]
    if isinstance(size, Sequence) and not isinstance(size, str):
        height, width = size
        return height, width
    return size, size


def _normalisation(
    preprocessor: Mapping[str, Any],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for pixels from 0 to 1, whatever the file's own scale is.

    The library computes (pixel * factor - offset - mean) / std with pixels from 0 to 255.
    """
    mean = preprocessor.get("image_mean") or ()
    std = preprocessor.get("image_std") or ()
    if not preprocessor.get("do_normalize", True):
        mean, std = (0.0,) * len(mean), (1.0,) * len(std)
    factor = preprocessor.get("rescale_factor", 1 / 255)
    scale = 255 * (factor if preprocessor.get("do_rescale", True) else 1.0)
    offset = 1.0 if preprocessor.get("rescale_offset") else 0.0
    if math.isclose(scale, 1, rel_tol=1e-6) and not offset:
        return tuple(mean), tuple(std)
    return tuple((m + offset) / scale for m in mean), tuple(s / scale for s in std)


# ---- both


def _interpolation(name: str | None, notes: list[str]) -> str:
    if name in _KNOWN:
        return name
    if name in ("lanczos", "hamming", "box"):
        notes.append(f"bicubic interpolation stands in for {name}")
        return "bicubic"
    if name not in (None, "random"):  # timm trains with random ones, and scores with bilinear
        notes.append(f"bilinear interpolation stands in for {name!r}")
    return "bilinear"


def _fraction(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise InputError(f"the part that is left after a crop is {value!r}")
    return float(value)


def _names(names: Any, count: Any) -> tuple[tuple[str, ...] | None, int | None]:
    if names is None:
        known = type(count) is int and 0 < count <= _MOST_CLASSES
        return None, count if known else None
    if not all(isinstance(name, str) for name in names) or len(names) > _MOST_CLASSES:
        raise InputError("the classes' names are not a list of texts")
    if count is not None and count != len(names):
        raise InputError(f"{len(names)} names for {count} classes")
    return tuple(names), len(names)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{key} is {value!r}")
    return value
