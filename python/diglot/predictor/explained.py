"""Where a fitted predictor looks: explanations as its method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from diglot.errors import InputError
from diglot.estimators.inputs import check_channels
from diglot.explanation import METHODS, Saliency, settings_of
from diglot.graph import COVARIATES
from diglot.outcomes.classes import Classes
from diglot.outcomes.numbers import Numbers
from diglot.progress import reporter


class Explained:
    """What a predictor of images says of where it looks."""

    def explain(
        self, X: Any, classes: Any = None, method: str = "grad_cam", **settings: Any
    ) -> Saliency:
        """Show which parts of images speak for a class.

        Parameters
        ----------
        X : images
            n of them; with the columns of covariates, which are held as they are.
        classes : label, or sequence of n labels, optional
            What to explain: a class, a tag, or a quantile. By default what is predicted.
        method : {"grad_cam", "integrated_gradients", "occlusion"}
            Which layer's cells matter, what each pixel adds to the score, or how far the score
            drops when a part is hidden. Networks without convolutions have no Grad-CAM.
        **settings
            Of the method: see `diglot.explanation.grad_cam`,
            `diglot.explanation.integrated_gradients` and `diglot.explanation.occlusion`.

        Returns
        -------
        Saliency
            ``maps`` (n, height, width), ``images`` (n, height, width, channels) as the network
            sees them, ``classes`` and more. `diglot.plots.plot_saliency` draws it.

        Raises
        ------
        InputError
            If a class, the method or a setting is unknown, or the network does not have it.

        Notes
        -----
        It is the network that is explained, not what `calibrate` makes of its probabilities.
        Numbers are explained in their own units, counts by the logarithm of their rate, and tags by
        their log-odds.

        Examples
        --------
        >>> from diglot import ImageClassifier
        >>> images = np.random.default_rng(1).random((20, 16, 16))
        >>> model = ImageClassifier("convnet", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
        >>> model.explain(images[:3], "b")
        <Saliency: 3 maps of 16 x 16 pixels by grad_cam, layer='relu4'>
        """
        check_is_fitted(self)
        known = settings_of(method)
        for name in settings:
            if name not in known:
                raise InputError(f"{method} has no setting {name!r}; it has {', '.join(known)}")
        settings = {**self._fitting_scale(settings.get("scale")), **settings}
        images = self._images(X, reset=False, allow_empty=True)
        if len(images):
            check_channels(images, self.network_.input)
        beside = self._beside(X)
        with self._prepared(images, self.network_) as ready:
            found = METHODS[method](
                self.network_,
                ready,
                self._output_codes(classes, len(images)),
                extra=None if beside is None else {COVARIATES: beside},
                device=self._device(),
                threads=self.threads,
                reporter=reporter(self.verbose),
                **settings,
            )
        found = replace(found, classes=self._output_names()[found.classes])
        return _in_units(found, self.outcome_) if isinstance(self.outcome_, Numbers) else found

    def _output_names(self) -> np.ndarray:
        """Return what each of the network's outputs stands for."""
        outcome = self.outcome_
        if isinstance(outcome, Classes):
            return outcome.classes
        if isinstance(outcome, Numbers):
            several = outcome.width > 1
            return np.array(outcome.quantiles if several else ["prediction"], object)
        return np.array(outcome.tags, object)

    def _output_codes(self, classes: Any, rows: int) -> Any:
        """Return which outputs are explained; None for the largest."""
        if classes is None:
            return self.outcome_.middle if isinstance(self.outcome_, Numbers) else None
        names = self._output_names().tolist()
        code_of = {name: code for code, name in enumerate(names)}
        asked = [classes] * rows if np.ndim(classes) == 0 else list(classes)
        if len(asked) != rows:
            raise InputError(
                f"classes must be one label, or {rows} of them, one an image; not {len(asked)}"
            )
        for label in asked:
            if label not in code_of:
                known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
                raise InputError(f"classes has {label!r}, which the model does not know: {known}")
        return np.array([code_of[label] for label in asked], np.int64)

    def _fitting_scale(self, scale: Any) -> dict[str, Any]:
        """Return the scale by default, where the outputs are no classes beside each other."""
        if isinstance(self.outcome_, Classes):
            return {}
        if scale not in (None, "logit"):
            raise InputError(
                f"scale={scale!r} is for classes of which an image has one; this model's outputs "
                'are explained as they are, by scale="logit"'
            )
        return {"scale": "logit"}


def _in_units(found: Saliency, outcome: Numbers) -> Saliency:
    """Return the explanation of a number in its own units, of a rate in those of its logarithm."""
    if outcome.family == "poisson":
        return replace(found, scale="log_rate", scores=found.scores + np.log(outcome.scale))
    off, changes = found.completeness_error, found.changes
    return replace(
        found,
        scale="prediction",
        scores=outcome.centre + outcome.scale * found.scores,
        maps=outcome.scale * found.maps,
        completeness_error=None if off is None else outcome.scale * off,
        changes=None if changes is None else outcome.scale * changes,
    )
