"""Operators of one's own: their gradients, in training, in files that do not hold them."""

from __future__ import annotations

import numpy as np
import pytest

import diglot
from diglot import ImageClassifier, check_operator, network, own_operators, register_operator
from diglot.builder import Builder, initial_weights
from diglot.engine import open_executor
from diglot.errors import InputError, ModelFileError
from diglot.graph import Graph, InputSpec
from diglot.networks.layers import act, dense, flatten, own


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sloped(gradient, x):
    return gradient * sigmoid(x) * (1 - sigmoid(x))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(own_operators, "_REGISTERED", {})
    register_operator("my_sigmoid", sigmoid, sloped)
    register_operator(
        "outer",
        lambda x, y: x[:, :, None] * y[:, None, :],
        lambda g, x, y: ((g * y[:, None, :]).sum(axis=2), (g * x[:, :, None]).sum(axis=1)),
        lambda a, b: (*a, *b),
    )


def small(activation):
    b = Builder(InputSpec(4, 5, 1))
    x = dense(b, flatten(b, b.data, name="flat"), 6, name="first")
    x = activation(b, x)
    return b.graph("small", dense(b, x, 3, name="head"))


def mine():
    return small(lambda b, x: own(b, "my_sigmoid", x, name="on"))


def theirs():
    return small(lambda b, x: act(b, x, "sigmoid", name="on"))


def some(n=60):
    rng = np.random.default_rng(1)
    images, labels = rng.random((n, 4, 5)), np.arange(n) % 3
    images[labels == 0, 0, 1] += 1
    images[labels == 1, 3, 4] += 1
    return images, labels


def test_it_learns_as_the_same_operator_of_mxnet_does():
    models = [
        ImageClassifier(net, epochs=3, batch_size=10, seed=1).fit(*some())
        for net in (mine(), theirs())
    ]
    for name, weight in models[0].network_.weights.items():
        np.testing.assert_allclose(weight, models[1].network_.weights[name], atol=1e-6)
    found = [model.predict_proba(some()[0]) for model in models]
    np.testing.assert_allclose(*found, atol=1e-6)
    assert models[0].fit(*some()).fingerprint() == models[0].fit(*some()).fingerprint()


def test_several_inputs_and_another_shape():
    b = Builder(InputSpec(1, 1, 1), images=False)
    x, y = b.input("x", (2,)), b.input("y", (3,))
    product = own(b, "outer", x, y, name="outer")
    assert product.shape == (2, 3)
    graph = b.graph("outer", b.add("sum", product, name="sum", axis=(1, 2))).with_weights({})
    rng = np.random.default_rng(1)
    given = {"x": rng.normal(size=(20, 2)), "y": rng.normal(size=(20, 3))}
    given = {n: v.astype(np.float32) for n, v in given.items()}
    executor = open_executor(graph, "cpu")
    expected = given["x"].sum(axis=1) * given["y"].sum(axis=1)
    np.testing.assert_allclose(executor.forward(given), expected, atol=1e-5)
    _, gradient = executor.gradients(given, "x", np.ones_like)
    expected = np.repeat(given["y"].sum(axis=1)[:, None], 2, axis=1)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_without_a_gradient_none_passes():
    register_operator("rounded", np.round)
    b = Builder(InputSpec(2, 2, 1))
    graph = b.graph("rounded", own(b, "rounded", b.data, name="rounded")).with_weights({})
    images = np.random.default_rng(1).normal(size=(16, 2, 2, 1)).astype(np.float32)
    values, gradient = open_executor(graph, "cpu").gradients({"data": images}, "data", np.ones_like)
    np.testing.assert_array_equal(values[:, 0], np.round(images[..., 0]))
    assert not gradient.any()


def test_gradients_are_held_against_differences():
    rng = np.random.default_rng(1)
    assert check_operator("my_sigmoid", rng.normal(size=(3, 4))) < 1e-7
    assert check_operator("outer", rng.normal(size=(2, 3)), rng.normal(size=(2, 2))) < 1e-7
    register_operator("wrong", sigmoid, lambda gradient, x: gradient * sigmoid(x))
    assert check_operator("wrong", rng.normal(size=(3, 4))) > 0.1
    with pytest.raises(ModelFileError, match="'nothing', which is not registered"):
        check_operator("nothing", np.ones((2, 2)))
    with pytest.raises(InputError, match="arrays"):
        check_operator("my_sigmoid")


@pytest.mark.parametrize("name", ["", "a b", "1a", "None", 3, "x" * 200])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(InputError, match="name"):
        register_operator(name, np.sin)


def test_what_is_no_function_is_refused():
    for arguments in [(None,), (np.sin, 3), (np.sin, None, "same")]:
        with pytest.raises(InputError, match="function"):
            register_operator("odd", *arguments)


def test_a_file_says_its_name_and_not_its_code(tmp_path, monkeypatch):
    model = ImageClassifier(mine(), epochs=1, seed=1).fit(*some())
    file = model.save(tmp_path / "model.safetensors")
    again = diglot.load(file)
    np.testing.assert_array_equal(again.predict_proba(some()[0]), model.predict_proba(some()[0]))
    monkeypatch.setattr(own_operators, "_REGISTERED", {})
    with pytest.raises(ModelFileError, match=r"'on'.*register_operator\('my_sigmoid'.*first"):
        diglot.load(file)


def test_operators_of_other_peoples_code_are_refused():
    text = mine().to_json().replace('"diglot"', '"their_op"')
    with pytest.raises(ModelFileError, match="'their_op' of somebody's Python code"):
        Graph.from_json(text, InputSpec(4, 5, 1))
    for old, new in [('"inputs":"1"', '"inputs":"2"'), ('"operator":"my_sigmoid"', '"a":"b"')]:
        assert old in mine().to_json()
        with pytest.raises(ModelFileError, match="'on'"):
            Graph.from_json(mine().to_json().replace(old, new), InputSpec(4, 5, 1))


def test_what_a_function_raises_reaches_the_user(capfd):
    def failing(x):
        raise ZeroDivisionError("by zero")

    def interrupted(x):
        raise KeyboardInterrupt

    graph = mine()
    graph = graph.with_weights(initial_weights(graph, 1))
    data = {"data": np.zeros((16, 4, 5, 1), np.float32)}
    for forward, error, message in [
        (failing, InputError, "'my_sigmoid' failed: ZeroDivisionError: by zero"),
        (lambda x: x[:, :2], InputError, r"shape \(16, 6\).*returned \(16, 2\)"),
        (interrupted, KeyboardInterrupt, ""),
    ]:
        register_operator("my_sigmoid", forward, sloped)
        with pytest.raises(error, match=message):
            open_executor(graph, "cpu").forward(data)
    register_operator("my_sigmoid", sigmoid, lambda gradient, x: gradient[:1])
    with pytest.raises(InputError, match="gradients of the shapes"):
        ImageClassifier(mine(), epochs=1, seed=1).fit(*some())
    register_operator("my_sigmoid", sigmoid, sloped)
    assert np.isfinite(open_executor(graph, "cpu").forward(data)).all()
    assert capfd.readouterr() == ("", "")


def test_a_shape_function_that_is_wrong_is_told():
    register_operator("odd", np.sin, None, lambda a: "wide")
    b = Builder(InputSpec(2, 2, 1))
    with pytest.raises(ModelFileError, match="'wide'"):
        own(b, "odd", b.data, name="odd")


def test_networks_of_the_catalogue_know_nothing_of_it():
    assert not any(node.op == "Custom" for node in network("lenet").nodes)
