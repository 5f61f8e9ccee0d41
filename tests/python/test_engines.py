"""Every capability on either engine: what one learned, wrote or began, the other goes on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import DBN, RBM, ImageCaptioner, ImageClassifier, ImageRegressor, ImageTagger
from diglot.builder import Builder
from diglot.engine import open_executor
from diglot.errors import InputError
from diglot.estimators import precision
from diglot.graph import InputSpec
from diglot.networks.layers import own
from diglot.own_operators import register_operator

pytest.importorskip("torch")

ENGINES = ("mxnet", "torch")
_rng = np.random.default_rng(5)
IMAGES = _rng.random((60, 12, 9, 2), dtype=np.float32)
TOP, LEFT = IMAGES[:, :6].mean((1, 2, 3)), IMAGES[:, :, :4].mean((1, 2, 3))
LABELS = np.where(np.median(TOP) < TOP, "top", "bottom")
CAPTIONS = [f"it is {label}" for label in LABELS]
SMALL = {"epochs": 3, "batch_size": 16, "seed": 2, "verbose": False}


def largest_difference(first, second):
    ours, theirs = first.network_.weights, second.network_.weights
    return max(np.abs(ours[name] - weight).max() for name, weight in theirs.items())


def on_both(make):
    found = [make(engine) for engine in ENGINES]
    assert [model.engine_ for model in found] == list(ENGINES)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_every_layer_is_computed_by_the_models_engine(engine, monkeypatch):
    model = ImageClassifier("mlp", device="cpu", engine=engine, **SMALL).fit(IMAGES, LABELS)
    asked = []

    def opened(graph, device):
        asked.append(device)
        return open_executor(graph, device)

    for module in ("predictor.base", "weighted"):
        monkeypatch.setattr(f"diglot.{module}.open_executor", opened)
    layers = [row["layer"] for row in model.network_.layers()]
    answers = [model.embed(IMAGES, layer) for layer in layers]
    assert {(device.kind, device.engine) for device in asked} == {("cpu", engine)}
    scores = np.exp(answers[-1])
    np.testing.assert_allclose(
        scores / scores.sum(axis=1, keepdims=True), model.predict_proba(IMAGES), atol=1e-5
    )
    assert len(layers) > 2


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_classifiers_learn_the_same(optimizer):
    def fitted(engine):
        settings = {**SMALL, "optimizer": optimizer, "clip_norm": 1.0, "validation": 0.2}
        return ImageClassifier("mlp", engine=engine, **settings).fit(IMAGES, LABELS)

    first, second = on_both(fitted)
    assert largest_difference(first, second) < 1e-4
    columns = ["loss", "accuracy", "val_loss", "val_accuracy"]
    np.testing.assert_allclose(second.history_[columns], first.history_[columns], rtol=1e-4)
    np.testing.assert_allclose(second.predict_proba(IMAGES), first.predict_proba(IMAGES), atol=1e-4)
    assert "on cpu (torch), seed 2" in second.summary()
    np.testing.assert_allclose(second.embed(IMAGES), first.embed(IMAGES), atol=1e-4)


def test_the_same_seed_gives_the_same_bytes():
    settings = {**SMALL, "engine": "torch", "augment": "light"}
    first, again = (ImageClassifier("lenet", size=28, **settings).fit(IMAGES, LABELS) for _ in "ab")
    assert first.fingerprint() == again.fingerprint()


@pytest.mark.parametrize("engine", ENGINES)
def test_random_slopes_give_the_same_bytes_again(engine):
    b = Builder(InputSpec(12, 9, 2))
    x = b.add("FullyConnected", b.data, name="dense", num_hidden=16)
    x = b.add("LeakyReLU", x, name="slopes", act_type="rrelu")
    net = b.graph("slopes", b.add("FullyConnected", x, name="out", num_hidden=2))
    settings = {**SMALL, "engine": engine}
    first, again, other = (
        ImageClassifier(net, **{**settings, "seed": seed}).fit(IMAGES, LABELS) for seed in (2, 2, 3)
    )
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("engine", "other"), [ENGINES, ENGINES[::-1]])
def test_a_file_tells_who_trained_it_and_either_may_go_on(tmp_path, engine, other):
    model = ImageClassifier("lenet", size=28, engine=engine, **SMALL).fit(IMAGES, LABELS)
    path = model.save(tmp_path / "model.safetensors")
    again = diglot.load(path)
    assert (again.engine, again.engine_) == ("auto", engine)
    assert again.summary() == model.summary()
    expected = model.predict_proba(IMAGES)
    for each in ENGINES:
        again.set_params(engine=each)
        np.testing.assert_allclose(again.predict_proba(IMAGES), expected, atol=1e-5)
    assert path.read_bytes() == again.save(tmp_path / "again.safetensors").read_bytes()
    chosen = diglot.load(path, engine=other)
    assert chosen._device().engine == diglot.loads(path.read_bytes(), other).engine == other
    assert chosen.fine_tune(IMAGES, LABELS, epochs=1, seed=3).engine_ == other
    with pytest.raises(InputError, match="engine must be"):
        diglot.load(path, engine="caffe")


def test_networks_with_weights_answer_by_the_engine_that_is_named():
    from diglot.weighted import Network

    model = ImageClassifier("lenet", size=28, **{**SMALL, "epochs": 1}).fit(IMAGES, LABELS)
    net = Network.of(model.network_)
    ready = np.random.default_rng(1).normal(size=(5, 28, 28, 2)).astype(np.float32)
    first, second = (net.logits(ready, engine=engine) for engine in ENGINES)
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(second, first, atol=1e-5)
    np.testing.assert_array_equal(net.logits(ready[::-1], engine="torch"), second[::-1])
    np.testing.assert_array_equal(net.logits(ready), first)
    first, second = (net.embed(IMAGES, engine=engine) for engine in ENGINES)
    np.testing.assert_allclose(second, first, atol=1e-5)
    with pytest.raises(InputError, match="engine must be"):
        net.logits(ready, engine="caffe")


def classifier(**settings):
    return ImageClassifier("mlp", optimizer="adam", **settings), (IMAGES, LABELS)


def with_statistics(**settings):
    net = diglot.network("resnet20", size=12, channels=2, classes=2, widths=(4, 6, 8), depth=1)
    return ImageClassifier(net, learning_rate=0.01, **settings), (IMAGES, LABELS)


def captioner(**settings):
    settings |= {"size": 28, "dropout": 0.0, "optimizer": "adam", "hidden": 16, "embedding": 8}
    return ImageCaptioner("lenet", learning_rate=0.002, **settings), (IMAGES, CAPTIONS)


class Break(Exception):
    pass


def breaks(record):
    if record["epoch"] == 3:
        raise Break


def machine(**settings):
    return RBM(12, learning_rate=0.001, **settings), (IMAGES,)


@pytest.mark.parametrize(
    ("make", "apart"),
    [(classifier, 1e-5), (with_statistics, 5e-3), (captioner, 1e-3), (machine, 1e-3)],
)
@pytest.mark.parametrize(("engine", "other"), [ENGINES, ENGINES[::-1]])
def test_a_checkpoint_of_one_goes_on_in_the_other(tmp_path, make, apart, engine, other):
    settings = {**SMALL, "epochs": 4}

    def fitted(**more):
        model, data = make(**settings, **more)
        return model.fit(*data)

    whole = fitted(engine=engine)

    settings["checkpoint"] = tmp_path
    with pytest.raises(Break):
        fitted(engine=engine, callbacks=breaks)
    resumed = fitted(engine=other, resume=True)
    assert (resumed.engine_, len(resumed.history_)) == (other, 4)
    assert largest_difference(whole, resumed) < apart


def test_float16_learns_what_single_precision_does_and_goes_on_from_a_checkpoint(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(precision, "mixing", lambda device: device.mixing("float16"))
    settings = {**SMALL, "epochs": 4, "engine": "torch"}

    def fitted(**more):
        model, data = with_statistics(**settings, **more)
        return model.fit(*data)

    mixed, plain = fitted(precision="mixed"), fitted()
    assert 0 < largest_difference(mixed, plain) < 0.01
    np.testing.assert_allclose(mixed.history_["loss"], plain.history_["loss"], rtol=0.02)
    with pytest.raises(Break):
        fitted(precision="mixed", checkpoint=tmp_path, callbacks=breaks)
    resumed = fitted(precision="mixed", resume=tmp_path)
    assert resumed.fingerprint() == mixed.fingerprint()


@pytest.mark.parametrize("train", ["head", "head_then_all", "all"])
def test_fine_tuning(train):
    base = ImageClassifier("resnet20", size=12, **{**SMALL, "epochs": 1}).fit(IMAGES, LABELS)

    def tuned(engine):
        settings = {"epochs": 2, "seed": 3, "train": train, "learning_rate": 0.001}
        base.set_params(engine=engine)
        return base.fine_tune(IMAGES, LABELS, **settings)

    first, second = on_both(tuned)
    assert largest_difference(first, second) < 2e-3
    np.testing.assert_allclose(second.history_["loss"], first.history_["loss"], rtol=5e-3)


def test_numbers_and_tags():
    def numbers(engine):
        return ImageRegressor("mlp", engine=engine, **SMALL).fit(IMAGES, TOP)

    def tags(engine):
        y = pd.DataFrame({"top": TOP > 0.5, "left": LEFT > 0.5})
        return ImageTagger("mlp", engine=engine, **SMALL).fit(IMAGES, y)

    for make in (numbers, tags):
        first, second = on_both(make)
        assert largest_difference(first, second) < 1e-5


@pytest.mark.parametrize("decoder", ["lstm", "gru"])
def test_captions(tmp_path, decoder):
    def fitted(engine):
        settings = {**SMALL, "epochs": 2, "size": 28, "dropout": 0.0, "optimizer": "sgd"}
        settings |= {"hidden": 16, "embedding": 8, "decoder": decoder, "learning_rate": 0.05}
        return ImageCaptioner("lenet", engine=engine, **settings).fit(IMAGES, CAPTIONS)

    first, second = on_both(fitted)
    assert largest_difference(first, second) < 1e-4
    path = second.save(tmp_path / "captioner.safetensors")
    found = [diglot.load(path).set_params(engine=e).predict(IMAGES[:6]).tolist() for e in ENGINES]
    assert found[0] == found[1]


def test_captioners_with_dropout_and_rewards_learn():
    settings = {**SMALL, "epochs": 2, "size": 28, "hidden": 16, "embedding": 8, "layers": 2}
    settings |= {"self_critical": 1, "engine": "torch"}
    model = ImageCaptioner("lenet", **settings).fit(IMAGES, CAPTIONS)
    assert model.history_["loss"].notna().all()


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_boltzmann_machines(visible):
    def fitted(engine):
        settings = {**SMALL, "visible": visible, "learning_rate": 0.001, "validation": 0.2}
        return RBM(12, engine=engine, **settings).fit(IMAGES)

    first, second = on_both(fitted)
    # A unit that is drawn may fall the other way where the last bit of its chance does.
    assert largest_difference(first, second) < 1e-3
    np.testing.assert_allclose(second.transform(IMAGES), first.transform(IMAGES), atol=1e-2)
    if visible == "binary":
        two = DBN((8, 4), engine="torch", **SMALL).fit(IMAGES)
        assert two.engine_ == "torch" and "cpu (torch)" in two.summary()


def test_scoring_of_files(tmp_path):
    from PIL import Image

    model = ImageClassifier("mlp", engine="torch", **SMALL).fit(IMAGES[..., 0], LABELS)
    paths = []
    for number, image in enumerate(IMAGES[:20, ..., 0]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray((255 * image).astype(np.uint8)).save(paths[-1])
    found = diglot.predict_files(model, paths, output=tmp_path / "answers.csv", verbose=False)
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 20
    assert found is not None


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients", "occlusion"])
def test_explanations(method):
    model = ImageClassifier("resnet20", size=12, **{**SMALL, "epochs": 1}).fit(IMAGES, LABELS)
    maps = []
    for engine in ENGINES:
        model.set_params(engine=engine)
        maps.append(
            np.stack([np.asarray(e) for e in model.explain(IMAGES[:3], method=method).maps])
        )
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-3 * np.abs(maps[0]).max())


def test_several_devices_learn_as_one():
    settings = {**SMALL, "engine": "torch", "optimizer": "adam"}
    one = ImageClassifier("mlp", device="cpu", **settings).fit(IMAGES, LABELS)
    devices = ["cpu:0", "cpu:1", "cpu:2"]
    several = ImageClassifier("mlp", device=devices, **settings).fit(IMAGES, LABELS)
    assert largest_difference(one, several) < 1e-5
    np.testing.assert_allclose(several.history_["loss"], one.history_["loss"], rtol=1e-4)
    assert several.device_ == "cpu, cpu:1, cpu:2"


def test_integers_are_mxnets():
    model = ImageClassifier("lenet", size=28, precision="int8", engine="torch", **SMALL)
    with pytest.raises(InputError, match='precision="int8" is MXNet'):
        model.fit(IMAGES, LABELS)
    model.set_params(engine="mxnet").fit(IMAGES, LABELS)
    model.set_params(engine="torch")
    assert model.predict_proba(IMAGES).shape == (60, 2)


def test_mixed_precision_learns_and_is_pytorchs(tmp_path):
    settings = {**SMALL, "size": 28, "epochs": 4}
    with pytest.raises(InputError, match='precision="mixed" is PyTorch'):
        ImageClassifier("lenet", precision="mixed", engine="mxnet", **settings).fit(IMAGES, LABELS)
    settings["engine"] = "torch"
    mixed = ImageClassifier("lenet", precision="mixed", **settings).fit(IMAGES, LABELS)
    plain = ImageClassifier("lenet", **settings).fit(IMAGES, LABELS)
    assert all(w.dtype == np.float32 for w in mixed.network_.weights.values())
    assert mixed.fingerprint() != plain.fingerprint()
    np.testing.assert_allclose(mixed.history_["loss"], plain.history_["loss"], rtol=0.02)
    answers = mixed.predict_proba(IMAGES)
    again = diglot.load(mixed.save(tmp_path / "mixed.safetensors")).set_params(engine="mxnet")
    np.testing.assert_allclose(again.predict_proba(IMAGES), answers, atol=0.02)
    small = {"hidden": 16, "embedding": 8, "layers": 2, "precision": "mixed"}
    told = ImageCaptioner("lenet", **small, **{**settings, "epochs": 1}).fit(IMAGES, CAPTIONS)
    assert len(told.predict(IMAGES[:3])) == 3


def test_own_operators_get_whole_floats_in_mixed_precision():
    seen = []

    def doubled(x):
        seen.append(x.dtype)
        return 2 * x

    def gradient(by, x):
        seen.extend([by.dtype, x.dtype])
        return 2 * by

    register_operator("twice_in_mixed", doubled, gradient)
    b = Builder(InputSpec(12, 9, 2))
    x = b.add("FullyConnected", b.data, name="dense", num_hidden=16)
    x = b.add("Activation", x, name="tanh", act_type="tanh")
    x = own(b, "twice_in_mixed", x, name="own")
    net = b.graph("owned", b.add("FullyConnected", x, name="out", num_hidden=2))
    settings = {**SMALL, "device": "cpu", "engine": "torch"}
    mixed, plain = (
        ImageClassifier(net, precision=precision, **settings).fit(IMAGES, LABELS)
        for precision in ("mixed", "float32")
    )
    assert set(seen) == {np.dtype("float32")}
    assert mixed.fingerprint() != plain.fingerprint()
    np.testing.assert_allclose(mixed.history_["loss"], plain.history_["loss"], rtol=0.02)


def test_an_engine_that_is_none_is_refused_by_name():
    for estimator in (ImageClassifier("mlp"), RBM(3), ImageRegressor("mlp")):
        estimator.set_params(engine="caffe")
        with pytest.raises(InputError, match="engine must be .*'caffe'"):
            estimator.fit(IMAGES, TOP if isinstance(estimator, ImageRegressor) else LABELS)


def test_where_pytorch_is_expected_its_tests_are_not_skipped(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('a broken build')\n")
    paths = os.pathsep.join([str(tmp_path), str(Path(diglot.__file__).parents[1])])
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider"]
    command += ["--collect-only", "-q", str(Path(__file__).with_name("test_torch_networks.py"))]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "DIGLOT_EXPECT_TORCH": "true"},
    )
    assert done.returncode == 4, done.stdout
    assert "a broken build" in done.stderr


# ---- without MXNet

# Python looks for a module of this name when it starts, in the processes of folds, too.
SITECUSTOMIZE = """
import sys

class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mxnet":
            raise ModuleNotFoundError("No module named 'mxnet'", name="mxnet")

sys.meta_path.insert(0, Hides())
"""

HIDDEN = """
import sys

import numpy as np
import pandas as pd
import diglot

folder = sys.argv[1]
rng = np.random.default_rng(5)
images, labels = rng.random((40, 12, 9, 2), np.float32), np.arange(40) % 2
settings = dict(epochs=1, seed=1, verbose=False)
model = diglot.ImageClassifier("lenet", size=28, **settings).fit(images, labels)
assert (model.engine_, model.device_) == ("torch", "cpu"), model.engine_
again = diglot.load(model.save(folder + "/model.safetensors"))
np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))
again.fine_tune(images, labels, epochs=1)
captions = [f"number {label}" for label in labels]
small = dict(size=28, hidden=8, embedding=8, **settings)
diglot.ImageCaptioner("lenet", **small).fit(images, captions).predict(images[:2])
diglot.RBM(4, **settings).fit(images)
diglot.DBN((4, 3), **settings).fit(images)
top = images[:, :6].mean((1, 2, 3))
regressor = diglot.ImageRegressor("mlp", **settings).fit(images, top)
assert regressor.predict(images).shape == (40,)
tags = {"a": labels == 1, "b": top > np.median(top)}
diglot.ImageTagger("mlp", **settings).fit(images, pd.DataFrame(tags)).predict(images)
assert len(model.explain(images[:2]).maps) == 2
from PIL import Image
for number in range(4):
    Image.fromarray((255 * images[number, ..., 0]).astype(np.uint8)).save(f"{folder}/{number}.png")
grey = diglot.ImageClassifier("mlp", **settings).fit(images[..., 0], labels)
paths = [f"{folder}/{number}.png" for number in range(4)]
assert len(diglot.predict_files(grey, paths, verbose=False).table) == 4
folds = [
    diglot.cross_validate(grey, images[..., 0], labels, folds=2, seed=1, jobs=jobs)
    for jobs in (1, 2)
]
assert folds[1].failures.empty
pd.testing.assert_frame_equal(folds[0].predictions, folds[1].predictions)
from diglot.weighted import Network
assert Network.of(model.network_).embed(images).shape == (40, 500)
table = diglot.devices()
assert table.usable[0] and table.engine[0].startswith("torch "), table
rows = diglot.check_setup().set_index("requirement")
assert not rows.ok["MXNet"] and rows.optional["MXNet"] and rows.ok["PyTorch"]
try:
    diglot.ImageClassifier("mlp", engine="mxnet", **settings).fit(images, labels)
except diglot.errors.MissingPackageError as error:
    assert "install it with" in str(error)
else:
    raise AssertionError("there is no MXNet")
assert "mxnet" not in sys.modules
print("done", model.fingerprint())
"""


def test_without_mxnet_everything_works_on_pytorch(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    paths = os.pathsep.join([str(tmp_path), str(Path(diglot.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done ")
    model = diglot.load(tmp_path / "model.safetensors")
    images = np.random.default_rng(5).random((40, 12, 9, 2), np.float32)
    mine = model.set_params(engine="mxnet").predict_proba(images)
    np.testing.assert_allclose(
        mine, model.set_params(engine="torch").predict_proba(images), atol=1e-5
    )
