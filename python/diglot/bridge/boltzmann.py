"""Boltzmann machines and deep belief networks: fitted, described, asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import diglot
from diglot.bridge import fitted, plain, received
from diglot.bridge.answers import answered

_ESTIMATORS = {"rbm": diglot.RBM, "dbn": diglot.DBN}


@answered
def fit_machine(
    kind: str,
    images: Mapping[str, Any],
    settings: Mapping[str, Any],
    callback: Callable[..., Any] | None = None,
    progress: Any = False,
) -> dict[str, Any]:
    """Train a machine ("rbm") or a stack of them ("dbn").

    Returns
    -------
    dict
        ``model``, the live estimator, and ``description``.
    """
    model = _ESTIMATORS[kind](
        **received.settings(settings, []),
        callbacks=None if callback is None else [received.callback(callback)],
        verbose=received.listener(progress),
    )
    model.fit(received.images(images))
    return fitted.trained(model, description(model))


def description(model: Any) -> dict[str, Any]:
    """Return what R keeps of a fitted machine beside its live self."""
    machines = [model] if isinstance(model, diglot.RBM) else model.machines_
    for machine in machines:  # they must not keep R's functions, either
        machine.set_params(callbacks=None, verbose=False)
    about = fitted.description(model)
    about["network"]["parameters"] = plain.count(
        sum(w.size for m in machines for w in m.network_.weights.values())
    )
    return {
        **about,
        "kind": model.kind,
        "visible": machines[0].visible,
        "pixels": int(machines[0].components_.shape[1]),
        "widths": [int(m.n_hidden) for m in machines],
        "images": plain.count(model.n_images_),
    }


@answered
def machine_hidden(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return the hidden units' probabilities, those of the highest layer."""
    return np.asfortranarray(model.transform(received.images(images)), np.float64)


@answered
def machine_scores(model: Any, images: Mapping[str, Any]) -> dict[str, Any]:
    """Return free energies and, of binary pixels, the logarithms of pseudo-likelihoods."""
    given = received.images(images)
    likely = model.score_samples(given) if model.visible == "binary" else None
    return {
        "free_energy": np.asarray(model.free_energy(given), np.float64),
        "pseudo_likelihood": None if likely is None else np.asarray(likely, np.float64),
    }


@answered
def machine_reconstructions(model: Any, images: Mapping[str, Any]) -> np.ndarray:
    """Return images as the hidden units tell them."""
    return plain.pile(_as_images(model, model.reconstruct(received.images(images))))


@answered
def machine_samples(
    model: Any, n: Any, steps: Any, seed: Any, images: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Return images that Gibbs sampling ends in, from chance or from given ones."""
    n, steps, seed = map(received.whole, (n, steps, seed))
    if images is None:
        return plain.pile(model.sample(n, steps, seed=seed))
    drawn = model.gibbs(received.images(images), steps, seed=seed)
    return plain.pile(_as_images(model, drawn))


def _as_images(model: Any, values: np.ndarray) -> np.ndarray:
    """Return rows, which a matrix from R gives, as images."""
    spec = model.network_.input
    shape = (spec.height, spec.width) + ((spec.channels,) if spec.channels > 1 else ())
    return values.reshape(len(values), *shape)


@answered
def machine_filters(model: Any) -> np.ndarray:
    """Return the weights of the lowest layer as images."""
    return plain.pile((model if isinstance(model, diglot.RBM) else model.machines_[0]).filters())


@answered
def deep_network(model: Any, classes: Any) -> Any:
    """Return the network that begins with a deep belief network's weights."""
    return model.network(received.whole(classes))


@answered
def machine_defaults() -> dict[str, Any]:
    """Return the settings and their defaults, which R's must equal."""
    found = {name: fitted.defaults(each.__init__) for name, each in _ESTIMATORS.items()}
    found["dbn"]["widths"] = list(found["dbn"]["widths"])
    return found
