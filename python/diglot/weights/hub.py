"""Weights from the Hugging Face hub: found, downloaded once, verified, and kept.

The work is done by the package huggingface_hub and files lie in its cache, so that other
programs share them. What is added: the choice of the files, a comparison with the checksum that
the hub declares, and errors that say what to do. Nothing is sent or fetched unless asked for.

Reference: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from diglot.errors import (
    DiglotError,
    DownloadError,
    InputError,
    MissingPackageError,
    ModelFileError,
)
from diglot.files import opened, parse_json, path_of, read_text
from diglot.progress import Reporter, reporter
from diglot.weights.hub_card import HubCard, describe, licence_of_readme
from diglot.weights.safetensors_file import PICKLE_ENDINGS, pickle_refusal, shard_names

__all__ = ["HubFiles", "describe", "download"]

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # the first that is there
_CONFIG, _PREPROCESSOR, _README = "config.json", "preprocessor_config.json", "README.md"
_SECONDS = 10.0  # to wait for an answer
_MEGABYTE = 10**6
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[\w-][\w.+-]*(/[\w-][\w.+-]*)*", re.ASCII)


@dataclass(frozen=True)
class HubFiles:
    """A model's files on this machine.

    Attributes
    ----------
    name : str
        On the hub, such as ``"timm/resnet50.a1_in1k"``.
    commit : str
        The commit that the files belong to, 40 hexadecimal digits: as ``revision`` it brings the
        very same files again.
    weights : Path
        The weights; of a file in shards the index, beside which the shards lie.
    config, preprocessor, readme : Path or None
        ``config.json``, ``preprocessor_config.json`` and the model card, where there are any.
    """

    name: str
    commit: str
    weights: Path
    config: Path | None = None
    preprocessor: Path | None = None
    readme: Path | None = None

    @property
    def source(self) -> str:
        """Where the files come from, as name@commit."""
        return f"{self.name}@{self.commit}"

    def card(self) -> HubCard:
        """Read what the files say about the model; see :func:`describe`."""
        licence = licence_of_readme(read_text(self.readme)) if self.readme else None
        config, preprocessor = _read_json(self.config), _read_json(self.preprocessor)
        return describe(config, preprocessor, source=self.source, licence=licence)


def download(
    name: str,
    *,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    filename: str | None = None,
    verbose: Any = "auto",
) -> HubFiles:
    """Bring a model's files from the hub, or find them where they were brought before.

    Parameters
    ----------
    name : str
        Owner and model, such as ``"timm/resnet50.a1_in1k"`` or ``"microsoft/resnet-50"``.
    revision : str, optional
        A branch, a tag or, to pin the very bytes, a commit. Without it, the newest.
    cache : path, optional
        The folder to keep files in. Without it, huggingface_hub's own (``HF_HOME``).
    filename : str, optional
        The weights' file in the model's repository, such as ``"model.onnx"``. Without it,
        ``model.safetensors``, or the index of one in shards.
    verbose : {"auto", True, False}, callable or Reporter
        Who listens to the progress; see `diglot.progress.reporter`.

    Returns
    -------
    HubFiles

    Raises
    ------
    DownloadError
        The hub has no such model, revision or file, refuses access, or cannot be reached and the
        files are not in the cache.
    ModelFileError
        A file differs from the checksum that the hub declares for it, or the weights are only
        there as a pickle.
    MissingPackageError
        huggingface_hub is not installed.
    InputError
        A name or a revision cannot be one.

    Notes
    -----
    The checksum is the SHA-256 of files that the hub stores apart (Git LFS), as it does weights,
    and Git's own SHA-1 of small files. A file of the cache that fails it is downloaded once more.
    The environment variables of huggingface_hub apply: with ``HF_HUB_OFFLINE=1`` nothing is
    asked, ``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` gives access to models behind terms.

    Examples
    --------
    >>> from diglot.weights.hub import download
    >>> download("resnet 50")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    diglot.errors.InputError: 'resnet 50' is not a model on the hub...
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f'{name!r} is not a model on the hub; name its owner, too: "timm/resnet50.a1_in1k"'
        )
    if revision is not None and not (isinstance(revision, str) and _REVISION.fullmatch(revision)):
        raise InputError(f"revision must be a branch, a tag or a commit, not {revision!r}")
    if filename is not None:
        _refuse_filename(filename)
    hub = _Hub(_library(), name, revision or "main", cache and path_of(cache, "cache"))
    listener = reporter(verbose)
    with _quiet():
        try:
            return _from_hub(hub, filename, listener)
        except _Unreachable as reason:
            return _from_cache(hub, filename, str(reason))


# ---- the two ways


@dataclass(frozen=True)
class _Hub:
    """One revision of one model, and the library that knows how to ask for it."""

    library: ModuleType
    name: str
    revision: str
    cache: str | None

    @property
    def endpoint(self) -> str | None:
        # The library reads it once, when it is imported.
        return os.environ.get("HF_ENDPOINT") or None


class _Unreachable(Exception):
    """The hub gives no answer; what the cache holds may do."""


def _from_hub(hub: _Hub, filename: str | None, listener: Reporter) -> HubFiles:
    if _offline(hub.library):
        raise _Unreachable("HF_HUB_OFFLINE is set")
    with _typed_errors(hub):
        api = hub.library.HfApi(endpoint=hub.endpoint)
        info = api.model_info(
            hub.name, revision=hub.revision, files_metadata=True, timeout=_SECONDS
        )
    files = {entry.rfilename: entry for entry in info.siblings or ()}

    def bring(file: str) -> Path:
        if file not in files:
            raise DownloadError(f"{hub.name!r} has no file {file!r}{_there(files)}")
        return _bring(hub, file, _declared(files[file]), info.sha, listener)

    weights = bring(filename or _weights_among(hub, files))
    for shard in _shards(weights):
        bring(shard)
    others = [bring(f) if f in files else None for f in (_CONFIG, _PREPROCESSOR, _README)]
    return HubFiles(hub.name, info.sha, weights, *others)


def _from_cache(hub: _Hub, filename: str | None, reason: str) -> HubFiles:
    def find(file: str) -> Path | None:
        found = hub.library.try_to_load_from_cache(
            hub.name, file, cache_dir=hub.cache, revision=hub.revision
        )
        if not isinstance(found, str):
            return None
        _verify(Path(found), file, _checksum_in_cache(Path(found)))
        return Path(found)

    def need(*candidates: str) -> Path:
        for file in candidates:
            if found := find(file):
                return found
        raise DownloadError(
            f"{hub.name!r} (revision {hub.revision!r}) cannot be downloaded, because {reason}, "
            f"and {candidates[0]} is not in the cache from an earlier time"
        )

    weights = need(*([filename] if filename else _WEIGHTS))
    for shard in _shards(weights):
        need(shard)
    others = [find(file) for file in (_CONFIG, _PREPROCESSOR, _README)]
    return HubFiles(hub.name, _commit_of(weights), weights, *others)


def _bring(
    hub: _Hub, file: str, declared: tuple[str, str] | None, commit: str, listener: Reporter
) -> Path:
    path = _download(hub, file, listener)
    if _commit_of(path) != commit:
        raise DownloadError(
            f"{hub.name!r}: revision {hub.revision!r} changed while its files were downloaded; "
            "do it again, or give a commit as revision"
        )
    checksum = declared or _checksum_in_cache(path)
    if checksum is None:
        raise DownloadError(f"{hub.name!r}: the hub declares no checksum for {file}")
    try:
        _verify(path, file, checksum)
    except ModelFileError:
        # The cache may have been damaged since: what the hub itself sends decides.
        path = _download(hub, file, listener, force_download=True)
        _verify(path, file, checksum)
    return path


def _download(hub: _Hub, file: str, listener: Reporter, **options: Any) -> Path:
    bar = _bar_class(listener, f"Downloading {file}")
    try:
        with _typed_errors(hub, file):
            return Path(
                hub.library.hf_hub_download(
                    hub.name,
                    file,
                    revision=hub.revision,
                    cache_dir=hub.cache,
                    endpoint=hub.endpoint,
                    etag_timeout=_SECONDS,
                    tqdm_class=bar,
                    **options,
                )
            )
    finally:
        listener.finish()


# ---- which files


def _refuse_filename(filename: str) -> None:
    if not isinstance(filename, str) or not filename or ".." in filename.split("/"):
        raise InputError(f"filename must be a file of the model's repository, not {filename!r}")
    if filename.lower().endswith(PICKLE_ENDINGS):
        raise ModelFileError(pickle_refusal(filename))


def _weights_among(hub: _Hub, files: Mapping[str, Any]) -> str:
    for file in _WEIGHTS:
        if file in files:
            return file
    pickles = [file for file in files if file.lower().endswith(PICKLE_ENDINGS)]
    if pickles and not any(file.endswith(".safetensors") for file in files):
        raise ModelFileError(f"{hub.name} on the hub: {pickle_refusal(pickles[0])}")
    raise DownloadError(f"{hub.name!r} has no {_WEIGHTS[0]}{_there(files)}")


def _there(files: Mapping[str, Any]) -> str:
    known = (".safetensors", ".onnx", ".params", ".caffemodel", ".index.json")
    fitting = sorted(file for file in files if file.endswith(known))[:8]
    return f"; give one of these as filename: {', '.join(fitting)}" if fitting else ""


def _shards(weights: Path) -> list[str]:
    return sorted(set(shard_names(weights).values())) if weights.name == _WEIGHTS[1] else []


def _commit_of(path: Path) -> str:
    """Return the commit from a file's place in the cache: .../snapshots/<commit>/<file>."""
    parts = path.parts
    backwards = parts[::-1].index("snapshots")  # the cache itself may lie in a folder so called
    return parts[len(parts) - backwards]


# ---- checksums


def _declared(entry: Any) -> tuple[str, str] | None:
    """Return the kind of checksum that the hub's list of files gives, and its digits."""
    if entry.lfs is not None:
        return "sha256", entry.lfs.sha256
    return ("git", entry.blob_id) if entry.blob_id else None


def _checksum_in_cache(path: Path) -> tuple[str, str] | None:
    """Return the checksum under whose name the cache keeps a file; None where it has no links."""
    try:
        digits = Path(os.readlink(path)).name
    except OSError:
        return None
    return {64: ("sha256", digits), 40: ("git", digits)}.get(len(digits))


def _verify(path: Path, file: str, declared: tuple[str, str] | None) -> None:
    if declared is None:
        return
    kind, expected = declared
    try:
        with opened(path) as stream:
            digest = hashlib.sha256()
            if kind == "git":
                digest = hashlib.sha1(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
            while piece := stream.read(2**20):
                digest.update(piece)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    if digest.hexdigest() != expected.lower():
        raise ModelFileError(
            f"{file} differs from what its author put on the hub: its checksum is "
            f"{digest.hexdigest()} where {expected} is declared; it was damaged or changed on its "
            f"way. Delete {path} and download it again"
        )


# ---- the library, kept quiet


def _library() -> ModuleType:
    # Read when the library is imported; without it, it would tell which other packages are there.
    before = os.environ.get("HF_HUB_DISABLE_TELEMETRY")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError:
        raise MissingPackageError(
            "Models on the hub need the package huggingface_hub: run "
            "'pip install \"huggingface_hub>=1.2\"', or give a file as weights."
        ) from None
    finally:
        if before is None:
            del os.environ["HF_HUB_DISABLE_TELEMETRY"]
        else:
            os.environ["HF_HUB_DISABLE_TELEMETRY"] = before
    return huggingface_hub


def _offline(library: ModuleType) -> bool:
    set_now = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return set_now or library.constants.HF_HUB_OFFLINE


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the library's log and warnings: what matters is told by our errors."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _typed_errors(hub: _Hub, file: str | None = None) -> Iterator[None]:
    kinds = hub.library.errors
    model, what = repr(hub.name), file or "its list of files"
    try:
        yield
    except DiglotError:
        raise
    except kinds.GatedRepoError as error:
        raise DownloadError(
            f"{model} is behind terms: accept them on its page on the hub, log in there with "
            "'hf auth login' or set HF_TOKEN, and download it again"
        ) from error
    except kinds.RevisionNotFoundError as error:
        raise DownloadError(
            f"{model} has no revision {hub.revision!r}; give a branch, a tag or a whole commit"
        ) from error
    except kinds.RepositoryNotFoundError as error:
        raise DownloadError(
            f"the hub has no model {model}, or it is private; check the name, or log in with "
            "'hf auth login' if it is yours"
        ) from error
    except kinds.LocalEntryNotFoundError as error:
        raise _Unreachable(f"the hub gave no answer ({_first_line(error)})") from error
    except kinds.EntryNotFoundError as error:
        raise DownloadError(f"{model} has no file {file!r}") from error
    except kinds.HFValidationError as error:
        raise InputError(f"{model} cannot be a model on the hub: {error}") from error
    except kinds.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise DownloadError(
                f"the hub refuses access to {model} (HTTP {status}): log in with 'hf auth login', "
                "or set HF_TOKEN to a token that may read it"
            ) from error
        if status is None or status == 429 or status >= 500:
            raise _Unreachable(f"the hub answers with HTTP {status}") from error
        raise DownloadError(f"the hub refuses {what} of {model}: {_first_line(error)}") from error
    except _network_errors() as error:
        told = f"{type(error).__name__}: {_first_line(error)}"
        raise _Unreachable(f"the hub cannot be reached ({told})") from error
    except OSError as error:
        raise DownloadError(f"{what} of {model} cannot be kept: {_first_line(error)}") from error


def _network_errors() -> tuple[type[BaseException], ...]:
    """Return what the libraries raise that huggingface_hub speaks HTTP with, by its version."""
    found: list[type[BaseException]] = [ConnectionError, TimeoutError]
    for package in ("httpx2", "httpx"):
        if package in sys.modules:
            found.append(sys.modules[package].HTTPError)
    return tuple(found)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _bar_class(listener: Reporter, title: str) -> type:
    """Return what the library takes for a progress bar: it draws nothing and tells the listener."""
    from tqdm.auto import tqdm

    class Told(tqdm):
        furthest = -1  # the library may open two bars for one file: sent, and put together

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(total=options.get("total"), disable=True)
            self.n = options.get("initial") or 0
            if Told.furthest < 0:
                total = self.total and max(1, round(self.total / _MEGABYTE))
                listener.start(title, total, "MB")
                Told.furthest = 0

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            done = round(self.n / _MEGABYTE)
            if done > Told.furthest:
                Told.furthest = done
                listener.step(done)

    return Told


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    text = read_text(path)
    try:
        content = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} is not an object of settings by name")
    return content
