"""Operators' rules, held against MXNet's own shape inference."""

import ctypes
import itertools
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from diglot.builder import Builder
from diglot.engine.mxnet_versions import read_graph
from diglot.errors import DiglotError, ModelFileError
from diglot.graph import InputSpec
from diglot.operators import OPERATORS, Attrs, parse
from diglot.operators.known_attributes import ATTRIBUTES

BATCH = 2


def one_layer(op, shapes, attrs):
    """Return a graph of one operator, with all of the operator's outputs as heads."""
    b = Builder(InputSpec(1, 1, 1))
    inputs = [b.input(f"input{i}", shape) for i, shape in enumerate(shapes)]
    b.add(op, *inputs, name="layer", **attrs)
    graph = b.graph("one", b.data)
    last = len(graph.nodes) - 1
    outputs = len(graph.output_shapes[last])
    return replace(graph, heads=tuple((last, o) for o in range(outputs)))


def inferred(graph):
    outputs = [graph.output_shapes[node][output] for node, output in graph.heads]
    return outputs, {n: p.shape for n, p in graph.parameters.items()}


def inferred_by_mxnet(mx, graph):
    symbol = read_graph(mx, graph)
    names, statistics = symbol.list_arguments(), symbol.list_auxiliary_states()
    given = {n: (BATCH, *s) for n, s in graph.extra_inputs.items() if n in names}
    shapes, outputs, kept = symbol.infer_shape(**given)
    parameters = dict(zip([*names, *statistics], [*shapes, *kept], strict=True))
    return outputs, {n: s for n, s in parameters.items() if n not in given}


IMAGE = (4, 6, 8)
CASES = [
    ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 5}),
    ("Convolution", [IMAGE], {"kernel": (3, 2), "num_filter": 8, "num_group": 4, "no_bias": True}),
    ("Convolution", [(4, 9)], {"kernel": (3,), "num_filter": 5, "stride": (2,)}),
    ("Convolution", [(3, 5, 6, 7)], {"kernel": (2, 3, 3), "num_filter": 2, "layout": "NCDHW"}),
    ("Deconvolution", [IMAGE], {"kernel": (3, 3), "num_filter": 6, "stride": (2, 2)}),
    (
        "Deconvolution",
        [IMAGE],
        {"kernel": (4, 4), "num_filter": 6, "stride": (2, 1), "adj": (1, 0)},
    ),
    ("Deconvolution", [IMAGE], {"kernel": (2, 2), "num_filter": 2, "no_bias": False}),
    ("Deconvolution", [IMAGE], {"kernel": (2, 2), "num_filter": 6, "num_group": 2}),
    ("FullyConnected", [IMAGE], {"num_hidden": 7}),
    ("FullyConnected", [IMAGE], {"num_hidden": 7, "flatten": False, "no_bias": True}),
    ("BatchNorm", [IMAGE], {}),
    ("BatchNorm", [IMAGE], {"axis": -1, "fix_gamma": False}),
    ("_contrib_SyncBatchNorm", [IMAGE], {"key": "a"}),
    ("LayerNorm", [IMAGE], {}),
    ("LayerNorm", [IMAGE], {"axis": 1}),
    ("InstanceNorm", [IMAGE], {}),
    pytest.param(
        "GroupNorm",
        [IMAGE],
        {"num_groups": 2},
        marks=pytest.mark.needs_mxnet1("its GroupNorm has a scale for each channel"),
    ),
    ("LeakyReLU", [IMAGE], {"act_type": "prelu"}),
    ("LeakyReLU", [IMAGE], {"act_type": "gelu"}),
    ("Embedding", [(5,)], {"input_dim": 11, "output_dim": 3}),
    ("Pooling", [IMAGE], {"kernel": (2, 2), "stride": (2, 2), "pool_type": "max"}),
    ("Pooling", [IMAGE], {"kernel": (3, 2), "pool_type": "max"}),
    ("Pooling", [IMAGE], {"global_pool": True, "pool_type": "avg"}),
    ("_contrib_AdaptiveAvgPooling2D", [IMAGE], {"output_size": (3, 2)}),
    ("_contrib_AdaptiveAvgPooling2D", [IMAGE], {"output_size": 3}),
    ("_contrib_AdaptiveAvgPooling2D", [IMAGE], {}),
    ("_contrib_BilinearResize2D", [IMAGE], {"height": 3, "width": 9}),
    ("_contrib_BilinearResize2D", [IMAGE], {"scale_height": 1.5, "scale_width": 2.0}),
    ("UpSampling", [IMAGE], {"scale": 2, "sample_type": "nearest", "num_args": 1}),
    ("depth_to_space", [IMAGE], {"block_size": 2}),
    ("space_to_depth", [IMAGE], {"block_size": 2}),
    ("LRN", [IMAGE], {"nsize": 5}),
    ("L2Normalization", [IMAGE], {"mode": "channel"}),
    ("Activation", [IMAGE], {"act_type": "softrelu"}),
    ("Dropout", [IMAGE], {"p": 0.3}),
    ("clip", [IMAGE], {"a_min": 0, "a_max": 6}),
    ("hard_sigmoid", [IMAGE], {}),
    ("SoftmaxActivation", [IMAGE], {"mode": "channel"}),
    ("log_softmax", [(7,)], {"axis": -1}),
    ("_mul_scalar", [IMAGE], {"scalar": 2}),
    ("_rminus_scalar", [IMAGE], {"scalar": 1}),
    ("Cast", [IMAGE], {"dtype": "float32"}),
    ("reverse", [IMAGE], {"axis": 1}),
    ("elemwise_add", [IMAGE, IMAGE], {}),
    ("_maximum", [IMAGE, IMAGE], {}),
    ("add_n", [IMAGE, IMAGE, IMAGE], {"num_args": 3}),
    ("broadcast_mul", [IMAGE, (4, 1, 1)], {}),
    ("broadcast_sub", [(1, 6, 1), IMAGE], {}),
    ("where", [IMAGE, IMAGE, IMAGE], {}),
    ("Concat", [IMAGE, (3, 6, 8), IMAGE], {"dim": 1, "num_args": 3}),
    ("Concat", [IMAGE, (4, 6, 1)], {"dim": -1, "num_args": 2}),
    ("Concat", [IMAGE, (3, 6, 8)], {"num_args": 2}),
    ("stack", [IMAGE, IMAGE], {"axis": 1, "num_args": 2}),
    ("stack", [IMAGE, IMAGE], {"axis": -1, "num_args": 2}),
    ("dot", [(4,), (2,)], {"transpose_a": True}),
    ("batch_dot", [(3, 4), (4, 5)], {}),
    ("batch_dot", [(4, 3), (5, 4)], {"transpose_a": True, "transpose_b": True}),
    ("batch_dot", [(3, 7, 4), (3, 5, 4)], {"transpose_b": True}),
    ("batch_dot", [(3, 2, 7, 4), (3, 2, 4, 5)], {}),
    ("Flatten", [IMAGE], {}),
    ("mean", [IMAGE], {"axis": (2, 3)}),
    ("mean", [IMAGE], {"axis": (2, 3), "keepdims": True}),
    ("mean", [IMAGE], {"axis": (0, 1), "exclude": True}),
    ("sum", [IMAGE], {"axis": -1}),
    ("max", [IMAGE], {}),
    ("max", [IMAGE], {"keepdims": True}),
    ("norm", [IMAGE], {"axis": 1}),
    ("softmax", [IMAGE, (4, 6)], {"use_length": True}),
    ("argmax", [IMAGE], {"axis": 1}),
    ("argmax", [IMAGE], {"axis": 1, "keepdims": True}),
    ("pick", [(7,), ()], {}),
    ("pick", [(7,), ()], {"keepdims": True}),
    ("pick", [(7, 5), (5,)], {"axis": 1}),
    ("one_hot", [(7,)], {"depth": 4}),
    ("transpose", [IMAGE], {}),
    ("transpose", [IMAGE], {"axes": (0, 2, 3, 1)}),
    ("SwapAxis", [IMAGE], {"dim1": 1, "dim2": 3}),
    ("expand_dims", [IMAGE], {"axis": 1}),
    ("expand_dims", [IMAGE], {"axis": -1}),
    ("squeeze", [(4, 1, 8)], {"axis": 2}),
    ("squeeze", [(4, 1, 1)], {}),
    ("squeeze", [(1, 4, 1)], {"axis": (1, 3)}),
    ("squeeze", [(1, 4, 1)], {"axis": ()}),
    ("slice", [IMAGE], {"begin": (None, 1), "end": (None, 3)}),
    ("slice", [IMAGE], {"begin": (0, -3, 0, 7), "end": (2, None, 6, 1), "step": (1, 1, 2, -2)}),
    ("slice_axis", [IMAGE], {"axis": 1, "begin": 1, "end": None}),
    ("slice_axis", [IMAGE], {"axis": -1, "begin": -5, "end": -2}),
    ("slice_like", [IMAGE, (2, 3, 4)], {}),
    ("slice_like", [IMAGE, (2, 3, 4)], {"axes": (2, -1)}),
    ("SliceChannel", [IMAGE], {"num_outputs": 2}),
    ("SliceChannel", [IMAGE], {"num_outputs": 4, "axis": 1, "squeeze_axis": True}),
    ("_split_v2", [IMAGE], {"axis": 3, "indices": (0, 1, 3), "sections": 0}),
    ("_split_v2", [IMAGE], {"axis": 3, "indices": (), "sections": 4}),
    ("Pad", [IMAGE], {"mode": "edge", "pad_width": (0, 0, 0, 0, 1, 2, 3, 4)}),
    ("tile", [IMAGE], {"reps": (1, 2)}),
    ("tile", [(3,)], {"reps": (2, 1, 1, 2)}),
    ("repeat", [IMAGE], {"repeats": 2}),
    ("repeat", [IMAGE], {"repeats": 3, "axis": 2}),
    ("broadcast_to", [(1, 6, 1)], {"shape": (0, 4, 0, 8)}),
    ("broadcast_axis", [(1, 6, 1)], {"axis": (1, 3), "size": (4, 8)}),
    ("broadcast_like", [(1, 6, 1), IMAGE], {}),
    ("reshape_like", [(4, 48), IMAGE], {}),
]
RESHAPES = [
    (0, -1),
    (-1, 8),
    (0, 0, -1),
    (-2,),
    (0, 0, -2),
    (0, -3, 0),
    (-3, -3),
    (0, -4, 2, 2, -2),
    (0, -4, -1, 2, 0, 0),
    (0, 0, 0, -4, 4, -1),
    (0, 192),
    (2, 4, 48),
    (-1,),
]


@pytest.mark.parametrize(("op", "shapes", "attrs"), CASES, ids=lambda v: str(v)[:40])
def test_every_operators_rule_agrees_with_mxnet(mx, op, shapes, attrs):
    graph = one_layer(op, shapes, attrs)
    assert inferred(graph) == inferred_by_mxnet(mx, graph)


@pytest.mark.parametrize("codes", RESHAPES, ids=str)
def test_reshape_codes(mx, codes):
    graph = one_layer("Reshape", [IMAGE], {"shape": codes})
    assert inferred(graph) == inferred_by_mxnet(mx, graph)


def test_reshape_from_the_right(mx):
    for codes in [(-1, 0), (8, 0, -1), (-1, 0, 0), (0, -3, 0)]:
        graph = one_layer("Reshape", [IMAGE], {"shape": codes, "reverse": True})
        assert inferred(graph) == inferred_by_mxnet(mx, graph), codes


def test_every_listed_operator_is_mxnets(mx):
    known = set(mx.operator.get_all_registered_operators())
    assert set(OPERATORS) - known == set()


def test_operators_that_keep_the_shape_do_so_in_mxnet(mx):
    needed = {
        "Activation": {"act_type": "relu"},
        "LRN": {"nsize": 3},
        "Cast": {"dtype": "float32"},
        "cast": {"dtype": "float32"},
        "amp_cast": {"dtype": "float32"},
        "clip": {"a_min": 0, "a_max": 1},
        "reverse": {"axis": 1},
        "flip": {"axis": 1},
    }
    same = [n for n, rule in OPERATORS.items() if rule is OPERATORS["relu"]]
    assert len(same) > 60
    for op in same:
        scalar = {"scalar": 2} if op.endswith("_scalar") else {}
        graph = one_layer(op, [IMAGE], needed.get(op, scalar))
        outputs, _ = inferred_by_mxnet(mx, graph)
        assert outputs == [(BATCH, *IMAGE)], op


@pytest.mark.parametrize("op", ["Convolution", "Pooling", "Deconvolution"])
def test_windows_agree_with_mxnet_also_where_they_do_not_fit(mx, op):
    """Random kernels, strides and paddings; both must give the same size, or both refuse."""
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        attrs = {
            "kernel": tuple(rng.integers(1, 6, 2).tolist()),
            "stride": tuple(rng.integers(1, 4, 2).tolist()),
            "pad": tuple(rng.integers(0, 3, 2).tolist()),
        }
        if op == "Pooling":
            attrs |= {
                "pool_type": "avg",
                "pooling_convention": str(rng.choice(["valid", "full"])),
            }
            # MXNet refuses a padding as wide as the kernel; diglot leaves that to it.
            attrs["pad"] = tuple(np.minimum(attrs["pad"], np.array(attrs["kernel"]) - 1).tolist())
        else:
            attrs |= {"num_filter": 4, "dilate": tuple(rng.integers(1, 3, 2).tolist())}
        shape = (3, *rng.integers(1, 9, 2).tolist())
        try:
            graph = one_layer(op, [shape], attrs)
        except DiglotError:
            refused += 1
            with pytest.raises(mx.base.MXNetError):
                _mxnet_window(mx, op, shape, attrs)
            continue
        outputs, parameters = inferred_by_mxnet(mx, graph)
        assert (outputs, parameters) == inferred(graph), (shape, attrs)
    assert refused > 5


def _mxnet_window(mx, op, shape, attrs):
    symbol = getattr(mx.sym, op)(mx.sym.var("x"), **attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = symbol.infer_shape(x=(BATCH, *shape))[1]
    if outputs is None or min(outputs[0]) <= 0:  # MXNet gives up without an error
        raise mx.base.MXNetError("no shape")


@pytest.mark.parametrize(
    ("op", "shapes", "attrs", "message"),
    [
        ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 0}, "num_filter"),
        ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 2.5}, "num_filter"),
        ("Convolution", [IMAGE], {"kernel": (3,), "num_filter": 2}, "kernel"),
        ("Convolution", [IMAGE], {"num_filter": 2}, "kernel"),
        ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 3, "num_group": 3}, "groups"),
        ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 3, "stride": (0, 1)}, "stride"),
        ("Convolution", [IMAGE], {"kernel": (3, 3), "num_filter": 3, "layout": "NHWC"}, "layout"),
        ("Convolution", [(4,)], {"kernel": (3, 3), "num_filter": 3}, "works on images"),
        ("FullyConnected", [IMAGE], {"num_hidden": 3, "no_bias": "maybe"}, "no_bias"),
        ("FullyConnected", [IMAGE], {"num_hidden": 2**40}, "num_hidden"),
        ("Pooling", [IMAGE], {"kernel": (2, 2), "pooling_convention": "same"}, "convention"),
        ("elemwise_add", [IMAGE, (4, 6, 1)], {}, "differ"),
        ("broadcast_add", [IMAGE, (4, 5, 8)], {}, "combined"),
        ("broadcast_add", [IMAGE], {}, "takes 2 inputs"),
        ("Concat", [IMAGE, (4, 5, 8)], {"dim": 1, "num_args": 2}, "joined"),
        ("Reshape", [IMAGE], {"shape": (0, 7, 9)}, "cannot take the shape"),
        ("Reshape", [IMAGE], {"shape": (-1, -1)}, "two unknown"),
        ("Reshape", [IMAGE], {"shape": (0, 0, 0, 0, 0)}, "damaged"),
        ("Reshape", [IMAGE], {"shape": (0, -4, 3, 2, -2)}, "split"),
        ("transpose", [IMAGE], {"axes": (0, 1, 1, 2)}, "axes"),
        ("transpose", [IMAGE], {"axes": (0, 1, 2, 9)}, "axis"),
        ("squeeze", [IMAGE], {"axis": 1}, "drop"),
        ("SliceChannel", [IMAGE], {"num_outputs": 3}, "pieces"),
        ("batch_dot", [(3, 4), (5, 6)], {}, "multiplied"),
        ("batch_dot", [(3, 7, 4), (2, 4, 5)], {}, "multiplied"),
        ("batch_dot", [(3, 7, 4), (4, 5)], {}, "stacks of matrices"),
        ("batch_dot", [(4,), (4,)], {}, "stacks of matrices"),
        ("GroupNorm", [IMAGE], {"num_groups": 3}, "groups"),
        ("depth_to_space", [IMAGE], {"block_size": 3}, "blocks"),
        ("space_to_depth", [IMAGE], {"block_size": 3}, "blocks"),
        ("space_to_depth", [IMAGE], {"block_size": 4}, "blocks"),
        ("Deconvolution", [IMAGE], {"kernel": (2, 2), "num_filter": 3, "adj": (0, 1)}, "adj"),
        ("broadcast_like", [(1, 6, 1), (4, 6)], {}, "as many axes"),
        ("broadcast_like", [IMAGE, IMAGE], {"lhs_axes": (1,), "rhs_axes": (1,)}, "without axes"),
        ("add_n", [IMAGE, IMAGE, (4, 6, 1)], {"num_args": 3}, "differ"),
        ("UpSampling", [IMAGE], {"scale": 2, "sample_type": "bilinear", "num_args": 1}, "nearest"),
        ("relu", [IMAGE, IMAGE], {}, "takes 1 inputs, not 2"),
        ("relu", [], {}, "takes 1 inputs, not 0"),
        ("elemwise_add", [IMAGE] * 3, {}, "takes 2 inputs, not 3"),
        ("where", [IMAGE] * 2, {}, "takes 3 inputs, not 2"),
        ("add_n", [IMAGE] * 2, {}, "num_args is None"),
        ("add_n", [IMAGE] * 2, {"num_args": 3}, "has 2 inputs"),
        ("Concat", [IMAGE] * 2, {"num_args": 3}, "has 2 inputs"),
        ("stack", [IMAGE] * 2, {"num_args": 1}, "has 2 inputs"),
        ("pick", [IMAGE] * 2, {}, "at places of the shape"),
        ("sum", [IMAGE], {"axis": (1, -3)}, "an axis twice"),
        ("reshape_like", [IMAGE] * 2, {"lhs_begin": 0}, "without begin"),
        ("slice", [IMAGE], {"begin": (0, 0), "end": (1,)}, "lengths"),
        ("slice", [IMAGE], {"begin": (0,), "end": (1,), "step": (1, 1)}, "lengths"),
        ("slice_axis", [IMAGE], {"axis": 1, "begin": -5, "end": 4}, "where there are 4 places"),
        ("slice_axis", [IMAGE], {"axis": 1, "begin": 0, "end": 5}, "where there are 4 places"),
        ("Pad", [IMAGE], {"mode": "edge", "pad_width": ()}, "pad_width"),
        ("broadcast_to", [IMAGE], {}, "shape"),
        ("broadcast_axis", [IMAGE], {"axis": 1}, "size"),
        ("_split_v2", [IMAGE], {"indices": (1, 2), "axis": 2}, "indices"),
        ("_contrib_BilinearResize2D", [IMAGE], {"scale_width": 2}, "one side alone"),
        ("Pooling", [IMAGE], {"kernel": ()}, "kernel"),
        ("Pooling", [IMAGE], {"kernel": (2, 2), "stride": (0, 1), "global_pool": True}, "stride"),
        ("Dropout", [IMAGE], {"p": 1.5}, "no share"),
        ("Dropout", [IMAGE], {"axes": (-1,)}, "axes"),
        ("softmax", [IMAGE], {"use_length": True}, "lengths"),
        ("softmax", [IMAGE, (4,)], {"use_length": True}, "lengths"),
        ("softmax", [IMAGE, IMAGE], {}, "lengths"),
        ("softmax", [IMAGE], {"temperature": "inf"}, "temperature"),
        ("repeat", [IMAGE], {"repeats": 2**31 - 1, "axis": 1}, "a side of 8589934588"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(op, shapes, attrs, message):
    with pytest.raises(ModelFileError, match=message):
        one_layer(op, shapes, attrs)


# ---- recurrence


def recurrent(mode, layers, ways, length=5, rows=4, width=3, hidden=6, **attrs):
    """Return a graph of a recurrent layer, whose parameters and states are free parameters."""
    gates = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}[mode]
    sizes = [width, *[ways * hidden] * (layers - 1)]
    size = sum(ways * gates * hidden * (inputs + hidden + 2) for inputs in sizes)
    b = Builder(InputSpec(1, 1, 1))
    x = b.parameter("x", (length, rows, width))
    given = [x, b.parameter("flat", (size,))]
    for name in ("state", "memory")[: 1 + (mode == "lstm")]:
        given.append(b.parameter(name, (layers * ways, rows, hidden)))
    settings = {"mode": mode, "state_size": hidden, "num_layers": layers, **attrs}
    if ways == 2:
        settings["bidirectional"] = True
    b.add("RNN", *given, name="rnn", **settings)
    graph = b.graph("one", b.data)
    last = len(graph.nodes) - 1
    outputs = len(graph.output_shapes[last])
    return replace(graph, heads=tuple((last, o) for o in range(outputs)))


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize(("layers", "ways"), [(1, 1), (3, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_recurrence_agrees_with_mxnet(mx, mode, layers, ways, states):
    graph = recurrent(mode, layers, ways, state_outputs=states)
    symbol = read_graph(mx, graph)
    size = graph.parameters["flat"].shape
    # MXNet is told the sequence alone, and must find the sizes of all others.
    shapes, outputs, _ = symbol.infer_shape(x=(5, 4, 3))
    assert dict(zip(symbol.list_arguments(), shapes, strict=True))["flat"] == size
    assert outputs == inferred(graph)[0]
    assert len(outputs) == (1 + (mode == "lstm") if states else 0) + 1


def test_multiply_adds_of_recurrence_by_hand():
    row = recurrent("lstm", 2, 1, length=5, rows=4).layers()[-1]
    # Of one of the batch's two images: half of the rows, each of 5 words.
    assert row["multiply_adds"] == 2 * 5 * 4 * 6 * ((3 + 6) + (6 + 6))
    row = recurrent("gru", 1, 2, length=5, rows=4).layers()[-1]
    assert row["multiply_adds"] == 2 * 5 * 2 * 3 * 6 * (3 + 6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"mode": "rnn"}, "mode"),
        ({"state_size": 7}, "parameters"),
        ({"state_size": 0}, "state_size"),
        ({"num_layers": 2}, "parameters"),
        ({"bidirectional": True}, "parameters"),
        ({"projection_size": 2}, "projection_size"),
        ({"use_sequence_length": True}, "use_sequence_length"),
    ],
)
def test_recurrence_that_does_not_fit_is_refused(damage, message):
    graph = recurrent("lstm", 1, 1)
    attrs = {**graph.nodes[-1].attrs, **{name: str(value) for name, value in damage.items()}}
    damaged = replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], attrs=attrs)))
    with pytest.raises(ModelFileError, match=message):
        _ = damaged.parameters


def test_states_that_do_not_fit_are_refused():
    graph = recurrent("gru", 1, 1)
    places = {n.name: i for i, n in enumerate(graph.nodes)}
    for wrong in ("x", "flat"):
        inputs = tuple((places[n], 0) for n in ("x", "flat", wrong))
        damaged = replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], inputs=inputs)))
        with pytest.raises(ModelFileError, match="its states are"):
            _ = damaged.parameters


def test_multiply_adds_by_hand():
    rows = {}
    for op, shapes, attrs in [
        ("Convolution", [(4, 6, 8)], {"kernel": (3, 2), "num_filter": 8, "num_group": 4}),
        ("Deconvolution", [(4, 6, 8)], {"kernel": (2, 2), "num_filter": 3, "stride": (2, 2)}),
        ("FullyConnected", [(4, 6, 8)], {"num_hidden": 7}),
        ("batch_dot", [(3, 4), (4, 5)], {}),
        ("Pooling", [(4, 6, 8)], {"kernel": (2, 2)}),
    ]:
        rows[op] = one_layer(op, shapes, attrs).layers()[-1]["multiply_adds"]
    assert rows == {
        "Convolution": 8 * 4 * 7 * (1 * 3 * 2),
        "Deconvolution": 4 * 6 * 8 * 3 * 2 * 2,
        "FullyConnected": 4 * 6 * 8 * 7,
        "batch_dot": 3 * 5 * 4,
        "Pooling": 0,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(3, 3)", (3, 3)),
        ("[0, 1, 3]", (0, 1, 3)),
        ("(3,)", (3,)),
        ("()", ()),
        ("(None, 2)", (None, 2)),
        ("3L", 3),
        ("(3L, 4L)", (3, 4)),
        ("-1", -1),
        ("1e-05", 1e-5),
        ("True", True),
        ("false", False),
        ("None", None),
        ("relu", "relu"),
        ("NCHW", "NCHW"),
        ("", ""),
        ("(((((", "((((("),
        ("__import__('os')", "__import__('os')"),
        (7, 7),
    ],
)
def test_attributes_are_read(text, value):
    assert parse(text) == value


def test_attributes_take_one_number_for_all_axes():
    attrs = Attrs({"kernel": "3", "stride": "()", "pad": "(1, 2)"})
    assert attrs.numbers("kernel", 2, 1) == (3, 3)
    assert attrs.numbers("stride", 2, 1) == (1, 1)
    assert attrs.numbers("pad", 2, 0) == (1, 2)
    assert attrs.numbers("dilate", 3, 1) == (1, 1, 1)


def test_parse_survives_any_text():
    alphabet = ["(", ")", "[", "]", ",", "1", "L", "None", "null", "e", "-", " ", "x"]
    for letters in itertools.product(alphabet, repeat=3):
        parse("".join(letters))


# ---- attributes: names, kinds and what must be there, as MXNet lists them

KINDS = {
    "Shape(tuple)": "shape",
    "Shape": "shape",
    "boolean": "bool",
    "double": "float",
    "float": "float",
    "int": "int",
    "int (non-negative)": "uint",
    "long (non-negative)": "uint",
    "string": "text",
}
# MXNet reads these by hand: what it lists is not what it does.
BY_HAND = {"add_n", "ElementWiseSum", "smooth_l1", "Custom"}


def listed(op):
    """Return an operator's attributes, written as in the table, from what MXNet says of itself."""
    import mxnet.base as base

    pointers = [ctypes.c_char_p() for _ in range(4)]
    count, handle = ctypes.c_uint(), ctypes.c_void_p()
    lists = [ctypes.POINTER(ctypes.c_char_p)() for _ in range(3)]
    base.check_call(base._LIB.NNGetOpHandle(op.encode(), ctypes.byref(handle)))
    name, about, key, returned = map(ctypes.byref, pointers)
    names, types, texts = map(ctypes.byref, lists)
    base.check_call(
        base._LIB.MXSymbolGetAtomicSymbolInfo(
            handle, name, about, ctypes.byref(count), names, types, texts, key, returned
        )
    )
    found = {}
    for i in range(count.value):
        told = lists[1][i].decode()
        if told.startswith(("NDArray", "Symbol")):
            continue
        kind, *_ = re.split(r", ?(?:optional|required)", told)
        words = re.findall(r"'(\w+)'", kind)
        plain = "|".join(words) if words else KINDS[kind.removesuffix(" or None")]
        none = "None," in kind or kind.endswith(" or None")
        need = "" if "optional" in told else "!"
        found[lists[0][i].decode()] = f"{plain}{'?' if none else ''}{need}"
    return found


@pytest.mark.needs_mxnet1("2.0 lists other attributes")
def test_attributes_are_those_that_mxnet_lists(mx):
    def sorted_words(kind):
        return re.sub(r"[\w|]+", lambda m: "|".join(sorted(m[0].split("|"))), kind)

    for op in OPERATORS.keys() - BY_HAND:
        ours = {key: sorted_words(kind) for key, kind in ATTRIBUTES.get(op, {}).items()}
        assert ours == listed(op), op


@pytest.mark.parametrize(
    ("op", "attrs", "message"),
    [
        ("BatchNorm", {"eps": "None"}, "its eps is 'None', not float"),
        ("BatchNorm", {"momentum": ""}, "its momentum is ''"),
        ("BatchNorm", {"eps": "1e999"}, "its eps is '1e999'"),
        ("BatchNorm", {"axis": "1" * 30}, "its axis is .1111.*, not int"),
        ("Activation", {}, "it lacks act_type"),
        ("Activation", {"act_type": "swish"}, "its act_type is 'swish'"),
        ("relu", {"slope": "1"}, "attribute 'slope', which MXNet does not know"),
        ("Dropout", {"axes": "(1, 2"}, "its axes is"),
        ("Dropout", {"axes": "(99999999999,)"}, "its axes is"),
        ("Pooling", {"kernel": "(2, 2)", "count_incll": "1"}, "'count_incll'"),
    ],
)
def test_attributes_that_mxnet_could_not_read_are_refused(op, attrs, message):
    with pytest.raises(ModelFileError, match=message):
        one_layer(op, [IMAGE], attrs)
