"""Old files stay readable and answer as they did; newer ones than the program knows say so.

The files in ``formats/`` were written by ``tests/fixtures/make_formats.py`` with the version that
their name begins with, some of them with what the version was on its way, before its format had
all that it has now.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from diglot import load, pretrained, read_images, storage
from diglot.errors import ModelFileError
from diglot.images.decode import decode
from diglot.training.checkpoints import Checkpoints, State, read_checkpoint
from mutations import safetensors_bytes
from soak import ROOT, alone

FORMATS = Path(__file__).parent / "formats"
FILES = sorted(FORMATS.glob("*.safetensors"))
CHECKPOINTS, PACKED = sorted(FORMATS.glob("*-checkpoint")), sorted(FORMATS.glob("*-packed"))
RDS = sorted(FORMATS.glob("*.rds"))


def maker():
    """Return the module that wrote the files."""
    path = ROOT / "tests" / "fixtures" / "make_formats.py"
    spec = importlib.util.spec_from_file_location("make_formats", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(kind):
    """Return the images that the files' models were asked about."""
    return maker().asked(kind)


def newer(path, folder):
    """Return a file of the next format, which is otherwise the same."""
    tensors, meta = storage.read_file(path)
    text = json.dumps({**meta, "format": storage.FORMAT + 1, "new": {"unheard": ["of"]}})
    (folder / path.name).write_bytes(safetensors_bytes(tensors, {"diglot": text}))
    return folder / path.name


def test_every_kind_has_a_file():
    kinds = {path.stem.split("-")[-1] for path in FILES}
    assert {"classifier", "captioner", "covariates", "regressor", "tagger"} <= kinds
    assert {"hog", "rbm", "dbn", "int8", "torch"} <= kinds
    assert CHECKPOINTS and PACKED and RDS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_file_answers_as_it_did(path, tmp_path):
    told = json.loads(path.with_suffix(".json").read_text())
    if told["kind"] == "torch":
        pytest.importorskip("torch")
    model = load(path)
    for again in (model, load(model.save(tmp_path / "again.safetensors"))):
        assert again.fingerprint() == told["print"]
        answer = np.asarray(getattr(again, told["method"])(asked(told["kind"])))
        if answer.dtype.kind == "f":
            np.testing.assert_allclose(answer, np.array(told["answer"]), rtol=0, atol=1e-5)
        else:
            assert answer.tolist() == told["answer"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_newer_file_says_what_to_do(path, tmp_path):
    place = newer(path, tmp_path)
    for read in (load, lambda p: pretrained(weights=p)):
        with pytest.raises(ModelFileError, match="format version 2, .* install a newer diglot"):
            read(place)


def test_a_newer_checkpoint_says_what_to_do(tmp_path):
    run = {"seed": 1}
    Checkpoints(tmp_path).save(run, State(), {"w": np.ones(2, np.float32)}, {})
    (tmp_path / "new").mkdir()
    place = newer(tmp_path / "checkpoint.safetensors", tmp_path / "new")
    with pytest.raises(ModelFileError, match="install a newer diglot"):
        read_checkpoint(place, run)


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda path: path.name)
def test_an_old_checkpoint_is_gone_on_from(folder, tmp_path):
    told = json.loads((folder / "told.json").read_text())
    shutil.copy(folder / "checkpoint.safetensors", tmp_path)
    seen = []
    made = maker()
    model = made.unfinished(tmp_path).set_params(callbacks=lambda record: seen.append(record))
    model.fit(made.IMAGES, made.LABELS)
    assert [record["epoch"] for record in seen] == [3, 4]
    assert model.history_["loss"].tolist()[:2] == told["loss"][:2]
    # Another machine may sum in another order.
    np.testing.assert_allclose(model.history_["loss"], told["loss"], atol=1e-4)
    found = model.predict_proba(made.IMAGES[:5])
    np.testing.assert_allclose(found, np.array(told["answer"]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("folder", PACKED, ids=lambda path: path.name)
def test_an_old_packed_file_holds_what_it_held(folder):
    told = json.loads((folder / "told.json").read_text())
    table = read_images(folder / "p.rec")
    assert table["label"].tolist() == told["label"]
    assert [decode(path).tolist() for path in table["image"]] == told["pixels"]


RDS_IN_R = """
library(diglot)
given <- commandArgs(trailingOnly = TRUE)
pixels <- array(as.integer((seq_len(24 * 7 * 6) * 7919) %% 256), c(24, 7, 6))
frame <- tibble::tibble(image = lapply(1:5, function(i) pixels[i, , ]))
for (path in given) {
  fit <- readRDS(path)
  told <- utils::read.csv(sub("rds$", "csv", path))
  same <- all.equal(
    as.matrix(predict(fit, frame, type = "prob")), as.matrix(told[1:3]), tolerance = 1e-5
  )
  again <- update(fit, transform(frame, label = factor(c("wasp", "ant", "bee", "ant", "bee"))))
  cat(isTRUE(same), fingerprint(fit) == told$print[1], inherits(again, "image_classifier"), "\\n")
}
"""


@pytest.mark.needs_r
def test_r_reads_old_fits_of_save_rds():
    command = ["Rscript", "--vanilla", "-e", RDS_IN_R, *RDS]
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines == ["TRUE TRUE TRUE"] * len(RDS), done.stderr[-2000:]


IN_R = """
library(diglot)
given <- commandArgs(trailingOnly = TRUE)
for (path in given[-1]) cat(fingerprint(load_model(path)), "\\n")
error <- tryCatch(load_model(given[1]), diglot_error_model_file = conditionMessage)
cat(gsub("\\n", " ", error), "\\n")
"""


@pytest.mark.needs_r
def test_r_reads_old_files_and_refuses_newer_ones(tmp_path):
    command = ["Rscript", "--vanilla", "-e", IN_R, newer(FILES[0], tmp_path), *FILES]
    environment = alone() | {"RETICULATE_PYTHON": str(ROOT / ".venv/bin/python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    *prints, refusal = done.stdout.splitlines()
    told = [json.loads(path.with_suffix(".json").read_text())["print"] for path in FILES]
    assert [line.strip() for line in prints] == told
    assert "install a newer diglot" in refusal
