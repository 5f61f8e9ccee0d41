"""How often a captioner whose encoder sees with 8-bit integers chooses the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diglot.captioner.captioned import Groups
from diglot.captioner.fitting import Fit
from diglot.captioner.graphs import behind_encoder, encoder_of
from diglot.captions.vocabulary import BEGIN, END, PAD, UNKNOWN
from diglot.engine import Device, open_executor
from diglot.estimators.precision import RANGE_IMAGES, Int8, calibrated, calibration_images
from diglot.graph import Graph

ANSWERS = "next words in training images' captions"
_GROUPS = 16  # that go through the decoder at once


def calibrate_int8(graph: Graph, fit: Fit, device: Device) -> Int8 | None:
    """Measure the encoder's ranges on some training images, and how often words stay the same.

    The decoder is told the captions of these images word by word, and chooses each next word
    twice: by what the encoder sees with integers, and by what it sees in float32. The share of
    words that are the same is what the share of the same classes is for a classifier.

    Parameters
    ----------
    graph : Graph
        The whole network, with weights.
    fit : Fit
        Of whose training images the first are taken.
    device : Device
        Where to compute in float32.

    Returns
    -------
    Int8 or None
        Its ``n`` counts words, captions' ends among them. None for an encoder of which no layer
        can use integers.
    """
    rows = fit.train
    places = rows.captioned.places

    def given(most: int) -> Iterator[dict[str, np.ndarray]]:
        for _, data in calibration_images(rows.images, places, fit.threads, most):
            yield {"data": data}

    # Their captions have words enough to compare.
    found = calibrated(encoder_of(graph), given, device, RANGE_IMAGES)
    if found is None:
        return None
    ranges, *seen = found
    groups = Groups.of(rows.coded[: len(seen[0])], fit.width)
    first, second = next_words(behind_encoder(graph), groups, seen, device)
    return Int8(ranges, float(np.mean(first == second)), len(first))


def next_words(
    rest: Graph, groups: Groups, seen: Sequence[np.ndarray], device: Device
) -> list[np.ndarray]:
    """Choose each word of captions by those before it, once for each way to see the images.

    Parameters
    ----------
    rest : Graph
        What `behind_encoder` returned.
    groups : Groups
        The captions.
    seen : sequence of ndarray
        The encoder's outputs for all images, as each way gives them.
    device : Device
        Where to compute.

    Returns
    -------
    list of ndarray of int
        The chosen words of each way, ends among them, in the order of the groups.
    """
    executor = open_executor(rest, device)
    (name,) = (n for n in rest.inputs if n != "tokens")
    length, chosen = int(groups.lengths.max()), [[] for _ in seen]
    for start in range(0, len(groups), _GROUPS):
        rows = np.arange(start, min(start + _GROUPS, len(groups)))
        arrays = groups.arrays(rows, length)
        there = arrays["weight"] > 0
        for way, features in enumerate(seen):
            given = {name: features[groups.images[rows]], "tokens": arrays["tokens"]}
            chosen[way].append(_likeliest(executor.forward(given))[there])
    return [np.concatenate(words) for words in chosen]


def _likeliest(scores: np.ndarray) -> np.ndarray:
    """Return the best of the words that may be said, for scores (n, captions, length, words)."""
    scores[..., [PAD, BEGIN, UNKNOWN]] = -np.inf
    scores[:, :, 0, END] = -np.inf
    return scores.argmax(axis=-1)
