"""A multilayer perceptron: the image as one vector, dense layers with dropout between."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, dense, dropout, flatten


def mlp(
    spec: InputSpec,
    classes: int,
    *,
    hidden: Sequence[int] = (128, 64),
    activation: str = "relu",
    dropout_rate: float = 0.0,
) -> Graph:
    """Build dense layers, each with an activation.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like.
    classes : int
        How many numbers the network puts out.
    hidden : sequence of int
        Each layer's width; none makes a multinomial logistic regression.
    activation : {"relu", "relu6", "sigmoid", "softrelu", "softsign", "tanh"}
        What follows each layer.
    dropout_rate : float
        The share of each layer's units that training zeroes.

    Returns
    -------
    Graph

    Notes
    -----
    Rumelhart, Hinton and Williams (1986), Learning representations by back-propagating errors,
    doi:10.1038/323533a0.

    Examples
    --------
    >>> mlp(InputSpec(28, 28, 1), 10, hidden=(300,)).parameter_count
    238510
    """
    b = Builder(spec)
    x = features = flatten(b, b.data, name="flat")
    for number, width in enumerate(hidden, 1):
        with b.group(f"dense{number}"):
            init = "he" if activation == "relu" else "xavier"
            x = dense(b, x, width, name=f"dense{number}", init=init)
            x = act(b, x, activation, name=f"dense{number}_{activation}")
            x = features = dropout(b, x, dropout_rate, name=f"dense{number}_dropout")
    with b.group("head"):
        return b.graph("mlp", dense(b, x, classes, name="head"), features=features)
