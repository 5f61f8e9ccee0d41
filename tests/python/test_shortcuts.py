"""What a training graph is turned into gives the same answers and gradients."""

import numpy as np
import pytest

from diglot import network
from diglot.builder import Builder, initial_weights
from diglot.engine import Device
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.shortcuts import pooled_first
from diglot.graph import InputSpec
from diglot.networks.layers import act, conv, dense, flatten, pool


def _operators(graph):
    return [node.op for node in graph.nodes if not node.is_variable]


def _with_weights(graph):
    return graph.with_weights(initial_weights(graph, 3))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softrelu", "softsign"])
def test_answers_and_gradients_are_the_same(name):
    graph = _with_weights(network("lenet", classes=3, activation=name))
    turned = pooled_first(graph)
    assert _operators(turned) != _operators(graph)
    images = np.random.default_rng(1).normal(size=(20, 28, 28, 1)).astype(np.float32)
    found = []
    for one in (graph, turned):
        runner = MXNetExecutor(one, Device("cpu"))
        found.append(runner.gradients({"data": images}, "data", lambda out: np.cos(out)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-7)
    assert np.abs(found[0][1]).max() > 0


def test_shapes_parameters_and_heads_stay():
    graph = network("resnet18", classes=5)
    turned = pooled_first(graph)
    assert _operators(turned) != _operators(graph)
    assert turned.parameters.keys() == graph.parameters.keys()
    assert turned.output_shapes[-1] == graph.output_shapes[-1]
    assert turned.heads == graph.heads


def _network(build):
    b = Builder(InputSpec(8, 8, 1))
    return b.graph("test", *build(b, conv(b, b.data, 4, 3, name="conv")))


def test_an_activation_that_others_see_stays():
    def twice(b, x):
        seen = act(b, x, "relu", name="relu")
        flat = flatten(b, pool(b, seen, name="pool"), name="flat")
        return [dense(b, flat, 2, name="head"), pool(b, seen, kernel=8, name="wide")]

    graph = _network(twice)
    assert pooled_first(graph).nodes == graph.nodes


def test_an_activation_that_is_an_output_stays():
    def shown(b, x):
        seen = act(b, x, "relu", name="relu")
        return [pool(b, seen, name="pool"), seen]

    graph = _network(shown)
    assert pooled_first(graph).nodes == graph.nodes


def test_means_stay_behind_the_activation():
    def averaged(b, x):
        return [pool(b, act(b, x, "relu", name="relu"), kind="avg", name="pool")]

    graph = _network(averaged)
    assert pooled_first(graph).nodes == graph.nodes
