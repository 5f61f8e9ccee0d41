"""Install what has code for this machine's GPU: ``python -m diglot.setup_gpu``.

That is a build of MXNet for CUDA 11, or PyTorch for GPUs that are newer, and for Apple's.

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
from importlib import metadata
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
_TORCH = "torch>=2.0"
_BUILDS_OF_TORCH = "https://pytorch.org"
_COMMUNITY = "https://github.com/smolix/mxnet/releases"

# In a process of its own: the engine may be loaded here already, and a wrong build may crash.
_VERIFY = """
from diglot.errors import DiglotError
try:
    from diglot.engine.{module} import verify_gpu
    verify_gpu({index})
except (DiglotError, ImportError) as error:
    raise SystemExit(str(error))
"""


@dataclass(frozen=True)
class Machine:
    """What the choice of a build depends on.

    ``builds`` are the packages of MXNet installed, ``torch`` the version of PyTorch ("": none);
    ``amd`` is whether the driver of AMD's GPUs for computing is there.
    """

    gpus: tuple[Gpu, ...]
    system: str
    processor: str
    python: tuple[int, int]
    has_pip: bool = True
    builds: tuple[str, ...] = ()
    torch: str = ""
    amd: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done: commands for pip, or ``problem``, why not and what to do instead.

    ``engine`` computes then, "mxnet" or "torch", and ``what`` names it in words. ``remove`` is
    empty where nothing is in the way; ``undo`` brings the build for the CPU back if ``install``
    fails. ``index`` is the GPU that is served; ``instead`` says what else would serve it.
    """

    notes: tuple[str, ...] = ()
    problem: str = ""
    remove: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    index: int = 0
    engine: str = "mxnet"
    what: str = ""
    instead: str = ""

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
        torch=_torch_version() if own else "",
        amd=Path("/dev/kfd").exists(),
    )


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


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
    if problem:
        return Plan(notes, problem)
    served = [gpu for gpu in machine.gpus if build_for(gpu) is CUDA11 and _is_amd64(machine)]
    return _plan_mxnet(machine, python, served[0]) if served else _plan_torch(machine, python)


def _plan_mxnet(machine: Machine, python: str, gpu: Gpu) -> Plan:
    install = (python, "-m", "pip", "install")
    needed = (_NUMPY, *(("setuptools",) if machine.python >= (3, 12) else ()))
    # All builds install the module mxnet: others go first, else their removal would take files of
    # the new one along, which therefore goes with them if it is there beside them.
    remove = (python, "-m", "pip", "uninstall", "--yes")
    in_the_way = () if machine.builds == (CUDA11.name,) else {"mxnet", *machine.builds}
    return Plan(
        notes=tuple(map(_note, machine.gpus)),
        remove=(*remove, *sorted(in_the_way)) if in_the_way else (),
        install=(*install, *CUDA11_WHEELS, *needed),
        undo=(*install, "mxnet>=1.9.1", *needed),
        index=gpu.index,
        what=f"{CUDA11.name}, about 2.5 GB",
    )


def _plan_torch(machine: Machine, python: str) -> Plan:
    """Say how PyTorch comes, the usual build of which is for NVIDIA's GPUs, and on Macs Apple's."""
    pip = (python, "-m", "pip")
    install = (*pip, "install", _TORCH, _NUMPY)
    for_cpu = machine.torch.endswith("+cpu")  # with which pip would be content
    newer = [gpu for gpu in machine.gpus if gpu.capability is not None]
    return Plan(
        notes=tuple(map(_note, machine.gpus)),
        remove=(*pip, "uninstall", "--yes", "torch") if for_cpu else (),
        install=install,
        undo=(*pip, "install", f"torch=={machine.torch}", _NUMPY) if for_cpu else (),
        index=newer[0].index if newer else 0,
        engine="torch",
        what="PyTorch, for Macs" if machine.system == "Darwin" else "PyTorch, with CUDA gigabytes",
        instead=_community(machine, python) if newer and _is_amd64(machine) else "",
    )


def _is_amd64(machine: Machine) -> bool:
    """Whether there are MXNet's wheels for GPUs for this processor."""
    return machine.processor.lower() in ("x86_64", "amd64")


def _note(gpu: Gpu) -> str:
    build = build_for(gpu)
    served = f"served by {build.name}" if build else "served by no build of MXNet"
    served += " and by PyTorch" if build is CUDA13 else ""
    gib = f"{gpu.memory / 2**30:.1f} GiB" if gpu.memory else "memory unknown"
    return f"gpu:{gpu.index}: {gpu.name}, {gib}, compute capability {gpu.compute}: {served}"


def _problem(machine: Machine) -> str:
    """Say what is in the way of every build for GPUs on this machine, or nothing."""
    return _wrong_machine(machine) or _wrong_gpus(machine) or _wrong_python(machine)


def _wrong_machine(machine: Machine) -> str:
    if machine.system == "Darwin":
        if machine.processor == "arm64":
            return ""
        return "on Macs with Intel's processors no engine uses the GPU: use the CPU"
    if machine.system == "Linux":
        return ""
    return (
        f"on {machine.system} the usual build of PyTorch is for the CPU: choose one for your GPU "
        f'at {_BUILDS_OF_TORCH}, and install it with "{_NUMPY}" behind its name in one command; '
        "or, on Windows, use Linux under WSL 2, where this command works; else use the CPU"
    )


def _wrong_gpus(machine: Machine) -> str:
    if machine.system == "Darwin":
        return ""
    if not machine.gpus and machine.amd:
        return (
            f"AMD's GPUs are served by PyTorch's build for ROCm, which {_BUILDS_OF_TORCH} names "
            "with the index that it comes from. With that index in the place of THE_INDEX, run\n"
            "  pip install --index-url THE_INDEX torch\n"
            f'and then pip install "{_NUMPY}", all by the Python that has diglot'
        )
    if not machine.gpus:
        return (
            "nvidia-smi lists no GPU: if there is one from NVIDIA, install its driver, see that "
            "nvidia-smi shows it, and that CUDA_VISIBLE_DEVICES does not hide it; for one from "
            f"Intel or AMD, {_BUILDS_OF_TORCH} names builds of PyTorch; else use the CPU"
        )
    if all(gpu.capability is None for gpu in machine.gpus):
        return "the driver does not tell the GPU's compute capability: update the driver"
    if not any(build_for(gpu) for gpu in machine.gpus):
        return f"{CUDA11.name} needs compute capability 5.0 or more, PyTorch too: use the CPU"
    return ""


def _wrong_python(machine: Machine) -> str:
    if not _PYTHONS[0] <= machine.python <= _PYTHONS[1]:
        return (
            "Python {}.{} has no wheels of the numpy that diglot needs: make a virtual environment "
            "with Python 3.10, 3.11 or 3.12 and run this there".format(*machine.python)
        )
    if not machine.has_pip:
        return "this Python has no pip: run python -m ensurepip, then this again"
    return ""


def _community(machine: Machine, python: str) -> str:
    """Say how MXNet itself comes to GPUs that mxnet-cu117 has no code for."""
    commands = _lines(
        [
            (python, "-m", "pip", "uninstall", "--yes", "mxnet"),
            (python, "-m", "pip", "install", "THE_WHEEL", _NUMPY),
            (python, "-m", "diglot.setup_gpu", "--verify"),
        ],
        "    ",
    )
    wheel = "cp{}{}".format(*max(machine.python, (3, 11)))
    other = "" if machine.python >= (3, 11) else ", in a new environment with Python 3.11 or 3.12"
    return (
        f"Of MXNet, {CUDA11.name} has no code for compute capability 9.0 and later. {CUDA13.name} "
        "has; it is a community's build, which is not on the package index and which diglot does "
        f"not install by itself. To have it instead{other}: have NVIDIA's driver 590 or newer and "
        f"the CUDA 13 toolkit, download its Linux wheel for {wheel} from {_COMMUNITY}, and run\n"
        f"{commands}"
    )


def _lines(commands: Sequence[Sequence[str]], indent: str = "  ") -> str:
    return "\n".join(f"{indent}{shlex.join(command)}" for command in commands)


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


_CHECK = {
    "mxnet": "Check that nvidia-smi works and that the driver is 450.80 or newer "
    "(590 for MXNet 2.0)",
    "torch": "Where pip was told of an index of builds for the CPU, it took one of those: "
    f"{_BUILDS_OF_TORCH} names the others, and which driver each needs",
}
_MODULES = {"mxnet": "mxnet", "torch": "torch_verify"}


def _verify(python: str, engine: str, index: int, run: Run) -> int:
    """Compute on the GPU in a fresh process, and say how that went."""
    status = run((python, "-c", _VERIFY.format(module=_MODULES[engine], index=index)))
    if status:
        _say(
            f"gpu:{index} does not work yet (see above). {_CHECK[engine]}; "
            "diglot.devices() tells more."
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
    status = _verify(python, chosen.engine, chosen.index, run)
    if chosen.engine == "mxnet":
        _say(
            "Installing or updating diglot by pip brings the CPU build back: "
            "then run this once more."
        )
    return status


def _in_use(machine: Machine) -> tuple[str, int]:
    """Return which engine is to compute on which GPU, of what is installed."""
    build = installed_build()
    served = [gpu.index for gpu in machine.gpus if build is not None and build.serves(gpu)]
    if machine.torch and not machine.torch.endswith("+cpu") and not served:
        return "torch", 0
    return "mxnet", served[0] if served else 0


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
        description="Install the build of MXNet or PyTorch that has code for this machine's GPU.",
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
        return _verify(given.python, *_in_use(machine), run)
    if chosen.problem:
        _say(f"No build for GPUs can be installed: {chosen.problem}.")
        return 1
    _say(f"These commands install {chosen.what}:\n{_lines(chosen.commands)}")
    if chosen.instead:
        _say(chosen.instead)
    if given.dry_run:
        return 0
    if not (given.yes or _agreed()):
        _say("Nothing was changed; --yes runs them.")
        return 0
    return _carry_out(chosen, given.python, run)


if __name__ == "__main__":
    raise SystemExit(main())
