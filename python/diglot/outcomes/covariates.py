"""Covariates beside the image: a model matrix, its columns standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError, ModelFileError, cause
from diglot.outcomes.contrasts import contrast_matrix
from diglot.outcomes.moments import moments

_MOST_COLUMNS = 10_000


@dataclass(frozen=True)
class Variable:
    """A column of the data: numbers, or a factor with its contrasts.

    Attributes
    ----------
    name : str
        Of the column.
    levels : tuple of str, or None
        Of a factor; None for numbers.
    contrasts : ndarray of shape (levels, columns), or None
        What stands in the model matrix for each level.
    suffixes : tuple of str
        What the names of these columns end in.
    """

    name: str
    levels: tuple[str, ...] | None = None
    contrasts: np.ndarray | None = None
    suffixes: tuple[str, ...] = ("",)

    @property
    def terms(self) -> list[str]:
        """The names of its columns in the model matrix, as R has them."""
        return [self.name + suffix for suffix in self.suffixes]

    def matrix(self, column: pd.Series) -> np.ndarray:
        """Return its columns of the model matrix: (n, columns), float64."""
        if self.levels is None:
            return _numbers(self.name, column)[:, None]
        place = {level: code for code, level in enumerate(self.levels)}
        _refuse_missing(self.name, column.isna().to_numpy())
        codes = np.array([place.get(_text(value), -1) for value in column], np.int64)
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            raise InputError(
                f"covariate {self.name!r} is {column.iloc[row]!r} in row {row + 1}, which was not "
                f"there in training; its levels are: {', '.join(self.levels[:20])}"
            )
        return self.contrasts[codes]


@dataclass(frozen=True)
class Design:
    """How covariates become the numbers that a network takes.

    Attributes
    ----------
    variables : tuple of Variable
    centre, scale : ndarray of shape (p,)
        Of the model matrix's columns in training: ``(column - centre) / scale`` goes in.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [30, 40, 50], "sex": ["f", "m", "f"]})
    >>> design = Design.of(table, ["age", "sex"])
    >>> design.terms
    ['age', 'sexm']
    >>> design.matrix(table).round(3)
    array([[-1.225, -0.707],
           [ 0.   ,  1.414],
           [ 1.225, -0.707]], dtype=float32)
    """

    variables: tuple[Variable, ...]
    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        names: Sequence[str],
        contrasts: Mapping[str, Any] | None = None,
        weights: np.ndarray | None = None,
    ) -> Design:
        """Decide how these columns of a table become numbers.

        Parameters
        ----------
        table : DataFrame of n rows
        names : sequence of str
            Which columns.
        contrasts : mapping of str to str or DataFrame or array, optional
            Of factors: "treatment", "sum", "helmert", "poly", or a matrix, one row a level. By
            default "poly" where the order of categories means something, else "treatment".
        weights : array of shape (n,), optional
            How much each row counts.

        Raises
        ------
        InputError
            If a column is missing, has missing values or always the same one, or columns of the
            model matrix depend on each other.
        """
        given = dict(contrasts or {})
        variables = tuple(_variable(n, _column(table, n), given.pop(n, None)) for n in names)
        if given:
            raise InputError(f"contrasts names {next(iter(given))!r}, which is no covariate")
        start = cls(variables, np.zeros(0), np.ones(0))
        matrix, terms = start.model_matrix(table), start.terms
        weights = np.ones(len(matrix)) if weights is None else np.asarray(weights, np.float64)
        counted = matrix[weights > 0]
        centre, scale = moments(matrix, weights)
        same = np.flatnonzero(~(scale > 1e-12 * np.maximum(1, np.abs(centre))))
        if len(same):
            raise InputError(
                f"the covariate {terms[same[0]]!r} is the same in all images that are learned "
                "from; leave it out"
            )
        if len(counted) > len(terms):
            tolerance = 1e-7 * np.sqrt(len(counted))  # lm()'s
            rank = np.linalg.matrix_rank((counted - centre) / scale, tolerance)
            if rank < len(terms):
                raise InputError(
                    f"the covariates {', '.join(terms)} depend on each other: the model matrix has "
                    f"rank {rank + 1} and {len(terms) + 1} columns; leave one out"
                )
        return replace(start, centre=centre, scale=scale)

    @property
    def terms(self) -> list[str]:
        """The names of the model matrix's columns, as R has them: "age", "sexm"."""
        return [term for variable in self.variables for term in variable.terms]

    @property
    def names(self) -> list[str]:
        """The names of the data's columns."""
        return [variable.name for variable in self.variables]

    def model_matrix(self, table: pd.DataFrame) -> np.ndarray:
        """Return the model matrix without its intercept: (n, p), float64."""
        columns = [v.matrix(_column(table, v.name)) for v in self.variables]
        return np.concatenate(columns, axis=1)

    def matrix(self, table: pd.DataFrame) -> np.ndarray:
        """Return the standardised model matrix: (n, p), float32."""
        return ((self.model_matrix(table) - self.centre) / self.scale).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "variables": [
                {
                    "name": v.name,
                    "levels": None if v.levels is None else list(v.levels),
                    "contrasts": None if v.contrasts is None else v.contrasts.tolist(),
                    "suffixes": list(v.suffixes),
                }
                for v in self.variables
            ],
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Design:
        """Read what :meth:`to_dict` wrote; a file's data is checked, not trusted.

        Raises
        ------
        ModelFileError
            If it is damaged.
        """
        try:
            variables = tuple(_read_variable(entry) for entry in fields["variables"])
            centre, scale = (np.array(fields[n], np.float64) for n in ("centre", "scale"))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelFileError(
                f"the description of covariates is damaged: {cause(error)}"
            ) from error
        design = cls(variables, centre, scale)
        count = len(design.terms)
        sound = 0 < count <= _MOST_COLUMNS and centre.shape == scale.shape == (count,)
        if not (sound and np.isfinite(centre).all() and np.isfinite(scale).all()):
            raise ModelFileError("the description of covariates is damaged: its numbers do not fit")
        if not (scale > 0).all():
            raise ModelFileError("the description of covariates is damaged: its scale")
        return design


def _read_variable(entry: Mapping[str, Any]) -> Variable:
    name, levels, matrix = entry["name"], entry["levels"], entry["contrasts"]
    suffixes = entry["suffixes"]
    words = [name, *suffixes, *(levels or [])]
    if not isinstance(suffixes, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("its names are no text")
    if levels is None:
        if matrix is not None or suffixes != [""]:
            raise ValueError(f"{name!r} has contrasts but no levels")
        return Variable(name)
    contrasts = np.array(matrix, np.float64)
    if contrasts.shape != (len(levels), len(suffixes)) or not np.isfinite(contrasts).all():
        raise ValueError(f"the contrasts of {name!r} do not fit its levels")
    return Variable(name, tuple(levels), contrasts, tuple(suffixes))


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        has = ", ".join(map(repr, list(table.columns)[:20]))
        raise InputError(f"there is no covariate {name!r} among the columns of X: {has}")
    column = table[name]
    if isinstance(column, pd.DataFrame):
        raise InputError(f"X has several columns {name!r}")
    return column


def _variable(name: str, column: pd.Series, contrasts: Any) -> Variable:
    factor = isinstance(column.dtype, pd.CategoricalDtype)
    kinds = pd.api.types
    number = kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column)
    if number and not factor and contrasts is None:
        return Variable(name)
    _refuse_missing(name, column.isna().to_numpy())
    if factor:
        # as lm() does: of a level that does not occur nothing can be learned
        named = contrasts is None or isinstance(contrasts, str)
        values = (column.cat.remove_unused_categories() if named else column).cat.categories
        levels, ordered = [_text(value) for value in values], bool(column.cat.ordered)
    else:
        levels, ordered = sorted({_text(value) for value in column}), False
    if len(levels) < 2:
        raise InputError(f"the covariate {name!r} has the one level {levels}; leave it out")
    chosen = ("poly" if ordered else "treatment") if contrasts is None else contrasts
    matrix, suffixes = contrast_matrix(chosen, levels, name)
    return Variable(name, tuple(levels), matrix, tuple(suffixes))


def _text(value: Any) -> str:
    """Spell a level as R does."""
    if isinstance(value, (bool, np.bool_)):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numbers(name: str, column: pd.Series) -> np.ndarray:
    try:
        values = column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the covariate {name!r} was numbers in training and is {column.dtype} now"
        ) from error
    _refuse_missing(name, ~np.isfinite(values))
    return values


def _refuse_missing(name: str, missing: np.ndarray) -> None:
    if missing.any():
        row = int(np.flatnonzero(missing)[0]) + 1
        raise InputError(
            f"the covariate {name!r} is missing or not finite in row {row} "
            f"({int(missing.sum())} such rows): leave these rows out or fill them in"
        )
