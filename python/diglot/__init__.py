"""Image learning in R and in Python with one core.

The same models, the same files and, for the same seed, the same bytes in both languages.

>>> import diglot
>>> data = diglot.example_images("digits")
>>> model = diglot.ImageClassifier(network="lenet", epochs=1, seed=1)
>>> labels = model.fit(data[["image"]], data["label"]).predict(data[["image"]])  # doctest: +SKIP

Names load at first use: ``import diglot`` loads neither MXNet nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Every public name and the module that holds it.
_MODULES = {
    "ImageClassifier": "classifier",
    "ImageRegressor": "regressor",
    "ImageTagger": "tagger",
    "ImageCaptioner": "captioner",
    "load": "models",
    "loads": "models",
    "pretrained": "zoo",
    "register_operator": "own_operators",
    "check_operator": "own_operators",
    "plots": "plots",
    "HogClassifier": "baseline",
    "RBM": "boltzmann",
    "DBN": "boltzmann",
    "rbm": "boltzmann",
    "dbn": "boltzmann",
    "cross_validate": "resampling",
    "learning_curve": "resampling",
    "check_capabilities": "comparison",
    "compare_frameworks": "comparison",
    "compare_models": "evaluation",
    "reliability": "evaluation",
    "roc_curve": "evaluation",
    "predict_files": "scoring",
    "nearest_images": "examination",
    "worst_errors": "examination",
    "report": "report",
    "r": "r",
    "network": "networks",
    "networks": "networks",
    "read_images": "images",
    "read_idx": "images",
    "example_images": "images",
    "shapes": "datasets",
    "check_shapes": "datasets",
    "read_captions": "captions",
    "check_setup": "installation",
    "devices": "installation",
    "DiglotError": "errors",
    "InputError": "errors",
    "ImageError": "errors",
    "ModelFileError": "errors",
    "DeviceError": "errors",
    "DownloadError": "errors",
    "OutOfMemoryError": "errors",
    "RError": "errors",
    "MissingPackageError": "errors",
    "DivergedError": "errors",
    "InterruptedFitWarning": "errors",
}

if TYPE_CHECKING:  # for editors and type checkers, which do not run __getattr__
    from diglot import plots, r
    from diglot.baseline import HogClassifier
    from diglot.boltzmann import DBN, RBM, dbn, rbm
    from diglot.captioner import ImageCaptioner
    from diglot.captions import read_captions
    from diglot.classifier import ImageClassifier
    from diglot.comparison import check_capabilities, compare_frameworks
    from diglot.datasets import check_shapes, shapes
    from diglot.errors import (
        DeviceError,
        DiglotError,
        DivergedError,
        DownloadError,
        ImageError,
        InputError,
        InterruptedFitWarning,
        MissingPackageError,
        ModelFileError,
        OutOfMemoryError,
        RError,
    )
    from diglot.evaluation import compare_models, reliability, roc_curve
    from diglot.examination import nearest_images, worst_errors
    from diglot.images import example_images, read_idx, read_images
    from diglot.installation import check_setup, devices
    from diglot.models import load, loads
    from diglot.networks import network, networks
    from diglot.own_operators import check_operator, register_operator
    from diglot.regressor import ImageRegressor
    from diglot.report import report
    from diglot.resampling import cross_validate, learning_curve
    from diglot.scoring import predict_files
    from diglot.tagger import ImageTagger
    from diglot.zoo import pretrained

__all__ = [
    "DBN",
    "DeviceError",
    "DiglotError",
    "DivergedError",
    "DownloadError",
    "HogClassifier",
    "ImageCaptioner",
    "ImageClassifier",
    "ImageError",
    "ImageRegressor",
    "ImageTagger",
    "InputError",
    "InterruptedFitWarning",
    "MissingPackageError",
    "ModelFileError",
    "OutOfMemoryError",
    "RBM",
    "RError",
    "__version__",
    "check_capabilities",
    "check_operator",
    "check_setup",
    "check_shapes",
    "compare_frameworks",
    "compare_models",
    "cross_validate",
    "dbn",
    "devices",
    "example_images",
    "learning_curve",
    "load",
    "loads",
    "nearest_images",
    "network",
    "networks",
    "plots",
    "predict_files",
    "pretrained",
    "r",
    "read_captions",
    "read_idx",
    "rbm",
    "read_images",
    "register_operator",
    "reliability",
    "report",
    "roc_curve",
    "shapes",
    "worst_errors",
]


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module 'diglot' has no attribute {name!r}") from None
    value = import_module(f"diglot.{module}")
    if name != module:  # diglot.networks is a room and, being callable, the function too
        value = getattr(value, name)
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
