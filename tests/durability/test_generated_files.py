"""Generated files: each is read as its format has it, or refused in words.

What is damaged in ``mutations.py`` was sound before; here files are put together from parts that
are drawn, whole ones and such as contradict themselves. What is read is held against the parts
and, where there is one, against another reader.
"""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
import safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diglot import ImageClassifier, load, network, storage
from diglot.engine.mxnet import load as load_mxnet
from diglot.engine.mxnet_versions import read_graph
from diglot.errors import MissingPackageError, ModelFileError
from diglot.graph import BATCH, Graph, InputSpec
from diglot.operators import OPERATORS
from diglot.operators.known_attributes import ATTRIBUTES
from diglot.weights import protobuf
from diglot.weights.caffe.caffemodel import read_caffemodel
from diglot.weights.mxnet_params import read_params
from diglot.weights.onnx import read_onnx
from diglot.weights.onnx.operators import RULES
from mutations import NUMBERS, TEXTS, safetensors_bytes, written
from soak import rounds


def drawn(short, long):
    """Return how many examples to draw: always the same ones, however long one takes."""
    return settings(
        max_examples=rounds(short, long),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("generated")


def outcome(read, path, data, kinds=(ModelFileError,)):
    """Return what a reader makes of some bytes; None where it refuses them in words."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        return read(path)
    except kinds as error:
        assert len(str(error)) > 10
        return None


NAMES = st.one_of(
    st.sampled_from(["a", "b.weight", "arg:w", "aux:w", "w", "", "é", "__metadata__", "a" * 300]),
    st.text(max_size=8),
)
SHAPES = st.lists(st.integers(0, 4), max_size=4)
ODD = st.one_of(
    st.sampled_from(
        [*NUMBERS, *TEXTS, None, [], {}, [1], [0, 1, 2], [[0]], [True], ["1"], [-1, 4]]
    ),
    st.integers(-10, 100),
    st.lists(st.integers(-2, 50), max_size=4),
)


# ------------------------------------------------------------------ safetensors


CODES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F32": 4, "I32": 4,
    "U32": 4, "F64": 8, "I64": 8, "U64": 8, "F8_E5M2": 1, "C64": 8, "X": 1, "f4": 4, "": 0,
}  # fmt: skip
KNOWN = ("BOOL", "U8", "I8", "F16", "BF16", "I16", "U16", "F32", "I32", "U32", "F64", "I64", "U64")


@st.composite
def safetensors_files(draw):
    """Draw a file of some tensors; in half of the files something contradicts something else."""
    header, at = {}, 0
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        code, shape = draw(st.sampled_from(KNOWN)), draw(SHAPES)
        size = math.prod(shape) * CODES[code]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if draw(st.booleans()):
        header["__metadata__"] = draw(
            st.one_of(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2), ODD)
        )
    body, twist = bytes(range(256)) * (at // 256 + 1), draw(st.integers(0, 9))
    body = body[:at]
    if twist < 5 and header:
        name = draw(st.sampled_from(sorted(header)))
        field = draw(st.sampled_from(["dtype", "shape", "data_offsets", "new", None]))
        if field == "dtype":
            value = draw(st.one_of(st.sampled_from(sorted(CODES)), ODD))
        else:
            value = draw(ODD)
        if field is None or not isinstance(header[name], dict):
            header[name] = value
        else:
            header[name] = {**header[name], field: value}
            if value is None:
                del header[name][field]
    text = json.dumps(header, ensure_ascii=draw(st.booleans()))
    if twist == 5:
        text = draw(
            st.sampled_from([" " + text, text + "  ", text + "x", text[:-1], "[]", "", "1"])
        )
    if twist == 6 and header:
        name = json.dumps(sorted(header)[0])
        text = text[:-1] + f", {name}: {json.dumps(header[json.loads(name)])}" + "}"
    raw = text.encode("utf-8", "surrogatepass")
    length = len(raw) + (draw(st.sampled_from([-1, 1, 8, 2**62])) if twist == 7 else 0)
    if twist == 8:
        body = draw(st.sampled_from([body[:-1], body + b"\0", b""]))
    return struct.pack("<Q", length % 2**64) + raw + body


@drawn(150, 20_000)
@given(data=safetensors_files())
def test_safetensors_are_read_as_their_own_library_reads_them(place, data):
    found = outcome(
        lambda path: storage.read_file(path, require_metadata=False)[0],
        place / "w.safetensors",
        data,
    )
    if found is None:
        return
    others = dict(safetensors.deserialize(data))
    assert found.keys() == others.keys()
    for name, array in found.items():
        assert list(array.shape) == others[name]["shape"]
        raw = array.astype("<f4").view("<u4") if others[name]["dtype"] == "BF16" else array
        if others[name]["dtype"] == "BF16":
            raw = (raw >> 16).astype("<u2")
        assert raw.tobytes() == bytes(others[name]["data"])


# ------------------------------------------------------------------ MXNet's arrays


PARAMS = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?", 12: "bfloat"}


@st.composite
def params_files(draw):
    """Draw a file, and the arrays that are in it; None if it contradicts itself."""
    arrays, parts, sound = [], [], True
    for _ in range(draw(st.integers(0, 4))):
        code, shape = draw(st.sampled_from(sorted(PARAMS))), draw(SHAPES)
        version = draw(st.sampled_from(["V3", "V2", "V1", "V0"]))
        dtype = "<u2" if code == 12 else PARAMS[code]
        numbers = (np.arange(math.prod(shape)) % (2 if code == 7 else 100)).astype(dtype)
        raw = numbers.tobytes()
        faults = ["type", "axes"] + ["side", "cut"] * bool(raw)
        faults += ["storage", "magic"] * (version in ("V2", "V3"))
        wrong = draw(st.sampled_from([None] * 12 + faults))
        sound = sound and wrong is None and (bool(shape) or version == "V3")
        told_code = draw(st.sampled_from([-1, 13, 99, 2**31 - 1])) if wrong == "type" else code
        told = [draw(st.sampled_from([-2, 2**31, 5])), *shape] if wrong == "side" else shape
        axes = draw(st.sampled_from([-2, 33, 2**31 - 1])) if wrong == "axes" else len(told)
        form = "I" if version == "V0" else "q"
        sides = struct.pack(f"<{len(told)}{form}", *(s % 2**32 if form == "I" else s for s in told))
        if version in ("V2", "V3"):
            magic = 0xF993FAC9 if version == "V2" else 0xF993FACA
            magic = magic + 7 if wrong == "magic" else magic
            kind = draw(st.sampled_from([1, 2, -1, 9])) if wrong == "storage" else 0
            head = struct.pack("<Iii", magic, kind, axes)
        elif version == "V1":
            head = struct.pack("<Ii", 0xF993FAC8, axes)
        else:
            head = struct.pack("<I", axes % 2**32)
        parts.append(head + sides + struct.pack("<iii", 1, 0, told_code))
        parts.append(raw[:-1] if wrong == "cut" else raw)
        arrays.append(
            (numbers.astype("<u4") << 16).view("<f4").reshape(shape)
            if code == 12
            else numbers.reshape(shape)
        )
    names = draw(st.one_of(st.none(), st.lists(NAMES, min_size=len(arrays), max_size=len(arrays))))
    raw_names = [name.encode("utf-8", "surrogatepass") for name in names or []]
    counted = draw(st.sampled_from([0] * 20 + [1, -1, 2**60]))
    data = struct.pack("<QQQ", 0x112, 0, (len(arrays) + counted) % 2**64) + b"".join(parts)
    data += struct.pack("<Q", len(raw_names))
    data += b"".join(struct.pack("<Q", len(name)) + name for name in raw_names)
    plain = [_plain(name) for name in (names or map(str, range(len(arrays))))]
    sound = sound and not counted and len(set(plain)) == len(plain)
    sound = sound and not any("\ud800" <= sign <= "\udfff" for name in plain for sign in name)
    return data, dict(zip(plain, arrays, strict=True)) if sound else None


def _plain(name):
    return name[4:] if name.startswith(("arg:", "aux:")) else name


@drawn(150, 20_000)
@given(drawn_file=params_files())
def test_mxnet_s_arrays_are_those_that_were_drawn(place, drawn_file):
    data, expected = drawn_file
    found = outcome(read_params, place / "w.params", data)
    if expected is None:
        assert found is None
        return
    assert found is not None and list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


# ------------------------------------------------------------------ Protocol Buffers


VALUES = st.one_of(
    st.tuples(st.just(protobuf.VARINT), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(protobuf.BITS64), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(protobuf.BITS32), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(protobuf.BYTES), st.binary(max_size=20)),
)
FIELDS = st.lists(st.tuples(st.integers(1, 2**29 - 1), VALUES), max_size=6)


@drawn(150, 20_000)
@given(parts=FIELDS, cut=st.integers(0, 20))
def test_fields_are_those_that_were_written(parts, cut):
    tree = [(number, wire, value) for number, (wire, value) in parts]
    data = written(tree)

    def read(some):
        return [
            (number, wire, bytes(value) if isinstance(value, memoryview) else value)
            for number, wire, value in protobuf.fields(memoryview(some))
        ]

    assert read(data) == tree
    try:
        assert read(data[: max(0, len(data) - cut)]) == tree[: len(tree) - bool(cut)] or cut > 1
    except ModelFileError:
        assert cut


def shuffled(draw, fields):
    """Draw the order of a message's fields; those of one number stay in theirs."""
    waiting: dict[int, list] = {}
    for field in fields:
        waiting.setdefault(field[0], []).append(field)
    numbers = draw(st.permutations([field[0] for field in fields]))
    return [waiting[number].pop(0) for number in numbers]


def listed(draw, number, values, form):
    """Draw how a list of numbers is written: packed, in pieces, or one by one."""
    wire = {"f": protobuf.BITS32, "d": protobuf.BITS64}[form]
    fields, at = [], 0
    while at < len(values):
        if draw(st.booleans()):
            fields.append((number, wire, struct.pack(f"<{form}", values[at])))
            at += 1
        else:
            count = draw(st.integers(0, len(values) - at))
            some = values[at : at + count]
            fields.append((number, protobuf.BYTES, struct.pack(f"<{count}{form}", *some)))
            at += count
    return fields


def sides(draw, number, shape):
    if draw(st.booleans()):
        return [(number, protobuf.VARINT, side % 2**64) for side in shape]
    return [(number, protobuf.BYTES, b"".join(map(varint, shape)))]


def varint(value):
    return written([(1, 0, value % 2**64)])[1:]


UNKNOWN = (900, protobuf.BYTES, b"unknown")


@st.composite
def caffemodels(draw):
    """Draw a file of layers with arrays, and the arrays; None if it contradicts itself."""
    net, expected, names, sound = [], {}, set(), True
    for _ in range(draw(st.integers(0, 3))):
        old = draw(st.booleans())
        name = draw(st.text(max_size=4).filter(lambda t: "\ud800" not in t))
        layer = [(4 if old else 1, protobuf.BYTES, name.encode("utf-8", "replace"))]
        name = layer[0][2].decode()
        blobs = []
        for index in range(draw(st.integers(0, 2))):
            shape = draw(st.lists(st.integers(0, 3), max_size=4))
            told = list(shape)
            if draw(st.integers(0, 9)) == 0:
                told = draw(st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**62]), max_size=6))
            four = old or draw(st.booleans())
            told = ([1] * 4 + told)[-4:] if four else told
            values = [i + 0.5 for i in range(math.prod(shape))]
            form = draw(st.sampled_from("fd"))
            fields = listed(draw, 5 if form == "f" else 8, values, form)
            if four:
                fields += [(i + 1, protobuf.VARINT, side % 2**64) for i, side in enumerate(told)]
            else:
                fields.append((7, protobuf.BYTES, sides(draw, 1, told)))
            fields = shuffled(draw, [*fields, UNKNOWN])
            layer.append((6 if old else 7, protobuf.BYTES, fields))
            fits = min(told, default=1) >= 0 and math.prod(told) == len(values) and values
            sound = sound and bool(fits)
            blobs.append((f"{name}.{index}", told, values))
        net.append((2 if old else 100, protobuf.BYTES, shuffled(draw, [*layer, UNKNOWN])))
        if blobs:
            sound = sound and name not in names
            names.add(name)
        expected |= {key: (told, values) for key, told, values in blobs}
    return written([*net, UNKNOWN]), expected if sound and expected else None


@drawn(150, 20_000)
@given(drawn_file=caffemodels())
def test_caffe_s_arrays_are_those_that_were_drawn(place, drawn_file):
    data, expected = drawn_file
    found = outcome(read_caffemodel, place / "w.caffemodel", data)
    if expected is None:
        assert found is None
        return
    assert found is not None and found.keys() == expected.keys()
    for name, (shape, values) in expected.items():
        assert found[name].shape == tuple(shape)
        assert found[name].ravel().tolist() == values


# ------------------------------------------------------------------ ONNX


def text(number, value):
    return (number, protobuf.BYTES, value.encode("utf-8", "replace"))


def number_field(number, value):
    return (number, protobuf.VARINT, int(value) % 2**64)


def tensor(draw, name, array):
    """Draw how a constant of floats is written: as raw bytes or listed."""
    fields = sides(draw, 1, array.shape) if array.ndim else []
    fields += [number_field(2, 1), text(8, name)]
    if draw(st.booleans()):
        fields.append((9, protobuf.BYTES, array.astype("<f4").tobytes()))
    else:
        fields += listed(draw, 4, array.ravel().tolist(), "f")
    return shuffled(draw, fields)


def attribute(draw, name, value):
    fields = [text(1, name)]
    if isinstance(value, float):
        fields += [(2, protobuf.BITS32, struct.pack("<f", value)), number_field(20, 1)]
    elif isinstance(value, str):
        fields += [text(4, value), number_field(20, 3)]
    elif isinstance(value, list):
        fields += [*sides(draw, 8, value), number_field(20, 7)]
    else:
        fields += [number_field(3, value), number_field(20, 2)]
    return (5, protobuf.BYTES, shuffled(draw, fields))


def node(draw, op, inputs, output, attrs):
    fields = [*(text(1, name) for name in inputs), text(2, output), text(4, op)]
    fields += [attribute(draw, key, value) for key, value in attrs.items()]
    return (1, protobuf.BYTES, shuffled(draw, fields))


def value_info(number, name, shape):
    dims = [(1, protobuf.BYTES, [number_field(1, side)]) for side in shape]
    kind = [number_field(1, 1), (2, protobuf.BYTES, dims)]
    return (
        number,
        protobuf.BYTES,
        [text(1, name), (2, protobuf.BYTES, [(1, protobuf.BYTES, kind)])],
    )


def onnx_bytes(draw, nodes, constants, shape, output, opset):
    graph = [*nodes, value_info(11, "x", shape), value_info(12, output, [])]
    graph += [(5, protobuf.BYTES, tensor(draw, n, a)) for n, a in constants.items()]
    opsets = [text(1, ""), number_field(2, opset)]
    model = [number_field(1, 8), (7, protobuf.BYTES, graph), (8, protobuf.BYTES, opsets)]
    return written(shuffled(draw, model))


@st.composite
def perceptrons(draw):
    """Draw a network that is sound, and what its weights are."""
    channels, height, width = (draw(st.integers(1, 3)) for _ in range(3))
    nodes, constants, have = [], {}, channels * height * width
    nodes.append(node(draw, "Flatten", ["x"], "v0", {"axis": 1}))
    for number in range(draw(st.integers(1, 3))):
        wide = draw(st.integers(1, 4))
        turned = draw(st.booleans())
        weight = np.arange(wide * have, dtype=np.float32).reshape(wide, have) + number
        constants[f"w{number}"] = weight if turned else weight.T
        inputs, name = [f"v{2 * number}", f"w{number}"], f"v{2 * number + 1}"
        if draw(st.booleans()):
            constants[f"b{number}"] = np.arange(wide, dtype=np.float32)
            inputs.append(f"b{number}")
        nodes.append(node(draw, "Gemm", inputs, name, {"transB": int(turned)}))
        nodes.append(node(draw, draw(st.sampled_from(["Relu", "Tanh", "Sigmoid", "Identity"])),
                          [name], f"v{2 * number + 2}", {}))  # fmt: skip
        have = wide
    data = onnx_bytes(
        draw,
        nodes,
        constants,
        [1, channels, height, width],
        f"v{2 * number + 2}",
        draw(st.integers(9, 20)),
    )
    return data, constants, (channels, height, width), have


@drawn(40, 3000)
@given(drawn_file=perceptrons())
def test_an_onnx_file_has_the_weights_that_were_drawn(place, drawn_file):
    data, constants, shape, classes = drawn_file
    graph = outcome(read_onnx, place / "n.onnx", data)
    assert graph is not None and graph.input.shape == shape and graph.gives(classes)
    for name, array in constants.items():
        plain = [array, array.T] if name.startswith("w") else [array]
        same = [w for w in graph.weights.values() for a in plain if np.array_equal(w, a)]
        assert same, name


ATTRIBUTE_NAMES = [
    "axis", "axes", "perm", "kernel_shape", "strides", "pads", "dilations", "group", "transA",
    "transB", "alpha", "beta", "epsilon", "momentum", "to", "keepdims", "mode", "auto_pad", "split",
    "starts", "ends", "min", "max", "size", "ceil_mode", "allowzero", "num_outputs", "value",
]  # fmt: skip
ATTRIBUTE_VALUES = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**31 - 1, -(2**31), 2**63 - 1]),
    st.floats(width=32),
    st.lists(st.integers(-3, 5), max_size=6),
    st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "constant", "reflect", ""]),
)


@st.composite
def onnx_mixtures(draw):
    """Draw nodes of any operators with any attributes: most fit each other as little as can be."""
    nodes, values, constants = [], ["x"], {}
    for number in range(draw(st.integers(0, 3))):
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
        constants[f"c{number}"] = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    for number in range(draw(st.integers(1, 4))):
        op = draw(st.sampled_from([*sorted(RULES), "Constant", "Loop"]))
        inputs = [values[-1]]
        inputs += draw(st.lists(st.sampled_from([*values, *constants, ""]), max_size=3))
        keys = draw(st.lists(st.sampled_from(ATTRIBUTE_NAMES), unique=True, max_size=3))
        attrs = {key: draw(ATTRIBUTE_VALUES) for key in keys}
        nodes.append(node(draw, op, inputs, f"v{number}", attrs))
        values.append(f"v{number}")
    shape = [1, *(draw(st.integers(1, 6)) for _ in range(draw(st.sampled_from([3, 3, 3, 0, 4]))))]
    return onnx_bytes(draw, nodes, constants, shape, values[-1], draw(st.integers(5, 23)))


@drawn(150, 20_000)
@given(data=onnx_mixtures())
def test_onnx_files_of_anything_are_graphs_or_refused(place, data):
    graph = outcome(read_onnx, place / "n.onnx", data)
    if graph is not None:
        mxnet_agrees(graph)


# ------------------------------------------------------------------ networks


KINDS = {
    "int": st.one_of(st.integers(-3, 6), st.sampled_from([2**31 - 1, -(2**31), 64, 0])).map(str),
    "uint": st.one_of(st.integers(0, 6), st.sampled_from([2**31 - 1, 2**32 - 1])).map(str),
    "bool": st.sampled_from(["True", "False", "0", "1", "true"]),
    "float": st.sampled_from(["0.5", "1e-5", "0", "-1", "inf", "nan", "1e38", "3"]),
    "shape": st.lists(st.integers(-4, 5), max_size=5).map(lambda sides: str(tuple(sides))),
    "text": st.sampled_from(["a", ""]),
}


def attribute_values(kind):
    plain = kind.removesuffix("!")
    values = KINDS.get(plain.removesuffix("?"))
    if values is None:
        values = st.sampled_from(plain.removesuffix("?").split("|"))
    return st.one_of(values, st.just("None")) if plain.endswith("?") else values


OPERATORS_DRAWN = sorted(set(ATTRIBUTES) & set(OPERATORS)) + sorted(
    set(OPERATORS) - set(ATTRIBUTES)
)


@st.composite
def symbols(draw):
    """Draw a network as MXNet's JSON: operators one after the other, with what each may be told."""
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    ends = [0]
    for number in range(draw(st.integers(1, 3))):
        op = draw(st.sampled_from(OPERATORS_DRAWN))
        known = ATTRIBUTES.get(op, {})
        attrs = {
            key: draw(attribute_values(kind))
            for key, kind in known.items()
            if kind.endswith("!") or draw(st.integers(0, 3)) == 0
        }
        count = OPERATORS[op].data_inputs
        count = draw(st.integers(1, 3)) if count is None else count
        if draw(st.integers(0, 9)) == 0:
            count = draw(st.integers(0, 3))
        inputs = [[draw(st.sampled_from(ends)), 0, 0] for _ in range(count)]
        for slot in range(draw(st.integers(0, 4))) if draw(st.booleans()) else ():
            nodes.append({"op": "null", "name": f"p{number}_{slot}", "inputs": []})
            inputs.append([len(nodes) - 1, 0, 0])
        nodes.append({"op": op, "name": f"n{number}", "attrs": attrs, "inputs": inputs})
        ends.append(len(nodes) - 1)
    spec = InputSpec(*(draw(st.integers(1, 7)) for _ in range(3)))
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[ends[-1], 0, 0]]}), spec


def mxnet_agrees(graph):
    """Hold the shapes of a graph against MXNet's, where it is there."""
    try:
        mx = load_mxnet()
    except MissingPackageError:
        return
    symbol = read_graph(mx, graph)
    known = {"data": (BATCH, *graph.input.shape)} if "data" in symbol.list_arguments() else {}
    known |= {n: p.shape for n, p in graph.parameters.items()}
    shapes = symbol.infer_shape(**{n: s for n, s in known.items() if n in symbol.list_inputs()})[1]
    node, output = graph.heads[0]
    assert shapes[0] == graph.output_shapes[node][output]


@drawn(400, 50_000)
@given(drawn_symbol=symbols())
def test_networks_of_any_operators_have_mxnet_s_shapes_or_are_refused(drawn_symbol):
    given_text, spec = drawn_symbol
    try:
        graph = Graph.from_json(given_text, spec)
    except ModelFileError as error:
        assert len(str(error)) > 10
        return
    mxnet_agrees(graph)


# ------------------------------------------------------------------ model files


@pytest.fixture(scope="module")
def written_once():
    """Return what a model file says beside the weights."""
    net = network("mlp", classes=2, size=(3, 2), channels=1, hidden=(4,))
    model = ImageClassifier(net, epochs=1, seed=1, verbose=False)
    return storage.decode(model.fit(np.zeros((4, 3, 2)), list("abab")).to_bytes())[1]


CLASSES = st.one_of(
    st.lists(st.text(max_size=5), unique=True, min_size=2, max_size=4),
    st.lists(st.integers(-(2**53), 2**53), unique=True, min_size=2, max_size=4),
)
WRONG = {
    "a class more": lambda meta, tensors: meta["classes"]["values"].append("another"),
    "a class twice": lambda meta, tensors: meta["classes"].update(
        values=meta["classes"]["values"][:1] * len(meta["classes"]["values"])
    ),
    "classes of another type": lambda meta, tensors: meta["classes"].update(type="complex"),
    "a weight less": lambda meta, tensors: tensors.pop("head_bias"),
    "a weight more": lambda meta, tensors: tensors.update(more=np.ones(1, "f4")),
    "a weight turned": lambda meta, tensors: tensors.update(
        dense1_weight=np.ones((tensors["dense1_weight"].size + 1, 1), "f4")
    ),
    "a weight of doubles": lambda meta, tensors: tensors.update(
        head_bias=tensors["head_bias"].astype("f8")
    ),
    "a weight that is no number": lambda meta, tensors: tensors.update(
        head_bias=np.full_like(tensors["head_bias"], np.nan)
    ),
    "another input": lambda meta, tensors: meta["graph"]["input"].update(height=9),
    "no such layer": lambda meta, tensors: meta["graph"].update(features="nowhere"),
    "a kind that is none": lambda meta, tensors: meta.update(kind="spell"),
    "another kind": lambda meta, tensors: meta.update(kind="captioner"),
    "a setting that cannot be": lambda meta, tensors: meta["settings"].update(batch_size=0),
    "a history without its columns": lambda meta, tensors: meta["history"].update(columns=["a"]),
}


@st.composite
def perceptron_weights(draw):
    sides = [draw(st.integers(1, 4)) for _ in range(2)]
    hidden, classes = draw(st.integers(1, 4)), draw(CLASSES)
    floats = st.floats(-4, 4, width=32)

    def array(*shape):
        count = math.prod(shape)
        some = draw(st.lists(floats, min_size=count, max_size=count))
        return np.array(some, "f4").reshape(shape)

    tensors = {
        "dense1_weight": array(hidden, math.prod(sides)),
        "dense1_bias": array(hidden),
        "head_weight": array(len(classes), hidden),
        "head_bias": array(len(classes)),
    }
    return sides, classes, tensors


@drawn(40, 5000)
@given(parts=perceptron_weights(), wrong=st.one_of(st.none(), st.none(), st.sampled_from([*WRONG])))
def test_a_model_file_answers_by_the_weights_that_were_drawn(place, written_once, parts, wrong):
    sides, classes, tensors = parts
    meta, answers = json.loads(json.dumps(written_once)), dict(tensors)
    net = network(
        "mlp", classes=len(classes), size=sides, channels=1, hidden=(len(tensors["dense1_bias"]),)
    )
    meta["graph"] = json.loads(json.dumps(net.to_dict()))
    meta["classes"] |= {"values": classes, "type": type(classes[0]).__name__}
    if wrong:
        WRONG[wrong](meta, tensors)
    data = safetensors_bytes(dict(sorted(tensors.items())), {"diglot": json.dumps(meta)})
    model = outcome(load, place / "m.safetensors", data)
    if wrong:
        assert model is None, wrong
        return
    assert model is not None and model.classes_.tolist() == classes
    image = np.linspace(0, 1, math.prod(sides), dtype="f4")
    hidden = np.maximum(answers["dense1_weight"] @ image + answers["dense1_bias"], 0)
    logits = answers["head_weight"] @ hidden + answers["head_bias"]
    shares = np.exp(logits - logits.max())
    found = model.predict_proba(image.reshape(1, *sides))[0]
    np.testing.assert_allclose(found, shares / shares.sum(), atol=1e-5)
