"""GPUs found by nvidia-smi, and which build of MXNet has code for which."""

from __future__ import annotations

import ctypes
import os
import random
import string
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from diglot.engine import Device, mxnet, pick_device
from diglot.engine.libraries import (
    LIBRARIES,
    find_libraries,
    keep_own_blas,
    load_fast_blas,
    package_folders,
    preload,
)
from diglot.errors import DeviceError
from diglot.gpus import (
    CUDA11,
    CUDA13,
    Build,
    Gpu,
    _parsed,
    _visible,
    build_for,
    find_gpus,
    installed_build,
    overlaid,
    why_not,
)

QUERY = "--query-gpu=index,name,memory.total,compute_cap --format=csv,noheader"
LINES = "0, NVIDIA RTX A5000, 24564 MiB, 8.6\n1, NVIDIA H100 80GB HBM3, 81559 MiB, 9.0\n"


def fake_nvidia_smi(folder, monkeypatch, text, status=0):
    """Put a program nvidia-smi on PATH that answers diglot's question, and no other."""
    answer = folder / "answer"
    answer.write_bytes(text if isinstance(text, bytes) else text.encode())
    program = folder / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\n[ "$*" = "{QUERY}" ] || exit 9\n'
        f'while IFS= read -r line; do printf "%s\\n" "$line"; done <"{answer}"\nexit {status}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def gpu(capability, name="a GPU", index=0):
    return Gpu(index, name, 2**34, capability)


def test_the_gpus_are_those_of_nvidia_smi(tmp_path, monkeypatch):
    fake_nvidia_smi(tmp_path, monkeypatch, LINES)
    assert find_gpus() == [
        Gpu(0, "NVIDIA RTX A5000", 24564 * 1024**2, (8, 6)),
        Gpu(1, "NVIDIA H100 80GB HBM3", 81559 * 1024**2, (9, 0)),
    ]


def test_without_nvidia_smi_or_where_it_fails_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == []
    fake_nvidia_smi(tmp_path, monkeypatch, LINES, status=9)
    assert find_gpus() == []
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF, but no program")
    assert find_gpus() == []


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("0, Tesla, the comma, 11441 MiB, 3.7", Gpu(0, "Tesla, the comma", 11441 * 2**20, (3, 7))),
        ("3, B200, 179 GiB, 10.0", Gpu(0, "B200", 179 * 2**30, (10, 0))),
        ("0, A, [N/A], [N/A]", Gpu(0, "A", 0, None)),
        ("0, A, -5 MiB, 8.6.1", Gpu(0, "A", 0, None)),
        ("0, A, 99999999999999999999 MiB, 999.9", Gpu(0, "A", 0, None)),
        ("0, \x1b]0;A\x07, 1 MiB, 8.6", Gpu(0, "]0;A", 2**20, (8, 6))),
        ("0, A, 1 MiB, \u0668.\u0666", Gpu(0, "A", 2**20, None)),
    ],
)
def test_what_is_not_told_or_not_to_be_believed_is_unknown(line, want):
    assert _visible(_parsed(line), None) == [want]


def test_lines_that_are_of_no_gpu_are_left_aside():
    for line in ("", "No devices were found", "x, A, 1 MiB, 8.6", "0, A", "0,,,", "-1, A, 1, 8.6"):
        assert _parsed(line) == []
    assert len(_parsed("0, A, 1 MiB, 8.6\n0, B, 1 MiB, 8.6\n")) == 1
    assert len(_parsed("".join(f"{i}, A, 1 MiB, 8.6\n" for i in range(500)))) == 64
    assert len(_parsed("0, " + "A" * 5000 + ", 1 MiB, 8.6")[0].name) == 100


def test_junk_never_raises(tmp_path, monkeypatch):
    rng = random.Random(1)
    for _ in range(300):
        junk = "".join(rng.choice(string.printable + ",,,\n\u0661") for _ in range(60))
        for found in _parsed(junk + "\n0," + junk):
            assert found.name.isprintable()
    fake_nvidia_smi(tmp_path, monkeypatch, b"\xff\xfe0, A, 1\n0, \xe9, 1 MiB, 8.6\n")
    assert [found.capability for found in find_gpus()] == [(8, 6)]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, "ABC"),
        ("", ""),
        ("-1", ""),
        ("1", "B"),
        (" 2 ,0", "CA"),
        ("0,7,1", "A"),
        ("1,x,0", "B"),
        ("GPU-8932f937", "ABC"),
    ],
)
def test_gpus_are_numbered_as_cuda_numbers_them(chosen, names):
    gpus = [Gpu(index, name, 0, (8, 0)) for index, name in enumerate("ABC")]
    found = _visible(gpus, chosen)
    assert "".join(each.name for each in found) == names
    assert [each.index for each in found] == list(range(len(names)))


@pytest.mark.parametrize(
    ("capability", "build"),
    [
        ((3, 7), None),
        ((5, 0), CUDA11),
        ((7, 5), CUDA11),
        ((8, 9), CUDA11),
        ((9, 0), CUDA13),
        ((10, 3), CUDA13),
        ((12, 0), CUDA13),
        (None, None),
    ],
)
def test_each_gpu_has_its_build(capability, build):
    assert build_for(gpu(capability)) is build


class Installed(Distribution):
    def __init__(self, name, version):
        self.text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename):
        return self.text

    def locate_file(self, path):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("packages", "want"),
    [
        ({}, None),
        ({"numpy": "1.26.4"}, None),
        ({"mxnet": "1.9.1"}, Build("mxnet 1.9.1", for_gpus=False)),
        ({"mxnet-cu117": "1.9.1"}, Build("mxnet-cu117 1.9.1", code=((5, 0), (8, 9)))),
        ({"mxnet": "1.9.1", "mxnet_cu112": "1.9.1"}, Build("mxnet-cu112 1.9.1", code=CUDA11.code)),
        ({"mxnet-cu92": "1.5.0"}, Build("mxnet-cu92 1.5.0")),
        ({"mxnet": "2.0.0+cu133.bw"}, Build("mxnet 2.0.0+cu133.bw", code=CUDA13.code)),
    ],
)
def test_the_installed_build_is_known_by_its_package(packages, want):
    assert installed_build([Installed(*each) for each in packages.items()]) == want


def test_builds_over_each_other_are_named_with_the_way_out():
    both = [Installed("mxnet", "1.9.1"), Installed("mxnet-cu117", "1.9.1")]
    for one in ([], both[:1], both[1:]):
        assert overlaid([gpu((8, 6))], one) == ""
    text = overlaid([gpu((9, 0)), gpu((8, 6))], both)
    assert text.startswith("mxnet-cu117 1.9.1 and mxnet 1.9.1 are installed over each other")
    assert text.endswith("-m diglot.setup_gpu --yes")
    for gpus in ([], [gpu((9, 0))]):  # none that mxnet-cu117 has code for
        text = overlaid(gpus, both)
        assert "pip uninstall --yes mxnet-cu117 mxnet, then" in text
        assert text.endswith('pip install "mxnet>=1.9.1" "numpy<2"')


def test_a_gpu_that_pip_took_away_is_refused_with_the_way_back(monkeypatch):
    as_if(monkeypatch, [gpu((8, 6))], Build("mxnet-cu117 1.9.1", code=CUDA11.code), 0)
    monkeypatch.setattr(
        "diglot.gpus.installed", lambda *_: {"mxnet-cu117": "1.9.1", "mxnet": "1.9.1"}
    )
    with pytest.raises(DeviceError, match=r"over each other.*diglot\.setup_gpu --yes"):
        pick_device("gpu")
    assert pick_device("auto") == Device("cpu")


def test_a_gpu_that_is_not_served_comes_with_its_capability_the_build_and_the_fix():
    h100, a5000 = gpu((9, 0), "H100"), gpu((8, 6), "A5000")
    cu117 = Build("mxnet-cu117 1.9.1", code=CUDA11.code)
    text = why_not(h100, cu117, sees_it=True)
    assert all(part in text for part in ("H100", "9.0", "mxnet-cu117 1.9.1", "5.0 to 8.9", "2.0"))
    assert "diglot.setup_gpu" in text
    assert why_not(a5000, cu117, sees_it=True) == ""
    assert "driver" in why_not(a5000, cu117)
    text = why_not(a5000, Build("mxnet 1.9.1", for_gpus=False))
    assert "8.6" in text
    assert "install mxnet-cu117" in text
    assert "as old as this" in why_not(gpu((3, 7)), cu117)
    assert why_not(h100, None, sees_it=True) == ""  # a build of one's own may hold any code


def as_if(monkeypatch, gpus, build, count):
    """Make MXNet's door see these GPUs; ``count`` of them MXNet itself."""
    monkeypatch.setattr(mxnet, "find_gpus", lambda: gpus)
    monkeypatch.setattr(mxnet, "installed_build", lambda: build)
    monkeypatch.setattr(mxnet, "gpu_count", lambda: count)


def test_an_explicit_gpu_without_code_is_refused_before_anything_runs(monkeypatch):
    gpus = [gpu((9, 0), "H100"), gpu((8, 6), "A5000", 1)]
    as_if(monkeypatch, gpus, Build("mxnet-cu117 1.9.1", code=CUDA11.code), 2)
    with pytest.raises(
        DeviceError, match=r"device=\"gpu:0\".*H100 .compute capability 9\.0.*5\.0 to 8\.9"
    ):
        pick_device("gpu")
    assert pick_device("gpu:1") == Device("gpu", 1)
    assert pick_device("auto") == Device("gpu", 1)  # the first that works
    with pytest.raises(DeviceError, match=r"only 2 GPU"):
        pick_device("gpu:2")
    as_if(monkeypatch, gpus[:1], Build("mxnet-cu117 1.9.1", code=CUDA11.code), 1)
    assert pick_device("auto") == Device("cpu")
    with pytest.raises(DeviceError, match=r"9\.0"):
        mxnet.verify_gpu(0)


def test_a_fit_on_a_gpu_without_code_ends_before_training(monkeypatch):
    import numpy as np

    from diglot import ImageClassifier

    as_if(monkeypatch, [gpu((8, 6), "A5000")], Build("mxnet 1.9.1", for_gpus=False), 0)
    images = np.arange(8 * 9 * 10, dtype=np.uint8).reshape(8, 9, 10)
    with pytest.raises(DeviceError, match=r"A5000 \(compute capability 8\.6\).*mxnet-cu117"):
        ImageClassifier(network="mlp", epochs=1, device="gpu").fit(images, list("abababab"))


def test_mxnet_sees_a_gpu_where_nvidia_smi_is_missing(monkeypatch):
    as_if(monkeypatch, [], Build("mxnet-cu117 1.9.1", code=CUDA11.code), 1)
    assert pick_device("auto") == pick_device("gpu") == Device("gpu", 0)


def test_gpus_are_numbered_alike_by_cuda_and_by_nvidia_smi(monkeypatch):
    as_if(monkeypatch, [gpu((8, 6))], Build("mxnet-cu117 1.9.1", code=CUDA11.code), 1)
    settings = mxnet._environment()
    assert settings["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "MXNET_ENGINE_TYPE" not in settings  # on a GPU its scheduler overlaps the work


@pytest.mark.parametrize(
    ("found", "chosen", "driver", "threaded"),
    [
        ([gpu((8, 6))], None, True, True),
        ([gpu((9, 0))], None, True, False),  # it has no code for that
        ([gpu((9, 0)), gpu((8, 6), index=1)], None, True, True),
        ([], None, False, False),
        ([], None, True, True),  # nvidia-smi is missing
        ([], "", True, False),
        ([], "-1", True, False),
    ],
)
def test_a_build_for_gpus_computes_on_a_cpu_as_the_other_does(
    tmp_path, monkeypatch, found, chosen, driver, threaded
):
    as_if(monkeypatch, found, Build("mxnet-cu117 1.9.1", code=CUDA11.code), len(found))
    monkeypatch.setattr(mxnet, "_DRIVERS", (str(tmp_path if driver else tmp_path / "none"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    settings = mxnet._environment()
    assert ("MXNET_ENGINE_TYPE" not in settings) is threaded
    assert settings["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


# ---- CUDA's libraries


def wheels(folder, libraries=LIBRARIES):
    for package, name in libraries:
        path = folder / "nvidia" / package / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no library")
    return folder


def test_libraries_are_found_in_the_order_of_loading_from_the_first_folder(tmp_path):
    first, second = wheels(tmp_path / "a", LIBRARIES[3:5]), wheels(tmp_path / "b")
    found = find_libraries([first, tmp_path / "none", second])
    assert [path.name for path in found] == [name for _, name in LIBRARIES]
    assert [path.is_relative_to(first) for path in found].count(True) == 2
    names = [path.name for path in found]
    for needs, needed in (("cublas.", "cublasLt"), ("cusolver", "cusparse"), ("cudnn", "cublas.")):
        position = {n: i for i, n in enumerate(names)}
        (a,), (b,) = ([position[n] for n in names if part in n] for part in (needs, needed))
        assert b < a
    assert find_libraries([tmp_path / "none"]) == []


def test_libraries_are_loaded_for_others_to_find_and_one_that_is_broken_is_named(tmp_path):
    loaded = []

    def load(path, mode):
        loaded.append((path, mode))
        if "cufft" in path:
            raise OSError("file too short")

    paths = find_libraries([wheels(tmp_path)])
    assert preload(paths, load) == {"libcufft.so.10": "file too short"}
    assert loaded == [(str(path), ctypes.RTLD_GLOBAL) for path in paths]
    # the system's own loader, too: what is no library is named, and nothing is raised
    assert set(preload(paths)) == {name for _, name in LIBRARIES}


def test_a_build_that_does_not_load_says_what_helps(monkeypatch):
    error = "lib{}: cannot open shared object file"
    for build, library, helps in (
        (Build("mxnet-cu117 1.9.1"), "cudnn.so.8", "setup_gpu"),
        (Build("mxnet-cu117 1.9.1"), "cuda.so.1", "driver"),
        (Build("mxnet 1.9.1", for_gpus=False), "gomp.so.1", "check_setup"),
    ):
        monkeypatch.setattr(mxnet, "installed_build", lambda build=build: build)
        assert helps in mxnet._mend(error.format(library))


def test_the_folders_are_those_of_the_packages():
    import numpy

    for package in ("numpy", "a package that is not there"):
        folders = package_folders(package)
        assert any((folder / "numpy" / "__init__.py").is_file() for folder in folders)
        assert numpy.__file__.startswith(tuple(map(str, folders)))


@pytest.mark.skipif(not hasattr(os, "RTLD_DEEPBIND"), reason="this linker is not glibc's")
@pytest.mark.parametrize("in_r", [True, False])
def test_within_r_mxnet_keeps_its_own_blas(tmp_path, in_r):
    """R's functions of the same names came first; the R tests compare what is then computed."""
    loaded = []

    def load(path, mode):
        if path == "libR.so" and not in_r:
            raise OSError("not loaded")
        loaded.append((path, bool(mode & os.RTLD_DEEPBIND)))

    keep_own_blas([tmp_path], "mxnet/libmxnet.so", load)
    assert loaded == []  # there is no MXNet
    library = tmp_path / "mxnet" / "libmxnet.so"
    library.parent.mkdir()
    library.touch()
    keep_own_blas([tmp_path / "elsewhere", tmp_path], "mxnet/libmxnet.so", load)
    assert loaded == ([("libR.so", False), (str(library), True)] if in_r else [])


@pytest.mark.parametrize(
    ("flags", "set_by_user", "there_already", "loads"),
    [
        ("fpu sse avx2 fma", None, False, True),
        ("fpu sse avx2", None, False, False),  # no fused multiply-add
        ("fpu sse avx2 fma", "ZEN", False, False),
        ("fpu sse avx2 fma", None, True, False),
    ],
)
def test_mxnets_blas_computes_with_avx2_where_the_processor_has_it(
    tmp_path, monkeypatch, flags, set_by_user, there_already, loads
):
    if set_by_user:
        monkeypatch.setenv("OPENBLAS_CORETYPE", set_by_user)
    else:
        monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    processors, library = tmp_path / "cpuinfo", tmp_path / "mxnet" / "libopenblas.so.0"
    processors.write_text(f"processor: 0\nflags\t\t: {flags}\nbugs: none\n")
    loaded = []

    def load(path, mode=0):
        if path == "libopenblas.so.0":
            if there_already:
                return
            raise OSError("not loaded")
        loaded.append((path, os.environ["OPENBLAS_CORETYPE"]))

    load_fast_blas([tmp_path], processors, load)
    assert loaded == []  # there is no MXNet
    library.parent.mkdir()
    library.touch()
    load_fast_blas([tmp_path], processors, load)
    assert loaded == [(str(library), "HASWELL")] * loads
    assert os.environ.get("OPENBLAS_CORETYPE") == set_by_user
    load_fast_blas([tmp_path], tmp_path / "no such file", load)
    assert len(loaded) == loads


CORE = """
import ctypes, os
from diglot.engine.libraries import package_folders
from diglot.engine.mxnet import load
load()
library = next(f for f in package_folders("mxnet") if (f / "mxnet").is_dir()) / "mxnet"
core = ctypes.CDLL(str(library / "libopenblas.so.0")).openblas_get_corename
core.restype = ctypes.c_char_p
print(core().decode(), "OPENBLAS_CORETYPE" in os.environ)
"""


def test_mxnets_blas_has_the_kernels_that_were_asked_for(monkeypatch):
    found = [folder / "mxnet" / "libopenblas.so.0" for folder in package_folders("mxnet")]
    flags = Path("/proc/cpuinfo")
    if not any(map(Path.is_file, found)) or " avx2 " not in flags.read_text(errors="replace"):
        pytest.skip("this MXNet has no OpenBLAS, or this processor no AVX2")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    run = subprocess.run([sys.executable, "-c", CORE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["Haswell", "False"]
