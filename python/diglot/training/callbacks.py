"""What users can hang into a fit: a function of each epoch's record, or an object with hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from diglot.errors import InputError

Record = Mapping[str, float]
_HOOKS = ("on_train_begin", "on_epoch_end", "on_train_end")


class Callback:
    """Base for objects that follow a fit; override what you need.

    A plain function of the epoch's record does as well. Returning ``False`` at the end of an
    epoch stops the fit; what was learned is kept.

    Examples
    --------
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, record):
    ...         return record["accuracy"] < 0.99
    >>> Stop().on_epoch_end({"epoch": 1, "accuracy": 0.995})
    False
    """

    def on_train_begin(self, run: Mapping[str, Any]) -> None:
        """See the run's settings: epochs, steps an epoch, rows."""

    def on_epoch_end(self, record: Record) -> bool | None:
        """See an epoch's record: epoch, loss, accuracy, ...; return False to stop."""

    def on_train_end(self, history: list[dict[str, float]]) -> None:
        """See all records, also of a fit that was interrupted."""


class Callbacks:
    """All callbacks of a fit, called in their order."""

    def __init__(self, callbacks: object) -> None:
        self._all = [_check(c) for c in _as_list(callbacks)]

    def begin(self, run: Mapping[str, Any]) -> None:
        """Tell every callback that training begins."""
        for callback in self._all:
            _hook(callback, "on_train_begin")(dict(run))

    def epoch(self, record: Record) -> bool:
        """Tell every callback of an epoch; return whether one asks to stop."""
        answers = []
        for callback in self._all:
            is_object = any(hasattr(callback, name) for name in _HOOKS)
            hook = _hook(callback, "on_epoch_end") if is_object else callback
            answers.append(hook(dict(record)))
        return any(_says_stop(answer) for answer in answers)

    def end(self, history: list[dict[str, float]]) -> None:
        """Tell every callback that training ended."""
        for callback in self._all:
            _hook(callback, "on_train_end")([dict(r) for r in history])


def _says_stop(answer: Any) -> bool:
    # numpy's False is not Python's, and None means "go on"
    return answer is not None and type(answer).__name__ in ("bool", "bool_") and not answer


def _as_list(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return []
    return callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]


def _check(callback: Any) -> Any:
    if callable(callback) or any(hasattr(callback, name) for name in _HOOKS):
        return callback
    raise InputError(
        f"a callback must be a function of an epoch's record or have one of the methods "
        f"{', '.join(_HOOKS)}; {callback!r} is neither"
    )


def _hook(callback: Any, name: str) -> Callable[..., Any]:
    return getattr(callback, name, lambda *_: None)
