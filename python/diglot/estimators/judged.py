"""``JudgedByClass``: how every classifier is assessed on labelled images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from diglot.evaluation import evaluate_classes
from diglot.images import as_images
from diglot.outcomes.labels import encode_labels


class JudgedByClass:
    """Judges an estimator with ``predict_proba``, ``classes_`` and ``ordered_``."""

    classes_: np.ndarray
    ordered_: bool

    def _rows(self, X: Any) -> int:
        """Return how many images there are; refuse what is none."""
        return len(as_images(X))

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Judge the model on labelled images; every metric has an interval.

        Parameters
        ----------
        X : images
        y : sequence of n labels
            All of ``classes_``.
        groups : sequence of n labels, optional
            Which images belong together, such as those of one patient: the bootstrap draws groups.
        level : float
            Of the intervals.
        resamples : int
            Of the bootstrap.
        seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            metric, class, estimate, lower, upper, method, n; see
            `diglot.evaluation.evaluate_classes`.
        """
        check_is_fitted(self)
        labels = encode_labels(y, self._rows(X), self.classes_)
        probabilities = self.predict_proba(X)
        return evaluate_classes(
            self.classes_[labels.codes],
            self.classes_[probabilities.argmax(axis=1)],
            probabilities,
            self.classes_.tolist(),
            groups=groups,
            level=level,
            resamples=resamples,
            seed=seed,
            ordered=self.ordered_,
        )
