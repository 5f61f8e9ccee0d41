"""What differs between MXNet's lines is hidden: one file of the engine, tried on either."""

from __future__ import annotations

import subprocess
import sys
from threading import Thread

import numpy as np
import pytest

from diglot.builder import Builder
from diglot.engine import Optimiser, open_executor
from diglot.engine.mxnet_versions import line, read_graph, without_broadcasting
from diglot.errors import InputError
from diglot.graph import InputSpec
from graph_checks import bound, random_weights

rng = np.random.default_rng(7)


def one(b, y):
    graph = b.graph("one", y)
    return graph.with_weights(random_weights(graph))


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_repeated_before_gives_the_same_as_broadcasting(mx, op, first):
    b = Builder(InputSpec(4, 5, 3))
    means = b.add("mean", b.data, name="means", axis=(2, 3), keepdims=True)
    sides = (b.data, means) if first else (means, b.data)
    graph = b.graph("one", b.add(f"broadcast_{op}", *sides, name="both"))
    plain = without_broadcasting(graph)
    assert {n.op for n in plain.nodes} == {"null", "mean", "broadcast_like", f"elemwise_{op}"}
    assert plain.output_shape == graph.output_shape
    images = rng.random((2, 3, 4, 5)).astype(np.float32) + 0.5
    mean = images.mean(axis=(2, 3), keepdims=True)
    calculate = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    want = calculate(images, mean) if first else calculate(mean, images)
    found = bound(mx, read_graph(mx, plain), {"data": mx.nd.array(images)}).forward()[0]
    np.testing.assert_allclose(found.asnumpy(), want, rtol=1e-5, atol=1e-6)


def test_equal_shapes_and_both_sides_broadcast_are_left_alone():
    b = Builder(InputSpec(4, 5, 3))
    rows = b.add("mean", b.data, name="rows", axis=3, keepdims=True)
    columns = b.add("mean", b.data, name="columns", axis=2, keepdims=True)
    both = b.add("broadcast_mul", rows, columns, name="both")
    twice = b.add("broadcast_add", both, both, name="twice")
    plain = without_broadcasting(b.graph("one", twice))
    assert [n.op for n in plain.nodes][-2:] == ["broadcast_mul", "elemwise_add"]


@pytest.mark.parametrize("changing", [True, False])
def test_a_weighed_convolution_is_scored_and_trained(changing):
    """2.0.0b1 fails where broadcasting follows a convolution, for which it is rewritten."""
    b = Builder(InputSpec(8, 9, 3))
    x = b.add("Convolution", b.data, name="first", kernel=(1, 1), num_filter=16, no_bias=True)
    gate = b.add("Pooling", x, name="gate", global_pool=True, kernel=(1, 1), pool_type="avg")
    x = b.add("broadcast_mul", x, gate, name="weighed")
    x = b.add("Convolution", x, name="second", kernel=(1, 1), num_filter=16, no_bias=True)
    graph = one(b, b.add("sum", x, name="sums", axis=(1, 2, 3)))
    images = rng.random((3, 8, 9, 3)).astype(np.float32)
    first, second = (graph.weights[f"{n}_weight"][:, :, 0, 0] for n in ("first", "second"))
    y = images @ first.T
    want = ((y * y.mean(axis=(1, 2), keepdims=True)) @ second.T).sum(axis=(1, 2, 3))
    executor = open_executor(graph, "cpu", changing=changing)
    np.testing.assert_allclose(executor.forward({"data": images}), want, rtol=1e-4, atol=1e-4)
    executor.prepare_training(graph, Optimiser("sgd", momentum=0.0))
    executor.train_step({"data": images}, 0.0, 1)
    np.testing.assert_allclose(executor.totals(), [want.sum()], rtol=1e-4)


def test_a_layer_that_means_something_else_is_refused(mx):
    b = Builder(InputSpec(4, 4, 6))
    graph = one(b, b.add("GroupNorm", b.data, name="norm", num_groups=2))
    if "GroupNorm" in line(mx).changed:
        with pytest.raises(InputError, match=r"MXNet 2.*GroupNorm \(layer 'norm'\).*1\.9\.1"):
            open_executor(graph, "cpu").forward({"data": np.zeros((1, 4, 4, 6))})
    else:
        images = rng.random((2, 4, 4, 6)).astype(np.float32)
        assert open_executor(graph, "cpu").forward({"data": images}).shape == (2, 6, 4, 4)


def test_any_thread_and_any_arrays_of_the_user_do(mx):
    b = Builder(InputSpec(3, 4, 1))
    flat = b.add("Flatten", b.data, name="flat")
    graph = one(b, b.add("FullyConnected", flat, name="head", num_hidden=2))
    images = rng.random((2, 3, 4, 1)).astype(np.float32)
    want = images.reshape(2, -1) @ graph.weights["head_weight"].T + graph.weights["head_bias"]
    found = []

    def compute():
        executor = open_executor(graph, "cpu")
        found.append(executor.forward({"data": images}))
        executor.prepare_training(graph, Optimiser("adam"))
        found.append(executor.weights()["head_weight"])

    compute()
    thread = Thread(target=compute)
    thread.start()
    thread.join()
    with mx.util.np_shape(True), mx.util.np_array(True):
        compute()
    for answers, weights in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_allclose(answers, want, atol=1e-5)
        np.testing.assert_array_equal(weights, graph.weights["head_weight"])
    assert len(found) == 6


def test_loading_says_nothing_and_leaves_the_smallest_numbers_be():
    code = (
        "import numpy as np\n"
        "from diglot.engine.mxnet import load\n"
        "load().nd.ones((3, 4)).sum().wait_to_read()\n"
        "print(np.float64(5e-324) * 1 > 0, np.float32(1e-42) * np.float32(1) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
