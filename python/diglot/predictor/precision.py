"""How often a predictor answers with 8-bit integers as it does in float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diglot.engine import Device
from diglot.estimators.precision import Int8, calibrated, calibration_images
from diglot.graph import Graph
from diglot.predictor.fitting import Fit


def calibrate_int8(graph: Graph, fit: Fit, threads: int | None, device: Device) -> Int8 | None:
    """Measure the ranges on some training images, and how often integers answer as float32 does.

    Returns
    -------
    Int8 or None
        None for a network of which no layer can use integers.
    """
    rows = fit.train

    def given(most: int) -> Iterator[dict[str, np.ndarray]]:
        for mine, data in calibration_images(rows.images, rows.places, threads, most):
            yield {"data": data, **rows.beside(mine)}

    found = calibrated(graph, given, device)
    if found is None:
        return None
    ranges, short, long = found
    return Int8(ranges, fit.outcome.agreement(short, long), len(short))
