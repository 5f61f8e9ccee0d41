"""``pretrained()``: a network with weights from a file or the hub, ready to be fine-tuned."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from diglot import storage
from diglot.errors import InputError, ModelFileError
from diglot.files import file_sha256, path_of
from diglot.graph import Graph, InputSpec
from diglot.networks import card, network, refit
from diglot.networks.vit import has_positions
from diglot.weighted import Network
from diglot.weights.caffe import caffe_network
from diglot.weights.hub import download
from diglot.weights.mxnet_params import read_mxnet
from diglot.weights.names import LAYOUTS, SETTINGS, Translation, translate
from diglot.weights.onnx import read_onnx
from diglot.weights.safetensors_file import read_safetensors, refuse_pickle

_STRUCTURES = (".json", ".prototxt")  # files that say what the network is
_ENDINGS = (".safetensors", ".params", ".onnx", ".caffemodel", ".index.json")
_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")


def pretrained(
    name: str | os.PathLike[str] | None = None,
    weights: Any = None,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
    mean: Any = None,
    std: Any = None,
    interpolation: str | None = None,
    crop_fraction: float | None = None,
    revision: str | None = None,
    style: str | None = None,
    verbose: Any = "auto",
    **settings: Any,
) -> Network:
    """Return a network with weights from elsewhere.

    Parameters
    ----------
    name : str or path, optional
        A name of `diglot.networks`; or the file that says what the network is: MXNet's symbol
        JSON, Caffe's prototxt. None where the weights' file says it itself: ONNX, and model files
        of diglot.
    weights : str, path or mapping of str to array
        A model on the hub, such as ``"timm/resnet50.a1_in1k"``; or a file: safetensors by the
        names of timm, torchvision, transformers or diglot (also in shards, by their index),
        MXNet's .params, a caffemodel, ONNX; or named arrays.
    size : int or (int, int), optional
        Height and width of the images; by default what the weights were made for.
    channels : int, optional
        Of the images; the first convolution is made for them.
    classes : int, optional
        For another number of classes the head is replaced, and must be trained.
    mean, std : sequence of float, optional
        Per channel, on the scale [0, 1]: what the weights expect, where files do not say it.
    interpolation : {"bilinear", "bicubic", "nearest"}, optional
        How images were resized.
    crop_fraction : float, optional
        The part of the resized image that was used; 1 for the whole.
    revision : str, optional
        A branch, a tag or a commit of the model on the hub.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.
    style : str, optional
        Whose names and conventions a file has, where its tensors' names do not tell:
        ``"timm_tf"`` for timm's ``tf_`` models, which pad as TensorFlow does. Known from the hub.
    **settings
        The family's own settings, where the weights are not of the usual ones.

    Returns
    -------
    Network
        ``origin`` says what was loaded, skipped and replaced.

    Raises
    ------
    ModelFileError
        If a file is damaged, foreign or a pickle, or the weights are another network's: the
        message names the file, the tensor and both shapes.
    DownloadError
        If the hub has no such model, or cannot be reached.
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import diglot
    >>> net = diglot.network("resnet20", classes=3)
    >>> from diglot.builder import initial_weights
    >>> net = pretrained("resnet20", weights=initial_weights(net, seed=1))
    >>> net.output_shape, net.origin["style"]
    ((3,), 'diglot')
    """
    if weights is None:
        raise InputError(
            "weights= is missing: give a file, or a model on the hub such as "
            '"timm/resnet50.a1_in1k"; network() builds a network without weights'
        )
    changes = {
        "mean": mean,
        "std": std,
        "interpolation": interpolation,
        "crop_fraction": crop_fraction,
    }
    wanted = _Wanted(name, size, settings, style)
    graph = _load(wanted, weights, changes, revision, verbose)
    graph = _prepared_as(graph, changes)
    graph = _sized(graph, size, channels)
    if classes is not None and not graph.gives(classes):
        graph = _with_new_head(graph, classes)
    return Network.of(graph)


# ---- from files


@dataclass(frozen=True)
class _Wanted:
    """Which network weights are for."""

    name: Any
    size: Any
    settings: Mapping[str, Any]
    style: str | None


def _load(
    wanted: _Wanted, weights: Any, changes: Mapping[str, Any], revision: str | None, verbose: Any
) -> Graph:
    if isinstance(weights, Mapping):
        arrays = {str(n): np.asarray(a) for n, a in weights.items()}
        return _of_catalogue(wanted, arrays, "arrays")
    text = path_of(weights, "weights", ModelFileError)
    if _is_hub_name(text):
        files = download(text, revision=revision, verbose=verbose)
        told = files.card()
        _refuse_other_forms(text, told.settings)
        origin = {"source": files.source, "licence": told.licence, "notes": list(told.notes)}
        if told.classes:
            origin["classes"] = list(told.classes)
        if told.architecture.startswith("tf_"):
            wanted = replace(wanted, style=wanted.style or "timm_tf")
        return _of_catalogue(wanted, read_safetensors(files.weights), text, told.input, origin)
    if revision is not None:
        raise InputError("revision= goes with a model on the hub, not with a file")
    return _of_file(wanted, Path(text), changes)


def _is_hub_name(text: str) -> bool:
    if text.endswith((*_ENDINGS, *_PICKLES)) or os.path.exists(text):
        return False
    return text.count("/") == 1 and not text.startswith((".", "/", "~"))


def _of_file(wanted: _Wanted, path: Path, changes: Mapping[str, Any]) -> Graph:
    name, size = wanted.name, wanted.size
    if not os.path.exists(path):  # which knows names that are too long, too
        raise ModelFileError(
            f"the weights {str(path)!r} are not there; give a file, or a model on the hub as "
            '"owner/name"'
        )
    refuse_pickle(path)
    structure = Path(path_of(name, "name")) if _names_a_file(name) else None
    origin = {"source": path.name, "sha256": file_sha256(path)}
    ending = path.suffix.lower()
    if ending == ".onnx":
        return replace(read_onnx(path, size=size), origin={**origin, "fixed_size": True})
    if ending == ".caffemodel":
        graph, skipped = caffe_network(structure or _beside(path, ".prototxt"), path, size=size)
        return replace(graph, origin={**origin, "skipped": skipped, "fixed_size": True})
    if ending == ".params":
        symbol = structure or _beside(path, "-symbol.json")
        spec = _spec_of(size, changes)
        return replace(read_mxnet(symbol, path, spec), origin=origin)
    if ending == ".safetensors" and (model := _own_model(path)) is not None:
        if name is not None and name != model.name:
            raise ModelFileError(f"{str(path)!r} holds a network {model.name!r}, not {name!r}")
        return replace(model, origin={**origin, "style": "diglot"})
    if ending not in (".safetensors", ".json"):
        raise ModelFileError(
            f"{str(path)!r}: files that end in {ending or 'nothing'!r} are not known; known are "
            "safetensors, MXNet's .params, Caffe's .caffemodel and .onnx"
        )
    arrays = read_safetensors(path)
    return _of_catalogue(wanted, arrays, str(path), None, origin)


def _names_a_file(name: Any) -> bool:
    is_text = isinstance(name, (str, bytes, os.PathLike))
    return is_text and os.fsdecode(name).endswith(_STRUCTURES)


def _beside(path: Path, ending: str) -> Path:
    """Return the one file that says what the network is, in the weights' folder."""
    stem = path.stem.rsplit("-", 1)[0] if ending.startswith("-") else path.stem
    named = path.with_name(stem + ending)
    found = [named] if os.path.exists(named) else sorted(path.parent.glob(f"*{ending}"))
    if len(found) != 1:
        raise InputError(
            f"{str(path)!r} holds weights only: name the file that says what the network is "
            f"(*{ending}) as the first argument of pretrained()"
        )
    return found[0]


def _spec_of(size: Any, changes: Mapping[str, Any]) -> InputSpec:
    height, width = _sides(224 if size is None else size)
    channels = 3 if changes["mean"] is None else len(np.atleast_1d(changes["mean"]))
    return InputSpec(height, width, channels)


def _own_model(path: Path) -> Graph | None:
    """Return the network of a model file of diglot; None for another safetensors file."""
    if "graph" not in storage.read_metadata(path):
        return None
    tensors, meta = storage.read_file(path)
    return Graph.from_dict(meta["graph"]).with_stored(tensors)


# ---- into a network of the catalogue


def _of_catalogue(
    wanted: _Wanted,
    arrays: Mapping[str, np.ndarray],
    source: str,
    spec: InputSpec | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Graph:
    name, origin = wanted.name, origin or {}
    if not isinstance(name, str):
        raise InputError(
            f"say which network the weights {source!r} are for, such as "
            'pretrained("resnet50", weights=...); networks() lists them'
        )
    entry = card(name)
    known = LAYOUTS.get(entry.family, {})
    if wanted.style is not None and wanted.style not in known:
        raise InputError(
            f"style must be one of {', '.join(known)} for {name!r}, not {wanted.style!r}"
        )
    graph = network(name, **wanted.settings)
    found = translate(graph, entry.family, arrays, wanted.style)
    if needed := SETTINGS.get(entry.family, {}).get(found.style):
        # The same weights compute something else in another library's form of the network.
        graph = network(name, **{**needed, **wanted.settings})
        found = translate(graph, entry.family, arrays, found.style)
    first = [found.arrays[n] for n in graph.first_convolutions() if n in found.arrays]
    seen = {array.shape[1] for array in first if array.ndim == 4}
    if seen and seen != {graph.input.channels}:
        settings = {**SETTINGS.get(entry.family, {}).get(found.style, {}), **wanted.settings}
        graph = network(name, channels=int(min(seen)), **settings)
    if not found.arrays:
        told = ", ".join(map(repr, list(arrays)[:4]))
        raise ModelFileError(
            f"{source}: no tensor has a name of {name!r}; it holds {told} ..., so it is another "
            "network's file, or another library's"
        )
    head = [p.name for p in graph.parameters.values() if p.layer == graph.head]
    classes = next((len(found.arrays[n]) for n in head if n in found.arrays), None)
    if classes is not None and not graph.gives(classes):
        graph = graph.with_head(classes)
    spec = (spec or _published_input(entry, graph.input)).with_channels(graph.input.channels)
    graph = refit(graph, _spec_of_positions(graph, found, spec, wanted.size))
    return replace(
        graph.with_weights(_checked(graph, found, name, source)),
        origin={**origin, "source": origin.get("source", source), **_told(found)},
    )


def _refuse_other_forms(source: str, settings: Mapping[str, Any]) -> None:
    """Refuse what would fit by its shapes and compute something else."""
    for key in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        if settings.get(key):
            raise ModelFileError(
                f"{source}: its config.json says {key}, a form of ResNet that diglot does not have"
            )


def _spec_of_positions(graph: Graph, found: Translation, spec: InputSpec, size: Any) -> InputSpec:
    """Return the input that a transformer's position embeddings were made for."""
    if not has_positions(graph) or "positions" not in found.arrays:
        return spec
    patches = found.arrays["positions"].shape[1] - 1
    _, rows, _ = graph.shape_of("patches")
    patch = graph.input.height // rows
    side = math.isqrt(max(patches, 0))
    height, width = (spec.height, spec.width) if size is None else _sides(size)
    if (height // patch) * (width // patch) == patches:
        return replace(spec, height=height, width=width)
    return (
        spec if side * side != patches else replace(spec, height=side * patch, width=side * patch)
    )


def _published_input(entry: Any, spec: InputSpec) -> InputSpec:
    published = replace(
        entry.spec,
        mean=entry.mean,
        std=entry.std,
        resize="crop" if entry.mean else "squash",
        interpolation=entry.interpolation,
        crop_fraction=entry.crop_fraction,
    )
    return published.with_channels(spec.channels)


def _checked(graph: Graph, found: Translation, name: str, source: str) -> dict[str, np.ndarray]:
    """Refuse weights that lack something or do not fit; name the tensor and both shapes."""
    for key, parameter in graph.parameters.items():
        if key not in found.arrays:
            continue
        have = tuple(found.arrays[key].shape)
        if have != parameter.shape:
            raise ModelFileError(
                f"{source}: the tensor for {key!r} has the shape {have}, and {name!r} needs "
                f"{parameter.shape}: these are the weights of another network, or of other settings"
            )
    if found.missing:
        told = ", ".join(map(repr, found.missing[:5]))
        more = f" and {len(found.missing) - 5} more" if len(found.missing) > 5 else ""
        raise ModelFileError(f"{source}: no tensor for {told}{more} of {name!r}")
    return {n: np.asarray(a, np.float32) for n, a in found.arrays.items()}


def _told(found: Translation) -> dict[str, Any]:
    counters = [n for n in found.skipped if n.endswith("num_batches_tracked")]
    skipped = [n for n in found.skipped if n not in counters]
    return {"style": found.style, "loaded": len(found.arrays), "skipped": skipped}


# ---- made to fit


def _prepared_as(graph: Graph, changes: Mapping[str, Any]) -> Graph:
    given = {k: v for k, v in changes.items() if v is not None}
    for key in ("mean", "std"):
        if key in given:
            given[key] = tuple(float(v) for v in np.atleast_1d(given[key]))
    if "crop_fraction" in given:
        fraction = float(given["crop_fraction"])
        if not 0 < fraction <= 1:
            raise InputError(f"crop_fraction must be above 0 and at most 1, not {fraction}")
        given |= {"crop_fraction": fraction, "resize": "crop"}
    return replace(graph, input=replace(graph.input, **given)) if given else graph


def _sized(graph: Graph, size: Any, channels: int | None) -> Graph:
    spec = graph.input
    if size is not None:
        height, width = _sides(size)
        spec = replace(spec, height=height, width=width)
    if channels is not None:
        spec = spec.with_channels(int(channels))
    return graph if spec == graph.input else refit(graph, spec)


def _sides(size: Any) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else (size, size)
    if len(pair) != 2 or not all(isinstance(s, (int, float, np.number)) for s in pair):
        raise InputError(f"size must be one number or (height, width), not {size!r}")
    return int(pair[0]), int(pair[1])


def _with_new_head(graph: Graph, classes: int) -> Graph:
    other = graph.with_head(classes)
    replaced = [p.name for p in other.parameters.values() if p.layer == other.head]
    return replace(other, origin={**(graph.origin or {}), "replaced": replaced})
