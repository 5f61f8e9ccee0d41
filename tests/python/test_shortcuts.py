"""What a graph is turned into before it is run gives the same answers and gradients."""

from dataclasses import replace

import numpy as np
import pytest

from diglot import network
from diglot.builder import Builder, initial_weights
from diglot.engine import Device
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.shortcuts import as_activations, folded, pooled_first
from diglot.graph import InputSpec
from diglot.networks.layers import act, conv, dense, flatten, norm, pool


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


# ---- norms folded into the layers before them


def _judged(graph, seed=3):
    """Return the graph with weights and statistics of any values."""
    generator = np.random.default_rng(seed)
    weights = initial_weights(graph, seed)
    for name, parameter in graph.parameters.items():
        if parameter.kind in ("scale", "variance"):
            weights[name] = generator.uniform(0.5, 2, parameter.shape).astype(np.float32)
        elif parameter.kind != "weight":
            weights[name] = generator.normal(size=parameter.shape).astype(np.float32)
    return graph.with_weights(weights)


def _assert_folds(graph, left=0):
    turned = folded(graph)
    assert _operators(turned).count("BatchNorm") == left
    images = np.random.default_rng(1).normal(
        size=(16, *graph.input.shape[1:], graph.input.channels)
    )
    answers = [MXNetExecutor(one, Device("cpu"), changing=True) for one in (graph, turned)]
    ours, theirs = (one.forward({"data": images.astype(np.float32)}) for one in answers)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet20", 0), ("mobilenet_v2", 0), ("vgg11_bn", 0), ("densenet121", 58 + 3 + 1)],
)
def test_networks_answer_the_same_with_their_norms_folded(name, left):
    _assert_folds(_judged(network(name, classes=3, size=32, channels=3)), left)


@pytest.mark.parametrize("no_bias", [True, False])
@pytest.mark.parametrize("fix_gamma", [True, False])
def test_norms_in_a_row_and_of_all_settings_are_folded(no_bias, fix_gamma):
    b = Builder(InputSpec(8, 8, 1))
    x = b.add("Convolution", b.data, name="c", kernel=(3, 3), num_filter=4, no_bias=no_bias)
    for number in range(3):
        x = b.add("BatchNorm", x, name=f"n{number}", fix_gamma=fix_gamma)
    x = dense(b, flatten(b, x, name="flat"), 5, name="dense")
    x = b.add("BatchNorm", x, name="last", eps=0.1, fix_gamma=fix_gamma)
    _assert_folds(_judged(b.graph("test", x)))


def test_norms_stay_where_others_use_what_they_would_change():
    def seen(b, x):
        return [flatten(b, norm(b, x, name="norm"), name="flat"), x]

    _assert_folds(_judged(_network(seen)), left=1)

    def first(b, x):
        return [flatten(b, norm(b, act(b, x, name="relu"), name="norm"), name="flat")]

    _assert_folds(_judged(_network(first)), left=1)

    def rows(b, x):
        return [flatten(b, b.add("BatchNorm", x, name="norm", axis=2), name="flat")]

    _assert_folds(_judged(_network(rows)), left=1)


def test_shared_filters_are_not_folded():
    graph = _judged(_network(lambda b, x: [flatten(b, norm(b, x, name="norm"), name="flat")]))
    nodes = list(graph.nodes)
    at = graph.index_of("conv")
    nodes.append(replace(nodes[at], name="again"))
    both = replace(graph, nodes=tuple(nodes), heads=(*graph.heads, (len(nodes) - 1, 0)))
    _assert_folds(both, left=1)


# ---- functions that are operators of their own


@pytest.mark.parametrize("op", ["relu", "sigmoid", "tanh"])
def test_functions_that_are_operators_are_computed_as_activations(op):
    b = Builder(InputSpec(5, 6, 2))
    graph = b.graph("one", b.add(op, b.data, name="bent"))
    assert [n.op for n in as_activations(graph).nodes if not n.is_variable] == ["Activation"]
    images = np.random.default_rng(3).normal(0, 4, (17, 5, 6, 2)).astype(np.float32)
    x = images.astype(np.float64)
    wanted = {"relu": np.maximum(x, 0), "sigmoid": 1 / (1 + np.exp(-x)), "tanh": np.tanh(x)}[op]
    found = MXNetExecutor(graph.with_weights({}), Device("cpu")).forward({"data": images})
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), rtol=2e-6, atol=1e-7)


def test_other_operators_stay():
    graph = network("vgg11", size=64, classes=3)
    assert as_activations(graph).nodes == graph.nodes
