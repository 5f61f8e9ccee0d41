"""Where pytest finds R's package diglot; what tests ``diglot.r`` is skipped without it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
if find_spec("torch") is None:
    # The examples in what needs PyTorch.
    collect_ignore_glob = ["python/diglot/engine/torch_*.py"]
LIBRARY = ROOT / ".Rlib"  # where make installs R's package
if LIBRARY.is_dir():
    os.environ.setdefault("R_LIBS", str(LIBRARY))

# They look into /proc, mount file systems and send signals.
collect_ignore = [] if sys.platform == "linux" else ["tests/durability"]


def pytest_configure(config: pytest.Config) -> None:
    """Say what marks there are."""
    config.addinivalue_line("markers", "needs_r: needs rpy2, R and R's package diglot")
    # A shell has its background jobs ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs R where it is not there; where it must be, as in CI, fail."""
    inside = ROOT / "python" / "diglot" / "r"
    needy = [i for i in items if i.get_closest_marker("needs_r") or inside in i.path.parents]
    reason = _missing() if needy else ""
    if not reason:
        return
    if os.environ.get("CI") == os.environ.get("DIGLOT_EXPECT_R") == "true":
        raise pytest.UsageError(f"R is expected to be there, but {reason}")
    for item in needy:
        item.add_marker(pytest.mark.skip(reason=reason))


def _missing() -> str:
    """Return what is missing of R, in words, or nothing."""
    if find_spec("rpy2") is None:
        return "rpy2 is not installed"
    if shutil.which("Rscript") is None:
        return "R is not installed"
    command = ["Rscript", "--vanilla", "-e", 'cat(system.file(package = "diglot"))']
    if not subprocess.run(command, capture_output=True, text=True, check=False).stdout:
        return "R's package diglot is not installed: run make test"
    return ""
