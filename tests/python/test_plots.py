"""Plots: what is drawn equals the tables, and no text covers another, also with 20 classes."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import plots
from diglot.errors import InputError, MissingPackageError
from diglot.evaluation import confusion, evaluate_classes, wilson
from diglot.plots.canvas import COLOURS

# Long names, and names that matplotlib would typeset or hide.
NAMES = [
    "golden retriever", "$price tag$", "African hunting dog, hyena dog", "jay", "_magpie",
    "great grey owl", "European fire salamander", "tailed frog", "loggerhead turtle",
    "box <turtle>", "banded gecko", "common iguana", "American chameleon", "whiptail lizard",
    "agama", "frilled lizard", "alligator lizard", "Gila monster", "green lizard",
    "Komodo dragon, dragon lizard",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def predictions(k, n=1500):
    rng = np.random.default_rng(k)
    truth = rng.integers(k, size=n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), truth] += 2
    p = np.exp(scores)
    return truth, p / p.sum(axis=1, keepdims=True)


def confusion_of(k):
    truth, p = predictions(k)
    return confusion([NAMES[i] for i in truth], [NAMES[i] for i in p.argmax(1)], NAMES[:k])


def roc_of(classes):
    steps = np.linspace(0, 1, 5)
    return pd.concat(
        pd.DataFrame(
            {"class": name, "sensitivity": steps**0.5, "specificity": 1 - steps ** (1 + i)}
        )
        for i, name in enumerate(classes)
    )


def reliability_of(classes):
    rows = []
    for name in [None, *classes]:
        for i, n in [(2, 10), (6, 40), (9, 160)]:
            lower, upper = wilson(round(n * (i + 0.5) / 10), n)
            observed = round(n * (i + 0.5) / 10) / n
            rows.append((name, i, i / 10, (i + 1) / 10, i / 10 + 0.03, observed, lower, upper, n))
    columns = ["class", "bin", "from", "to", "confidence", "observed", "lower", "upper", "n"]
    return pd.DataFrame(rows, columns=columns)


def drawn(thing):
    """Draw everything, as saving would."""
    figure = thing if hasattr(thing, "savefig") else thing.figure
    figure.draw_without_rendering()
    return figure


def overlapping(figure):
    """Return pairs of texts whose boxes meet, and texts that stick out of the figure."""
    renderer = figure._get_renderer()
    figure.draw_without_rendering()
    texts = []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
        texts += [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        if ax.get_legend():
            texts += ax.get_legend().get_texts()
    texts += [text for text in figure.texts if text.get_text()]
    texts = [t for t in texts if t.get_text() and t.get_visible()]
    # A pixel less on each side: boxes hold the line's height, not only its ink.
    boxes = [(t.get_text(), t.get_window_extent(renderer).padded(-1)) for t in texts]
    within = figure.bbox.padded(1)
    out = [
        name
        for name, box in boxes
        if box.x0 < within.x0 or box.x1 > within.x1 or box.y0 < within.y0 or box.y1 > within.y1
    ]
    met = [
        (one, other)
        for i, (one, box) in enumerate(boxes)
        for other, other_box in boxes[i + 1 :]
        if box.overlaps(other_box)
    ]
    return out + met


def segments(ax):
    """Return the intervals that are drawn, as pairs of points."""
    return [np.asarray(s) for c in ax.collections for s in getattr(c, "get_segments", list)()]


def test_plots_use_no_global_state():
    code = (
        "import sys, pandas as pd; from diglot.plots import plot_history;"
        "figure = plot_history(pd.DataFrame({'epoch': [1, 2], 'loss': [2.0, 1.0]}));"
        "figure.savefig(sys.stdout.buffer, format='png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\x89PNG")


def test_the_room_loads_without_matplotlib_and_says_what_is_missing(monkeypatch):
    assert diglot.plots is plots
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        plots.plot_confusion(confusion_of(2))


def test_the_history_is_drawn_measure_by_measure():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [3.0, np.inf, 1.0],
            "accuracy": [0.5, 0.6, 0.7],
            "val_accuracy": [0.4, np.nan, 0.6],
            "learning_rate": 0.1,
            "seconds": 2.0,
            "images_per_second": 10.0,
        }
    )
    figure = drawn(plots.plot_history(SimpleNamespace(history_=history)))
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy"]
    loss, accuracy = figure.axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 3], [3, 1]]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [[0.5, 0.6, 0.7], [0.4, 0.6]]
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]
    assert all(tick == int(tick) for tick in loss.get_xticks())
    only = plots.plot_history(history[["epoch", "loss"]][:1])
    assert only.axes[0].get_legend() is None
    with pytest.raises(InputError, match="nothing to draw"):
        plots.plot_history(history[:0])
    with pytest.raises(InputError, match="no measures"):
        plots.plot_history(history[["epoch", "seconds"]])


@pytest.mark.parametrize("k", [2, 10, 20])
def test_the_confusion_matrix_shows_counts_and_shares(k):
    table = confusion_of(k)
    ax = plots.plot_confusion(table)
    figure = drawn(ax)
    counts = table.to_numpy()
    assert {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts
    } == {(i, j): f"{counts[i, j]:,}" for i, j in np.argwhere(counts)}
    np.testing.assert_allclose(
        ax.images[0].get_array().filled(0), counts / counts.sum(axis=1, keepdims=True)
    )
    assert [t.get_text() for t in ax.get_yticklabels()][1] == "$price tag$"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "truth")
    assert overlapping(figure) == []


def test_many_classes_are_shown_without_counts_and_then_without_names():
    for k, texts, ticks in [(40, 0, 40), (100, 0, 0)]:
        names = [f"class number {i}" for i in range(k)]
        ax = plots.plot_confusion(confusion(names, names, names))
        assert (len(ax.texts), len(ax.get_xticks())) == (texts, ticks)
        assert overlapping(drawn(ax)) == []


def test_a_model_can_be_asked_for_its_confusions():
    model = SimpleNamespace(classes_=np.array(["a", "b"]), predict=lambda X: np.array(["a", "a"]))
    ax = plots.plot_confusion(model, [0, 1], ["a", "b"])
    assert {(t.get_position(), t.get_text()) for t in ax.texts} == {((0, 0), "1"), ((0, 1), "1")}
    with pytest.raises(InputError, match="images and labels"):
        plots.plot_confusion(model)
    with pytest.raises(InputError, match="square"):
        plots.plot_confusion(pd.DataFrame({"a": [1, 2]}))


def test_plots_of_one_panel_go_where_they_are_told():
    ax = drawn(plots.plot_history(pd.DataFrame({"epoch": [1], "loss": [1.0]}))).add_subplot()
    assert plots.plot_confusion(confusion_of(2), ax=ax) is ax


@pytest.mark.parametrize("k", [1, 2, 8, 10, 20, 40])
def test_curves_are_told_apart_by_colour_and_dashes_or_by_panels(k):
    names = (NAMES * 2)[:k] if k <= 20 else [f"class {i}" for i in range(k)]
    figure = drawn(plots.plot_roc(roc_of(names)))
    assert overlapping(figure) == []
    ax = figure.axes[0]
    if k <= 8:
        curves = [line for line in ax.lines if len(line.get_xdata()) == 5]
        assert [line.get_color() for line in curves] == list(COLOURS[:k])
        for i, line in enumerate(curves):
            np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 1, 5) ** (1 + i))
            np.testing.assert_allclose(line.get_ydata(), np.linspace(0, 1, 5) ** 0.5)
        if k > 1:
            shown = [t.get_text() for t in ax.get_legend().get_texts()]
            assert shown[:2] == NAMES[:2] and len(shown) == k
    elif k <= 36:
        assert len(figure.axes) == k
        assert figure.axes[4].get_title() == "_magpie"
        np.testing.assert_allclose(figure.axes[4].lines[-2].get_xdata(), np.linspace(0, 1, 5) ** 5)
    else:
        assert (len(figure.axes), ax.get_title()) == (1, "40 classes")


def test_reliability_shows_points_intervals_and_how_many():
    table = reliability_of(NAMES)
    whole = table[table["class"].isna()]
    figure = drawn(plots.plot_reliability(table))
    top, below = figure.axes
    points = whole[["confidence", "observed"]].to_numpy()
    np.testing.assert_array_equal(top.lines[-1].get_xydata(), points)
    ends = whole[["lower", "upper"]].to_numpy(float)
    np.testing.assert_allclose([s[:, 1] for s in segments(top)], ends)
    assert [bar.get_height() for bar in below.patches] == whole["n"].tolist()
    assert below.get_ylabel() == "images"
    figure = drawn(plots.plot_reliability(table, by_class=True))
    assert len(figure.axes) == 20
    assert overlapping(figure) == []
    with pytest.raises(InputError, match="by class"):
        plots.plot_reliability(whole, by_class=True)


def test_learning_curves_have_a_panel_a_metric():
    table = pd.DataFrame(
        {
            "n_train": [50, 100, 800] * 2,
            "metric": np.repeat(["accuracy", "log_loss"], 3),
            "estimate": [0.6, 0.7, 0.8, 1.0, 0.7, 0.5],
            "lower": [0.5, 0.6, 0.75, np.nan, 0.6, 0.4],
            "upper": [0.7, 0.8, 0.85, np.nan, 0.8, 0.6],
        }
    )
    better = table.assign(estimate=table["estimate"] + 0.1)
    result = SimpleNamespace(summary=lambda training: better if training else table)
    figure = drawn(plots.plot_learning_curve(result))
    assert [ax.get_title() for ax in figure.axes] == ["accuracy", "log loss"]
    test, training = figure.axes[1].lines
    assert test.get_ydata().tolist() == [1.0, 0.7, 0.5]
    np.testing.assert_allclose(training.get_ydata() - test.get_ydata(), 0.1)
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["test", "training"]
    assert len(plots.plot_learning_curve(table).axes[0].lines) == 1
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["50", "100", "800"]
    assert figure.axes[0].get_xlabel() == "training images"
    assert overlapping(figure) == []


def metrics_of(classes):
    rows = [("accuracy", None, 0.9), ("macro_f1", None, 0.8), ("roc_auc", None, 0.95)]
    rows += [
        ("kappa", None, 0.7),
        ("log_loss", None, 1.5),
        ("expected_calibration_error", None, 0.1),
    ]
    for i, name in enumerate(classes):
        rows += [(metric, name, 0.7 + 0.01 * i) for metric in ("sensitivity", "f1")]
    table = pd.DataFrame(rows, columns=["metric", "class", "estimate"])
    return table.assign(lower=table["estimate"] - 0.05, upper=table["estimate"] + 0.04)


@pytest.mark.parametrize("k", [2, 20])
def test_metrics_are_those_of_the_table(k):
    table = metrics_of(NAMES[:k])
    figure = drawn(plots.plot_metrics(table))
    assert [ax.get_title() for ax in figure.axes] == ["sensitivity", "F1"]
    for ax, metric in zip(figure.axes, ["sensitivity", "f1"], strict=True):
        rows = table[table["metric"] == metric]
        np.testing.assert_array_equal(ax.lines[-1].get_xdata(), rows["estimate"])
        np.testing.assert_array_equal(
            [s[:, 0] for s in segments(ax)], rows[["lower", "upper"]].to_numpy()
        )
    assert overlapping(figure) == []
    figure = drawn(plots.plot_metrics(table, by_class=False))
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "accuracy",
        "macro F1",
        "ROC AUC",
        "Cohen's kappa",
        "log loss",
        "calibration error",
    ]
    assert ax.texts[0].get_text() == "0.900 (0.850 to 0.940)"
    assert ax.lines[-1].get_xdata().tolist() == [0.9, 0.8, 0.95, 0.7, 1.5, 0.1]
    assert overlapping(figure) == []


def test_what_evaluate_gives_can_be_drawn():
    truth, p = predictions(3)
    table = evaluate_classes(truth, p.argmax(axis=1), p, [0, 1, 2])
    assert overlapping(drawn(plots.plot_metrics(table))) == []
    assert overlapping(drawn(plots.plot_metrics(table, by_class=False))) == []


def test_coefficients_have_a_panel_a_class():
    table = pd.DataFrame(
        [(t, c, 0.1 * i, -0.5, 0.7) for c in NAMES[:19] for i, t in enumerate(["age", "sexmale"])],
        columns=["term", "class", "estimate", "lower", "upper"],
    )
    figure = drawn(plots.plot_coefficients(table))
    assert len(figure.axes) == 19
    assert figure.axes[0].lines[-1].get_xdata().tolist() == [0.0, 0.1]
    assert overlapping(figure) == []
    one = drawn(plots.plot_coefficients(table[:2].assign(**{"class": None})))
    assert [ax.get_title() for ax in one.axes] == [""]


def test_folds_comparisons_and_coverage_are_those_of_the_tables():
    folds = pd.DataFrame({"repeat": 0, "fold": [0, 1, 2], "accuracy": [0.7, 0.9, 0.8]})
    summary = pd.DataFrame({"metric": ["accuracy"], "estimate": 0.8, "lower": 0.6, "upper": 1.0})
    result = SimpleNamespace(folds=folds, summary=lambda: summary)
    ax = drawn(plots.plot_resamples(result)).axes[0]
    assert ax.lines[-1].get_ydata().tolist() == [0.7, 0.9, 0.8]
    assert ax.lines[0].get_ydata() == [0.8, 0.8]

    compared = pd.DataFrame(
        {
            "metric": ["accuracy", "expected_calibration_error"],
            "difference": [0.05, -0.01],
            "lower": [0.02, -0.03],
            "upper": [0.08, 0.01],
            "p_value": [0.0001, np.nan],
        }
    )
    ax = plots.plot_comparison(compared)
    assert overlapping(drawn(ax)) == []
    assert ax.lines[-1].get_xydata().tolist() == [[0.05, 1], [-0.01, 0]]
    assert [t.get_text() for t in ax.texts] == ["p < 0.001", ""]

    coverage = pd.DataFrame({"coverage": 0.9, "class": [None, *NAMES]})
    coverage = coverage.assign(estimate=0.91, lower=0.85, upper=0.95)
    ax = plots.plot_coverage(coverage)
    assert overlapping(drawn(ax)) == []
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == ["all", "golden retriever"]
    assert ax.lines[0].get_xdata()[0] == 0.9
    several = coverage[:3].assign(coverage=[0.5, 0.7, 0.9], **{"class": None})
    assert plots.plot_coverage(several).get_xlabel() == "stated coverage"


def test_wrong_predictions_are_marked_by_a_frame_and_by_words():
    images = np.zeros((3, 4, 6))
    images[:, 1, 2:] = [[0.2], [0.6], [1.0]]
    figure = plots.plot_images(
        images, ["cat", "dog", "$x"], ["cat", "cat", "$x"], probabilities=[0.9, 0.6, 0.8]
    )
    assert [ax.get_title() for ax in drawn(figure).axes] == [
        "cat 0.90",
        "cat 0.60\ntruth: dog",
        "$x 0.80",
    ]
    widths = [ax.spines["left"].get_linewidth() for ax in figure.axes]
    assert widths[1] > 2 > max(widths[0], widths[2])
    np.testing.assert_array_equal(
        figure.axes[2].images[0].get_array(), np.round(255 * images[2]).astype("uint8")
    )
    assert overlapping(figure) == []
    many = plots.plot_images(np.zeros((30, 4, 6)), (NAMES * 2)[:30], (NAMES * 2)[1:31], n=20)
    assert len(many.axes) == 20
    assert overlapping(drawn(many)) == []
    with pytest.raises(InputError, match="3 images but 2 labels"):
        plots.plot_images(images, ["a", "b"])
    with pytest.raises(InputError, match="nothing to draw"):
        plots.plot_images(images, n=0)


def test_saliency_lies_over_the_image_in_grey():
    maps = np.zeros((2, 4, 6))
    maps[0, 1, 4], maps[1, 2, 3] = 2.0, 0.5
    images = np.full((2, 4, 6, 3), 0.5)
    found = SimpleNamespace(maps=maps, images=images, classes=["cat", "_x"], method="grad_cam")
    figure = drawn(plots.plot_saliency(found))
    assert [ax.get_title() for ax in figure.axes[:4]] == ["cat", "Grad-CAM", "_x", "Grad-CAM"]
    over = np.asarray(figure.axes[1].images[0].get_array())
    # Elsewhere the image in grey; at the strongest place the last of viridis' colours, veiled.
    np.testing.assert_allclose(over[0, 0], 128 / 255, atol=1e-6)
    np.testing.assert_allclose(
        over[1, 4], 0.2 * 128 / 255 + 0.8 * np.array([0.993248, 0.906157, 0.143936]), atol=1e-4
    )
    assert (over != over[0, 0]).any(axis=2).sum() == 1
    signed = SimpleNamespace(**{**vars(found), "maps": maps - 2 * maps[:, ::-1]})
    labels = [t.get_text() for t in drawn(plots.plot_saliency(signed)).axes[-1].get_yticklabels()]
    assert labels == ["against", "none", "for"]


def test_tables_that_cannot_be_drawn_are_refused_by_name():
    with pytest.raises(InputError, match="'lower'"):
        plots.plot_metrics(
            pd.DataFrame({"metric": ["f1"], "class": "a", "estimate": 1, "upper": 1})
        )
    with pytest.raises(InputError, match="not list"):
        plots.plot_roc([1, 2])
    with pytest.raises(InputError, match="no rows"):
        plots.plot_roc(roc_of(["a"])[:0])
