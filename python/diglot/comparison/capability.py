"""``check_capabilities()``: small scripts that say what each framework can do, by doing it."""

from __future__ import annotations

import html
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from diglot.comparison.environments import Environment, environment, plain_variables
from diglot.comparison.frameworks import FRAMEWORKS, TODAY, Framework, chosen_frameworks
from diglot.comparison.machine import this_machine
from diglot.comparison.measures import RunError, program_lines, runner_settings, watched
from diglot.comparison.study import checked_pythons
from diglot.engine.mxnet import physical_cores
from diglot.errors import DiglotError, InputError
from diglot.estimators.settings import flag
from diglot.progress import reporter

__all__ = ["CAPABILITIES", "FrameworkCapabilities", "check_capabilities"]

SCRIPTS = Path(__file__).parent / "capabilities"
MOST_SECONDS = 300
"""How long one script may take."""

CAPABILITIES = {
    "autodiff": "automatic differentiation",
    "convolution": "convolution",
    "recurrence": "recurrence",
    "rbm": "Boltzmann machine",
    "custom_operator": "new operator in Python",
    "loop": "loop in the graph",
    "condition": "condition in the graph",
    "onnx_file": "ONNX file",
    "caffe_file": "Caffe file",
    "devices": "several devices",
    "r": "use from R",
}
"""What is tried, and what tables call it."""

# Where it is told what there is, and this is not among it.
_KERAS = "https://keras.io/guides/"
_KERAS_2 = "https://github.com/keras-team/keras/blob/2.2.5/keras/"
# What a loop and a condition are there: Python's own, which no graph keeps.
_KERAS_TORCH = "https://github.com/keras-team/keras/blob/v3.15.1/keras/src/backend/torch/core.py"
_MXNET_LOOPS = "https://github.com/apache/mxnet/releases/tag/1.3.0"  # the first that had them
_MXNET_CAFFE = "https://github.com/apache/mxnet/tree/v1.x/tools/caffe_converter"  # in no package
_CAFFE_TO_TENSORFLOW = "https://github.com/ethereon/caffe-tensorflow"  # others', for TensorFlow 0
_THEANO_FILES = "https://docs.huihoo.com/theano/0.8/library/misc/pkl_utils.html"
_PYTENSOR = "https://pytensor.readthedocs.io/en/latest/"
# The format is of September 2017.
_ONNX_BEGAN = (
    "https://azure.microsoft.com/en-us/blog/"
    "microsoft-and-facebook-create-open-ecosystem-for-ai-model-interoperability/"
)
NOT_OFFERED = {
    ("mxnet", "caffe_file"): _MXNET_CAFFE,
    ("torch", "onnx_file"): "https://docs.pytorch.org/docs/stable/onnx.html",
    ("torch", "caffe_file"): "https://docs.pytorch.org/docs/stable/notes/serialization.html",
    ("tensorflow", "onnx_file"): "https://github.com/onnx/onnx-tensorflow",  # ONNX's, for 2.4
    ("tensorflow", "caffe_file"): _CAFFE_TO_TENSORFLOW,
    ("jax", "onnx_file"): "https://github.com/google/jaxonnxruntime",  # another package
    ("jax", "caffe_file"): "https://docs.jax.dev/en/latest/export/index.html",
    ("pytensor", "onnx_file"): f"{_PYTENSOR}library/index.html",
    ("pytensor", "caffe_file"): f"{_PYTENSOR}library/index.html",
    ("pytensor", "devices"): f"{_PYTENSOR}library/config.html",
    ("keras-torch", "loop"): _KERAS_TORCH,
    ("keras-torch", "condition"): _KERAS_TORCH,
    ("mxnet-0.9", "loop"): _MXNET_LOOPS,
    ("mxnet-0.9", "condition"): _MXNET_LOOPS,
    ("mxnet-0.9", "caffe_file"): _MXNET_CAFFE,
    ("tensorflow-0.12", "caffe_file"): _CAFFE_TO_TENSORFLOW,
    ("theano-0.8", "caffe_file"): _THEANO_FILES,
    # Of GPUs alone.
    ("theano-0.8", "devices"): "https://docs.huihoo.com/theano/0.8/tutorial/using_multi_gpu.html",
    ("keras-2-theano", "caffe_file"): f"{_KERAS_2}engine/saving.py",
    ("keras-2-theano", "devices"): f"{_KERAS_2}utils/multi_gpu_utils.py",  # TensorFlow's alone
    ("keras-2-theano", "loop"): f"{_KERAS_2}backend/theano_backend.py",
    **{
        (name, "onnx_file"): _ONNX_BEGAN
        for name in ("theano-0.8", "tensorflow-0.12", "mxnet-0.9", "keras-2-theano")
    },
    **{
        (f"keras-{backend}", name): _KERAS + page
        for backend in ("tensorflow", "jax", "torch")
        for name, page in (
            ("autodiff", f"writing_a_custom_training_loop_in_{backend}/"),  # the backend's
            ("onnx_file", "serialization_and_saving/"),
            ("caffe_file", "serialization_and_saving/"),
        )
    },
}

# What a script needs beside its framework.
_EXTRAS = {("mxnet", "onnx_file"): ("onnx>=1.13,<1.14",)}

DIGLOT = Framework(
    "diglot", "diglot on MXNet", "today", "diglot", "", (),
    pythons=(sys.version_info[:2], sys.version_info[:2]),
)  # fmt: skip
_KNOWN = {**FRAMEWORKS, "diglot": DIGLOT}
_STATUSES = ("works", "fails", "not offered", "not tried")
_COLUMNS = {
    "framework": "str",
    "label": "str",
    "era": "str",
    "version": "str",
    "capability": "str",
    "status": "str",
    "lines": "Int64",
    "detail": "str",
}
_ABOUT = ("date",)


def check_capabilities(
    frameworks: str | Sequence[str] | None = None,
    capabilities: str | Sequence[str] | None = None,
    *,
    era: str | None = None,
    python: Mapping[str, str | os.PathLike[str]] | None = None,
    install: bool = True,
    verbose: Any = "auto",
) -> FrameworkCapabilities:
    """Try what each framework can do, by a small script for each thing.

    Every script solves the same problem in the idiom of its framework's users, in a process and
    an environment of its own, and its answer is held against one by numpy in double precision.

    Parameters
    ----------
    frameworks : str or sequence of str, optional
        Those of `compare_frameworks`, and "diglot", which is MXNet through diglot's own functions.
        By default today's five and "diglot".
    capabilities : str or sequence of str, optional
        "autodiff", "convolution", "recurrence" (an LSTM), "rbm" (a restricted Boltzmann machine by
        contrastive divergence), "custom_operator" (a new one in Python, with its gradient), "loop"
        and "condition" (inside a graph), "onnx_file" and "caffe_file" (files in these formats),
        "devices" (training on two, which here are parts of the processor), "r" (use from R; needs
        Rscript and R's package reticulate). By default all.
    era, python, install, verbose
        As for `compare_frameworks`.

    Returns
    -------
    FrameworkCapabilities

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Loading a file in ONNX's format into MXNet itself needs an environment with the package onnx,
    which is another of 0.3 GB.

    Examples
    --------
    >>> from diglot import check_capabilities
    >>> found = check_capabilities("diglot", "custom_operator", verbose=False)
    >>> found.table["status"].tolist()
    ['works']
    """
    flag("install", install)
    rows = _rows(capabilities)
    chosen = chosen_frameworks(frameworks, era, known=_KNOWN, default=(*TODAY, "diglot"))
    pythons = checked_pythons(python, _KNOWN)
    listener = reporter(verbose)
    table: list[dict[str, Any]] = []
    listener.start("Trying", len(chosen) * len(rows), "script")
    try:
        for framework in chosen:
            for name in rows:
                listener.step(len(table), f"{framework.label}: {CAPABILITIES[name]}")
                table.append(_tried(framework, name, pythons.get(framework.name), install))
    finally:
        listener.finish()
    versions = {row["framework"]: row["version"] for row in table if row["version"]}
    for row in table:
        row["version"] = versions.get(row["framework"], "")
    return FrameworkCapabilities(
        _typed(pd.DataFrame(table, columns=list(_COLUMNS))),
        machine=this_machine(),
        date=date.today().isoformat(),
    )


@dataclass(frozen=True, repr=False)
class FrameworkCapabilities:
    """What `check_capabilities` found.

    Attributes
    ----------
    table : DataFrame
        One row a framework and capability: ``framework``, ``label``, ``era``, ``version``,
        ``capability``; ``status``, one of "works", "fails", "not offered", "not tried";
        ``lines`` of the script; ``detail``: the error of what fails, the source of what is not
        offered, why something was not tried.
    machine : dict
        ``processor``, ``cores``, ``memory_mib``, ``system``, ``gpu``.
    date : str
    """

    table: pd.DataFrame
    machine: Mapping[str, Any]
    date: str

    def wide(self) -> pd.DataFrame:
        """Return a table of texts: one row a capability, one column a framework."""
        cells = self.table.assign(cell=[_cell(row) for row in self.table.itertuples()])
        wide = cells.pivot(index="capability", columns="label", values="cell").fillna("")
        names = [name for name in CAPABILITIES if name in wide.index]
        wide = wide.loc[names, list(dict.fromkeys(self.table["label"]))]
        return wide.rename(index=CAPABILITIES).rename_axis(index=None, columns=None)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV, with machine and date as columns; return where."""
        about = {name: getattr(self, name) for name in _ABOUT} | {
            f"machine_{name}": value for name, value in self.machine.items()
        }
        place = Path(os.path.expanduser(path))
        try:
            self.table.assign(**about).to_csv(place, index=False, lineterminator="\n")
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror or error}") from None
        return place

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> FrameworkCapabilities:
        """Read what `to_csv` wrote.

        Raises
        ------
        InputError
            If the file is missing or not such a table.
        """
        try:
            table = pd.read_csv(
                Path(os.path.expanduser(path)),
                dtype={"version": str, "date": str, "machine_gpu": str},
                keep_default_na=False,
                na_values={"lines": [""]},
            )
            given = table.iloc[0].to_dict()
            machine = {
                name.removeprefix("machine_"): value.item() if hasattr(value, "item") else value
                for name, value in given.items()
                if name.startswith("machine_")
            }
            if not set(table["status"]) <= set(_STATUSES):
                raise ValueError("a status is none of " + ", ".join(_STATUSES))
            return cls(_typed(table[list(_COLUMNS)]), machine=machine, date=given["date"])
        except FileNotFoundError:
            raise InputError(f"there is no file '{path}'; check the path") from None
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"'{path}' is no table that to_csv() wrote: {error}") from None

    def __repr__(self) -> str:
        return "\n".join([self._heading(), "", self.wide().to_string(), *self._remarks()])

    def _repr_html_(self) -> str:
        remarks = "".join(f"<p>{html.escape(line)}</p>" for line in self._remarks() if line)
        return f"<p>{html.escape(self._heading())}</p>{self.wide().to_html(border=0)}{remarks}"

    def _heading(self) -> str:
        machine = self.machine
        versions = self.table.drop_duplicates("framework")
        told = ", ".join(f"{row.label} {row.version}".strip() for row in versions.itertuples())
        return f"{told}: {machine.get('processor')}, {machine.get('system')}, {self.date}"

    def _remarks(self) -> list[str]:
        rows = self.table[self.table["detail"] != ""]
        lines = [
            f"{row.label}, {CAPABILITIES.get(row.capability, row.capability)}: {row.status}: "
            f"{row.detail}"
            for row in rows.itertuples()
        ]
        return ["", *lines] if lines else []


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(_COLUMNS)


def _cell(row: Any) -> str:
    return f"works ({row.lines})" if row.status == "works" else row.status


# ---- trying


def _rows(names: Any) -> list[str]:
    if names is None:
        return list(CAPABILITIES)
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in CAPABILITIES:
            near = get_close_matches(str(name), CAPABILITIES, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            known = ", ".join(CAPABILITIES)
            raise InputError(f"there is no capability {name!r}; there are {known}.{hint}")
    return list(dict.fromkeys(names))


def _scripts(framework: Framework) -> dict[str, Path]:
    """Return the scripts of a framework by what they try; Keras has one set for its backends."""
    folders = [SCRIPTS / framework.name]
    if framework.era == "today":
        # What all backends of Keras share; a backend's own goes before.
        folders.insert(0, SCRIPTS / framework.name.partition("-")[0])
    return {
        path.stem: path
        for folder in folders
        for path in sorted(folder.glob("*.*"))
        if path.suffix in (".py", ".R")
    }


def _tried(framework: Framework, name: str, python: Any, install: bool) -> dict[str, Any]:
    row = {
        "framework": framework.name, "label": framework.label, "era": framework.era,
        "version": "", "capability": name, "lines": pd.NA, "detail": "",
    }  # fmt: skip
    if (framework.name, name) in NOT_OFFERED:
        return {**row, "status": "not offered", "detail": NOT_OFFERED[framework.name, name]}
    script = _scripts(framework).get(name)
    if script is None:
        return {**row, "status": "not tried", "detail": "diglot has no script for it"}
    try:
        place = _place(framework, name, python, install)
        row["version"] = _version(framework, place)
        command = _command(script, place)
    except DiglotError as error:
        return {**row, "status": "not tried", "detail": str(error)}
    row["lines"] = program_lines(script, "all")
    try:
        _run(framework, place, command)
    except RunError as error:
        return {**row, "status": "fails", "detail": str(error)}
    return {**row, "status": "works"}


def _place(framework: Framework, name: str, python: Any, install: bool) -> Environment:
    if framework is DIGLOT and python is None:
        python = _own_python()
    extras = _EXTRAS.get((framework.name, name), ())
    wanted = replace(framework, requirements=(*framework.requirements, *extras))
    return environment(wanted, python=python, install=install)


def _own_python() -> Path:
    """Return the program of the Python that runs: where R has started it, that is another one."""
    named = Path(sys.executable or "")
    if named.name.lower().startswith("python"):
        return named
    return Path(sys.prefix, "python.exe" if os.name == "nt" else "bin/python")


def _version(framework: Framework, place: Environment) -> str:
    if framework is DIGLOT:
        return str(sys.modules["diglot"].__version__)  # the root is a room above
    return place.version(framework.package)


def _command(script: Path, place: Environment) -> list[str]:
    if script.suffix == ".py":
        return [str(place.python), str(script)]
    home = os.environ.get("R_HOME")
    program = shutil.which("Rscript", path=str(Path(home, "bin")) if home else None)
    if program is None:
        raise RunError("Rscript was not found: install R, or put it on the PATH")
    return [program, "--no-init-file", str(script), str(place.python)]


def _run(framework: Framework, place: Environment, command: Sequence[str]) -> None:
    """Run a script in a folder of its own; raise RunError with its last words if it fails."""
    with tempfile.TemporaryDirectory(prefix="diglot-") as folder:
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        settings = runner_settings(framework, place, physical_cores(), scratch)
        variables = {**plain_variables(), **settings, "PYTHONDONTWRITEBYTECODE": "1"}
        # Not the folder of all scripts, where a framework's folder would hide its module.
        paths = [str(SCRIPTS / "shared")]
        if framework is DIGLOT:
            paths.append(str(Path(__file__).parents[2]))
        variables["PYTHONPATH"] = os.pathsep.join(paths)
        # R's reticulate takes this Python before the one that a script asks for.
        variables["RETICULATE_PYTHON"] = str(place.python)
        said = Path(folder, "said")
        watched(command, variables, said, MOST_SECONDS, "cpu", folder=scratch)
