"""The package as a whole: its public names, what importing it loads, its rooms, its metadata."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import diglot

ROOT = Path(__file__).parents[2]
PACKAGE = Path(diglot.__file__).parent
HEAVY = {"mxnet", "torch", "numpy", "pandas", "scipy", "sklearn", "skimage", "PIL", "tqdm", "rpy2"}

# Ground floor first, as in CONTRIBUTING.md: a room imports only from rooms above it in this list.
ROOMS = [
    "errors",
    "interrupts",
    "gpus",
    "progress",
    "seeds",
    "files",
    "storage",
    "own_operators",
    "attributes",
    "operators",
    "subgraphs",
    "graph",
    "builder",
    "control_flow",
    "engine",
    "networks",
    "weights",
    "datasets",
    "images",
    "captions",
    "augment",
    "weighted",
    "zoo",
    "evaluation",
    "uncertainty",
    "outcomes",
    "training",
    "estimators",
    "explanation",
    "predictor",
    "classifier",
    "regressor",
    "tagger",
    "baseline",
    "boltzmann",
    "captioner",
    "models",
    "scoring",
    "resampling",
    "examination",
    "plots",
    "comparison",
    "installation",
    "setup_gpu",
    "r",
    "report",
    "__init__",
    "bridge",
]


def in_fresh_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_diglot_is_quick_and_loads_nothing_heavy():
    loaded = json.loads(
        in_fresh_python("import diglot, json, sys; print(json.dumps(sorted(sys.modules)))")
    )
    assert HEAVY.isdisjoint(loaded)

    def seconds(code):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            in_fresh_python(code)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds("import diglot") - seconds("") < 0.3


@pytest.mark.parametrize("name", sorted(set(diglot.__all__) - {"__version__"}))
def test_every_public_name_is_there_and_documented(name):
    value = getattr(diglot, name)
    assert callable(value) or inspect.ismodule(value)
    assert name in dir(diglot)
    summary = (inspect.getdoc(value) or "").partition("\n")[0]
    assert summary.endswith("."), f"{name}: {summary!r}"


@pytest.mark.parametrize("name", sorted(set(diglot.__all__) - {"__version__"}))
def test_every_public_function_has_an_example(name):
    value = getattr(diglot, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    values = [value]
    if inspect.ismodule(value):  # diglot.networks is a room and a function, diglot.plots a room
        inside = [name] if callable(value) else value.__all__
        values = [getattr(value, each) for each in inside]
    assert all(">>>" in inspect.getdoc(value) for value in values), name


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ImageClasifier'"):
        diglot.ImageClasifier  # noqa: B018


def test_star_import_brings_the_public_names():
    names = in_fresh_python("from diglot import *; print(*sorted(globals()))").split()
    assert set(diglot.__all__) <= set(names)


def test_editors_and_python_see_the_same_names():
    """What stands under TYPE_CHECKING, in __all__ and in the table of lazy names is one list."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    checked = {
        alias.name: alias.name if node.module == "diglot" else node.module.removeprefix("diglot.")
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == diglot._MODULES
    assert sorted([*checked, "__version__"]) == sorted(diglot.__all__)


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Return the rooms that a module imports, also inside functions, but not for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["diglot", *path.relative_to(PACKAGE).parts[:-1]]
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module]
            if module == "diglot":
                names = [f"diglot.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "diglot":
                inner = parts[1] if len(parts) > 1 else "__init__"
                yield inner if inner in ROOMS else diglot._MODULES.get(inner, inner)


def test_every_module_is_in_a_room():
    assert {room(path) for path in modules()} <= set(ROOMS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    for other in imported_rooms(path):
        assert ROOMS.index(other) <= ROOMS.index(room(path)), f"{path.name} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_prints_or_runs_code_from_data(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "eval", "exec", "breakpoint"}, ast.unparse(node)
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names}.isdisjoint({"pickle", "marshal", "shelve"})
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert ast.unparse(node.value) == "False"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_mxnet_is_imported_in_one_place(path):
    source = path.read_text(encoding="utf-8")
    # What the comparison runs is scripts, in processes of their own.
    if not path.name.startswith("mxnet") and "capabilities" not in path.parts:
        assert not re.search(r"^\s*(import mxnet|from mxnet)", source, re.M)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pytorch_is_imported_in_one_place(path):
    source = path.read_text(encoding="utf-8")
    others = {"runners", "capabilities"} & set(path.parts)  # scripts for other frameworks
    if not others:
        assert not re.search(r"^\s*(import torch|from torch)\b", source, re.M)
    door = path.relative_to(PACKAGE).as_posix() == "engine/torch.py"
    assert ('import_module("torch")' in source) == door


def test_both_packages_have_one_version():
    description = (ROOT / "DESCRIPTION").read_text(encoding="utf-8")
    assert re.search(r"^Version: (.*)$", description, re.M)[1] == diglot.__version__
    assert (
        (ROOT / "NEWS.md").read_text(encoding="utf-8").startswith(f"# diglot {diglot.__version__}")
    )


def test_the_r_package_carries_this_very_code():
    assert (ROOT / "inst" / "python").resolve() == PACKAGE.parent
