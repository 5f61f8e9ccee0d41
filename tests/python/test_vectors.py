"""Convolutions in whole vectors of channels give the same answers, gradients and statistics."""

import numpy as np
import pytest

import diglot.engine.mxnet_executor as mxnet_executor
from diglot import network
from diglot.builder import Builder, initial_weights
from diglot.engine import Device, Optimiser
from diglot.engine.mxnet_executor import MXNetExecutor
from diglot.engine.vectors import whole_vectors
from diglot.graph import InputSpec
from diglot.networks.layers import act, conv, dense, flatten, norm, pool


def _convolutions(graph):
    return {
        node.name: (int(node.attrs["num_filter"]), len(node.inputs))
        for node in graph.nodes
        if node.op == "Convolution"
    }


def _network(build, channels=2):
    b = Builder(InputSpec(13, 11, channels))
    return b.graph("test", *build(b, b.data))


def _layers(b, x):
    """Odd numbers of channels in all places: before and behind norms, pools, sums and heads."""
    x = conv(b, x, 20, 3, name="first")
    x = pool(b, act(b, x, "tanh", name="tanh"), kernel=3, stride=2, pad=1, name="pool")
    skip = x = conv(b, x, 40, 3, name="second")
    x = act(b, norm(b, x, name="norm"), "relu", name="relu")
    x = conv(b, x, 40, 3, name="third")
    x = b.add("elemwise_add", x, skip, name="sum")
    x = conv(b, x, 33, (3, 1), name="flat_one")
    x = conv(b, x, 48, 3, stride=2, name="from_odd")
    x = conv(b, x, 36, 1, name="pixels")
    return [
        dense(
            b, flatten(b, pool(b, x, kind="avg", kernel=3, name="mean"), name="f"), 3, name="head"
        )
    ]


def _after_one_step(graph, images, monkeypatch, *, turned):
    """Return what one step of gradients changed, all statistics with it, and the outputs' sums."""
    monkeypatch.setattr(mxnet_executor, "whole_vectors", turned)
    runner = MXNetExecutor(graph, Device("cpu"))
    runner.prepare_training(graph, Optimiser("sgd", momentum=0.0))
    runner.train_step({"data": images}, rate=1.0, seed=1)
    after = runner.weights()
    return {n: after[n] - w for n, w in graph.weights.items()}, runner.totals()


@pytest.mark.parametrize(
    ("graph", "channels"),
    [
        (_network(_layers), 2),
        (_network(_layers, 20), 20),
        (network("lenet", size=28, classes=4), 1),
        (network("lenet", size=28, channels=3, classes=4, widths=(40, 72), activation="relu"), 3),
        (network("lenet", size=28, classes=4, widths=(8, 15, 31), kernel=3), 1),
    ],
    ids=["all", "odd input", "lenet", "wide lenet", "narrow lenet"],
)
def test_a_step_changes_the_same(graph, channels, monkeypatch):
    graph = graph.with_weights(initial_weights(graph, 5))
    assert _convolutions(whole_vectors(graph)) != _convolutions(graph)
    sides = (graph.input.height, graph.input.width, channels)
    images = np.random.default_rng(2).normal(size=(6, *sides)).astype(np.float32)
    mine, sums = _after_one_step(graph, images, monkeypatch, turned=whole_vectors)
    plain, plain_sums = _after_one_step(graph, images, monkeypatch, turned=lambda same: same)
    np.testing.assert_allclose(sums, plain_sums, rtol=1e-5, atol=1e-5)
    for name, change in plain.items():
        limit = 2e-5 * max(np.abs(change).max(), 1e-3)
        np.testing.assert_allclose(mine[name], change, atol=limit, err_msg=name)
    assert max(np.abs(change).max() for change in plain.values()) > 1e-3


def test_what_is_in_whole_vectors_stays():
    graph = network("resnet18", classes=5)
    assert whole_vectors(graph).nodes == graph.nodes


def test_single_pixels_groups_and_few_filters_stay():
    def build(b, x):
        x = conv(b, x, 20, 1, name="pixels")
        x = conv(b, x, 20, 3, groups=20, name="depthwise")
        return [conv(b, pool(b, x, name="pool"), 7, 3, name="few")]

    graph = _network(build)
    assert whole_vectors(graph).nodes == graph.nodes


def test_what_others_see_has_the_channels_that_there_were(monkeypatch):
    def build(b, x):
        seen = act(b, conv(b, x, 20, 3, name="conv"), "relu", name="relu")
        return [dense(b, flatten(b, pool(b, seen, name="pool"), name="flat"), 2, name="head"), seen]

    graph = _network(build)
    graph = graph.with_weights(initial_weights(graph, 5))
    images = np.random.default_rng(2).normal(size=(6, 13, 11, 2)).astype(np.float32)
    _, mine = _after_one_step(graph, images, monkeypatch, turned=whole_vectors)
    _, plain = _after_one_step(graph, images, monkeypatch, turned=lambda same: same)
    np.testing.assert_allclose(mine, plain, rtol=1e-5)


# ---- scoring


def _learned(graph):
    """Return a graph whose norms have statistics, as after training."""
    rng, weights = np.random.default_rng(7), initial_weights(graph, 5)
    for name, parameter in graph.parameters.items():
        if parameter.kind in ("mean", "variance", "scale", "shift", "bias"):
            drawn = rng.uniform(0.5, 2.0, parameter.shape)
            weights[name] = drawn.astype(np.float32)
    return graph.with_weights(weights)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize(
    ("graph", "channels"),
    [
        (_network(_layers), 2),
        (network("lenet", size=28, classes=4), 1),
        (network("lenet", size=28, classes=4, widths=(8, 15, 31), kernel=3), 1),
    ],
    ids=["all", "lenet", "narrow lenet"],
)
def test_answers_and_gradients_are_those_of_the_plain_network(
    graph, channels, changing, monkeypatch
):
    graph = _learned(graph)
    sides = (graph.input.height, graph.input.width, channels)
    images = np.random.default_rng(2).normal(size=(20, *sides)).astype(np.float32)
    found = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(mxnet_executor, "whole_vectors", lambda same: same)
            monkeypatch.setattr(mxnet_executor, "widens", lambda graph: False)
        runner = MXNetExecutor(graph, Device("cpu"), changing=changing)
        answers = runner.forward({"data": images})
        # An image's answer does not depend on its company, whichever way it is computed.
        assert np.array_equal(runner.forward({"data": images[3:4]}), answers[3:4])
        found.append((answers, runner.gradients({"data": images}, "data", np.ones_like)[1]))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5 * np.abs(theirs).max())


def test_weights_that_are_loaded_are_those_that_answer():
    graph = _learned(_network(_layers))
    images = {"data": np.random.default_rng(2).normal(size=(4, 13, 11, 2)).astype(np.float32)}
    runner = MXNetExecutor(graph, Device("cpu"))
    first = runner.forward(images)
    others = {name: 1.5 * weight for name, weight in graph.weights.items()}
    runner.load_weights(others)
    assert not np.allclose(runner.forward(images), first)
    alone = MXNetExecutor(graph.with_weights(others), Device("cpu"))
    assert np.array_equal(runner.forward(images), alone.forward(images))
    runner.load_weights(graph.weights)
    assert np.array_equal(runner.forward(images), first)
