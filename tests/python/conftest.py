"""What tests need of the engines: MXNet's module or its 1.9 line, a GPU, each engine in turn."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from diglot.engine.mxnet import load
from diglot.engine.mxnet_versions import same_arrays
from diglot.gpus import installed
from diglot.installation import devices


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
        from diglot.engine import torch

        problem = torch.gpu_problem(0)
        if problem:
            pytest.skip(problem)
    if item.get_closest_marker("gpu"):
        table = devices()
        gpus = table[table.kind == "gpu"]
        if not gpus.engine.str.contains("mxnet").any():
            pytest.skip("; ".join(gpus.note) or "this machine has no GPU")
