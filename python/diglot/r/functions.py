"""R functions in a Python fit: as metrics, callbacks and random changes of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.augment import FunctionAugment
from diglot.errors import InputError
from diglot.r.python_objects import to_python
from diglot.r.r_objects import spelled, to_r
from diglot.r.session import evaluate, sexp_of, start

# R's random numbers are drawn anew for each image and put back as they were: what a change draws
# depends on the image and the epoch alone, and the user's own draws in R are not disturbed.
_SEEDED = """
function(f, image, seed) {
  globals <- globalenv()
  before <- get0(".Random.seed", envir = globals, inherits = FALSE)
  kinds <- RNGkind()
  on.exit({
    RNGkind(kinds[1L], kinds[2L], kinds[3L])
    if (is.null(before)) {
      rm(".Random.seed", envir = globals)
    } else {
      assign(".Random.seed", before, envir = globals)
    }
  })
  set.seed(seed, "Mersenne-Twister", "Inversion", "Rejection")
  f(image)
}
"""


def function(given: Any) -> Any:
    """Return an R function: itself, or what R code or a name stands for.

    Parameters
    ----------
    given : R function or str
        Code is run in R as it is: ``"function(x) x + 1"``, ``"stats::sd"``.

    Raises
    ------
    InputError
        If it is no function.

    Examples
    --------
    >>> function("function(x) x + 1")(2)[0]
    3.0
    """
    found = evaluate(given) if isinstance(given, str) else given
    if not isinstance(found, start().SexpClosure):
        raise InputError(f"an R function, or R code that gives one, is needed, not {given!r}")
    return found


def metric(given: Any, *, classes: Sequence[Any] | None = None) -> Callable[[Any, Any], float]:
    """Return an R function of truth and prediction as a Python metric.

    Parameters
    ----------
    given : R function or str
        Of two arguments: a factor of the true classes, and either a factor of the predicted ones
        with the same levels or, where probabilities are given, a matrix with a column a class.
        It returns one number.
    classes : sequence, optional
        The levels, in their order, such as a model's ``classes_``; by default the categories of a
        Categorical, else all values in sorted order.

    Returns
    -------
    callable
        ``metric(truth, predicted)``: a float. scikit-learn's ``make_scorer`` takes it.

    Raises
    ------
    InputError
        When it is called: if the answer is not one number.
    RError
        When it is called: if R raises an error.

    Examples
    --------
    >>> import diglot
    >>> share = diglot.r.metric("function(truth, predicted) mean(truth == predicted)")
    >>> share(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    0.75
    """
    r_function = function(given)

    def r_metric(truth: Any, predicted: Any) -> float:
        levels = _levels(truth, predicted) if classes is None else list(classes)
        answer = sexp_of(r_function, _factor(truth, levels), _judged(predicted, levels))
        value = to_python(answer)
        if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "bif":
            raise InputError("an R function used as a metric must return one number")
        return float(value.ravel()[0])

    return r_metric


def _levels(truth: Any, predicted: Any) -> list[Any]:
    for given in (truth, predicted):
        given = getattr(given, "array", given)
        if isinstance(given, pd.Categorical):
            return list(given.categories)
    values = list(truth) + ([] if np.ndim(predicted) == 2 else list(predicted))
    return sorted(set(values))


def _factor(values: Any, levels: Sequence[Any]) -> Any:
    return to_r(pd.Categorical(list(values), categories=list(levels)))


def _judged(predicted: Any, levels: Sequence[Any]) -> Any:
    if np.ndim(predicted) != 2:
        return _factor(predicted, levels)
    rinterface = start()
    matrix = to_r(np.asarray(predicted, np.float64))
    if np.shape(predicted)[1] == len(levels):
        names = rinterface.StrSexpVector([spelled(level) for level in levels])
        matrix.do_slot_assign("dimnames", rinterface.ListSexpVector([rinterface.NULL, names]))
    return matrix


def callback(given: Any) -> Callable[[Mapping[str, Any]], bool]:
    """Return an R function of an epoch's row as a callback of a Python fit.

    Parameters
    ----------
    given : R function or str
        Of one argument, a tibble of one row: the epoch's record as in the history. An answer of
        FALSE ends the fit, whatever else it returns.

    Returns
    -------
    callable
        For ``callbacks=`` of an estimator.

    Examples
    --------
    >>> import diglot
    >>> stop = diglot.r.callback("function(row) row$loss > 0.5")
    >>> stop({"epoch": 1.0, "loss": 0.25})
    False
    """
    r_function = function(given)

    def on_epoch(record: Mapping[str, Any]) -> bool:
        row = pd.DataFrame([dict(record)])
        row["epoch"] = row["epoch"].astype(int)
        answer = to_python(sexp_of(r_function, row))
        says_stop = isinstance(answer, np.ndarray) and answer.dtype == bool and answer.size == 1
        return not (says_stop and not answer.ravel()[0])

    return on_epoch


def augmentation(given: Any, *, name: str = "R function") -> FunctionAugment:
    """Return an R function of an image as random changes of training images.

    Parameters
    ----------
    given : R function or str
        Of one argument, an array (height, width, channel) of doubles, usually 0 to 1. It returns
        an array of the same dimensions. What it draws by R's generator (``runif()``, ...) depends
        on the fit's seed, the image and the epoch alone.
    name : str
        What model files call it; they cannot hold the function itself.

    Returns
    -------
    FunctionAugment
        For ``augment=`` of an estimator.

    Notes
    -----
    R runs in one thread: images are then prepared one after the other.

    Examples
    --------
    >>> import diglot
    >>> flip = diglot.r.augmentation("function(image) if (runif(1) < 0.5) image else 1 - image")
    >>> model = diglot.ImageClassifier("mlp", augment=flip, epochs=1, seed=1)
    """
    r_function, seeded = function(given), evaluate(_SEEDED)

    def change(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        seed = int(random.integers(2**31 - 1))
        return to_python(sexp_of(seeded, r_function, image, seed))

    return FunctionAugment(change, name)
