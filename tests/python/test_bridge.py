"""What the R package calls; arrays and labels stand here as R sends them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diglot import bridge
from diglot.bridge import plain, received
from diglot.bridge.answers import CallbackError, answered
from diglot.errors import (
    DivergedError,
    ImageError,
    InputError,
    InterruptedFitWarning,
    MissingPackageError,
)


def from_r(array: np.ndarray, axis: str = "first") -> dict:
    """Describe an array as R does: column-major, read-only, with its dim beside it."""
    data = np.asfortranarray(array)
    if array.dtype == np.uint8:  # R's raw
        data = bytearray(array.tobytes(order="F"))
    else:
        data.flags.writeable = False
    return {"kind": "array", "data": data, "dim": list(array.shape), "axis": axis}


IMAGES = (np.arange(2 * 3 * 4 * 3) % 256).reshape(2, 3, 4, 3)


@pytest.mark.parametrize("dtype", ["int32", "float64", "uint8"])
@pytest.mark.parametrize("channels", [None, 3])
def test_arrays_arrive_in_c_order(dtype: str, channels: int | None) -> None:
    images = IMAGES.astype(dtype) if channels else IMAGES[..., 0].astype(dtype)
    for axis, sent in (("first", images), ("last", np.moveaxis(images, 0, -1))):
        there = received.images(from_r(sent, axis))
        np.testing.assert_array_equal(there, images)
        assert there.flags.c_contiguous and there.flags.writeable
        assert there.dtype == ("float32" if dtype == "float64" else "uint8")


def test_images_of_different_sizes_and_paths() -> None:
    items = [from_r(IMAGES[0, ..., 0].astype("int32"), "none"), from_r(np.ones((5, 2)), "none")]
    there = received.images({"kind": "list", "items": items})
    assert [a.shape for a in there] == [(3, 4), (5, 2)]
    assert received.images({"kind": "paths", "paths": ["a.png"]}) == ["a.png"]


@pytest.mark.parametrize(
    ("levels", "kind", "classes"),
    [
        (["two", "ten"], "character", ["two", "ten"]),
        (["9", "10"], "integer", [9, 10]),
        (["FALSE", "TRUE"], "logical", [False, True]),
    ],
)
def test_labels_keep_order_and_type(levels: list[str], kind: str, classes: list) -> None:
    labels = {"codes": np.array([1, 0, 1], "int32"), "levels": levels, "type": kind}
    there = received.labels({**labels, "ordered": False})
    assert list(there.categories) == classes
    assert list(there) == [classes[1], classes[0], classes[1]]
    assert [plain.level_text(c) for c in there.categories] == levels
    assert received.labels({**labels, "ordered": True}).ordered


def test_settings_become_pythons_own() -> None:
    settings = {
        "epochs": 10.0,
        "size": [12.0, 10],
        "learning_rate": 1.0,
        "memory_limit": 4e9,
        "class_weight": {"9": 2, "10": 1.0},
        "network": {"name": "mlp", "settings": {"hidden": [8.0, 4.0]}},
        "train": "stage4",
        "views": 3.0,
    }
    mended = received.settings(settings, [9, 10])
    assert repr(mended["epochs"]) == "10"
    assert repr(mended["size"]) == "(12, 10)"
    assert repr(mended["learning_rate"]) == "1.0"
    assert repr(mended["memory_limit"]) == "4000000000"
    assert mended["class_weight"] == {9: 2.0, 10: 1.0}
    assert mended["network"].shape_of("dense2") == (4,)
    assert (mended["train"], repr(mended["views"])) == (["stage4"], "3")
    pair = received.settings({"epochs": [1.0, 5.0], "train": "head_then_all"}, [])
    assert (repr(pair["epochs"]), pair["train"]) == ("(1, 5)", "head_then_all")


@pytest.mark.parametrize(
    ("reason", "kinds", "message"),
    [
        (ImageError("row 3"), ["image", "input"], "row 3"),
        (InputError("epochs"), ["input"], "epochs"),
        (KeyError("x"), ["python"], "KeyError: 'x'"),
        (KeyboardInterrupt(), ["interrupted"], "Interrupted."),
        (CallbackError(), ["callback"], "A callback failed."),
    ],
)
def test_errors_are_data(reason: BaseException, kinds: list[str], message: str) -> None:
    @answered
    def fail() -> None:
        raise reason

    answer = fail()
    assert answer["value"] is None
    assert answer["error"]["kinds"] == kinds
    assert answer["error"]["message"] == message
    assert "Traceback" in answer["error"]["traceback"]


def test_what_a_diverged_fit_learned_comes_along() -> None:
    @answered
    def fail() -> None:
        raise DivergedError("inf", model="the best so far")

    assert fail()["error"]["model"] == "the best so far"


def test_warnings_are_data() -> None:
    @answered
    def warn() -> int:
        warnings.warn(InterruptedFitWarning("kept"), stacklevel=1)
        warnings.warn("other", stacklevel=1)
        warnings.warn("for developers", DeprecationWarning, stacklevel=1)
        return 3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        answer = warn()
    assert answer["value"] == 3 and answer["error"] is None
    assert [w["kind"] for w in answer["warnings"]] == ["interrupted", None]
    assert answer["warnings"][0]["message"] == "kept"


def test_tables_cross_by_column() -> None:
    table = plain.table(
        pd.DataFrame(
            {
                "whole": [1, 2],
                "large": [2**40, 0],
                "real": [0.5, np.nan],
                "truth": [True, False],
                "text": ["a", None],
                "level": pd.Categorical(["b", None], categories=["b", "a"], ordered=True),
            }
        )
    )
    whole, large, real, truth, text, level = table["columns"]
    assert table["types"] == ["plain"] * 4 + ["text", "factor"]
    assert whole.dtype == np.int32
    assert large.dtype == np.float64 and large[0] == 2**40
    assert np.isnan(real[1])
    assert truth.dtype == bool
    assert text == ["a", None]
    assert level["codes"].tolist() == [0, -1]
    assert level["levels"] == ["b", "a"] and level["ordered"]


def test_pictures_cross_as_one_pile() -> None:
    column = pd.Series(list(IMAGES[..., 0].astype("uint8")), dtype=object)
    kind, pile = plain.column(column)
    assert kind == "pixels" and pile.shape == (3, 4, 2) and pile.dtype == np.int32
    np.testing.assert_array_equal(pile[..., 1], IMAGES[1, ..., 0])
    column = pd.Series([np.zeros((2, 2), "uint16") + 65535, np.zeros((3, 2))], dtype=object)
    kind, items = plain.column(column)
    assert kind == "images" and items[0].max() == 1.0


def test_defaults_are_the_classifiers() -> None:
    defaults = bridge.defaults()["value"]
    assert defaults["epochs"] == 10 and "self" not in defaults


def test_a_fit_is_the_same_as_the_classifiers() -> None:
    from diglot import ImageClassifier, loads

    images = (np.arange(20 * 8 * 8) * 7919 % 256).reshape(20, 8, 8)
    codes = np.arange(20) % 2
    heard, seen = [], []
    settings = {"network": "mlp", "epochs": 2.0, "batch_size": 8.0, "seed": 1.0}
    answer = bridge.fit(
        from_r(images.astype("int32")),
        {"codes": codes, "levels": ["b", "a"], "type": "character", "ordered": False},
        settings,
        callback=lambda row: seen.append(row) or "go on",
        progress=heard.append,
    )
    assert answer["error"] is None, answer["error"]
    about = answer["value"]["description"]
    model = ImageClassifier("mlp", epochs=2, batch_size=8, seed=1, verbose=False)
    model.fit(images.astype("uint8"), codes)
    assert about["fingerprint"] == model.fingerprint()
    assert about["levels"] == ["b", "a"]
    assert loads(bytes(about["model"])).fingerprint() == model.fingerprint()
    assert [row["epoch"] for row in seen] == [1, 2]
    assert {event["event"] for event in heard} >= {"start", "row", "finish"}

    live = answer["value"]["model"]
    probabilities = bridge.predict_proba(live, from_r(images.astype("int32")))["value"]
    np.testing.assert_allclose(probabilities, model.predict_proba(images.astype("uint8")))
    metrics = bridge.evaluate(live, from_r(images.astype("int32")), codes)["value"]
    assert "accuracy" in metrics["columns"][metrics["names"].index("metric")]

    more = bridge.update(
        about["model"], "auto", from_r(images.astype("int32")), codes, {"epochs": 1.0}
    )
    assert more["error"] is None, more["error"]
    assert more["value"]["description"]["fingerprint"] != about["fingerprint"]
    assert live.fingerprint() == about["fingerprint"]


def test_a_failing_callback_ends_the_fit() -> None:
    images = (np.arange(20 * 8 * 8) * 7919 % 256).reshape(20, 8, 8).astype("int32")
    labels = {"codes": np.arange(20) % 2, "levels": ["b", "a"], "type": "character"}
    answer = bridge.fit(
        from_r(images),
        {**labels, "ordered": False},
        {"network": "mlp", "epochs": 3, "seed": 1},
        callback=lambda row: "failed",
    )
    assert answer["error"]["kinds"] == ["callback"]


# ---- numbers, tags, covariates


def beside(*columns: dict) -> dict:
    """Put covariates beside twenty images, as R sends them."""
    images = (np.arange(20 * 6 * 5) * 7919 % 256).reshape(20, 6, 5).astype("int32")
    return {"kind": "table", "images": from_r(images), "columns": list(columns)}


AGE = {"name": "age", "kind": "numbers", "values": np.arange(20.0)}
SEX = {
    "name": "sex",
    "kind": "factor",
    "codes": np.arange(20) % 2,
    "levels": ["f", "m"],
    "ordered": False,
}


def test_images_with_covariates_become_a_table() -> None:
    table = received.images(beside(AGE, SEX))
    assert table.columns.tolist() == ["image", "age", "sex"]
    assert table["image"][3].shape == (6, 5)
    assert table["age"].dtype == np.float64
    assert table["sex"].tolist()[:3] == ["f", "m", "f"]
    paths = {"kind": "table", "images": {"kind": "paths", "paths": ["a", "b"]}, "columns": []}
    assert received.images(paths)["image"].tolist() == ["a", "b"]


def test_contrasts_and_covariates_cross() -> None:
    sent = {
        "covariates": ["sex", "stage"],
        "contrasts": {
            "sex": "sum",
            "stage": {"values": [0, 1, 1, 0, 2, 3], "columns": ["x", "y"]},
        },
    }
    mended = received.settings(sent, [])
    assert mended["covariates"] == ["sex", "stage"]
    assert mended["contrasts"]["sex"] == "sum"
    assert mended["contrasts"]["stage"].to_numpy().tolist() == [[0, 1], [1, 0], [2, 3]]
    assert mended["contrasts"]["stage"].columns.tolist() == ["x", "y"]
    assert received.settings({"covariates": []}, [])["covariates"] is None


def test_outcomes_cross() -> None:
    numbers = received.outcome({"kind": "numbers", "values": [1, 2]})
    assert numbers.tolist() == [1.0, 2.0]
    tags = received.outcome({"kind": "tags", "values": [[0, 1], [1, 1]], "tags": ["a", "b"]})
    assert tags.columns.tolist() == ["a", "b"]
    lists = received.outcome({"kind": "lists", "values": ["a", "b"], "lengths": [0, 2]})
    assert lists == [[], ["a", "b"]]
    assert received.levels(pd.DataFrame({"categories": [1]})) == []


@pytest.mark.parametrize("kind", ["regressor", "tagger"])
def test_other_estimators_fit_and_answer(kind: str) -> None:
    images = beside(AGE, SEX)
    settings = {"network": "mlp", "epochs": 1, "seed": 1, "covariates": ["age", "sex"]}
    if kind == "regressor":
        outcome = {"kind": "numbers", "values": np.arange(20) % 7}
    else:
        outcome = {
            "kind": "tags",
            "values": np.arange(40).reshape(20, 2) % 3 == 0,
            "tags": ["a", "b"],
        }
    answer = bridge.fit(images, outcome, settings, kind=kind)
    assert answer["error"] is None, answer["error"]
    live, about = answer["value"]["model"], answer["value"]["description"]
    assert (about["kind"], about["covariates"]) == (kind, ["age", "sex"])
    if kind == "regressor":
        assert about["family"] == "gaussian"
        found = bridge.predict_numbers(live, images, "numeric")["value"]
        np.testing.assert_array_equal(found[:, 0], live.predict(received.images(images)))
        sure = bridge.conformalize(about["model"], "auto", images, outcome, {})["value"]["model"]
        ends = bridge.predict_numbers(sure, images, "interval", 0.5)["value"]
        assert (ends[:, 1] <= ends[:, 0]).all() and (ends[:, 0] <= ends[:, 2]).all()
    else:
        assert about["tags"] == ["a", "b"]
        assert bridge.predict_tags(live, images)["value"].shape == (20, 2)
        tuned = done(bridge.tune_thresholds(about["model"], "auto", images, outcome))["description"]
        assert len(tuned["thresholds"]) == 2
        assert about["thresholds"] == [0.5, 0.5]
    table = bridge.coefficients(live, images, outcome, {"resamples": 5.0, "groups": np.arange(20)})
    assert table["error"] is None, table["error"]
    assert "cluster bootstrap percentile" in table["value"]["columns"][-2]
    more = bridge.update(about["model"], "auto", images, outcome, {})
    assert more["value"]["description"]["fingerprint"] != about["fingerprint"]
    judged = bridge.evaluate(live, images, outcome, {"resamples": 20.0})
    assert judged["error"] is None, judged["error"]
    described = bridge.describe(bridge.revive(about["model"])["value"])["value"]["description"]
    assert described["fingerprint"] == about["fingerprint"]


@pytest.fixture
def trained_bytes() -> bytes:
    from diglot import ImageClassifier

    model = ImageClassifier("mlp", epochs=1, batch_size=8, seed=1, verbose=False)
    return model.fit(np.arange(20 * 8 * 8).reshape(20, 8, 8) / 1280, np.arange(20) % 2).to_bytes()


def test_what_changes_a_fit_keeps_its_engine(trained_bytes: bytes) -> None:
    pytest.importorskip("torch")
    images, codes = from_r(np.arange(20 * 8 * 8).reshape(20, 8, 8) / 1280), np.arange(20) % 2
    more = done(bridge.update(trained_bytes, "torch", images, codes, {"epochs": 1.0}))
    assert more["description"]["engine"] == "torch"
    for answer in (
        bridge.calibrate(trained_bytes, "torch", images, codes, "temperature"),
        bridge.conformalize(trained_bytes, "torch", images, codes, {}),
        bridge.describe(done(bridge.revive(trained_bytes, "torch"))),
    ):
        assert done(answer)["description"]["settings"]["engine"] == "torch"


def test_where_its_engine_is_not_a_fit_answers_all_the_same(trained_bytes, monkeypatch) -> None:
    def none() -> None:
        raise MissingPackageError("there is no PyTorch here")

    monkeypatch.setattr("diglot.engine.torch.load", none)
    model = done(bridge.revive(trained_bytes, "torch"))
    assert model.engine == "auto"
    assert bridge.revive(trained_bytes, "caffe")["error"]["kinds"] == ["input"]


# ---- networks with weights

PICTURES = (np.arange(24 * 16 * 18) * 7919 % 256).reshape(24, 16, 18)
LABELS = {"codes": np.arange(24) % 2, "levels": ["b", "a"], "type": "character", "ordered": False}
SETTINGS = {"batch_size": 8.0, "seed": 1.0}


@pytest.fixture(scope="module")
def recipe() -> dict:
    """Describe a network as R does: its weights are column-major doubles."""
    from diglot import network
    from diglot.builder import initial_weights

    weights = initial_weights(network("resnet20", depth=1, widths=(4, 6, 8), classes=5), 1)
    return {
        "name": "resnet20",
        "weights": {n: np.asfortranarray(w, np.float64) for n, w in weights.items()},
        "settings": {"size": [16, 18], "channels": 1, "depth": 1.0, "widths": [4.0, 6.0, 8.0]},
    }


def done(answer: dict) -> object:
    assert answer["error"] is None, answer["error"]
    return answer["value"]


def test_a_recipe_becomes_the_network(recipe: dict) -> None:
    from diglot import pretrained

    value = done(bridge.pretrained(recipe))
    arrays = {n: np.float32(w) for n, w in recipe["weights"].items()}
    own = pretrained(
        "resnet20", arrays, size=(16, 18), channels=1, depth=1, widths=(4, 6, 8), verbose=False
    )
    prepared = np.random.default_rng(1).normal(size=(3, 16, 18, 1))
    np.testing.assert_array_equal(value["network"].logits(prepared), own.logits(prepared))
    assert value["card"]["groups"] == "stem, stage1, stage2, stage3, head"
    assert value["name"] == "resnet20" and value["commit"] is None
    again = done(bridge.pretrained(recipe))
    assert again["fingerprint"] == value["fingerprint"]
    other = {**recipe["weights"], "head_bias": recipe["weights"]["head_bias"] + 1}
    assert (
        done(bridge.pretrained({**recipe, "weights": other}))["fingerprint"]
        != (value["fingerprint"])
    )
    assert "layer1_0_conv1" in done(bridge.summary(value["network"]))
    refused = bridge.pretrained({**recipe, "name": "vgg11", "settings": []})
    assert refused["error"]["kinds"] == ["model_file"]


def test_the_commit_of_a_model_on_the_hub_comes_along(recipe: dict, monkeypatch) -> None:
    net = done(bridge.pretrained(recipe))["network"]
    told = {"source": "someone/net@" + "1" * 40}
    monkeypatch.setattr("diglot.pretrained", lambda *_, **__: replace(net, origin=told))
    value = done(bridge.pretrained({"name": "resnet20", "weights": "someone/net", "settings": []}))
    assert value["commit"] == "1" * 40


def test_fine_tuning_is_the_classifiers(recipe: dict) -> None:
    from diglot import ImageClassifier

    net = done(bridge.pretrained(recipe))["network"]
    sent, pixels, codes = (
        from_r(PICTURES.astype("int32")),
        PICTURES.astype("uint8"),
        LABELS["codes"],
    )
    first = done(bridge.fit(sent, LABELS, {**SETTINGS, "network": net, "train": "head"}))
    own = ImageClassifier(net, train="head", batch_size=8, seed=1, verbose=False)
    own.fit(pixels, codes)
    assert first["description"]["fingerprint"] == own.fingerprint()
    told = first["description"]["lineage"]
    assert told == {
        "learned": "head",
        "frozen": "stem, stage1, stage2, stage3",
        "weights": "arrays",
    }
    assert "stage3" in own.summary() and "arrays" in own.summary()

    seen = []
    settings = {"epochs": [1.0, 2.0], "seed": 2.0}
    second = done(
        bridge.fine_tune(
            first["model"], sent, LABELS, settings, callback=lambda row: seen.append(row) or "go on"
        )
    )
    assert second["description"]["fingerprint"] == (
        own.fine_tune(pixels, codes, epochs=(1, 2), seed=2).fingerprint()
    )
    assert second["description"]["settings"]["epochs"] == [1, 2]
    assert second["description"]["lineage"]["learned"] == "head, then everything"
    assert own.fingerprint()[:16] in second["description"]["lineage"]["weights"]
    assert [row["epoch"] for row in seen] == [1, 2, 3]
    assert second["model"].callbacks is None
    assert first["model"].fingerprint() == own.fingerprint()


def test_features_cross_with_their_shape(recipe: dict) -> None:
    net = done(bridge.pretrained(recipe))["network"]
    sent = from_r(PICTURES.astype("int32"))
    for layer, shape in ((None, [24, 8]), ("layer2_0_relu2", [24, 8, 9, 6])):
        answer = done(bridge.embed(net, sent, layer))
        assert answer["dim"] == shape
        assert answer["values"].flags.f_contiguous and answer["values"].dtype == np.float64
        want = net.embed(PICTURES.astype("uint8"), layer)
        np.testing.assert_array_equal(answer["values"], want)
    assert done(bridge.embed(net, {"kind": "list", "items": []}))["dim"] == [0, 8]


def test_learning_rates_cross_as_a_table() -> None:
    from diglot import ImageClassifier

    settings = {**SETTINGS, "network": "mlp"}
    sent = from_r(PICTURES.astype("int32"))
    answer = done(bridge.find_learning_rate(sent, LABELS, settings, 1e-4, 1.0, 15.0))
    model = ImageClassifier("mlp", batch_size=8, seed=1, verbose=False)
    found = model.find_learning_rate(
        PICTURES.astype("uint8"), LABELS["codes"], lowest=1e-4, steps=15
    )
    assert answer["suggestion"] == found.suggestion
    assert answer["table"]["names"] == ["learning_rate", "loss", "smoothed"]
    np.testing.assert_array_equal(answer["table"]["columns"][1], found.table["loss"])


# ---- images with captions


def test_lists_cross_flat() -> None:
    kind, values = plain.column(pd.Series([["a", "b"], ["c"]]))
    assert kind == "lists" and values["values"] == ["a", "b", "c"]
    assert values["lengths"].tolist() == [2, 1]


def test_shapes_cross_with_their_record_and_back() -> None:
    from diglot import shapes

    answer = done(bridge.shapes(9.0, 3.0, 40.0, "unseen", 2.0))
    own = shapes(9, 3, size=40, split="unseen", captions=2)
    assert answer["image"].dtype == np.int32 and answer["image"].flags.f_contiguous
    np.testing.assert_array_equal(np.moveaxis(answer["image"], -1, 0), np.stack(own["image"]))
    assert answer["captions"]["values"] == [text for texts in own["captions"] for text in texts]
    counts = answer["counts"].tolist()
    assert counts == [len(record) for record in own["objects"]]
    columns = dict(zip(answer["objects"]["names"], answer["objects"]["columns"], strict=True))
    assert columns["x"].tolist() == [one["x"] for record in own["objects"] for one in record]

    firsts = [texts[0] for texts in own["captions"]]
    right = done(bridge.check_shapes(firsts, columns, counts))
    assert right["names"][-1] == "all" and right["columns"][-1].all()
    turned = done(bridge.check_shapes(firsts[::-1], columns, counts))
    assert not turned["columns"][-1].all()
    none = done(bridge.shapes(0.0, 3.0, 40.0, "train", 5.0))
    assert none["image"].shape == (40, 40, 3, 0)
    assert bridge.shapes(1.5, 3.0, 40.0, "train", 5.0)["error"]["kinds"] == ["input"]


def test_files_of_captions_cross_as_a_table(tmp_path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("image,caption\na.jpg,A dog .\na.jpg,A wet dog .\n")
    table = done(bridge.read_captions(str(file), "photos"))
    assert (table["names"], table["types"]) == (["image", "captions"], ["text", "lists"])
    assert table["columns"][1]["values"] == ["A dog .", "A wet dog ."]
    assert bridge.read_captions(str(file), None, ["train"])["error"]["kinds"] == ["input"]


def test_models_are_compared_by_the_text_of_their_classes() -> None:
    from diglot import ImageClassifier

    X = (np.arange(20 * 8 * 8) * 7919 % 256).reshape(20, 8, 8).astype("uint8")
    codes = np.arange(20) % 2
    a, b = (ImageClassifier("mlp", epochs=1, seed=s, verbose=False) for s in (1, 2))
    a.fit(X, codes)
    b.fit(X, pd.Categorical(codes.astype(str), categories=["1", "0"]))
    table = done(bridge.compare_models(a, b, from_r(X.astype("int32")), codes))
    estimates = dict(zip(table["names"], table["columns"], strict=True))
    assert estimates["a"][0] == np.mean(a.predict(X) == codes)
    assert estimates["b"][0] == np.mean(b.predict(X) == codes.astype(str))


def test_a_fitted_model_stands_for_its_network(trained_bytes: bytes) -> None:
    live = done(bridge.revive(trained_bytes))
    assert received.settings({"network": live}, [])["network"] is live.network_
    assert received.captioner_settings({"encoder": live})["encoder"] is live.network_
