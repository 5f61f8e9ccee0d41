"""How often a predictor answers with 8-bit integers as it does in float32."""

from __future__ import annotations

from diglot.estimators.precision import Int8, calibrated, calibration_images
from diglot.graph import Graph
from diglot.predictor.fitting import Fit


def calibrate_int8(graph: Graph, fit: Fit, threads: int | None) -> Int8 | None:
    """Measure the ranges on some training images, and how often integers answer as float32 does.

    Returns
    -------
    Int8 or None
        None for a network of which no layer can use integers.
    """
    rows = fit.train
    images = calibration_images(rows.images, rows.places, threads)
    found = calibrated(graph, [{"data": x, **rows.beside(i)} for i, x in images], fit.device)
    if found is None:
        return None
    ranges, short, long = found
    return Int8(ranges, fit.outcome.agreement(short, long), len(short))
