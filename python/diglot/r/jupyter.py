"""rpy2's conversion rules with diglot's among them, and ``%%R`` that follows them."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import MissingPackageError
from diglot.estimators.base import NetworkEstimator
from diglot.r.python_objects import to_python
from diglot.r.r_objects import to_r
from diglot.r.session import start, start_robjects


@functools.cache
def converter() -> Any:
    """Return rpy2's default rules and diglot's: data as `to_r` and `to_python` have it, and models.

    Returns
    -------
    rpy2.robjects.conversion.Converter
        A fitted model becomes R's fit, R's fit a fitted model; arrays, data frames, factors and
        lists with names go both ways. Other objects of R stay what rpy2 makes of them.

    Examples
    --------
    >>> import diglot, pandas as pd
    >>> from rpy2.robjects import globalenv
    >>> with diglot.r.converter().context():
    ...     globalenv["levels_seen"] = pd.Categorical(["b", "a"], ["b", "a"])
    ...     globalenv["levels_seen"].categories.tolist()
    ['b', 'a']
    """
    robjects, rinterface = start_robjects(), start()
    rules = robjects.conversion.Converter("diglot", template=robjects.default_converter)
    kinds = (NetworkEstimator, np.ndarray, np.generic, pd.DataFrame, pd.Series, pd.Index)
    for kind in (*kinds, pd.Categorical, pd.api.extensions.ExtensionArray, dict, list, bytes):
        rules.py2rpy.register(kind, to_r)
    rules.py2rpy.register(type(None), to_r)
    for name in ("Float", "Int", "Bool", "Str", "Complex", "Byte", "List"):
        kind = getattr(rinterface, f"{name}SexpVector")
        rules.rpy2py.register(kind, to_python)
        # rpy2 looks here first, for classes of R's that it knows itself
        rules.rpy2py_nc_map[kind] = robjects.conversion.NameClassMap(to_python)
    rules.rpy2py.register(rinterface.NULL.__class__, to_python)
    return rules


def load_ipython_extension(shell: Any) -> None:
    """Load R's magics, ``%R`` and ``%%R``, with diglot's rules: ``%load_ext diglot.r``.

    Raises
    ------
    MissingPackageError
        If rpy2, R, or IPython is missing.
    """
    rules = converter()
    try:
        magic = importlib.import_module("rpy2.ipython.rmagic")
    except ImportError as error:
        raise MissingPackageError("%%R needs IPython: pip install ipython") from error

    shell.register_magics(magic.RMagics(shell, converter=rules))
