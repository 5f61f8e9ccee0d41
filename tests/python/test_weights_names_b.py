"""MobileNetV3, EfficientNet, ConvNeXt and ViT: weights from elsewhere give the logits of there.

The fixtures are small networks of the libraries' own classes, with random weights and statistics;
tests/fixtures/make_torch_b.py made them.
"""

from pathlib import Path

import numpy as np
import pytest

from diglot import network
from diglot.builder import initial_weights
from diglot.engine import open_executor
from diglot.engine.mxnet import load
from diglot.errors import InputError
from diglot.graph import InputSpec
from diglot.networks import card
from diglot.networks.vit import resized_positions
from diglot.storage import read_file
from diglot.weights.names import LAYOUTS, SETTINGS, translate
from graph_checks import assert_mxnet_agrees, bound, forward, random_weights, symbol_of

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

FOLDER = Path(__file__).parents[1] / "fixtures" / "torch"

_MOBILENET = {
    "stem": 8,
    "widths": (8, 16, 24),
    "depths": (1, 2, 2),
    "strides": (2, 2, 2),
    "kernels": (3, 3, 5),
    "squeezes": (True, False, True),
    "swishes": (False, False, True),
    "inner": (8, 24, 32, 40, 48),
    "hidden": 20,
}
_EFFICIENTNET = {
    "stem": 8,
    "widths": (16, 16, 24),
    "depths": (1, 2, 2),
    "strides": (1, 2, 2),
    "kernels": (3, 3, 5),
    "expansions": (1, 4, 2),
    "last": 40,
}
_CONVNEXT = {"widths": (8, 12, 16), "depths": (1, 2, 2)}
_CONVNEXT_TIMM = {"widths": (8, 10, 12, 16), "depths": (1, 2, 1, 1)}
_VIT = {"width": 24, "depth": 2, "heads": 2, "patch": 8}
# By fixture: our network, the library, and our settings.
NETWORKS = {
    "mobilenet_v3_torchvision": ("mobilenet_v3_large", "torchvision", _MOBILENET),
    "mobilenet_v3_timm": ("mobilenet_v3_small", "timm", _MOBILENET),
    "mobilenet_v3_timm_tf": ("mobilenet_v3_large", "timm_tf", _MOBILENET),
    "efficientnet_torchvision": ("efficientnet_b0", "torchvision", _EFFICIENTNET),
    "efficientnet_timm": ("efficientnet_b1", "timm", _EFFICIENTNET),
    "efficientnet_timm_tf": ("efficientnet_b2", "timm_tf", _EFFICIENTNET),
    "efficientnet_transformers": (
        "efficientnet_b3",
        "transformers",
        {**_EFFICIENTNET, "last": 320},
    ),
    "convnext_torchvision": ("convnext_tiny", "torchvision", _CONVNEXT),
    "convnext_timm": ("convnext_small", "timm", _CONVNEXT_TIMM),
    "convnext_conv_mlp_timm": ("convnext_small", "timm", _CONVNEXT_TIMM),
    "convnext_transformers": ("convnext_tiny", "transformers", _CONVNEXT),
    "vit_torchvision": ("vit_b_16", "torchvision", {**_VIT, "expansion": 3}),
    "vit_timm": ("vit_s_16", "timm", _VIT),
    "vit_transformers": ("vit_b_16", "transformers", {**_VIT, "heads": 3, "expansion": 2}),
}


def fixture(name):
    """Return the file's state, its images and the logits that its library computed."""
    tensors, _ = read_file(FOLDER / f"b_{name}.safetensors", require_metadata=False)
    floats = {n: a.astype(np.float32) for n, a in tensors.items() if a.dtype != np.int64}
    counts = {n: a for n, a in tensors.items() if a.dtype == np.int64}
    images, logits = floats.pop("__images__"), floats.pop("__logits__")
    return floats | counts, images, logits


def built(name, images):
    ours, style, settings = NETWORKS[name]
    settings = {**settings, **SETTINGS.get(card(ours).family, {}).get(style, {})}
    return network(ours, classes=5, size=images.shape[1:3], **settings)


def family_of(name):
    return card(NETWORKS[name][0]).family


def logits_of(graph, arrays, images):
    executor = open_executor(graph.with_weights(arrays), "cpu")
    return executor.forward({"data": images})


# ---- the same logits


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_library(name):
    state, images, logits = fixture(name)
    graph, family, style = built(name, images), family_of(name), NETWORKS[name][1]
    found = translate(graph, family, state, style)
    assert found.missing == []
    assert all(n.endswith("num_batches_tracked") for n in found.skipped), found.skipped
    result = logits_of(graph, found.arrays, images)
    assert np.abs(result - logits).max() < 1e-4
    assert np.ptp(logits, axis=0).max() > 0.1  # the images do make a difference
    if style != "timm_tf":  # whose names do not tell it from timm's
        assert translate(graph, family, state).style == style


def test_every_table_is_tested():
    tested = {(family_of(name), style) for name, (_, style, _) in NETWORKS.items()}
    families = {family for family, _ in tested}
    assert tested == {(family, style) for family in families for style in LAYOUTS[family]}


@pytest.mark.parametrize("name", NETWORKS)
def test_mxnet_infers_the_same_for_small_forms(name):
    _, images, _ = fixture(name)
    assert_mxnet_agrees(load(), built(name, images))


@pytest.mark.parametrize("name", ["mobilenet_v3_timm_tf", "efficientnet_transformers"])
def test_tensorflows_padding_follows_the_images_size(name):
    """The network made for another size computes the same: nothing in it depends on the size."""
    state, images, logits = fixture(name)
    other = built(name, np.zeros((1, 64, 64, 3))).with_input(InputSpec(*images.shape[1:]))
    arrays = translate(other, family_of(name), state, NETWORKS[name][1]).arrays
    assert np.abs(logits_of(other, arrays, images) - logits).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("mobilenet_v3_timm", {"eps": 0.1}),
        ("mobilenet_v3_timm_tf", {"same_padding": False}),
        ("efficientnet_timm_tf", {"same_padding": False}),
        ("efficientnet_transformers", {"eps": 0.1}),
        ("vit_timm", {"eps": 0.1}),
        ("vit_timm", {"heads": 4}),
        ("convnext_transformers", {"eps": 0.1}),
    ],
)
def test_settings_make_the_difference_that_names_and_shapes_do_not_show(name, changed):
    state, images, logits = fixture(name)
    ours, style, settings = NETWORKS[name]
    own = {**settings, **SETTINGS.get(family_of(name), {}).get(style, {}), **changed}
    graph = network(ours, classes=5, size=images.shape[1:3], **own)
    found = translate(graph, family_of(name), state, style)
    assert found.missing == []
    assert np.abs(logits_of(graph, found.arrays, images) - logits).max() > 1e-3


# ---- names in their other forms, and odd ones


def test_transformers_own_names_in_memory_are_read():
    state, images, logits = fixture("vit_transformers")
    pairs = [
        (".attention.attention.query.", ".attention.q_proj."),
        (".attention.attention.key.", ".attention.k_proj."),
        (".attention.attention.value.", ".attention.v_proj."),
        (".attention.output.dense.", ".attention.o_proj."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
        ("vit.encoder.layer.", "vit.layers."),
    ]
    newer = {}
    for name, array in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        newer[name] = array
    assert len(set(newer) - set(state)) == 32
    graph = built("vit_transformers", images)
    found = translate(graph, "vit", newer)
    assert (found.missing, found.skipped) == ([], [])
    assert np.abs(logits_of(graph, found.arrays, images) - logits).max() < 1e-4


def test_torchvisions_older_names_of_the_transformer_are_read():
    state, images, _ = fixture("vit_torchvision")
    older = {
        n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): a
        for n, a in state.items()
    }
    assert len(set(older) - set(state)) == 8
    graph = built("vit_torchvision", images)
    found, usual = translate(graph, "vit", older), translate(graph, "vit", state)
    assert (found.missing, found.skipped) == ([], [])
    assert all(np.array_equal(found.arrays[n], a) for n, a in usual.arrays.items())


def test_query_key_and_value_are_joined_only_where_all_are_there():
    state, images, _ = fixture("vit_transformers")
    graph = built("vit_transformers", images)
    start = "vit.encoder.layer.1.attention.attention."
    without = {n: a for n, a in state.items() if n != f"{start}key.weight"}
    found = translate(graph, "vit", without)
    assert found.missing == ["block1_qkv_weight"]
    assert sorted(found.skipped) == ["block1_query.weight", "block1_value.weight"]
    odd = state | {f"{start}key.weight": np.zeros((24, 7), np.float32)}
    assert translate(graph, "vit", odd).missing == ["block1_qkv_weight"]


def test_a_tensor_of_no_layer_is_reported():
    state, images, _ = fixture("efficientnet_timm")
    more = state | {"blocks.1.0.extra.weight": np.zeros(2), "blocks.9.0.conv_dw.bias": np.zeros(2)}
    found = translate(built("efficientnet_timm", images), "efficientnet", more, "timm")
    skipped = [n for n in found.skipped if not n.endswith("num_batches_tracked")]
    assert skipped == ["blocks.1.0.extra.weight", "block6_depthwise.bias"]


@pytest.mark.parametrize("family", ["mobilenet_v3", "efficientnet", "convnext", "vit"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 0, 0, 0), (0, 3, 7, 7), (2,), (2, 3, 1, 1)])
def test_odd_tensors_do_not_break_a_table(family, shape):
    paths = [
        *("", "conv_head", "features.1.block", "features.1.block.", "features.1.0.block.x.0"),
        *("features.1.0", "features.1.block.9.0", "features.1.block.1.fc1", "stages.0.blocks.0"),
        *("blocks.0.0.conv", "blocks.0.0.", "blocks.\u0663.0.bn1", f"blocks.{'9' * 5000}.0.bn1"),
        *("vit.layers.0.attention.q_proj", "_query", "a_query", "a_key", "a_value"),
        *("stage1_0_expand", "classifier.0", "efficientnet.encoder.blocks.0.expansion"),
    ]
    endings = ["", ".", ".weight", ".gamma", ".layer_scale", ".in_proj_weight"]
    arrays = {path + end: np.zeros(shape, np.float32) for path in paths for end in endings}
    for layout in LAYOUTS[family].values():
        assert all(isinstance(array, np.ndarray) for array in layout(arrays).values())
        assert layout({}) == {}


# ---- position embeddings


def test_positions_are_resized_as_timm_does():
    tensors, _ = read_file(FOLDER / "b_positions.safetensors", require_metadata=False)
    old = tensors.pop("__old__")
    assert len(tensors) == 4
    for name, expected in tensors.items():
        grid = tuple(int(side) for side in name.strip("_").split("x"))
        result = resized_positions(old, (5, 3), grid)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=2e-6)
        half = resized_positions(old.astype(np.float16), (5, 3), grid)
        np.testing.assert_allclose(half, expected, atol=5e-3)
    assert resized_positions(old, (5, 3), (5, 3)) is old


@pytest.mark.parametrize(
    ("shape", "old", "new"),
    [
        ((1, 16, 8), (5, 4), (3, 3)),
        ((1, 16, 8), (3, 5), (0, 3)),
        ((1, 16, 8), (3, 5), (3, 5000)),
        ((1, 16, 8), (3, 5), (3.0, 5)),
        ((2, 16, 8), (3, 5), (3, 3)),
        ((16, 8), (3, 5), (3, 3)),
    ],
)
def test_positions_that_do_not_fit_are_refused(shape, old, new):
    with pytest.raises(InputError, match=r"embeddings of the shape|grid's sides"):
        resized_positions(np.zeros(shape, np.float32), old, new)


# ---- what is special about these networks


def test_features_end_before_the_heads_dropout():
    for name in ["mobilenet_v3_small", "efficientnet_b0"]:
        graph = network(name, size=64)
        operators = {n.name: n.op for n in graph.nodes}
        before = graph.nodes[: graph.index_of(graph.features)]
        assert operators["dropout"] == "Dropout"
        assert not any(n.op == "Dropout" for n in before)
    # one dense layer lies between pooling and head
    assert network("mobilenet_v3_large").features == "hidden_act"
    assert network("mobilenet_v3_large").shape_of("hidden_act") == (1280,)


def test_first_values_are_as_in_the_papers():
    graph = network("convnext_tiny", size=32, widths=(4, 6), depths=(1, 1))
    weights = initial_weights(graph, 3)
    assert np.all(weights["stage1_0_scale"] == np.float32(1e-6))
    assert not graph.parameters["stage1_0_scale"].decays
    graph = network("vit_s_16", size=32, width=64, depth=1, heads=2)
    weights = initial_weights(graph, 3)
    assert weights["positions"].shape == (1, 1 + 4, 64)
    assert 0.01 < weights["positions"].std() < 0.02  # 0.02, cut at twice that
    assert not weights["class_token"].any()
    assert not graph.parameters["positions"].decays
    assert list(graph.groups) == ["embedding", "block0", "head"]
    assert {"class_token", "positions"} <= set(graph.groups["embedding"])
    assert "norm_gamma" in graph.groups["block0"]


def test_a_transformer_sees_only_whole_patches_and_where_they_are():
    mx = load()
    graph = network("vit_s_16", size=(33, 20), width=8, depth=2, heads=2, patch=8, classes=3)
    assert graph.parameters["positions"].shape == (1, 1 + 4 * 2, 8)
    weights = random_weights(graph)
    images = np.random.default_rng(0).normal(size=(2, *graph.input.shape)).astype(np.float32)
    expected = forward(mx, graph, weights, images)
    beyond = images.copy()
    beyond[:, :, 32:] = beyond[:, :, :, 16:] = 9
    np.testing.assert_array_equal(forward(mx, graph, weights, beyond), expected)
    moved = images.copy()
    moved[:, :, :32] = np.roll(images[:, :, :32], 8, axis=2)
    assert np.abs(forward(mx, graph, weights, moved) - expected).max() > 1e-3
    weights["positions"][:, 1:] = 0  # without places, patches are a set
    np.testing.assert_allclose(
        forward(mx, graph, weights, moved), forward(mx, graph, weights, images), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vit_b_16", {"heads": 7}, r"width \(768\) must be a multiple of heads \(7\)"),
        ("vit_b_16", {"size": 15}, "at least 16 x 16 pixels"),
        ("mobilenet_v3_large", {"inner": (16, 64)}, r"inner \(2\) must have one entry a block"),
        ("mobilenet_v3_large", {"widths": (16, 24)}, r"widths \(2\) and depths \(6\)"),
        ("mobilenet_v3_small", {"squeezes": (1, 0)}, "squeezes must be true or false"),
        ("efficientnet_b0", {"expansions": (1,)}, r"expansions \(1\)"),
        ("efficientnet_b0", {"eps": 0}, "eps must be above 0"),
        ("efficientnet_b0", {"same_padding": "yes"}, "same_padding must be true or false"),
        ("convnext_tiny", {"size": 31}, "at least 32 x 32 pixels"),
        ("convnext_tiny", {"depths": ()}, "depths must have at least one entry"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(name, settings, message):
    with pytest.raises(InputError, match=message):
        network(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_s_16", {"width": 8, "depth": 1, "heads": 2}),
        ("convnext_tiny", {"widths": (4, 6), "depths": (1, 1)}),
    ],
)
def test_gradients_are_differences_also_of_parameters_that_are_spread(name, settings):
    """Against central differences, one parameter after the other, along a random direction."""
    mx, rng, step = load(), np.random.default_rng(1), 1e-2
    graph = network(name, size=(32, 48), classes=3, **settings)
    weights = random_weights(graph)
    images = rng.normal(size=(4, *graph.input.shape)).astype(np.float32)
    toward = rng.normal(size=(4, 3)).astype(np.float32)

    arguments = {n: mx.nd.array(a) for n, a in {**weights, "data": images}.items()}
    gradients = {n: mx.nd.zeros(a.shape) for n, a in arguments.items()}
    executor = bound(mx, symbol_of(mx, graph), arguments, gradients=gradients)
    executor.forward(is_train=True)
    executor.backward(mx.nd.array(toward))

    for parameter, values in weights.items():
        way = rng.choice([-1, 1], values.shape) / np.sqrt(values.size)
        ends = [
            (forward(mx, graph, {**weights, parameter: values + way * h}, images) * toward).sum()
            for h in (-step, step)
        ]
        slope = (gradients[parameter].asnumpy() * way).sum()
        assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.02, abs=2e-3)
