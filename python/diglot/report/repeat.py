"""The code that repeats a fit, in both languages: every setting that is not the default."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

# What does not change the model, or is no setting that one could write down.
_ASIDE = {"verbose", "callbacks", "checkpoint", "checkpoint_every", "resume", "seed"}
_FUNCTIONS = {"ImageClassifier": "image_classifier", "HogClassifier": "hog_classifier"}


def code_in_python(model: Any) -> str:
    """Write Python code that trains a model as this one was trained, and reports on it.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> print(code_in_python(ImageClassifier(epochs=3, seed=1)))
    import diglot
    <BLANKLINE>
    model = diglot.ImageClassifier(epochs=3, seed=1)
    model.fit(X_train, y_train)
    diglot.report(model, X_test, y_test, "report.html")
    """
    written, comments = _written(model, _in_python)
    lines = [
        "import diglot",
        "",
        *comments,
        _call(f"model = diglot.{type(model).__name__}", written, "=", 4),
        "model.fit(X_train, y_train)",
        'diglot.report(model, X_test, y_test, "report.html")',
    ]
    return "\n".join(lines)


def code_in_r(model: Any) -> str:
    """Write R code that trains a model as this one was trained, and reports on it.

    Examples
    --------
    >>> from diglot import ImageClassifier
    >>> print(code_in_r(ImageClassifier(epochs=3, mixup=0.2, class_weight=None, seed=1)))
    library(diglot)
    <BLANKLINE>
    fit <- image_classifier(label ~ image, train, epochs = 3, mixup = 0.2, seed = 1)
    report(fit, test, "report.html")
    """
    written, comments = _written(model, _in_r)
    name = _FUNCTIONS.get(type(model).__name__, "image_classifier")
    outcome = " + ".join(["image", *(getattr(model, "covariates", None) or [])])
    # in R the formula names covariates, and their factors have their contrasts
    written = [pair for pair in written if pair[0] not in ("covariates", "contrasts")]
    lines = [
        "library(diglot)",
        "",
        *comments,
        _call(f"fit <- {name}", [("", f"label ~ {outcome}"), ("", "train"), *written], " = ", 2),
        'report(fit, test, "report.html")',
    ]
    return "\n".join(lines)


def _written(
    model: Any, spell: Callable[[Any], str | None]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the settings that differ from their defaults, and comments on what has no literal."""
    if not hasattr(model, "get_params"):
        return [], []
    given = model.get_params(deep=False)
    parameters = inspect.signature(type(model)).parameters
    written, comments = [], []
    for name, parameter in parameters.items():
        if name in _ASIDE or name not in given:
            continue
        text = spell(given[name])
        if text is not None and text == spell(parameter.default):
            continue
        if text is None:
            comments.append(f"# {name} was of the kind {type(given[name]).__name__}: set it, too")
        else:
            written.append((name, text))
    seed = getattr(model, "seed_", given.get("seed"))
    if seed is not None:
        written.append(("seed", str(int(seed))))
    return written, comments


def _call(function: str, arguments: Iterable[tuple[str, str]], sign: str, indent: int) -> str:
    """Write a call in one line, or where that is long with an argument a line."""
    parts = [f"{name}{sign}{value}" if name else value for name, value in arguments]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= 92:
        return line
    # R takes no comma after the last argument
    inside = ",\n".join(" " * indent + part for part in parts)
    return f"{function}(\n{inside}\n)"


def _in_python(value: Any) -> str | None:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        parts = [_in_python(part) for part in value]
        return None if None in parts else f"[{', '.join(parts)}]"
    if isinstance(value, dict):
        parts = [(_in_python(name), _in_python(part)) for name, part in value.items()]
        if any(None in pair for pair in parts):
            return None
        return "{" + ", ".join(f"{name}: {part}" for name, part in parts) + "}"
    return None


def _in_r(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else {math.inf: "Inf"}.get(value, "NaN")
    if isinstance(value, list | tuple):
        parts = [_in_r(part) for part in value]
        return None if None in parts else f"c({', '.join(parts)})"
    if isinstance(value, dict):
        parts = [(_in_r(str(name)), _in_r(part)) for name, part in value.items()]
        if any(part is None for _, part in parts):
            return None
        return "c(" + ", ".join(f"{name} = {part}" for name, part in parts) + ")"
    return None
