"""Which of a network's layers keep places: a grid of cells, each of them somewhere in the image."""

from __future__ import annotations

from diglot.errors import InputError
from diglot.graph import Graph, Node
from diglot.operators import Attrs

_GRID = "nchw"
# Whatever goes in, their output of four dimensions is (image, channel, row, column).
_MAKES_GRID = {"Convolution", "Deconvolution", "Pooling", "UpSampling"}
_LOSES_PLACES = {
    "Reshape",
    "reshape_like",
    "Flatten",
    "batch_dot",
    "Embedding",
    "stack",
    "expand_dims",
    "squeeze",
    "RNN",
}
_OTHERS = 'choose method="integrated_gradients" or "occlusion", which need none'


def place_layers(graph: Graph) -> list[str]:
    """Return the layers on the way to the output that keep places, in order.

    Parameters
    ----------
    graph : Graph
        With or without weights.

    Returns
    -------
    list of str
        Layers whose output is (channels, rows, columns) with more than one cell.

    Examples
    --------
    >>> from diglot import network
    >>> place_layers(network("lenet", classes=10))[-2:]
    ['conv2_tanh', 'pool2']
    >>> place_layers(network("mlp", classes=10))
    []
    """
    part = graph.up_to(graph.nodes[graph.heads[0][0]].name)
    return [
        node.name
        for node, axes, shapes in zip(part.nodes, _axes(part), part.output_shapes, strict=True)
        if axes == _GRID and not node.is_variable and shapes[0][2] * shapes[0][3] > 1
    ]


def check_layer(graph: Graph, layer: str | None) -> str:
    """Return the layer that Grad-CAM looks at: the given one, or the last that keeps places.

    Raises
    ------
    InputError
        If there is none, or the given one keeps no places; the message names other methods, or
        layers.

    Examples
    --------
    >>> from diglot import network
    >>> check_layer(network("resnet18"), None)
    'layer4_1_relu2'
    """
    layers = place_layers(graph)
    if not layers:
        raise InputError(
            f"network {graph.name!r} has no layer that keeps places, which Grad-CAM looks at: "
            f"{_OTHERS}"
        )
    if layer is None:
        if _goes_on_as_sequence(graph, layers[-1]):
            raise InputError(
                f"network {graph.name!r} turns the image into a sequence of patches after the "
                f"layer {layers[-1]!r}, the last that keeps places, where Grad-CAM would see too "
                f"little: {_OTHERS}, or name a layer"
            )
        return layers[-1]
    if layer not in layers:
        graph.index_of(layer)  # says so if there is no such layer at all
        raise InputError(
            f"layer {layer!r} of {graph.name!r} keeps no places on the way to the output, which "
            f"Grad-CAM needs; layers that do: {', '.join(layers[-8:])}"
        )
    return layer


def _axes(graph: Graph) -> list[str | None]:
    """Return what the axes of each node's output are; None where places are lost."""
    found: list[str | None] = []
    for node, shapes in zip(graph.nodes, graph.output_shapes, strict=True):
        if node.is_variable:
            found.append(_GRID if node.name == "data" else None)
        elif len(shapes[0]) != 4:
            found.append(None)
        else:
            found.append(_axes_of(node, [found[i] for i, _ in node.inputs]))
    return found


def _axes_of(node: Node, inputs: list[str | None]) -> str | None:
    """Return what the axes of an output of four dimensions are."""
    if node.op in _MAKES_GRID:
        return _GRID
    known = next((axes for axes in inputs if axes), None)
    if known is None or node.op in _LOSES_PLACES:
        return None
    if node.op == "transpose":
        return "".join(known[axis] for axis in Attrs(node.attrs).get("axes") or (3, 2, 1, 0))
    return known


def _goes_on_as_sequence(graph: Graph, layer: str) -> bool:
    """Whether what comes after the last grid is still more than one vector an image."""
    rest = graph.after(layer)
    axes = _axes(rest)
    return any(
        not node.is_variable and found != _GRID and len(shapes[0]) > 2 and max(shapes[0][2:]) > 1
        for node, found, shapes in zip(rest.nodes, axes, rest.output_shapes, strict=True)
    )
