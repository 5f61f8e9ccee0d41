"""The graph as data: building, pure operations, JSON (damaged too), first values."""

import json
import math

import numpy as np
import pytest

from diglot import network
from diglot.builder import Builder, initial_weights
from diglot.errors import DiglotError, InputError, ModelFileError
from diglot.graph import Graph, InputSpec, InputTooSmallError, read_symbol
from diglot.networks.layers import conv, dense, flatten
from graph_checks import assert_mxnet_agrees, bound, forward, random_weights, symbol_of

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")


@pytest.fixture
def lenet():
    return network("lenet", channels=2, size=(18, 16), classes=3)


def two_layers(extra=False):
    b = Builder(InputSpec(6, 5, 2))
    with b.group("first"):
        x = conv(b, b.data, 4, name="conv")
        if extra:
            x = conv(b, x, 4, name="between")
    with b.group("last"):
        x = dense(b, flatten(b, x, name="flat"), 3, name="head")
    return b.graph("two", x)


# ---- the input


def test_an_input_fills_in_mean_and_std():
    spec = InputSpec(4, 5, 2)
    assert (spec.mean, spec.std, spec.shape) == ((0, 0), (1, 1), (2, 4, 5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "height"),
        ({"width": 2.5}, "width"),
        ({"channels": True}, "channels"),
        ({"mean": (1.0,)}, "mean"),
        ({"std": (1.0, 0.0)}, "std"),
        ({"std": (1.0, math.nan)}, "std"),
        ({"resize": "stretch"}, "resize"),
        ({"interpolation": "cubic"}, "interpolation"),
    ],
)
def test_a_wrong_input_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        InputSpec(**{"height": 4, "width": 4, "channels": 2, **fields})


# ---- building


def test_the_builder_tracks_shapes_parameters_and_groups():
    graph = two_layers()
    assert {n: p.shape for n, p in graph.parameters.items()} == {
        "conv_weight": (4, 2, 3, 3),
        "conv_bias": (4,),
        "head_weight": (3, 120),
        "head_bias": (3,),
    }
    assert graph.groups == {
        "first": ["conv_weight", "conv_bias"],
        "last": ["head_weight", "head_bias"],
    }
    assert graph.shape_of("conv") == (4, 6, 5)
    assert graph.parameter_count == 72 + 4 + 360 + 3
    assert graph.multiply_adds == 4 * 6 * 5 * 2 * 9 + 360
    assert graph.activation_count == 120 + 120 + 3


def test_which_parameters_decay_and_which_are_statistics():
    graph = network("resnet20", size=8, widths=(4, 4, 4))
    kinds = {p.kind: (p.decays, p.auxiliary) for p in graph.parameters.values()}
    assert kinds == {
        "weight": (True, False),
        "bias": (False, False),
        "scale": (False, False),
        "shift": (False, False),
        "mean": (False, True),
        "variance": (False, True),
    }


def test_two_layers_of_one_name_are_refused():
    b = Builder(InputSpec(6, 5, 2))
    conv(b, b.data, 4, name="conv")
    with pytest.raises(InputError, match="two layers are called 'conv"):
        conv(b, b.data, 4, name="conv")


def test_an_unknown_operator_is_named_with_its_neighbours():
    b = Builder(InputSpec(4, 4, 1))
    with pytest.raises(InputError, match="'c1'.*no operator 'Convolutoin'.*'Convolution'"):
        b.add("Convolutoin", b.data, name="c1", num_filter=2)
    with pytest.raises(InputError, match="no operator 'xyzzy'$"):
        b.add("xyzzy", b.data, name="x")


def test_a_builder_goes_on_from_a_graph(mx):
    start = two_layers()
    b = Builder(start.input, start)
    target = b.input("target", (3,))
    assert b.start_output().shape == target.shape == (3,)
    loss = b.add("elemwise_mul", b.start_output(), target, name="product")
    graph = b.graph("loss", loss)
    assert graph.extra_inputs == {"target": (3,)}
    assert_mxnet_agrees(mx, graph)


def test_a_layer_that_leaves_nothing_says_so():
    b = Builder(InputSpec(3, 9, 1))
    with pytest.raises(InputTooSmallError, match=r"layer 'wide' .* \(2, -1, 5\).* too small"):
        conv(b, b.data, 2, 5, pad=0, name="wide")


def test_printing_shows_every_layer_and_the_totals(lenet):
    text = str(network("lenet", classes=10))
    lines = text.splitlines()
    assert lines[0] == "lenet for images of 28 x 28 x 1, without weights"
    assert lines[1].split() == ["layer", "operator", "output", "parameters", "multiply-adds"]
    assert lines[5].split() == ["conv2", "Convolution", "50x8x8", "25,050", "1,600,000"]
    assert lines[-1].split() == ["total", "431,080", "2,293,000"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert repr(lenet) == (
        "<Graph lenet: input 18x16x2, output (3,), 53,073 parameters, no weights>"
    )
    assert "with weights" in str(lenet.with_weights(random_weights(lenet)))


# ---- pure operations


def test_a_new_head_keeps_every_other_weight(mx, lenet):
    weights = random_weights(lenet)
    other = lenet.with_weights(weights).with_head(7)
    assert other.output_shape == (7,)
    assert set(weights) - set(other.weights) == {"head_weight", "head_bias"}
    assert all(other.weights[n] is weights[n] for n in other.weights)
    assert lenet.output_shape == (3,)  # the first one is as it was
    assert_mxnet_agrees(mx, other)


@pytest.mark.parametrize("classes", [0, -1, 2.5, "3", 2**40])
def test_a_head_needs_a_number_of_classes(lenet, classes):
    with pytest.raises(InputError, match="classes"):
        lenet.with_head(classes)


def test_a_graph_that_does_not_end_in_classes_gets_no_head():
    b = Builder(InputSpec(6, 5, 2))
    maps = b.graph("maps", conv(b, b.data, 4, name="conv"))
    with pytest.raises(InputError, match=r"\(3, 6, 5\) where \(3,\) is needed"):
        maps.with_head(3)
    b = Builder(InputSpec(6, 5, 2))
    with pytest.raises(InputError, match="no dense layer or convolution"):
        b.graph("flat", flatten(b, b.data, name="flat")).with_head(3)


def test_a_layer_that_mixes_a_batchs_images_is_noticed():
    b = Builder(InputSpec(6, 5, 2))
    x = b.add("Reshape", b.data, name="mixed", shape=(1, -1))
    graph = b.graph("mixed", dense(b, x, 3, name="head"))
    assert graph.output_shape == (3,)
    assert not graph.gives(3)
    with pytest.raises(InputError, match="one number a class"):
        graph.with_head(4)


def test_part_of_a_network_computes_what_the_whole_computes(mx, lenet):
    weights = random_weights(lenet)
    part = lenet.with_weights(weights).up_to("pool1")
    assert part.output_shape == (20, 7, 6)
    assert list(part.weights) == ["conv1_weight", "conv1_bias"]
    assert part.features == ""
    assert_mxnet_agrees(mx, part)
    backbone = lenet.up_to(lenet.features)
    assert (backbone.features, backbone.output_shape) == ("dense_tanh", (500,))
    images = np.random.default_rng(1).normal(size=(2, 2, 18, 16)).astype(np.float32)
    kept = {n: weights[n] for n in backbone.parameters}
    ends = forward(mx, backbone, kept, images)
    logits = ends @ weights["head_weight"].T + weights["head_bias"]
    np.testing.assert_allclose(logits, forward(mx, lenet, weights, images), atol=1e-5)


def test_an_unknown_layer_is_named(lenet):
    with pytest.raises(InputError, match="no layer 'conv9'"):
        lenet.up_to("conv9")


def test_another_input_takes_the_weights_along(mx, lenet):
    weights = random_weights(lenet)
    trained = lenet.with_weights(weights)
    with pytest.raises(InputError, match=r"dense_weight.*\(500, 50\).*\(500, 400\).*size="):
        trained.with_input(InputSpec(20, 30, 2))
    with pytest.raises(InputTooSmallError):
        trained.with_input(InputSpec(5, 5, 2))
    assert lenet.with_input(InputSpec(20, 30, 2)).input.width == 30

    images = np.random.default_rng(2).normal(size=(3, 2, 18, 16)).astype(np.float32)
    grey = images[:, :1]
    one = trained.with_input(InputSpec(18, 16, 1))
    # A grey image is to one channel what its repetition is to two.
    want = forward(mx, lenet, weights, np.repeat(grey, 2, axis=1))
    assert np.allclose(forward(mx, one, one.weights, grey), want, atol=1e-5)
    four = trained.with_input(InputSpec(18, 16, 4))
    want = forward(mx, lenet, weights, images)
    again = np.concatenate([images, images], axis=1)
    assert np.allclose(forward(mx, four, four.weights, again), want, atol=1e-5)


def test_means_follow_the_channels():
    spec = InputSpec(4, 4, 3, mean=(0.1, 0.2, 0.6), std=(1.0, 2.0, 3.0))
    assert spec.with_channels(1).mean == pytest.approx((0.3,))
    assert spec.with_channels(4).mean == (0.1, 0.2, 0.6, 0.1)
    assert spec.with_channels(2).std == (1.0, 2.0)


def test_weights_must_fit(lenet):
    weights = random_weights(lenet)
    shuffled = dict(reversed(weights.items()))
    assert list(lenet.with_weights(shuffled).weights) == list(lenet.parameters)
    missing = {n: w for n, w in weights.items() if n != "conv2_bias"}
    with pytest.raises(ModelFileError, match="lack 'conv2_bias'"):
        lenet.with_weights(missing)
    with pytest.raises(ModelFileError, match="'conv2_bias' has the shape"):
        lenet.with_weights({**weights, "conv2_bias": np.zeros(3)})
    with pytest.raises(ModelFileError, match="no parameter 'more'"):
        lenet.with_weights({**weights, "more": np.zeros(3)})
    assert lenet.with_weights(weights).without_weights().weights is None


def test_a_softmax_at_the_end_is_taken_off(mx):
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")
    spec = InputSpec(2, 2, 1)
    for end in (
        mx.sym.SoftmaxOutput(symbol, name="softmax"),
        mx.sym.log_softmax(mx.sym.softmax(symbol)),
        symbol,
        mx.sym.Group([mx.sym.softmax(symbol), mx.sym.BlockGrad(symbol)]),
    ):
        nodes, heads = read_symbol(end.tojson())
        graph = Graph("own", nodes, heads, spec).without_prediction()
        assert [n.name for n in graph.nodes] == ["data", "fc_weight", "fc_bias", "fc"]
        assert graph.output_shape == (3,)


# ---- JSON


def test_json_and_back(mx):
    for graph in (network("lenet"), network("resnet20", size=8), two_layers()):
        back = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
        assert (back.nodes, back.heads, back.input) == (graph.nodes, graph.heads, graph.input)
        assert (back.name, back.features) == (graph.name, graph.features)
        assert back.parameters == graph.parameters
        again = Graph.from_json(symbol_of(mx, graph).tojson(), graph.input)
        assert again.parameters == graph.parameters  # MXNet keeps groups and first values' rules


def test_names_in_any_script_run_in_mxnet(mx):
    for name in ("größe", "層 1", "\U0001f600", 'a "name"\\'):
        b = Builder(InputSpec(2, 2, 1))
        graph = b.graph("own", b.add("FullyConnected", b.data, name=name, num_hidden=3))
        back = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
        assert back.nodes == graph.nodes
        assert f"{name}_weight" in symbol_of(mx, back).list_arguments()


def small_json():
    return json.loads(network("lenet", size=16, classes=2).to_json())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda g: g.update(nodes=[]), "list of nodes"),
        (lambda g: g.pop("heads"), "heads"),
        (lambda g: g.update(heads=[]), "no output"),
        (lambda g: g.update(heads=[[99, 0, 0]]), "node 99"),
        (lambda g: g.update(heads=[[3, 1, 0]]), "no output 1"),
        (lambda g: g["nodes"][3].update(inputs=[[4, 0, 0], [1, 0, 0], [2, 0, 0]]), "before"),
        (lambda g: g["nodes"][3].update(inputs=[[3, 0, 0], [1, 0, 0], [2, 0, 0]]), "before"),
        (lambda g: g["nodes"][3].update(inputs=[[-1, 0, 0]]), "before"),
        (lambda g: g["nodes"][3].update(inputs=[[0.5, 0, 0]]), "numbers"),
        (lambda g: g["nodes"][3].update(inputs=[[0, 0, 0], [1, 0, 0]]), "takes 2 parameters"),
        (lambda g: g["nodes"][3].update(inputs=[[1, 0, 0], [0, 0, 0], [2, 0, 0]]), "known shape"),
        (lambda g: g["nodes"][4].update(inputs=[[3, 2, 0]]), "no output 2"),
        (lambda g: g["nodes"][3].update(op="Convolutoin"), "'Convolutoin'"),
        (lambda g: g["nodes"][3]["attrs"].update(kernel="(99, 99)"), "fit"),
        (lambda g: g["nodes"][3]["attrs"].update(num_filter="many"), "num_filter"),
        (lambda g: g["nodes"][3]["attrs"].update(num_filter=20), "not text"),
        (lambda g: g["nodes"][4].update(name="conv1"), "two nodes called 'conv1'"),
        (lambda g: g["nodes"][0].update(name="image"), "lacks the node 'data'"),
        (lambda g: g["nodes"][1].update(inputs=[[0, 0, 0]]), "has inputs"),
        (
            lambda g: g["nodes"][3]["inputs"][1].__setitem__(1, 2),
            "takes output 2 of 'conv1_weight'",
        ),
        (lambda g: g["nodes"][3].update(name="con\x01v"), "node 3 has control characters"),
        (lambda g: g["nodes"][3]["attrs"].update(__x__="\ud800"), "control characters"),
        (lambda g: g["nodes"][3]["attrs"].update({"\b": "1"}), "control characters"),
        (lambda g: g["nodes"][3]["attrs"].update(cudnn="1"), "'cudnn', which MXNet does not know"),
    ],
)
def test_damaged_json_is_refused_and_the_fault_named(damage, message):
    body = small_json()
    damage(body)
    with pytest.raises(ModelFileError, match=message):
        Graph.from_json(json.dumps(body), InputSpec(16, 16, 1))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', '{"nodes": 1}', "[" * 10**5])
def test_what_is_no_json_graph_is_refused(text):
    with pytest.raises(ModelFileError):
        Graph.from_json(text, InputSpec(16, 16, 1))


def test_features_must_be_a_layer():
    with pytest.raises(ModelFileError, match="'nowhere'"):
        Graph.from_json(json.dumps(small_json()), InputSpec(16, 16, 1), features="nowhere")


JUNK = [
    None,
    -1,
    0,
    1,
    10**30,
    10**400,
    1.5,
    math.inf,
    True,
    "",
    "x",
    "(3",
    "(1e999, 2)",
    "-3",
    [],
    {},
]
JUNK += [[[]], [0], [0, 0], ["a", "b"], {"a": 1}, "None", "(None, None)", "True", "9999999", "\0"]


def places(value, path=()):
    """Yield where each value of nested lists and dicts is."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries if isinstance(value, (dict, list)) else ():
        if isinstance(entry, (dict, list)):
            yield from places(entry, (*path, key))
        else:
            yield (*path, key)


def test_2000_random_damages_are_read_or_refused_and_never_crash():
    """Whatever a file holds: a graph whose table prints, or a ModelFileError."""
    rng = np.random.default_rng(11)
    b = Builder(InputSpec(8, 8, 2))
    x = conv(b, b.data, 4, name="conv", stride=2)
    x = b.add("BatchNorm", x, name="norm", eps=1e-5, axis=1)
    x = b.add("SliceChannel", x, name="split", num_outputs=2, axis=1)
    x = b.add("Pooling", x, name="pool", kernel=(2, 2), pool_type="max", stride=(2, 2))
    x = b.add("Reshape", x, name="reshape", shape=(0, -4, 2, -1, -2))
    x = b.add("transpose", x, name="transpose", axes=(0, 2, 1, 3, 4))
    x = b.add("mean", x, name="mean", axis=(1,))
    description = b.graph("tiny", dense(b, x, 3, name="head")).to_dict()
    symbol = description["symbol"]
    body = json.loads(symbol)
    wheres = [p for p in places(body) if p]
    read = refused = 0
    for trial in range(2000):
        damaged = json.loads(symbol)
        if trial % 4 == 0:  # in the text
            at = int(rng.integers(len(symbol)))
            text = symbol[:at] + chr(int(rng.integers(32, 127))) * (trial % 3) + symbol[at + 1 :]
        else:  # in the structure
            *path, last = wheres[int(rng.integers(len(wheres)))]
            inner = damaged
            for key in path:
                inner = inner[key]
            inner[last] = JUNK[int(rng.integers(len(JUNK)))]
            text = json.dumps(damaged)
        try:
            graph = Graph.from_dict({**description, "symbol": text})
            assert str(graph)
            read += 1
        except ModelFileError:
            refused += 1
    assert read > 100
    assert refused > 500


def test_a_damaged_description_is_refused():
    rng = np.random.default_rng(3)
    description = two_layers().to_dict()
    wheres = [p for p in places(description) if p]
    for _ in range(300):
        damaged = json.loads(json.dumps(description))
        *path, last = wheres[int(rng.integers(len(wheres)))]
        inner = damaged
        for key in path:
            inner = inner[key]
        if rng.random() < 0.2 and isinstance(inner, dict):
            del inner[last]
        else:
            inner[last] = JUNK[int(rng.integers(len(JUNK)))]
        try:
            assert str(Graph.from_dict(damaged))
        except ModelFileError:
            continue
    huge = {**description, "input": {**description["input"], "mean": [10**400, 0]}}
    with pytest.raises(ModelFileError, match="input"):
        Graph.from_dict(huge)
    for nothing in ({}, None, [], "x"):
        with pytest.raises(ModelFileError):
            Graph.from_dict(nothing)


def several_inputs():
    b = Builder(InputSpec(2, 3, 1))
    words, times = b.input("words", (5,)), b.input("times", ())
    x = b.add("Embedding", words, name="embedding", input_dim=7, output_dim=6)
    x = b.add("mean", x, name="mean", axis=1)
    x = b.add("elemwise_add", x, b.add("Flatten", b.data, name="flat"), name="both")
    return b.graph("several", x, b.add("negative", times, name="minus"))


def test_inputs_beside_images_are_kept_in_the_file():
    graph = several_inputs()
    again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again.extra_inputs == graph.extra_inputs == {"words": (5,), "times": ()}
    assert again.inputs == ["data", "words", "times"]
    assert again.parameters == graph.parameters
    assert again.output_shapes == graph.output_shapes


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        "words",
        {"words": 5},
        {"words": "5"},
        {"words": [5.0], "times": []},
        {"words": [True], "times": []},
        {"words": [0], "times": []},
        {"words": [-5], "times": []},
        {"words": [2**40], "times": []},
        {"words": [1] * 9, "times": []},
        {"words": [[5]], "times": []},
        {"words": None, "times": []},
        {"words": [5, 5], "times": []},  # which cannot be added to the image
        {"words": [5]},
        {},
        None,
    ],
    ids=str,
)
def test_damaged_inputs_are_refused(inputs):
    with pytest.raises(ModelFileError):
        Graph.from_dict({**several_inputs().to_dict(), "inputs": inputs})


# ---- parts that are used again


def test_a_parameter_is_shared(mx):
    b = Builder(InputSpec(1, 1, 1), images=False)
    words = b.input("words", (4,))
    table = b.parameter("table", (9, 5), init="normal 0.5")
    x = b.add("Embedding", words, name="in", shared={"weight": table}, input_dim=9, output_dim=5)
    y = b.add(
        "FullyConnected", x, name="out", shared={"weight": table}, num_hidden=9, flatten=False
    )
    graph = b.graph("tied", y)
    assert graph.inputs == ["words"]
    assert {n: p.shape for n, p in graph.parameters.items()} == {"table": (9, 5), "out_bias": (9,)}
    assert graph.parameter_count == 54
    rng = np.random.default_rng(0)
    weights = {n: rng.normal(size=p.shape).astype(np.float32) for n, p in graph.parameters.items()}
    given = rng.integers(0, 9, (2, 4))
    arrays = {n: mx.nd.array(a) for n, a in {**weights, "words": given}.items()}
    tied = bound(mx, symbol_of(mx, graph), arrays)
    want = weights["table"][given] @ weights["table"].T + weights["out_bias"]
    assert np.allclose(tied.forward()[0].asnumpy(), want, atol=1e-5)
    assert (
        Graph.from_json(
            graph.to_json().replace("words", "data"), graph.input, extra_inputs={"data": (4,)}
        ).parameter_count
        == 54
    )


def test_a_parameter_shared_in_two_shapes_is_refused():
    b = Builder(InputSpec(1, 1, 1), images=False)
    x, table = b.input("x", (4,)), b.parameter("table", (9, 5))
    y = b.add("FullyConnected", x, name="out", shared={"weight": table}, num_hidden=9)
    with pytest.raises(ModelFileError, match=r"'table'.*\(9, 5\).*\(9, 4\)"):
        _ = b.graph("wrong", y).parameters


def test_another_output_of_a_layer(mx):
    b = Builder(InputSpec(4, 6, 2))
    x = b.add("SliceChannel", b.data, name="halves", num_outputs=2, axis=3)
    second = b.output(x, 1)
    assert x.shape == second.shape == (2, 4, 3)
    graph = b.graph("right", b.add("negative", second, name="minus"))
    images = np.random.default_rng(0).normal(size=(2, 2, 4, 6)).astype(np.float32)
    assert np.array_equal(forward(mx, graph, {}, images), -images[..., 3:])


def test_a_layer_whose_second_output_is_used_is_no_cut():
    b = Builder(InputSpec(4, 6, 2))
    x = b.add("relu", b.data, name="relu")
    x = b.add("SliceChannel", x, name="halves", num_outputs=2, axis=3)
    x = b.add("elemwise_add", x, b.output(x, 1), name="sum")
    graph = b.graph("halved", b.add("negative", x, name="minus"))
    assert graph.cuts() == ["relu", "sum"]


# ---- first values


def free(name, shape, init):
    b = Builder(InputSpec(1, 1, 1), images=False)
    b.parameter(name, shape, init=init)
    return initial_weights(b.graph("free", b.input("x", (1,))), 3)[name]


@pytest.mark.parametrize("shape", [(12, 12), (48, 12), (30, 12)])
def test_orthogonal_first_values_are_rotations(shape):
    values = free("w", shape, "orthogonal").astype(np.float64)
    assert values.shape == shape
    for start in range(0, shape[0], 12):
        block = values[start : start + 12]
        assert np.allclose(block @ block.T, np.eye(len(block)), atol=1e-6)
    if shape[0] == 48:
        assert not np.allclose(values[:12], values[12:24])


def test_rotations_are_even_over_all():
    # Evenly distributed rotations have entries of mean 0 and variance 1 / side, also on the
    # diagonal, where those of a QR decomposition alone are all of one sign.
    many = np.stack([free(f"w{i}", (6, 6), "orthogonal") for i in range(300)])
    assert np.abs(many.mean(axis=0)).max() < 5 / math.sqrt(6 * 300)
    assert many.var(axis=0) == pytest.approx(1 / 6, rel=0.5)


def test_normal_first_values_of_a_given_spread():
    values = free("w", (300, 200), "normal 0.5")
    assert values.std() == pytest.approx(0.5, rel=0.01)
    assert abs(values.mean()) < 0.01
    assert np.abs(values).max() > 1.5  # not cut


@pytest.mark.parametrize(("height", "width", "before"), [(3, 5, 0), (4, 2, 1), (1, 7, 0)])
def test_waves_follow_their_formula(height, width, before):
    count, quarter = 8, 2
    values = free("w", (1, before + height * width, count), f"waves {height}x{width}+{before}")
    assert not values[0, :before].any()
    for row in range(height):
        for column in range(width):
            want = []
            for place, side in ((row, height), (column, width)):
                position = (place + 0.5) / side
                ends = 0.5, max(side / 2, 0.5)
                speeds = [ends[0] * (ends[1] / ends[0]) ** (i / (quarter - 1)) for i in range(2)]
                want += [math.sin(math.pi * speed * position) for speed in speeds]
                want += [math.cos(math.pi * speed * position) for speed in speeds]
            found = values[0, before + row * width + column]
            assert found == pytest.approx(want, abs=1e-6)
    places = values[0, before:].round(5)
    assert len(np.unique(places, axis=0)) == height * width  # no two places look alike


@pytest.mark.parametrize(
    "rule",
    ["normal", "normal 1e999", "normal x", "normal -1", "waves 2x2+0", "waves 0x6+0", "waves", ""],
)
def test_rules_that_do_not_fit_are_refused_or_known(rule):
    if rule in ("normal", ""):  # an own rule, and the default
        assert free("w", (1, 6, 4), rule).shape == (1, 6, 4)
        return
    with pytest.raises(ModelFileError, match="'w' has the unknown initial rule"):
        free("w", (1, 6, 4), rule)


def test_first_values_have_the_variance_of_the_papers():
    b = Builder(InputSpec(8, 8, 32))
    x = conv(b, b.data, 64, 5, name="he", init="he")
    x = conv(b, x, 48, 3, name="xavier", init="xavier")
    x = conv(b, x, 48, 3, name="grouped", groups=4, init="he")
    graph = b.graph("wide", dense(b, x, 30, name="head"))
    weights = initial_weights(graph, 3)
    he = weights["he_weight"]
    assert he.var() == pytest.approx(2 / (32 * 25), rel=0.03)
    assert abs(he.mean()) < 4 * math.sqrt(2 / (32 * 25) / he.size)
    assert weights["grouped_weight"].var() == pytest.approx(2 / (12 * 9), rel=0.06)
    xavier = weights["xavier_weight"]
    assert xavier.var() == pytest.approx(2 / (64 * 9 + 48 * 9), rel=0.03)
    head = weights["head_weight"]
    bound = math.sqrt(6 / (48 * 64 + 30))
    assert np.abs(head).max() <= bound
    assert np.abs(head).max() > 0.999 * bound
    assert not weights["head_bias"].any()
    assert all(w.dtype == np.float32 for w in weights.values())


def test_first_statistics_and_scales():
    graph = network("resnet20", size=8, widths=(4, 4, 4))
    weights = initial_weights(graph, 0)
    for name, parameter in graph.parameters.items():
        if parameter.kind != "weight":
            expected = 1 if parameter.kind in ("scale", "variance") else 0
            assert (weights[name] == expected).all(), name


def test_a_layer_more_changes_no_other_layers_first_values():
    one, other = (initial_weights(two_layers(extra), 5) for extra in (False, True))
    assert set(other) - set(one) == {"between_weight", "between_bias"}
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert not np.array_equal(one["conv_weight"], initial_weights(two_layers(), 6)["conv_weight"])
    assert not np.array_equal(other["conv_weight"].ravel()[:9], other["between_weight"].ravel()[:9])


def test_weights_that_are_there_are_kept():
    graph = two_layers()
    trained = graph.with_weights(random_weights(graph)).with_head(9)
    weights = initial_weights(trained, 1)
    assert weights["conv_weight"] is trained.weights["conv_weight"]
    assert weights["head_weight"].shape == (9, 120)


def test_an_unknown_rule_for_first_values_is_refused():
    graph = two_layers()
    text = graph.to_json().replace('"__diglot_init__":"he"', '"__diglot_init__":"magic"')
    with pytest.raises(DiglotError, match="magic"):
        initial_weights(Graph.from_json(text, graph.input), 1)


def test_free_parameters_are_learned_and_kept_in_the_file(mx):
    b = Builder(InputSpec(4, 6, 3))
    x = b.add("Flatten", b.data, name="flat")
    scale = b.parameter("layer_scale", (1, 72), "scale", init="0.5")
    x = b.add("broadcast_mul", x, scale, name="scaled")
    shift = b.parameter("position", (1, 72), "weight", init="normal")
    x = b.add("broadcast_add", x, shift, name="shifted")
    graph = b.graph("free", b.add("FullyConnected", x, name="dense", num_hidden=2))
    assert_mxnet_agrees(mx, graph)
    assert [p.decays for p in graph.parameters.values()] == [False, True, True, False]
    assert sum(row["parameters"] for row in graph.layers()) == graph.parameter_count == 290
    values = initial_weights(graph, 3)
    assert np.all(values["layer_scale"] == 0.5)
    assert 0.01 < values["position"].std() < 0.03
    assert np.abs(values["position"]).max() <= 0.04
    again = Graph.from_json(graph.to_json(), graph.input)
    assert again.parameters == graph.parameters
    weights = random_weights(graph)
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    flat = images.reshape(2, 72)
    flat = flat * weights["layer_scale"] + weights["position"]
    want = flat @ weights["dense_weight"].T + weights["dense_bias"]
    assert np.allclose(forward(mx, graph, weights, images), want, atol=1e-5)


def test_a_damaged_free_parameter_is_refused():
    b = Builder(InputSpec(2, 2, 1))
    x = b.add("Flatten", b.data, name="flat")
    x = b.add("broadcast_add", x, b.parameter("free", (1, 4)), name="sum")
    text = b.graph("free", x).to_json()
    for damaged in (text.replace("(1, 4)", "(1, -4)"), text.replace('"weight"', '"wait"')):
        with pytest.raises(ModelFileError, match="free"):
            Graph.from_json(damaged, b.spec)


def test_a_network_is_cut_where_everything_passes(mx):
    net = network("resnet18", size=32, classes=2, widths=(4, 4, 4, 4), stem=4)
    weights = random_weights(net)
    images = np.random.default_rng(2).normal(size=(3, 3, 32, 32)).astype(np.float32)
    whole = forward(mx, net, weights, images)
    cuts = net.cuts()
    assert "layer2_0_relu2" in cuts
    assert "layer2_0_relu1" not in cuts  # the shortcut goes past it
    for layer in (cuts[0], "layer2_0_relu2", cuts[-1]):
        first, rest = net.with_weights(weights).up_to(layer), net.with_weights(weights).after(layer)
        assert rest.inputs == ["features"]
        middle = forward(mx, first, first.weights, images)
        arrays = {n: mx.nd.array(w) for n, w in rest.weights.items()}
        learned = {n: a for n, a in arrays.items() if not rest.parameters[n].auxiliary}
        kept = {n: a for n, a in arrays.items() if rest.parameters[n].auxiliary}
        learned["features"] = mx.nd.array(middle)
        ending = bound(mx, symbol_of(mx, rest), learned, kept)
        assert np.allclose(ending.forward()[0].asnumpy(), whole, atol=1e-4)
    head = set(net.groups["head"])
    assert net.cuts(head)[-1] == net.features
    assert net.cuts({*head, *net.groups["stage4"]})[-1] == "layer3_1_relu2"
    assert net.cuts(net.parameters) == []


def test_a_part_may_end_in_several_layers(mx):
    net = network("resnet20", size=8, widths=(4, 4, 4))
    weights = random_weights(net)
    layers = ("head", "layer1_0_relu2", "avgpool")
    part = net.with_weights(weights).ending_in(*layers)
    assert [part.nodes[node].name for node, _ in part.heads] == list(layers)
    images = np.random.default_rng(2).normal(size=(3, 3, 8, 8)).astype(np.float32)
    arrays = {n: mx.nd.array(w) for n, w in part.weights.items()}
    learned = {n: a for n, a in arrays.items() if not part.parameters[n].auxiliary}
    kept = {n: a for n, a in arrays.items() if part.parameters[n].auxiliary}
    learned["data"] = mx.nd.array(images)
    outputs = bound(mx, symbol_of(mx, part), learned, kept).forward()
    for layer, output in zip(layers, outputs, strict=True):
        want = forward(mx, net.up_to(layer), net.with_weights(weights).up_to(layer).weights, images)
        assert np.allclose(output.asnumpy(), want, atol=1e-6)
    assert set(net.ending_in("layer1_0_relu2").parameters) < set(net.parameters)
    with pytest.raises(InputError, match="no layer 'nowhere'"):
        net.ending_in("head", "nowhere")


def test_layers_and_parameters_get_other_names(mx, lenet):
    whole = lenet.with_weights(random_weights(lenet))
    other = whole.renamed({"conv1": "first", "conv1_weight": "w", "data": "x", "none": "y"})
    assert other.inputs == ["data"]
    assert [n.name for n in other.nodes if n.op == "Convolution"] == ["first", "conv2"]
    assert other.weights["w"] is whole.weights["conv1_weight"]
    assert other.parameters["w"].layer == "first"
    images = np.random.default_rng(1).normal(size=(2, 2, 18, 16)).astype(np.float32)
    assert np.array_equal(
        forward(mx, other, other.weights, images), forward(mx, whole, whole.weights, images)
    )


def test_frozen_batch_norms_use_their_statistics():
    net = network("resnet18", size=32, classes=2)
    frozen = net.frozen(net.groups["stem"])
    given = {n.name for n in frozen.nodes if n.attrs.get("use_global_stats") == "True"}
    assert given == {"bn1"}
