"""Install the build of MXNet that has code for this machine's GPU: ``python -m diglot.setup_gpu``.

It says what it found and prints the commands; it runs them where it is told to, with ``--yes`` or
by an answer at the terminal, and then computes on the GPU to see that it works. Where no build
can be installed it says why and what to do, and ends with status 1.

It needs nothing but Python itself: the packages may be what is missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from diglot.gpus import (
    CUDA11,
    CUDA11_WHEELS,
    CUDA13,
    Gpu,
    build_for,
    find_gpus,
    installed,
    installed_build,
)

__all__ = ["Machine", "Plan", "main", "plan"]

Run = Callable[[Sequence[str]], int]

# MXNet 1.9.1 uses parts of numpy's C interface that numpy 2 took away: the limit stands in each
# command that installs, as pip looks at one command alone.
_NUMPY = "numpy>=1.23,<2"
# Wheels of numpy 1.26, the last that MXNet accepts, end at Python 3.12.
_PYTHONS = ((3, 10), (3, 12))
_COMMUNITY = "https://github.com/smolix/mxnet/releases"

# In a process of its own: MXNet may be loaded here already, and a wrong build may crash.
_VERIFY = """
from diglot.engine import mxnet
from diglot.errors import DiglotError
try:
    mxnet.verify_gpu({index})
except (DiglotError, ImportError) as error:
    raise SystemExit(str(error))
"""


@dataclass(frozen=True)
class Machine:
    """What the choice of a build depends on; ``builds`` are the packages of MXNet installed."""

    gpus: tuple[Gpu, ...]
    system: str
    processor: str
    python: tuple[int, int]
    has_pip: bool = True
    builds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be done: commands for pip, or ``problem``, why not and what to do instead.

    ``remove`` is empty where nothing is in the way; ``undo`` brings the CPU wheel back if
    ``install`` fails. ``index`` is the GPU that is served.
    """

    notes: tuple[str, ...] = ()
    problem: str = ""
    remove: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    index: int = 0

    @property
    def commands(self) -> list[tuple[str, ...]]:
        """The commands in their order."""
        return [command for command in (self.remove, self.install) if command]


def this_machine(python: str) -> Machine:
    """Return the machine that this runs on, with what is installed for the Python at ``python``.

    Of another Python than this one, whose environment need not be there yet, nothing is known.
    """
    own = python == sys.executable
    return Machine(
        gpus=tuple(find_gpus()),
        system=platform.system(),
        processor=platform.machine(),
        python=(sys.version_info[0], sys.version_info[1]),
        has_pip=not own or find_spec("pip") is not None,
        builds=tuple(installed()) if own else (),
    )


def plan(machine: Machine, python: str) -> Plan:
    """Say what is to be done on a machine, for the packages of the Python at ``python``.

    Parameters
    ----------
    machine : Machine
    python : str
        The program that is to run pip, of the machine's version.

    Returns
    -------
    Plan

    Examples
    --------
    >>> from diglot.setup_gpu import Machine, plan
    >>> plan(Machine((), "Linux", "x86_64", (3, 11)), "python").problem[:17]
    'nvidia-smi lists '
    """
    notes = tuple(_note(gpu) for gpu in machine.gpus)
    problem = _problem(machine)
    served = [gpu for gpu in machine.gpus if build_for(gpu) is CUDA11]
    if not problem and not served:
        problem = _by_hand(machine, python)
    if problem:
        return Plan(notes, problem)
    install = (python, "-m", "pip", "install")
    needed = (_NUMPY, *(("setuptools",) if machine.python >= (3, 12) else ()))
    # All builds install the module mxnet: others go first, else their removal would take files of
    # the new one along, which therefore goes with them if it is there beside them.
    remove = (python, "-m", "pip", "uninstall", "--yes")
    in_the_way = () if machine.builds == (CUDA11.name,) else {"mxnet", *machine.builds}
    return Plan(
        notes=notes,
        remove=(*remove, *sorted(in_the_way)) if in_the_way else (),
        install=(*install, *CUDA11_WHEELS, *needed),
        undo=(*install, "mxnet>=1.9.1", *needed),
        index=served[0].index,
    )


def _note(gpu: Gpu) -> str:
    build = build_for(gpu)
    served = f"served by {build.name}" if build else "served by no build of MXNet"
    gib = f"{gpu.memory / 2**30:.1f} GiB" if gpu.memory else "memory unknown"
    return f"gpu:{gpu.index}: {gpu.name}, {gib}, compute capability {gpu.compute}: {served}"


def _problem(machine: Machine) -> str:
    """Say what rules out every build for GPUs on this machine, or nothing."""
    if machine.system == "Darwin":
        return "MXNet has no build for GPUs on macOS: use the CPU"
    if machine.system != "Linux":
        return (
            f"MXNet 1.9.1 has no wheels for {machine.system}: on Windows, use Linux under WSL 2, "
            "where this command works; else use the CPU"
        )
    if not machine.gpus:
        return (
            "nvidia-smi lists no GPU: if there is one from NVIDIA, install its driver, see that "
            "nvidia-smi shows it, and that CUDA_VISIBLE_DEVICES does not hide it; else use the CPU"
        )
    if machine.processor.lower() not in ("x86_64", "amd64"):
        return (
            f"MXNet's wheels for GPUs are for x86-64 processors, not {machine.processor}: "
            "build MXNet from source, or use the CPU"
        )
    if not _PYTHONS[0] <= machine.python <= _PYTHONS[1]:
        return (
            "Python {}.{} has no wheels of the numpy that MXNet needs: make a virtual environment "
            "with Python 3.10, 3.11 or 3.12 and run this there".format(*machine.python)
        )
    if not machine.has_pip:
        return "this Python has no pip: run python -m ensurepip, then this again"
    return ""


def _by_hand(machine: Machine, python: str) -> str:
    """Say what to do where mxnet-cu117 has no code for any of the GPUs."""
    if all(gpu.capability is None for gpu in machine.gpus):
        return "the driver does not tell the GPU's compute capability: update the driver"
    if not any(build_for(gpu) is CUDA13 for gpu in machine.gpus):
        return f"{CUDA11.name} needs compute capability 5.0 or more: use the CPU"
    commands = _lines(
        [
            (python, "-m", "pip", "uninstall", "--yes", "mxnet"),
            (python, "-m", "pip", "install", "THE_WHEEL", _NUMPY),
            (python, "-m", "diglot.setup_gpu", "--verify"),
        ]
    )
    wheel = "cp{}{}".format(*max(machine.python, (3, 11)))
    other = "" if machine.python >= (3, 11) else ", in a new environment with Python 3.11 or 3.12"
    return (
        f"{CUDA11.name} has no code for compute capability 9.0 and later. {CUDA13.name} has; it is "
        "a community's build, which is not on the package index and which diglot does not install "
        f"by itself. To install it{other}: have NVIDIA's driver 590 or newer and the CUDA 13 "
        f"toolkit, download its Linux wheel for {wheel} from {_COMMUNITY}, and run\n{commands}\n"
        "or use the CPU, or a GPU of compute capability 5.0 to 8.9"
    )


def _lines(commands: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"  {shlex.join(command)}" for command in commands)


def _run(command: Sequence[str]) -> int:
    """Run a command, whose output goes where ours goes, and return its status."""
    # The new process must find this very diglot, which need not be installed.
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        _say(f"{command[0]} cannot be run: {error}")
        return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # before what the commands write


def _agreed() -> bool:
    """Ask at the terminal; without one, nobody has asked for it."""
    if not sys.stdin.isatty():
        return False
    sys.stdout.write("Run these commands now? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _verify(python: str, index: int, run: Run) -> int:
    """Compute on the GPU in a fresh process, and say how that went."""
    status = run((python, "-c", _VERIFY.format(index=index)))
    if status:
        _say(
            f"gpu:{index} does not work yet (see above). Check that nvidia-smi works and that the "
            "driver is 450.80 or newer (590 for MXNet 2.0); diglot.devices() tells more."
        )
        return 1
    _say(f'gpu:{index} computes: use device="gpu:{index}", or "auto".')
    return 0


def _carry_out(chosen: Plan, python: str, run: Run) -> int:
    if chosen.remove and run(chosen.remove):
        _say("pip could not remove the build that is there (see above): nothing was installed.")
        return 1
    if run(chosen.install):
        _say("pip failed (see above).")
        if chosen.remove:
            _say(f"The build for the CPU comes back:\n{_lines([chosen.undo])}")
            if run(chosen.undo):
                _say("That failed, too: run this command once pip works again.")
        return 1
    status = _verify(python, chosen.index, run)
    _say("Installing or updating diglot by pip brings the CPU build back: then run this once more.")
    return status


def main(arguments: Sequence[str] | None = None, run: Run = _run) -> int:
    """Run the command line; return 0, or 1 where no GPU can be served or something failed.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of this process by default.
    run : callable, optional
        Runs a command and returns its status.

    Returns
    -------
    int

    Examples
    --------
    >>> from diglot.setup_gpu import main
    >>> status = main(["--dry-run"])  # doctest: +SKIP
    """
    parser = argparse.ArgumentParser(
        prog="python -m diglot.setup_gpu",
        description="Install the build of MXNet that has code for this machine's GPU.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only say what would be done")
    what.add_argument("--yes", action="store_true", help="run the commands without asking")
    what.add_argument(
        "--verify", action="store_true", help="only compute on the GPU, to see it work"
    )
    parser.add_argument(
        "--python", default=sys.executable or "python", help="install for this one, same version"
    )
    given = parser.parse_args(arguments)
    machine = this_machine(given.python)
    chosen = plan(machine, given.python)
    for note in chosen.notes:
        _say(note)
    if given.verify:
        build = installed_build()
        served = (gpu.index for gpu in machine.gpus if build is None or build.serves(gpu))
        return _verify(given.python, next(served, 0), run)
    if chosen.problem:
        _say(f"No build for GPUs can be installed: {chosen.problem}.")
        return 1
    _say(f"These commands install {CUDA11.name}, about 2.5 GB:\n{_lines(chosen.commands)}")
    if given.dry_run:
        return 0
    if not (given.yes or _agreed()):
        _say("Nothing was changed; --yes runs them.")
        return 0
    return _carry_out(chosen, given.python, run)


if __name__ == "__main__":
    raise SystemExit(main())
