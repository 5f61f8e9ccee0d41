"""``NetworkEstimator``: what every model that is a trained network has in common."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from diglot import storage
from diglot.augment import augment
from diglot.engine import Device, pick_device
from diglot.errors import InputError, ModelFileError
from diglot.estimators.filed import Filed
from diglot.estimators.phases import Fitted
from diglot.estimators.settings import UNSAVED, jsonable_settings
from diglot.graph import Graph
from diglot.images import ImageSet, PreparedImages
from diglot.seeds import check_seed
from diglot.training import Checkpoints, Plan, find_checkpoint

# What does not change the result of a fit, or is told of in another way.
_RUN_IGNORES = (
    *UNSAVED,
    "network",
    "encoder",
    "device",
    "precision",
    "memory_limit",
    "threads",
    "augment",
)


class Runtime:
    """What a fitted model keeps for speed only: it is never copied nor stored.

    ``lock`` is for what answers in several steps: threads may share a model.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.kept: dict[Any, Any] = {}
        self.optimiser_state: dict[str, np.ndarray] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Runtime, ()

    def __deepcopy__(self, memo: Any) -> Runtime:
        return Runtime()


class NetworkEstimator(Filed, BaseEstimator):
    """A scikit-learn estimator around one network.

    Attributes
    ----------
    network_ : Graph
        The network with its weights and its input.
    history_ : DataFrame
        One row an epoch.
    best_epoch_ : int
        The epoch whose weights these are.
    seed_ : int
        The seed that was used.
    device_ : str
        Where it was trained.
    engine_ : str
        What trained it, "mxnet" or "torch".
    stopped_ : str
        "completed", "early", "callback", "interrupted" or "diverged".
    """

    # ---- fitting

    def _seed(self) -> int:
        """Return the seed; a fit that is resumed without one takes its checkpoint's."""
        if self.seed is None and self.resume:
            place = self.checkpoint if self.resume is True else self.resume
            found = find_checkpoint(place) if place is not None else None
            if found is not None:
                run = storage.read_metadata(found).get("run")
                seed = run.get("seed") if isinstance(run, dict) else None
                if type(seed) is not int or not 0 <= seed < 2**53:
                    raise ModelFileError(
                        f"the checkpoint {str(found)!r} is damaged: it has no seed"
                    )
                return check_seed(seed)
        return check_seed(self.seed)

    def _checkpoints(self) -> tuple[Checkpoints | None, str | None]:
        """Return where to save, and where to look for a checkpoint to go on from."""
        folder = self.checkpoint
        resume = folder if self.resume is True else self.resume or None
        if self.resume is True and folder is None:
            raise InputError("resume=True needs checkpoint=, the folder to look in")
        if resume is not None and folder is None and Path(resume).suffix == "":
            folder = resume
        if folder is None:
            return None, None if resume is None else os.fspath(resume)
        points = Checkpoints(Path(folder), self.checkpoint_every)
        return points, None if resume is None else os.fspath(resume)

    def _run(self, graph: Graph, digest: str, seed: int, **more: Any) -> dict[str, Any]:
        """Return what identifies the fit: a checkpoint of another one is refused."""
        changes = augment(self.augment)
        network = hashlib.sha256(graph.to_json().encode())
        if graph.weights is not None:
            network.update(storage.fingerprint(graph.weights).encode())
        return {
            **jsonable_settings(self, _RUN_IGNORES),
            "network": network.hexdigest(),
            "augment": None if changes is None else changes.to_dict(),
            "seed": seed,
            "data": digest,
            **more,
        }

    def _plan(self, seed: int, *, judged: bool, **more: Any) -> Plan:
        """Return what all phases of a fit share; ``more`` differs from the settings."""
        goes_on = more.get("first_epoch", 0) > 0  # as many epochs as were asked for
        if self.patience is not None and not judged and not goes_on:
            raise InputError(
                "patience needs images to judge by: give validation=0.2 or validation_data="
            )
        settings = {"schedule": self.schedule, "warmup_epochs": float(self.warmup_epochs), **more}
        return Plan(
            epochs=1,  # each phase has its own, and its own rate
            learning_rate=1.0,
            seed=seed,
            monitor=self.monitor if judged else None,
            patience=self.patience if judged else None,
            restore_best=bool(self.restore_best),
            **settings,
        )

    def _settle(self, fitted: Fitted, seed: int, device: Device, *, first_epoch: int = 0) -> None:
        """Set the attributes that every fitted model has; epochs of earlier fits stay."""
        result = fitted.result
        history = pd.DataFrame(result.history)
        if first_epoch:
            history = pd.concat([self.history_, history], ignore_index=True)
        if len(history):
            history["epoch"] = history["epoch"].astype(int)
        else:
            history = pd.DataFrame({"epoch": np.array([], int), "loss": []})
        self.network_ = fitted.graph
        self.history_ = history
        self.best_epoch_ = result.best_epoch
        self.stopped_ = result.stopped
        self.seed_ = seed
        self.device_, self.engine_ = str(device), device.engine
        self._runtime = Runtime()

    def _prepared(self, images: ImageSet, graph: Graph) -> PreparedImages:
        return PreparedImages(
            images, graph.input, memory_limit=self.memory_limit, threads=self.threads
        )

    # ---- answering

    def _kept(self, name: Any, make: Callable[[Device], Any]) -> Any:
        """Return what answers for the fitted network; it is made for a device when first asked."""
        kept, key = self._runtime.kept, (name, self.engine, self._is_mixed())
        with self._runtime.lock:
            if key not in kept:
                kept[key] = make(self._device())
            return kept[key]

    def _device(self) -> Device:
        """Return what answers: what was asked for, or the best here, where that is elsewhere."""
        wanted = self.device if self.device != self.device_ else "auto"
        device = pick_device(wanted, self.engine)
        # A file may say so and be opened where there is MXNet only: it answers in float32.
        return device.mixing() if self._is_mixed() and device.engine == "torch" else device

    def _is_mixed(self) -> bool:
        return getattr(self, "precision", None) == "mixed"

    # ---- files and words

    def _tensors(self) -> Mapping[str, np.ndarray]:
        check_is_fitted(self)
        return self.network_.weights

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")


def place_told(model: Any) -> str:
    """Return in words where a model was trained, and what by: "cpu (torch)"."""
    return f"{model.device_} ({model.engine_})"


def last_measures(history: pd.DataFrame, names: Sequence[str]) -> str:
    """Return the last epoch's measures in words."""
    last: Mapping[str, Any] = history.iloc[-1].to_dict() if len(history) else {}
    return ", ".join(f"{n} {last[n]:.4f}" for n in names if n in last and last[n] == last[n])
