"""R from Python, in one process, over rpy2.

``diglot.r`` needs rpy2, which the extra ``r`` brings, and R; fitted models need R's package
diglot, too. R starts with the first function that needs it, and runs in the main thread.

>>> import diglot
>>> diglot.r.to_python(diglot.r.evaluate("c(2.5, NA)")).tolist()
[2.5, nan]

In a notebook, ``%load_ext diglot.r`` brings ``%%R`` cells that see fitted models::

    %load_ext diglot.r
    %%R -i model -i digits
    predict(model, digits[1:3, ])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diglot.r.fits import fit, frame, model, plot, summary, text
    from diglot.r.functions import augmentation, callback, metric
    from diglot.r.jupyter import converter
    from diglot.r.python_objects import to_python
    from diglot.r.r_objects import to_r
    from diglot.r.session import call, evaluate, start

__all__ = [
    "augmentation",
    "call",
    "callback",
    "converter",
    "evaluate",
    "fit",
    "frame",
    "metric",
    "model",
    "plot",
    "start",
    "summary",
    "text",
    "to_python",
    "to_r",
]

_MODULES = {
    "augmentation": "functions",
    "call": "session",
    "callback": "functions",
    "converter": "jupyter",
    "evaluate": "session",
    "fit": "fits",
    "frame": "fits",
    "load_ipython_extension": "jupyter",
    "metric": "functions",
    "model": "fits",
    "plot": "fits",
    "start": "session",
    "summary": "fits",
    "text": "fits",
    "to_python": "python_objects",
    "to_r": "r_objects",
}


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module 'diglot.r' has no attribute {name!r}") from None
    value = getattr(import_module(f"diglot.r.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
