"""Predictions of any number of files: in constant memory, and bad files need not stop them."""

from __future__ import annotations

import contextlib
import copy
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from diglot.errors import ImageError, InputError, MissingPackageError
from diglot.files import path_of
from diglot.graph import InputSpec
from diglot.images import (
    PreparedImages,
    as_images,
    batches,
    decode,
    read_header,
    walk_images,
)
from diglot.images.decode import file_size
from diglot.images.folders import is_packed, list_packed
from diglot.images.memory import usable_cores
from diglot.progress import Reporter, Silent, reporter

_CHUNK = 256  # files that are in memory together
_ON_ERROR = ("stop", "report")


@dataclass(frozen=True)
class FilePredictions:
    """What `predict_files` found.

    Attributes
    ----------
    table : DataFrame or None
        One row a file that was read, in their order; None where they were written to ``output``.
    failures : DataFrame
        One row a file that was not: ``row`` (of X, from 0), ``file``, ``kind`` ("missing",
        "folder", "empty", "not_image", "damaged", or "unfit" where the model does not take its
        channels, or its numbers) and ``message``.
    count : int
        How many files were read.
    output : Path or None
        Where the table was written to.
    """

    table: pd.DataFrame | None
    failures: pd.DataFrame
    count: int
    output: Path | None


def predict_files(
    model: Any,
    X: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    on_error: str = "stop",
    proba: bool = True,
    verbose: Any = "auto",
) -> FilePredictions:
    """Predict from the images of a folder or list of any size.

    Only a few hundred images are in memory at a time; with ``output`` only their answers, too.

    Parameters
    ----------
    model : fitted estimator
        Such as an `ImageClassifier`; any that `diglot.load` returns.
    X : path, list of paths, Series or DataFrame
        A folder, whose images count wherever they lie below it, or a packed file (see
        `read_images`); or files, in a data frame those of column ``image`` (or its only one), with
        the covariates beside them.
    output : path, optional
        A ``.csv`` or ``.parquet`` file to write the table to, instead of returning it. It is
        there once it is whole, and replaces an earlier one. Parquet needs pyarrow.
    on_error : {"stop", "report"}
        Whether a file that cannot be read ends the work with its error, or is left out, and told
        of in the end by a warning and the table of failures.
    proba : bool
        Whether probabilities (or quantiles) stand beside what is predicted.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Returns
    -------
    FilePredictions
        Its table has the columns ``file``; ``predicted``, for tags ``predicted_<tag>``; and with
        ``proba`` ``prob_<class>``, ``prob_<tag>`` or ``quantile_<quantile>``.

    Raises
    ------
    ImageError
        If a file cannot be read and ``on_error`` is "stop".
    InputError
        If an argument cannot be used, or the output cannot be written.
    MissingPackageError
        If Parquet is asked for and pyarrow is missing.

    Notes
    -----
    An image's answer is that of ``predict`` and ``predict_proba``, whichever images are with it.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from diglot import ImageClassifier
    >>> images = np.random.default_rng(1).integers(0, 256, (40, 8, 8), "uint8")
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 20)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(3):
    ...         Image.fromarray(images[i]).save(f"{folder}/{i}.png")
    ...     found = predict_files(model, folder)
    >>> found.table.columns.tolist(), found.count, len(found.failures)
    (['file', 'predicted', 'prob_a', 'prob_b'], 3, 0)
    """
    check_is_fitted(model)
    if not (hasattr(model, "predict") or hasattr(model, "predict_proba")):
        raise InputError(
            f"predict_files() needs a model that predicts something of an image; a "
            f"{type(model).__name__} gives features: call its transform() (in R predict())"
        )
    if on_error not in _ON_ERROR:
        known = ", ".join(map(repr, _ON_ERROR))
        raise InputError(f"on_error must be one of {known}, not {on_error!r}")
    if not isinstance(proba, (bool, np.bool_)):
        raise InputError(f"proba must be True or False, not {proba!r}")
    X, files = _files(X)
    if getattr(model, "design_", None) is not None:
        model._beside(X)  # now, as a chunk's message would count its own rows
    failures: list[pd.DataFrame] = []
    count = 0
    with _sink(output) as sink:
        for table, bad in _chunks(model, X, files, on_error, proba, reporter(verbose)):
            sink.write(table)
            failures.append(bad)
            count += len(table)
        written = sink.whole()
    failed = pd.concat(failures, ignore_index=True)
    if len(failed):
        warnings.warn(
            f"{len(failed)} of {len(files)} files could not be read, the first is row "
            f"{failed['row'][0] + 1}: {failed['message'][0]} See the table of failures.",
            UserWarning,
            stacklevel=2,
        )
    table = written if isinstance(written, pd.DataFrame) else None
    return FilePredictions(table, failed, count, None if table is not None else written)


# ---- what is asked


def _files(X: Any) -> tuple[Any, list[str]]:
    """Return what holds the rows, and the name of each row's file."""
    if isinstance(X, (str, os.PathLike)) and os.path.isdir(os.path.expanduser(os.fsdecode(X))):
        X = walk_images(X)
    elif is_packed(X):
        X = [path for path, _ in list_packed(X)]
    images = as_images(X, allow_empty=True)
    if len(images) and not images.is_files:
        raise InputError(
            "predict_files() is for images in files: give a folder or paths; predict() takes images"
            " that are in memory"
        )
    return X, [images.name(i) for i in range(len(images))]


def _chunks(
    model: Any, X: Any, files: list[str], on_error: str, proba: bool, listener: Reporter
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the answers and the failures, chunk by chunk; of no files one chunk without rows."""
    quiet = copy.copy(model)  # its fitted network is shared
    listener.start("Predicting", len(files), "image")
    try:
        for start in range(0, max(1, len(files)), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(files)))
            quiet.verbose = _Part(listener, start)
            yield _answers(partial(_told, quiet, X, files, proba), model, files, rows, on_error)
            listener.step(start + len(rows))
    finally:
        listener.finish()


class _Part(Silent):
    """Tells of a chunk's progress as a part of the whole."""

    def __init__(self, listener: Reporter, before: int) -> None:
        self._listener, self._before = listener, before

    def step(self, done: int, text: str = "") -> None:
        self._listener.step(self._before + done, text)


def _answers(
    ask: Callable[[np.ndarray], pd.DataFrame],
    model: Any,
    files: list[str],
    rows: np.ndarray,
    on_error: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the answers of the files that can be read, and a table of the others."""
    bad: dict[int, tuple[str, str]] = {}
    good, found = rows, None
    while True:
        try:
            return ask(good), _failures([(row, files[row], *bad[row]) for row in sorted(bad)])
        except ImageError:
            if on_error == "stop" or found == {}:
                raise
        # Only where a chunk failed are its files looked at one by one; and again, as a file may
        # go after it was looked at.
        found = _faults(ask, _input(model), files, good)
        bad.update(found)
        good = np.array([row for row in good.tolist() if row not in found], np.int64)


def _faults(
    ask: Callable[[np.ndarray], pd.DataFrame], spec: Any, files: list[str], rows: np.ndarray
) -> dict[int, tuple[str, str]]:
    """Return what is wrong with some files, by row: of a word and a message."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        faults = list(pool.map(partial(_fault, spec), (files[row] for row in rows)))
    found = {row: fault for row, fault in zip(rows.tolist(), faults, strict=True) if fault}
    if found:
        return found
    # None has a fault by itself: the model is asked about each. What is not wrong any more is not.
    for row in rows.tolist():
        try:
            ask(np.array([row]))
        except ImageError as error:
            found[row] = _place_fault(files[row]) or "damaged", str(error)
    return found


def _failures(found: Sequence[tuple[int, str, str, str]]) -> pd.DataFrame:
    """Return a table of files that could not be read."""
    rows = np.array([row for row, *_ in found], np.int64)
    texts = np.array([text for _, *text in found], object).reshape(-1, 3)
    names = ("file", "kind", "message")
    columns = {name: _texts(texts[:, i]) for i, name in enumerate(names)}
    return pd.DataFrame({"row": rows, **columns})


def _texts(values: Sequence[str] | np.ndarray) -> pd.Series:
    # pandas' own string type refuses file names that are no UTF-8.
    return pd.Series(list(values), dtype=object)


def _are_texts(values: np.ndarray) -> bool:
    return values.dtype.kind in "OU"


def _input(model: Any) -> Any:
    """Return what says how the model takes an image."""
    if hasattr(model, "network_"):
        return model.network_.input
    hog = model.hog_
    return InputSpec(hog.height, hog.width, hog.channels, convert_colour=True)


def _fault(spec: Any, path: str) -> tuple[str, str] | None:
    """Return what is wrong with a file, as a word and as a message."""
    kind = "not_image"
    try:
        read_header(path)
        kind = "damaged"
        decode(path)
        kind = "unfit"
        with PreparedImages(as_images([path]), spec, cache=False) as ready:
            for _ in batches(ready, [np.array([0])], ahead=0):
                pass
    except ImageError as error:
        return _place_fault(path) or kind, str(error)  # it may have gone meanwhile
    return None


def _place_fault(path: str) -> str | None:
    if os.path.isdir(os.path.expanduser(path) if path.startswith("~") else path):
        return "folder"
    try:
        size = file_size(path)
    except ImageError:  # it is in a packed file whose list is missing or damaged
        return "damaged"
    if size is None:
        return "missing"
    return "empty" if size == 0 else None


# ---- what is answered


def _told(model: Any, X: Any, files: list[str], proba: bool, rows: np.ndarray) -> pd.DataFrame:
    """Return the table of some rows."""
    asked = X.iloc[rows] if isinstance(X, pd.DataFrame) else [files[row] for row in rows]
    columns = {"file": _texts([files[row] for row in rows])}
    return pd.DataFrame({**columns, **_predicted(model, asked, proba)})


def _predicted(model: Any, asked: Any, proba: bool) -> dict[str, Any]:
    """Return what a model says, as columns; the network is run once."""
    if hasattr(model, "tags_"):
        found = model.predict_proba(asked)
        present = found >= model.thresholds_
        columns = {f"predicted_{tag}": present[tag].to_numpy() for tag in found}
        more = {f"prob_{tag}": found[tag].to_numpy() for tag in found}
    elif hasattr(model, "classes_"):
        found = np.asarray(model.predict_proba(asked), np.float64)
        ordered = bool(getattr(model, "ordered_", False))
        best = found.argmax(axis=1) if len(found) else np.empty(0, np.intp)
        classes = pd.Index(model.classes_, dtype=object if _are_texts(model.classes_) else None)
        columns = {"predicted": pd.Categorical.from_codes(best, classes, ordered=ordered)}
        more = {f"prob_{c}": p for c, p in zip(model.classes_.tolist(), found.T, strict=True)}
    elif getattr(getattr(model, "outcome_", None), "family", None) == "quantile":
        found = model.predict_quantiles(asked)
        columns = {"predicted": found.iloc[:, model.outcome_.middle].to_numpy()}
        more = {f"quantile_{q}": found[q].to_numpy() for q in found}
    else:
        predicted = model.predict(asked)
        numbers = isinstance(predicted, np.ndarray) and predicted.dtype.kind == "f"
        columns, more = {"predicted": predicted if numbers else _texts(predicted)}, {}
    return {**columns, **more} if proba else columns


# ---- where answers go


class _Sink(Protocol):
    """Takes tables one after the other."""

    def write(self, table: pd.DataFrame) -> None:
        """Add rows."""

    def whole(self) -> pd.DataFrame | Path:
        """Return all of it, or the file that holds it."""


class _Memory:
    def __init__(self) -> None:
        self._tables: list[pd.DataFrame] = []

    def write(self, table: pd.DataFrame) -> None:
        self._tables.append(table)

    def whole(self) -> pd.DataFrame:
        return pd.concat(self._tables, ignore_index=True)


class _File:
    """A file that is written aside, and takes its name once it is whole."""

    def __init__(self, target: Path, aside: Path) -> None:
        self._target, self._aside = target, aside

    def add(self, table: pd.DataFrame) -> None:
        """Write rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; may be called twice."""
        raise NotImplementedError

    def write(self, table: pd.DataFrame) -> None:
        with _writing(self._target):
            self.add(table)

    def whole(self) -> Path:
        with _writing(self._target):
            self.close()
            os.replace(self._aside, self._target)
        return self._target


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Name the file that cannot be written."""
    try:
        yield
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"output '{target}' cannot be written ({why}); choose another place"
        ) from error


class _Csv(_File):
    def __init__(self, target: Path, aside: Path) -> None:
        super().__init__(target, aside)
        # Names that are no UTF-8 are written with the very bytes that they have on disk.
        self._file = open(  # noqa: SIM115
            aside, "x", encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._begun = False

    def add(self, table: pd.DataFrame) -> None:
        table.to_csv(self._file, index=False, header=not self._begun, lineterminator="\n")
        self._begun = True

    def close(self) -> None:
        self._file.close()


class _Parquet(_File):
    def __init__(self, target: Path, aside: Path) -> None:
        super().__init__(target, aside)
        self._file = open(aside, "xb")  # noqa: SIM115
        self._writer: Any = None

    def add(self, table: pd.DataFrame) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        # Parquet's texts are UTF-8: bytes of a name that are not stand there as \udc80.
        file = [name.encode("utf-8", "backslashreplace").decode() for name in table["file"]]
        texts = {"file": pd.Series(file, dtype=object)}
        columns = table.assign(**texts)
        if self._writer is None:
            self._writer = ParquetWriter(self._file, _schema(columns))
        self._writer.write_table(
            pa.Table.from_pandas(columns, self._writer.schema, preserve_index=False)
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()


def _schema(table: pd.DataFrame) -> Any:
    """Return the types of the columns; texts are told, as a chunk may have no rows to tell by."""
    import pyarrow as pa

    found = pa.Schema.from_pandas(table, preserve_index=False)
    for i, name in enumerate(table.columns):
        if table[name].dtype == object:
            found = found.set(i, pa.field(str(name), pa.string()))
    return found


@contextlib.contextmanager
def _sink(output: str | os.PathLike[str] | None) -> Iterator[_Sink]:
    """Open what takes the answers; nothing is left behind where the work fails."""
    if output is None:
        yield _Memory()
        return
    target = Path(path_of(output, "output")).expanduser()
    kinds = {".csv": _Csv, ".parquet": _Parquet}
    kind = kinds.get(target.suffix.lower())
    if kind is None:
        raise InputError(f"output must end in .csv or .parquet, not '{target.name}'")
    if not target.parent.is_dir() or target.is_dir():
        raise InputError(
            f"output '{target}' cannot be written: it is a folder, or there is no folder for it"
        )
    if kind is _Parquet:
        _check_pyarrow()
    # In the same folder: only there is a rename atomic.
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.tmp")
    with _writing(target):
        file = kind(target, aside)
    try:
        yield file
    finally:
        # Where the work failed, its error matters; else the file is closed and renamed by now.
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            os.unlink(aside)


def _check_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "writing Parquet needs pyarrow; install it with: pip install 'pyarrow>=12,<26', or "
            "let output end in .csv"
        ) from error
