"""ONNX files: ONNX Runtime's outputs, heads that can be replaced, and files that are refused.

Neither ONNX nor ONNX Runtime is needed: tests/fixtures/make_onnx.py made the files and the
reference outputs with them.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import struct
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from diglot.engine import open_executor
from diglot.engine.mxnet import load
from diglot.errors import InputError, ModelFileError
from diglot.weights.onnx import read_onnx
from diglot.weights.onnx.constants import fold
from graph_checks import assert_mxnet_agrees

FOLDER = Path(__file__).parents[1] / "fixtures" / "onnx"
REFERENCES = np.load(FOLDER / "references.npz")
NAMES = sorted(path.stem for path in FOLDER.glob("*.onnx"))
OPEN_SIZE = {"vgg"}
SOFTMAX = {"se", "se9", "opset8", "convolution_head"}  # end in one, which is left out
LOG_SOFTMAX = {"vgg", "vgg9"}


def model(name, **options):
    if name in OPEN_SIZE:
        options.setdefault("size", REFERENCES[f"{name}_images"].shape[1:3])
    return read_onnx(FOLDER / f"{name}.onnx", **options)


def forward(graph, images):
    return open_executor(graph, "cpu").forward({"data": images})


def as_in_file(name, logits):
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    if name in SOFTMAX:
        return np.exp(log_softmax)
    return log_softmax if name in LOG_SOFTMAX else logits


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_onnx_runtime_s(name):
    images, expected = REFERENCES[f"{name}_images"], REFERENCES[f"{name}_outputs"]
    assert images.shape[1] != images.shape[2]
    graph = model(name)
    # Some files were exported for one image: three at once, and one alone.
    np.testing.assert_allclose(as_in_file(name, forward(graph, images)), expected, atol=1e-4)
    alone = as_in_file(name, forward(graph, images[1:2]))
    np.testing.assert_allclose(alone, expected[1:2], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_mxnet_s(name):
    graph = model(name)
    assert_mxnet_agrees(load(), graph)
    for name, array in graph.weights.items():
        assert array.dtype == np.float32 and array.flags.writeable and array.flags.aligned, name


@pytest.mark.parametrize("name", NAMES)
def test_the_head_is_found_and_can_be_replaced(name):
    graph = model(name)
    classes = REFERENCES[f"{name}_outputs"].shape[1]
    assert graph.gives(classes)
    assert list(graph.groups) == ["backbone", "head"]
    assert {graph.parameters[n].layer for n in graph.groups["head"]} == {graph.head}
    other = graph.with_head(11)
    assert other.gives(11)
    assert set(graph.weights) - set(other.weights) == set(graph.groups["head"])
    features = graph.shape_of(graph.features)
    assert graph.parameters[graph.groups["head"][0]].shape[1] == features[0]


def test_features_are_taken_before_the_dropout():
    graph = model("opset8")
    operators = {node.name: node.op for node in graph.nodes}
    head = graph.nodes[graph.index_of(graph.head)]
    assert operators[graph.nodes[head.inputs[0][0]].name] == "Dropout"
    assert operators[graph.features] == "Activation"


def test_batch_normalisation_comes_as_it_is():
    graph = model("resnet")
    norms = [node for node in graph.nodes if node.op == "BatchNorm"]
    assert len(norms) == 7  # the stem's, and three a block
    for node in norms:
        assert node.attrs["fix_gamma"] == "False"
        assert float(node.attrs["eps"]) == pytest.approx(1e-5)
        assert graph.weights[f"{node.name}_moving_var"].std() > 0.1
        assert abs(graph.weights[f"{node.name}_moving_mean"]).max() > 0.1
    (norm,) = (node for node in model("opset8").nodes if node.op == "BatchNorm")
    assert (float(norm.attrs["eps"]), float(norm.attrs["momentum"])) == pytest.approx((1e-3, 0.99))


def test_the_input_is_the_file_s_or_the_user_s():
    spec = model("opset20", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3)).input
    assert spec.shape == (3, 18, 14)  # the file has its channels last
    assert spec.mean == (0.5, 0.4, 0.3) and spec.std == (0.2, 0.2, 0.3)
    assert model("densenet").input.mean == (0.0,)
    # All convolutions and a global average: any size will do.
    assert model("resnet", size=(50, 41)).input.shape == (3, 50, 41)
    assert model("resnet", size=40).input.shape == (3, 40, 40)


def test_the_size_is_asked_for_where_it_is_open():
    with pytest.raises(InputError, match=r"vgg\.onnx: .*size open: give size=\(height, width\)"):
        read_onnx(FOLDER / "vgg.onnx")


def test_sizes_that_do_not_fit():
    with pytest.raises(ModelFileError, match=r"Gemm.*\(16, 120\).*\(168,\)"):
        model("vgg", size=(28, 26))
    with pytest.raises(InputError, match="too small"):
        model("pools", size=(2, 2))
    with pytest.raises(InputError, match="mean must be 3"):
        model("resnet", mean=(1.0, 2.0))


# ---- files made by hand, field by field of Protocol Buffers


def varint(value):
    value, out = value % 2**64, b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, array, **extra):
    kind = {"float32": 1, "int64": 7, "float16": 10, "float64": 11}[array.dtype.name]
    body = b"".join(field(1, side) for side in array.shape) + field(2, kind) + field(8, name)
    return body + extra.get("instead", field(9, array.tobytes()))


def attribute(name, value):
    if isinstance(value, (tuple, list)):
        return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)
    number, kind = {int: (3, 2), float: (2, 1), str: (4, 3), bytes: (5, 4)}[type(value)]
    return field(1, name) + field(number, value) + field(20, kind)


def node(op, inputs, output, *, domain="", **attrs):
    body = b"".join(field(1, name) for name in inputs.split(",")) + field(2, output)
    body += field(3, f"my {op}") + field(4, op) + field(7, domain)
    return body + b"".join(field(5, attribute(key, value)) for key, value in attrs.items())


def value_info(name, shape):
    sides = b"".join(field(1, field(1, s) if s else field(2, "n")) for s in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))


def file(nodes, constants=(), inputs=None, outputs=("out",), opset=13):
    inputs = {"x": (None, 2, 6, 5)} if inputs is None else inputs
    graph = b"".join(field(1, n) for n in nodes) + b"".join(field(5, c) for c in constants)
    graph += b"".join(field(11, value_info(name, shape)) for name, shape in inputs.items())
    graph += b"".join(field(12, value_info(name, (None, 3))) for name in outputs)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, opset))


RNG = np.random.default_rng(5)
WEIGHT = RNG.normal(size=(3, 2, 3, 3)).astype(np.float32)
DENSE = RNG.normal(size=(3, 36)).astype(np.float32)
CONV = node("Conv", "x,w", "c")
TAIL = [node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "out")]


def read(tmp_path, *arguments, **options):
    path = tmp_path / "net.onnx"
    path.write_bytes(file(*arguments, **options))
    return read_onnx(path)


def formula(images):
    """Return the convolution's average by its definition: a mean over all places of the kernel."""
    x = images.transpose(0, 3, 1, 2)
    rows, columns = x.shape[2] - 2, x.shape[3] - 2
    out = np.zeros((len(x), 3))
    for i in range(3):
        for j in range(3):
            patch = x[:, :, i : i + rows, j : j + columns].mean((2, 3))
            out += patch @ WEIGHT[:, :, i, j].T
    return out


DOUBLES = WEIGHT.astype(np.float64)
WAYS = {
    "raw": tensor("w", WEIGHT),
    "packed": tensor("w", WEIGHT, instead=field(4, WEIGHT.tobytes())),
    "unpacked": tensor("w", WEIGHT, instead=b"".join(field(4, float(v)) for v in WEIGHT.ravel())),
    "double": tensor("w", DOUBLES),
    "packed doubles": tensor("w", DOUBLES, instead=field(10, DOUBLES.tobytes())),
    "half": tensor("w", WEIGHT.astype(np.float16)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_store_weights(tmp_path, way):
    graph = read(tmp_path, [CONV, *TAIL], [WAYS[way]])
    images = RNG.normal(size=(2, 6, 5, 2)).astype(np.float32)
    atol = 3e-3 if way == "half" else 1e-5
    np.testing.assert_allclose(forward(graph, images), formula(images), atol=atol)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((1, -1), True), ((0, -1), True), ((-1, 60), True), ((1, 60), True), ((7, 60), True),
     ((-1, 30), False), ((2, 30), False), ((60,), False), ((-1,), False), ((1, 61), False)],
)  # fmt: skip
def test_a_reshape_keeps_images_apart(tmp_path, shape, fits):
    nodes = [node("Reshape", "x,s", "r"), node("MatMul", "r,d", "out")]
    constants = [
        tensor("s", np.array(shape, np.int64)),
        tensor("d", RNG.normal(size=(60, 3)).astype(np.float32)),
    ]
    if fits:
        assert read(tmp_path, nodes, constants).gives(3)
    else:
        with pytest.raises(ModelFileError, match=r"'my Reshape'.*does not fit"):
            read(tmp_path, nodes, constants)


def test_the_bias_after_a_product_is_the_layer_s(tmp_path):
    flat = node("Flatten", "x", "f")
    matrix = RNG.normal(size=(60, 3)).astype(np.float32)
    bias = np.array([1.0, -2.0, 3.0], np.float32)
    constants = [tensor("d", matrix), tensor("b", bias)]
    nodes = [flat, node("MatMul", "f,d", "m"), node("Add", "m,b", "out")]
    graph = read(tmp_path, nodes, constants)
    assert sorted(graph.groups["head"]) == ["my_MatMul_bias", "my_MatMul_weight"]
    images = RNG.normal(size=(2, 6, 5, 2)).astype(np.float32)
    expected = images.transpose(0, 3, 1, 2).reshape(2, 60) @ matrix + bias
    np.testing.assert_allclose(forward(graph, images), expected, atol=1e-4)
    assert graph.with_head(7).gives(7)


W = tensor("w", WEIGHT)
EXTERNAL = tensor("w", WEIGHT, instead=field(13, field(1, "location") + field(2, "../x")))
LAST_LARGE = np.array([2**40], np.int64)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([node("Loop", "x", "out")],), {}, r"'my Loop' \(Loop\).*does not know.*it knows.*Conv"),
        (([node("Conv", "x,w", "out", domain="com.me")], [W]), {}, "'my Conv'.*'com.me'"),
        (([CONV, *TAIL], [EXTERNAL]), {}, "'w' is kept in another file.*one file"),
        (([CONV, *TAIL], [W]), {"opset": 6}, "opset"),
        (([CONV, *TAIL], [W]), {"opset": 99}, "opset"),
        (([CONV, *TAIL], [W, W]), {}, "'w' is there twice"),
        (([CONV, *TAIL],), {}, r"'my Conv'.*takes 'w', which nothing"),
        (([CONV, *TAIL], [tensor("w", DENSE)]), {}, r"'my Conv'.*\(3, 36\)"),
        (([CONV, *TAIL], [tensor("w", WEIGHT[:, :1])]), {},
         r"'w' of shape \(3, 1, 3, 3\).*\(2, 6, 5\)"),
        (([CONV, *TAIL], [tensor("w", WEIGHT, instead=field(9, b"1234"))]), {},
         r"'w': its shape \(3, 2, 3, 3\) does not fit its 1 numbers"),
        (([CONV, *TAIL], [tensor("w", np.zeros((2**40, 0), "float32"))]), {}, "'w': its shape"),
        (([node("Conv", "x,w", "out", auto_pad="NO")], [W]), {}, "auto_pad"),
        (([node("Conv", "x,w", "out", pads=(-1, 0, 0, 0))], [W]), {}, "pads"),
        (([node("Conv", "x,w", "out", strides=(1, 1, 1))], [W]), {}, "strides"),
        (([node("Conv", "x,w", "out")], [W]), {}, r"\(3, 4, 3\).*one number a class"),
        (([node("Conv", "x,w", "out")], [tensor("w", np.zeros((1, 2, 9, 9), "float32"))]), {},
         "too small"),
        (([CONV, *TAIL], [W]), {"inputs": {"x": (None, 2, 6)}}, "four sides"),
        (([CONV, *TAIL], [W]), {"inputs": {"x": (1, 2, 6, 5), "y": (1, 2, 6, 5)}}, "takes 2: x, y"),
        (([CONV, *TAIL], [W]), {"inputs": {"x": (1, 2, 99999, 5)}}, "height"),
        (([CONV, *TAIL], [W]), {"inputs": {}}, "takes 0"),
        (([CONV, *TAIL], [W]), {"outputs": ("nothing",)}, "'nothing' depends on no image"),
        (([node("Identity", "w", "out")], [W]), {}, "'out' depends on no image"),
        (([node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "out")],), {}, "no dense"),
        (([node("Transpose", "x", "out", perm=(1, 0, 2, 3))],), {}, "'my Transpose'.*images"),
        (([node("ReduceMean", "x", "out", axes=(0,))],), {}, "'my ReduceMean'.*stay apart"),
        (([node("Concat", "x,x", "out", axis=0)],), {}, "'my Concat'.*stay apart"),
        (([node("Flatten", "x", "out", axis=2)],), {}, "'my Flatten'.*mix"),
        (([node("MaxPool", "x", "out")],), {}, "kernel_shape"),
        (([node("MaxPool", "x", "out", kernel_shape=(2, 2), dilations=(2, 2))],), {}, "dilations"),
        (([node("MaxPool", "x", "out", kernel_shape=(2, 2), strides=(0, 1))],), {}, "stride"),
        (([node("Gemm", "x,w", "out", transA=1)], [W]), {}, "transA"),
        (([node("Gather", "x,i", "out", axis=1)], [tensor("i", np.array([0, 1]))]), {}, "places"),
        (([node("Reshape", "x,w", "out")], [W]), {}, "whole numbers"),
        (([node("LRN", "x", "out", size=4)],), {}, "size is 4"),
        (([node("Cast", "x", "out", to=7)],), {}, "int64"),
        (([node("ConstantOfShape", "n", "out")], [tensor("n", LAST_LARGE)]), {}, "too large"),
    ],
)  # fmt: skip
def test_refusals_name_the_node(tmp_path, arguments, options, words):
    with pytest.raises(ModelFileError, match=f"(?s)net.onnx: .*{words}"):
        read(tmp_path, *arguments, **options)


def test_constants_cannot_fill_the_memory(tmp_path):
    # Each node doubles its constant: a file of 3 kilobytes that asks for 2**60 numbers.
    nodes = [node("Concat", f"v{i},v{i}", f"v{i + 1}", axis=0) for i in range(60)]
    constants = [tensor("v0", np.ones(1, np.float32)), W]
    with pytest.raises(ModelFileError, match="too large|too many"):
        read(tmp_path, [*nodes, node("Add", "x,v60", "out")], constants)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "words"),
    [
        ("Concat", "v{0},v{0}", {"axis": 1}, "too large"),
        ("Unsqueeze", "v{0}", {"axes": (1,)}, "too large"),
        ("Relu", "v{0}", {}, "no dense layer"),
    ],
)
def test_long_graphs_end_soon(tmp_path, op, inputs, attrs, words):
    nodes = [node(op, inputs.format(i), f"v{i + 1}", **attrs) for i in range(2000)]
    last = [node("GlobalAveragePool", "v2000", "g"), node("Flatten", "g", "out")]
    with pytest.raises(ModelFileError, match=words):
        read(tmp_path, [*nodes, *last], opset=12, inputs={"v0": (None, 2, 6, 5)})


def cost(tmp_path, data, words=None):
    """Read a file, or have it refused; return seconds of one core, bytes beyond its own and it."""
    path, found = tmp_path / "net.onnx", None
    path.write_bytes(data)
    start = time.process_time()
    try:
        found = read_onnx(path)
        assert words is None
    except ModelFileError as error:
        assert words and re.search(words, str(error)), error
    seconds = time.process_time() - start
    tracemalloc.start()
    try:
        with contextlib.suppress(ModelFileError):
            read_onnx(path)
        return seconds, tracemalloc.get_traced_memory()[1] - 2 * len(data), found
    finally:
        tracemalloc.stop()


SQUARE = RNG.normal(size=(500, 500)).astype(np.float32)
VECTOR = {"x": (None, 1, 20, 25)}


@pytest.mark.parametrize("attrs", [{"transB": 1}, {}, {"alpha": 1.0, "beta": 1.0}])
def test_nodes_that_share_a_weight_share_its_memory(tmp_path, attrs):
    names = ["f", *(f"v{i}" for i in range(300)), "out"]
    nodes = [node("Flatten", "x", "f")]
    nodes += [node("Gemm", f"{a},w,b", z, **attrs) for a, z in itertools.pairwise(names)]
    constants = [tensor("w", SQUARE), tensor("b", SQUARE[0])]
    seconds, beyond, graph = cost(tmp_path, file(nodes, constants, VECTOR))
    assert seconds < 2
    assert beyond < 20e6
    wanted = SQUARE if "transB" in attrs else SQUARE.T
    assert len(graph.weights) == 602
    for name, weight in graph.weights.items():
        np.testing.assert_array_equal(weight, SQUARE[0] if name.endswith("bias") else wanted)


HUGE = np.array([2**24], np.int64)
MANY = range(400)
ONES = [node("ConstantOfShape", "n", "c")]
COSTLY = {
    "factors": (
        [node("Flatten", "x", "v0")]
        + [node("Gemm", f"v{i},w", f"v{i + 1}", alpha=2.0) for i in MANY]
        + [node("Identity", "v400", "out")]
    ),
    "sums": [
        *(node("ReduceSum", "w", f"s{i}") for i in MANY),
        *(node("Mul", f"{'x' if not i else f'p{i}'},s{i}", f"p{i + 1}") for i in MANY),
        node("Identity", "p400", "out"),
    ],
    "constants": [*ONES, node("Add", "x,c", "out")],
    "doubled": [
        *(node("Mul", f"{'w' if not i else f'c{i}'},w", f"c{i + 1}") for i in MANY),
        node("Add", "x,c400", "out"),
    ],
}


@pytest.mark.parametrize("nodes", COSTLY.values(), ids=COSTLY)
def test_small_files_do_not_compute_much(tmp_path, nodes):
    constants = [tensor("w", SQUARE), tensor("n", HUGE)]
    data = file(nodes, constants, VECTOR)
    seconds, beyond, _ = cost(tmp_path, data, "too many constants|too large")
    assert seconds < 2
    assert beyond < 20e6


def test_many_parts_are_counted_before_they_are_kept(tmp_path):
    dense = [node("Flatten", "x", "f"), node("Gemm", "f,w", "out", transB=1)]
    weight = tensor("w", DENSE[:, :30])
    listed = field(8, "n") + field(2, 7)
    split = field(1, "x") + field(4, "Split") + field(5, attribute("axis", 2))
    files = {
        "nodes": [[b""] * 100_000, [weight]],
        "dimensions": [dense, [weight, field(1, b"\1" * 2_000_000) + listed]],
        "more dimensions": [dense, [weight, field(1, 1) * 50_000 + listed]],
        "attribute": [[field(5, field(1, "a") + field(8, b"\1" * 2_000_000))], [weight]],
        "numbers": [dense, [weight, field(1, 2_000_000) + listed + field(7, b"\1" * 2_000_000)]],
        "pieces": [dense, [weight, field(2, 1) + field(4, 1.0) * 80_000]],
        "constants": [dense, [field(2, 1) + field(8, f"{i}") for i in range(60_000)]],
        "pieces of an image": [[split + field(2, "") * 50_000 + field(2, "out")], [weight]],
    }
    for what, given in files.items():
        inputs = {"x": (None, 1, 5, 6)}
        words = "more than|a list of|is damaged|fields|no network|numbers|shape|at most"
        seconds, beyond, _ = cost(tmp_path, file(*given, inputs), words)
        assert seconds < 2, what
        assert beyond < 20e6, what


@pytest.mark.parametrize(
    ("count", "words"), [(7_990, None), (8_010, "more than 8000"), (13_000, "more than 8000")]
)
def test_a_row_of_very_many_nodes(tmp_path, count, words):
    names = ["x", *(f"a rather long name of a node {i}" for i in range(1, count)), "h"]
    nodes = [node("Add", f"{a},one", b) for a, b in pairwise(names)]
    nodes += [node("Flatten", "h", "f"), node("Gemm", "f,w", "out", transB=1)]
    one = tensor("one", np.ones(1, np.float32))
    dense = tensor("w", np.ones((3, 60), np.float32))
    seconds, beyond, _ = cost(tmp_path, file(nodes, [dense, one]), words)
    assert seconds < 2
    assert beyond < 20e6


def test_many_softmaxes_before_the_end_are_looked_at_once(tmp_path):
    """A comb: each is the second input of a node in the row that leads to the end."""
    count = 3900
    nodes = [node("Softmax", "x", f"s{i}", axis=-1) for i in range(count)]
    nodes += [node("Reshape", f"{f'r{i}' if i else 'x'},s{i}", f"r{i + 1}") for i in range(count)]
    nodes.append(node("Identity", f"r{count}", "out"))
    seconds, beyond, _ = cost(tmp_path, file(nodes, [W]), "Reshape")
    assert seconds < 2
    assert beyond < 20e6


def test_a_graph_that_goes_round_in_a_circle(tmp_path):
    nodes = [node("Softmax", "x", "a", axis=-1), node("Identity", "a", "b")]
    nodes.append(node("Flatten", "b", "b") + field(2, "out"))
    with pytest.raises(ModelFileError, match="'out' depends on no image"):
        read(tmp_path, nodes)


def test_layers_of_the_same_name_are_told_apart(tmp_path):
    nodes = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Conv", "b,w", "c"), *TAIL]
    nodes[0] = nodes[0].replace(b"my Relu", b"my/Relu")
    nodes.insert(2, node("Relu", "b", "b2").replace(b"my Relu", b"myRelu1"))
    nodes[3] = node("Conv", "b2,w", "c")
    layers = [row["layer"] for row in read(tmp_path, nodes, [W]).layers()]
    assert layers[:3] == ["my_Relu", "my_Relu_1", "myRelu1"]
    assert len(set(layers)) == len(layers)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    for data in (b"", b"hello, this is text", b"\x93NUMPY" * 50, b"\0" * 100, b"\x08\x07"):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=r"net\.onnx"):
            read_onnx(path)
    for place in (tmp_path, tmp_path / "nowhere.onnx", "/dev/zero"):
        with pytest.raises(ModelFileError, match=str(place)):
            read_onnx(place)
    path.write_bytes(b"\x80\x02}q\x00(X\x05\x00\x00\x00")
    with pytest.raises(ModelFileError, match="unpickling"):
        read_onnx(path)


@pytest.mark.parametrize("name", ["densenet", "opset8", "opset20", "shufflenet20", "convnext17"])
def test_damaged_files_give_model_file_errors_only(tmp_path, name):
    data = (FOLDER / f"{name}.onnx").read_bytes()
    rng = np.random.default_rng(2)
    path = tmp_path / "net.onnx"
    cut = [data[:end] for end in range(0, len(data), max(1, len(data) // 80))]
    flipped = []
    for _ in range(250):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            mutant[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        flipped.append(bytes(mutant))
    refused = 0
    for mutant in [*cut, *flipped]:
        path.write_bytes(mutant)
        try:
            read_onnx(path, size=(20, 16))
        except (ModelFileError, InputError) as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 100


# ---- arithmetic of shapes: the operators' definitions


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "expected"),
    [
        ("Div", [[-7, 7, 8], [2, -2, 3]], {}, [-3, -3, 2]),  # towards zero
        ("Gather", [[10, 20, 30], 2], {"axis": 0}, 30),
        ("Gather", [[10, 20, 30], [-1, 0]], {}, [30, 10]),
        ("Slice", [[1, 2, 3, 4]], {"starts": (1,), "ends": (2**63 - 1,)}, [2, 3, 4]),
        ("Slice", [[1, 2, 3, 4], [-1], [-(2**63)], [0], [-1]], {}, [4, 3, 2, 1]),
        ("Unsqueeze", [5, [0]], {}, [5]),
        ("Unsqueeze", [5], {"axes": (0,)}, [5]),
        ("Squeeze", [[[5]]], {}, 5),
        ("Concat", [[1], [2, 3]], {"axis": 0}, [1, 2, 3]),
        ("Reshape", [[[1, 2], [3, 4]], [0, -1, 1]], {}, [[[1], [2]], [[3], [4]]]),
        ("Shape", [[[1, 2, 3]]], {}, [1, 3]),
        ("Shape", [[[1, 2, 3]]], {"start": 1}, [3]),
        ("Cast", [[1, 2]], {"to": 1}, [1.0, 2.0]),
        ("Expand", [[7], [3]], {}, [7, 7, 7]),
        ("ConstantOfShape", [[2]], {"value": np.array([4])}, [4, 4]),
        ("Range", [1, 7, 2], {}, [1, 3, 5]),
        ("ReduceProd", [[2, 3, 4]], {"keepdims": 0}, 24),
        ("Where", [[True, False], [1, 2], [3, 4]], {}, [1, 4]),
    ],
)
def test_constants_are_computed_as_defined(op, inputs, attrs, expected):
    result = fold(op, [np.array(value) for value in inputs], attrs)
    np.testing.assert_array_equal(result, expected)
    assert result.shape == np.shape(expected)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("Div", [np.array(1), np.array(0)], {}),
        ("Gather", [np.array([1]), np.array(5)], {}),
        ("Add", [np.ones(3), np.ones(2)], {}),
        ("Mul", [np.ones((2**20, 1)), np.ones((1, 2**20))], {}),
        ("Expand", [np.ones(1), np.array([2**40])], {}),
        ("ConstantOfShape", [np.array([-1])], {}),
        ("Range", [np.array(0), np.array(2**50), np.array(1)], {}),
        ("Range", [np.array(0), np.array(1), np.array(0)], {}),
        ("Cast", [np.ones(1)], {"to": 99}),
        ("Concat", [None, np.ones(1)], {"axis": 0}),
        ("Slice", [np.ones(3), np.array([0]), np.array([1]), np.array([9])], {}),
        ("Transpose", [np.ones((2, 3))], {"perm": (0, 0)}),
    ],
)
def test_constants_that_cannot_be_computed(op, inputs, attrs):
    with pytest.raises(ModelFileError):
        fold(op, inputs, attrs)
