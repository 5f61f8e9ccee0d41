"""The report: what it tells is right, its page needs nothing else, and hostile text stays text."""

from __future__ import annotations

import ast
import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diglot
from diglot.errors import InputError
from diglot.evaluation import wilson
from diglot.report import report, report_data

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
        return {"network": "lenet", "validation": np.zeros((3, 2)), "augment": [self], "verbose": 1}

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


def pixels(source):
    """Decode a data URI."""
    start, code = source.split(",")
    assert start == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(code)))


# ---- what it tells


def test_the_tables_count_images():
    model, images, labels = problem()
    told = report_data(model, images, labels, title="Digits", training_images=100)
    assert told["title"] == "Digits"
    assert told["data"].to_numpy().tolist() == [["training", 100], ["test", 40]]
    assert told["classes"].to_numpy().tolist() == [
        ["class 0", 14],
        ["class 1", 13],
        ["class 2", 13],
    ]
    cells = {(t, p): n for t, p, n in told["confusion"].itertuples(index=False)}
    names = [f"class {i}" for i in range(3)]
    expected = [[12, 2, 0], [0, 11, 2], [2, 0, 11]]
    assert cells == {
        (names[i], names[j]): expected[i][j] for i in range(3) for j in range(3) if expected[i][j]
    }
    accuracy = told["metrics"].query("metric == 'accuracy'").iloc[0]
    np.testing.assert_allclose(
        accuracy[["estimate", "lower", "upper"]].astype(float),
        [34 / 40, *map(float, wilson(34, 40))],
    )
    assert set(told["roc"]["class"]) == set(names)
    assert told["reliability"]["n"][told["reliability"]["class"].isna()].sum() == 40
    facts = dict(told["model"].to_numpy().tolist())
    assert facts["network"] == "lenet" and facts["seed"] == "7" and facts["device"] == "cpu"
    assert facts["fingerprint"] == model.fingerprint()
    assert facts["parameters"] == f"{model.network_.parameter_count:,}"
    assert told["layers"]["parameters"].sum() == model.network_.parameter_count


def test_nothing_tells_of_addresses_in_memory():
    model, images, labels = problem()
    first, second = (report_data(model, images, labels) for _ in range(2))
    assert first["settings"].equals(second["settings"])
    settings = dict(first["settings"].to_numpy().tolist())
    assert settings["validation"] == "ndarray (3, 2)"
    assert settings["augment"].startswith("[<") and " at 0x" not in settings["augment"]


def test_the_worst_come_first_and_show_their_pixels():
    model, images, labels = problem()
    told = report_data(model, images, labels)
    errors = told["errors"]
    assert told["wrong"] == len(errors) == 6
    assert errors["name"].tolist() == [f"image {i + 1}" for i in range(6)]
    assert errors["truth"].tolist() == labels[:6].tolist()
    assert errors["predicted"].tolist() == [f"class {(i + 1) % 3}" for i in range(6)]
    np.testing.assert_allclose(errors["probability"], 0.8)
    np.testing.assert_allclose(errors["probability_of_truth"], 0.005 * np.arange(1, 7))
    for i, source in enumerate(errors["picture"]):
        np.testing.assert_array_equal(np.asarray(pixels(source)), images[i])
    assert errors["pixelated"].all()


def test_without_errors_it_shows_what_it_was_least_sure_of():
    model, images, labels = problem(wrong=0)
    model.probabilities[5] = [0.3, 0.3, 0.4]
    told = report_data(model, images, labels)
    assert told["wrong"] == 0 and len(told["errors"]) == 12
    assert told["errors"].iloc[0][["name", "probability"]].tolist() == ["image 6", 0.4]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 2), (6, 9, 3), (6, 9, 5), (500, 20)])
def test_any_image_gives_a_thumbnail(dtype, shape):
    model, _, labels = problem(n=6)
    images = np.random.default_rng(1).normal(100, 60, size=(6, *shape)).clip(0, 255).astype(dtype)
    errors = report_data(model, images, labels)["errors"]
    shown = pixels(errors["picture"][0])
    assert shown.size == ((9, 6) if shape[0] == 6 else (10, 256))
    assert shown.mode == ("RGB" if shape[2:] in {(3,), (5,)} else "L")
    assert errors["pixelated"][0] == (shape[0] == 6)


def test_files_are_named(tmp_path):
    model, images, labels = problem(n=6)
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"picture {i} & co.png"))
        Image.fromarray(image).save(paths[-1])
    told = report_data(model, pd.DataFrame({"image": paths}), labels)
    assert told["errors"]["name"][0] == "picture 0 & co.png"


def test_texts_hold_nothing_that_a_page_cannot_show():
    names = ["\x00\x1b", "\x07\x1b", "\ud800", "a"]
    model, images, labels = problem(k=4, names=names)
    told = report_data(model, images, labels, title="\uffff")
    # what looks the same is told apart by number
    assert told["classes"]["class"].tolist() == [
        "\ufffd\ufffd (1)",
        "\ufffd\ufffd (2)",
        "? (3)",
        "a (4)",
    ]
    assert told["title"] == "\ufffd"


@pytest.mark.parametrize("n", [1, 2])
def test_a_single_image_will_do(n):
    model, images, labels = problem(n=n, k=2, wrong=0)
    assert report_data(model, images, labels)["data"]["images"].tolist() == [n]


def test_bad_input_is_refused():
    model, images, labels = problem()
    with pytest.raises(InputError):
        report_data(model, images, labels[:-1])
    with pytest.raises(InputError, match="new"):
        report_data(model, images, ["new", *labels[1:]])
    with pytest.raises(InputError, match="classifier"):
        report_data(object(), images, labels)


def test_a_folder_that_is_not_there_is_told_before_anything_else(tmp_path):
    model, images, labels = problem()
    with pytest.raises(InputError, match="there is no folder"):
        report(model, images, labels, tmp_path / "missing" / "r.html")


# ---- the code that repeats it


def settings_in(code):
    """Return the settings that a line of Python gives to a model."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    call = next(c for c in calls if ast.unparse(c.func) == "diglot.ImageClassifier")
    return {word.arg: ast.literal_eval(word.value) for word in call.keywords}


def test_the_code_in_python_gives_the_same_settings():
    from diglot.report.repeat import code_in_python

    given = {
        "network": "mlp",
        "epochs": 3,
        "learning_rate": 0.01,
        "size": (16, 18),
        "class_weight": {'a "b" \\ \'': 2.0},
        "validation": 0.2,
        "patience": None,
        "covariates": ["age", "se\nx"],
        "restore_best": False,
        "seed": 1,
    }
    known = settings_in(code_in_python(diglot.ImageClassifier(**given)))
    given.pop("patience")  # the default
    assert known == {**given, "size": [16, 18]}
    # what a comment says is no setting
    code = code_in_python(diglot.ImageClassifier(augment=object(), seed=2))
    assert "# augment" in code and settings_in(code) == {"seed": 2}


# ---- the page


def parse(path):
    """Read the page with a strict parser; a doctype is the only thing XML lacks here."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    return ET.fromstring(text), text


def words(element):
    return " ".join("".join(element.itertext()).split())


def rows_of(page, heading):
    """Return the rows of the table whose first column has this heading."""
    for table in page.iter("table"):
        if words(table.find("thead/tr/th")) == heading:
            return [[words(cell) for cell in row] for row in table.iterfind("tbody/tr")]
    return None


@pytest.mark.needs_r
def test_the_page(tmp_path):
    model, images, labels = problem()
    path = diglot.report(model, images, labels, tmp_path / "r.html", title="Digits")
    page, text = parse(path)
    assert path == tmp_path / "r.html"
    assert page.find("head/title").text == page.find(".//h1").text == "Digits"
    lower, upper = (f"{100 * float(end):.1f}" for end in wilson(34, 40))
    assert words(page.find(".//p[@class='headline']")) == (
        f"85.0 % accuracy on 40 images of 3 classes; 95 % interval {lower} to {upper} %"
    )
    assert rows_of(page, "Metric")[0] == ["Accuracy", "85.0 %", f"{lower} to {upper} %", "Wilson"]
    by_class = rows_of(page, "Class")
    assert [row[:3] for row in by_class] == [
        ["class 0", "14", f"85.7 % {_interval(12, 14)}"],
        ["class 1", "13", f"84.6 % {_interval(11, 13)}"],
        ["class 2", "13", f"84.6 % {_interval(11, 13)}"],
    ]
    assert rows_of(page, "Truth")[0] == ["class 0", "class 1", "2", "14.3 %"]
    headings = [h.text for h in page.iter("h2")]
    assert headings == [
        "How good it is",
        "What it takes for what",
        "What it got most wrong",
        "Class by class",
        "How well it ranks",
        "How sure it is",
        "How it was made",
        "How to repeat it",
    ]
    for expected in (model.fingerprint(), f"{model.network_.parameter_count:,}", "cpu", "lenet"):
        assert expected in text
    # confusions, classes, ROC, reliability and history are pictures with a text for who sees none
    plots = [image for image in page.iterfind(".//p/img")]
    assert len(plots) == 5
    assert all(len(image.get("alt")) > 20 for image in plots)
    figures = page.findall(".//div[@class='pictures']/figure")
    assert words(figures[0]) == "truth class 0 0.5 % taken for class 1 80.0 % image 1"
    assert figures[0].find("img").get("alt") == "image 1: class 0, taken for class 1"


def _interval(hits, n):
    lower, upper = (f"{100 * float(end):.1f}" for end in wilson(hits, n))
    return f"{lower} to {upper} %"


NASTY = [
    "<script>alert(1)</script>",
    "a & \"b\" 'c' `r 1+1`",
    "$x^2$ | *y* \\(z\\)",
    "]]> <!--html_preserve--> ```",
    "größe 大",
]


@pytest.mark.needs_r
def test_nothing_is_loaded_from_elsewhere_and_every_text_is_escaped(tmp_path):
    model, images, labels = problem(k=5, wrong=10, names=NASTY)
    path = report(model, images, labels, tmp_path / "r.html", title=NASTY[3] + NASTY[0])
    page, text = parse(path)
    for element in page.iter():
        assert element.tag not in {"script", "link", "iframe", "object", "base"}
        for name, value in element.attrib.items():
            if name in {"src", "href", "srcset", "data"}:
                assert value.startswith("data:image/png;base64,")
            assert not name.startswith("on")
    assert "://" not in text and "@import" not in text and "url(" not in text
    names = [row[0] for row in rows_of(page, "Class")]
    assert names == [" ".join(name.split()) for name in NASTY]
    # pandoc may break a line at a space
    assert words(page.find("head/title")) == words(page.find(".//h1")) == NASTY[3] + NASTY[0]


@pytest.mark.needs_r
def test_same_input_same_bytes(tmp_path):
    pages = []
    for name in ("a.html", "b.html"):
        model, images, labels = problem()
        pages.append(report(model, images, labels, tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


@pytest.mark.needs_r
@pytest.mark.parametrize(
    ("k", "wrong", "history"),
    [(2, 0, None), (70, 30, HISTORY.iloc[:1]), (20, 5, HISTORY.iloc[:0])],
)
def test_any_model_gives_a_page(tmp_path, k, wrong, history):
    model, images, labels = problem(n=max(2 * k, 40), k=k, wrong=wrong)
    model.history_ = history
    page, text = parse(report(model, images, labels, tmp_path / "r.html"))
    assert ("No image was misclassified." in text) == (wrong == 0)
    assert ("All 70 classes" in text) == (k == 70)
    assert ("1 epoch in 1.0 seconds" in text) == (history is not None and len(history) == 1)
    assert len(re.findall(r"Taken for", text)) == (wrong > 0)


@pytest.mark.needs_r
def test_r_multiplies_matrices_in_a_process_that_trained_first(tmp_path):
    """MXNet and R may bring two libraries of one name."""
    code = (
        "import diglot; digits = diglot.example_images('digits')[:100];"
        "diglot.ImageClassifier('mlp', epochs=1, seed=1, verbose=False)"
        ".fit(digits[['image']], digits['label']);"
        "print(diglot.r.evaluate('{x <- diag(300) * 2; sum(solve(x) %*% x)}')[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["300.0"]
