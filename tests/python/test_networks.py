"""The catalogue and users' own networks: against MXNet, published figures, NumPy and PyTorch."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import diglot
from diglot import networks as networks_table
from diglot.builder import Builder
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph, InputSpec, InputTooSmallError
from diglot.networks import card, network, networks, resolve, smallest_size
from diglot.networks.layers import local_response_norm, pool
from graph_checks import assert_mxnet_agrees, forward, random_weights, symbol_of

# MXNet 1.9.1 asks scipy for what has moved.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

NAMES = networks()["name"].tolist()
# torchvision's documentation; Caffe's LeNet; He et al.'s table 6 (CIFAR-10, in millions).
PARAMETERS = {
    "lenet": 431_080,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "mobilenet_v2": 3_504_872,
    "alexnet": 61_100_840,
    "googlenet": 6_624_904,
    "inception_v3": 23_834_568,  # without the auxiliary head: timm's documentation
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "resnext50_32x4d": 25_028_904,
    "wide_resnet50_2": 68_883_240,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "convnext_tiny": 28_589_128,
    "convnext_small": 50_223_688,
    "vit_b_16": 86_567_656,
    "vit_s_16": 22_050_664,  # timm's documentation
}
CIFAR_MILLIONS = {
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
}
# torchvision's documentation, in units of 10**9.
MULTIPLY_ADDS = {
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.470,
    "vgg19": 19.632,
    "mobilenet_v2": 0.301,
    "alexnet": 0.714,
    "googlenet": 1.498,
    "inception_v3": 5.713,
    "squeezenet1_1": 0.349,
    "densenet121": 2.834,
    "densenet169": 3.36,
    "densenet201": 4.291,
    "resnext50_32x4d": 4.23,
    "wide_resnet50_2": 11.398,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "efficientnet_b0": 0.386,
    "efficientnet_b1": 0.687,
    "efficientnet_b3": 1.827,  # B2 is listed for another size
    "convnext_tiny": 4.456,
    "convnext_small": 8.684,
    "vit_b_16": 17.564,
}
# Every family, small enough to run.
TINY = {
    "mlp": {"size": (3, 5), "channels": 2, "hidden": (7, 6)},
    "lenet": {"size": (17, 20), "channels": 2, "hidden": 9},
    "resnet20": {"size": (9, 12), "widths": (4, 6, 8)},
    "resnet18": {"size": (40, 33), "widths": (4, 6, 8, 10), "stem": 5},
    "resnet50": {"size": (40, 33), "depths": (2, 1, 1, 1), "widths": (4, 4, 6, 6), "stem": 5},
    "vgg11": {"size": (32, 70), "widths": (4, 4, 6, 6, 8), "hidden": (9, 7), "grid": 2},
    "vgg16_bn": {"size": 32, "widths": (4, 4, 6, 6, 8), "hidden": (9, 7), "grid": 3},
    "mobilenet_v2": {"size": (40, 33), "width": 0.25},
    "alexnet": {"size": (70, 63), "widths": (4, 6, 5, 3, 4), "hidden": (9,), "grid": 3},
    "densenet121": {"size": (40, 33), "depths": (2, 3), "growth": 4, "stem": 5},
    "googlenet": {"size": (40, 33), "stem": (4, 4, 6), "stages": (((2, 3, 4, 2, 3, 2),),)},
    "googlenet_bvlc": {"size": (30, 33), "stem": (4, 4, 6), "stages": (((2, 3, 4, 2, 3, 2),),)},
    "inception_v3": {"size": (78, 75), "width": 0.05, "pooled": 32, "factorised": 64, "last": 1},
    "squeezenet1_1": {"size": (40, 33), "squeeze": ((2, 3), (4,)), "expansion": 2, "stem": 5},
    "resnext50_32x4d": {"size": (40, 33), "widths": (8, 8, 16, 16), "base_width": 8, "stem": 5},
}
FEW = (4, 6, 4, 6, 4, 6, 4)
MORE = {  # of every family, with those above
    "convnet": {"size": (9, 12)},
    "mobilenet_v3_small": {"size": (40, 33)},
    "efficientnet_b0": {"size": (40, 33), "widths": FEW, "stem": 4, "last": 9},
    "convnext_tiny": {"size": (40, 33), "depths": (1, 1, 1, 1), "widths": (4, 6, 8, 10)},
    "vit_s_16": {"size": (32, 48), "width": 12, "depth": 2, "heads": 3},
}


# ---- the catalogue against MXNet and published figures


@pytest.mark.parametrize("name", NAMES)
def test_mxnet_infers_the_same_names_and_shapes(mx, name):
    assert_mxnet_agrees(mx, network(name))


@pytest.mark.parametrize("name", TINY)
def test_mxnet_agrees_also_for_other_sizes_channels_and_settings(mx, name):
    assert_mxnet_agrees(mx, network(name, classes=3, **TINY[name]))


def test_parameters_are_as_published():
    table = networks().set_index("name")["parameters"]
    assert {n: table[n] for n in PARAMETERS} == PARAMETERS
    for name, millions in CIFAR_MILLIONS.items():
        assert table[name] == pytest.approx(millions * 1e6, rel=0.025)


def test_multiply_adds_are_as_published():
    table = networks().set_index("name")["multiply_adds"]
    for name, billions in MULTIPLY_ADDS.items():
        assert table[name] == pytest.approx(billions * 1e9, rel=0.01), name


def test_every_parameter_is_in_a_stage_and_the_head_is_the_last():
    for name in NAMES:
        graph = network(name)
        groups = list(graph.groups)
        assert groups[-1] == "head"
        assert "all" not in groups
        assert graph.groups["head"] == ["head_weight", "head_bias"]
        assert graph.head == "head"
        features = graph.shape_of(graph.features)
        # SqueezeNet's head is a convolution: its features are still a map
        assert len(features) == (3 if card(name).family == "squeezenet" else 1)
        assert graph.parameters["head_weight"].shape[:2] == (graph.output_shape[0], features[0])


def test_dropout_before_the_head_is_no_part_of_the_backbone():
    """Features are computed once and kept: what training draws anew comes after them."""
    ends = {"mobilenet_v2": "avgpool", "googlenet": "avgpool", "inception_v3": "avgpool"}
    ends |= {"vgg11": "fc7_relu", "alexnet": "fc7_relu", "squeezenet1_1": "fire9"}
    for name, end in ends.items():
        graph = network(name)
        assert graph.features.startswith(end), name
        after = graph.nodes[graph.index_of(graph.features) + 1]
        assert after.op == "Dropout" or name == "alexnet"  # whose last layer has none before it


def test_convnet_adds_up():
    net = network("convnet")
    # filters of 3x3 pixels, scale and shift of each normalisation, the head
    kernels = [9 * i * o for i, o in ((3, 16), (16, 32), (32, 64), (64, 128))]
    assert net.parameter_count == sum(kernels) + 2 * (16 + 32 + 64 + 128) + 129 * 10
    places = [64**2, 32**2, 16**2, 8**2]
    products = sum(k * n for k, n in zip(kernels, places, strict=True))
    assert net.multiply_adds == products + 128 * 10


def test_the_table_lists_every_network():
    table = networks()
    native = table.groupby("family")[["height", "width", "channels", "classes"]].agg(set)
    small, cifar = ({28}, {28}, {1}, {10}), ({32}, {32}, {3}, {10})
    photographs, larger = ({224}, {224}, {3}, {1000}), ({299}, {299}, {3}, {1000})
    sides = {224, 240, 260, 300}
    assert {n: tuple(row) for n, row in zip(native.index, native.to_numpy(), strict=True)} == {
        "alexnet": photographs,
        "convnet": ({64}, {64}, {3}, {10}),
        "convnext": photographs,
        "densenet": photographs,
        "efficientnet": (sides, sides, {3}, {1000}),
        "googlenet": photographs,
        "inception_v3": larger,
        "lenet": small,
        "mlp": small,
        "mobilenet_v2": photographs,
        "mobilenet_v3": photographs,
        "resnet": photographs,
        "resnet_small": cifar,
        "squeezenet": photographs,
        "vgg": photographs,
        "vit": photographs,
    }
    assert card("resnet50").mean == (0.485, 0.456, 0.406)  # torchvision's, for its weights
    assert card("resnet50").std == (0.229, 0.224, 0.225)
    assert set(NAMES) >= {*PARAMETERS, *CIFAR_MILLIONS, "mlp"}
    assert not table.isna().any().any()
    assert networks("vgg*_bn")["name"].tolist() == ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
    empty = networks("nothing")
    assert len(empty) == 0
    assert list(empty.columns) == list(table.columns)


def test_the_table_is_there_however_the_package_was_imported():
    """The module ``diglot.networks`` and the function of that name share one attribute."""
    code = (
        "import diglot; diglot.network('mlp'); assert len(diglot.networks('mlp')) == 1;"
        "import diglot.networks; assert len(diglot.networks('mlp')) == 1;"
        "from diglot.networks import lenet; import sys; assert 'mxnet' not in sys.modules"
    )
    folder = Path(diglot.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, timeout=60)
    assert len(networks_table("mlp")) == 1


def test_every_family_is_documented_with_its_settings():
    for name in NAMES:
        text = inspect.getdoc(card(name).build)
        for setting in card(name).allowed:
            assert setting in text, (name, setting)
            # network() takes these itself: a setting of that name could not be reached
            assert setting not in inspect.signature(network).parameters


# ---- the smallest size


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in NAMES),
        ("lenet", {"kernel": 3}),
        ("lenet", {"widths": (4, 4, 4)}),
        ("vgg11", {"depths": (1, 1), "widths": (4, 4)}),
    ],
)
def test_the_smallest_size_is_the_smallest_that_can_be_built(mx, name, settings):
    smallest = smallest_size(name, **settings)
    entry = card(name)

    def build(height, width):
        spec = InputSpec(height, width, entry.channels)
        return entry.build(spec, 2, **{**entry.settings, **settings})

    for size in ((smallest, smallest), (smallest, smallest + 3), (smallest + 1, smallest)):
        assert build(*size).output_shape == (2,)
    if smallest > 1:
        for size in ((smallest - 1, smallest - 1), (smallest - 1, 99), (99, smallest - 1)):
            with pytest.raises(InputTooSmallError):
                build(*size)
        with pytest.raises(InputError, match=f"at least {smallest} x {smallest} pixels; "):
            network(name, size=smallest - 1, **settings)
    if smallest > 1 and not settings:
        symbol = symbol_of(mx, build(smallest, smallest))
        with pytest.raises(mx.base.MXNetError):
            symbol.infer_shape(data=(2, entry.channels, smallest - 1, smallest - 1))
    if entry.family in ("lenet", "resnet_small"):
        graph = build(smallest, smallest)
        images = np.ones((2, *graph.input.shape), np.float32)
        assert np.isfinite(forward(mx, graph, random_weights(graph), images)).all()


def test_the_smallest_size_of_a_graph():
    assert smallest_size(network("lenet", size=40)) == smallest_size("lenet") == 16
    with pytest.raises(InputError, match="no size up to"):
        smallest_size("vgg11", depths=(1,) * 20, widths=(1,) * 20)


# ---- forward passes


def _conv_numpy(x, weight, bias):
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None]


def _pool_numpy(x):
    n, c, h, w = x.shape
    x = x[:, :, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def test_lenet_computes_what_numpy_computes(mx):
    graph = network("lenet", classes=4, **TINY["lenet"])
    w = random_weights(graph)
    images = np.random.default_rng(2).normal(size=(3, *graph.input.shape)).astype(np.float32)
    x = images.astype(np.float64)
    for layer in ("conv1", "conv2"):
        x = _pool_numpy(np.tanh(_conv_numpy(x, w[f"{layer}_weight"], w[f"{layer}_bias"])))
    x = np.tanh(x.reshape(3, -1) @ w["dense_weight"].T + w["dense_bias"])
    expected = x @ w["head_weight"].T + w["head_bias"]
    np.testing.assert_allclose(forward(mx, graph, w, images), expected, rtol=1e-4, atol=1e-5)


def test_mlp_computes_what_numpy_computes(mx):
    graph = network("mlp", classes=4, dropout_rate=0.5, **TINY["mlp"])
    w = random_weights(graph)
    images = np.random.default_rng(2).normal(size=(3, *graph.input.shape)).astype(np.float32)
    x = images.reshape(3, -1)
    for layer in ("dense1", "dense2"):
        x = np.maximum(x @ w[f"{layer}_weight"].T + w[f"{layer}_bias"], 0)
    expected = x @ w["head_weight"].T + w["head_bias"]
    np.testing.assert_allclose(forward(mx, graph, w, images), expected, rtol=1e-4, atol=1e-5)


class Reference:
    """The networks once more, in PyTorch's functions, from the papers and torchvision's docs."""

    def __init__(self, weights):
        import torch

        self.f = torch.nn.functional
        self.w = {n: torch.from_numpy(v) for n, v in weights.items()}

    def conv(self, x, name, stride=1, pad=0, groups=1):
        bias = self.w.get(f"{name}_bias")
        return self.f.conv2d(x, self.w[f"{name}_weight"], bias, stride, pad, 1, groups)

    def norm(self, x, name):
        mean, variance = self.w[f"{name}_moving_mean"], self.w[f"{name}_moving_var"]
        scale, shift = self.w[f"{name}_gamma"], self.w[f"{name}_beta"]
        return self.f.batch_norm(x, mean, variance, scale, shift, eps=1e-5)

    def head(self, x):
        return self.f.linear(x, self.w["head_weight"], self.w["head_bias"]).numpy()

    def past(self, x, name, stride):
        if f"{name}_downsample_0_weight" not in self.w:
            return x
        x = self.conv(x, f"{name}_downsample_0", stride)
        return self.norm(x, f"{name}_downsample_1")

    def block(self, x, name, stride):
        y = self.f.relu(self.norm(self.conv(x, f"{name}_conv1", stride, 1), f"{name}_bn1"))
        y = self.norm(self.conv(y, f"{name}_conv2", 1, 1), f"{name}_bn2")
        return self.f.relu(y + self.past(x, name, stride))

    def bottleneck(self, x, name, stride):
        y = self.f.relu(self.norm(self.conv(x, f"{name}_conv1"), f"{name}_bn1"))
        y = self.f.relu(self.norm(self.conv(y, f"{name}_conv2", stride, 1), f"{name}_bn2"))
        y = self.norm(self.conv(y, f"{name}_conv3"), f"{name}_bn3")
        return self.f.relu(y + self.past(x, name, stride))

    def stages(self, x, depths, block):
        for stage, depth in enumerate(depths, 1):
            for number in range(depth):
                x = block(x, f"layer{stage}_{number}", 2 if stage > 1 and number == 0 else 1)
        return self.head(x.mean((2, 3)))

    def resnet18(self, x, depths=(2, 2, 2, 2), block=None):
        x = self.f.relu(self.norm(self.conv(x, "conv1", 2, 3), "bn1"))
        return self.stages(self.f.max_pool2d(x, 3, 2, 1), depths, block or self.block)

    def resnet50(self, x):
        return self.resnet18(x, (2, 1, 1, 1), self.bottleneck)

    def resnet20(self, x):
        x = self.f.relu(self.norm(self.conv(x, "conv1", 1, 1), "bn1"))
        return self.stages(x, (3, 3, 3), self.block)

    def vgg(self, x, depths, grid, normed):
        for stage, depth in enumerate(depths, 1):
            for number in range(1, depth + 1):
                x = self.conv(x, f"conv{stage}_{number}", 1, 1)
                x = self.norm(x, f"conv{stage}_{number}_bn") if normed else x
                x = self.f.relu(x)
            x = self.f.max_pool2d(x, 2)
        x = self.f.adaptive_avg_pool2d(x, grid).flatten(1)
        for name in ("fc6", "fc7"):
            x = self.f.relu(self.f.linear(x, self.w[f"{name}_weight"], self.w[f"{name}_bias"]))
        return self.head(x)

    def vgg11(self, x):
        return self.vgg(x, (1, 1, 2, 2, 2), 2, normed=False)

    def vgg16_bn(self, x):
        return self.vgg(x, (2, 2, 3, 3, 3), 3, normed=True)

    def unit(self, x, name, stride=1, pad=0, groups=1):
        return self.f.relu6(self.norm(self.conv(x, name, stride, pad, groups), f"{name}_bn"))

    def mobilenet_v2(self, x):
        x = self.unit(x, "stem", 2, 1)
        strides = [1] + [2, 1] + [2, 1, 1] + [2, 1, 1, 1] + [1, 1, 1] + [2, 1, 1] + [1]
        for number, stride in enumerate(strides, 1):
            name = f"block{number}"
            y = x if number == 1 else self.unit(x, f"{name}_expand")
            y = self.unit(y, f"{name}_depthwise", stride, 1, y.shape[1])
            y = self.norm(self.conv(y, f"{name}_project"), f"{name}_project_bn")
            x = x + y if stride == 1 and x.shape == y.shape else y
        return self.head(self.unit(x, "last").mean((2, 3)))


# What the other families compute is held against their libraries in test_weights_names_*.py.
@pytest.mark.parametrize("name", [n for n in TINY if hasattr(Reference, n)])
def test_networks_compute_what_pytorch_computes(mx, name):
    torch = pytest.importorskip("torch")
    graph = network(name, classes=4, **TINY[name])
    weights = random_weights(graph)
    images = np.random.default_rng(4).normal(size=(3, *graph.input.shape)).astype(np.float32)
    with torch.no_grad():
        expected = getattr(Reference(weights), name)(torch.from_numpy(images))
    scale = np.abs(expected).max()
    result = forward(mx, graph, weights, images) / scale
    np.testing.assert_allclose(result, expected / scale, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3 * scale  # the images do make a difference


def _op(size, add):
    b = Builder(InputSpec(*size, 7))
    return b.graph("one", add(b))


@pytest.mark.parametrize("size", [(4, 7), (5, 6), (7, 9), (8, 4)])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 3), (3, 1)])
def test_pooling_that_rounds_up_takes_in_the_last_part(mx, size, kernel, stride):
    graph = _op(size, lambda b: pool(b, b.data, "max", kernel, stride=stride, ceil=True, name="p"))
    images = np.random.default_rng(1).normal(-9, 1, (2, 7, *size)).astype(np.float32)
    # a window starts wherever it finds something that the one before left out
    rows, columns = (range(0, max(1, n - kernel + stride), stride) for n in size)
    expected = [
        [images[:, :, i : i + kernel, j : j + kernel].max((2, 3)) for j in columns] for i in rows
    ]
    result = forward(mx, graph, {}, images)
    np.testing.assert_array_equal(result, np.moveaxis(expected, (0, 1), (2, 3)))
    assert result.shape[1:] == graph.output_shape


def test_pooling_that_rounds_up_is_refused_where_libraries_differ():
    for kind, settings in [("avg", {}), ("max", {"pad": 1}), ("max", {"stride": 3})]:
        with pytest.raises(InputError, match="ceil goes with max pooling"):
            _op((9, 9), lambda b, k=kind, s=settings: pool(b, b.data, k, ceil=True, name="p", **s))


def test_an_average_may_count_the_padding(mx):
    images = np.ones((1, 7, 4, 5), np.float32)
    for count, corner in ((True, 4 / 9), (False, 1)):
        graph = _op(
            (4, 5),
            lambda b, c=count: pool(b, b.data, "avg", 3, stride=1, pad=1, count_pad=c, name="p"),
        )
        result = forward(mx, graph, {}, images)
        assert result[0, 0, 0, 0] == pytest.approx(corner)
        assert result[0, 0, 1, 1] == pytest.approx(1)


def test_local_response_norm_is_caffes(mx):
    """Caffe's manual: (1 + alpha / n * the sum of n neighbours' squares)**beta, zeros outside."""
    graph = _op((3, 4), lambda b: local_response_norm(b, b.data, name="n", alpha=0.3))
    images = np.random.default_rng(1).normal(0, 3, (2, 7, 3, 4)).astype(np.float32)
    squares = np.pad(images.astype(np.float64) ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    around = sum(squares[:, i : i + 7] for i in range(5))
    expected = images / (1 + 0.3 / 5 * around) ** 0.75
    np.testing.assert_allclose(forward(mx, graph, {}, images), expected, rtol=1e-5)


def test_mobilenet_rounds_channels_as_published():
    """Torchvision's parameter counts at other widths are not listed; the paper's channels are."""
    graph = network("mobilenet_v2", width=0.75, size=64)
    channels = [graph.parameters[f"block{n}_project_weight"].shape[0] for n in (1, 2, 4, 7, 11)]
    assert channels == [16, 24, 24, 48, 72]
    assert graph.parameters["head_weight"].shape[1] == 1280  # never narrower than the paper's
    assert network("mobilenet_v2", width=1.4, size=64).shape_of("last")[0] == 1792


def test_vgg_has_the_same_weights_for_every_size():
    for size in (32, 64, (96, 224)):
        assert network("vgg11", size=size).parameter_count == PARAMETERS["vgg11"]


# ---- asking for a network


def test_r_sends_doubles_and_single_numbers():
    graph = network("mlp", classes=3.0, size=(4.0, 5.0), channels=np.float64(2), hidden=8.0)
    assert graph.input == InputSpec(4, 5, 2)
    assert graph.parameters["dense1_weight"].shape == (8, 40)
    assert network("lenet", channels=np.int64(1)).parameter_count == 431_080
    assert network("mlp", hidden=np.array([8.0, 4.0])).shape_of("dense2") == (4,)
    assert network("resnet18", bottleneck=np.bool_(True), size=32).shape_of("avgpool")[0] == 2048


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet", {}, "no network 'resnet'; did you mean 'resnet"),
        ("ResNet50", {}, "did you mean 'resnet50'"),
        ("zzz", {}, r"no network 'zzz' \(diglot.networks"),
        (3, {}, "must be text"),
        ("lenet", {"depths": 3}, "no setting 'depths'; its settings are: widths, hidden, kernel, "),
        ("lenet", {"hidden": "many"}, "hidden must be a whole number"),
        ("lenet", {"hidden": 2.5}, "hidden must be a whole number"),
        ("lenet", {"hidden": float("nan")}, "hidden must be a whole number"),
        ("lenet", {"hidden": True}, "hidden must be a whole number"),
        ("lenet", {"kernel": 0}, "kernel must be a whole number from 1"),
        ("lenet", {"activation": "swoosh"}, "one of relu, .*'swoosh'"),
        ("lenet", {"activation": 3}, "activation must be text"),
        ("lenet", {"classes": 0}, "classes"),
        ("lenet", {"channels": -1}, "channels"),
        ("lenet", {"size": (1, 2, 3)}, "size must be one number or"),
        ("lenet", {"size": "big"}, "size"),
        ("lenet", {"size": (28, 0)}, "size"),
        ("lenet", {"size": 1e9}, "height"),
        ("lenet", {"size": 15}, "'lenet' needs images of at least 16 x 16 pixels; 15 x 15"),
        ("vgg16", {"size": (31, 224)}, "at least 32 x 32 pixels; 31 x 224"),
        ("vgg16", {"batch_norm": "yes"}, "batch_norm must be true or false"),
        ("vgg16", {"depths": (1, 2)}, r"depths \(2\) and widths \(5\)"),
        ("vgg16", {"depths": (), "widths": ()}, "depths must have at least one entry"),
        ("vgg16", {"dropout_rate": 1}, "dropout"),
        ("resnet20", {"widths": ()}, "widths"),
        ("resnet20", {"depth": -3}, "depth"),
        ("mobilenet_v2", {"width": 0}, "width"),
        ("inception_v3", {"width": 0.0}, "width"),
        ("inception_v3", {"pooled": ()}, "pooled must have at least one entry"),
        ("alexnet", {"widths": (4, 5)}, "widths must have 5 entries, not 2"),
        ("densenet121", {"depths": ()}, "depths must have at least one entry"),
        ("googlenet", {"form": "caffe"}, 'form must be "torchvision" or "bvlc"'),
        ("googlenet", {"stem": (4, 5)}, "stem must have 3 entries"),
        ("googlenet", {"stages": (((1, 2, 3),),)}, "each module 6 entries"),
        ("squeezenet1_1", {"squeeze": ()}, "squeeze must have at least one stage"),
        ("resnet18", {"groups": 2}, "groups and base_width go with bottleneck=True"),
        ("mobilenet_v2", {"width": float("nan")}, "width"),
        ("mobilenet_v2", {"width": "wide"}, "width"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(name, settings, message):
    with pytest.raises(InputError, match=message):
        network(name, **settings)


def test_batch_norm_is_a_setting_too():
    with_norm = network("vgg11", batch_norm=True)
    assert with_norm.nodes == network("vgg11_bn").nodes
    assert (with_norm.name, network("vgg11_bn").name) == ("vgg11", "vgg11_bn")


# ---- a user's own network


def test_resolve_takes_a_name_and_a_graph(mx):
    spec = InputSpec(20, 24, 1)
    graph = resolve("lenet", spec, 3, hidden=30)
    assert (graph.name, graph.input, graph.output_shape) == ("lenet", spec, (3,))
    trained = graph.with_weights(random_weights(graph))
    assert resolve(trained, spec, 3).weights.keys() == graph.parameters.keys()
    other = resolve(trained, InputSpec(20, 24, 1), 5)
    assert set(graph.parameters) - set(other.weights) == {"head_weight", "head_bias"}
    wide = resolve(graph, InputSpec(30, 24, 1), 3)
    assert_mxnet_agrees(mx, wide)
    with pytest.raises(InputError, match="'dense_weight'.*size="):
        resolve(trained, InputSpec(30, 24, 1), 3)
    with pytest.raises(InputTooSmallError):
        resolve(trained, InputSpec(4, 4, 1), 3)
    with pytest.raises(InputError, match="'hidden' goes with a network of the catalogue"):
        resolve(trained, spec, 3, hidden=4)


ZOO = {
    "alexnet": 224,
    "densenet121": 224,
    "inceptionv3": 299,
    "mobilenet0.25": 64,
    "mobilenetv2_0.25": 64,
    "resnet18_v1": 64,
    "resnet50_v1": 64,
    "resnet18_v2": 64,
    "resnet50_v2": 64,
    "squeezenet1.0": 224,
    "squeezenet1.1": 224,
    "vgg11": 32,
    "vgg11_bn": 32,
}


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
@pytest.mark.parametrize("name", ZOO)
def test_mxnets_own_model_zoo_is_taken(mx, name):
    block = mx.gluon.model_zoo.vision.get_model(name, classes=1000)
    graph = resolve(block, InputSpec(ZOO[name], ZOO[name], 3), 7)
    assert graph.output_shape == (7,)
    assert list(graph.groups) == ["backbone", "head"]
    source = graph.nodes[graph.nodes[graph.index_of(graph.head)].inputs[0][0]]
    if source.op == "Dropout":  # belongs to the head
        source = graph.nodes[source.inputs[0][0]]
    assert graph.features == source.name
    assert_mxnet_agrees(mx, graph)
    weights = [p for p in graph.parameters.values() if p.kind == "weight" and p.group != "head"]
    assert {p.init for p in weights if len(p.shape) == 4} == {"he"}
    assert {p.init for p in weights if len(p.shape) == 2} <= {"xavier"}
    assert {p.init for p in graph.parameters.values() if p.kind == "scale"} <= {"ones"}


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_a_blocks_weights_are_taken_along(mx):
    block = mx.gluon.model_zoo.vision.get_model("mobilenet0.25", classes=5)
    block.initialize(mx.init.Xavier())
    images = np.random.default_rng(0).normal(size=(2, 3, 40, 48)).astype(np.float32)
    expected = block(mx.nd.array(images)).asnumpy()
    graph = resolve(block, InputSpec(40, 48, 3), 5)
    assert graph.weights.keys() == graph.parameters.keys()
    assert all(type(w) is np.ndarray and w.dtype == np.float32 for w in graph.weights.values())
    np.testing.assert_allclose(forward(mx, graph, graph.weights, images), expected, atol=1e-5)
    other = resolve(block, InputSpec(40, 48, 1), 2)
    missing = set(other.parameters) - set(other.weights)
    assert {other.parameters[n].group for n in missing} == {"backbone", "head"}
    assert len(missing) == 3  # the first convolution's weight, and the head's two


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_the_one_slope_of_gluons_prelu_is_every_channels(mx):
    block = mx.gluon.nn.HybridSequential()
    block.add(mx.gluon.nn.Conv2D(4, 3), mx.gluon.nn.PReLU(), mx.gluon.nn.Dense(5))
    block.initialize()
    images = np.random.default_rng(0).normal(size=(2, 1, 8, 9)).astype(np.float32)
    expected = block(mx.nd.array(images)).asnumpy()
    graph = resolve(block, InputSpec(8, 9, 1), 5)
    assert graph.weights.keys() == graph.parameters.keys()
    np.testing.assert_allclose(forward(mx, graph, graph.weights, images), expected, atol=1e-6)


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_a_block_without_weights_is_taken_bare(mx):
    block = mx.gluon.nn.HybridSequential()
    block.add(mx.gluon.nn.Conv2D(4, 3), mx.gluon.nn.PReLU(), mx.gluon.nn.Dense(5))
    graph = resolve(block, InputSpec(8, 8, 1), 3)
    assert graph.weights is None
    assert_mxnet_agrees(mx, graph)


def symbol(mx, data="data"):
    x = mx.sym.Convolution(mx.sym.var(data), kernel=(3, 3), num_filter=4, name="conv")
    x = mx.sym.LRN(mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), name="pool"), nsize=3)
    x = mx.sym.FullyConnected(x * 2 + 1, num_hidden=10, name="scores")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def test_a_symbol_and_its_file_are_taken(mx, tmp_path):
    spec = InputSpec(9, 8, 2)
    for data in ("data", "image"):
        graph = resolve(symbol(mx, data), spec, 3)
        assert (graph.head, graph.output_shape, graph.nodes[0].name) == ("scores", (3,), "data")
        assert_mxnet_agrees(mx, graph)
    file = tmp_path / "mine-symbol.json"
    symbol(mx).save(str(file))
    for given in (file, str(file)):
        own = resolve(given, spec, 3)
        assert own.name == "mine"
        assert own.parameters == graph.parameters


def test_what_mxnet_wrote_beside_a_variable_does_not_bind(mx):
    """Gluon notes shapes and rates at its variables; another head or size would contradict them."""
    data = mx.sym.var("data", shape=(1, 1, 5, 5))
    weight = mx.sym.var("w", shape=(10, 25), lr_mult=0.1, init=mx.init.One(), dtype="float16")
    own = mx.sym.FullyConnected(data, weight, num_hidden=10, no_bias=True, name="fc")
    graph = resolve(own, InputSpec(8, 8, 1), 3)
    assert graph.parameters["w"].shape == (3, 64)
    assert_mxnet_agrees(mx, graph)


def test_what_cannot_be_a_network_is_refused(mx, tmp_path):
    spec = InputSpec(8, 8, 3)
    x = mx.sym.var("data")
    binary = tmp_path / "binary-symbol.json"
    binary.write_bytes(b"\xff\xfe\x00")
    text = tmp_path / "text.json"
    text.write_text("hello")

    dense = mx.sym.FullyConnected(x, num_hidden=2, name="fc")
    for given, kind, message in [
        (tmp_path / "none.json", InputError, "none.json.*cannot be read: No such file"),
        ("none/at/all", InputError, "cannot be read"),
        (tmp_path, InputError, "cannot be read"),
        (binary, ModelFileError, "not text"),
        (text, ModelFileError, "not a graph"),
        (3, InputError, "not a int"),
        (None, InputError, "not a NoneType"),
        (x, InputError, "must have one input, the image; it has 0"),
        (mx.sym.Convolution(x, kernel=(3, 3), num_filter=2), InputError, r"\(7, 6, 6\)"),
        (mx.sym.Flatten(x), InputError, "no dense layer"),
        (dense + mx.sym.var("other"), InputError, "uses 'other' beside the image"),
        (mx.sym.var("a") + mx.sym.var("b"), InputError, "it has 2"),
        (mx.sym.contrib.box_iou(x, dense), ModelFileError, "'_contrib_box_iou'"),
    ]:
        with pytest.raises(kind, match=message):
            resolve(given, spec, 7)


@pytest.mark.needs_mxnet1("its blocks compute by operators of mxnet.npx")
def test_blocks_that_cannot_be_a_network_are_refused(mx):
    class Two(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return x, x

    class Broken(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return x.shape[0]

    for given, message in [
        (Two(), "returns a (list|tuple); a network must return one"),
        (Broken(), "cannot be turned into a symbol"),
    ]:
        with pytest.raises(InputError, match=message):
            resolve(given, InputSpec(8, 8, 3), 7)


def test_a_block_of_mxnet_2_is_refused_with_what_to_give_instead(mx):
    if hasattr(mx.sym, "load_json"):
        pytest.skip("this is MXNet 1.9, whose blocks are taken")
    with pytest.raises(InputError, match=r"'dense' is of MXNet 2\..*give a symbol made by"):
        resolve(mx.gluon.nn.Dense(3), InputSpec(8, 8, 3), 3)


def test_a_resolved_graph_survives_its_file(mx):
    graph = resolve(symbol(mx), InputSpec(9, 8, 2), 3)
    back = Graph.from_dict(graph.to_dict())
    assert (back.parameters, back.groups, back.features) == (
        graph.parameters,
        graph.groups,
        graph.features,
    )
