"""Each operator on PyTorch against MXNet, in double precision: outputs and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diglot.builder import Builder
from diglot.control_flow import cond, foreach, while_loop
from diglot.errors import DiglotError, InputError
from diglot.graph import InputSpec, Node
from diglot.operators import OPERATORS
from diglot.own_operators import register_operator
from engine_checks import (
    assert_engines_agree,
    largest_difference,
    on_mxnet,
    on_torch,
    values_of,
)
from test_operators import CASES, IMAGE, RESHAPES, one_layer, recurrent

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.needs_mxnet1("2.0 computes in double precision on other paths"),
    # MXNet 1.9.1 asks scipy for what has moved.
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet"),
]

from diglot.engine import torch_operators  # noqa: E402
from diglot.engine.torch_mode import Mode  # noqa: E402
from diglot.engine.torch_program import Program  # noqa: E402

_RANDOM = {"Dropout"}
_OF_PLACES = {"pick", "Embedding", "one_hot"}  # whose last data input counts something
_POSITIVE = {"log", "log2", "log10", "log1p", "sqrt", "rsqrt", "cbrt", "reciprocal"}
_POSITIVE |= {"_power_scalar", "_rpower_scalar", "_power", "_Power", "broadcast_power"}
_NEEDED = {
    "Activation": {"act_type": "tanh"},
    "LRN": {"nsize": 3},
    "Cast": {"dtype": "float64"},
    "cast": {"dtype": "float64"},
    "amp_cast": {"dtype": "float32"},
    "clip": {"a_min": -0.5, "a_max": 0.75},
    "reverse": {"axis": (1, 3)},
    "flip": {"axis": 1},
    "sum_axis": {"axis": (1, 2)},
    "max_axis": {"axis": (1, 2)},
    "min_axis": {"axis": 2},
}
# MXNet computes these with single precision, or parts of them whatever it is given.
_SINGLE = {"InstanceNorm", "LRN", "SoftmaxActivation", "amp_cast"}
_HALF = {"erf", "LeakyReLU", "_contrib_BilinearResize2D"}


def agree(mx, op, shapes, attrs, values=None):
    graph = one_layer(op, shapes, attrs)
    given = values_of(graph)
    names = [f"input{i}" for i in range(len(shapes))]
    if op in _OF_PLACES:
        given[names[-1]] = np.floor(3 * given[names[-1]] + 2)
    if op == "where":
        given[names[0]] = (given[names[0]] > 0).astype(np.float64)
    if op in _POSITIVE:
        given = {n: np.abs(v) + 0.2 for n, v in given.items()}
    settings = {"training": op != "_grad_add"}  # of which MXNet has no gradient
    if op == "Embedding":
        settings["without"] = names
    if op in _SINGLE | _HALF:
        settings |= {"forward": 2e-6, "gradients": 2e-5}
    if op in _SINGLE:
        settings["dtype"] = "float32"
    assert_engines_agree(mx, graph, {**given, **(values or {})}, **settings)


def plain(case):
    return case.values if hasattr(case, "values") else case


def double(attrs):
    return {**attrs, "dtype": "float64"} if "dtype" in attrs else attrs


def test_every_operator_that_diglot_knows_is_there():
    assert set(torch_operators.OPERATORS) == set(OPERATORS)


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [c for c in map(plain, CASES) if c[0] != "Dropout" and "use_length" not in c[2]],
    ids=lambda v: str(v)[:40],
)
def test_operators_with_settings(mx, op, shapes, attrs):
    if op.endswith("SyncBatchNorm"):
        pytest.skip("MXNet's waits for other devices where it is given double precision")
    agree(mx, op, shapes, double(attrs))


@pytest.mark.parametrize("codes", RESHAPES, ids=str)
def test_reshape_codes(mx, codes):
    shapes = [IMAGE]
    graph = one_layer("Reshape", shapes, {"shape": codes})
    assert_engines_agree(mx, graph, values_of(graph, rows=2))


ALONE = sorted(n for n, r in OPERATORS.items() if r is OPERATORS["relu"] and n not in _RANDOM)


@pytest.mark.parametrize("op", ALONE)
def test_operators_of_one_input(mx, op):
    attrs = {"scalar": 1.7} if op.endswith("_scalar") else _NEEDED.get(op, {})
    # MXNet's gradient of a SoftmaxActivation is right for rows.
    agree(mx, op, [(7,)] if op == "SoftmaxActivation" else [(4, 3, 5)], attrs)


PAIRS = sorted(
    n
    for n, r in OPERATORS.items()
    if r in (OPERATORS["elemwise_add"], OPERATORS["broadcast_add"]) and n != "add_n"
)


@pytest.mark.parametrize("op", PAIRS)
def test_operators_of_two_inputs(mx, op):
    second = (4, 1, 5) if op.startswith("broadcast") else (4, 3, 5)
    agree(mx, op, [(4, 3, 5), second], {"num_args": 2} if op == "ElementWiseSum" else {})


@pytest.mark.parametrize("op", sorted(n for n, r in OPERATORS.items() if r is OPERATORS["sum"]))
@pytest.mark.parametrize(
    "attrs", [{}, {"axis": 1}, {"axis": (1, 3)}, {"axis": 2, "keepdims": True}]
)
def test_reductions(mx, op, attrs):
    if op == "norm" and attrs.get("axis") == (1, 3):
        attrs = {"axis": (1, 2)}
    agree(mx, op, [(4, 3, 5)], attrs)


@pytest.mark.parametrize("kind", ["leaky", "prelu", "elu", "gelu"])
def test_leaks(mx, kind):
    agree(mx, "LeakyReLU", [(4, 3, 5)], {"act_type": kind, "slope": 0.3})


def test_selu_against_its_paper():
    """MXNet's own gradient of it is not the derivative of what it computes."""
    graph = one_layer("LeakyReLU", [(20,)], {"act_type": "selu"})
    values = values_of(graph)
    (found,), gradients, _ = on_torch(graph, values)
    x, (scale, alpha) = values["input0"], (1.0507009873554805, 1.6732632423543772)
    wanted = scale * np.where(x > 0, x, alpha * np.expm1(x))
    assert largest_difference(found, wanted) < 1e-14


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh", "softrelu", "softsign"])
def test_activations(mx, kind):
    agree(mx, "Activation", [(4, 3, 5)], {"act_type": kind})


def test_equal_numbers_share_gradients_as_in_mxnet(mx):
    same = {f"input{i}": np.array([[1.0, 2, 2], [3, -1, 0]]) for i in range(2)}
    graph = one_layer("broadcast_maximum", [(3,), (3,)], {})
    assert_engines_agree(mx, graph, same)
    for op in ("max", "min"):
        graph = one_layer(op, [(3,)], {"axis": 1})
        assert_engines_agree(mx, graph, {"input0": np.array([[1.0, 1, 0], [2, 2, 2]])})
    for op in ("abs", "relu", "sign"):
        graph = one_layer(op, [(3,)], {})
        assert_engines_agree(mx, graph, {"input0": np.array([[-1.0, 0, 2]])})


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("axis", [1, None])
def test_numbers_without_bounds_are_the_largest_and_smallest(mx, op, axis):
    for bound in (np.inf, -np.inf):
        values = {"input0": np.array([[1.0, bound, bound], [2, 3, 3]])}
        graph = one_layer(op, [(3,)], {} if axis is None else {"axis": axis})
        wanted, by, _ = on_mxnet(mx, graph, values)
        found, mine, _ = on_torch(graph, values)
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(mine["input0"], by["input0"])


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("everywhere", [True, False])
def test_pooling_by_powers_keeps_the_sign_of_odd_ones(mx, power, everywhere):
    attrs = {"kernel": (2, 3), "stride": (2, 2), "pool_type": "lp", "p_value": power}
    agree(mx, "Pooling", [(3, 6, 7)], {**attrs, "global_pool": everywhere})


@pytest.mark.parametrize("power", [2, 3])
@pytest.mark.parametrize("everywhere", [True, False])
def test_pooling_by_powers_of_nothing_has_no_gradient(mx, power, everywhere):
    """Where whole windows are 0, as behind dropout, a root is infinitely steep."""
    attrs = {"kernel": (2, 3), "stride": (2, 2), "pool_type": "lp", "p_value": power}
    graph = one_layer("Pooling", [(3, 6, 7)], {**attrs, "global_pool": everywhere})
    values = values_of(graph)
    values["input0"][0, :, :4] = 0.0
    values["input0"][1] = 0.0
    assert_engines_agree(mx, graph, values)
    (found,), gradients, _ = on_torch(graph, values)
    assert (found == 0).any() and np.isfinite(gradients["input0"]).all()
    assert (gradients["input0"][1] == 0).all() and (gradients["input0"][2] != 0).any()


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("op", ["BatchNorm", "InstanceNorm", "GroupNorm"])
def test_norms_of_a_single_number(mx, op, rows):
    attrs = {"num_groups": 3} if op == "GroupNorm" else {"fix_gamma": False}
    graph = one_layer(op, [(3, 1, 1)], attrs if op != "InstanceNorm" else {})
    settings = {"dtype": "float32", "forward": 2e-6, "gradients": 2e-5}
    settings = settings if op == "InstanceNorm" else {}  # MXNet has no double precision of it
    assert_engines_agree(mx, graph, values_of(graph, rows=rows), **settings)


@pytest.mark.parametrize("convention", ["valid", "full"])
@pytest.mark.parametrize("kind", ["max", "avg", "avg alone", "sum", "lp"])
@pytest.mark.parametrize(
    "window", [(3, 2, 0, 8), (3, 2, 1, 8), (3, 3, 1, 7), (2, 2, 0, 7), (5, 3, 2, 11), (4, 1, 3, 6)]
)
def test_pooling(mx, convention, kind, window):
    kernel, stride, pad, side = window
    attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "pad": (pad,) * 2}
    attrs |= {"pool_type": kind.split()[0], "pooling_convention": convention}
    if kind == "avg alone":
        attrs["count_include_pad"] = False
    if kind == "lp":
        attrs["p_value"] = 2
    graph = one_layer("Pooling", [(3, side, side - 1)], attrs)
    wrong = kind.startswith("avg") and convention == "full"  # MXNet's gradient, not its answer
    assert_engines_agree(mx, graph, values_of(graph), training=not wrong)


@pytest.mark.parametrize("channels", [3, 20])  # as they lie in memory, and side by side
@pytest.mark.parametrize("window", [(3, 2, 1, 8), (2, 2, 0, 7)])
def test_of_several_maxima_one_has_the_gradient(mx, channels, window):
    kernel, stride, pad, side = window
    attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "pad": (pad,) * 2}
    graph = one_layer("Pooling", [(channels, side, side)], attrs)
    given = {name: np.round(values) for name, values in values_of(graph).items()}
    assert_engines_agree(mx, graph, given)


@pytest.mark.parametrize("kind", ["max", "avg", "sum"])
def test_global_pooling(mx, kind):
    agree(mx, "Pooling", [(3, 4, 5)], {"global_pool": True, "pool_type": kind})


@pytest.mark.parametrize("rank", [1, 3])
def test_windows_along_one_axis_and_three(mx, rank):
    shape = (4, 7, 6, 5)[: rank + 1]
    kernel = (2, 3, 2)[:rank]
    agree(mx, "Convolution", [shape], {"kernel": kernel, "num_filter": 3, "dilate": (2,) * rank})
    agree(mx, "Pooling", [shape], {"kernel": kernel, "stride": (2,) * rank})
    agree(mx, "Pooling", [shape], {"kernel": kernel, "pool_type": "avg"})


def test_deconvolution_to_a_given_size(mx):
    attrs = {"kernel": (3, 3), "stride": (2, 2), "num_filter": 2, "target_shape": (11, 16)}
    agree(mx, "Deconvolution", [(4, 6, 8)], attrs)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 1), (5, 1), (6, 3), (5, 3)])
def test_deconvolution_to_any_size_that_mxnet_takes(mx, kernel, stride):
    """An odd number too many at a stride of 1 neither engine takes, nor what is beyond the whole.

    The network is refused where it is read, before an engine meets it.
    """
    height, width = (stride * (side - 1) + kernel for side in (5, 6))
    for less in range(-1, 4):
        attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "num_filter": 2}
        attrs["target_shape"] = (height - less, width - 2)
        settings = {name: str(value) for name, value in attrs.items()}
        symbol = mx.sym.Deconvolution(mx.sym.var("data"), **settings)
        try:
            symbol.simple_bind(mx.cpu(), data=(1, 4, 5, 6))
        except RuntimeError:
            with pytest.raises(DiglotError, match="target_shape"):
                one_layer("Deconvolution", [(4, 5, 6)], attrs)
        else:
            agree(mx, "Deconvolution", [(4, 5, 6)], attrs)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padding(mx, mode):
    widths = (0, 0, 0, 0, 1, 2, 3, 1)
    agree(mx, "Pad", [IMAGE], {"mode": mode, "pad_width": widths, "constant_value": 3})


@pytest.mark.parametrize("attrs", [{}, {"axis": 1}, {"axis": 2, "temperature": 2.5}])
@pytest.mark.parametrize("op", ["softmax", "softmin", "log_softmax"])
def test_softmax(mx, op, attrs):
    agree(mx, op, [(4, 3, 5)], attrs)


@pytest.mark.parametrize("mode", ["instance", "channel", "spatial"])
def test_lengths_of_one(mx, mode):
    agree(mx, "L2Normalization", [IMAGE], {"mode": mode})


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("frozen", [True, False])
def test_batch_normalisation(mx, fixed, axis, frozen):
    attrs = {"fix_gamma": fixed, "axis": axis, "eps": 1e-5, "momentum": 0.8}
    graph = one_layer("BatchNorm", [IMAGE], {**attrs, "use_global_stats": frozen})
    assert_engines_agree(mx, graph, values_of(graph))
    assert_engines_agree(mx, graph, values_of(graph), training=False)


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize(("layers", "ways"), [(1, 1), (3, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_recurrence(mx, mode, layers, ways, states):
    graph = recurrent(mode, layers, ways, state_outputs=states)
    rng = np.random.default_rng(1)
    values = {n: rng.normal(0, 0.5, p.shape) for n, p in graph.parameters.items()}
    if mode == "rnn_relu":  # MXNet computes in single precision, and has no true gradients of it
        assert_engines_agree(mx, graph, values, forward=1e-6, training=False)
    else:  # nor of three layers that are no LSTM and no GRU
        true = (mode, layers) != ("rnn_tanh", 3)
        assert_engines_agree(mx, graph, values, training=true)


# ---- chance


def test_dropout_keeps_the_mean_and_drops_its_share():
    graph = one_layer("Dropout", [(50, 60)], {"p": 0.3})
    values = {"input0": np.ones((20, 50, 60))}
    (found,), gradients, _ = on_torch(graph, values)
    assert set(np.unique(found.round(6))) == {0.0, round(1 / 0.7, 6)}
    assert abs((found == 0).mean() - 0.3) < 0.01
    assert abs(found.mean() - 1) < 0.01
    (scored,), _, _ = on_torch(graph, values, training=False)
    assert np.array_equal(scored, values["input0"])


def test_dropout_along_axes_drops_whole_rows():
    graph = one_layer("Dropout", [(50, 60)], {"p": 0.5, "axes": (2,)})
    (found,), _, _ = on_torch(graph, {"input0": np.ones((2, 50, 60))})
    assert (found == found[..., :1]).all()
    assert 0.2 < (found == 0).mean() < 0.8


def test_dropout_between_recurrent_layers():
    graph = recurrent("lstm", 2, 2, state_outputs=True, p=0.5)
    rng = np.random.default_rng(1)
    values = {n: rng.normal(0, 0.5, p.shape) for n, p in graph.parameters.items()}
    with_chance, _, _ = on_torch(graph, values)
    without, _, _ = on_torch(graph, values, training=False)
    assert [a.shape for a in with_chance] == [a.shape for a in without]
    assert largest_difference(with_chance[0], without[0]) > 0.01
    # The first layer is in front of all that is dropped.
    for a, b in zip(with_chance[1:], without[1:], strict=True):
        np.testing.assert_allclose(a[:2], b[:2], rtol=1e-12)


def test_random_slopes_lie_between_their_bounds():
    graph = one_layer("LeakyReLU", [(1000,)], {"act_type": "rrelu"})
    values = {"input0": -np.ones((2, 1000))}
    (found,), _, _ = on_torch(graph, values)
    assert -0.334 < found.min() < -0.33 and -0.13 < found.max() < -0.125
    (scored,), _, _ = on_torch(graph, values, training=False)
    np.testing.assert_allclose(scored, -(0.125 + 0.334) / 2, rtol=1e-7)


# ---- what is no plain operator


def test_own_operators(mx):
    register_operator("tripled", lambda x: 3 * x, lambda gradient, x: 3 * gradient)
    b = Builder(InputSpec(2, 3, 1))
    y = b.add("Custom", b.data, name="own", op_type="diglot", operator="tripled", inputs=1)
    graph = b.graph("own", y)
    values = values_of(graph)
    (found,), gradients, _ = on_torch(graph, values)
    assert largest_difference(found, 3 * values["data"].astype(np.float32)) < 1e-6
    register_operator("wrong", lambda x: 1 / 0)
    y = b.add("Custom", b.data, name="bad", op_type="diglot", operator="wrong", inputs=1)
    with pytest.raises(InputError, match="'wrong' failed: ZeroDivisionError"):
        on_torch(b.graph("own", y), values)


def test_an_unknown_operator_is_named_with_its_layer():
    graph = one_layer("relu", [(3,)], {})
    node = Node("_contrib_box_nms", "boxes", {}, graph.nodes[-1].inputs)
    damaged = replace(graph, nodes=(*graph.nodes[:-1], node))
    with pytest.raises(InputError, match="layer 'boxes' .*'_contrib_box_nms'.*mxnet"):
        Program(damaged, Mode(False, None))


def test_a_setting_that_is_not_known_is_named_with_its_layer():
    graph = one_layer("softmax", [(3,), ()], {"use_length": True})
    with pytest.raises(InputError, match=r"layer 'layer' \(softmax\).*use_length"):
        Program(graph, Mode(False, None))


def test_loops_along_an_axis(mx):
    b = Builder(InputSpec(5, 4, 1))
    rows = b.add("Reshape", b.data, name="rows", shape=(0, 5, 4))
    rows = b.add("SwapAxis", rows, name="down", dim1=0, dim2=1)
    top = b.add("sum", b.data, name="nothing", axis=(1, 2))
    scale = b.parameter("scale", (1, 1))

    def step(inner, row, total):
        new = inner.add("elemwise_mul", row[0], total[0], name="new")
        return new, inner.add("broadcast_add", new, scale, name="more")

    sums, (total,) = foreach(b, step, rows, top, name="scan")
    graph = b.graph("scan", sums[0], total)
    assert_engines_agree(mx, graph, values_of(graph))


def test_loops_with_a_condition_and_branches():
    b = Builder(InputSpec(2, 3, 1))
    by = b.parameter("by", (1, 1, 1, 1))

    def large(inner, values):
        top = inner.add("max", values[0], name="top")
        return inner.add("_greater_scalar", top, name="large", scalar=0.25)

    def shrink(inner, values):
        return inner.add("broadcast_mul", values[0], by, name="shrunk")

    (small,) = while_loop(b, large, shrink, b.data, most=20, name="halving")
    bright = b.add("_greater_scalar", b.add("mean", b.data, name="m"), name="bright", scalar=1)
    (out,) = cond(
        b,
        bright,
        lambda inner: inner.add("_mul_scalar", small, name="less", scalar=0.5),
        lambda inner: inner.add("_mul_scalar", small, name="more", scalar=3.0),
        name="dimmer",
    )
    graph = b.graph("both", out)
    for shift, factor in ((0.0, 3.0), (5.0, 0.5)):
        x = np.random.default_rng(1).normal(size=(4, 1, 2, 3)) + shift
        (found,), gradients, _ = on_torch(graph, {"data": x, "by": np.full((1, 1, 1, 1), 0.5)})
        steps = 0
        while (x * 0.5**steps).max() > 0.25:
            steps += 1
        np.testing.assert_allclose(found, factor * x * 0.5**steps, rtol=1e-12)
        assert steps and np.abs(gradients["by"]).max() > 0
