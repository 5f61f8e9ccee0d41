"""Model files of every kind: ``load()`` looks what a file holds and returns that model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from diglot import storage
from diglot.baseline import HogClassifier
from diglot.baseline import estimator as baseline_file
from diglot.boltzmann import DBN, RBM
from diglot.boltzmann import deep as dbn_file
from diglot.boltzmann import model_file as rbm_file
from diglot.captioner import ImageCaptioner
from diglot.captioner import model_file as captioner_file
from diglot.classifier import ImageClassifier
from diglot.engine import check_engine, pick_device
from diglot.errors import MissingPackageError, ModelFileError
from diglot.estimators.base import NetworkEstimator, Runtime
from diglot.files import path_of
from diglot.predictor import model_file as predictor_file
from diglot.regressor import ImageRegressor
from diglot.tagger import ImageTagger

_KINDS = {
    captioner_file.KIND: (ImageCaptioner, captioner_file.restore),
    HogClassifier.kind: (HogClassifier, baseline_file.restore),
    RBM.kind: (RBM, rbm_file.restore),
    DBN.kind: (DBN, dbn_file.restore),
    **{e.kind: (e, predictor_file.restore) for e in (ImageClassifier, ImageRegressor, ImageTagger)},
}


def load(path: str | os.PathLike[str], engine: str = "auto") -> Any:
    """Load a model from its file.

    Parameters
    ----------
    path : path
        What a model's ``save()`` or R's ``save_model()`` wrote.
    engine : {"auto", "mxnet", "torch"}
        What it answers by, and is trained by further; "auto" is MXNet where that has code for the
        device, else PyTorch.

    Returns
    -------
    ImageClassifier, ImageRegressor, ImageTagger, ImageCaptioner, HogClassifier, RBM or DBN
        Fitted.

    Raises
    ------
    ModelFileError
        If it is missing, damaged, newer than this version, or no model.
    InputError
        If ``engine`` is none.

    Examples
    --------
    >>> import tempfile
    >>> from diglot import ImageClassifier, load
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(model.save(f"{folder}/model.safetensors")).fingerprint() == model.fingerprint()
    True
    """
    check_engine(engine)
    place = path_of(path, "path", ModelFileError)
    return _revived(*storage.read_file(place), place, engine)


def loads(data: bytes, engine: str = "auto") -> Any:
    """Load a model from the bytes of its file.

    Parameters
    ----------
    data : bytes
        What a model's ``to_bytes()`` returned.
    engine : {"auto", "mxnet", "torch"}
        As in :func:`load`.

    Returns
    -------
    ImageClassifier, ImageRegressor, ImageTagger, ImageCaptioner, HogClassifier, RBM or DBN
        Fitted.

    Examples
    --------
    >>> from diglot import ImageClassifier, loads
    >>> images = np.random.default_rng(1).random((20, 8, 8))
    >>> model = ImageClassifier("mlp", epochs=1, seed=1).fit(images, ["a", "b"] * 10)
    >>> loads(model.to_bytes()).classes_.tolist()
    ['a', 'b']
    """
    check_engine(engine)
    return _revived(*storage.decode(data), "the data", engine)


def revive(data: bytes, engine: str = "auto") -> Any:
    """Return the model of R's fit: its file's bytes, and the engine that was asked for.

    Fits move from one machine to another: where that engine is not, the other serves.
    """
    if check_engine(engine) != "auto":
        try:
            pick_device("cpu", engine)
        except MissingPackageError:
            engine = "auto"
    return loads(data, engine)


def _revived(
    tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any], name: str, engine: str
) -> NetworkEstimator:
    kind = meta.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelFileError(f"{name} holds no model but a {kind!r}")
    estimator, restore = _KINDS[kind]
    model = estimator()
    restore(model, tensors, meta, name)
    model._runtime = Runtime(filed=True)
    if "engine" in model.get_params(deep=False):  # a baseline needs none
        model.set_params(engine=engine)
    return model
