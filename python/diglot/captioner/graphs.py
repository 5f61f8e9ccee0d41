"""The captioner's graphs: whole sequences for training; the image once and then word by word.

All are made of the same two parts. ``_see`` turns an encoder's output into what the decoder looks
at: keys and values of the grid's cells, and the first states. ``_tell`` turns words and states
into scores of the next words. In training ``_tell`` takes the whole caption in one call of the
fused recurrent operator, in decoding one word for each beam.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diglot.builder import Builder, Tensor
from diglot.captioner.decoder import Decoder, recurrent_parts
from diglot.captioner.encoder import encoder_places, places
from diglot.graph import Graph, InputSpec

# ---- what the decoder sees


def _grid(b: Builder, x: Tensor) -> Tensor:
    """Return the encoder's output as (cells, channels); a vector is one cell."""
    if len(x.shape) == 3:
        x = b.add("Reshape", x, name="grid_cells", shape=(0, 0, -1))
        return b.add("transpose", x, name="grid", axes=(0, 2, 1))
    if len(x.shape) == 1:
        return b.add("expand_dims", x, name="grid", axis=1)
    return x


def _see(b: Builder, grid: Tensor, where: tuple[int, int, int], decoder: Decoder) -> list[Tensor]:
    """Return the first states; with attention, keys and values of the cells come before them.

    ``where`` is what `places` says of the grid.
    """
    width, cells = decoder.hidden, grid.shape[0]
    seen = []
    if not decoder.heads:
        grid, cells = b.add("mean", grid, name="pooled", axis=1, keepdims=True), 1
    x = b.add("FullyConnected", grid, name="cells", num_hidden=width, flatten=False)
    if cells > 1:
        place = b.parameter("cells_place", (1, cells, width), init="waves {}x{}+{}".format(*where))
        x = b.add("broadcast_add", x, place, name="placed_cells")
    x = b.add("Activation", x, name="seen", act_type="tanh")
    if decoder.heads:
        for layer in range(1, decoder.layers + 1):
            keys = b.add("FullyConnected", x, name=f"keys{layer}", num_hidden=width, flatten=False)
            seen.append(_by_head(b, keys, decoder.heads, f"keys{layer}"))
        seen.append(_by_head(b, x, decoder.heads, "values"))
    mean = b.add("mean", x, name="image", axis=1)
    for name in decoder.states:
        dense = b.add("FullyConnected", mean, name=f"first_{name}", num_hidden=width)
        seen.append(b.add("Activation", dense, name=f"first_{name}_tanh", act_type="tanh"))
    return seen


def _by_head(b: Builder, x: Tensor, heads: int, name: str) -> Tensor:
    """Turn (places, width) into (heads, places, width / heads)."""
    x = b.add("Reshape", x, name=f"{name}_split", shape=(0, 0, -4, heads, -1))
    return b.add("transpose", x, name=f"{name}_heads", axes=(0, 2, 1, 3))


# ---- what the decoder tells


@dataclass(frozen=True)
class _Told:
    """Scores of the next words; the states after them; where each head looked."""

    logits: Tensor
    states: list[Tensor]
    attention: Tensor | None


def _tell(
    b: Builder, tokens: Tensor, seen: Sequence[Tensor], decoder: Decoder, *, flat: bool = False
) -> _Told:
    """Add the decoder of ``tokens`` (captions, length): several captions of each image.

    ``length`` may be another one when the graph runs, ``captions`` not. With ``flat`` the
    recurrent layers' weights are one parameter each, as the operator wants them.
    """
    captions = tokens.shape[0]
    keys = list(seen[: decoder.layers]) if decoder.heads else []
    values = seen[decoder.layers] if decoder.heads else None
    first = list(seen[-len(decoder.states) :])
    # Scores come from the same numbers where they are tied, and shall begin small.
    spread = decoder.embedding**-0.5 if decoder.tied else 0.5
    table = b.parameter(
        "words_weight", (decoder.words, decoder.embedding), init=f"normal {spread:.6g}"
    )
    x = b.add(
        "Embedding",
        tokens,
        name="words",
        shared={"weight": table},
        input_dim=decoder.words,
        output_dim=decoder.embedding,
    )
    x = b.add("Reshape", x, name="words_in_turn", shape=(0, -3, 0))
    states, looked = [], None
    per_layer = len(first) // decoder.layers
    for layer in range(1, decoder.layers + 1):
        x = _dropped(b, x, decoder, f"layer{layer}")
        mine = first[(layer - 1) * per_layer : layer * per_layer]
        weights = _recurrent_weights(b, x.shape[-1], decoder, layer, flat=flat)
        x, after = _recur(b, x, weights, mine, decoder, layer, captions)
        states += after
        if decoder.heads:
            context, looked = _attend(b, x, keys[layer - 1], values, decoder, layer)
            x = b.add("concat", x, context, name=f"layer{layer}_both", dim=2, num_args=2)
    x = _dropped(b, x, decoder, "output")
    width = decoder.embedding if decoder.tied else decoder.hidden
    x = b.add("FullyConnected", x, name="output", num_hidden=width, flatten=False)
    x = b.add("Activation", x, name="output_tanh", act_type="tanh")
    logits = b.add(
        "FullyConnected",
        x,
        name="scores",
        shared={"weight": table} if decoder.tied else None,
        num_hidden=decoder.words,
        flatten=False,
    )
    logits = b.add("Reshape", logits, name="scores_by_caption", shape=(0, -4, captions, -1, 0))
    return _Told(logits, states, looked)


def _dropped(b: Builder, x: Tensor, decoder: Decoder, name: str) -> Tensor:
    if not decoder.dropout:
        return x
    return b.add("Dropout", x, name=f"{name}_dropout", p=decoder.dropout)


def _recurrent_weights(
    b: Builder, width: int, decoder: Decoder, layer: int, *, flat: bool
) -> Tensor:
    name, parts = f"rnn{layer}_weights", recurrent_parts(decoder, layer, width)
    if flat:
        return b.parameter(name, (sum(map(math.prod, parts.values())),))
    init = {"i2h_weight": "xavier", "h2h_weight": "orthogonal"}
    lined = []
    for part, shape in parts.items():
        role = part.partition("_")[2]
        made = b.parameter(part, shape, kind=role.rpartition("_")[2], init=init.get(role, ""))
        lined.append(b.add("Reshape", made, name=f"{part}_flat", shape=(-1,)))
    return b.add("concat", *lined, name=name, dim=0, num_args=len(lined))


def _recur(
    b: Builder,
    x: Tensor,
    weights: Tensor,
    states: Sequence[Tensor],
    decoder: Decoder,
    layer: int,
    captions: int,
) -> tuple[Tensor, list[Tensor]]:
    """Add one layer of the fused recurrent operator, which wants time in front.

    ``x`` is (captions * length, width), the states are (captions, hidden).
    """
    name, hidden = f"rnn{layer}", decoder.hidden
    x = b.add("Reshape", x, name=f"{name}_captions", shape=(0, -4, captions, -1, 0))
    x = b.add("Reshape", x, name=f"{name}_rows", shape=(-3, 0, 0))
    x = b.add("SwapAxis", x, name=f"{name}_in", dim1=0, dim2=1)
    first = []
    for i, state in enumerate(states):
        state = b.add("Reshape", state, name=f"{name}_rows_{i}", shape=(-3, 0))
        first.append(b.add("expand_dims", state, name=f"{name}_in_{i}", axis=0))
    out = b.add(
        "RNN",
        x,
        weights,
        *first,
        name=name,
        mode=decoder.cell,
        state_size=hidden,
        num_layers=1,
        state_outputs=True,
    )
    after = [
        b.add("Reshape", b.output(out, i), name=f"{name}_end_{i}", shape=(-1, captions, hidden))
        for i in range(1, len(states) + 1)
    ]
    x = b.add("SwapAxis", out, name=f"{name}_out", dim1=0, dim2=1)
    x = b.add("Reshape", x, name=f"{name}_by_caption", shape=(-4, -1, captions, 0, 0))
    return b.add("Reshape", x, name=f"{name}_by_image", shape=(0, -3, 0)), after


def _attend(
    b: Builder, x: Tensor, keys: Tensor, values: Tensor, decoder: Decoder, layer: int
) -> tuple[Tensor, Tensor]:
    """Look at the cells whose keys fit each state: Luong et al. (2015), with several heads.

    The state looks before the word is chosen, as in Lu et al. (2017): so the whole sequence can
    run in one call, since no state waits for what another one has seen.
    """
    name, heads = f"attention{layer}", decoder.heads
    queries = b.add(
        "FullyConnected", x, name=f"queries{layer}", num_hidden=decoder.hidden, flatten=False
    )
    queries = _by_head(b, queries, heads, f"queries{layer}")
    q, k, v = (
        b.add("Reshape", t, name=f"{name}_{part}", shape=(-3, -2))
        for part, t in (("q", queries), ("k", keys), ("v", values))
    )
    fit = b.add("batch_dot", q, k, name=f"{name}_fit", transpose_b=True)
    scale = (decoder.hidden // heads) ** -0.5
    fit = b.add("_mul_scalar", fit, name=f"{name}_scaled", scalar=scale)
    shares = b.add("softmax", fit, name=f"{name}_shares", axis=-1)
    context = b.add("batch_dot", shares, v, name=f"{name}_context")
    context = b.add("Reshape", context, name=f"{name}_split", shape=(-4, -1, heads, -2))
    context = b.add("transpose", context, name=f"{name}_turned", axes=(0, 2, 1, 3))
    context = b.add("Reshape", context, name=f"{name}_joined", shape=(0, 0, -3))
    shares = b.add("Reshape", shares, name=f"{name}_by_head", shape=(-4, -1, heads, -2))
    return context, b.add("mean", shares, name=f"{name}_mean", axis=1)


# ---- the graphs


def caption_graph(encoder: Graph, end: str, decoder: Decoder, captions: int, length: int) -> Graph:
    """Return the whole network: images and words in, scores of the next words out.

    Parameters
    ----------
    encoder : Graph
        With or without weights; what comes after ``end`` is left out.
    end : str
        The layer whose output the decoder sees.
    decoder : Decoder
        What is put behind it.
    captions : int
        How many of an image go through it together.
    length : int
        How many words a caption has at most; the graph runs for any length.

    Returns
    -------
    Graph
        Inputs ``data`` and ``tokens`` (captions, length); output (captions, length, words), not
        normalised.

    Notes
    -----
    The encoder's layer groups stay; the decoder is the group "decoder".
    """
    backbone = _apart(encoder.up_to(end), decoder)
    b = Builder(backbone.input, backbone)
    x = b.start_output()
    where = encoder_places(backbone)
    grid, logits = _decoded(b, x, where, decoder, captions, length)
    graph = b.graph(f"{encoder.name} captioner", logits)
    seen = graph.nodes[grid.node].name
    return replace(graph, features=seen, weights=backbone.weights, origin=encoder.origin)


def _decoded(
    b: Builder,
    x: Tensor,
    where: tuple[int, int, int],
    decoder: Decoder,
    captions: int,
    length: int,
) -> tuple[Tensor, Tensor]:
    """Put the decoder behind an encoder's output; return the grid that it sees, and its scores."""
    with b.group("decoder"):
        grid = _grid(b, x)
        seen = _see(b, grid, where, decoder)
        count = len(decoder.states)
        tokens = b.input("tokens", (captions, length))
        first = [_for_each(b, state, captions, i) for i, state in enumerate(seen[-count:])]
        return grid, _tell(b, tokens, [*seen[:-count], *first], decoder).logits


def _apart(encoder: Graph, decoder: Decoder) -> Graph:
    """Give other names to those of the encoder's layers that are called as the decoder's are."""
    b, shape = Builder(encoder.input, images=False), encoder.output_shape
    _, logits = _decoded(b, b.input("data", shape), places(shape), decoder, 1, 1)
    alone = training_graph(b.graph("decoder", logits), smoothing=0.1, rewarded=True)
    taken = {node.name for node in alone.nodes} - {"data"}
    return encoder.renamed({name: f"encoder_{name}" for name in taken})


def encoder_of(graph: Graph) -> Graph:
    """Return the encoder of what `caption_graph` returned."""
    end = _encoders_end(graph)
    name = graph.name.removesuffix(" captioner")
    return replace(graph.up_to(end), name=name, features=end)


def behind_encoder(graph: Graph) -> Graph:
    """Return what comes after the encoder: its output goes in, in the place of images."""
    return graph.after(_encoders_end(graph))


def _encoders_end(graph: Graph) -> str:
    at = graph.index_of(graph.features)
    while graph.nodes[at].name in ("grid", "grid_cells"):
        at = graph.nodes[at].inputs[0][0]
    return graph.nodes[at].name


def seen_places(graph: Graph, decoder: Decoder) -> tuple[int, int, int] | None:
    """Return what `places` says of the grid that is attended to; None without attention."""
    return encoder_places(encoder_of(graph)) if decoder.heads else None


def _for_each(b: Builder, state: Tensor, captions: int, number: int) -> Tensor:
    """Give each caption of an image the same first state."""
    one = b.add("expand_dims", state, name=f"start{number}", axis=1)
    return b.add("broadcast_axis", one, name=f"starts{number}", axis=1, size=captions)


def context_graph(graph: Graph, decoder: Decoder) -> Graph:
    """Return the part that looks at an image: what ``_see`` gives, as outputs.

    Parameters
    ----------
    graph : Graph
        What `caption_graph` returned, perhaps cut after its frozen part.
    """
    return graph.ending_in(*seen_layers(decoder))


def seen_names(decoder: Decoder) -> list[str]:
    """Return the names of what the decoder sees, as `step_graph` takes it, states last."""
    keys = [f"keys{layer}" for layer in range(1, decoder.layers + 1)] if decoder.heads else []
    return [*keys, *(["values"] if decoder.heads else []), *decoder.states]


def seen_layers(decoder: Decoder) -> list[str]:
    """Return the layers of a `caption_graph` that give these."""
    states = set(decoder.states)
    return [
        f"first_{name}_tanh" if name in states else f"{name}_heads" for name in seen_names(decoder)
    ]


def step_graph(decoder: Decoder, cells: int, beams: int, *, attention: bool = False) -> Graph:
    """Return one step of the decoder, for each beam of an image.

    Parameters
    ----------
    decoder : Decoder
    cells : int
        Of the encoder's grid.
    beams : int
        How many words an image are to be told at once.
    attention : bool
        Whether to put out where it looks.

    Returns
    -------
    Graph
        Inputs: those of `seen_names`, states by beam, and ``tokens`` (beams, 1). Outputs: log-
        probabilities of the next words (beams, 1, words), the states after them, and with
        ``attention`` the cells' shares (beams, cells) in the last layer, averaged over its heads.

    Notes
    -----
    A recurrent layer's weights are one flat parameter, ``rnn1_weights``, of the parts that
    `recurrent_parts` names: so they are not lined up anew for each word.
    """
    b = Builder(InputSpec(1, 1, 1), images=False)
    share = (decoder.heads, cells, decoder.hidden // max(decoder.heads, 1))
    states = set(decoder.states)
    seen = [
        b.input(name, (beams, decoder.hidden) if name in states else share)
        for name in seen_names(decoder)
    ]
    tokens = b.input("tokens", (beams, 1))
    told = _tell(b, tokens, seen, decoder, flat=True)
    log_p = b.add("log_softmax", told.logits, name="log_probability", axis=-1)
    looked = [told.attention] if attention else []
    return b.graph("captioner step", log_p, *told.states, *looked)


def training_graph(graph: Graph, smoothing: float = 0.0, *, rewarded: bool = False) -> Graph:
    """Return the graph that ends in each caption's weighted negative log-likelihood.

    Parameters
    ----------
    graph : Graph
        What `caption_graph` returned, perhaps cut after its frozen part.
    smoothing : float
        This share of each word's probability goes evenly to all words.
    rewarded : bool
        Whether there is the input ``reward`` (1,), to be summed up beside the loss.

    Returns
    -------
    Graph
        More inputs: ``target`` and ``weight`` (captions, length), of the words that come next.
    """
    b = Builder(graph.input, graph)
    logits = b.start_output()
    shape = logits.shape[:2]
    target, weight = b.input("target", shape), b.input("weight", shape)
    log_p = b.add("log_softmax", logits, name="log_probability", axis=-1)
    likely = b.add("pick", log_p, target, name="target_log_probability", axis=-1)
    if smoothing:
        even = b.add("mean", log_p, name="even_log_probability", axis=-1)
        likely = b.add("_mul_scalar", likely, name="sharp_part", scalar=1 - smoothing)
        even = b.add("_mul_scalar", even, name="even_part", scalar=smoothing)
        likely = b.add("elemwise_add", likely, even, name="smooth_log_probability")
    weighted = b.add("elemwise_mul", likely, weight, name="weighted_log_probability")
    summed = b.add("sum", weighted, name="log_likelihood", axis=(1, 2))
    loss = b.add("negative", summed, name="loss")
    name = f"{graph.name} in training"
    if not rewarded:
        return b.graph(name, loss)
    reward = b.input("reward", (1,))
    return b.graph(name, loss, b.add("identity", reward, name="reward_sum"))
