"""Answers to files stream: no decoded image is kept, and each is decoded once."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diglot
from diglot.images import PreparedImages, as_images, image_set

rng = np.random.default_rng(3)
PIXELS = rng.integers(0, 120, (40, 14, 18, 3), "uint8")
PIXELS[::2, 2:5, 9:15] = 250
LABELS = np.where(np.arange(40) % 2, "plain", "bright")
SETTINGS = {"epochs": 1, "seed": 1, "verbose": False}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    found = [str(folder / f"{i:02d}.png") for i in range(len(PIXELS))]
    for path, pixels in zip(found, PIXELS, strict=True):
        Image.fromarray(pixels).save(path)
    return found


@pytest.fixture(scope="module")
def models():
    frame = pd.DataFrame({"image": list(PIXELS), "age": rng.normal(50, 9, 40)})
    size = PIXELS.mean(axis=(1, 2, 3)) + frame["age"]
    data = diglot.shapes(24, seed=1, size=32)
    return {
        "classifier": diglot.ImageClassifier("mlp", **SETTINGS).fit(PIXELS, LABELS),
        "sets": diglot.ImageClassifier("mlp", **SETTINGS)
        .fit(PIXELS, LABELS)
        .conformalize(PIXELS, LABELS, method="aps"),
        "regressor": diglot.ImageRegressor("mlp", **SETTINGS).fit(PIXELS, size),
        "covariates": diglot.ImageRegressor("mlp", covariates=["age"], **SETTINGS).fit(frame, size),
        "tagger": diglot.ImageTagger("mlp", **SETTINGS).fit(PIXELS, [[x] for x in LABELS]),
        "captioner": diglot.ImageCaptioner("convnet", hidden=8, embedding=8, **SETTINGS).fit(
            data[["image"]], data["captions"]
        ),
        "machine": diglot.RBM(4, visible="gaussian", **SETTINGS).fit(PIXELS),
    }


def beside(paths):
    return pd.DataFrame({"image": paths, "age": np.linspace(40, 60, len(paths))})


QUESTIONS = {
    "predict": ("classifier", lambda m, x: m.predict(x)),
    "predict_proba": ("classifier", lambda m, x: m.predict_proba(x)),
    "evaluate": ("classifier", lambda m, x: m.evaluate(x, LABELS)),
    "embed": ("classifier", lambda m, x: m.embed(x)),
    "predict_set": ("sets", lambda m, x: m.predict_set(x)),
    "numbers": ("regressor", lambda m, x: m.predict(x)),
    "judged numbers": ("regressor", lambda m, x: m.evaluate(x, np.arange(40.0))),
    "coefficients": (
        "covariates",
        lambda m, x: m.coefficients(beside(x), np.arange(40.0), resamples=2),
    ),
    "tags": ("tagger", lambda m, x: m.predict_proba(x)),
    "captions": ("captioner", lambda m, x: m.predict(x, 1)),
    "judged captions": (
        "captioner",
        lambda m, x: m.evaluate(x, ["a bar"] * 40, beams=1, resamples=2, meteor=False),
    ),
    "units": ("machine", lambda m, x: m.transform(x)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_decoded_image_is_kept(models, paths, monkeypatch, question):
    name, ask = QUESTIONS[question]
    want = ask(models[name], paths)

    def refuse(*_):
        raise AssertionError("room for decoded images was asked for")

    monkeypatch.setattr("diglot.images.cache.ArrayStore", refuse)
    found = ask(models[name], paths)
    if isinstance(want, pd.DataFrame):
        pd.testing.assert_frame_equal(found, want)
    else:
        assert [np.asarray(a).tolist() for a in found] == [np.asarray(a).tolist() for a in want]


def test_a_set_that_goes_by_an_images_content_decodes_it_once(models, paths, monkeypatch):
    read, real = Counter(), image_set.prepare_file

    def counted(path, spec):
        read[path] += 1
        return real(path, spec)

    monkeypatch.setattr(image_set, "prepare_file", counted)
    found = models["sets"].predict_set(paths)
    assert read == Counter(paths)
    assert [list(s) for s in found] == [list(s) for s in models["sets"].predict_set(PIXELS)]


def test_keys_that_were_kept_are_those_of_the_images(models, paths):
    spec = models["classifier"].network_.input
    with PreparedImages(as_images(paths), spec) as whole:
        want = whole.keys()
    with PreparedImages(as_images(paths), spec, cache=False) as ready:
        ready.keep_keys()
        ready.get(np.arange(20, 40))
        assert ready.keys() == want  # some are not known, yet
        ready.get(np.arange(40))
        assert ready.keys() == want
    with PreparedImages(as_images(PIXELS), spec, cache=False) as ready:
        ready.keep_keys()
        ready.get(np.arange(40))
        assert ready.keys() == want


def test_three_times_the_files_take_no_more_memory(paths, tmp_path, monkeypatch):
    # Few and small batches are made ahead.
    monkeypatch.setattr("diglot.predictor.base.score_batch", lambda _: 16)
    monkeypatch.setattr(sys.modules["diglot.images.batches"], "_WAITING", 1)
    for i in range(2100):
        os.link(paths[i % 40], tmp_path / f"{i:04d}.png")
    files = [str(tmp_path / f"{i:04d}.png") for i in range(2100)]
    model = diglot.ImageClassifier("mlp", size=40, **SETTINGS).fit(PIXELS, LABELS)
    model.predict_proba(files[:600])  # loads what is loaded once
    peaks = []
    for count in (700, 2100):
        tracemalloc.start()
        model.predict_proba(files[:count])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    decoded = 1400 * 40 * 40 * 3
    assert peaks[1] - peaks[0] < decoded / 3, (peaks, decoded)  # names and headers
