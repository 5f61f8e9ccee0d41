"""The vision transformer (Dosovitskiy et al., 2021): an image as a sentence of patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import add, conv, dense, flatten, gelu, last_dense, layer_norm

_LARGEST_GRID = 4096  # patches a side


def vit(
    spec: InputSpec,
    classes: int,
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    expansion: int = 4,
    eps: float = 1e-6,
) -> Graph:
    """Build a vision transformer; the defaults are ViT-B/16.

    Parameters
    ----------
    spec : InputSpec
        What the input looks like. Pixels at the right and below that fill no patch are not seen.
    classes : int
        How many numbers the network puts out.
    width : int
        How many numbers describe a patch.
    depth : int
        How many blocks there are.
    heads : int
        How many attentions each block has side by side; the width is shared out to them.
    patch : int
        The height and width of a patch, in pixels.
    expansion : int
        How many times as many numbers the dense layers inside a block widen to.
    eps : float
        What layer normalisation adds to the variance: 1e-6 for timm's and torchvision's weights,
        1e-12 for those of Hugging Face's transformers.

    Returns
    -------
    Graph

    Notes
    -----
    Each block normalises first, then attends or computes, then adds. The head sees the class
    token. There is one position embedding for each patch, and so their number follows from the
    image's size: :func:`resized_positions` brings weights to another. Dropout and stochastic
    depth are left out: they change no prediction. Dosovitskiy et al. (2021), An image is worth
    16x16 words, arXiv:2010.11929.

    Examples
    --------
    >>> vit(InputSpec(224, 224, 3), 1000).parameter_count
    86567656
    """
    if width % heads:
        raise InputError(f"width ({width}) must be a multiple of heads ({heads})")
    b = Builder(spec)
    with b.group("embedding"):
        x = _embedding(b, width, patch)
    for number in range(depth):
        with b.group(f"block{number}"):
            x = _block(b, x, heads, expansion, eps, name=f"block{number}")
    with b.group(f"block{depth - 1}"):
        x = b.add("slice_axis", x, name="token", axis=1, begin=0, end=1)
        x = features = flatten(b, layer_norm(b, x, name="norm", eps=eps), name="features")
    with b.group("head"):
        return b.graph("vit", dense(b, x, classes, name="head", init="normal"), features=features)


def _embedding(b: Builder, width: int, patch: int) -> Tensor:
    """Describe each patch, put the class token before them, and add where each one is."""
    token = b.parameter("class_token", (1, 1, width), kind="bias")  # first, as MXNet lists it
    x = conv(b, b.data, width, patch, stride=patch, pad=0, init="normal", name="patches")
    x = b.add("Reshape", x, name="patches_flat", shape=(0, 0, -1))
    x = b.add("transpose", x, name="patches_rows", axes=(0, 2, 1))
    # One for each image of the batch, whose size only the patches know.
    one = b.add("slice_axis", x, name="patches_first", axis=1, begin=0, end=1)
    token = b.add("broadcast_like", token, one, name="class_tokens")
    x = b.add("Concat", token, x, name="tokens", dim=1, num_args=2)
    places = b.parameter("positions", (1, *x.shape), kind="bias", init="normal")
    return b.add("broadcast_add", x, places, name="embedding")


def _block(b: Builder, x: Tensor, heads: int, expansion: int, eps: float, *, name: str) -> Tensor:
    width = x.shape[-1]
    y = _attention(b, layer_norm(b, x, name=f"{name}_norm1", eps=eps), heads, name=name)
    x = add(b, x, y, name=f"{name}_add1")
    y = layer_norm(b, x, name=f"{name}_norm2", eps=eps)
    y = last_dense(b, y, expansion * width, name=f"{name}_fc1", init="normal")
    y = last_dense(b, gelu(b, y, name=f"{name}_gelu"), width, name=f"{name}_fc2", init="normal")
    return add(b, x, y, name=f"{name}_add2")


def _attention(b: Builder, x: Tensor, heads: int, *, name: str) -> Tensor:
    """Let each token gather from all others, by how well its query fits their keys.

    MXNet's ``_contrib_interleaved_matmul_selfatt`` operators are no faster in a whole block on a
    CPU (within 5 %), and would want the weights in an order of their own.
    """
    width = x.shape[-1]
    y = last_dense(b, x, 3 * width, name=f"{name}_qkv", init="normal")
    y = b.add("Reshape", y, name=f"{name}_split", shape=(0, 0, 3 * heads, width // heads))
    y = b.add("transpose", y, name=f"{name}_heads", axes=(0, 2, 1, 3))
    query, key, value = (
        b.add("slice_axis", y, name=f"{name}_{role}", axis=1, begin=i * heads, end=(i + 1) * heads)
        for i, role in enumerate(("query", "key", "value"))
    )
    query = b.add("_mul_scalar", query, name=f"{name}_scaled", scalar=(width // heads) ** -0.5)
    y = b.add("batch_dot", query, key, name=f"{name}_scores", transpose_b=True)
    y = b.add("softmax", y, name=f"{name}_shares", axis=-1)
    y = b.add("batch_dot", y, value, name=f"{name}_gathered")
    y = b.add("transpose", y, name=f"{name}_rows", axes=(0, 2, 1, 3))
    y = b.add("Reshape", y, name=f"{name}_joined", shape=(0, 0, -1))
    return last_dense(b, y, width, name=f"{name}_proj", init="normal")


def resized_positions(
    array: np.ndarray, old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> np.ndarray:
    """Bring position embeddings to another number of patches, by bicubic interpolation.

    Parameters
    ----------
    array : ndarray, shape (1, 1 + rows * columns, width)
        The class token's, which stays as it is, and the patches', row by row.
    old_grid, new_grid : (int, int)
        How many rows and columns of patches there are, and shall be.

    Returns
    -------
    ndarray, shape (1, 1 + new rows * new columns, width)
        float32; where the grids are the same, ``array`` itself.

    Raises
    ------
    InputError
        If the array does not have a row for each patch of the old grid.

    Notes
    -----
    With antialiasing, as Pillow has it and timm does it (``resample_abs_pos_embed``).

    Examples
    --------
    >>> resized_positions(np.zeros((1, 1 + 14 * 14, 8), np.float32), (14, 14), (16, 12)).shape
    (1, 193, 8)
    """
    sides = (*old_grid, *new_grid)
    if not all(isinstance(side, (int, np.integer)) and 0 < side <= _LARGEST_GRID for side in sides):
        raise InputError(f"a grid's sides must be whole numbers from 1 to {_LARGEST_GRID}")
    rows, columns = old_grid
    if array.ndim != 3 or array.shape[:2] != (1, 1 + rows * columns):
        raise InputError(
            f"position embeddings of the shape {array.shape} are not those of a class token and "
            f"{rows} x {columns} patches, (1, {1 + rows * columns}, width)"
        )
    if tuple(old_grid) == tuple(new_grid):
        return array
    token, patches = array[:, :1], array[0, 1:].reshape(rows, columns, -1)
    down, across = (_bicubic(old, new) for old, new in zip(old_grid, new_grid, strict=True))
    patches = np.einsum("ai,ijc->ajc", down, patches.astype(np.float32))
    patches = np.einsum("bj,ajc->abc", across, patches)
    resized = np.concatenate([token, patches.reshape(1, -1, array.shape[2])], axis=1)
    return resized.astype(np.float32)


def has_positions(graph: Graph) -> bool:
    """Whether a network has position embeddings, one for each patch of an image."""
    return {"patches", "positions"} <= {node.name for node in graph.nodes}


def at_size(graph: Graph, spec: InputSpec) -> Graph:
    """Return a transformer for another input, its position embeddings stretched.

    Parameters
    ----------
    graph : Graph
        A vision transformer, with or without weights.
    spec : InputSpec
        What the input will look like.

    Examples
    --------
    >>> net = vit(InputSpec(32, 32, 3), 2, width=8, heads=2, depth=1)
    >>> small = at_size(net, InputSpec(48, 32, 3))
    >>> small.parameters["positions"].shape
    (1, 7, 8)
    """
    old_grid = graph.shape_of("patches")[1:]
    new_grid = graph.up_to("patches").without_weights().with_input(spec).shape_of("patches")[1:]
    width = graph.shape_of("patches")[0]
    index = graph.index_of("positions")
    shape = (1, 1 + new_grid[0] * new_grid[1], width)
    node = replace(graph.nodes[index], attrs={**graph.nodes[index].attrs, "__shape__": str(shape)})
    nodes = (*graph.nodes[:index], node, *graph.nodes[index + 1 :])
    weights = graph.weights
    if weights is not None:
        stretched = resized_positions(weights["positions"], old_grid, new_grid)
        weights = {**weights, "positions": stretched}
    same_channels = replace(graph.input, height=spec.height, width=spec.width)
    return replace(graph, nodes=nodes, weights=weights, input=same_channels).with_input(spec)


def _bicubic(old: int, new: int) -> np.ndarray:
    """Return the weights (new, old) with which Pillow makes ``new`` numbers of ``old``."""
    from PIL import Image

    unit = Image.fromarray(np.eye(old, dtype=np.float32))
    return np.asarray(unit.resize((old, new), Image.Resampling.BICUBIC))
