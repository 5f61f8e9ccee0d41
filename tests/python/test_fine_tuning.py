"""Fine-tuning: what is frozen stays, what is computed once equals what is computed each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import diglot.estimators.frozen as frozen
from diglot import ImageClassifier, loads, network
from diglot.builder import initial_weights
from diglot.errors import InputError
from diglot.estimators.frozen import frozen_end
from diglot.estimators.phases import plan_phases
from diglot.progress import Silent
from diglot.training import Checkpoints
from diglot.training.range_test import range_test, suggest
from graph_checks import forward, random_weights

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (24, 20, 18, 3), np.uint8)
LABELS = np.array(["ant", "bee", "cat"] * 8)


def small_resnet(**settings):
    net = network(
        "resnet18", size=(20, 18), classes=5, depths=(1, 1), widths=(4, 6), stem=4, **settings
    )
    return net.with_weights(random_weights(net))


def tuned(net, **settings):
    settings = {"epochs": 3, "batch_size": 7, "seed": 1, "verbose": False, **settings}
    return ImageClassifier(net, **settings).fit(IMAGES, LABELS)


def differences(net, model):
    """Return the largest change of each layer group's parameters."""
    changes = {}
    for name, parameter in model.network_.parameters.items():
        before, after = net.weights[name], model.network_.weights[name]
        if before.shape == after.shape:
            change = np.abs(before - after).max()
            changes[parameter.group] = max(changes.get(parameter.group, 0), change)
    return changes


def test_only_what_is_trained_changes():
    net = small_resnet()
    changes = differences(net, tuned(net, train="head"))
    assert changes == {"stem": 0, "stage1": 0, "stage2": 0}  # the new head has another shape
    changes = differences(net, tuned(net, train=["stage2", "head"]))
    assert changes["stem"] == changes["stage1"] == 0 < changes["stage2"]
    changes = differences(net, tuned(net, train=["stage1", "head"]))
    assert changes["stem"] == changes["stage2"] == 0 < changes["stage1"]
    assert min(differences(net, tuned(net)).values()) > 0


def test_frozen_statistics_keep_their_bytes():
    net = small_resnet()
    # Stage 2 lies behind what learns: it is run in training, and must not look at the batch.
    model = tuned(net, train=["stage1", "head"])
    for name, parameter in net.parameters.items():
        same = net.weights[name].tobytes() == model.network_.weights[name].tobytes()
        if parameter.auxiliary:
            assert same == (parameter.group != "stage1"), name


@pytest.mark.parametrize("train", ["head", ["stage2", "head"], "head_then_all"])
def test_computing_once_equals_the_slow_way(monkeypatch, train):
    net = small_resnet()
    settings = {"train": train, "validation": 0.25, "epochs": 3}
    quick = tuned(net, **settings)
    # The slow way: the whole network goes through every step, with frozen layers in it.
    monkeypatch.setattr(frozen, "frozen_end", lambda graph, learned: None)
    slow = tuned(net, **settings)
    for name, weight in slow.network_.weights.items():
        assert np.allclose(quick.network_.weights[name], weight, rtol=0, atol=1e-5), name
    columns = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert np.allclose(quick.history_[columns], slow.history_[columns], atol=1e-4)


def test_augmented_views_equal_the_slow_way_while_they_last(monkeypatch):
    net = small_resnet()
    settings = {"train": "head", "augment": "standard", "epochs": 3}
    quick, fewer = tuned(net, views=3, **settings), tuned(net, views=1, **settings)
    monkeypatch.setattr(frozen, "frozen_end", lambda graph, learned: None)
    slow = tuned(net, **settings)
    head = {n: w for n, w in slow.network_.weights.items() if n.startswith("head")}
    for name, weight in head.items():
        assert np.allclose(quick.network_.weights[name], weight, rtol=0, atol=1e-5)
        assert not np.allclose(fewer.network_.weights[name], weight, rtol=0, atol=1e-4)


def test_blends_are_made_before_the_frozen_part(monkeypatch):
    net = small_resnet()
    quick = tuned(net, train="head", mixup=0.4)
    monkeypatch.setattr(frozen, "frozen_end", lambda graph, learned: None)
    slow = tuned(net, train="head", mixup=0.4)
    for name in ("head_weight", "head_bias"):
        assert np.allclose(
            quick.network_.weights[name], slow.network_.weights[name], rtol=0, atol=1e-5
        )


def test_memory_and_disk_give_the_same():
    net = small_resnet()
    settings = {"train": ["stage2", "head"], "validation": 0.25}
    prints = {tuned(net, memory_limit=m, **settings).fingerprint() for m in (None, 0, 5000)}
    assert len(prints) == 1


def test_dropout_before_the_head_is_drawn_anew():
    net = network("vgg11", size=32, classes=2, widths=(2, 2, 2, 2, 2), hidden=(6, 5), grid=1)
    assert frozen_end(net, net.groups["head"]) == "fc7_relu"
    learned = [*net.groups["dense7"], *net.groups["head"]]
    assert frozen_end(net, learned) == "fc6_relu"


def test_random_slopes_before_the_head_are_drawn_anew():
    net = network("vgg11", size=32, classes=2, widths=(2, 2, 2, 2, 2), hidden=(6, 5), grid=1)
    random = {"op": "LeakyReLU", "attrs": {"act_type": "rrelu"}}
    nodes = tuple(replace(n, **random) if n.name == "fc7_relu" else n for n in net.nodes)
    assert frozen_end(replace(net, nodes=nodes), net.groups["head"]) == "fc7"


def test_layer_decay_and_phases_follow_their_formulas():
    net = small_resnet()
    (phase,) = plan_phases(net, "all", 4, (0.2, 0.1), layer_decay=0.5)
    assert (phase.epochs, phase.rate) == (4, 0.1)
    for name, parameter in net.parameters.items():
        distance = ["head", "stage2", "stage1", "stem"].index(parameter.group)
        assert phase.factors[name] == 0.5**distance
    head, whole = plan_phases(net, "head_then_all", 4, (0.2, 0.1))
    assert (head.epochs, head.rate) == (1, 0.2)
    assert head.learned == {"head_weight", "head_bias"}
    assert (whole.epochs, whole.rate, whole.learned) == (4, 0.1, set(net.parameters))


def test_history_runs_through_both_phases():
    model = tuned(small_resnet(), train="head_then_all", epochs=(2, 3), learning_rate=0.01)
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4, 5]
    rates = model.history_["learning_rate"]
    assert rates[2] > rates[1]  # each phase has its own course


@pytest.mark.parametrize("die", range(1, 9))
def test_a_fit_that_died_in_either_phase_resumes_to_the_same_bytes(tmp_path, monkeypatch, die):
    settings = {
        "train": "head_then_all",
        "epochs": (2, 2),
        "validation": 0.25,
        "checkpoint": tmp_path,
        "checkpoint_every": 2,
        "batch_size": 6,
    }
    whole = tuned(small_resnet(), **{**settings, "checkpoint": tmp_path / "whole"})
    save, saved = Checkpoints.save, []

    def dying(*given):
        save(*given)
        saved.append(1)
        if len(saved) == die:
            raise RuntimeError("the power went")

    monkeypatch.setattr(Checkpoints, "save", dying)
    with pytest.raises(RuntimeError, match="power"):
        tuned(small_resnet(), **settings)
    monkeypatch.setattr(Checkpoints, "save", save)
    again = tuned(small_resnet(), resume=True, **settings)
    assert again.fingerprint() == whole.fingerprint()
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert again.history_[columns].equals(whole.history_[columns])


def test_an_earlier_fit_is_tuned_to_other_labels():
    first = tuned("lenet", size=(20, 18))
    before = first.fingerprint()
    second = first.fine_tune(IMAGES, np.arange(24) % 2, epochs=2)
    assert second.classes_.tolist() == [0, 1]
    assert second.network_.input == first.network_.input
    assert first.fingerprint() == before
    assert len(second.history_) == 3  # one epoch of the head, two of everything
    alone = first.fine_tune(IMAGES, np.arange(24) % 2, epochs=2, train="head")
    assert alone.network_.weights["conv1_weight"].tobytes() == (
        first.network_.weights["conv1_weight"].tobytes()
    )
    again = loads(alone.to_bytes())
    assert again.train == "head"
    assert np.array_equal(again.predict_proba(IMAGES), alone.predict_proba(IMAGES))


def test_a_network_with_weights_keeps_its_preprocessing():
    from dataclasses import replace

    net = small_resnet()
    spec = replace(
        net.input,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
        resize="crop",
        interpolation="bicubic",
        crop_fraction=0.8,
    )
    model = ImageClassifier(replace(net, input=spec), epochs=1, seed=1, verbose=False)
    larger = RANDOM.integers(0, 256, (8, 40, 50, 3), np.uint8)
    model.fit(larger, [0, 1] * 4)
    assert model.network_.input == spec
    assert loads(model.to_bytes()).network_.input == spec


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channels_are_taken(channels):
    images = RANDOM.integers(0, 256, (24, 20, 18, channels), np.uint8)
    model = ImageClassifier(small_resnet(), epochs=1, seed=1, verbose=False).fit(images, LABELS)
    assert model.network_.weights["conv1_weight"].shape[1] == channels
    assert model.predict(images).shape == (24,)


def test_embeddings_are_the_layers_outputs(mx):
    net = small_resnet()
    model = tuned(net, train="head")
    spec = model.network_.input
    scaled = (IMAGES / np.float32(255) - np.float32(spec.mean)) / np.float32(spec.std)
    channels_first = scaled.transpose(0, 3, 1, 2).astype(np.float32)
    for layer in (net.features, "layer1_0_relu2", "head"):
        part = model.network_.up_to(layer)
        want = forward(mx, part, part.weights, channels_first)
        got = model.embed(IMAGES, layer if layer != net.features else None)
        assert np.allclose(got, np.moveaxis(want, 1, -1), atol=1e-5)
        assert got.shape[0] == 24
    assert model.transform(IMAGES).shape == (24, 6)
    assert model.embed(IMAGES[:0]).shape == (0, 6)
    assert model.get_feature_names_out().tolist()[-1] == "imageclassifier5"


def test_features_go_into_a_pipeline():
    flat = IMAGES[..., 0].reshape(24, -1)
    steps = make_pipeline(
        ImageClassifier("mlp", epochs=2, seed=1, verbose=False), LogisticRegression()
    )
    assert steps.fit(flat, LABELS).predict(flat).shape == (24,)


def test_the_steepest_rate_is_found():
    # A loss that falls along a logistic curve over log rate is steepest at its middle.
    rates = np.geomspace(1e-5, 1, 400)
    losses = 2 / (1 + (rates / 1e-2) ** 2)
    found = suggest(rates, losses)
    assert 0.5e-2 < found.suggestion < 4e-2  # the running mean lags a little behind
    assert np.allclose(suggest(rates[:9], np.full(9, 2.0)).table["smoothed"], 2.0)


class Planted:
    """An executor and a task in one, whose losses are given."""

    metrics, rows, steps = ("loss",), 1, 1

    def __init__(self, losses):
        self._losses, self._at = losses, -1

    def batches(self, epoch, start):
        yield {"weight": np.ones((1, 1))}

    def train_step(self, inputs, rate, seed):
        self._at += 1

    def set_totals(self, values):
        pass

    def totals(self):
        return np.array([self._losses[self._at]])


FALL = 1 / (1 + np.exp(-np.linspace(-4, 4, 30)))  # from 0 to 1


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        (2 - FALL, 30),
        (-3 * FALL, 30),  # as of counts
        (-300 - 40 * FALL + 30 * np.resize([1, -1], 30), 30),
        (np.r_[2 - FALL[:20], 4 * 2, 4 * 2 + 9], 21),
        (np.r_[-3 * FALL[:20], 2.0, 50.0], 22),
        (np.r_[-3 * FALL[:20], 50.0, 50.0], 21),
    ],
)
def test_a_range_test_ends_where_losses_explode_also_those_below_zero(losses, kept):
    planted = Planted(losses)
    found = range_test(planted, planted, 1e-4, 1.0, len(losses), seed=1, reporter=Silent())
    np.testing.assert_allclose(found.table["loss"], losses[:kept])


def test_finding_a_rate_fits_nothing():
    model = ImageClassifier("mlp", epochs=2, seed=1, batch_size=8, verbose=False)
    found = model.find_learning_rate(IMAGES, LABELS, steps=30)
    assert not hasattr(model, "network_")
    table = found.table
    assert table["learning_rate"].iloc[0] == pytest.approx(1e-5)
    assert 5 <= len(table) <= 30
    assert table["learning_rate"].min() <= found.suggestion <= table["learning_rate"].max()
    axes = pytest.importorskip("matplotlib.axes")
    assert isinstance(found.plot(), axes.Axes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train": "heads"}, "'heads'"),
        ({"train": ["stage9"]}, "no layer group 'stage9'.*stem, stage1, stage2, head"),
        ({"train": 3}, "train must be"),
        ({"epochs": (1, 2)}, "head_then_all"),
        ({"epochs": (1, 2, 3), "train": "head_then_all"}, "epochs"),
        ({"layer_decay": 0}, "layer_decay"),
        ({"views": 0}, "views"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        tuned(small_resnet(), **settings)


def test_a_head_alone_needs_weights():
    with pytest.raises(InputError, match="needs a network with weights.*pretrained"):
        tuned("lenet", train="head")


def test_a_size_that_weights_cannot_take_is_refused():
    net = network("lenet", classes=3)
    net = net.with_weights(initial_weights(net, 1))
    with pytest.raises(InputError, match=r"'dense_weight'.*28 x 28.*\(500, 800\).*size=\(28, 28\)"):
        tuned(net, size=40, channels=1)
