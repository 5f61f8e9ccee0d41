"""The frameworks that are compared: what each needs, and the script that is its runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from diglot.errors import InputError
from diglot.gpus import CUDA11_WHEELS

__all__ = ["FRAMEWORKS", "OTHER_NAMES", "TODAY", "Framework", "chosen_frameworks"]

TODAY = ("mxnet", "tensorflow", "torch", "jax", "pytensor")
"""What is compared where nobody says what."""

ERAS = ("today", "2016")

Versions = tuple[tuple[int, int], tuple[int, int]]
_NEW: Versions = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Framework:
    """A framework.

    Attributes
    ----------
    name, label : str
        What calls and tables call it.
    era : {"today", "2016"}
        "today": the newest release that the package index gives; "2016": a release of the study's
        time, with everything pinned, as old installers take releases that need a newer Python.
    package : str
        The distribution whose version counts.
    engine : str
        The distribution that it computes by, where that is another one.
    runner : str
        The script in ``runners/``.
    requirements : tuple of str
        What pip installs for a CPU.
    pythons : pair of (major, minor)
        The oldest and the newest Python that have wheels of all of it.
    gpu : tuple of str
        What pip installs for a GPU; empty where there is nothing that pip alone could install.
    tools : tuple of str
        Installers to pin before.
    local_build : pair of str
        A package and the label of its builds for the CPU alone, such as "cpu" in 2.13.0+cpu. Where
        the index has some, the newest is taken instead of the usual one with gigabytes of CUDA.
    environment : mapping
        Variables of the runner; "{scratch}" becomes a folder that is empty at each start, so that
        compilers find nothing that an earlier run left; "{blas}" and "{pytensor_blas}" a setting
        for the system's OpenBLAS, if there is one, as pip brings Theano none.
    """

    name: str
    label: str
    era: str
    package: str
    runner: str
    requirements: tuple[str, ...]
    pythons: Versions = _NEW
    gpu: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    local_build: tuple[str, str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""

    def needs(self, device: str) -> tuple[str, ...]:
        """Return what pip installs for a device, "cpu" or "gpu".

        Examples
        --------
        >>> FRAMEWORKS["jax"].needs("gpu")
        ('jax[cuda13]',)
        """
        return self.gpu if device == "gpu" else self.requirements


# TensorFlow and JAX would take all of a GPU's memory at once.
_TF = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
_JAX = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
_TENSORFLOW = ("tensorflow-cpu>=2.16",)
_OLD_NUMPY = "numpy==1.16.6"
_FOR_MXNET = ("numpy>=1.23,<2", "setuptools")

OTHER_NAMES = {
    "mxnet": ("mxnet-cu117", "mxnet-cu116", "mxnet-cu115", "mxnet-cu114", "mxnet-cu112"),
    "tensorflow-cpu": ("tensorflow", "tensorflow-gpu", "tensorflow-intel", "tensorflow-macos"),
    "tensorflow": ("tensorflow-gpu", "tensorflow-cpu"),
}
"""Other distributions of the same thing, which a Python that the user names may have."""

_ALL = (
    Framework(
        "mxnet", "MXNet", "today", "mxnet", "mxnet_gluon.py",
        ("mxnet>=1.9.1", *_FOR_MXNET), gpu=(*CUDA11_WHEELS, *_FOR_MXNET),
        pythons=((3, 8), (3, 12)),
    ),
    Framework(
        "tensorflow", "TensorFlow", "today", "tensorflow-cpu", "run_tensorflow.py",
        _TENSORFLOW, gpu=("tensorflow[and-cuda]>=2.16",), environment=_TF,
    ),
    Framework(
        "torch", "PyTorch", "today", "torch", "run_torch.py",
        ("torch>=2", "numpy"), gpu=("torch>=2", "numpy"), local_build=("torch", "cpu"),
    ),
    Framework(
        "jax", "JAX", "today", "jax", "run_jax.py",
        ("jax",), gpu=("jax[cuda13]",), environment=_JAX,
    ),
    Framework(
        "pytensor", "PyTensor", "today", "pytensor", "run_pytensor.py",
        ("pytensor>=3",), # Its other linker, Numba, compiles an LSTM for minutes.
        environment={"PYTENSOR_FLAGS": "linker=cvm,base_compiledir={scratch}{pytensor_blas}"},
    ),
    Framework(
        "keras-tensorflow", "Keras on TensorFlow", "today", "keras", "run_keras.py",
        (*_TENSORFLOW, "keras>=3"), gpu=("tensorflow[and-cuda]>=2.16", "keras>=3"),
        environment={**_TF, "KERAS_BACKEND": "tensorflow"}, engine="tensorflow-cpu",
    ),
    Framework(
        "keras-jax", "Keras on JAX", "today", "keras", "run_keras.py",
        ("jax", "keras>=3"), gpu=("jax[cuda13]", "keras>=3"),
        environment={**_JAX, "KERAS_BACKEND": "jax"}, engine="jax",
    ),
    Framework(
        "keras-torch", "Keras on PyTorch", "today", "keras", "run_keras.py",
        ("torch>=2", "keras>=3"), gpu=("torch>=2", "keras>=3"), local_build=("torch", "cpu"),
        environment={"KERAS_BACKEND": "torch"}, engine="torch",
    ),
    Framework(
        "theano-0.8", "Theano 0.8 and Lasagne", "2016", "Theano", "run_lasagne.py",
        ("Theano==0.8.2", "Lasagne==0.1", _OLD_NUMPY, "scipy==1.2.3", "six==1.16.0"),
        pythons=((3, 6), (3, 6)), engine="Lasagne",
        environment={"THEANO_FLAGS": "floatX=float32,base_compiledir={scratch}{blas}"},
    ),
    Framework(
        "tensorflow-0.12", "TensorFlow 0.12", "2016", "tensorflow", "run_tensorflow_0.py",
        (
            "tensorflow==0.12.1", _OLD_NUMPY, "protobuf==3.19.6", "werkzeug==1.0.1",
            "markdown==3.2.2", "importlib-metadata==4.8.3", "zipp==3.6.0",
            "typing-extensions==4.1.1",
        ),
        pythons=((3, 6), (3, 6)),
        tools=("pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"),
    ),
    Framework(
        "mxnet-0.9", "MXNet 0.9", "2016", "mxnet", "mxnet_module.py",
        ("mxnet==0.9.5.post2", _OLD_NUMPY),
        pythons=((3, 6), (3, 6)),
    ),
    Framework(
        "keras-2-theano", "Keras 2 on Theano 1.0", "2016", "Keras", "run_keras_2.py",
        ("Keras==2.2.5", "Theano==1.0.5", _OLD_NUMPY, "scipy==1.2.3", "six==1.16.0"),
        pythons=((3, 7), (3, 7)), engine="Theano",
        environment={
            "KERAS_BACKEND": "theano",
            "THEANO_FLAGS": "floatX=float32,base_compiledir={scratch}{blas}",
        },
    ),
)  # fmt: skip

FRAMEWORKS = {framework.name: framework for framework in _ALL}
"""All frameworks by their names."""


def chosen_frameworks(
    names: Any = None,
    era: str | None = None,
    *,
    known: Mapping[str, Framework] = FRAMEWORKS,
    default: Sequence[str] = TODAY,
) -> list[Framework]:
    """Return the frameworks asked for, in their order, each once.

    Parameters
    ----------
    names : str or sequence of str, optional
        By default those of the era.
    era : {"today", "2016", "both"}, optional
        Which of them to keep. By default all that are named, and today's where none is.
    known : mapping of str to Framework
    default : sequence of str
        Today's, where none is named.

    Returns
    -------
    list of Framework

    Raises
    ------
    InputError
        If a name or the era is unknown, or nothing is left.

    Examples
    --------
    >>> [framework.label for framework in chosen_frameworks(["jax", "mxnet"])]
    ['JAX', 'MXNet']
    >>> [framework.name for framework in chosen_frameworks(era="2016")][:2]
    ['theano-0.8', 'tensorflow-0.12']
    """
    if era not in (None, "both", *ERAS):
        raise InputError(f"era must be 'today', '2016' or 'both', not {era!r}")
    if names is None:
        old = tuple(name for name, each in known.items() if each.era == "2016")
        names = {"2016": old, "both": (*default, *old)}.get(era or "today", default)
    elif isinstance(names, str):
        names = [names]
    found = []
    for name in dict.fromkeys(names):
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            there = ", ".join(known)
            raise InputError(f"there is no framework {name!r}; there are {there}.{hint}")
        if era in (None, "both", known[name].era):
            found.append(known[name])
    if not found:
        raise InputError(f"none of the frameworks is of era {era!r}; leave era out, or name others")
    return found
