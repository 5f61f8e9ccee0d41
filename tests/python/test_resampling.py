"""Cross-validation and learning curves against loops by hand, side by side against in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky.backend.queues import Queue
from PIL import Image
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import diglot
from diglot import ImageClassifier, cross_validate, learning_curve
from diglot.errors import DiglotError, InputError, InterruptedFitWarning
from diglot.resampling import make_folds, processes, strata
from diglot.resampling.learning_curve import growing, training_sizes
from diglot.resampling.processes import _environment, threads_of
from diglot.resampling.rows import packed, take
from diglot.resampling.tasks import Job, for_fold


@pytest.fixture(scope="module")
def digits():
    return diglot.example_images("digits")[:240].reset_index(drop=True)


def pixels(digits):
    return np.stack(list(digits["image"])).reshape(len(digits), -1)


def linear():
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1))


def network(**settings):
    return ImageClassifier("mlp", epochs=1, batch_size=32, **settings)


# ---- against loops by hand


def test_scikit_learns_models_have_the_numbers_of_a_loop(digits):
    X, y = pixels(digits), np.asarray(digits["label"])
    found = cross_validate(linear(), X, y, folds=3, repeats=2, seed=4)
    assert list(found.folds.columns[:6]) == [
        "repeat",
        "fold",
        "n_train",
        "n_test",
        "seconds",
        "seed",
    ]
    assert list(found.predictions.columns[:5]) == ["row", "repeat", "fold", "truth", "predicted"]
    for fold, row in zip(
        make_folds(240, folds=3, repeats=2, strata=y, seed=4), found.folds.itertuples(), strict=True
    ):
        model = linear().fit(X[fold.train], y[fold.train])
        p, predicted = model.predict_proba(X[fold.test]), model.predict(X[fold.test])
        truth = y[fold.test]
        assert row.n_train == len(fold.train)
        assert row.accuracy == metrics.accuracy_score(truth, predicted)
        assert row.kappa == pytest.approx(metrics.cohen_kappa_score(truth, predicted))
        assert row.log_loss == pytest.approx(metrics.log_loss(truth, p, labels=model.classes_))
        kept = found.predictions.query(f"repeat == {fold.repeat} and fold == {fold.fold}")
        assert kept["row"].tolist() == fold.test.tolist()
        assert kept["truth"].tolist() == truth.tolist()
        assert kept["predicted"].tolist() == predicted.tolist()
        np.testing.assert_allclose(kept.filter(like="prob_"), p)


def test_a_network_has_the_numbers_of_a_loop(digits):
    found = cross_validate(network(), digits[["image"]], digits["label"], folds=3, seed=2)
    folds = make_folds(240, folds=3, strata=digits["label"], seed=2)
    for fold, row in zip(folds, found.folds.itertuples(), strict=True):
        model = network(seed=row.seed).fit(
            digits[["image"]].iloc[fold.train], digits["label"].iloc[fold.train]
        )
        table = model.evaluate(digits[["image"]].iloc[fold.test], digits["label"].iloc[fold.test])
        whole = table[table["class"].isna()].set_index("metric")["estimate"]
        assert set(whole.index) == set(found.metrics)
        for metric in ("accuracy", "log_loss", "macro_f1", "roc_auc"):
            assert getattr(row, metric) == pytest.approx(whole[metric], rel=1e-12), metric
    assert found.folds["seed"].nunique() == 3
    assert found.predictions["truth"].cat.categories.tolist() == list(
        digits["label"].cat.categories
    )


def test_weights_reach_the_fit(digits):
    X, y = pixels(digits), np.asarray(digits["label"])
    weights = np.random.default_rng(1).uniform(0, 3, 240)
    found = cross_validate(LogisticRegression(C=0.01), X, y, folds=2, sample_weight=weights)
    fold = make_folds(240, folds=2, strata=y)[0]
    model = LogisticRegression(C=0.01).fit(X[fold.train], y[fold.train], weights[fold.train])
    assert found.folds["accuracy"][0] == model.score(X[fold.test], y[fold.test])
    with pytest.raises(InputError, match="sample_weight must be 240"):
        cross_validate(linear(), X, y, sample_weight=weights[1:])


def test_groups_and_order_are_kept(digits):
    X, groups = pixels(digits), np.arange(240) // 4
    levels = ["small", "large", "huge"]
    y = pd.Categorical(
        np.array(levels)[np.asarray(digits["label"]).astype(int) // 4], levels, ordered=True
    )
    found = cross_validate(linear(), X, y, groups=groups, folds=3, metrics=["accuracy"])
    assert found.metrics == ["accuracy"]
    assert found.predictions["predicted"].cat.ordered
    assert found.predictions["truth"].cat.categories.tolist() == levels
    owner = found.predictions.assign(group=groups[found.predictions["row"]])
    assert owner.groupby("group")["fold"].nunique().eq(1).all()


def test_a_classifier_without_probabilities_is_judged_by_its_classes(digits):
    found = cross_validate(LinearSVC(), pixels(digits), np.asarray(digits["label"]), folds=2)
    assert "log_loss" not in found.metrics
    assert not [c for c in found.predictions if c.startswith("prob_")]
    assert found.folds["accuracy"].min() > 0.8


def test_a_class_that_a_fold_does_not_train_on_has_no_probability():
    X = np.random.default_rng(1).normal(size=(12, 2))
    y = np.array(["a"] * 5 + ["b"] * 6 + ["c"])
    found = cross_validate(LogisticRegression(), X, y, folds=3, stratify=False)
    missed = found.predictions.query("truth == 'c'")
    assert missed["prob_c"].item() == 0
    assert missed["predicted"].item() != "c"
    assert found.folds["n_test"].sum() == 12


# ---- seeds


def test_a_models_own_seed_stays_and_others_differ_by_fold():
    assert for_fold(ImageClassifier(seed=5), 9)[1] == 5
    model, seed = for_fold(make_pipeline(StandardScaler(), LogisticRegression()), 9)
    assert (model.get_params()["logisticregression__random_state"], seed) == (9, 9)
    copy, _ = for_fold(ImageClassifier(checkpoint="here", checkpoint_every=2, resume=True), 9)
    assert (copy.checkpoint, copy.checkpoint_every, copy.resume, copy.verbose) == (None,) * 3 + (
        False,
    )


def test_a_seed_repeats_the_numbers(digits):
    def run(seed):
        found = cross_validate(
            network(), digits, digits["label"], folds=2, seed=seed, metrics="accuracy"
        )
        return found.predictions, found.seed

    pd.testing.assert_frame_equal(run(3)[0], run(3)[0])
    assert not run(3)[0].equals(run(4)[0])
    assert run(None)[1] != run(None)[1]


# ---- what goes wrong


class Fussy(ClassifierMixin, BaseEstimator):
    """Fails on training data with a certain row, or is interrupted at it."""

    def __init__(self, at=0, error="value"):
        self.at = at
        self.error = error

    def fit(self, X, y):
        if self.at in X[:, 0]:
            if self.error == "interrupt":
                raise KeyboardInterrupt
            if self.error == "exit":
                os._exit(3)
            raise ValueError(f"{self.at} is here")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


X_FUSSY = np.arange(12.0).reshape(-1, 1)
Y_FUSSY = np.array([0, 1] * 6)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fold_that_fails_is_named_and_the_others_are_there(jobs):
    # Row 0 is tested once in three folds: two fail.
    with pytest.warns(UserWarning, match=r"2 of 3 fits failed; fold . of repeat 1.*0.0 is here"):
        found = cross_validate(Fussy(0.0), X_FUSSY, Y_FUSSY, folds=3, jobs=jobs)
    assert len(found.failures) == 2
    assert found.failures["error"].str.contains("ValueError: 0.0 is here").all()
    assert found.folds["accuracy"].notna().sum() == 1
    assert found.folds["n_train"].tolist() == [8, 8, 8]
    assert found.summary()["n"].unique().tolist() == [1]
    assert len(found.predictions) == 4


def test_where_all_folds_fail_the_reason_is_told(digits):
    with pytest.raises(DiglotError, match="no fit succeeded; fold 1 of repeat 1.*100.0 is here"):
        cross_validate(Fussy(100.0), np.full((12, 1), 100.0), Y_FUSSY, folds=2)
    with pytest.raises(InputError, match="epochs must be a whole number"):
        cross_validate(ImageClassifier(epochs=0), digits, digits["label"], folds=2)


def test_an_interrupt_leaves_the_folds_that_are_done():
    # The last fold's training rows are the first that hold the row.
    last = make_folds(12, folds=3, strata=Y_FUSSY)[0].test[0]
    with pytest.raises(KeyboardInterrupt):
        cross_validate(Fussy(99.0, "interrupt"), np.full((12, 1), 99.0), Y_FUSSY, folds=3)
    with pytest.warns(InterruptedFitWarning, match="1 of 3 fits"):
        found = cross_validate(Fussy(float(last), "interrupt"), X_FUSSY, Y_FUSSY, folds=3)
    assert found.folds["fold"].tolist() == [1]
    assert len(found.predictions) == 4


def test_a_process_that_dies_costs_no_other_folds_result():
    row = float(make_folds(12, folds=3, strata=Y_FUSSY)[0].test[0])
    with pytest.warns(UserWarning, match="2 of 3 fits failed; fold 2 .*its process ended"):
        found = cross_validate(Fussy(row, "exit"), X_FUSSY, Y_FUSSY, folds=3, jobs=2)
    assert found.folds["accuracy"].notna().tolist() == [True, False, False]


def test_what_no_process_can_be_sent_is_told(digits):
    class Local(Fussy):
        def __reduce__(self):
            raise TypeError("cannot pickle a lock")

    with pytest.raises(InputError, match="cannot be sent.*jobs=1"):
        cross_validate(Local(-1.0), X_FUSSY, Y_FUSSY, folds=2, jobs=2)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("'acuracy'.*accuracy", {"metrics": ["acuracy"]}),
        ("jobs must be", {"jobs": 0}),
        ("240 images and 239 outcomes", {"y": [0, 1, 2] * 79 + [0, 1]}),
        ("y is None", {"y": None}),
        ("row 3 is missing", {"y": [0, 1, None] * 80}),
        ("no classifier of single labels", {"model": StandardScaler()}),
    ],
)
def test_arguments_are_refused_before_any_fit(digits, words, arguments):
    given = {"model": linear(), "X": pixels(digits), "y": np.asarray(digits["label"]), **arguments}
    with pytest.raises(InputError, match=words):
        cross_validate(given.pop("model"), given.pop("X"), given.pop("y"), **given)


def test_warnings_of_fits_are_given_once(digits):
    X, y = pixels(digits), np.asarray(digits["label"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cross_validate(LogisticRegression(max_iter=2), X, y, folds=3)
    assert sum("failed to converge" in str(w.message) for w in caught) == 1


# ---- processes


def in_processes(code, threads=1, **environment):
    """Run a script, in which there is no guard of __main__, in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), **environment},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_side_by_side_gives_the_bytes_of_one_after_the_other():
    same, one, two, left = in_processes("""
        import os, diglot, pandas as pd
        digits = diglot.example_images("digits")[:200]
        model = diglot.ImageClassifier("mlp", epochs=1)
        found = [
            diglot.cross_validate(model, digits, digits["label"], folds=2, jobs=jobs)
            for jobs in (1, 2)
        ]
        print(found[0].predictions.equals(found[1].predictions), *(f.threads for f in found))
        print(os.environ["OMP_NUM_THREADS"])
    """)
    assert (same, one, two, left) == ("True", "1", "1", "1")


def test_images_on_disk_stay_there(tmp_path, digits):
    for i, image in enumerate(digits["image"][:60]):
        Image.fromarray((np.asarray(image) * 15).astype(np.uint8)).save(tmp_path / f"{i}.png")
    X = [str(tmp_path / f"{i}.png") for i in range(60)]
    y = np.asarray(digits["label"][:60].astype(int) < 5)
    assert packed(X) is X
    one, two = (cross_validate(network(), X, y, folds=2, jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


def test_images_in_memory_cross_as_one_array(digits):
    frame = pd.DataFrame({"age": range(240), "image": list(digits["image"])}, index=range(5, 245))
    rows = np.array([7, 3])
    for given in (frame, list(digits["image"])):
        some = take(packed(given), rows)
        expected = take(given, rows)
        assert type(some) is type(expected)
        images = some["image"] if given is frame else some
        for mine, theirs in zip(images, digits["image"][rows], strict=True):
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype
        if given is frame:
            pd.testing.assert_frame_equal(some[["age"]], expected[["age"]])
            assert list(some.columns) == list(frame.columns)
    labels = digits["label"]
    assert packed(labels) is labels


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr("diglot.resampling.processes.physical_cores", lambda: 8)
    monkeypatch.setattr("diglot.resampling.processes.threads", lambda: 6)
    assert [threads_of(jobs) for jobs in (1, 2, 3, 8, 20)] == [6, 4, 2, 1, 1]


def test_new_processes_find_diglot_and_leave_rs_libraries(monkeypatch):
    monkeypatch.setenv("R_HOME", "/usr/lib/R")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib/R/lib:/usr/lib/jvm/java/lib/server:/opt/cuda")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    before = dict(os.environ)
    with _environment(3):
        assert os.environ["LD_LIBRARY_PATH"] == "/opt/cuda"
        assert os.environ["OMP_NUM_THREADS"] == "3"
        first, last = os.environ["PYTHONPATH"].split(os.pathsep)
        assert (Path(first) / "diglot").is_dir()
        assert last == "/elsewhere"
    assert dict(os.environ) == before


def test_another_program_that_embeds_python_is_not_taken_for_it():
    (accuracy,) = in_processes("""
        import sys
        sys.executable = "/usr/bin/R"  # as where R embeds Python
        import diglot, numpy as np
        from sklearn.linear_model import LogisticRegression
        X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 10
        found = diglot.cross_validate(LogisticRegression(), X, y, folds=2, jobs=2)
        print(found.folds["accuracy"].mean())
    """)
    assert float(accuracy) > 0.8


def test_no_thread_outlives_its_processes(monkeypatch):
    # One that did could be about to give back a semaphore as Python ended: joblib told of a leak.
    def feed_late(*args):
        feed(*args)
        time.sleep(0.3)

    feed = Queue._feed
    monkeypatch.setattr(Queue, "_feed", staticmethod(feed_late))
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 10
    before = threading.active_count()
    cross_validate(LogisticRegression(), X, y, folds=2, jobs=2)
    assert threading.active_count() <= before


# ---- learning curves


def test_a_learning_curve_has_the_numbers_of_a_loop(digits):
    X, y = pixels(digits), np.asarray(digits["label"])
    curve = learning_curve(linear(), X, y, sizes=[20, 0.5, 1.0], folds=3, metrics=["accuracy"])
    assert list(curve.table.columns) == [
        "n_train", "repeat", "fold", "metric", "training", "estimate",
    ]  # fmt: skip
    assert curve.table["n_train"].unique().tolist() == [20, 80, 160]
    assert len(curve.table) == 3 * 3 * 2
    codes = np.unique(y, return_inverse=True)[1]
    for fold in make_folds(240, folds=3, strata=y):
        order = growing(fold, codes, 0)
        for size in (20, 80, 160):
            rows = np.sort(order[:size])
            model = linear().fit(X[rows], y[rows])
            for training, where in ((False, fold.test), (True, rows)):
                mine = curve.table.query(
                    f"fold == {fold.fold} and n_train == {size} and training == {training}"
                )
                assert mine["estimate"].item() == model.score(X[where], y[where])
    summary = curve.summary()
    assert list(summary.columns) == ["n_train", "metric", "estimate", "lower", "upper", "n"]
    full = cross_validate(linear(), X, y, folds=3, metrics=["accuracy"]).summary()
    last = summary.iloc[-1]
    assert [last["estimate"], last["lower"], last["upper"]] == pytest.approx(
        full[["estimate", "lower", "upper"]].iloc[0].tolist()
    )
    training = curve.summary(training=True)
    assert (training["estimate"].to_numpy() > summary["estimate"].to_numpy()).all()


def test_training_sets_grow_and_keep_the_classes_shares():
    y = np.random.default_rng(2).choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
    fold = make_folds(300, folds=3, strata=y)[0]
    order = growing(fold, y, 1)
    assert sorted(order) == fold.train.tolist()
    shares = np.bincount(y[fold.train]) / len(fold.train)
    for size in range(4, len(order) + 1):
        counts = np.bincount(y[order[:size]], minlength=4)
        assert counts.min() >= 1
        assert np.abs(counts - size * shares).max() <= 3
    assert order.tolist() != growing(fold, y, 2).tolist()


def test_sizes_are_counts_or_shares():
    fold = make_folds(10, folds=5)
    assert training_sizes([1, 2.0, 0.5, 1.0], fold, 1) == [1, 2, 4, 8]
    for sizes, words in (
        ([9], "9 training images"),
        ([1], "there can be 2"),
        ([1.5], "sizes must be a whole number"),
        ([0], "sizes must be a whole number"),
        ([], "sizes is empty"),
    ):
        with pytest.raises(InputError, match=words):
            training_sizes(sizes, fold, 2)


def test_learning_curves_side_by_side_are_the_same(digits):
    X, y = pixels(digits), np.asarray(digits["label"])
    one, two = (
        learning_curve(linear(), X, y, sizes=[0.5, 1.0], folds=2, jobs=jobs) for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.table, two.table)


def test_ctrl_c_ends_all_processes_and_keeps_what_is_done():
    script = """
        import time, warnings, numpy as np, diglot
        from sklearn.linear_model import LogisticRegression

        class Slow(LogisticRegression):
            def fit(self, X, y):
                if 0 not in X[:, 0]:
                    time.sleep(600)  # one of four folds
                return super().fit(X, y)

        def heard(event):
            if event.get("done") == 1:
                print("one", flush=True)

        X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = diglot.cross_validate(Slow(), X, y, folds=4, jobs=2, verbose=heard)
        print(len(found.folds), *{warning.category.__name__ for warning in caught})
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == "one\n"
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells all processes
    rest, _ = process.communicate(timeout=60)
    assert rest in [f"{done} InterruptedFitWarning\n" for done in (1, 2, 3)]
    assert process.returncode == 0


@pytest.mark.parametrize("module", ["parallel", "externals.loky.process_executor"])
def test_joblib_is_silent_on_tasks_that_ended_early(monkeypatch, module):
    """It warns, from a thread of its own too, of processes that ended and answers not taken."""

    def said(module):
        warnings.warn_explicit("1 tasks have been executed", UserWarning, "a.py", 1, module)

    def ended(job, tasks, jobs):
        said(f"joblib.{module}")
        said("mine")
        yield 0, "done"

    monkeypatch.setattr(processes, "_side_by_side", ended)
    job = Job(None, np.zeros((2, 1)), None, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(processes.run_tasks(job, ["a task"], 2)) == [(0, "done")]
        assert len(caught) == 1
        said(f"joblib.{module}")
    assert len(caught) == 2  # the filter went with the tasks


# ---- other outcomes


def test_numbers_and_tags_are_judged_by_their_own_tables(digits):
    numbers = digits["label"].astype(float).to_numpy()
    model = diglot.ImageRegressor("mlp", epochs=1)
    found = cross_validate(model, digits, numbers, folds=3)
    rows = found.predictions.query("fold == 2")
    error = rows["truth"] - rows["predicted"]
    assert found.folds["rmse"][1] == pytest.approx(np.sqrt((error**2).mean()))
    assert found.folds["mae"][1] == pytest.approx(error.abs().mean())
    folds = make_folds(240, folds=3, strata=strata(numbers, classes=False))
    assert rows["row"].tolist() == folds[1].test.tolist()

    tags = pd.DataFrame({"even": numbers % 2 == 0, "large": numbers > 5}).astype(int)
    found = cross_validate(diglot.ImageTagger("mlp", epochs=1), digits, tags, folds=3)
    rows = found.predictions.query("fold == 2")
    wrong = rows[["predicted_even", "predicted_large"]].to_numpy() != tags.iloc[rows["row"]]
    assert found.folds["hamming_loss"][1] == pytest.approx(wrong.to_numpy().mean())
    lists = [[name for name in tags if row[name]] for _, row in tags.iterrows()]
    again = cross_validate(diglot.ImageTagger("mlp", epochs=1), digits, lists, folds=3)
    assert sorted(again.predictions.columns) == sorted(found.predictions.columns)


def test_covariates_go_along(digits):
    data = digits.assign(half=np.repeat(["a", "b"], 120), odd=digits["label"].astype(int) % 2)
    model = network(covariates=["half", "odd"])
    one, two = (
        cross_validate(model, data, data["label"], folds=2, metrics="accuracy", jobs=jobs)
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.predictions, two.predictions)
    plain = cross_validate(network(), data, data["label"], folds=2, metrics="accuracy")
    assert not plain.predictions.equals(one.predictions)
