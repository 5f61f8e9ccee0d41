"""The report: strict readers can parse it, it needs nothing else, and its numbers are right."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diglot
from diglot.errors import InputError
from diglot.evaluation import wilson
from diglot.report import report

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [2.0, 1.0, 0.5],
        "accuracy": [0.2, 0.6, 0.9],
        "val_loss": [2.1, np.nan, 0.75],
        "learning_rate": [0.1, 0.05, 0.0],
        "seconds": [1.0, 1.0, 1.0],
        "images_per_second": [100.0, 200.0, 300.0],
    }
)


class Model:
    """What the report asks of a fitted classifier, with planted probabilities."""

    device_, seed_ = "cpu", 7

    def __init__(self, probabilities, classes, history=HISTORY):
        self.probabilities, self.classes_, self.history_ = probabilities, classes, history
        self.network_ = diglot.network("lenet", classes=max(len(classes), 2))

    def predict_proba(self, X):  # noqa: N803
        return self.probabilities

    def get_params(self, deep=True):
        return {"network": "lenet", "validation": np.zeros((3, 2)), "callbacks": [self]}

    def fingerprint(self):
        return "0123456789abcdef" * 4


def problem(n=40, k=3, wrong=6, names=None):
    """Give a model that is wrong about the first few of n images, the first one worst."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % k
    p = np.full((n, k), 0.1 / (k - 1))
    p[np.arange(n), truth] = 0.9
    for i in range(wrong):
        own = 0.005 * (i + 1)
        p[i] = (0.2 - own) / (k - 2) if k > 2 else 0
        p[i, truth[i]] = own
        p[i, (truth[i] + 1) % k] = 1 - own if k == 2 else 0.8
    classes = np.array(names or [f"class {i}" for i in range(k)])
    images = rng.integers(0, 256, size=(n, 6, 9), dtype="uint8")
    return Model(p, classes), images, classes[truth]


def parse(path):
    """Read the page with a strict parser; a doctype is the only thing XML lacks here."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    return ET.fromstring(text), text


def words(element):
    return " ".join("".join(element.itertext()).split())


def _lines(figure):
    """Split a caption at its line breaks."""
    text = ET.tostring(figure.find("figcaption"), encoding="unicode")
    return re.sub("</?figcaption>", "", text.strip()).split("<br />")


def test_the_page(tmp_path):
    model, images, labels = problem()
    path = report(model, images, labels, tmp_path / "r.html", title="Digits")
    page, text = parse(path)
    assert path == tmp_path / "r.html"
    assert page.find("head/title").text == page.find(".//h1").text == "Digits"
    lower, upper = (f"{100 * float(end):.1f}" for end in wilson(34, 40))
    assert words(page.find(".//p[@class='headline']")) == (
        f"85.0 % accuracy on 40 images of 3 classes; 95 % interval {lower} to {upper} %"
    )
    headings = [h.text for h in page.iter("h2")]
    assert len(headings) == len(set(headings)) == 6
    for expected in (model.fingerprint(), f"{model.network_.parameter_count:,}", "cpu", "lenet"):
        assert expected in text
    # No address in memory: it would differ from run to run.
    assert " at 0x" not in text


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    model, images, labels = problem()
    page, text = parse(report(model, images, labels, tmp_path / "r.html"))
    for element in page.iter():
        assert element.tag not in {"script", "link", "iframe", "object", "base"}
        for name, value in element.attrib.items():
            if name in {"src", "href", "srcset", "data"}:
                assert value.startswith("data:image/png;base64,")
            assert not name.startswith("on")
    assert "://" not in text and "@import" not in text and "url(" not in text


def test_the_module_is_the_function_too(tmp_path):
    model, images, labels = problem()
    assert diglot.report(model, images, labels, tmp_path / "r.html", title="x").exists()


def test_same_input_same_bytes(tmp_path):
    pages = []
    for name in ("a.html", "b.html"):
        model, images, labels = problem()
        pages.append(report(model, images, labels, tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_the_worst_come_first_and_show_their_pixels(tmp_path):
    model, images, labels = problem()
    page, _ = parse(report(model, images, labels, tmp_path / "r.html"))
    figures = page.findall(".//div[@class='worst']/figure")
    assert len(figures) == 6
    for i, figure in enumerate(figures):
        lines = [words(part) for part in (ET.fromstring(f"<p>{t}</p>") for t in _lines(figure))]
        assert lines == [
            f"truth {labels[i]} {(i + 1) / 2:.1f} %",
            f"taken for class {(i + 1) % 3} 80.0 %",
            f"image {i + 1}",
        ]
        code = figure.find("img").get("src").split(",")[1]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
        np.testing.assert_array_equal(shown, images[i])


def test_no_error_at_all(tmp_path):
    model, images, labels = problem(wrong=0)
    page, text = parse(report(model, images, labels, tmp_path / "r.html"))
    assert "No image was misclassified." in text and "What it was least sure of" in text
    assert len(page.findall(".//div[@class='worst']/figure")) == 12


def test_confusion_matrix(tmp_path):
    model, images, labels = problem()
    page, _ = parse(report(model, images, labels, tmp_path / "r.html"))
    rows = page.findall(".//table[@class='matrix']/tbody/tr")
    cells = [[words(cell).replace("·", "0") for cell in row.findall("td")] for row in rows]
    assert [row.find("th").text for row in rows] == ["class 0", "class 1", "class 2"]
    assert cells == [["12", "2", "0"], ["0", "11", "2"], ["2", "0", "11"]]


@pytest.mark.parametrize("wrong", [0, 30])
@pytest.mark.parametrize("k", [25, 60, 250])
def test_many_classes(tmp_path, k, wrong):
    model, images, labels = problem(n=2 * k, k=k, wrong=wrong)
    page, text = parse(report(model, images, labels, tmp_path / "r.html"))
    assert page.find(".//table[@class='matrix']") is None
    assert ("Taken for" in text) == (wrong > 0)
    assert ("All 60 classes" in text) == (k == 60)


NASTY = ["<script>alert(1)</script>", "a & \"b\" 'c'", "\x00\x1b\ud800\uffff", "]]>", "größe 大"]


def test_every_text_is_escaped(tmp_path):
    model, images, labels = problem(k=5, wrong=10, names=NASTY)
    page, text = parse(report(model, images, labels, tmp_path / "r.html", title=NASTY[0]))
    assert "<script" not in text and not re.search("[\x00\x1b]", text)
    names = [row.find("th").text for row in page.findall(".//table[@class='matrix']/tbody/tr")]
    assert names[0] == NASTY[0] and names[1] == NASTY[1] and names[4] == NASTY[4]
    assert page.find("head/title").text == NASTY[0]


def test_curves_show_the_history(tmp_path):
    model, images, labels = problem()
    page, _ = parse(report(model, images, labels, tmp_path / "r.html"))
    charts = page.findall(".//div[@class='charts']/figure")
    assert [c.find("figcaption").text for c in charts] == ["Loss", "Accuracy", "Learning rate"]
    loss = charts[0].find("svg")
    points = [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in loss.findall("polyline")
    ]
    # The gap in the validation loss splits its line.
    assert [len(line) for line in points] == [3, 1, 1]
    (x1, y1), (x2, y2), (x3, y3) = points[0]
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert (y2 - y1) / (y3 - y2) == pytest.approx(1.0 / 0.5, rel=0.01)
    ticks = {
        t.text: float(t.get("y")) - 4 for t in loss.findall("text") if t.get("text-anchor") == "end"
    }
    assert ticks["2"] == pytest.approx(y1, abs=0.2) and ticks["1"] == pytest.approx(y2, abs=0.2)


@pytest.mark.parametrize(
    "history",
    [
        None,
        HISTORY.iloc[:0],
        HISTORY.iloc[:1],
        HISTORY.assign(loss=np.inf),
        HISTORY.assign(loss=1.0),
        HISTORY.assign(loss=[1e-9, 2e-9, 3e-9]),
        HISTORY[["epoch", "loss"]],
        pd.concat([HISTORY] * 200, ignore_index=True).assign(epoch=range(1, 601)),
    ],
)
def test_any_history_gives_a_page(tmp_path, history):
    model, images, labels = problem()
    model.history_ = history
    page, text = parse(report(model, images, labels, tmp_path / "r.html"))
    assert ("How it was trained" in text) == (history is not None and len(history) > 0)
    for line in page.iter("polyline"):
        assert "nan" not in line.get("points") and "inf" not in line.get("points")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 2), (6, 9, 3), (6, 9, 5), (500, 20)])
def test_any_image_gives_a_thumbnail(tmp_path, dtype, shape):
    model, _, labels = problem(n=6)
    images = np.random.default_rng(1).normal(100, 60, size=(6, *shape)).clip(0, 255).astype(dtype)
    page, _ = parse(report(model, images, labels, tmp_path / "r.html"))
    code = page.find(".//img").get("src").split(",")[1]
    shown = Image.open(io.BytesIO(base64.b64decode(code)))
    assert shown.size == ((9, 6) if shape[0] == 6 else (10, 256))
    assert shown.mode == ("RGB" if shape[2:] in {(3,), (5,)} else "L")


def test_flat_and_extreme_images(tmp_path):
    model, _, labels = problem(n=6)
    images = np.zeros((6, 4, 4), "float32")
    images[1], images[2] = 7, -1e30
    images[3, 0, 0] = 3e38
    parse(report(model, images, labels, tmp_path / "r.html"))


def test_files_are_named(tmp_path):
    model, images, labels = problem(n=6)
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"picture {i} & co.png"))
        Image.fromarray(image).save(paths[-1])
    page, text = parse(report(model, pd.DataFrame({"image": paths}), labels, tmp_path / "r.html"))
    assert "picture 0 & co.png" in words(page.find(".//div[@class='worst']/figure"))


def test_bad_input_is_refused_before_anything_is_written(tmp_path):
    model, images, labels = problem()
    with pytest.raises(InputError, match="40 images and 39 labels"):
        report(model, images, labels[:-1], tmp_path / "r.html")
    with pytest.raises(InputError, match="truth has the label 'new'"):
        report(model, images, ["new", *labels[1:]], tmp_path / "r.html")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="there is no folder"):
        report(model, images, labels, tmp_path / "missing" / "r.html")
