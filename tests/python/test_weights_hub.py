"""Weights from the hub: a hub on localhost sends what it declares, or lies, or is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from diglot.errors import DownloadError, InputError, MissingPackageError, ModelFileError
from diglot.weights.hub import describe, download
from diglot.weights.hub_card import licence_of_readme
from diglot.weights.safetensors_file import read_safetensors
from hub_server import HubServer, Model

pytest.importorskip("huggingface_hub")

OLD, NEW = "1" * 40, "2" * 40
NAME = "someone/net.v1-x"
CONFIG = {
    "architecture": "resnet18",
    "num_classes": 3,
    "label_names": ["cat", "dog", "emu"],
    "pretrained_cfg": {"input_size": [3, 160, 128], "mean": [0.5, 0.4, 0.3], "std": [0.2] * 3},
}


def weights(value):
    array = np.full((700, 500), value, "float32")  # more than a megabyte: progress counts those
    return safetensors.numpy.save({"fc.weight": array})


def files(value, **others):
    return {
        "model.safetensors": weights(value),
        "config.json": json.dumps(CONFIG).encode(),
        "README.md": b"---\ntags:\n- x\nlicense: apache-2.0\n---\n# A model\nlicense: none\n",
        **others,
    }


@pytest.fixture
def hub(monkeypatch):
    model = Model({"main": NEW, "v1": OLD}, {OLD: files(1.0), NEW: files(2.0)})
    with HubServer({NAME: model}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


def value_of(found):
    return float(read_safetensors(found.weights)["fc.weight"][0, 0])


def sent(hub):
    return [path for method, path, _ in hub.seen if method == "GET" and "/api/" not in path]


def test_a_model_is_downloaded_once(hub, tmp_path, capfd):
    found = download(NAME, cache=tmp_path)
    assert value_of(found) == 2 and found.commit == NEW
    assert found.source == f"{NAME}@{NEW}" and found.preprocessor is None
    assert json.loads(found.config.read_text()) == CONFIG
    assert len(sent(hub)) == 3
    assert download(NAME, cache=tmp_path) == found
    assert len(sent(hub)) == 3
    assert capfd.readouterr() == ("", "")
    card = found.card()
    assert (card.licence, card.source) == ("apache-2.0", found.source)
    assert card.input.shape == (3, 160, 128)


def test_nothing_is_told_about_the_machine(hub, tmp_path):
    code = f"from diglot.weights.hub import download; download({NAME!r}, cache={str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    agents = " ".join({agent for _, _, agent in hub.seen})
    assert "hf_hub" in agents
    assert not any(word in agents for word in ("torch", "numpy", "tensorflow", "session"))


@pytest.mark.parametrize("revision", ["v1", OLD])
def test_a_revision_is_pinned(hub, tmp_path, revision):
    found = download(NAME, revision=revision, cache=tmp_path)
    assert value_of(found) == 1 and found.commit == OLD
    hub.models[NAME].refs["main"] = OLD
    assert value_of(download(NAME, cache=tmp_path)) == 1


def test_a_branch_that_moved_brings_the_new_files(hub, tmp_path):
    hub.models[NAME].refs["main"] = OLD
    assert value_of(download(NAME, cache=tmp_path)) == 1
    hub.models[NAME].refs["main"] = NEW
    assert value_of(download(NAME, cache=tmp_path)) == 2


def test_progress_counts_megabytes(hub, tmp_path):
    events = []
    download(NAME, cache=tmp_path, verbose=events.append)
    first = events[: 1 + [event["event"] for event in events].index("finish")]
    assert first[0]["title"] == "Downloading model.safetensors" and first[0]["unit"] == "MB"
    assert first[0]["total"] == first[-2]["done"] == 1


# ---- the files do not match


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_changed_content_is_refused(hub, tmp_path, file):
    data = bytearray(hub.models[NAME].commits[NEW][file])
    data[-2] ^= 1
    hub.spoilt[file] = bytes(data)  # of the declared length
    for _ in range(2):
        with pytest.raises(ModelFileError, match=rf"^{file} differs.*its checksum is") as caught:
            download(NAME, cache=tmp_path)
    assert str(tmp_path) in str(caught.value)
    del hub.spoilt[file]
    assert value_of(download(NAME, cache=tmp_path)) == 2


def test_a_cut_off_answer_is_no_model(hub, tmp_path):
    hub.spoilt["model.safetensors"] = hub.models[NAME].commits[NEW]["model.safetensors"][:-5]
    with pytest.raises((DownloadError, ModelFileError), match=r"model\.safetensors"):
        download(NAME, cache=tmp_path)


def test_damage_in_the_cache_is_mended_online_and_refused_offline(hub, tmp_path, monkeypatch):
    path = download(NAME, cache=tmp_path).weights.resolve()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelFileError, match="differs"):
        download(NAME, cache=tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert download(NAME, cache=tmp_path).weights.read_bytes() == whole


# ---- what the hub refuses


def test_a_name_that_is_not_there(hub, tmp_path):
    with pytest.raises(DownloadError, match="no model 'someone/nothing', or it is private"):
        download("someone/nothing", cache=tmp_path)


@pytest.mark.parametrize("revision", ["v9", "3" * 40, "refs/pr/7"])
def test_a_revision_that_is_not_there(hub, tmp_path, revision):
    with pytest.raises(DownloadError, match=f"no revision '{revision}'"):
        download(NAME, revision=revision, cache=tmp_path)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "GatedRepo"), "accept them"),
        ((401, ""), "HTTP 401.*auth login"),
        ((403, ""), "HTTP 403.*auth login"),
        ((400, ""), "refuses its list of files"),
    ],
)
def test_refusals_say_what_to_do(hub, tmp_path, refusal, words):
    hub.models[NAME].refusal = refusal
    with pytest.raises(DownloadError, match=words) as caught:
        download(NAME, cache=tmp_path)
    assert NAME in str(caught.value)


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "net.pth"])
def test_a_model_with_pickles_only(hub, tmp_path, pickled):
    hub.models[NAME].commits[NEW] = {pickled: b"\x80\x02", "config.json": b"{}"}
    with pytest.raises(ModelFileError, match=f"(?s){NAME}.*{pickled}.*unpickling runs.*save_file"):
        download(NAME, cache=tmp_path)
    assert sent(hub) == []


def test_no_weights_and_other_weights(hub, tmp_path):
    hub.models[NAME].commits[NEW] = {"onnx/model.onnx": b"\x08\x07", "net.bin": b""}
    found = download(NAME, filename="onnx/model.onnx", cache=tmp_path)
    assert found.weights.read_bytes() == b"\x08\x07" and found.commit == NEW
    with pytest.raises(DownloadError, match="no file 'a.onnx'; give one of.*onnx/model.onnx"):
        download(NAME, filename="a.onnx", cache=tmp_path)
    hub.models[NAME].commits[NEW] = {"tuned.safetensors": weights(3.0), "net.bin": b""}
    with pytest.raises(DownloadError, match=r"no model\.safetensors; give.*tuned\.safetensors"):
        download(NAME, cache=tmp_path)


def test_shards(hub, tmp_path, monkeypatch):
    places = {"fc.weight": "model-1-of-2.safetensors", "fc.bias": "model-2-of-2.safetensors"}
    hub.models[NAME].commits[NEW] = {
        "model.safetensors.index.json": json.dumps({"weight_map": places}).encode(),
        "model-1-of-2.safetensors": weights(4.0),
        "model-2-of-2.safetensors": safetensors.numpy.save({"fc.bias": np.ones(3, "float32")}),
    }
    found = download(NAME, cache=tmp_path)
    assert value_of(found) == 4
    assert read_safetensors(found.weights)["fc.bias"].shape == (3,)
    hub.close()
    assert download(NAME, cache=tmp_path) == found
    (found.weights.parent / "model-2-of-2.safetensors").unlink()
    with pytest.raises(DownloadError, match=r"model-2-of-2\.safetensors is not in the cache"):
        download(NAME, cache=tmp_path)


# ---- no hub


@pytest.mark.parametrize("how", ["closed", "offline", "busy"])
def test_without_the_hub_the_cache_serves(hub, tmp_path, monkeypatch, how):
    found = download(NAME, cache=tmp_path)
    tagged = download(NAME, revision="v1", cache=tmp_path)
    hub.seen.clear()
    if how == "closed":
        hub.close()
    elif how == "busy":
        hub.models[NAME].refusal = (503, "")
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download(NAME, cache=tmp_path) == found
    assert download(NAME, revision="v1", cache=tmp_path) == tagged
    assert download(NAME, revision=OLD, cache=tmp_path) == tagged
    assert sent(hub) == [] and (how == "busy" or hub.seen == [])


@pytest.mark.parametrize(
    ("how", "words"),
    [("closed", "cannot be reached"), ("offline", "HF_HUB_OFFLINE"), ("busy", "HTTP 503")],
)
def test_without_hub_and_cache_the_error_says_so(hub, tmp_path, monkeypatch, how, words):
    if how == "closed":
        hub.close()
    elif how == "busy":
        hub.models[NAME].refusal = (503, "")
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=f"{words}.*not in the cache") as caught:
        download(NAME, cache=tmp_path)
    assert NAME in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_environment_counts_at_import_too(hub, tmp_path):
    code = (
        "import huggingface_hub.constants, os\n"
        "from diglot.weights.hub import download\n"
        "del os.environ['HF_ENDPOINT']; os.environ.pop('HF_HUB_OFFLINE', None)\n"
        f"print(download({NAME!r}, cache={str(tmp_path)!r}).commit)"
    )
    commits = []
    for offline in ("0", "1"):
        hub.seen.clear()
        environment = {**os.environ, "HF_HUB_OFFLINE": offline}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert bool(hub.seen) == (offline == "0")
        commits.append(done.stdout.strip())
    assert commits == [NEW, NEW]


# ---- arguments


@pytest.mark.parametrize("name", ["resnet50", "a/b/c", "../x", "a/../b", "", "a b/c", "a/b\n", 3])
def test_names_that_cannot_be(name, tmp_path):
    with pytest.raises(InputError, match="not a model on the hub"):
        download(name, cache=tmp_path)


@pytest.mark.parametrize("revision", ["", "../x", "a b", "/x", 3])
def test_revisions_that_cannot_be(revision, tmp_path):
    with pytest.raises(InputError, match="revision"):
        download(NAME, revision=revision, cache=tmp_path)


def test_file_names_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="filename"):
        download(NAME, filename="../model.onnx", cache=tmp_path)
    with pytest.raises(ModelFileError, match="unpickling"):
        download(NAME, filename="model.pth", cache=tmp_path)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install \"huggingface_hub>="):
        download(NAME, cache=tmp_path)


# ---- what the files say: values as published in the models' repositories


def test_timm_settings():
    card = describe(
        {
            "architecture": "convnext_tiny",
            "num_classes": 1000,
            "num_features": 768,
            "model_args": {"depths": [3, 3, 9, 3]},
            "pretrained_cfg": {
                "input_size": [3, 288, 224],
                "interpolation": "bicubic",
                "crop_pct": 0.95,
                "crop_mode": "center",
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
                "license": "cc-by-nc-4.0",
            },
        },
        source="timm/convnext@abc",
        licence="apache-2.0",
    )
    assert (card.library, card.architecture, card.class_count) == ("timm", "convnext_tiny", 1000)
    assert card.settings["depths"] == [3, 3, 9, 3] and card.classes is None
    assert card.licence == "cc-by-nc-4.0" and card.source == "timm/convnext@abc"
    spec = card.input
    assert (spec.shape, spec.resize, spec.crop_fraction) == ((3, 288, 224), "crop", 0.95)
    assert (spec.interpolation, spec.std) == ("bicubic", (0.229, 0.224, 0.225))
    assert card.notes == ()


@pytest.mark.parametrize(
    ("changes", "expected", "noted"),
    [
        ({"crop_mode": "squash", "crop_pct": 1.0}, ("squash", "bilinear"), 0),
        ({"crop_mode": "squash", "crop_pct": 0.9}, ("squash", "bilinear"), 1),
        ({"crop_mode": "border"}, ("crop", "bilinear"), 1),
        ({"interpolation": "random"}, ("crop", "bilinear"), 0),
        ({"interpolation": "lanczos"}, ("crop", "bicubic"), 1),
    ],
)
def test_what_cannot_be_followed_is_noted(changes, expected, noted):
    config = {"architecture": "x", "pretrained_cfg": {"input_size": [3, 64, 32], **changes}}
    card = describe(config)
    assert (card.input.resize, card.input.interpolation) == expected
    assert len(card.notes) == noted


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        # ViT squashes, ResNet and ConvNeXt crop by a fraction (but not from 384), MobileNet by
        # two sizes; the last is an older file's plain number.
        ({"size": {"height": 224, "width": 192}}, (224, 192, "squash", 0)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875,
          "image_processor_type": "ConvNextImageProcessor"}, (224, 224, "crop", 0.875)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875,
          "image_processor_type": "ConvNextImageProcessor"}, (384, 384, "squash", 0)),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True,
          "crop_size": {"height": 224, "width": 224}}, (224, 224, "crop", 0.875)),
        ({"size": {"shortest_edge": 256}, "do_center_crop": False,
          "crop_size": {"height": 224, "width": 224}}, (256, 256, "crop", 1.0)),
        ({"size": 224, "crop_pct": 0.875, "feature_extractor_type": "ConvNextFeatureExtractor"},
         (224, 224, "crop", 0.875)),
        ({"size": 224, "feature_extractor_type": "ViTFeatureExtractor"},
         (224, 224, "squash", 0)),
    ],
)  # fmt: skip
def test_transformers_geometry(preprocessor, expected):
    card = describe({"model_type": "resnet"}, {**preprocessor, **IMAGENET, "resample": 3})
    spec, (height, width, resize, fraction) = card.input, expected
    assert (spec.height, spec.width, spec.resize) == (height, width, resize)
    assert spec.interpolation == "bicubic" and spec.mean == (0.485, 0.456, 0.406)
    if resize == "crop":
        assert spec.crop_fraction == fraction


def test_transformers_settings():
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "hidden_sizes": [256, 512],
        "id2label": {"0": "b", "2": "c", "1": "a", "10": "e"},
        "label2id": {"b": 0},
    }
    card = describe(config, {}, licence="mit")
    assert (card.library, card.architecture, card.licence) == ("transformers", "resnet", "mit")
    assert card.classes == ("b", "a", "c", "e") and card.input is None
    assert set(card.settings) == {"model_type", "architectures", "hidden_sizes"}
    unnamed = describe({"model_type": "vit", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    assert (unnamed.classes, unnamed.class_count) == (None, 2)


@pytest.mark.parametrize(
    ("settings", "transform"),
    [
        ({}, lambda x: (x / 255 - 0.485) / 0.229),
        ({"do_normalize": False}, lambda x: x / 255),
        ({"do_rescale": False}, lambda x: (x - 0.485) / 0.229),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True},
         lambda x: (x / 127.5 - 1 - 0.485) / 0.229),
    ],
)  # fmt: skip
def test_normalisation_is_the_library_s(settings, transform):
    spec = describe({"model_type": "x"}, {"size": 8, **IMAGENET, **settings}).input
    pixels = np.arange(256.0)
    ours = (pixels / 255 - spec.mean[0]) / spec.std[0]
    np.testing.assert_allclose(ours, transform(pixels), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "preprocessor"),
    [
        ({"architecture": 3}, {}),
        ({"architecture": "x", "pretrained_cfg": []}, {}),
        ({"architecture": "x", "pretrained_cfg": [1]}, {}),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, 4]}}, {}),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, -4, 5]}}, {}),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, 4, 5], "mean": 3}}, {}),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, 4, 5], "crop_pct": 7}}, {}),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, 4, 5], "mean": ["a"]}}, {}),
        ({"architecture": "x", "label_names": [1, 2]}, {}),
        ({"architecture": "x", "label_names": ["a"], "num_classes": 5}, {}),
        ({"model_type": "x", "id2label": {"a": "b"}}, {}),
        ({"model_type": "x", "id2label": [1]}, {}),
        ({"model_type": "x"}, {"size": {"depth": 3}}),
        ({"model_type": "x"}, {"size": "large"}),
        ({"model_type": "x"}, {"size": {"shortest_edge": 0}, "crop_size": 3}),
        ({"model_type": "x"}, {"size": 8, "resample": []}),
        ({"model_type": "x"}, {"size": 8, **IMAGENET, "rescale_factor": 0}),
        ({"model_type": "x"}, {"size": 8, **IMAGENET, "image_std": [0, 0, 0]}),
    ],
)
def test_damaged_settings_are_model_file_errors(config, preprocessor):
    if config.get("pretrained_cfg") == []:
        assert describe(config, preprocessor).input is None
        return
    with pytest.raises(ModelFileError, match=r"^x/y@z: the model's settings are damaged"):
        describe(config, preprocessor, source="x/y@z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ('---\ntags:\n- a\nlicense: "apache-2.0"\n---\nlicense: x', "apache-2.0"),
        ("---\nlicense: other\nlicense_name: some-terms\n---\n", "some-terms"),
        ("---\ntags: []\n---\nlicense: mit\n", None),
        ("# A model\nlicense: mit\n", None),
        ("---\n" * 5000, None),
        ("", None),
    ],
)
def test_licences_of_model_cards(text, expected):
    assert licence_of_readme(text) == expected
