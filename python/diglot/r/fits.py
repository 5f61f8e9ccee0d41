"""Fitted models as R's fits and back, and what R makes of them: tables, summaries, plots."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from diglot.errors import InputError, MissingPackageError
from diglot.files import path_of
from diglot.models import revive
from diglot.r.python_objects import to_python
from diglot.r.r_objects import to_r
from diglot.r.session import call, evaluate, sexp_of, start, start_package


def fit(model: Any) -> Any:
    """Return a fitted model as R's fit: what R's functions of diglot take.

    Parameters
    ----------
    model : fitted estimator
        Such as an `ImageClassifier` or an `ImageCaptioner`. It is copied: what happens to it
        later does not change the fit.

    Returns
    -------
    R object
        Of class ``image_classifier``, ...: a plain list with the model file's bytes, so that
        ``saveRDS()`` keeps it. ``predict()`` and its kind ask the Python that runs here.

    Raises
    ------
    InputError
        If it is no fitted model.
    MissingPackageError
        If rpy2, R, or R's package diglot is missing.

    Examples
    --------
    >>> import diglot
    >>> digits = diglot.example_images("digits")[:100]
    >>> model = diglot.ImageClassifier("mlp", epochs=1, seed=1)
    >>> model = model.fit(digits[["image"]], digits["label"])
    >>> list(diglot.r.fit(model).rclass)
    ['image_classifier', 'diglot_model']
    >>> diglot.r.model(diglot.r.fit(model)).fingerprint() == model.fingerprint()
    True
    """
    if is_fit(model):
        return model
    if not hasattr(model, "to_bytes"):
        raise InputError(f"model must be a fitted model, not {type(model).__name__}")
    start_package()
    return call("diglot:::fit_from_bytes", model.to_bytes(), getattr(model, "engine", "auto"))


def model(fit: Any) -> Any:
    """Return R's fit as the fitted Python model: the same weights, settings and history.

    Parameters
    ----------
    fit : R object
        What R's ``image_classifier()``, ``image_captioner()`` or ``load_model()`` returned. It is
        copied.

    Returns
    -------
    fitted estimator

    Raises
    ------
    InputError
        If it is no fit.
    ModelFileError
        If the bytes in it are damaged.

    Examples
    --------
    >>> import diglot
    >>> digits = diglot.example_images("digits")[:100]
    >>> code = "function(x) diglot::image_classifier(label ~ image, x, epochs = 1, seed = 1)"
    >>> fit = diglot.r.call(diglot.r.evaluate(code), digits)
    >>> diglot.r.model(fit)
    ImageClassifier(epochs=1, seed=1)
    """
    if not is_fit(fit):
        raise InputError("fit must be a fit of R's image_classifier() or image_captioner()")
    parts = _parts(fit)
    engine = _parts(parts["settings"]).get("engine", ["auto"])[0]  # a baseline has none
    return revive(to_python(parts["model"]).tobytes(), engine)


def _parts(values: Any) -> dict[str, Any]:
    return dict(zip(values.names, start().ListSexpVector(values), strict=True))


def is_fit(value: Any) -> bool:
    """Whether a value is R's fit of diglot.

    Examples
    --------
    >>> is_fit("a text")
    False
    """
    return isinstance(value, start().Sexp) and "diglot_model" in set(value.rclass)


def frame(value: Any) -> Any:
    """Return a data frame of R: of a DataFrame its rows, of a model its history.

    Parameters
    ----------
    value : DataFrame, fitted estimator or R object
        Of a model, what R's ``tidy()`` gives.

    Returns
    -------
    R data frame
        A tibble.

    Examples
    --------
    >>> import diglot, pandas as pd
    >>> diglot.r.frame(pd.DataFrame({"x": [1, 2, 3]})).nrow
    3
    """
    if not _is_model(value):
        return call("tibble::as_tibble", to_r(value))
    return call("generics::tidy", fit(value))


def summary(model: Any) -> Any:
    """Return R's summary of a fitted model; `text` is what R prints of it.

    Parameters
    ----------
    model : fitted estimator or R fit

    Returns
    -------
    R object
        Of class ``summary.diglot_model``.

    Examples
    --------
    >>> import diglot
    >>> digits = diglot.example_images("digits")[:100]
    >>> model = diglot.ImageClassifier("mlp", epochs=1, seed=1)
    >>> model = model.fit(digits[["image"]], digits["label"])
    >>> diglot.r.text(diglot.r.summary(model)).splitlines()[0]
    'Image classifier'
    """
    return call("summary", fit(model))


def text(value: Any) -> str:
    """Return what R prints of a value.

    An R object's own ``print()`` writes to R's console, which a notebook or an R process that
    runs Python does not always show.

    Parameters
    ----------
    value : DataFrame, fitted estimator, R object or anything that `to_r` takes

    Returns
    -------
    str

    Examples
    --------
    >>> import diglot
    >>> print(diglot.r.text(diglot.r.evaluate("1:3")))
    [1] 1 2 3
    """
    printed = evaluate("function(x) utils::capture.output(print(x))")
    return "\n".join(to_python(sexp_of(printed, fit(value) if _is_model(value) else value)))


def plot(
    value: Any,
    *args: Any,
    path: str | os.PathLike[str] | None = None,
    width: float = 7.0,
    height: float = 4.5,
    dpi: float = 150,
    **named: Any,
) -> Any:
    """Draw a fitted model, or anything that R's ``autoplot()`` knows, by ggplot2.

    Parameters
    ----------
    value : fitted estimator, DataFrame or R object
        What to draw.
    *args, **named
        Passed on to ``autoplot()``, such as ``type=``; Python's values are converted.
    path : path, optional
        A file to write, of a kind that its ending names: PNG, PDF, SVG, ...
    width, height : float
        Of the file, in inches.
    dpi : float
        Dots an inch, of a file of pixels.

    Returns
    -------
    R object
        The ggplot, to which R's functions can add.

    Raises
    ------
    MissingPackageError
        If R's package ggplot2 is missing.

    Examples
    --------
    >>> import diglot, tempfile, pathlib
    >>> digits = diglot.example_images("digits")[:100]
    >>> model = diglot.ImageClassifier("mlp", epochs=2, seed=1)
    >>> model = model.fit(digits[["image"]], digits["label"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "history.png")
    ...     drawn = diglot.r.plot(model, path=file)
    ...     file.read_bytes()[1:4].decode()
    'PNG'
    """
    place = None if path is None else path_of(path, "path")
    start_package()
    if not start().baseenv["requireNamespace"]("ggplot2", quietly=True)[0]:
        raise MissingPackageError(
            'plot() needs R\'s package ggplot2: install.packages("ggplot2") in R'
        )
    drawn = call("ggplot2::autoplot", fit(value) if _is_model(value) else value, *args, **named)
    if place is not None:
        size: Mapping[str, Any] = {"width": width, "height": height, "dpi": dpi}
        sexp_of("ggplot2::ggsave", place, drawn, bg="white", **size)
    return drawn


def _is_model(value: Any) -> bool:
    return hasattr(value, "to_bytes") or is_fit(value)
