"""Every network on PyTorch against MXNet, in double precision: outputs, gradients, statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diglot.boltzmann import graphs as boltzmann
from diglot.captioner.decoder import Decoder
from diglot.captioner.graphs import context_graph, training_graph
from diglot.engine import Device, Optimiser, open_executor
from diglot.engine.mxnet_chance import without_chance
from diglot.graph import InputSpec
from diglot.networks import network, networks, resolve
from engine_checks import assert_engines_agree, values_of, with_loss
from random_networks import drawn
from test_captioner_graphs import SMALL, of_encoder
from test_networks import MORE, TINY, ZOO

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.needs_mxnet1("2.0 computes in double precision on other paths"),
    # MXNet 1.9.1 asks scipy for what has moved.
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet"),
]

FORWARD, GRADIENTS = 1e-10, 1e-10  # the largest difference, as a part of the largest number


def still(graph):
    """Return the graph without dropout, whose draws no two engines share.

    And without what MXNet computes in single precision only, or partly: those two are compared
    alone in test_torch_operators.py.
    """
    nodes = []
    for node in without_chance(graph).nodes:
        if node.op == "LRN":
            node = replace(node, op="identity", attrs={})
        if node.attrs.get("act_type") == "gelu":
            node = replace(node, attrs={"act_type": "elu"})
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def test_every_family_is_here():
    table = networks()
    here = table["name"].isin([*TINY, *MORE])
    assert set(table["family"][here]) == set(table["family"])


@pytest.mark.parametrize("name", [*TINY, *MORE])
@pytest.mark.parametrize("training", [True, False])
def test_networks(mx, name, training):
    graph = still(network(name, classes=3, **{**TINY, **MORE}[name]))
    values = values_of(graph, rows=4)
    assert_engines_agree(mx, graph, values, FORWARD, GRADIENTS, training)


# What MXNet computes in single precision only, in the networks that have it.
SINGLE = {
    "googlenet_bvlc": {"size": 64, "channels": 3},
    "convnext_tiny": MORE["convnext_tiny"],
    "vit_s_16": MORE["vit_s_16"],
}


def smooth(node):
    """Return the node without a rectifier or peak, which the last bit can turn the other way.

    How far gradients then lie apart says nothing of either engine; those operators are compared
    in double precision above.
    """
    if node.attrs.get("act_type") == "relu":
        return replace(node, attrs={**node.attrs, "act_type": "tanh"})
    if node.op == "Pooling" and node.attrs.get("pool_type", "max") == "max":
        return replace(node, attrs={**node.attrs, "pool_type": "avg"})
    return node


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks_in_single_precision(mx, name, seed):
    graph = network(name, classes=3, **SINGLE[name])
    graph = replace(graph, nodes=tuple(map(smooth, without_chance(graph).nodes)))
    assert any(n.op == "LRN" or n.attrs.get("act_type") == "gelu" for n in graph.nodes)
    # Both begin with the same numbers, which have 24 bits.
    values = {n: v.astype(np.float32).astype(float) for n, v in values_of(graph, 4, seed).items()}
    assert_engines_agree(mx, graph, values, 1e-5, 1e-4, dtype="float32")


# Smaller where the network lets it be: what it computes is the same. But not so small that norms
# are over four numbers, where rounding is most of what is compared on some processors.
SIDES = {**ZOO, "alexnet": 67, "squeezenet1.0": 224, "resnet50_v1": 96}


@pytest.mark.parametrize("name", ZOO)
def test_mxnets_own_model_zoo(mx, name):
    block = mx.gluon.model_zoo.vision.get_model(name, classes=1000)
    graph = still(resolve(block, InputSpec(SIDES[name], SIDES[name], 3), 7))
    assert_engines_agree(mx, graph, values_of(graph, rows=1), FORWARD, GRADIENTS)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_captioners(mx, cell, attention):
    decoder = Decoder(9, cell, layers=2, **SMALL | {"heads": 3 if attention else 0})
    graph = of_encoder("convnet", decoder, attention)
    rng = np.random.default_rng(3)
    for each in (training_graph(graph, 0.1), context_graph(graph, decoder)):
        values = values_of(still(each), rows=4)
        for name in set(values) & {"tokens", "target"}:
            values[name] = rng.integers(0, 9, values[name].shape).astype(np.float64)
        without = {"tokens", "target"} & set(values)
        assert_engines_agree(mx, still(each), values, FORWARD, GRADIENTS, without=without)


@pytest.mark.parametrize("visible", boltzmann.VISIBLE)
def test_boltzmann_machines(mx, visible):
    spec = InputSpec(4, 5, 2)
    for make in (boltzmann.machine_graph, boltzmann.training_graph, boltzmann.judging_graph):
        graph = make(spec, 7, visible)
        assert_engines_agree(mx, graph, values_of(graph, rows=4), FORWARD, GRADIENTS)
    graph = boltzmann.gibbs_graph(spec, 7, visible)
    assert_engines_agree(mx, graph, values_of(graph, rows=4), FORWARD, training=False)


# ---- any network


@pytest.mark.parametrize("start", range(0, 80, 20))
def test_random_networks_train_as_on_mxnet(start):
    """In single precision, in which either engine turns a graph into one that is faster."""
    for seed in range(start, start + 20):
        graph, layers = drawn(seed)
        images = np.random.default_rng(seed).normal(0, 0.3, (16, 9, 8, 3)).astype(np.float32)
        given = {"data": images, "label": (np.arange(16) % 3).astype(np.float32)}
        found = []
        for engine in ("mxnet", "torch"):
            executor = open_executor(graph, Device("cpu", engine=engine))
            by_input = executor.gradients({"data": images}, "data", np.ones_like)[1]
            executor.prepare_training(with_loss(graph), Optimiser("sgd", momentum=0.0))
            executor.train_step(given, 1.0, seed)
            moved = {n: w - graph.weights[n] for n, w in executor.weights().items()}
            found.append({"by input": by_input, **moved})
        least = 1e-3 * max(np.abs(change).max() for change in found[1].values())
        for name, change in found[1].items():
            limit = 2e-2 * max(np.abs(change).max(), least)
            np.testing.assert_allclose(
                found[0][name], change, atol=limit, err_msg=f"{name} in {layers}"
            )
