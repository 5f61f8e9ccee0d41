"""``HogClassifier``: a scikit-learn estimator without a network."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from diglot.baseline.features import Hog, cell_of, common_size
from diglot.baseline.regression import Regression, fit_regression
from diglot.errors import InputError, ModelFileError
from diglot.estimators.filed import Filed
from diglot.estimators.inputs import common_channels
from diglot.estimators.judged import JudgedByClass
from diglot.estimators.model_file import damage_told
from diglot.estimators.settings import is_several, jsonable, keep_settings, number, whole
from diglot.images import ImageSet, as_images
from diglot.outcomes.classes import log_softmax
from diglot.outcomes.labels import (
    class_weights,
    classes_from,
    classes_told,
    encode_labels,
    refuse_one_class,
)
from diglot.predictor.settings import jsonable_weights, weights_from
from diglot.seeds import check_seed

_SETTINGS = ("size", "channels", "orientations", "cell", "block", "C", "inner_folds", "seed")
_TENSORS = ("mean", "scale", "coefficients", "intercepts")


class HogClassifier(JudgedByClass, Filed, ClassifierMixin, BaseEstimator):
    """Tell images apart by histograms of oriented gradients and multinomial regression.

    A baseline that is fitted in seconds: what a network does better, its images must show beyond
    the direction of edges.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width in pixels that images are brought to. By default what they share, made
        smaller where a side is longer than 128 pixels and larger where it is shorter than 8;
        64 x 64 where they differ.
    channels : int, optional
        1 for grey, 3 for colour. By default what the images have.
    orientations : int
        Bins of a histogram.
    cell : int, optional
        Height and width in pixels of the squares that have a histogram each; by default an eighth
        of the shorter side, from 2 to 8.
    block : int
        Height and width in cells of the squares within which histograms are normalised.
    C : float or sequence of float
        Inverse strength of the ridge penalty on the coefficients of the standardised features;
        of several, that with the least log loss in cross-validation. They are tried from the
        strongest penalty on until one does worse than the one before.
    inner_folds : int
        Of that cross-validation; fewer where a class has fewer images.
    class_weight : dict, "balanced" or None
        Weight by class, on top of ``sample_weight``.
    seed : int, optional
        Of the folds.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        The classes, in the order of their categories, else sorted.
    C_ : float
        What was chosen.
    path_ : DataFrame
        ``C`` and ``log_loss``: what was tried. No rows where there was nothing to choose.
    hog_ : Hog
        How features are computed.
    regression_ : Regression
        The fitted coefficients.
    seed_ : int
        The seed that was used.

    References
    ----------
    N. Dalal and B. Triggs (2005), Histograms of oriented gradients for human detection, CVPR.

    Examples
    --------
    >>> from diglot import HogClassifier, example_images
    >>> digits = example_images("digits")
    >>> model = HogClassifier().fit(digits[["image"]][:500], digits["label"][:500])
    >>> bool((model.predict(digits[["image"]][500:]) == digits["label"][500:]).mean() > 0.85)
    True
    """

    kind = "baseline"

    def __init__(
        self,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        orientations: int = 9,
        cell: int | None = None,
        block: int = 2,
        C: float | Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100),
        inner_folds: int = 5,
        class_weight: Mapping[Any, float] | str | None = None,
        seed: int | None = 0,
    ) -> None:
        keep_settings(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HogClassifier:
        """Fit the regression.

        Parameters
        ----------
        X : images
            As for `ImageClassifier`.
        y : sequence of n labels
            A Categorical's order of categories is kept.
        sample_weight : array of n floats, optional
            Rows of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        InputError, ImageError
            If an argument, image or label cannot be used; the message names it.
        """
        strengths, seed = self._checked(), check_seed(self.seed)
        images = as_images(X)
        labels = encode_labels(y, len(images))
        weights = np.ones(len(images))
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, weights, dtype=np.float64)
            if (weights < 0).any():
                row = int(np.flatnonzero(weights < 0)[0]) + 1
                raise InputError(f"sample_weight must not be negative; it is in row {row}")
        refuse_one_class(labels.classes, labels.codes, weights)
        counted = np.flatnonzero(weights > 0)
        images, codes, weights = images.take(counted), labels.codes[counted], weights[counted]
        used, codes = np.unique(codes, return_inverse=True)
        classes = labels.classes[used]
        weights = weights * class_weights(self.class_weight, classes, codes, weights)[codes]
        hog = self._hog(images)
        self.regression_, self.C_, self.path_ = fit_regression(
            hog.features(images),
            codes,
            weights / weights.mean(),
            strengths,
            int(self.inner_folds),
            seed,
        )
        self.hog_, self.classes_, self.ordered_ = hog, classes, labels.ordered
        self.seed_ = seed
        return self

    def _checked(self) -> list[float]:
        """Refuse settings that cannot be; return the strengths to choose among."""
        for name, least in (("orientations", 1), ("block", 1), ("inner_folds", 2)):
            whole(name, getattr(self, name), least)
        for name in ("cell", "channels"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        strengths = list(self.C) if is_several(self.C) else [self.C]
        for value in strengths:
            number("C", value, lambda v: v > 0, "a positive number, or several")
        return [float(value) for value in strengths]

    def _hog(self, images: ImageSet) -> Hog:
        height, width = common_size(images, self.size)
        cell = cell_of(height, width) if self.cell is None else int(self.cell)
        channels = common_channels(images, self.channels)
        if channels not in (1, 3):
            raise InputError(f"images have {channels} channels; give channels=1 or channels=3")
        return Hog(height, width, channels, int(self.orientations), cell, int(self.block))

    # ---- answers

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : images
            Zero images give zero rows.

        Returns
        -------
        ndarray of shape (n, k), float64
            Columns in the order of ``classes_``.
        """
        return np.exp(log_softmax(self._scores(X)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n,)
        """
        return self.classes_[self._scores(X).argmax(axis=1)]

    def transform(self, X: Any) -> np.ndarray:
        """Return the features that the regression sees, before they are standardised.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n, p), float64
        """
        check_is_fitted(self)
        return self.hog_.features(as_images(X, allow_empty=True))

    def _scores(self, X: Any) -> np.ndarray:
        features = self.transform(X)
        return self.regression_.scores(features).reshape(len(features), len(self.classes_))

    # ---- files and words

    def summary(self) -> str:
        """Return what the model is, in a few lines."""
        check_is_fitted(self)
        hog, classes = self.hog_, ", ".join(map(str, self.classes_.tolist()[:12]))
        more = ", ..." if len(self.classes_) > 12 else ""
        lines = [
            f"features     {hog.count:,}: {hog.orientations} orientations, cells of {hog.cell} x "
            f"{hog.cell} pixels, blocks of {hog.block} x {hog.block} cells",
            f"input        {hog.height} x {hog.width} pixels, {hog.channels} channel(s)",
            f"classes      {len(self.classes_)}: {classes}{more}",
            f"penalty      C = {self.C_:g}, chosen among {max(1, len(self.path_))}",
            f"fingerprint  {self.fingerprint()[:16]}",
        ]
        return "\n".join(lines)

    def _tensors(self) -> dict[str, np.ndarray]:
        check_is_fitted(self)
        return {name: getattr(self.regression_, name) for name in _TENSORS}

    def _metadata(self) -> dict[str, Any]:
        hog = self.hog_
        return {
            "kind": self.kind,
            "diglot": sys.modules["diglot"].__version__,  # the root is a room above
            "settings": {name: jsonable(getattr(self, name)) for name in _SETTINGS},
            "class_weight": jsonable_weights(self.class_weight),
            "hog": [hog.height, hog.width, hog.channels, hog.orientations, hog.cell, hog.block],
            "classes": classes_told(self.classes_, self.ordered_),
            "chosen": self.C_,
            "path": self.path_.to_numpy(np.float64).tolist(),
            "seed": self.seed_,
        }


def restore(
    model: HogClassifier, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str
) -> None:
    """Set settings and fitted attributes of a new model from what a file says.

    Raises
    ------
    ModelFileError
        If it is a damaged file.
    """
    with damage_told(name):
        settings = {key: meta["settings"][key] for key in _SETTINGS}
        for key in ("size", "C"):
            settings[key] = tuple(v) if isinstance(v := settings[key], list) else v
        model.set_params(**settings)
        model.class_weight = weights_from(meta["class_weight"])
        model._checked()
        model.hog_ = Hog(*(whole("hog", value, 1) for value in meta["hog"]))
        model.classes_, model.ordered_ = classes_from(meta["classes"])
        model.C_, model.seed_ = float(meta["chosen"]), check_seed(meta["seed"])
        path = np.array(meta["path"], np.float64).reshape(-1, 2)
        model.path_ = pd.DataFrame(path, columns=["C", "log_loss"])
        model.regression_ = Regression(*(tensors[key] for key in _TENSORS))
        k, p = len(model.classes_), model.hog_.count
        shapes = {"mean": (p,), "scale": (p,), "coefficients": (k, p), "intercepts": (k,)}
        sound = set(tensors) == set(_TENSORS) and all(
            tensors[key].shape == shape
            and tensors[key].dtype == np.float64
            and np.isfinite(tensors[key]).all()
            for key, shape in shapes.items()
        )
    if not sound:
        raise ModelFileError(f"{name} is a damaged model file: its coefficients do not fit")
