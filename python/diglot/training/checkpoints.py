"""Checkpoints: one file that is replaced whole, from which a fit goes on to the same bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diglot import storage
from diglot.engine import LOSS_SCALE
from diglot.errors import InputError, ModelFileError, cause
from diglot.files import remove_unfinished

_FILE = "checkpoint.safetensors"
_STOPPED = ("", "early", "callback", "interrupted")


@dataclass
class State:
    """Where a fit stands: everything that the rest of it depends on.

    ``phase`` counts what was trained before (a head, say, before the whole), ``epoch`` the
    finished epochs and ``step`` the finished steps of the running one. ``totals`` are that
    epoch's sums so far; ``best`` the weights to return, if any epoch ended; ``memory`` what the
    task itself keeps from step to step, if it does.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, np.ndarray] | None = None
    best_epoch: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped: str = ""
    memory: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often to save; ``every`` counts steps, None saves at each epoch's end only.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    every : int, optional
        Also save after so many steps.
    """

    folder: Path
    every: int | None = None

    def make_folder(self) -> None:
        """Make the folder, so that one that cannot be is known before the first epoch.

        What a killed fit had half written is removed.
        """
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise ModelFileError(
                f"the checkpoint folder {str(self.folder)!r} cannot be made: {error.strerror}; "
                "give another one in checkpoint="
            ) from error
        remove_unfinished(self.folder / _FILE)

    def save(
        self,
        run: Mapping[str, Any],
        state: State,
        weights: Mapping[str, np.ndarray],
        optimiser: Mapping[str, np.ndarray],
    ) -> None:
        """Replace the checkpoint; a crash leaves the old or the new one, whole."""
        tensors = {f"weight/{n}": w for n, w in weights.items()}
        tensors |= {f"optimiser/{n}": w for n, w in optimiser.items()}
        tensors |= {f"best/{n}": w for n, w in (state.best or {}).items()}
        tensors |= {f"memory/{n}": a for n, a in state.memory.items()}
        tensors["totals"] = np.asarray(state.totals, np.float64)
        columns = list(dict.fromkeys(name for row in state.history for name in row))
        # As an array, since floats must come back to the last bit; NaN is what was not measured.
        tensors["history"] = np.array(
            [[row.get(c, np.nan) for c in columns] for row in state.history], np.float64
        ).reshape(len(state.history), len(columns))
        metadata = {
            "kind": "checkpoint",
            "run": dict(run),
            "columns": columns,
            "phase": state.phase,
            "epoch": state.epoch,
            "step": state.step,
            "best_epoch": state.best_epoch,
            "waited": state.waited,
            "seconds": state.seconds,
            "stopped": state.stopped,
        }
        storage.write_file(self.folder / _FILE, tensors, metadata)


def find_checkpoint(path: str | os.PathLike[str]) -> Path | None:
    """Return the checkpoint file that a folder holds or a path names; None if there is none."""
    place = Path(path)
    if place.is_dir():
        place = place / _FILE
    return place if place.is_file() else None


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds: where the fit stood, its weights, its optimiser's arrays."""

    state: State
    weights: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray]


def read_checkpoint(path: Path, run: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of the same run.

    Raises
    ------
    InputError
        If it was written by a fit with other settings or data; the message says which.
    ModelFileError
        If the file is damaged or no checkpoint.
    """
    tensors, meta = storage.read_file(path)
    if meta.get("kind") != "checkpoint":
        raise ModelFileError(f"{str(path)!r} is not a checkpoint but a {meta.get('kind')!r}")
    _check_same_run(path, meta.get("run"), run)
    try:
        return _checkpoint(tensors, meta)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(path, cause(error)) from error


def _checkpoint(tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Checkpoint:
    counts = {name: _count(meta, name) for name in ("phase", "epoch", "step")}
    counts |= {name: _count(meta, name) for name in ("best_epoch", "waited")}
    seconds, stopped = float(meta["seconds"]), meta["stopped"]
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is {seconds}")
    if stopped not in _STOPPED:
        raise ValueError(f"stopped is {stopped!r}")
    totals = tensors["totals"]
    if totals.dtype != np.float64 or totals.ndim != 1:
        raise ValueError("its totals are not a row of numbers")
    state = State(
        totals=[float(t) for t in totals],
        history=_history(meta["columns"], tensors["history"]),
        best=_part(tensors, "best/") or None,
        seconds=seconds,
        stopped=stopped,
        memory=_part(tensors, "memory/"),
        **counts,
    )
    return Checkpoint(state, _part(tensors, "weight/"), _part(tensors, "optimiser/"))


def _count(meta: Mapping[str, Any], name: str) -> int:
    value = meta[name]
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"{name} is {value!r}"[:200])
    return value


def _history(columns: Any, table: np.ndarray) -> list[dict[str, float]]:
    named = isinstance(columns, list) and all(isinstance(column, str) for column in columns)
    if not named or len(set(columns)) != len(columns):
        raise ValueError("its columns are not different names")
    if table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != len(columns):
        raise ValueError(f"its history of shape {table.shape} is not that of its columns")
    # NaN is what was not measured.
    return [{c: float(v) for c, v in zip(columns, row, strict=True) if v == v} for row in table]


def check_place(path: Path, state: State, lengths: Sequence[int], first_epoch: int = 0) -> None:
    """Refuse a checkpoint that stands where its fit never comes.

    Parameters
    ----------
    path : Path
        What errors name.
    state : State
        As `read_checkpoint` gives it.
    lengths : sequence of int
        The epochs of each phase.
    first_epoch : int
        How many epochs the model had seen before the fit.

    Raises
    ------
    ModelFileError
        If the phase, an epoch or the records do not fit the fit or each other.
    """
    if state.phase >= len(lengths):
        raise _damaged(path, f"it is in phase {state.phase} of a fit of {len(lengths)}")
    if state.epoch > lengths[state.phase]:
        raise _damaged(path, f"it has {state.epoch} epochs of a phase of {lengths[state.phase]}")
    # An earlier phase may have stopped early; the running one has a record for each epoch.
    before = len(state.history) - state.epoch
    if not 0 <= before <= sum(lengths[: state.phase]):
        raise _damaged(path, f"it has {len(state.history)} records at epoch {state.epoch}")
    epochs = [record.get("epoch") for record in state.history]
    if epochs != [first_epoch + i + 1 for i in range(len(epochs))]:
        raise _damaged(path, "its records are not those of one epoch after the other")
    if (state.best is None) != (not epochs) or state.best_epoch not in (epochs or [0]):
        raise _damaged(path, f"its best weights would be those of epoch {state.best_epoch}")
    if state.waited > len(epochs):
        raise _damaged(path, f"it has waited for {state.waited} of {len(epochs)} epochs")


def check_arrays(
    path: Path,
    found: Checkpoint,
    *,
    parameters: Mapping[str, Sequence[int]],
    weights: Mapping[str, np.ndarray],
    optimiser: Mapping[str, np.ndarray],
    steps: int,
    totals: int,
) -> None:
    """Refuse a checkpoint whose arrays are not those that its fit trains.

    Numbers that are not finite may be in the weights, as they are after a step that diverged; the
    best weights are finite, as the loop keeps no others.

    Parameters
    ----------
    path : Path
        What errors name.
    found : Checkpoint
        As `read_checkpoint` gives it.
    parameters : mapping of str to tuple of int
        The shapes of all of the network's parameters.
    weights, optimiser : mapping of str to ndarray
        What the executor has before the checkpoint's arrays are put in.
    steps : int
        Of an epoch.
    totals : int
        How many sums the loop keeps.

    Raises
    ------
    ModelFileError
        The message names the array.
    """
    state = found.state
    if state.step >= steps:
        raise _damaged(path, f"it stands at step {state.step} of {steps}")
    if state.totals and len(state.totals) != totals:
        raise _damaged(path, f"it has {len(state.totals)} totals, the fit {totals}")
    for what, arrays in (("weight", found.weights), ("best weight", state.best)):
        if arrays is None:
            continue
        for name in weights.keys() - arrays.keys():
            raise _damaged(path, f"it lacks the {what} {name!r}")
        for name, array in arrays.items():
            if array.dtype != np.float32 or array.shape != parameters.get(name):
                raise _damaged(
                    path, f"its {what} {name!r} has the shape {array.shape} of {array.dtype}"
                )
            if what != "weight" and not np.isfinite(array).all():
                raise _damaged(path, f"its {what} {name!r} holds NaN or infinity")
    scaled = {LOSS_SCALE: np.ones(2), **optimiser}  # which may be in one of them alone
    for name in (optimiser.keys() ^ found.optimiser.keys()) - {LOSS_SCALE}:
        raise _damaged(path, f"the optimiser's array {name!r} is not in both it and the fit")
    for name, array in found.optimiser.items():
        own = scaled[name]
        if array.dtype != own.dtype or array.shape != own.shape:
            raise _damaged(
                path,
                f"the optimiser's array {name!r} has the shape {array.shape} of {array.dtype}",
            )
    if int(found.optimiser["steps"][0]) < 0:
        raise _damaged(path, "the optimiser has made fewer than no steps")
    scale, steps = {**scaled, **found.optimiser}[LOSS_SCALE]
    if not (0 < scale < np.inf and 0 <= steps < 2**53):
        raise _damaged(path, f"its loss is scaled by {scale} for {steps} steps")


def _damaged(path: Path, fault: str) -> ModelFileError:
    return ModelFileError(
        f"the checkpoint {str(path)!r} is damaged: {fault[:500]}; start anew without resume="
    )


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}


def _check_same_run(path: Path, then: Any, now: Mapping[str, Any]) -> None:
    if not isinstance(then, dict):
        raise ModelFileError(f"the checkpoint {str(path)!r} does not say which fit it belongs to")
    different = sorted(k for k in {*then, *now} if then.get(k) != now.get(k))
    if not different:
        return
    name = different[0]
    if name == "data":
        raise InputError(
            f"the checkpoint {str(path)!r} was written for other images, labels or weights; "
            "resume with the same data, or start anew without resume="
        )
    raise InputError(
        f"the checkpoint {str(path)!r} was written with {name}={then.get(name)!r}, now it is "
        f"{now.get(name)!r}; resume with the same settings, or start anew without resume="
    )
