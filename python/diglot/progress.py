"""Progress: training and prediction report to one small interface; who listens decides the look.

Nobody (`Silent`), a terminal or notebook (`Bar`), or a function, through which R draws its own
(`Forward`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from diglot.errors import InputError, MissingPackageError

_MIN_SECONDS = 0.1
"""Steps nearer than this to the last one shown are dropped: drawing must not cost training time."""


@runtime_checkable
class Reporter(Protocol):
    """What the training loop and prediction tell about how far they are."""

    def start(self, title: str, total: int | None = None, unit: str = "step") -> None:
        """Begin a piece of work of ``total`` units; None if nobody knows how many."""

    def step(self, done: int, text: str = "") -> None:
        """Say how many units are done by now, with a few words on the state. Cheap to call."""

    def row(self, values: Mapping[str, Any]) -> None:
        """Report a finished epoch: a row of the history."""

    def finish(self) -> None:
        """End the work, also when it failed. May be called twice."""


class Silent:
    """A reporter that says nothing.

    Examples
    --------
    >>> from diglot.progress import Silent
    >>> Silent().start("Training", 10)
    """

    def start(self, title: str, total: int | None = None, unit: str = "step") -> None:
        """Do nothing."""

    def step(self, done: int, text: str = "") -> None:
        """Do nothing."""

    def row(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class _Throttled:
    """What `Bar` and `Forward` share: steps come at most ten times a second."""

    _total: int | None = None
    _last = -_MIN_SECONDS
    _running = False

    def _begin(self, total: int | None) -> None:
        self._total, self._last, self._running = total, -_MIN_SECONDS, True

    def _due(self, done: int) -> bool:
        now = time.monotonic()
        # The last step always shows, else a bar would end at 98 %.
        if now - self._last < _MIN_SECONDS and done != self._total:
            return False
        self._last = now
        return self._running


class Bar(_Throttled):
    """A reporter that draws a tqdm bar on the standard error stream, or in a notebook.

    Parameters
    ----------
    delay : float
        Seconds before the bar shows: short work stays silent.
    lines : bool
        Also write each finished epoch as a line above the bar.

    Examples
    --------
    >>> from diglot.progress import Bar
    >>> bar = Bar()
    >>> bar.start("Training", total=10, unit="batch")
    >>> bar.step(10)
    >>> bar.finish()
    """

    def __init__(self, delay: float = 2.0, lines: bool = False) -> None:
        try:
            # In a notebook without ipywidgets this falls back to text by itself.
            from tqdm.auto import tqdm
        except ImportError:
            raise MissingPackageError(
                "Progress bars need the package tqdm: run 'pip install tqdm', or set verbose=False."
            ) from None
        self._tqdm = tqdm
        self._delay = delay
        self._lines = lines
        self._bar: Any = None

    def start(self, title: str, total: int | None = None, unit: str = "step") -> None:
        """Open a bar."""
        self.finish()
        self._begin(total)
        self._bar = self._tqdm(
            total=total,
            desc=title,
            unit=f" {unit}",
            delay=self._delay,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
        )

    def step(self, done: int, text: str = "") -> None:
        """Move the bar."""
        if self._due(done):
            # A refresh by set_postfix would show the bar before its delay is over.
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(done - self._bar.n)

    def row(self, values: Mapping[str, Any]) -> None:
        """Write a line, if lines are wanted."""
        if self._lines:
            text = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
            self._tqdm.write(text, file=sys.stderr)

    def finish(self) -> None:
        """Close the bar."""
        self._running = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Forward(_Throttled):
    """A reporter that hands every event to a function, as a dict of plain Python values.

    The events are ``{"event": "start", "title", "total", "unit"}``,
    ``{"event": "step", "done", "total", "text"}``, ``{"event": "row", "row": {...}}`` and
    ``{"event": "finish"}``. What the function raises ends the work.

    Parameters
    ----------
    function : callable
        Called with one dict.

    Examples
    --------
    >>> from diglot.progress import Forward
    >>> events = []
    >>> listener = Forward(events.append)
    >>> listener.start("Training", total=2, unit="epoch")
    >>> listener.row({"epoch": 1, "loss": 0.5})
    >>> listener.finish()
    >>> [event["event"] for event in events]
    ['start', 'row', 'finish']
    """

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self._function = function

    def start(self, title: str, total: int | None = None, unit: str = "step") -> None:
        """Forward the beginning."""
        self.finish()
        self._begin(total)
        self._function({"event": "start", "title": title, "total": total, "unit": unit})

    def step(self, done: int, text: str = "") -> None:
        """Forward a step, if one is due."""
        if self._due(done):
            self._function({"event": "step", "done": int(done), "total": self._total, "text": text})

    def row(self, values: Mapping[str, Any]) -> None:
        """Forward an epoch."""
        self._function({"event": "row", "row": {k: _plain(v) for k, v in values.items()}})

    def finish(self) -> None:
        """Forward the end, once."""
        if self._running:
            self._running = False
            self._function({"event": "finish"})


def reporter(verbose: Any = "auto") -> Reporter:
    """Choose who listens.

    Parameters
    ----------
    verbose : {"auto", True, False}, callable or Reporter
        "auto": a bar in a terminal or notebook once work takes more than two seconds, silence
        elsewhere (scripts with redirected output, pytest, knitr). True: a bar at once, and a line
        for each epoch, everywhere. False: silence. A function gets each event as a dict, see
        `Forward`.

    Returns
    -------
    Reporter

    Raises
    ------
    InputError
        ``verbose`` is something else.

    Examples
    --------
    >>> from diglot.progress import reporter
    >>> reporter(False)  # doctest: +ELLIPSIS
    <diglot.progress.Silent object at ...>
    """
    # `is`, for 1 == True and an array compares element by element.
    if verbose is False or verbose is None:
        return Silent()
    if verbose is True:
        return Bar(delay=0.0, lines=True)
    if isinstance(verbose, str) and verbose == "auto":
        return Bar() if _somebody_watches() else Silent()
    if isinstance(verbose, Reporter):
        return verbose
    if callable(verbose):
        return Forward(verbose)
    raise InputError(f"verbose is {verbose!r}; use 'auto', True, False or a function of one dict.")


def _somebody_watches() -> bool:
    if "PYTEST_CURRENT_TEST" in os.environ or "PYTEST_VERSION" in os.environ:
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and "IPKernelApp" in getattr(shell, "config", {}):
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        # No stream at all (a windowed program), or a closed one.
        return False


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into Python's own: R's bridge would wrap it."""
    return value.item() if hasattr(value, "item") else value


def _short(value: Any) -> str:
    value = _plain(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
