"""Captioners as R calls them; arrays and texts stand here as R sends them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diglot import ImageCaptioner, ImageClassifier, bridge, loads, shapes
from diglot.bridge import received

DATA = shapes(24, seed=1, size=32)
SETTINGS = {"hidden": 16.0, "embedding": 8.0, "epochs": 1.0, "batch_size": 8.0, "seed": 1.0}


def done(answer: dict) -> Any:
    assert answer["error"] is None, answer["error"]
    return answer["value"]


def sent(images: Any) -> dict:
    """Describe images as R does: one column-major array, the images counted by its last axis."""
    pile = np.moveaxis(np.stack(list(images)), 0, -1).astype("int32")
    return {
        "kind": "array",
        "data": np.asfortranarray(pile),
        "dim": list(pile.shape),
        "axis": "last",
    }


def texts(rows: Any) -> dict:
    """Describe texts as R does: all of them, and how many each image has."""
    return {"values": [text for row in rows for text in row], "lengths": [len(row) for row in rows]}


IMAGES, CAPTIONS = sent(DATA["image"]), texts(DATA["captions"])


@pytest.fixture(scope="module")
def mine() -> ImageCaptioner:
    """Return the fit that R's has to equal."""
    model = ImageCaptioner(hidden=16, embedding=8, epochs=1, batch_size=8, seed=1, verbose=False)
    return model.fit(DATA[["image"]], DATA["captions"])


@pytest.fixture(scope="module")
def theirs() -> dict:
    return done(bridge.fit_captioner(IMAGES, CAPTIONS, SETTINGS))


def test_settings_become_pythons_own() -> None:
    counts = {"hidden": 16.0, "min_count": 2.0, "self_critical": 1.0, "epochs": [1.0, 2.0]}
    mended = received.captioner_settings({**counts, "dropout": 0.0, "train": "decoder"})
    assert [repr(mended[n]) for n in counts] == ["16", "2", "1", "(1, 2)"]
    assert repr(mended["dropout"]) == "0.0" and mended["train"] == "decoder"
    assert received.captioner_settings([]) == {}  # R's empty list
    net = {"name": "mlp", "settings": {"hidden": [8.0]}}
    assert received.captioner_settings({"encoder": net})["encoder"].shape_of("dense1") == (8,)


def test_texts_come_apart_as_they_were() -> None:
    rows = [["a cat"], ["ein Hund läuft", "b"], ["c"]]
    assert received.texts(texts(rows)) == rows
    assert received.texts({"values": [], "lengths": []}) == []


def test_a_fit_is_the_same_as_the_captioners(theirs: dict, mine: ImageCaptioner) -> None:
    about = theirs["description"]
    assert about["kind"] == "captioner"
    assert about["fingerprint"] == mine.fingerprint()
    assert about["words"] == list(mine.vocabulary_.words)
    assert about["longest"] == max(len(t.split()) for row in DATA["captions"] for t in row)
    assert about["decoder"] == {"cell": "lstm", "layers": 1, "hidden": 16, "heads": 4}
    assert about["network"]["name"] == "convnet"
    assert about["settings"]["hidden"] == 16 and "callbacks" not in about["settings"]
    assert loads(bytes(about["model"])).fingerprint() == mine.fingerprint()


def test_models_are_described_loaded_and_revived(theirs: dict, tmp_path: Any) -> None:
    data = theirs["description"]["model"]
    live = done(bridge.revive(data))
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(data))
    loaded = done(bridge.load(str(file)))["description"]
    described = done(bridge.describe(live))["description"]
    for about in (loaded, described):
        assert about["kind"] == "captioner"
        assert about["fingerprint"] == theirs["description"]["fingerprint"]
    assert "RNN" in done(bridge.summary(live))


def test_validation_callback_and_progress_go_along() -> None:
    heard, seen = [], []
    value = done(
        bridge.fit_captioner(
            IMAGES,
            CAPTIONS,
            {**SETTINGS, "epochs": 3.0, "monitor": "val_loss"},
            validation=[sent(DATA["image"][:4]), texts(DATA["captions"][:4])],
            callback=lambda row: seen.append(row) or ("stop" if row["epoch"] == 2 else "go on"),
            progress=heard.append,
        )
    )
    assert [row["epoch"] for row in seen] == [1, 2]
    assert all(row["val_loss"] > 0 for row in seen)
    assert {event["event"] for event in heard} >= {"start", "row", "finish"}
    assert value["model"].callbacks is None and value["model"].verbose is False


def test_captions_are_the_captioners(theirs: dict, mine: ImageCaptioner) -> None:
    live, some = theirs["model"], sent(DATA["image"][:5])
    assert done(bridge.caption(live, some, [])) == mine.predict(DATA[["image"]][:5]).tolist()
    options = {"beams": 3.0, "max_length": 6.0, "length_penalty": 0.5}
    answer = done(bridge.all_captions(live, some, options))
    found = mine.predict(
        DATA[["image"]][:5], beams=3, max_length=6, length_penalty=0.5, return_all=True
    )
    flat = [one for row in found for one in row]
    assert answer["counts"].tolist() == [len(row) for row in found]
    assert answer["text"] == [one.text for one in flat]
    assert answer["words"]["values"] == [word for one in flat for word in one.words]
    np.testing.assert_array_equal(answer["log_prob"], [one.log_probability for one in flat])
    np.testing.assert_array_equal(answer["score"], [one.score for one in flat])
    np.testing.assert_array_equal(answer["ended"], [one.ended for one in flat])
    start = len(flat[0].words)
    second = answer["attention"][start : start + len(flat[1].words)]
    np.testing.assert_allclose(second, flat[1].attention, rtol=1e-7)
    drawn = done(bridge.all_captions(live, some, {"temperature": 1.0, "samples": 2.0, "seed": 4.0}))
    same = mine.predict(DATA[["image"]][:5], temperature=1.0, samples=2, seed=4, return_all=True)
    assert drawn["text"] == [one.text for row in same for one in row]


def test_without_attention_there_is_none() -> None:
    live = done(bridge.fit_captioner(IMAGES, CAPTIONS, {**SETTINGS, "attention": False}))["model"]
    assert done(bridge.all_captions(live, sent(DATA["image"][:2]), []))["attention"] is None


def test_metrics_are_the_captioners(theirs: dict, mine: ImageCaptioner) -> None:
    options = {"beams": 2.0, "resamples": 50.0, "meteor": False}
    table = done(bridge.evaluate_captions(theirs["model"], IMAGES, CAPTIONS, options))
    expected = mine.evaluate(DATA[["image"]], DATA["captions"], beams=2, resamples=50, meteor=False)
    columns = dict(zip(table["names"], table["columns"], strict=True))
    assert columns["metric"] == expected["metric"].tolist()
    np.testing.assert_array_equal(columns["estimate"], expected["estimate"])
    np.testing.assert_array_equal(columns["lower"], expected["lower"])


def test_a_fitted_classifier_is_an_encoder() -> None:
    count = [len(record) for record in DATA["objects"]]
    seen = ImageClassifier("convnet", epochs=1, seed=1, verbose=False)
    seen.fit(DATA[["image"]], count)
    value = done(bridge.fit_captioner(IMAGES, CAPTIONS, {**SETTINGS, "encoder": seen}))
    # its features are frozen: they are the classifier's own
    network = value["model"].network_
    for name in ("conv1_weight", "bn4_gamma"):
        np.testing.assert_array_equal(network.weights[name], seen.network_.weights[name])


def test_pictures_are_as_they_come_or_as_the_model_sees_them(tmp_path: Any) -> None:
    from PIL import Image

    wide = (np.arange(20 * 60 * 3) % 251).reshape(20, 60, 3).astype("uint8")
    settings = {**SETTINGS, "size": [16.0, 24.0], "resize": "crop"}
    live = done(bridge.fit_captioner(IMAGES, CAPTIONS, settings))["model"]
    file = tmp_path / "wide.png"
    Image.fromarray(wide).save(file)
    paths = {"kind": "paths", "paths": [str(file)]}
    (picture,) = done(bridge.pictures(live, paths, False))
    np.testing.assert_allclose(picture, wide / 255)
    (seen,) = done(bridge.pictures(live, paths, True))
    assert seen.shape == (16, 24, 3)
    # a crop keeps the middle: the colours at the sides are not in it
    marked = np.zeros((20, 60, 3), "uint8")
    marked[:, :8] = 255
    (seen,) = done(bridge.pictures(live, sent([marked]), True))
    assert seen.max() == 0
    large = np.zeros((1000, 400), "uint8")
    Image.fromarray(large).save(file)
    assert done(bridge.pictures(live, paths, False))[0].shape == (320, 128, 3)


def test_errors_are_data(theirs: dict) -> None:
    live, some = theirs["model"], sent(DATA["image"][:1])
    for answer, words in (
        (bridge.fit_captioner(IMAGES, texts([["a"]] * 23 + [[" "]]), SETTINGS), "row 24"),
        (bridge.fit_captioner(IMAGES, CAPTIONS, {**SETTINGS, "heads": 3.0}), "heads"),
        (bridge.caption(live, some, {"beams": 0.0}), "beams"),
        (bridge.evaluate_captions(live, some, texts([[]]), []), "row 1"),
    ):
        assert answer["error"]["kinds"] == ["input"]
        assert words in answer["error"]["message"]


def test_defaults_are_the_captioners() -> None:
    defaults = done(bridge.captioner_defaults())
    assert defaults["fit"]["epochs"] == ImageCaptioner().epochs
    assert defaults["predict"]["beams"] == 5 and "self" not in defaults["fit"]
    assert {"level", "resamples"} <= defaults["evaluate"].keys()
