"""What frameworks can do: the problems, the scripts, and what is told of them."""

from __future__ import annotations

import ast
import inspect
import shutil
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import InputError, bridge
from diglot.comparison import FRAMEWORKS, FrameworkCapabilities, capability
from diglot.comparison.capability import CAPABILITIES, NOT_OFFERED, SCRIPTS
from diglot.comparison.environments import environment
from diglot.comparison.measures import RUNNERS, program_lines
from diglot.errors import MissingPackageError


@pytest.fixture
def problems(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "shared"))
    import problems

    return problems


# ---- the problems


def test_answers_that_are_wrong_are_refused(problems):
    given = problems.autodiff
    t = np.tanh(given.W @ given.x)
    by_W, by_x = (
        np.outer(2 * t * (1 - t**2), given.x),
        given.W.T @ (2 * t * (1 - t**2)),
    )
    given.check(by_W, by_x)
    with pytest.raises(AssertionError, match="gradient by x is wrong by 0.01"):
        given.check(by_W, 1.01 * by_x)
    with pytest.raises(AssertionError, match="shape"):
        given.check(by_W.T, by_x)
    with pytest.raises(AssertionError):
        given.check(by_W, np.nan * by_x)
    clipped = [0, -2, 3, 4, -5, 0]
    problems.custom_operator.check(
        problems.custom_operator.forward(problems.custom_operator.x), clipped
    )
    with pytest.raises(AssertionError, match="gradient"):
        problems.custom_operator.check(
            problems.custom_operator.forward(problems.custom_operator.x), [0] * 6
        )


def test_the_answers_are_those_of_pytorch(problems):
    torch = pytest.importorskip("torch")
    given = problems.convolution
    filters = torch.tensor(given.filters, requires_grad=True)
    output = torch.nn.functional.conv2d(torch.tensor(given.images), filters)
    (output * torch.tensor(given.pull)).sum().backward()
    given.check(output.detach(), filters.grad)
    with pytest.raises(AssertionError, match="output"):
        turned = torch.nn.functional.conv2d(torch.tensor(given.images), filters.flip(2, 3))
        given.check(turned.detach(), filters.grad)


def test_a_boltzmann_machine_that_knows_nothing_is_refused(problems):
    given = problems.rbm
    with pytest.raises(AssertionError, match="share of 0.00"):
        given.check(given.weights, np.zeros(4), np.zeros(12))
    # One that knows one pattern alone.
    first = given.patterns[0]
    with pytest.raises(AssertionError, match=r"share of 0\.9"):
        given.check(0 * given.weights, np.zeros(4), 20 * first - 10)


def test_one_device_is_not_two(problems):
    given, w = problems.devices, problems.devices.w.astype(float)
    for _ in range(2):
        w = w - 0.1 * 2 * given.x.T @ (given.x @ w - given.y) / 8
    given.check(w, ["cpu:0", "cpu:1"])
    with pytest.raises(AssertionError, match="one device"):
        given.check(w, ["cpu:0", "cpu:0"])


# ---- the scripts


def test_every_script_solves_the_problem_of_its_name():
    found = [path for path in SCRIPTS.glob("*/*.py") if path.parent.name != "shared"]
    assert len(found) > 50
    for script in found:
        assert script.stem in CAPABILITIES, script
        tree = ast.parse(script.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), script
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        given = [name.name for node in imports if node.module == "problems" for name in node.names]
        assert given == [script.stem], script
        told = script.read_text(encoding="utf-8")
        assert "given.check(" in told
        assert ("diglot" in told) == (script.parent.name == "diglot"), script
    for script in SCRIPTS.glob("*/*.R"):
        assert script.stem == "r" and "stopifnot(" in script.read_text(encoding="utf-8")


def test_scripts_of_2016_are_written_as_python_was_then():
    old = {framework.name for framework in FRAMEWORKS.values() if framework.era == "2016"}
    for script in [*SCRIPTS.glob("*/*.py"), *RUNNERS.glob("*.py")]:
        text = script.read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 11))
        runs = [f.name for f in FRAMEWORKS.values() if f.runner == script.name]
        if {script.parent.name, *runs} & (old | {"shared"}) or script.name == "handover.py":
            ast.parse(text, feature_version=(3, 6))


def test_what_is_not_offered_has_a_source_and_no_script():
    for (framework, name), address in NOT_OFFERED.items():
        assert address.startswith("https://") and name in CAPABILITIES
        assert not list((SCRIPTS / framework).glob(f"{name}.*"))
    for name, framework in capability._KNOWN.items():
        tried = capability._scripts(framework).keys()
        missing = {row for each, row in NOT_OFFERED if each == name}
        assert tried | missing == CAPABILITIES.keys(), name
        # Only scripts that Keras' backends share may be of no use to one of them.
        assert not tried & missing or name.startswith("keras-")
        for script in capability._scripts(framework).values():
            assert 4 < program_lines(script, "all") < 40


def test_a_framework_has_its_own_scripts_and_those_it_shares():
    found = {
        name: capability._scripts(FRAMEWORKS[name])
        for name in ("keras-jax", "keras-torch", "keras-2-theano")
    }
    assert found["keras-jax"]["rbm"] == found["keras-torch"]["rbm"] == SCRIPTS / "keras/rbm.py"
    assert found["keras-torch"]["devices"] == SCRIPTS / "keras-torch/devices.py"
    assert found["keras-2-theano"]["rbm"] == SCRIPTS / "keras-2-theano/rbm.py"
    assert "devices" not in found["keras-2-theano"]


@pytest.mark.parametrize("era", ["today", "2016"])
def test_the_tables_that_come_with_the_package_are_those_of_the_scripts(era):
    file = Path(__file__).parents[2] / f"inst/extdata/frameworks/capabilities-{era}.csv"
    table = FrameworkCapabilities.read_csv(file).table
    known = {name: each for name, each in capability._KNOWN.items() if each.era == era}
    assert set(zip(table["framework"], table["capability"], strict=True)) == {
        (name, row) for name in known for row in CAPABILITIES
    }
    assert not table.duplicated(["framework", "capability"]).any()
    for row in table.itertuples():
        cell, told = (row.framework, row.capability), f"{row.framework}, {row.capability}"
        assert row.label == known[row.framework].label and row.version, told
        if cell in NOT_OFFERED:
            assert (row.status, row.detail) == ("not offered", NOT_OFFERED[cell]), told
            assert pd.isna(row.lines), told
        else:
            script = capability._scripts(known[row.framework])[row.capability]
            assert row.lines == program_lines(script, "all"), told
            assert row.status in ("works", "fails"), told
            assert (row.status == "works") == (row.detail == ""), told


def test_mxnets_scripts_work():
    rows = ["autodiff", "convolution", "recurrence", "rbm", "custom_operator", "loop", "condition"]
    found = diglot.check_capabilities("mxnet", [*rows, "devices"], python={"mxnet": sys.executable})
    assert found.table["detail"].tolist() == [""] * 8
    assert found.table["status"].tolist() == ["works"] * 8
    assert found.table["version"].tolist() == [metadata.version("mxnet")] * 8
    assert found.table["lines"].between(5, 40).all()


def test_a_script_in_r_is_given_the_frameworks_own_python(monkeypatch):
    if not shutil.which("Rscript"):
        pytest.skip("needs R")
    monkeypatch.setenv("RETICULATE_PYTHON", "/another/python")  # as who runs R may have it
    given = {}

    def watched(command, variables, *rest, **how):
        given.update(variables, command=command)

    monkeypatch.setattr(capability, "watched", watched)
    diglot.check_capabilities("mxnet", "r", python={"mxnet": sys.executable})
    assert given["RETICULATE_PYTHON"] == given["command"][-1] != "/another/python"


def test_diglots_own_scripts_work():
    rows = [name for name in CAPABILITIES if name != "r"]
    found = diglot.check_capabilities("diglot", rows)
    assert found.table["detail"].tolist() == [""] * 10
    assert found.table["status"].tolist() == ["works"] * 10
    assert set(found.table["version"]) == {diglot.__version__}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_all_scripts_work_where_the_framework_is_installed(name):
    try:
        environment(FRAMEWORKS[name], install=False)
    except MissingPackageError as error:
        pytest.skip(f"{FRAMEWORKS[name].label}: {error}")
    rows = [row for row in CAPABILITIES if row != "r" or shutil.which("Rscript")]
    found = diglot.check_capabilities(name, rows, install=False).table
    if name == "mxnet":  # onnx is in an environment of its own
        found = found[~found["detail"].str.contains("not installed yet")]
    expected = [
        "not offered" if (name, row) in NOT_OFFERED else "works" for row in found.capability
    ]
    assert found["status"].tolist() == expected, found["detail"].tolist()


# ---- what is told


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """Return what is told of a framework whose scripts are planted."""
    tmp_path = tmp_path_factory.mktemp("scripts")
    folder = tmp_path / "fake"
    folder.mkdir()
    shutil.copytree(SCRIPTS / "shared", tmp_path / "shared")
    right = "from problems import custom_operator as given\n# no line\n\n"
    check = "given.check(given.forward(given.x), {})\n"
    (folder / "custom_operator.py").write_text(right + check.format([0, -2, 3, 4, -5, 0]), "utf-8")
    (folder / "loop.py").write_text(right + check.format([0, -2, 3, 4, 5, 0]), "utf-8")
    (folder / "devices.py").write_text("open('left here', 'w')\nraise OSError('<&>')", "utf-8")
    (folder / "rbm.py").write_text("import time; time.sleep(60)\n", "utf-8")
    framework = replace(FRAMEWORKS["jax"], name="fake", label="Fake", environment={})
    names = ["custom_operator", "loop", "devices", "rbm", "onnx_file", "condition"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(capability._KNOWN, "fake", framework)
        patch.setattr(capability, "SCRIPTS", tmp_path)
        patch.setattr(capability, "MOST_SECONDS", 3)
        patch.setitem(NOT_OFFERED, ("fake", "onnx_file"), "https://example.org/files")
        return diglot.check_capabilities("fake", names, python={"fake": sys.executable})


def test_the_table(fake):
    table = fake.table.set_index("capability")
    assert table["status"].to_dict() == {
        "custom_operator": "works", "loop": "fails", "devices": "fails", "rbm": "fails",
        "onnx_file": "not offered", "condition": "not tried",
    }  # fmt: skip
    assert table.loc["custom_operator", "lines"] == 2
    assert table.loc["loop", "detail"].startswith("AssertionError: the gradient is wrong")
    assert table.loc["devices", "detail"] == "OSError: <&>"
    assert "more than 3 s" in table.loc["rbm", "detail"]
    assert table.loc["onnx_file", "detail"] == "https://example.org/files"
    assert pd.isna(table.loc["condition", "lines"])
    assert table.loc["condition", "detail"] == "diglot has no script for it"


def test_it_prints(fake):
    wide = fake.wide()
    assert wide.loc["new operator in Python", "Fake"] == "works (2)"
    assert wide.index.tolist()[0] == "Boltzmann machine"  # in the order of CAPABILITIES
    assert "Fake, several devices: fails: OSError: <&>" in repr(fake)
    assert "&lt;&amp;&gt;" in fake._repr_html_()


def test_it_is_written_and_read(fake, tmp_path):
    fake.to_csv(tmp_path / "found.csv")
    back = FrameworkCapabilities.read_csv(tmp_path / "found.csv")
    pd.testing.assert_frame_equal(back.table, fake.table)
    assert repr(back) == repr(fake) and back.machine == fake.machine
    with pytest.raises(InputError, match="no file"):
        FrameworkCapabilities.read_csv(tmp_path / "lost.csv")
    text = (tmp_path / "found.csv").read_text("utf-8").replace(",works,", ",shines,")
    (tmp_path / "found.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match="status is none of"):
        FrameworkCapabilities.read_csv(tmp_path / "found.csv")


def test_what_is_not_installed_is_not_tried(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGLOT_CACHE", str(tmp_path))
    found = diglot.check_capabilities(["jax", "theano-0.8"], "loop", install=False)
    assert found.table["status"].tolist() == ["not tried"] * 2
    assert "install=False" in found.table["detail"][0]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"frameworks": "pytorch"}, "no framework 'pytorch'"),
        (
            {"capabilities": "custom_operators"},
            "no capability 'custom_operators'.*Did you mean 'custom_operator'",
        ),
        ({"python": {"torhc": "python"}}, "python names 'torhc'"),
        ({"install": "ask"}, "install must be True or False"),
        ({"era": "1998"}, "era must be"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(how, words):
    with pytest.raises(InputError, match=words):
        diglot.check_capabilities(**how)


def test_both_functions_share_their_settings():
    ours, theirs = (
        inspect.signature(function).parameters
        for function in (diglot.check_capabilities, diglot.compare_frameworks)
    )
    for name in ("frameworks", "era", "python", "install", "verbose"):
        assert ours[name].default == theirs[name].default


def test_r_gets_plain_data(fake, monkeypatch, tmp_path):
    given = {}

    def check(frameworks, capabilities, **how):
        given.update(how, frameworks=frameworks, capabilities=capabilities)
        return fake

    monkeypatch.setattr(diglot, "check_capabilities", check)
    answer = bridge.check_capabilities("fake", None, {"era": None, "install": True})
    assert answer["error"] is None, answer["error"]
    assert given["frameworks"] == ["fake"] and given["capabilities"] is None
    value = answer["value"]
    columns = dict(zip(value["table"]["names"], value["table"]["columns"], strict=True))
    assert columns["status"][0] == "works" and columns["lines"][0] == 2
    assert dict(zip(value["capabilities"], value["told"], strict=True)) == CAPABILITIES
    back = {
        "table": dict(columns),
        "machine": value["machine"],
        "date": value["date"],
    }
    bridge.write_capabilities(back, str(tmp_path / "found.csv"))
    again = bridge.read_capabilities(str(tmp_path / "found.csv"))["value"]
    assert again["table"]["columns"][5] == columns["status"]
    assert again["told"] == value["told"]
