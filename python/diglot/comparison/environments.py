"""Environments on demand: each framework's packages in a folder of their own, installed once.

A folder is whole once its stamp is there, which is written last; one without was interrupted and
is made anew. Nothing is installed into any Python that the user has.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from diglot.comparison.frameworks import OTHER_NAMES, Framework
from diglot.errors import InputError, MissingPackageError

__all__ = ["Environment", "cache_folder", "environment", "find_python", "plain_variables"]

_STAMP = "diglot.json"
_LOG = "install.log"
_MOST_SECONDS = 3600
_BRIEF = 60  # seconds that a question to a Python or to pip may take

Local = tuple[str, str] | None


@dataclass(frozen=True)
class Environment:
    """A Python with a framework: its program, and how long its set-up took now, in seconds.

    ``seconds`` is 0 where it was there before; ``packages`` is the folder of its packages.
    """

    python: Path
    packages: Path
    seconds: float = 0.0

    def size(self, framework: Framework, device: str = "cpu") -> float:
        """Return the bytes of a framework's packages and all that they require, as installed.

        NaN where it is not all there under a name that is known: what is left would be too little.
        """
        known = {_plain(d.metadata["Name"] or ""): d for d in self._distributions()}
        wanted = [_parsed(text) for text in framework.needs(device)]
        wanted += [(_plain(name), frozenset()) for name in (framework.package, framework.engine)]
        roots = [(_installed(name, known), extras) for name, extras in wanted if name]
        for name in (framework.package, framework.engine):
            if name and _installed(_plain(name), known) not in known:
                return float("nan")
        return float(sum(_bytes(known[name]) for name in _with_all(roots, known)))

    def version(self, name: str) -> str:
        """Return the version of a package, or of what there is instead of it, or ""."""
        known = {_plain(d.metadata["Name"] or ""): d.version for d in self._distributions()}
        return known.get(_installed(_plain(name), known), "")

    def _distributions(self) -> Iterator[metadata.Distribution]:
        return iter(metadata.distributions(path=[str(self.packages)]))


def environment(
    framework: Framework,
    *,
    device: str = "cpu",
    python: str | os.PathLike[str] | None = None,
    install: bool = True,
) -> Environment:
    """Return the environment of a framework; make it if need be.

    Parameters
    ----------
    framework : Framework
    device : {"cpu", "gpu"}
    python : path, optional
        A Python that has the framework: it is taken as it is.
    install : bool
        Whether one that is not there may be made, which downloads packages by pip.

    Returns
    -------
    Environment

    Raises
    ------
    MissingPackageError
        If there is none; the message says why.

    Examples
    --------
    >>> import sys
    >>> from diglot.comparison.frameworks import FRAMEWORKS
    >>> here = environment(FRAMEWORKS["mxnet"], python=sys.executable)
    >>> bool(here.version("numpy"))
    True
    """
    if python is not None:
        return _named(Path(os.path.expanduser(python)))
    requirements = framework.needs(device)
    if not requirements:
        raise MissingPackageError(
            f"diglot knows no packages of {framework.label} for a GPU: name a Python that has it, "
            f"as python={{'{framework.name}': '/path/to/python'}}"
        )
    local = framework.local_build if device == "cpu" else None
    folder = cache_folder() / "frameworks" / _key(framework, requirements, local)
    if _is_whole(folder):
        return _of_folder(folder)
    if not install:
        raise MissingPackageError("it is not installed yet, and install=False")
    base = find_python(*framework.pythons)
    if base is None:
        raise MissingPackageError(f"it needs {_range(*framework.pythons)}, which was not found")
    with _locked(folder):
        if not _is_whole(folder):  # another process may have made it in the meantime
            return _made(folder, base, framework, requirements, local)
    return _of_folder(folder)


def cache_folder() -> Path:
    """Return the folder for what can be made again: DIGLOT_CACHE, or the platform's usual one.

    Examples
    --------
    >>> cache_folder().is_absolute()
    True
    """
    given = os.environ.get("DIGLOT_CACHE")
    if given:
        return Path(given).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "diglot"
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "diglot" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "diglot"


def find_python(oldest: tuple[int, int], newest: tuple[int, int]) -> Path | None:
    """Find a Python within two versions: this one if it fits, else the newest there is.

    Looked for as python3.x on the PATH, and among pyenv's versions.

    Examples
    --------
    >>> find_python((2, 0), (2, 0)) is None
    True
    """
    wanted = [(oldest[0], minor) for minor in range(newest[1], oldest[1] - 1, -1)]
    here = sys.version_info[:2]
    if here in wanted:
        wanted = [here, *(version for version in wanted if version != here)]
    for version in wanted:
        for program in _candidates(version):
            if _answers(program, version):
                return program
    return None


def plain_variables() -> dict[str, str]:
    """Return this process's variables without what would lead another Python astray."""
    variables = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"):
        variables.pop(name, None)
    if "R_HOME" in variables:
        # R puts the system's libraries before those that other programs bring along.
        variables.pop("LD_LIBRARY_PATH", None)
    return variables


# ---- Pythons


def _candidates(version: tuple[int, int]) -> Iterator[Path]:
    name = "python{}.{}".format(*version)
    if version == sys.version_info[:2]:
        # Not sys.executable, which may be R.
        yield Path(sys.base_prefix, "python.exe" if os.name == "nt" else f"bin/{name}")
    found = shutil.which(name)
    if found:
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = (root / "versions").glob("{}.{}.*".format(*version))
    for folder in sorted(folders, key=lambda path: _numbers(path.name), reverse=True):
        yield folder / "bin" / name


def _answers(program: Path, version: tuple[int, int]) -> bool:
    """Say whether a program is a Python of a version: pyenv's launchers may run nothing."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = _asked([str(program), "-c", code])
    return done is not None and done.strip() == "{}.{}".format(*version)


def _asked(command: Sequence[str]) -> str | None:
    """Return what a program writes, None where it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_BRIEF,
            check=True,
            env=plain_variables(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout[: 2**16]


def _named(program: Path) -> Environment:
    """Return the environment of a Python that the user names."""
    if not program.is_file():
        found = shutil.which(str(program))
        if found is None:
            raise MissingPackageError(f"there is no Python '{program}'")
        program = Path(found)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    told = _asked([str(program), "-c", code])
    if told is None:
        raise MissingPackageError(f"'{program}' does not run as a Python")
    return Environment(program.absolute(), Path(told.strip()))


def _range(oldest: tuple[int, int], newest: tuple[int, int]) -> str:
    if oldest == newest:
        return "Python {}.{}".format(*oldest)
    return "Python {}.{} to {}.{}".format(*oldest, *newest)


# ---- folders


def _key(framework: Framework, requirements: Sequence[str], local: Local) -> str:
    """Return a folder's name: frameworks with the same packages share it."""
    told = json.dumps([sorted(requirements), framework.tools, local])
    digest = hashlib.sha256(told.encode()).hexdigest()[:10]
    return f"{framework.package.lower()}-{digest}"


def _is_whole(folder: Path) -> bool:
    # The Python that it was made from may be gone.
    return (folder / _STAMP).is_file() and _program(folder).exists()


def _program(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _of_folder(folder: Path, seconds: float = 0.0) -> Environment:
    found = [folder / "Lib" / "site-packages", *sorted(folder.glob("lib/python3*/site-packages"))]
    return Environment(_program(folder), next(p for p in found if p.is_dir()), seconds)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making the same folder; the system unlocks what is killed."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = open(folder.with_name(folder.name + ".lock"), "a", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise InputError(
            f"environments cannot be kept in '{folder.parent}' ({error.strerror}): set DIGLOT_CACHE"
            " to a folder that can be written to"
        ) from None
    with file:
        try:
            import fcntl
        except ImportError:  # Windows
            pass
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made(
    folder: Path, base: Path, framework: Framework, requirements: Sequence[str], local: Local
) -> Environment:
    began = time.perf_counter()
    if folder.exists():
        shutil.rmtree(folder)
    log = folder.with_name(f"{folder.name}.log")
    log.unlink(missing_ok=True)
    _run([str(base), "-m", "venv", str(folder)], log)
    pip = [str(_program(folder)), "-m", "pip"]
    if framework.tools:
        _run([*pip, "install", *framework.tools], log)
    wanted = _with_local_build(pip, requirements, local)
    _run([*pip, "install", *wanted], log)
    stamp = {"framework": framework.name, "requirements": list(wanted), "base": str(base)}
    (folder / _STAMP).write_text(json.dumps(stamp, indent=2), encoding="utf-8")
    return _of_folder(folder, time.perf_counter() - began)


def _with_local_build(pip: Sequence[str], requirements: Sequence[str], local: Local) -> list[str]:
    """Pin the newest build with a local label, such as 2.13.0+cpu, where the index has one."""
    if local is None or local[0] not in map(_name, requirements):
        return list(requirements)
    package, label = local
    told = _asked([*pip, "index", "versions", package]) or ""
    builds = re.findall(rf"\b([0-9][0-9.]*\+{re.escape(label)})(?=[,\s])", told)
    if not builds:
        return list(requirements)
    pinned = f"{package}=={max(builds, key=_numbers)}"
    return [pinned if _name(text) == package else text for text in requirements]


def _run(command: Sequence[str], log: Path) -> None:
    """Run a step of an installation; what it says goes to the log."""
    try:
        with open(log, "ab") as file:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=_MOST_SECONDS,
                check=False,
                env={**plain_variables(), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            )
    except subprocess.TimeoutExpired:
        raise MissingPackageError(f"its installation took more than {_MOST_SECONDS} s") from None
    except OSError as error:
        raise MissingPackageError(f"'{command[0]}' cannot be run: {error}") from None
    if done.returncode:
        raise MissingPackageError(f"{_complaint(log)} (the whole log: {log})")


def _complaint(log: Path) -> str:
    """Return the first line that pip calls an error, else the last one."""
    text = log.read_bytes()[-(2**16) :].decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["pip said nothing"]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1])[:300]


# ---- packages


def _plain(name: str) -> str:
    """Spell a package's name as the index does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]


Wanted = tuple[str, frozenset[str]]


def _parsed(requirement: str) -> Wanted:
    """Return the name and the extras of a requirement, such as jax[cuda13]>=0.4."""
    extras = re.match(r"[^\[;<>=!~]*\[([^\]]*)\]", requirement)
    names = extras[1].split(",") if extras else []
    return _plain(_name(requirement)), frozenset(_kind(name) for name in names)


def _kind(extra: str) -> str:
    """Return an extra without its version: a GPU's may be cuda12 or cuda13."""
    return re.sub(r"[0-9].*", "", _plain(extra.strip()))


def _installed(name: str, known: Iterable[str]) -> str:
    """Return the name under which a package is there, if it is."""
    names = (name, *map(_plain, OTHER_NAMES.get(name, ())))
    return next((each for each in names if each in known), name)


def _with_all(roots: Iterable[Wanted], known: Mapping[str, metadata.Distribution]) -> set[str]:
    """Return packages with all that they require, as far as it is there."""
    left, seen = list(roots), set[Wanted]()
    while left:
        wanted = left.pop()
        name, extras = wanted
        if wanted in seen or name not in known:
            continue
        seen.add(wanted)
        for text in known[name].requires or []:
            for_extras = re.findall(r"extra\s*==\s*['\"]([^'\"]+)['\"]", text)
            if not for_extras or extras & {_kind(extra) for extra in for_extras}:
                left.append(_parsed(text))
    return {name for name, _ in seen}


def _bytes(distribution: metadata.Distribution) -> int:
    return sum(_size(distribution.locate_file(file)) for file in distribution.files or [])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _size(path: object) -> int:
    try:
        return os.lstat(str(path)).st_size
    except OSError:
        return 0
