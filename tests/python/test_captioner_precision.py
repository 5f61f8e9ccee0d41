"""Captioners whose encoder sees with 8-bit integers: measured, kept, used where they agree."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

import diglot
from diglot import ImageCaptioner, storage
from diglot.builder import Builder
from diglot.captioner.captioned import Groups
from diglot.captioner.graphs import behind_encoder, encoder_of
from diglot.captioner.precision import next_words
from diglot.captioner.speaker import Speaker
from diglot.captions.vocabulary import BEGIN, END
from diglot.engine import int8_scorer, open_executor, pick_device
from diglot.evaluation import evaluate_captions
from diglot.graph import InputSpec
from diglot.images import PreparedImages, as_images

DATA = diglot.shapes(160, seed=1, size=32)
TEST = diglot.shapes(60, seed=2, size=32)[["image"]]
SETTINGS = {"hidden": 48, "embedding": 24, "learning_rate": 0.005, "seed": 1, "verbose": False}


@pytest.fixture(scope="module")
def model():
    settings = {**SETTINGS, "epochs": 6, "precision": "int8"}
    return ImageCaptioner(**settings).fit(DATA[["image"]], DATA["captions"])


def again(model, precision):
    return diglot.loads(model.to_bytes()).set_params(precision=precision)


def pixels(images, spec):
    scaled = np.stack(list(images)) / np.float32(255)
    return ((scaled - np.float32(spec.mean)) / np.float32(spec.std)).astype(np.float32)


def encoders(model):
    encoder = encoder_of(model.network_)
    return int8_scorer(encoder, model.int8_.ranges), open_executor(encoder, "cpu")


# ------------------------------------------------------------------------------ seeing


def test_features_are_near_those_of_float32(model):
    given = {"data": pixels(TEST["image"], model.network_.input)}
    integers, floats = (encoder.forward(given) for encoder in encoders(model))
    assert integers.shape == floats.shape == (60, *encoder_of(model.network_).output_shape)
    assert 0 < np.abs(integers - floats).max() < 0.2 * floats.max()
    assert np.corrcoef(integers.ravel(), floats.ravel())[0, 1] > 0.995


def test_captions_are_nearly_all_those_of_float32(model):
    floats = again(model, "float32")
    assert model.fingerprint() == floats.fingerprint()
    ours, theirs = (m.predict(TEST, 1, return_all=True) for m in (model, floats))
    likely = [[found[0].log_probability for found in told] for told in (ours, theirs)]
    assert (np.array(likely[0]) != likely[1]).all()
    same = [a[0].words == b[0].words for a, b in zip(ours, theirs, strict=True)]
    assert len({found[0].text for found in theirs}) > 20
    assert np.mean(same) > 0.8


def test_a_caption_does_not_depend_on_its_company(model):
    together = model.predict(TEST)
    assert model.predict(TEST[:3]).tolist() == together[:3].tolist()
    assert model.predict(TEST[7:8]).tolist() == together[7:8].tolist()


def test_files_and_evaluation_are_seen_the_same_way(model, tmp_path):
    few = TEST["image"][:6].tolist()
    for i, image in enumerate(few):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    told = model.predict(TEST[:6])
    assert diglot.predict_files(model, tmp_path).table["predicted"].tolist() == told.tolist()
    given = {"resamples": 0, "meteor": False}
    references = DATA["captions"][:6].tolist()
    table = model.evaluate(TEST[:6], references, **given).set_index("metric")["estimate"]
    want = evaluate_captions(told.tolist(), references, **given).set_index("metric")["estimate"]
    assert table["rouge_l"] == pytest.approx(want["rouge_l"])


# ------------------------------------------------------------------------------ agreement


def test_agreement_is_that_of_captions_told_word_by_word(model):
    """Against the graphs that decode: one word a step, a caption at a time."""
    with PreparedImages(as_images(DATA[["image"]]), model.network_.input) as ready:
        order = np.argsort(np.array(ready.keys(), object))[:64]
    data = pixels(DATA["image"][order], model.network_.input)
    captions = [model.vocabulary_.encode(t) for row in order for t in DATA["captions"][row]]
    image = np.repeat(np.arange(64), [len(DATA["captions"][row]) for row in order])
    choices = []
    for encoder in (encoders(model)[0], None):
        speaker = Speaker(model.network_, model.decoder_, pick_device("cpu"), encoder=encoder)
        speaker.see(data[image])
        speaker.begin(1)
        mine = [[] for _ in captions]
        for place in range(max(map(len, captions)) + 1):
            before = [([BEGIN, *ids] + [END] * 99)[place] for ids in captions]
            log_p = speaker.step(np.array(before)[:, None])[0][:, 0]
            allowed = [END, *range(4, speaker.words)] if place else range(4, speaker.words)
            best = np.array(list(allowed))[log_p[:, list(allowed)].argmax(axis=1)]
            for row, ids in enumerate(captions):
                if place <= len(ids):
                    mine[row].append(best[row])
        choices.append(np.concatenate(mine))
    assert model.int8_.n == len(choices[0]) == sum(len(ids) + 1 for ids in captions)
    same = (choices[0] == choices[1]).mean()
    assert 0.95 < same < 1
    assert model.int8_.agreement == pytest.approx(same, abs=1.5 / model.int8_.n)


def test_words_that_the_image_decides_are_told_apart():
    """A decoder that is shown the wrong images: just the words that they decide are others."""
    rng = np.random.default_rng(0)
    colours = {"red": (200, 30, 30), "green": (30, 190, 40), "blue": (40, 40, 210)}
    left, right = rng.integers(0, 3, (2, 90))
    images = rng.normal(0, 12, (90, 16, 20, 3))
    images[:, :, :10] += np.array(list(colours.values()))[left][:, None, None]
    images[:, :, 10:] += np.array(list(colours.values()))[right][:, None, None]
    images = images.clip(0, 255).astype(np.uint8)
    names = list(colours)
    texts = [
        f"a {names[i]} tile left of a {names[j]} one" for i, j in zip(left, right, strict=True)
    ]
    settings = {**SETTINGS, "epochs": 12, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.0}
    model = ImageCaptioner("lenet", **settings).fit(images, texts)
    assert model.predict(images).tolist() == texts
    seen = encoder_of(model.network_)
    features = open_executor(seen, "cpu").forward({"data": pixels(images, seen.input)})
    coded = [model.vocabulary_.encode(text) for text in texts]
    width = model.network_.extra_inputs["tokens"][0]
    groups = Groups.of([[np.array(ids)] for ids in coded], width)
    shown, rest = [features, np.roll(features, 1, axis=0)], behind_encoder(model.network_)
    truth, other = next_words(rest, groups, shown, pick_device("cpu"))
    np.testing.assert_array_equal(truth, np.concatenate([[*ids, END] for ids in coded]))
    same = (truth == other).reshape(90, 9)
    np.testing.assert_array_equal(same[:, [0, 2, 3, 4, 5, 7, 8]], True)
    np.testing.assert_array_equal(same[:, 1], left == np.roll(left, 1))
    assert np.mean(same[:, 6] == (right == np.roll(right, 1))) > 0.95


# ------------------------------------------------------------------------------ files


def test_a_model_file_keeps_the_ranges(model):
    other = diglot.loads(model.to_bytes())
    assert other.int8_ == model.int8_
    assert other.precision == "int8"
    assert other.predict(TEST).tolist() == model.predict(TEST).tolist()
    words = f"{100 * model.int8_.agreement:.1f} % of {model.int8_.n:,} next words"
    assert words in model.summary()
    assert other.summary() == model.summary()


def test_files_from_before_there_was_int8_still_load(model):
    tensors, meta = storage.decode(model.to_bytes())
    del meta["int8"], meta["settings"]["precision"]
    old = diglot.loads(storage.encode(tensors, meta))
    assert old.int8_ is None
    assert old.precision == "auto"
    assert old.predict(TEST).tolist() == again(model, "float32").predict(TEST).tolist()


@pytest.mark.parametrize(
    "damage", [{"agreement": 2}, {"n": 0}, {"ranges": {"a": [1, 0]}}, {"ranges": {}}, {"n": True}]
)
def test_damaged_ranges_are_refused(model, damage):
    tensors, meta = storage.decode(model.to_bytes())
    meta["int8"] = {**meta["int8"], **damage}
    with pytest.raises(diglot.ModelFileError, match="int8"):
        diglot.loads(storage.encode(tensors, meta))


# ------------------------------------------------------------------------------ choosing


def test_float32_never_sees_with_integers(model, monkeypatch):
    def refuse(*_):
        raise AssertionError("integers")

    monkeypatch.setattr("diglot.estimators.precision.int8_scorer", refuse)
    floats = again(model, "float32")
    assert len(floats.predict(TEST[:5])) == 5
    fresh = ImageCaptioner(**SETTINGS, epochs=1, precision="float32")
    assert fresh.fit(DATA[["image"]][:40], DATA["captions"][:40]).int8_ is None
    with pytest.raises(AssertionError, match="integers"):
        again(model, "int8").predict(TEST[:5])


def test_auto_leaves_small_encoders_alone():
    fresh = ImageCaptioner(**SETTINGS, epochs=1)
    assert fresh.fit(DATA[["image"]][:40], DATA["captions"][:40]).int8_ is None


@pytest.mark.parametrize(
    ("agreement", "faster", "taken"),
    [(0.995, True, True), (1.0, True, True), (0.9949, True, False), (1.0, False, False)],
)
def test_auto_takes_integers_that_agree_and_are_faster(
    model, monkeypatch, agreement, faster, taken
):
    monkeypatch.setattr("diglot.estimators.precision.is_faster", lambda *_: faster)
    found = again(model, "auto")
    found.int8_ = dataclasses.replace(model.int8_, agreement=agreement)
    expected = again(model, "int8" if taken else "float32")
    told = (m.predict(TEST[:20], return_all=True) for m in (found, expected))
    likely = [[c.log_probability for found in every for c in found] for every in told]
    assert likely[0] == likely[1]


def test_the_trial_is_of_the_encoder(model, monkeypatch):
    seen = []

    def trial(integers, floats, graph):
        given = {"data": pixels(TEST["image"][:20], graph.input)}
        seen.append((integers.forward(given), floats.forward(given)))
        return True

    monkeypatch.setattr("diglot.estimators.precision.is_faster", trial)
    found = again(model, "auto")
    found.int8_ = dataclasses.replace(model.int8_, agreement=1.0)
    found.predict(TEST[:20])
    found.predict(TEST[:20], return_all=True)
    ((integers, floats),) = seen  # once for all ways to ask
    assert np.corrcoef(integers.ravel(), floats.ravel())[0, 1] > 0.995


def test_a_later_setting_counts(model):
    found = again(model, "int8")
    likely = []
    for precision in ("int8", "float32", "int8"):
        told = found.set_params(precision=precision).predict(TEST[:5], return_all=True)
        likely.append([c.log_probability for every in told for c in every])
    assert likely[0] == likely[2] != likely[1]


def test_an_encoder_that_no_integers_fit_sees_in_float32():
    b = Builder(InputSpec(32, 32, 3))
    pool = b.add("Pooling", b.data, name="pool", pool_type="max", kernel=(4, 4), stride=(4, 4))
    fresh = ImageCaptioner(b.graph("pooled", pool), **SETTINGS, epochs=1, precision="int8")
    with pytest.warns(UserWarning, match="'pooled'.*float32") as told:
        fresh.fit(DATA[["image"]][:40], DATA["captions"][:40])
    assert told[0].filename == __file__
    assert fresh.int8_ is None
    assert len(fresh.predict(TEST[:3])) == 3


def test_an_unknown_precision_is_refused():
    with pytest.raises(diglot.InputError, match="precision"):
        ImageCaptioner(precision="int4").fit(DATA[["image"]], DATA["captions"])


# ------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    "error", [diglot.OutOfMemoryError("a batch of 16 images"), KeyboardInterrupt(), MemoryError()]
)
def test_a_fit_outlives_its_calibration(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("diglot.estimators.precision.measure_ranges", fail)
    fresh = ImageCaptioner(**SETTINGS, epochs=1, precision="int8")
    with pytest.warns(UserWarning, match="whole, but scores in float32") as told:
        fresh.fit(DATA[["image"]][:40], DATA["captions"][:40])
    assert told[0].filename == __file__
    assert fresh.int8_ is None and len(fresh.history_) == 1
    assert len(diglot.loads(fresh.to_bytes()).predict(TEST[:3])) == 3


def test_what_pytorch_trained_sees_with_mxnets_integers():
    pytest.importorskip("torch")
    fresh = ImageCaptioner(**SETTINGS, epochs=2, engine="torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diglot.estimators.precision.LEAST_WORK", 0)
        fresh.fit(DATA[["image"]][:80], DATA["captions"][:80])
    assert fresh.engine_ == "torch" and 0.9 < fresh.int8_.agreement <= 1
    here = {"engine": "mxnet", "precision": "int8"}
    integers = diglot.loads(fresh.to_bytes()).set_params(**here).predict(TEST, 1)
    assert np.mean(integers == fresh.predict(TEST, 1)) > 0.8
