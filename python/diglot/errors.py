"""The kinds of error that diglot raises; each message names the culprit and the fix.

``kind`` is the name under which R sees the error: a condition of class
``diglot_error_<kind>``, ``diglot_error``.
"""

from __future__ import annotations

from typing import Any


class DiglotError(Exception):
    """Base of every error that diglot raises on purpose."""

    kind = "general"


class InputError(DiglotError, ValueError):
    """An argument or the data cannot be used; the message names which and how to mend it."""

    kind = "input"


class ImageError(InputError):
    """An image cannot be read or does not fit; the message names its file or row."""

    kind = "image"


class ModelFileError(DiglotError, ValueError):
    """A model, checkpoint or weight file is damaged, foreign or too new."""

    kind = "model_file"


class DownloadError(DiglotError, OSError):
    """A model cannot be brought from the hub: not there, not allowed, or no connection."""

    kind = "download"


class DeviceError(DiglotError, RuntimeError):
    """The asked-for device is not there or has no engine build."""

    kind = "device"


class OutOfMemoryError(DiglotError, MemoryError):
    """A batch does not fit into memory; the message says what may."""

    kind = "memory"

    @classmethod
    def of_batch(cls, batch: int, *, training: bool = False) -> OutOfMemoryError:
        """Return the error for a batch of so many images.

        Its size is the user's in training alone: what scores chooses its own.
        """
        smaller = f"batch_size={batch // 2}, or " if training and batch > 1 else ""
        count = f"{batch} images" if batch > 1 else "one image"
        return cls(
            f"a batch of {count} does not fit into memory; "
            f"try {smaller}smaller images or a smaller network"
        )


class MissingPackageError(DiglotError, ImportError):
    """An optional or required package is missing; the message says how to install it."""

    kind = "missing_package"


class DivergedError(DiglotError, ArithmeticError):
    """The training loss became NaN or infinite.

    Attributes
    ----------
    model : object or None
        The estimator with the best weights that were seen before, if an epoch had ended.
    history : list of dict
        The epochs' records until then.
    best_epoch : int
        The epoch whose weights the model has.
    """

    kind = "diverged"

    def __init__(
        self,
        message: str,
        model: Any = None,
        history: list[dict[str, float]] | None = None,
        best_epoch: int = 0,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.history = history or []
        self.best_epoch = best_epoch


class RError(DiglotError, RuntimeError):
    """R raised an error in a function that Python called; the message is R's."""

    kind = "r"


class InterruptedFitWarning(UserWarning):
    """The user interrupted a fit; what was learned so far is kept."""


def cause(error: Exception) -> str:
    """Return in words what the reading of a damaged file ran into.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str

    Examples
    --------
    >>> cause(KeyError("classes"))
    "'classes' is missing"
    >>> cause(TypeError("not a number"))
    'TypeError: not a number'
    """
    if isinstance(error, KeyError) and len(error.args) == 1:
        return f"{error.args[0]!r} is missing"
    return f"{type(error).__name__}: {error}"
