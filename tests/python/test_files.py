"""Paths that users give: what cannot be one is told by the argument's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import (
    DBN,
    RBM,
    HogClassifier,
    ImageCaptioner,
    ImageClassifier,
    ImageRegressor,
    ImageTagger,
    InputError,
    ModelFileError,
    network,
)
from diglot.comparison.result import COLUMNS, FrameworkComparison
from diglot.files import decoded, path_of, read_text
from diglot.weights.hub import download

IMAGES = np.random.default_rng(4).integers(0, 256, (8, 6, 6), np.uint8)
LABELS = ["ant", "bee"] * 4
SETTINGS = {"epochs": 1, "seed": 1, "verbose": False}
FITS = {
    "classifier": lambda **more: ImageClassifier("mlp", **SETTINGS, **more).fit(IMAGES, LABELS),
    "regressor": lambda **more: ImageRegressor("mlp", **SETTINGS, **more).fit(
        IMAGES, np.arange(8.0)
    ),
    "tagger": lambda **more: ImageTagger("mlp", **SETTINGS, **more).fit(IMAGES, [["a"], ["b"]] * 4),
    "captioner": lambda **more: ImageCaptioner("mlp", attention=False, **SETTINGS, **more).fit(
        IMAGES, [["a b"]] * 8
    ),
    "rbm": lambda **more: RBM(4, **SETTINGS, **more).fit(IMAGES),
    "dbn": lambda **more: DBN((4, 3), **SETTINGS, **more).fit(IMAGES),
}


@pytest.fixture(scope="module")
def model():
    return FITS["classifier"]()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Go to a folder of images, captions and labels."""
    monkeypatch.chdir(tmp_path)
    from PIL import Image

    Path("photos").mkdir()
    Image.fromarray(IMAGES[0]).save("photos/a.png")
    Path("captions.csv").write_text("image,caption\na.png,a dog\n")
    Path("images.idx").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5]))
    Path("w.params").write_bytes(b"")


def compared():
    empty = pd.DataFrame(columns=list(COLUMNS))
    about = dict.fromkeys(("task", "device", "date"), "") | {"machine": {}, "wall_seconds": 1.0}
    about |= dict.fromkeys(("epochs", "rounds", "seed", "threads"), 1)
    return FrameworkComparison(empty, empty, empty, **about)


# The argument's name, the ending that it needs, and the call.
CALLS = {
    "load": ("path", "", lambda model, path: diglot.load(path)),
    "save": ("path", "", lambda model, path: model.save(path)),
    "save of a baseline": (
        "path", "",
        lambda model, path: HogClassifier(C=0.1).fit(np.tile(IMAGES, (1, 4, 4)), LABELS).save(path),
    ),
    "images": ("folder", "", lambda model, path: diglot.read_images(path)),
    "packed images": ("folder", ".rec", lambda model, path: diglot.read_images(path)),
    "cache": ("cache", ".rec", lambda model, path: diglot.read_images("photos", cache=path)),
    "idx": ("images", "", lambda model, path: diglot.read_idx(path)),
    "idx labels": ("labels", "", lambda model, path: diglot.read_idx("images.idx", path)),
    "captions": ("file", "", lambda model, path: diglot.read_captions(path)),
    "captions' images": (
        "images", "", lambda model, path: diglot.read_captions("captions.csv", path)
    ),
    "weights": ("weights", ".onnx", lambda model, path: diglot.pretrained(weights=path)),
    "structure": ("name", ".json", lambda model, path: diglot.pretrained(path, weights="w.params")),
    "hub": ("cache", "", lambda model, path: download("a/b", cache=path)),
    "output": (
        "output", ".csv", lambda model, path: diglot.predict_files(model, "photos", output=path)
    ),
    "report": ("path", ".html", lambda model, path: diglot.report(model, IMAGES, LABELS, path)),
    "r.plot": ("path", ".png", lambda model, path: diglot.r.plot(model, path=path)),
    "to_csv": ("path", ".csv", lambda model, path: compared().to_csv(path)),
    "read_csv": ("path", ".csv", lambda model, path: FrameworkComparison.read_csv(path)),
    "data": ("data", "", lambda model, path: diglot.compare_frameworks("mxnet", data=path)),
    "python": (
        r"python\['mxnet'\]", "",
        lambda model, path: diglot.compare_frameworks("mxnet", python={"mxnet": path}),
    ),
    "capabilities": (
        r"python\['mxnet'\]", "",
        lambda model, path: diglot.check_capabilities("mxnet", python={"mxnet": path}),
    ),
} | {
    f"{name}'s {setting}": (setting, "", lambda _, path, fit=fit, s=setting: fit(**{s: path}))
    for name, fit in FITS.items()
    for setting in ("checkpoint", "resume")
}  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("name", "ending", "call"), CALLS.values(), ids=CALLS)
def test_what_is_no_path_is_told_by_its_argument(model, name, ending, call):
    before = sorted(Path().rglob("*"))
    text = f"a\0b{ending}"
    for path in (text, Path(text), text.encode()):
        with pytest.raises((InputError, ModelFileError), match=f"^{name} has a NUL character"):
            call(model, path)
    if name != "name":  # of a network, which need not be a file's
        with pytest.raises(InputError, match=f"^{name} must be a path, not 3.5"):
            call(model, 3.5)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.usefixtures("here")
def test_the_file_of_an_own_network():
    with pytest.raises(InputError, match="^network has a NUL character"):
        ImageClassifier("a\0b.json", **SETTINGS).fit(IMAGES, LABELS)
    with pytest.raises(InputError, match="The path in row 1 .* NUL character"):
        diglot.predict_files(FITS["classifier"](), "a\0b")


@pytest.mark.usefixtures("here")
def test_paths_of_bytes_are_paths(model):
    path = model.save(b"m.safetensors")
    assert diglot.load(b"m.safetensors").fingerprint() == model.fingerprint()
    assert path == Path("m.safetensors")
    for fit in FITS.values():
        fit(checkpoint=b"fit")
        fit(checkpoint=b"fit", resume=b"fit")
        for file in sorted(Path("fit").rglob("*.safetensors")):
            file.unlink()


def test_a_path_keeps_what_is_no_utf8():
    assert path_of(b"\xff.png", "path").encode("utf-8", "surrogateescape") == b"\xff.png"


def test_text_with_wide_characters_is_bounded(tmp_path):
    """One that takes four bytes makes every other one take four."""
    for last, most in (("a", 10**9), ("é", 20_000_000), ("中", 10_000_000), ("😀", 5_000_000)):
        data = b"a" * min(most - len(last.encode()), 100_000) + last.encode()
        assert decoded(data, room=10**6) == data.decode()
        size = 6_000_000
        (tmp_path / "t.json").write_bytes(b"a" * size + last.encode())
        if most > size:
            assert len(read_text(tmp_path / "t.json")) == size + 1
        else:
            with pytest.raises(ModelFileError, match="t.json .* and may take 32 MB"):
                read_text(tmp_path / "t.json")


def test_a_network_of_the_catalogue_may_be_called_anything_else():
    with pytest.raises(InputError, match="a.x00b"):
        network("a\0b")
