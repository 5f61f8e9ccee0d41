"""What every model file says beside the weights, written and read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from diglot.augment import augment
from diglot.errors import ModelFileError, cause
from diglot.estimators.settings import UNSAVED, jsonable_settings
from diglot.graph import Graph
from diglot.networks.own import is_path


def common_metadata(model: Any, kind: str, network: str, *leave_out: str) -> dict[str, Any]:
    """Return what a file says of any fitted model.

    Parameters
    ----------
    model : NetworkEstimator
        Fitted.
    kind : str
        Which estimator.
    network : str
        The setting that names the network; it is kept only where it is a name.
    *leave_out : str
        Settings that are not plain data.
    """
    changes, given = augment(model.augment), getattr(model, network)
    settings = jsonable_settings(model, (*UNSAVED, network, *leave_out, "augment", "seed"))
    return {
        "kind": kind,
        "diglot": sys.modules["diglot"].__version__,  # the root is a room above
        "graph": model.network_.to_dict(),
        network: given if isinstance(given, str) and not is_path(given) else None,
        "settings": {
            **settings,
            "augment": None if changes is None else changes.to_dict(),
            "seed": model.seed,
        },
        "history": {
            "columns": list(model.history_.columns),
            "rows": [
                [None if v != v else v for v in row]
                for row in model.history_.to_numpy(np.float64).tolist()
            ],
        },
        "best_epoch": model.best_epoch_,
        "stopped": model.stopped_,
        "seed": model.seed_,
        "device": model.device_,
        # MXNet's, which goes without saying, as it does in files from before there was another
        **({"engine": model.engine_} if model.engine_ == "torch" else {}),
    }


@contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Turn what goes wrong while a file's description is read into words about the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{name} is a damaged model file: {cause(error)}") from error


def restore_common(
    model: Any,
    tensors: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    network: str,
    pairs: tuple[str, ...],
) -> Graph:
    """Set what `common_metadata` wrote on a new model, and return its network.

    ``pairs`` are settings that may be tuples, which JSON turned into lists.
    """
    graph = Graph.from_dict(meta["graph"]).with_stored(tensors)
    given, settings, known = meta[network], meta["settings"], model.get_params(deep=False)
    if not isinstance(settings, dict) or not isinstance(given, (str, type(None))):
        raise ModelFileError("the model's settings are damaged: they are no table")
    # a stranger's file shall not say where this machine writes
    model.set_params(**{k: v for k, v in settings.items() if k in known and k not in UNSAVED})
    for setting in pairs:
        if isinstance(getattr(model, setting), list):
            setattr(model, setting, tuple(getattr(model, setting)))
    columns, rows = meta["history"]["columns"], meta["history"]["rows"]
    if len(set(columns)) != len(columns):
        raise ModelFileError("the model's history is damaged: two columns have one name")
    history = pd.DataFrame(np.array(rows, np.float64).reshape(-1, len(columns)), None, columns)
    history["epoch"] = history["epoch"].astype(int)
    model.network_, model.history_ = graph, history
    model.best_epoch_, model.stopped_ = int(meta["best_epoch"]), str(meta["stopped"])
    model.seed_, model.device_ = int(meta["seed"]), str(meta["device"])
    model.engine_ = meta.get("engine", "mxnet")
    if model.engine_ not in ("mxnet", "torch"):
        raise ModelFileError("the model's engine is damaged: it is neither 'mxnet' nor 'torch'")
    # nor which of its files it opens: what was a file's name is the network that is here
    named = bool(given) and not is_path(given)
    setattr(model, network, given if named else graph.without_weights())
    return graph
