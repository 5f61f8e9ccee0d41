"""What tests need of the engines: MXNet's module or its 1.9 line, a GPU, each engine in turn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from diglot.engine import torch as torch_door
from diglot.engine.mxnet import load
from diglot.engine.mxnet_versions import same_arrays
from diglot.errors import MissingPackageError
from diglot.gpus import installed
from diglot.installation import devices


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to begin where PyTorch is expected and missing: its tests would only be skipped."""
    if os.environ.get("DIGLOT_EXPECT_TORCH") == "true":
        try:
            torch_door.load()
        except MissingPackageError as error:
            raise pytest.UsageError(f"DIGLOT_EXPECT_TORCH is set, but {error}") from error


@pytest.fixture(scope="module")
def mx() -> Iterator[ModuleType]:
    """MXNet, whose arrays are those of ``mx.nd`` in either line."""
    module = load()
    with same_arrays(module):
        yield module


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine or this MXNet lacks, with the reason."""
    mark = item.get_closest_marker("needs_mxnet1")
    versions = installed().values() if mark else ()
    if mark and not any(version.startswith("1.") for version in versions):
        (why,) = mark.args
        pytest.skip(f"MXNet {' '.join(versions)}: {why}")
    if item.get_closest_marker("torch_gpu"):
        pytest.importorskip("torch")
        problem = torch_door.gpu_problem(0)
        if problem:
            pytest.skip(problem)
    if item.get_closest_marker("gpu"):
        table = devices()
        gpus = table[table.kind == "gpu"]
        if not gpus.engine.str.contains("mxnet").any():
            pytest.skip("; ".join(gpus.note) or "this machine has no GPU")
