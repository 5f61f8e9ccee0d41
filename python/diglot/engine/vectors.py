"""Convolutions in whole vectors of channels: the same answers and gradients, in less time.

On a CPU, oneDNN has its fast convolutions for channels in multiples of 16, as many numbers as a
vector of AVX-512 holds. Other numbers of channels take a path that is half as fast, or worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diglot.graph import Graph, Node
from diglot.operators import Attrs, Shape

VECTOR = 16
# Each channel by itself, and zeros may become anything: what comes of them is cut off.
_BY_CHANNEL = {"Activation", "Pooling"}

Place = tuple[int, int]


def whole_vectors(graph: Graph) -> Graph:
    """Return a graph whose convolutions put out, and take in, multiples of 16 channels.

    Filters of zeros fill up what a convolution puts out; pooling and activations that follow go
    along, and what comes after them gets the channels that there were. A convolution that takes,
    say, 20 channels becomes the sum of two, of 16 and of 4. Parameters stay as they are: the
    graph itself cuts and fills them up.

    The answer is for an engine to read: its convolutions' filters are no parameters any more, so
    that it cannot tell its own shapes.

    Examples
    --------
    >>> from diglot import network
    >>> wide = whole_vectors(network("lenet", classes=10))
    >>> [n.attrs["num_filter"] for n in wide.nodes if n.op == "Convolution"]
    ['32', '64', '64']
    """
    return _Widening(graph).run()


def widens(graph: Graph) -> bool:
    """Whether the graph has a convolution that `whole_vectors` makes faster.

    Examples
    --------
    >>> from diglot import network
    >>> widens(network("lenet", classes=10)), widens(network("vgg11", classes=10))
    (True, False)
    """
    found = _Widening(graph)
    return any(found.gains(index) for index in range(len(graph.nodes)))


def _rounded(count: int) -> int:
    return -(-count // VECTOR) * VECTOR


def _pays(node: Node, channels: int, filters: int) -> bool:
    """Whether a convolution gains: products of single pixels are fast as they are."""
    attrs = Attrs(node.attrs)
    kernel = attrs.get("kernel", ())
    if not isinstance(kernel, tuple) or len(kernel) != 2 or max(kernel) == 1:
        return False
    if attrs.get("num_group", 1) != 1 or attrs.get("layout") not in (None, "NCHW"):
        return False
    if _rounded(filters) > 2 * filters:  # most of it would be zeros
        return False
    return bool(filters % VECTOR or (channels > VECTOR and channels % VECTOR))


class _Widening:
    """Writes the new graph, node by node.

    ``places`` has the new place of each old one, where it was made; ``wide`` the new place, and
    the number of channels, of an old one with more channels than it had.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._places: dict[Place, Place] = {}
        self._wide: dict[Place, Place] = {}

    def run(self) -> Graph:
        for index, node in enumerate(self._graph.nodes):
            if self.gains(index):
                self._convolve(index, node)
            elif node.op in _BY_CHANNEL and node.inputs[0] in self._wide:
                source = self._wide[node.inputs[0]]
                wide = self._add(node.op, f"{node.name}_wide", node.attrs, [source])
                self._wide[index, 0] = wide
            else:
                inputs = tuple(map(self._narrow, node.inputs))
                self._nodes.append(replace(node, inputs=inputs))
                for output in range(len(self._graph.output_shapes[index])):
                    self._places[index, output] = (len(self._nodes) - 1, output)
        heads = tuple(map(self._narrow, self._graph.heads))
        return replace(self._graph, nodes=tuple(self._nodes), heads=heads)

    def _shape(self, place: Place) -> Shape:
        return self._graph.output_shapes[place[0]][place[1]]

    def gains(self, index: int) -> bool:
        """Whether a node is a convolution that is faster in whole vectors."""
        node = self._graph.nodes[index]
        return node.op == "Convolution" and _pays(node, *self._channels(index))

    def _channels(self, index: int) -> tuple[int, int]:
        source = self._graph.nodes[index].inputs[0]
        return self._shape(source)[1], self._shape((index, 0))[1]

    def _add(self, op: str, name: str, attrs: dict[str, str], inputs: Sequence[Place]) -> Place:
        self._nodes.append(Node(op, name, dict(attrs), tuple(inputs)))
        return len(self._nodes) - 1, 0

    def _cut(self, place: Place, name: str, axis: int, begin: int, end: int) -> Place:
        attrs = {"axis": str(axis), "begin": str(begin), "end": str(end)}
        return self._add("slice_axis", name, attrs, [place])

    def _narrow(self, place: Place) -> Place:
        """Return where the channels of an old place are, and no more."""
        if place not in self._places:
            name = f"{self._graph.nodes[place[0]].name}_narrow"
            wide = self._wide[place]
            self._places[place] = self._cut(wide, name, 1, 0, self._shape(place)[1])
        return self._places[place]

    def _filled(self, place: Place, name: str, shape: Shape, count: int) -> Place:
        """Return filters, or biases, with zeros behind them, up to ``count``."""
        if count == shape[0]:
            return place
        zeros = (count - shape[0], *shape[1:])
        attrs = {"shape": str(zeros), "dtype": "float32"}
        behind = self._add("_zeros", f"{name}_zeros", attrs, [])
        return self._add("Concat", f"{name}_filled", {"num_args": "2", "dim": "0"}, [place, behind])

    def _convolve(self, index: int, node: Node) -> None:
        channels, filters = self._channels(index)
        count, name = _rounded(filters), node.name
        attrs = {**node.attrs, "num_filter": str(count)}
        source = node.inputs[0]
        weight, *bias = map(self._narrow, node.inputs[1:])
        weight = self._filled(weight, f"{name}_weight", self._shape(node.inputs[1]), count)
        bias = [self._filled(b, f"{name}_bias", (filters,), count) for b in bias]
        whole = channels - channels % VECTOR if channels > VECTOR else channels
        if whole == channels:
            data = self._narrow(source)
            wide = self._add("Convolution", f"{name}_wide", attrs, [data, weight, *bias])
        else:
            # Cut from what is there already, rather than from a cut of it.
            data = self._wide[source] if source in self._wide else self._narrow(source)
            parts = []
            for part, begin, end in (("first", 0, whole), ("rest", whole, channels)):
                taken = [
                    self._cut(data, f"{name}_{part}", 1, begin, end),
                    self._cut(weight, f"{name}_weight_{part}", 1, begin, end),
                ]
                own = {**attrs, "no_bias": str(not bias or part == "rest")}
                with_bias = bias if part == "first" else []
                parts.append(
                    self._add("Convolution", f"{name}_of_{part}", own, [*taken, *with_bias])
                )
            wide = self._add("elemwise_add", f"{name}_wide", {}, parts)
        if count == filters:
            self._places[index, 0] = wide
        else:
            self._wide[index, 0] = wide
