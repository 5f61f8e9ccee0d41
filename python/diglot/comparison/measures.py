"""One run of one framework: its script in a process of its own, watched from here."""

from __future__ import annotations

import ctypes.util
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diglot.comparison.environments import Environment, plain_variables
from diglot.comparison.frameworks import Framework
from diglot.comparison.tasks import Handover
from diglot.errors import DiglotError

__all__ = [
    "RUNNERS",
    "Measured",
    "RunError",
    "program_lines",
    "run_once",
    "runner_settings",
    "watched",
]

RUNNERS = Path(__file__).parent / "runners"
MOST_SECONDS = 3600
"""How long one run may take."""

_EVERY = 0.2  # seconds between two looks at a process
_LARGEST_ANSWER = 2**25
_MOST_CHILDREN = 500


class RunError(DiglotError, RuntimeError):
    """A runner failed; the message is the last that it said."""

    kind = "comparison"


@dataclass(frozen=True)
class Measured:
    """What one run of a framework gave; times in seconds, sizes in bytes.

    ``epoch_seconds`` and ``epoch_steps`` begin with the first step, which is an epoch of its own.
    """

    version: str
    python: str
    import_seconds: float
    epoch_seconds: list[float]
    epoch_steps: list[int]
    losses: list[float]
    right: int
    n: int
    memory: int
    device_memory: int
    settings: Mapping[str, str] = field(default_factory=dict)


def run_once(
    framework: Framework,
    where: Environment,
    given: Handover,
    *,
    threads: int,
    device: str = "cpu",
    runner: Path | None = None,
    timeout: float = MOST_SECONDS,
) -> Measured:
    """Run a framework's script once.

    Parameters
    ----------
    framework : Framework
    where : Environment
    given : Handover
    threads : int
        How many the framework may compute with.
    device : {"cpu", "gpu"}
    runner : path, optional
        The script; by default the framework's own.
    timeout : float
        Seconds after which it is ended.

    Returns
    -------
    Measured

    Raises
    ------
    RunError
        If it fails, takes too long, or answers what cannot be used.
    """
    script = RUNNERS / framework.runner if runner is None else runner
    with tempfile.TemporaryDirectory(prefix="diglot-") as folder:
        scratch, answer = Path(folder, "scratch"), Path(folder, "answer.json")
        scratch.mkdir()
        file = Path(folder, "given.safetensors")
        given.write(file, threads=threads, device=device)
        settings = runner_settings(framework, where, threads, scratch, device)
        variables = {**plain_variables(), **settings, "PYTHONDONTWRITEBYTECODE": "1"}
        # The runner finds handover.py beside the framework's own scripts.
        variables["PYTHONPATH"] = str(RUNNERS)
        command = [str(where.python), str(script), str(file), str(answer)]
        memory, device_memory = watched(command, variables, Path(folder, "said"), timeout, device)
        told = {name: text.replace(str(scratch), "(empty)") for name, text in settings.items()}
        return _received(answer, memory, device_memory, told)


def program_lines(script: Path, network: str) -> int:
    """Count a runner's lines for one task: its section, and what all sections share.

    Sections begin with ``# ---- name``; lines that are empty or a comment alone do not count.

    Examples
    --------
    >>> program_lines(RUNNERS / "run_torch.py", "lenet") < 60
    True
    """
    section, count = "all", 0
    for line in script.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# ---- "):
            section = text.removeprefix("# ---- ")
        elif section in ("all", network) and text and not text.startswith("#"):
            count += 1
    return count


# ---- the process


# JAX takes what is named, and fails where that is not there.
_DEVICE = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
    # Single precision is what is compared: the shorter numbers of newer GPUs are switched off, in
    # NVIDIA's libraries and in JAX, which has products of its own.
    "gpu": {
        "JAX_PLATFORMS": "cuda,cpu",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "NVIDIA_TF32_OVERRIDE": "0",
    },
}


def runner_settings(
    framework: Framework, where: Environment, threads: int, scratch: Path, device: str = "cpu"
) -> dict[str, str]:
    """Return the variables that a runner is given beside the user's own."""
    blas = ctypes.util.find_library("openblas")
    # By its full name, as the plain one comes with the headers only, which are not needed.
    words = {
        "scratch": str(scratch),
        "blas": f",blas.ldflags=-l:{blas}" if blas else "",
        "pytensor_blas": f",blas__ldflags=-l:{blas}" if blas else "",
    }
    settings = {name: str(threads) for name in _THREADS} | _DEVICE[device]
    settings |= {name: text.format(**words) for name, text in framework.environment.items()}
    # CUDA's libraries from Python packages, where the system's loader does not look.
    libraries = sorted(str(path) for path in where.packages.glob("nvidia/*/lib"))
    if libraries:
        given = os.environ.get("LD_LIBRARY_PATH")
        settings["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, *([given] if given else [])])
    return settings


# The last is JAX's.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",
)


def watched(
    command: Sequence[str],
    variables: Mapping[str, str],
    said: Path,
    timeout: float,
    device: str,
    *,
    folder: Path | None = None,
) -> tuple[int, int]:
    """Run a command to its end; return the most memory of it and its children, and of the GPU.

    Raises
    ------
    RunError
        If it fails or takes too long; the message is the last that it said.
    """
    before = _gpu_memory() if device == "gpu" else 0
    most = most_on_gpu = 0
    with open(said, "wb") as file:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(variables),
                cwd=folder,
                start_new_session=True,  # compilers that it starts end with it
            )
        except OSError as error:
            raise RunError(f"'{command[0]}' cannot be run: {error}") from None
        try:
            end = time.monotonic() + timeout
            while process.poll() is None:
                if time.monotonic() > end:
                    raise RunError(f"it took more than {timeout:g} s")
                most = max(most, _resident(process.pid))
                if device == "gpu":
                    most_on_gpu = max(most_on_gpu, _gpu_memory() - before)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_EVERY)
        finally:
            _end(process)
    if process.returncode:
        raise RunError(_last_words(said, process.returncode))
    return most, most_on_gpu


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a process and its children."""
    if process.poll() is None:
        with suppress(OSError):
            if os.name == "nt":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _resident(root: int) -> int:
    """Return the bytes of memory that a process and its children have now; 0 if not on Linux."""
    left, total, seen = [root], 0, 0
    while left and seen < _MOST_CHILDREN:
        pid = left.pop()
        seen += 1
        try:
            pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except (OSError, IndexError):  # it has ended, or there is no /proc
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
        left += [int(child) for child in children.split()]
    return total


def _gpu_memory() -> int:
    """Return the bytes in use on the GPU that is computed on, by all processes."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    # The first of those that frameworks are shown.
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    command = [program, *query, f"--id={shown}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True
        )
        return int(done.stdout.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def _last_words(said: Path, status: int) -> str:
    """Return a failed runner's last line, which in Python is the error, in R all but the last."""
    text = said.read_bytes()[-(2**14) :].decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[-1] == "Execution halted":
        lines.pop()
    words = lines[-1][:300] if lines else "it said nothing"
    if status < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}: {words}"
    return words


# ---- the answer


def _received(
    answer: Path, memory: int, device_memory: int, settings: Mapping[str, str]
) -> Measured:
    """Read a runner's answer, of which nothing is trusted."""
    try:
        if answer.stat().st_size > _LARGEST_ANSWER:
            raise RunError("its answer is too long")
        told = json.loads(answer.read_text(encoding="utf-8"))
        epochs = told["epochs"]
        found = Measured(
            version=_text(told["version"]),
            python=_text(told["python"]),
            import_seconds=_number(told["import_seconds"]),
            epoch_seconds=[_number(epoch["seconds"]) for epoch in epochs],
            epoch_steps=[int(_number(epoch["steps"])) for epoch in epochs],
            losses=[_loss(loss) for loss in told["losses"]],
            right=int(_number(told["right"])),
            n=int(_number(told["n"])),
            memory=max(memory, int(_number(told["memory"]))),
            device_memory=max(device_memory, int(_number(told.get("device_memory", 0)))),
            settings=settings,
        )
    except FileNotFoundError:
        raise RunError("it ended without an answer") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"its answer cannot be used ({type(error).__name__}: {error})") from None
    if not found.epoch_steps or sum(found.epoch_steps) != len(found.losses):
        raise RunError("its answer cannot be used (not one loss for each step)")
    if not 0 <= found.right <= found.n:
        raise RunError("its answer cannot be used (more images right than there are)")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return "".join(c for c in value if c.isprintable())[:100]


def _number(value: Any) -> float:
    number = _loss(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value} where a number from 0 should be")
    return number


def _loss(value: Any) -> float:
    """Return a number, which may be NaN: a diverged loss is an answer."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{type(value).__name__} where a number should be")
    return float(value)
