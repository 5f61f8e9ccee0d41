"""Predictions of many files: the answers of predict(), bad files, output, memory."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diglot import (
    HogClassifier,
    ImageCaptioner,
    ImageClassifier,
    ImageError,
    ImageRegressor,
    ImageTagger,
    InputError,
    MissingPackageError,
    predict_files,
    read_images,
    scoring,
)


def drawn(n, seed=1):
    """Return asymmetric images: a bright bar top right or low left, amid noise, and which."""
    images = np.random.default_rng(seed).integers(0, 120, (n, 12, 16), "uint8")
    labels = np.arange(n) % 2
    images[labels == 0, 1:3, 9:15] = 250
    images[labels == 1, 7:11, 2:4] = 250
    return images, np.array(["right", "low"])[labels]


def saved(images, folder, ending="png"):
    folder.mkdir(exist_ok=True)
    paths = [str(folder / f"{i:05d}.{ending}") for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    return paths


def spoilt(paths, folder):
    """Return the paths with five among them that cannot be read, and their kinds by row."""
    damaged, empty, text = folder / "cut.jpg", folder / "none.png", folder / "text.png"
    rough = np.random.default_rng(1).integers(0, 256, (90, 70, 3), "uint8")
    Image.fromarray(rough).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    empty.write_bytes(b"")
    text.write_text("no image at all", encoding="utf-8")
    (folder / "inside").mkdir()
    bad = {
        0: (damaged, "damaged"),
        3: (empty, "empty"),
        4: (folder / "gone.png", "missing"),
        9: (folder / "inside", "folder"),
        12: (text, "not_image"),
    }
    mixed = list(paths)
    for row in sorted(bad):
        mixed.insert(row, str(bad[row][0]))
    return mixed, {row: kind for row, (_, kind) in bad.items()}


@pytest.fixture(scope="module")
def model():
    images, labels = drawn(60)
    return ImageClassifier("mlp", epochs=4, batch_size=8, seed=1).fit(images, labels)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(scoring, "_CHUNK", 8)


def test_answers_are_those_of_predict_to_the_byte_whatever_the_chunk(model, tmp_path, monkeypatch):
    images, _ = drawn(30, seed=2)
    paths = saved(images, tmp_path / "few")
    want = model.predict_proba(images)
    for chunk in (256, 30, 7, 1):
        monkeypatch.setattr(scoring, "_CHUNK", chunk)
        found = predict_files(model, paths)
        assert found.count == 30 and found.output is None and found.failures.empty
        assert found.table["file"].tolist() == paths
        assert found.table["predicted"].tolist() == model.predict(images).tolist()
        assert list(found.table) == ["file", "predicted", "prob_low", "prob_right"]
        assert np.array_equal(found.table[["prob_low", "prob_right"]].to_numpy(), want)
    assert list(predict_files(model, paths, proba=False).table) == ["file", "predicted"]


def test_folders_lists_series_and_data_frames_are_alike(model, tmp_path):
    images, _ = drawn(6)
    paths = saved(images, tmp_path / "all")
    (tmp_path / "all" / "deeper").mkdir()
    os.rename(paths[5], tmp_path / "all" / "deeper" / "5.png")  # beside images: no class folder
    paths[5] = str(tmp_path / "all" / "deeper" / "5.png")
    (tmp_path / "all" / "notes.txt").write_text("none of ours", encoding="utf-8")
    want = predict_files(model, paths).table
    others = (
        tmp_path / "all",
        str(tmp_path / "all"),
        pd.Series(paths),
        pd.DataFrame({"number": 1, "image": paths}),
    )
    for given in others:
        pd.testing.assert_frame_equal(predict_files(model, given).table, want)
    assert predict_files(model, paths[2]).table["file"].tolist() == [paths[2]]


def test_bad_files_are_reported_and_change_no_other_answer(model, tmp_path, small_chunks):
    images, _ = drawn(30)
    paths = saved(images, tmp_path / "mixed")
    mixed, kinds = spoilt(paths, tmp_path / "mixed")
    with pytest.warns(UserWarning, match=r"5 of 35 files .* row 1: .*cut\.jpg"):
        found = predict_files(model, mixed, on_error="report")
    assert dict(zip(found.failures["row"], found.failures["kind"], strict=True)) == kinds
    assert found.failures["file"].tolist() == [mixed[row] for row in kinds]
    for file, message in zip(found.failures["file"], found.failures["message"], strict=True):
        assert file in message
    pd.testing.assert_frame_equal(found.table, predict_files(model, paths).table)
    assert found.count == 30


@pytest.mark.parametrize("row", [0, 3, 4, 9, 12])
def test_by_default_a_bad_file_stops_the_run_and_no_output_is_left(model, tmp_path, row):
    folder = tmp_path / "mixed"
    mixed, _ = spoilt(saved(drawn(30)[0], folder), folder)
    others = [path for i, path in enumerate(mixed) if i not in {0, 3, 4, 9, 12} - {row}]
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ImageError, match=os.path.basename(mixed[row])):
        predict_files(model, others, output=tmp_path / "out.csv")
    assert sorted(os.listdir(tmp_path)) == before


def test_files_whose_channels_do_not_fit_are_reported(tmp_path):
    two_channels = np.random.default_rng(1).random((20, 8, 8, 2)).astype("float32")
    odd = ImageClassifier("mlp", epochs=1, seed=1).fit(two_channels, ["a", "b"] * 10)
    paths = saved(drawn(2)[0], tmp_path / "grey")
    with pytest.warns(UserWarning, match="2 of 2 files"):
        found = predict_files(odd, paths, on_error="report")
    assert found.failures["kind"].tolist() == ["unfit", "unfit"]
    assert found.count == 0 and list(found.table) == ["file", "predicted", "prob_a", "prob_b"]


def test_numbers_that_leave_float32_are_reported(tmp_path, small_chunks):
    images = np.random.default_rng(1).random((20, 8, 8)).astype("float32")
    model = ImageClassifier("mlp", epochs=1, seed=1).fit(images / 8, ["a", "b"] * 10)
    assert max(model.network_.input.std) < 1  # so that a number may grow beyond the range
    paths = [str(tmp_path / f"{i:02d}.tif") for i in range(20)]
    images[3] = 3e38
    images[11, 2, 5] = -3.4e38
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    with pytest.raises(ImageError, match=r"11\.tif' has pixels up to 3.4e\+38"):
        model.predict(paths)
    with pytest.warns(UserWarning, match="2 of 20 files"):
        found = predict_files(model, paths, on_error="report")
    assert found.failures["kind"].tolist() == ["unfit", "unfit"]
    assert found.failures["row"].tolist() == [3, 11]
    assert all(m.count(f) for m, f in zip(found.failures.message, found.failures.file, strict=True))
    good = [path for i, path in enumerate(paths) if i not in (3, 11)]
    pd.testing.assert_frame_equal(found.table, predict_files(model, good).table)


@pytest.mark.parametrize("after", ["it was found", "it was looked at"])
def test_files_that_vanish_meanwhile_are_reported(model, tmp_path, monkeypatch, after):
    paths = saved(drawn(20)[0], tmp_path / "all")
    (tmp_path / "all" / "text.png").write_text("no image", encoding="utf-8")
    mixed, real, calls = [*paths, str(tmp_path / "all" / "text.png")], scoring._fault, []

    def vanishing(spec, path):
        if after == "it was found":
            Path(paths[5]).unlink(missing_ok=True)  # files are looked at by several threads
        found = real(spec, path)
        calls.append(path)
        if after == "it was looked at" and calls.count(path) == 1 and path in paths[6:9]:
            os.unlink(path)
        return found

    monkeypatch.setattr(scoring, "_fault", vanishing)
    gone = [5] if after == "it was found" else [6, 7, 8]
    with pytest.warns(UserWarning, match=f"{len(gone) + 1} of 21 files"):
        found = predict_files(model, mixed, on_error="report")
    assert found.failures["row"].tolist() == [*gone, 20]
    assert found.failures["kind"].tolist() == ["missing"] * len(gone) + ["not_image"]
    left = [path for i, path in enumerate(paths) if i not in gone]
    pd.testing.assert_frame_equal(found.table, predict_files(model, left).table)


def test_what_only_the_model_refuses_is_reported_too(model, tmp_path, monkeypatch):
    """Where no fault of a file is found, the model is asked about each."""
    paths = saved(drawn(12)[0], tmp_path / "all")
    real = scoring._told

    def told(*args):
        found = real(*args)
        for file in found["file"]:
            if file in (paths[2], paths[7]):
                raise ImageError(f"'{file}' is not what it was")
        return found

    monkeypatch.setattr(scoring, "_told", told)
    with pytest.warns(UserWarning, match="2 of 12 files"):
        found = predict_files(model, paths, on_error="report")
    assert found.failures["row"].tolist() == [2, 7] and found.count == 10

    def never(*_):
        raise ImageError("whatever")

    monkeypatch.setattr(scoring, "_told", never)
    with pytest.raises(ImageError, match="whatever"):  # not for ever, where there is no file left
        predict_files(model, paths, on_error="report")


def test_csv_and_parquet_hold_the_table(model, tmp_path, small_chunks):
    folder = tmp_path / "mixed"
    mixed, _ = spoilt(saved(drawn(30)[0], folder), folder)
    with pytest.warns(UserWarning, match="5 of 35"):
        want = predict_files(model, mixed, on_error="report").table
    readers = {"csv": lambda p: pd.read_csv(p, float_precision="round_trip")}
    pytest.importorskip("pyarrow")
    readers["parquet"] = pd.read_parquet
    for ending, read in readers.items():
        target = tmp_path / f"answers.{ending}"
        target.write_text("an earlier file", encoding="utf-8")
        with pytest.warns(UserWarning, match="5 of 35"):
            found = predict_files(model, mixed, output=target, on_error="report")
        assert found.table is None and found.output == target and found.count == 30
        assert len(found.failures) == 5
        answers = read(target)
        assert list(answers) == list(want)
        for name in want:
            assert answers[name].tolist() == want[name].tolist()
    assert sorted(os.listdir(tmp_path)) == ["answers.csv", "answers.parquet", "mixed"]


def test_parquet_has_its_types_also_where_the_first_files_are_bad(model, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(scoring, "_CHUNK", 2)
    paths = saved(drawn(2)[0], tmp_path / "few")
    with pytest.warns(UserWarning, match="2 of 4"):
        predict_files(
            model,
            ["gone.png", "gone too.png", *paths],
            output=tmp_path / "a.parquet",
            on_error="report",
        )
    table = parquet.read_table(tmp_path / "a.parquet")
    assert [str(t) for t in table.schema.types][::2] == ["string", "double"]
    assert table["file"].to_pylist() == paths


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_utf8_are_kept(model, tmp_path):
    pytest.importorskip("pyarrow")
    (path,) = saved(drawn(1)[0], tmp_path / "one")
    strange = os.fsencode(tmp_path / "one") + b"/\xe9.png"
    try:
        os.rename(path, strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert predict_files(model, tmp_path / "one").table["file"][0] == os.fsdecode(strange)
    predict_files(model, tmp_path / "one", output=tmp_path / "x.csv")
    assert strange in (tmp_path / "x.csv").read_bytes()
    predict_files(model, tmp_path / "one", output=tmp_path / "x.parquet")
    assert pd.read_parquet(tmp_path / "x.parquet")["file"][0].endswith("\\udce9.png")


def test_other_kinds_of_model_answer_as_they_predict(tmp_path, small_chunks):
    images, labels = drawn(20)
    paths = saved(images, tmp_path / "all")
    settings = {"epochs": 1, "seed": 1}
    size = images.mean(axis=(1, 2))

    hog = HogClassifier(inner_folds=2).fit(images, labels)
    found = predict_files(hog, paths).table
    assert np.array_equal(found[["prob_low", "prob_right"]], hog.predict_proba(paths))
    assert found["predicted"].tolist() == hog.predict(paths).tolist()

    mean = ImageRegressor("mlp", **settings).fit(images, size)
    found = predict_files(mean, paths).table
    assert list(found) == ["file", "predicted"]
    assert np.array_equal(found["predicted"], mean.predict(images))

    parts = ImageRegressor("mlp", family="quantile", quantiles=[0.1, 0.5, 0.9], **settings)
    parts = parts.fit(images, size)
    found = predict_files(parts, paths).table
    assert list(found)[1:] == ["predicted", "quantile_0.1", "quantile_0.5", "quantile_0.9"]
    assert np.array_equal(found["predicted"], parts.predict(images))
    assert np.array_equal(found.iloc[:, 2:], parts.predict_quantiles(images))

    tags = pd.DataFrame({"low": labels == "low", "big": size > np.median(size)})
    tagger = ImageTagger("mlp", **settings).fit(images, tags)
    found = predict_files(tagger, paths).table
    assert list(found)[1:] == ["predicted_low", "predicted_big", "prob_low", "prob_big"]
    assert np.array_equal(found[["predicted_low", "predicted_big"]], tagger.predict(images))
    assert np.array_equal(found[["prob_low", "prob_big"]], tagger.predict_proba(images))


def test_captions_are_predicted(tmp_path, small_chunks):
    images = np.random.default_rng(1).integers(0, 256, (16, 32, 40, 3), "uint8")
    captioner = ImageCaptioner(hidden=8, embedding=8, epochs=1, seed=1)
    captioner = captioner.fit(images, [["a red bar", "a bar"]] * 16)
    paths = saved(images, tmp_path / "all")
    found = predict_files(captioner, [*paths, "gone.png"][:16]).table
    assert found["predicted"].tolist() == list(captioner.predict(images))


def test_covariates_stand_beside_the_files(tmp_path, small_chunks):
    images, labels = drawn(24)
    frame = pd.DataFrame({"image": saved(images, tmp_path / "all"), "age": np.arange(24.0)})
    frame["site"] = pd.Categorical(["a", "b", "c"] * 8)
    model = ImageClassifier("mlp", epochs=1, seed=1, covariates=["age", "site"])
    model = model.fit(frame, labels)
    want = model.predict_proba(frame)
    assert np.array_equal(predict_files(model, frame).table.iloc[:, 2:], want)
    mixed = frame.copy()
    mixed.loc[5, "image"] = "gone.png"
    with pytest.warns(UserWarning, match="1 of 24"):
        found = predict_files(model, mixed, on_error="report")
    assert np.array_equal(found.table.iloc[:, 2:], np.delete(want, 5, axis=0))
    assert predict_files(model, frame[:0]).count == 0
    mixed.loc[20, "age"] = np.nan
    with pytest.raises(InputError, match="row 21"):
        predict_files(model, mixed, on_error="report")


def test_no_files_give_no_rows(model):
    found = predict_files(model, [])
    assert found.count == 0 and list(found.table)[:2] == ["file", "predicted"]


def test_progress_is_one_bar_over_all_files(model, tmp_path, small_chunks):
    events = []
    paths = saved(drawn(20)[0], tmp_path / "all")
    predict_files(model, paths, verbose=events.append)
    assert [e["total"] for e in events if e["event"] == "start"] == [20]
    done = [e["done"] for e in events if e["event"] == "step"]
    assert done == sorted(done) and done[-1] == 20
    assert events[-1]["event"] == "finish"
    assert model.verbose == "auto"


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"on_error": "skip"}, "on_error"),
        ({"proba": "yes"}, "proba"),
        ({"output": "x.txt"}, r"\.csv or \.parquet"),
        ({"output": 3}, "output"),
        ({"output": os.path.join("no such folder", "x.csv")}, "no such folder"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(model, tmp_path, settings, culprit):
    paths = saved(drawn(1)[0], tmp_path / "all")
    with pytest.raises(InputError, match=culprit):
        predict_files(model, paths, **settings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_disk_that_is_full_is_named_and_leaves_nothing(model, tmp_path, monkeypatch, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    paths = saved(drawn(3)[0], tmp_path / "all")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scoring.os, "replace", full)
    with pytest.raises(InputError, match=rf"x\.{ending}.*{os.strerror(errno.ENOSPC)}"):
        predict_files(model, paths, output=tmp_path / f"x.{ending}")
    assert os.listdir(tmp_path) == ["all"]


def test_images_in_memory_and_gaps_are_refused(model):
    with pytest.raises(InputError, match="in files"):
        predict_files(model, drawn(2)[0])
    with pytest.raises(InputError, match="row 2"):
        predict_files(model, ["a.png", None], on_error="report")


def test_parquet_without_pyarrow_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    paths = saved(drawn(1)[0], tmp_path / "all")
    with pytest.raises(MissingPackageError, match="pip install 'pyarrow>="):
        predict_files(model, paths, output=tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ten_times_the_files_take_no_more_memory(tmp_path, monkeypatch, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(scoring, "_CHUNK", 64)
    images = np.random.default_rng(1).integers(0, 256, (20, 40, 48, 3), "uint8")
    model = ImageClassifier("mlp", epochs=1, seed=1, threads=1).fit(images, ["a", "b"] * 10)
    (tmp_path / "all").mkdir()
    for i in range(2000):
        os.link(saved(images[:1], tmp_path / "one")[0], tmp_path / "all" / f"{i:04d}.png")
    paths = [str(tmp_path / "all" / f"{i:04d}.png") for i in range(2000)]
    predict_files(model, paths[:100], output=tmp_path / f"x.{ending}")  # loads what is loaded once
    peaks = []
    for count in (200, 2000):
        tracemalloc.start()
        predict_files(model, paths[:count], output=tmp_path / f"x.{ending}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Beyond the lists of names; 2,000 decoded images would be 11 MB.
    assert peaks[1] - peaks[0] < 1_000_000, peaks


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("junk")])
def test_a_packed_file_without_its_list_is_reported(model, tmp_path, change):
    images, _ = drawn(4)
    folder = tmp_path / "photos"
    saved(images, folder)
    read_images(folder, cache=tmp_path / "photos.rec")
    (fine,) = saved(images[:1], tmp_path / "fine")
    packed = str(tmp_path / "photos.rec" / "00001.png")
    change(tmp_path / "photos.jsonl")
    with pytest.warns(UserWarning, match="1 of 2 files could not be read"):
        found = predict_files(model, [packed, fine], on_error="report")
    assert found.table["file"].tolist() == [fine]
    assert found.failures[["row", "file", "kind"]].to_numpy().tolist() == [[0, packed, "damaged"]]
    assert "photos.jsonl" in found.failures["message"][0]


def test_what_predicts_nothing_is_refused(tmp_path):
    from diglot import RBM

    images = drawn(4)[0]
    paths = saved(images, tmp_path)
    machine = RBM(n_hidden=2, epochs=1, seed=1, verbose=False).fit(images)
    with pytest.raises(InputError, match="RBM gives features"):
        predict_files(machine, paths)
