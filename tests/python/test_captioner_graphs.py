"""The captioner's graphs: against PyTorch, whole sequences against single steps, what is masked."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from diglot import network
from diglot.builder import Builder, initial_weights
from diglot.captioner.captioned import Groups
from diglot.captioner.decoder import Decoder
from diglot.captioner.encoder import encoder_end, places
from diglot.captioner.graphs import (
    caption_graph,
    context_graph,
    encoder_of,
    seen_layers,
    seen_places,
    step_graph,
    training_graph,
)
from diglot.captioner.speaker import Speaker
from diglot.engine import Device, Optimiser, open_executor
from diglot.engine.mxnet import load
from diglot.errors import InputError, ModelFileError
from diglot.graph import InputSpec
from graph_checks import random_weights, symbol_of

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

CPU = Device("cpu")
FILE = Path(__file__).parents[1] / "fixtures" / "captioner" / "decoders.safetensors"
TORCH = load_file(FILE)
KINDS = list(product(("lstm", "gru"), (1, 2), (True, False), (True, False)))
IMAGES = np.random.default_rng(8).normal(size=(3, 4, 6, 3)).astype(np.float32)
SMALL = {"hidden": 12, "embedding": 10, "heads": 3}


def part(prefix):
    return {n.removeprefix(prefix): a for n, a in TORCH.items() if n.startswith(prefix)}


def bare_encoder(height=2, width=3, channels=4):
    """Return an encoder that passes images on."""
    b = Builder(InputSpec(height, width, channels))
    return b.graph("bare", b.add("identity", b.data, name="same"))


def drawn(graph, seed=0):
    """Return the graph with weights that all matter: first ones, moved."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, first in initial_weights(graph, seed).items():
        moves = rng.normal(0, 0.1, first.shape)
        moves = np.abs(moves) if graph.parameters[name].kind == "variance" else moves
        weights[name] = (first + moves).astype(np.float32)
    return graph.with_weights(weights)


def step_down(graph, trained, inputs):
    """Return loss and gradients: of one step of SGD with rate 1."""
    executor = open_executor(graph, "cpu")
    executor.prepare_training(trained, Optimiser("sgd", momentum=0.0))
    executor.train_step(inputs, 1.0, 0)
    after = executor.weights()
    gradients = {n: w - after[n] for n, w in graph.weights.items()}
    return executor.totals()[0], gradients


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


# ------------------------------------------------------------------------------ against PyTorch


@pytest.mark.parametrize(("cell", "layers", "attention", "tied"), KINDS)
def test_loss_and_gradients_are_pytorchs(cell, layers, attention, tied):
    kind = f"{cell}-{layers}-{attention:d}-{tied:d}"
    weights, gradients = part(f"{kind}/weight/"), part(f"{kind}/gradient/")
    decoder = Decoder(7, cell, 6, layers, 5, heads=2 if attention else 0, tied=tied)
    graph = caption_graph(bare_encoder(), "same", decoder, 2, 5).with_weights(weights)
    inputs = {n: TORCH[n] for n in ("tokens", "target", "weight")} | {"data": TORCH["images"]}
    loss, found = step_down(graph, training_graph(graph), inputs)
    assert loss / 3 == pytest.approx(TORCH[f"{kind}/loss"][0], rel=1e-6)
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        # A key's bias adds the same to all cells' scores, and so changes no share.
        assert name.startswith("keys") and name.endswith("bias") or np.abs(gradient).max() > 1e-4
        assert np.allclose(found[name], gradient, atol=2e-6), name


def test_smoothing_gives_a_share_evenly_to_all_words():
    decoder = Decoder(7, "gru", 6, 1, 5, heads=2)
    weights = part("gru-1-1-0/weight/")
    graph = caption_graph(bare_encoder(), "same", decoder, 2, 5).with_weights(weights)
    inputs = {"data": TORCH["images"], "tokens": TORCH["tokens"]}
    log_p = log_softmax(open_executor(graph, "cpu").forward(inputs))
    truth = np.take_along_axis(log_p, TORCH["target"].astype(int)[..., None], -1)[..., 0]
    want = -((0.8 * truth + 0.2 * log_p.mean(axis=-1)) * TORCH["weight"]).sum()
    inputs |= {n: TORCH[n] for n in ("target", "weight")}
    assert step_down(graph, training_graph(graph, 0.2), inputs)[0] == pytest.approx(want, rel=1e-5)


# ------------------------------------------------------------------------------ step by step

ENCODERS = {
    "convnet": ({"widths": (4, 8)}, (24, 20)),
    "resnet20": ({"widths": (4, 6, 8)}, (24, 20)),
    "squeezenet1_1": ({}, (40, 32)),
    "vit_s_16": ({"width": 12, "depth": 1, "heads": 2, "patch": 8}, (32, 16)),
}


def of_encoder(name, decoder, attention=True, captions=3, length=5):
    settings, size = ENCODERS[name]
    encoder = network(name, size=size, channels=3, classes=2, **settings)
    return drawn(caption_graph(encoder, encoder_end(encoder, attention), decoder, captions, length))


@pytest.mark.parametrize(
    ("name", "cell", "layers", "attention"),
    [
        ("convnet", "lstm", 2, True),
        ("convnet", "gru", 1, False),
        ("resnet20", "gru", 2, True),
        ("resnet20", "lstm", 2, False),
        ("squeezenet1_1", "lstm", 1, True),
        ("squeezenet1_1", "gru", 1, False),
        ("vit_s_16", "gru", 1, True),
        ("vit_s_16", "lstm", 1, False),
    ],
)
def test_single_steps_give_what_the_whole_sequence_gives(name, cell, layers, attention):
    decoder = Decoder(11, cell, layers=layers, **SMALL | {"heads": 3 if attention else 0})
    graph = of_encoder(name, decoder, attention)
    rng = np.random.default_rng(1)
    height, width = ENCODERS[name][1]
    images = rng.normal(size=(18, height, width, 3)).astype(np.float32)
    tokens = rng.integers(0, 11, (18, 3, 5))
    inputs = {"data": images, "tokens": tokens.astype(np.float32)}
    want = log_softmax(open_executor(graph, "cpu").forward(inputs))
    assert want.std(axis=0).max() > 1e-3  # the image matters
    for changing in (True, False):
        speaker = Speaker(graph, decoder, CPU, changing=changing, attention=True)
        speaker.see(images)
        assert speaker.begin(3) == 18
        for step in range(5):
            found, looked = speaker.step(tokens[:, :, step])
            assert np.allclose(found, want[:, :, step], atol=2e-5)
            if not attention:
                assert looked is None
                continue
            cells = int(np.prod(places(graph.shape_of(encoder_layer(graph)))[:2]))
            cells += places(graph.shape_of(encoder_layer(graph)))[2]
            assert looked.shape == (18, 3, cells)
            assert np.allclose(looked.sum(axis=-1), 1, atol=1e-5)
            assert looked.min() >= 0


def encoder_layer(graph):
    names = {node.name for node in graph.nodes}
    if "grid_cells" not in names:
        return graph.features
    before = graph.nodes[graph.index_of("grid_cells")].inputs[0][0]
    return graph.nodes[before].name


def test_beams_go_on_from_others_and_images_are_dropped():
    decoder = Decoder(11, "lstm", layers=2, **SMALL)
    graph = of_encoder("convnet", decoder, captions=2)
    rng = np.random.default_rng(3)
    images = rng.normal(size=(20, 24, 20, 3)).astype(np.float32)
    kept, parents = np.array([1, 2, 5, 19]), np.array([[1, 1], [0, 0], [1, 0], [0, 1]])
    tokens = rng.integers(0, 11, (20, 2, 3))
    speaker = Speaker(graph, decoder, CPU)
    speaker.see(images)
    speaker.begin(2)
    speaker.step(tokens[:, :, 0])
    speaker.step(tokens[:, :, 1])
    speaker.keep(kept)
    speaker.choose(parents)
    found, _ = speaker.step(tokens[kept, :, 2])
    said = np.take_along_axis(tokens[kept], parents[:, :, None], axis=1)
    said[:, :, 2] = tokens[kept, :, 2]
    inputs = {"data": images[kept], "tokens": said.astype(np.float32)}
    want = log_softmax(open_executor(graph, "cpu").forward(inputs))[:, :, 2]
    assert np.allclose(found, want, atol=2e-5)


def test_an_images_scores_do_not_depend_on_its_company():
    decoder = Decoder(11, "gru", layers=1, **SMALL)
    graph = of_encoder("convnet", decoder)
    rng = np.random.default_rng(4)
    images = rng.normal(size=(70, 24, 20, 3)).astype(np.float32)
    tokens = rng.integers(0, 11, (70, 3, 2))
    answers = {}
    for count in (1, 3, 70):
        speaker = Speaker(graph, decoder, CPU)
        speaker.see(images[:count])
        speaker.begin(3)
        for step in range(2):
            answers[count] = speaker.step(tokens[:count, :, step])[0]
    assert np.array_equal(answers[3][:1], answers[1])
    assert np.allclose(answers[70][:3], answers[3], atol=1e-6)


def test_weights_loaded_anew_are_seen():
    decoder = Decoder(11, "lstm", **SMALL)
    graph = of_encoder("convnet", decoder)
    other = drawn(graph.without_weights(), seed=9)
    images = np.random.default_rng(5).normal(size=(4, 24, 20, 3)).astype(np.float32)
    tokens = np.full((4, 3), 5)

    def first_scores(speaker):
        speaker.see(images)
        speaker.begin(3)
        return speaker.step(tokens)[0].copy()

    speaker = Speaker(graph, decoder, CPU, changing=True)
    before = first_scores(speaker)
    speaker.load_weights(other.weights)
    after = first_scores(speaker)
    assert np.allclose(after, first_scores(Speaker(other, decoder, CPU)), atol=2e-5)
    assert not np.allclose(before, after, atol=1e-2)
    # Only some: the others stay.
    speaker.load_weights({"scores_bias": graph.weights["scores_bias"]})
    mixed = other.with_weights({**other.weights, "scores_bias": graph.weights["scores_bias"]})
    assert np.allclose(first_scores(speaker), first_scores(Speaker(mixed, decoder, CPU)), atol=2e-5)


# ------------------------------------------------------------------------------ what is masked

CODED = [
    [np.array([4, 5, 6]), np.array([5]), np.array([6, 6, 4, 5]), np.array([4]), np.array([5, 4])],
    [np.array([6, 5]), np.array([4, 4, 4])],
    [np.array([5, 6, 4, 6])],
]


def trained_on(groups, rows, length, changes=lambda arrays: None, dropout=0.0):
    decoder = Decoder(9, "lstm", 12, 1, 10, heads=3, dropout=dropout)
    graph = drawn(caption_graph(bare_encoder(), "same", decoder, groups.width, length))
    images = np.random.default_rng(2).normal(size=(3, 2, 3, 4)).astype(np.float32)
    arrays = groups.arrays(rows, length)
    changes(arrays)
    inputs = {"data": images[groups.images[rows]], **arrays}
    return step_down(graph, training_graph(graph), inputs)


def assert_same_step(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-6)
    for name, gradient in one[1].items():
        assert np.allclose(gradient, other[1][name], atol=1e-6), name


def test_words_after_the_end_padding_and_missing_captions_do_not_matter():
    groups, rows = Groups.of(CODED, 5), np.arange(3)
    plain = trained_on(groups, rows, 5)
    assert max(np.abs(g).max() for g in plain[1].values()) > 0.01
    assert_same_step(plain, trained_on(groups, rows, 9))  # another bucket

    def scribble(arrays):
        """Write words wherever no weight is, but in the first place, which is what begins."""
        free = arrays["weight"] == 0
        arrays["target"][free] = 7
        later = free.copy()
        later[:, :, 0] = False
        arrays["tokens"][later] = 8

    assert_same_step(plain, trained_on(groups, rows, 9, scribble))


def test_captions_of_one_image_learn_as_if_each_were_alone():
    together, alone = Groups.of(CODED, 5), Groups.of(CODED, 1)
    loss, gradients = trained_on(together, np.arange(3), 5)
    one_loss, one = trained_on(alone, np.arange(8), 5)
    # Weights are shares of a mean group's words; the gradient is a mean over groups.
    scale = together.words.mean() / alone.words.mean()
    assert loss * scale == pytest.approx(one_loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert np.allclose(gradient * scale * 3 / 8, one[name], atol=2e-6), name


def test_dropout_is_drawn_by_the_steps_seed():
    groups, rows = Groups.of(CODED, 5), np.arange(3)
    first, again = (trained_on(groups, rows, 5, dropout=0.5) for _ in range(2))
    assert first[0] == again[0] != trained_on(groups, rows, 5)[0]


# ------------------------------------------------------------------------------ MXNet's own shapes


@pytest.mark.parametrize(
    ("cell", "layers", "heads"), list(product(("lstm", "gru"), (1, 2), (0, 3)))
)
def test_mxnet_infers_the_same_shapes(cell, layers, heads):
    mx = load()
    decoder = Decoder(11, cell, layers=layers, **SMALL | {"heads": heads})
    whole = caption_graph(bare_encoder(), "same", decoder, 3, 5)
    for graph in (
        whole,
        training_graph(whole, 0.1, rewarded=True),
        context_graph(whole, decoder),
        step_graph(decoder, 6, 4, attention=heads > 0),
    ):
        symbol = symbol_of(mx, graph)
        shapes = {"data": graph.input.shape, **graph.extra_inputs}
        given = {n: (2, *shapes[n]) for n in graph.inputs}
        arguments, outputs, _ = symbol.infer_shape(**given)
        names = symbol.list_arguments()
        inferred = {n: s for n, s in zip(names, arguments, strict=True) if n not in given}
        assert inferred == {n: p.shape for n, p in graph.parameters.items()}
        assert outputs == [graph.output_shapes[node][number] for node, number in graph.heads]


def test_multiply_adds_of_a_caption_by_hand():
    cells, length, captions = 6, 5, 3
    decoder = Decoder(11, "gru", layers=1, **SMALL)
    graph = caption_graph(bare_encoder(), "same", decoder, captions, length)
    seen = cells * 12 * 4 + cells * 12 * 12 + 12 * 12  # cells, keys, the first state
    word = 3 * 12 * (10 + 12) + 12 * 12 + 2 * cells * 12 + 12 * 24 + 11 * 12
    assert graph.multiply_adds == seen + captions * length * word


# ------------------------------------------------------------------------------ where it is cut


@pytest.mark.parametrize(
    ("name", "grid", "vector"),
    [
        ("convnet", (8, 12, 10), (8,)),  # of 24 x 20 pixels, once halved
        ("resnet20", (8, 6, 5), (8,)),
        ("squeezenet1_1", (512, 2, 1), (512, 2, 1)),  # whose head is a convolution
        ("vit_s_16", (9, 12), (12,)),  # 4 x 2 patches and the class token
    ],
)
def test_the_decoder_sees_the_last_places_or_the_vector_before_the_head(name, grid, vector):
    settings, size = ENCODERS[name]
    encoder = network(name, size=size, channels=3, classes=2, **settings)
    assert encoder.shape_of(encoder_end(encoder, True)) == grid
    assert encoder.shape_of(encoder_end(encoder, False)) == vector


def test_an_encoders_layers_may_be_called_as_the_decoders():
    b = Builder(InputSpec(4, 6, 3))
    x = b.data
    for name in ("tokens", "output", "scores", "words", "loss", "grid", "rnn1", "first_state1"):
        x = b.add("Convolution", x, name=name, kernel=(1, 1), num_filter=5)
    encoder = b.graph("twins", b.add("tanh", x, name="end"))
    encoder = encoder.with_weights(random_weights(encoder))
    decoder = Decoder(9, "lstm", 12, 2, 10, heads=3)
    graph = caption_graph(encoder, encoder_end(encoder, True), decoder, 2, 4)
    assert graph.inputs == ["data", "tokens"]
    assert graph.weights["encoder_output_weight"] is encoder.weights["output_weight"]
    assert np.array_equal(  # the encoder computes what it did
        open_executor(encoder_of(graph), "cpu").forward({"data": IMAGES}),
        open_executor(encoder, "cpu").forward({"data": IMAGES}),
    )
    assert training_graph(graph, 0.1, rewarded=True).parameters.keys() == graph.parameters.keys()
    assert set(graph.groups) == {"all", "decoder"}
    cut = training_graph(graph.after(graph.features), 0.1)
    assert cut.inputs == ["tokens", "features", "target", "weight"]


def test_the_encoder_is_found_again():
    for name, (settings, size) in ENCODERS.items():
        encoder = network(name, size=size, channels=3, classes=2, **settings)
        for attention in (True, False):
            end = encoder_end(encoder, attention)
            graph = caption_graph(encoder, end, Decoder(9, heads=4), 2, 4)
            part = encoder_of(graph)
            assert part.output_shape == encoder.shape_of(end)
            assert encoder_end(part, attention) == part.features
            shapes = [p.shape for p in encoder.up_to(end).parameters.values()]
            assert [p.shape for p in part.parameters.values()] == shapes


def test_a_layer_that_cannot_be_is_refused_by_name():
    encoder = network("resnet20", size=24, classes=2)
    with pytest.raises(InputError, match="no layer 'nowhere'"):
        encoder_end(encoder, True, "nowhere")
    inside = next(n.name for n in encoder.nodes if n.name not in encoder.cuts() and n.inputs)
    with pytest.raises(InputError, match=f"passes through '{inside}'"):
        encoder_end(encoder, True, inside)
    mlp = network("mlp", size=8, classes=2)
    with pytest.raises(InputError, match="no places to attend to.*attention=False"):
        encoder_end(mlp, True)
    with pytest.raises(InputError, match="no places to attend to"):
        encoder_end(mlp, True, encoder_end(mlp, False))


def test_a_transformers_class_token_is_no_place():
    assert places((10, 7)) == (3, 3, 1)
    assert places((9, 7)) == (3, 3, 0)
    assert places((5, 2, 3)) == (2, 3, 0)
    assert places((12, 7)) == (1, 12, 0)


# ------------------------------------------------------------------------------ its description


def test_a_decoders_description_and_back():
    decoder = Decoder(11, "gru", 12, 2, 10, heads=3, tied=True, dropout=0.25)
    assert Decoder.from_dict(decoder.to_dict()) == decoder


@pytest.mark.parametrize(
    "damage",
    [
        {"words": 0},
        {"words": "11"},
        {"hidden": True},
        {"hidden": 2**30},
        {"layers": 1.0},
        {"embedding": None},
        {"cell": "rnn"},
        {"cell": ["lstm"]},
        {"heads": -1},
        {"heads": 13},
        {"heads": 5},  # which 12 states cannot be shared out to
        {"tied": "yes"},
        {"dropout": 1},
        {"dropout": float("nan")},
        {"dropout": "0"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_damaged_decoders_description_is_refused(damage):
    sound = replace(Decoder(11, "lstm", 12, 1, 10, heads=3)).to_dict()
    with pytest.raises(ModelFileError, match="decoder"):
        Decoder.from_dict({**sound, **damage})


@pytest.mark.parametrize("nothing", [None, [], "x", {}])
def test_no_description_is_refused(nothing):
    with pytest.raises(ModelFileError, match="decoder"):
        Decoder.from_dict(nothing)


def test_seen_layers_are_the_graphs():
    for heads, layers in product((0, 3), (1, 2)):
        decoder = Decoder(11, "lstm", layers=layers, **SMALL | {"heads": heads})
        graph = caption_graph(bare_encoder(), "same", decoder, 1, 3)
        assert set(seen_layers(decoder)) <= {node.name for node in graph.nodes}


@pytest.mark.parametrize("size", [(48, 80), (64, 32), (48, 48)])
def test_a_transformers_places_are_those_of_its_patches(size):
    """3 x 5 patches and the class token are 16 cells, which are no grid of 4 x 4."""
    height, width = size
    encoder = network("vit_s_16", size=size, classes=2, depth=1)
    decoder = Decoder(words=9, hidden=8, heads=2, embedding=4)
    graph = caption_graph(encoder, encoder_end(encoder, True), decoder, 1, 3)
    assert seen_places(graph, decoder) == (height // 16, width // 16, 1)
