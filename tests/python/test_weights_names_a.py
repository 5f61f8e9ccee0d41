"""Weights from torchvision, timm, transformers and Caffe: the same logits as there.

The fixtures are small networks of these libraries' own classes, with random weights and
statistics; tests/fixtures/make_torch_a.py made them.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from diglot import network
from diglot.engine import open_executor
from diglot.networks import card
from diglot.storage import read_file
from diglot.weights.names import LAYOUTS, SETTINGS, translate

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

FOLDER = Path(__file__).parents[1] / "fixtures" / "torch"

_WIDTHS = {"stem": 6, "widths": (4, 6, 8, 10)}
_WIDER = {"stem": 6, "widths": (16, 16, 24, 32), "depths": (1, 2, 1, 1)}
_VGG = {"widths": (4, 4, 6, 6, 8), "hidden": (9, 7), "grid": 2}
_MOBILENET = {"width": 0.1, "last": 24}
_GOOGLENET = {
    "stem": (6, 5, 8),
    "stages": (
        ((3, 2, 4, 2, 3, 2), (4, 3, 5, 2, 4, 3)),
        ((5, 3, 4, 3, 4, 2), (3, 4, 5, 2, 3, 4), (4, 3, 6, 3, 5, 2)),
        ((6, 4, 7, 3, 4, 5),),
    ),
}
# By fixture, our network and its settings. The fixture's name ends in the library.
NETWORKS = {
    "resnet_basic_torchvision": ("resnet18", {**_WIDTHS, "depths": (2, 1, 1, 2)}),
    "resnet_bottleneck_torchvision": ("resnet50", {**_WIDTHS, "depths": (2, 1, 1, 1)}),
    "resnext_torchvision": ("resnext50_32x4d", {**_WIDER, "groups": 4, "base_width": 8}),
    "wide_resnet_torchvision": ("wide_resnet50_2", {**_WIDTHS, "depths": (1, 2, 1, 1)}),
    "resnet_timm": ("resnet50", {"depths": (2, 1, 1, 1), "widths": (4, 6, 8, 8)}),
    "resnet_basic_transformers": (
        "resnet18",
        {"stem": 6, "widths": (8, 12, 16, 20), "depths": (2, 1, 1, 2)},
    ),
    "resnet_bottleneck_transformers": (
        "resnet50",
        {"stem": 6, "widths": (2, 3, 4, 5), "depths": (2, 1, 1, 2)},
    ),
    "vgg_torchvision": ("vgg11", _VGG),
    "vgg_bn_torchvision": ("vgg11_bn", _VGG),
    "vgg_bn_timm": ("vgg11_bn", {**_VGG, "hidden": (7, 10), "grid": 7}),
    "mobilenet_v2_torchvision": ("mobilenet_v2", _MOBILENET),
    "mobilenet_v2_timm": ("mobilenet_v2", _MOBILENET),
    "mobilenet_v2_transformers": ("mobilenet_v2", {**_MOBILENET, "stem": 160}),
    "alexnet_torchvision": (
        "alexnet",
        {"widths": (4, 6, 8, 6, 5), "hidden": (9, 7)},
    ),
    "squeezenet_torchvision": (
        "squeezenet1_1",
        {"squeeze": ((2, 3), (3, 4), (4, 5, 5, 6)), "expansion": 3, "stem": 6},
    ),
    "densenet_torchvision": (
        "densenet121",
        {"depths": (2, 1, 2, 1), "growth": 4, "expansion": 3, "stem": 6},
    ),
    "densenet_timm": (
        "densenet121",
        {"depths": (1, 2, 11, 1), "growth": 3, "expansion": 2, "stem": 6},
    ),
    "googlenet_torchvision": ("googlenet", _GOOGLENET),
    "googlenet_caffe": ("googlenet_bvlc", _GOOGLENET),
    "inception_v3_torchvision": (
        "inception_v3",
        {"width": 1 / 16, "pooled": (32, 64), "factorised": (128, 160), "last": 1},
    ),
}


def fixture(name):
    """Return the file's state, its images and the logits that its library computed."""
    tensors, _ = read_file(FOLDER / f"a_{name}.safetensors", require_metadata=False)
    floats = {n: a.astype(np.float32) for n, a in tensors.items() if a.dtype != np.int64}
    counts = {n: a for n, a in tensors.items() if a.dtype == np.int64}
    images, logits = floats.pop("__images__"), floats.pop("__logits__")
    return floats | counts, images, logits


def family_and_style(name):
    return card(NETWORKS[name][0]).family, name.rpartition("_")[2]


def built(name, images, **settings):
    """Return our network for a fixture."""
    ours, own = NETWORKS[name]
    return network(ours, classes=5, size=images.shape[1:3], **own, **settings)


def logits_of(graph, arrays, images):
    executor = open_executor(graph.with_weights(arrays), "cpu")
    return executor.forward({"data": images})


def assert_same_logits(graph, family, state, images, expected):
    found = translate(graph, family, state)
    assert found.missing == []
    assert all(n.endswith("num_batches_tracked") for n in found.skipped), found.skipped
    result = logits_of(graph, found.arrays, images)
    assert np.abs(result - expected).max() < 1e-4
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_library(name):
    state, images, logits = fixture(name)
    family, style = family_and_style(name)
    graph = built(name, images, **SETTINGS.get(family, {}).get(style, {}))
    found = assert_same_logits(graph, family, state, images, logits)
    assert LAYOUTS[family][found.style] is LAYOUTS[family][style]  # timm's may be torchvision's
    assert np.ptp(logits, axis=0).max() > 0.1  # the images do make a difference


def test_every_table_is_tested():
    tested = {id(LAYOUTS[family][style]) for family, style in map(family_and_style, NETWORKS)}
    families = {family_and_style(name)[0] for name in NETWORKS}
    assert tested == {id(layout) for family in families for layout in LAYOUTS[family].values()}


def test_densenets_older_names_are_read():
    """Files from before PyTorch 0.4 have "norm.1" where later ones have "norm1"."""
    state, images, logits = fixture("densenet_torchvision")
    older = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", n): a for n, a in state.items()}
    assert "features.denseblock1.denselayer2.norm.1.weight" in older
    graph = built("densenet_torchvision", images)
    assert_same_logits(graph, "densenet", older, images, logits)


def test_auxiliary_heads_are_reported_as_skipped():
    for family, heads in [
        ("googlenet", ["aux1.conv.conv.weight", "aux2.fc2.bias"]),
        ("inception_v3", ["AuxLogits.conv0.bn.weight", "AuxLogits.fc.weight"]),
    ]:
        state, images, _ = fixture(f"{family}_torchvision")
        graph = built(f"{family}_torchvision", images)
        found = translate(graph, family, state | {head: np.zeros(3) for head in heads})
        assert found.missing == []
        assert [n for n in found.skipped if "num_batches" not in n] == heads


def test_tensorflows_padding_needs_its_setting():
    """Names and shapes fit without it, and the logits differ: why SETTINGS is there."""
    state, images, logits = fixture("mobilenet_v2_transformers")
    graph = built("mobilenet_v2_transformers", images, eps=1e-3)
    found = translate(graph, "mobilenet_v2", state)
    assert (found.style, found.missing) == ("transformers", [])
    assert np.abs(logits_of(graph, found.arrays, images) - logits).max() > 1e-2


@pytest.mark.parametrize("family", sorted(LAYOUTS))
@pytest.mark.parametrize("shape", [(), (0,), (0, 0, 0, 0), (0, 3, 7, 7), (2,), (2, 1, 1, 1)])
def test_odd_tensors_do_not_break_a_table(family, shape):
    names = [
        *("", ".", "weight", "features.0.weight", "features.1.weight", "features.9" * 99),
        *("pre_logits.fc1.weight", "pre_logits.fc2.weight", "classifier.0.weight"),
        *("classifier.1.weight", "fc.weight", "features.\u0663.weight", "layer1.0.conv1.weight"),
        *("mobilenet_v2.conv_stem.first_conv.convolution.weight", "conv_stem.weight"),
    ]
    arrays = {name: np.zeros(shape, np.float32) for name in names}
    for layout in LAYOUTS[family].values():
        assert all(isinstance(a, np.ndarray) for a in layout(arrays).values())
        assert layout({}) == {}
