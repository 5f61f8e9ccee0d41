"""The GPUs of this machine, found without MXNet, and which build of MXNet has code for which.

NVIDIA's driver is asked by its program nvidia-smi, so that a GPU is seen whatever MXNet is
installed. A build runs on the compute capabilities that it was compiled for: the builds of
MXNet 1.9.1 for CUDA 11 hold machine code for 5.0 to 8.6, which runs up to 8.9, and nothing that a
newer GPU could compile for itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata

__all__ = ["CPU", "CUDA11", "CUDA11_WHEELS", "CUDA13", "Build", "Gpu"]
__all__ += ["build_for", "find_gpus", "installed", "installed_build", "overlaid", "why_not"]

QUERY = "--query-gpu=index,name,memory.total,compute_cap"
_MOST_GPUS = 64
_LONGEST_NAME = 100
_UNITS = {"MiB": 2**20, "GiB": 2**30, "": 2**20}


@dataclass(frozen=True)
class Gpu:
    """A GPU: ``memory`` in bytes (0: not told), ``capability`` such as (8, 6) (None: not told)."""

    index: int
    name: str
    memory: int
    capability: tuple[int, int] | None

    @property
    def compute(self) -> str:
        """The compute capability as NVIDIA writes it: "8.6"."""
        return "unknown" if self.capability is None else "{}.{}".format(*self.capability)


@dataclass(frozen=True)
class Build:
    """A build of MXNet: ``code`` is the lowest and the highest compute capability it runs on.

    It is None where that is not known, as with a build of the user's own.
    """

    name: str
    for_gpus: bool = True
    code: tuple[tuple[int, int], tuple[int, int]] | None = None

    def serves(self, gpu: Gpu) -> bool:
        """Say whether it runs on this GPU, as far as can be told."""
        if not self.for_gpus or self.code is None or gpu.capability is None:
            return self.for_gpus
        return self.code[0] <= gpu.capability <= self.code[1]


CPU = Build("mxnet", for_gpus=False)
CUDA11 = Build("mxnet-cu117", code=((5, 0), (8, 9)))
CUDA11_WHEELS = (
    "mxnet-cu117==1.9.1",
    "nvidia-cublas-cu11>=11.10,<12",
    "nvidia-cuda-nvrtc-cu11>=11.7,<12",
    "nvidia-cuda-runtime-cu11>=11.7,<12",
    "nvidia-cudnn-cu11>=8.5,<9",  # MXNet looks for libcudnn.so.8
    "nvidia-cufft-cu11>=10.7,<11",
    "nvidia-curand-cu11>=10.2,<11",
    "nvidia-cusolver-cu11>=11.4,<12",
    "nvidia-cusparse-cu11>=11.7,<12",
    "nvidia-nccl-cu11>=2.14,<3",
    "nvidia-nvtx-cu11>=11.7,<12",
)
"""What pip installs for it: the build, and CUDA's libraries, which it does not bring along."""
# It also holds code that a newer GPU's driver compiles: there is no highest capability.
CUDA13 = Build("mxnet 2.0 for CUDA 13", code=((8, 0), (99, 9)))


def find_gpus() -> list[Gpu]:
    """Return the GPUs that NVIDIA's driver shows to this process, by their CUDA numbers."""
    return _visible(_parsed(_told()), os.environ.get("CUDA_VISIBLE_DEVICES"))


def _told() -> str:
    """Return what nvidia-smi says; nothing where it is not there, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, QUERY, "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout[: 2**16].decode("utf-8", errors="replace")


def _parsed(text: str) -> list[Gpu]:
    """Return the GPUs of nvidia-smi's lines; what is no line of a GPU is left aside."""
    gpus: dict[int, Gpu] = {}
    for line in text.splitlines()[:_MOST_GPUS]:
        match = re.fullmatch(r"\s*([0-9]{1,3}) *,(.*),([^,]*),([^,]*)", line)
        if match is None:
            continue
        index = int(match[1])
        name = "".join(c for c in match[2].strip() if c.isprintable())[:_LONGEST_NAME]
        if name and index not in gpus:
            gpus[index] = Gpu(index, name, _bytes(match[3]), _capability(match[4]))
    return [gpus[index] for index in sorted(gpus)]


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9}) *(MiB|GiB|)", text.strip())
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _capability(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", text.strip())
    return (int(match[1]), int(match[2])) if match else None


def _visible(gpus: list[Gpu], chosen: str | None) -> list[Gpu]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, numbered as CUDA numbers them.

    CUDA takes the list up to the first number that is no GPU. A list by UUID or of MIG slices
    says nothing about nvidia-smi's numbers: then all are returned.
    """
    if chosen is None:
        return [replace(gpu, index=index) for index, gpu in enumerate(gpus)]
    by_index = {gpu.index: gpu for gpu in gpus}
    kept: list[Gpu] = []
    for text in chosen.split(","):
        if text.strip().upper().startswith(("GPU-", "MIG-")):
            return _visible(gpus, None)
        index = int(text) if re.fullmatch(r"\s*[0-9]{1,3}\s*", text) else -1
        if index not in by_index:
            break
        kept.append(replace(by_index[index], index=len(kept)))
    return kept


def build_for(gpu: Gpu) -> Build | None:
    """Return the build that has code for a GPU, the one on the package index first, or None."""
    if gpu.capability is None:
        return None
    return next((build for build in (CUDA11, CUDA13) if build.serves(gpu)), None)


def installed(
    distributions: Iterable[metadata.Distribution] | None = None,
) -> dict[str, str]:
    """Return the packages that are builds of MXNet, and their versions, mxnet itself last."""
    found = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name == "mxnet" or name.startswith("mxnet-cu"):
            found[name] = distribution.version
    return dict(sorted(found.items(), reverse=True))


def installed_build(distributions: Iterable[metadata.Distribution] | None = None) -> Build | None:
    """Return the build of MXNet that is installed; None where no package says that one is."""
    found = installed(distributions)
    if not found:
        return None
    name, version = next(iter(found.items()))
    if name != "mxnet":
        known = re.fullmatch(r"mxnet-cu11[0-9]", name) is not None
        return Build(f"{name} {version}", code=CUDA11.code if known else None)
    if "+cu" in version:  # the community's build names its CUDA after the version
        return Build(f"mxnet {version}", code=CUDA13.code)
    return Build(f"mxnet {version}", for_gpus=False)


def overlaid(
    gpus: Iterable[Gpu], distributions: Iterable[metadata.Distribution] | None = None
) -> str:
    """Say what to do where several builds are installed over each other; "" where only one is.

    All builds install the module ``mxnet``. diglot requires the package of that name, which pip
    therefore brings back over ``mxnet-cu117`` when it installs or updates diglot.
    """
    found = installed(distributions)
    if len(found) < 2:
        return ""
    if any(build_for(gpu) is CUDA11 for gpu in gpus):
        fix = f"{_command()} --yes"
    else:
        pip = f"{sys.executable or 'python'} -m pip"
        fix = (
            f'{pip} uninstall --yes {" ".join(found)}, then {pip} install "mxnet>=1.9.1" "numpy<2"'
        )
    several = " and ".join(f"{name} {version}" for name, version in found.items())
    return (
        f"{several} are installed over each other, as when pip updated diglot after the build for "
        f"GPUs was there (pip install --no-deps leaves that alone); this puts it right: {fix}"
    )


def why_not(gpu: Gpu, build: Build | None, *, sees_it: bool = False) -> str:
    """Say why a GPU is not served by the installed build, and what to do; "" where it is.

    ``sees_it``: MXNet counts this GPU among its own, which says nothing about its code.
    """
    what = f"{gpu.name} (compute capability {gpu.compute})"
    if build is None or build.serves(gpu):
        if sees_it:
            return ""
        name = "MXNet" if build is None else build.name
        return (
            f"{name} does not see {what}: check CUDA_VISIBLE_DEVICES, and that the driver is not "
            f"older than the build's CUDA; then verify with: {_command()} --verify"
        )
    if build.for_gpus:
        lowest, highest = ("{}.{}".format(*each) for each in build.code or ())
        problem = f"{build.name} has no code for {what}, but only for {lowest} to {highest}"
    else:
        problem = f"{build.name} is the build for the CPU and has no code for {what}"
    return f"{problem}; {_fix(gpu)}"


def _fix(gpu: Gpu) -> str:
    if gpu.capability is None:
        return 'the driver does not tell what it can do: update it, or use device="cpu"'
    build = build_for(gpu)
    if build is None:
        return 'no build of MXNet has code for a GPU as old as this: use device="cpu"'
    how = f"{_command()} (from R: install_diglot(gpu = TRUE))"
    if build is CUDA11:
        return f"install {build.name} with the nvidia-*-cu11 wheels: {how}"
    return (
        f"PyTorch serves it, which diglot then takes: {how}; MXNet needs {build.name}, which is "
        'not on the package index: the same says how; or use "cpu"'
    )


def _command() -> str:
    return f"{sys.executable or 'python'} -m diglot.setup_gpu"
