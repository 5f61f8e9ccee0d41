"""What a process does on Ctrl-C, as Python and as C see it, which differ where R runs in it too."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


def native_handler() -> int | None:
    """Return the address of the handler of interrupts in C, which may be R's.

    Examples
    --------
    >>> set_native_handler(native_handler())
    """
    get = ctypes.pythonapi.PyOS_getsig
    get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
    return get(signal.SIGINT)


def set_native_handler(address: int | None) -> None:
    """Handle interrupts in C by the function at an address, and leave Python's own handler be."""
    put = ctypes.pythonapi.PyOS_setsig
    put.argtypes, put.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    put(signal.SIGINT, address)


_Listening = tuple[Any, int | None]  # a handler in Python and one in C

_rs: ContextVar[_Listening | None] = ContextVar("diglot_interrupts_of_r", default=None)


@contextmanager
def heard_by_python() -> Iterator[None]:
    """Let Python alone hear of interrupts, where R called it and would else hear of them too.

    The handler of reticulate 1.28 asks an R function whether there was an interrupt. R may then
    raise it within that function, where it is lost, and an error without words comes up wherever
    Python was. Later versions ask R in C; they, and other programs' handlers, are left alone.

    Examples
    --------
    >>> with heard_by_python():
    ...     pass
    """
    theirs = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or getattr(theirs, "__module__", None) != "rpytools.signals":
        yield
        return
    before = (theirs, native_handler())
    token = _rs.set(before)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        _listen(before)
        _rs.reset(token)


@contextmanager
def heard_by_r() -> Iterator[None]:
    """Let R hear of interrupts again, while Python calls one of its functions.

    Examples
    --------
    >>> with heard_by_r():
    ...     pass
    """
    rs = _rs.get()
    if rs is None:
        yield
        return
    before = (signal.getsignal(signal.SIGINT), native_handler())
    _listen(rs)
    try:
        yield
    finally:
        _listen(before)


def _listen(handlers: _Listening) -> None:
    signal.signal(signal.SIGINT, handlers[0])  # sets that in C too
    set_native_handler(handlers[1])
