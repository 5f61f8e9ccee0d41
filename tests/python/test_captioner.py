"""The captioner as its users meet it: learning, files, decoding, evaluation and bad input."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import diglot.estimators.frozen as frozen
from diglot import ImageCaptioner, ImageClassifier, load, loads, network, storage
from diglot.captioner import Caption
from diglot.captions.vocabulary import BEGIN, END
from diglot.errors import (
    DeviceError,
    DiglotError,
    DivergedError,
    ImageError,
    InputError,
    InterruptedFitWarning,
    ModelFileError,
)
from diglot.evaluation import CiderD, evaluate_captions
from diglot.images import as_images, batches
from diglot.training import Checkpoints
from fuzz import damaged
from graph_checks import random_weights

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:mxnet")

COLOURS = {"red": (200, 30, 30), "green": (30, 190, 40), "blue": (40, 40, 210)}


def tiles(n=60, height=16, width=20, seed=0):
    """Make images of two colours, and what may truly be said of them."""
    rng = np.random.default_rng(seed)
    images, captions = rng.normal(0, 12, (n, height, width, 3)), []
    for image in images:
        left, right = (list(COLOURS)[i] for i in rng.integers(0, 3, 2))
        image[:, : width // 2] += COLOURS[left]
        image[:, width // 2 :] += COLOURS[right]
        captions.append([f"{left} left of {right}", f"a {left} tile left of a {right} one"])
    return images.clip(0, 255).astype(np.uint8), captions


SMALL = {"hidden": 16, "embedding": 12, "heads": 2, "learning_rate": 0.01, "batch_size": 8}
PLAIN = {"dropout": 0.0, "label_smoothing": 0.0}


def captioner(encoder="lenet", **settings):
    chosen = {"epochs": 2, "seed": 1, "verbose": False, **SMALL, **PLAIN}
    return ImageCaptioner(encoder, **{**chosen, **settings})


IMAGES, CAPTIONS = tiles(90)
FEW, THEIRS = IMAGES[:20], CAPTIONS[:20]
NEW, TRUTH = tiles(40, seed=7)


def right(texts, truth):
    return np.mean([text in told for text, told in zip(texts, truth, strict=True)])


@pytest.fixture(scope="module")
def fitted():
    return captioner(epochs=16, hidden=32, dropout=0.1).fit(IMAGES, CAPTIONS)


@pytest.fixture(scope="module")
def unsure():
    """Return a captioner that learned little, so that its captions differ."""
    return captioner(learning_rate=0.003).fit(IMAGES, CAPTIONS)


def encoder(name="convnet", **settings):
    """Return an encoder with weights, as a pretrained one."""
    settings = {"widths": (4, 6)} | settings
    net = network(name, size=(16, 20), channels=3, classes=5, **settings)
    return net.with_weights(random_weights(net))


# ------------------------------------------------------------------------------ learning


def test_it_learns_what_can_be_seen(fitted):
    assert right(fitted.predict(NEW), TRUTH) == 1
    assert right(fitted.predict(NEW, beams=1), TRUTH) == 1
    # Two texts are as likely, so that the least loss is that of tossing a coin, by 7 words.
    assert np.log(2) / 7 < fitted.history_["loss"].iloc[-1] < 2 * np.log(2) / 7


@pytest.mark.parametrize(
    "settings",
    [
        {"decoder": "gru", "layers": 2, "tied": True},
        {"attention": False, "label_smoothing": 0.1},
        {"encoder": "convnet", "optimizer": "adamw", "weight_decay": 0.01},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_it_learns_with_other_settings(settings):
    model = captioner(**{"epochs": 24, "hidden": 32, **settings}).fit(IMAGES, CAPTIONS)
    assert right(model.predict(NEW), TRUTH) == 1


def test_a_language_of_other_letters_is_learned():
    words = {"red": "赤い", "green": "緑", "blue": "ёлка'я"}
    given = [[words[c[0].split()[0]] + " ärger 🙂"] for c in CAPTIONS]
    model = captioner(epochs=16).fit(IMAGES, given)
    assert set(model.predict(NEW)) == {f"{word} ärger 🙂" for word in words.values()}
    assert loads(model.to_bytes()).predict(NEW).tolist() == model.predict(NEW).tolist()


def test_order_and_layout_of_rows_do_not_matter():
    model = captioner().fit(FEW, THEIRS)
    order = np.random.default_rng(1).permutation(20)
    turned = captioner().fit(FEW[order], [THEIRS[i][::-1] for i in order])
    assert turned.to_bytes()[-4000:] == model.to_bytes()[-4000:]
    assert turned.fingerprint() == model.fingerprint()
    flat = [(image, text) for image, texts in zip(FEW, THEIRS, strict=True) for text in texts]
    images, texts = zip(*flat, strict=True)
    assert captioner().fit(np.stack(images), texts).fingerprint() == model.fingerprint()
    assert captioner().fit(list(images)[::-1], list(texts)[::-1]).fingerprint() == (
        model.fingerprint()
    )
    other = captioner().fit(FEW, [t[:1] for t in THEIRS])
    assert other.fingerprint() != model.fingerprint()


SAME = """
import sys
sys.path.insert(0, sys.argv[1])
import test_captioner as t
settings = {"dropout": 0.2, "augment": "light", "validation": 0.2, "self_critical": 1}
print(t.captioner("convnet", **settings).fit(t.FEW, t.THEIRS).fingerprint())
"""


def test_same_seed_gives_the_same_bytes_in_another_process():
    command = [sys.executable, "-c", SAME, os.path.dirname(__file__)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    settings = {"dropout": 0.2, "augment": "light", "validation": 0.2, "self_critical": 1}
    here = captioner("convnet", **settings).fit(FEW, THEIRS)
    assert here.fingerprint() == there
    assert captioner("convnet", **{**settings, "seed": 2}).fit(FEW, THEIRS).fingerprint() != there


def test_a_drawn_seed_is_kept_and_gives_the_fit_again():
    model = captioner(seed=None).fit(FEW, THEIRS)
    assert captioner(seed=model.seed_).fit(FEW, THEIRS).fingerprint() == model.fingerprint()


# ------------------------------------------------------------------------------ words


def test_rare_words_are_unknown_and_never_said():
    given = [[*texts, "zebra left of red"] if i < 2 else texts for i, texts in enumerate(THEIRS)]
    model = captioner(min_count=3).fit(FEW, given)
    assert "zebra" not in model.vocabulary_.words
    assert {"left", "of"} < set(model.vocabulary_.words)
    told = {c.text for found in model.predict(FEW, 4, return_all=True) for c in found}
    assert not any("<unk>" in text or "zebra" in text for text in told)


def test_the_vocabulary_is_bounded_and_may_keep_capitals():
    model = captioner(max_words=2, epochs=1).fit(FEW, THEIRS)
    assert set(model.vocabulary_.words) <= {"a", "left", "of"}
    assert len(model.vocabulary_.words) == 2
    given = [[texts[0].capitalize()] for texts in THEIRS]
    model = captioner(lowercase=False, epochs=30).fit(FEW, given)
    assert {"Red", "red"} <= set(model.vocabulary_.words)
    assert all(text[0].isupper() for text in model.predict(FEW))
    table = model.evaluate(FEW, given, meteor=False, resamples=0)
    small = model.evaluate(FEW, [[t.lower() for t in g] for g in given], meteor=False, resamples=0)
    assert table["estimate"].iloc[0] > small["estimate"].iloc[0]


def test_captions_are_cut_in_training_and_none_is_longer():
    model = captioner(max_length=3, epochs=8).fit(FEW, THEIRS)
    assert model.longest_ == 3
    for found in (model.predict(FEW), model.predict(FEW, temperature=3.0)):
        assert max(len(text.split()) for text in found) <= 3
    assert captioner(epochs=1).fit(FEW, THEIRS).longest_ == 8
    assert captioner(epochs=1).fit(FEW, [t[:1] for t in THEIRS]).longest_ == 4


# ------------------------------------------------------------------------------ answers


def test_the_best_is_the_first_of_all(unsure):
    texts = unsure.predict(NEW, 4)
    assert texts.shape == (40,)
    assert texts.dtype == object
    every = unsure.predict(NEW, 4, return_all=True)
    assert [found[0].text for found in every] == texts.tolist()
    for found in every:
        assert len(found) == 4
        assert all(isinstance(one, Caption) for one in found)
        assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
        for one in found:
            assert one.text == " ".join(one.words)
            divisor = (5 + len(one.words) + 1) / 6
            assert one.score == pytest.approx(one.log_probability / divisor)
            height, width = one.attention.shape[1:]
            assert one.attention.shape[0] == len(one.words)
            assert one.attention.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-4)
    spec = unsure.network_
    assert (height, width) == unsure.places_[:2] == (1, 2)  # lenet's last places, of 16 x 20
    assert spec.input.height == 16


def test_probabilities_are_those_of_the_network(fitted):
    """A caption's probability, word by word, from the whole network that training used."""
    from diglot.captions import BEGIN, END
    from diglot.engine import open_executor

    found = [one[0] for one in fitted.predict(NEW[:5], return_all=True)]
    graph = fitted.network_
    captions, length = graph.extra_inputs["tokens"]
    tokens = np.zeros((5, captions, length), np.float32)
    tokens[:, :, 0] = BEGIN
    coded = [fitted.vocabulary_.encode(one.text) for one in found]
    for row, ids in enumerate(coded):
        tokens[row, :, 1 : len(ids) + 1] = ids
    spec = graph.input
    images = (NEW[:5] / np.float32(255) - np.float32(spec.mean)) / np.float32(spec.std)
    logits = (
        open_executor(graph, "cpu")
        .forward({"data": images.astype(np.float32), "tokens": tokens})[:, 0]
        .astype(float)
    )
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    for row, (one, ids) in enumerate(zip(found, coded, strict=True)):
        want = sum(log_p[row, place, word] for place, word in enumerate([*ids, END]))
        assert one.ended == (len(ids) < fitted.longest_)
        assert one.log_probability == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize("given", [{}, {"beams": 1}, {"temperature": 1.0, "top_p": 0.9}])
def test_an_images_caption_does_not_depend_on_its_company(unsure, given):
    images = np.concatenate([NEW, IMAGES])[:70]
    together = unsure.predict(images, **given)
    assert unsure.predict(images[:3], **given).tolist() == together[:3].tolist()
    assert unsure.predict(images[:1], **given).tolist() == together[:1].tolist()


def test_draws_follow_the_seed_and_the_temperature(unsure):
    draws = unsure.predict(NEW, temperature=1.0, samples=3, return_all=True)
    assert {len(found) for found in draws} == {3}
    again = unsure.predict(NEW, temperature=1.0, samples=3, return_all=True)
    assert draws == again
    seeds = [unsure.predict(NEW, top_p=0.95, seed=seed).tolist() for seed in (3, 3, 4)]
    assert seeds[0] == seeds[1] != seeds[2]
    # At a temperature of almost nothing the best word is certain, as in a nucleus of it alone.
    greedy = unsure.predict(NEW, beams=1).tolist()
    assert unsure.predict(NEW, temperature=1e-4).tolist() == greedy
    assert unsure.predict(NEW, top_p=1e-9).tolist() == greedy
    kinds = [len(set(unsure.predict(NEW, temperature=t).tolist())) for t in (0.05, 1.0, 5.0)]
    assert kinds[0] < kinds[1] <= kinds[2]


def test_a_maximum_length_is_hard(unsure):
    for longest in (1, 2, 5):
        for given in ({}, {"beams": 1}, {"temperature": 4.0}):
            texts = unsure.predict(NEW, max_length=longest, **given)
            assert all(1 <= len(text.split()) <= longest for text in texts)
    many = unsure.predict(NEW[:4], temperature=4.0, max_length=40)
    assert max(len(text.split()) for text in many) > unsure.longest_


def test_without_attention_there_are_no_maps():
    model = captioner(attention=False, epochs=1).fit(FEW, THEIRS)
    assert model.places_ is None
    assert {
        c.attention is None for found in model.predict(FEW, return_all=True) for c in found
    } == {True}


def test_zero_images_give_zero_captions(unsure):
    assert unsure.predict(NEW[:0]).shape == (0,)
    assert unsure.predict(NEW[:0], return_all=True) == []


def test_a_transformer_may_see():
    net = network("vit_s_16", size=(24, 24), width=12, depth=1, heads=2, patch=8, classes=1)
    model = captioner(net, size=(24, 24), epochs=1).fit(FEW, THEIRS)
    assert model.places_ == (3, 3, 1)
    (first, *_), *_ = loads(model.to_bytes()).predict(FEW[:2], return_all=True)
    assert first.attention.shape == (len(first.words), 3, 3)
    shares = first.attention.sum(axis=(1, 2))
    assert ((shares > 0) & (shares < 1)).all()  # the class token has the rest


# ------------------------------------------------------------------------------ judged


def test_evaluation_is_that_of_the_texts(unsure):
    table = unsure.evaluate(NEW, TRUTH, beams=2, resamples=50, meteor=False, level=0.9)
    want = evaluate_captions(
        unsure.predict(NEW, 2).tolist(), TRUTH, resamples=50, meteor=False, level=0.9, seed=1
    )
    columns = ["metric", "estimate"]
    one, other = (t[columns].sort_values("metric").reset_index(drop=True) for t in (table, want))
    assert one["metric"].tolist() == other["metric"].tolist()
    assert one["estimate"].to_numpy() == pytest.approx(other["estimate"].to_numpy(), abs=1e-9)
    assert set(table["n"]) == {40}
    assert (table["lower"] <= table["estimate"]).all()


def test_rows_of_one_image_are_judged_as_one(unsure):
    flat = [(image, text) for image, texts in zip(NEW, TRUTH, strict=True) for text in texts]
    images, texts = zip(*flat, strict=True)
    settings = {"resamples": 0, "meteor": False}
    table = unsure.evaluate(np.stack(images), texts, **settings)
    assert set(table["n"]) == {40}
    pd.testing.assert_frame_equal(table, unsure.evaluate(NEW, TRUTH, **settings))


def test_perfect_captions_are_judged_perfect(fitted):
    table = fitted.evaluate(NEW, TRUTH, resamples=0, meteor=False, length_penalty=0.5)
    estimates = dict(zip(table["metric"], table["estimate"], strict=True))
    assert estimates["bleu_4"] == pytest.approx(1, abs=1e-6)
    assert estimates["rouge_l"] == pytest.approx(1)


def test_each_epoch_is_judged_by_its_text():
    model = captioner(epochs=6, validation=0.3, restore_best=False).fit(IMAGES, CAPTIONS)
    columns = ["val_loss", "val_bleu_4", "val_rouge_l", "val_cider_d"]
    assert set(columns) < set(model.history_.columns)
    # The same images, with the same captions, given by hand: the weights are the last epoch's.
    chosen = held_out(model, 90, 0.3)
    held, theirs = IMAGES[chosen], [CAPTIONS[i] for i in chosen]
    rest = np.setdiff1d(np.arange(90), chosen)
    again = captioner(epochs=6, restore_best=False)
    again.fit(IMAGES[rest], [CAPTIONS[i] for i in rest], validation_data=(held, theirs))
    assert again.fingerprint() == model.fingerprint()
    table = model.evaluate(held, theirs, beams=1, resamples=0, meteor=False)
    estimates = dict(zip(table["metric"], table["estimate"], strict=True))
    last = model.history_.iloc[-1]
    for name in ("bleu_4", "rouge_l", "cider_d"):
        assert last[f"val_{name}"] == pytest.approx(estimates[name], abs=1e-9)


def cross_entropy(model, images, captions):
    """Return the mean of -log p over all words, as the decoder says them one after the other."""
    speaker, total, count = model._speaker(False), 0.0, 0
    with model._prepared(as_images(images), model.network_) as ready:
        for place, texts in enumerate(captions):
            ((_, data),) = batches(ready, [np.array([place])], ahead=0)
            for text in texts:
                speaker.see(data)
                speaker.begin(1)
                said = BEGIN
                for token in (*model.vocabulary_.encode(text), END):
                    log_p, _ = speaker.step(np.array([[said]]))
                    total, count, said = total - float(log_p[0, 0, token]), count + 1, token
    return total / count


@pytest.mark.parametrize("train", ["all", "decoder"])  # in the second, features are kept
def test_losses_of_all_phases_are_the_models_own_cross_entropy(train):
    """And not the smoothed one that it learns by, else they would fall when rewards begin."""
    held = (NEW[:6], TRUTH[:6])
    seen = []

    def look(record):
        seen.append(record["val_loss"])
        return record["epoch"] < stop

    settings = {"epochs": 2, "self_critical": 1, "label_smoothing": 0.4, "restore_best": False}
    for stop in (2, 3):
        model = captioner(encoder(), train=train, callbacks=look, **settings)
        model.fit(FEW, THEIRS, validation_data=held)
        assert len(model.history_) == stop
        assert seen[-1] == pytest.approx(cross_entropy(model, *held), rel=1e-5)


def held_out(model, count, share):
    """Return the rows that were held out: those of the images, sorted by content."""
    from diglot.captioner import captioned
    from diglot.images import PreparedImages, as_images

    with PreparedImages(as_images(IMAGES[:count]), model.network_.input) as ready:
        rows, _ = captioned.gather(ready.keys(), CAPTIONS[:count])
    return rows.places[captioned.held_out(len(rows), share, model.seed_)]


def test_the_best_epoch_is_restored():
    model = captioner(epochs=8)
    held = (NEW[:15], TRUTH[:15])
    model.fit(FEW, THEIRS, validation_data=held)
    measured = model.history_["val_cider_d"]
    assert model.best_epoch_ == measured.idxmax() + 1
    table = model.evaluate(*held, beams=1, resamples=0, meteor=False)
    row = table[table["metric"] == "cider_d"].iloc[0]
    assert row["estimate"] == pytest.approx(measured.max())
    by_loss = captioner(epochs=8, monitor="val_loss").fit(FEW, THEIRS, validation_data=held)
    assert by_loss.best_epoch_ == by_loss.history_["val_loss"].idxmin() + 1


def test_patience_stops_after_the_best():
    model = captioner(epochs=60, patience=2, validation=0.3).fit(FEW, THEIRS)
    assert model.stopped_ == "early"
    assert len(model.history_) == model.best_epoch_ + 2


# ------------------------------------------------------------------------------ what learns


def test_a_frozen_encoder_keeps_its_bytes():
    net = encoder()
    model = captioner(net).fit(FEW, THEIRS)
    weights = model.network_.weights
    shared = set(net.weights) & set(weights)
    assert len(shared) >= 8
    assert all(weights[n].tobytes() == net.weights[n].tobytes() for n in shared)
    everything = captioner(net, train="all").fit(FEW, THEIRS).network_.weights
    assert all(not np.array_equal(everything[n], net.weights[n]) for n in shared)
    spec = model.network_.input
    assert (spec.mean, spec.std) == (net.input.mean, net.input.std)


@pytest.mark.parametrize(
    "settings",
    [
        {"validation": 0.3},
        {"train": "decoder_then_all", "epochs": (2, 1), "validation": 0.3},
        {"augment": "standard", "views": 3, "epochs": 3},
        {"attention": False, "self_critical": 1},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_computing_once_equals_the_slow_way(monkeypatch, settings):
    # With several buckets the order of batches would differ: every caption has one length.
    given = [t[:1] for t in THEIRS]
    quick = captioner(encoder(), **settings).fit(FEW, given)
    monkeypatch.setattr(frozen, "frozen_end", lambda graph, learned: None)
    slow = captioner(encoder(), **settings).fit(FEW, given)
    for name, weight in slow.network_.weights.items():
        if name == "keys1_bias":
            continue  # it changes nothing, has no gradient, and Adam makes much of rounding
        assert np.allclose(quick.network_.weights[name], weight, rtol=0, atol=2e-4), name
    assert np.allclose(quick.history_["loss"], slow.history_["loss"], atol=1e-3)


def test_memory_and_disk_give_the_same():
    settings = {"validation": 0.3, "train": "decoder_then_all", "epochs": (2, 1)}
    prints = {
        captioner(encoder(), memory_limit=limit, **settings).fit(FEW, THEIRS).fingerprint()
        for limit in (None, 0, 30_000)
    }
    assert len(prints) == 1


def test_views_are_changed_and_bounded():
    settings = {"augment": "standard", "epochs": 3}
    one, three, more = (
        captioner(encoder(), views=v, **settings).fit(FEW, THEIRS).fingerprint() for v in (1, 3, 9)
    )
    assert one != three == more  # there are but three epochs
    assert captioner(encoder(), epochs=3).fit(FEW, THEIRS).fingerprint() != one


def test_history_runs_through_all_phases():
    net = encoder()
    model = captioner(net, train="decoder_then_all", epochs=(2, 2), self_critical=2)
    model.fit(FEW, THEIRS)
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert model.history_["reward"].isna().tolist() == [True] * 4 + [False] * 2
    rates = model.history_["learning_rate"]
    assert rates[2] > rates[1] and rates[4] < rates[2] / 10
    again = loads(model.to_bytes())
    pd.testing.assert_frame_equal(again.history_, model.history_)
    one = captioner(net, train="decoder_then_all", epochs=2).fit(FEW, THEIRS)
    assert len(one.history_) == 3


def test_a_classifiers_network_sees_for_the_captioner():
    labels = [texts[0].split()[0] for texts in CAPTIONS]
    classifier = ImageClassifier("lenet", epochs=3, seed=1, verbose=False).fit(IMAGES, labels)
    model = captioner(classifier.network_, epochs=3).fit(IMAGES, CAPTIONS)
    kept = model.network_.weights["conv1_weight"].tobytes()
    assert kept == classifier.network_.weights["conv1_weight"].tobytes()
    assert model.network_.input == classifier.network_.input
    assert "conv1" in str(model.network_)


@pytest.mark.parametrize("attention", [True, False])
def test_a_captioners_encoder_sees_for_another(attention):
    first = captioner(attention=attention, epochs=1).fit(FEW, THEIRS)
    second = captioner(first.network_, attention=attention, epochs=1).fit(FEW, THEIRS)
    kept = first.network_.weights["conv1_weight"].tobytes()
    assert second.network_.weights["conv1_weight"].tobytes() == kept
    assert second.network_.name == first.network_.name
    assert second.places_ == first.places_
    assert second.network_.parameters.keys() == first.network_.parameters.keys()


def test_the_layer_can_be_chosen():
    model = captioner(encoder(), layer="relu1", epochs=1).fit(FEW, THEIRS)
    assert model.places_ == (16, 20, 0)
    assert loads(model.to_bytes()).predict(FEW).tolist() == model.predict(FEW).tolist()


# ------------------------------------------------------------------------------ own captions


def rewards(model, images, captions):
    coded = [[model.vocabulary_.encode(text) for text in texts] for texts in captions]
    texts = model.predict(images, temperature=1.0)
    return CiderD(coded).score(
        range(len(images)), [model.vocabulary_.encode(text) for text in texts]
    )


def test_self_critical_training_raises_the_reward():
    # References disagree: likelihood tosses a coin between them, while words that most share
    # are worth more to CIDEr-D.
    given = [[*texts, texts[0], f"look {texts[0]}"] for texts in CAPTIONS]
    settings = {"epochs": 6, "schedule": "constant", "hidden": 24}
    before = captioner(**settings).fit(IMAGES, given)
    after = captioner(self_critical=12, **settings).fit(IMAGES, given)
    sampled = after.history_["reward"].dropna()
    assert len(sampled) == 12
    assert sampled.iloc[-3:].mean() > sampled.iloc[0] * 1.1
    assert rewards(after, IMAGES, given).mean() > rewards(before, IMAGES, given).mean() * 1.1


def test_one_caption_an_image_is_enough_for_self_critical_training():
    model = captioner(self_critical=2).fit(FEW, [t[:1] for t in THEIRS])
    assert np.isfinite(model.history_["reward"].iloc[-1])
    assert model.history_["loss"].iloc[-2:].notna().all()


# ------------------------------------------------------------------------------ files


def test_save_load_and_loads_give_the_same_model(unsure, tmp_path):
    path = unsure.save(tmp_path / "model.safetensors")
    assert path.read_bytes() == unsure.to_bytes()
    want = unsure.predict(NEW, 3, return_all=True)
    for other in (load(path), loads(unsure.to_bytes())):
        assert isinstance(other, ImageCaptioner)
        assert other.fingerprint() == unsure.fingerprint()
        assert other.to_bytes() == unsure.to_bytes()
        assert other.predict(NEW, 3, return_all=True) == want
        assert other.get_params() == {**unsure.get_params(), "verbose": "auto"}
        assert other.summary() == unsure.summary()
        assert other.places_ == unsure.places_
    assert "16 x 20 pixels, 3 channel(s)" in unsure.summary()


def test_copies_give_the_same_and_clones_forget(unsure):
    want = unsure.predict(NEW[:5]).tolist()
    for other in (copy.deepcopy(unsure), pickle.loads(pickle.dumps(unsure))):
        assert other.predict(NEW[:5]).tolist() == want
    other = clone(unsure)
    assert other.get_params() == unsure.get_params()
    assert not hasattr(other, "network_")


@pytest.mark.parametrize("attention", [True, False])
def test_a_model_from_a_file_can_be_fitted_again(attention):
    net = network("convnet", size=(16, 20), channels=3, classes=4, widths=(4, 6))
    model = captioner(net, attention=attention, epochs=1).fit(FEW, THEIRS)
    again = loads(model.to_bytes()).set_params(verbose=False).fit(FEW, THEIRS)
    assert again.fingerprint() == model.fingerprint()
    assert again.predict(NEW).tolist() == model.predict(NEW).tolist()


def test_damaged_files_are_refused_and_never_crash(tmp_path):
    model = captioner(epochs=1, hidden=4, embedding=4, heads=2).fit(FEW[:6], THEIRS[:6])
    data = model.to_bytes()
    rng = np.random.default_rng(0)
    cuts = [*range(40), *rng.integers(40, len(data), 40).tolist()]
    refused = 0
    for version in damaged(data, flips=150, truncations=cuts):
        try:
            loads(version).predict(FEW[:1])
        except ModelFileError:
            refused += 1
        except DiglotError:
            pass  # such as numbers that are none: a flipped bit in the weights
    assert refused > 80
    path = model.save(tmp_path / "m.safetensors")
    path.write_bytes(data[:-7])
    with pytest.raises(ModelFileError, match=r"m\.safetensors"):
        load(path)


def changed(model, **changes):
    """Return a model file's bytes with other metadata."""
    tensors, meta = storage.decode(model.to_bytes())
    meta = json.loads(json.dumps(meta))
    meta.pop("format", None)
    for place, value in changes.items():
        *path, last = place.split("__")
        inner = meta
        for key in path:
            inner = inner[key]
        if value is KeyError:
            del inner[last]
        else:
            inner[last] = value
    return storage.encode(tensors, meta)


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": KeyError},
        {"decoder": None},
        {"decoder__words": 13},
        {"decoder__cell": "gru"},
        {"decoder__hidden": 32},
        {"decoder__layers": 2},
        {"decoder__layers": 2**23},
        {"decoder__embedding": 16},
        {"decoder__heads": 4},
        {"decoder__heads": 3},
        {"decoder__heads": 0},
        {"decoder__tied": True},
        {"decoder__dropout": -1},
        {"decoder__extra": 1},
        {"vocabulary": []},
        {"vocabulary__words": ["a"]},
        {"vocabulary__words": "abc"},
        {"vocabulary__lowercase": 1},
        {"longest": 0},
        {"longest": 10**9},
        {"longest": "x"},
        {"longest": None},
        {"longest": KeyError},
        {"graph__features": "data"},
        {"graph__features": "scores"},
        {"graph__features": ""},
        {"graph__inputs": {}},
        {"graph__inputs__tokens": [2]},
        {"graph__inputs__tokens": [3, 9]},
        {"settings": []},
        {"settings__hidden": "x"},
        {"settings__memory_limit": "much"},
        {"settings__threads": [1]},
        {"settings__augment": 3},
        {"history": {"columns": ["epoch"], "rows": [["x"]]}},
        {"encoder": 5},
        {"seed": []},
        {"kind": "painter"},
    ],
    ids=str,
)
def test_descriptions_that_do_not_fit_are_refused(unsure, changes):
    with pytest.raises(ModelFileError):
        loads(changed(unsure, **changes))


def test_a_shorter_limit_in_the_file_is_obeyed(unsure):
    other = loads(changed(unsure, longest=2))
    assert max(len(text.split()) for text in other.predict(NEW)) == 2


# ------------------------------------------------------------------------------ interrupted


RESUMED = {
    "train": "decoder_then_all",
    "epochs": (1, 2),
    "self_critical": 2,
    "validation": 0.3,
    "dropout": 0.2,
    "augment": "light",
    "checkpoint_every": 2,
    "batch_size": 3,
}


def dying(monkeypatch, at):
    """Let the power go after so many checkpoints."""
    save, saved = Checkpoints.save, []

    def then(*given):
        save(*given)
        saved.append(1)
        if len(saved) == at:
            raise RuntimeError("the power went")

    monkeypatch.setattr(Checkpoints, "save", then)
    return lambda: monkeypatch.setattr(Checkpoints, "save", save)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return captioner(encoder(), checkpoint=folder, **RESUMED).fit(FEW, THEIRS)


# Of 14 images, 3 checkpoints an epoch: 1 to 3 of the decoder alone, 4 to 9 of everything, then
# self-critical training.
@pytest.mark.parametrize("die", [1, 3, 5, 6, 9, 10, 11, 12, 14])
def test_a_fit_that_died_resumes_to_the_same_bytes(tmp_path, monkeypatch, whole, die):
    mend = dying(monkeypatch, die)
    with pytest.raises(RuntimeError, match="power"):
        captioner(encoder(), checkpoint=tmp_path, **RESUMED).fit(FEW, THEIRS)
    mend()
    again = captioner(encoder(), checkpoint=tmp_path, resume=True, **RESUMED).fit(FEW, THEIRS)
    assert again.fingerprint() == whole.fingerprint()
    columns = ["epoch", "loss", "reward", "val_loss", "val_cider_d"]
    pd.testing.assert_frame_equal(again.history_[columns], whole.history_[columns])
    assert again.best_epoch_ == whole.best_epoch_


def test_resuming_another_fit_is_refused(tmp_path):
    settings = {"checkpoint": tmp_path, "resume": True, "epochs": 1}
    captioner(**settings).fit(FEW, THEIRS)
    for other in ({"hidden": 20}, {"self_critical": 1}, {"min_count": 2}):
        (name,) = other
        with pytest.raises(InputError, match=name):
            captioner(**{**settings, **other}).fit(FEW, THEIRS)
    with pytest.raises(InputError, match="other images"):
        captioner(**settings).fit(FEW, [t[:1] for t in THEIRS])


def test_ctrl_c_keeps_what_was_learned():
    def press(record):
        if record["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    model = captioner(epochs=9, self_critical=2, callbacks=press)
    with pytest.warns(InterruptedFitWarning, match="after 2 whole epochs"):
        model.fit(FEW, THEIRS)
    assert model.stopped_ == "interrupted"
    assert len(model.history_) == 2
    assert len(model.predict(FEW)) == 20


def test_callbacks_hear_each_epoch_and_can_stop():
    heard = []

    def stop(record):
        heard.append(record)
        return record["epoch"] < 3

    model = captioner(epochs=2, self_critical=4, callbacks=stop).fit(FEW, THEIRS)
    assert model.stopped_ == "callback"
    assert ["reward" in record for record in heard] == [False, False, True]
    assert [record["loss"] for record in heard] == model.history_["loss"].tolist()


def test_a_loss_that_is_not_finite_stops_the_fit():
    model = captioner(learning_rate=1e30, epochs=3, optimizer="sgd", clip_norm=None)
    with pytest.raises(DivergedError, match="learning_rate="):
        model.fit(FEW, THEIRS)


# ------------------------------------------------------------------------------ bad input

BAD_SETTINGS = [
    ({"decoder": "rnn"}, InputError, "decoder.*'rnn'"),
    ({"train": "head"}, InputError, "train.*'head'"),
    ({"train": "decoder"}, InputError, "train='decoder' needs an encoder with weights"),
    ({"train": "decoder_then_all"}, InputError, "needs an encoder with weights"),
    ({"attention": "yes"}, InputError, "attention"),
    ({"tied": 1}, InputError, "tied"),
    ({"layers": 0}, InputError, "layers"),
    ({"layers": 101}, InputError, "layers must be at most 100"),
    ({"hidden": 2.5}, InputError, "hidden"),
    ({"hidden": 15}, InputError, "hidden=15 must be a multiple of heads=2"),
    ({"embedding": 0}, InputError, "embedding"),
    ({"dropout": 1}, InputError, "dropout"),
    ({"layer": "nowhere"}, InputError, "no layer 'nowhere'"),
    ({"layer": 3}, InputError, "3"),
    ({"encoder": "mlp"}, InputError, "no places to attend to.*attention=False"),
    ({"encoder": "convnett"}, InputError, "convnett.*convnet"),
    ({"encoder_rate": 0}, InputError, "encoder_rate"),
    ({"views": 0}, InputError, "views"),
    ({"min_count": 0}, InputError, "min_count"),
    ({"min_count": 1000}, InputError, "no word occurs 1000 times: lower min_count"),
    ({"max_words": 0}, InputError, "max_words"),
    ({"max_length": 0}, InputError, "max_length"),
    ({"max_length": 10**9}, InputError, "max_length must be at most 65,535"),
    ({"epochs": 0}, InputError, "epochs"),
    ({"epochs": (1, 2)}, InputError, "decoder_then_all"),
    ({"self_critical": -1}, InputError, "self_critical"),
    ({"self_critical": None}, InputError, "self_critical"),
    ({"batch_size": 0}, InputError, "batch_size"),
    ({"monitor": "val_meteor"}, InputError, "monitor.*'val_meteor'"),
    ({"patience": 2}, InputError, "patience needs images"),
    ({"validation": 1.0}, InputError, "validation"),
    ({"label_smoothing": 1}, InputError, "label_smoothing"),
    ({"optimizer": "adamm"}, InputError, "adamm"),
    ({"schedule": "cosin"}, InputError, "cosin"),
    ({"augment": "heavy metal"}, InputError, "heavy metal"),
    ({"device": "gpu:9"}, DeviceError, "gpu:9"),
    ({"resume": True}, InputError, "checkpoint"),
    ({"seed": -1}, InputError, "seed"),
]


@pytest.mark.parametrize(("settings", "kind", "words"), BAD_SETTINGS, ids=str)
def test_bad_settings_are_refused_by_name(settings, kind, words):
    model = captioner().set_params(**settings)
    with pytest.raises(kind, match=words):
        model.fit(FEW, THEIRS)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("", "a caption of row 3 has no word"),
        (["a cat", "!"], "a caption of row 3 has no word: '!'"),
        (None, "row 3 has no caption"),
        (np.nan, "row 3 has no caption"),
        ([], "row 3 has no caption"),
        (7, "the caption of row 3 must be text, not 7"),
    ],
    ids=str,
)
def test_a_bad_caption_is_named_by_its_row(row, words):
    given = [*THEIRS[:2], row, *THEIRS[3:]]
    with pytest.raises(InputError, match=words):
        captioner().fit(FEW, given)


def test_captions_and_references_must_match_the_images(unsure):
    with pytest.raises(InputError, match="20 images and 19 entries of captions"):
        captioner().fit(FEW, THEIRS[:19])
    with pytest.raises(InputError, match="20 images and 19 entries of references"):
        unsure.evaluate(FEW, THEIRS[:19])
    with pytest.raises(InputError, match="row 2 has no reference"):
        unsure.evaluate(FEW, [THEIRS[0], [], *THEIRS[2:]])
    with pytest.raises(InputError, match="references must be a sequence"):
        unsure.evaluate(FEW, None)
    with pytest.raises(InputError, match="return_all"):
        unsure.evaluate(FEW, THEIRS, return_all=True)


def test_an_image_of_unknown_words_only_is_named():
    given = [*THEIRS[:4], ["zebras everywhere"], *THEIRS[5:]]
    with pytest.raises(InputError, match="row 5 are of unknown words only.*'zebras everywhere'"):
        captioner(min_count=2).fit(FEW, given)
    given[4] = ["zebras everywhere", *THEIRS[4]]
    with pytest.warns(UserWarning, match="'zebras everywhere'"):
        captioner(min_count=2, epochs=1).fit(FEW, given)


def test_images_to_judge_by_may_have_words_that_were_never_seen():
    held = (FEW[:2], [["zebras everywhere"], THEIRS[1]])
    model = captioner(epochs=1).fit(FEW, THEIRS, validation_data=held)
    assert np.isfinite(model.history_["val_loss"]).all()


def test_too_few_images_to_judge_by_are_refused():
    with pytest.raises(InputError, match="at least two different images"):
        captioner(validation=0.5).fit(FEW[:1], THEIRS[:1])
    same = np.stack([FEW[0], FEW[0]])
    with pytest.raises(InputError, match="at least two different images"):
        captioner(validation=0.5).fit(same, THEIRS[:2])
    with pytest.raises(InputError, match="only one image.*val_loss"):
        captioner(validation=0.05).fit(FEW, THEIRS)
    model = captioner(validation=0.05, monitor="val_loss", epochs=1).fit(FEW, THEIRS)
    assert model.history_["val_loss"].notna().all()
    for wrong in (FEW, (FEW,), (FEW, THEIRS, 3)):
        with pytest.raises(InputError, match="validation_data must be a pair"):
            captioner().fit(FEW, THEIRS, validation_data=wrong)


BAD_DECODING = [
    ({"beams": 0}, "beams"),
    ({"beams": 1.5}, "beams"),
    ({"beams": True}, "beams"),
    ({"length_penalty": -1}, "length_penalty"),
    ({"length_penalty": "x"}, "length_penalty"),
    ({"length_penalty": None}, "length_penalty"),
    ({"max_length": 0}, "max_length"),
    ({"max_length": 10**9, "temperature": 1.0}, "max_length must be at most 65,535"),
    ({"temperature": 0}, "temperature"),
    ({"temperature": np.inf}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"samples": 0}, "samples"),
    ({"return_all": "yes"}, "return_all"),
    ({"temperature": 1.0, "seed": -3}, "seed"),
]


@pytest.mark.parametrize(("given", "name"), BAD_DECODING, ids=str)
def test_bad_decoding_is_refused_by_name(unsure, given, name):
    for images in (NEW, NEW[:0]):
        with pytest.raises(InputError, match=name):
            unsure.predict(images, **given)


def test_other_images_are_refused(unsure):
    with pytest.raises(ImageError, match=r"1 channel\(s\).*trained on 3"):
        unsure.predict(NEW[..., 0])
    with pytest.raises(ImageError, match="16 x 20.*9 x 8.*size="):
        captioner().fit([FEW[0], np.zeros((9, 8, 3))], ["a", "b"])


def test_what_is_not_fitted_says_so():
    from sklearn.exceptions import NotFittedError

    for ask in (lambda m: m.predict(NEW), lambda m: m.evaluate(NEW, TRUTH), lambda m: m.to_bytes()):
        with pytest.raises(NotFittedError):
            ask(captioner())


def test_at_the_longest_a_caption_must_end(unsure):
    """No text twice, none without its end in its probability, and they rank by score alone."""
    found = unsure.predict(NEW[:10], 4, return_all=True, max_length=2)
    for mine in found:
        texts = [one.text for one in mine]
        assert len(set(texts)) == len(texts)
        assert all(len(one.words) <= 2 for one in mine)
        assert [one.ended for one in mine] == [len(one.words) < 2 for one in mine]
        divisors = [(5 + len(one.words) + 1) / 6 for one in mine]
        scores = [one.log_probability / d for one, d in zip(mine, divisors, strict=True)]
        assert [one.score for one in mine] == pytest.approx(scores)
        assert scores == sorted(scores, reverse=True)


def test_a_captioners_network_is_an_encoder(fitted):
    model = ImageCaptioner(fitted.network_, hidden=16, heads=2, epochs=1, seed=2, verbose=False)
    model.fit(IMAGES[:20], CAPTIONS[:20])
    assert model.network_.name == fitted.network_.name
    for name, weight in model.network_.weights.items():
        if name.startswith("conv"):
            assert (weight == fitted.network_.weights[name]).all()
