"""``DBN``: a deep belief network, Boltzmann machines trained one upon the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from diglot.boltzmann.graphs import flat_image
from diglot.boltzmann.machine import RBM
from diglot.boltzmann.model_file import restore as restore_machine
from diglot.builder import Builder, initial_weights
from diglot.errors import ModelFileError
from diglot.estimators.base import Runtime, place_told
from diglot.estimators.filed import Filed
from diglot.estimators.model_file import damage_told
from diglot.estimators.settings import UNSAVED, is_several, jsonable_settings, keep_settings, whole
from diglot.files import path_of
from diglot.graph import Graph
from diglot.networks.layers import act, dense
from diglot.seeds import engine_seed
from diglot.weighted import Network

_OWN = ("widths", "visible", "checkpoint", "resume", "seed")  # what differs from layer to layer


class DBN(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Filed, BaseEstimator):
    """A deep belief network: features of features, learned without labels, layer by layer.

    Each layer is an `RBM` that learns what the one below makes of the images. Its weights are
    where `network` begins: a network of sigmoid layers, which `ImageClassifier` fine-tunes on
    labelled images, of which then few may do.

    Parameters
    ----------
    widths : sequence of int
        Hidden units of each layer, the lowest first.
    visible : {"binary", "gaussian"}
        What pixels are; see `RBM`. Layers above are binary.
    k, persistent, size, channels, resize, epochs, batch_size, optimizer, learning_rate, momentum
        As in `RBM`, of every layer.
    weight_decay, schedule, warmup_epochs, clip_norm, validation, callbacks, device, engine
        As in `RBM`, of every layer.
    checkpoint, checkpoint_every, resume
        As in `ImageClassifier`; each layer has a folder of its own inside.
    memory_limit, threads, verbose
        As in `ImageClassifier`.
    seed : int, optional
        Of everything random; the same seed gives the same weights, to the byte. None draws one.

    Attributes
    ----------
    machines_ : list of RBM
        The layers, fitted; fewer than ``widths`` where a fit was stopped.
    history_ : DataFrame
        One row an epoch of each layer: layer (from 1), then as of `RBM`.
    network_ : Graph
        From an image to the highest layer's probabilities.
    seed_, device_, engine_, stopped_, n_images_
        As in `RBM`.

    Notes
    -----
    Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets,
    doi:10.1162/neco.2006.18.7.1527. A layer learns from the probabilities of the layer below, not
    from draws.

    Examples
    --------
    >>> from diglot import DBN, ImageClassifier, example_images
    >>> digits = example_images("digits")
    >>> images = np.stack(digits["image"]) / 16
    >>> deep = DBN(widths=(30, 20), epochs=2, seed=1).fit(images)
    >>> deep.transform(images[:5]).shape
    (5, 20)
    >>> model = ImageClassifier(deep.network(), train="head_then_all", epochs=2, seed=1)
    >>> model.fit(images[:200], digits["label"][:200]).predict(images[200:]).shape
    (1597,)
    """

    kind = "dbn"

    def __init__(
        self,
        widths: Sequence[int] = (500, 250),
        *,
        visible: str = "binary",
        k: int = 1,
        persistent: bool = False,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        momentum: float = 0.5,
        weight_decay: float = 1e-4,
        schedule: str = "constant",
        warmup_epochs: float = 0,
        clip_norm: float | None = None,
        validation: float | None = None,
        callbacks: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: str | os.PathLike[str] | bool | None = None,
        device: str = "auto",
        engine: str = "auto",
        memory_limit: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    # ---- settings

    def set_params(self, **params: Any) -> DBN:
        """Set parameters; where to compute is also said to the layers that have learned."""
        super().set_params(**params)
        places = {n: v for n, v in params.items() if n in ("device", "engine")}
        for machine in getattr(self, "machines_", ()) if places else ():
            machine.set_params(**places)
        return self

    # ---- training

    def fit(self, X: Any, y: Any = None) -> DBN:
        """Learn the layers, the lowest first.

        Parameters
        ----------
        X : images
            As for `RBM`.
        y : ignored
            There for scikit-learn's pipelines.

        Returns
        -------
        self

        Raises
        ------
        InputError, ImageError
            If an argument or image cannot be used; the message names it.
        DivergedError
            If weights or loss of a layer are no longer finite.
        """
        widths = self._checked_widths()
        for number in range(len(widths)):
            self._machine(number, widths, self.seed)._check_settings()
        machines: list[RBM] = []
        seen, seed = X, self.seed
        for number in range(len(widths)):
            machine = self._machine(number, widths, seed).fit(seen)
            machines.append(machine)
            seed = machines[0].seed_
            if machine.stopped_ in ("interrupted", "callback"):
                break
            if number + 1 < len(widths):
                seen = machine.transform(seen)
        self._settle(machines)
        return self

    def _checked_widths(self) -> list[int]:
        given = list(self.widths) if is_several(self.widths) else [self.widths]
        return [whole("widths", width, 1) for width in given]

    def _machine(self, number: int, widths: Sequence[int], seed: int | None) -> RBM:
        """Return a layer that has not learned, yet; the first has the seed of the whole."""
        shared = {n: v for n, v in self.get_params(deep=False).items() if n not in _OWN}
        if number:
            shared |= {"size": None, "channels": None, "resize": None}
            seed = None if seed is None else engine_seed(seed, "layer", number)
        return RBM(
            widths[number],
            visible="binary" if number else self.visible,
            checkpoint=_inside(self.checkpoint, "checkpoint", number),
            resume=_inside(self.resume, "resume", number),
            seed=seed,
            **shared,
        )

    def _settle(self, machines: list[RBM]) -> None:
        first, last = machines[0], machines[-1]
        self.machines_ = machines
        histories = [m.history_.assign(layer=i) for i, m in enumerate(machines, 1)]
        history = pd.concat(histories, ignore_index=True)
        self.history_ = history[["layer", *(c for c in history.columns if c != "layer")]]
        self.seed_, self.n_images_ = first.seed_, first.n_images_
        self.device_, self.engine_ = first.device_, first.engine_
        self.stopped_ = last.stopped_
        if hasattr(first, "n_features_in_"):
            self.n_features_in_ = first.n_features_in_
        self.network_ = self._features()

    # ---- answers

    @property
    def _n_features_out(self) -> int:
        return int(self.machines_[-1].n_hidden)

    def transform(self, X: Any) -> np.ndarray:
        """Return the probabilities of the highest layer's units.

        Parameters
        ----------
        X : images

        Returns
        -------
        ndarray of shape (n, widths[-1]), float32
        """
        check_is_fitted(self)
        for machine in self.machines_:
            X = machine.transform(X)
        return X

    def network(self, classes: int = 10) -> Network:
        """Return a network with these weights, for a classifier to begin from.

        Parameters
        ----------
        classes : int
            How many numbers it puts out. The last layer is drawn by the seed and has learned
            nothing; a classifier of another number of classes draws its own.

        Returns
        -------
        Network
            Layers ``dense1``, ``dense2``, ... with sigmoid activations, each a layer group, and
            the group ``head``: for ``ImageClassifier(network=..., train="head_then_all")``.
        """
        check_is_fitted(self)
        graph = self._features(whole("classes", classes, 1))
        told = {"source": f"a deep belief network, {self.fingerprint()[:16]}"}
        weights = initial_weights(graph, self.seed_)  # of the head; the others are there
        return Network.of(replace(graph, weights=weights, origin=told))

    def _features(self, classes: int | None = None) -> Graph:
        """Return the layers one upon the other, with their weights, and perhaps a head."""
        b = Builder(self.machines_[0].network_.input)
        x, weights = flat_image(b), {}
        for number, machine in enumerate(self.machines_, 1):
            name = f"dense{number}"
            with b.group(name):
                x = dense(b, x, int(machine.n_hidden), name=name)
                x = act(b, x, "sigmoid", name=f"{name}_sigmoid")
            weights[f"{name}_weight"] = machine.components_
            weights[f"{name}_bias"] = machine.intercept_hidden_
        end = x
        if classes is not None:
            with b.group("head"):
                end = dense(b, x, classes, name="head")
        return replace(b.graph("dbn", end, features=x), weights=weights)

    # ---- files and words

    def _tensors(self) -> Mapping[str, np.ndarray]:
        check_is_fitted(self)
        return {
            f"layer{number}/{name}": values
            for number, machine in enumerate(self.machines_, 1)
            for name, values in machine._tensors().items()
        }

    def _metadata(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "diglot": sys.modules["diglot"].__version__,  # the root is a room above
            "settings": jsonable_settings(self, UNSAVED),
            "machines": [machine._metadata() for machine in self.machines_],
        }

    def summary(self) -> str:
        """Return what the network is and how it was trained, in a few lines."""
        check_is_fitted(self)
        spec, first = self.machines_[0].network_.input, self.machines_[0]
        widths = " - ".join(str(m.n_hidden) for m in self.machines_)
        lines = {
            "layers": f"{first.components_.shape[1]:,} {self.visible} pixels - {widths}",
            "input": f"{spec.height} x {spec.width} pixels, {spec.channels} channel(s)",
            "trained": f"{len(self.history_)} epochs in all, of {self.n_images_:,} images on "
            f"{place_told(self)}, seed {self.seed_} ({self.stopped_})",
            "fingerprint": self.fingerprint()[:16],
        }
        return "\n".join(f"{name:13}{text}" for name, text in lines.items())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "machines_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _inside(folder: Any, setting: str, number: int) -> Any:
    """Return a layer's folder within the one that was given, if one was."""
    if folder is None or isinstance(folder, bool):
        return folder
    return Path(path_of(folder, setting)) / f"layer{number + 1}"


def restore(
    model: DBN, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str
) -> None:
    """Set settings and fitted attributes of a new network from what a file says.

    Raises
    ------
    ModelFileError
        If it is a damaged file.
    """
    with damage_told(name):
        known = model.get_params(deep=False)
        kept = {n: v for n, v in meta["settings"].items() if n in known and n not in UNSAVED}
        for setting in ("widths", "size"):
            if isinstance(kept.get(setting), list):
                kept[setting] = tuple(kept[setting])
        model.set_params(**kept)
        widths = model._checked_widths()
        told = meta["machines"]
        if not isinstance(told, list) or not 0 < len(told) <= len(widths):
            raise ValueError("its layers are not those of its settings")
        machines = [_restored(i, each, tensors, name) for i, each in enumerate(told, 1)]
        below = [machines[0].components_.shape[1], *widths]
        for machine, pixels, width in zip(machines, below, widths, strict=False):
            if machine.components_.shape != (width, pixels):
                raise ValueError("its layers do not fit upon each other")
        names = {f"layer{i}/{n}" for i, m in enumerate(machines, 1) for n in m._tensors()}
        if set(tensors) != names:
            raise ModelFileError(f"{name} is a damaged model file: it has more than its layers")
        model._settle(machines)


def _restored(
    number: int, meta: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str
) -> RBM:
    start, machine = f"layer{number}/", RBM()
    mine = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    restore_machine(machine, mine, meta, f"{name}, layer {number},")
    machine._runtime = Runtime(filed=True)
    return machine
