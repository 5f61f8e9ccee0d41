"""Covariates: contrasts as in R, the model matrix as of patsy, coefficients as of GLMs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from diglot import (
    ImageClassifier,
    ImageRegressor,
    ImageTagger,
    InputError,
    ModelFileError,
    loads,
    storage,
)
from diglot.outcomes import Design
from diglot.outcomes.contrasts import contrast_matrix
from diglot.predictor.coefficients import group_codes
from diglot.predictor.refit import Refit
from diglot.training import Checkpoints
from diglot.weighted import Network

LEVELS = ["a", "b", "c", "d"]

# What R 4.2.2 prints of contr.sum(4), contr.helmert(4), contr.poly(4) and contr.poly(3), by row.
SUM = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]]
HELMERT = [[-1, -1, -1], [1, -1, -1], [0, 2, -1], [0, 0, 3]]
POLY4 = [
    [-0.6708203932499369, 0.5, -0.2236067977499789],
    [-0.2236067977499789, -0.5, 0.6708203932499369],
    [0.2236067977499789, -0.5, -0.6708203932499369],
    [0.6708203932499369, 0.5, 0.2236067977499789],
]
POLY3 = [
    [-0.7071067811865475, 0.4082482904638630],
    [0.0, -0.8164965809277261],
    [0.7071067811865475, 0.4082482904638630],
]


def images(n, seed=0, size=4):
    """Return pictures that say nothing of any outcome; asymmetric, as noise is."""
    return np.random.default_rng(seed).random((n, size, size)).astype(np.float32) * 0.01


def people(n=400, seed=1):
    """Return images with an age and a sex, and the linear predictor that these alone decide."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"image": list(images(n, seed))})
    table["age"] = rng.normal(50, 10, n)
    table["sex"] = rng.choice(["f", "m"], n)
    eta = 0.08 * (table["age"] - 50) + 0.9 * (table["sex"] == "m") - 0.4
    return table, eta.to_numpy(), rng


QUICK = {"epochs": 2, "batch_size": 32, "seed": 1, "covariates": ["age", "sex"]}


# ---- contrasts


@pytest.mark.parametrize(
    ("name", "levels", "matrix", "suffixes"),
    [
        ("treatment", LEVELS, np.eye(4)[:, 1:], ["b", "c", "d"]),
        ("sum", LEVELS, SUM, ["1", "2", "3"]),
        ("helmert", LEVELS, HELMERT, ["1", "2", "3"]),
        ("poly", LEVELS, POLY4, [".L", ".Q", ".C"]),
        ("poly", LEVELS[:3], POLY3, [".L", ".Q"]),
        ("poly", LEVELS[:2], [[-(0.5**0.5)], [0.5**0.5]], [".L"]),
    ],
)
def test_contrasts_are_those_of_r(name, levels, matrix, suffixes):
    found, names = contrast_matrix(name, levels)
    np.testing.assert_allclose(found, matrix, atol=1e-14)
    assert names == suffixes


def test_polynomials_of_many_levels_are_orthonormal_and_named_as_in_r():
    found, names = contrast_matrix("poly", [str(i) for i in range(7)])
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-12)
    assert names == [".L", ".Q", ".C", "^4", "^5", "^6"]
    assert (found[-1] > 0).all()  # as R signs them


def test_contrasts_equal_patsys():
    patsy = pytest.importorskip("patsy.contrasts")
    for name, theirs in (("helmert", patsy.Helmert), ("poly", patsy.Poly), ("sum", patsy.Sum)):
        expected = theirs().code_without_intercept(LEVELS).matrix
        np.testing.assert_allclose(contrast_matrix(name, LEVELS)[0], expected, atol=1e-12)


def test_contrasts_of_ones_own():
    own = pd.DataFrame([[0, 1], [1, 0], [1, 1]], columns=["first", "second"])
    matrix, names = contrast_matrix(own, LEVELS[:3])
    assert names == ["first", "second"]
    np.testing.assert_array_equal(matrix, own)
    assert contrast_matrix(own.to_numpy(), LEVELS[:3])[1] == ["1", "2"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("orthogonal", "'orthogonal'"),
        (np.eye(3), "4 rows"),
        (np.eye(4), "at most 3 columns"),
        (np.zeros(4), "shape"),
        (np.full((4, 2), np.nan), "finite"),
    ],
)
def test_bad_contrasts_are_refused(given, words):
    with pytest.raises(InputError, match=words) as caught:
        contrast_matrix(given, LEVELS, "grade")
    assert "'grade'" in str(caught.value)


# ---- the model matrix


def table_of_all_kinds(n=60):
    rng = np.random.default_rng(5)
    stage = pd.Categorical(
        rng.choice(["I", "II", "III"], n), categories=["I", "II", "III"], ordered=True
    )
    return pd.DataFrame(
        {
            "age": rng.normal(50, 10, n),
            "visits": rng.integers(0, 9, n),
            "sex": rng.choice(["m", "f"], n),
            "smoker": rng.random(n) < 0.4,
            "clinic": pd.Categorical(rng.choice(["z", "y", "x"], n), categories=["z", "y", "x"]),
            "stage": stage,
        }
    )


def test_the_model_matrix_is_patsys():
    patsy = pytest.importorskip("patsy")
    table = table_of_all_kinds()
    design = Design.of(table, list(table.columns))
    expected = patsy.dmatrix(
        "age + visits + C(sex) + C(smoker) + C(clinic) + C(stage, Poly)", table
    )
    names = [n for n in expected.design_info.column_names if n != "Intercept"]
    by_name = dict(zip(names, np.asarray(expected)[:, 1:].T, strict=True))
    ours = dict(zip(design.terms, design.model_matrix(table).T, strict=True))
    pairs = {
        "age": "age",
        "visits": "visits",
        "sexm": "C(sex)[T.m]",
        "smokerTRUE": "C(smoker)[T.True]",
        "clinicy": "C(clinic)[T.y]",
        "clinicx": "C(clinic)[T.x]",
        "stage.L": "C(stage, Poly).Linear",
        "stage.Q": "C(stage, Poly).Quadratic",
    }
    assert list(ours) == list(pairs)
    for mine, theirs in pairs.items():
        np.testing.assert_allclose(ours[mine], by_name[theirs], atol=1e-12)


def test_the_matrix_is_standardised_by_training():
    table = table_of_all_kinds()
    design = Design.of(table, ["age", "sex"])
    matrix = design.matrix(table)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(matrix.std(axis=0), 1, atol=1e-6)
    later = table.assign(age=table["age"] + 10)
    moved = (design.matrix(later) - matrix)[:, 0]
    np.testing.assert_allclose(moved, 10 / table["age"].std(ddof=0), rtol=1e-5)


def test_centre_and_scale_are_weighted_and_know_no_order():
    table = table_of_all_kinds()
    times = np.arange(60) % 4
    weighted = Design.of(table, ["age"], weights=times)
    age = table["age"].to_numpy()
    assert weighted.centre[0] == pytest.approx(np.average(age, weights=times))
    spread = np.sqrt(np.average((age - age.mean()) ** 2, weights=times))
    assert weighted.scale[0] == pytest.approx(spread, rel=0.01)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(60), times))
    repeated = Design.of(table.iloc[rows], ["age"])
    assert (weighted.centre, weighted.scale) == (repeated.centre, repeated.scale)


def test_levels_that_do_not_occur_are_left_out_as_in_lm():
    table = table_of_all_kinds()
    table["clinic"] = table["clinic"].cat.add_categories(["never"])
    assert Design.of(table, ["clinic"]).terms == ["clinicy", "clinicx"]


def test_a_design_survives_json():
    table = table_of_all_kinds()
    design = Design.of(table, list(table.columns), {"sex": "sum"})
    again = Design.from_dict(json.loads(json.dumps(design.to_dict())))
    assert again.terms == design.terms
    np.testing.assert_array_equal(again.matrix(table), design.matrix(table))


@pytest.mark.parametrize(
    ("change", "names", "words"),
    [
        ({}, ["weight"], "'weight'.*'age'"),
        ({"age": np.nan}, ["age"], "'age'.*row 1"),
        ({"age": 3.0}, ["age"], "'age' is the same"),
        ({"sex": "m"}, ["sex"], "'sex' has the one level"),
        ({"sex": None}, ["sex"], "'sex' is missing.*row 1"),
    ],
)
def test_bad_covariates_are_named(change, names, words):
    with pytest.raises(InputError, match=words):
        Design.of(table_of_all_kinds().assign(**change), names)


def test_what_is_no_data_of_a_design_is_named():
    table = table_of_all_kinds()
    with pytest.raises(InputError, match="depend on each other"):
        Design.of(table.assign(twice=2 * table["age"] + 1), ["age", "twice"])
    with pytest.raises(InputError, match="names 'stage', which is no covariate"):
        Design.of(table, ["age"], {"stage": "sum"})
    design = Design.of(table, ["age", "sex"])
    with pytest.raises(InputError, match="'sex' is 'd' in row 3"):
        design.matrix(table.assign(sex=["m", "f", "d", *["m"] * (len(table) - 3)]))
    with pytest.raises(InputError, match="'age' was numbers in training"):
        design.matrix(table.assign(age="old"))
    doubled = pd.concat([table, table[["age"]]], axis=1)
    with pytest.raises(InputError, match="several columns 'age'"):
        design.matrix(doubled)


def damaged(change):
    table = table_of_all_kinds()
    fields = Design.of(table, ["age", "stage"]).to_dict()
    change(fields)
    return fields


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("centre"),
        lambda d: d["scale"].__setitem__(0, 0.0),
        lambda d: d["scale"].__setitem__(0, -1.0),
        lambda d: d["centre"].__setitem__(0, float("nan")),
        lambda d: d["centre"].append(0.0),
        lambda d: d["centre"].__setitem__(0, "x"),
        lambda d: d.update(variables=[]),
        lambda d: d.update(variables=None),
        lambda d: d["variables"][0].update(name=3),
        lambda d: d["variables"][0].update(suffixes=["", ""]),
        lambda d: d["variables"][0].update(contrasts=[[1]]),
        lambda d: d["variables"][1].update(contrasts=None),
        lambda d: d["variables"][1].update(levels=["I", "II"]),
        lambda d: d["variables"][1].update(levels=5),
        lambda d: d["variables"][1].update(suffixes="LQ"),
        lambda d: d["variables"][1]["contrasts"].__setitem__(0, [float("inf"), 0]),
    ],
)
def test_damaged_designs_are_refused(change):
    with pytest.raises(ModelFileError):
        Design.from_dict(damaged(change))


# ---- models with covariates


def test_settings_about_covariates_are_refused_by_name():
    table, eta, _ = people(40)
    y = np.where(eta > 0, "yes", "no")

    def refused(words, X=table, **settings):
        with pytest.raises(InputError, match=words):
            ImageClassifier("mlp", **{**QUICK, **settings}).fit(X, y)

    refused("list of columns", covariates="age")
    refused("none the image", covariates=["image"])
    refused("different columns", covariates=["age", "age"])
    refused("dict by covariate", contrasts="sum")
    refused("which is not given", covariates=None, contrasts={"sex": "sum"})
    refused("must be a data frame", X=np.stack(table["image"]))


def test_answers_need_the_covariates():
    table, eta, _ = people(40)
    model = ImageClassifier("mlp", **QUICK).fit(table, np.where(eta > 0, "yes", "no"))
    with pytest.raises(InputError, match="no covariate 'age'"):
        model.predict(table[["image"]])
    with pytest.raises(InputError, match="data frame"):
        model.predict(np.stack(table["image"]))
    assert model.predict_proba(table.iloc[:0]).shape == (0, 2)
    reordered = table[["sex", "age", "image"]]
    np.testing.assert_array_equal(model.predict_proba(reordered), model.predict_proba(table))
    assert model.evaluate(table, np.where(eta > 0, "yes", "no"), resamples=20)["n"].iloc[0] == 40


def test_layers_behind_the_covariates_are_computed_with_them():
    table, eta, _ = people(40)
    model = ImageClassifier("mlp", **QUICK).fit(table, np.where(eta > 0, "yes", "no"))
    behind = "scores_with_covariates"
    scores = np.exp(model.embed(table, layer=behind))
    want = model.predict_proba(table)
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), want, atol=1e-6)
    assert model.embed(table.iloc[:0], layer=behind).shape == (0, 2)
    with pytest.raises(InputError, match="no covariate 'age'"):
        model.embed(table[["image"]], layer=behind)
    before = model.embed(table[["image"]])  # what comes before them needs none
    np.testing.assert_array_equal(model.embed(table), before)
    with pytest.raises(InputError, match="computed from covariates, too"):
        Network.of(model.network_).embed(table[["image"]], behind)


def test_the_effect_of_a_covariate_is_its_coefficient():
    table, eta, _ = people(60)
    model = ImageClassifier("mlp", **QUICK).fit(table, np.where(eta > 0, "yes", "no"))
    found = model.coefficients().set_index("term")["estimate"]

    def log_odds(data):
        p = model.predict_proba(data)
        return np.log(p[:, 1] / p[:, 0])

    older = log_odds(table.assign(age=table["age"] + 3)) - log_odds(table)
    np.testing.assert_allclose(older, 3 * found["age"], atol=1e-4)
    as_men, as_women = log_odds(table.assign(sex="m")), log_odds(table.assign(sex="f"))
    np.testing.assert_allclose(as_men - as_women, found["sexm"], atol=1e-4)


@pytest.mark.parametrize("kind", ["classifier", "cumulative", "regressor", "tagger"])
def test_models_with_covariates_live_on(kind, tmp_path, monkeypatch):
    """One life for each kind: same seed, file, checkpoint, update, and training of the head."""
    table, eta, _ = people(80)
    given = {"mixup": 0.2, "validation": 0.25, **QUICK, "epochs": 3}
    if kind == "cumulative":
        y = pd.Categorical(np.digitize(eta, [-0.5, 0.5]), ordered=True)
        model = ImageClassifier("mlp", family="cumulative", **given)
    elif kind == "classifier":
        y, model = np.where(eta > 0, "yes", "no"), ImageClassifier("mlp", **given)
    elif kind == "regressor":
        y, model = eta, ImageRegressor("mlp", **given)
    else:
        y = pd.DataFrame({"high": eta > 0, "low": eta < -0.5})
        model = ImageTagger("mlp", **given)
    answer = "predict" if kind == "regressor" else "predict_proba"

    def answers(fitted):
        return np.asarray(getattr(fitted, answer)(table))

    model.fit(table, y)
    twin = type(model)(**model.get_params()).fit(table, y)
    assert twin.fingerprint() == model.fingerprint()
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = type(model)(**model.get_params()).fit(table.iloc[order], _take(y, order))
    assert shuffled.fingerprint() == model.fingerprint()

    again = loads(model.to_bytes())
    np.testing.assert_array_equal(answers(again), answers(model))
    assert again.coefficients().equals(model.coefficients())

    save, saved = Checkpoints.save, []

    def dying(*given):
        save(*given)
        saved.append(1)
        if len(saved) == 2:
            raise RuntimeError("the power went")

    folder = {"checkpoint": tmp_path, "resume": tmp_path}
    monkeypatch.setattr(Checkpoints, "save", dying)
    with pytest.raises(RuntimeError, match="power"):
        type(model)(**{**model.get_params(), **folder}).fit(table, y)
    monkeypatch.setattr(Checkpoints, "save", save)
    resumed = type(model)(**{**model.get_params(), **folder})
    assert resumed.fit(table, y).fingerprint() == model.fingerprint()
    with pytest.raises(InputError, match="another fit|other|differs"):
        resumed.fit(table.assign(age=table["age"] * 2 + table["age"] ** 2), y)

    further = loads(model.to_bytes()).update(table, y)
    assert len(further.history_) == 4
    assert further.fingerprint() != model.fingerprint()

    head = model.fine_tune(table, y, train="head", epochs=2)
    moved = {
        name
        for name, weight in head.network_.weights.items()
        if not np.array_equal(weight, model.network_.weights[name])
    }
    assert "covariate_effects_weight" in moved
    assert {name.split("_")[0] for name in moved} <= {"head", "covariate", "first", "cutpoint"}
    plain = model.fine_tune(table, y, covariates=None, epochs=1)
    assert plain.design_ is None
    assert np.asarray(getattr(plain, answer)(table[["image"]])).shape == answers(model).shape


def _take(y, rows):
    return y.iloc[rows] if hasattr(y, "iloc") else y[rows]


def test_weights_are_repeated_rows():
    table, eta, _ = people(60)
    y, times = np.where(eta > 0, "yes", "no"), np.arange(60) % 3
    weighted = ImageClassifier("mlp", **QUICK).fit(table, y, sample_weight=times)
    rows = np.repeat(np.arange(60), times)
    repeated = ImageClassifier("mlp", **QUICK).fit(table.iloc[rows], y[rows])
    assert weighted.fingerprint() == repeated.fingerprint()
    order = np.random.default_rng(0).permutation(rows)
    shuffled = ImageClassifier("mlp", **QUICK).fit(table.iloc[order], y[order])
    assert shuffled.fingerprint() == repeated.fingerprint()
    numbers = ImageRegressor("mlp", **QUICK).fit(table, eta, sample_weight=times)
    again = ImageRegressor("mlp", **QUICK).fit(table.iloc[order], eta[order])
    assert numbers.fingerprint() == again.fingerprint()


def test_validation_data_brings_its_covariates():
    table, eta, _ = people(80)
    y = np.where(eta > 0, "yes", "no")
    model = ImageClassifier("mlp", **QUICK)
    model.fit(table[:60], y[:60], validation_data=(table[60:], y[60:]))
    best = model.history_.loc[model.history_["epoch"] == model.best_epoch_].iloc[0]
    p = model.predict_proba(table[60:])[np.arange(20), (y[60:] == "yes").astype(int)]
    assert best["val_loss"] == pytest.approx(-np.log(p).mean(), rel=1e-4)
    with pytest.raises(InputError, match="no covariate 'age'"):
        model.fit(table[:60], y[:60], validation_data=(table[["image"]][60:], y[60:]))


def test_files_of_before_covariates_still_load():
    """Version 0.1.0 wrote neither "design" nor "family"."""
    model = ImageClassifier("mlp", epochs=1, seed=1).fit(images(20), ["a", "b"] * 10)
    tensors, meta = storage.decode(model.to_bytes())
    del meta["design"]
    for name in ("family", "covariates"):
        meta["settings"].pop(name, None)
    old = loads(storage.encode(tensors, meta))
    np.testing.assert_array_equal(old.predict_proba(images(5)), model.predict_proba(images(5)))


JUNK = [None, 0, -1, 1e20, True, "x", "", [], {}, [1], {"a": 1}, 0.5, "image", [[]], ["a", "a"]]


def _places(entry, above=()):
    """Yield the way to each entry of a file's description; of long lists to the first few."""
    inside = entry.items() if isinstance(entry, dict) else enumerate(entry[:4])
    for key, value in inside:
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from _places(value, (*above, key))


@pytest.mark.parametrize("kind", ["cumulative", "quantile", "tags"])
def test_files_with_junk_in_them_are_refused_or_work(kind):
    """Whatever stands in the place of one entry: never an error without words."""
    table, eta, _ = people(30)
    if kind == "cumulative":
        y = pd.Categorical(np.digitize(eta, [-0.5, 0.5]), ordered=True)
        model = ImageClassifier("mlp", family="cumulative", **QUICK).fit(table, y)
    elif kind == "quantile":
        model = ImageRegressor("mlp", family="quantile", quantiles=[0.2, 0.8], **QUICK)
        model.fit(table, eta).conformalize(table, eta)
    else:
        model = ImageTagger("mlp", **QUICK).fit(table, pd.DataFrame({"a": eta > 0, "b": eta > 1}))
    tensors, meta = storage.decode(model.to_bytes())
    plain = {name: entry for name, entry in meta.items() if name not in ("graph", "history")}
    places, rng, refused = list(_places(plain)), np.random.default_rng(0), 0
    for _ in range(300):
        changed = json.loads(json.dumps(meta))
        *above, last = places[rng.integers(len(places))]
        entry = changed
        for key in above:
            entry = entry[key]
        entry[last] = JUNK[rng.integers(len(JUNK))]
        try:
            again = loads(storage.encode(tensors, changed))
        except ModelFileError:
            refused += 1
            continue
        again.summary()
        again.to_bytes()
        try:
            again.predict(table)
            again.coefficients()
        except InputError:
            pass  # a level by another name, say
    assert refused > 100


# ---- coefficients against generalised linear models, where images tell nothing


def glm_of(table, y, family):
    sm = pytest.importorskip("statsmodels.api")
    columns = pd.DataFrame({"age": table["age"], "sexm": (table["sex"] == "m").astype(float)})
    return sm.GLM(y, sm.add_constant(columns), family=getattr(sm.families, family)()).fit()


@pytest.mark.parametrize("kind", ["multinomial", "tags", "gaussian", "poisson"])
def test_coefficients_are_those_of_a_glm(kind):
    train, eta, rng = people(200, seed=2)
    test, eta2, _ = people(600, seed=3)
    both = np.r_[eta, eta2]
    n = len(train)
    settings = {**QUICK, "epochs": 1}
    if kind in ("multinomial", "tags"):
        value, family = rng.random(800) < 1 / (1 + np.exp(-both)), "Binomial"
    elif kind == "gaussian":
        value, family = both + rng.normal(0, 0.7, 800), "Gaussian"
    else:
        value, family = rng.poisson(np.exp(both)), "Poisson"
    if kind == "multinomial":
        model, y = ImageClassifier("mlp", **settings), np.where(value, "yes", "no")
    elif kind == "tags":
        model, y = ImageTagger("mlp", **settings), pd.DataFrame({"yes": value})
    else:
        model, y = ImageRegressor("mlp", family=kind, **settings), value
    model.fit(train, y[:n])
    later = y.iloc[n:] if kind == "tags" else y[n:]
    found = model.coefficients(test, later, resamples=150).set_index("term")
    theirs = glm_of(test, value[n:].astype(float), family)
    expected, ends = theirs.params, theirs.conf_int()
    for term in ("age", "sexm"):
        # images are noise, yet one more column: coefficients differ by a part of their error
        assert abs(found.loc[term, "estimate"] - expected[term]) < 0.2 * theirs.bse[term]
        width = found.loc[term, "upper"] - found.loc[term, "lower"]
        assert width == pytest.approx(ends.loc[term, 1] - ends.loc[term, 0], rel=0.25)
    assert found["n"].tolist() == [600, 600]


def test_cumulative_coefficients_are_those_of_an_ordered_model():
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    table, eta, rng = people(600, seed=4)
    y = pd.Categorical(np.digitize(eta + rng.logistic(size=600), [-1, 0, 1]), ordered=True)
    model = ImageClassifier("mlp", family="cumulative", **{**QUICK, "epochs": 1})
    model.fit(table[:100], y[:100])
    found = model.coefficients(table[100:], y[100:], resamples=100).set_index("term")
    columns = pd.DataFrame({"age": table["age"], "sexm": (table["sex"] == "m").astype(float)})
    theirs = ordinal.OrderedModel(y[100:], columns[100:], distr="logit")
    theirs = theirs.fit(method="bfgs", disp=0)
    for term in ("age", "sexm"):
        assert abs(found.loc[term, "estimate"] - theirs.params[term]) < 0.2 * theirs.bse[term]
        width = found.loc[term, "upper"] - found.loc[term, "lower"]
        assert width == pytest.approx(2 * 1.96 * theirs.bse[term], rel=0.3)


def test_quantile_coefficients_are_those_of_quantile_regression():
    smf = pytest.importorskip("statsmodels.regression.quantile_regression")
    table, eta, rng = people(900, seed=6)
    y = eta + rng.normal(size=900) * (1 + 0.02 * (table["age"] - 50).to_numpy())
    model = ImageRegressor("mlp", family="quantile", quantiles=[0.2, 0.8], **{**QUICK, "epochs": 1})
    found = model.fit(table[:100], y[:100]).coefficients(table[100:], y[100:], resamples=10)
    columns = pd.DataFrame({"age": table["age"], "sexm": (table["sex"] == "m").astype(float)})
    columns.insert(0, "const", 1.0)
    for quantile in (0.2, 0.8):
        theirs = smf.QuantReg(y[100:], columns[100:]).fit(q=quantile)
        mine = found[found["class"] == f"{quantile:g}"].set_index("term")["estimate"]
        for term in ("age", "sexm"):
            assert abs(mine[term] - theirs.params[term]) < 0.5 * theirs.bse[term]


def test_a_network_that_is_too_sure_does_not_inflate_coefficients():
    """The image's score has a slope of its own: scores of ten times their size change nothing."""
    rng = np.random.default_rng(8)
    outcome = ImageClassifier("mlp", epochs=1, seed=1).fit(images(20), ["a", "b"] * 10).outcome_
    scores, z = rng.normal(size=(500, 2)), rng.normal(size=(500, 1))
    eta = scores[:, 1] - scores[:, 0] + z[:, 0]
    target = np.eye(2)[(rng.random(500) < 1 / (1 + np.exp(-eta))).astype(int)]
    right, sure = (Refit(factor * scores, z, target, outcome) for factor in (1, 10))
    effects = [model.effects(model.fit(np.ones(500))) for model in (right, sure)]
    np.testing.assert_allclose(effects[0], effects[1], atol=1e-4)
    assert effects[0][1, 0] - effects[0][0, 0] == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("family", ["multinomial", "cumulative", "poisson", "quantile", "tags"])
def test_the_slopes_of_the_refit_are_right(family):
    from scipy.optimize import check_grad

    from diglot.outcomes import Classes
    from diglot.outcomes.numbers import Numbers
    from diglot.outcomes.tags import Tags

    rng, n = np.random.default_rng(9), 30
    z, weights = rng.normal(size=(n, 2)), rng.random(n)
    if family in ("multinomial", "cumulative"):
        outcome = Classes(np.array(["a", "b", "c", "d"]), family=family)
        target = np.eye(4)[rng.integers(0, 4, n)]
    elif family == "tags":
        outcome, target = Tags(("a", "b")), rng.integers(0, 2, (n, 2)).astype(float)
    else:
        quantiles = (0.1, 0.5) if family == "quantile" else ()
        outcome = Numbers(family, 0.0, 1.0, quantiles)
        target = rng.poisson(2, (n, 1)).astype(float)
    model = Refit(rng.normal(size=(n, outcome.width)), z, target, outcome)
    point = rng.normal(size=len(model._start())) * 0.5
    weights /= weights.sum()
    error = check_grad(
        lambda x: model._objective(x, weights)[0], lambda x: model._objective(x, weights)[1], point
    )
    assert error < 1e-5


def test_groups_are_drawn_together():
    """Twins in every group: half as many independent images, intervals wider by about root 2."""
    table, eta, rng = people(300, seed=7)
    y = np.where(rng.random(300) < 1 / (1 + np.exp(-eta)), "yes", "no")
    model = ImageClassifier("mlp", **QUICK).fit(table[:100], y[:100])
    twins = pd.concat([table[100:], table[100:]], ignore_index=True)
    both, names = np.r_[y[100:], y[100:]], np.tile([f"p{i}" for i in range(200)], 2)
    single = model.coefficients(twins, both, resamples=200)
    grouped = model.coefficients(twins, both, groups=names, resamples=200)
    ratio = (grouped["upper"] - grouped["lower"]) / (single["upper"] - single["lower"])
    np.testing.assert_allclose(ratio, np.sqrt(2), rtol=0.25)
    assert (grouped["method"] == "cluster bootstrap percentile").all()
    assert single["estimate"].equals(grouped["estimate"])
    assert model.coefficients(twins, both, resamples=200).equals(single)  # the seed's


def test_bad_calls_of_coefficients_are_refused():
    table, eta, _ = people(40)
    y = np.where(eta > 0, "yes", "no")
    model = ImageClassifier("mlp", **QUICK).fit(table, y)
    with pytest.raises(InputError, match="level"):
        model.coefficients(table, y, level=1.5)
    with pytest.raises(InputError, match="resamples"):
        model.coefficients(table, y, resamples=1)
    with pytest.raises(InputError, match="40 images and 3 groups"):
        model.coefficients(table, y, groups=["a", "b", "c"])
    with pytest.raises(InputError, match="group of row 2 is missing"):
        group_codes(["a", None, "b"], 3)
    plain = ImageClassifier("mlp", epochs=1, seed=1).fit(images(20), ["a", "b"] * 10)
    with pytest.raises(InputError, match="no covariates"):
        plain.coefficients()


def test_contrasts_change_coefficients_not_answers():
    """Sum and treatment contrasts of two levels span the same: one is minus half of the other."""
    table, eta, rng = people(400, seed=10)
    y = np.where(rng.random(400) < 1 / (1 + np.exp(-eta)), "yes", "no")
    found = {}
    for name in ("treatment", "sum"):
        model = ImageClassifier("mlp", contrasts={"sex": name}, **QUICK).fit(table[:200], y[:200])
        found[name] = model.coefficients(table[200:], y[200:], resamples=2)
    assert found["sum"]["term"].tolist() == ["age", "sex1"]
    ours = found["sum"]["estimate"][1], found["treatment"]["estimate"][1]
    assert ours[0] == pytest.approx(-ours[1] / 2, abs=0.02)
