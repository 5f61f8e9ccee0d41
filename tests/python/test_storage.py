"""Model files: what goes in comes out, the bytes repeat, and damage is always refused."""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diglot import storage
from diglot.errors import InputError, ModelFileError

TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
TYPES += ["float16", "float32", "float64"]


def example():
    rng = np.random.default_rng(0)
    tensors = {
        "conv/weight": rng.normal(size=(4, 3, 2)).astype("float32"),
        "../../escape": np.arange(5, dtype="uint16"),
        "scalar": np.array(3, dtype="int64"),
        "empty": np.zeros((0, 7), dtype="float64"),
        "größe": np.array([True, False]),
    }
    metadata = {
        "kind": "classifier",
        "classes": ["b", "a", 3],
        "history": [{"loss": 0.1, "val": math.nan}],
        "text": 'quote " and \u2028 and \ud800',
        "nested": {"z": 1, "a": [None, True, 2**70, -0.0]},
    }
    return tensors, metadata


def raw(header: bytes | dict, body: bytes = b"") -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + body


def with_metadata(text: str) -> bytes:
    return raw({"__metadata__": {"diglot": text}})


def test_round_trip():
    tensors, metadata = example()
    back, meta = storage.decode(storage.encode(tensors, metadata))
    assert list(back) == sorted(tensors)
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)
        assert back[name].flags.writeable
    expected = {**metadata, "format": 1, "history": [{"loss": 0.1, "val": None}]}
    assert meta == expected


@given(
    st.dictionaries(
        st.text(max_size=8),
        hnp.arrays(st.sampled_from(TYPES), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)),
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_arrays_round_trip_and_the_library_agrees(tensors):
    data = storage.encode(tensors, {})
    back, _ = storage.decode(memoryview(bytearray(data)))
    oracle = safetensors.numpy.load(data)
    assert set(back) == set(oracle) == set(tensors)
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
        np.testing.assert_array_equal(oracle[name], array)
    assert storage.fingerprint(back) == storage.fingerprint(tensors)


def test_layout_and_byte_order_do_not_matter():
    array = np.arange(12, dtype="float32").reshape(3, 4)
    variants = [array, np.asfortranarray(array), array.astype(">f4"), np.tile(array, 2)[:, :4]]
    assert len({storage.encode({"a": v}, {}) for v in variants}) == 1
    assert len({storage.fingerprint({"a": v}) for v in variants}) == 1


PROGRAM = """
import hashlib, numpy as np
from diglot import storage
names = {f"layer{i}" for i in range(50)}
tensors = {n: np.full((2, 3), len(n), "float32") for n in names}
metadata = {n: {"x": 1.5, "y": [1, 2]} for n in names}
print(hashlib.sha256(storage.encode(tensors, metadata)).hexdigest(), storage.fingerprint(tensors))
"""


def test_bytes_are_the_same_in_every_process():
    root = str(Path(storage.__file__).parents[1])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(outputs) == 1 and len(outputs.pop().split()) == 2


def test_metadata_takes_numpy_values_and_refuses_the_rest():
    meta = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, np.int64(2)), "d": np.inf}
    _, back = storage.decode(storage.encode({}, meta))
    assert back == {"format": 1, "a": 0.5, "b": [0, 1], "c": [1, 2], "d": None}
    with pytest.raises(InputError, match=r"metadata\['a'\]\[1\] is a set"):
        storage.encode({}, {"a": [1, {2}]})
    with pytest.raises(InputError, match="key 1"):
        storage.encode({}, {"a": {1: 2}})
    loop: list = []
    loop.append(loop)
    with pytest.raises(InputError, match="nested too deeply"):
        storage.encode({}, {"a": loop})


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([None]), np.zeros(1, "complex64")])
def test_element_types_without_a_place_are_refused(bad):
    with pytest.raises(InputError, match="Tensor 'w' has element type"):
        storage.encode({"w": bad}, {})
    with pytest.raises(InputError, match="'w'"):
        storage.fingerprint({"w": bad})


@pytest.mark.parametrize("name", ["__metadata__", 3, None])
def test_names_without_a_place_are_refused(name):
    with pytest.raises(InputError, match="cannot name a tensor"):
        storage.encode({name: np.zeros(1)}, {})


def test_fingerprint_sees_every_part():
    base = {"a": np.arange(6, dtype="int32"), "b": np.zeros(2, "float32")}
    others = [
        {"A": base["a"], "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"].astype("uint32"), "b": base["b"]},
        {"a": base["a"] + 1, "b": base["b"]},
        {"a": base["a"]},
    ]
    prints = {storage.fingerprint(t) for t in [base, *others]}
    assert len(prints) == 6 and all(len(p) == 64 for p in prints)
    assert storage.fingerprint(base) == storage.fingerprint(dict(reversed(base.items())))


def test_bfloat16_is_widened():
    torch = pytest.importorskip("torch")
    safe = pytest.importorskip("safetensors.torch")
    values = torch.tensor([[1.5, -2.25], [3e38, float("nan")]], dtype=torch.bfloat16)
    tensors, meta = storage.decode(safe.save({"w": values}), require_metadata=False)
    assert meta == {} and tensors["w"].dtype == np.float32
    np.testing.assert_array_equal(tensors["w"], values.float().numpy())


def test_foreign_files():
    data = safetensors.numpy.save({"w": np.ones(3)}, {"format": "pt"})
    with pytest.raises(ModelFileError, match=r"x\.st is a safetensors file, but diglot did not"):
        storage.decode(data, "x.st")
    tensors, meta = storage.decode(data, require_metadata=False)
    assert meta == {} and tensors["w"].sum() == 3


def test_newer_format():
    with pytest.raises(ModelFileError, match=r"^m has format version 2.*newer diglot"):
        storage.decode(with_metadata('{"format": 2}'), "m")


def tensor(**changes) -> dict:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 10) + b"{}",
        raw(b"[]"),
        raw(b"\xff\xfe"),
        raw(b"{" * 200_000),
        raw(b'{"a":' * 100_000),
        raw(tensor(), b"123"),
        raw(tensor(), b"12345"),
        raw(tensor(data_offsets=[0, 400]), b"1234"),
        raw(tensor(data_offsets=[4, 0]), b"1234"),
        raw(tensor(data_offsets=[-4, 0]), b"1234"),
        raw(tensor(dtype="F99"), b"1234"),
        raw(tensor(dtype="F8_E4M3", shape=[4]), b"1234"),
        raw(tensor(shape=[-1]), b"1234"),
        raw(tensor(shape=[2**62, 4]), b"1234"),
        raw(tensor(shape=[0, 2**63], data_offsets=[0, 0])),
        raw(tensor(shape=[1] * 100), b"1234"),
        raw({**tensor(), "b": tensor()["a"]}, b"1234"),
        raw(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' * 2 + b'"c":3}'),
        raw(json.dumps(tensor()).encode()[:-1] + b"," + json.dumps(tensor()).encode()[1:], b"1234"),
        with_metadata(""),
        with_metadata("[]"),
        with_metadata("null"),
        with_metadata("{}"),
        with_metadata('{"format": "1"}'),
        with_metadata('{"format": true}'),
        with_metadata('{"format": 0}'),
        with_metadata('{"format": 1, "format": 2}'),
        raw({"__metadata__": ""}),
        raw({"__metadata__": []}),
        raw({"__metadata__": 0}),
        with_metadata('{"format": 1, "x": NaN}'),
        with_metadata('{"format": 1, "x": ' + "9" * 10_000 + "}"),
        with_metadata('{"format": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
)
@pytest.mark.parametrize("require", [True, False])
def test_crafted_damage(data, require):
    with pytest.raises(ModelFileError, match=r"^here\b"):
        storage.decode(data, "here", require_metadata=require)


def test_two_thousand_mutations_give_model_file_errors_only():
    data = storage.encode(*example())
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(2000):
        mutant = bytearray(data)
        kind = rng.integers(4)
        # Mostly in the header, where damage does the most.
        at = int(rng.integers(len(data) if kind == 0 else 600))
        if kind <= 1:
            mutant[at] = rng.integers(256)
        elif kind == 2:
            del mutant[at : at + int(rng.integers(1, 50))]
        else:
            mutant[at:at] = rng.bytes(int(rng.integers(1, 20)))
        for require in (True, False):
            try:
                tensors, metadata = storage.decode(mutant, require_metadata=require)
                assert all(isinstance(t, np.ndarray) for t in tensors.values())
                assert isinstance(metadata, dict)
            except ModelFileError:
                refused += 1
    assert refused > 1000


def test_files(tmp_path):
    tensors, metadata = example()
    path = storage.write_file(tmp_path / "m.safetensors", tensors, metadata)
    back, meta = storage.read_file(str(path))
    assert meta["kind"] == "classifier" and set(back) == set(tensors)
    storage.write_file(path, {}, {"kind": "other"})
    assert storage.read_file(path)[1]["kind"] == "other"
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes and links")
def test_mode_follows_umask_and_links_stay(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.safetensors"
    link.symlink_to(tmp_path / "real" / "m.safetensors")
    old = os.umask(0o027)
    try:
        storage.write_file(link, {}, {})
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert (tmp_path / "real" / "m.safetensors").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("where", "code", "message"),
    [
        ("open", errno.EROFS, "permission denied; choose a folder other than"),
        ("open", errno.EACCES, "permission denied"),
        ("fsync", errno.ENOSPC, r"no room for .* MiB in"),
        ("fsync", errno.EIO, "choose another path"),
        ("replace", errno.EPERM, "permission denied"),
    ],
)
def test_failed_writes_leave_the_old_file(tmp_path, monkeypatch, where, code, message):
    path = tmp_path / "m.safetensors"
    storage.write_file(path, {}, {"kind": "old"})

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, where, fail)
        with pytest.raises(ModelFileError, match=message) as caught:
            storage.write_file(path, {"w": np.zeros(9)}, {"kind": "new"})
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == ["m.safetensors"]
    assert storage.read_file(path)[1]["kind"] == "old"


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.write_file(tmp_path / "m", {}, {})
    assert os.listdir(tmp_path) == []


def test_wrong_paths(tmp_path):
    with pytest.raises(ModelFileError, match=r"there is no folder .*nowhere; create it"):
        storage.write_file(tmp_path / "nowhere" / "m", {}, {})
    with pytest.raises(ModelFileError, match="it is a folder"):
        storage.write_file(tmp_path, {}, {})
    with pytest.raises(ModelFileError, match="no such file"):
        storage.read_file(tmp_path / "m")
    with pytest.raises(ModelFileError, match="it is a folder"):
        storage.read_file(tmp_path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        storage.read_file("a\0b")
    with pytest.raises(ModelFileError, match="cannot be written"):
        storage.write_file("a\0b", {}, {})
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="not a regular file"):
            storage.read_file(tmp_path / "pipe")
