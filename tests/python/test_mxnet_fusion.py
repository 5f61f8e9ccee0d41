"""Layers that MXNet puts together for oneDNN answer as they do one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diglot.engine import Device
from diglot.engine.mxnet import load
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.mxnet_fusion import fused, layers_meant
from diglot.networks import network
from random_networks import built, drawn


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
