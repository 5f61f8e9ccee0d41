"""Captioners: fitted, described, asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import diglot
from diglot.bridge import fitted, plain, received
from diglot.bridge.answers import answered

_SHOWN = 320  # pixels of the longer side of a picture that R draws


@answered
def fit_captioner(
    images: Mapping[str, Any],
    captions: Mapping[str, Any],
    settings: Mapping[str, Any],
    validation: Sequence[Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a captioner.

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    model = diglot.ImageCaptioner(
        **received.captioner_settings(settings),
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    held = None
    if validation is not None:
        held = received.images(validation[0]), received.texts(validation[1])
    model.fit(received.images(images), received.texts(captions), validation_data=held)
    return fitted.trained(model, description(model))


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of a fitted captioner beside its live self."""
    from diglot.captioner.precision import ANSWERS
    from diglot.weighted import describe

    about, decoder, card = fitted.description(model), model.decoder_, describe(model.network_)
    about["network"]["name"] = about["network"]["name"].removesuffix(" captioner")
    return {
        **about,
        "kind": "captioner",
        "decoder": {
            "cell": decoder.cell,
            "layers": decoder.layers,
            "hidden": decoder.hidden,
            "heads": decoder.heads,
        },
        "words": list(model.vocabulary_.words),
        "longest": model.longest_,
        "lineage": {
            **{n: card[n] for n in ("weights", "licence", "skipped") if n in card},
            **({} if model.int8_ is None else {"int8": model.int8_.told(ANSWERS)}),
        },
    }


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `ImageCaptioner.predict`; R's whole numbers are doubles, also 10."""
    counts = ("beams", "max_length", "samples", "seed", "resamples")
    return {n: received.whole(v) if n in counts else v for n, v in dict(given).items()}


@answered
def caption(model: Any, images: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """Return the best caption of each image."""
    return model.predict(received.images(images), **_options(options)).tolist()


@answered
def all_captions(
    model: Any, images: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all captions that were found, one image's after the other's.

    Returns
    -------
    dict
        ``counts``, how many captions each image has; their ``text``, ``log_prob``, ``score`` and
        ``ended``; ``words`` as `plain.lists` gives them; and ``attention``: (words of all
        captions, height, width), or None.
    """
    found = model.predict(received.images(images), return_all=True, **_options(options))
    captions = [one for mine in found for one in mine]
    looked = [one.attention for one in captions if one.attention is not None]
    return {
        "counts": np.array([len(mine) for mine in found], np.int32),
        "text": [one.text for one in captions],
        "log_prob": np.array([one.log_probability for one in captions], np.float64),
        "score": np.array([one.score for one in captions], np.float64),
        "ended": np.array([one.ended for one in captions], bool),
        "words": plain.lists([one.words for one in captions]),
        "attention": np.asfortranarray(np.concatenate(looked), np.float64) if looked else None,
    }


@answered
def evaluate_captions(
    model: Any,
    images: Mapping[str, Any],
    references: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the metrics with their intervals."""
    given = received.images(images), received.texts(references)
    return plain.table(model.evaluate(*given, **_options(options)))


@answered
def pictures(model: Any, images: Mapping[str, Any], seen: bool) -> list[np.ndarray]:
    """Return images as R draws them: (height, width, 3) from 0 to 1.

    With ``seen`` they are cut and resized as the model sees them, so that attention falls where
    it belongs.
    """
    from diglot.images import as_images
    from diglot.images.shown import picture

    given, spec = as_images(received.images(images)), model.network_.input
    drawn = []
    for i in range(len(given)):
        image = given.prepared(i, spec) if seen else given[i]
        shown = picture(image).convert("RGB")
        shown.thumbnail((_SHOWN, _SHOWN))
        drawn.append(np.asfortranarray(np.asarray(shown), np.float64) / 255)
    return drawn


@answered
def captioner_defaults() -> dict[str, Any]:
    """Return the settings of `ImageCaptioner` and of its answers, with their defaults."""
    return {
        "fit": fitted.defaults(diglot.ImageCaptioner.__init__),
        "predict": fitted.defaults(diglot.ImageCaptioner.predict),
        "evaluate": fitted.defaults(diglot.ImageCaptioner.evaluate),
    }
