"""check_setup() and devices(), on this machine and on machines that are made up."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import diglot
from diglot import gpus, installation
from diglot.errors import MissingPackageError

ROOT = Path(__file__).parents[2]
GPU_LINES = "0, NVIDIA RTX A5000, 24564 MiB, 8.6\n1, NVIDIA H100 80GB HBM3, 81559 MiB, 9.0\n"


def row(table, requirement):
    (found,) = table[table.requirement == requirement].to_dict("records")
    return found


def machine(monkeypatch, outputs):
    """Make the programs of the machine answer what ``outputs`` holds by name."""

    def output(command):
        return outputs.get(Path(command[0]).name, "")

    monkeypatch.setattr(installation, "_output", output)
    monkeypatch.setattr(gpus, "_told", lambda: outputs.get("nvidia-smi", ""))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def without(monkeypatch, name):
    real = importlib.metadata.version

    def version(distribution):
        if distribution == name:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(distribution)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_this_machine_has_all_that_is_needed():
    table = diglot.check_setup()
    assert list(table.columns) == ["requirement", "found", "ok", "fix", "optional"]
    needed = table[~table.optional]
    assert needed.ok.all(), needed
    assert (needed.fix == "").all()
    assert row(table, "Python")["found"] == ".".join(map(str, sys.version_info[:3]))


def test_the_versions_are_those_that_the_packages_tell():
    import numpy
    import pandas
    import PIL
    import safetensors
    import skimage
    import sklearn

    table = diglot.check_setup().set_index("requirement")
    modules = {
        "numpy": numpy,
        "pandas": pandas,
        "pillow": PIL,
        "safetensors": safetensors,
        "scikit-image": skimage,
        "scikit-learn": sklearn,
    }
    for name, module in modules.items():
        assert table.found[name] == module.__version__


def test_the_table_of_needs_is_that_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.S | re.M)[1]
    named = dict(re.findall(r'^ +"([a-z-]+)([^";]*)', block, re.M))
    # The engines have rows of their own; setuptools stands in for distutils, which MXNet tries.
    assert set(named) - {"mxnet", "torch", "setuptools"} == set(installation._NEEDED)
    for name, (low, high) in installation._NEEDED.items():
        assert named[name] == f">={low}" + (f",<{high}" if high else "")
    low, high = installation._PYTHON
    assert f'requires-python = ">={low},<{high}"' in text


def test_a_missing_package_comes_with_the_command_that_installs_it(monkeypatch):
    without(monkeypatch, "safetensors")
    found = row(diglot.check_setup(), "safetensors")
    assert (found["found"], found["ok"]) == ("none", False)
    assert found["fix"].startswith(sys.executable)
    assert 'pip install "safetensors>=' in found["fix"]


def test_errors_name_the_versions_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    known = set(re.findall(r'"([a-z_0-9]+[<>=]=[^"; ]+)[";]', text))
    told = {}
    for file in (ROOT / "python" / "diglot").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        for each in re.findall(r"""pip install \\?['"]([a-z_0-9]+[<>=][^'"\\ ]*)""", source):
            told.setdefault(each, file.name)
    assert {"hub.py", "meteor.py", "scoring.py", "session.py"} <= set(told.values())
    assert set(told) <= known, set(told) - known


@pytest.mark.parametrize(
    ("system", "processor", "engine"),
    [
        ("linux", "x86_64", "mxnet"),
        ("linux", "aarch64", "mxnet"),
        ("linux", "ppc64le", "torch"),
        ("linux", "riscv64", "torch"),
        ("darwin", "x86_64", "mxnet"),
        ("darwin", "arm64", "torch"),
        ("win32", "AMD64", "torch"),
    ],
)
def test_each_machine_gets_the_engine_that_there_is(system, processor, engine):
    from packaging.requirements import Requirement

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.S | re.M)[1]
    where = {"sys_platform": system, "platform_machine": processor}
    needs = [Requirement(each) for each in re.findall(r'^ +"(.*)",$', block, re.M)]
    found = [n.name for n in needs if n.marker is None or n.marker.evaluate(where)]
    assert {"mxnet", "torch"} & set(found) == {engine}


def test_threads_are_those_of_what_computes(monkeypatch):
    from diglot.engine import mxnet, torch

    def there_is_none():
        raise MissingPackageError("there is no MXNet")

    monkeypatch.setattr(mxnet, "devices", there_is_none)
    monkeypatch.setattr(torch, "is_installed", lambda: True)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "2.3" if name == "torch" else real(name)
    )
    monkeypatch.setattr(torch, "threads", lambda: 7)
    monkeypatch.setattr("diglot.engine.device.may_have_gpu", lambda: False)
    (found,) = diglot.devices().query("device == 'cpu'").to_dict("records")
    assert (found["engine"], found["threads"]) == ("torch 2.3", 7)


@pytest.mark.parametrize(
    ("version", "ok"),
    [("1.22.4", False), ("1.23", True), ("1.23.0rc1", True), ("1.26.4", True), ("2.0.0", False)],
)
def test_versions_are_compared_as_numbers(monkeypatch, version, ok):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    found = installation._check_package("numpy")
    assert (found.ok, found.fix == "") == (ok, ok)


def test_without_pandas_the_rows_are_still_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(installation.setup_rows()) > 8
    with pytest.raises(MissingPackageError, match="pandas"):
        diglot.check_setup()


def test_mxnet_that_does_not_load_is_reported_not_raised(monkeypatch):
    from diglot.engine import mxnet, torch

    monkeypatch.setattr(torch, "is_installed", lambda: False)

    def broken():
        raise MissingPackageError("MXNet cannot be loaded (libgomp.so.1); install it with: ...")

    monkeypatch.setattr(mxnet, "load", broken)
    mxnet.gpu_count.cache_clear()
    try:
        found = row(diglot.check_setup(), "MXNet")
        (device,) = diglot.devices().to_dict("records")[:1]
    finally:
        mxnet.gpu_count.cache_clear()
    assert not found["ok"]
    assert "libgomp" in found["fix"]
    assert not device["usable"]
    assert "libgomp" in device["note"]


@pytest.mark.skipif(shutil.which("R") is None, reason="R is not installed")
def test_r_is_found_with_the_version_that_r_tells():
    told = subprocess.run(
        ["Rscript", "--vanilla", "-e", "cat(format(getRversion()))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert row(diglot.check_setup(), "R")["found"] == told


def test_neither_r_nor_rpy2_is_needed(monkeypatch):
    machine(monkeypatch, {})
    without(monkeypatch, "rpy2")
    table = diglot.check_setup()
    for name in ("R", "rpy2"):
        found = row(table, name)
        assert (found["found"], found["ok"], found["optional"]) == ("none", False, True)
        assert found["fix"]


def test_an_old_r_is_not_good_enough(monkeypatch):
    machine(monkeypatch, {"R": 'R version 3.6.3 (2020-02-29) -- "Holding the Windsock"\n'})
    found = row(diglot.check_setup(), "R")
    assert (found["found"], found["ok"]) == ("3.6.3", False)


def test_the_cpu_is_a_device():
    device = diglot.devices().to_dict("records")[0]
    assert (device["device"], device["kind"], device["usable"]) == ("cpu", "cpu", True)
    assert device["name"]
    assert device["engine"].startswith("mxnet ")
    assert 1 <= device["threads"] <= os.cpu_count()
    if Path("/proc/meminfo").exists():
        kibibytes = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
        assert device["memory"] == pytest.approx(kibibytes / 2**20, abs=0.06)


def test_a_gpu_that_this_build_cannot_use_is_listed_with_the_way_out(monkeypatch):
    from diglot.engine import mxnet

    if mxnet.gpu_count():
        pytest.skip("MXNet can use the GPU of this machine")
    machine(monkeypatch, {"nvidia-smi": GPU_LINES})
    table = diglot.devices()
    assert list(table.device) == ["cpu", "gpu:0", "gpu:1"]
    assert list(table.name) == [table.name[0], "NVIDIA RTX A5000", "NVIDIA H100 80GB HBM3"]
    assert table.memory[1] == pytest.approx(24564 / 1024, abs=0.05)
    assert not table.usable[1:].any()
    assert "mxnet-cu117" in table.note[1]
    # The GPU builds of MXNet 1.9.1 hold no code for Hopper: to install one would not help.
    assert "mxnet-cu117" not in table.note[2]
    assert "9.0" in table.note[2]
    assert list(table.capability) == ["", "8.6", "9.0"]
    assert list(table.build[:2]) == ["mxnet", "mxnet-cu117"]
    assert "2.0" in table.build[2]
    found = row(diglot.check_setup(), "GPU")
    assert (found["ok"], found["optional"]) == (False, True)
    assert "mxnet-cu117" in found["fix"]


def test_two_builds_of_mxnet_are_a_fault_with_its_fix(monkeypatch):
    assert row(diglot.check_setup(), "MXNet")["ok"]
    machine(monkeypatch, {"nvidia-smi": GPU_LINES})
    both = {"mxnet-cu117": "1.9.1", "mxnet": "1.9.1"}
    monkeypatch.setattr(gpus, "installed", lambda *_: both)
    found = row(diglot.check_setup(), "MXNet")
    assert not found["ok"]
    assert "mxnet-cu117 1.9.1 and mxnet 1.9.1 are installed over each other" in found["fix"]
    assert found["fix"].endswith("-m diglot.setup_gpu --yes")
    notes = diglot.devices().note[1:]
    assert notes.str.contains("over each other").all()


def test_no_gpu_is_no_fault(monkeypatch):
    machine(monkeypatch, {})
    found = row(diglot.check_setup(), "GPU")
    assert (found["found"], found["ok"], found["fix"]) == ("none", True, "")


def test_a_program_that_is_not_there_answers_nothing():
    assert installation._output(["a-program-that-nobody-has"]) == ""
    assert installation._output([sys.executable, "-c", "raise SystemExit(1)"]) == ""
    assert installation._output([sys.executable, "-c", "print('here')"]).strip() == "here"
