"""Layers that MXNet puts together for oneDNN answer as they do one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diglot.builder import Builder, initial_weights
from diglot.engine import Device
from diglot.engine.mxnet import load
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.mxnet_fusion import fused, layers_meant
from diglot.graph import InputSpec
from diglot.networks import network
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


def assert_as_one_by_one(graph, told=""):
    images = np.random.default_rng(2).normal(0, 0.3, (16, 9, 8, 3)).astype(np.float32)
    together, one_by_one = (
        MXNetExecutor(graph, Device("cpu"), changing=changing).forward({"data": images})
        for changing in (False, True)
    )
    limit = 1e-4 * np.abs(one_by_one).max()
    np.testing.assert_allclose(together, one_by_one, atol=limit, err_msg=str(told))


@pytest.mark.parametrize("first", [[], [("norm", 0)]], ids=["conv", "conv and norm"])
@pytest.mark.parametrize(
    "path",
    [["relu"], ["norm"], ["relu", "conv"], ["norm", "relu", "conv"], ["leaky"], ["conv", "relu"]],
    ids=" ".join,
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_convolution_that_is_added_to_what_comes_of_it(first, path, turned):
    """MXNet takes the rectifier into the convolution, and adds what was rectified."""
    start = len(first)
    layers = [*first, *((kind, start + i) for i, kind in enumerate(path))]
    both = (start, start + len(path))
    layers.append(("elemwise_add", *(both[::-1] if turned else both)))
    assert_as_one_by_one(built(layers))


@pytest.mark.parametrize(
    "layers",
    [
        [("elemwise_add", 0, 0)],
        [("relu", 0), ("elemwise_add", 0, 0), ("elemwise_add", 0, 2)],
        [("leaky", 0), ("elemwise_add", 0, 1), ("depthwise", 2)],
    ],
    ids=["twice the same", "three sums", "leaky"],
)
def test_what_crashed_or_lost_a_layer(layers):
    assert_as_one_by_one(built(layers))


def test_a_dense_layer_that_is_added_to_what_comes_of_it():
    assert_as_one_by_one(built([("relu", 0)], forked=True))


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_networks(start):
    for seed in range(start, start + 50):
        graph, layers = drawn(seed)
        assert_as_one_by_one(graph, layers)


def groups(symbol):
    """Return how many layers each part of a symbol has that was put together."""
    nodes = json.loads(symbol.tojson())["nodes"]
    parts = [part for node in nodes for part in node.get("subgraphs", ())]
    return [sum(each["op"] != "null" for each in part["nodes"]) for part in parts]


def test_networks_whose_layers_are_their_own_are_put_together():
    symbol = fused(load(), network("resnet20", classes=3))
    # 21 convolutions, two of them in shortcuts, and a dense layer; 9 blocks end in a sum.
    assert sorted(groups(symbol)).count(4) == 9 and len(groups(symbol)) == 22


def test_what_is_kept_apart_goes_by_the_name_of_its_layer():
    graph = built([("relu", 0), ("conv", 1), ("elemwise_add", 0, 2)])
    symbol = fused(load(), graph)
    assert max(groups(symbol)) < 4
    names = {node.name for node in graph.nodes}
    assert set(layers_meant(symbol).values()) <= names
