"""reticulate, R's way to Python, in a process where Python has its own way to R."""

from __future__ import annotations

import atexit
import ctypes
import os
from typing import Any

from diglot.errors import MissingPackageError

# Quietly: rpy2 has R warn of a fault that reticulate mended in versions older than diglot takes.
# And without the hook by which reticulate calls R after each import of a Python module: imports
# also happen while R collects garbage, and after R has ended.
_LOAD = """
utils::capture.output(loadNamespace("reticulate"))
if (is.null(getOption("reticulate.useImportHook"))) options(reticulate.useImportHook = FALSE)
"""

# A Python whose interpreter is not a shared library is the program itself. reticulate does not see
# it where the program was started by a relative path, and tries to load it as a library.
_SAME_PROGRAM = """
local({
  name <- "main_process_python_info"
  found <- get0(name, asNamespace("reticulate"), mode = "function", inherits = FALSE)
  info <- if (is.null(found)) NULL else found()
  program <- Sys.readlink("/proc/self/exe")
  library <- if (is.character(info$libpython)) info$libpython else NA_character_
  same <- identical(normalizePath(library, mustWork = FALSE), program)
  if (!is.na(library) && nzchar(program) && same) {
    info$libpython <- NA_character_
    utils::assignInNamespace(name, function() info, "reticulate")
  }
})
"""

_kept: list[Any] = []  # what reticulate calls must live as long as the process


def connect_reticulate(base: Any, hosted_by_r: bool) -> None:
    """Bring reticulate up, where R has it, and mend what would end the process.

    It must be done early: R's functions may start reticulate at any time.

    Parameters
    ----------
    base : R environment
        R's base, as ``rpy2.rinterface`` has it.
    hosted_by_r : bool
        Whether this Python runs inside R.

    Raises
    ------
    MissingPackageError
        If reticulate finds another Python than this one.
    """
    folder = str(base["system.file"](package="reticulate")[0])
    if not folder:
        return
    base["eval"](base["parse"](text=_LOAD), base[".BaseNamespaceEnv"])
    base["eval"](base["parse"](text=_SAME_PROGRAM), base[".BaseNamespaceEnv"])
    available = base["getExportedValue"]("reticulate", "py_available")
    if not available(initialize=True)[0]:
        raise MissingPackageError(
            "R's package reticulate could not connect to this Python: look at "
            "reticulate::py_discover_config() in R"
        )
    library = os.path.join(folder, "libs", "reticulate.so")
    _hold_the_gil(library)
    if not hosted_by_r:
        atexit.register(_stop_polling, library)


def _hold_the_gil(library: str) -> None:
    """Make reticulate give up Python objects only while it holds the interpreter's lock.

    rpy2 frees the lock whenever it calls R. A garbage collection of R in such a call drops Python
    objects that R held, and without the lock the process aborts; so it would at its end, too. A
    callback of ctypes takes the lock first.
    """
    decref = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("Py_DecRef", ctypes.pythonapi))
    safe = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(decref)
    _kept.append(safe)
    _redirect(library, "Py_DecRef", safe)


def _stop_polling(library: str) -> None:
    """End what a thread of reticulate does twice a second for as long as the process lives.

    It asks Python to look after R's events by Py_AddPendingCall(), also when Python is no more, and
    then the process crashes. A function takes its place that does nothing.
    """
    _redirect(library, "Py_AddPendingCall", ctypes.pythonapi.Py_IsInitialized)


def _redirect(library: str, name: str, function: Any) -> None:
    """Replace the address at which reticulate calls one of Python's functions.

    The name is spelled as compilers on Linux and macOS do. A reticulate that is built in another
    way stays as it is.
    """
    try:
        place = f"_ZN10reticulate9libpython{len(name)}{name}E"
        slot = ctypes.c_void_p.in_dll(ctypes.CDLL(library), place)
    except (OSError, ValueError):
        return
    slot.value = ctypes.cast(function, ctypes.c_void_p).value
