"""Checkpoints: one file that is replaced whole, from which a fit goes on to the same bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diglot import storage
from diglot.errors import InputError, ModelFileError

_FILE = "checkpoint.safetensors"


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
        storage.remove_unfinished(self.folder / _FILE)

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
        columns = [str(c) for c in meta["columns"]]
        rows = tensors["history"].reshape(-1, len(columns)) if columns else []
        state = State(
            phase=int(meta["phase"]),
            epoch=int(meta["epoch"]),
            step=int(meta["step"]),
            totals=[float(t) for t in tensors["totals"]],
            history=[
                {c: float(v) for c, v in zip(columns, row, strict=True) if v == v} for row in rows
            ],
            best=_part(tensors, "best/") or None,
            best_epoch=int(meta["best_epoch"]),
            waited=int(meta["waited"]),
            seconds=float(meta["seconds"]),
            stopped=str(meta["stopped"]),
            memory=_part(tensors, "memory/"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"the checkpoint {str(path)!r} is damaged: {error!r}") from error
    return Checkpoint(state, _part(tensors, "weight/"), _part(tensors, "optimiser/"))


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
