"""The engine's door: devices, threads, and what loading MXNet leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from diglot.builder import Builder
from diglot.engine import Device, Optimiser, devices, open_executor, pick_device
from diglot.engine.layout import to_engine_layout
from diglot.engine.mxnet import gpu_count, load, physical_cores, threads
from diglot.errors import DeviceError, InputError
from diglot.graph import InputSpec, Node


def test_the_cpu_is_always_there():
    assert devices()[0]["device"] == "cpu"
    assert pick_device("cpu") == Device("cpu")
    assert str(pick_device("auto", "mxnet")) == ("gpu:0" if gpu_count() else "cpu")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="gpu:99"):
        pick_device("gpu:99")
    for wrong in ("tpu", "cpu:1", "gpu:x", "gpu:-1"):
        with pytest.raises(InputError, match=wrong):
            pick_device(wrong)


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == physical_cores() >= 1


def test_loading_leaves_numpy_as_it_was():
    assert load() is load()
    assert not {"bool", "int", "float", "object"} & set(np.__dict__)


def test_images_are_turned_to_the_engines_layout():
    images = np.random.default_rng(0).random((2, 5, 7, 3))
    for channels in (1, 3):
        turned = to_engine_layout(images[..., :channels])
        assert turned.dtype == np.float32
        want = np.moveaxis(images[..., :channels], 3, 1).astype(np.float32)
        assert np.array_equal(turned, want)


# ---- running graphs


def dense(length=4):
    """Return a dense layer on each row of a sequence; also put out is the sum of the input."""
    b = Builder(InputSpec(1, 1, 1), images=False)
    x = b.input("x", (length, 3))
    y = b.add("FullyConnected", x, name="dense", num_hidden=2, flatten=False)
    rng = np.random.default_rng(0)
    graph = b.graph("dense", y, b.add("sum", x, name="total", axis=(1, 2)))
    return graph.with_weights(
        {n: rng.normal(size=p.shape).astype(np.float32) for n, p in graph.parameters.items()}
    )


def trained(graph):
    """Return the loss, half the squared distance from a target, and a count of rows beside it."""
    b = Builder(graph.input, graph)
    y = b.start_output()
    error = b.add("elemwise_sub", y, b.input("target", y.shape), name="error")
    loss = b.add("sum", b.add("square", error, name="squared"), name="twice", axis=(1, 2))
    ones = b.add("ones_like", b.add("sum", y, name="sums", axis=(1, 2)), name="ones")
    return b.graph("trained", b.add("_mul_scalar", loss, name="loss", scalar=0.5), ones)


def some(rows, length=4, seed=1):
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=(2, rows, length, 3))
    return {"x": x.astype(np.float32), "target": target[..., :2].astype(np.float32)}


def computed(weights, x):
    return x @ weights["dense_weight"].T + weights["dense_bias"]


@pytest.mark.parametrize("rows", [1, 5, 16, 33])
@pytest.mark.parametrize("changing", [False, True])
def test_all_outputs_are_computed_for_any_number_of_rows(rows, changing):
    graph = dense()
    executor, x = open_executor(graph, "cpu", changing=changing), some(rows)["x"]
    first, second = executor.outputs({"x": x})
    assert np.allclose(first, computed(graph.weights, x), atol=1e-5)
    assert np.allclose(second, x.sum(axis=(1, 2)), atol=1e-5)
    assert np.array_equal(executor.forward({"x": x}), first)


def test_inputs_that_are_kept_need_not_be_given_again():
    b = Builder(InputSpec(1, 1, 1), images=False)
    x, y = b.input("x", (3,)), b.input("y", (3,))
    graph = b.graph("sum", b.add("elemwise_sub", x, y, name="difference")).with_weights({})
    executor = open_executor(graph, "cpu")
    rng = np.random.default_rng(0)
    for rows in (2, 20, 3):  # fewer rows than before, too
        one, other = rng.normal(size=(2, rows, 3)).astype(np.float32)
        executor.keep({"y": other})
        for given in (one, 2 * one):
            assert np.allclose(executor.forward({"x": given}), given - other, atol=1e-6)
    executor.keep({})
    assert np.allclose(executor.forward({"x": one, "y": one}), 0)


@pytest.mark.parametrize("changing", [False, True])
def test_weights_loaded_anew_are_seen(changing):
    graph = dense()
    executor, x = open_executor(graph, "cpu", changing=changing), some(5)["x"]
    executor.forward({"x": x})
    for times in (2, 3):
        weights = {n: times * w for n, w in graph.weights.items()}
        executor.load_weights(weights)
        assert np.allclose(executor.forward({"x": x}), computed(weights, x), atol=1e-5)


def losses_of(weights, inputs):
    return 0.5 * ((computed(weights, inputs["x"]) - inputs["target"]) ** 2).sum(axis=(1, 2))


def test_training_takes_several_lengths():
    graph = dense()
    executor = open_executor(graph, "cpu")
    executor.prepare_training(trained(graph), Optimiser("sgd", momentum=0.0))
    weights = {n: w.astype(np.float64) for n, w in graph.weights.items()}
    total, rows = 0.0, 0
    for step, (count, length) in enumerate([(6, 4), (3, 7), (6, 4), (2, 1), (5, 7)]):
        inputs = some(count, length, seed=step)
        executor.train_step(inputs, 0.1, 0)
        total, rows = total + losses_of(weights, inputs).sum(), rows + count
        error = computed(weights, inputs["x"]) - inputs["target"]
        gradients = {
            "dense_weight": np.einsum("nto,nti->oi", error, inputs["x"]) / count,
            "dense_bias": error.sum(axis=(0, 1)) / count,
        }
        weights = {n: w - 0.1 * gradients[n] for n, w in weights.items()}
    found = executor.weights()
    for name, weight in weights.items():
        assert np.allclose(found[name], weight, atol=1e-4), name
    assert executor.totals() == pytest.approx([total, rows], rel=1e-4)


def with_random_slopes(weight=-1.0):
    """Return 400 equal negative numbers behind a layer with random slopes, summed up."""
    b = Builder(InputSpec(1, 1, 1), images=False)
    x = b.add("FullyConnected", b.input("x", (1,)), name="w", num_hidden=400, no_bias=True)
    slopes = b.add("LeakyReLU", x, name="slopes", act_type="rrelu", upper_bound=0.5)
    graph = b.graph("slopes", b.add("sum", slopes, name="sum", axis=1))
    return graph.with_weights({"w_weight": np.full((400, 1), weight, np.float32)})


def test_random_slopes_are_drawn_by_the_seed():
    def learned(seed):
        executor = open_executor(with_random_slopes(), "cpu")
        executor.prepare_training(with_random_slopes(), Optimiser("sgd", momentum=0.0))
        executor.train_step({"x": np.ones((1, 1), np.float32)}, 1.0, seed)
        slopes = -1.0 - executor.weights()["w_weight"][:, 0]
        assert executor.totals() == pytest.approx([-slopes.sum()], rel=1e-4)
        return slopes, executor

    slopes, executor = learned(seed=3)
    assert 0.125 <= slopes.min() < 0.13 and 0.495 < slopes.max() <= 0.5
    assert slopes.mean() == pytest.approx((0.125 + 0.5) / 2, abs=0.02)
    assert np.array_equal(learned(seed=3)[0], slopes)
    assert not np.array_equal(learned(seed=4)[0], slopes)
    # In scoring there is their mean.
    scored = -(1 + slopes).sum() * (0.125 + 0.5) / 2
    x = np.ones((1, 1), np.float32)
    assert executor.forward({"x": x}) == pytest.approx([scored], rel=1e-4)


def test_layers_that_draw_are_known():
    def node(op, **attrs):
        return Node(op, "layer", attrs)

    drawing = [node("Dropout"), node("RNN", p="0.5"), node("LeakyReLU", act_type="rrelu")]
    still = [node("RNN", p="0.0"), node("RNN"), node("LeakyReLU", slope="0.1"), node("null")]
    assert [each.draws for each in drawing + still] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("activation", ["sigmoid", "softrelu"])
def test_a_dense_layer_that_is_used_twice_scores_as_it_should(activation):
    """MXNet's fusion of layers is wrong about these: what it computes must not come out."""
    b = Builder(InputSpec(2, 3, 1))
    dense = b.add("FullyConnected", b.data, name="dense", num_hidden=4)
    gate = b.add("Activation", dense, name="gate", act_type=activation)
    twice = b.add("_mul_scalar", dense, name="twice", scalar=2.0)
    graph = b.graph("gated", b.add("elemwise_mul", twice, gate, name="gated"))
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(4, 6)), rng.normal(size=4)
    images = rng.normal(size=(20, 2, 3, 1))
    x = images.reshape(20, 6) @ weight.T + bias
    right = 2 * x * (1 / (1 + np.exp(-x)) if activation == "sigmoid" else np.logaddexp(0, x))
    weights = {"dense_weight": weight.astype(np.float32), "dense_bias": bias.astype(np.float32)}
    executor = open_executor(graph.with_weights(weights), "cpu")
    found = executor.forward({"data": images.astype(np.float32)})
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


def test_only_training_takes_memory_for_gradients():
    """Of VGG-16 they are half a gigabyte."""
    graph = dense()
    executor = open_executor(graph, pick_device("cpu", "mxnet"))
    executor.forward(some(16))
    assert all(array.grad_req == "null" for array in executor._arrays.values())
    executor.prepare_training(trained(graph), Optimiser("sgd"), {"dense_bias": 0.0})
    kinds = {name: executor._arrays[name].grad_req for name in graph.parameters}
    assert kinds == {"dense_weight": "write", "dense_bias": "null"}
