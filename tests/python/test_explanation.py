"""Explanations against numbers computed by hand, finite differences, loops, and planted patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import correlate
from skimage.segmentation import slic
from skimage.transform import resize

from diglot import ImageClassifier, network
from diglot.builder import Builder, initial_weights
from diglot.engine import Optimiser, open_executor
from diglot.errors import InputError
from diglot.explanation import METHODS, grad_cam, integrated_gradients, occlusion, settings_of
from diglot.explanation.fills import fill
from diglot.explanation.scales import SCALES, score, score_gradient
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images
from diglot.networks.layers import act, add, conv, dense, dropout, global_pool, norm, pool
from diglot.weighted import Network

SPEC = InputSpec(9, 8, 2, mean=(0.4, 0.6), std=(0.3, 0.2))


# ---- a small network twice: as a graph, and in NumPy's float64


def tiny(spec=SPEC):
    """Return a network with all that is delicate: statistics, maxima, dropout, a branch."""
    b = Builder(spec)
    x = act(b, norm(b, conv(b, b.data, 3, name="conv1"), name="bn"), "tanh", name="tanh1")
    x = pool(b, x, name="pool")
    branch = act(b, conv(b, x, 3, name="conv2"), "softrelu", name="branch")
    x = add(b, x, branch, name="sum")
    x = dropout(b, x, 0.5, name="dropout")
    graph = b.graph("tiny", dense(b, global_pool(b, x, name="mean"), 4, name="head"))
    rng = np.random.default_rng(3)
    weights = {n: rng.normal(size=p.shape) for n, p in graph.parameters.items()}
    weights["bn_moving_var"] = weights["bn_moving_var"] ** 2 + 0.5
    return graph.with_weights({n: w.astype(np.float32) for n, w in weights.items()})


def convolved(x, w, bias):
    """Filter (channels, rows, columns) with padding, as a network does."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    return np.stack([correlate(padded, f, "valid")[0] + b for f, b in zip(w, bias, strict=True)])


def to_pool(w, x):
    """Compute the layer "pool" of `tiny` for an image (height, width, channels)."""
    x = convolved(np.moveaxis(x, -1, 0), w["conv1_weight"], w["conv1_bias"])
    column = {k: w[f"bn_{k}"][:, None, None] for k in ("gamma", "beta", "moving_mean")}
    spread = np.sqrt(w["bn_moving_var"] + 1e-5)[:, None, None]
    x = np.tanh((x - column["moving_mean"]) / spread * column["gamma"] + column["beta"])
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    x = x[:, : 2 * rows, : 2 * columns].reshape(-1, rows, 2, columns, 2)
    return x.max(axis=(2, 4))


def to_branch(w, x):
    return np.log1p(np.exp(convolved(x, w["conv2_weight"], w["conv2_bias"])))


def from_sum(w, pooled, branch):
    return w["head_weight"] @ (pooled + branch).mean(axis=(1, 2)) + w["head_bias"]


def tiny_logits(w, x):
    pooled = to_pool(w, x)
    return from_sum(w, pooled, to_branch(w, pooled))


def doubles(graph):
    return {n: w.astype(np.float64) for n, w in graph.weights.items()}


def slopes(function, x, step=1e-5):
    """Return the derivatives of a function by each number of x, by central differences."""
    found = np.empty(x.size)
    for i in range(x.size):
        one = np.zeros(x.size)
        one[i] = step
        one = one.reshape(x.shape)
        found[i] = (function(x + one) - function(x - one)) / (2 * step)
    return found.reshape(x.shape)


def pictures(n=3, spec=SPEC, seed=0):
    return np.random.default_rng(seed).random((n, spec.height, spec.width, spec.channels))


def standard(images, spec=SPEC):
    return (images.astype(np.float32) - np.float32(spec.mean)) / np.float32(spec.std)


# ---- gradients


@pytest.mark.parametrize("rows", [1, 3, 17])
def test_gradients_are_those_of_scoring(rows):
    """Batch normalisation by its statistics, dropout off, maxima where they are."""
    graph = tiny()
    x = standard(pictures(rows))
    weights = np.random.default_rng(1).normal(size=(rows, 4))
    executor, w = open_executor(graph, "cpu"), doubles(graph)
    values, gradients = executor.gradients({"data": x}, "data", lambda _: weights)
    assert np.allclose(values, [tiny_logits(w, image) for image in x.astype(float)], atol=1e-5)
    for row in (0, rows - 1):
        want = slopes(lambda image, row=row: weights[row] @ tiny_logits(w, image), x[row] * 1.0)
        assert np.allclose(gradients[row], want, atol=2e-5)


def test_weights_may_follow_from_the_output():
    graph, x = tiny(), standard(pictures(2))
    executor, w = open_executor(graph, "cpu"), doubles(graph)
    _, gradients = executor.gradients({"data": x}, "data", lambda logits: 2 * logits)
    want = slopes(lambda image: (tiny_logits(w, image) ** 2).sum(), x[1] * 1.0)
    assert np.allclose(gradients[1], want, atol=1e-4)


def test_what_training_draws_is_not_drawn():
    """Dropout and slopes of a random leaky rectifier, whose mean counts."""
    b = Builder(InputSpec(6, 6, 1))
    x = b.add("LeakyReLU", conv(b, b.data, 4, name="conv"), name="slopes", act_type="rrelu")
    x = dropout(b, x, 0.9, name="dropout")
    graph = b.graph("drawn", dense(b, global_pool(b, x, name="mean"), 2, name="head"))
    graph = graph.with_weights(initial_weights(graph, 1))
    x = pictures(20, graph.input).astype(np.float32) - 0.5
    executor = open_executor(graph, "cpu")
    first = executor.gradients({"data": x}, "data", np.ones_like)
    again = executor.gradients({"data": x}, "data", np.ones_like)
    assert np.allclose(first[0], executor.forward({"data": x}), atol=1e-6)
    assert np.array_equal(first[1], again[1])
    step = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    steep = (executor.forward({"data": x + 1e-3 * step}) - first[0]).sum(axis=1) / 1e-3
    assert np.allclose((first[1] * step).sum(axis=(1, 2, 3)), steep, atol=0.01)


def test_gradients_leave_scoring_and_training_alone():
    graph, x = tiny(), standard(pictures(20))
    b = Builder(graph.input, graph)
    logits = b.start_output()
    loss = b.add("sum", b.add("square", logits, name="squared"), name="loss", axis=1)
    training = b.graph("training", loss)
    ends = []
    for asks in (False, True):
        executor = open_executor(graph, "cpu")
        before = executor.forward({"data": x})
        if asks:
            executor.gradients({"data": x}, "data", np.ones_like)
            assert np.array_equal(executor.forward({"data": x}), before)
        executor.prepare_training(training, Optimiser("sgd", momentum=0.9))
        for step in range(3):
            executor.train_step({"data": x}, 0.01, step)
            if asks:
                executor.gradients({"data": x}, "data", np.ones_like)
        ends.append(executor.weights())
    assert all(np.array_equal(ends[0][n], ends[1][n]) for n in ends[0])
    assert not np.array_equal(ends[0]["head_weight"], graph.weights["head_weight"])


@pytest.mark.parametrize("scale", SCALES)
def test_scores_and_their_derivatives(scale):
    logits, codes = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 3, 1, 2, 3])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = p[np.arange(5), codes]
    want = {"logit": logits[np.arange(5), codes], "log_odds": np.log(p / (1 - p)), "probability": p}
    assert np.allclose(score(logits, codes, scale), want[scale], rtol=1e-12)
    found = score_gradient(logits, codes, scale)
    for row in range(5):
        by_steps = slopes(
            lambda v, row=row: score(v[None], codes[row : row + 1], scale)[0], logits[row]
        )
        assert np.allclose(found[row], by_steps, atol=1e-9)


def test_scores_of_certain_networks_stay_finite():
    logits = np.array([[900.0, -900.0], [-900.0, 900.0]])
    for scale in SCALES:
        assert np.isfinite(score(logits, np.array([0, 0]), scale)).all()
        assert np.isfinite(score_gradient(logits, np.array([0, 0]), scale)).all()


# ---- Grad-CAM


def cam_by_hand(cells, gradients, height, width):
    cam = np.maximum(sum(g.mean() * c for g, c in zip(gradients, cells, strict=True)), 0)
    return resize(cam, (height, width), order=1, mode="edge", anti_aliasing=False)


@pytest.mark.parametrize("layer", ["pool", "branch", None])
@pytest.mark.parametrize("scale", SCALES)
def test_grad_cam_is_the_papers_formula(layer, scale):
    """Also for a layer beside which another path leads from the image to the output."""
    graph, images = tiny(), pictures(5)
    w = doubles(graph)
    found = grad_cam(graph, images, [0, 1, 2, 3, 1], layer=layer, scale=scale)
    assert found.settings == {"layer": layer or "dropout"}
    assert found.maps.shape == (5, 9, 8) and found.method == "grad_cam"
    for row, code in enumerate(found.classes):
        pooled = to_pool(w, standard(images)[row].astype(float))
        branch = to_branch(w, pooled)
        cells, rest = {
            "pool": (pooled, lambda a: from_sum(w, a, to_branch(w, a))),
            "branch": (branch, lambda a, pooled=pooled: from_sum(w, pooled, a)),
            None: (pooled + branch, lambda a: from_sum(w, a, 0)),
        }[layer]

        def value(a, rest=rest, code=code):
            return score(rest(a)[None], np.array([code]), scale)[0]

        want = cam_by_hand(cells, slopes(value, cells), 9, 8)
        assert np.allclose(found.maps[row], want, atol=1e-5), row
        assert np.isclose(found.scores[row], value(cells), atol=1e-5)
    assert found.maps.max() > 0


def test_the_largest_output_is_explained_by_default():
    graph, images = tiny(), pictures(6)
    average = Network.of(graph).logits(standard(images)).mean(axis=0)
    bias = graph.weights["head_bias"] - average
    graph = graph.with_weights({**graph.weights, "head_bias": bias})
    largest = Network.of(graph).logits(standard(images)).argmax(axis=1)
    assert len(set(largest)) > 1
    for method in (grad_cam, integrated_gradients, occlusion):
        found, told = method(graph, images), method(graph, images, largest)
        assert np.array_equal(found.classes, largest)
        assert np.array_equal(found.maps, told.maps)
    one = grad_cam(graph, images, 2)
    assert set(one.classes) == {2}


# ---- integrated gradients


@pytest.mark.parametrize("baseline", ["mean", "black", 0.7, (0.2, 0.9)])
@pytest.mark.parametrize("steps", [1, 5])
def test_of_a_linear_network_each_pixel_has_its_weight_times_its_change(baseline, steps):
    graph = network("mlp", classes=3, hidden=(), size=(9, 8), channels=2)
    graph = replace(graph, input=SPEC)
    graph = graph.with_weights(initial_weights(graph, 1))
    images = pictures(4)
    found = integrated_gradients(graph, images, [0, 1, 2, 2], baseline=baseline, steps=steps)
    start = {"mean": SPEC.mean, "black": (0, 0)}.get(baseline, baseline)
    weights = graph.weights["head_weight"].reshape(3, 2, 9, 8)[found.classes].transpose(0, 2, 3, 1)
    change = (images - np.asarray(start)) / SPEC.std
    assert np.allclose(found.maps, (weights * change).sum(axis=3), atol=1e-5)
    assert np.allclose(found.changes, (weights * change).sum(axis=(1, 2, 3)), atol=1e-5)
    assert abs(found.completeness_error).max() < 1e-5


@pytest.mark.parametrize("scale", SCALES)
def test_maps_sum_to_the_scores_change(scale):
    graph, images = tiny(), pictures(4)
    found = integrated_gradients(graph, images, 1, baseline="black", steps=200, scale=scale)
    w, black = doubles(graph), standard(np.zeros((1, 9, 8, 2)))[0].astype(float)
    ends = [tiny_logits(w, x) for x in standard(images).astype(float)]
    change = score(np.stack(ends), np.ones(4, int), scale)
    change -= score(tiny_logits(w, black)[None], np.array([1]), scale)
    assert np.allclose(found.changes, change, atol=1e-5)
    total = found.maps.astype(float).sum(axis=(1, 2))
    assert np.allclose(found.completeness_error, total - change, atol=1e-4)
    assert abs(total - change).max() < 0.01 * abs(change).max()
    rough = integrated_gradients(graph, images, 1, baseline="black", steps=2, scale=scale)
    assert abs(rough.completeness_error).max() > abs(found.completeness_error).max()


def test_the_way_is_followed_pixel_by_pixel():
    """Against a sum over five hundred points of the way, of one pixel's finite differences."""
    graph, images = tiny(), pictures(1)
    found = integrated_gradients(graph, images, 2, steps=300)
    w, x = doubles(graph), standard(images)[0].astype(float)
    row, column, step = 4, 3, 1e-5
    total = 0.0
    points = (np.arange(500) + 0.5) / 500
    for channel in range(2):
        one = np.zeros_like(x)
        one[row, column, channel] = step
        rises = [tiny_logits(w, a * x + one)[2] - tiny_logits(w, a * x - one)[2] for a in points]
        total += np.mean(rises) / (2 * step) * x[row, column, channel]
    assert np.isclose(found.maps[0, row, column], total, rtol=0.02, atol=1e-4)


# ---- occlusion


@pytest.mark.parametrize("how", ["mean", "grey", "blur"])
@pytest.mark.parametrize("scale", ["log_odds", "probability"])
def test_occlusion_is_a_loop_over_superpixels(how, scale):
    graph, images = tiny(), pictures(3)
    found = occlusion(graph, images, [1, 0, 3], segments=12, fill=how, scale=scale)
    net = Network.of(graph)
    for row, code in enumerate([1, 0, 3]):
        x = standard(images)[row]
        hidden = {"mean": 0 * x, "grey": standard(0 * images + 0.5)[row]}.get(how)
        hidden = fill(x[None], SPEC, "blur", "fill")[0] if hidden is None else hidden
        grey = images[row].astype(np.float32).mean(axis=2)
        grey = (grey - grey.min()) / (grey.max() - grey.min())
        parts = slic(np.stack([grey] * 3, axis=2), n_segments=12)

        def value(image, code=code):
            p = np.exp(net.logits(image[None])[0].astype(float))
            p = p[code] / p.sum()
            return p if scale == "probability" else np.log(p / (1 - p))

        for part in np.unique(parts):
            covered = np.where((parts == part)[:, :, None], hidden, x)
            drop = value(x) - value(covered)
            assert np.allclose(found.maps[row][parts == part], drop, atol=2e-5)


def test_fills():
    images = pictures(2)
    x = standard(images)
    assert np.allclose(fill(x, SPEC, (0.1, 0.2), "fill"), standard(0 * images + (0.1, 0.2)))
    assert np.allclose(fill(x, SPEC, images[1], "fill")[0], x[1], atol=1e-6)
    blurred = fill(x, SPEC, "blur", "fill")
    assert blurred.shape == x.shape
    assert np.std(np.diff(blurred, axis=1)) < 0.5 * np.std(np.diff(x, axis=1))
    for wrong in ("pink", [1, 2, 3], np.nan, "1", ["a", "b"]):
        with pytest.raises(InputError, match="fill"):
            fill(x, SPEC, wrong, "fill")


# ---- a patch that alone decides the class


def planted(n, seed, patch=7, side=32):
    """Return smooth noise with a patch somewhere: bright for "day", dark for "night"."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(90, 160, (n, side // 4, side // 4))
    images = coarse.repeat(4, axis=1).repeat(4, axis=2) + rng.normal(0, 6, (n, side, side))
    bright = rng.integers(0, 2, n).astype(bool)
    inside = np.zeros(images.shape, bool)
    for row, (top, left) in enumerate(rng.integers(0, side - patch + 1, (n, 2))):
        inside[row, top : top + patch, left : left + patch] = True
    levels = np.where(bright, 245, 10)[:, None, None] + rng.normal(0, 4, images.shape)
    images = np.where(inside, levels, images).clip(0, 255).astype(np.uint8)
    return images, np.where(bright, "day", "night"), inside


@pytest.fixture(scope="module")
def model():
    images, labels, _ = planted(500, 0)
    net = network("convnet", classes=2, size=32, channels=1, widths=(16, 32, 32))
    return ImageClassifier(net, epochs=6, learning_rate=0.05, seed=1).fit(images, labels)


@pytest.mark.parametrize(
    ("method", "settings", "least"),
    [
        # the share of an image's mass that lies on the patch, which is 5 % of its area
        (grad_cam, {}, 0.2),  # a cell is 4 pixels wide, and sees more
        (integrated_gradients, {}, 0.6),
        (integrated_gradients, {"baseline": "blur"}, 0.5),
        (occlusion, {}, 0.6),
        (occlusion, {"fill": "blur", "scale": "probability"}, 0.6),
    ],
)
def test_the_patch_is_found(model, method, settings, least):
    images, labels, inside = planted(100, 1)
    assert (model.predict(images) == labels).mean() >= 0.99
    found = method(model.network_, images, **settings)
    positive = np.maximum(found.maps, 0)
    mass = (positive * inside).sum(axis=(1, 2)) / positive.sum(axis=(1, 2))
    # Of pixels that tie (a superpixel's) the one in the middle speaks for them.
    peaks = [np.flatnonzero(m == m.max()) for m in found.maps]
    on = np.mean([inside[i].flat[p[len(p) // 2]] for i, p in enumerate(peaks)])
    assert on >= 0.9, on
    assert mass.mean() >= least, mass.mean()


def test_explaining_changes_nothing(model):
    images = planted(20, 2)[0]
    before, answers = model.fingerprint(), model.predict_proba(images)
    for method in (grad_cam, integrated_gradients, occlusion):
        first, again = method(model.network_, images[:4]), method(model.network_, images[:4])
        assert np.array_equal(first.maps, again.maps)
    assert model.fingerprint() == before
    assert np.array_equal(model.predict_proba(images), answers)


def test_images_are_shown_as_the_network_sees_them(model):
    images = planted(3, 3)[0]
    found = grad_cam(model.network_, images)
    assert np.allclose(found.images, images[..., None] / 255, atol=1e-6)
    large = np.random.default_rng(0).integers(0, 256, (2, 50, 40)).astype(np.uint8)
    ready = PreparedImages(as_images(large), model.network_.input)
    found = integrated_gradients(model.network_, ready, steps=2)
    assert found.images.shape == (2, 32, 32, 1) and found.maps.shape == (2, 32, 32)
    assert np.allclose(found.images, ready.get([0, 1]) / 255, atol=1e-6)
    assert "2 maps of 32 x 32 pixels by integrated_gradients" in repr(found)


def test_many_images_are_explained_in_blocks(model, monkeypatch):
    images = planted(40, 4)[0]
    methods = [(grad_cam, {}), (integrated_gradients, {"steps": 3}), (occlusion, {"segments": 8})]
    whole = [m(model.network_, images, **settings) for m, settings in methods]
    monkeypatch.setattr("diglot.explanation.saliency.score_batch", lambda graph: 16)
    for (method, settings), want in zip(methods, whole, strict=True):
        found = method(model.network_, images, **settings)
        assert np.allclose(found.maps, want.maps, atol=1e-5)
        assert np.array_equal(found.classes, want.classes)


def test_no_images_give_no_maps(model):
    none = np.empty((0, 32, 32), np.uint8)
    for method in (grad_cam, integrated_gradients, occlusion):
        found = method(model.network_, none)
        assert found.maps.shape == (0, 32, 32) and len(found) == 0
        assert found.images.shape == (0, 32, 32, 1)


# ---- networks of all kinds


def with_weights(name, **settings):
    graph = network(name, classes=3, **settings)
    rng = np.random.default_rng(0)
    weights = initial_weights(graph, 1)
    for n, w in weights.items():
        if n.endswith(("moving_mean", "moving_var")):
            weights[n] = (w + abs(rng.normal(0, 0.2, w.shape))).astype(np.float32)
    return graph.with_weights(weights)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lenet", {"size": 20, "channels": 1}),
        ("resnet20", {"size": 16, "channels": 3}),
        ("mobilenet_v2", {"size": 64, "channels": 3}),
        ("squeezenet1_1", {"size": 64, "channels": 3}),
        ("vit_s_16", {"size": 32, "channels": 3, "width": 12, "depth": 2, "heads": 2, "patch": 8}),
    ],
)
def test_networks_of_the_catalogue(name, settings):
    graph = with_weights(name, **settings)
    side, channels = settings["size"], settings["channels"]
    images = np.random.default_rng(0).random((2, side, side, channels))
    found = integrated_gradients(graph, images, 1, steps=64, baseline="black")
    assert np.isfinite(found.maps).all()
    assert (abs(found.completeness_error) <= 0.01 * abs(found.maps).sum(axis=(1, 2))).all()
    assert occlusion(graph, images, 1, segments=6).maps.any()
    if name.startswith("vit"):
        with pytest.raises(InputError, match="sequence of patches.*occlusion"):
            grad_cam(graph, images)
        assert grad_cam(graph, images, 0, layer="patches").maps.shape == (2, side, side)
    else:
        assert np.isfinite(grad_cam(graph, images, 0).maps).all()


def covariates():
    """Return a linear network of an image and two numbers that goes by both."""
    b = Builder(InputSpec(4, 5, 1))
    x = conv(b, b.data, 2, name="conv")
    x = b.add(
        "Concat",
        global_pool(b, x, name="mean"),
        b.input("numbers", (2,)),
        name="all",
        dim=1,
        num_args=2,
    )
    graph = b.graph("covariates", dense(b, x, 2, name="head"))
    return graph.with_weights(initial_weights(graph, 5))


def test_inputs_beside_images_are_held():
    graph = covariates()
    images = np.random.default_rng(0).random((3, 4, 5))
    numbers = np.random.default_rng(1).normal(size=(3, 2))
    share = (graph.weights["head_weight"][:, 2:] @ numbers.T).T  # of each logit
    for method in (grad_cam, integrated_gradients, occlusion):
        with_them, without = (
            method(graph, images, 1, scale="logit", extra={"numbers": n})
            for n in (numbers, 0 * numbers)
        )
        assert np.allclose(with_them.scores - without.scores, share[:, 1], atol=1e-5)
        # The network is linear: what speaks for the image is the same.
        assert np.allclose(with_them.maps, without.maps, atol=1e-5)
        by_probability = method(graph, images, 1, scale="probability", extra={"numbers": numbers})
        assert not np.allclose(by_probability.maps, with_them.maps, atol=1e-3)


def test_a_single_output_is_explained_as_it_is():
    graph = network("convnet", classes=1, size=16, channels=1, widths=(4, 4))
    graph = graph.with_weights(initial_weights(graph, 1))
    images = np.random.default_rng(0).random((2, 16, 16))
    assert grad_cam(graph, images).classes.tolist() == [0, 0]
    assert occlusion(graph, images, scale="logit", segments=4).maps.any()
    with pytest.raises(InputError, match="single output"):
        occlusion(graph, images)


# ---- refusals


def test_a_flat_network_has_no_grad_cam():
    graph = with_weights("mlp", size=8, channels=1)
    with pytest.raises(InputError, match="integrated_gradients.*occlusion"):
        grad_cam(graph, np.zeros((2, 8, 8)))
    assert integrated_gradients(graph, np.ones((2, 8, 8))).maps.shape == (2, 8, 8)


def test_layers_that_keep_no_places_are_refused():
    graph = tiny()
    with pytest.raises(InputError, match="'mean'.*keeps no places.*pool"):
        grad_cam(graph, pictures(), layer="mean")
    with pytest.raises(InputError, match="no layer 'nought'"):
        grad_cam(graph, pictures(), layer="nought")


def test_what_cannot_be_explained_is_refused():
    graph, images = tiny(), pictures()
    with pytest.raises(InputError, match="no output 4"):
        grad_cam(graph, images, [0, 4, 1])
    with pytest.raises(InputError, match="3 of them"):
        grad_cam(graph, images, [0, 1])
    with pytest.raises(InputError, match="whole number"):
        grad_cam(graph, images, [0.5, 1, 2])
    with pytest.raises(InputError, match="scale"):
        grad_cam(graph, images, scale="odds")
    with pytest.raises(InputError, match="no weights"):
        grad_cam(graph.without_weights(), images)
    with pytest.raises(InputError, match="no input 'age'"):
        grad_cam(graph, images, extra={"age": np.zeros((3, 1))})
    with pytest.raises(InputError, match="takes 'numbers' beside"):
        occlusion(covariates(), np.zeros((3, 4, 5)))
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        occlusion(covariates(), np.zeros((3, 4, 5)), extra={"numbers": np.zeros((2, 2))})
    for steps in (0, 2.5, 10**6):
        with pytest.raises(InputError, match="steps"):
            integrated_gradients(graph, images, steps=steps)
    with pytest.raises(InputError, match="segments"):
        occlusion(graph, images, segments=1)
    with pytest.raises(InputError, match="compactness"):
        occlusion(graph, images, compactness=0)
    with pytest.raises(InputError, match="baseline"):
        integrated_gradients(graph, images, baseline="pink")


def test_methods_are_named_and_have_settings():
    assert list(METHODS) == ["grad_cam", "integrated_gradients", "occlusion"]
    assert settings_of("occlusion") == ["segments", "compactness", "fill", "scale"]
    with pytest.raises(InputError, match="'grad_cam', 'integrated_gradients', 'occlusion'"):
        settings_of("guess")
