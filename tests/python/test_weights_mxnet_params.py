"""MXNet's files against MXNet: arrays that it saved or loads, networks that it exported."""

import contextlib
import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from diglot.engine import open_executor
from diglot.errors import InputError, ModelFileError
from diglot.graph import InputSpec
from diglot.weights.mxnet_params import read_mxnet, read_params
from fuzz import damaged, refusals
from graph_checks import bound

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
TYPES = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"]


def file_of(arrays, names=()):
    """Return a file's bytes; ``arrays`` are bytes already."""
    names = [struct.pack("<Q", len(n)) + n for n in names]
    head = struct.pack("<QQQ", 0x112, 0, len(arrays))
    return head + b"".join(arrays) + struct.pack("<Q", len(names)) + b"".join(names)


def array_of(values, version, code=0):
    """Return an array's bytes as a version of MXNet wrote it; version 0 had no magic number."""
    shape, data = values.shape, values.tobytes()
    tail = struct.pack("<iii", 1, 0, code) + data
    if version == 0:
        return struct.pack(f"<I{len(shape)}I", len(shape), *shape) + tail
    head = {1: (V1,), 2: (V2, 0), 3: (V3, 0)}[version]
    return struct.pack(f"<{len(head)}Ii{len(shape)}q", *head, len(shape), *shape) + tail


def assert_as_mxnet(mx, path):
    """Hold every array against what MXNet loads from the same file."""
    expected = mx.nd.load(str(path))
    if isinstance(expected, list):
        expected = {str(i): a for i, a in enumerate(expected)}
    found = read_params(path)
    assert list(found) == [n.removeprefix("arg:").removeprefix("aux:") for n in expected]
    for array, theirs in zip(found.values(), expected.values(), strict=True):
        theirs = theirs.asnumpy()
        assert (array.dtype, array.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(array, theirs)
        assert array.flags.writeable and array.flags.aligned
    return found


# ---- files of arrays


def test_every_type_and_shape_that_mxnet_saves(mx, tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(3,), (2, 5), (1, 4, 1), (2, 3, 4, 5), (1, 1, 2, 1, 3)]
    arrays = {
        f"{prefix}{dtype}_{len(shape)}": mx.nd.array(rng.normal(0, 50, shape), dtype=dtype)
        for prefix, dtype in zip(
            ["arg:", "aux:", "", "näme/", "a:", "b.", "arg"], TYPES, strict=True
        )
        for shape in shapes
    }
    file = tmp_path / "all.params"
    mx.nd.save(str(file), arrays)
    assert len(assert_as_mxnet(mx, file)) == 35


def test_a_list_without_names_and_one_without_arrays(mx, tmp_path):
    file = tmp_path / "list.params"
    mx.nd.save(str(file), [mx.nd.array([1, 2]), mx.nd.array([[3.5]])])
    assert list(assert_as_mxnet(mx, file)) == ["0", "1"]
    file.write_bytes(file_of([]))
    assert read_params(file) == {}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_formats_of_older_versions(mx, tmp_path, version):
    rng = np.random.default_rng(1)
    arrays = [
        array_of(rng.normal(0, 50, shape).astype(dtype), version, code)
        for code, dtype in enumerate(TYPES)
        for shape in [(3, 2), (5,), (2, 1, 3, 4)]
    ]
    file = tmp_path / "old.params"
    file.write_bytes(file_of(arrays, [f"arg:w{i}".encode() for i in range(len(arrays))]))
    assert len(assert_as_mxnet(mx, file)) == 21


@pytest.mark.needs_mxnet1("its npx.save writes .npy")
def test_arrays_with_numpys_shapes(mx, tmp_path):
    values = {"scalar": np.float32(3.5), "none": np.zeros((0, 2), "f4"), "two": np.ones((2, 1))}
    file = tmp_path / "np.params"
    with mx.util.np_shape(True), mx.util.np_array(True):
        mx.npx.save(str(file), {n: mx.np.array(v, dtype=v.dtype) for n, v in values.items()})
    found = read_params(file)
    for name, value in values.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        np.testing.assert_array_equal(found[name], value)


def test_types_that_numpy_lacks_or_that_are_rare(tmp_path):
    file = tmp_path / "rare.params"
    bits = (np.array([1.5, -2.25, 1e30], "<f4").view("<u4") >> 16).astype("<u2")
    arrays = [array_of(bits, 2, 12), array_of(np.array([True, False]), 2, 7)]
    file.write_bytes(file_of(arrays, [b"half", b"truth"]))
    found = read_params(file)
    assert found["half"].dtype == np.float32
    np.testing.assert_allclose(found["half"], [1.5, -2.25, 1e30], rtol=2**-7)
    assert found["truth"].tolist() == [True, False]


def test_sparse_arrays_are_refused(mx, tmp_path):
    file = tmp_path / "sparse.params"
    dense = mx.nd.array([[0, 1], [0, 0], [2, 0]])
    for kind, message in [("row_sparse", "row-sparse"), ("csr", "CSR")]:
        mx.nd.save(str(file), {"w": dense.tostype(kind)})
        with pytest.raises(ModelFileError, match=rf"sparse.params: array 0 is .*{message}.*dense"):
            read_params(file)


PLAIN = array_of(np.ones((2, 3), "f4"), 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\x80\x04" + bytes(40), "not a .params file"),
        (struct.pack("<QQQ", 0x112, 1, 0), "reserved"),
        (struct.pack("<QQQ", 0x112, 0, 2**60), "claims 1152921504606846976 arrays"),
        (file_of([PLAIN], [b"a", b"b"]), "1 arrays and 2 names"),
        (file_of([PLAIN, PLAIN], [b"arg:a", b"aux:a"]), "two arrays called 'a'"),
        (file_of([PLAIN], [b"\xff"]), "not text"),
        (file_of([PLAIN], [b"a"]) + b"x", "1 bytes follow"),
        (file_of([PLAIN])[:-8] + struct.pack("<QQ", 1, 2**40), "a name of 1099511627776 bytes"),
        (file_of([array_of(np.ones(2, "f4"), 2, 99)]), "element type 99"),
        (file_of([array_of(np.full(2, 7, "u1"), 2, 7)]), "truth values"),
        (file_of([struct.pack("<IiI", V2, 3, 0)]), "storage type 3"),
        (file_of([struct.pack("<Iii", V2, 0, 0)], [b"w"]), "'w' has no value"),
        (file_of([struct.pack("<Iii", V3, 0, -1)], [b"w"]), "'w' has no value"),
        (file_of([struct.pack("<I", 0)], [b"w"]), "'w' has no value"),
        (file_of([struct.pack("<Iii", V2, 0, 33) + bytes(300)]), "33 axes"),
        (file_of([struct.pack("<Iii", V2, 0, -7) + bytes(300)]), "-7 axes"),
        (file_of([struct.pack("<Iiiqiii", V2, 0, 1, -5, 1, 0, 0)]), r"shape \(-5,\)"),
        (file_of([struct.pack("<Iiiqiii", V2, 0, 1, 2**62, 1, 0, 0)]), "array 0 of shape"),
        (
            file_of([struct.pack("<Iiiqqqiii", V2, 0, 3, 2**62, 2**62, 0, 1, 0, 0)]),
            "impossible shape|array is too big",
        ),
    ],
)
def test_damage_is_named(tmp_path, data, message):
    file = tmp_path / "bad.params"
    file.write_bytes(data)
    with pytest.raises(ModelFileError, match=f"bad.params.*({message})"):
        read_params(file)


def test_damaged_arrays_are_read_or_refused(mx, tmp_path):
    arrays = [array_of(np.arange(6, dtype="f4").reshape(2, 3), version) for version in (0, 1, 2, 3)]
    data = file_of(arrays, [b"arg:a", b"b", b"c", b"aux:d"])
    assert refusals(read_params, tmp_path / "x.params", damaged(data)) > 1000


# ---- networks


def block(mx):
    """Make a small network of what MXNet's zoo has, with statistics that matter."""
    nn = mx.gluon.nn
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(6, 3, strides=2, padding=1, use_bias=False),
        nn.BatchNorm(scale=False),  # which says fix_gamma
        nn.Activation("relu"),
        nn.Conv2D(8, (3, 1), groups=2),
        nn.BatchNorm(),
        nn.PReLU(),
        nn.MaxPool2D(ceil_mode=True),
        nn.GlobalAvgPool2D(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Dense(5),
    )
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def exported(mx, folder):
    """Return files that MXNet exported, and the network's answers to images."""
    net = block(mx)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 15, 22, 3)).astype(np.float32)
    x = mx.nd.array(images.transpose(0, 3, 1, 2))
    net(x)
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "beta", "mean", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
    net.export(str(folder / "mine"))
    answers = net(x).asnumpy()
    return folder / "mine-symbol.json", folder / "mine-0000.params", images, answers


def scores(graph, images):
    return open_executor(graph, "cpu").forward({"data": images})


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_an_exported_block_gives_the_same_scores(mx, tmp_path):
    symbol, params, images, answers = exported(mx, tmp_path)
    graph = read_mxnet(symbol, params, size=(15, 22))
    assert (graph.name, graph.input, graph.output_shape) == ("mine", InputSpec(15, 22, 3), (5,))
    assert list(graph.groups) == ["backbone", "head"]
    assert len(graph.groups["head"]) == 2
    assert [n.op for n in graph.nodes if n.name == graph.features] == ["Flatten"]
    np.testing.assert_allclose(scores(graph, images), answers, atol=1e-5)
    other = graph.with_head(9)
    assert other.output_shape == (9,)
    assert set(graph.weights) - set(other.weights) == set(graph.groups["head"])


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_a_fixed_scale_is_one_whatever_the_file_says(mx, tmp_path):
    symbol, params, images, answers = exported(mx, tmp_path)
    arrays = {**mx.nd.load(str(params))}
    (fixed, _) = [n for n in arrays if n.endswith("gamma") and "batchnorm" in n]
    arrays[fixed] = mx.nd.full(arrays[fixed].shape, 7)
    mx.nd.save(str(params), arrays)
    graph = read_mxnet(symbol, params, InputSpec(15, 22, 3))
    assert set(graph.weights[fixed.removeprefix("arg:")]) == {1}
    np.testing.assert_allclose(scores(graph, images), answers, atol=1e-5)


def module_symbol(mx):
    x = mx.sym.var("image")
    x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=4, name="conv")
    x = mx.sym.BatchNorm(x, name="bn")  # fix_gamma is MXNet's default
    x = mx.sym.Activation(x, act_type="relu", name="relu")
    x = mx.sym.FullyConnected(x, num_hidden=6, name="fc")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def checkpoint(mx, folder, symbol, shape=(2, 1, 9, 8)):
    """Save what Module's checkpoint has: the symbol, arguments and statistics with prefixes."""
    rng = np.random.default_rng(3)
    shapes, _, aux = symbol.infer_shape(image=shape)
    arrays = {
        f"arg:{n}": mx.nd.array(rng.uniform(0.2, 1, s))
        for n, s in zip(symbol.list_arguments(), shapes, strict=True)
        if n not in ("image", "softmax_label")
    }
    for name, side in zip(symbol.list_auxiliary_states(), aux, strict=True):
        arrays[f"aux:{name}"] = mx.nd.array(rng.uniform(0.5, 1.5, side))
    mx.nd.save(str(folder / "m-0007.params"), arrays)
    symbol.save(str(folder / "m-symbol.json"))
    return folder / "m-symbol.json", folder / "m-0007.params", arrays


def module_scores(mx, symbol, arrays, images):
    """Run the symbol with its softmax on MXNet's executor; return the logarithms."""
    given = {n.removeprefix("arg:"): a for n, a in arrays.items() if n.startswith("arg:")}
    given["image"] = mx.nd.array(images.transpose(0, 3, 1, 2))
    given["softmax_label"] = mx.nd.zeros(len(images))
    aux = {n.removeprefix("aux:"): a for n, a in arrays.items() if n.startswith("aux:")}
    executor = bound(mx, symbol, given, aux)
    return np.log(executor.forward(is_train=False)[0].asnumpy())


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def test_a_modules_checkpoint_with_softmax_output(mx, tmp_path):
    symbol = module_symbol(mx)
    json_file, params, arrays = checkpoint(mx, tmp_path, symbol)
    graph = read_mxnet(json_file, params, size=(9, 8), channels=1)
    assert (graph.head, graph.features, graph.output_shape) == ("fc", "relu", (6,))
    images = np.random.default_rng(0).uniform(-1, 1, (3, 9, 8, 1)).astype(np.float32)
    expected = module_scores(mx, symbol, arrays, images)
    np.testing.assert_allclose(log_softmax(scores(graph, images)), expected, atol=1e-4)


def old_json(text):
    """Write a symbol's JSON as MXNet 0.8 did: ``param``, and no variables for statistics."""
    body = json.loads(text)
    place, nodes = {}, []
    for index, node in enumerate(body["nodes"]):
        if node["name"].endswith(("moving_mean", "moving_var")):
            continue
        place[index] = len(nodes)
        inputs = [[place[i], o] for i, o, *_ in node["inputs"] if i in place]
        param = {k: v for k, v in node.get("attrs", {}).items() if not k.startswith("__")}
        entry = {"op": node["op"], "param": param, "name": node["name"], "inputs": inputs}
        nodes.append({**entry, "backward_source_id": -1})
    variables = [i for i, n in enumerate(nodes) if n["op"] == "null"]
    heads = [[place[i], o] for i, o, *_ in body["heads"]]
    return json.dumps({"nodes": nodes, "arg_nodes": variables, "heads": heads})


def test_json_of_before_statistics_were_variables(mx, tmp_path):
    symbol = module_symbol(mx)
    json_file, params, arrays = checkpoint(mx, tmp_path, symbol)
    json_file.write_text(old_json(symbol.tojson()))
    upgraded = mx.sym.load(str(json_file))  # MXNet reads the same old file
    assert upgraded.list_auxiliary_states() == ["bn_moving_mean", "bn_moving_var"]
    graph = read_mxnet(json_file, params, size=(9, 8), channels=1)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 9, 8, 1)).astype(np.float32)
    expected = module_scores(mx, upgraded, arrays, images)
    np.testing.assert_allclose(log_softmax(scores(graph, images)), expected, atol=1e-4)


def test_a_constant_in_the_symbol_is_a_parameter(mx, tmp_path):
    image, mean = mx.sym.var("image"), mx.sym.var("mean_image", shape=(1, 2, 1, 1))
    x = mx.sym.broadcast_sub(image, mean)
    x = mx.sym.FullyConnected(x, num_hidden=3, name="fc")
    symbol = mx.sym.SoftmaxOutput(x, name="softmax")
    json_file, params, arrays = checkpoint(mx, tmp_path, symbol, (2, 2, 4, 3))
    graph = read_mxnet(json_file, params, size=(4, 3), channels=2)
    assert graph.parameters["mean_image"].shape == (1, 2, 1, 1)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, 3, 2)).astype(np.float32)
    expected = module_scores(mx, symbol, arrays, images)
    np.testing.assert_allclose(log_softmax(scores(graph, images)), expected, atol=1e-5)


def test_of_several_outputs_the_first_is_kept(mx, tmp_path):
    x = mx.sym.var("image")
    first = mx.sym.FullyConnected(x, num_hidden=3, name="main")
    second = mx.sym.FullyConnected(x, num_hidden=4, name="helper")
    json_file, params, _ = checkpoint(mx, tmp_path, mx.sym.Group([first, second]), (2, 1, 3, 2))
    graph = read_mxnet(json_file, params, size=(3, 2), channels=1)
    assert list(graph.parameters) == ["main_weight", "main_bias"]


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_half_precision_weights_become_floats(mx, tmp_path):
    symbol, params, images, answers = exported(mx, tmp_path)
    arrays = {n: a.astype("float16") for n, a in mx.nd.load(str(params)).items()}
    mx.nd.save(str(params), arrays)
    graph = read_mxnet(symbol, params, size=(15, 22))
    assert {a.dtype for a in graph.weights.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(scores(graph, images), answers, atol=1e-2)


def test_arrays_that_do_not_fit_are_named(mx, tmp_path):
    symbol = module_symbol(mx)
    json_file, params, arrays = checkpoint(mx, tmp_path, symbol)

    def refused(changed, message, **options):
        mx.nd.save(str(params), changed)
        with pytest.raises(
            ModelFileError, match=f"m-0007.params does not fit .*m-symbol.*{message}"
        ):
            read_mxnet(json_file, params, **{"size": (9, 8), "channels": 1, **options})

    refused({n: a for n, a in arrays.items() if n != "aux:bn_moving_var"}, "'bn_moving_var'")
    refused({**arrays, "arg:other_weight": mx.nd.ones(2)}, "no parameter 'other_weight'")
    wrong = {**arrays, "arg:fc_weight": mx.nd.ones((6, 100))}
    refused(wrong, r"'fc_weight'.*\(6, 100\) in the file.*\(6, 168\)")
    refused(arrays, r"'conv_weight'.*\(4, 1, 3, 3\) in the file.*\(4, 3, 3, 3\)", channels=3)
    refused({**arrays, "arg:fc_bias": mx.nd.ones(6, dtype="int8")}, "'fc_bias' holds int8")


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_a_blocks_parameters_are_no_export(mx, tmp_path):
    json_file, params, _ = checkpoint(mx, tmp_path, module_symbol(mx))
    net = block(mx)
    net(mx.nd.zeros((1, 3, 15, 22)))
    net.save_parameters(str(params))
    with pytest.raises(ModelFileError, match=r"lacks.*It holds '0.weight'.*use export\(\)"):
        read_mxnet(json_file, params, size=(9, 8), channels=1)


def test_arguments_and_symbols_that_cannot_be_used_are_named(mx, tmp_path):
    json_file, params, _ = checkpoint(mx, tmp_path, module_symbol(mx))
    with pytest.raises(InputError, match="size=224"):
        read_mxnet(json_file, params)
    with pytest.raises(InputError, match="one number or"):
        read_mxnet(json_file, params, size=(1, 2, 3))
    with pytest.raises(InputError, match="too small"):
        read_mxnet(json_file, params, size=2, channels=1)
    with pytest.raises(ModelFileError, match="m-0007.params is not text"):
        read_mxnet(params, params, size=9)
    json_file.write_text("hello")
    with pytest.raises(ModelFileError, match="m-symbol.json: not a graph"):
        read_mxnet(json_file, params, size=9)


def test_damaged_symbols_are_read_or_refused(mx, tmp_path):
    json_file, params, _ = checkpoint(mx, tmp_path, module_symbol(mx))

    def read(path):
        with contextlib.suppress(InputError):  # where it is, say, a network of two inputs
            read_mxnet(path, params, size=(9, 8), channels=1)

    data = json_file.read_bytes()
    versions = damaged(data, flips=500, truncations=range(0, len(data), 20))
    assert refusals(read, json_file, versions) > 300


def test_reading_loads_no_framework(mx, tmp_path):
    json_file, params, _ = checkpoint(mx, tmp_path, module_symbol(mx))
    code = (
        "import sys; from diglot.weights.mxnet_params import read_mxnet; "
        f"read_mxnet({str(json_file)!r}, {str(params)!r}, size=(9, 8), channels=1); "
        "print(*sorted({'mxnet', 'torch', 'onnx', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
