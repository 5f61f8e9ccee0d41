"""Loops and branches in a network, against loops of NumPy and against differences."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import diglot
from diglot import ImageClassifier
from diglot.builder import Builder, initial_weights
from diglot.control_flow import cond, foreach, while_loop
from diglot.engine import Optimiser, open_executor
from diglot.engine.mxnet import load
from diglot.engine.mxnet_versions import read_graph
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, dense, own
from diglot.own_operators import register_operator

STEPS = 5


def images(n=16, height=STEPS, width=4, seed=1):
    return np.random.default_rng(seed).normal(size=(n, height, width, 1)).astype(np.float32)


def recurrent(cell="tanh"):
    """Return a network that reads an image row by row."""
    b = Builder(InputSpec(STEPS, 4, 1))
    rows = b.add("Reshape", b.data, name="rows", shape=(0, STEPS, 4))
    rows = b.add("SwapAxis", rows, name="down", dim1=0, dim2=1)
    begun = dense(b, b.data, 3, name="begun")

    def step(inner, row, state):
        seen, kept = dense(inner, row[0], 3, name="seen"), dense(inner, state[0], 3, name="kept")
        total = inner.add("elemwise_add", seen, kept, name="total")
        new = (
            own(inner, cell, total, name="new")
            if cell != "tanh"
            else act(inner, total, "tanh", name="new")
        )
        return new, new

    outputs, (last,) = foreach(b, step, rows, begun, name="scan")
    return b.graph("recurrent", dense(b, last, 2, name="head"), outputs[0])


def recurrence(x, w):
    """Return what that network computes, by a loop of NumPy."""
    rows = x.reshape(len(x), STEPS, 4)
    state, outputs = x.reshape(len(x), -1) @ w["begun_weight"].T + w["begun_bias"], []
    for t in range(STEPS):
        drive = rows[:, t] @ w["seen_weight"].T + w["seen_bias"]
        state = np.tanh(drive + state @ w["kept_weight"].T + w["kept_bias"])
        outputs.append(state)
    return state @ w["head_weight"].T + w["head_bias"], np.stack(outputs)


def halving():
    """Return a network that halves its images, or what a parameter says, until none is large."""
    b = Builder(InputSpec(2, 3, 1))
    by = b.parameter("by", (1, 1, 1, 1), init="0.5")
    limit = b.parameter("limit", (1,), init="0.25")

    def large(inner, values):
        top = inner.add("max", values[0], name="top")
        return inner.add("broadcast_greater", top, limit, name="large")

    def shrink(inner, values):
        return inner.add("broadcast_mul", values[0], by, name="shrunk")

    (small,) = while_loop(b, large, shrink, b.data, most=20, name="halving")
    return b.graph("halving", b.add("Flatten", small, name="flat"))


def dimming():
    """Return a network that scales bright batches by one parameter, dark ones by another."""
    b = Builder(InputSpec(2, 3, 1))
    bright = b.add("_greater_scalar", b.add("mean", b.data, name="mean"), name="bright", scalar=1)
    factors = {
        way: b.parameter(way, (1, 1, 1, 1), init=first)
        for way, first in [("down", "0.5"), ("up", "3")]
    }

    def scale(way):
        return lambda inner: inner.add("broadcast_mul", b.data, factors[way], name=f"scaled_{way}")

    (out,) = cond(b, bright, scale("down"), scale("up"), name="dimmer")
    return b.graph("dimming", b.add("Flatten", out, name="flat"))


def ready(graph):
    return graph.with_weights(initial_weights(graph, 1))


def learned_gradients(graph, x):
    """Return the gradients of the mean over rows of the sum of squares of the first output."""
    b = Builder(graph.input, graph)
    squares = b.add("square", b.start_output(), name="squares")
    loss = b.graph("loss", b.add("sum", squares, name="loss", axis=1))
    executor = open_executor(graph, "cpu")
    executor.prepare_training(loss, Optimiser("sgd", momentum=0.0))
    executor.train_step({"data": x}, 1.0, 0)
    return {n: graph.weights[n] - w for n, w in executor.weights().items()}


def differences(function, w, x, step=1e-5):
    """Return the same by differences, in double precision."""
    w = {n: v.astype(np.float64) for n, v in w.items()}
    found = {}
    for name, values in w.items():
        found[name] = np.zeros(values.shape)
        for place in np.ndindex(values.shape):
            kept, ends = values[place], []
            for moved in (kept + step, kept - step):
                values[place] = moved
                ends.append(np.square(function(x.astype(np.float64), w)).sum() / len(x))
            values[place] = kept
            found[name][place] = (ends[0] - ends[1]) / (2 * step)
    return found


# ---- what they compute, and how they learn


def test_a_recurrence_is_that_of_a_loop():
    graph, x = ready(recurrent()), images()
    found = open_executor(graph, "cpu").outputs({"data": x})
    last, outputs = recurrence(x, graph.weights)
    np.testing.assert_allclose(found[0], last, atol=1e-5)
    assert graph.output_shapes[graph.heads[1][0]][0] == (STEPS, 2, 3)
    # the executor's rows are those of the first axis, which is time here
    np.testing.assert_allclose(found[1], outputs, atol=1e-5)


def test_a_recurrence_has_the_gradients_of_a_loop():
    graph, x = ready(recurrent()), images(4)
    found = learned_gradients(graph, x)
    expected = differences(lambda x, w: recurrence(x, w)[0], graph.weights, x)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


def test_an_own_operator_works_in_a_loop():
    register_operator("own_tanh", np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2))
    graph, x = ready(recurrent("own_tanh")), images(4)
    last, _ = recurrence(x, graph.weights)
    np.testing.assert_allclose(open_executor(graph, "cpu").forward({"data": x}), last, atol=1e-5)
    found, plain = (learned_gradients(g, x) for g in (graph, ready(recurrent())))
    for name, values in plain.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def halved(x, w):
    x = x.copy()
    while x.max() > w["limit"][0]:
        x = x * w["by"].ravel()[0]
    return x.reshape(len(x), -1)


def test_a_loop_goes_on_as_long_as_its_condition_holds():
    graph, x = ready(halving()), images(16, 2, 3)
    executor = open_executor(graph, "cpu")
    np.testing.assert_allclose(executor.forward({"data": x}), halved(x, graph.weights), rtol=1e-6)
    small = x / 100
    np.testing.assert_array_equal(executor.forward({"data": small}), small.reshape(16, -1))
    most = graph.with_weights({**graph.weights, "limit": np.array([-9.0], np.float32)})
    found = open_executor(most, "cpu").forward({"data": x})
    np.testing.assert_allclose(found, x.reshape(16, -1) / 2**20, rtol=1e-5)


@pytest.mark.needs_mxnet1("it cannot tell how gradients of its while loops are stored")
def test_a_loop_has_gradients():
    graph, x = ready(halving()), images(16, 2, 3)
    found = learned_gradients(graph, x)
    np.testing.assert_allclose(found["by"], differences(halved, graph.weights, x)["by"], rtol=1e-3)
    assert found["limit"] == 0


def test_a_branch_is_taken_as_its_condition_says():
    graph, dark = ready(dimming()), images(16, 2, 3)
    executor = open_executor(graph, "cpu")
    for x, way, factor in [(dark, "up", 3), (dark + 5, "down", 0.5)]:
        rows = x.reshape(16, -1)
        np.testing.assert_allclose(executor.forward({"data": x}), factor * rows, rtol=1e-6)
        gradients = learned_gradients(graph, x)
        expected = 2 * factor * np.square(rows).sum() / 16
        np.testing.assert_allclose(gradients.pop(way), expected, rtol=1e-4)
        assert next(iter(gradients.values())) == 0


def test_rows_that_nobody_gave_do_not_take_part():
    """Small batches are filled up with zeros elsewhere, which would change a mean."""
    executor, x = open_executor(ready(dimming()), "cpu"), images(1, 2, 3) + 3
    np.testing.assert_allclose(executor.forward({"data": x}), x.reshape(1, 6) / 2, rtol=1e-6)


def test_loops_within_loops():
    b = Builder(InputSpec(3, 4, 1))
    rows = b.add("SwapAxis", b.data, name="rows", dim1=0, dim2=2)  # row, channel, image, column
    nothing = b.add("zeros_like", b.add("sum", b.data, name="sum", axis=(1, 2, 3)), name="nothing")

    def add_row(inner, row, total):
        columns = inner.add("SwapAxis", row[0], name="columns", dim1=0, dim2=2)

        def add_cell(core, cell, sum_):
            flat = core.add("Reshape", cell[0], name="cell", shape=(-1,))
            both = core.add("elemwise_add", flat, sum_[0], name="both")
            return (), core.add("_mul_scalar", both, name="less", scalar=0.5)

        _, inside = foreach(inner, add_cell, columns, total, name="along")
        return (), inside

    _, (total,) = foreach(b, add_row, rows, nothing, name="down")
    graph, x = b.graph("nested", total).with_weights({}), images(16, 3, 4)
    expected = np.zeros(16)
    for cell in x.reshape(16, 12).T:
        expected = (expected + cell) / 2
    found = open_executor(graph, "cpu").forward({"data": x})
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert Graph.from_json(graph.to_json(), graph.input).to_json() == graph.to_json()


def test_a_classifier_learns_with_a_loop_in_it(tmp_path):
    """The label is whether the row of light comes before the row of dark."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.3, (300, STEPS, 4))
    places = np.array([rng.permutation(STEPS)[:2] for _ in range(300)])
    x[np.arange(300), places[:, 0]] += 2
    x[np.arange(300), places[:, 1]] -= 2
    y = places[:, 0] < places[:, 1]
    net = recurrent()
    net = replace(net, heads=net.heads[:1])
    settings = {"epochs": 30, "batch_size": 20, "optimizer": "adam", "learning_rate": 0.02}
    model = ImageClassifier(net, seed=1, **settings).fit(x[:200], y[:200])
    assert model.score(x[200:], y[200:]) > 0.9
    again = diglot.load(model.save(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    assert again.fit(x[:200], y[:200]).fingerprint() == model.fingerprint()


# ---- graphs as text


@pytest.mark.parametrize("make", [recurrent, halving, dimming])
def test_text_gives_the_graph_back(make):
    graph = make()
    again = Graph.from_json(graph.to_json(), graph.input)
    assert again.nodes == graph.nodes
    assert again.parameters == graph.parameters
    assert again.output_shapes == graph.output_shapes


def test_shapes_are_those_of_mxnet(mx):
    """Of loops along an axis: MXNet cannot tell those of the others before it runs them."""
    graph = recurrent()
    symbol = read_graph(mx, graph)
    given = {"data": (2, *graph.input.shape), **{n: p.shape for n, p in graph.parameters.items()}}
    _, outputs, _ = symbol.infer_shape(**given)
    assert outputs == [graph.output_shapes[node][output] for node, output in graph.heads]


def test_mxnets_own_loops_are_read():
    mx = load()
    data, by = mx.sym.var("data"), mx.sym.var("by", shape=(1, 3))
    rows = mx.sym.swapaxes(mx.sym.reshape(data, shape=(0, 2, 3)), dim1=0, dim2=1)

    def step(row, states):
        new = mx.sym.broadcast_mul(row, by) + states[0]
        return new, [new]

    first = mx.sym.slice_axis(mx.sym.reshape(data, shape=(0, 2, 3)), axis=1, begin=0, end=1)
    first = mx.sym.reshape(first, shape=(0, 3))
    _, states = mx.sym.contrib.foreach(step, rows, [first])
    counter = mx.sym.mean(mx.sym.ones_like(data)).reshape((1,))
    _, doubled = mx.sym.contrib.while_loop(
        lambda i, s: i < 4, lambda i, s: ([], [i + 1, s * 2]), [counter, states[0]], 9
    )
    text = doubled[1].tojson()
    marked = json.loads(text)
    for node in marked["nodes"]:
        if node["name"] == "by":
            node["attrs"] = {"__shape__": "(1, 3)", "__diglot_kind__": "weight"}
    graph = Graph.from_json(json.dumps(marked), InputSpec(2, 3, 1))
    assert graph.output_shape == (3,)
    weight = np.array([[1, 2, 3]], np.float32)
    x = images(16, 2, 3)
    found = open_executor(graph.with_weights({"by": weight}), "cpu").forward({"data": x})
    rows = x.reshape(16, 2, 3)
    expected = 8 * (rows[:, 0] + (rows * weight).sum(axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def changed(graph, change):
    body = json.loads(graph.to_json())
    node = next(n for n in body["nodes"] if "subgraphs" in n)
    change(node)
    return json.dumps(body)


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.pop("subgraphs"),
        lambda node: node["subgraphs"].append(node["subgraphs"][0]),
        lambda node: node.update(subgraphs={"a": 1}),
        lambda node: node.update(op="relu"),
        lambda node: node["attrs"].update(in_data_locs="[9]"),
        lambda node: node["attrs"].update(in_state_locs="[]"),
        lambda node: node["attrs"].update(num_out_data="0"),
        lambda node: node["attrs"].pop("remain_locs"),
        lambda node: node["inputs"].pop(),
        lambda node: node["subgraphs"][0]["heads"].pop(),
        lambda node: node["subgraphs"][0].update(nodes=[]),
        lambda node: node["subgraphs"][0]["heads"].append([99, 0, 0]),
        lambda node: node["subgraphs"][0]["nodes"][-1].update(op="Dropout"),
        lambda node: node["subgraphs"][0]["nodes"][-1].update(op="no_such"),
    ],
)
def test_damaged_loops_are_refused(change):
    graph = recurrent()
    with pytest.raises(ModelFileError):
        Graph.from_json(changed(graph, change), graph.input)


def test_loops_that_lie_too_deep_are_refused():
    text = json.loads(recurrent().to_json())
    loop = next(n for n in text["nodes"] if "subgraphs" in n)
    for _ in range(6):
        inner = json.loads(json.dumps(loop["subgraphs"][0]))
        inner["nodes"][-1] = {**loop, "inputs": [[0, 0, 0]]}
        loop = {**loop, "subgraphs": [inner]}
    text["nodes"] = [loop if "subgraphs" in n else n for n in text["nodes"]]
    with pytest.raises(ModelFileError, match="more than 4"):
        Graph.from_json(json.dumps(text), InputSpec(STEPS, 4, 1))


def test_multiply_adds_count_every_step():
    rows = {row["layer"]: row for row in recurrent().layers()}
    assert rows["scan"]["multiply_adds"] == STEPS * (4 * 3 + 3 * 3)
    assert rows["scan"]["parameters"] == 4 * 3 + 3 + 3 * 3 + 3


# ---- what is refused while writing


def test_bodies_that_cannot_be_are_refused():
    b = Builder(InputSpec(STEPS, 4, 1))

    def ignores(inner, row, state):
        return row[0], row[0]

    flat = b.add("Reshape", b.data, name="flat", shape=(0, STEPS, 4))
    state = b.add("mean", flat, name="mean", axis=0)
    with pytest.raises(InputError, match="state 1 in no way"):
        foreach(b, ignores, flat, b.add("_copy", flat, name="c"), name="one")
    with pytest.raises(InputError, match="returns 2 new states and was given 1"):
        foreach(b, lambda i, x, s: (x, (s[0], s[0])), flat, state, name="two")
    with pytest.raises(InputError, match="keeps statistics"):
        foreach(b, lambda i, x, s: (i.add("BatchNorm", x[0], name="bn"), s), flat, name="three")
    with pytest.raises(ModelFileError, match="Dropout"):
        foreach(b, lambda i, x, s: (i.add("Dropout", x[0], name="d", p=0.5), s), flat, name="four")
    with pytest.raises(ModelFileError, match="LeakyReLU"):
        slopes = {"name": "r", "act_type": "rrelu"}
        foreach(b, lambda i, x, s: (i.add("LeakyReLU", x[0], **slopes), s), flat, name="slopes")
    escaped = []

    def leaks(inner, x, s):
        escaped.append(inner.add("relu", x[0], name="relu"))
        return escaped[0], ()

    foreach(b, leaks, flat, name="five")
    with pytest.raises(InputError, match="return it from the body"):
        b.add("relu", escaped[0], name="outside")
    many = b.add("mean", b.data, name="means", axis=(1, 2, 3))
    with pytest.raises(ModelFileError, match="one number"):
        cond(
            b,
            many,
            lambda i: i.add("relu", b.data, name="r1"),
            lambda i: i.add("tanh", b.data, name="t1"),
            name="six",
        )
    one = b.add("mean", b.data, name="all")
    with pytest.raises(ModelFileError, match="branches"):
        cond(
            b,
            one,
            lambda i: i.add("relu", b.data, name="r2"),
            lambda i: i.add("Flatten", b.data, name="f2"),
            name="seven",
        )
