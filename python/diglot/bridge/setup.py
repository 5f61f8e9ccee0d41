"""What is installed, and what runs where."""

from __future__ import annotations

from typing import Any

import diglot
from diglot.bridge import plain
from diglot.bridge.answers import answered


@answered
def devices() -> dict[str, Any]:
    """Return the devices and whether they work."""
    return plain.table(diglot.devices())


@answered
def check_setup() -> dict[str, Any]:
    """Return the requirements of the core and what was found."""
    return plain.table(diglot.check_setup())


@answered
def has_engine() -> bool:
    """Say whether MXNet or PyTorch is installed, without the seconds that their import takes."""
    from importlib.util import find_spec

    return any(find_spec(name) is not None for name in ("mxnet", "torch"))


def versions_of_core(*packages: str) -> dict[str, str]:
    """Return the versions of what computed a fit; MXNet and NumPy by default."""
    import platform
    from importlib import metadata

    found = {"diglot": diglot.__version__, "Python": platform.python_version()}
    for name in packages or ("mxnet", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a build of another name, such as mxnet-cu117
            continue
    return found
