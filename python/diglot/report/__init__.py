"""A report on a classifier: one HTML file that needs nothing else, not even a network.

What it tells is gathered here, as plain data; R draws it, by the R package's R Markdown template.
The same model and images give the same page, also from R; so there is no date in it.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diglot.errors import InputError
from diglot.files import path_of
from diglot.report.facts import report_data

__all__ = ["report", "report_data"]


def report(
    model: Any,
    X: Any,  # noqa: N803
    y: Iterable[Any],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> Path:
    """Write a report on a fitted classifier: one HTML file that needs nothing else.

    It tells how good the model is on the images given, with 95 % intervals; which classes it takes
    for which; the images it got most wrong; how well it ranks, and how sure it is; how it was
    trained; what it is; and the code that repeats it in Python and in R. It follows the reader's
    light or dark setting, and prints.

    Parameters
    ----------
    model : fitted classifier
    X : n images
        That the model has not learned from; with its covariates, if it has any.
    y : n labels
        What they show.
    path : path
        Where to write; the folder must exist, an existing file is replaced.
    title : str, optional
        The heading.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        There are no images, or not as many labels; a label is new to the model; or the file
        cannot be written.
    MissingPackageError
        The page is made by R: rpy2, R, its packages diglot, ggplot2 and rmarkdown, and pandoc
        must be there.

    Examples
    --------
    >>> import diglot
    >>> data = diglot.example_images("digits")
    >>> train, test = data[:1500], data[1500:]
    >>> model = diglot.ImageClassifier("lenet", epochs=3, seed=1)  # doctest: +SKIP
    >>> model.fit(train[["image"]], train["label"])  # doctest: +SKIP
    >>> diglot.report(model, test[["image"]], test["label"], "digits.html")  # doctest: +SKIP
    PosixPath('digits.html')
    """
    from diglot import r

    path = Path(path_of(path, "path"))
    target = path.absolute()
    if not target.parent.is_dir():
        raise InputError(f"the report cannot be written: there is no folder {target.parent}.")
    r.call("diglot:::check_report_tools")  # before anything is computed
    r.call("diglot:::write_report", report_data(model, X, y, title=title), str(target))
    return path


class _Report(types.ModuleType):
    """Makes ``diglot.report`` the function as well as this room, whichever is loaded first."""

    def __call__(
        self,
        model: Any,
        X: Any,  # noqa: N803
        y: Iterable[Any],
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
    ) -> Path:
        return report(model, X, y, path, title=title)


sys.modules[__name__].__class__ = _Report
