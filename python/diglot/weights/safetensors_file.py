"""Weights in safetensors files of other libraries, in one piece or in shards.

The file format is the one of diglot's own models, so :mod:`diglot.storage` reads and checks it.

Reference: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diglot.errors import ModelFileError
from diglot.files import opened, parse_json, read_text
from diglot.storage import read_file

INDEX_ENDING = ".safetensors.index.json"
"""How the name of the index of a file in shards ends."""

PICKLE_ENDINGS = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
"""How names of pickled weights end."""

_MOST_SHARDS = 10_000


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the weights of a safetensors file, whichever library wrote it.

    Parameters
    ----------
    path : path
        A safetensors file; or the index of one in shards, ``model.safetensors.index.json``: then
        all its shards, which lie beside it, are read.

    Returns
    -------
    dict of str to numpy.ndarray
        By the names in the file. Floats of 16 ("half" and "bfloat") and 64 bits come as float32;
        integers and booleans keep their types.

    Raises
    ------
    ModelFileError
        The file cannot be read, is damaged, is a pickle, or is an index that does not fit its
        shards; the message names the file and the tensor.

    Examples
    --------
    >>> import tempfile
    >>> import safetensors.numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     safetensors.numpy.save_file({"fc.bias": np.ones(2)}, f"{folder}/model.safetensors")
    ...     read_safetensors(f"{folder}/model.safetensors")
    {'fc.bias': array([1., 1.], dtype=float32)}
    """
    if str(path).endswith(INDEX_ENDING):
        return _read_shards(Path(path))
    refuse_pickle(path)
    tensors, _ = read_file(path, require_metadata=False)
    # One by one: what was converted is given back before the next one is.
    return {name: _as_float32(tensors.pop(name), name, path) for name in list(tensors)}


def shard_names(index: str | os.PathLike[str]) -> dict[str, str]:
    """Read the index of a file in shards.

    Parameters
    ----------
    index : path
        Such as ``model.safetensors.index.json``.

    Returns
    -------
    dict of str to str
        For each tensor the name of its shard, a file in the index's own folder.

    Raises
    ------
    ModelFileError
        The index is damaged, or names a file that is not in its own folder.
    """
    text = read_text(index)
    try:
        told = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{index} is damaged: {error}") from error
    places = told.get("weight_map") if isinstance(told, dict) else None
    fits = isinstance(places, dict) and all(isinstance(f, str) for f in places.values())
    if not fits or not places:
        raise ModelFileError(f"{index} is damaged: it has no weight_map of tensors to file names")
    for tensor, name in places.items():
        # A path such as ../../x would read files that are none of the model's.
        if not name.endswith(".safetensors") or any(mark in name for mark in "/\\:\0"):
            raise ModelFileError(
                f"{index}: the shard {name!r} of tensor {tensor!r} is not the plain name of a "
                "safetensors file"
            )
    if len(set(places.values())) > _MOST_SHARDS:
        raise ModelFileError(f"{index} names more than {_MOST_SHARDS} shards")
    return places


def refuse_pickle(path: str | os.PathLike[str]) -> None:
    """Raise an error if a file is pickled, by its name or by its first bytes.

    Parameters
    ----------
    path : path
        A file; nothing but its first bytes is read.

    Raises
    ------
    ModelFileError
        It is a pickle, such as PyTorch's ``.pth``; the message says how to convert it.

    Examples
    --------
    >>> refuse_pickle("resnet50.pth")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: resnet50.pth holds pickled weights, ...
    """
    head = _first_bytes(path)
    named = str(path).lower().endswith(PICKLE_ENDINGS) and not _begins_safetensors(head)
    if named or _begins_pickle(head):
        raise ModelFileError(pickle_refusal(str(path)))


def pickle_refusal(name: str) -> str:
    """Say why a pickled file is refused, and how to convert it in two lines.

    Parameters
    ----------
    name : str
        The file's name or path.

    Returns
    -------
    str
    """
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix else name
    target = f"{stem}.safetensors"
    return (
        f"{name} holds pickled weights, which diglot does not read: unpickling runs whatever code "
        "the file's author put there. If you trust it, convert it once where PyTorch is "
        "installed:\n"
        "    import torch, safetensors.torch\n"
        "    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in torch.load("
        f"{name!r}, map_location='cpu', weights_only=True).items()}}, {target!r})"
    )


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    places = shard_names(index)
    tensors: dict[str, np.ndarray] = {}
    for shard in sorted(set(places.values())):
        found = read_safetensors(index.with_name(shard))
        for name in found.keys() & tensors.keys():
            raise ModelFileError(f"{index}: tensor {name!r} is in {shard} and in another shard")
        _refuse_missing(index, shard, places, found)
        tensors.update(found)
    return dict(sorted(tensors.items()))


def _refuse_missing(
    index: Path, shard: str, places: Mapping[str, str], found: Mapping[str, np.ndarray]
) -> None:
    for name, place in places.items():
        if place == shard and name not in found:
            raise ModelFileError(
                f"{index}: tensor {name!r} should be in {shard}, and is not; the files do not "
                "belong together"
            )


def _as_float32(array: np.ndarray, name: str, path: str | os.PathLike[str]) -> np.ndarray:
    if array.dtype.kind != "f" or array.dtype == np.float32:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float32)
    except FloatingPointError:
        raise ModelFileError(
            f"{path}: tensor {name!r} of type {array.dtype} holds numbers beyond float32's range"
        ) from None


def _first_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a regular file's first bytes; none where it cannot be read, which its reader tells."""
    try:
        with opened(path) as file:
            return file.read(1024)
    except (OSError, ValueError):
        return b""


def _begins_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and not any(head[4:8])  # a header has less than 2**32 bytes


def _begins_pickle(head: bytes) -> bool:
    # PyTorch's zip archives begin with the pickle; other zip archives are none.
    if head.startswith(b"PK\x03\x04"):
        return b".pkl" in head
    # The same two bytes may begin the length of a safetensors header.
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return pickled and not _begins_safetensors(head)
