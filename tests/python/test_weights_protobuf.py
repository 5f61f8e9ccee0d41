"""The wire format against its specification's own examples, NumPy, and damage."""

import struct
import tracemalloc

import numpy as np
import pytest

from diglot.errors import ModelFileError
from diglot.files import read_text, read_view
from diglot.weights import protobuf
from fuzz import damaged, refusals


def varint(value):
    """Return a varint as the specification spells it: seven bits a byte, the lowest first."""
    value %= 2**64
    groups = [value >> shift & 0x7F for shift in range(0, 70, 7)]
    while len(groups) > 1 and groups[-1] == 0:
        groups.pop()
    return bytes([*(g | 0x80 for g in groups[:-1]), groups[-1]])


def read(data):
    return [
        (number, wire, bytes(value) if isinstance(value, memoryview) else value)
        for number, wire, value in protobuf.fields(memoryview(data))
    ]


def test_the_examples_of_the_specification():
    assert read(b"\x08\x96\x01") == [(1, protobuf.VARINT, 150)]
    assert read(b"\x12\x07testing") == [(2, protobuf.BYTES, b"testing")]
    assert read(b"\x1a\x03\x08\x96\x01") == [(3, protobuf.BYTES, b"\x08\x96\x01")]
    (_, _, value), *_ = protobuf.fields(memoryview(b"\x32\x06\x03\x8e\x02\x9e\xa7\x05"))
    assert protobuf.packed_varints(value) == [3, 270, 86942]


def test_fields_of_every_wire_type_in_a_row():
    data = b"".join(
        [
            varint(1 << 3) + varint(-2),
            varint(300 << 3 | 1) + struct.pack("<d", 2.5),
            varint(4 << 3 | 2) + varint(0),
            varint((2**29 - 1) << 3 | 5) + struct.pack("<f", -1.5),
        ]
    )
    first, second, third, fourth = protobuf.fields(memoryview(data))
    assert (first[0], protobuf.integer(first[2])) == (1, -2)
    assert (second[0], protobuf.packed_doubles(second[2]).tolist()) == (300, [2.5])
    assert (third[0], bytes(third[2])) == (4, b"")
    assert (fourth[0], protobuf.packed_floats(fourth[2]).tolist()) == (2**29 - 1, [-1.5])


def test_lists_of_numbers_are_as_numpy_has_them():
    rng = np.random.default_rng(0)
    numbers = [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)]
    wide, shifts = rng.integers(-(2**63), 2**63, 500), rng.integers(0, 64, 500)
    numbers += (wide >> shifts).tolist()
    packed = memoryview(b"".join(map(varint, numbers)))
    assert protobuf.packed_varints(packed) == numbers
    assert protobuf.packed_varints(memoryview(b"")) == []
    floats = rng.normal(size=50).astype(np.float32)
    np.testing.assert_array_equal(protobuf.packed_floats(memoryview(floats.tobytes())), floats)


def test_nothing_is_copied():
    payload = np.arange(1000, dtype="<f4")
    data = memoryview(b"\x2a" + varint(payload.nbytes) + payload.tobytes())
    ((_, _, value),) = protobuf.fields(data)
    assert value.obj is data.obj
    array = protobuf.packed_floats(value)
    assert not array.flags.owndata
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x08", "cut off"),
        (b"\x08\x80\x80", "cut off"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "no whole number"),
        (b"\x12\x05ab", "field 2 has 5 bytes where 2 are left"),
        (b"\x12" + varint(2**63) + b"ab", "where 2 are left"),
        (b"\x11\x00", "field 2 has 8 bytes where 1 are left"),
        (b"\x15\x00", "field 2 has 4 bytes"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x00\x00", "no field number 0"),
        (varint(2**29 << 3), "no field number"),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(ModelFileError, match=message):
        read(data)


def test_values_of_the_wrong_kind_are_refused():
    for reader in (protobuf.text, protobuf.message, protobuf.packed_floats):
        with pytest.raises(ModelFileError, match="a number stands where"):
            reader(3)
    with pytest.raises(ModelFileError, match="bytes stand where"):
        protobuf.integer(memoryview(b"a"))
    with pytest.raises(ModelFileError, match="not text"):
        protobuf.text(memoryview(b"\xff"))
    with pytest.raises(ModelFileError, match="has 3 bytes"):
        protobuf.packed_floats(memoryview(b"abc"))
    with pytest.raises(ModelFileError, match="cut off"):
        protobuf.packed_varints(memoryview(b"\x01\x80"))
    with pytest.raises(ModelFileError, match="of 11 bytes"):
        protobuf.packed_varints(memoryview(b"\x80" * 10 + b"\x00"))


def test_a_file_has_a_bounded_number_of_fields(monkeypatch):
    """Of all its messages together, and with the numbers that it lists."""
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 3)
    message = memoryview(bytes([8, 1, 8, 2]))
    for _ in range(2):  # each file has its own count
        with protobuf.one_file():
            assert len(list(protobuf.fields(message))) == 2
            with pytest.raises(ModelFileError, match="more than 3 fields"):
                list(protobuf.fields(message))
        with protobuf.one_file(), pytest.raises(ModelFileError, match="more than 3 fields"):
            protobuf.varint_array(memoryview(bytes(4)), np.dtype("int64"))
    assert len(list(protobuf.fields(memoryview(bytes(message) * 3)))) == 6  # of no file


def test_long_lists_of_numbers_take_little_memory():
    rng = np.random.default_rng(3)
    numbers = rng.integers(0, 2**16, 300_000)
    listed = np.stack([numbers & 127 | 128, numbers >> 7 & 127 | 128, numbers >> 14], 1)
    data = memoryview(listed.astype(np.uint8).tobytes())
    tracemalloc.start()
    try:
        found = protobuf.varint_array(data, np.dtype("<u2"))
        assert tracemalloc.get_traced_memory()[1] < found.nbytes + 6e6
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, numbers)
    with pytest.raises(ModelFileError, match="300000 numbers"):
        protobuf.packed_varints(data)
    with pytest.raises(ModelFileError, match="bytes|inside"):
        protobuf.varint_array(memoryview(b"\x80" * 200_000 + b"\0"), np.dtype("<i8"))


def test_random_bytes_are_read_or_refused(tmp_path):
    def walk(data, depth=0):
        for _, wire, value in protobuf.fields(data):
            if wire == protobuf.BYTES and depth < 3:
                try:
                    walk(value, depth + 1)
                except ModelFileError:
                    protobuf.packed_varints(value)

    def check(path):
        try:
            walk(read_view(path))
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error

    inner = b"\x0a\x05hello\x10\x96\x01\x1d\x00\x00\x80\x3f"
    data = b"\x0a" + varint(len(inner)) + inner + b"\x08\x01" + b"\x32\x06\x03\x8e\x02\x9e\xa7\x05"
    assert refusals(check, tmp_path / "bytes", damaged(data)) > 500


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="is a folder"):
        read_view(tmp_path)
    with pytest.raises(ModelFileError, match="none cannot be read: No such file"):
        read_view(tmp_path / "none")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_view("a\0b")
    file = tmp_path / "file"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFileError, match="has 3 bytes; such a file may have 2"):
        read_view(file, largest=2)
    with pytest.raises(ModelFileError, match="file is not text"):
        read_text(file)
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_view("/dev/null")


def test_lists_without_numbers_are_counted_by_the_time_that_they_take():
    # 131,128 of them, in a file of 339 kB, took 2.7 seconds.
    with pytest.raises(ModelFileError, match="more than 250000 fields"), protobuf.one_file():
        for _ in range(131_128):
            protobuf.packed_varints(memoryview(b""))
