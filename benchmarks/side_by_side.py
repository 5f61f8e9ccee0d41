"""The frame of the benchmarks: candidates take turns, each run in a process of its own.

A benchmark lists its candidates and ends in ``side_by_side.run_script(main, CANDIDATES)``. What a
candidate runs takes keyword arguments of plain data and returns a dictionary of plain data. This
file needs numpy alone, as some candidates live in environments without diglot.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bench"  # what takes long to make and may be used again

Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # each candidate's answers, round by round


@dataclass(frozen=True)
class Candidate:
    """One that takes part.

    Attributes
    ----------
    name : str
        What tables call it.
    run : callable
        What it does, in a process of its own.
    needs : tuple of str
        Modules without which it is left out.
    python : str
        The environment variable that names its Python, where it needs one of its own.
    """

    name: str
    run: Callable[..., Mapping[str, Any]]
    needs: tuple[str, ...] = ()
    python: str = ""

    @property
    def interpreter(self) -> str | None:
        """The Python that runs it, None where there is none."""
        return os.environ.get(self.python) if self.python else sys.executable

    @property
    def missing(self) -> str:
        """Why it is left out, nothing where it is not."""
        if self.interpreter is None:
            return f"{self.python} names no Python that has {' and '.join(self.needs)}"
        if self.python:
            command = [self.interpreter, "-c", f"import {', '.join(self.needs)}"]
            lacking = [] if _succeeds(command) else list(self.needs)
        else:
            lacking = [name for name in self.needs if not importlib.util.find_spec(name)]
        return f"{' and '.join(lacking)} cannot be imported" if lacking else ""


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def present(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Return those that can take part, and a line on each of the others."""
    reasons = {candidate: candidate.missing for candidate in candidates}
    skipped = [f"{c.name} skipped: {reason}" for c, reason in reasons.items() if reason]
    return [c for c, reason in reasons.items() if not reason], skipped


def in_its_own_process(candidate: Candidate, **arguments: Any) -> dict[str, Any]:
    """Run a candidate once, by the script that was started."""
    script = sys.modules["__main__"].__file__
    command = [candidate.interpreter, script, "--one", candidate.name, json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{candidate.name} failed; its message is above")
    return json.loads(done.stdout.splitlines()[-1])


def alternate(
    candidates: Sequence[Candidate],
    rounds: int,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    **arguments: Any,
) -> dict[str, list[dict[str, Any]]]:
    """Run each candidate once a round, every second round in reverse.

    So all meet the same load of the machine, and none is always the one behind a certain other.
    ``own`` are arguments of some candidates on top of everybody's.
    """
    found: dict[str, list[dict[str, Any]]] = {c.name: [] for c in candidates}
    for number in range(rounds):
        for candidate in candidates if number % 2 == 0 else list(candidates)[::-1]:
            mine = {**arguments, **(own or {}).get(candidate.name, {})}
            found[candidate.name].append(in_its_own_process(candidate, **mine))
    return found


def run_script(main: Callable[[], None], candidates: Iterable[Candidate]) -> None:
    """Be the benchmark, or the process of the one candidate that the command line names."""
    if sys.argv[1:2] != ["--one"]:
        main()
        return
    chosen = {c.name: c for c in candidates}[sys.argv[2]]
    print(json.dumps(chosen.run(**json.loads(sys.argv[3]))))


# ---- what is told of it


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the median, and the lowest and highest.

    >>> spread([3, 1, 2])
    '2 (1 to 3)'
    """
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratios(above: Sequence[float], below: Sequence[float], digits: int = 2) -> str:
    """Return the median of the rounds' ratios: load that comes and goes meets both of a round.

    >>> ratios([2, 8], [1, 2])
    '3.00 (2.00 to 4.00)'
    """
    return spread([a / b for a, b in zip(above, below, strict=True)], digits)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return columns of text, the first aligned to the left.

    >>> print(table(["", "s"], [["one", 1], ["three", 10]]))
            s
    one     1
    three  10
    """
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    )
    return "\n".join(line.rstrip() for line in aligned)


def machine() -> str:
    """Return on what this runs, and when.

    >>> str(date.today()) in machine()
    True
    """
    cores, python = f"{os.cpu_count()} cores", f"Python {platform.python_version()}"
    return ", ".join([processor(), cores, platform.system(), python, str(date.today())])


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions(runs: Runs) -> str:
    """Return which version of what ran, with how many threads, as the runs tell."""
    told = {(r["version"], r["threads"]): None for answers in runs.values() for r in answers}
    return "\n".join(f"{version}: {threads} computing threads" for version, threads in told)
