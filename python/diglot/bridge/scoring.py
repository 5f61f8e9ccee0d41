"""Predictions of many files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import diglot
from diglot.bridge import fitted, plain, received
from diglot.bridge.answers import answered


@answered
def predict_files(
    model: Any,
    images: Mapping[str, Any],
    output: str | None,
    on_error: str,
    proba: bool,
    progress: Any = False,
) -> dict[str, Any]:
    """Predict from a folder or from files; failures count rows from 0.

    Returns
    -------
    dict
        ``table``, or None where it was written to ``output``, which is then the file's name; and
        ``failures``.
    """
    import pandas as pd

    found = diglot.predict_files(
        model,
        images["path"] if images["kind"] == "folder" else received.images(images),
        output=output,
        on_error=on_error,
        proba=proba,
        verbose=received.listener(progress),
    )
    for table in (found.table, found.failures):
        if table is not None:
            # Bytes of a name that are no UTF-8, which R's text cannot hold, stand as \udc80.
            names = [name.encode("utf-8", "backslashreplace").decode() for name in table["file"]]
            table["file"] = pd.Series(names, index=table.index, dtype=object)
    return {
        "table": None if found.table is None else plain.table(found.table),
        "failures": plain.table(found.failures),
        "output": None if found.output is None else os.fspath(found.output),
    }


@answered
def predict_files_defaults() -> dict[str, Any]:
    """Return the settings of `predict_files` and their defaults, which R's must equal."""
    return fitted.defaults(diglot.predict_files)
