"""What a graph is turned into before it is run: the same answers and gradients, less work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from diglot.graph import BATCH_NORMS, Graph, Node
from diglot.operators import Attrs

_MONOTONE = {"relu", "sigmoid", "tanh", "softrelu", "softsign"}
_ALSO_OPERATORS = {"relu", "sigmoid", "tanh"}


def as_activations(graph: Graph) -> Graph:
    """Return the graph with functions that are operators of their own as activations.

    To MXNet these are another thing: oneDNN computes them in vectors, and along with the layer
    before; as operators, a CPU takes twenty times as long for a hyperbolic tangent.

    Examples
    --------
    >>> from diglot.builder import Builder
    >>> from diglot.graph import InputSpec
    >>> b = Builder(InputSpec(8, 8, 1))
    >>> graph = as_activations(b.graph("small", b.add("tanh", b.data, name="bent")))
    >>> graph.nodes[-1].op, graph.nodes[-1].attrs
    ('Activation', {'act_type': 'tanh'})
    """
    nodes = (
        replace(node, op="Activation", attrs={**node.attrs, "act_type": node.op})
        if node.op in _ALSO_OPERATORS
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def pooled_first(graph: Graph) -> Graph:
    """Return the graph with maxima taken before the activations that they followed.

    A function that never falls leaves the largest number the largest, so that
    ``max(f(x)) = f(max(x))``; and there are fewer numbers after pooling to apply it to.

    Examples
    --------
    >>> from diglot import network
    >>> [n.op for n in pooled_first(network("lenet", classes=10)).nodes if not n.is_variable][:3]
    ['Convolution', 'Pooling', 'Activation']
    """
    nodes = list(graph.nodes)
    uses = Counter(place for node in nodes for place in node.inputs)
    uses.update(graph.heads)
    for index, node in enumerate(nodes):
        if not _takes_maxima(node):
            continue
        source = node.inputs[0]
        before = nodes[source[0]]
        if _never_falls(before) and uses[source] == 1:
            # Each takes the other's place, so that whatever comes after finds what it looks for.
            nodes[source[0]] = replace(node, inputs=before.inputs)
            nodes[index] = replace(before, inputs=(source,))
    return replace(graph, nodes=tuple(nodes))


def _takes_maxima(node: Node) -> bool:
    attrs = Attrs(node.attrs)
    return node.op == "Pooling" and attrs.get("pool_type", "max") == "max"


def _never_falls(node: Node) -> bool:
    return node.op == "Activation" and node.attrs.get("act_type") in _MONOTONE


def folded(graph: Graph) -> Graph:
    """Return a graph with weights for scoring: its batch normalisations are part of what is before.

    In scoring they multiply each channel by a number and add another, which the weights and the
    bias of the convolution or dense layer that made the channel can do as well (Jacob et al.,
    2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", section 3.2). A layer whose output or weights others use, too, stays as it is.

    Examples
    --------
    >>> from diglot import network
    >>> from diglot.builder import initial_weights
    >>> net = network("resnet18", classes=10)
    >>> net = net.with_weights(initial_weights(net, seed=1))
    >>> sum(node.op == "BatchNorm" for node in folded(net).nodes)
    0
    """
    nodes, weights = list(graph.nodes), dict(graph.weights)
    uses = Counter(place for node in nodes for place in node.inputs)
    uses.update(graph.heads)
    for index, norm in enumerate(nodes):
        if norm.op not in BATCH_NORMS:
            continue
        layer = nodes[norm.inputs[0][0]]
        if not (_makes_channels(layer) and _is_plain(norm, index, uses)):
            continue
        if any(uses[place] > 1 for place in (norm.inputs[0], norm.inputs[2], *layer.inputs[1:])):
            continue
        # At the place of the norm all is there that it needs: its shift is the bias, if need be.
        inputs = (*layer.inputs[:2], layer.inputs[2] if len(layer.inputs) > 2 else norm.inputs[2])
        names = [nodes[i].name for i, _ in inputs[1:]]
        weights.update(zip(names, _scaled(layer, norm, nodes, weights), strict=True))
        nodes[index] = replace(
            layer, name=norm.name, attrs={**layer.attrs, "no_bias": "False"}, inputs=inputs
        )
    return replace(graph, nodes=tuple(nodes), weights=weights).pruned(graph.heads)


def _makes_channels(node: Node) -> bool:
    """Whether each row of its weights makes one place of the second axis."""
    dense = node.op == "FullyConnected" and Attrs(node.attrs).flag("flatten", True)
    return dense or node.op == "Convolution"


def _is_plain(norm: Node, index: int, uses: Counter[tuple[int, int]]) -> bool:
    """Whether it is over the second axis, and nobody takes its means and variances."""
    return Attrs(norm.attrs).get("axis", 1) == 1 and not (uses[index, 1] or uses[index, 2])


def _scaled(
    layer: Node, norm: Node, nodes: Sequence[Node], weights: Mapping[str, np.ndarray]
) -> Sequence[np.ndarray]:
    """Return the weights and the bias of a layer that normalises what it makes."""

    def array(place: tuple[int, int]) -> np.ndarray:
        return weights[nodes[place[0]].name].astype(np.float64)

    attrs = Attrs(norm.attrs)
    gamma, beta, mean, variance = map(array, norm.inputs[1:])
    scale = 1 / np.sqrt(variance + float(attrs.get("eps", np.float32(1e-3))))
    scale = scale if attrs.flag("fix_gamma", True) else gamma * scale
    weight = array(layer.inputs[1])
    bias = array(layer.inputs[2]) if len(layer.inputs) > 2 else 0.0
    return weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), beta + (bias - mean) * scale
