"""Safetensors files of other libraries: what the library wrote comes back, damage is refused."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from diglot.errors import ModelFileError
from diglot.weights.safetensors_file import read_safetensors, refuse_pickle


def example():
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.normal(size=(4, 3, 5, 2)).astype("float32"),
        "layer1.0.bn1.running_var": rng.uniform(0.5, 2, size=7),
        "half": rng.normal(size=(2, 3)).astype("float16"),
        "bn1.num_batches_tracked": np.array(12, dtype="int64"),
        "mask": np.array([[True, False, True]]),
        "empty": np.zeros((0, 3), "float32"),
    }


def raw(header: bytes | dict, body: bytes = b"") -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + body


def tensor(**changes) -> dict:
    return {"fc.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


def test_what_the_library_wrote_comes_back(tmp_path):
    tensors = example()
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
    found = read_safetensors(path)
    assert list(found) == sorted(tensors)
    for name, array in tensors.items():
        floats = array.dtype.kind == "f"
        assert found[name].dtype == (np.float32 if floats else array.dtype)
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype))


def test_bfloat_is_widened(tmp_path):
    # By definition the upper 16 bits of a float32: 1.5, -2.25 and infinity, and a scalar.
    path = tmp_path / "model.safetensors"
    numbers = struct.pack("<4H", 0x3FC0, 0xC010, 0x7F80, 0x3FC0)
    header = {
        "w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
        "s": {"dtype": "BF16", "shape": [], "data_offsets": [6, 8]},
    }
    path.write_bytes(raw(header, numbers))
    found = read_safetensors(path)
    np.testing.assert_array_equal(found["w"], np.array([1.5, -2.25, np.inf], np.float32))
    assert found["w"].dtype == np.float32
    assert isinstance(found["s"], np.ndarray) and found["s"].shape == () and found["s"] == 1.5


def test_numbers_beyond_float32_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"fc.weight": np.array([1e300])}, path)
    with pytest.raises(ModelFileError, match=r"model\.safetensors: tensor 'fc\.weight'.*beyond"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "shorter"),
        (struct.pack("<Q", 2**63), "header"),
        (raw(tensor(data_offsets=[0, 400]), b"1234"), r"'fc\.weight' of shape \(1,\).*needs 4"),
        (raw(tensor(shape=[3, 2]), b"1234"), r"'fc\.weight' of shape \(3, 2\).*needs 24"),
        (raw(tensor(shape=[2**62, 2**62]), b"1234"), r"'fc\.weight' of shape"),
        (raw(tensor(shape=[-1]), b"1234"), r"'fc\.weight' is damaged"),
        (raw(tensor(shape=[True]), b"1234"), r"'fc\.weight' is damaged"),
        (raw(tensor(shape=[1.0]), b"1234"), r"'fc\.weight' is damaged"),
        (raw(tensor(data_offsets=[0]), b"1234"), r"'fc\.weight' is damaged"),
        (raw(tensor(dtype="F8_E4M3", shape=[4]), b"1234"), r"'F8_E4M3' of tensor 'fc\.weight'"),
        (raw(tensor(dtype=["F32"]), b"1234"), r"'fc\.weight' is damaged"),
        (raw({"fc.weight": 3}), r"'fc\.weight' is damaged"),
        (raw({**tensor(), "twin": tensor()["fc.weight"]}, b"1234"), "tensor 'twin' begins"),
        (raw(tensor(data_offsets=[4, 8]), b"12345678"), r"'fc\.weight' begins at byte 4"),
        (raw(tensor(), b"12345"), "need 4 bytes, and 5 are there"),
        (raw(tensor(shape=[0, 2**62], data_offsets=[0, 0])), r"'fc\.weight' of shape"),
        (raw({"__metadata__": {"format": 3}}), "metadata"),
        (raw(b"[" * 100_000), "damaged"),
    ],
)
def test_damage_is_named(tmp_path, data, words):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=words) as caught:
        read_safetensors(path)
    assert "model.safetensors" in str(caught.value)


def test_no_file_and_no_regular_file(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.safetensors", "/dev/zero", "a\0b.safetensors"):
        with pytest.raises(ModelFileError, match="cannot be read"):
            read_safetensors(path)


def test_damaged_files_give_model_file_errors_only(tmp_path):
    data = safetensors.numpy.save(example())
    rng = np.random.default_rng(1)
    path = tmp_path / "model.safetensors"
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            read_safetensors(path)
    refused = 0
    for _ in range(600):
        mutant = bytearray(data)
        mutant[int(rng.integers(min(len(data), 700)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutant)
        try:
            assert all(isinstance(t, np.ndarray) for t in read_safetensors(path).values())
        except ModelFileError as error:
            assert "model.safetensors" in str(error)
            refused += 1
    assert refused > 200  # the rest changed a number or a name


# ---- shards


def write_shards(folder, shards, places=None):
    for name, tensors in shards.items():
        safetensors.numpy.save_file(tensors, folder / name)
    if places is None:
        places = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 12}, "weight_map": places}))
    return index


def test_shards_are_read_together(tmp_path):
    tensors = example()
    names = sorted(tensors)
    shards = {
        "model-00001-of-00002.safetensors": {n: tensors[n] for n in names[:2]},
        "model-00002-of-00002.safetensors": {n: tensors[n] for n in names[2:]},
    }
    found = read_safetensors(write_shards(tmp_path, shards))
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name], tensors[name].astype(found[name].dtype))


def test_a_missing_shard_is_named(tmp_path):
    index = write_shards(tmp_path, {}, {"a": "model-00001-of-00002.safetensors"})
    with pytest.raises(ModelFileError, match=r"model-00001-of-00002\.safetensors cannot be read"):
        read_safetensors(index)


def test_shards_that_do_not_belong_together(tmp_path):
    one = {"a": np.ones(2, "float32")}
    index = write_shards(
        tmp_path, {"x.safetensors": one}, {"a": "x.safetensors", "b": "x.safetensors"}
    )
    with pytest.raises(ModelFileError, match=r"index\.json: tensor 'b' should be in x\.safet"):
        read_safetensors(index)
    index = write_shards(tmp_path, {"x.safetensors": one, "y.safetensors": {**one, "b": one["a"]}})
    places = {"a": "x.safetensors", "b": "y.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ModelFileError, match="tensor 'a' is in y.safetensors and in another"):
        read_safetensors(index)


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..\\x.safetensors",
     "C:x.safetensors", "x.bin", "", "a\0.safetensors"],
)  # fmt: skip
def test_an_index_names_files_of_its_own_folder_only(tmp_path, name):
    safetensors.numpy.save_file({"a": np.ones(2)}, tmp_path / "x.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ModelFileError, match="not the plain name"):
        read_safetensors(write_shards(folder, {}, {"a": name}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
             '{"weight_map": 3}', "[" * 100_000]
)  # fmt: skip
def test_a_damaged_index_is_refused(tmp_path, text):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(ModelFileError, match=r"index\.json is damaged"):
        read_safetensors(index)


# ---- pickles


def torch_zip() -> bytes:
    """Return the beginning of what torch.save has written since PyTorch 1.6: a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"fc.bias": 1}, protocol=2))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


PICKLES = {
    "zip": torch_zip(),
    "old torch": pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2),
    **{f"protocol {p}": pickle.dumps({"fc.bias": [1.0] * 500}, protocol=p) for p in (2, 3, 4, 5)},
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model"])
def test_pickles_are_refused_by_their_bytes(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes(PICKLES[kind])
    with pytest.raises(ModelFileError, match="(?s)unpickling runs.*save_file") as caught:
        read_safetensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.pth", "b.PT", "pytorch_model.bin", "c.pkl", "d.ckpt"])
def test_pickles_are_refused_by_their_names(name):
    with pytest.raises(ModelFileError, match="pickled"):
        refuse_pickle(name)


def test_nothing_else_is_taken_for_a_pickle(tmp_path):
    # A header of 640 bytes begins with 0x80 0x02, as pickles of protocol 2 do.
    filler = {"__metadata__": {"x": ""}, **tensor()}
    filler["__metadata__"]["x"] = "-" * (640 - len(json.dumps(filler)))
    data = raw(filler, struct.pack("<f", 2.5))
    assert data[:2] == b"\x80\x02"
    for name in ("model.safetensors", "model.bin"):
        (tmp_path / name).write_bytes(data)
        assert read_safetensors(tmp_path / name)["fc.weight"] == [2.5]
    archive = tmp_path / "arrays.npz"
    np.savez(archive, a=np.ones(3))
    refuse_pickle(archive)


def test_the_told_conversion_works(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {"fc.weight": torch.arange(6.0).reshape(2, 3).T, "fc.bias": torch.ones(3)}
    torch.save({**tensors, "shared": tensors["fc.weight"]}, tmp_path / "model.pth")
    with pytest.raises(ModelFileError) as caught:
        read_safetensors(tmp_path / "model.pth")
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2
    exec("\n".join(lines))
    found = read_safetensors(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(found["shared"], [[0, 3], [1, 4], [2, 5]])
