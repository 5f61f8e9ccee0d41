"""R in this process: found, started once, called; and left so that both languages end cleanly."""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import diglot.errors
from diglot.errors import DiglotError, MissingPackageError, RError
from diglot.interrupts import native_handler, set_native_handler
from diglot.r.blas import keep_apart
from diglot.r.reticulate import connect_reticulate

# What an R function brings back: its value or its error, and its warnings, all as data. R's own
# way, an error that jumps, would write to the console and lose the condition's class.
_CALLER = """
function(f, args) {
  warnings <- character()
  answer <- withCallingHandlers(
    tryCatch(
      list(value = do.call(f, args, quote = TRUE)),
      error = function(e) list(error = conditionMessage(e), kinds = class(e)),
      interrupt = function(i) list(interrupted = TRUE)
    ),
    warning = function(w) {
      warnings <<- c(warnings, conditionMessage(w))
      invokeRestart("muffleWarning")
    }
  )
  c(answer, list(warnings = warnings))
}
"""


@functools.cache
def start() -> ModuleType:
    """Start R in this process, or find it running, and return ``rpy2.rinterface``.

    Returns
    -------
    module

    Raises
    ------
    MissingPackageError
        If rpy2 or R is missing.
    DiglotError
        If this is not the main thread, the only one that R can be started in.

    Notes
    -----
    What R and reticulate change in a Python that starts them is set back: the handler of Ctrl-C,
    ``LD_LIBRARY_PATH`` of the processes that this one starts, ``sys.path`` and the names ``r`` and
    ``R`` of the main module.

    Examples
    --------
    >>> import os
    >>> start().baseenv["Sys.getpid"]()[0] == os.getpid()
    True
    """
    if threading.current_thread() is not threading.main_thread():
        raise DiglotError("R can only be started in the main thread: call diglot.r there first")
    with _left_as_it_was():
        rinterface = _import_rpy2()
        embedded = rinterface.embedded
        hosted_by_r = _r_runs(rinterface)
        if hosted_by_r:
            embedded._setinitialized()  # else rpy2 warns, twice, that it has not started R itself
        else:
            # R's packages that use Python shall use this one
            os.environ["RETICULATE_PYTHON"] = sys.executable
        importlib.import_module("rpy2.robjects")  # starts R
        if hosted_by_r:
            atexit.unregister(embedded.endr)  # R ends after Python here, and by itself
        connect_reticulate(rinterface.baseenv, hosted_by_r)
    return rinterface


def start_robjects() -> ModuleType:
    """Start R as `start` does, and return ``rpy2.robjects``."""
    start()
    return importlib.import_module("rpy2.robjects")


def _import_rpy2() -> ModuleType:
    """Import ``rpy2.rinterface``; without rpy2 or R, that fails in ways of its own."""
    try:
        situation = importlib.import_module("rpy2.situation")
    except ImportError as error:
        raise MissingPackageError(
            "diglot.r needs rpy2: pip install 'rpy2>=3.5.17' (with R older than 4.5 "
            "'rpy2>=3.5.17,<3.6')"
        ) from error
    if not situation.get_r_home():
        raise MissingPackageError(
            "diglot.r needs R, and there is none on the PATH nor in R_HOME: install R, on Debian "
            "r-base"
        )
    keep_apart()
    try:
        return importlib.import_module("rpy2.rinterface")
    except (ImportError, OSError, AttributeError) as error:
        raise MissingPackageError(
            f"rpy2 does not fit this R ({error}): with R older than 4.5 install 'rpy2<3.6', and "
            "after an upgrade of R pip install --force-reinstall --no-cache-dir rpy2"
        ) from error


def _r_runs(rinterface: Any) -> bool:
    """Whether R was there before rpy2: then this Python runs inside R."""
    openrlib = rinterface.openrlib
    started = openrlib.rlib.R_NilValue != openrlib.ffi.NULL
    return bool(started and not rinterface.embedded.isinitialized())


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Set back what R, rpy2 and reticulate change in Python as they start."""
    main = sys.modules["__main__"].__dict__
    names = {name: main[name] for name in ("r", "R") if name in main}
    streams, path = (sys.stdout, sys.stderr), list(sys.path)
    libraries = os.environ.get("LD_LIBRARY_PATH")
    handler = signal.getsignal(signal.SIGINT)
    native = native_handler()
    try:
        yield
    finally:
        for name in ("r", "R"):
            main.pop(name, None)
        main.update(names)
        sys.stdout, sys.stderr = streams
        sys.path[:] = path + [p for p in sys.path if p and p not in path]
        # Another Python that is started from here would load R's libraries in place of its own.
        if libraries is None:
            os.environ.pop("LD_LIBRARY_PATH", None)
        else:
            os.environ["LD_LIBRARY_PATH"] = libraries
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        set_native_handler(native)


# ---- R's package


@functools.cache
def start_package() -> None:
    """Start R, with the R package diglot in it.

    Raises
    ------
    MissingPackageError
        If R lacks the package, or has another version of it.
    """
    base = start().baseenv
    if not base["requireNamespace"]("diglot", quietly=True)[0]:
        where = ", ".join(base[".libPaths"]())
        raise MissingPackageError(
            f"R has no package diglot in {where}. From a copy of the sources, run R CMD INSTALL . "
            "in their folder; where it is installed elsewhere, say so by R_LIBS before Python "
            "starts"
        )
    there = str(base["format"](base["getNamespaceVersion"]("diglot"))[0])
    here = sys.modules["diglot"].__version__  # the root is a room above
    if there != here:
        raise MissingPackageError(
            f"R has diglot {there}, this is diglot {here}: install the same version in both, by R "
            "CMD INSTALL . and pip install . in one copy of the sources"
        )


# ---- calls


def evaluate(code: str) -> Any:
    """Return the value of R code, as R's object.

    Raises
    ------
    RError
        If R raises an error.

    Examples
    --------
    >>> evaluate("sum(1:4)")[0]
    10
    """
    base = start().baseenv
    parsed = sexp_of("parse", text=code, **{"keep.source": False})
    return call("eval", parsed, base[".GlobalEnv"])


@functools.cache
def _caller() -> Any:
    base = start().baseenv
    return base["eval"](base["parse"](text=_CALLER), base[".BaseNamespaceEnv"])


def call(function: Any, /, *args: Any, **named: Any) -> Any:
    """Call an R function; its errors and warnings become Python's.

    Parameters
    ----------
    function : R function or str
        ``"package::name"``, or the name of one that R finds without a package.
    *args, **named
        R's objects, or Python's, see `diglot.r.to_r`.

    Returns
    -------
    R object
        As rpy2 shows it to users: a data frame prints itself.

    Raises
    ------
    DiglotError
        Of the kind that R's condition has where diglot raised it, else an RError.
    KeyboardInterrupt
        If the user interrupted R.

    Examples
    --------
    >>> import numpy as np
    >>> call("stats::quantile", np.array([1.0, 2.0, 4.0]), probs=0.5)[0]
    2.0
    """
    value = sexp_of(function, *args, **named)
    rules = start_robjects().default_converter
    with rules.context():  # else those that are in force, as in a cell of %%R, have a say
        return rules.rpy2py(value)


def sexp_of(function: Any, /, *args: Any, **named: Any) -> Any:
    """Call an R function as `call` does, and return its value as rpy2's plain interface has it."""
    from diglot.r.r_objects import to_r

    rinterface = start()
    given = rinterface.ListSexpVector([to_r(value) for value in (*args, *named.values())])
    given.names = rinterface.StrSexpVector([""] * len(args) + list(named))
    found = _found(function)
    with _interrupts_for_r(rinterface):
        answer = _caller()(found, given)
    parts = dict(zip(answer.names, answer, strict=True))
    for text in parts["warnings"]:
        warnings.warn(f"R: {text}", UserWarning, stacklevel=3)
    if "interrupted" in parts:
        raise KeyboardInterrupt
    if "error" in parts:
        raise _error(str(parts["error"][0]), list(parts["kinds"]))
    return parts["value"]


@contextmanager
def _interrupts_for_r(rinterface: Any) -> Iterator[None]:
    """Hand Ctrl-C on to R where it falls while R computes: there, rpy2 would lose it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def handler(number: int, frame: Any) -> None:
        inside = frame is not None and frame.f_globals.get("__name__", "")
        if inside != "rpy2.rinterface_lib.callbacks":
            signal.default_int_handler(number, frame)
        rinterface.openrlib.rlib.R_interrupts_pending = 1

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _found(function: Any) -> Any:
    if not isinstance(function, str):
        return function
    base = start().baseenv
    package, _, name = function.rpartition("::")
    if package.rstrip(":") == "diglot":
        start_package()
    if package and not package.endswith(":"):
        return sexp_of(base["getExportedValue"], package, name)
    # three colons: not exported
    place = sexp_of(base["asNamespace"], package[:-1]) if package else base[".GlobalEnv"]
    return sexp_of(base["get"], name, envir=place, mode="function")


def _error(message: str, classes: list[str]) -> DiglotError:
    kinds = {
        kind.kind: kind
        for kind in vars(diglot.errors).values()
        if isinstance(kind, type) and issubclass(kind, DiglotError)
    }
    for name in classes:
        kind = kinds.get(name.removeprefix("diglot_error_"))
        if name.startswith("diglot_error_") and kind is not None:
            return kind(message)
    return RError(f"R: {message}")
