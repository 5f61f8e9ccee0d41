"""The losses that every framework should compute, by numpy alone in double precision.

Nothing here is fast: it is the tasks' definition, against which the frameworks are held. Each
layer returns its output and how to pull a gradient back through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diglot.comparison.tasks import Handover

__all__ = ["STEPS", "reference_losses"]

STEPS = 100
"""How many steps of training are compared."""

Weights = Mapping[str, np.ndarray]
Gradients = dict[str, np.ndarray]
# From the gradient of a layer's output to that of its input, and to those of its weights.
Pull = Callable[[np.ndarray], tuple[np.ndarray, Gradients]]
Layer = Callable[[np.ndarray], tuple[np.ndarray, Pull]]


def reference_losses(given: Handover, steps: int = STEPS) -> np.ndarray:
    """Return the loss of each of the first steps of training.

    Parameters
    ----------
    given : Handover
    steps : int
        Fewer where the task has fewer.

    Returns
    -------
    array of float64, (steps,)
        A runner's first step is the first batch alone; then its epochs begin.

    Notes
    -----
    Stochastic gradient descent with momentum: v = momentum v + gradient, weight -= rate v
    (B. T. Polyak, 1964), on the mean cross-entropy of a batch.

    Examples
    --------
    >>> from diglot.comparison.tasks import prepare_task
    >>> losses = reference_losses(prepare_task("lstm", epochs=1, seed=1), steps=2)
    >>> bool(losses[1] < losses[0])
    True
    """
    settings, tensors = given.settings, given.tensors
    batch, rate, momentum = (settings[name] for name in ("batch", "rate", "momentum"))
    weights = {name: tensors[name].astype(np.float64) for name in settings["weights"]}
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}
    layers = _NETWORKS[settings["network"]](weights)
    order = np.concatenate([tensors["order"][0][:batch], tensors["order"].reshape(-1)])
    losses = []
    for start in range(0, min(steps * batch, len(order)), batch):
        rows = order[start : start + batch]
        images = _centred(tensors["train.images"][rows], settings)
        loss, gradients = _loss_and_gradients(layers, images, tensors["train.labels"][rows])
        losses.append(loss)
        for name, gradient in gradients.items():
            velocity[name] = momentum * velocity[name] + gradient
            weights[name] -= rate * velocity[name]  # in place: the layers hold these arrays
    return np.array(losses)


def _centred(pixels: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Return images as (n, channels, height, width), sequences as (n, time, features)."""
    # Rounded as the runners' are: what is compared is what they do with them.
    single = pixels.astype(np.float32) / np.float32(255) - np.float32(settings["centre"])
    values = single.astype(np.float64)
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def _loss_and_gradients(
    layers: list[Layer], x: np.ndarray, labels: np.ndarray
) -> tuple[float, Gradients]:
    pulls = []
    for layer in layers:
        x, pull = layer(x)
        pulls.append(pull)
    rows = np.arange(len(labels))
    shifted = x - x.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    back = np.exp(log_shares)
    back[rows, labels] -= 1
    back /= len(labels)
    gradients: Gradients = {}
    for pull in reversed(pulls):
        back, found = pull(back)
        gradients |= found
    return float(-log_shares[rows, labels].mean()), gradients


# ---- layers


def _convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Slide filters (out, in, h, w) over images (n, in, h, w), without turning them around."""
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    out = np.tensordot(windows, weight, axes=([1, 4, 5], [1, 2, 3]))
    return out.transpose(0, 3, 1, 2)


def _conv(weights: Weights, name: str, pad: int = 0) -> Layer:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    border = ((0, 0), (0, 0), (pad, pad), (pad, pad))

    def layer(x: np.ndarray) -> tuple[np.ndarray, Pull]:
        padded = np.pad(x, border)

        def pull(back: np.ndarray) -> tuple[np.ndarray, Gradients]:
            windows = sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
            by_weight = np.tensordot(back, windows, axes=([0, 2, 3], [0, 2, 3]))
            side = weight.shape[2] - 1 - pad
            wide = np.pad(back, ((0, 0), (0, 0), (side, side), (side, side)))
            by_x = _convolve(wide, weight[:, :, ::-1, ::-1].swapaxes(0, 1))
            return by_x, {f"{name}.weight": by_weight, f"{name}.bias": back.sum(axis=(0, 2, 3))}

        return _convolve(padded, weight) + bias[:, None, None], pull

    return layer


def _dense(weights: Weights, name: str) -> Layer:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def layer(x: np.ndarray) -> tuple[np.ndarray, Pull]:
        def pull(back: np.ndarray) -> tuple[np.ndarray, Gradients]:
            return back @ weight, {f"{name}.weight": back.T @ x, f"{name}.bias": back.sum(axis=0)}

        return x @ weight.T + bias, pull

    return layer


def _tanh(x: np.ndarray) -> tuple[np.ndarray, Pull]:
    y = np.tanh(x)
    return y, lambda back: (back * (1 - y**2), {})


def _pool(x: np.ndarray) -> tuple[np.ndarray, Pull]:
    """Take the greatest of 2 x 2."""
    n, c, h, w = x.shape
    fours = x.reshape(n, c, h // 2, 2, w // 2, 2)
    most = fours.max(axis=(3, 5), keepdims=True)

    def pull(back: np.ndarray) -> tuple[np.ndarray, Gradients]:
        return (back[:, :, :, None, :, None] * (fours == most)).reshape(x.shape), {}

    return most[:, :, :, 0, :, 0], pull


def _flatten(x: np.ndarray) -> tuple[np.ndarray, Pull]:
    return x.reshape(len(x), -1), lambda back: (back.reshape(x.shape), {})


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm(weights: Weights, units: int) -> Layer:
    """Return a long short-term memory (Hochreiter and Schmidhuber, 1997), its last state."""
    by_input, recurrent, bias = (weights[f"lstm.{part}"] for part in ("input", "recurrent", "bias"))

    def layer(x: np.ndarray) -> tuple[np.ndarray, Pull]:
        h = c = np.zeros((len(x), units))
        steps = []
        for row in x.swapaxes(0, 1):
            parts = np.split(row @ by_input.T + h @ recurrent.T + bias, 4, axis=1)
            i, f, g, o = (np.tanh(p) if n == 2 else _sigmoid(p) for n, p in enumerate(parts))
            before, c = c, f * c + i * g
            steps.append((row, h, before, i, f, g, o, np.tanh(c)))
            h = o * steps[-1][-1]

        def pull(back: np.ndarray) -> tuple[np.ndarray, Gradients]:
            sums = [np.zeros_like(value) for value in (by_input, recurrent, bias)]
            by_c = np.zeros_like(back)
            by_rows = []
            for row, before_h, before_c, i, f, g, o, t in reversed(steps):
                by_c = by_c + back * o * (1 - t**2)
                gates = [
                    by_c * g * i * (1 - i),
                    by_c * before_c * f * (1 - f),
                    by_c * i * (1 - g**2),
                    back * t * o * (1 - o),
                ]
                all_gates = np.concatenate(gates, axis=1)
                sums[0] += all_gates.T @ row
                sums[1] += all_gates.T @ before_h
                sums[2] += all_gates.sum(axis=0)
                by_rows.append(all_gates @ by_input)
                back, by_c = all_gates @ recurrent, by_c * f
            names = ("lstm.input", "lstm.recurrent", "lstm.bias")
            return np.stack(by_rows[::-1], axis=1), dict(zip(names, sums, strict=True))

        return h, pull

    return layer


# ---- networks


def _lenet(weights: Weights) -> list[Layer]:
    convolved = [layer for n in (1, 2) for layer in (_conv(weights, f"conv{n}"), _tanh, _pool)]
    dense = [_dense(weights, "dense1"), _tanh, _dense(weights, "dense2")]
    return [*convolved, _flatten, *dense]


def _cnn(weights: Weights) -> list[Layer]:
    convolved = [
        layer for n in (1, 2, 3, 4) for layer in (_conv(weights, f"conv{n}", 1), _tanh, _pool)
    ]
    dense = [_dense(weights, "dense1"), _tanh, _dense(weights, "dense2")]
    return [*convolved, _flatten, *dense]


def _recurrent(weights: Weights) -> list[Layer]:
    return [_lstm(weights, 128), _dense(weights, "dense1")]


_NETWORKS: dict[str, Callable[[Weights], list[Layer]]] = {
    "lenet": _lenet,
    "cnn": _cnn,
    "lstm": _recurrent,
}
