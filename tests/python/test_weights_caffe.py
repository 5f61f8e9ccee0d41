"""Caffe's networks against OpenCV's answers, published figures, and Caffe's formulas in NumPy."""

import contextlib
import importlib.util
import math
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from diglot.engine import open_executor
from diglot.errors import InputError, ModelFileError
from diglot.weights.caffe import IMAGENET_MEAN, caffe_network, read_caffe, read_caffemodel
from diglot.weights.caffe.prototxt import parse_text
from fuzz import damaged, refusals

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

FIXTURES = Path(__file__).parents[1] / "fixtures"
CAFFE = FIXTURES / "caffe"
NETS = ["alexnet", "vgg_v1", "googlenet", "resnet", "lenet", "oddities"]


def script():
    """Return the fixtures' script, for its writer of caffemodels."""
    spec = importlib.util.spec_from_file_location("make_caffe", FIXTURES / "make_caffe.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importlib.sys.modules, "make_caffe", module)  # its dataclass looks there
        spec.loader.exec_module(module)
    return module


make = script()


def files(name):
    return CAFFE / f"{name}.prototxt", CAFFE / f"{name}.caffemodel"


def recorded(name):
    with np.load(CAFFE / f"{name}.npz", allow_pickle=False) as data:
        return data["images"].astype(np.float32), data["logits"]


def prepared(graph, images):
    """Bring pixels (red first, 0 to 255) to the network as its input's description says."""
    mean, std = (np.array(v, np.float32) for v in (graph.input.mean, graph.input.std))
    return ((images / 255 - mean) / std).astype(np.float32)


def scores(graph, images):
    weights = graph.weights or {}
    executor = open_executor(graph.with_weights(weights), "cpu")
    return executor.forward({"data": prepared(graph, images)})


def written(folder, text, layers=None, version=2, name="net"):
    """Write a prototxt, and a caffemodel with the arrays of ``layers``: (name, kind, arrays)."""
    prototxt = folder / f"{name}.prototxt"
    prototxt.write_text(text)
    if layers is None:
        return (prototxt,)
    model = folder / f"{name}.caffemodel"
    entries = [make.Layer(n, kind, [], [], "", list(blobs)) for n, kind, blobs in layers]
    model.write_bytes(make.as_bytes("net", entries, version))
    return prototxt, model


def deploy(*layers, dims=(1, 3, 6, 7)):
    head = 'input: "data"\n' + " ".join(f"input_dim: {d}" for d in dims)
    return "\n".join([head, *layers])


def layer(name, kind, bottom, settings="", top=None):
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" '
        f"{settings} }}"
    )


def dense(bottom, units=4, name="fc"):
    return layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {units} }}")


# ---- parity


@pytest.mark.parametrize("name", NETS)
def test_networks_give_the_scores_that_opencv_gives(name):
    images, expected = recorded(name)
    graph, skipped = caffe_network(*files(name))
    assert skipped == []
    assert graph.weights.keys() == graph.parameters.keys()
    assert graph.input.height != graph.input.width
    np.testing.assert_allclose(scores(graph, images[..., ::-1]), expected, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_the_head_is_found_and_replaceable(name):
    graph = read_caffe(*files(name))
    assert list(graph.groups) == ["backbone", "head"]
    assert graph.groups["head"] == [f"{graph.head}_weight", f"{graph.head}_bias"]
    other = graph.with_head(3)
    assert set(graph.weights) - set(other.weights) == set(graph.groups["head"])
    features = graph.nodes[graph.index_of(graph.features)]
    assert features.op != "Dropout"
    assert (
        math.prod(graph.shape_of(graph.features))
        == graph.parameters[f"{graph.head}_weight"].shape[1]
    )
    assert {"alexnet": "relu6", "googlenet": "pool5", "resnet": "pool5"}.get(
        name, graph.features
    ) == graph.features


def test_the_structure_alone_has_the_same_parameters():
    for name in NETS:
        bare = read_caffe(files(name)[0])
        assert bare.weights is None
        assert bare.parameters == read_caffe(*files(name)).parameters


def test_versions_1_and_2_can_be_mixed(tmp_path):
    images, expected = recorded("vgg_v1")
    old, model = files("vgg_v1")
    text = old.read_text().replace("layers {", "layer {")
    words = {
        "CONVOLUTION": "Convolution",
        "RELU": "ReLU",
        "POOLING": "Pooling",
        "INNER_PRODUCT": "InnerProduct",
        "DROPOUT": "Dropout",
        "SOFTMAX": "Softmax",
    }
    new = tmp_path / "new.prototxt"
    new.write_text(re.sub(r"type: (\w+)", lambda m: f'type: "{words[m[1]]}"', text))
    graph = read_caffe(new, model)
    np.testing.assert_allclose(scores(graph, images[..., ::-1]), expected, atol=1e-4)
    numbered = tmp_path / "numbered.prototxt"  # an enum may be given by its number
    numbered.write_text(old.read_text().replace("CONVOLUTION", "4").replace("pool: MAX", "pool: 0"))
    graph = read_caffe(numbered, model)
    np.testing.assert_allclose(scores(graph, images[..., ::-1]), expected, atol=1e-4)


# ---- BVLC's GoogLeNet

# Szegedy et al. (2015), Going deeper with convolutions, table 1.
GOOGLENET = {
    "conv1/7x7_s2": (64, 112, 112),
    "pool1/3x3_s2": (64, 56, 56),
    "conv2/3x3": (192, 56, 56),
    "pool2/3x3_s2": (192, 28, 28),
    "inception_3a/output": (256, 28, 28),
    "inception_3b/output": (480, 28, 28),
    "pool3/3x3_s2": (480, 14, 14),
    "inception_4a/output": (512, 14, 14),
    "inception_4b/output": (512, 14, 14),
    "inception_4c/output": (512, 14, 14),
    "inception_4d/output": (528, 14, 14),
    "inception_4e/output": (832, 14, 14),
    "pool4/3x3_s2": (832, 7, 7),
    "inception_5a/output": (832, 7, 7),
    "inception_5b/output": (1024, 7, 7),
    "pool5/7x7_s1": (1024, 1, 1),
    "loss3/classifier": (1000,),
}


def test_bvlc_googlenet_is_as_published():
    graph = read_caffe(CAFFE / "bvlc_googlenet.prototxt")
    assert graph.name == "GoogleNet"
    assert {name: graph.shape_of(name) for name in GOOGLENET} == GOOGLENET
    assert graph.parameter_count == 6_998_552
    assert graph.multiply_adds == pytest.approx(1.58e9, rel=0.005)
    assert (graph.head, graph.features) == ("loss3/classifier", "pool5/7x7_s1")
    convolutions = [n for n in graph.nodes if n.op == "Convolution"]
    assert len(convolutions) == 57  # 3, and 6 in each of 9 blocks
    assert graph.input.shape == (3, 224, 224)
    np.testing.assert_allclose(np.array(graph.input.mean[::-1]) * 255, IMAGENET_MEAN)
    np.testing.assert_allclose(graph.input.std, 1 / 255)


# ---- formulas


def caffes_pooling(x, kind, kernel, stride, pad, floor):
    """Follow pooling_layer.cpp of Caffe 1.0, number by number; x is (n, c, h, w)."""
    sides = x.shape[2:]
    rounded = math.floor if floor else math.ceil
    counts = [
        rounded((s + 2 * p - k) / t) + 1
        for s, k, t, p in zip(sides, kernel, stride, pad, strict=True)
    ]
    if any(pad):
        counts = [
            c - 1 if (c - 1) * t >= s + p else c
            for c, s, t, p in zip(counts, sides, stride, pad, strict=True)
        ]
    out = np.zeros((*x.shape[:2], *counts), np.float32)
    for i in range(counts[0]):
        for j in range(counts[1]):
            starts = [i * stride[0] - pad[0], j * stride[1] - pad[1]]
            ends = [
                min(s + k, n + p) for s, k, n, p in zip(starts, kernel, sides, pad, strict=True)
            ]
            area = (ends[0] - starts[0]) * (ends[1] - starts[1])
            rows, columns = (slice(max(s, 0), e) for s, e in zip(starts, ends, strict=True))
            window = x[:, :, rows, columns]
            out[:, :, i, j] = window.max((2, 3)) if kind == "MAX" else window.sum((2, 3)) / area
    return out


POOLS = [
    # kernel, stride, pad, image
    ((3, 3), (2, 2), (0, 0), (7, 8)),
    ((3, 3), (2, 2), (0, 0), (6, 9)),
    ((3, 3), (2, 2), (1, 1), (7, 8)),
    ((3, 3), (1, 1), (1, 1), (5, 6)),
    ((2, 2), (2, 2), (1, 1), (5, 8)),  # the last row's window lies in the padding
    ((2, 2), (2, 2), (1, 1), (7, 9)),  # and the last column's
    ((2, 3), (3, 2), (1, 0), (8, 7)),
    ((3, 2), (1, 3), (2, 1), (6, 8)),
    ((5, 4), (3, 3), (2, 3), (9, 11)),
]


@pytest.mark.parametrize("floor", [False, True])
@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize("geometry", POOLS, ids=str)
def test_pooling_follows_caffe(tmp_path, kind, geometry, floor):
    kernel, stride, pad, sides = geometry
    settings = f"pooling_param {{ pool: {kind} " + "".join(
        f"{key}_h: {value[0]} {key}_w: {value[1]} "
        for key, value in (("kernel", kernel), ("stride", stride), ("pad", pad))
    )
    settings += "round_mode: FLOOR }" if floor else "}"
    text = deploy(layer("pool", "Pooling", "data", settings), dense("pool"), dims=(1, 2, *sides))
    graph = read_caffe(*written(tmp_path, text), mean=0, scale=1)
    images = np.random.default_rng(0).normal(size=(2, *sides, 2)).astype(np.float32)
    expected = caffes_pooling(images.transpose(0, 3, 1, 2), kind, kernel, stride, pad, floor)
    pooled = scores(graph.up_to(graph.features), images)
    assert graph.shape_of(graph.features) == expected.shape[1:]
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_windows_beyond_the_image_are_refused(tmp_path):
    pool = layer("pool", "Pooling", "data", "pooling_param { kernel_size: 1 stride: 4 }")
    with pytest.raises(ModelFileError, match="layer 'pool' .Pooling.: its last window lies beyond"):
        read_caffe(*written(tmp_path, deploy(pool, dense("pool"))))


def test_local_response_normalisation_follows_its_formula(tmp_path):
    """Krizhevsky et al. (2012), section 3.3, with alpha divided by the size as Caffe does."""
    settings = "lrn_param { local_size: 3 alpha: 0.6 beta: 0.7 k: 2.5 }"
    text = deploy(layer("lrn", "LRN", "data", settings), dense("lrn"), dims=(1, 5, 3, 4))
    graph = read_caffe(*written(tmp_path, text))
    images = np.random.default_rng(0).normal(0, 2, (2, 3, 4, 5)).astype(np.float32)
    squares = np.pad(images**2, [(0, 0)] * 3 + [(1, 1)])
    total = sum(squares[..., i : i + 5] for i in range(3))
    expected = (images / (2.5 + 0.6 / 3 * total) ** 0.7).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(scores(graph.up_to("lrn"), images), expected, atol=1e-5)


def test_batch_normalisation_divides_by_the_stored_factor(tmp_path):
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=3), rng.uniform(0.5, 2, 3)
    fc = rng.normal(size=(2, 3 * 4 * 5)), rng.normal(size=2)
    text = deploy(
        layer("bn", "BatchNorm", "data", "batch_norm_param { eps: 0.01 }"),
        dense("bn", 2),
        dims=(1, 3, 4, 5),
    )
    images = rng.uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    for factor in (4.0, 0.0):  # Caffe takes statistics without a weight for zeros
        layers = [
            ("bn", "BatchNorm", [mean * factor, variance * factor, np.array([factor])]),
            ("fc", "InnerProduct", fc),
        ]
        graph = read_caffe(*written(tmp_path, text, layers), bgr=False, mean=0, scale=0.01)
        m, v = (mean, variance) if factor else (0, 0)
        normed = ((images * 0.01 - m) / np.sqrt(v + 0.01)).transpose(0, 3, 1, 2)
        expected = normed.reshape(2, -1) @ fc[0].T + fc[1]
        np.testing.assert_allclose(scores(graph, images), expected, rtol=1e-4, atol=1e-4)


def test_rarer_forms_of_weights(tmp_path):
    """One slope for all channels, a transposed inner product, a first convolution in groups."""
    rng = np.random.default_rng(0)
    conv, slope, fc = rng.normal(size=(6, 1, 1, 1)), np.array(0.3), rng.normal(size=(6 * 4 * 5, 2))
    convolution = "convolution_param { num_output: 6 group: 3 kernel_size: 1 bias_term: false }"
    product = "inner_product_param { num_output: 2 transpose: true bias_term: false }"
    text = deploy(
        layer("conv", "Convolution", "data", convolution),
        layer("prelu", "PReLU", "conv", "prelu_param { channel_shared: true }"),
        layer("fc", "InnerProduct", "prelu", product),
        dims=(1, 3, 4, 5),
    )
    layers = [
        ("conv", "Convolution", [conv]),
        ("prelu", "PReLU", [slope]),
        ("fc", "InnerProduct", [fc]),
    ]
    graph = read_caffe(*written(tmp_path, text, layers), mean=0, scale=0.01)
    images = rng.uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    x = np.repeat(images[..., ::-1] * 0.01, 2, axis=3) * conv.ravel()
    x = np.where(x > 0, x, 0.3 * x).transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_allclose(scores(graph, images), x @ fc, rtol=1e-4, atol=1e-4)


def test_elementwise_and_reshape(tmp_path):
    text = deploy(
        layer("tripled", "Eltwise", 'data" bottom: "data', "eltwise_param { coeff: 2 coeff: 1 }"),
        layer("rows", "Reshape", "tripled", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }"),
        layer("flat", "Flatten", "rows"),
        dense("flat"),
        dims=(1, 2, 3, 4),
    )
    graph = read_caffe(*written(tmp_path, text))
    assert graph.shape_of("rows") == (8, 3)
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 2)).astype(np.float32)
    expected = 3 * images.transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_allclose(scores(graph.up_to("flat"), images), expected, rtol=1e-5)


def test_a_convolution_as_head_ends_in_a_vector(tmp_path):
    text = deploy(
        layer("drop", "Dropout", "data"),
        layer("conv10", "Convolution", "drop", "convolution_param {num_output: 9 kernel_size: 1}"),
        layer("pool10", "Pooling", "conv10", "pooling_param { pool: AVE global_pooling: true }"),
        layer("prob", "Softmax", "pool10"),
    )
    graph = read_caffe(*written(tmp_path, text))
    assert (graph.head, graph.output_shape) == ("conv10", (9,))
    assert graph.with_head(4).output_shape == (4,)


# ---- the input


def test_the_order_of_colours_and_the_scale_are_the_callers_to_say():
    images, expected = recorded("googlenet")
    given = read_caffe(*files("googlenet"), mean=IMAGENET_MEAN, scale=1, bgr=True)
    np.testing.assert_allclose(scores(given, images[..., ::-1]), expected, atol=1e-4)
    same = read_caffe(*files("googlenet"), mean=IMAGENET_MEAN, bgr=False)
    np.testing.assert_allclose(scores(same, images), expected, atol=1e-4)
    np.testing.assert_allclose(same.input.mean, np.array(IMAGENET_MEAN) / 255)
    scaled = read_caffe(*files("googlenet"), mean=5, scale=0.5)
    assert scaled.input.mean == (5 / 255,) * 3
    assert scaled.input.std == (1 / 127.5,) * 3
    assert read_caffe(*files("lenet")).input.mean == (0,)


TRAIN_VAL = """
name: "Two phases"   # as Caffe's examples have them
layer {
  name: "cifar" type: "Data" top: "data" top: "label"
  include { phase: TRAIN }
  transform_param { crop_size: 12 mirror: true mean_value: 1 mean_value: 2 mean_value: 3 }
  data_param { source: "train_lmdb" batch_size: 256 backend: LMDB }
}
layer {
  name: "cifar" type: "Data" top: "data" top: "label"
  include: { phase: TEST }
  transform_param { crop_size: 9 scale: 0.5 mean_value: 10 mean_value: 20 mean_value: 30 }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 4 pad: 1 kernel_size: 3 stride: 2
                            weight_filler { type: 'gaussian' std: 1e-2 } engine: CAFFE } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "helper/fc" type: "InnerProduct" bottom: "conv" top: "helper/fc"
        inner_product_param { num_output: 5 } }
layer { name: "helper/loss" type: "SoftmaxWithLoss" bottom: "helper/fc" bottom: "label"
        top: "helper/loss" loss_weight: 0.3 }
layer { name: "train_only" type: "Python" bottom: "conv" top: "conv" include { phase: TRAIN } }
layer { name: "staged" type: "Python" bottom: "conv" top: "conv" include { stage: "deploy" } }
layer { name: "not_in_test" type: "Python" bottom: "conv" top: "conv" exclude { phase: TEST } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" exclude { phase: TRAIN } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def test_a_prototxt_for_training_is_read_in_its_test_phase(tmp_path):
    rng = np.random.default_rng(0)
    conv = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)
    helper, fc = [(rng.normal(size=(5, 4 * 5 * 5)), rng.normal(size=5)) for _ in range(2)]
    layers = [
        ("conv", "Convolution", conv),
        ("helper/fc", "InnerProduct", helper),
        ("fc", "InnerProduct", fc),
        ("elsewhere", "Python", [np.ones(2), np.ones(3)]),
    ]
    graph, skipped = caffe_network(*written(tmp_path, TRAIN_VAL, layers))
    assert (graph.name, graph.output_shape) == ("Two phases", (5,))
    assert [n.name for n in graph.nodes if not n.is_variable] == ["conv", "relu", "drop", "fc"]
    assert graph.features == "relu"
    assert skipped == ["helper/fc.weight", "helper/fc.bias", "elsewhere.0", "elsewhere.1"]
    assert graph.input.shape == (3, 9, 9)
    np.testing.assert_allclose(graph.input.mean, np.array([30, 20, 10]) / 255)
    np.testing.assert_allclose(graph.input.std, 1 / (255 * 0.5))
    np.testing.assert_array_equal(graph.weights["fc_weight"], fc[0].astype(np.float32))
    np.testing.assert_array_equal(graph.weights["conv_weight"], conv[0][:, ::-1].astype(np.float32))


MNIST = """layers { name: "mnist" type: DATA top: "data" top: "label"
  data_param { source: "mnist" scale: 0.00390625 %s } include: { phase: TRAIN } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
  inner_product_param { num_output: 10 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }"""


def test_data_of_the_oldest_form_and_sizes_from_the_caller(tmp_path):
    (file,) = written(tmp_path, MNIST % "")
    with pytest.raises(ModelFileError, match=r"net\.prototxt: it does not say how large.*size=227"):
        read_caffe(file)
    graph = read_caffe(file, size=(28, 20), channels=1)
    assert graph.input.shape == (1, 28, 20)
    np.testing.assert_allclose(graph.input.std, 256 / 255)
    (file,) = written(tmp_path, MNIST % "crop_size: 26")
    assert read_caffe(file).input.shape == (3, 26, 26)
    assert read_caffe(file).input.mean == (0, 0, 0)  # the prototxt says how, and has no mean
    (file,) = written(tmp_path, MNIST % 'crop_size: 26 mean_file: "mean.binaryproto"')
    np.testing.assert_allclose(np.array(read_caffe(file).input.mean[::-1]) * 255, IMAGENET_MEAN)


def test_arguments_that_do_not_fit_are_named():
    prototxt, model = files("googlenet")
    for options, message in [
        ({"mean": (1, 2)}, "mean must be one number or 3, not 2"),
        ({"mean": math.nan}, "finite"),
        ({"scale": 0}, "scale must be a positive number"),
        ({"scale": math.nan}, "scale must be a positive number"),
        ({"size": (1, 2, 3)}, "size must be one number or"),
        ({"size": 5}, "too small"),
        ({"size": "large"}, "height must be a whole number"),
        ({"channels": 0}, "channels must be a whole number"),
    ]:
        with pytest.raises(InputError, match=message):
            read_caffe(prototxt, model, **options)


# ---- the files


def test_a_caffemodel_alone_is_arrays_by_name():
    arrays = read_caffemodel(files("resnet")[1])
    (n, *_) = make.resnet()
    stored = {layer.name: layer.blobs for layer in n.layers if layer.blobs}
    stored["conv1"][0] /= 64  # as the script does before it writes
    assert len(arrays) == sum(map(len, stored.values()))
    for name, ending in [
        ("conv1", ["weight"]),
        ("bn_conv1", ["0", "1", "2"]),
        ("scale_conv1", ["weight", "bias"]),
        ("fc1000", ["weight", "bias"]),
    ]:
        for blob, end in zip(stored[name], ending, strict=True):
            np.testing.assert_array_equal(arrays[f"{name}.{end}"], blob)


def test_version_1_has_four_sides_and_gives_the_arrays_own():
    arrays = read_caffemodel(files("vgg_v1")[1])
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["conv1_1.weight"] == (6, 3, 3, 3)
    assert shapes["conv1_1.bias"] == (6,)
    assert shapes["fc6.weight"] == (16, 8 * 5 * 7)
    assert shapes["fc8.bias"] == (5,)


def test_numbers_may_be_doubles_or_not_packed(tmp_path):
    def blob(*chunks):
        return make.chunk(7, b"".join(chunks) + make.chunk(7, make.chunk(1, b"\x02")))

    def single(value):
        return make.varint(5 << 3 | 5) + np.array(value, "<f4").tobytes()

    double = make.chunk(8, np.array([0.5, 2.5], "<f8").tobytes())
    head = make.chunk(1, b"fc") + make.chunk(2, b"InnerProduct")
    model = tmp_path / "m.caffemodel"
    body = head + blob(double) + blob(single(1.5), single(-2))
    model.write_bytes(make.chunk(1, b"net") + make.chunk(100, body))
    arrays = read_caffemodel(model)
    assert {n: a.tolist() for n, a in arrays.items()} == {
        "fc.weight": [0.5, 2.5],
        "fc.bias": [1.5, -2],
    }
    assert {a.dtype for a in arrays.values()} == {np.dtype("float32")}


def test_caffemodels_that_are_none_are_refused(tmp_path):
    file = tmp_path / "bad.caffemodel"
    shape = make.chunk(7, make.chunk(1, b"\x03"))
    two = make.chunk(5, bytes(8))
    for data, message in [
        (b"", "none of its 0 layers has weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
        (b"\x80\x02}q\x00.", "not a .caffemodel, or it is damaged"),
        (make.chunk(2, make.chunk(1, b"")), "upgrade_net_proto_binary"),
        (make.chunk(100, make.chunk(1, b"a") + make.chunk(7, shape + two)), r"'a'.*\(3,\) and 2"),
        (make.chunk(100, make.chunk(7, make.chunk(7, b"") + make.chunk(5, b""))), "and 0 numbers"),
        (make.chunk(100, make.chunk(7, make.chunk(5, bytes(7)))), "7 bytes"),
        (2 * make.chunk(100, make.chunk(7, make.number(1, 2) * 4 + two)), "and 2 numbers"),
    ]:
        file.write_bytes(data)
        with pytest.raises(ModelFileError, match=f"bad.caffemodel.*{message}"):
            read_caffemodel(file)
    layers = [("a", "Scale", [np.ones(2)])] * 2
    with pytest.raises(ModelFileError, match="two layers with weights are called 'a'"):
        read_caffemodel(written(tmp_path, "", layers)[1])


def test_layers_that_diglot_does_not_know_are_named_with_what_it_knows(tmp_path):
    text = deploy(layer("up", "Deconvolution", "data"), dense("up"))
    with pytest.raises(ModelFileError, match="layer 'up' .Deconvolution.*knows BatchNorm, Concat,"):
        read_caffe(*written(tmp_path, text))
    for settings, message in [
        ("lrn_param { norm_region: WITHIN_CHANNEL }", "norm_region is WITHIN_CHANNEL"),
        ("lrn_param { local_size: 4 }", "local_size is 4, not an odd"),
        ("lrn_param { wide: 3 }", "does not know its field 'wide'"),
        ("lrn_param { alpha: one }", "alpha is 'one', not a number"),
        ("lrn_param { alpha: 1 alpha: 2 }", "2 values called alpha"),
        ("lrn_param: 3", "lrn_param must be a message"),
    ]:
        text = deploy(layer("norm", "LRN", "data", settings), dense("norm"))
        with pytest.raises(ModelFileError, match=f"net.prototxt: layer 'norm'.*{message}"):
            read_caffe(*written(tmp_path, text))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (layer("x", "Pooling", "data"), "no kernel_size"),
        (layer("x", "Pooling", "data", "pooling_param {kernel_size: 2 pad: 2}"), "not go together"),
        (layer("x", "Pooling", "data", "pooling_param {pool: STOCHASTIC}"), "pool is STOCHASTIC"),
        (
            layer("x", "Pooling", "data", "pooling_param {kernel_size: 2 kernel_h: 3}"),
            "kernel_size beside kernel_h",
        ),
        (layer("x", "Convolution", "data", "convolution_param {kernel_size: 3}"), "no num_output"),
        (
            layer("x", "Convolution", "data", "convolution_param {kernel_size: 9 num_output: 2}"),
            "sma",
        ),
        (
            layer("x", "Convolution", "data", "convolution_param {kernel_size: -1 num_output: 2}"),
            r"kernel_size is \[-1\]",
        ),
        (layer("x", "Concat", "data", "concat_param {axis: 0}"), "axis 0"),
        (layer("x", "Eltwise", "data"), "cannot take 1 inputs"),
        (layer("x", "Eltwise", 'data" bottom: "data', "eltwise_param {coeff: 1}"), "coefficients"),
        (layer("x", "Slice", "data", "slice_param { slice_point: 1 }"), "cannot cut 3 at"),
        (layer("x", "Softmax", "data", "softmax_param { axis: 2 }"), "axis 2"),
        (layer("x", "Reshape", "data", "reshape_param { shape { dim: 2 } }"), "keeps the batch"),
        (layer("x", "Flatten", "data", "flatten_param { end_axis: 2 }"), "last axis only"),
        (layer("x", "Scale", "data", "scale_param { num_axes: 2 }"), "num_axes 1"),
        (layer("x", "Scale", 'data" bottom: "data'), "cannot take 2 inputs"),
        (layer("x", "Dropout", "data", "dropout_param { dropout_ratio: 1 }"), "dropout_ratio"),
        (layer("x", "ReLU", "label"), "'label', which no layer before it makes"),
        (layer("x", "ReLU", "data", 'top: "y"'), "names others"),
        (layer("x", "ReLU", "data", "include {} exclude {}"), "both kinds"),
        ('layer { name: "x" bottom: "data" top: "x" }', "has no type"),
        ('layers { name: "x" type: RELU bottom: "data" top: "x" }', "mixes V1's layers"),
    ],
)
def test_structures_that_contradict_themselves_are_refused(tmp_path, one, message):
    with pytest.raises(ModelFileError, match=message):
        read_caffe(*written(tmp_path, deploy(one, dense("x"))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no layers"),
        (dense("data"), "neither an input nor a layer of data"),
        (deploy(layer("x", "Softmax", "data")), "makes scores"),
        (deploy(layer("x", "ReLU", "data")), "no dense layer or convolution"),
        (deploy(dense("data"), dims=(1, 3)), r"dimensions \[1, 3\]"),
        (deploy(dense("data"), dims=(1, 3, 4, 99999)), "width must be a whole number"),
        (deploy(dense("data"), dims=(1, 3, 4, 0)), "how large an image"),
        ("layers { layer { type: 'conv' } }", "upgrade_net_proto_text"),
    ],
)
def test_whole_files_that_are_no_network_are_refused(tmp_path, text, message):
    with pytest.raises(ModelFileError, match=rf"net\.prototxt: .*{message}"):
        read_caffe(*written(tmp_path, text))


def test_arrays_that_do_not_fit_are_named_with_both_shapes(tmp_path):
    text = deploy(dense("data", 4), dims=(1, 2, 3, 5))
    for layers, message in [
        ([("other", "InnerProduct", [np.ones(2)])], "layer 'fc'.*has no weights for it"),
        ([("fc", "InnerProduct", [np.ones((4, 30))])], "layer 'fc'.*takes 2 arrays.*has 1"),
        (
            [("fc", "InnerProduct", [np.ones((30, 4)), np.ones(4)])],
            r"'fc\.weight' has the shape \(30, 4\) in the caffemodel.*needs \(4, 30\)",
        ),
    ]:
        with pytest.raises(
            ModelFileError, match=f"net.prototxt with .*net.caffemodel: .*{message}"
        ):
            read_caffe(*written(tmp_path, text, layers))


def test_two_layers_of_one_name_are_kept_apart(tmp_path):
    text = deploy(layer("data", "ReLU", "data", top="x"), layer("a", "ReLU", "x"))
    text += layer("a", "TanH", "a", top="b") + dense("b")
    graph = read_caffe(*written(tmp_path, text))
    layers = [n for n in graph.nodes if not n.is_variable][1:]
    assert [n.op for n in layers] == ["Activation"] * 3 + ["FullyConnected"]
    assert len({"data", *(n.name for n in layers)}) == 5


# ---- the text format


def seconds_of(read, words=None):
    """Return the seconds of one core, and the bytes, that something takes to be done."""
    start = time.process_time()
    if words is None:
        read()
    else:
        with pytest.raises(ModelFileError, match=words):
            read()
    seconds = time.process_time() - start
    tracemalloc.start()
    try:
        with contextlib.suppress(ModelFileError):
            read()
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_names_that_are_chosen_to_be_taken_cost_no_search(tmp_path):
    """Free names were looked for from the number of names on, and all of those were taken."""
    from diglot.weights.caffe.layers import Layer as Found
    from diglot.weights.caffe.layers import Network
    from diglot.weights.caffe.prototxt import Message

    network, count = Network(None, None), 10_000
    names = [f"a_{i}" for i in range(count, 3 * count)] + ["a"] * count
    start = time.process_time()
    given = [network.unique(Found(name, "ReLU", Message(""))) for name in names]
    assert time.process_time() - start < 1
    assert len(set(given)) == len(names)


def test_texts_and_arrays_in_very_many_parts_are_refused(tmp_path):
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text("a:1 " * 140_000)
    start = time.process_time()
    with pytest.raises(ModelFileError, match="too long"):
        read_caffe(text)
    assert time.process_time() - start < 2
    blob = {
        "dimensions": field(7, field(1, b"\1" * 2_000_000)),
        "apart": field(7, bytes([8, 1]) * 50_000),
        "pieces": (b"\x2d" + bytes(4)) * 80_000,
        "fields": bytes([8, 1]) * 1_010_000,
    }
    for what, data in blob.items():
        layer = field(1, b"fc") + field(2, b"InnerProduct") + field(7, data)
        model.write_bytes(field(100, layer))
        seconds, memory = seconds_of(lambda: read_caffemodel(model), "more than|a list of")
        assert seconds < 2, what
        assert memory < 2 * model.stat().st_size + 20e6, what


def field(number, data):
    """Write bytes as a field of Protocol Buffers."""
    head, size = [], number << 3 | 2
    for value in (size, len(data)):
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + data


def test_the_text_formats_forms():
    net = parse_text(
        """
        # Comments; fields with commas, semicolons or nothing between them.
        a: 1, b: -2.5e-3; c: "x" 'y\\n"z'  d { e: TRUE_WORD f < g: [1, 2, 0x10] > }
        d: { e: .5f } h: true h: 0 i: inf
        """
    )
    assert net.whole("a", 0) == 1
    assert net.real("b", 0.0) == -0.0025
    assert net.text("c") == 'xy\n"z'
    first, second = net.messages("d")
    assert first.text("e") == "TRUE_WORD"
    assert first.message("f").texts("g") == ["1", "2", "0x10"]
    assert second.real("e", 0.0) == 0.5
    assert net.texts("h") == ["true", "0"]
    assert net.flag("nothing", True) is True
    for wrong, message in [
        (lambda: net.real("i", 0.0), "not a number"),
        (lambda: net.whole("b", 0), "not a whole number"),
        (lambda: net.flag("c", False), "neither true nor false"),
        (lambda: net.message("d"), "2 fields called d"),
        (lambda: net.text("d"), "must be a plain value"),
    ]:
        with pytest.raises(ModelFileError, match=message):
            wrong()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {", "cut off: 'a' is not closed"),
        ("a:", "cut off inside a field"),
        ("a", "cut off inside a field"),
        ("\n\na 3", "line 3: 'a' has neither"),
        ("}", "line 1: '}' stands where"),
        ("a { >", "'>' stands where"),
        ("a: }", "'}' stands where a value belongs"),
        ("a: [1", "cut off"),
        ("a: [ { } ]", "stands where a value belongs"),
        ("a: 'x", "is no word of it"),
        ("a: 'x\\q'", "escape"),
        ("a: 1\n  § 2", "line 2.*is no word of it"),
        ("a{" * 40, "nested more than 32 deep"),
    ],
)
def test_text_that_is_not_in_the_format_names_the_line(text, message):
    with pytest.raises(ModelFileError, match=message):
        parse_text(text)


# ---- damage


def test_damaged_caffemodels_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    layers = [
        ("conv", "Convolution", (rng.normal(size=(2, 1, 3, 3)), rng.normal(size=2))),
        ("ip", "InnerProduct", (rng.normal(size=(2, 8)), rng.normal(size=2))),
    ]
    _, model = written(tmp_path, "", layers)
    assert refusals(read_caffemodel, model, damaged(model.read_bytes())) > 1000
    (name, _, blobs), *_ = layers
    _, old = written(tmp_path, "", [(name, "CONVOLUTION", blobs)], version=1)
    assert refusals(read_caffemodel, old, damaged(old.read_bytes(), flips=500)) > 300


def test_damaged_prototxts_and_pairs_are_read_or_refused(tmp_path):
    prototxt, model = files("lenet")
    text, weights = tmp_path / prototxt.name, tmp_path / model.name
    versions = damaged(prototxt.read_bytes(), flips=1500)
    assert refusals(lambda p: read_caffe(p, model), text, versions) > 1000
    data = model.read_bytes()
    versions = damaged(data, flips=500, truncations=range(0, len(data), 150))
    assert refusals(lambda p: read_caffe(prototxt, p), weights, versions) > 100
