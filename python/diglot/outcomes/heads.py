"""What a network gains behind its last layer: effects of covariates, cutpoints."""

from __future__ import annotations

import math
from dataclasses import replace

from diglot.builder import Builder
from diglot.graph import COVARIATES, Graph

EFFECTS = "covariate_effects"
CUT_FIRST, CUT_GAPS = "first_cutpoint", "cutpoint_gaps"
_ADDED = (EFFECTS, CUT_FIRST)
_LEAST_GAP = 1e-6  # between cutpoints: two that fall together would be a class of no probability


def bare(graph: Graph) -> Graph:
    """Return a network without what this file adds; any other network as it is.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph

    Examples
    --------
    >>> from diglot import network
    >>> net = network("lenet", classes=1)
    >>> bare(with_cutpoints(net, 4)).output_shape, bare(net) is net
    ((1,), True)
    """
    names = {node.name for node in graph.nodes}
    return graph if names.isdisjoint(_ADDED) else graph.up_to(graph.head)


def with_covariates(graph: Graph, count: int) -> Graph:
    """Return the network whose last layer adds a linear combination of covariates.

    Parameters
    ----------
    graph : Graph
        Gives m numbers an image.
    count : int
        How many covariates there are; 0 changes nothing.

    Returns
    -------
    Graph
        With the extra input "covariates" and the weight "covariate_effects_weight" of shape
        (m, count), which begins at zero and belongs to the head.

    Examples
    --------
    >>> from diglot import network
    >>> net = with_covariates(network("lenet", classes=3), 2)
    >>> net.inputs, net.output_shape
    (['data', 'covariates'], (3,))
    """
    if not count:
        return graph
    b = Builder(graph.input, graph)
    scores = b.start_output()
    given = b.input(COVARIATES, (count,))
    with b.group("head"):
        effect = b.add(
            "FullyConnected",
            given,
            name=EFFECTS,
            init="zeros",
            num_hidden=scores.shape[0],
            no_bias=True,
        )
    total = b.add("elemwise_add", scores, effect, name="scores_with_covariates")
    return _continued(graph, b.graph(graph.name, total))


def with_cutpoints(graph: Graph, classes: int) -> Graph:
    """Return the network that turns its one number into ordered classes' log-probabilities.

    The probability of class j is ``s(cut[j] - x) - s(cut[j-1] - x)``, s being the logistic
    function. Its logarithm is computed as ``log s(cut[j] - x) + log s(x - cut[j-1]) +
    log(1 - exp(-gap))``, of which no part is a small difference of large numbers.

    Parameters
    ----------
    graph : Graph
        Gives one number an image.
    classes : int
        How many there are, at least two.

    Returns
    -------
    Graph
        Its cutpoints belong to the head. They begin where all classes are as probable, but for
        the gaps between them, which begin equal.
    """
    start = math.log(1 / (classes - 1)) if classes > 2 else 0.0
    b = Builder(graph.input, graph)
    score = b.start_output()
    with b.group("head"):
        first = b.parameter(CUT_FIRST, (1, 1), "bias", repr(start))
        cuts = [first]
        if classes > 2:
            each = -2 * start / (classes - 2)
            raw = repr(math.log(math.expm1(each)))
            gaps = b.parameter(CUT_GAPS, (1, classes - 2), "bias", raw)
            positive = b.add("Activation", gaps, name="soft_gaps", act_type="softrelu")
            gap = b.add("_plus_scalar", positive, name="gaps", scalar=_LEAST_GAP)
            for j in range(classes - 2):
                one = b.add("slice_axis", gap, name=f"gap{j}", axis=1, begin=j, end=j + 1)
                cuts.append(b.add("elemwise_add", cuts[-1], one, name=f"cutpoint{j + 1}"))
    cut = (
        b.add("Concat", *cuts, name="cutpoints", dim=1, num_args=len(cuts))
        if len(cuts) > 1
        else first
    )
    ahead = b.add("broadcast_sub", cut, score, name="cutpoints_ahead")
    behind = b.add("negative", ahead, name="cutpoints_behind")
    # log s(x) = -log(1 + exp(-x))
    below = b.add("Activation", behind, name="soft_below", act_type="softrelu")
    at_most = b.add("negative", below, name="log_at_most")
    above = b.add("Activation", ahead, name="soft_above", act_type="softrelu")
    more_than = b.add("negative", above, name="log_more_than")
    last = classes - 2
    parts = [b.add("slice_axis", at_most, name="log_first_class", axis=1, begin=0, end=1)]
    if classes > 2:
        up = b.add("slice_axis", at_most, name="log_at_most_own", axis=1, begin=1, end=last + 1)
        low = b.add("slice_axis", more_than, name="log_more_than_before", axis=1, begin=0, end=last)
        both = b.add("elemwise_add", up, low, name="log_between")
        minus = b.add("negative", gap, name="minus_gaps")
        share = b.add("negative", b.add("expm1", minus, name="gap_loss"), name="gap_share")
        share = b.add("log", share, name="log_gap_share")
        parts.append(b.add("broadcast_add", both, share, name="log_middle_classes"))
    parts.append(
        b.add("slice_axis", more_than, name="log_last_class", axis=1, begin=last, end=last + 1)
    )
    end = b.add("Concat", *parts, name="log_class_probability", dim=1, num_args=len(parts))
    return _continued(graph, b.graph(graph.name, end))


def _continued(graph: Graph, longer: Graph) -> Graph:
    return replace(longer, features=graph.features, weights=graph.weights, origin=graph.origin)
