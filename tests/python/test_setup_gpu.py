"""``python -m diglot.setup_gpu``: what it decides for a machine, says, runs and undoes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import diglot
from diglot import setup_gpu
from diglot.engine.libraries import LIBRARIES
from diglot.setup_gpu import Machine, main, plan
from test_gpus import fake_nvidia_smi, gpu

ROOT = Path(__file__).parents[2]
A5000, H100 = "0, RTX A5000, 24564 MiB, 8.6\n", "0, H100, 81559 MiB, 9.0\n"


def machine(*capabilities, **changes):
    gpus = tuple(gpu(each, index=index) for index, each in enumerate(capabilities))
    settings = {"system": "Linux", "processor": "x86_64", "python": (3, 11)}
    return Machine(gpus, **{**settings, **changes})


@pytest.mark.parametrize("capability", [(5, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 9)])
def test_a_gpu_up_to_ada_gets_the_build_for_cuda_11(capability):
    todo = plan(machine(capability), "/env/bin/python")
    assert todo.problem == ""
    remove, install = todo.commands
    assert remove == ("/env/bin/python", "-m", "pip", "uninstall", "--yes", "mxnet")
    assert install[:4] == ("/env/bin/python", "-m", "pip", "install")
    assert "mxnet-cu117==1.9.1" in install
    # each library that MXNet looks for comes with a wheel, and numpy stays below 2
    wheels = {re.match(r"nvidia-(.*)-cu11", each)[1] for each in install if "nvidia-" in each}
    assert wheels == {package.replace("_", "-") for package, _ in LIBRARIES}
    assert "numpy>=1.23,<2" in install
    assert "numpy>=1.23,<2" in todo.undo
    assert "setuptools" not in install


def test_the_limits_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{setup_gpu._NUMPY}"' in text
    (oldest, newest) = setup_gpu._PYTHONS
    assert f'requires-python = ">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"' in text
    assert "setuptools" in plan(machine((8, 6), python=(3, 12)), "python").install


def test_what_is_in_the_way_goes_first():
    assert plan(machine((8, 6), builds=("mxnet-cu117",)), "python").remove == ()
    for builds in (("mxnet",), ("mxnet-cu117", "mxnet"), ("mxnet-cu112",)):
        remove = plan(machine((8, 6), builds=builds), "python").remove
        assert set(remove[5:]) == {"mxnet", *builds}


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (machine(), "nvidia-smi lists no GPU"),
        (machine(system="Darwin"), "Intel's processors"),
        (machine((8, 6), system="Windows"), "WSL 2"),
        (machine((8, 6), system="Windows"), 'with "numpy>=1.23,<2" behind'),
        (machine(amd=True), "ROCm"),
        (machine((8, 6), python=(3, 13)), "Python 3.10, 3.11 or 3.12"),
        (machine((8, 6), has_pip=False), "ensurepip"),
        (machine((3, 7)), "5.0 or more"),
        (machine(None), "update the driver"),
    ],
)
def test_where_nothing_can_be_installed_it_says_why_and_what_to_do(where, says):
    todo = plan(where, "python")
    assert says in todo.problem
    assert todo.commands == []


@pytest.mark.parametrize(
    "where",
    [
        machine((9, 0)),
        machine((12, 0), python=(3, 12)),
        machine((9, 0), processor="aarch64"),
        machine((8, 6), processor="aarch64"),
        machine(system="Darwin", processor="arm64"),
    ],
)
def test_what_mxnet_has_no_code_for_gets_pytorch(where):
    todo = plan(where, "/env/bin/python")
    assert (todo.problem, todo.engine, todo.remove, todo.undo) == ("", "torch", (), ())
    # One command: alone, each of them would have numpy as it likes.
    pip = ("/env/bin/python", "-m", "pip", "install")
    assert todo.commands == [(*pip, "torch>=2.0", "numpy>=1.23,<2")]


def test_a_build_of_pytorch_for_the_cpu_goes_first_and_comes_back():
    todo = plan(machine((9, 0), torch="2.13.0+cpu"), "python")
    assert todo.remove[3:] == ("uninstall", "--yes", "torch")
    assert todo.undo[3:] == ("install", "torch==2.13.0+cpu", "numpy>=1.23,<2")
    assert plan(machine((9, 0), torch="2.13.0"), "python").remove == ()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (machine((9, 0)), "driver 590"),
        (machine((12, 0), python=(3, 12)), "cp312"),
        (machine((9, 0), python=(3, 10)), "new environment with Python 3.11"),
    ],
)
def test_mxnets_own_way_to_a_newer_gpu_is_told_too(where, says):
    assert says in plan(where, "python").instead
    assert plan(machine((9, 0), processor="aarch64"), "python").instead == ""


def test_of_several_gpus_one_that_is_served_is_enough():
    todo = plan(machine((9, 0), (8, 6)), "python")
    assert (todo.problem, todo.index) == ("", 1)
    assert len(todo.notes) == 2


class Pip:
    """Keeps the commands that it is given; those with a word in ``failing`` fail."""

    def __init__(self, *failing):
        self.failing, self.commands = failing, []

    def __call__(self, command):
        self.commands.append(tuple(command))
        return int(any(word in command for word in self.failing))


def run(arguments, pip, capsys):
    status = main(["--python", "/env/bin/python", *arguments], pip)
    return status, capsys.readouterr().out


def printed(text):
    return [tuple(shlex.split(line)) for line in text.splitlines() if line.startswith("  ")]


def test_a_dry_run_prints_exactly_what_a_run_runs(tmp_path, monkeypatch, capsys):
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    dry, real = Pip(), Pip()
    status, said = run(["--dry-run"], dry, capsys)
    assert (status, dry.commands) == (0, [])
    status, _ = run(["--yes"], real, capsys)
    assert status == 0
    assert printed(said) == real.commands[:2]
    (verify,) = real.commands[2:]
    assert verify[:2] == ("/env/bin/python", "-c")
    assert "verify_gpu(0)" in verify[2]


def test_nothing_runs_unasked(tmp_path, monkeypatch, capsys):
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    monkeypatch.setattr(sys, "stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115
    pip = Pip()
    status, said = run([], pip, capsys)
    sys.stdin.close()
    assert (status, pip.commands) == (0, [])
    assert "Nothing was changed" in said


def test_an_answer_at_the_terminal_decides(tmp_path, monkeypatch, capsys):
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    for answer, count in (("y\n", 3), ("Yes\n", 3), ("n\n", 0), ("\n", 0), ("", 0)):
        terminal = type(
            "Terminal", (), {"isatty": lambda s: True, "readline": lambda s, a=answer: a}
        )
        monkeypatch.setattr(sys, "stdin", terminal())
        pip = Pip()
        run([], pip, capsys)
        assert len(pip.commands) == count


def test_what_fails_leaves_the_build_for_the_cpu(tmp_path, monkeypatch, capsys):
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    pip = Pip("uninstall")
    assert run(["--yes"], pip, capsys)[0] == 1
    assert len(pip.commands) == 1
    pip = Pip("mxnet-cu117==1.9.1")
    assert run(["--yes"], pip, capsys)[0] == 1
    assert pip.commands[-1][3:] == ("install", "mxnet>=1.9.1", "numpy>=1.23,<2")
    pip = Pip("-c")  # installed, but the GPU does not compute
    status, said = run(["--yes"], pip, capsys)
    assert status == 1
    assert "does not work yet" in said


def test_a_newer_gpu_is_set_up_with_pytorch_and_computes(tmp_path, monkeypatch, capsys):
    fake_nvidia_smi(tmp_path, monkeypatch, H100)
    dry, real = Pip(), Pip()
    status, said = run(["--dry-run"], dry, capsys)
    assert (status, dry.commands) == (0, [])
    assert "compute capability 9.0: served by mxnet 2.0 for CUDA 13 and by PyTorch" in said
    status, _ = run(["--yes"], real, capsys)
    assert status == 0
    install, verify = real.commands
    shown = [line for line in said.splitlines() if re.match("  [^ ]", line)]
    assert [tuple(shlex.split(line)) for line in shown] == [install]
    assert verify[:2] == ("/env/bin/python", "-c")
    assert "torch_verify" in verify[2] and "verify_gpu(0)" in verify[2]
    failing = Pip("-c")  # installed, but the GPU does not compute
    status, said = run(["--yes"], failing, capsys)
    assert status == 1
    assert "does not work yet" in said and "builds for the CPU" in said


def test_what_is_verified_is_what_is_installed(monkeypatch):
    from diglot.gpus import CPU, CUDA13

    for build, torch, wanted in (
        (CPU, "2.13.0", ("torch", 0)),
        (None, "2.13.0", ("torch", 0)),
        (CUDA13, "2.13.0", ("mxnet", 0)),
        (CPU, "", ("mxnet", 0)),
        (CPU, "2.13.0+cpu", ("mxnet", 0)),
    ):
        monkeypatch.setattr(setup_gpu, "installed_build", lambda build=build: build)
        assert setup_gpu._in_use(machine((9, 0), torch=torch)) == wanted


def test_it_runs_as_a_module_without_any_package(tmp_path, monkeypatch):
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    environment = {**os.environ, "PYTHONPATH": str(Path(diglot.__file__).parents[1])}

    def told(*arguments):
        # -S: no site-packages, as before anything is installed
        return subprocess.run(
            [sys.executable, "-S", "-m", "diglot.setup_gpu", *arguments],
            capture_output=True,
            text=True,
            env=environment,
        )

    done = told("--dry-run", "--python", "/env/bin/python")
    assert done.returncode == 0, done.stderr
    assert len(printed(done.stdout)) == 2
    assert done.stderr == ""


def test_verification_fails_in_words_where_the_build_does_not_serve_the_gpu(tmp_path, monkeypatch):
    from diglot.gpus import installed_build

    build = installed_build()
    if build is None or build.for_gpus:
        pytest.skip("MXNet is built for GPUs here")
    fake_nvidia_smi(tmp_path, monkeypatch, A5000)
    done = subprocess.run(
        [sys.executable, "-m", "diglot.setup_gpu", "--verify"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "does not work yet" in done.stdout
    assert "compute capability 8.6" in done.stderr
    assert "Traceback" not in done.stderr
