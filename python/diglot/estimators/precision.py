"""With which numbers a fitted network scores: float32, or 8-bit integers where they do as well."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.batching import Sparing
from diglot.engine import (
    Device,
    Scorer,
    int8_scorer,
    integer_device,
    measure_ranges,
    mixing,
    open_executor,
)
from diglot.errors import DeviceError, InputError, ModelFileError, cause
from diglot.graph import Graph
from diglot.images import PreparedImages, batches

PRECISIONS = ("auto", "float32", "int8", "mixed")
LEAST_AGREEMENT = 0.995  # of answers, for "auto" to take integers
LEAST_WORK = 50_000_000  # multiply-adds of an image: below, reading it takes longer than scoring
# Images for the ranges, which few show; and to compare answers on: one in 64 would be more than
# the half per cent that may differ.
RANGE_IMAGES, COMPARED_IMAGES = 64, 256
_BATCH = 16
_MOST_RANGES = 100_000


@dataclass(frozen=True)
class Int8:
    """What scoring with integers needs to know, and how well it answers.

    Attributes
    ----------
    ranges : mapping of str to (float, float)
        Between which numbers layers' outputs lie, on training images.
    agreement : float
        The share of answers for these images that are float32's.
    n : int
        How many answers were compared.
    """

    ranges: Mapping[str, tuple[float, float]]
    agreement: float
    n: int

    def told(self, answers: str) -> str:
        """Return in words how well it answers, by the name of what the answers are of.

        Examples
        --------
        >>> Int8({"fc": (-1.0, 2.5)}, 0.984375, 64).told("training images")
        'answers as float32 for 98.4 % of 64 training images'
        """
        return f"answers as float32 for {100 * self.agreement:.1f} % of {self.n:,} {answers}"

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
            raise ModelFileError(f"the ranges for int8 are damaged: {cause(error)}") from error
        sound = all(math.isfinite(a) and math.isfinite(b) and a <= b for a, b in ranges.values())
        sound = sound and 0 < len(ranges) <= _MOST_RANGES and 0 <= agreement <= 1
        if not sound or type(n) is not int or n < 1:
            raise ModelFileError("the ranges for int8 are damaged")
        return cls(ranges, agreement, n)


def check_precision(given: Any) -> None:
    """Refuse what is none of the precisions."""
    if given not in PRECISIONS:
        known = ", ".join(map(repr, PRECISIONS))
        raise InputError(f"precision must be one of {known}, not {given!r}")


def with_precision(device: Device, precision: str) -> Device:
    """Return the device, with the numbers that a fit is to compute with.

    Raises
    ------
    InputError
        If the engine does not have them, before anything is computed.
    DeviceError
        If the GPU does not.
    """
    if precision == "int8" and device.engine == "torch" and device.kind == "cpu":
        raise InputError(
            'precision="int8" is MXNet\'s: on PyTorch networks score in float32; use '
            'precision="auto", or engine="mxnet"'
        )
    if precision != "mixed":
        return device
    if device.engine != "torch":
        raise InputError('precision="mixed" is PyTorch\'s: use engine="torch" with it')
    try:
        return mixing(device)
    except DeviceError as why:
        raise DeviceError(f'precision="mixed" was asked for, but {why}; use "auto"') from None


# ---- calibration


def calibration_images(
    images: PreparedImages, places: np.ndarray, threads: int | None, most: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the first images, in batches of row numbers and pixels.

    Parameters
    ----------
    images : PreparedImages
        Where they come from.
    places : ndarray of int
        Which of them are the rows, in the order of their content's digest: so the first are as
        good as drawn at random.
    threads : int or None
        That decode.
    most : int
        How many.
    """
    chosen = np.arange(min(most, len(places)))
    rows = [chosen[i : i + _BATCH] for i in range(0, len(chosen), _BATCH)]
    found = batches(images, [places[mine] for mine in rows], threads=threads)
    return ((rows[position], data) for position, data in found)


def calibrated(
    graph: Graph,
    given: Callable[[int], Iterable[Mapping[str, np.ndarray]]],
    device: Device,
    compared: int = COMPARED_IMAGES,
) -> tuple[Mapping[str, tuple[float, float]], np.ndarray, np.ndarray] | None:
    """Measure a network's ranges, and let it answer with integers and in float32.

    Parameters
    ----------
    graph : Graph
        With weights.
    given : callable
        Of how many images at most: yields batches of the network's inputs.
    device : Device
        Where to compute in float32.
    compared : int
        For how many images at most to answer.

    Returns
    -------
    (ranges, answers with integers, answers in float32) or None
        None for a network of which no layer can use integers.
    """
    ranges = measure_ranges(graph, given(RANGE_IMAGES))
    if not ranges:
        return None
    integers, floats = int8_scorer(graph, ranges), open_executor(graph, device)
    pairs = [(integers.forward(x), floats.forward(x)) for x in given(compared)]
    short, long = (np.concatenate(answers) for answers in zip(*pairs, strict=True))
    return ranges, short, long


# ---- scoring


def is_faster(first: Scorer, second: Scorer, graph: Graph) -> bool:
    """Whether one scorer is faster than another on this machine, on a batch of no image's."""
    spec = graph.input
    inputs = {"data": np.zeros((_BATCH, spec.height, spec.width, spec.channels), np.float32)}
    for name, shape in (graph.extra_inputs or {}).items():
        inputs[name] = np.zeros((_BATCH, *shape), np.float32)
    return _seconds(first, inputs) < _seconds(second, inputs)


def _seconds(runner: Scorer, inputs: Mapping[str, np.ndarray]) -> float:
    runner.forward(inputs)  # memory is planned in the first run
    times = []
    for _ in range(3):
        began = time.perf_counter()
        runner.forward(inputs)
        times.append(time.perf_counter() - began)
    return min(times)


_UNMEASURED = (
    "the fitted model is whole, but scores in float32. Fit again to have it measured for 8-bit "
    'integers, or give precision="float32" to leave that out.'
)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=5)


class WithPrecision:
    """What an estimator needs to choose the numbers that its network scores with.

    Attributes
    ----------
    int8_ : Int8 or None
        What scoring with integers needs.
    """

    int8_: Int8 | None = None  # also of models that were fitted before there was any

    def _calibrate(
        self, graph: Graph, stopped: str, calibrate: Callable[[Device], Int8 | None]
    ) -> None:
        """Measure what scoring with integers needs, where it may be wanted; keep it in ``int8_``.

        That comes after the fit, which is whole already: nothing that goes wrong here, nor an
        interrupt, takes it away. A fit that was interrupted is not followed by more work.
        """
        asked = self.precision == "int8"
        large = graph.multiply_adds >= LEAST_WORK
        if not (asked or (self.precision == "auto" and large)):
            return
        if stopped == "interrupted":
            if asked:
                _warn(f"As the fit was interrupted, {_UNMEASURED}")
            return
        # What was trained on a GPU, or by PyTorch, may score on a CPU by MXNet some day.
        device = integer_device()
        if device is None:
            if asked:
                _warn(f"Without MXNet, {_UNMEASURED}")
            return
        try:
            self.int8_ = calibrate(device)
        except (Exception, KeyboardInterrupt) as error:
            what = "Interrupted" if isinstance(error, KeyboardInterrupt) else "Failed"
            told = str(error).strip()
            _warn(
                f"{what} while the network was tried with 8-bit integers"
                f"{f' ({type(error).__name__}: {told})' if told else ''}: {_UNMEASURED}"
            )
            return
        if self.int8_ is None and asked:
            _warn(
                f"No layer of {graph.name!r} can be computed with 8-bit integers: it scores in "
                "float32."
            )

    def _integers(
        self, graph: Graph, floats: Callable[[Device], Scorer], what: str = "network"
    ) -> Scorer | None:
        """Return what scores with integers, where they are asked for, or agree and are faster.

        ``floats`` makes what scores in float32, to see which is faster; ``what`` tells the graph
        from others of this model.
        """
        known = self.int8_
        if known is None or self.precision in ("float32", "mixed"):
            return None
        if self.precision == "auto" and known.agreement < LEAST_AGREEMENT:
            return None

        def chosen(device: Device) -> Scorer | None:
            if not device.has_integers:
                return None
            try:
                integers = int8_scorer(graph, known.ranges)
            except InputError as error:  # as where another MXNet puts other layers together
                warnings.warn(f"It scores in float32, as {error}.", stacklevel=2)
                return None
            if self.precision == "int8" or is_faster(integers, floats(device), graph):
                return Sparing(integers)
            return None

        return self._kept(f"{what} in {self.precision} precision", chosen)
