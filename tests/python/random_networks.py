"""Small networks of any layers, drawn at random or told layer by layer."""

from __future__ import annotations

import numpy as np

from diglot.builder import Builder, initial_weights
from diglot.graph import InputSpec
from diglot.networks.layers import act, conv, dense, flatten, norm, pool

ONE = ("conv", "pixels", "depthwise", "norm", "relu", "tanh", "leaky", "clip", "pool")
TWO = ("elemwise_add", "broadcast_add", "elemwise_mul", "concat")


def layer(b, kind, channels, name, x, y):
    """Add a layer to x, or to x and y."""
    if kind in ("conv", "pixels", "depthwise"):
        side, groups = (1, 1) if kind == "pixels" else (3, 1 if kind == "conv" else channels)
        return conv(b, x, channels, side, groups=groups, name=name)
    if kind == "norm":
        return norm(b, x, name=name)
    if kind in ("relu", "tanh"):
        return act(b, x, kind, name=name)
    if kind == "leaky":
        return b.add("LeakyReLU", x, name=name, act_type="leaky", slope=0.1)
    if kind == "clip":
        return b.add("clip", x, name=name, a_min=0, a_max=6)
    if kind == "pool":
        return pool(b, x, kernel=3, stride=1, pad=1, name=name)
    if kind == "concat":
        both = b.add("concat", x, y, name=f"{name}_both", dim=1, num_args=2)
        return conv(b, both, channels, 1, name=name)
    return b.add(kind, x, y, name=name)


def built(layers, channels=16, forked=False):
    """Return a network of layers, each of which tells what it takes: earlier ones by number."""
    b = Builder(InputSpec(9, 8, 3))
    outputs = [conv(b, b.data, channels, 3, name="l0")]
    for number, (kind, *takes) in enumerate(layers, start=1):
        x, y = outputs[takes[0]], outputs[takes[-1]]
        outputs.append(layer(b, kind, channels, f"l{number}", x, y))
    x = b.add("FullyConnected", flatten(b, outputs[-1], name="flat"), name="inner", num_hidden=12)
    if forked:
        bent = b.add("Activation", x, name="bent", act_type="relu")
        x = b.add("elemwise_add", bent, x, name="joined")
    graph = b.graph("small", dense(b, x, 3, name="head"))
    rng, weights = np.random.default_rng(7), initial_weights(graph, 5)
    for name, parameter in graph.parameters.items():  # statistics as after training
        if parameter.kind != "weight":
            weights[name] = rng.uniform(0.5, 2.0, parameter.shape).astype(np.float32)
    return graph.with_weights(weights)


def drawn(seed):
    """Return a random network, which goes on from its newest layer half of the time."""
    rng = np.random.default_rng(seed)
    layers = []
    for number in range(1, rng.integers(3, 9)):
        kind = str(rng.choice(ONE + 2 * TWO))
        before = [number - 1 if rng.random() < 0.5 else int(rng.integers(number)) for _ in "xy"]
        layers.append((kind, *before[: 2 if kind in TWO else 1]))
    return built(layers, int(rng.choice([8, 16, 20])), bool(rng.random() < 0.5)), layers
