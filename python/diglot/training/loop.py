"""The loop: epochs of steps, and what happens between them. Every model trains through it."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from diglot.engine import Executor
from diglot.errors import DivergedError, InputError, InterruptedFitWarning
from diglot.progress import Reporter
from diglot.seeds import engine_seed
from diglot.training.callbacks import Callbacks
from diglot.training.checkpoints import Checkpoints, State
from diglot.training.schedules import learning_rate

_SECONDS_BETWEEN_TEXTS = 2.0  # reading the loss waits for the device, so it is read rarely


class Task(Protocol):
    """What is trained: a model gives the loop its rows, batches and ways to judge itself."""

    rows: int
    steps: int
    metrics: Sequence[str]

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return the total weight of an epoch's first ``steps`` steps: what sums divide by."""

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield the inputs of the epoch's steps from ``start`` on."""

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return measures on held-out rows, named ``val_...``; none without such rows."""


@runtime_checkable
class Remembering(Protocol):
    """A task that keeps something from step to step, which a checkpoint must hold, too."""

    def memory(self) -> dict[str, np.ndarray]:
        """Return what it keeps, by name."""

    def remember(self, memory: Mapping[str, np.ndarray]) -> None:
        """Set what `memory` returned; raise a ModelFileError if it did not return this."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    epochs : int
        How often to go through the rows.
    learning_rate : float
        The largest.
    schedule : str
        Its course; see :func:`diglot.training.learning_rate`.
    warmup_epochs : float
        Over which the rate grows.
    seed : int
        Of dropout; a task takes care of its own streams.
    first_epoch : int
        How many epochs the model has seen before: numbering and random streams go on there.
    monitor : str or None
        The measure that decides which epoch is best; None keeps the last.
    patience : int or None
        Stop after so many epochs without improvement.
    restore_best : bool
        Return the best epoch's weights instead of the last's.
    """

    epochs: int
    learning_rate: float
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    seed: int = 0
    first_epoch: int = 0
    monitor: str | None = None
    patience: int | None = None
    restore_best: bool = True


@dataclass
class Result:
    """What a fit brought: records by epoch, which was best, and why it ended.

    ``stopped`` is "completed", "early", "callback" or "interrupted"; ``best`` are the weights of
    the best epoch.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = "completed"
    best: dict[str, np.ndarray] | None = None


def train(
    executor: Executor,
    task: Task,
    plan: Plan,
    *,
    run: Mapping[str, Any],
    reporter: Reporter,
    callbacks: object = None,
    checkpoints: Checkpoints | None = None,
    state: State | None = None,
) -> Result:
    """Train what ``executor`` holds; its weights are the result's at the end.

    Parameters
    ----------
    executor : Executor
        Prepared for training.
    task : Task
        Where batches come from.
    plan : Plan
        How to train.
    run : mapping
        JSON-able settings and data digest that identify the fit, for resuming.
    reporter : Reporter
        Who hears of the progress.
    callbacks : list of callable, optional
        See :class:`diglot.training.Callback`.
    checkpoints : Checkpoints, optional
        Where to save on the way.
    state : State, optional
        Where the fit stands, with the records of what came before; the executor must hold the
        weights that belong to it.

    Returns
    -------
    Result

    Raises
    ------
    DivergedError
        If the loss is not finite; the executor then holds the best weights seen before.
    """
    if state is None:
        state = State()
    if checkpoints is not None:
        checkpoints.make_folder()
    return _Loop(executor, task, plan, run, reporter, Callbacks(callbacks), checkpoints, state).go()


class _Loop:
    def __init__(
        self,
        executor: Executor,
        task: Task,
        plan: Plan,
        run: Mapping[str, Any],
        reporter: Reporter,
        callbacks: Callbacks,
        checkpoints: Checkpoints | None,
        state: State,
    ) -> None:
        self.executor, self.task, self.plan, self.run = executor, task, plan, run
        self.reporter, self.callbacks, self.checkpoints = reporter, callbacks, checkpoints
        self.state = state
        executor.set_totals(np.array(state.totals or [0.0] * len(task.metrics)))
        if isinstance(task, Remembering) and (state.memory or state.epoch or state.step):
            task.remember(state.memory)

    def go(self) -> Result:
        state, plan = self.state, self.plan
        self.callbacks.begin(
            {"epochs": plan.epochs, "steps": self.task.steps, "rows": self.task.rows}
        )
        self.reporter.start("Training", plan.epochs * self.task.steps, "batch")
        try:
            with _interrupts_at_steps() as interrupted:
                while state.epoch < plan.epochs and not state.stopped:
                    self._epoch(interrupted)
        except KeyboardInterrupt:
            state.stopped = "interrupted"
        finally:
            try:
                self.reporter.finish()
            except KeyboardInterrupt:
                # R may tell of one Ctrl-C twice: when it is pressed, and when R is called next.
                state.stopped = "interrupted"
        if state.stopped == "interrupted":
            _warn_interrupted(state.epoch)
        if plan.restore_best and plan.monitor and state.best is not None:
            self.executor.load_weights(state.best)
        self.callbacks.end(state.history)
        stopped = state.stopped or "completed"
        return Result(state.history, state.best_epoch, stopped, state.best)

    def _epoch(self, interrupted: threading.Event) -> None:
        state, task, plan = self.state, self.task, self.plan
        epoch = plan.first_epoch + state.epoch
        began, shown = time.perf_counter() - state.seconds, time.perf_counter()
        if state.step == 0:
            self.executor.set_totals(np.zeros(len(task.metrics)))
        first, text = state.step, ""
        with closing(task.batches(epoch, state.step)) as batches:
            for inputs in batches:
                seed = engine_seed(plan.seed, "dropout", epoch, state.step)
                self.executor.train_step(inputs, self._rate(state.step), seed)
                state.step += 1
                if interrupted.is_set():
                    state.stopped = "interrupted"
                    return
                if time.perf_counter() - shown > _SECONDS_BETWEEN_TEXTS:
                    shown, text = time.perf_counter(), self._text()
                self.reporter.step(state.epoch * task.steps + state.step, text)
                if self._due(state.step):
                    state.seconds = time.perf_counter() - began
                    self._save()
        self._finish_epoch(epoch, began, (task.steps - first) / task.steps)

    def _finish_epoch(self, epoch: int, began: float, share: float) -> None:
        state, task = self.state, self.task
        record = {"epoch": float(epoch + 1), **self._means(task.steps)}
        seconds = time.perf_counter() - began
        record |= task.validate(self.executor)
        record |= {
            "learning_rate": self._rate(task.steps - 1),
            "seconds": time.perf_counter() - began,
            "images_per_second": task.rows / max(seconds, 1e-9),
        }
        self._check_finite(record)
        state.history.append(record)
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        state.totals = [0.0] * len(task.metrics)
        self._judge(record)
        self.reporter.row(record)
        if self.callbacks.epoch(record):
            state.stopped = "callback"
        if self.checkpoints:
            self._save()

    def _judge(self, record: dict[str, float]) -> None:
        """Keep the weights if they are the best so far, and stop if that was long ago."""
        state, plan = self.state, self.plan
        if plan.monitor is not None and plan.monitor not in record:
            raise InputError(
                f"monitor={plan.monitor!r} is not measured; measured are: "
                + ", ".join(k for k in record if k not in ("epoch", "seconds"))
            )
        if plan.monitor is None or self._is_best(record[plan.monitor]):
            weights = self.executor.weights()
            # The epoch's last step may have spoilt what its losses do not show.
            if not all(np.isfinite(w).all() for w in weights.values()):
                self._diverged(record | {"loss": math.nan})
            state.best, state.best_epoch, state.waited = weights, int(record["epoch"]), 0
        else:
            state.waited += 1
        if plan.patience is not None and state.waited >= plan.patience:
            state.stopped = "early"

    def _is_best(self, value: float) -> bool:
        monitor = self.plan.monitor
        earlier = [r.get(monitor, math.nan) for r in self.state.history[:-1]]
        earlier = [v for v in earlier if v == v]  # NaN is neither better nor worse
        sign = -1.0 if monitor.endswith(("loss", "mae")) else 1.0
        return not earlier or sign * value > max(sign * v for v in earlier)

    def _check_finite(self, record: Mapping[str, float]) -> None:
        if not math.isfinite(record["loss"]):
            self._diverged(record)

    def _diverged(self, record: Mapping[str, float]) -> None:
        state = self.state
        kept = ""
        if state.best is not None:
            self.executor.load_weights(state.best)
            kept = f"; the weights of epoch {state.best_epoch} are kept"
        rate = self.plan.learning_rate
        raise DivergedError(
            f"the loss became {record['loss']} in epoch {int(record['epoch'])} with "
            f"learning_rate={rate:g}; try learning_rate={rate / 10:g} or clip_norm=1{kept}",
            history=[r for r in state.history if r["epoch"] < record["epoch"]],
            best_epoch=state.best_epoch,
        )

    def _means(self, steps: int) -> dict[str, float]:
        weight = self.task.weight_of(steps, self.plan.first_epoch + self.state.epoch)
        totals = self.executor.totals() / max(weight, 1e-12)
        return dict(zip(self.task.metrics, map(float, totals), strict=True))

    def _text(self) -> str:
        means = self._means(self.state.step)
        return ", ".join(f"{k} {v:.4f}" for k, v in means.items())

    def _rate(self, step: int) -> float:
        steps, plan = self.task.steps, self.plan
        return learning_rate(
            plan.schedule,
            plan.learning_rate,
            self.state.epoch * steps + step,
            plan.epochs * steps,
            round(plan.warmup_epochs * steps),
        )

    def _due(self, step: int) -> bool:
        points = self.checkpoints
        # At an epoch's last step, the epoch's end saves.
        return bool(points and points.every) and (
            step % points.every == 0 and step < self.task.steps
        )

    def _save(self) -> None:
        self.state.totals = [float(t) for t in self.executor.totals()]
        if self.state.step == 0:
            self.state.totals = [0.0] * len(self.task.metrics)
        if isinstance(self.task, Remembering):
            self.state.memory = self.task.memory()
        self.checkpoints.save(
            self.run, self.state, self.executor.weights(), self.executor.optimiser_state()
        )


def _warn_interrupted(epochs: int) -> None:
    warnings.warn(
        InterruptedFitWarning(
            f"the fit was interrupted after {epochs} whole epochs; what it learned so far is kept"
        ),
        stacklevel=5,
    )


@contextmanager
def _interrupts_at_steps() -> Iterator[threading.Event]:
    """Hold Ctrl-C back until the running step is done, so that no update is left half made.

    Where something else than Python listens for it (R does), that is left alone: the
    KeyboardInterrupt then comes by itself.
    """
    flag = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield flag
        return
    signal.signal(signal.SIGINT, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
