"""Small files that claim much, and checkpoints of no fit: refused soon, in words."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
import tracemalloc

import numpy as np
import pytest

import mutations
from diglot import ImageClassifier, load, network, pretrained, storage
from diglot.errors import InputError, ModelFileError
from diglot.files import json_text, parse_json
from diglot.graph import Graph, InputSpec
from diglot.training import find_checkpoint
from diglot.weights.caffe import read_caffe
from diglot.weights.caffe.caffemodel import read_caffemodel
from diglot.weights.hub import HubFiles
from diglot.weights.mxnet_params import read_mxnet, read_params
from diglot.weights.onnx import read_onnx
from diglot.weights.safetensors_file import read_safetensors

IMAGES = np.random.default_rng(4).integers(0, 256, (8, 6, 6, 3), np.uint8)
LABELS = np.array(["ant", "bee"] * 4)


@pytest.fixture
def soon():
    """Refuse a test that takes more than the promised two seconds of one core."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 2


# ------------------------------------------------------------------ claims


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("side", [1, 2, 0])
def test_a_tensor_of_very_many_axes(tmp_path, side):
    header = {"w": {"dtype": "F32", "shape": [side] * 100_000, "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(ModelFileError, match="axes"):
        read_safetensors(tmp_path / "w.safetensors")


def symbol(op, attrs):
    """Write a network of one operator as MXNet's JSON."""
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": op, "name": "it", "attrs": attrs, "inputs": [[0, 0, 0]]},
    ]
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[1, 0, 0]]})


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("SliceChannel", {"num_outputs": str(2**31 - 1), "axis": "1"}),
        ("Reshape", {"shape": f"({', '.join(['1'] * 400_000)})"}),
        ("Reshape", {"shape": f"({', '.join(['-4, 1, -1'] * 130_000)})"}),
    ],
)
def test_an_operator_that_claims_outputs_or_axes_without_end(op, attrs):
    with pytest.raises(ModelFileError, match=f"it.*{op}"):
        Graph.from_json(symbol(op, attrs), InputSpec(6, 6, 3))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "[0, 1E400]"])
def test_numbers_beyond_a_float_s_range_are_no_json(tmp_path, number):
    with pytest.raises(ValueError, match="too large|is not JSON"):
        parse_json(number)
    text = f'{{"format": 1, "kind": "classifier", "epochs": {number}}}'
    data = mutations.safetensors_bytes({"w": np.ones(2, "f4")}, {"diglot": text})
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(ModelFileError):
        load(tmp_path / "m.safetensors")


@pytest.mark.usefixtures("soon")
def test_very_many_small_arrays_are_refused(tmp_path):
    """Each takes ten times its size as an object."""
    one = struct.pack("<Iiiqiii", 0xF993FAC9, 0, 1, 1, 1, 0, 0) + bytes(4)
    head = struct.pack("<QQQ", 0x112, 0, 200_000)
    (tmp_path / "w.params").write_bytes(head + one * 200_000 + bytes(8))
    with pytest.raises(ModelFileError, match="claims 200000 arrays"):
        read_params(tmp_path / "w.params")


def bfloats(kind, count):
    """Return a file of so many numbers of 16 bits in the format "bfloat"."""
    data = np.full(count, 0x3FC0, "<u2").tobytes()
    if kind == "params":
        head = struct.pack("<QQQIiiqiii", 0x112, 0, 1, 0xF993FAC9, 0, 1, count, 1, 0, 12)
        return head + data + struct.pack("<QQ5s", 1, 5, b"arg:w")
    header = {"w": {"dtype": "BF16", "shape": [count], "data_offsets": [0, 2 * count]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("kind", ["safetensors", "params"])
def test_numbers_of_16_bits_take_at_most_eight_bytes_each(tmp_path, kind):
    count, read = 2_000_000, {"safetensors": read_safetensors, "params": read_params}[kind]
    (tmp_path / f"w.{kind}").write_bytes(bfloats(kind, count))
    tracemalloc.start()
    try:
        found = read(tmp_path / f"w.{kind}")["w"]
        assert tracemalloc.get_traced_memory()[1] < 8 * count + 1e6
    finally:
        tracemalloc.stop()
    assert found.dtype == np.float32
    assert (found == 1.5).all()


# ------------------------------------------------------------------ text that wastes memory


def listed(part):
    return lambda count: "[" + ",".join([part] * count) + "]"


# Each makes a text of so many values; what takes the most memory differs.
CROWDED = {
    "tables": listed('{"a":0}'),
    "empty tables": listed("{}"),
    "empty lists": listed("[]"),
    "lists in lists": listed("[[[[0]]]]"),
    "strings": listed('"ab"'),
    "strings that end in an escape": listed(r'"a\\"'),
    "strings of other scripts": listed('"\u4e2d\u6587"'),
    "escaped characters": listed(r'"\ud83d\ude00"'),
    "whole numbers": listed("1000"),
    "numbers": listed("0.5"),
    "names in one table": lambda count: "{" + ",".join(f'"{i:x}":0' for i in range(count)) + "}",
    "names in many": lambda count: "[" + ",".join(f'{{"{i:x}":0}}' for i in range(count)) + "]",
    "names with an escape": lambda count: (
        "[" + ",".join(f'{{"{i:x}\\"a":0}}' for i in range(count)) + "]"
    ),
    "large tables": lambda count: listed(json.dumps({str(i): 0 for i in range(50)}))(count // 50),
    "one wide text": lambda count: '["' + "a" * 12 * count + '\U0001f600"]',
    "one text with an escape": lambda count: '["' + "a" * 12 * count + r'\ud83d\ude00"]',
}


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def soon_and_peak(function):
    """Refuse what takes more than the promised two seconds of one core; return its peak."""
    start = time.process_time()
    function()  # by itself: traced, it takes several times as long
    assert time.process_time() - start < 2
    return peak(function)


@pytest.mark.parametrize("text", CROWDED.values(), ids=CROWDED)
def test_what_text_takes_in_memory_is_never_more_than_counted(text):
    given = text(100_000)
    most = json_text._needed(given) + 2 * len(given) - sys.getsizeof(given) + 10_000
    assert peak(lambda: json.loads(given)) <= most
    assert peak(lambda: json.loads(given, object_pairs_hook=json_text._unique)) <= most


@pytest.mark.parametrize("count", [130_000, 990_000])
@pytest.mark.parametrize("text", CROWDED.values(), ids=CROWDED)
def test_text_takes_twice_its_size_and_20_mb_or_is_refused(tmp_path, text, count):
    """As a network, in a file's header, in its metadata: whatever is told must be told by then."""
    given = text(count)
    size, told = len(given.encode()), []

    def refused(read):
        with pytest.raises(ModelFileError) as caught:
            read()
        told.append(str(caught.value))

    assert peak(lambda: refused(lambda: Graph.from_json(given, InputSpec(6, 6, 3)))) < (
        2 * size + 20e6
    )
    header = f'{{"x":{given}}}'.encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert peak(lambda: refused(lambda: load(path))) < 2 * size + 20e6
    meta = f'{{"format":1,"kind":"none","x":{given}}}'
    path.write_bytes(mutations.safetensors_bytes({"w": np.ones(2, "f4")}, {"diglot": meta}))
    assert peak(lambda: refused(lambda: load(path))) < 2 * path.stat().st_size + 20e6
    if count == 990_000:
        assert all("MB" in error or "values" in error for error in told)


def test_what_large_networks_and_vocabularies_have_is_read(tmp_path):
    """The deepest published network, 100,000 words, 10,000 tensors, 300,000 classes."""
    deep = network("resnet20", classes=10, depth=200)  # 1,202 layers
    assert len(Graph.from_json(deep.to_json(), deep.input).nodes) == len(deep.nodes) > 10_000
    classes = {"graph": deep.to_dict(), "classes": [f"identity {i}" for i in range(300_000)]}
    words = {"words": [f"w{i}\u00df\u4e2d" for i in range(100_000)]}
    head = {"w": np.ones((300_000, 64), "f4")}
    several = {
        f"blocks.{i % 96}.attention.projection_{i}.weight": head["w"][0] for i in range(10_000)
    }
    for tensors, meta in ((head, classes), ({}, words), (several, {})):
        path = storage.write_file(tmp_path / "m.safetensors", tensors, meta)
        found, told = storage.read_file(path)
        assert found.keys() == tensors.keys()
        assert json.dumps(told) == json.dumps({**meta, "format": storage.FORMAT}, sort_keys=True)


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(InputError, match="metadata is more than a model file can hold.*20 MB"):
        storage.write_file(
            tmp_path / "m.safetensors", {}, {"x": [{"a": i} for i in range(200_000)]}
        )
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="at most 12000 are possible"):
        network("resnet20", classes=10, depth=300)


@pytest.mark.parametrize(
    "text",
    ["x" * 4_000_000 + '"', "x" * 4_000_000, r"\\n" * 2_000_000 + '"', (r"\\n" + "x" * 4000) * 999],
    ids=["long", "without end", "escapes", "escapes without end"],
)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_long_text_in_a_prototxt(tmp_path, text, quote):
    told = f'name: "{text}'.replace('"', quote)
    (tmp_path / "m.prototxt").write_text(told)

    def read():
        with pytest.raises(ModelFileError, match="m.prototxt.* is no word of it"):
            read_caffe(tmp_path / "m.prototxt")

    assert soon_and_peak(read) < 2 * len(told) + 20e6


def word(number, text):
    return (number, 2, text.encode())


def node_of(*fields):
    """Return ONNX's message of one operator, with more in it."""
    return (1, 2, [word(1, "x"), word(2, "y"), word(4, "Relu"), *fields])


LISTED = (8, 2, b"\x81\x07" * 4096)  # 4,096 numbers
BLOB = (7, 2, [(7, 2, [(1, 0, 1)]), (5, 5, b"1234")])
WIDE = "a" * 10_000_000 + "\U0001f600"
# Graphs of ONNX, and layers of Caffe.
MESSAGES = {
    "inputs": lambda: [node_of(*(word(1, f"{i:x}") for i in range(900_000)))],
    "attributes": lambda: [node_of(*((5, 2, [word(1, f"{i:x}")]) for i in range(450_000)))],
    "words": lambda: [node_of((5, 2, [word(1, "a"), *[word(9, "aa")] * 900_000]))],
    "numbers": lambda: [node_of((5, 2, [word(1, "a"), *[LISTED] * 200]))],
    "constants": lambda: [
        node_of(),
        *(
            (5, 2, [word(8, f"{i:x}"), (2, 0, 1), (1, 0, 1), (9, 2, b"1234")])
            for i in range(49_000)
        ),
    ],
    "a wide name": lambda: [node_of(word(2, WIDE))],
    "a wide attribute": lambda: [node_of((5, 2, [word(1, "a"), word(4, WIDE)]))],
    "arrays": lambda: [(100, 2, [word(1, f"{i:x}"), *[BLOB] * 60]) for i in range(3000)],
    "pieces": lambda: [
        (100, 2, [word(1, "a"), (7, 2, [(7, 2, [(1, 0, 65_000)]), *[(5, 5, b"1234")] * 65_000])])
    ],
}


@pytest.mark.parametrize("name", MESSAGES)
def test_protocol_buffers_of_very_many_small_parts(tmp_path, name):
    tree, read = MESSAGES[name](), read_caffemodel
    if name not in ("arrays", "pieces"):
        graph = [*tree, (11, 2, [word(1, "x")]), (12, 2, [word(1, "y")])]
        tree, read = [(8, 2, [word(1, ""), (2, 0, 13)]), (7, 2, graph)], read_onnx
    data = mutations.written(tree)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    def refused():
        with pytest.raises(ModelFileError, match="m.onnx"):
            read(path)

    start = time.process_time()
    refused()
    assert time.process_time() - start < 2
    assert peak(refused) < 2 * len(data) + 20e6


def chain(count):
    """Write a network of so many layers as MXNet's JSON."""
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    nodes += [{"op": "Flatten", "name": f"f{i}", "inputs": [[i, 0, 0]]} for i in range(count)]
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[count, 0, 0]]})


@pytest.mark.parametrize(
    ("count", "told"), [(99_000, "may take 20 MB"), (12_000, "at most 12000"), (11_999, None)]
)
def test_networks_of_very_many_layers(count, told):
    text = chain(count)

    def read():
        if told is None:
            assert len(Graph.from_json(text, InputSpec(6, 6, 3)).nodes) == count + 1
            return
        with pytest.raises(ModelFileError, match=told):
            Graph.from_json(text, InputSpec(6, 6, 3))

    assert soon_and_peak(read) < 2 * len(text) + 20e6


def test_layers_within_loops_count_too():
    body = json.loads(chain(4000))
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    nodes += [
        {"op": "_foreach", "name": f"l{i}", "inputs": [[0, 0, 0]], "subgraphs": [body]}
        for i in range(3)
    ]
    with pytest.raises(ModelFileError, match="12007 nodes; at most 12000"):
        Graph.from_json(json.dumps({"nodes": nodes, "heads": [[3, 0, 0]]}), InputSpec(6, 6, 3))


def test_layers_of_very_many_pieces():
    """Of an image of 2,080 rows, cut into pieces that all differ, each with 32 axes."""
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    shape = str((0, 0, 0, 0) + (1,) * 28)
    nodes += [{"op": "Reshape", "name": "r", "attrs": {"shape": shape}, "inputs": [[0, 0, 0]]}]
    starts = str(tuple(i * (i + 1) // 2 for i in range(64)))
    attrs = {"indices": starts, "axis": "2"}
    nodes += [
        {"op": "_split_v2", "name": f"s{i}", "attrs": attrs, "inputs": [[1, 0, 0]]}
        for i in range(2000)
    ]
    text = json.dumps({"nodes": nodes, "heads": [[2001, 0, 0]]})

    def read():
        with pytest.raises(ModelFileError, match="more than 20000 outputs"):
            Graph.from_json(text, InputSpec(2080, 6, 3))

    assert soon_and_peak(read) < 2 * len(text) + 20e6


# ------------------------------------------------------------------ other files than those given


def test_pipes_are_not_waited_for(tmp_path):
    """Whatever a file is called, and whichever of a reader's files it is."""
    for name in (
        "a.json",
        "a-symbol.json",
        "a.safetensors.index.json",
        "config.json",
        "a.prototxt",
    ):
        os.mkfifo(tmp_path / name)
    for name in ("a-0000.params", "a.caffemodel", "a.onnx", "checkpoint.safetensors"):
        os.mkfifo(tmp_path / name)
    place = str(tmp_path)
    reads = [
        lambda: load(f"{place}/a.json"),
        lambda: read_safetensors(f"{place}/a.safetensors.index.json"),
        lambda: read_mxnet(f"{place}/a-symbol.json", f"{place}/a-0000.params", size=6),
        lambda: read_params(f"{place}/a-0000.params"),
        lambda: read_caffe(f"{place}/a.prototxt"),
        lambda: read_onnx(f"{place}/a.onnx"),
        lambda: HubFiles("a/b", "0" * 40, tmp_path / "a", tmp_path / "config.json").card(),
        lambda: pretrained(weights=f"{place}/a.safetensors.index.json"),
        lambda: pretrained(f"{place}/a.onnx"),
        lambda: pretrained(f"{place}/a.json", weights=f"{place}/a-0000.params"),
        lambda: ImageClassifier(f"{place}/a-symbol.json", epochs=1).fit(IMAGES, LABELS),
    ]
    for read in reads:
        with pytest.raises((ModelFileError, InputError)):
            read()
    # A pipe is no checkpoint: the fit starts anew, as where there is none.
    assert find_checkpoint(tmp_path) is None


@pytest.mark.parametrize("given", ["/etc/passwd", "other-symbol.json", "../net-symbol.json"])
def test_a_model_file_does_not_choose_what_is_opened(tmp_path, given):
    """What its setting `network` names is not read, not even when the model is fitted again."""
    net = network("mlp", classes=2, size=6, channels=3)
    settings = {"epochs": 1, "seed": 1, "verbose": False}
    path = ImageClassifier(net, **settings).fit(IMAGES, LABELS).save(tmp_path / "m.safetensors")
    tensors, meta = storage.read_file(path)
    assert meta["network"] is None
    storage.write_file(path, tensors, {**meta, "network": given})
    model = load(path)
    assert isinstance(model.network, Graph)
    model.fit(IMAGES, LABELS)


# ------------------------------------------------------------------ checkpoints


def fitted(folder, **other):
    net = network("mlp", classes=2, size=6, channels=3, hidden=(4,))
    settings = {"epochs": 3, "seed": 1, "verbose": False, "batch_size": 4, "checkpoint_every": 1}
    return ImageClassifier(net, checkpoint=folder, **settings, **other).fit(IMAGES, LABELS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return the tensors and the rest of a checkpoint in the middle of a fit."""
    folder, kept = tmp_path_factory.mktemp("fit"), []

    def keep(record):
        kept.append(storage.read_file(folder / "checkpoint.safetensors"))

    fitted(folder, callbacks=keep)
    tensors, meta = kept[2]
    assert meta["epoch"] in (2, 3)
    return tensors, meta


def resumed(tmp_path, tensors, text):
    data = mutations.safetensors_bytes(dict(sorted(tensors.items())), {"diglot": text})
    (tmp_path / "checkpoint.safetensors").write_bytes(data)
    return fitted(tmp_path, resume=True)


def test_a_checkpoint_as_it_was_is_resumed(checkpoint, tmp_path):
    tensors, meta = checkpoint
    (tmp_path / "whole").mkdir()
    whole = fitted(tmp_path / "whole")
    assert resumed(tmp_path, tensors, json.dumps(meta)).fingerprint() == whole.fingerprint()


def test_a_checkpoint_of_float16_is_resumed_with_other_floats(checkpoint, tmp_path):
    tensors, meta = checkpoint
    (tmp_path / "whole").mkdir()
    scaled = {**tensors, SCALE: np.array([2.0**14, 3.0])}
    whole = fitted(tmp_path / "whole")
    assert resumed(tmp_path, scaled, json.dumps(meta)).fingerprint() == whole.fingerprint()


NAMES = ("phase", "epoch", "step", "best_epoch", "waited")
ODD = ("1e999", "-5", "1" + "0" * 30, "7", "0.5", "null", '"1"', "[]", "NaN", "-1e999")


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in NAMES for odd in ODD]
    + [("seconds", odd) for odd in ODD if odd not in ("7", "0.5", "1" + "0" * 30, '"1"')],
)
def test_a_checkpoint_that_stands_nowhere(checkpoint, tmp_path, name, odd):
    tensors, meta = checkpoint
    text = json.dumps({**meta, name: "@"}).replace('"@"', odd)
    with pytest.raises(ModelFileError, match="checkpoint"):
        resumed(tmp_path, tensors, text)


def without(name):
    return lambda tensors: tensors.pop(name)


def instead(name, change):
    return lambda tensors: tensors.update({name: change(tensors[name])})


WEIGHT, BEST = "weight/dense1_weight", "best/dense1_weight"
MOMENTUM, SCALE = "optimiser/momentum/dense1_weight", "optimiser/loss_scale"
CHANGES = {
    "weight of another shape": instead(WEIGHT, lambda a: a.T.copy()),
    "weight that is flat": instead(WEIGHT, np.ravel),
    "weight of other numbers": instead(WEIGHT, lambda a: a.astype("f8")),
    "weight missing": without(WEIGHT),
    "weight of no layer": lambda tensors: tensors.update({"weight/other": np.ones(2, "f4")}),
    "best with NaN": instead(BEST, lambda a: np.full_like(a, np.nan)),
    "best with infinity": instead(BEST, lambda a: np.full_like(a, np.inf)),
    "best of another shape": instead(BEST, lambda a: a[:, :-1].copy()),
    "best missing": without(BEST),
    "no best": lambda tensors: [tensors.pop(n) for n in [*tensors] if n.startswith("best/")],
    "momentum of another shape": instead(MOMENTUM, lambda a: a[:-1].copy()),
    "momentum of small numbers": instead(MOMENTUM, lambda a: a.astype("i1")),
    "momentum missing": without(MOMENTUM),
    "momentum of no layer": lambda tensors: tensors.update(
        {"optimiser/momentum/other": np.ones(2, "f4")}
    ),
    "no steps": without("optimiser/steps"),
    "steps without one": instead("optimiser/steps", lambda a: a[:0]),
    "steps below none": instead("optimiser/steps", lambda a: -a - 5),
    "scale of nothing": lambda tensors: tensors.update({SCALE: np.array([np.nan, 0.0])}),
    "scale below none": lambda tensors: tensors.update({SCALE: np.array([-2.0, 0.0])}),
    "scale for steps below none": lambda tensors: tensors.update({SCALE: np.array([2.0, -1.0])}),
    "scale alone": lambda tensors: tensors.update({SCALE: np.array([2.0])}),
    "scale of small numbers": lambda tensors: tensors.update({SCALE: np.ones(2, "f4")}),
    "no totals": without("totals"),
    "totals of other numbers": instead("totals", lambda a: np.ones(7)),
    "no history": without("history"),
    "history cut": instead("history", lambda a: a[:, 1:].copy()),
    "history short": instead("history", lambda a: a[:0]),
    "memory of nobody": lambda tensors: tensors.update({"memory/chains": np.ones(2, "f4")}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_with_other_arrays(checkpoint, tmp_path, change):
    tensors, meta = dict(checkpoint[0]), checkpoint[1]
    change(tensors)
    with pytest.raises(ModelFileError, match="checkpoint"):
        resumed(tmp_path, tensors, json.dumps(meta))
