"""``pretrained()``: every kind of file through the same door, and what it refuses."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import safetensors.numpy

import test_weights_names_a as names_a
import test_weights_names_b as names_b
from diglot import DownloadError, ImageClassifier, ModelFileError, load, network, pretrained
from diglot.builder import initial_weights
from diglot.errors import InputError
from diglot.graph import Graph, InputSpec
from graph_checks import bound, random_weights, symbol_of
from hub_server import HubServer, Model

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

FIXTURES = names_a.FOLDER.parent
RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("module", "name"),
    [(m, n) for m in (names_a, names_b) for n in m.NETWORKS if n != "googlenet_caffe"],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_every_familys_weights_give_their_sources_logits(tmp_path, module, name):
    state, images, logits = module.fixture(name)
    ours, *_, settings = module.NETWORKS[name]
    style = "timm_tf" if name.endswith("_tf") else None
    file = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(state, file)
    net = pretrained(ours, weights=file, size=images.shape[1:3], style=style, **settings)
    assert net.output_shape == logits.shape[1:]
    assert net.origin["skipped"] == []
    assert np.allclose(net.logits(images), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet", "lenet", "vgg_v1"])
def test_caffes_files_give_caffes_logits(name):
    folder = FIXTURES / "caffe"
    with np.load(folder / f"{name}.npz", allow_pickle=False) as data:
        blue_first, logits = data["images"].astype(np.float32), data["logits"]
    net = pretrained(weights=folder / f"{name}.caffemodel")
    mean, std = (np.array(v, np.float32) for v in (net.input.mean, net.input.std))
    assert np.allclose(
        net.logits((blue_first[..., ::-1] / 255 - mean) / std), logits, rtol=0, atol=1e-4
    )
    assert net.origin["source"] == f"{name}.caffemodel"


def test_onnx_files_are_taken_as_they_are():
    folder = FIXTURES / "onnx"
    with np.load(folder / "references.npz", allow_pickle=False) as data:
        images, logits = data["resnet_images"], data["resnet_outputs"]
    net = pretrained(weights=folder / "resnet.onnx")
    assert np.allclose(net.logits(images), logits, atol=1e-4)
    assert pretrained(weights=folder / "resnet.onnx", classes=7).output_shape == (7,)


def test_mxnets_own_files_are_taken(tmp_path, mx):
    net = network("lenet", classes=4, size=(20, 18), channels=2)
    weights = random_weights(net)
    (tmp_path / "mine-symbol.json").write_text(net.to_json())
    mx.nd.save(
        str(tmp_path / "mine-0003.params"),
        {f"arg:{n}": mx.nd.array(w) for n, w in weights.items()},
    )
    found = pretrained(weights=tmp_path / "mine-0003.params", size=(20, 18), mean=(0, 0))
    images = RANDOM.normal(size=(3, 20, 18, 2)).astype(np.float32)
    arrays = {n: mx.nd.array(w) for n, w in weights.items()}
    arrays["data"] = mx.nd.array(images.transpose(0, 3, 1, 2))
    want = bound(mx, symbol_of(mx, net), arrays).forward()[0].asnumpy()
    assert np.allclose(found.logits(images), want, atol=1e-5)


def test_a_fitted_models_file_is_a_pretrained_network(tmp_path):
    images = RANDOM.integers(0, 256, (12, 20, 18), np.uint8)
    model = ImageClassifier("lenet", epochs=1, seed=1, verbose=False).fit(images, [0, 1, 2] * 4)
    file = model.save(tmp_path / "model.safetensors")
    net = pretrained(weights=file)
    assert net.input == model.network_.input
    assert np.array_equal(net.embed(images), model.embed(images))
    tuned = ImageClassifier(net, train="head", epochs=1, verbose=False).fit(images, [0, 1] * 6)
    assert tuned.network_.origin["source"] == "model.safetensors"
    tuned.save(file)
    assert load(file).network_.origin == tuned.network_.origin


def test_a_card_says_what_was_loaded(tmp_path):
    state, images, _ = names_a.fixture("resnet_basic_torchvision")
    _, settings = names_a.NETWORKS["resnet_basic_torchvision"]
    safetensors.numpy.save_file(
        {**state, "ema.decay": np.ones(1, np.float32)}, tmp_path / "r.safetensors"
    )
    net = pretrained("resnet18", tmp_path / "r.safetensors", classes=2, **settings)
    assert net.origin["skipped"] == ["ema.decay"]
    assert net.origin["replaced"] == ["head_weight", "head_bias"]
    assert len(net.origin["sha256"]) == 64
    told = str(net)
    for words in ("224 x 224", "0.485", "centre crop", "torchvision", "ema.decay", "head_weight"):
        assert words in told
    assert copy.deepcopy(net) is net


def test_preprocessing_can_be_given():
    weights = initial_weights(network("resnet20"), 1)
    net = pretrained(
        "resnet20",
        weights,
        size=(40, 36),
        mean=(0.5,) * 3,
        std=(0.1, 0.2, 0.3),
        interpolation="bicubic",
        crop_fraction=0.9,
    )
    assert net.input == InputSpec(40, 36, 3, (0.5,) * 3, (0.1, 0.2, 0.3), "crop", 0.9, "bicubic")


# ---- the hub


@pytest.fixture
def hub(monkeypatch):
    pytest.importorskip("huggingface_hub")
    state, _, _ = names_a.fixture("resnet_basic_torchvision")
    config = {
        "architecture": "resnet18",
        "num_classes": 5,
        "label_names": list("abcde"),
        "pretrained_cfg": {
            "input_size": [3, 72, 64],
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "interpolation": "bicubic",
            "crop_pct": 0.95,
            "license": "mit",
        },
    }
    files = {
        "model.safetensors": safetensors.numpy.save(state),
        "config.json": json.dumps(config).encode(),
    }
    model = Model({"main": "1" * 40}, {"1" * 40: files})
    with HubServer({"someone/resnet18.test": model}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


def test_three_lines_from_the_hub_to_a_fitted_model(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    _, settings = names_a.NETWORKS["resnet_basic_torchvision"]
    net = pretrained("resnet18", weights="someone/resnet18.test", verbose=False, **settings)
    assert net.input == InputSpec(
        72, 64, 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "crop", 0.95, "bicubic"
    )
    assert net.origin["source"] == f"someone/resnet18.test@{'1' * 40}"
    assert (net.origin["licence"], net.origin["classes"]) == ("mit", list("abcde"))
    images = RANDOM.integers(0, 256, (8, 90, 80, 3), np.uint8)
    model = ImageClassifier(net, train="head", epochs=2, verbose=False).fit(images, [0, 1] * 4)
    assert model.network_.input == net.input
    with pytest.raises(DownloadError, match="someone/none"):
        pretrained("resnet18", weights="someone/none", verbose=False)
    with pytest.raises(ModelFileError, match=r"'conv1_weight'.*\(6, 3, 7, 7\).*\(64, 3, 7, 7\)"):
        pretrained("resnet18", weights="someone/resnet18.test", verbose=False)


# ---- what is refused


def test_weights_of_another_network_are_refused(tmp_path):
    weights = random_weights(network("resnet20"))
    with pytest.raises(ModelFileError, match="no tensor has a name of 'vgg11'"):
        pretrained("vgg11", weights={"x": np.ones(3)})
    with pytest.raises(ModelFileError, match="no tensor for 'layer1_3_conv1_weight'"):
        pretrained("resnet32", weights=weights)
    with pytest.raises(ModelFileError, match=r"has the shape \(2,\).*needs \(16,\)"):
        first = next(n for n, w in weights.items() if w.shape == (16,))
        pretrained("resnet20", weights={**weights, first: np.ones(2, np.float32)})


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="are not there"):
        pretrained("resnet18", tmp_path / "none.safetensors")
    (tmp_path / "model.pth").write_bytes(b"PK\x03\x04" + b"archive/data.pkl" * 9)
    with pytest.raises(ModelFileError, match=r"model\.pth.*safetensors"):
        pretrained("resnet18", tmp_path / "model.pth")
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    with pytest.raises(ModelFileError, match=r"'\.h5'"):
        pretrained("resnet18", tmp_path / "model.h5")
    data = safetensors.numpy.save(random_weights(network("resnet20")))
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
        pretrained("resnet20", tmp_path / "cut.safetensors")


def test_what_cannot_be_is_refused(tmp_path):
    weights = random_weights(network("resnet20"))
    with pytest.raises(InputError, match="weights= is missing"):
        pretrained("resnet18")
    with pytest.raises(InputError, match="which network"):
        pretrained(weights=weights)
    with pytest.raises(InputError, match="resnet20"):
        pretrained("resnet21", weights=weights)
    with pytest.raises(InputError, match="at least|too small"):
        pretrained("vgg11", weights=random_weights(network("vgg11", size=32)), size=8)
    with pytest.raises(InputError, match="crop_fraction"):
        pretrained("resnet20", weights, crop_fraction=2)
    net = pretrained("resnet20", weights)
    with pytest.raises(InputError, match=r"\(n, 32, 32, 3\), not \(2, 32, 30, 3\)"):
        net.logits(np.zeros((2, 32, 30, 3)))
    assert isinstance(net, Graph)
    assert net.logits(np.zeros((0, 32, 32, 3))).shape == (0, 10)


def test_channels_are_adapted_behind_a_turned_image():
    state, images, _ = names_b.fixture("efficientnet_timm_tf")
    ours, _, settings = names_b.NETWORKS["efficientnet_timm_tf"]
    given = {"size": images.shape[1:3], "style": "timm_tf", **settings}
    three = pretrained(ours, state, **given)
    one = pretrained(ours, state, channels=1, **given)
    grey = images[..., :1]
    assert np.allclose(one.logits(grey), three.logits(np.repeat(grey, 3, axis=3)), atol=1e-4)


def test_a_file_whose_padding_is_fixed_is_not_stretched():
    file = FIXTURES / "onnx" / "resnet.onnx"
    net = pretrained(weights=file)
    assert net.origin["fixed_size"]
    images = RANDOM.integers(0, 256, (4, 90, 80, net.input.channels), np.uint8)
    with pytest.raises(InputError, match=r"pretrained\(\.\.\., size=\)"):
        ImageClassifier(net, size=64, epochs=1, verbose=False).fit(images, [0, 1] * 2)
    ImageClassifier(net, epochs=1, verbose=False).fit(images, [0, 1] * 2)


def test_two_tensors_for_one_place_are_refused():
    weights = random_weights(network("resnet18", depths=(1,), widths=(4,), stem=4))
    arrays = {"layer1.0.conv1.weight": weights["layer1_0_conv1_weight"]}
    arrays["layer1_0_conv1.weight"] = arrays["layer1.0.conv1.weight"]
    with pytest.raises(ModelFileError, match="two tensors"):
        pretrained("resnet18", {**weights, **arrays}, depths=(1,), widths=(4,), stem=4)


def test_a_files_own_channels_count(tmp_path):
    net = network("resnet20", channels=1, classes=3)
    weights = random_weights(net)
    grey = pretrained("resnet20", weights)
    assert grey.input.channels == 1
    assert grey.output_shape == (3,)
    assert pretrained("resnet20", weights, channels=3).input.channels == 3
