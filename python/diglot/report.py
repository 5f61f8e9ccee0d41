"""A report on a classifier: one HTML file that needs nothing else, not even a network.

The file is also well-formed XML, which lets a test read it with a strict parser. The same model
and images give the same bytes; so there is no date in it.
"""

from __future__ import annotations

import base64
import html
import io
import math
import os
import platform
import re
import sys
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diglot.errors import InputError
from diglot.evaluation import confusion, evaluate_classes
from diglot.images import ImageSet, as_images
from diglot.images.shown import picture
from diglot.storage import write_bytes

_LEVEL = 0.95
_WORST = 24  # as many thumbnails as one looks through
_CELLS = 20  # from more classes on, a table of the confusions is too wide to read
_OPEN = 40  # longer tables start folded
_PIXELS = 128  # the longest side of a thumbnail

_UNIT = "\N{NO-BREAK SPACE}%"

_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "F1, mean of the classes",
    "kappa": "Cohen's kappa",
    "weighted_kappa": "Cohen's kappa, quadratic weights",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "top_5_accuracy": "Truth among the five likeliest",
}
_NOT_SHARES = {"kappa", "weighted_kappa", "log_loss", "brier"}
_BY_CLASS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
}

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2329; --soft: #5b6670;
  --line: #d5dbe1; --panel: #f5f7f9; --good: 31 111 178; --bad: 200 80 20; --hot: #fff; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e4e8ec; --soft: #9aa5af;
  --line: #39424b; --panel: #1d2329; --good: 96 165 230; --bad: 240 140 80; --hot: #10151a; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444;
  --line: #bbb; --panel: #fff; --good: 31 111 178; --bad: 200 80 20; --hot: #fff; } }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.note { color: var(--soft); font-size: .875rem; }
.headline { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
.headline strong { font-size: 2.75rem; line-height: 1.1; font-weight: 650;
  color: rgb(var(--good)); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: .8125rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
dl.small { grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .2rem 1.25rem;
  font-size: .875rem; }
dl.small div { display: flex; gap: .5rem; overflow-wrap: anywhere; }
dl.small dt { flex: none; }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: baseline; }
th { font-weight: 600; } thead th { border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; white-space: nowrap; }
td svg { vertical-align: middle; } td .note { font-size: .9em; }
.matrix { border-spacing: 2px; border-collapse: separate; }
.matrix th, .matrix td { border: 0 !important; padding: .3rem .5rem; }
.matrix td { min-width: 2.6rem; text-align: center; border-radius: 3px; background: var(--panel); }
.matrix td.corner { background: none; }
.matrix td.none { color: var(--soft); }
.matrix td.right { background: rgb(var(--good) / var(--share)); }
.matrix td.wrong { background: rgb(var(--bad) / var(--share)); }
.matrix td.hot { color: var(--hot); }
.matrix thead th { text-align: center; } .matrix tbody th { text-align: right; }
.matrix th { max-width: 9rem; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .875rem; }
.charts svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; } svg .grid { stroke: var(--line); }
svg .one, svg .two { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .one { stroke: rgb(var(--good)); } svg .two { stroke: rgb(var(--bad)); stroke-dasharray: 6 3; }
svg .dot1 { fill: rgb(var(--good)); } svg .dot2 { fill: rgb(var(--bad)); }
svg .axis { stroke: var(--soft); }
.legend { display: flex; gap: 1.25rem; align-items: center; font-size: .875rem; margin: 0 0 .5rem; }
.legend span { display: flex; gap: .4rem; align-items: center; }
.worst { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr));
  gap: 1.25rem 1rem; }
.worst img { width: 100%; height: 7.5rem; object-fit: contain; background: var(--panel);
  border: 1px solid var(--line); border-radius: 4px; }
.worst .small { image-rendering: pixelated; }
.worst figcaption { line-height: 1.4; overflow-wrap: anywhere; }
h2, h3 { break-after: avoid; } figure, tr, dl div { break-inside: avoid; }
@media print { body { font-size: 11pt; } main { max-width: none; padding: 0; }
  table, .worst figcaption { font-size: 8.5pt; } th, td { padding-right: .5rem; }
  td svg { width: 100px; } }
"""


def report(
    model: Any,
    X: Any,  # noqa: N803
    y: Iterable[Any],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> Path:
    """Write a report on a fitted classifier: one HTML file that needs nothing else.

    It tells how good the model is on the images given, with 95 % intervals; which classes it takes
    for which; the images it got most wrong; how training went; and what the model is. It
    follows the reader's light or dark setting, and prints.

    Parameters
    ----------
    model : ImageClassifier
        A fitted model.
    X : array, list, Series or DataFrame of n images
        Images that the model has not learned from.
    y : sequence of n labels
        What they show.
    path : path
        Where to write; the folder must exist, an existing file is replaced.
    title : str, optional
        The heading.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        There are no images, or not as many labels; a label is new to the model; or the file
        cannot be written.

    Examples
    --------
    >>> import diglot
    >>> data = diglot.example_images("digits")
    >>> train, test = data[:1500], data[1500:]
    >>> model = diglot.ImageClassifier("lenet", epochs=3, seed=1)  # doctest: +SKIP
    >>> model.fit(train[["image"]], train["label"])  # doctest: +SKIP
    >>> diglot.report(model, test[["image"]], test["label"], "digits.html")  # doctest: +SKIP
    PosixPath('digits.html')
    """
    images = as_images(X)
    truth = y.tolist() if hasattr(y, "tolist") else list(y)
    if len(images) != len(truth) or not truth:
        raise InputError(
            f"the report needs one label for each image, and at least one image; there are "
            f"{len(images)} images and {len(truth)} labels."
        )
    classes = np.asarray(model.classes_).tolist()
    probabilities = np.asarray(model.predict_proba(X))
    predicted = [classes[code] for code in probabilities.argmax(axis=1)]
    table = evaluate_classes(truth, predicted, probabilities, classes, level=_LEVEL)
    name = getattr(getattr(model, "network_", None), "name", None)
    title = title or (f"Image classification with {name}" if name else "Image classification")
    parts = [
        _headline(title, table, len(classes)),
        _metrics(table),
        _confusions(confusion(truth, predicted, classes)),
        _errors(images, truth, predicted, probabilities, classes),
        _by_class(table),
        _training(getattr(model, "history_", None)),
        _model(model),
    ]
    body = "\n".join(part for part in parts if part)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>
<meta name="generator" content="diglot"/>
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    return write_bytes(path, page.encode("utf-8"), InputError)


# ---- text


def _text(value: Any) -> str:
    """Escape text, and replace what HTML cannot hold: control characters, halves of pairs."""
    clean = "".join(
        c if c in "\t\n" or (c >= " " and not "\x7f" <= c <= "\x9f") else "\ufffd"
        for c in str(value)
    )
    # A lone half of a surrogate pair, and the two code points that are no characters.
    clean = clean.encode("utf-8", "replace").decode("utf-8")
    return html.escape(clean.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"))


def _percent(share: float) -> str:
    if math.isnan(share):
        return "–"
    # 99.96 % must not read 100 %.
    digits = 1 if not 0.9995 <= share < 1 and not 0 < share < 0.0005 else 2
    return f"{100 * share:.{digits}f}{_UNIT}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e-3 else f"{value:.3f}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _interval(row: pd.Series, show: Any) -> str:
    if math.isnan(row["lower"]):
        return "–"
    # Both ends in one unit: "97.2 to 99.1 %".
    return f"{show(row['lower']).removesuffix(_UNIT)} to {show(row['upper'])}"


def _section(heading: str, *content: str) -> str:
    return f"<section>\n<h2>{_text(heading)}</h2>\n" + "\n".join(content) + "\n</section>"


def _table(head: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table of ready HTML cells; the head says which columns are numbers."""
    kinds = [' class="number"' if number else "" for _, number in head]
    top = "".join(
        f'<th scope="col"{kind}>{_text(name)}</th>'
        for (name, _), kind in zip(head, kinds, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{cell}</th>' if i == 0 else f"<td{kind}>{cell}</td>"
            for i, (cell, kind) in enumerate(zip(row, kinds, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


# ---- sections


def _headline(title: str, table: pd.DataFrame, k: int) -> str:
    row = table.iloc[0]
    return (
        f"<header>\n<h1>{_text(title)}</h1>\n"
        f'<p class="headline"><strong>{_percent(row["estimate"])}</strong> '
        f"<span>accuracy on {_count(row['n'], 'image')} of {k:,} classes; "
        f"95 % interval {_interval(row, _percent)}</span></p>\n</header>"
    )


def _metrics(table: pd.DataFrame) -> str:
    rows = []
    for _, row in table[table["class"].isna()].iterrows():
        show = _number if row["metric"] in _NOT_SHARES else _percent
        rows.append(
            (
                _text(_NAMES.get(row["metric"], row["metric"])),
                show(row["estimate"]),
                _interval(row, show),
                _text(row["method"]),
            )
        )
    head = [("Metric", False), ("Estimate", True), ("95 % interval", True), ("Interval by", False)]
    return _section("How good it is", _table(head, rows))


def _by_class(table: pd.DataFrame) -> str:
    table = table[table["class"].notna()]
    order = list(dict.fromkeys(table["class"]))
    cells = {(row["metric"], row["class"]): row for _, row in table.iterrows()}
    lows = [cells["f1", name]["lower"] for name in order]
    floor = np.floor(10 * min([low for low in lows if not math.isnan(low)] or [0.0])) / 10
    rows = []
    for name in order:
        row = [_text(name), f"{cells['sensitivity', name]['n']:,}"]
        for metric in _BY_CLASS:
            cell = cells[metric, name]
            ends = "" if math.isnan(cell["lower"]) else f"<br/>{_interval(cell, _percent)}"
            row.append(f'{_percent(cell["estimate"])}<span class="note">{ends}</span>')
        rows.append([*row, _whisker(cells["f1", name], float(floor))])
    head = [("Class", False), ("Images", True), *((name, True) for name in _BY_CLASS.values())]
    axis = f"F1, from {100 * floor:.0f} to 100 %"
    body = _table([*head, (axis, False)], rows)
    if len(order) > _OPEN:
        body = f"<details><summary>All {len(order):,} classes</summary>\n{body}\n</details>"
    return _section("Class by class", body)


def _whisker(row: pd.Series, floor: float) -> str:
    """Draw an estimate with its interval on a scale from ``floor`` to 1."""
    if math.isnan(row["estimate"]):
        return "–"
    x0, x, x1 = (
        4 + 132 * (max(row[c], floor) - floor) / (1 - floor) for c in ("lower", "estimate", "upper")
    )
    return (
        '<svg width="140" height="14" viewBox="0 0 140 14" aria-hidden="true">'
        '<line class="grid" x1="4" x2="136" y1="7" y2="7"/>'
        f'<line class="one" x1="{x0:.1f}" x2="{x1:.1f}" y1="7" y2="7"/>'
        f'<circle class="dot1" cx="{x:.1f}" cy="7" r="4"/></svg>'
    )


def _confusions(matrix: pd.DataFrame) -> str:
    counts = matrix.to_numpy()
    names = [_text(name) for name in matrix.index]
    content = [_pairs(counts, names)]
    if len(names) <= _CELLS:
        content = [_shaded(counts, names)]
    elif len(names) <= 200:
        content.insert(0, _heat(counts))
    if not any(content):
        content = ["<p>No image was taken for another class.</p>"]
    return _section("What it takes for what", *(part for part in content if part))


def _shaded(counts: np.ndarray, names: list[str]) -> str:
    lines = []
    for i, name in enumerate(names):
        total = counts[i].sum()
        cells = []
        for j, count in enumerate(counts[i]):
            if not count:
                cells.append('<td class="none">·</td>')
                continue
            kind = "right" if i == j else "wrong"
            # A single error must still be seen in a row of thousands.
            share = max(count / total, 0.12)
            kind += " hot" if share > 0.72 else ""
            cells.append(f'<td class="{kind}" style="--share: {share:.2f}">{count:,}</td>')
        lines.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    top = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(lines)
    return (
        '<p class="note">Rows: the truth; columns: the prediction. The shade is the share of '
        "the row.</p>\n"
        f'<div class="scroll"><table class="matrix">\n<thead><tr><td class="corner"></td>{top}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _heat(counts: np.ndarray) -> str:
    k = len(counts)
    rows = np.maximum(counts.sum(axis=1), 1)
    cells = [
        f'<rect class="dot{1 if i == j else 2}" x="{j}" y="{i}" width="1" height="1" '
        f'fill-opacity="{max(counts[i, j] / rows[i], 0.2):.2f}"/>'
        for i, j in np.argwhere(counts)
    ]
    return (
        '<p class="note">Rows: the truth; columns: the prediction, both in the order of the '
        "classes. The shade is the share of the row.</p>\n"
        f'<svg viewBox="0 0 {k} {k}" width="560" role="img" aria-label="Confusion matrix" '
        f'style="max-width: 100%; background: var(--panel)">{"".join(cells)}</svg>'
    )


def _pairs(counts: np.ndarray, names: list[str], most: int = 20) -> str:
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    # A stable sort: among equals the earlier classes come first.
    order = np.argsort(-wrong.ravel(), kind="stable")[:most]
    rows = [
        (names[i], names[j], f"{wrong[i, j]:,}", _percent(wrong[i, j] / counts[i].sum()))
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]
    head = [("Truth", False), ("Taken for", False), ("Images", True), ("Of the truth", True)]
    return _table(head, rows) if rows else ""


def _errors(
    images: ImageSet,
    truth: Sequence[Any],
    predicted: Sequence[Any],
    probabilities: np.ndarray,
    classes: list[Any],
) -> str:
    place = {name: code for code, name in enumerate(classes)}
    own = probabilities[np.arange(len(truth)), [place[label] for label in truth]]
    wrong = np.array([t != p for t, p in zip(truth, predicted, strict=True)])
    heading, note = "What it got most wrong", ""
    if wrong.any():
        order = np.argsort(np.where(wrong, own, 2.0), kind="stable")[: min(wrong.sum(), _WORST)]
        note = (
            f"{_count(wrong.sum(), 'image')} misclassified; least probability of the truth first."
        )
        if wrong.sum() > _WORST:
            note += f" These are the first {_WORST}."
    else:
        order = np.argsort(own, kind="stable")[: _WORST // 2]
        heading, note = "What it was least sure of", "No image was misclassified."
    figures = [_figure(images, i, truth[i], predicted[i], probabilities[i], own[i]) for i in order]
    return _section(
        heading, f'<p class="note">{note}</p>', f'<div class="worst">{"".join(figures)}</div>'
    )


def _figure(
    images: ImageSet, i: int, truth: Any, predicted: Any, probabilities: np.ndarray, own: float
) -> str:
    name = images.name(i)
    where = os.path.basename(name) if images.is_files else f"image {i + 1}"
    source, small = _thumbnail(images[i])
    kind = ' class="small"' if small else ""
    lines = [f"truth <b>{_text(truth)}</b> {_percent(own)}"]
    if truth != predicted:
        lines.append(f"taken for <b>{_text(predicted)}</b> {_percent(probabilities.max())}")
    lines.append(f'<span class="soft">{_text(where)}</span>')
    return (
        f'<figure><img{kind} src="{source}" alt="{_text(where)}: {_text(truth)}" '
        f'title="{_text(name)}"/>\n<figcaption>{"<br/>".join(lines)}</figcaption></figure>\n'
    )


def _thumbnail(image: np.ndarray) -> tuple[str, bool]:
    """Give an image as the address of its own PNG, and whether it shows its single pixels."""
    shown = picture(image)
    small = max(shown.size) <= _PIXELS
    shown.thumbnail((2 * _PIXELS, 2 * _PIXELS))
    stream = io.BytesIO()
    shown.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), small


def _training(history: pd.DataFrame | None) -> str:
    if history is None or not len(history):
        return ""
    epochs = history["epoch"].to_numpy(dtype=float)
    charts, second = [], False
    for column, label in [
        ("loss", "Loss"),
        ("accuracy", "Accuracy"),
        ("learning_rate", "Learning rate"),
    ]:
        lines = [
            history[name].to_numpy(dtype=float)
            for name in (column, f"val_{column}")
            if name in history and history[name].notna().any()
        ]
        second = second or len(lines) > 1
        if lines:
            chart = _chart(epochs, lines, label)
            charts.append(f"<figure><figcaption>{label}</figcaption>\n{chart}</figure>")
    legend = ""
    if second:
        sample = '<svg width="28" height="8" aria-hidden="true"><line class="{}" x1="0" x2="28" '
        sample += 'y1="4" y2="4"/></svg>'
        legend = (
            f'<p class="legend"><span>{sample.format("one")} training</span>'
            f"<span>{sample.format('two')} validation</span></p>"
        )
    text = _count(len(history), "epoch")
    if "seconds" in history:
        text += f" in {history['seconds'].sum():.1f} seconds"
    if "images_per_second" in history:
        text += f", {history['images_per_second'].median():,.0f} images a second"
    charts_html = "\n".join(charts)
    return _section(
        "How it was trained",
        f'<p class="note">{text}.</p>',
        legend,
        f'<div class="charts">{charts_html}</div>',
    )


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Give round numbers from at or below ``low`` to at or above ``high``."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def _chart(x: np.ndarray, lines: Sequence[np.ndarray], label: str) -> str:
    """Draw lines against the epoch; missing and infinite values leave gaps."""
    width, height, left, right, top, bottom = 340, 220, 46, 12, 10, 40
    values = np.concatenate(lines)
    values = values[np.isfinite(values)]
    if not len(values):
        return "<p>No finite value.</p>"
    ys = _ticks(float(values.min()), float(values.max()), 5)
    whole = [t for t in _ticks(x.min(), x.max(), 6) if t == int(t) and x.min() <= t <= x.max()]
    span = (x.max() - x.min()) or 1.0
    shift = 0.5 if x.max() == x.min() else 0.0  # a single epoch stands in the middle

    def at_x(v: float) -> float:
        return left + (width - left - right) * ((v - x.min()) / span + shift)

    def at_y(v: float) -> float:
        return height - bottom - (height - top - bottom) * (v - ys[0]) / (ys[-1] - ys[0])

    parts = [
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{at_y(t):.1f}" '
        f'y2="{at_y(t):.1f}"/><text x="{left - 6}" y="{at_y(t) + 4:.1f}" '
        f'text-anchor="end">{round(t, 12):g}</text>'
        for t in ys
    ]
    parts += [
        f'<text x="{at_x(t):.1f}" y="{height - bottom + 18}" text-anchor="middle">{t:.0f}</text>'
        for t in whole
    ]
    parts.append(
        f'<text x="{(left + width - right) / 2:.0f}" y="{height - 4}" '
        'text-anchor="middle">epoch</text>'
    )
    for number, (line, kind) in enumerate(zip(lines, ("one", "two"), strict=False), 1):
        for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(np.isfinite(line))) + 1):
            if not np.isfinite(line[run]).all():
                continue
            points = " ".join(f"{at_x(x[i]):.1f},{at_y(line[i]):.1f}" for i in run)
            parts.append(f'<polyline class="{kind}" points="{points}"/>')
            if len(x) <= 30:
                parts += [
                    f'<circle class="dot{number}" cx="{at_x(x[i]):.1f}" cy="{at_y(line[i]):.1f}" '
                    'r="2.5"/>'
                    for i in run
                ]
    last = [line[np.isfinite(line)] for line in lines]
    ends = "; ".join(f"{line[-1]:.4g} at the end" for line in last if len(line))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{_text(label)} against epochs: {ends}">{"".join(parts)}</svg>'
    )


def _model(model: Any) -> str:
    graph = getattr(model, "network_", None)
    facts: list[tuple[str, str]] = []
    if graph is not None:
        spec = graph.input
        facts += [
            ("Network", _text(graph.name)),
            ("Input", f"{spec.height} × {spec.width} pixels, {_count(spec.channels, 'channel')}"),
            ("Parameters", f"{graph.parameter_count:,}"),
            ("Multiply-adds", f"{graph.multiply_adds:,} an image"),
        ]
    for label, name in [("Device", "device_"), ("Seed", "seed_")]:
        if getattr(model, name, None) is not None:
            facts.append((label, _text(getattr(model, name))))
    if hasattr(model, "fingerprint"):
        facts.append(("Fingerprint", f"<code>{_text(model.fingerprint())}</code>"))
    # The versions at work now; loaded modules only, for a report must not need an engine.
    versions = [f"Python {platform.python_version()}"]
    versions += [
        f"{label} {sys.modules[name].__version__}"
        for label, name in [("diglot", "diglot"), ("MXNet", "mxnet"), ("NumPy", "numpy")]
        if hasattr(sys.modules.get(name), "__version__")
    ]
    facts.append(("Software", _text(", ".join(versions))))
    content = ["<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>\n" for k, v in facts) + "</dl>"]
    if hasattr(model, "get_params"):
        settings = "".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(_brief(value))}</dd></div>\n"
            for name, value in sorted(model.get_params(deep=False).items())
        )
        content.append(
            f'<details open="open"><summary>Settings</summary>\n<dl class="small">{settings}</dl>'
            "\n</details>"
        )
    if graph is not None:
        head = [("Layer", False), ("Operator", False), ("Output", False)]
        head += [("Parameters", True), ("Multiply-adds", True)]
        rows = [
            (
                _text(layer["layer"]),
                _text(layer["operator"]),
                _text(" × ".join(map(str, layer["output"]))),
                f"{layer['parameters']:,}",
                f"{layer['multiply_adds']:,}",
            )
            for layer in graph.layers()
        ]
        content.append(f"<details><summary>Layers</summary>\n{_table(head, rows)}\n</details>")
    return _section("What it is", *content)


def _brief(value: Any) -> str:
    """Describe a setting in a line: data by its shape, anything long by its beginning."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {tuple(value.shape)}"
    if isinstance(value, str | int | float | bool | None):
        return str(value)
    # Without addresses in memory, which differ from run to run.
    text = re.sub(r" at 0x[0-9A-Fa-f]+", "", " ".join(repr(value).split()))
    return text if len(text) <= 60 else text[:57] + "..."


class _Report(types.ModuleType):
    """Makes ``diglot.report`` the function as well as this room, whichever is loaded first."""

    def __call__(
        self,
        model: Any,
        X: Any,  # noqa: N803
        y: Iterable[Any],
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
    ) -> Path:
        return report(model, X, y, path, title=title)


sys.modules[__name__].__class__ = _Report
