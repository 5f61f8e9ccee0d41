"""``compare_frameworks()``: the same task in each framework, measured in turns."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from diglot.comparison.environments import Environment, environment
from diglot.comparison.frameworks import FRAMEWORKS, Framework, chosen_frameworks
from diglot.comparison.machine import this_machine
from diglot.comparison.measures import RUNNERS, Measured, program_lines, run_once
from diglot.comparison.reference import reference_losses
from diglot.comparison.result import COLUMNS, FrameworkComparison, typed
from diglot.comparison.tasks import Handover, prepare_task
from diglot.engine.mxnet import physical_cores
from diglot.errors import DiglotError, InputError, InterruptedFitWarning
from diglot.estimators.settings import flag, whole
from diglot.evaluation import wilson
from diglot.files import path_of
from diglot.progress import Reporter, reporter
from diglot.seeds import check_seed

__all__ = ["TOLERANCE", "checked_pythons", "compare_frameworks", "largest_difference"]

TOLERANCE = 1e-3
"""How much a loss may differ from the reference, relative to it."""

_MIB = 2**20

Runs = dict[str, list[Measured]]


def compare_frameworks(
    frameworks: str | Sequence[str] | None = None,
    task: str = "lenet-mnist",
    *,
    epochs: int = 3,
    rounds: int = 2,
    era: str | None = None,
    device: str = "cpu",
    data: str | os.PathLike[str] | None = None,
    python: Mapping[str, str | os.PathLike[str]] | None = None,
    install: bool = True,
    seed: int = 1,
    verbose: Any = "auto",
) -> FrameworkComparison:
    """Train the same network in several frameworks, and measure each.

    Each framework runs in a process and an environment of its own, by a short script in the idiom
    of its users, from the same weights on the same batches in the same order. What it computes is
    held against a reference in double precision: a framework whose losses differ over the first
    100 steps is told of and not ranked.

    Parameters
    ----------
    frameworks : str or sequence of str, optional
        "mxnet", "tensorflow", "torch", "jax", "pytensor" (the default), "keras-tensorflow",
        "keras-jax", "keras-torch"; and of 2016 "theano-0.8" (with Lasagne), "tensorflow-0.12",
        "mxnet-0.9" and "keras-2-theano".
    task : {"lenet-mnist", "cnn-64", "lstm"}
        LeNet on handwritten digits; a CNN of four convolutions on drawings of 64 x 64 pixels; an
        LSTM that reads digits row by row.
    epochs : int
        At least 2, as the first one warms up.
    rounds : int
        How many times each framework runs. Frameworks take turns, in reversed order in every
        second round, so that a slow minute of the machine hits all.
    era : {"today", "2016", "both"}, optional
        Which frameworks to take; those of 2016 need Python 3.6 and 3.7, on the PATH or in pyenv.
    device : {"cpu", "gpu"}
    data : path, optional
        A folder with MNIST's four IDX files. Without it scikit-learn's digits stand in, which the
        result's ``task`` says.
    python : mapping of str to path, optional
        Pythons that have a framework already, by its name: ``{"torch": "/opt/torch/bin/python"}``.
    install : bool
        Whether environments that are not there yet are made: by pip, in the folder that the
        variable DIGLOT_CACHE names, else in the user's cache. The five take about 4 GB where pip
        finds PyTorch's build for the CPU (name PyTorch's index of these in pip's own variable
        PIP_EXTRA_INDEX_URL); the usual one for Linux brings several GB of CUDA along.
    seed : int
        Of the first weights, the drawings and the order of the batches.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Returns
    -------
    FrameworkComparison
        A framework that cannot be installed or fails has a row that says why.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Stochastic gradient descent with momentum 0.9 and a constant rate, which all frameworks define
    alike, in single precision. Each computes with as many threads as there are physical cores. On
    a GPU the shorter numbers of newer ones (TF32) are switched off, and a framework that computes
    on the processor after all fails.

    Examples
    --------
    >>> from diglot import compare_frameworks
    >>> found = compare_frameworks(["mxnet", "jax"])  # doctest: +SKIP
    >>> found.to_csv("comparison.csv")  # doctest: +SKIP
    """
    chosen = chosen_frameworks(frameworks, era)
    epochs, rounds = whole("epochs", epochs, 2), whole("rounds", rounds, 1)
    seed = check_seed(seed)
    flag("install", install)
    if device not in ("cpu", "gpu"):
        raise InputError(f"device must be 'cpu' or 'gpu', not {device!r}")
    pythons = checked_pythons(python)
    given = prepare_task(task, epochs=epochs, seed=seed, data=data)
    threads = physical_cores()
    problems: dict[str, str] = {}
    runs: Runs = {framework.name: [] for framework in chosen}
    listener = reporter(verbose)
    began = time.monotonic()
    try:
        places = _environments(chosen, device, pythons, install, problems, listener)
        _measure(chosen, places, given, rounds, threads, device, runs, problems, listener)
    except KeyboardInterrupt:
        if not any(runs.values()):
            raise
        warnings.warn("interrupted: what was measured is kept", InterruptedFitWarning, stacklevel=2)
    finally:
        listener.finish()
    wall_seconds = time.monotonic() - began
    expected = reference_losses(given)
    rows = [
        _row(framework, runs[framework.name], problems, places, given, expected, device)
        for framework in chosen
    ]
    return FrameworkComparison(
        table=_ranked(pd.DataFrame(rows, columns=list(COLUMNS))),
        epoch_times=_epoch_times(runs, given),
        losses=_losses(runs, expected),
        task=given.name,
        device=device,
        epochs=epochs,
        rounds=rounds,
        seed=seed,
        threads=threads,
        wall_seconds=round(wall_seconds, 1),
        machine=this_machine(),
        date=date.today().isoformat(),
    )


def largest_difference(losses: Sequence[float], expected: np.ndarray) -> float:
    """Return the largest difference of losses from the expected ones, relative to them.

    Infinite where a loss is missing or no number.

    Examples
    --------
    >>> largest_difference([2.0, 1.1], np.array([2.0, 1.0])).__round__(3)
    0.1
    """
    if len(losses) < len(expected):
        return float("inf")
    difference = np.abs(np.array(losses[: len(expected)]) - expected) / np.abs(expected)
    return float(np.nan_to_num(difference, nan=np.inf).max())


# ---- running


def checked_pythons(
    python: Mapping[str, Any] | None, known: Mapping[str, Framework] = FRAMEWORKS
) -> dict[str, Any]:
    """Return Pythons by the names of frameworks, which must be known ones."""
    if python is not None and not isinstance(python, Mapping):
        raise InputError("python must map frameworks to programs, as {'torch': '/opt/bin/python'}")
    for name in python or {}:
        if name not in known:
            names = ", ".join(known)
            raise InputError(f"python names {name!r}, which is no framework; there are {names}")
    return {name: path_of(place, f"python[{name!r}]") for name, place in (python or {}).items()}


def _environments(
    chosen: Sequence[Framework],
    device: str,
    pythons: Mapping[str, Any],
    install: bool,
    problems: dict[str, str],
    listener: Reporter,
) -> dict[str, Environment]:
    """Return where each framework is; what is nowhere becomes a problem."""
    places = {}
    listener.start("Setting up", len(chosen), "framework")
    for done, framework in enumerate(chosen):
        listener.step(done, framework.label)
        try:
            places[framework.name] = environment(
                framework, device=device, python=pythons.get(framework.name), install=install
            )
        except DiglotError as error:
            problems[framework.name] = str(error)
    listener.finish()
    return places


def _measure(
    chosen: Sequence[Framework],
    places: Mapping[str, Environment],
    given: Handover,
    rounds: int,
    threads: int,
    device: str,
    runs: Runs,
    problems: dict[str, str],
    listener: Reporter,
) -> None:
    """Run all frameworks in turns; one that fails is left out from then on."""
    able = [framework for framework in chosen if framework.name in places]
    listener.start("Measuring", rounds * len(able), "run")
    for number in range(rounds):
        for turn, framework in enumerate(able if number % 2 == 0 else able[::-1]):
            name = framework.name
            listener.step(number * len(able) + turn, framework.label)
            if name in problems:
                continue
            try:
                found = run_once(framework, places[name], given, threads=threads, device=device)
            except DiglotError as error:
                problems[name] = str(error)
            else:
                runs[name].append(found)


# ---- tables


def _row(
    framework: Framework,
    runs: Sequence[Measured],
    problems: Mapping[str, str],
    places: Mapping[str, Environment],
    given: Handover,
    expected: np.ndarray,
    device: str,
) -> dict[str, Any]:
    named = {"framework": framework.name, "label": framework.label, "era": framework.era}
    problem = problems.get(framework.name, "" if runs else "interrupted")
    empty = {name: "" for name, kind in COLUMNS.items() if kind == "str"}
    if problem:
        return {**empty, **named, "problem": problem}
    first, place = runs[0], places[framework.name]
    rates = [rate for run in runs for rate in _rates(run, given)[1:]]
    differences = [largest_difference(run.losses, expected) for run in runs]
    lower, upper = wilson(first.right, first.n)

    def median(values: Sequence[float]) -> float:
        return float(np.median(values))

    return {
        **empty,
        **named,
        "version": first.version,
        "python": first.python,
        "agrees": max(differences) <= TOLERANCE,
        "difference": max(differences),
        "images_per_second": median(rates),
        "images_per_second_lower": min(rates),
        "images_per_second_upper": max(rates),
        "first_step_seconds": median([run.epoch_seconds[0] for run in runs]),
        "import_seconds": median([run.import_seconds for run in runs]),
        "memory_mib": median([run.memory for run in runs]) / _MIB,
        "device_memory_mib": median([run.device_memory for run in runs]) / _MIB,
        "accuracy": first.right / first.n,
        "accuracy_lower": float(lower),
        "accuracy_upper": float(upper),
        "n": first.n,
        "installed_mib": place.size(framework, device) / _MIB,
        "lines": program_lines(RUNNERS / framework.runner, given.settings["network"]),
        "settings": " ".join(f"{name}={value}" for name, value in sorted(first.settings.items())),
    }


def _rates(run: Measured, given: Handover) -> list[float]:
    """Return the images a second of each epoch after the first step."""
    batch = given.settings["batch"]
    return [
        steps * batch / seconds
        for steps, seconds in zip(run.epoch_steps[1:], run.epoch_seconds[1:], strict=True)
    ]


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Rank by speed what agrees with the reference."""
    table = typed(table)
    speed = table["images_per_second"].where(table["agrees"].fillna(False).astype(bool))
    table["rank"] = speed.rank(ascending=False, method="min").astype("Int64")
    return table


def _epoch_times(runs: Runs, given: Handover) -> pd.DataFrame:
    rows = [
        (name, number, epoch, seconds, rate)
        for name, measured in runs.items()
        for number, run in enumerate(measured, 1)
        for epoch, (seconds, rate) in enumerate(
            zip(run.epoch_seconds[1:], _rates(run, given), strict=True), 1
        )
    ]
    columns = ["framework", "round", "epoch", "seconds", "images_per_second"]
    return pd.DataFrame(rows, columns=columns)


def _losses(runs: Runs, expected: np.ndarray) -> pd.DataFrame:
    rows = [
        (name, step, loss, value)
        for name, measured in runs.items()
        for step, (loss, value) in enumerate(
            zip(measured[0].losses if measured else [], expected, strict=False), 1
        )
    ]
    return pd.DataFrame(rows, columns=["framework", "step", "loss", "expected"])
