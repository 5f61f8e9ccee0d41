"""The comparison of frameworks: environments, runs, the flag of disagreement, the result."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import diglot
from diglot import InputError, bridge
from diglot.comparison import FRAMEWORKS, FrameworkComparison, environments, measures, study
from diglot.comparison.environments import Environment, environment, find_python
from diglot.comparison.frameworks import OTHER_NAMES, chosen_frameworks
from diglot.comparison.measures import RUNNERS, RunError, program_lines, run_once
from diglot.errors import InterruptedFitWarning, MissingPackageError
from test_comparison_tasks import tiny

FAKE = replace(
    FRAMEWORKS["jax"], name="fake", label="Fake", package="fakeframework", environment={},
    pythons=(sys.version_info[:2], sys.version_info[:2]),
)  # fmt: skip


def wheel(folder, name="fakeframework", requires=()):
    """Make a wheel with one module of 1,000 bytes."""
    path = folder / f"{name}-1.5-py3-none-any.whl"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5"]
    lines += [f"Requires-Dist: {text}" for text in requires]
    files = {
        f"{name}.py": "#" * 1000,
        f"{name}-1.5.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{name}-1.5.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
    }
    record = []
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.append(f"{file},sha256={digest.decode()},{len(text)}\n")
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{name}-1.5.dist-info/RECORD", "".join(record))
    return str(path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGLOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nothing is downloaded
    return tmp_path / "cache" / "frameworks"


# ---- environments


def test_an_environment_is_made_once_and_anew_after_an_interrupt(tmp_path, cache, monkeypatch):
    framework = replace(FAKE, requirements=(wheel(tmp_path),))
    with pytest.raises(MissingPackageError, match="not installed yet, and install=False"):
        environment(framework, install=False)
    made = environment(framework)
    assert made.version("fakeframework") == "1.5" and made.seconds > 0
    assert 1000 < made.size(framework) < 10_000
    monkeypatch.setattr(environments, "_made", None)  # would fail
    again = environment(framework, install=False)
    assert again.python == made.python and again.seconds == 0
    # One without its stamp was not finished.
    (made.python.parents[1] / "diglot.json").unlink()
    with pytest.raises(MissingPackageError, match="not installed yet"):
        environment(framework, install=False)
    with pytest.raises(TypeError):
        environment(framework)


def test_what_pip_cannot_install_is_a_reason(tmp_path, cache):
    framework = replace(FAKE, requirements=(str(tmp_path / "missing-1.0-py3-none-any.whl"),))
    with pytest.raises(
        MissingPackageError, match=r"^(ERROR|WARNING): .*missing-1.0.* \(the whole log"
    ):
        environment(framework)
    assert not list(cache.glob("*/diglot.json"))


def test_a_python_that_the_user_names_is_taken_as_it_is(cache):
    here = environment(FAKE, python=sys.executable)
    assert here.version("NumPy") == np.__version__
    assert here.size(replace(FAKE, package="safetensors", requirements=())) > 10_000
    assert not cache.exists()
    with pytest.raises(MissingPackageError, match="there is no Python '/nowhere/python'"):
        environment(FAKE, python="/nowhere/python")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return an environment with packages of about the same size."""
    import subprocess

    folder = tmp_path_factory.mktemp("wheels")
    wheels = [
        wheel(folder, "one", ["two>=1", "three; extra == 'gpu13'", "four; extra == 'test'"]),
        wheel(folder, "two", ["one"]),
        wheel(folder, "three"),
        wheel(folder, "four"),
        wheel(folder, "tensorflow", ["three"]),
        wheel(folder, "mxnet_cu117"),
    ]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target",
         str(folder / "site"), *wheels],
        check=True,
    )  # fmt: skip
    return Environment(folder, folder / "site")


def test_a_package_counts_with_what_it_requires(site):
    def size(*requirements, gpu=(), device="cpu", package="one", engine=""):
        return site.size(
            replace(FAKE, package=package, engine=engine, requirements=requirements, gpu=gpu),
            device,
        )

    three = size("three", package="three")
    assert three > 1000
    assert size("one") == pytest.approx(2 * three, rel=0.1)
    assert size("one>=1", "three>=1") == size("one") + three
    # An extra brings more along; a GPU's, of whatever version.
    assert size("one[gpu12]>=1") == size("one[test,gpu13]") - size("four", package="four")
    assert size("one[gpu12]>=1") == size("one") + three
    assert size("one", gpu=("one[gpu13]",), device="gpu") == size("one") + three


def test_a_framework_under_another_name_counts_and_one_that_is_not_there_does_not(site):
    tensorflow = site.size(FRAMEWORKS["tensorflow"])
    assert tensorflow == site.size(FRAMEWORKS["tensorflow"], "gpu") > 2000  # with what it requires
    assert site.version("tensorflow-cpu") == "1.5"
    assert site.size(FRAMEWORKS["mxnet"]) == site.size(FRAMEWORKS["mxnet"], "gpu") > 1000
    assert site.version("mxnet") == "1.5"
    assert np.isnan(site.size(FRAMEWORKS["jax"])) and site.version("jax") == ""
    # Keras without what it computes by would look small.
    keras = replace(FRAMEWORKS["keras-tensorflow"], package="two")
    assert site.size(keras) > tensorflow
    assert np.isnan(site.size(replace(keras, engine="jax")))


def test_every_framework_can_be_sized():
    for framework in FRAMEWORKS.values():
        for device in ("cpu", "gpu"):
            names = [environments._name(text).lower() for text in framework.needs(device)]
            known = {
                name.lower()
                for core in (framework.package, framework.engine)
                for name in (core, *OTHER_NAMES.get(core, ()))
            }
            assert not names or known & set(names), framework


@pytest.mark.skipif(os.name == "nt", reason="a script of the shell")
def test_old_pythons_are_found_among_pyenvs(tmp_path, monkeypatch):
    for version, says in (("3.6.9", "3.6"), ("3.6.15", "3.6"), ("3.5.2", "broken")):
        name = "python" + ".".join(version.split(".")[:2])
        program = tmp_path / "versions" / version / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho {says}\n", encoding="ascii")
        program.chmod(0o755)
    launchers = tmp_path / "shims"  # pyenv's launchers may be there and run nothing
    launchers.mkdir()
    (launchers / "python3.6").write_text("#!/bin/sh\nexit 127\n", encoding="ascii")
    (launchers / "python3.6").chmod(0o755)
    monkeypatch.setenv("PATH", f"{launchers}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python((3, 6), (3, 6)) == tmp_path / "versions/3.6.15/bin/python3.6"
    assert find_python((3, 5), (3, 5)) is None


def test_builds_for_the_cpu_go_before_those_with_cuda(monkeypatch):
    told = (
        "torch (2.15.0)\nAvailable versions: 2.15.0, 2.9.1+cpu, 2.13.0+cpu, 2.13.0, 2.0.0+cu118\n"
    )
    monkeypatch.setattr(environments, "_asked", lambda command: told)
    wanted = environments._with_local_build(["pip"], ["torch>=2", "numpy"], ("torch", "cpu"))
    assert wanted == ["torch==2.13.0+cpu", "numpy"]
    monkeypatch.setattr(environments, "_asked", lambda command: None)
    wanted = environments._with_local_build(["pip"], ["torch>=2", "numpy"], ("torch", "cpu"))
    assert wanted == ["torch>=2", "numpy"]


def test_frameworks_by_name_and_era():
    five = ["mxnet", "tensorflow", "torch", "jax", "pytensor"]
    assert [f.name for f in chosen_frameworks()] == five
    assert {f.era for f in chosen_frameworks(era="2016")} == {"2016"}
    assert [f.name for f in chosen_frameworks(["jax", "theano-0.8", "jax"], "2016")] == [
        "theano-0.8"
    ]
    with pytest.raises(InputError, match="no framework 'pytorch'.*Did you mean"):
        chosen_frameworks(["pytorch"])
    with pytest.raises(InputError, match="era must be"):
        chosen_frameworks(era="1998")
    with pytest.raises(InputError, match="none of the frameworks is of era '2016'"):
        chosen_frameworks("jax", "2016")


@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_every_framework_has_a_runner_with_all_tasks(framework):
    lines = {
        task: program_lines(RUNNERS / framework.runner, task) for task in ("lenet", "cnn", "lstm")
    }
    shared = program_lines(RUNNERS / framework.runner, "none")
    assert all(shared < count < 100 for count in lines.values())
    assert "diglot" not in (RUNNERS / framework.runner).read_text(encoding="utf-8")


# ---- runs

HERE = Environment(measures.Path(sys.executable), measures.Path("/nowhere"))
ANSWER = (
    'import json, sys\njson.dump(dict(version="1", python="3", import_seconds=1, memory=1, '
    'epochs=[dict(seconds=1, steps=1)], losses=[1.0], right=1, n=2), open(sys.argv[2], "w"))\n'
)


def fake_run(folder, program, timeout=60.0):
    script = folder / "runner.py"
    script.write_text(program, encoding="utf-8")
    given = tiny("lenet-mnist")
    return run_once(FAKE, HERE, given, threads=1, runner=script, timeout=timeout)


def test_the_memory_of_children_counts(tmp_path):
    child = "import time; held = bytearray(300_000_000); time.sleep(1.5)"
    found = fake_run(
        tmp_path,
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '{child}'])\n" + ANSWER,
    )
    assert found.right == 1 and found.losses == [1.0]
    if sys.platform == "linux":
        assert 300e6 < found.memory < 600e6


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('first')\nraise ValueError('no such layer')", "ValueError: no such layer"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("", "ended without an answer"),
        (ANSWER.replace("right=1", "right=3"), "more images right than there are"),
        (ANSWER.replace("losses=[1.0]", "losses=[]"), "not one loss for each step"),
        (ANSWER.replace("import_seconds=1", "import_seconds='1'"), "TypeError"),
        (ANSWER.replace("memory=1", "memory=-1"), "ValueError"),
        ("import sys; open(sys.argv[2], 'w').write('[')", "JSONDecodeError"),
    ],
)
def test_a_run_that_fails_says_why(tmp_path, program, words):
    with pytest.raises(RunError, match=words):
        fake_run(tmp_path, program)


def test_what_a_device_is_asked_for_by(tmp_path):
    cpu, gpu = (
        measures.runner_settings(FAKE, HERE, 2, tmp_path, device) for device in ("cpu", "gpu")
    )
    assert cpu["CUDA_VISIBLE_DEVICES"] == "" and cpu["JAX_PLATFORMS"] == "cpu"
    assert cpu["OMP_NUM_THREADS"] == gpu["OMP_NUM_THREADS"] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in gpu  # the user's own stays
    assert gpu["NVIDIA_TF32_OVERRIDE"] == "0" and gpu["JAX_PLATFORMS"].startswith("cuda")
    assert gpu["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"


@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_every_runner_tells_where_it_computed(framework):
    text = (RUNNERS / framework.runner).read_text(encoding="utf-8")
    assert text.count("run.on(") == 1
    assert text.index("run.epoch_done(") < text.index("run.on(") < text.index("run.finish(")


@pytest.mark.parametrize(
    ("device", "where", "right"),
    [
        ("cpu", "cpu(0)", True), ("cpu", "/job:localhost/replica:0/task:0/device:CPU:0", True),
        ("cpu", "TFRT_CPU_0", True), ("cpu", "cuda:0", False), ("gpu", "cuda:0", True),
        ("gpu", "gpu(0)", True), ("gpu", "cpu", False), ("gpu", "/device:CPU:0", False),
    ],
)  # fmt: skip
def test_a_runner_on_the_wrong_device_fails(tmp_path, device, where, right):
    program = f"from handover import Run\nrun = Run('channels first')\nrun.on({where!r})\n{ANSWER}"
    script = tmp_path / "runner.py"
    script.write_text(program, encoding="utf-8")
    how = {"threads": 1, "device": device, "runner": script}
    if right:
        assert run_once(FAKE, HERE, tiny("lstm"), **how).right == 1
    else:
        with pytest.raises(RunError, match=r"it computed on .*, not on a [CG]PU"):
            run_once(FAKE, HERE, tiny("lstm"), **how)


def test_mxnet_on_a_processor_is_not_taken_for_one_on_a_gpu(small, cache):
    found = diglot.compare_frameworks(
        "mxnet", "lstm", epochs=2, rounds=1, device="gpu", python={"mxnet": sys.executable}
    )
    assert found.table["problem"][0] != ""  # this build has no GPUs


@pytest.mark.skipif(os.name == "nt", reason="a script of the shell")
def test_the_memory_of_the_gpu_that_is_shown_is_what_counts(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    asked = tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho 512\n', encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert measures._gpu_memory() == 512 * 2**20
    assert asked.read_text("ascii").split()[-1] == "--id=3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    measures._gpu_memory()
    assert asked.read_text("ascii").split()[-1] == "--id=0"


def test_a_run_that_hangs_is_ended(tmp_path):
    with pytest.raises(RunError, match="more than 0.5 s"):
        fake_run(tmp_path, "import time; time.sleep(60)", timeout=0.5)


# ---- the study


@pytest.fixture
def small(monkeypatch):
    """Make every task a few images of noise."""
    monkeypatch.setattr(study, "prepare_task", lambda task, **how: tiny(task, epochs=how["epochs"]))


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """Add a framework that is MXNet, but that learns at another rate."""
    source = (RUNNERS / FRAMEWORKS["mxnet"].runner).read_text(encoding="utf-8")
    assert "run.rate" in source
    script = tmp_path / "mxnet_planted.py"
    script.write_text(source.replace("run.rate", "1.1 * run.rate"), encoding="utf-8")
    framework = replace(FRAMEWORKS["mxnet"], name="planted", label="Planted", runner=str(script))
    monkeypatch.setitem(FRAMEWORKS, "planted", framework)
    return framework


def test_a_framework_that_computes_something_else_is_told_of_and_not_ranked(small, planted, cache):
    python = {"mxnet": sys.executable, "planted": sys.executable}
    found = diglot.compare_frameworks(
        ["planted", "mxnet", "jax"], epochs=2, rounds=1, python=python, install=False
    )
    table = found.table.set_index("framework")
    assert not table.loc["planted", "agrees"] and table.loc["mxnet", "agrees"]
    assert pd.isna(table.loc["jax", "agrees"])
    assert table.loc["mxnet", "difference"] < 1e-5 < 1e-3 < table.loc["planted", "difference"]
    assert table.loc["mxnet", "rank"] == 1 and pd.isna(table.loc["planted", "rank"])
    assert found.versions == {"planted": "1.9.1", "mxnet": "1.9.1"}
    assert (
        found.skipped["framework"].tolist() == ["jax"]
        and "install=False" in found.skipped["problem"][0]
    )
    assert "Planted computes something else" in repr(found)
    assert found.summary()["framework"].unique().tolist() == ["mxnet"]
    # Plausible: 64 test images; two epochs of two batches after the first step.
    row = table.loc["mxnet"]
    assert row["n"] == 64 and row["accuracy_lower"] <= row["accuracy"] <= row["accuracy_upper"]
    assert 0.05 < row["import_seconds"] < 60 and 50 < row["memory_mib"] < 5000
    assert row["installed_mib"] > 20 and "OMP_NUM_THREADS=" in row["settings"]
    times = found.epoch_times[found.epoch_times["framework"] == "mxnet"]
    assert times["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(times["images_per_second"] * times["seconds"], 128)
    assert row["images_per_second"] == times["images_per_second"].iloc[1]  # the first warms up
    assert len(found.losses) == 2 * 5


@pytest.mark.parametrize("task", ["cnn-64", "lstm"])
def test_mxnets_other_tasks_agree(small, task):
    python = {"mxnet": sys.executable}
    found = diglot.compare_frameworks("mxnet", task, epochs=2, rounds=1, python=python)
    assert found.table["problem"].tolist() == [""]
    assert found.table["difference"][0] < 1e-5


@pytest.mark.parametrize("task", ["lenet-mnist", "cnn-64", "lstm"])
@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if name != "mxnet"])
def test_other_frameworks_agree_where_they_are_installed(small, name, task):
    try:
        environment(FRAMEWORKS[name], install=False)
    except MissingPackageError as error:
        pytest.skip(f"{FRAMEWORKS[name].label}: {error}")
    found = diglot.compare_frameworks(name, task, epochs=2, rounds=1, install=False)
    assert found.table["problem"].tolist() == [""]
    assert found.table["difference"][0] < 1e-4


def measured(seconds, loss=1.0):
    return measures.Measured(
        version="1", python="3.11", import_seconds=1.0, epoch_seconds=[2.0, seconds, seconds],
        epoch_steps=[1, 2, 2], losses=[loss] * 5, right=3, n=4, memory=2**20, device_memory=0,
    )  # fmt: skip


def test_frameworks_take_turns_and_one_that_fails_is_left_out(small, monkeypatch):
    order = []

    def run(framework, where, given, **how):
        order.append(framework.name)
        if framework.name == "torch":
            raise RunError("it broke")
        return measured(1.0)

    monkeypatch.setattr(study, "run_once", run)
    monkeypatch.setattr(study, "environment", lambda framework, **how: HERE)
    monkeypatch.setattr(study, "reference_losses", lambda given: np.ones(5))
    found = diglot.compare_frameworks(["mxnet", "torch", "jax"], rounds=3)
    assert order == ["mxnet", "torch", "jax", "jax", "mxnet", "mxnet", "jax"]
    assert found.skipped["problem"].tolist() == ["it broke"]
    assert found.table["problem"].tolist() == ["", "it broke", ""]


def test_an_interrupt_keeps_what_was_measured(small, monkeypatch):
    def run(framework, where, given, **how):
        if framework.name == "torch":
            raise KeyboardInterrupt
        return measured(1.0)

    monkeypatch.setattr(study, "run_once", run)
    monkeypatch.setattr(study, "environment", lambda framework, **how: HERE)
    monkeypatch.setattr(study, "reference_losses", lambda given: np.ones(5))
    with pytest.warns(InterruptedFitWarning):
        found = diglot.compare_frameworks(["mxnet", "torch"])
    assert found.versions == {"mxnet": "1"}
    with pytest.raises(KeyboardInterrupt):
        diglot.compare_frameworks(["torch"])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"epochs": 1}, "epochs must be a whole number from 2"),
        ({"rounds": 0}, "rounds must be"),
        ({"device": "tpu"}, "device must be"),
        ({"python": {"torhc": "python"}}, "python names 'torhc'"),
        ({"python": "python"}, "python must map"),
        ({"install": "ask"}, "install must be True or False"),
        ({"task": "mnist"}, "task must be one of"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(how, words):
    with pytest.raises(InputError, match=words):
        diglot.compare_frameworks("mxnet", **how)


def test_losses_that_differ():
    assert study.largest_difference([2.0, 1.0], np.array([2.0, 1.0])) == 0
    assert study.largest_difference([2.0], np.array([2.0, 1.0])) == np.inf
    assert study.largest_difference([2.0, np.nan], np.array([2.0, 1.0])) == np.inf


# ---- the result


@pytest.fixture
def result(small, monkeypatch):
    """Return a comparison with figures that are known."""
    runs = {"mxnet": measured(1.0), "torch": measured(2.0), "jax": measured(0.5, loss=2.0)}

    def run(framework, where, given, **how):
        if framework.name not in runs:
            raise RunError("<it & broke>")
        return runs[framework.name]

    monkeypatch.setattr(study, "run_once", run)
    monkeypatch.setattr(study, "environment", lambda framework, **how: HERE)
    monkeypatch.setattr(study, "reference_losses", lambda given: np.ones(5))
    return diglot.compare_frameworks(["jax", "mxnet", "torch", "pytensor"], rounds=2)


@pytest.fixture
def on_gpu(result):
    """Return the same as if a GPU had been used."""
    table = result.table.assign(device_memory_mib=[900.0, 1200.0, 600.0, np.nan])
    return replace(result, table=table, device="gpu")


def test_the_table(result):
    table = result.table.set_index("framework")
    # Two batches of 64 in a second.
    assert table["images_per_second"].tolist()[:3] == [256, 128, 64]
    assert table["rank"].tolist()[1:3] == [1, 2] and table["rank"].isna().tolist()[0]
    assert table.loc["mxnet", "accuracy"] == 0.75
    assert table.loc["mxnet", "accuracy_lower"] == pytest.approx(0.30064, abs=1e-5)  # Wilson's
    assert result.summary().query("measure == 'images_per_second'")["ratio"].tolist() == [1, 0.5]


def test_what_was_not_measured_is_not_ranked(result):
    """Such as the size of packages whose names are not known."""
    assert result.table["installed_mib"].isna().all()
    assert "installed_mib" not in set(result.summary()["measure"])
    table = result.table.assign(installed_mib=[5.0, np.nan, 300.0, np.nan])
    found = replace(result, table=table.assign(import_seconds=[1.0, 0.0, 2.0, np.nan])).summary()
    for measure in ("installed_mib", "import_seconds"):
        ranked = found[found["measure"] == measure]
        assert ranked["framework"].tolist() == ["torch"] and ranked["ratio"].tolist() == [1]
    assert np.isfinite(found[["value", "ratio"]].to_numpy()).all()
    assert "nan" not in repr(result)


def test_memory_of_a_gpu_is_shown_where_it_was_measured(result, on_gpu):
    assert "GPU MiB" not in repr(result) and len(result.plot().axes) == 3
    assert "GPU MiB" in repr(on_gpu) and " 1,200 " in repr(on_gpu)
    panel = on_gpu.plot().axes[3]
    assert panel.get_xlabel() == "memory of the GPU, MiB"
    assert [bar.get_width() for bar in panel.patches] == [900, 1200, 600]
    ranked = on_gpu.summary().query("measure == 'device_memory_mib'")
    assert ranked["framework"].tolist() == ["torch", "mxnet"] and ranked["ratio"].iloc[1] == 2


def test_it_prints(result):
    text = repr(result)
    assert text.index("MXNet") < text.index("PyTorch") < text.index("JAX")
    assert "pytensor was not measured: <it & broke>" in text
    assert "&lt;it &amp; broke&gt;" in result._repr_html_()


def test_a_file_that_does_not_say_how_long_it_took_is_read(result, tmp_path):
    result.to_csv(tmp_path / "found.csv")
    table = pd.read_csv(tmp_path / "found.csv", dtype=str).drop(columns="wall_seconds")
    table.to_csv(tmp_path / "found.csv", index=False)
    back = FrameworkComparison.read_csv(tmp_path / "found.csv")
    assert np.isnan(back.wall_seconds) and back.epochs == result.epochs
    back.to_csv(tmp_path / "again.csv")
    assert np.isnan(FrameworkComparison.read_csv(tmp_path / "again.csv").wall_seconds)


def test_it_is_written_and_read(result, tmp_path):
    written = result.to_csv(tmp_path / "found.csv")
    assert [path.name for path in written] == ["found.csv", "found-epochs.csv", "found-losses.csv"]
    back = FrameworkComparison.read_csv(tmp_path / "found.csv")
    pd.testing.assert_frame_equal(back.table, result.table)
    pd.testing.assert_frame_equal(back.epoch_times, result.epoch_times, check_dtype=False)
    pd.testing.assert_frame_equal(back.losses, result.losses, check_dtype=False)
    assert (
        repr(back) == repr(result) and back.machine == result.machine and back.seed == result.seed
    )
    assert back.wall_seconds == result.wall_seconds >= 0
    with pytest.raises(InputError, match="there is no file"):
        FrameworkComparison.read_csv(tmp_path / "lost.csv")
    (tmp_path / "found.csv").write_text("framework\nmxnet\n", encoding="utf-8")
    with pytest.raises(InputError, match="is no comparison"):
        FrameworkComparison.read_csv(tmp_path / "found.csv")
    with pytest.raises(InputError, match="cannot be written"):
        result.to_csv(tmp_path / "no" / "folder.csv")


def test_it_is_drawn(result):
    speed, accuracy, memory = result.plot().axes
    bars = {
        t.get_text(): bar.get_width()
        for t, bar in zip(speed.get_yticklabels(), speed.patches, strict=True)
    }
    assert bars == {"JAX": 256, "MXNet": 128, "PyTorch": 64}
    assert accuracy.collections[-1].get_offsets()[:, 0].tolist() == [1, 2, 4]  # seconds
    assert [bar.get_width() for bar in memory.patches] == [1, 1, 1]
    colours = [bar.get_facecolor() for bar in speed.patches]
    assert colours[0] != colours[1] == colours[2]  # what disagrees is grey
    with pytest.raises(InputError, match="nothing to draw"):
        diglot.plots.plot_frameworks(result.table.assign(problem="?"), result.epoch_times)


def test_names_beside_equal_accuracies_are_apart(result):
    times = result.epoch_times.assign(seconds=[1.0, 1.001] * 6)
    _, accuracy, _ = diglot.plots.plot_frameworks(result.table, times).axes
    places = sorted(text.get_position()[0] for text in accuracy.texts)
    assert len(places) == 3 and min(np.diff(places)) > 0.1
    assert [text.get_text().strip() for text in accuracy.texts] == ["JAX", "MXNet", "PyTorch"]


def test_r_gets_plain_data(result, monkeypatch, tmp_path):
    given = {}

    def compare(frameworks, task, **how):
        given.update(how, frameworks=frameworks, task=task)
        return result

    monkeypatch.setattr(diglot, "compare_frameworks", compare)
    monkeypatch.setenv("DIGLOT_CACHE", "before")
    options = {"epochs": 3.0, "seed": 7.0, "python": {"jax": "python3"}, "era": None}
    options["cache"] = str(tmp_path)
    answer = bridge.compare_frameworks("jax", "lstm", options)
    assert answer["error"] is None, answer["error"]
    assert given["frameworks"] == ["jax"] and given["task"] == "lstm"
    # R's variables may have changed since Python began.
    assert "cache" not in given and os.environ["DIGLOT_CACHE"] == str(tmp_path)
    bridge.compare_frameworks("jax", "lstm", {"cache": ""})
    assert "DIGLOT_CACHE" not in os.environ
    assert given["epochs"] == 3 and type(given["epochs"]) is int and given["seed"] == 7
    value = answer["value"]
    columns = dict(zip(value["table"]["names"], value["table"]["columns"], strict=True))
    assert columns["framework"] == ["jax", "mxnet", "torch", "pytensor"]
    np.testing.assert_array_equal(columns["agrees"], [0, 1, 1, np.nan])
    np.testing.assert_array_equal(columns["rank"], [np.nan, 1, 2, np.nan])
    assert value["machine"].keys() == {"processor", "cores", "memory_mib", "system", "gpu"}
    assert value["date"] == result.date and value["rounds"] == 2
    result.to_csv(tmp_path / "found.csv")
    again = bridge.read_frameworks(str(tmp_path / "found.csv"))["value"]
    assert again["table"]["names"] == value["table"]["names"]
    assert bridge.read_frameworks(str(tmp_path / "lost.csv"))["error"]["kinds"] == ["input"]
