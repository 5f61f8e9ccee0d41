"""With which numbers a fitted network scores: float32, or 8-bit integers where they do as well."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from diglot.engine import Device, Scorer, int8_scorer, measure_ranges, open_executor
from diglot.errors import ModelFileError
from diglot.estimators.phases import Fitted
from diglot.graph import COVARIATES, Graph
from diglot.images import batches
from diglot.outcomes import Outcome
from diglot.predictor.fitting import Fit
from diglot.predictor.rows import Rows

PRECISIONS = ("auto", "float32", "int8")
LEAST_AGREEMENT = 0.995  # of answers, for "auto" to take integers
LEAST_WORK = 50_000_000  # multiply-adds of an image: below, reading it takes longer than scoring
_IMAGES, _BATCH = 64, 16
_MOST_RANGES = 100_000


@dataclass(frozen=True)
class Int8:
    """What scoring with integers needs to know, and how well it answers.

    Attributes
    ----------
    ranges : mapping of str to (float, float)
        Between which numbers layers' outputs lie, on training images.
    agreement : float
        The share of these images for which it answers as float32 does.
    n : int
        How many they were.
    """

    ranges: Mapping[str, tuple[float, float]]
    agreement: float
    n: int

    def __str__(self) -> str:
        return f"answers as float32 for {100 * self.agreement:.1f} % of {self.n} training images"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        ranges = {name: list(ends) for name, ends in self.ranges.items()}
        return {"ranges": ranges, "agreement": self.agreement, "n": self.n}

    @classmethod
    def from_dict(cls, given: Any) -> Int8:
        """Read what `to_dict` wrote; a file's data is checked, not trusted.

        Raises
        ------
        ModelFileError
            If it is damaged.
        """
        try:
            ranges = {
                str(n): (float(low), float(high)) for n, (low, high) in given["ranges"].items()
            }
            agreement, n = float(given["agreement"]), given["n"]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelFileError(f"the ranges for int8 are damaged: {error!r}") from error
        sound = all(math.isfinite(a) and math.isfinite(b) and a <= b for a, b in ranges.values())
        sound = sound and 0 < len(ranges) <= _MOST_RANGES and 0 <= agreement <= 1
        if not sound or type(n) is not int or n < 1:
            raise ModelFileError("the ranges for int8 are damaged")
        return cls(ranges, agreement, n)


def calibrate_int8(
    graph: Graph, rows: Rows, outcome: Outcome, device: Device, threads: int | None
) -> Int8 | None:
    """Measure the ranges on some training images, and how often integers answer as float32 does.

    Returns
    -------
    Int8 or None
        None for a network of which no layer can use integers.
    """
    chosen = np.arange(min(_IMAGES, len(rows)))  # rows lie in the order of their content's digest
    parts = [chosen[i : i + _BATCH] for i in range(0, len(chosen), _BATCH)]
    given = [
        {"data": data, **rows.beside(parts[position])}
        for position, data in batches(rows.images, [rows.places[p] for p in parts], threads=threads)
    ]
    ranges = measure_ranges(graph, given)
    if not ranges:
        return None
    runners = int8_scorer(graph, ranges), open_executor(graph, device)
    short, long = (np.concatenate([runner.forward(x) for x in given]) for runner in runners)
    return Int8(ranges, outcome.agreement(short, long), len(chosen))


def is_faster(first: Any, second: Any, graph: Graph) -> bool:
    """Whether one scorer is faster than another on this machine, on a batch of no image's."""
    spec = graph.input
    inputs = {"data": np.zeros((_BATCH, spec.height, spec.width, spec.channels), np.float32)}
    if COVARIATES in graph.inputs:
        inputs[COVARIATES] = np.zeros((_BATCH, *graph.extra_inputs[COVARIATES]), np.float32)
    return _seconds(first, inputs) < _seconds(second, inputs)


def _seconds(runner: Any, inputs: Mapping[str, np.ndarray]) -> float:
    runner.forward(inputs)  # memory is planned in the first run
    times = []
    for _ in range(3):
        began = time.perf_counter()
        runner.forward(inputs)
        times.append(time.perf_counter() - began)
    return min(times)


class WithPrecision:
    """What a predictor of images needs to choose the numbers that it scores with."""

    int8_: Int8 | None = None  # also of models that were fitted before there was any

    def _calibrated_int8(self, fit: Fit, fitted: Fitted) -> Int8 | None:
        """Measure what scoring with integers needs, where it may be wanted."""
        large = fitted.graph.multiply_adds >= LEAST_WORK
        wanted = self.precision == "int8" or (self.precision == "auto" and large)
        if not wanted or fit.device.kind != "cpu":
            return None
        found = calibrate_int8(fitted.graph, fit.train, fit.outcome, fit.device, self.threads)
        if found is None and self.precision == "int8":
            warnings.warn(
                f"No layer of {fitted.graph.name!r} can be computed with 8-bit integers: it scores "
                "in float32.",
                stacklevel=4,
            )
        return found

    def _scorer(self) -> Scorer:
        """Return what answers: with integers where that is asked for, or agrees and is faster."""
        floats = self._kept("network", partial(open_executor, self.network_))
        known = self.int8_
        if known is None or self.precision == "float32" or floats.device.kind != "cpu":
            return floats
        if self.precision == "auto" and known.agreement < LEAST_AGREEMENT:
            return floats

        def chosen(_: Any) -> Scorer:
            integers = int8_scorer(self.network_, known.ranges)
            if self.precision == "int8" or is_faster(integers, floats, self.network_):
                return integers
            return floats

        return self._kept(f"{self.precision} precision", chosen)
