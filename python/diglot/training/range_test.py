"""The learning-rate range test: train a little at rates that grow, and see where the loss falls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diglot.engine import Executor
from diglot.errors import InputError, MissingPackageError
from diglot.progress import Reporter
from diglot.seeds import engine_seed
from diglot.training.loop import Task

_MEMORY = 0.9  # of the running mean of losses
_EXPLODED = 4.0  # times the least loss: nothing is learned from there on


@dataclass(frozen=True)
class LearningRates:
    """What a range test found.

    Attributes
    ----------
    table : DataFrame
        One row a step: ``learning_rate``, ``loss`` of the batch, ``smoothed``.
    suggestion : float
        The rate at which the smoothed loss falls most steeply.

    Examples
    --------
    >>> steps = np.arange(50)
    >>> found = suggest(10.0 ** (-4 + steps / 12), 1 / (1 + np.exp((steps - 24) / 3)))
    >>> 0.005 < found.suggestion < 0.03
    True
    """

    table: pd.DataFrame
    suggestion: float

    def plot(self, axes: Any = None) -> Any:
        """Draw the loss over the learning rate, with the suggestion.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            Where to draw; new ones by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        if axes is None:
            try:
                from matplotlib.figure import Figure
            except ImportError as error:
                raise MissingPackageError(
                    "plot() needs matplotlib; install it with: pip install matplotlib"
                ) from error
            axes = Figure(figsize=(6, 4), layout="constrained").add_subplot()
        axes.plot(self.table["learning_rate"], self.table["loss"], color="0.8", label="batch")
        axes.plot(self.table["learning_rate"], self.table["smoothed"], label="smoothed")
        axes.axvline(self.suggestion, linestyle="--", color="0.3")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.set_title(f"steepest at {self.suggestion:.2g}")
        axes.legend()
        return axes


def range_test(
    executor: Executor,
    task: Task,
    lowest: float,
    highest: float,
    steps: int,
    *,
    seed: int,
    reporter: Reporter,
) -> LearningRates:
    """Train for some steps at rates that grow by the same factor each time.

    Parameters
    ----------
    executor : Executor
        Prepared for training; its weights are spoilt by the test.
    task : Task
        Where batches come from.
    lowest, highest : float
        The first and the last rate.
    steps : int
        How many; the test ends before if the loss explodes.
    seed : int
        Of dropout.
    reporter : Reporter
        Who hears of the progress.

    Returns
    -------
    LearningRates

    Notes
    -----
    Smith (2017), Cyclical learning rates for training neural networks, arXiv:1506.01186.
    """
    rates, losses = np.geomspace(lowest, highest, steps), []
    least = math.inf
    reporter.start("Trying learning rates", steps, "batch")
    try:
        for step, inputs in zip(range(steps), _endless(task), strict=False):
            executor.set_totals(np.zeros(len(task.metrics)))
            executor.train_step(inputs, float(rates[step]), engine_seed(seed, "range test", step))
            weight = max(float(inputs["weight"].sum()), 1e-12)
            losses.append(float(executor.totals()[0]) / weight)
            reporter.step(step + 1, f"loss {losses[-1]:.4f}")
            least = min(least, losses[-1])
            if not math.isfinite(losses[-1]) or losses[-1] > _most(losses[0], least):
                break
    finally:
        reporter.finish()
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < 5:
        raise InputError(f"the loss explodes at a rate of {lowest:g} already: give a lower lowest=")
    return suggest(rates[: len(finite)], np.array(finite))


def _most(first: float, least: float) -> float:
    """Return the loss above which it has exploded.

    One that may be below 0, as that of counts, is measured by its size and by how far it fell.
    """
    size = least if least > 0 else max(-least, first - least)
    return least + (_EXPLODED - 1) * size + 1.0


def _endless(task: Task):
    epoch = 0
    while True:
        yield from task.batches(epoch, 0)
        epoch += 1


def suggest(rates: np.ndarray, losses: np.ndarray) -> LearningRates:
    """Smooth the losses, and find where they fall most steeply over the logarithm of the rate.

    Parameters
    ----------
    rates, losses : array of n floats
        In the order of the steps.

    Returns
    -------
    LearningRates

    Examples
    --------
    >>> suggest(np.geomspace(1e-4, 1, 9), np.array([9, 9, 9, 9, 5, 1, 1, 1, 9.0])).table.shape
    (9, 3)
    """
    smoothed, mean = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        smoothed[step] = mean / (1 - _MEMORY ** (step + 1))  # as if it had begun at the first loss
    end = max(2, int(np.argmin(smoothed)) + 1)
    slope = np.gradient(smoothed[:end], np.log(rates[:end]))
    table = pd.DataFrame({"learning_rate": rates, "loss": losses, "smoothed": smoothed})
    return LearningRates(table, float(rates[int(np.argmin(slope))]))
