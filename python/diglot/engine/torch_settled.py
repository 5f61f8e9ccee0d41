"""PyTorch's settings while diglot computes: all bits of a float, and the same bytes each time.

They belong to the whole process, so that threads that compute side by side share one state: the
first to come notes what it finds, the last to go puts that back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from diglot.engine.torch import load

torch = load()

__all__ = ["settled"]

Restore = Callable[[], None]

_LOCK = threading.Lock()
_inside = 0  # how many are computing
_restore: list[Restore] = []


@contextmanager
def settled() -> Iterator[None]:
    """Compute with all bits of a float, and with algorithms that give the same bytes each time."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    with _LOCK:
        if not _inside:
            try:
                _settle()
            except BaseException:
                _put_back()
                raise
        _inside += 1


def _leave() -> None:
    global _inside
    with _LOCK:
        _inside -= 1
        if not _inside:
            _put_back()


def _put_back() -> None:
    while _restore:
        _restore.pop()()


def _settle() -> None:
    """Set all, each with what undoes it, the last first."""
    _set(torch.backends.cudnn, "enabled", True)
    _set(torch.backends.cudnn, "benchmark", False)
    _set(torch.backends.cudnn, "deterministic", True)
    _forbid_short_floats()
    if torch.cuda.is_available():
        _ask_for_the_same_bytes()


def _set(place: object, name: str, value: object) -> None:
    before = getattr(place, name)
    if before != value:
        setattr(place, name, value)
        _restore.append(lambda: setattr(place, name, before))


def _forbid_short_floats() -> None:
    """Switch off TF32, and on CPUs bfloat16, in place of float32.

    PyTorch 2.9 brought names of its own for that, ``fp32_precision``, beside the older ones, which
    set both; those refuse to be read where a user's settings by the one contradict the other.
    """
    older = _older_names()
    kinds = _newer_names()
    wholes = [place for place in (torch.backends, torch.backends.cudnn) if kinds]
    for place in wholes:  # first: what a kind inherits is not its own
        _set(place, "fp32_precision", "none")
    for place in kinds:  # as the older names change these
        _note(place, "fp32_precision")
    for setter, before, exact in older:
        if before != exact:
            setter(exact)
            _restore.append(lambda setter=setter, before=before: setter(before))
    for place in kinds:
        place.fp32_precision = "ieee"


def _note(place: object, name: str) -> None:
    before = getattr(place, name)
    _restore.append(lambda: setattr(place, name, before))


def _older_names() -> list[tuple[Callable[[object], None], object, object]]:
    """Return what sets them, what they are, and what they are to be; those that can be read."""

    def of_convolutions(allowed: object) -> None:
        torch.backends.cudnn.allow_tf32 = allowed

    found = []
    with suppress(RuntimeError):
        before = torch.get_float32_matmul_precision()
        found.append((torch.set_float32_matmul_precision, before, "highest"))
    with suppress(RuntimeError):
        found.append((of_convolutions, torch.backends.cudnn.allow_tf32, False))
    return found


def _newer_names() -> list[object]:
    """Return what has an ``fp32_precision`` of its own for one kind of product."""
    backends = torch.backends
    if not hasattr(backends.cudnn, "conv"):
        return []
    of_cpu = (getattr(backends.mkldnn, kind, None) for kind in ("matmul", "conv", "rnn"))
    return [
        *(backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
        *(place for place in of_cpu if place is not None),
    ]


def _ask_for_the_same_bytes() -> None:
    """Where CUDA has several algorithms, take those whose sums have one order.

    Of the few that have none there is a warning. Memory that is not filled yet stays as it is.
    """
    if hasattr(torch.utils, "deterministic"):  # since 2.2
        _set(torch.utils.deterministic, "fill_uninitialized_memory", False)
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    if not before:
        torch.use_deterministic_algorithms(True, warn_only=True)
        _restore.append(lambda: torch.use_deterministic_algorithms(before, warn_only=warned))
