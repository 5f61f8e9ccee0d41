"""``NetworkEstimator``: what every model that is a trained network has in common."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from diglot import storage
from diglot.augment import augment
from diglot.engine import Device, give_back_memory, mixing, pick_device
from diglot.errors import DeviceError, InputError, ModelFileError
from diglot.estimators.filed import Filed
from diglot.estimators.phases import Fitted
from diglot.estimators.settings import UNSAVED, checkpoint_place, jsonable_settings
from diglot.graph import Graph
from diglot.images import ImageSet, PreparedImages
from diglot.seeds import check_seed
from diglot.training import Checkpoints, Plan, find_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self

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

    ``lock`` is for what answers in several steps: threads may share a model. ``filed`` tells that
    the model came from a file or another process, and with it the device, which nobody asked for
    here.
    """

    def __init__(self, *, filed: bool = False) -> None:
        self.lock = threading.RLock()
        self.kept: dict[Any, Any] = {}
        self.optimiser_state: dict[str, np.ndarray] | None = None
        self.filed, self.told = filed, False

    def __reduce__(self) -> tuple[Any, ...]:
        return _elsewhere, ()

    def __deepcopy__(self, memo: Any) -> Runtime:
        return Runtime(filed=self.filed)


def _elsewhere() -> Runtime:
    return Runtime(filed=True)


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

    # ---- settings

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a device that is set here is one that is asked for here."""
        if "device" in params and hasattr(self, "_runtime"):
            self._runtime.filed = False
        return super().set_params(**params)

    def _picked_device(self) -> Device:
        """Return what computes: what was asked for; the best here where a file's GPU is not.

        Raises
        ------
        DeviceError
            If a device was asked for in this session, and is not there.
        """
        try:
            return pick_device(self.device, self.engine)
        except DeviceError as error:
            runtime = getattr(self, "_runtime", None)
            if runtime is None or not runtime.filed:
                raise
            found = pick_device("auto", self.engine)
            if not runtime.told:
                runtime.told = True
                warnings.warn(_moved(self.device, found, error), stacklevel=4)
            return found

    # ---- fitting

    def _seed(self) -> int:
        """Return the seed; a fit that is resumed without one takes its checkpoint's."""
        if self.seed is None and self.resume:
            place = checkpoint_place(self, "checkpoint" if self.resume is True else "resume")
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
        folder, asked = (checkpoint_place(self, name) for name in ("checkpoint", "resume"))
        resume = folder if asked is True else asked or None
        if asked is True and folder is None:
            raise InputError("resume=True needs checkpoint=, the folder to look in")
        if resume is not None and folder is None and Path(resume).suffix == "":
            folder = resume
        if folder is None:
            return None, resume
        return Checkpoints(Path(folder), self.checkpoint_every), resume

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
        give_back_memory(device)  # what trained is gone by now

    def _prepared(self, images: ImageSet, graph: Graph, *, cache: bool = True) -> PreparedImages:
        """Return images as the network takes them; without ``cache`` for looking at them once."""
        return PreparedImages(
            images,
            graph.input,
            memory_limit=self.memory_limit,
            threads=self.threads,
            cache=cache,
        )

    # ---- answering

    def _kept(self, name: Any, make: Callable[[Device], Any]) -> Any:
        """Return what answers for the fitted network; it is made for a device when first asked."""
        kept = self._runtime.kept
        where = (str(self.device), self._runtime.filed, self.engine)
        key = (name, *where, self._is_mixed())
        with self._runtime.lock:
            if key not in kept:
                kept[key] = make(self._device())
            return kept[key]

    def _device(self) -> Device:
        """Return what answers."""
        device = self._picked_device()
        # A file may say so and be opened where nothing can: it answers in float32.
        with suppress(DeviceError):
            if self._is_mixed() and device.engine == "torch":
                return mixing(device)
        return device

    def _is_mixed(self) -> bool:
        return getattr(self, "precision", None) == "mixed"

    # ---- files and words

    def _tensors(self) -> Mapping[str, np.ndarray]:
        check_is_fitted(self)
        return self.network_.weights

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")


def _moved(wanted: Any, found: Device, error: DeviceError) -> str:
    """Say that a file's device is not here, and what to do."""
    named = f'"{wanted}"' if isinstance(wanted, str) else str(list(wanted))
    why = str(error).partition(" was asked for, but ")[2].partition("; use device=")[0]
    return (
        f"The model was made with device={named}, but here {why or error}: {found} computes in its "
        "place. devices() says what is missing; in Python, "
        'set_params(device="auto") says that any device will do.'
    )


def place_told(model: Any) -> str:
    """Return in words where a model was trained, and what by: "cpu (torch)"."""
    return f"{model.device_} ({model.engine_})"


def last_measures(history: pd.DataFrame, names: Sequence[str]) -> str:
    """Return the last epoch's measures in words."""
    last: Mapping[str, Any] = history.iloc[-1].to_dict() if len(history) else {}
    return ", ".join(f"{n} {last[n]:.4f}" for n in names if n in last and last[n] == last[n])
