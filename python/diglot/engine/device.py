"""Processors that can run graphs, and which engine computes on which."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from diglot.errors import DeviceError, InputError, MissingPackageError
from diglot.gpus import find_gpus

ENGINES = ("auto", "mxnet", "torch")


@dataclass(frozen=True)
class Device:
    """A processor that can run graphs, or several of which the first is the main one.

    Attributes
    ----------
    kind : {"cpu", "gpu"}
    index : int
        Counts GPUs. Several CPUs are the same one, in parts that know nothing of each other.
    beside : tuple of Device
        Those that train with it, each on a part of every batch.
    engine : {"mxnet", "torch"}
        What computes on it.
    mixed : {"", "bfloat16", "float16"}
        With which shorter floats products of matrices and convolutions are computed, if any; what
        is summed up or steep (losses, softmax, norms and their statistics), and what is kept, with
        float32.
    """

    kind: str
    index: int = 0
    beside: tuple[Device, ...] = ()
    engine: str = "mxnet"
    mixed: str = ""

    def __str__(self) -> str:
        name = "cpu" if self.kind == "cpu" and not self.index else f"{self.kind}:{self.index}"
        return ", ".join([name, *map(str, self.beside)])

    def mixing(self, floats: str) -> Device:
        """Return the same, computing with these floats where they do."""
        beside = tuple(other.mixing(floats) for other in self.beside)
        return replace(self, mixed=floats, beside=beside)

    @property
    def has_integers(self) -> bool:
        """Whether it can score with 8-bit integers, which is MXNet's on a CPU."""
        return self.kind == "cpu" and self.engine == "mxnet"


def devices() -> list[dict[str, object]]:
    """Return one row for each device and engine that serves it: device, engine and its version.

    Raises
    ------
    MissingPackageError
        If there is no engine.
    """
    from diglot.engine import mxnet, torch

    rows: list[dict[str, object]] = []
    problems = []
    for door in (mxnet, torch) if torch.is_installed() else (mxnet,):
        try:
            rows += door.devices()
        except MissingPackageError as error:
            problems.append(error)
    if not rows:
        raise problems[0]
    return rows


# ---- which engine, and which device


def check_engine(engine: object) -> str:
    """Return the name of an engine; refuse what is none."""
    if not isinstance(engine, str) or engine not in ENGINES:
        known = ", ".join(map(repr, ENGINES))
        raise InputError(f"engine must be one of {known}, not {engine!r}")
    return engine


def pick_device(device: str | Sequence[str] | Device = "auto", engine: str = "auto") -> Device:
    """Return the device that ``device`` names, and the engine that is to compute on it.

    The device "auto" is the first usable GPU, else the CPU. Several, such as
    ``["gpu:0", "gpu:1"]``, train together, each on a part of every batch. The engine "auto" is
    MXNet where it has code for the device, else PyTorch where that is installed.

    Raises
    ------
    DeviceError
        If the device is named and not there, or if no engine has code for it: there is no silent
        fall-back, and no crash later.
    MissingPackageError
        If the engine is not installed; the message says what to install.
    """
    check_engine(engine)
    if isinstance(device, Device):
        return device if engine in ("auto", device.engine) else _with_engine(device, engine)
    if not isinstance(device, str) and isinstance(device, Sequence):
        return _several(list(device), engine)
    if str(device) == "auto":
        return _first_usable(engine)
    return _served(_one(device), engine)


def check_device(device: str | Sequence[str] | Device) -> None:
    """Refuse what cannot name a device; whether it is there is not looked at."""
    if isinstance(device, Device):
        return
    if not isinstance(device, str) and isinstance(device, Sequence):
        _all_named(list(device))
    elif str(device) != "auto":
        _one(device)


def _one(device: object) -> Device:
    found = _named(str(device))
    if found is None or (found.kind == "cpu" and ":" in str(device)):
        raise InputError(
            f'device must be "auto", "cpu", "gpu", "gpu:1" or several such as ["gpu:0", "gpu:1"], '
            f"not {device!r}"
        )
    return found


def _with_engine(device: Device, engine: str) -> Device:
    beside = tuple(replace(other, engine=engine) for other in device.beside)
    return _served(replace(device, engine=engine, beside=beside), engine)


def _several(names: list[str], engine: str) -> Device:
    """Return the devices that train together."""
    wanted, *others = _all_named(names)
    first = _served(wanted, engine)
    return replace(first, beside=tuple(_served(other, first.engine) for other in others))


def _all_named(names: list[str]) -> list[Device]:
    found = [_named(name) if isinstance(name, str) else None for name in names]
    kinds = {each.kind for each in found if each is not None}
    if None in found or len(kinds) != 1 or len(set(found)) != len(found):
        raise InputError(
            'device must name one device, or several GPUs that differ, such as ["gpu:0", "gpu:1"] '
            f'(or ["cpu:0", "cpu:1"], to try it out without), not {names!r}'
        )
    return found


def _named(name: str) -> Device | None:
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "gpu") or (colon and not (number.isascii() and number.isdigit())):
        return None
    return Device(kind, int(number or 0))


def _first_usable(engine: str) -> Device:
    """Return the first usable GPU of the engines that may be used, else the CPU."""
    from diglot.engine import mxnet, torch

    engines = _candidates(engine)
    if "mxnet" in engines:
        usable = (i for i in range(mxnet.gpu_count()) if not mxnet.gpu_problem(i))
        for index in usable:
            return Device("gpu", index)
    if "torch" in engines and (engine == "torch" or engines == ["torch"] or _once(may_have_gpu)):
        usable = (i for i in range(torch.gpu_count()) if not torch.gpu_problem(i))
        for index in usable:
            return Device("gpu", index, engine="torch")
    return Device("cpu", engine=engines[0])


def _served(device: Device, engine: str) -> Device:
    """Return the device with the engine that is to compute on it; refuse one that none can use."""
    from diglot.engine import mxnet, torch

    doors, problems = {"mxnet": mxnet, "torch": torch}, []
    for name in _candidates(engine):
        if device.kind == "cpu":
            return replace(device, engine=name)
        problem = doors[name].gpu_problem(device.index)
        if not problem:
            return replace(device, engine=name)
        told = "MXNet" if name == "mxnet" else "PyTorch"
        problems.append(f"{problem} ({told} {doors[name].version()})")
    raise DeviceError(
        f'device="{device}" was asked for, but {"; and ".join(problems)}; '
        'use device="cpu" or "auto", or see devices() for what is missing'
    )


def _candidates(engine: str) -> list[str]:
    """Return the engines that may be used and can be loaded, the first choice first.

    PyTorch is not loaded for that, which takes seconds, where MXNet may do.

    Raises
    ------
    MissingPackageError
        If there is none.
    """
    from diglot.engine import torch
    from diglot.engine.mxnet import load as load_mxnet
    from diglot.engine.torch import load as load_torch

    if engine == "torch":
        load_torch()
        return ["torch"]
    try:
        load_mxnet()
    except MissingPackageError as error:
        if engine == "mxnet":
            raise
        if not torch.is_installed():
            raise MissingPackageError(
                f"{error}; or, where there is no MXNet, PyTorch: {torch.HOW_TO_INSTALL}"
            ) from error
        load_torch()
        return ["torch"]
    return ["mxnet", "torch"] if engine == "auto" and torch.is_installed() else ["mxnet"]


@cache
def _once(ask: Callable[[], bool]) -> bool:
    """Return what was answered first: a program is run for it."""
    return ask()


# What drivers leave, whose programs may be missing: NVIDIA's, the same under WSL, AMD's, and any
# that draws or computes, Intel's among them.
_TRACES = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg", "dev/kfd", "dev/dri/renderD*")


def may_have_gpu(root: Path = Path("/")) -> bool:
    """Whether it is worth the time to ask PyTorch: GPUs leave traces, and Macs have one."""
    if sys.platform == "darwin" or find_gpus():
        return True
    return any(True for trace in _TRACES for _ in root.glob(trace))


def give_back_memory(device: Device) -> None:
    """Return what PyTorch keeps of a GPU's memory for later to whoever else wants it."""
    if device.engine == "torch" and device.kind == "gpu":
        from diglot.engine import torch

        torch.give_back_memory()


def mixing(device: Device) -> Device:
    """Return a device of PyTorch's, computing with the shorter floats that it has units for.

    Raises
    ------
    DeviceError
        If it has none, or several have none in common; the message says why.
    """
    from diglot.engine import torch

    each = (device, *device.beside) if device.kind == "gpu" else ()
    found = [torch.short_floats(one.index) for one in each] or [("bfloat16",)]
    for floats in found[0]:
        if all(floats in others for others in found):
            return device.mixing(floats)
    raise DeviceError(f"{device} have no shorter floats in common")
