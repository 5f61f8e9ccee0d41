"""How sure a fitted predictor is: calibration and conformal prediction, as its methods."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from diglot.errors import InputError
from diglot.outcomes.classes import log_softmax
from diglot.outcomes.labels import encode_labels
from diglot.outcomes.numbers import encode_numbers
from diglot.uncertainty import (
    ConformalSets,
    NumberConformal,
    calibration_from_dict,
    coverage_table,
    fit_calibration,
    fit_conformal,
    fit_intervals,
    interval_coverage_table,
    uniforms_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class _Uncertain:
    """What was learned of how sure a model is, which holds for the weights of that time only."""

    _learned: Mapping[str, str]  # attributes, and the calls that set them

    def _settled(self, fitted: Any, seen: Any, fit: Any, session: Any) -> None:
        known = [call for name, call in self._learned.items() if getattr(self, name) is not None]
        for name in self._learned:
            setattr(self, name, None)
        super()._settled(fitted, seen, fit, session)
        if known and session.first_epoch > 0:
            again = " and ".join(known)
            warnings.warn(f"The weights are others now: call {again} again.", stacklevel=2)


class UncertainClasses(_Uncertain):
    """What a classifier says of how sure it is.

    Attributes
    ----------
    calibration_ : Temperature, Isotonic or None
        How `predict_proba` mends probabilities.
    conformal_ : ConformalSets or None
        How `predict_set` makes sets.
    """

    _learned = {"calibration_": "calibrate()", "conformal_": "conformalize()"}
    calibration_: Any = None  # also of models that were fitted before there was any
    conformal_: ConformalSets | None = None

    def calibrate(self, X: Any = None, y: Any = None, method: str = "temperature") -> Self:
        """Learn to say probabilities that agree with frequencies.

        `predict_proba`, and all that builds on it, uses the calibration from now on; the weights
        stay as they are, and the model file keeps both. A model that is trained on forgets it.

        Parameters
        ----------
        X : images
            That were not in the training: the model is too sure of those.
        y : sequence of n labels
            All of ``classes_``.
        method : {"temperature", "isotonic", "none"}
            See `diglot.uncertainty.fit_calibration`; "none" undoes it, and needs no images.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            If `conformalize` came before: its rule was for other probabilities, and is forgotten.

        Examples
        --------
        >>> from diglot import ImageClassifier, example_images
        >>> digits = example_images("digits")
        >>> model = ImageClassifier("mlp", epochs=5, seed=1)
        >>> model = model.fit(digits[["image"]][:500], digits["label"][:500])
        >>> model = model.calibrate(digits[["image"]][500:900], digits["label"][500:900])
        >>> model.calibration_.n
        400
        """
        check_is_fitted(self)
        new = None
        if method != "none":
            p = self._uncalibrated(X)
            codes = encode_labels(y, len(p), self.classes_).codes
            new = fit_calibration(p, codes, method, self.classes_.tolist())
        if self.conformal_ is not None:
            warnings.warn(
                "The probabilities are others now, so that the sets are forgotten: call "
                "conformalize() again, with images that were not used here.",
                stacklevel=2,
            )
        self.calibration_, self.conformal_ = new, None
        return self

    def conformalize(
        self,
        X: Any,
        y: Any,
        method: str = "aps",
        *,
        class_conditional: bool = False,
        randomized: bool = True,
        k_reg: int | None = None,
        penalty: float | None = None,
        allow_empty: bool = True,
    ) -> Self:
        """Learn to say sets of classes that hold the true one as often as is asked for.

        Parameters
        ----------
        X : images
            That were neither in the training nor in `calibrate`, and are like those to come.
        y : sequence of n labels
            All of ``classes_``.
        method : {"aps", "raps", "lac"}
        class_conditional, randomized, k_reg, penalty, allow_empty
            See `diglot.uncertainty.fit_conformal`. The random part of an image's score is derived
            from the model's seed and the image's pixels, so that its set does not depend on the
            images beside it.

        Returns
        -------
        self

        Examples
        --------
        >>> from diglot import ImageClassifier, example_images
        >>> digits = example_images("digits")
        >>> X, y = digits[["image"]], digits["label"]
        >>> model = ImageClassifier("mlp", epochs=5, seed=1).fit(X[:500], y[:500])
        >>> model = model.conformalize(X[500:900], y[500:900])
        >>> model.predict_set(X[900:903], coverage=0.95).shape
        (3, 10)
        """
        check_is_fitted(self)
        p, uniforms = self._proba_and_uniforms(X)
        self.conformal_ = fit_conformal(
            p,
            encode_labels(y, len(p), self.classes_).codes,
            method,
            class_conditional=class_conditional,
            randomized=randomized,
            k_reg=k_reg,
            penalty=penalty,
            allow_empty=allow_empty,
            uniforms=uniforms,
            seed=self.seed_,
        )
        return self

    def predict_set(self, X: Any, coverage: float = 0.9) -> pd.DataFrame:
        """Return the set of classes of each image.

        Parameters
        ----------
        X : images
            Zero images give zero rows.
        coverage : float
            How often a set shall hold the true class, between 0 and 1. Any can be asked for
            after one `conformalize`.

        Returns
        -------
        DataFrame of bool, (n, k)
            True where a class, of the columns ``classes_``, is in the set of an image. Rows are
            named as those of X, where that is a data frame.

        Raises
        ------
        InputError
            If the model has not learned to say sets.
        """
        check_is_fitted(self)
        # tupleize_cols=False: as in `diglot.evaluation.confusion`.
        return pd.DataFrame(
            self._sets(X, [coverage])[0],
            index=_names_of_rows(X),
            columns=pd.Index(self.classes_.tolist(), tupleize_cols=False),
        )

    def coverage(
        self,
        X: Any,
        y: Any,
        coverage: float | Sequence[float] = (0.8, 0.9, 0.95),
        *,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Count how often sets hold the true class of labelled images.

        Parameters
        ----------
        X : images
            That nothing was learned from.
        y : sequence of n labels
            All of ``classes_``.
        coverage : float or sequence of float
            The coverages to ask for.
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            For each coverage one row for the whole and one for each class: coverage, class,
            estimate, lower, upper, method, n, mean_size; see `diglot.uncertainty.coverage_table`.
        """
        check_is_fitted(self)
        asked = _several(coverage)
        sets = self._sets(X, asked)
        codes = encode_labels(y, len(sets[0]), self.classes_).codes
        names = self.classes_.tolist()
        tables = [
            coverage_table(codes, held, stated, names, level=level)
            for held, stated in zip(sets, asked, strict=True)
        ]
        return pd.concat(tables, ignore_index=True)

    def certainty(self) -> dict[str, str]:
        """Return what was learned of how sure the model is, in words.

        Returns
        -------
        dict of str to str
            "calibrated" and "sets", where there are such.
        """
        known = {"calibrated": self.calibration_, "sets": self.conformal_}
        return {name: str(what) for name, what in known.items() if what is not None}

    # ---- what the estimator asks

    def _calibrated(self, p: np.ndarray) -> np.ndarray:
        return p if self.calibration_ is None else self.calibration_.apply(p)

    def _uncalibrated(self, X: Any) -> np.ndarray:
        return np.exp(log_softmax(self._scores(X)))

    def _proba_and_uniforms(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        scores, keys = self._scored(X, keyed=True)
        return self._calibrated(np.exp(log_softmax(scores))), uniforms_of(keys, self.seed_)

    def _sets(self, X: Any, coverages: Sequence[float]) -> list[np.ndarray]:
        if self.conformal_ is None:
            raise InputError(
                "The model has not learned to say sets: call conformalize(X, y) first, with "
                "images that were not in the training."
            )
        p, uniforms = self._proba_and_uniforms(X)
        names = self.classes_.tolist()
        return [self.conformal_.sets(p, c, uniforms, names) for c in coverages]

    def _uncertainty_told(self) -> dict[str, Any]:
        known = {"calibration": self.calibration_, "conformal": self.conformal_}
        return {name: None if what is None else what.to_dict() for name, what in known.items()}

    def _uncertainty_restored(self, meta: Mapping[str, Any]) -> bool:
        """Set what a model file says, and tell whether it fits the classes."""
        calibration, conformal = meta.get("calibration"), meta.get("conformal")
        k = len(self.classes_)
        self.calibration_ = None if calibration is None else calibration_from_dict(calibration)
        self.conformal_ = None if conformal is None else ConformalSets.from_dict(conformal)
        return all(
            getattr(what, "classes", k) == k for what in (self.calibration_, self.conformal_)
        )


class UncertainNumbers(_Uncertain):
    """What a regressor says of how sure it is.

    Attributes
    ----------
    conformal_ : NumberConformal or None
        How `predict_interval` makes intervals.
    """

    _learned = {"conformal_": "conformalize()"}
    conformal_: NumberConformal | None = None

    def conformalize(self, X: Any, y: Any) -> Self:
        """Learn to say intervals that hold the true number as often as is asked for.

        Around a mean or a rate all intervals are of one width. Where several quantiles were
        learned, the interval between the lowest and the highest is widened or narrowed, and so is
        as wide as the image is hard.

        Parameters
        ----------
        X : images
            That were not in the training, and are like those to come.
        y : sequence of n numbers

        Returns
        -------
        self

        See Also
        --------
        diglot.uncertainty.fit_intervals

        Examples
        --------
        >>> from diglot import ImageRegressor
        >>> images = np.random.default_rng(1).random((80, 8, 8))
        >>> brightness = images.mean(axis=(1, 2))
        >>> model = ImageRegressor("mlp", epochs=1, seed=1).fit(images[:40], brightness[:40])
        >>> model = model.conformalize(images[40:], brightness[40:])
        >>> model.predict_interval(images[:3], coverage=0.9).columns.tolist()
        ['lower', 'upper']
        """
        check_is_fitted(self)
        predicted = self._band(X)
        truth = encode_numbers(y, len(predicted), self.outcome_.family)
        self.conformal_ = fit_intervals(predicted, truth, self._band_method())
        return self

    def predict_interval(self, X: Any, coverage: float = 0.9) -> pd.DataFrame:
        """Return an interval for the number of each image.

        Parameters
        ----------
        X : images
            Zero images give zero rows.
        coverage : float
            How often an interval shall hold the true number, between 0 and 1. Any can be asked
            for after one `conformalize`.

        Returns
        -------
        DataFrame of float, (n, 2)
            ``lower`` and ``upper``; of counts none is below 0. Rows are named as those of X, where
            that is a data frame.

        Raises
        ------
        InputError
            If the model has not learned to say intervals.
        """
        check_is_fitted(self)
        ends = self._intervals(X, [coverage])[0]
        return pd.DataFrame(ends, index=_names_of_rows(X), columns=["lower", "upper"])

    def coverage(
        self,
        X: Any,
        y: Any,
        coverage: float | Sequence[float] = (0.8, 0.9, 0.95),
        *,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Count how often intervals hold the true number of images.

        Parameters
        ----------
        X : images
            That nothing was learned from.
        y : sequence of n numbers
        coverage : float or sequence of float
            The coverages to ask for.
        level : float
            Of the intervals of the share.

        Returns
        -------
        DataFrame
            One row a coverage: coverage, class (missing), estimate, lower, upper, method, n,
            mean_size (the mean width); see `diglot.uncertainty.interval_coverage_table`.
        """
        check_is_fitted(self)
        asked = _several(coverage)
        intervals = self._intervals(X, asked)
        truth = encode_numbers(y, len(intervals[0]), self.outcome_.family)
        tables = [
            interval_coverage_table(truth, *ends.T, stated, level=level)
            for ends, stated in zip(intervals, asked, strict=True)
        ]
        return pd.concat(tables, ignore_index=True)

    def certainty(self) -> dict[str, str]:
        """Return what was learned of how sure the model is, in words.

        Returns
        -------
        dict of str to str
            "intervals", where there are such.
        """
        return {} if self.conformal_ is None else {"intervals": str(self.conformal_)}

    # ---- what the estimator asks

    def _band_method(self) -> str:
        return "quantile" if len(self.outcome_.quantiles) > 1 else "absolute"

    def _band(self, X: Any) -> np.ndarray:
        """Return the prediction, or its lowest and highest quantile."""
        predicted = self.outcome_.predicted(self._scores(X))
        if self._band_method() == "absolute":
            return predicted[:, 0]
        order = np.argsort(self.outcome_.quantiles)
        return predicted[:, order[[0, -1]]]

    def _intervals(self, X: Any, coverages: Sequence[float]) -> list[np.ndarray]:
        if self.conformal_ is None:
            raise InputError(
                "The model has not learned to say intervals: call conformalize(X, y) first, with "
                "images that were not in the training."
            )
        band = self._band(X)
        least = 0.0 if self.outcome_.family == "poisson" else -np.inf
        return [np.maximum(self.conformal_.intervals(band, c), least) for c in coverages]

    def _uncertainty_told(self) -> dict[str, Any]:
        return {"conformal": None if self.conformal_ is None else self.conformal_.to_dict()}

    def _uncertainty_restored(self, meta: Mapping[str, Any]) -> bool:
        """Set what a model file says, and tell whether it fits the outcome."""
        given = meta.get("conformal")
        self.conformal_ = None if given is None else NumberConformal.from_dict(given)
        return self.conformal_ is None or self.conformal_.method == self._band_method()


def _several(coverage: float | Sequence[float]) -> list[float]:
    asked = [coverage] if np.ndim(coverage) == 0 else list(coverage)
    if not asked:
        raise InputError("coverage has no number: give one or more, such as 0.9.")
    return asked


def _names_of_rows(X: Any) -> pd.Index | None:
    return X.index if isinstance(X, (pd.DataFrame, pd.Series)) else None
