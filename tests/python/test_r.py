"""``diglot.r``: data both ways, fits, R functions in Python fits, both languages in a process."""

from __future__ import annotations

import datetime
import os
import struct
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot.errors import DiglotError, ImageError, InputError, RError

pytestmark = pytest.mark.needs_r


@pytest.fixture(scope="module")
def r():
    diglot.r.start()
    return diglot.r


def same_in_r(value, code):
    """Whether R finds a value that came from Python identical to its own."""
    return bool(diglot.r.call("identical", value, diglot.r.evaluate(code))[0])


# ---- to R


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "NULL"),
        (True, "TRUE"),
        (-3, "-3L"),
        (2**31 - 1, ".Machine$integer.max"),
        (2**31, "2^31"),
        (-(2**31), "-2^31"),  # as an integer it would be NA
        (2**53, "2^53"),
        (2.5, "2.5"),
        ("Z\u00fcrich", "'Z\\u00fcrich'"),
        (b"\x00\xff", "as.raw(c(0, 255))"),
        (b"", "raw()"),
        (1 - 2j, "1-2i"),
        (np.float32(0.5), "0.5"),
        (np.array([True, False]), "c(TRUE, FALSE)"),
        (np.array([200, 7], np.uint8), "c(200L, 7L)"),
        (np.array([2**40, 1]), "c(2^40, 1)"),
        (np.array([], np.int64), "integer()"),
        (np.array(["a", None, "c"], object), "c('a', NA, 'c')"),
        (np.array([True, None], object), "c(TRUE, NA)"),
        (np.array([1, None], object), "c(1L, NA)"),
        (np.array([1.5, None], object), "c(1.5, NA)"),
        (pd.array([1, None, 3], "Int64"), "c(1L, NA, 3L)"),
        (pd.array([2**40, None], "Int64"), "c(2^40, NA)"),
        (pd.array([True, None], "boolean"), "c(TRUE, NA)"),
        (pd.array([0.5, None], "Float64"), "c(0.5, NA)"),
        (pd.array(["a", None], "string"), "c('a', NA)"),
        (pd.Series(["a", None]), "c('a', NA)"),
        (pd.NA, "NA"),
        ([1, "a", None], "list(1L, 'a', NULL)"),
        ({"b": 1, "a": [2.0]}, "list(b = 1L, a = list(2))"),
        ({}, "setNames(list(), character())"),
        (datetime.date(2024, 2, 29), "as.Date('2024-02-29')"),
        (np.array(["2024-02-29", "NaT"], "M8[D]"), "as.Date(c('2024-02-29', NA))"),
    ],
    ids=repr,
)
def test_a_value_is_r_s_own(r, value, code):
    assert same_in_r(value, code)


def test_times_keep_moment_and_zone(r):
    moment = pd.Timestamp("2024-07-01 12:30:15.25", tz="Europe/Zurich")
    assert same_in_r(
        pd.Series([moment, None]),
        "as.POSIXct(c('2024-07-01 12:30:15.25', NA), tz = 'Europe/Zurich')",
    )
    back = r.to_python(r.to_r(pd.Series([moment, None])))
    assert back[0] == moment and str(back.tz) == "Europe/Zurich" and back[1] is pd.NaT
    assert same_in_r(
        pd.Series(pd.to_timedelta([90, None], "min")), "as.difftime(c(5400, NA), units = 'secs')"
    )
    assert r.to_python(r.evaluate("as.difftime(c(1.5, NA), units = 'hours')"))[0] == pd.Timedelta(
        "90min"
    )


def test_a_factor_keeps_its_levels_and_their_order(r):
    given = pd.Categorical(["low", None, "high"], ["low", "mid", "high"], ordered=True)
    assert same_in_r(given, "factor(c('low', NA, 'high'), c('low', 'mid', 'high'), ordered = TRUE)")
    back = r.to_python(r.to_r(given))
    pd.testing.assert_extension_array_equal(back, given)
    assert same_in_r(pd.Categorical([10, 9, 10], [10, 9]), "factor(c('10', '9', '10'), c(10, 9))")
    assert same_in_r(pd.Categorical([True, False]), "factor(c(TRUE, FALSE))")


def test_a_level_that_is_missing_is_no_category(r):
    back = r.to_python(r.evaluate("addNA(factor(c('b', NA, 'a'), c('b', 'a')))"))
    assert back.categories.tolist() == ["b", "a"]
    assert back.codes.tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**53 + 1, "9007199254740993"),
        (np.array([1, 2**60]), "1152921504606846976"),
        (2**70, "beyond"),
        ("a\0b", "zero byte"),
        ({1: 2}, "text as its keys"),
        (object(), "object"),
        ({1, 2}, "set"),
        (pd.DataFrame({"when": pd.period_range("2020", periods=2, freq="Y")}), "'when'"),
    ],
    ids=repr,
)
def test_what_r_cannot_hold_is_refused(r, value, words):
    with pytest.raises(InputError, match=words):
        r.to_r(value)


# ---- to Python


@pytest.mark.parametrize(
    ("code", "expected", "dtype"),
    [
        ("c(TRUE, FALSE)", [True, False], "bool"),
        ("c(TRUE, NA)", [True, None], "boolean"),
        ("1:3", [1, 2, 3], "int32"),
        ("c(1L, NA)", [1, None], "Int32"),
        ("integer()", [], "int32"),
        ("c('\\u00e9', NA)", ["\u00e9", None], "object"),
        ("as.raw(c(1, 255))", [1, 255], "uint8"),
        ("c(1+2i, 0i)", [1 + 2j, 0j], "complex128"),
        ("as.Date(c('1969-12-31', NA))", [datetime.date(1969, 12, 31), None], "datetime64[D]"),
    ],
)
def test_a_vector_is_python_s_own(r, code, expected, dtype):
    value = r.to_python(r.evaluate(code))
    assert str(value.dtype) == dtype
    assert [None if each is pd.NA else each for each in value.tolist()] == expected


def test_na_of_doubles_comes_back_as_na_and_nan_as_nan(r):
    view = r.to_python(r.evaluate("c(1, NA, NaN)"))
    assert np.isnan(view).tolist() == [False, True, True]
    assert same_in_r(view, "c(1, NA, NaN)")
    assert same_in_r(np.array(view), "c(1, NA, NaN)")  # identical() tells NA from NaN
    assert not same_in_r(view, "c(1, NaN, NaN)")


def test_lists_null_and_functions(r):
    value = r.to_python(r.evaluate("list(a = 1:2, b = NULL, c = list('x'))"))
    assert value["a"].tolist() == [1, 2] and value["b"] is None
    assert value["c"][0].tolist() == ["x"]
    assert r.to_python(r.evaluate("sum"))(2, 3)[0] == 5
    with pytest.raises(InputError, match="make.unique"):
        r.to_python(r.evaluate("list(a = 1, a = 2)"))


def test_integers_of_64_bits_are_read(r):
    if not r.evaluate("requireNamespace('bit64', quietly = TRUE)")[0]:
        pytest.skip("R's package bit64 is not installed")
    value = r.to_python(r.evaluate("bit64::as.integer64(c('9007199254740993', NA))"))
    assert value[0] == 2**53 + 1 and value[1] is pd.NA


# ---- arrays


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int32", "int64", "float32", "float64", "bool"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_keeps_every_pixel_in_its_place(r, dtype, order):
    images = np.array(np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4) % 97, dtype, order=order)
    there = r.to_r(images)
    assert list(r.call("dim", there)) == [2, 3, 5, 4]
    pick = r.evaluate("function(x, i, j, k, l) as.double(x[i, j, k, l])")
    for place in [(0, 0, 0, 0), (1, 2, 4, 3), (1, 0, 3, 2), (0, 2, 1, 0)]:
        assert pick(there, *(i + 1 for i in place))[0] == images[place]
    back = r.to_python(there)
    assert back.shape == images.shape and (back == images).all()


def test_slices_and_broadcasts_cross_whole(r):
    images = np.arange(60.0).reshape(3, 4, 5)[::-1, 1:, ::2]
    assert (r.to_python(r.to_r(images)) == images).all()
    assert (r.to_python(r.to_r(np.broadcast_to(np.arange(3), (2, 3)))) == [[0, 1, 2]] * 2).all()
    assert r.to_python(r.to_r(np.zeros((0, 4, 5)))).shape == (0, 4, 5)


def test_numbers_of_r_are_not_copied(r):
    given = r.evaluate("array(as.double(1:120), c(2, 3, 5, 4))")
    one, two = r.to_python(given), r.to_python(given)
    assert np.shares_memory(one, two)
    assert one.flags.f_contiguous and not one.flags.writeable
    assert one[1, 2, 4, 3] == 120 and one[1, 0, 0, 0] == 2
    with pytest.raises(ValueError, match="read-only"):
        one[0] = 1


def test_a_view_keeps_r_s_memory_alive(r):
    views = [r.to_python(r.evaluate(f"rep({i}, 1e5) + 0")) for i in range(20)]
    r.evaluate("for (i in 1:5) { x <- lapply(1:50, function(i) runif(1e5)); gc() }")
    assert all((view == i).all() for i, view in enumerate(views))


def test_arrays_with_missing_numbers_become_floats(r):
    back = r.to_python(r.evaluate("matrix(c(1L, NA, 3:6), 2)"))
    np.testing.assert_array_equal(back, [[1, 3, 5], [np.nan, 4, 6]])
    texts = r.to_python(r.evaluate("matrix(c('a', NA, 'c', 'd'), 2)"))
    assert texts.tolist() == [["a", "c"], [None, "d"]]
    assert same_in_r(texts, "matrix(c('a', NA, 'c', 'd'), 2)")


# ---- data frames


def mixed_frame():
    return pd.DataFrame(
        {
            "flag": pd.array([True, None, False], "boolean"),
            "count": pd.array([1, None, 3], "Int32"),
            "size": [0.5, np.nan, 2.0],
            "name": pd.array(["a", None, "\u00e9"], "string"),
            "grade": pd.Categorical(
                ["mild", None, "none"], ["none", "mild", "worst"], ordered=True
            ),
            "image": [np.arange(6, dtype=np.int32).reshape(2, 3), np.eye(2), None],
            "words": [["b", "a"], ["c"], ["d", "e", "f"]],
        }
    )


def test_a_data_frame_becomes_r_s_tibble(r):
    there = r.to_r(mixed_frame())
    assert same_in_r(
        there,
        """tibble::tibble(
          flag = c(TRUE, NA, FALSE), count = c(1L, NA, 3L), size = c(0.5, NaN, 2),
          name = c('a', NA, '\\u00e9'),
          grade = factor(c('mild', NA, 'none'), c('none', 'mild', 'worst'), ordered = TRUE),
          image = list(matrix(c(0L, 3L, 1L, 4L, 2L, 5L), 2), diag(2), NULL),
          words = list(c('b', 'a'), 'c', c('d', 'e', 'f'))
        )""",
    )


def test_a_data_frame_comes_back(r):
    given = mixed_frame()
    back = r.to_python(r.to_r(given))
    plain = ["flag", "count", "size", "name", "grade"]
    pd.testing.assert_frame_equal(back[plain], given[plain])
    assert back.image[0].tolist() == [[0, 1, 2], [3, 4, 5]] and back.image[2] is None
    assert back.words[2].tolist() == ["d", "e", "f"]


def test_rows_and_columns_of_any_kind(r):
    cars = r.to_python(r.evaluate("mtcars[2:3, 1:2]"))
    assert cars.index.tolist() == ["Mazda RX4 Wag", "Datsun 710"]
    assert same_in_r(cars, "mtcars[2:3, 1:2]")
    iris = r.to_python(r.evaluate("iris[c(150, 1), ]"))
    assert iris.Species.tolist() == ["virginica", "setosa"]
    assert iris.Species.cat.categories.tolist() == ["setosa", "versicolor", "virginica"]
    assert iris.index.tolist() == [0, 1]
    picked = pd.DataFrame({"x": [1, 2, 3]})[lambda d: d.x > 1]
    assert same_in_r(picked, "tibble::tibble(x = 2:3)")
    empty = r.to_python(r.to_r(mixed_frame().iloc[:0]))
    assert len(empty) == 0 and list(empty.columns) == list(mixed_frame().columns)
    assert r.to_python(r.evaluate("data.frame()")).shape == (0, 0)
    twice = pd.DataFrame([[1, 2.5]], columns=["x", "x"])
    assert r.to_python(r.to_r(twice)).columns.tolist() == ["x", "x"]
    stack = r.to_python(r.evaluate("tibble::tibble(image = array(1:24, c(2, 3, 4)))"))
    assert stack.image[1].tolist() == np.arange(1, 25).reshape(4, 3, 2).T[1].tolist()


# ---- fitted models


@pytest.fixture(scope="module")
def digits():
    return diglot.example_images("digits")[:200]


def train(data, **settings):
    y = pd.Categorical(data["label"].astype(str), [str(i) for i in (3, 1, 2, 0, 4, 5, 6, 7, 8, 9)])
    settings = {"network": "mlp", "epochs": 3, "seed": 1, **settings}
    return diglot.ImageClassifier(**settings).fit(data[["image"]], y)


@pytest.fixture(scope="module")
def model(digits):
    return train(digits)


def test_r_predicts_from_a_python_fit(r, model, digits):
    fit = r.fit(model)
    test = digits[:20]
    prob = r.to_python(r.call("stats::predict", fit, test, type="prob"))
    assert prob.columns.tolist() == [f".pred_{c}" for c in model.classes_]
    np.testing.assert_allclose(prob, model.predict_proba(test[["image"]]), atol=1e-12)
    labels = r.to_python(r.call("stats::predict", fit, test))[".pred_class"]
    assert labels.cat.categories.tolist() == list(model.classes_)  # not sorted
    assert labels.tolist() == model.predict(test[["image"]]).tolist()


def test_a_fit_survives_rds_and_comes_back(r, model, digits, tmp_path):
    fit = r.fit(model)
    again = r.evaluate("function(fit, file) { saveRDS(fit, file); readRDS(file) }")(
        fit, str(tmp_path / "fit.rds")
    )
    back = r.model(again)
    assert back.fingerprint() == model.fingerprint()
    assert back.get_params()["epochs"] == 3
    pd.testing.assert_frame_equal(back.history_, model.history_)
    assert r.call("diglot::fingerprint", again)[0] == model.fingerprint()
    assert r.fit(fit) is fit


def test_a_fit_of_r_comes_to_python(r, digits):
    code = """function(data) diglot::image_classifier(
      label ~ image, data, network = "mlp", epochs = 3, seed = 1, verbose = FALSE
    )"""
    fit = r.call(r.evaluate(code), digits)
    python = diglot.ImageClassifier("mlp", epochs=3, seed=1)
    python.fit(digits[["image"]], digits["label"])
    assert r.model(fit).fingerprint() == python.fingerprint()
    with pytest.raises(InputError, match="image_classifier"):
        r.model(r.evaluate("list(1)"))
    with pytest.raises(InputError, match="fitted model"):
        r.fit("a text")


def test_a_fit_keeps_its_engine_both_ways(r, model):
    pytest.importorskip("torch")
    fit = r.fit(diglot.loads(model.to_bytes(), "torch"))
    assert r.model(fit).engine == "torch"
    assert r.model(r.fit(model)).engine == "auto"


def test_a_captioner_crosses_too(r):
    data = diglot.shapes(40, seed=1, size=32)
    given = diglot.ImageCaptioner(hidden=32, embedding=16, epochs=1, batch_size=16, seed=1)
    given.fit(data["image"], data["captions"])
    fit = r.fit(given)
    assert list(fit.rclass) == ["diglot_captioner", "diglot_model"]
    texts = r.to_python(r.call("stats::predict", fit, data[:3]))[".pred_caption"]
    assert texts.tolist() == given.predict(data["image"][:3]).tolist()
    assert r.model(fit).fingerprint() == given.fingerprint()


def test_frame_summary_and_plot(r, model, tmp_path):
    history = r.to_python(r.frame(model))
    np.testing.assert_array_equal(history["loss"], model.history_["loss"])
    assert set(r.frame(model).rclass) >= {"tbl_df"}
    assert r.frame(pd.DataFrame({"x": [1, 2]})).nrow == 2
    text = str(r.summary(model))
    assert "mlp" in text and model.fingerprint()[:16] in text
    file = tmp_path / "history.png"
    drawn = r.plot(model, path=file, width=4, height=3, dpi=100)
    assert "ggplot" in set(drawn.rclass)
    head = file.read_bytes()[:24]
    assert head[:4] == b"\x89PNG" and struct.unpack(">II", head[16:]) == (400, 300)
    wider = r.call("+", drawn, r.call("ggplot2::ggtitle", "planted"))
    assert "ggplot" in set(wider.rclass)


# ---- R functions in a Python fit


def test_a_metric_of_r_agrees_with_scikit_learn(r, model, digits):
    from sklearn.metrics import cohen_kappa_score, log_loss, make_scorer

    truth = digits["label"].astype(str)
    probabilities = model.predict_proba(digits[["image"]])
    loss = r.metric(
        "function(truth, p) -mean(log(p[cbind(seq_along(truth), match(truth, colnames(p)))]))",
        classes=model.classes_,
    )
    order = np.argsort(model.classes_)
    known = log_loss(truth, probabilities[:, order])
    assert loss(truth, probabilities) == pytest.approx(known, rel=1e-12)
    kappa = r.metric("""function(truth, predicted) {
      stopifnot(identical(levels(truth), levels(predicted)))
      shares <- prop.table(table(truth, predicted))
      chance <- sum(rowSums(shares) * colSums(shares))
      (sum(diag(shares)) - chance) / (1 - chance)
    }""")
    predicted = model.predict(digits[["image"]])
    assert kappa(truth, predicted) == pytest.approx(cohen_kappa_score(truth, predicted), rel=1e-12)
    scored = make_scorer(kappa)(model, digits[["image"]], truth)
    assert scored == kappa(truth, predicted)
    with pytest.raises(InputError, match="one number"):
        r.metric("function(truth, predicted) 1:2")(["a"], ["a"])
    with pytest.raises(InputError, match="R function"):
        r.metric("3")


def test_a_callback_of_r_sees_rows_and_stops(r, digits):
    r.evaluate("seen <- NULL")
    watch = r.callback("function(row) { seen <<- rbind(seen, row); row$epoch < 2 }")
    fitted = train(digits, epochs=5, callbacks=watch)
    assert fitted.stopped_ == "callback" and len(fitted.history_) == 2
    seen = r.to_python(r.evaluate("seen"))
    assert seen["epoch"].tolist() == [1, 2] and seen["epoch"].dtype == "int32"
    np.testing.assert_array_equal(seen["loss"], fitted.history_["loss"])
    silent = train(digits, epochs=2, callbacks=r.callback("function(row) NULL"))
    assert silent.stopped_ == "completed"
    with pytest.raises(RError, match="planted"):
        train(digits, callbacks=r.callback("function(row) stop('planted')"))


def test_an_augmentation_of_r_does_what_python_s_does(r, digits):
    there = r.augmentation("function(image) image[, rev(seq_len(ncol(image))), , drop = FALSE]^2")
    here = train(digits, augment=lambda image, random: (image[:, ::-1].astype(float)) ** 2)
    assert train(digits, augment=there).fingerprint() == here.fingerprint()


def test_an_augmentation_of_r_draws_by_the_seed_alone(r, digits):
    change = r.augmentation("function(image) image * runif(1) + rnorm(length(image)) / 50")
    r.evaluate("set.seed(5)")
    expected = r.evaluate("runif(2)")[:]
    r.evaluate("set.seed(5); first <- runif(1)")
    one = train(digits, augment=change).fingerprint()
    assert [*r.evaluate("first"), *r.evaluate("runif(1)")] == list(expected)
    r.evaluate("RNGkind('Wichmann-Hill'); set.seed(99)")
    try:
        assert train(digits, augment=change, threads=3).fingerprint() == one
        assert r.evaluate("RNGkind()[1]")[0] == "Wichmann-Hill"
    finally:
        r.evaluate("RNGkind('default')")
    assert train(digits, augment=change, seed=2).fingerprint() != one


def test_a_bad_augmentation_is_named(r, digits):
    cut = r.augmentation("function(image) image[1:3, , , drop = FALSE]", name="cut")
    with pytest.raises(InputError, match=r"cut must return an image of the shape \(8, 8, 1\)"):
        train(digits, augment=cut)
    lost = r.augmentation("function(image) { image[1] <- NA; image }", name="lost")
    with pytest.raises(InputError, match="lost returned pixels that are not finite"):
        train(digits, augment=lost)
    with pytest.raises(RError, match="planted"):
        train(digits, augment=r.augmentation("function(image) stop('planted')"))


# ---- calls


def test_errors_and_warnings_of_r_become_python_s(r, capfd):
    with pytest.raises(RError, match="planted"):
        r.evaluate("stop('planted')")
    with pytest.raises(RError, match="unexpected"):
        r.evaluate("1 +* 2")
    with pytest.raises(RError, match="nothere"):
        r.call("nothere::f")
    with pytest.raises(InputError, match="`y`"):
        r.call("diglot::image_classifier", np.zeros((2, 4, 4)))
    with pytest.raises(ImageError, match="rows? 2"):
        r.call("diglot::image_classifier", np.array([[[1.0]], [[np.nan]]]), np.array(["a", "b"]))
    with pytest.warns(UserWarning, match="R: planted"):
        assert r.evaluate("{ warning('planted'); 5 }")[0] == 5
    assert "Error" not in capfd.readouterr().err


def test_arguments_keep_their_names(r):
    answer = r.call(r.evaluate("function(...) names(list(...))"), 1, a_b=2, **{"c.d": 3})
    assert list(answer) == ["", "a_b", "c.d"]


def test_r_starts_in_the_main_thread_only():
    code = """
    import threading, diglot
    caught = []
    def work():
        try:
            diglot.r.start()
        except diglot.DiglotError as error:
            caught.append(str(error))
    thread = threading.Thread(target=work); thread.start(); thread.join()
    assert "main thread" in caught[0], caught
    """
    in_python(code)


def test_a_view_may_be_read_in_another_thread(r):
    view, sums = r.to_python(r.evaluate("as.double(1:1000)")), []
    thread = threading.Thread(target=lambda: sums.append(view.sum()))
    thread.start()
    thread.join()
    assert sums == [500500.0]


# ---- processes of their own


def ran(command, code="", **environment):
    path = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        command, input=code, capture_output=True, text=True, env=path, timeout=300, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def in_python(code, *before, **environment):
    done = ran([sys.executable, *before, "-c", textwrap.dedent(code)], **environment)
    assert not done.stderr, done.stderr
    return done.stdout


def in_r(code, tmp_path, **environment):
    file = tmp_path / "script.R"
    file.write_text(textwrap.dedent(code), encoding="utf-8")
    path = {"RETICULATE_PYTHON": sys.executable, **environment}
    done = ran(["Rscript", "--vanilla", str(file)], **path)
    assert not done.stderr, done.stderr
    return done.stdout


FITS = """
import diglot, numpy as np
digits = diglot.example_images("digits")[:80]
model = diglot.ImageClassifier("mlp", epochs=1, seed=1).fit(digits[["image"]], digits["label"])
"""
# What R holds of Python is given up in garbage collections, thrice as many as are likely
COLLECT = 'for (i in 1:30) { z <- reticulate::py_eval("object()", convert = FALSE); rm(z); gc() }'


def test_plain_python_loads_no_r():
    in_python(f"{FITS}\nimport sys\ndiglot.r\nassert 'rpy2' not in sys.modules")


def test_python_that_embeds_r_ends_cleanly():
    out = in_python("""
    import diglot, os
    assert diglot.r.evaluate("Sys.getpid()")[0] == os.getpid()
    print(diglot.r.evaluate("tempdir()")[0])
    """)
    assert not os.path.exists(out.strip())  # R has tidied up behind itself


def test_nothing_of_r_is_left_to_run_when_python_is_gone():
    """A thread that reticulate starts would call the interpreter that is no more."""
    code = """
    import ctypes, sys
    import diglot
    diglot.r.start()
    process = ctypes.CDLL(None)
    # the process sleeps for as many seconds as its exit status says, after Python has ended
    assert process.on_exit(ctypes.cast(process.sleep, ctypes.c_void_p), None) == 0
    sys.exit(2)
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has on_exit()")
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (2, "")


def test_a_python_that_was_started_by_a_relative_path():
    """Debian's is no shared library, which reticulate then took the program for."""
    command = os.path.relpath(sys.executable)
    done = ran([command, "-c", "import diglot; diglot.r.start(); print('started')"])
    assert done.stdout.splitlines()[-1] == "started"


def test_python_that_embeds_r_that_calls_back_into_the_same_python():
    in_python(f"""{FITS}
import os
fit = diglot.r.fit(model)
prob = diglot.r.to_python(diglot.r.call("stats::predict", fit, digits, type="prob"))
np.testing.assert_allclose(prob, model.predict_proba(digits[["image"]]), atol=1e-12)
assert diglot.r.evaluate("reticulate::import('os')$getpid()")[0] == os.getpid()
x = np.random.default_rng(1).random((300, 200))  # with MXNet's algebra loaded before R's
np.testing.assert_allclose(diglot.r.to_python(diglot.r.call("crossprod", x)), x.T @ x)
diglot.r.evaluate('''{COLLECT}''')
""")


def test_r_that_embeds_python_ends_cleanly(tmp_path):
    out = in_r(
        """
        suppressPackageStartupMessages(library(diglot))
        digits <- example_images("digits")[1:80, ]
        fit <- image_classifier(label ~ image, digits, network = "mlp", epochs = 1, seed = 1)
        cat(fingerprint(fit))
        """,
        tmp_path,
    )
    namespace = {}
    exec(FITS, namespace)
    assert out == namespace["model"].fingerprint()


def test_r_that_embeds_python_that_calls_back_into_the_same_r(tmp_path):
    code = FITS + textwrap.dedent("""
        import os, signal, warnings
        warnings.simplefilter("error")
        handler = signal.getsignal(signal.SIGINT)
        assert diglot.r.evaluate("Sys.getpid()")[0] == os.getpid()
        assert signal.getsignal(signal.SIGINT) is handler
        diglot.r.evaluate("planted <- c(1.5, NA)")
        back = diglot.r.to_python(diglot.r.evaluate("given"))
        assert back.shape == (2, 3, 4) and back[1, 2, 3] == 24 and back[1, 0, 0] == 2, back
        space = diglot.r.evaluate("globalenv()")
        kept = diglot.r.call("assign", "fit", diglot.r.fit(model), envir=space)
        diglot.r.evaluate("invisible(gc())")
    """)
    out = in_r(
        f"""
        given <- array(as.double(1:24), c(2, 3, 4))
        reticulate::py_run_string({quoted(code)})
        stopifnot(identical(planted, c(1.5, NA)), inherits(fit, "image_classifier"))
        {COLLECT}
        reticulate::py_run_string("diglot.r.evaluate('invisible(gc())')")
        cat(identical(fit$fingerprint, reticulate::py$model$fingerprint()))
        """,
        tmp_path,
    )
    assert out == "TRUE"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_what_r_changes_in_python_is_set_back():
    in_python(
        """
        import os, signal, sys
        r, R = "mine", "mine, too"
        before = signal.getsignal(signal.SIGINT), sys.stdout, list(sys.path)
        libraries = os.environ.get("LD_LIBRARY_PATH")
        import diglot
        diglot.r.start()
        assert (r, R) == ("mine", "mine, too")
        assert signal.getsignal(signal.SIGINT) is before[0]
        assert sys.stdout is before[1]
        assert sys.path[: len(before[2])] == before[2]
        assert os.environ.get("LD_LIBRARY_PATH") == libraries
        """
    )


@pytest.mark.parametrize(
    "work",
    [
        "time.sleep(30)",
        "diglot.r.evaluate('Sys.sleep(30)')",
        "diglot.r.evaluate('x <- 0; while (TRUE) x <- sqrt(x + 1)')",
    ],
)
def test_ctrl_c_works_after_r_has_started(work):
    in_python(f"""
    import os, signal, threading, time, diglot
    diglot.r.start()
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.time()
    try:
        {work}
    except KeyboardInterrupt:
        assert time.time() - began < 10
        assert diglot.r.evaluate("1 + 1")[0] == 2
    else:
        raise SystemExit("nothing was interrupted")
    """)


def test_ctrl_c_in_a_fit_keeps_what_was_learned():
    in_python("""
    import os, signal, warnings, diglot
    diglot.r.start()
    digits = diglot.example_images("digits")[:80]
    def press(record):
        if record["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = diglot.ImageClassifier("mlp", epochs=500, seed=1, callbacks=press)
        model.fit(digits[["image"]], digits["label"])
    assert model.stopped_ == "interrupted" and 2 <= len(model.history_) < 500
    assert any(c.category is diglot.InterruptedFitWarning for c in caught)
    """)


def test_without_rpy2_the_error_names_the_remedy():
    in_python("""
    import sys
    sys.modules["rpy2"] = None
    import diglot
    for use in (lambda: diglot.r.start(), lambda: diglot.r.to_r(1), lambda: diglot.r.converter()):
        try:
            use()
        except diglot.MissingPackageError as error:
            assert "pip install 'rpy2>=" in str(error)
        else:
            raise SystemExit("no error")
    """)


def test_without_r_the_error_says_so():
    in_python(
        """
        import diglot
        try:
            diglot.r.start()
        except diglot.MissingPackageError as error:
            assert "install R" in str(error), error
        else:
            raise SystemExit("no error")
        """,
        PATH="/nowhere",
        R_HOME="",
    )


def test_without_r_s_package_the_error_says_how_to_install_it():
    in_python(
        FITS
        + textwrap.dedent("""
        assert diglot.r.to_python(diglot.r.evaluate("1:3")).tolist() == [1, 2, 3]
        diglot.r.evaluate(".libPaths(character())")
        try:
            diglot.r.fit(model)
        except diglot.MissingPackageError as error:
            assert "R CMD INSTALL" in str(error), error
        else:
            raise SystemExit("no error")
        """),
        R_LIBS="",
    )


# ---- notebooks


def test_a_cell_of_r_sees_fitted_models():
    pytest.importorskip("IPython")
    ran(
        [sys.executable, "-"],
        FITS
        + textwrap.dedent('''
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.push({"clf": model, "digits": digits})
        def run(code):
            done = shell.run_cell(code)
            done.raise_error()
            return done.result
        run("%load_ext diglot.r")
        run("""%%R -i clf -i digits -o prob -o again -o about
        stopifnot(inherits(clf, "image_classifier"), is.factor(digits$label))
        prob <- predict(clf, digits[1:5, ], type = "prob")
        again <- clf
        about <- list(levels = clf$levels, planted = c(1L, NA))
        """)
        space = shell.user_ns
        expected = model.predict_proba(digits[["image"]][:5])
        np.testing.assert_allclose(space["prob"], expected, atol=1e-12)
        assert space["again"].fingerprint() == model.fingerprint()
        assert space["about"]["levels"].tolist() == list("0123456789")
        assert space["about"]["planted"].isna().tolist() == [False, True]
        '''),
    )


def test_rules_hold_in_their_context_only(r, model):
    from rpy2.robjects import globalenv

    with r.converter().context():
        globalenv["planted"] = model
        assert globalenv["planted"].fingerprint() == model.fingerprint()
        globalenv["images"] = np.arange(24).reshape(2, 3, 4)
        assert globalenv["images"][1, 2, 3] == 23
    assert "image_classifier" in list(globalenv["planted"].rclass)


def test_errors_of_r_are_diglot_s():
    assert issubclass(RError, DiglotError) and issubclass(RError, RuntimeError)
