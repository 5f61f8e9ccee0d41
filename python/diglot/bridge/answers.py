"""Answers as data: R would see no more of an exception than its text."""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from diglot.errors import DiglotError, DivergedError, InputError, InterruptedFitWarning
from diglot.interrupts import heard_by_python


class CallbackError(Exception):
    """An R callback failed. R kept the condition itself, so nothing is said here."""


def answered(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return exceptions and warnings as data."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> dict[str, Any]:
        value = error = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
            try:
                with heard_by_python():
                    value = _held_by_r(function(*args, **kwargs))
            except (Exception, KeyboardInterrupt) as reason:
                error = _error(reason)
        return {"value": value, "error": error, "warnings": [_warning(w) for w in caught]}

    return wrapper


def _error(reason: BaseException) -> dict[str, Any]:
    if isinstance(reason, CallbackError):
        kinds, message = ["callback"], "A callback failed."
    elif isinstance(reason, KeyboardInterrupt):
        kinds, message = ["interrupted"], "Interrupted."
    elif isinstance(reason, DiglotError):
        # ImageError is an InputError: R handlers for either shall catch it.
        parents = (c for c in type(reason).__mro__ if issubclass(c, DiglotError))
        kinds = list(dict.fromkeys(c.kind for c in parents if c is not DiglotError))
        kinds = kinds or [DiglotError.kind]
        message = str(reason)
    else:
        kinds, message = ["python"], f"{type(reason).__name__}: {reason}"
    return {
        "kinds": kinds,
        "message": _shown(message),
        "class": type(reason).__name__,
        "traceback": _shown("".join(traceback.format_exception(reason))),
        "model": reason.model if isinstance(reason, DivergedError) else None,
    }


def _warning(caught: warnings.WarningMessage) -> dict[str, Any]:
    interrupted = issubclass(caught.category, InterruptedFitWarning)
    return {
        "kind": "interrupted" if interrupted else None,
        "class": caught.category.__name__,
        "message": _shown(str(caught.message)),
    }


def _shown(text: str) -> str:
    """Return a message without what R's text cannot hold: NUL, halves of characters."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _held_by_r(value: Any) -> Any:
    """Return an answer unless it has text that R would shorten without a word, or break off at."""
    if isinstance(value, str):
        shown = value if value.isascii() and "\0" not in value else _shown(value)
        if shown != value:
            raise InputError(
                f"'{shown[:200]}' has bytes that are no UTF-8, or a NUL, which R's text cannot "
                "hold: rename the file, folder or class (in Python it can be used as it is)"
            )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _held_by_r(key)
            _held_by_r(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _held_by_r(item)
    return value
